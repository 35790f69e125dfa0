//! Links, pings and timeouts: what a tick looks after.

use std::net::{IpAddr, SocketAddr};

use rand::Rng;

use super::{Cluster, TICK_MS};
use crate::frame::FrameType;
use crate::links::Link;
use crate::node::{ME, NodeIx};
use crate::{LinkId, LogLevel, Millis, NodeFlags, Output};

/// Every so many ticks one node is pinged whose turn it is not: once a second.
const RANDOM_PING_TICKS: u64 = 1000 / TICK_MS;

/// Of so many nodes picked at random, the one that was silent the longest gets the random ping.
const RANDOM_PING_CANDIDATES: usize = 5;

/// While a node is suspected the voters are asked at least so often.
const MAX_REPORT_INTERVAL_MS: u64 = 1000;

/// So many nodes may be suspected at once, or a tenth of all, for the voters to be asked.
const MAX_SUSPECTED: usize = 3;

/// Handshakes are given up after the node timeout, but not before this.
const MIN_HANDSHAKE_TIMEOUT_MS: u64 = 1000;

impl Cluster {
    pub(super) fn tick(&mut self) {
        if self.now < self.next_tick {
            return;
        }
        self.next_tick = self.now + TICK_MS;
        self.ticks += 1;
        self.forget_the_forgotten();
        for at in self.nodes.places() {
            if at != ME && !self.give_up_handshake(at) {
                self.keep_link(at);
            }
        }
        if self.healthy {
            if self.ticks.is_multiple_of(RANDOM_PING_TICKS) {
                self.ping_at_random();
            }
            self.nodes
                .places()
                .into_iter()
                .for_each(|at| self.watch(at));
            self.gather_reports();
            self.hurry_manual_failover();
            if !self.am_primary() {
                self.leave_sub_replica();
                self.seek_promotion();
                self.consider_migration();
            }
            if std::mem::take(&mut self.changes.announce) {
                self.broadcast_pong();
            }
        }
        // Time alone can lift a failed state.
        self.changes.state |= !self.health.state().is_ok();
        self.changes.view |= std::mem::take(&mut self.changes.times);
    }

    /// An outbound connection is established.
    pub(super) fn on_connected(&mut self, id: LinkId, local_ip: IpAddr) {
        let Some(link) = self
            .links
            .get_mut(id)
            .filter(|link| !link.inbound && !link.up)
        else {
            return;
        };
        link.up = true;
        link.local_ip = Some(local_ip.to_canonical());
        let Some(to) = link.node else { return };
        self.changes.view = true;
        let node = &mut self.nodes[to];
        node.unreachable = false;
        let waiting_since = node.ping_sent;
        let introduce = node.is(NodeFlags::MEET);
        // Only the first frame asks to be let in. If it stays without answer, the handshake times
        // out.
        node.flags.remove(NodeFlags::MEET);
        node.ping_sent = self.now;
        let kind = if introduce {
            FrameType::Meet
        } else {
            FrameType::Ping
        };
        self.send_heartbeat(kind, id, Some(to));
        if waiting_since != 0 {
            // A new connection does not excuse the silence on the old one.
            self.nodes[to].ping_sent = waiting_since;
        }
    }

    /// A connection is gone, or never came about.
    ///
    /// A refused one is strong evidence that the process is dead. It is logged only; DESIGN.md
    /// has a place for a fast path to PFAIL.
    pub(super) fn on_closed(&mut self, id: LinkId, refused: bool) {
        let Some(link) = self.links.remove(id) else {
            return;
        };
        let Some(at) = link.node else { return };
        self.detach(id, at);
        self.changes.view = true;
        if link.inbound {
            return;
        }
        let (now, node) = (self.now, &mut self.nodes[at]);
        if link.up && node.ping_sent == 0 && !node.in_handshake() {
            // The node timeout counts from here: Redis 7.0 would first wait for half of it to go
            // by without a pong. The first PONG over a new link ends it.
            node.ping_sent = now;
        }
        if link.up || std::mem::replace(&mut node.unreachable, true) {
            return;
        }
        let (name, why) = (
            node.id,
            if refused {
                "Connection refused"
            } else {
                "no connection"
            },
        );
        let address = socket_addr(self.nodes[at].address.ip, self.nodes[at].address.bus_port);
        let address = address.map_or_else(String::new, |address| format!(" at {address}"));
        let text = format!("Connection with Node {name}{address} failed: {why}");
        self.log(LogLevel::Verbose, text);
    }

