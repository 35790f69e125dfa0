//! What goes into the cluster state machine and what comes out of it.
//!
//! The machine ([`crate::Cluster`]) owns no socket, no clock, no file and no thread. A driver
//! (the bus thread of a server, or the simulator) feeds it [`Input`]s and [`Admin`] commands with
//! the current time, then drains [`Output`]s **in order**. The order is the durability contract:
//! an [`Output::Persist`] must be on disk (written, fsynced, renamed, folder fsynced) before any
//! output behind it may take effect.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use hexad_slots::{Slot, SlotBitmap};

use crate::NodeId;

/// Milliseconds of Unix time, as passed in by the driver; it never goes backwards.
pub type Millis = u64;

/// A TCP connection of the bus. Ids are never reused within a process.
///
/// Outbound links are opened by the machine ([`Output::Connect`]); inbound ones get their id from
/// [`crate::Cluster::accept`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub u64);

/// An event of the outside world.
#[derive(Debug)]
pub enum Input<'a> {
    /// [`crate::Cluster::poll_timeout`] has passed.
    Tick,
    /// An outbound link is up.
    Connected {
        /// The link, as given by [`Output::Connect`].
        link: LinkId,
        /// This side's address of it.
        local_ip: IpAddr,
    },
    /// A link is gone: it was refused, reset, closed, or timed out. Not sent for links that the
    /// machine itself closed.
    Closed {
        /// The link, in either direction.
        link: LinkId,
        /// Whether the connection was refused (ECONNREFUSED): nobody listens there.
        refused: bool,
    },
    /// An [`Output::PauseWrites`] is done: since then no client's command has changed data, and
    /// none will until [`Output::ResumeWrites`].
    WritesPaused {
        /// Which pause: its `until_ms`.
        until_ms: Millis,
        /// The end of the replication stream, which nothing is appended to any more.
        offset: u64,
    },
    /// One whole frame, as cut by its `totlen` ([`crate::frame::frame_length`]).
    Frame {
        /// The link that it came over.
        link: LinkId,
        /// The frame.
        bytes: &'a [u8],
    },
}

/// What the driver has to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Write this text as nodes.conf, durably, before going on to the next output.
    Persist(Vec<u8>),
    /// Open a TCP connection.
    Connect {
        /// The link that it becomes.
        link: LinkId,
        /// Where to.
        addr: SocketAddr,
    },
    /// Queue bytes on a link; those for a link that is gone are dropped silently.
    Send {
        /// The link.
        link: LinkId,
        /// One whole frame.
        frame: Bytes,
    },
    /// Close a link and forget its id.
    Close {
        /// The link.
        link: LinkId,
    },
    /// The view has changed: publish [`crate::Cluster::view`].
    ViewChanged,
    /// Drop the keys held in these slots: they now belong to another node (invariant 13). All
    /// slots: this node was a replica and is none any more (CLUSTER RESET).
    DropKeys(Box<SlotBitmap>),
    /// This node has another role, or its primary another address: replicate as it says.
    ///
    /// Stands behind [`Output::ViewChanged`] where the node ceases to be a primary, and before it
    /// where it becomes one, so that the workers never take a write that has no stream to go to.
    /// A node that starts as a primary is not told.
    RoleChanged {
        /// The number of the role, for [`ReplicationState::term`]. It stays when only the address
        /// has changed: what has been replicated is still good then.
        term: u64,
        /// The role.
        role: Role,
    },
    /// Let no client's command change data, and append nothing to the replication stream (no
    /// expired keys, no pings), until [`Output::ResumeWrites`] or this time; then report
    /// [`Input::WritesPaused`]. It may come again while writes are paused.
    PauseWrites {
        /// The time of the machine's clock at which the pause ends by itself.
        until_ms: Millis,
    },
    /// End the pause.
    ResumeWrites,
    /// A PUBLISH or PUBLISHSHARD frame of a known node arrived.
    Published {
        /// Whether it is a PUBLISHSHARD.
        sharded: bool,
        /// The channel.
        channel: Bytes,
        /// The message.
        message: Bytes,
    },
    /// A line for the log.
    Log {
        /// How much it matters.
        level: LogLevel,
        /// The line.
        text: String,
    },
}

/// What a node is to do about replication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It takes writes; its stream goes on where its data ends.
    Primary,
    /// It follows a primary.
    Replica {
        /// `None`: it is not known whom or where, so there is nobody to connect to for now.
        of: Option<ReplicaOf>,
    },
}

