//! What the rest of a server sees of the cluster: an immutable picture, replaced as a whole.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::net::IpAddr;
use std::sync::Arc;

use hexad_slots::{SLOT_COUNT, Slot, SlotBitmap, SlotRange};

use crate::conf::NodeLine;
use crate::frame::FrameType;
use crate::{LinkId, Millis, NodeFlags, NodeId, PreferredEndpoint};

/// A picture of the cluster as this node sees it.
///
/// Made by [`crate::Cluster::view`]; it never changes, so a worker may hold on to it for a batch.
#[derive(Clone, Debug)]
pub struct View {
    /// Whether this node would serve, and if not, why. The reason stands in the log, too.
    pub state: ClusterState,
    /// All known nodes, handshakes included. This node is the first; the others follow in the
    /// order in which it learnt of them.
    pub nodes: Vec<NodeView>,
    /// The largest epoch that this node has seen.
    pub current_epoch: u64,
    /// The configEpoch of this node, or of its primary.
    pub my_epoch: u64,
    /// The epoch of the last vote of this node.
    pub last_vote_epoch: u64,
    /// How many primaries have at least one slot.
    pub size: usize,
    /// Slots of this node that are being moved to another.
    pub migrating: Arc<BTreeMap<Slot, NodeId>>,
    /// Slots that are being moved here from another node.
    pub importing: Arc<BTreeMap<Slot, NodeId>>,
    /// Frames sent and received.
    pub stats: Stats,
    /// The links of the bus.
    pub links: Vec<LinkInfo>,
    /// `cluster-preferred-endpoint-type`
    pub preferred_endpoint: PreferredEndpoint,
    /// `cluster-allow-reads-when-down`
    pub allow_reads_when_down: bool,
    /// `cluster-allow-pubsubshard-when-down`
    pub allow_pubsubshard_when_down: bool,
    pub(crate) slots: Arc<SlotTable>,
}

/// Whether this node considers the cluster able to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterState {
    /// `ok`
    Ok,
    /// `fail`
    Fail(FailReason),
}

/// Why the state is `fail`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FailReason {
    /// The node has just started and gives the others time to tell it of changes.
    #[error("just started")]
    Starting,
    /// `cluster-require-full-coverage` is on, and this slot has no owner.
    #[error("slot {0} is not served")]
    Uncovered(Slot),
    /// `cluster-require-full-coverage` is on, and this slot's owner has failed.
    #[error("the owner of slot {0} has failed")]
    OwnerFailed(Slot),
    /// Less than a majority of the primaries that have slots can be reached.
    #[error("only a minority of the primaries can be reached")]
    Minority,
    /// All is well again, but this primary was in a minority and waits for news of its slots.
    #[error("rejoining after a partition")]
    Rejoining,
}

impl ClusterState {
    /// Whether the state is `ok`.
    pub fn is_ok(self) -> bool {
        self == Self::Ok
    }

    /// `ok` or `fail`, as in CLUSTER INFO.
    pub fn as_str(self) -> &'static str {
        if self.is_ok() { "ok" } else { "fail" }
    }
}

/// One node in a [`View`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// Its id; a random one while the node is in handshake.
    pub id: NodeId,
    /// Its address; `None` if it is not known (flag NOADDR, or this node before anyone told it).
    pub ip: Option<IpAddr>,
    /// The plain client port; 0 if it is not known to have one.
    pub port: u16,
    /// The TLS client port; 0 if it is not known to have one.
    pub tls_port: u16,
    /// The port of the bus.
    pub bus_port: u16,
    /// `cluster-announce-hostname`; empty for none.
    pub hostname: Arc<str>,
    /// `cluster-announce-human-nodename`; empty for none.
    pub human_name: Arc<str>,
    /// What is known of it.
    pub flags: NodeFlags,
    /// Whom it replicates.
    pub primary: Option<NodeId>,
    /// When the ping went out that is not answered yet; 0 if there is none.
    pub ping_sent: Millis,
    /// When it was last known to be alive; 0 if it never was.
    pub pong_received: Millis,
    /// Its configEpoch; that of its primary for a replica.
    pub config_epoch: u64,
    /// Whether the link to it is up; always so for this node.
    pub connected: bool,
    /// The slots that it serves.
    pub slots: Arc<[SlotRange]>,
    /// How many slots these are.
    pub slot_count: usize,
    /// Its replication offset, as far as it has told.
    pub repl_offset: u64,
    /// The id of its shard, if it told one (Redis from 7.2 on does).
    pub shard_id: Option<NodeId>,
    /// How many primaries report it as failing (CLUSTER COUNT-FAILURE-REPORTS).
    pub failure_reports: usize,
}

