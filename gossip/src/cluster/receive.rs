//! Frames on their way in.

use super::Cluster;
use crate::frame::{Body, Extensions, Frame, FrameType, GossipEntry, Header, MessageFlags};
use crate::node::{Address, ExtensionSupport, ME, Node, NodeIx};
use crate::{LinkId, LogLevel, NodeFlags, Output};

/// How far in the future a relayed sign of life may lie, as clocks differ.
const CLOCK_TOLERANCE_MS: u64 = 500;

/// Who has sent a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    /// A node of this cluster, as far as this node knows.
    Known(NodeIx),
    /// Anybody else. It gets its PONG, and MEET is heard; nothing else (invariant 16).
    Stranger,
    /// The frame is not to be looked at any further.
    Refused,
}

impl Cluster {
    /// Takes in the bytes of one frame.
    pub(super) fn on_bytes(&mut self, id: LinkId, bytes: &[u8]) {
        let Some(link) = self.links.get(id).filter(|link| link.up) else {
            return;
        };
        match Frame::decode(bytes) {
            Ok(Some(frame)) => self.on_frame(id, &frame),
            Ok(None) => self.log(LogLevel::Debug, "Ignoring a frame of an unknown type"),
            Err(error) => {
                let peer = link
                    .peer_ip
                    .map_or_else(String::new, |ip| format!(" from {ip}"));
                self.stats.count_malformed();
                self.log(
                    LogLevel::Warning,
                    format!("Closing a bus link: bad frame{peer}: {error}"),
                );
                self.close_link(id);
            }
        }
    }

    fn on_frame(&mut self, link: LinkId, frame: &Frame) {
        let header = &frame.header;
        self.stats.count_received(header.kind);
        self.changes.times = true;
        let sender = match self.resolve_sender(link, header) {
            Sender::Refused => return,
            Sender::Stranger => None,
            Sender::Known(at) => {
                self.note_contact(at, link, header);
                Some(at)
            }
        };
        match (&frame.body, sender) {
            (
                Body::Gossip {
                    entries,
                    extensions,
                },
                _,
            ) => {
                self.answer_heartbeat(link, header, sender);
                if let Some(sender) = sender {
                    self.on_heartbeat(link, header, sender);
                    entries
                        .iter()
                        .for_each(|entry| self.on_gossip(entry, sender));
                    self.on_extensions(header, extensions, sender);
                }
            }
            (_, None) => {
                let text = format!(
                    "Ignoring {} frame of unknown node {}",
                    header.kind, header.sender
                );
                self.log(LogLevel::Debug, text);
            }
            (Body::Fail(about), Some(sender)) => self.hear_verdict(*about, sender),
            (Body::Publish { channel, message }, Some(_)) => self.staged.push(Output::Published {
                sharded: header.kind == FrameType::PublishShard,
                channel: channel.clone(),
                message: message.clone(),
            }),
            (
                Body::Update {
                    config_epoch,
                    node,
                    slots,
                },
                Some(_),
            ) => {
                self.on_update(*node, *config_epoch, slots);
            }
            (Body::Empty, Some(sender)) => self.on_bare(header, sender),
            (Body::Module(_), Some(_)) => {}
        }
    }

    /// A frame of a known node that is only a header.
    fn on_bare(&mut self, header: &Header, sender: NodeIx) {
        match header.kind {
            FrameType::FailoverAuthRequest => self.on_vote_request(header, sender),
            FrameType::FailoverAuthAck => self.hear_vote(header, sender),
            FrameType::ManualFailoverStart => self.on_manual_failover_start(sender),
            // The others have a body.
            _ => {}
        }
    }

    /// Finds out who has sent a frame, and completes a handshake on the way.
    fn resolve_sender(&mut self, id: LinkId, header: &Header) -> Sender {
        let expected = self
            .links
            .get(id)
            .filter(|link| !link.inbound)
            .and_then(|link| link.node);
        let Some(expected) = expected else {
            return match self.nodes.find_known(&header.sender) {
                // A link from this node to itself, as after a MEET of its own address.
                Some(ME) | None => Sender::Stranger,
                Some(at) => Sender::Known(at),
            };
        };
        if self.nodes[expected].in_handshake() {
            let heartbeat = matches!(
                header.kind,
                FrameType::Ping | FrameType::Pong | FrameType::Meet
            );
            let completed = heartbeat && self.complete_handshake(expected, id, header);
            return if completed {
                Sender::Known(expected)
            } else {
                Sender::Refused
            };
        }
        if self.nodes[expected].id != header.sender {
            self.on_wrong_node(expected, id, header);
            return Sender::Refused;
        }
        self.confirm_address(expected);
        Sender::Known(expected)
    }

