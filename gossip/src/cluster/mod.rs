//! The cluster state machine.

mod admin;
mod claims;
mod election;
mod epochs;
mod failure;
mod following;
mod handshake;
mod health;
mod heartbeat;
mod identity;
mod manual;
mod orphans;
mod persist;
mod picture;
mod receive;
mod roles;
mod send;
#[cfg(test)]
mod tests;
mod voting;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use hexad_slots::{Slot, SlotBitmap, SlotMap};
use rand::SeedableRng;
use rand::rngs::StdRng;

pub use admin::AdminError;
pub use persist::LoadError;

use crate::links::{Link, Links};
use crate::node::{ME, Node, NodeIx, Nodes};
use crate::{
    Admin, AdminOk, Config, Input, LinkId, LogLevel, Millis, NodeFlags, NodeId, Output, Stats, View,
};
use election::Election;
use following::Following;
use health::Health;
use manual::Manual;
use picture::PictureCache;

/// The cluster as one node sees it, and what it does about it.
///
/// A pure state machine: it owns no socket, no clock, no file and no thread. Whoever drives it
/// keeps this contract.
///
/// **Input.** [`Cluster::handle`] takes events of links and the passing of time,
/// [`Cluster::admin`] commands, [`Cluster::accept`] new connections, [`Cluster::set_config`],
/// [`Cluster::set_healthy`] and [`Cluster::set_replication`] what changes in the server around.
/// All but the last take the time, in milliseconds of Unix time. Time that falls is taken to stand still.
///
/// **Output.** After each of them, [`Cluster::poll_output`] is called until it answers `None`, and
/// its outputs take effect **in order**. An [`Output::Persist`] is durable before anything behind
/// it is done; the machine puts it in front of whatever depends on it. That is how no frame ever
/// shows an epoch, a slot or a role that a crash could take back (invariants 2, 5, 7, 10). The
/// answer to a command goes to its client, and a [`Cluster::view`] to the workers, only after the
/// outputs of the call have taken effect. If a disk hangs, outputs queue up behind it, the news
/// that this node is in a minority among them: a server whose workers have no new view, and no
/// word that the driver is well, for a node timeout must stop to serve (invariant 15).
///
/// **Time.** Then [`Cluster::poll_timeout`] says when [`Input::Tick`] is due. A tick may come
/// late; one that comes early does nothing.
///
/// **Links.** The machine asks for outbound connections ([`Output::Connect`]); the driver reports
/// [`Input::Connected`] or [`Input::Closed`]. It announces inbound ones by [`Cluster::accept`].
/// After [`Output::Close`] a link's id is forgotten on both sides; whatever still comes in under
/// it is ignored.
///
/// **Start.** [`Cluster::new`] or [`Cluster::load`]; then, once the data set is loaded and before
/// anything is served, [`Cluster::data_loaded`]. The same seed and the same calls give the same
/// outputs.
///
/// Differences from Redis 7.0 are listed in the documentation of the crate.
#[derive(Debug)]
pub struct Cluster {
    config: Config,
    rng: StdRng,
    /// The largest time passed in.
    now: Millis,
    nodes: Nodes,
    links: Links,
    /// Who serves which slot: bitmaps, table and counts in one (invariant 11).
    slots: SlotMap<NodeIx>,
    /// Slots of this node on their way to another.
    migrating: BTreeMap<Slot, NodeIx>,
    /// Slots on their way here, and where from.
    importing: BTreeMap<Slot, NodeIx>,
    /// At least every configEpoch in `nodes` (invariant 8); never falls but by RESET HARD.
    current_epoch: u64,
    last_vote_epoch: u64,
    /// Nodes that must not be learnt of by gossip again before this time.
    forgotten: BTreeMap<NodeId, Millis>,
    health: Health,
    /// Whether the server around works. If not, no heartbeat leaves.
    healthy: bool,
    following: Following,
    election: Election,
    manual: Manual,
    stats: Stats,
    /// How many ticks there were.
    ticks: u64,
    next_tick: Millis,
    /// The effects of the call in progress; they go behind its [`Output::Persist`].
    staged: Vec<Output>,
    outputs: VecDeque<Output>,
    changes: Changes,
    picture: PictureCache,
}

