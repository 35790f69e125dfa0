//! Frames on their way out.

use bytes::Bytes;
use rand::seq::SliceRandom;

use super::Cluster;
use crate::frame::{Body, Extensions, Frame, FrameType, GossipEntry, Header, MessageFlags};
use crate::node::{ExtensionSupport, ME, Node, NodeIx};
use crate::{LinkId, NodeFlags, Output};

/// At least so many entries go into the gossip of a heartbeat, if there are so many nodes.
const MIN_GOSSIP: usize = 3;

/// A heartbeat tells of one node in so many. Why a tenth: within 2 × node timeout each node gets
/// at least 4 heartbeats from each other one, so that a failing node is reported by 80 % of the
/// primaries within the life of a report.
const GOSSIP_SHARE: usize = 10;

impl Cluster {
    /// Sends a PING, PONG or MEET over a link to `to`, if the server around works.
    ///
    /// `to` is `None` for the answer to a stranger.
    pub(super) fn send_heartbeat(&mut self, kind: FrameType, link: LinkId, to: Option<NodeIx>) {
        if !self.healthy {
            return;
        }
        let entries = self.choose_gossip(to);
        let extensions = self.extensions_for(to);
        let mut header = self.header(kind);
        // Always set, so that later versions know that they may send theirs.
        header.message_flags |= MessageFlags::EXTENSIONS;
        self.send(
            link,
            &Frame {
                header,
                body: Body::Gossip {
                    entries,
                    extensions,
                },
            },
        );
    }

    /// Sends a PING to a node and starts to wait for its PONG.
    pub(super) fn ping(&mut self, to: NodeIx) {
        let node = &mut self.nodes[to];
        let Some(link) = node.link else { return };
        node.ping_sent = self.now;
        self.changes.times = true;
        self.send_heartbeat(FrameType::Ping, link, Some(to));
    }

    /// Tells all nodes at once what this node has become.
    pub(super) fn broadcast_pong(&mut self) {
        for (to, link) in self.reachable_nodes() {
            self.send_heartbeat(FrameType::Pong, link, Some(to));
        }
    }

    /// Tells the other nodes of this replica's shard what it has become.
    pub(super) fn tell_shard(&mut self) {
        let primary = self.nodes[ME].primary;
        let mut shard = self.reachable_nodes();
        shard.retain(|(to, _)| self.nodes[*to].primary == primary && primary.is_some());
        for (to, link) in shard {
            self.send_heartbeat(FrameType::Pong, link, Some(to));
        }
    }

    /// Sends a frame that is only a header to all nodes.
    pub(super) fn broadcast_bare(&mut self, kind: FrameType) {
        let links = self.reachable_nodes();
        let links = links.into_iter().map(|(_, link)| link).collect();
        let (header, body) = (self.header(kind), Body::Empty);
        self.send_to_all(links, &Frame { header, body });
    }

    /// Sends a frame that is only a header.
    pub(super) fn send_bare(&mut self, kind: FrameType, link: LinkId) {
        let (header, body) = (self.header(kind), Body::Empty);
        self.send(link, &Frame { header, body });
    }

    /// The link to be used for what is not an answer.
    pub(super) fn link_to(&self, to: NodeIx) -> Option<LinkId> {
        let node = &self.nodes[to];
        let outbound = node.link.filter(|&link| self.is_up(link));
        outbound.or(node.inbound)
    }

    /// Sends a FAIL about a node to all nodes.
    pub(super) fn broadcast_fail(&mut self, failed: NodeIx) {
        let (header, body) = (
            self.header(FrameType::Fail),
            Body::Fail(self.nodes[failed].id),
        );
        let links = self
            .reachable_nodes()
            .into_iter()
            .map(|(_, link)| link)
            .collect();
        self.send_to_all(links, &Frame { header, body });
    }

    /// Tells a node which slots an owner has that it does not know to be the owner.
    pub(super) fn send_update(&mut self, to: NodeIx, owner: NodeIx) {
        let Some(link) = self.link_to(to) else {
            return;
        };
        let owner_node = &self.nodes[owner];
        let body = Body::Update {
            config_epoch: owner_node.config_epoch,
            node: owner_node.id,
            slots: Box::new(self.slots.slots_of(owner).clone()),
        };
        let header = self.header(FrameType::Update);
        self.send(link, &Frame { header, body });
    }

