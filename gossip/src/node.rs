//! What the machine knows of each node.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::{Index, IndexMut};
use std::sync::Arc;

use hexad_slots::SlotBitmap;

use crate::{LinkId, Millis, NodeFlags, NodeId};

/// A node's place in [`Nodes`]: it stays when the node's id changes, and is never given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeIx(u32);

/// This node's own place.
pub(crate) const ME: NodeIx = NodeIx(0);

/// A node, this one included.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Random while the node is in handshake.
    pub(crate) id: NodeId,
    pub(crate) address: Address,
    pub(crate) hostname: Arc<str>,
    pub(crate) human_name: Arc<str>,
    pub(crate) shard_id: Option<NodeId>,
    /// Has exactly one of the two roles unless it is in handshake.
    pub(crate) flags: NodeFlags,
    /// Whom it replicates. `None` for a primary, and for a replica of somebody unknown.
    pub(crate) primary: Option<NodeIx>,
    /// Never falls (invariant 9) and never exceeds the machine's current epoch (invariant 8).
    pub(crate) config_epoch: u64,
    /// When the ping went out that is not answered yet; 0 if there is none.
    pub(crate) ping_sent: Millis,
    /// When it was last known alive, by itself or by hearsay; 0 for never.
    pub(crate) pong_received: Millis,
    /// When any frame of it came in; 0 for never.
    pub(crate) data_received: Millis,
    /// When FAIL was set.
    pub(crate) fail_time: Millis,
    /// When it was added here.
    pub(crate) created: Millis,
    pub(crate) repl_offset: u64,
    /// When this node last voted for one of its replicas; 0 for never.
    pub(crate) voted: Millis,
    /// Since when it has had slots, and no replica that works though it used to; 0 if it does not.
    pub(crate) orphaned: Millis,
    /// The link that this node opened to it.
    pub(crate) link: Option<LinkId>,
    /// The link that it opened to this node.
    pub(crate) inbound: Option<LinkId>,
    /// Which nodes reported it as failing, and when they last did.
    pub(crate) reports: BTreeMap<NodeIx, Millis>,
    pub(crate) extensions: ExtensionSupport,
    /// When it was last asked by MEET to take up the acquaintance, or the handshake with it was
    /// completed. `None` once it has opened a link of its own: then it knows this node.
    pub(crate) acquaintance_asked: Option<Millis>,
    /// When a link to it was last opened; 0 for never.
    pub(crate) connect_tried: Millis,
    /// Slots that it owns here and does not claim any more, and since when it does not.
    pub(crate) unclaimed: Option<(Millis, Box<SlotBitmap>)>,
    /// Whether the last attempt to reach it failed; so that only the first failure is logged.
    pub(crate) unreachable: bool,
}

/// Where a node can be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) ip: Option<IpAddr>,
    /// The client port of the kind that the bus uses.
    pub(crate) port: u16,
    /// The plain client port if the bus uses TLS.
    pub(crate) plain_port: u16,
    pub(crate) bus_port: u16,
}

/// What a node may be sent behind the gossip of a heartbeat.
///
/// Redis 7.0 logs a warning for each extension other than the hostname, so it must not get any.
/// It gives itself away by setting the extensions flag only in frames that carry a hostname.
/// So the first frame to a node that has just become known carries the flag and no extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExtensionSupport {
    /// Nothing was sent to it yet: the next frame introduces this node.
    Introduce,
    /// No proof that it knows more than the hostname.
    Hostname,
    /// It knows them all, or skips them silently.
    All,
}

impl ExtensionSupport {
    /// After a heartbeat without the extensions flag.
    pub(crate) fn without_flag(self) -> Self {
        if self == Self::All {
            Self::Hostname
        } else {
            self
        }
    }
}

