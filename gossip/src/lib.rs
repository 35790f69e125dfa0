//! The cluster bus: its frames, the cluster state machine, and nodes.conf.
//!
//! Everything here is sans-I/O: time, bytes and seeds are passed in, effects come out as
//! [`Output`]s. Start at [`Cluster`]; [`frame`] is the wire, [`NodesConf`] the file, [`View`] what
//! the rest of a server sees.

#![forbid(unsafe_code)]

mod api;
mod cluster;
mod conf;
mod config;
mod flags;
pub mod frame;
mod id;
mod links;
mod node;
mod view;

pub use api::{Admin, AdminOk, Input, LinkId, LogLevel, Millis, Output, SetSlot};
pub use cluster::{AdminError, Cluster, LoadError};
pub use conf::{ConfError, LineError, NodeLine, NodesConf};
pub use config::{AnnouncedPorts, Config, PreferredEndpoint};
pub use flags::NodeFlags;
pub use id::{NodeId, ParseNodeIdError};
pub use view::{ClusterState, FailReason, LinkInfo, NodeView, Route, Stats, View};
