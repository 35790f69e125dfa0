//! To nodes.conf and back.

use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::Cluster;
use crate::conf::{ConfError, NodeLine, NodesConf};
use crate::node::{Address, ExtensionSupport, ME, Node, NodeIx};
use crate::{Config, LogLevel, Millis, NodeFlags};

/// Why a node cannot start from its nodes.conf.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The text is no nodes.conf.
    #[error(transparent)]
    Conf(#[from] ConfError),
    /// This node is its own primary.
    #[error("this node is its own primary")]
    OwnPrimary,
}

impl Cluster {
    /// A node as its nodes.conf has left it. `seed` is for later choices; the id is the file's.
    ///
    /// # Errors
    /// If the text is malformed or contradicts itself.
    pub fn load(text: &str, config: Config, seed: u64, now: Millis) -> Result<Self, LoadError> {
        let conf = NodesConf::parse(text)?;
        let is_me = |line: &&NodeLine| line.flags.contains(NodeFlags::MYSELF);
        // The parser sees to it that there is exactly one.
        let my_line = conf.nodes.iter().find(is_me).ok_or(ConfError::Myself(0))?;
        if my_line.primary == Some(my_line.id) {
            return Err(LoadError::OwnPrimary);
        }
        let rng = StdRng::seed_from_u64(seed);
        let mut cluster = Self::with_myself(config, rng, node_of(my_line, now), now);
        let others = conf
            .nodes
            .iter()
            .filter(|line| !line.flags.contains(NodeFlags::MYSELF));
        // A handshake does not survive a restart. Redis 7.0 does not write it either.
        for line in others.filter(|line| !line.flags.contains(NodeFlags::HANDSHAKE)) {
            cluster.nodes.add(node_of(line, now));
        }
        conf.nodes
            .iter()
            .for_each(|line| cluster.load_relations(line));
        let highest = conf
            .nodes
            .iter()
            .map(|line| line.config_epoch)
            .max()
            .unwrap_or(0);
        cluster.current_epoch = conf.current_epoch.max(highest);
        cluster.last_vote_epoch = conf.last_vote_epoch;
        if !cluster.am_primary() {
            cluster.begin_term(None);
        }
        let id = cluster.id();
        cluster.log(
            LogLevel::Notice,
            format!("Node configuration loaded, I'm {id}"),
        );
        cluster.changes.durable = true;
        cluster.finish();
        Ok(cluster)
    }

    /// What a line says that refers to other nodes.
    fn load_relations(&mut self, line: &NodeLine) {
        let Some(at) = self.nodes.find(&line.id) else {
            return;
        };
        if let Some(id) = line.primary.filter(|id| *id != line.id) {
            self.nodes[at].primary = self
                .nodes
                .find(&id)
                .filter(|_| line.flags.contains(NodeFlags::REPLICA));
            match self.nodes.find(&id) {
                Some(primary) => self.nodes[primary].flags.insert(NodeFlags::MIGRATE_TO),
                None => self.log(
                    LogLevel::Warning,
                    format!("nodes.conf: no line for primary {id}"),
                ),
            }
        }
        for slot in line.slots.iter() {
            self.slots.assign(slot, at);
        }
        if at != ME {
            return;
        }
        for (moves, from_file) in [
            (&mut self.migrating, &line.migrating),
            (&mut self.importing, &line.importing),
        ] {
            let known = from_file
                .iter()
                .filter_map(|(slot, id)| Some((*slot, self.nodes.find(id)?)));
            moves.extend(known);
        }
    }

    /// The contents of nodes.conf as of now.
    pub(super) fn to_conf(&self) -> NodesConf {
        let lasting = self.nodes.iter().filter(|(_, node)| !node.in_handshake());
        NodesConf {
            nodes: lasting.map(|(at, node)| self.line_of(at, node)).collect(),
            current_epoch: self.current_epoch,
            last_vote_epoch: self.last_vote_epoch,
        }
    }

    fn line_of(&self, at: NodeIx, node: &Node) -> NodeLine {
        let ids = |moves: &std::collections::BTreeMap<_, NodeIx>| {
            moves
                .iter()
                .map(|(slot, to)| (*slot, self.nodes[*to].id))
                .collect()
        };
        let mine = at == ME;
        NodeLine {
            id: node.id,
            ip: node.address.ip,
            port: node.address.port,
            bus_port: node.address.bus_port,
            hostname: node.hostname.to_string(),
            shard_id: node.shard_id,
            flags: node.flags,
            primary: node.primary.map(|primary| self.nodes[primary].id),
            ping_sent: node.ping_sent,
            pong_received: node.pong_received,
            config_epoch: node.config_epoch,
            connected: mine || node.link.is_some_and(|link| self.is_up(link)),
            slots: Box::new(self.slots.slots_of(at).clone()),
            migrating: if mine {
                ids(&self.migrating)
            } else {
                Default::default()
            },
            importing: if mine {
                ids(&self.importing)
            } else {
                Default::default()
            },
        }
    }
}

/// The node of a line, without what refers to other nodes.
fn node_of(line: &NodeLine, now: Millis) -> Node {
    let address = Address {
        ip: line.ip,
        port: line.port,
        plain_port: 0,
        bus_port: line.bus_port,
    };
    let mut node = Node::new(line.id, sane_flags(line), address, now);
    node.hostname = Arc::from(line.hostname.as_str());
    node.shard_id = line.shard_id;
    node.config_epoch = line.config_epoch;
    node.fail_time = now;
    node.extensions = ExtensionSupport::Hostname;
    // The clock may have stood still or gone astray since: waiting begins anew.
    if line.ping_sent != 0 {
        node.ping_sent = now;
    }
    if line.pong_received != 0 {
        node.pong_received = now;
    }
    node
}

/// A node has one role. What was suspected before the restart has to be seen again (invariant 14);
/// a majority's verdict stays.
fn sane_flags(line: &NodeLine) -> NodeFlags {
    let role = if line.flags.contains(NodeFlags::REPLICA) {
        NodeFlags::REPLICA
    } else {
        NodeFlags::PRIMARY
    };
    let mut flags = (line.flags - NodeFlags::ROLE - NodeFlags::PFAIL) | role;
    if line.ip.is_none() && !flags.contains(NodeFlags::MYSELF) {
        flags.insert(NodeFlags::NOADDR);
    }
    flags
}
