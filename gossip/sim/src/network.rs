//! The network: hosts, cuts between them, and TCP connections that carry whole frames in order.
//!
//! What is modelled of TCP: a connection attempt is refused where a host runs no process, is
//! retried where packets are lost, and completes without the process when that process is stopped
//! (the kernel accepts). Data in one direction keeps its order; a cut holds it back rather than
//! losing it, and it flows on when the cut heals before somebody gives up. A killed process's
//! kernel closes its connections; a host that lost power says nothing, and resets them when it is
//! back. A frame that was cut in half by a close never reaches the machine, so frames are the
//! unit here.
//!
//! Beyond TCP, a scenario may lose and double frames, as a stress.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::queue::{MS, Micros, SECOND};

/// A machine that runs at most one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HostId(pub u16);

impl HostId {
    /// As an index.
    #[must_use]
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A connection, established or being so. Ids are not reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnId(u32);

/// One of the two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    /// The end that connected.
    Opener,
    /// The end that accepted.
    Listener,
}

impl Side {
    fn other(self) -> Side {
        match self {
            Side::Opener => Side::Listener,
            Side::Listener => Side::Opener,
        }
    }
}

/// How packets fare in a scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// The least one-way delay.
    pub delay_us: Micros,
    /// Up to this much is added, evenly spread.
    pub jitter_us: Micros,
    /// One segment in so many is held up by a retransmission (0: none).
    pub spike_one_in: u32,
    /// One frame in so many is lost, and its connection is reset within seconds (0: none), as by a
    /// box in between that has forgotten the connection.
    pub drop_one_in: u32,
    /// One frame in so many arrives twice (0: none). TCP does not do that.
    pub double_one_in: u32,
}

/// What the queue holds for the network.
#[derive(Debug)]
pub(crate) enum Packet {
    /// A connection attempt reaches the other host.
    Syn {
        /// The connection.
        conn: ConnId,
        /// How often it has been repeated.
        attempt: u32,
    },
    /// A connection that has lost a frame is reset.
    Break(ConnId),
    /// The next segment of a direction reaches its end.
    Segment {
        /// The connection.
        conn: ConnId,
        /// The end that it reaches.
        to: Side,
    },
}

/// What a packet means to the process at the end that it reached.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// A new inbound connection.
    Accepted {
        /// The host that connected.
        from: HostId,
    },
    /// The connection asked for is up.
    Connected,
    /// The connection is gone, or never came up.
    Closed {
        /// Because nobody listened there.
        refused: bool,
    },
    /// A frame.
    Frame(Bytes),
}

/// Arrivals name the host, the connection and the end.
pub(crate) type Arrived = (HostId, ConnId, Side, Arrival);

/// How often a connection attempt is repeated before it counts as timed out, as Linux does.
const SYN_RETRIES: u32 = 6;

/// All hosts and connections.
#[derive(Debug)]
pub(crate) struct Network {
    rng: SmallRng,
    weather: Weather,
    hosts: Vec<Host>,
    addresses: BTreeMap<SocketAddr, HostId>,
    /// `cuts[from][to]`: how many faults in force cut this direction.
    cuts: Vec<Vec<u8>>,
    conns: Vec<Conn>,
    /// Directions in which segments wait for a cut to heal, by the end that they go to.
    waiting: BTreeSet<(ConnId, Side)>,
    /// Packets on their way that the queue has not been given yet.
    outbox: Vec<(Micros, Packet)>,
}

#[derive(Debug)]
struct Host {
    powered: bool,
    listening: bool,
}

#[derive(Debug)]
struct Conn {
    opener: HostId,
    /// The host that the attempt reached; before that nobody.
    listener: Option<HostId>,
    address: SocketAddr,
    /// Whether the process at this end still has it; by [`Side`].
    open: [bool; 2],
    /// The directions, by the [`Side`] that they go to.
    toward: [Direction; 2],
}