/// The primary that a replica follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaOf {
    /// Its id. Another node may answer at the address; its data must not be taken.
    pub id: NodeId,
    /// Its address, as it announces it or as its links come from it.
    pub ip: IpAddr,
    /// Its client port: the TLS one if the bus uses TLS, else the plain one.
    pub port: u16,
}

/// How far replication has got, for [`crate::Cluster::set_replication`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplicationState {
    /// The role that this is about, as [`Output::RoleChanged`] has numbered it; 0 before the
    /// first. What is told of an earlier one is ignored: the offset in another primary's stream
    /// must not count in this one's elections (invariant 18).
    pub term: u64,
    /// A primary: the end of its stream. A replica: how far it has applied its primary's.
    pub offset: u64,
    /// A replica's connection to its primary.
    pub link: PrimaryLink,
}

/// How a replica's replication link stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrimaryLink {
    /// Not yet in sync with this primary since the role began: there is no data of it, or the
    /// data is from before the start.
    #[default]
    Never,
    /// This node has given up its data for those of its primary, which have not all arrived: there
    /// is nothing to be elected with. (Redis 7.0 does nothing else while it loads.)
    Emptied,
    /// In sync; something was last received then.
    Up {
        /// When.
        heard_ms: Millis,
    },
    /// It was in sync, and has lost the connection. (Stricter: Redis 7.0 counts from when it
    /// notices the loss, which a replica that was stopped does late.)
    Down {
        /// When something was last received.
        heard_ms: Millis,
    },
}

/// How much a log line matters, in the levels of `loglevel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// `debug`
    Debug,
    /// `verbose`
    Verbose,
    /// `notice`
    Notice,
    /// `warning`
    Warning,
}

/// A command of an administrator: the CLUSTER subcommands that change something, already parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admin {
    /// CLUSTER MEET: start a handshake with the node at this address.
    Meet {
        /// Its address.
        ip: IpAddr,
        /// Its client port.
        port: u16,
        /// Its bus port.
        bus_port: u16,
    },
    /// CLUSTER ADDSLOTS / ADDSLOTSRANGE. All of them or none.
    AddSlots(Box<SlotBitmap>),
    /// CLUSTER DELSLOTS / DELSLOTSRANGE. All of them or none.
    DelSlots(Box<SlotBitmap>),
    /// CLUSTER FLUSHSLOTS.
    FlushSlots {
        /// Whether this node held no key just before.
        dataset_empty: bool,
    },
    /// CLUSTER SETSLOT.
    SetSlot {
        /// The slot.
        slot: Slot,
        /// What to do with it.
        action: SetSlot,
        /// How many of its keys this node held just before.
        keys_in_slot: usize,
    },
    /// CLUSTER FORGET.
    Forget(NodeId),
    /// CLUSTER REPLICATE.
    Replicate {
        /// The primary to be.
        primary: NodeId,
        /// Whether this node held no key just before.
        dataset_empty: bool,
    },
    /// CLUSTER FAILOVER.
    Failover(FailoverMode),
    /// CLUSTER RESET.
    Reset {
        /// Whether the node gets a new id and starts from epoch 0.
        hard: bool,
        /// Whether this node held no key just before.
        dataset_empty: bool,
    },
    /// CLUSTER SET-CONFIG-EPOCH.
    SetConfigEpoch(u64),
    /// CLUSTER BUMPEPOCH.
    BumpEpoch,
    /// CLUSTER SAVECONFIG.
    SaveConfig,
    /// PUBLISH (to every node) or SPUBLISH (to the nodes of this shard).
    Publish {
        /// Whether it is an SPUBLISH.
        sharded: bool,
        /// The channel.
        channel: Bytes,
        /// The message.
        message: Bytes,
    },
}

/// How CLUSTER FAILOVER is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailoverMode {
    /// With the primary's help: it pauses its clients until this replica has all of its data.
    Plain,
    /// FORCE: without the primary, but with the votes of the others.
    Force,
    /// TAKEOVER: without anybody.
    Takeover,
}

/// The action of CLUSTER SETSLOT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetSlot {
    /// The slot is being moved away to this node.
    Migrating(NodeId),
    /// The slot is being moved here from this node.
    Importing(NodeId),
    /// Clears both of the above.
    Stable,
    /// The slot belongs to this node from now on.
    Node(NodeId),
}

/// What a successful [`Admin`] command answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminOk {
    /// `+OK`
    Done,
    /// CLUSTER BUMPEPOCH: `+BUMPED <epoch>` or `+STILL <epoch>`.
    Epoch {
        /// The configEpoch after the command.
        epoch: u64,
        /// Whether the command raised it.
        bumped: bool,
    },
}