    /// Closes a link from this side.
    pub(super) fn close_link(&mut self, id: LinkId) {
        let Some(link) = self.links.remove(id) else {
            return;
        };
        if let Some(at) = link.node {
            self.detach(id, at);
        }
        self.changes.view = true;
        self.staged.push(Output::Close { link: id });
    }

    fn detach(&mut self, id: LinkId, at: NodeIx) {
        let node = &mut self.nodes[at];
        node.link = node.link.filter(|&link| link != id);
        node.inbound = node.inbound.filter(|&link| link != id);
    }

    /// Removes a node whose handshake takes too long; true if it is gone.
    fn give_up_handshake(&mut self, at: NodeIx) -> bool {
        let node = &self.nodes[at];
        let timeout = self.config.node_timeout_ms.max(MIN_HANDSHAKE_TIMEOUT_MS);
        let over = node.in_handshake() && self.now - node.created > timeout;
        if over {
            self.delete_node(at);
        }
        over
    }

    /// Opens a link to a node that has none, and closes one that has gone silent: the node may
    /// live, and only the connection be dead. What the node sends over a link of its own speaks
    /// for it for a node timeout only: a ping that is not answered by then never will be (Redis 7.0
    /// waits for it as long as anything arrives).
    fn keep_link(&mut self, at: NodeIx) {
        let node = &self.nodes[at];
        let silence = self.config.node_timeout_ms / 2;
        if let Some(id) = node.link {
            let created = self.links.get(id).map_or(self.now, |link| link.created);
            let (timeout, waiting) = (self.config.node_timeout_ms, self.now - node.ping_sent);
            let silent = node.ping_sent != 0
                && self.now - created > timeout
                && waiting > silence
                && (self.now.saturating_sub(node.data_received) > silence || waiting > timeout);
            if !silent {
                return;
            }
            self.close_link(id);
        }
        let node = &mut self.nodes[at];
        let since_tried = self.now.saturating_sub(node.connect_tried);
        if node.is(NodeFlags::NOADDR) && since_tried < self.config.node_timeout_ms {
            return;
        }
        node.connect_tried = self.now;
        let Some(addr) = socket_addr(self.nodes[at].address.ip, self.nodes[at].address.bus_port)
        else {
            return;
        };
        let link = self.links.add(Link {
            node: Some(at),
            inbound: false,
            up: false,
            created: self.now,
            peer_ip: Some(addr.ip()),
            local_ip: None,
        });
        self.nodes[at].link = Some(link);
        self.staged.push(Output::Connect { link, addr });
    }

    /// Pings one of a few nodes at random: the one that was silent the longest.
    fn ping_at_random(&mut self) {
        let candidates: Vec<NodeIx> = self
            .nodes
            .iter()
            .filter(|(at, node)| *at != ME && !node.in_handshake() && node.ping_sent == 0)
            .filter(|(_, node)| node.link.is_some_and(|link| self.is_up(link)))
            .map(|(at, _)| at)
            .collect();
        if candidates.is_empty() {
            return;
        }
        let picked = (0..RANDOM_PING_CANDIDATES)
            .map(|_| candidates[self.rng.random_range(0..candidates.len())])
            .min_by_key(|&at| self.nodes[at].pong_received);
        if let Some(at) = picked {
            self.ping(at);
        }
    }