/// Where a command for a slot belongs, as [`View::route`] answers.
///
/// This is the slot's side only. A caller first looks at [`View::state`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// This node serves the slot.
    Mine,
    /// This node serves the slot but is moving it away: what is not here gets an ASK to `to`.
    Migrating {
        /// The node that takes the slot; `None` if it has been forgotten since.
        to: Option<&'a NodeView>,
    },
    /// The slot is another node's and is being moved here: serve if the client said ASKING.
    Importing {
        /// Who owns the slot still.
        owner: &'a NodeView,
    },
    /// The slot is this replica's primary's: reads may be served to a READONLY client.
    Replicated {
        /// The primary.
        owner: &'a NodeView,
    },
    /// The slot is another node's.
    Remote {
        /// Its owner.
        owner: &'a NodeView,
    },
    /// Nobody has the slot.
    Unassigned,
}

/// A link of the bus, as in CLUSTER LINKS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkInfo {
    /// The link.
    pub link: LinkId,
    /// The node at its other end.
    pub node: NodeId,
    /// Whether that node opened it (`from`), not this one (`to`).
    pub inbound: bool,
    /// When it was opened.
    pub create_time: Millis,
}

/// Frames of the bus by type, in both directions, since start or CONFIG RESETSTAT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    sent: [u64; FrameType::COUNT],
    received: [u64; FrameType::COUNT],
    malformed: u64,
}

/// Slot to owner, made for [`View::route`].
///
/// A code is the owner's place in [`View::nodes`]; [`SPECIAL`] is added where the slot is
/// migrating or importing; [`NOBODY`] if it has no owner. So a plain slot of this node has code 0.
#[derive(Debug)]
pub(crate) struct SlotTable {
    codes: [u16; SLOT_COUNT],
}

const MINE: u16 = 0;
const NOBODY: u16 = u16::MAX;
const SPECIAL: u16 = 1 << 15;

impl View {
    /// Where a slot's commands belong. Two loads if it is plainly this node's: the table's place and
    /// the slot's code.
    #[inline]
    pub fn route(&self, slot: Slot) -> Route<'_> {
        match self.slots.codes[slot.index()] {
            MINE => Route::Mine,
            code => self.route_elsewhere(slot, code),
        }
    }

    #[cold]
    fn route_elsewhere(&self, slot: Slot, code: u16) -> Route<'_> {
        if code == NOBODY {
            return Route::Unassigned;
        }
        let Some(owner) = self.nodes.get(usize::from(code & !SPECIAL)) else {
            return Route::Unassigned;
        };
        if code & SPECIAL != 0 {
            if code & !SPECIAL == MINE {
                return Route::Migrating {
                    to: self.migrating.get(&slot).and_then(|id| self.node(id)),
                };
            }
            return Route::Importing { owner };
        }
        if self.myself().primary == Some(owner.id) {
            Route::Replicated { owner }
        } else {
            Route::Remote { owner }
        }
    }

    /// Who owns a slot.
    pub fn owner(&self, slot: Slot) -> Option<&NodeView> {
        match self.slots.codes[slot.index()] {
            NOBODY => None,
            code => self.nodes.get(usize::from(code & !SPECIAL)),
        }
    }

    /// This node.
    pub fn myself(&self) -> &NodeView {
        // A view is built with this node in the first place.
        &self.nodes[0]
    }

    /// The node of this id, handshakes included.
    pub fn node(&self, id: &NodeId) -> Option<&NodeView> {
        self.nodes.iter().find(|node| node.id == *id)
    }

    /// The replicas of a node.
    pub fn replicas_of(&self, id: NodeId) -> impl Iterator<Item = &NodeView> {
        self.nodes
            .iter()
            .filter(move |node| node.primary == Some(id))
    }

    /// The slots of a node as a set.
    pub fn slots_of(&self, node: &NodeView) -> SlotBitmap {
        let mut set = SlotBitmap::new();
        node.slots.iter().for_each(|&range| set.set_range(range));
        set
    }

    /// One node's line of CLUSTER NODES, without a line end. `tls`: the asking client uses TLS.
    pub fn node_line(&self, node: &NodeView, tls: bool) -> String {
        // As nodes.conf has it, but for the port that suits the client.
        let myself = node.flags.contains(NodeFlags::MYSELF);
        let moves = |moves: &BTreeMap<Slot, NodeId>| {
            if myself {
                moves.clone()
            } else {
                BTreeMap::new()
            }
        };
        let line = NodeLine {
            id: node.id,
            ip: node.ip,
            port: node.client_port(tls),
            bus_port: node.bus_port,
            hostname: node.hostname.to_string(),
            shard_id: None,
            flags: node.flags,
            primary: node.primary,
            ping_sent: node.ping_sent,
            pong_received: node.pong_received,
            config_epoch: node.config_epoch,
            connected: node.connected,
            slots: Box::new(self.slots_of(node)),
            migrating: moves(&self.migrating),
            importing: moves(&self.importing),
        };
        line.to_string()
    }

    /// The text of CLUSTER NODES. `tls`: the asking client uses TLS.
    pub fn nodes_text(&self, tls: bool) -> String {
        let visible = self.nodes.iter();
        visible
            .map(|node| self.node_line(node, tls) + "\n")
            .collect()
    }

    /// The text of CLUSTER INFO up to the bus' own counters, with CRLF line ends. A driver adds
    /// `total_cluster_links_buffer_limit_exceeded`, which only it knows.
    pub fn info_text(&self) -> String {
        let (mut ok, mut pfail, mut fail) = (0, 0, 0);
        for node in &self.nodes {
            if node.flags.contains(NodeFlags::FAIL) {
                fail += node.slot_count;
            } else if node.flags.contains(NodeFlags::PFAIL) {
                pfail += node.slot_count;
            } else {
                ok += node.slot_count;
            }
        }
        let mut text = format!(
            "cluster_state:{}\r\n\
             cluster_slots_assigned:{}\r\n\
             cluster_slots_ok:{ok}\r\n\
             cluster_slots_pfail:{pfail}\r\n\
             cluster_slots_fail:{fail}\r\n\
             cluster_known_nodes:{}\r\n\
             cluster_size:{}\r\n\
             cluster_current_epoch:{}\r\n\
             cluster_my_epoch:{}\r\n",
            self.state.as_str(),
            ok + pfail + fail,
            self.nodes.len(),
            self.size,
            self.current_epoch,
            self.my_epoch,
        );
        let _ = self.stats.write_lines(&mut text);
        text
    }
}

