//! The state machine in virtual time.
//!
//! [`Net`] holds some machines and carries their frames at once and in order. [`Lone`] is one
//! machine alone with a peer that the test plays, for the exact outputs of a call.

mod admin;
mod claims;
mod electing;
mod failing;
mod joining;
mod lone;
mod manual;
mod orphans;
mod outputs;
mod restarting;
mod strangers;
mod voting;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hexad_slots::{Slot, SlotBitmap};

use super::*;
use crate::{FailoverMode, NodeView, PrimaryLink, ReplicaOf, ReplicationState, Role, SetSlot};

/// When the tests begin.
const START: Millis = 1_000_000_000_000;

const TIMEOUT: u64 = 2000;

/// One machine in a [`Net`], and what its driver keeps.
struct Host {
    cluster: Cluster,
    config: Config,
    disk: String,
    up: bool,
    links: BTreeMap<LinkId, (usize, LinkId)>,
    dropped: Vec<SlotBitmap>,
    /// What replication was told last.
    role: (u64, Role),
    /// How far replication has got; `None`: not yet in sync.
    offset: Option<u64>,
    /// Whether clients' writes are paused.
    paused: bool,
    published: Vec<(bool, String, String)>,
    log: Vec<String>,
}

/// Some machines, and a network without delay. Host `n` is at 10.0.0.n.
struct Net {
    now: Millis,
    hosts: Vec<Host>,
    /// Pairs that cannot reach each other.
    cuts: Vec<(usize, usize)>,
    frames: VecDeque<(usize, LinkId, bytes::Bytes)>,
}

fn ip(host: usize) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, host as u8).into()
}

fn slot(number: u16) -> Slot {
    Slot::new(number).unwrap()
}

fn slots(text: &str) -> Box<SlotBitmap> {
    let mut set = SlotBitmap::new();
    text.split_ascii_whitespace()
        .for_each(|range| set.set_range(range.parse().unwrap()));
    Box::new(set)
}

fn config() -> Config {
    Config {
        node_timeout_ms: TIMEOUT,
        ..Config::new(7000)
    }
}

impl Net {
    /// So many machines that do not know each other.
    fn strangers(count: usize) -> Self {
        let mut net = Self {
            now: START,
            hosts: Vec::new(),
            cuts: Vec::new(),
            frames: VecDeque::new(),
        };
        for _ in 0..count {
            net.add_host();
        }
        net
    }

    fn add_host(&mut self) {
        let at = self.hosts.len();
        self.hosts.push(Host {
            cluster: Cluster::new(config(), at as u64, self.now),
            config: config(),
            disk: String::new(),
            up: true,
            links: BTreeMap::new(),
            dropped: Vec::new(),
            role: (0, Role::Primary),
            offset: None,
            paused: false,
            published: Vec::new(),
            log: Vec::new(),
        });
        self.drain(at);
    }

    /// So many primaries of one cluster, the slots shared out among them, and all in agreement.
    fn primaries(count: usize) -> Self {
        let mut net = Self::strangers(count);
        let share = 16384 / count;
        for at in 0..count {
            let end = if at + 1 == count {
                16383
            } else {
                (at + 1) * share - 1
            };
            net.admin(at, Admin::SetConfigEpoch(at as u64 + 1));
            net.admin(at, Admin::AddSlots(slots(&format!("{}-{end}", at * share))));
        }
        net.join_all();
        net.run(8000);
        for at in 0..count {
            assert_eq!(net.view(at).state, crate::ClusterState::Ok, "host {at}");
        }
        net
    }

    fn join_all(&mut self) {
        for at in 1..self.hosts.len() {
            self.meet(at, 0);
        }
        self.run(3000);
    }

    fn meet(&mut self, at: usize, other: usize) {
        self.admin(
            at,
            Admin::Meet {
                ip: ip(other),
                port: 7000,
                bus_port: 17000,
            },
        );
    }

    fn admin(&mut self, at: usize, admin: Admin) -> AdminOk {
        self.try_admin(at, admin).unwrap()
    }

    fn try_admin(&mut self, at: usize, admin: Admin) -> Result<AdminOk, AdminError> {
        let now = self.now;
        let answer = self.hosts[at].cluster.admin(now, admin);
        self.drain(at);
        self.deliver();
        answer
    }

    fn view(&mut self, at: usize) -> Arc<View> {
        self.hosts[at].cluster.view()
    }

