//! The simulated world: hosts, network, administrators and faults, driven by one event queue.

mod driving;
mod phases;
mod replicating;

use std::collections::VecDeque;
use std::net::SocketAddr;

use hexad_gossip::{Admin, AdminError, AdminOk, Config, Millis, NodeId};
use hexad_slots::{Slot, SlotBitmap};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::admin::Work;
use crate::checks::Cause;
use crate::checks::ledger::Ledger;
use crate::checks::quiescence;
use crate::clock::Clock;
use crate::data::{Data, Streams};
use crate::disk::Disk;
use crate::faults::Fault;
use crate::host::Host;
use crate::network::{HostId, Network, Packet};
use crate::picture::Picture;
use crate::queue::{Micros, Queue};
use crate::scenario::Scenario;
use crate::trace::Trace;
use phases::Phase;

/// What the queue holds.
#[derive(Debug)]
pub(crate) enum Event {
    /// A packet reaches its host.
    Packet(Packet),
    /// A process's timer fires, if that process still lives.
    Wake(HostId, u32),
    /// A process's write of nodes.conf is complete, if that process still lives.
    DiskDone(HostId, u32),
    /// A fault begins or ends.
    Fault(Fault),
    /// The next fault is due.
    Strike,
    /// A piece of work goes on.
    Work(u64),
    /// The next piece of work is due.
    NewWork,
    /// A client writes.
    Write,
    /// A replica's driver looks at its primary.
    Replicate(HostId),
    /// No write is under way any more since a pause, if that process still lives.
    WritesRest(HostId, u32, Millis),
    /// The next look at whether a phase is over.
    Phase,
}

/// An invariant that did not hold.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Its number in INVARIANTS.md.
    pub invariant: u8,
    /// When.
    pub at_us: Micros,
    /// What was found.
    pub what: String,
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Events taken from the queue.
    pub events: u64,
    /// Frames that a machine was given.
    pub frames: u64,
    /// Writes of nodes.conf.
    pub writes: u64,
    /// Faults begun.
    pub faults: u64,
    /// Pieces of work begun.
    pub works: u64,
    /// Clients' writes that a node took.
    pub accepted: u64,
    /// Replicas that have become primaries.
    pub promotions: u64,
    /// Writes that went with a primary.
    pub lost: u64,
}

/// Everything there is.
#[derive(Debug)]
pub(crate) struct World {
    /// What the seed stands for.
    pub scenario: Scenario,
    /// The dice of faults and administrators.
    pub rng: SmallRng,
    /// The transcript.
    pub trace: Trace,
    /// What was done.
    pub counts: Counts,
    now_us: Micros,
    queue: Queue<Event>,
    net: Network,
    pub(crate) hosts: Vec<Host>,
    pub(crate) streams: Streams,
    pub(crate) ledger: Ledger,
    works: Vec<(u64, Option<Work>)>,
    /// Ids that nodes had before a RESET HARD.
    pub(crate) retired_ids: Vec<NodeId>,
    /// Slots that administrators have lately worked on: clients prefer them.
    hot_slots: VecDeque<Slot>,
    phase: Phase,
    violation: Option<Violation>,
}

/// Where clients connect on every host that has an IP address of its own.
const CLIENT_PORT: u16 = 7_000;

/// Few enough that each is written to while the work on it goes on.
const MAX_HOT_SLOTS: usize = 12;

impl World {
    /// The world of a scenario, before its first event.
    #[must_use]
    pub(crate) fn new(scenario: Scenario, keep_trace: bool) -> Self {
        let mut rng = SmallRng::seed_from_u64(scenario.seed ^ 0x5eed);
        let mut net = Network::new(rng.random(), scenario.hosts, scenario.weather);
        let mut streams = Streams::default();
        let hosts: Vec<Host> = (0..scenario.hosts)
            .map(|i| host(&scenario, &mut rng, i, Data::new(streams.begin())))
            .collect();
        for (index, host) in hosts.iter().enumerate() {
            net.assign(host.address, HostId(index as u16));
        }
        World {
            ledger: Ledger::new(scenario.hosts),
            scenario,
            rng,
            trace: Trace::new(keep_trace),
            counts: Counts::default(),
            now_us: 0,
            queue: Queue::new(),
            net,
            hosts,
            streams,
            works: Vec::new(),
            retired_ids: Vec::new(),
            hot_slots: VecDeque::new(),
            phase: Phase::Forming,
            violation: None,
        }
    }

