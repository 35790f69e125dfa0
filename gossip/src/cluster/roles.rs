//! Primaries and replicas, and nodes that come to their end here.

use super::Cluster;
use crate::frame::Header;
use crate::node::{ME, NodeIx};
use crate::{LogLevel, NodeFlags, NodeId};

/// For so long a forgotten node is not learnt of again by gossip: the time an administrator has
/// to make all the others forget it as well.
pub(super) const FORGET_MS: u64 = 60_000;

impl Cluster {
    /// What a node's header says of its role.
    pub(super) fn see_role(&mut self, sender: NodeIx, header: &Header) {
        match header.primary {
            None => self.set_as_primary(sender),
            // Nobody is a replica of itself.
            Some(id) if id == header.sender => {}
            Some(id) => {
                let primary = self.nodes.find_known(&id);
                self.set_as_replica(sender, primary);
            }
        }
    }

    /// Another node is a primary.
    pub(super) fn set_as_primary(&mut self, at: NodeIx) {
        let node = &mut self.nodes[at];
        if node.is_primary() {
            return;
        }
        node.flags.remove(NodeFlags::REPLICA);
        node.flags
            .insert(NodeFlags::PRIMARY | NodeFlags::MIGRATE_TO);
        node.primary = None;
        self.changed();
    }

    /// Another node is a replica of this primary, if that is known.
    fn set_as_replica(&mut self, at: NodeIx, primary: Option<NodeIx>) {
        let was_primary = self.nodes[at].is_primary();
        if was_primary {
            let lost = self.slots.unassign_all(at);
            self.changes.slots |= !lost.is_empty();
            let node = &mut self.nodes[at];
            node.flags
                .remove(NodeFlags::PRIMARY | NodeFlags::MIGRATE_TO);
            node.flags.insert(NodeFlags::REPLICA);
            self.changed();
        }
        if let Some(primary) = primary.filter(|&primary| self.nodes[at].primary != Some(primary)) {
            self.nodes[at].primary = Some(primary);
            self.nodes[primary].flags.insert(NodeFlags::MIGRATE_TO);
            self.changed();
        }
        if was_primary {
            self.leave_sub_replica();
        }
    }

    /// This node becomes a replica of another, or of another one than before.
    pub(super) fn become_replica_of(&mut self, primary: NodeIx) {
        let me = &mut self.nodes[ME];
        me.flags.remove(NodeFlags::PRIMARY | NodeFlags::MIGRATE_TO);
        me.flags.insert(NodeFlags::REPLICA);
        me.primary = Some(primary);
        self.nodes[primary].flags.insert(NodeFlags::MIGRATE_TO);
        self.close_all_slots();
        self.changes.announce = true;
        self.changed();
    }

    /// This node becomes a primary without slots.
    pub(super) fn become_primary(&mut self) {
        let me = &mut self.nodes[ME];
        me.flags.remove(NodeFlags::REPLICA);
        me.flags.insert(NodeFlags::PRIMARY);
        me.primary = None;
        self.changes.announce = true;
        self.changed();
    }

    /// If this node's primary has become a replica, follows it to its primary: there are no
    /// replicas of replicas (invariant 21).
    pub(super) fn leave_sub_replica(&mut self) {
        let Some(primary) = self.nodes[ME].primary else {
            return;
        };
        let Some(head) = self.nodes[primary].primary.filter(|&head| head != ME) else {
            return;
        };
        let id = self.nodes[head].id;
        let text = format!("I'm a sub-replica! Reconfiguring myself from grandmaster {id}");
        self.log(LogLevel::Warning, text);
        self.become_replica_of(head);
    }

    /// Removes a node other than this one, and every trace of it.
    pub(super) fn delete_node(&mut self, at: NodeIx) {
        let Some(node) = self.nodes.remove(at) else {
            return;
        };
        // Its links name it, so they go first from here.
        for link in node.link.into_iter().chain(node.inbound) {
            self.links.remove(link);
            self.staged.push(crate::Output::Close { link });
        }
        self.slots.unassign_all(at);
        self.migrating.retain(|_, to| *to != at);
        self.importing.retain(|_, from| *from != at);
        for (_, other) in self.nodes.iter_mut() {
            other.reports.remove(&at);
            other.primary = other.primary.filter(|&primary| primary != at);
        }
        self.changes.slots = true;
        if node.in_handshake() {
            // It was never in the file.
            self.changes.view = true;
        } else {
            self.changed();
        }
    }

    /// A newer node tells that an administrator had it forget a node, and for how long.
    pub(super) fn hear_forgotten(&mut self, id: NodeId, seconds: u64) {
        let Some(at) = self.nodes.find_known(&id) else {
            return;
        };
        if at == ME || self.nodes[ME].primary == Some(at) {
            return;
        }
        self.forget(at, seconds.saturating_mul(1000).min(FORGET_MS));
    }

    /// Removes a node and does not learn of it by gossip for some time.
    pub(super) fn forget(&mut self, at: NodeIx, for_ms: u64) {
        self.forgotten
            .insert(self.nodes[at].id, self.now.saturating_add(for_ms));
        self.delete_node(at);
    }

    pub(super) fn forget_the_forgotten(&mut self) {
        let now = self.now;
        self.forgotten.retain(|_, until| *until > now);
    }
}