/// What travels one way. A packet in the queue says only *that* the next segment arrives; which
/// one it is, this tells, so that nothing can overtake.
#[derive(Debug, Default)]
struct Direction {
    last_arrival_us: Micros,
    in_flight: VecDeque<Segment>,
    /// How many of them would have arrived but for a cut.
    held: usize,
}

/// What travels along a connection once the attempt has reached the other host.
#[derive(Debug)]
enum Segment {
    /// The connection is up.
    Accept,
    /// Nobody listens there.
    Refuse,
    /// A frame of the bus.
    Frame(Bytes),
    /// The other process closed its end, or died.
    Close,
}

impl Network {
    /// A connection that has lost a frame is reset within this time.
    pub(crate) const LAST_RESET_US: Micros = 10 * SECOND;

    /// A network of `hosts` hosts, powered on, on which nothing listens yet.
    #[must_use]
    pub(crate) fn new(seed: u64, hosts: usize, weather: Weather) -> Self {
        Network {
            rng: SmallRng::seed_from_u64(seed),
            weather,
            hosts: (0..hosts)
                .map(|_| Host {
                    powered: true,
                    listening: false,
                })
                .collect(),
            addresses: BTreeMap::new(),
            cuts: vec![vec![0; hosts]; hosts],
            conns: Vec::new(),
            waiting: BTreeSet::new(),
            outbox: Vec::new(),
        }
    }