    /// What each frame of a known node says.
    fn note_contact(&mut self, at: NodeIx, id: LinkId, header: &Header) {
        let node = &mut self.nodes[at];
        node.data_received = self.now;
        node.repl_offset = header.repl_offset;
        self.note_inbound(at, id);
        self.see_epochs(at, header.current_epoch, header.config_epoch);
        self.see_pause(at, header);
    }

    /// An inbound link belongs to who speaks over it.
    fn note_inbound(&mut self, at: NodeIx, id: LinkId) {
        let Some(link) = self.links.get_mut(id).filter(|link| link.inbound) else {
            return;
        };
        let speaker = link.node.replace(at);
        self.nodes[at].acquaintance_asked = None;
        if speaker == Some(at) {
            return;
        }
        if let Some(speaker) = speaker {
            self.nodes[speaker].inbound = None;
        }
        // The node has opened a new link, so it has given up the one before.
        if let Some(previous) = self.nodes[at].inbound.replace(id) {
            self.close_link(previous);
        }
    }

    /// Answers a PING or MEET, whoever has sent it, and hears a stranger's MEET.
    fn answer_heartbeat(&mut self, id: LinkId, header: &Header, sender: Option<NodeIx>) {
        let meet = match header.kind {
            FrameType::Meet => true,
            FrameType::Ping => false,
            _ => return,
        };
        let Some(link) = self.links.get(id).copied() else {
            return;
        };
        let own_ip_unknown = self.nodes[ME].address.ip.is_none();
        if let Some(local_ip) = link.local_ip
            && (meet || (sender.is_some() && own_ip_unknown))
        {
            self.learn_own_ip(local_ip);
        }
        if meet && sender.is_none() && header.sender != self.nodes[ME].id {
            let address = announced_address(header, link.peer_ip);
            self.start_handshake(address, NodeFlags::HANDSHAKE);
        }
        self.send_heartbeat(FrameType::Pong, id, sender);
    }

    /// What the heartbeat of a known node says of itself.
    fn on_heartbeat(&mut self, id: LinkId, header: &Header, sender: NodeIx) {
        let no_failover = header.flags.contains(NodeFlags::NOFAILOVER);
        if self.nodes[sender].is(NodeFlags::NOFAILOVER) != no_failover {
            self.nodes[sender]
                .flags
                .set(NodeFlags::NOFAILOVER, no_failover);
            self.changes.view = true;
        }
        if header.kind != FrameType::Pong {
            self.update_address(sender, id, header);
        } else if self.nodes[sender].link == Some(id) {
            let node = &mut self.nodes[sender];
            node.pong_received = self.now;
            node.ping_sent = 0;
            self.hear_life(sender);
        }
        self.see_role(sender, header);
        self.see_slots(sender, header);
        self.resolve_collision(sender, header.config_epoch);
    }

    /// Takes over the address that a node announces, or that its link comes from.
    ///
    /// Its own outbound link is no news: it was opened to the address that is known.
    pub(super) fn update_address(&mut self, at: NodeIx, id: LinkId, header: &Header) {
        let Some(peer_ip) = self.links.get(id).map(|link| link.peer_ip) else {
            return;
        };
        let address = announced_address(header, peer_ip);
        if self.nodes[at].link == Some(id) || self.nodes[at].address == address {
            return;
        }
        self.move_node(at, address);
        let ip = address.ip.map_or_else(String::new, |ip| ip.to_string());
        let id = self.nodes[at].id;
        let text = format!("Address updated for node {id}, now {ip}:{}", address.port);
        self.log(LogLevel::Warning, text);
    }

    /// Gives a node a new address; the next tick connects to it.
    fn move_node(&mut self, at: NodeIx, address: Address) {
        let node = &mut self.nodes[at];
        node.address = address;
        node.flags.remove(NodeFlags::NOADDR);
        if let Some(link) = node.link {
            self.close_link(link);
        }
        self.changed();
    }

