//! One host: its disk, its clock, and the process on it, which drives one state machine exactly
//! as a server's bus thread would.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hexad_gossip::{Cluster, Config, LinkId, Millis, Output, Role, View};

use crate::clock::Clock;
use crate::conf::Conf;
use crate::data::Data;
use crate::disk::Disk;
use crate::network::{Arrival, ConnId, Side};
use crate::picture::Picture;
use crate::queue::Micros;

/// A machine with one node's files on it.
#[derive(Debug)]
pub(crate) struct Host {
    /// Which cluster its node belongs to.
    pub cluster: usize,
    /// Where the bus listens.
    pub address: SocketAddr,
    /// Its wall clock.
    pub clock: Clock,
    /// Its disk.
    pub disk: Disk,
    /// What the disk has, read back.
    pub durable: Option<Conf>,
    /// What it had before that. An answer that was made just before its node lost a slot comes
    /// behind the write that says so, and may still claim the slot.
    pub outdated: Option<Conf>,
    /// Its redis.conf, as CONFIG REWRITE leaves it.
    pub config: Config,
    /// Its node's data. It is on disk as soon as it is written: its own durability is not what is
    /// simulated here.
    pub data: Data,
    /// Until when its node gets nothing from its primary, though the bus works.
    pub replication_stalled_until_us: Micros,
    /// Whether it has power.
    pub powered: bool,
    /// How often a process has been started on it.
    pub incarnation: u32,
    /// The process, if there is one.
    pub process: Option<Process>,
}

/// A running node.
#[derive(Debug)]
pub(crate) struct Process {
    /// The machine that is under test.
    pub cluster: Cluster,
    /// Its view after the last step.
    pub picture: Picture,
    /// Its view as the workers see it.
    pub published: Arc<View>,
    /// What it has put out and its driver has not done yet.
    pub effects: VecDeque<Effect>,
    /// Whether a nodes.conf is being written.
    pub writing: bool,
    /// Since when.
    pub writing_since_us: Micros,
    /// Stopped by SIGSTOP.
    pub paused: bool,
    /// What waits for the process while it is stopped or blocked.
    pub inbox: VecDeque<Stimulus>,
    /// When it is next woken.
    pub wake_us: Option<Micros>,
    /// When it last came back from SIGSTOP, or was started.
    pub resumed_us: Micros,
    /// How it is to replicate, and the number of that.
    pub role: Role,
    pub term: u64,
    /// Its connection to its primary.
    pub link: Link,
    /// When a full copy of the primary's data is complete, if one is being made.
    pub full_sync_until_us: Option<Micros>,
    /// When its data was last that of a primary, since it was started.
    pub synced_us: Option<Micros>,
    /// Whether it writes to a stream of its own already.
    pub leads_stream: bool,
    /// Whether clients' writes rest.
    pub pause: Pause,
    /// Ticks without time passing; more than a few are a busy loop.
    pub ticks_at: (Micros, u32),
    links: BTreeMap<LinkId, (ConnId, Side)>,
    ends: BTreeMap<(ConnId, Side), LinkId>,
}

/// How a replication link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Not in sync since the role began.
    Never,
    /// In sync then.
    Up(Micros),
    /// Lost, and in sync then.
    Down(Micros),
}

/// A pause of clients' writes, named by its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pause {
    /// There is none.
    Off,
    /// Some writes are still under way.
    Beginning(Millis),
    /// None are.
    On(Millis),
}

/// Something that happens to a process.
#[derive(Debug)]
pub(crate) enum Stimulus {
    /// Its timer.
    Tick,
    /// Writes rest.
    WritesPaused {
        /// Which pause.
        until_ms: Millis,
        /// The end of the stream.
        offset: u64,
    },
    /// Its network; the address is the other host's.
    Network(ConnId, Side, Arrival, IpAddr),
}

/// What a driver has to do.
#[derive(Debug)]
pub(crate) enum Effect {
    /// As the machine said it.
    Output(Output),
    /// [`Output::ViewChanged`], with the view as it was then.
    Publish(Arc<View>),
}

impl Process {
    /// A process that has just started.
    pub(crate) fn new(mut cluster: Cluster, now_us: Micros) -> Self {
        let view = cluster.view();
        Process {
            cluster,
            picture: Picture::new(Arc::clone(&view)),
            published: view,
            effects: VecDeque::new(),
            writing: false,
            writing_since_us: 0,
            paused: false,
            inbox: VecDeque::new(),
            wake_us: None,
            resumed_us: now_us,
            role: Role::Primary,
            term: 0,
            link: Link::Never,
            full_sync_until_us: None,
            synced_us: None,
            leads_stream: false,
            pause: Pause::Off,
            ticks_at: (0, 0),
            links: BTreeMap::new(),
            ends: BTreeMap::new(),
        }
    }

    /// Notes which end of which connection a link is.
    pub(crate) fn bind(&mut self, link: LinkId, conn: ConnId, side: Side) {
        let clash = self.links.insert(link, (conn, side));
        assert!(clash.is_none(), "{link:?} was in use");
        self.ends.insert((conn, side), link);
    }

    /// Forgets a link that is gone.
    pub(crate) fn unbind(&mut self, link: LinkId) -> Option<(ConnId, Side)> {
        let end = self.links.remove(&link)?;
        self.ends.remove(&end);
        Some(end)
    }

    /// The machine has closed a link. Nothing that still comes in on it counts, though the
    /// connection itself may have to wait for the disk until it is closed.
    pub(crate) fn deafen(&mut self, link: LinkId) {
        if let Some(end) = self.links.get(&link) {
            self.ends.remove(end);
        }
    }

    /// The end that a link is.
    pub(crate) fn end_of(&self, link: LinkId) -> Option<(ConnId, Side)> {
        self.links.get(&link).copied()
    }

    /// The link that an end is.
    pub(crate) fn link_of(&self, conn: ConnId, side: Side) -> Option<LinkId> {
        self.ends.get(&(conn, side)).copied()
    }

    /// All its ends of connections, those included that it has not been told of yet.
    pub(crate) fn all_ends(&self) -> Vec<(ConnId, Side)> {
        let waiting = self.inbox.iter().filter_map(|stimulus| match stimulus {
            Stimulus::Network(conn, side, Arrival::Accepted { .. }, _) => Some((*conn, *side)),
            _ => None,
        });
        self.links.values().copied().chain(waiting).collect()
    }

    /// Whether everything that it has put out has been done.
    pub(crate) fn is_settled(&self) -> bool {
        !self.writing && !self.paused && self.effects.is_empty() && self.inbox.is_empty()
    }
}