    /// Sends a published message to all nodes, or to those of this node's shard.
    pub(super) fn broadcast_message(&mut self, sharded: bool, channel: Bytes, message: Bytes) {
        let kind = if sharded {
            FrameType::PublishShard
        } else {
            FrameType::Publish
        };
        let mut targets = self.reachable_nodes();
        if sharded {
            let head = self.nodes[ME].primary.unwrap_or(ME);
            targets.retain(|(to, _)| *to == head || self.nodes[*to].primary == Some(head));
        }
        let links = targets.into_iter().map(|(_, link)| link).collect();
        let header = self.header(kind);
        self.send_to_all(
            links,
            &Frame {
                header,
                body: Body::Publish { channel, message },
            },
        );
    }

    /// What every frame says of this node. A replica shows its primary's slots and epoch.
    fn header(&self, kind: FrameType) -> Header {
        let me = &self.nodes[ME];
        let shown = me.primary.unwrap_or(ME);
        Header {
            kind,
            port: me.address.port,
            plain_port: me.address.plain_port,
            bus_port: me.address.bus_port,
            current_epoch: self.current_epoch,
            config_epoch: self.nodes[shown].config_epoch,
            repl_offset: self.own_offset(),
            sender: me.id,
            slots: Box::new(self.slots.slots_of(shown).clone()),
            primary: me.primary.map(|primary| self.nodes[primary].id),
            ip: self.config.announce_ip,
            flags: me.flags,
            state_fail: !self.health.state().is_ok(),
            message_flags: self.manual.message_flags(kind),
        }
    }

    fn send_to_all(&mut self, links: Vec<LinkId>, frame: &Frame) {
        let bytes = frame.encode();
        for link in links {
            self.stats.count_sent(frame.kind());
            self.staged.push(Output::Send {
                link,
                frame: bytes.clone(),
            });
        }
    }

    fn send(&mut self, link: LinkId, frame: &Frame) {
        self.send_to_all(vec![link], frame);
    }

    /// The other nodes that this node has an established link to, and those links.
    fn reachable_nodes(&self) -> Vec<(NodeIx, LinkId)> {
        let known = self
            .nodes
            .iter()
            .filter(|(at, node)| *at != ME && !node.in_handshake());
        let linked = known.filter_map(|(at, node)| Some((at, node.link?)));
        linked.filter(|(_, link)| self.is_up(*link)).collect()
    }

    pub(super) fn is_up(&self, link: LinkId) -> bool {
        self.links.is_up(link)
    }

    /// Chooses what to tell `to`: some nodes at random, and all that this node suspects, because
    /// a verdict needs a majority to hear of it in time.
    fn choose_gossip(&mut self, to: Option<NodeIx>) -> Vec<GossipEntry> {
        let untold = NodeFlags::HANDSHAKE | NodeFlags::NOADDR;
        let others = self
            .nodes
            .iter()
            .filter(|(at, _)| *at != ME && Some(*at) != to);
        let (suspected, mut rest): (Vec<_>, Vec<_>) = others
            .filter(|(_, node)| !node.is(untold))
            .map(|(at, node)| (at, node.is(NodeFlags::PFAIL)))
            .partition(|(_, suspected)| *suspected);
        // A node without link and slots is of no use to others.
        rest.retain(|(at, _)| self.nodes[*at].link.is_some() || self.slots.count_of(*at) > 0);
        let wanted = MIN_GOSSIP
            .max(self.nodes.len() / GOSSIP_SHARE)
            .min(rest.len());
        let (chosen, _) = rest.partial_shuffle(&mut self.rng, wanted);
        let told = chosen.iter().chain(&suspected);
        told.map(|(at, _)| gossip_entry(&self.nodes[*at])).collect()
    }

    /// The extensions for a node; see [`ExtensionSupport`].
    fn extensions_for(&mut self, to: Option<NodeIx>) -> Extensions {
        let Some(to) = to else {
            return Extensions::default();
        };
        let support = self.nodes[to].extensions;
        if support == ExtensionSupport::Introduce {
            self.nodes[to].extensions = ExtensionSupport::Hostname;
            return Extensions::default();
        }
        let me = &self.nodes[ME];
        let name = |name: &str| (!name.is_empty()).then(|| name.to_owned());
        Extensions {
            hostname: name(&me.hostname),
            human_name: name(&me.human_name).filter(|_| support == ExtensionSupport::All),
            ..Extensions::default()
        }
    }
}

fn gossip_entry(node: &Node) -> GossipEntry {
    // The field holds seconds until 2106.
    let seconds = |millis: u64| u32::try_from(millis / 1000).unwrap_or(u32::MAX);
    GossipEntry {
        id: node.id,
        ping_sent_s: seconds(node.ping_sent),
        pong_received_s: seconds(node.pong_received),
        ip: node.address.ip,
        port: node.address.port,
        bus_port: node.address.bus_port,
        flags: node.flags,
        plain_port: node.address.plain_port,
    }
}
