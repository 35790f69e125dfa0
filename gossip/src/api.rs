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
    /// An outbound link is up; `local_ip` is this side's address of it.
    Connected { link: LinkId, local_ip: IpAddr },
    /// A link is gone: it was refused (`refused`: ECONNREFUSED), reset, closed, or timed out.
    /// Not sent for links that the machine itself closed.
    Closed { link: LinkId, refused: bool },
    /// One whole frame, as cut by its `totlen` ([`crate::frame::frame_length`]).
    Frame { link: LinkId, bytes: &'a [u8] },
}

/// What the driver has to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Write this text as nodes.conf, durably, before going on to the next output.
    Persist(Vec<u8>),
    /// Open a TCP connection for this link.
    Connect { link: LinkId, addr: SocketAddr },
    /// Queue these bytes on a link; bytes for a link that is gone are dropped silently.
    Send { link: LinkId, frame: Bytes },
    /// Close a link and forget its id.
    Close { link: LinkId },
    /// The view has changed: publish [`crate::Cluster::view`].
    ViewChanged,
    /// These slots now belong to another node: drop the keys held in them (invariant 13).
    DropKeys(Box<SlotBitmap>),
    /// A PUBLISH or PUBLISHSHARD frame of a known node arrived.
    Published {
        sharded: bool,
        channel: Bytes,
        message: Bytes,
    },
    /// A line for the log.
    Log { level: LogLevel, text: String },
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
        ip: IpAddr,
        port: u16,
        bus_port: u16,
    },
    /// CLUSTER ADDSLOTS / ADDSLOTSRANGE. All of them or none.
    AddSlots(Box<SlotBitmap>),
    /// CLUSTER DELSLOTS / DELSLOTSRANGE. All of them or none.
    DelSlots(Box<SlotBitmap>),
    /// CLUSTER FLUSHSLOTS; `dataset_empty` is what the driver saw just before.
    FlushSlots { dataset_empty: bool },
    /// CLUSTER SETSLOT; `keys_in_slot` is how many keys this node held just before.
    SetSlot {
        slot: Slot,
        action: SetSlot,
        keys_in_slot: usize,
    },
    /// CLUSTER FORGET.
    Forget(NodeId),
    /// CLUSTER REPLICATE.
    Replicate {
        primary: NodeId,
        dataset_empty: bool,
    },
    /// CLUSTER RESET.
    Reset { hard: bool, dataset_empty: bool },
    /// CLUSTER SET-CONFIG-EPOCH.
    SetConfigEpoch(u64),
    /// CLUSTER BUMPEPOCH.
    BumpEpoch,
    /// CLUSTER SAVECONFIG.
    SaveConfig,
    /// PUBLISH (to every node) or SPUBLISH (to the nodes of this shard).
    Publish {
        sharded: bool,
        channel: Bytes,
        message: Bytes,
    },
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
    /// CLUSTER BUMPEPOCH: the configEpoch of this node, and whether the command raised it.
    Epoch { epoch: u64, bumped: bool },
}