impl NodeView {
    /// The port for a client that uses TLS or not: 0 if the node is not known to have one.
    pub fn client_port(&self, tls: bool) -> u16 {
        // A node that never told a TLS port is shown with the port that it told.
        if (tls && self.tls_port != 0) || self.port == 0 {
            self.tls_port
        } else {
            self.port
        }
    }
}

impl Stats {
    /// How many frames of this type were sent.
    pub fn sent(&self, kind: FrameType) -> u64 {
        self.sent[kind.index()]
    }

    /// How many frames of this type were received.
    pub fn received(&self, kind: FrameType) -> u64 {
        self.received[kind.index()]
    }

    /// How many malformed frames have come in; each has cost its link.
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    pub(crate) fn count_malformed(&mut self) {
        self.malformed += 1;
    }

    pub(crate) fn count_sent(&mut self, kind: FrameType) {
        self.sent[kind.index()] += 1;
    }

    pub(crate) fn count_received(&mut self, kind: FrameType) {
        self.received[kind.index()] += 1;
    }

    /// The lines of CLUSTER INFO: each type that occurred, and the sum, first sent, then received.
    fn write_lines(&self, out: &mut String) -> fmt::Result {
        for (counts, direction) in [(&self.sent, "sent"), (&self.received, "received")] {
            for kind in FrameType::ALL {
                let count = counts[kind.index()];
                if count != 0 {
                    write!(out, "cluster_stats_messages_{kind}_{direction}:{count}\r\n")?;
                }
            }
            let sum: u64 = counts.iter().sum();
            write!(out, "cluster_stats_messages_{direction}:{sum}\r\n")?;
        }
        Ok(())
    }
}

impl SlotTable {
    /// The table of these owners, given as places in [`View::nodes`]; `special` slots are
    /// migrating or importing.
    pub(crate) fn new(
        owner: impl Fn(Slot) -> Option<usize>,
        special: impl Iterator<Item = Slot>,
    ) -> Self {
        let mut codes = [NOBODY; SLOT_COUNT];
        for slot in Slot::all() {
            // Places from SPECIAL on cannot be told apart; a cluster has far fewer nodes.
            let place = owner(slot).and_then(|place| u16::try_from(place).ok());
            codes[slot.index()] = place.filter(|&place| place < SPECIAL - 1).unwrap_or(NOBODY);
        }
        for slot in special {
            if codes[slot.index()] != NOBODY {
                codes[slot.index()] |= SPECIAL;
            }
        }
        Self { codes }
    }
}