/// What the call in progress has changed.
#[derive(Clone, Copy, Debug, Default)]
struct Changes {
    /// Something that nodes.conf holds and that must not be lost.
    durable: bool,
    /// Something that decides whether the cluster can serve.
    state: bool,
    /// Something that clients or administrators should see at once.
    view: bool,
    /// Times and counters: they are shown with the next tick.
    times: bool,
    /// Who owns or moves which slot.
    slots: bool,
    /// What this node says of itself: it is told to all with the next tick, instead of waiting
    /// for the heartbeats to get around.
    announce: bool,
}

/// How often the machine looks after links, pings and timeouts, in milliseconds. Redis has the
/// same 10 Hz; a node timeout of 100 ms is the smallest that still makes sense with it.
const TICK_MS: u64 = 100;

impl Cluster {
    /// A new node, alone in its cluster, with an id drawn from `seed`. The first output persists
    /// it.
    pub fn new(config: Config, seed: u64, now: Millis) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let id = NodeId::random(&mut rng);
        let myself = Node::new(
            id,
            NodeFlags::MYSELF | NodeFlags::PRIMARY,
            Default::default(),
            now,
        );
        let mut cluster = Self::with_myself(config, rng, myself, now);
        cluster.log(
            LogLevel::Notice,
            format!("No cluster configuration found, I'm {id}"),
        );
        cluster.changes.durable = true;
        cluster.finish();
        cluster
    }

    fn with_myself(config: Config, rng: StdRng, myself: Node, now: Millis) -> Self {
        let mut cluster = Self {
            config,
            rng,
            now,
            nodes: Nodes::new(myself),
            links: Links::default(),
            slots: SlotMap::new(),
            migrating: BTreeMap::new(),
            importing: BTreeMap::new(),
            current_epoch: 0,
            last_vote_epoch: 0,
            forgotten: BTreeMap::new(),
            health: Health::new(now),
            healthy: true,
            following: Following::new(),
            election: Election::default(),
            manual: Manual::Off,
            stats: Stats::default(),
            ticks: 0,
            next_tick: now + TICK_MS,
            staged: Vec::new(),
            outputs: VecDeque::new(),
            changes: Changes {
                view: true,
                slots: true,
                ..Changes::default()
            },
            picture: PictureCache::default(),
        };
        cluster.apply_config();
        cluster
    }

    /// Tells the machine which slots hold keys, once, after the data set is loaded and before
    /// anything is served. A primary takes over the slots among them that nobody owns, and marks
    /// those of others as being imported from them.
    ///
    /// The delay before a restarted primary serves counts from here, so that a long load does not
    /// use it up.
    pub fn data_loaded(&mut self, now: Millis, slots_with_keys: &SlotBitmap) {
        self.begin(now);
        self.health.started(self.now);
        self.claim_slots_with_keys(slots_with_keys);
        self.finish();
    }

    /// Takes in a new inbound connection.
    pub fn accept(&mut self, now: Millis, peer_ip: IpAddr, local_ip: IpAddr) -> LinkId {
        self.begin(now);
        let link = self.links.add(Link {
            node: None,
            inbound: true,
            up: true,
            created: self.now,
            peer_ip: Some(peer_ip.to_canonical()),
            local_ip: Some(local_ip.to_canonical()),
        });
        self.finish();
        link
    }

    /// Takes in an event.
    pub fn handle(&mut self, now: Millis, input: Input<'_>) {
        self.begin(now);
        self.drive_manual_failover();
        match input {
            Input::Tick => {
                self.seek_promotion_in_time();
                self.tick();
            }
            Input::Connected { link, local_ip } => self.on_connected(link, local_ip),
            Input::Closed { link, refused } => self.on_closed(link, refused),
            Input::WritesPaused { until_ms, offset } => self.on_writes_paused(until_ms, offset),
            Input::Frame { link, bytes } => self.on_bytes(link, bytes),
        }
        self.finish();
    }

    /// Carries out a command of an administrator.
    ///
    /// # Errors
    /// The refusal, whose text is the reply to the client. Nothing has changed then.
    pub fn admin(&mut self, now: Millis, admin: Admin) -> Result<AdminOk, AdminError> {
        self.begin(now);
        let answer = self.on_admin(admin);
        self.finish();
        answer
    }

    /// Changes the settings. What others are told of them goes out with the next heartbeats.
    pub fn set_config(&mut self, now: Millis, config: Config) {
        self.begin(now);
        if self.config != config {
            let announced = std::mem::replace(&mut self.config, config).announce_ip;
            if announced != self.config.announce_ip {
                self.nodes[ME].address.ip = None;
            }
            self.apply_config();
            self.changes.durable = true;
            self.changes.state = true;
        }
        self.finish();
    }

    /// Says whether the server around makes progress. While it does not, this node stops vouching
    /// for itself: it neither sends nor answers heartbeats, so that the others come to see it as
    /// failed; and it judges nobody.
    pub fn set_healthy(&mut self, now: Millis, healthy: bool) {
        self.begin(now);
        if self.healthy != healthy {
            self.healthy = healthy;
            self.on_health_changed();
        }
        self.finish();
    }

    /// Sets the counters of frames back to 0 (CONFIG RESETSTAT).
    pub fn reset_stats(&mut self) {
        self.stats = Stats::default();
        self.changes.times = true;
        self.picture.outdate();
    }

    /// The next thing to be done, or `None` if there is nothing for now.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When the next [`Input::Tick`] is due. There always is one.
    pub fn poll_timeout(&self) -> Option<Millis> {
        // Rounded to ticks, the delays of two candidates would often be the same.
        let election = self.election.starts_at().filter(|&start| start > self.now);
        Some(election.map_or(self.next_tick, |start| start.min(self.next_tick)))
    }

    /// The picture to be published: built anew if anything has changed since the last call.
    pub fn view(&mut self) -> Arc<View> {
        self.build_view()
    }

    /// This node's id.
    pub fn id(&self) -> NodeId {
        self.nodes[ME].id
    }

    /// The settings in use.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The text of nodes.conf as of now.
    pub fn nodes_conf(&self) -> String {
        self.to_conf().to_string()
    }

    fn begin(&mut self, now: Millis) {
        self.now = self.now.max(now);
    }

    /// Ends a call: the disk first, then what the call has staged, then the news of it.
    fn finish(&mut self) {
        if self.changes.state {
            self.changes.state = false;
            self.update_state();
        }
        if std::mem::take(&mut self.changes.durable) {
            self.changes.view = true;
            self.outputs
                .push_back(Output::Persist(self.nodes_conf().into_bytes()));
        }
        if let Some(output) = self.role_output() {
            // As a replica it must not take writes, which its view says; as a primary it must
            // not take any before its stream goes on.
            let becomes_replica = !self.am_primary();
            if becomes_replica {
                self.show_view();
            }
            self.outputs.push_back(output);
            if !becomes_replica {
                self.show_view();
            }
        }
        self.outputs.extend(self.staged.drain(..));
        if std::mem::take(&mut self.changes.view) {
            self.show_view();
        }
        if self.changes.times {
            self.picture.outdate();
        }
    }

    fn show_view(&mut self) {
        self.changes.view = false;
        self.picture.outdate();
        self.outputs.push_back(Output::ViewChanged);
    }

    fn log(&mut self, level: LogLevel, text: impl Into<String>) {
        self.staged.push(Output::Log {
            level,
            text: text.into(),
        });
    }

    /// Whether this node is a primary.
    fn am_primary(&self) -> bool {
        self.nodes[ME].is_primary()
    }

    /// Marks a change of something that must not be lost, that decides about serving, and that
    /// should be seen.
    fn changed(&mut self) {
        self.changes.durable = true;
        self.changes.state = true;
    }
}
