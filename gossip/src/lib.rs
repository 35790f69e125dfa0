//! The cluster bus: its frames, the cluster state machine, and nodes.conf.
//!
//! Everything here is sans-I/O: time, bytes and seeds are passed in, effects come out as
//! [`Output`]s. Start at [`Cluster`]; [`frame`] is the wire, [`NodesConf`] the file, [`View`] what
//! the rest of a server sees.
//!
//! # Absent
//! Module messages, which are skipped. A refused connection does not hasten a suspicion. Data: a
//! replica's is the driver's affair, which tells how far it has got.
//!
//! # Differences from Redis 7.0
//! On purpose, and such that a stock node in the same cluster notices none of them:
//!
//! | here | why |
//! |---|---|
//! | an epoch learnt from others is saved before it is shown | a crash must not take it back (invariant 7) |
//! | `currentEpoch` is raised to any `configEpoch` that is learnt | invariant 8 |
//! | another node's `configEpoch` never falls, and an UPDATE about this node is ignored | invariant 9 |
//! | reports of primaries without slots do not count for FAIL | the majority is one of voters (invariant 14) |
//! | PFAIL and FAIL flags are not taken over with a node learnt by gossip, nor PFAIL from nodes.conf | FAIL needs this node's own suspicion (invariant 14) |
//! | a frame over a link to another node than its sender tells that the sender is there, and nothing else | Redis 7.0 takes its epochs for those of the node that the link was opened to |
//! | a stranger's MEET changes no pong times and learns no nodes | invariant 16 |
//! | a malformed frame closes its link | nothing behind it can be trusted |
//! | an address at which another node answers is kept, tried again each node timeout, and meanwhile looked for in gossip; the other node, if known, has moved there | invariant 24 |
//! | a handshake that failed on the other side only is begun again | else the other side takes this node for a stranger for ever |
//! | a slot that its owner does not claim for 2 × node timeout has no owner | DELSLOTS that did not reach all must not leave views apart (invariant 19) |
//! | a migrating slot that is lost is not migrating any more; an importing one follows its source to a new owner | invariant 22 |
//! | ADDSLOTS is refused on a replica | its slots would never be told to anybody |
//! | a change of this node's slots, epoch or role is told to all within 100 ms | others need not wait for the heartbeats to get around |
//! | the node timeout counts from the loss of a connection, and voters are asked for their reports while a node is suspected | a dead process is convicted sooner |
//! | votes are counted by voter, and only those for the very epoch of the election | invariant 4 |
//! | an election is dropped when its primary is back, and won only above the old primary's configEpoch | invariant 11 |
//! | a replica that has not been in sync with its primary shows offset 0, and stands only if it comes from the same shard's data | invariant 18: Redis 7.0 shows what it had of another stream |
//! | a manual failover of a primary announces its offset once no write is under way | other threads write here |
//! | TAKEOVER always takes a new epoch | an equal one would move no slot |
//! | with a single voter, its suspicion is the verdict | nobody else's report would ever come |
//! | while the workers make no progress no heartbeat leaves, though the bus could | a wedged node has to be found out |

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

pub use api::{
    Admin, AdminOk, FailoverMode, Input, LinkId, LogLevel, Millis, Output, PrimaryLink, ReplicaOf,
    ReplicationState, Role, SetSlot,
};
pub use cluster::{AdminError, Cluster, LoadError};
pub use conf::{ConfError, LineError, NodeLine, NodesConf};
pub use config::{AnnouncedPorts, Config, PreferredEndpoint};
pub use flags::NodeFlags;
pub use id::{NodeId, ParseNodeIdError};
pub use view::{ClusterState, FailReason, LinkInfo, NodeView, Route, Stats, View};