    /// Pings a node that was silent for half the node timeout, and suspects one that has not
    /// answered for the whole of it. One whose address is lost is suspected like any other: who
    /// cannot be asked must not pass for alive, or a primary could count it into its majority.
    fn watch(&mut self, at: NodeIx) {
        let node = &self.nodes[at];
        if at == ME || node.is(NodeFlags::HANDSHAKE) {
            return;
        }
        self.ask_acquaintance(at);
        let node = &self.nodes[at];
        if node.ping_sent == 0 {
            if self.now.saturating_sub(node.pong_received) <= self.config.node_timeout_ms / 2 {
                return;
            }
            // Without a connection the waiting begins all the same.
            self.nodes[at].ping_sent = self.now;
            if self.nodes[at].link.is_some_and(|link| self.is_up(link)) {
                self.ping(at);
            }
            return;
        }
        let silent_ms = silent_for(self.now, node.ping_sent, node.data_received);
        if silent_ms > self.config.node_timeout_ms {
            self.suspect(at);
        }
    }

    /// Sends another MEET to a node that has completed a handshake and not opened a link of its own
    /// since: its side of the handshake has failed, so it takes this node for a stranger. In Redis
    /// 7.0 that lasts until an administrator sees it.
    ///
    /// Not once it has opened a link: then it knew this node, and if it does not any more, it was
    /// told to forget it.
    fn ask_acquaintance(&mut self, at: NodeIx) {
        let timeout = self.config.node_timeout_ms.max(MIN_HANDSHAKE_TIMEOUT_MS);
        let node = &self.nodes[at];
        let due = node
            .acquaintance_asked
            .is_some_and(|asked| self.now - asked > timeout);
        let Some(link) = node.link.filter(|&link| due && self.is_up(link)) else {
            return;
        };
        self.nodes[at].acquaintance_asked = Some(self.now);
        self.send_heartbeat(FrameType::Meet, link, Some(at));
    }

    /// While this node suspects somebody, asks the voters what they think: each PONG brings the
    /// reports of its sender. Redis 7.0 waits for the heartbeats to get around, which with a short
    /// node timeout takes as long as the suspicion did.
    ///
    /// Not if it suspects many: then the network is the likelier cause, and questions about all
    /// to all would burden it further.
    fn gather_reports(&mut self) {
        let interval = (self.config.node_timeout_ms / 10).clamp(TICK_MS, MAX_REPORT_INTERVAL_MS);
        let suspected = self
            .nodes
            .iter()
            .filter(|(_, node)| node.is(NodeFlags::PFAIL))
            .count();
        let few = 1..=MAX_SUSPECTED.max(self.nodes.len() / 10);
        if !few.contains(&suspected) || !self.ticks.is_multiple_of(interval / TICK_MS) {
            return;
        }
        let voters: Vec<NodeIx> = self
            .voters()
            .filter(|(at, node)| *at != ME && node.ping_sent == 0)
            .filter(|(_, node)| node.link.is_some_and(|link| self.is_up(link)))
            .map(|(at, _)| at)
            .collect();
        voters.into_iter().for_each(|at| self.ping(at));
    }

    /// The server around has stopped or begun to make progress.
    pub(super) fn on_health_changed(&mut self) {
        if !self.healthy {
            self.log(
                LogLevel::Warning,
                "The workers make no progress: heartbeats are suspended",
            );
            return;
        }
        // Whoever was pinged before has had nobody to answer to.
        for (_, node) in self.nodes.iter_mut() {
            node.ping_sent = 0;
        }
        self.log(
            LogLevel::Warning,
            "The workers make progress again: heartbeats are resumed",
        );
    }
}

/// For how long a node has been silent: any frame counts as a sign of life, since an answer may
/// be stuck behind much data on the same link.
fn silent_for(now: Millis, ping_sent: Millis, data_received: Millis) -> Millis {
    now.saturating_sub(ping_sent.max(data_received))
}

fn socket_addr(ip: Option<IpAddr>, port: u16) -> Option<SocketAddr> {
    Some(SocketAddr::new(ip?, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_counted_from_the_last_sign_of_life() {
        for (now, ping_sent, data_received, silent) in [
            (1000, 400, 0, 600),
            (1000, 400, 700, 300),
            (1000, 1000, 0, 0),
            (1000, 400, 1500, 0),
        ] {
            assert_eq!(silent_for(now, ping_sent, data_received), silent);
        }
    }
}