impl Node {
    pub(crate) fn new(id: NodeId, flags: NodeFlags, address: Address, now: Millis) -> Self {
        Self {
            id,
            address,
            hostname: Arc::default(),
            human_name: Arc::default(),
            shard_id: None,
            flags,
            primary: None,
            config_epoch: 0,
            ping_sent: 0,
            pong_received: 0,
            data_received: 0,
            fail_time: 0,
            created: now,
            repl_offset: 0,
            voted: 0,
            orphaned: 0,
            link: None,
            inbound: None,
            reports: BTreeMap::new(),
            extensions: ExtensionSupport::Introduce,
            acquaintance_asked: None,
            connect_tried: 0,
            unclaimed: None,
            unreachable: false,
        }
    }

    pub(crate) fn is(&self, flag: NodeFlags) -> bool {
        self.flags.intersects(flag)
    }

    pub(crate) fn is_primary(&self) -> bool {
        self.is(NodeFlags::PRIMARY)
    }

    pub(crate) fn is_replica(&self) -> bool {
        self.is(NodeFlags::REPLICA)
    }

    /// Its address, unless another node was found there.
    pub(crate) fn shown_address(&self) -> Address {
        if self.is(NodeFlags::NOADDR) {
            Address::default()
        } else {
            self.address
        }
    }

    pub(crate) fn in_handshake(&self) -> bool {
        self.is(NodeFlags::HANDSHAKE)
    }
}

/// All nodes, this one included: it is always there, at [`ME`].
///
/// Every [`NodeIx`] that is kept anywhere is taken out there when its node is removed
/// (`Cluster::delete_node`), so indexing with one does not fail.
#[derive(Clone, Debug)]
pub(crate) struct Nodes {
    places: BTreeMap<NodeIx, Node>,
    by_id: BTreeMap<NodeId, NodeIx>,
    next: u32,
}

impl Nodes {
    pub(crate) fn new(myself: Node) -> Self {
        let by_id = BTreeMap::from([(myself.id, ME)]);
        Self {
            places: BTreeMap::from([(ME, myself)]),
            by_id,
            next: ME.0 + 1,
        }
    }

    pub(crate) fn add(&mut self, node: Node) -> NodeIx {
        let at = NodeIx(self.next);
        self.next += 1;
        self.by_id.insert(node.id, at);
        self.places.insert(at, node);
        at
    }

    /// Removes a node other than this one.
    pub(crate) fn remove(&mut self, at: NodeIx) -> Option<Node> {
        if at == ME {
            return None;
        }
        let node = self.places.remove(&at)?;
        self.by_id.remove(&node.id);
        Some(node)
    }

    pub(crate) fn rename(&mut self, at: NodeIx, id: NodeId) {
        let previous = std::mem::replace(&mut self[at].id, id);
        self.by_id.remove(&previous);
        self.by_id.insert(id, at);
    }

    /// The node of this id, handshakes included.
    pub(crate) fn find(&self, id: &NodeId) -> Option<NodeIx> {
        self.by_id.get(id).copied()
    }

    /// The node of this id, unless it is in handshake: then its id is only a random one.
    pub(crate) fn find_known(&self, id: &NodeId) -> Option<NodeIx> {
        self.find(id).filter(|&at| !self[at].in_handshake())
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (NodeIx, &Node)> {
        self.places.iter().map(|(at, node)| (*at, node))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (NodeIx, &mut Node)> {
        self.places.iter_mut().map(|(at, node)| (*at, node))
    }

    /// All places, collected, so that nodes may be changed and removed on the way.
    pub(crate) fn places(&self) -> Vec<NodeIx> {
        self.places.keys().copied().collect()
    }
}

impl Index<NodeIx> for Nodes {
    type Output = Node;

    fn index(&self, at: NodeIx) -> &Node {
        &self.places[&at]
    }
}

impl IndexMut<NodeIx> for Nodes {
    fn index_mut(&mut self, at: NodeIx) -> &mut Node {
        self.places
            .get_mut(&at)
            .expect("a place that is kept has its node")
    }
}
