//! The commands: one static table of what Redis 7.0 knows about each, and the handlers of those
//! that work on data.
//!
//! [`lookup`] finds a [`Command`], [`Command::resolve`] its subcommand; its [`Handler`] says who
//! executes it: a data handler of this crate under the lock of one partition ([`Ctx`]), a handler
//! that visits partitions one after another ([`KeyspaceCtx`]), one that needs nothing, or the
//! server ([`ServerCommand`]). COMMAND, key extraction and ACL categories come from the same table.
//!
//! This crate knows no socket, clock, thread or global randomness.

mod builder;
mod command;
mod context;
mod docs;
mod flags;
pub mod glob;
pub mod handlers;
mod introspect;
mod keys;
mod propagation;
mod pure;
mod table;

pub use command::{Command, Handler, PureHandler, ServerCommand, unknown_command};
pub use context::{
    Ctx, DataHandler, Effects, Env, Expiry, Key, Keyspace, KeyspaceCtx, KeyspaceHandler,
};
pub use docs::{Arg, ArgKind, Deprecated, Docs, Group};
pub use flags::{AclCategories, CommandFlags};
pub use hexad_resp::Args;
pub use keys::{BeginSearch, FindKeys, InvalidKeys, KeyFlags, KeySpec, Keys};
pub use propagation::{Propagated, Word};
pub use table::lookup;