    fn id(&self, at: usize) -> NodeId {
        self.hosts[at].cluster.id()
    }

    /// What host `at` knows of host `about`.
    fn seen(&mut self, at: usize, about: usize) -> NodeView {
        let id = self.id(about);
        self.view(at).node(&id).unwrap().clone()
    }

    fn flags(&mut self, at: usize, about: usize) -> String {
        self.seen(at, about).flags.to_words()
    }

    fn ranges(&mut self, at: usize, about: usize) -> String {
        let seen = self.seen(at, about);
        seen.slots
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Lets so many milliseconds pass.
    fn run(&mut self, ms: u64) {
        let end = self.now + ms;
        while self.now < end {
            self.now += 10;
            for at in 0..self.hosts.len() {
                let due = self.hosts[at].cluster.poll_timeout().unwrap() <= self.now;
                if self.hosts[at].up && due {
                    self.input(at, Input::Tick);
                    self.deliver();
                }
            }
        }
    }

    /// Lets time pass until something is the case, and says how much.
    fn run_until(&mut self, limit_ms: u64, mut done: impl FnMut(&mut Self) -> bool) -> u64 {
        let start = self.now;
        while !done(self) {
            assert!(self.now - start < limit_ms, "not within {limit_ms} ms");
            self.run(10);
        }
        self.now - start
    }

    fn input(&mut self, at: usize, input: Input<'_>) {
        let (now, host) = (self.now, &mut self.hosts[at]);
        if let Some(offset) = host.offset {
            host.cluster.set_replication(ReplicationState {
                term: host.role.0,
                offset,
                link: PrimaryLink::Up { heard_ms: now },
            });
        }
        host.cluster.handle(now, input);
        self.drain(at);
    }

    /// Has a host replicate up to an offset from now on.
    fn sync(&mut self, at: usize, offset: u64) {
        self.hosts[at].offset = Some(offset);
    }

    /// Some primaries, and replicas of these primaries, in sync and known to all.
    fn shards(primaries: usize, replicas_of: &[usize]) -> Self {
        let mut net = Self::primaries(primaries);
        for (at, &primary) in (primaries..).zip(replicas_of) {
            net.add_host();
            net.meet(at, 0);
            net.run(3000);
            let primary = net.id(primary);
            net.admin(
                at,
                Admin::Replicate {
                    primary,
                    dataset_empty: true,
                },
            );
            net.sync(at, 100);
        }
        net.run(2000);
        net.assert_agreement();
        net
    }

    /// The only owner of slots among these hosts, as all others that are up see it.
    fn owner_among(&mut self, hosts: &[usize]) -> Option<usize> {
        let up: Vec<usize> = (0..self.hosts.len())
            .filter(|&at| self.hosts[at].up)
            .collect();
        let mut owners = up.into_iter().map(|at| {
            let mut owners = hosts.iter().copied();
            owners.find(|&host| self.seen(at, host).slot_count > 0)
        });
        let first = owners.next()?;
        owners.all(|owner| owner == first).then_some(first)?
    }

    fn logged(&self, at: usize, text: &str) -> bool {
        self.hosts[at].log.iter().any(|line| line.contains(text))
    }

    fn deliver(&mut self) {
        while let Some((to, link, frame)) = self.frames.pop_front() {
            if self.hosts[to].up && self.hosts[to].links.contains_key(&link) {
                self.input(
                    to,
                    Input::Frame {
                        link,
                        bytes: &frame,
                    },
                );
            }
        }
    }

    fn drain(&mut self, at: usize) {
        while let Some(output) = self.hosts[at].cluster.poll_output() {
            let host = &mut self.hosts[at];
            match output {
                Output::Persist(text) => host.disk = String::from_utf8(text).unwrap(),
                Output::Connect { link, addr } => self.connect(at, link, addr),
                Output::Send { link, frame } => {
                    if let Some(&(peer, peer_link)) = host.links.get(&link)
                        && !self.is_cut(at, peer)
                    {
                        self.frames.push_back((peer, peer_link, frame));
                    }
                }
                Output::Close { link } => {
                    if let Some((peer, peer_link)) = host.links.remove(&link) {
                        self.hosts[peer].links.remove(&peer_link);
                        self.input(
                            peer,
                            Input::Closed {
                                link: peer_link,
                                refused: false,
                            },
                        );
                    }
                }
                Output::ViewChanged => {}
                Output::DropKeys(slots) => host.dropped.push(*slots),
                Output::RoleChanged { term, role } => {
                    if term != host.role.0 {
                        host.offset = None;
                    }
                    host.role = (term, role);
                }
                Output::PauseWrites { .. } => host.paused = true,
                Output::ResumeWrites => host.paused = false,
                Output::Published {
                    sharded,
                    channel,
                    message,
                } => {
                    let text = |bytes: bytes::Bytes| String::from_utf8(bytes.to_vec()).unwrap();
                    host.published.push((sharded, text(channel), text(message)));
                }
                Output::Log { text, .. } => host.log.push(text),
            }
        }
    }

    fn connect(&mut self, at: usize, link: LinkId, addr: SocketAddr) {
        let found = (0..self.hosts.len()).find(|&peer| ip(peer) == addr.ip());
        let Some(peer) = found.filter(|&peer| self.hosts[peer].up && !self.is_cut(at, peer)) else {
            let refused = found.is_some_and(|peer| !self.is_cut(at, peer));
            return self.input(at, Input::Closed { link, refused });
        };
        let now = self.now;
        let peer_link = self.hosts[peer].cluster.accept(now, ip(at), ip(peer));
        self.hosts[peer].links.insert(peer_link, (at, link));
        self.hosts[at].links.insert(link, (peer, peer_link));
        self.input(
            at,
            Input::Connected {
                link,
                local_ip: ip(at),
            },
        );
    }

    fn is_cut(&self, a: usize, b: usize) -> bool {
        self.cuts.contains(&(a, b)) || self.cuts.contains(&(b, a))
    }

    /// Kills a process; its disk stays.
    fn kill(&mut self, at: usize) {
        self.hosts[at].up = false;
        for (_, (peer, peer_link)) in std::mem::take(&mut self.hosts[at].links) {
            self.hosts[peer].links.remove(&peer_link);
            if self.hosts[peer].up {
                self.input(
                    peer,
                    Input::Closed {
                        link: peer_link,
                        refused: false,
                    },
                );
            }
        }
    }

    fn restart(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        host.up = true;
        (host.role, host.offset) = ((0, Role::Primary), None);
        host.cluster = Cluster::load(&host.disk, host.config.clone(), 77, self.now).unwrap();
        self.drain(at);
    }

    fn set_config(&mut self, at: usize, change: impl FnOnce(&mut Config)) {
        let (now, host) = (self.now, &mut self.hosts[at]);
        change(&mut host.config);
        host.cluster.set_config(now, host.config.clone());
        self.drain(at);
    }

    /// Holds every host to what must hold at any time (INVARIANTS.md), as far as one view shows.
    fn check(&mut self) {
        for at in 0..self.hosts.len() {
            let view = self.view(at);
            let mut seen = SlotBitmap::new();
            for node in &view.nodes {
                assert!(
                    node.config_epoch <= view.current_epoch,
                    "invariant 8 at {at}"
                );
                let owned = view.slots_of(node);
                assert!(owned.intersection(&seen).is_empty(), "invariant 11 at {at}");
                assert_eq!(owned.count(), node.slot_count);
                seen.extend(owned.iter());
            }
            for slot in Slot::all() {
                assert_eq!(
                    view.owner(slot).is_some(),
                    seen.get(slot),
                    "invariant 11 at {at}"
                );
            }
        }
    }

    /// All hosts that are up have the same idea of slots, roles, epochs and addresses.
    fn assert_agreement(&mut self) {
        self.check();
        let up: Vec<usize> = (0..self.hosts.len())
            .filter(|&at| self.hosts[at].up)
            .collect();
        let idea = |view: &View| {
            let mut nodes: Vec<_> = view
                .nodes
                .iter()
                .map(|node| {
                    let flags = node.flags - NodeFlags::MYSELF - NodeFlags::MIGRATE_TO;
                    (
                        node.id,
                        node.ip,
                        node.port,
                        node.bus_port,
                        flags,
                        node.primary,
                        node.config_epoch,
                        node.slots.clone(),
                    )
                })
                .collect();
            nodes.sort_by_key(|node| node.0);
            (view.current_epoch, nodes)
        };
        let first = idea(&self.view(up[0]));
        for &at in &up[1..] {
            assert_eq!(
                idea(&self.view(at)),
                first,
                "host {at} against host {}",
                up[0]
            );
        }
    }
}