    /// What a known node tells of another one.
    fn on_gossip(&mut self, entry: &GossipEntry, sender: NodeIx) {
        if let Some(at) = self.nodes.find(&entry.id) {
            if at == ME {
                // Shown in CLUSTER NODES, as Redis 7.0 does; it decides nothing.
                self.hear_pong_time(ME, entry);
            } else if at != sender && !self.nodes[at].in_handshake() {
                self.on_gossip_about(at, entry, sender);
            }
            return;
        }
        let blacklisted = self.forgotten.contains_key(&entry.id);
        if entry
            .flags
            .intersects(NodeFlags::NOADDR | NodeFlags::HANDSHAKE)
            || blacklisted
        {
            return;
        }
        let (Some(_), 1..) = (entry.ip, entry.bus_port) else {
            return;
        };
        // The role is hearsay, too, but a node must have one. Failures are left out: this node
        // has seen nothing of them (invariant 14).
        let role = if entry.flags.contains(NodeFlags::REPLICA) {
            NodeFlags::REPLICA
        } else {
            NodeFlags::PRIMARY
        };
        let flags = role | (entry.flags & NodeFlags::NOFAILOVER);
        self.nodes
            .add(Node::new(entry.id, flags, address_in(entry), self.now));
        self.changed();
    }

    fn on_gossip_about(&mut self, at: NodeIx, entry: &GossipEntry, sender: NodeIx) {
        let failing = entry.flags.intersects(NodeFlags::FAILING);
        // Stricter than Redis 7.0: what a node reported as a primary, it may take back as a replica
        // (invariant 14).
        if self.nodes[sender].is_primary() || !failing {
            self.hear_report(at, sender, failing);
        }
        let reported = self.is_reported(at);
        let node = &self.nodes[at];
        if !node.is(NodeFlags::FAILING) && node.ping_sent == 0 && !reported {
            self.hear_pong_time(at, entry);
        }
        let node = &self.nodes[at];
        // Who is out of reach here and not there may have moved. Stricter than Redis 7.0: a node
        // whose address was found to be another's is looked for, too (invariant 24).
        let lost = node.is(NodeFlags::FAILING | NodeFlags::NOADDR);
        let usable = !failing && !entry.flags.contains(NodeFlags::NOADDR) && entry.ip.is_some();
        if lost && usable && node.address != address_in(entry) {
            self.move_node(at, address_in(entry));
        }
    }

    /// Somebody else has heard a node more lately than this one.
    fn hear_pong_time(&mut self, at: NodeIx, entry: &GossipEntry) {
        let heard = u64::from(entry.pong_received_s) * 1000;
        if heard <= self.now + CLOCK_TOLERANCE_MS {
            let node = &mut self.nodes[at];
            node.pong_received = node.pong_received.max(heard);
        }
    }

    /// What newer nodes say of themselves behind the gossip.
    fn on_extensions(&mut self, header: &Header, extensions: &Extensions, sender: NodeIx) {
        let node = &mut self.nodes[sender];
        let flagged = header.message_flags.contains(MessageFlags::EXTENSIONS);
        if !flagged {
            node.extensions = node.extensions.without_flag();
        } else if extensions.newer_than_7_0 || extensions.is_empty() {
            node.extensions = ExtensionSupport::All;
        }
        node.shard_id = extensions.shard_id.or(node.shard_id);
        // A node that sends no name has none any more.
        let hostname = extensions.hostname.as_deref().unwrap_or_default();
        let human_name = extensions.human_name.as_deref().unwrap_or_default();
        if *node.hostname != *hostname {
            node.hostname = hostname.into();
            self.changes.durable = true;
        }
        if *node.human_name != *human_name {
            node.human_name = human_name.into();
            self.changes.view = true;
        }
        for (id, seconds) in &extensions.forgotten {
            self.hear_forgotten(*id, *seconds);
        }
    }
}

/// The address that a frame's sender can be reached at: as it announces, or as it is seen.
fn announced_address(header: &Header, peer_ip: Option<std::net::IpAddr>) -> Address {
    Address {
        ip: header.ip.or(peer_ip),
        port: header.port,
        plain_port: header.plain_port,
        bus_port: header.bus_port,
    }
}

fn address_in(entry: &GossipEntry) -> Address {
    Address {
        ip: entry.ip,
        port: entry.port,
        plain_port: entry.plain_port,
        bus_port: entry.bus_port,
    }
}
