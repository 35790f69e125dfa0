//! Primaries and replicas, and nodes that come to their end here.

use super::Cluster;
use crate::frame::Header;
use crate::node::{ME, NodeIx};
use crate::{LogLevel, Millis, NodeFlags, NodeId};

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
        if self.nodes[at].is_primary() {
            return;
        }
        self.set_primary_of(at, None);
        let node = &mut self.nodes[at];
        node.flags.remove(NodeFlags::REPLICA);
        // It had a part in a shard with replicas.
        node.flags
            .insert(NodeFlags::PRIMARY | NodeFlags::MIGRATE_TO);
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
            self.set_primary_of(at, Some(primary));
            self.changed();
        }
        self.leave_sub_replica();
    }

    /// Sets whom a node replicates. Who has lost its last replica so is not meant to have any;
    /// one whose last replica has failed still is.
    fn set_primary_of(&mut self, at: NodeIx, primary: Option<NodeIx>) {
        let previous = std::mem::replace(&mut self.nodes[at].primary, primary);
        if let Some(previous) = previous
            && !self
                .nodes
                .iter()
                .any(|(_, node)| node.primary == Some(previous))
        {
            self.nodes[previous].flags.remove(NodeFlags::MIGRATE_TO);
        }
        if let Some(primary) = primary {
            self.nodes[primary].flags.insert(NodeFlags::MIGRATE_TO);
        }
    }

    /// This node becomes a replica of another, or of another one than before. `heard`: when the
    /// data that it has was last known to be that of this shard, if it is.
    pub(super) fn become_replica_of(&mut self, primary: NodeIx, heard: Option<Millis>) {
        self.set_primary_of(ME, Some(primary));
        let me = &mut self.nodes[ME];
        me.flags.remove(NodeFlags::PRIMARY | NodeFlags::MIGRATE_TO);
        me.flags.insert(NodeFlags::REPLICA);
        self.close_all_slots();
        self.withdraw();
        self.end_manual_failover();
        self.begin_term(heard);
        self.changes.announce = true;
        self.changed();
    }

    /// This node becomes a primary without slots.
    pub(super) fn become_primary(&mut self) {
        self.set_primary_of(ME, None);
        let me = &mut self.nodes[ME];
        me.flags.remove(NodeFlags::REPLICA);
        me.flags.insert(NodeFlags::PRIMARY);
        self.withdraw();
        self.end_manual_failover();
        self.begin_term(None);
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
        let text =
            format!("I'm a sub-replica! Reconfiguring myself as a replica of grandmaster {id}");
        self.log(LogLevel::Warning, text);
        self.become_replica_of(head, None);
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
        self.end_manual_failover_of(at);
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
