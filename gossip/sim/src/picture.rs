//! A node's view, with the questions that the simulator asks of it.

use std::sync::Arc;

use hexad_gossip::{LinkId, NodeFlags, NodeId, NodeView, View};
use hexad_slots::Slot;

/// A [`View`] as it was at some moment.
#[derive(Clone, Debug)]
pub(crate) struct Picture(Arc<View>);

impl Picture {
    /// Of this view.
    #[must_use]
    pub(crate) fn new(view: Arc<View>) -> Self {
        Picture(view)
    }

    /// The view itself.
    #[must_use]
    pub(crate) fn view(&self) -> &View {
        &self.0
    }

    /// The node whose view this is.
    #[must_use]
    pub(crate) fn me(&self) -> NodeId {
        self.0.myself().id
    }

    /// All nodes but those in handshake, whose ids mean nothing.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &NodeView> {
        self.0
            .nodes
            .iter()
            .filter(|node| !node.flags.contains(NodeFlags::HANDSHAKE))
    }

    /// How many nodes are in handshake.
    pub(crate) fn handshakes(&self) -> usize {
        self.0.nodes.len() - self.nodes().count()
    }

    /// Whether an own link, opened to some node, has led to another.
    pub(crate) fn is_misled(&self, link: LinkId, answers: NodeId) -> bool {
        let own = self
            .0
            .links
            .iter()
            .find(|info| info.link == link && !info.inbound);
        own.is_some_and(|info| info.node != answers)
    }

    /// A node that is not in handshake.
    #[must_use]
    pub(crate) fn node(&self, id: NodeId) -> Option<&NodeView> {
        self.nodes().find(|node| node.id == id)
    }

    /// What this view says of a node in a later view, in which it stands at `place`: nearly always
    /// in the same place.
    pub(crate) fn twin(&self, place: usize, later: &NodeView) -> Option<&NodeView> {
        let here = self.0.nodes.get(place).filter(|node| node.id == later.id);
        let here = here.or_else(|| self.0.nodes.iter().find(|node| node.id == later.id))?;
        (!here.flags.contains(NodeFlags::HANDSHAKE)).then_some(here)
    }

    /// All nodes with their places, but those in handshake.
    pub(crate) fn places(&self) -> impl Iterator<Item = (usize, &NodeView)> {
        let all = self.0.nodes.iter().enumerate();
        all.filter(|(_, node)| !node.flags.contains(NodeFlags::HANDSHAKE))
    }

    /// Whether the node is known, and not only as somebody in handshake.
    #[must_use]
    pub(crate) fn knows(&self, id: NodeId) -> bool {
        self.node(id).is_some()
    }

    /// Whether the node is known as a primary.
    #[must_use]
    pub(crate) fn is_primary(&self, id: NodeId) -> bool {
        self.node(id).is_some_and(is_primary)
    }

    /// The owner of a slot.
    #[must_use]
    pub(crate) fn owner(&self, slot: Slot) -> Option<NodeId> {
        self.0.owner(slot).map(|node| node.id)
    }

    /// The primaries that have slots: those that vote and count for the majority.
    pub(crate) fn voters(&self) -> impl Iterator<Item = &NodeView> {
        self.nodes().filter(|node| is_voter(node))
    }

    /// How many slots a node has.
    #[must_use]
    pub(crate) fn slot_count(&self, id: NodeId) -> usize {
        self.node(id).map_or(0, |node| node.slot_count)
    }

    /// How many replicas a node has.
    #[must_use]
    pub(crate) fn replica_count(&self, id: NodeId) -> usize {
        self.0.replicas_of(id).count()
    }

    /// Where this node is moving a slot to.
    #[must_use]
    pub(crate) fn migrating(&self, slot: Slot) -> Option<NodeId> {
        self.0.migrating.get(&slot).copied()
    }

    /// Where this node is taking a slot from.
    #[must_use]
    pub(crate) fn importing(&self, slot: Slot) -> Option<NodeId> {
        self.0.importing.get(&slot).copied()
    }

    /// Whether this node's side of the slot map is another than in `earlier`; cheap when not.
    #[must_use]
    pub(crate) fn has_other_slots_than(&self, earlier: &Picture) -> bool {
        let (now, then) = (&self.0.nodes, &earlier.0.nodes);
        let same = |(now, then): (&NodeView, &NodeView)| {
            now.id == then.id && (Arc::ptr_eq(&now.slots, &then.slots) || now.slots == then.slots)
        };
        now.len() != then.len() || !now.iter().zip(then).all(same)
    }
}

/// Whether a node is a primary.
#[must_use]
pub(crate) fn is_primary(node: &NodeView) -> bool {
    node.flags.contains(NodeFlags::PRIMARY)
}

/// Whether a node is a primary that has slots.
#[must_use]
pub(crate) fn is_voter(node: &NodeView) -> bool {
    is_primary(node) && node.slot_count > 0
}
