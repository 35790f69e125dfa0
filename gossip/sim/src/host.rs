//! One host: its disk, its clock, and the process on it, which drives one state machine exactly
//! as a server's bus thread would.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hexad_gossip::{Cluster, Config, LinkId, Output, View};
use hexad_slots::Slot;

use crate::clock::Clock;
use crate::conf::Conf;
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
    /// How many keys its node has, by slot. They are on disk as soon as they are written: the
    /// data's own durability is not what is simulated here.
    pub keys: BTreeMap<Slot, usize>,
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
    /// Stopped by SIGSTOP.
    pub paused: bool,
    /// What waits for the process while it is stopped or blocked.
    pub inbox: VecDeque<Stimulus>,
    /// When it is next woken.
    pub wake_us: Option<Micros>,
    /// When it last came back from SIGSTOP, or was started.
    pub resumed_us: Micros,
    /// Ticks without time passing; more than a few are a busy loop.
    pub ticks_at: (Micros, u32),
    links: BTreeMap<LinkId, (ConnId, Side)>,
    ends: BTreeMap<(ConnId, Side), LinkId>,
}

/// Something that happens to a process.
#[derive(Debug)]
pub(crate) enum Stimulus {
    /// Its timer.
    Tick,
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
            paused: false,
            inbox: VecDeque::new(),
            wake_us: None,
            resumed_us: now_us,
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
