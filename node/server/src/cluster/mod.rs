//! The cluster side of the server: the bus thread, and what workers ask of it.
//!
//! * [`Bus`] is the driver of [`hexad_gossip::Cluster`]: a thread of its own with the sockets of
//!   the bus, the clock and nodes.conf. It makes no decision about the protocol.
//! * [`ClusterHandle`] is what the rest of the process holds: the current [`View`], and the way
//!   to have a command answered by the cluster thread.
//! * [`command`] reads and answers CLUSTER; [`redirect`] decides where a command with keys runs.
//!
//! Workers wait for the cluster thread when they ask it something. It never waits for them: what
//! it tells the server ([`Host`]) must be taken without blocking.
//!
//! [`View`]: hexad_gossip::View

mod bus;
pub mod command;
mod driver;
mod handle;
mod link;
mod nodes_conf;
pub mod redirect;
mod replies;
mod settings;
mod stall;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use bus::{Bus, Host, StartError};
pub use command::{Ask, Facts, Outcome};
pub use handle::{Answer, ClusterHandle};
pub use nodes_conf::OpenError;
pub use redirect::{Decision, Moving, Refusal, Traits, cross_slot, route};
pub use stall::Pulse;