    /// Runs to the end, or to the first violation.
    ///
    /// # Errors
    /// The violation.
    pub(crate) fn run(&mut self) -> Result<(), Violation> {
        self.begin();
        while self.violation.is_none() && self.phase != Phase::Over {
            let (at_us, event) = self
                .queue
                .pop()
                .expect("the next look at the phase is queued");
            self.now_us = at_us;
            self.counts.events += 1;
            self.on_event(event);
        }
        self.violation.clone().map_or(Ok(()), Err)
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Packet(packet) => self.on_packet(packet),
            Event::Wake(host, incarnation) => self.on_wake(host, incarnation),
            Event::DiskDone(host, incarnation) => self.on_disk_done(host, incarnation),
            Event::Fault(fault) => self.fault(fault),
            Event::Strike => self.on_strike(),
            Event::Work(id) => self.on_work(id),
            Event::NewWork => self.on_new_work(),
            Event::Write => self.on_write(),
            Event::Replicate(host) => self.on_replicate(host),
            Event::WritesRest(host, incarnation, until_ms) => {
                self.on_writes_rest(host, incarnation, until_ms);
            }
            Event::Phase => self.on_phase(),
        }
    }

    /// Virtual time.
    #[must_use]
    pub(crate) fn now_us(&self) -> Micros {
        self.now_us
    }

    /// Queues an event.
    pub(crate) fn schedule(&mut self, at_us: Micros, event: Event) {
        self.queue.push(at_us, event);
    }

    /// Notes that an invariant does not hold; the first one ends the run.
    pub(crate) fn violation(&mut self, invariant: u8, what: String) {
        let at_us = self.now_us;
        self.trace
            .headline(at_us, format_args!("invariant {invariant}: {what}"));
        self.violation.get_or_insert(Violation {
            invariant,
            at_us,
            what,
        });
    }

    /// All hosts.
    pub(crate) fn host_ids(&self) -> impl Iterator<Item = HostId> + use<> {
        (0..self.hosts.len() as u16).map(HostId)
    }

    /// One of the hosts.
    pub(crate) fn random_host(&mut self) -> HostId {
        HostId(self.rng.random_range(0..self.hosts.len() as u16))
    }

    /// The hosts of the cluster that this one belongs to, itself included.
    pub(crate) fn members(&self, host: HostId) -> impl Iterator<Item = HostId> + use<'_> {
        let cluster = self.hosts[host.index()].cluster;
        self.host_ids()
            .filter(move |other| self.hosts[other.index()].cluster == cluster)
    }

    /// Where a host's bus listens.
    #[must_use]
    pub(crate) fn address(&self, host: HostId) -> SocketAddr {
        self.hosts[host.index()].address
    }

    /// The id of the node that runs on a host.
    #[must_use]
    pub(crate) fn id(&self, host: HostId) -> Option<NodeId> {
        self.view(host).map(Picture::me)
    }

    /// What the node on a host sees; `None` if none runs.
    #[must_use]
    pub(crate) fn view(&self, host: HostId) -> Option<&Picture> {
        self.hosts[host.index()]
            .process
            .as_ref()
            .map(|process| &process.picture)
    }

    /// The views of all nodes that run, with the number of the cluster that each belongs to.
    pub(crate) fn views_by_cluster(&self) -> impl Iterator<Item = (usize, &Picture)> {
        pictures(&self.hosts)
    }

    /// The views of all nodes that run.
    pub(crate) fn views(&self) -> impl Iterator<Item = &Picture> {
        pictures(&self.hosts).map(|(_, picture)| picture)
    }

    /// Whether the node on a host would answer an administrator, and has nothing left to do of
    /// what the last one asked.
    #[must_use]
    pub(crate) fn answers(&self, host: HostId) -> bool {
        self.hosts[host.index()]
            .process
            .as_ref()
            .is_some_and(|process| process.is_settled())
    }

    /// Gives a command to a node that answers.
    ///
    /// # Errors
    /// The node's refusal.
    pub(crate) fn admin(&mut self, host: HostId, command: Admin) -> Result<AdminOk, AdminError> {
        self.tell_replication(host);
        let now_ms = self.hosts[host.index()].clock.millis(self.now_us);
        let process = self.hosts[host.index()]
            .process
            .as_mut()
            .expect("a node that answers");
        let answer = process.cluster.admin(now_ms, command.clone());
        let (now_us, brief) = (self.now_us, Brief(&command));
        self.trace
            .note(now_us, host, format_args!("{brief:?} -> {answer:?}"));
        if answer.is_ok() {
            self.note_command(host, &command);
        }
        self.after_step(host, &Cause::Admin(&command));
        answer
    }

    /// Notes a command that a node has accepted.
    fn note_command(&mut self, host: HostId, command: &Admin) {
        let cluster = self.hosts[host.index()].cluster;
        match command {
            Admin::AddSlots(slots) => self.ledger.give(cluster, slots),
            Admin::Reset { .. } => {
                if let Some(id) = self.id(host) {
                    self.ledger.note_reset(id);
                }
            }
            Admin::Failover(mode) => self.ledger.record(host).failover = Some(*mode),
            _ => {}
        }
    }

    /// Gives a command that cannot be refused.
    pub(crate) fn must(&mut self, host: HostId, command: Admin) {
        if let Err(error) = self.admin(host, command.clone()) {
            self.violation(0, format!("{host:?} refused {command:?}: {error}"));
        }
    }

    /// CONFIG SET cluster-node-timeout and CONFIG REWRITE; false if nobody answers.
    pub(crate) fn set_node_timeout(&mut self, host: HostId, timeout_ms: u64) -> bool {
        if !self.answers(host) {
            return false;
        }
        let state = &mut self.hosts[host.index()];
        state.config.node_timeout_ms = timeout_ms;
        let now_ms = state.clock.millis(self.now_us);
        let process = state.process.as_mut().expect("a node that answers");
        process.cluster.set_config(now_ms, state.config.clone());
        let now_us = self.now_us;
        self.trace.note(
            now_us,
            host,
            format_args!("CONFIG SET cluster-node-timeout {timeout_ms}"),
        );
        self.after_step(host, &Cause::Config);
        true
    }

    /// Notes that these slots may be without an owner from now on.
    pub(crate) fn disown(&mut self, host: HostId, slots: &SlotBitmap) {
        let cluster = self.hosts[host.index()].cluster;
        self.ledger.disown(cluster, slots);
        self.ledger.contest(slots);
    }

    /// Whether the nodes on these hosts know each other and agree on all slots.
    pub(crate) fn is_formed(&mut self, hosts: &[HostId]) -> bool {
        self.look();
        quiescence::is_formed(self, hosts)
    }

    /// Starts a piece of work.
    pub(crate) fn start_work(&mut self, work: Work) {
        self.counts.works += 1;
        let id = self.counts.works;
        self.works.push((id, Some(work)));
        self.schedule(self.now_us, Event::Work(id));
    }

    /// Notes that there is work going on about these slots.
    pub(crate) fn heat(&mut self, slots: &[Slot]) {
        self.hot_slots.extend(slots);
        let cold = self.hot_slots.len().saturating_sub(MAX_HOT_SLOTS);
        self.hot_slots.drain(..cold);
    }

    /// Whether some work has a part for this host.
    #[must_use]
    pub(crate) fn is_busy(&self, host: HostId) -> bool {
        self.works
            .iter()
            .filter_map(|(_, work)| work.as_ref())
            .any(|work| work.involves(host))
    }

    /// Whether some node is being replaced.
    #[must_use]
    pub(crate) fn is_replacing(&self) -> bool {
        self.works
            .iter()
            .any(|(_, work)| matches!(work, Some(Work::Replace(_))))
    }
}