    /// Packets that the last calls have put on their way: when they arrive, and what they are.
    /// The caller queues them.
    pub(crate) fn departures(&mut self) -> std::vec::Drain<'_, (Micros, Packet)> {
        self.outbox.drain(..)
    }

    /// From now on the network is at its best: no losses, no doubles, no spikes.
    pub(crate) fn calm(&mut self) {
        self.weather.spike_one_in = 0;
        self.weather.drop_one_in = 0;
        self.weather.double_one_in = 0;
    }

    /// Gives an address to a host; whoever had it loses it.
    pub(crate) fn assign(&mut self, address: SocketAddr, host: HostId) {
        self.addresses.insert(address, host);
    }

    /// The host with an address.
    #[must_use]
    pub(crate) fn host_at(&self, address: SocketAddr) -> Option<HostId> {
        self.addresses.get(&address).copied()
    }

    /// A process on `host` starts or stops listening.
    pub(crate) fn set_listening(&mut self, host: HostId, listening: bool) {
        self.hosts[host.index()].listening = listening;
    }

    /// A host loses its power: nothing reaches it and nobody answers for it.
    pub(crate) fn power_off(&mut self, host: HostId) {
        self.hosts[host.index()] = Host {
            powered: false,
            listening: false,
        };
    }

    /// A host boots. What others have been repeating for lack of an answer reaches it now.
    pub(crate) fn power_on(&mut self, now_us: Micros, host: HostId) {
        self.hosts[host.index()].powered = true;
        self.release(now_us, |_, receiver| receiver == host);
    }

    /// Whether the direction is cut.
    #[must_use]
    pub(crate) fn is_cut(&self, from: HostId, to: HostId) -> bool {
        self.cuts[from.index()][to.index()] > 0
    }

    /// Cuts one direction; cuts add up.
    pub(crate) fn cut(&mut self, from: HostId, to: HostId) {
        self.cuts[from.index()][to.index()] += 1;
    }

    /// Takes back one [`Network::cut`]. What waited in open connections flows again.
    pub(crate) fn heal(&mut self, now_us: Micros, from: HostId, to: HostId) {
        let cuts = &mut self.cuts[from.index()][to.index()];
        *cuts = cuts.checked_sub(1).expect("a cut to heal");
        if *cuts > 0 {
            return;
        }
        self.release(now_us, |sender, receiver| sender == from && receiver == to);
    }

    /// Lets segments flow again that have waited between such hosts, a retransmission timeout
    /// later.
    fn release(&mut self, now_us: Micros, is_healed: impl Fn(HostId, HostId) -> bool) {
        let healed: Vec<_> = (self.waiting.iter().copied())
            .filter(|&(conn, side)| {
                let ends = self.host(conn, side.other()).zip(self.host(conn, side));
                ends.is_some_and(|(sender, receiver)| is_healed(sender, receiver))
            })
            .collect();
        for (conn, to) in healed {
            self.waiting.remove(&(conn, to));
            let resume_us = now_us + self.rng.random_range(MS..SECOND);
            let direction = &mut self.conns[conn.0 as usize].toward[to as usize];
            direction.last_arrival_us = direction.last_arrival_us.max(resume_us);
            for _ in 0..std::mem::take(&mut direction.held) {
                self.outbox
                    .push((direction.last_arrival_us, Packet::Segment { conn, to }));
            }
        }
    }

    /// Starts connecting. The attempt goes on until it is answered, given up, or closed.
    pub(crate) fn connect(&mut self, now_us: Micros, from: HostId, to: SocketAddr) -> ConnId {
        let conn = ConnId(u32::try_from(self.conns.len()).expect("fewer than 2^32 connections"));
        self.conns.push(Conn {
            opener: from,
            listener: None,
            address: to,
            open: [true, false],
            toward: Default::default(),
        });
        let arrival_us = now_us + self.delay();
        self.outbox
            .push((arrival_us, Packet::Syn { conn, attempt: 0 }));
        conn
    }

    /// The host at the other end of a connection, as far as one has been reached.
    #[must_use]
    pub(crate) fn peer(&self, conn: ConnId, side: Side) -> Option<HostId> {
        let conn = &self.conns[conn.0 as usize];
        match side {
            Side::Opener => conn.listener,
            Side::Listener => Some(conn.opener),
        }
    }

    /// Sends a frame from one end. Nothing happens when that end is closed.
    pub(crate) fn send(&mut self, now_us: Micros, conn: ConnId, from: Side, frame: Bytes) {
        if !self.conns[conn.0 as usize].open[from as usize] {
            return;
        }
        if self.one_in(self.weather.drop_one_in) {
            let reset_us = now_us + self.rng.random_range(MS..Self::LAST_RESET_US);
            self.outbox.push((reset_us, Packet::Break(conn)));
            return;
        }
        if self.one_in(self.weather.double_one_in) {
            self.dispatch(now_us, conn, from.other(), Segment::Frame(frame.clone()));
        }
        self.dispatch(now_us, conn, from.other(), Segment::Frame(frame));
    }

    /// The process at one end closes it (or dies, its kernel living on).
    pub(crate) fn close(&mut self, now_us: Micros, conn: ConnId, side: Side) {
        let open = &mut self.conns[conn.0 as usize].open;
        let was_open = std::mem::replace(&mut open[side as usize], false);
        if was_open && open[side.other() as usize] {
            self.dispatch(now_us, conn, side.other(), Segment::Close);
        }
    }

    /// The host at one end lost power: the end is gone, and the other one is not told.
    pub(crate) fn vanish(&mut self, conn: ConnId, side: Side) {
        self.conns[conn.0 as usize].open[side as usize] = false;
    }

    /// A packet reaches its host: what that means to the process there.
    pub(crate) fn arrive(&mut self, now_us: Micros, packet: Packet) -> Option<Arrived> {
        match packet {
            Packet::Syn { conn, attempt } => self.on_syn(now_us, conn, attempt),
            Packet::Break(conn) => {
                for side in [Side::Opener, Side::Listener] {
                    if self.conns[conn.0 as usize].open[side as usize] {
                        self.dispatch(now_us, conn, side, Segment::Close);
                    }
                }
                None
            }
            Packet::Segment { conn, to } => self.on_segment(now_us, conn, to),
        }
    }

    fn on_syn(&mut self, now_us: Micros, conn: ConnId, attempt: u32) -> Option<Arrived> {
        let state = &self.conns[conn.0 as usize];
        let opener = state.opener;
        if !state.open[Side::Opener as usize] {
            return None;
        }
        let reached = self.addresses.get(&state.address).copied().filter(|&host| {
            self.hosts[host.index()].powered
                && !self.is_cut(opener, host)
                && !self.is_cut(host, opener)
        });
        let Some(host) = reached else {
            return self.repeat_syn(now_us, conn, attempt);
        };
        let listening = self.hosts[host.index()].listening;
        let state = &mut self.conns[conn.0 as usize];
        state.listener = Some(host);
        state.open[Side::Listener as usize] = listening;
        let answer = if listening {
            Segment::Accept
        } else {
            Segment::Refuse
        };
        self.dispatch(now_us, conn, Side::Opener, answer);
        listening.then_some((
            host,
            conn,
            Side::Listener,
            Arrival::Accepted { from: opener },
        ))
    }

    fn repeat_syn(&mut self, now_us: Micros, conn: ConnId, attempt: u32) -> Option<Arrived> {
        if attempt < SYN_RETRIES {
            let again = Packet::Syn {
                conn,
                attempt: attempt + 1,
            };
            self.outbox.push((now_us + (SECOND << attempt), again));
            return None;
        }
        let state = &mut self.conns[conn.0 as usize];
        state.open[Side::Opener as usize] = false;
        Some((
            state.opener,
            conn,
            Side::Opener,
            Arrival::Closed { refused: false },
        ))
    }

    fn on_segment(&mut self, now_us: Micros, conn: ConnId, to: Side) -> Option<Arrived> {
        let receiver = self
            .host(conn, to)
            .expect("segments flow once the attempt has arrived");
        let sender = self.host(conn, to.other()).expect("as above");
        let is_lost = self.is_cut(sender, receiver) || !self.hosts[receiver.index()].powered;
        let state = &mut self.conns[conn.0 as usize];
        let direction = &mut state.toward[to as usize];
        if is_lost {
            direction.held += 1;
            self.waiting.insert((conn, to));
            return None;
        }
        let segment = direction
            .in_flight
            .pop_front()
            .expect("a packet for each segment");
        if !state.open[to as usize] {
            // The kernel answers for a dead end with a reset.
            if matches!(segment, Segment::Frame(_) | Segment::Accept)
                && state.open[to.other() as usize]
            {
                self.dispatch(now_us, conn, to.other(), Segment::Close);
            }
            return None;
        }
        let arrival = match segment {
            Segment::Accept => Arrival::Connected,
            Segment::Frame(frame) => Arrival::Frame(frame),
            Segment::Refuse | Segment::Close => {
                state.open[to as usize] = false;
                Arrival::Closed {
                    refused: matches!(segment, Segment::Refuse),
                }
            }
        };
        Some((receiver, conn, to, arrival))
    }

    /// Puts a segment on its way to `to`: it arrives after everything sent before it.
    fn dispatch(&mut self, now_us: Micros, conn: ConnId, to: Side, segment: Segment) {
        let arrival_us = now_us + self.delay();
        let direction = &mut self.conns[conn.0 as usize].toward[to as usize];
        direction.last_arrival_us = direction.last_arrival_us.max(arrival_us);
        direction.in_flight.push_back(segment);
        self.outbox
            .push((direction.last_arrival_us, Packet::Segment { conn, to }));
    }

    fn delay(&mut self) -> Micros {
        let jitter_us = self.rng.random_range(0..=self.weather.jitter_us);
        let spike_us = match self.one_in(self.weather.spike_one_in) {
            true => self.rng.random_range(200 * MS..2 * SECOND),
            false => 0,
        };
        self.weather.delay_us + jitter_us + spike_us
    }

    fn one_in(&mut self, count: u32) -> bool {
        count > 0 && self.rng.random_range(0..count) == 0
    }

    fn host(&self, conn: ConnId, side: Side) -> Option<HostId> {
        let state = &self.conns[conn.0 as usize];
        match side {
            Side::Opener => Some(state.opener),
            Side::Listener => state.listener,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Queue;

    const A: HostId = HostId(0);
    const B: HostId = HostId(1);
    const STEADY: Weather = Weather {
        delay_us: 10,
        jitter_us: 5,
        spike_one_in: 0,
        drop_one_in: 0,
        double_one_in: 0,
    };

    struct Bench {
        net: Network,
        queue: Queue<Packet>,
        now_us: Micros,
    }

    impl Bench {
        fn new() -> Self {
            let mut net = Network::new(1, 2, STEADY);
            net.assign(address(), B);
            net.set_listening(B, true);
            Bench {
                net,
                queue: Queue::new(),
                now_us: 0,
            }
        }

        fn schedule(&mut self) {
            for (at_us, packet) in self.net.departures() {
                self.queue.push(at_us, packet);
            }
        }

        fn connect(&mut self) -> ConnId {
            self.net.connect(self.now_us, A, address())
        }

        fn send(&mut self, conn: ConnId, from: Side, text: &'static str) {
            self.net
                .send(self.now_us, conn, from, Bytes::from_static(text.as_bytes()));
        }

        /// Runs until nothing is queued; what arrived, in words.
        fn run(&mut self) -> Vec<String> {
            let mut seen = Vec::new();
            self.schedule();
            while let Some((at_us, packet)) = self.queue.pop() {
                self.now_us = at_us;
                let arrived = self.net.arrive(at_us, packet);
                self.schedule();
                seen.extend(arrived.map(|(host, _, _, arrival)| match arrival {
                    Arrival::Frame(text) => {
                        format!("{} {}", host.0, String::from_utf8_lossy(&text))
                    }
                    other => format!("{} {other:?}", host.0),
                }));
            }
            seen
        }
    }

    fn address() -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], 17000))
    }

    #[test]
    fn frames_keep_their_order_and_the_close_comes_last() {
        let mut bench = Bench::new();
        let conn = bench.connect();
        assert_eq!(
            bench.run(),
            ["1 Accepted { from: HostId(0) }", "0 Connected"]
        );
        for text in ["a", "b", "c"] {
            bench.send(conn, Side::Opener, text);
        }
        bench.net.close(bench.now_us, conn, Side::Opener);
        assert_eq!(
            bench.run(),
            ["1 a", "1 b", "1 c", "1 Closed { refused: false }"]
        );
    }

    #[test]
    fn a_host_without_the_process_refuses() {
        let mut bench = Bench::new();
        bench.net.set_listening(B, false);
        bench.connect();
        assert_eq!(bench.run(), ["0 Closed { refused: true }"]);
    }

    #[test]
    fn an_attempt_at_a_dead_host_times_out() {
        let mut bench = Bench::new();
        bench.net.power_off(B);
        bench.connect();
        assert_eq!(bench.run(), ["0 Closed { refused: false }"]);
        assert!(
            bench.now_us >= 60 * SECOND,
            "gave up after {} us",
            bench.now_us
        );
    }

    #[test]
    fn a_cut_holds_frames_back_one_way_only() {
        let mut bench = Bench::new();
        let conn = bench.connect();
        bench.run();
        bench.net.cut(A, B);
        bench.send(conn, Side::Opener, "held");
        bench.send(conn, Side::Listener, "free");
        assert_eq!(bench.run(), ["0 free"]);
        bench.net.heal(bench.now_us, A, B);
        bench.send(conn, Side::Opener, "after");
        assert_eq!(bench.run(), ["1 held", "1 after"]);
    }

    #[test]
    fn a_power_loss_is_silent_until_the_host_is_back() {
        let mut bench = Bench::new();
        let conn = bench.connect();
        bench.run();
        bench.net.power_off(B);
        bench.net.vanish(conn, Side::Listener);
        bench.send(conn, Side::Opener, "lost");
        assert_eq!(bench.run(), [""; 0]);
        bench.net.power_on(bench.now_us, B);
        assert_eq!(bench.run(), ["0 Closed { refused: false }"]);
    }
}
