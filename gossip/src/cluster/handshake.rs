//! How nodes get to know each other.

use super::Cluster;
use crate::frame::Header;
use crate::node::{Address, ME, Node, NodeIx};
use crate::{LinkId, LogLevel, NodeFlags, NodeId};

/// So many handshakes may go on at once: as many as the largest clusters have nodes, so that all
/// of them may meet one at the same time. Anybody may send a MEET, and each costs a node and a
/// connection until it times out.
pub(super) const MAX_HANDSHAKES: usize = 1024;

impl Cluster {
    /// Starts a handshake with whoever is at this address, unless one is going on. `flags`:
    /// HANDSHAKE, and MEET if this node is to ask to be let in.
    ///
    /// The node gets a random id until it tells its own.
    pub(super) fn start_handshake(&mut self, address: Address, flags: NodeFlags) {
        let (Some(_), 1..) = (address.ip, address.bus_port) else {
            return;
        };
        let (mut count, mut in_progress) = (0, false);
        for (_, node) in self.nodes.iter().filter(|(_, node)| node.in_handshake()) {
            count += 1;
            in_progress |=
                node.address.ip == address.ip && node.address.bus_port == address.bus_port;
        }
        if in_progress {
            return;
        }
        if count >= MAX_HANDSHAKES {
            let text = format!("Ignoring a MEET: {MAX_HANDSHAKES} handshakes are going on");
            self.log(LogLevel::Debug, text);
            return;
        }
        let id = NodeId::random(&mut self.rng);
        self.nodes.add(Node::new(id, flags, address, self.now));
        self.changes.view = true;
    }

    /// The first heartbeat has come in over a link that was opened for a handshake. True if the
    /// node at its other end is a new node of the cluster, which it then is.
    pub(super) fn complete_handshake(&mut self, at: NodeIx, link: LinkId, header: &Header) -> bool {
        if let Some(known) = self.nodes.find(&header.sender) {
            if known != at && known != ME && !self.nodes[known].in_handshake() {
                let text = format!(
                    "Handshake: we already know node {}, updating the address if needed.",
                    header.sender
                );
                self.log(LogLevel::Verbose, text);
                self.update_address(known, link, header);
            }
            self.delete_node(at);
            return false;
        }
        self.nodes.rename(at, header.sender);
        self.log(
            LogLevel::Debug,
            format!("Handshake with node {} completed.", header.sender),
        );
        let role = if header.primary.is_some() {
            NodeFlags::REPLICA
        } else {
            NodeFlags::PRIMARY
        };
        self.nodes[at].flags = role;
        self.nodes[at].acquaintance_asked = Some(self.now);
        self.changes.slots = true;
        self.changed();
        true
    }

    /// Another node than expected has answered at an address: the node that was there has moved
    /// or is gone. It counts as one without address until it is heard of again.
    ///
    /// Redis 7.0 forgets the address. Here it is tried again now and then, as addresses may be
    /// swapped back; and if a node of this cluster has answered, that node has moved here.
    pub(super) fn on_wrong_node(&mut self, at: NodeIx, link: LinkId, header: &Header) {
        let node = &mut self.nodes[at];
        let text = format!(
            "{} contains mismatching sender ID. About node {} added {} ms ago, having flags {}",
            header.kind.to_string().to_uppercase(),
            node.id,
            self.now.saturating_sub(node.created),
            node.flags.to_words(),
        );
        if !node.is(NodeFlags::NOADDR) {
            node.flags.insert(NodeFlags::NOADDR);
            self.changed();
        }
        self.log(LogLevel::Debug, text);
        let moved = self
            .nodes
            .find_known(&header.sender)
            .filter(|&moved| moved != ME);
        if let Some(moved) = moved {
            self.update_address(moved, link, header);
        }
        self.close_link(link);
    }

    /// The expected node has answered at an address: it is there, if that was in doubt.
    pub(super) fn confirm_address(&mut self, at: NodeIx) {
        if self.nodes[at].is(NodeFlags::NOADDR) {
            self.nodes[at].flags.remove(NodeFlags::NOADDR);
            self.changed();
        }
    }
}