fn host(scenario: &Scenario, rng: &mut SmallRng, index: usize, data: Data) -> Host {
    let number = index as u16;
    let (ip, port) = match scenario.shared_ip {
        true => ([10, 0, 0, 1], CLIENT_PORT + number),
        false => ([10, 0, 0, 1 + number as u8], CLIENT_PORT),
    };
    let mut config = Config::new(port);
    config.node_timeout_ms = scenario.node_timeout_ms;
    config.replica_validity_factor = scenario.validity_factor;
    config.repl_ping_period_ms = scenario.repl_ping_period_ms;
    config.migration_barrier = scenario.migration_barrier;
    config.allow_replica_migration = scenario.replica_migration;
    config.replica_no_failover = rng.random_ratio(1, 20);
    let offset_ms = rng.random_range(-scenario.clock_offset_ms..=scenario.clock_offset_ms);
    let drift_ppm = rng.random_range(-scenario.clock_drift_ppm..=scenario.clock_drift_ppm);
    Host {
        cluster: usize::from(index >= scenario.hosts - scenario.second_cluster),
        address: SocketAddr::from((ip, port + Config::BUS_PORT_OFFSET)),
        clock: Clock::new(offset_ms, drift_ppm),
        disk: Disk::default(),
        durable: None,
        outdated: None,
        config,
        data,
        replication_stalled_until_us: 0,
        powered: true,
        incarnation: 0,
        process: None,
    }
}

/// The views of the nodes that run, with the number of the cluster that each belongs to.
fn pictures(hosts: &[Host]) -> impl Iterator<Item = (usize, &Picture)> {
    hosts.iter().filter_map(|host| {
        host.process
            .as_ref()
            .map(|process| (host.cluster, &process.picture))
    })
}

/// A command without its bitmaps.
struct Brief<'a>(&'a Admin);

impl std::fmt::Debug for Brief<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Admin::AddSlots(slots) => write!(f, "AddSlots of {}", slots.count()),
            Admin::DelSlots(slots) => write!(f, "DelSlots of {}", slots.count()),
            other => other.fmt(f),
        }
    }
}
