//! The drivers of the machines, and what faults do to them.
//!
//! A driver gives its machine one input, takes all outputs, and carries them out in order; behind
//! a [`Output::Persist`] everything waits until the disk has it.

use std::net::IpAddr;

use hexad_gossip::{Cluster, Input, NodeId, Output};
use hexad_slots::SlotBitmap;
use rand::Rng;

use super::{Event, World};
use crate::checks::{self, Cause, PutOut};
use crate::conf::Conf;
use crate::faults::Fault;
use crate::host::{Effect, Process, Stimulus};
use crate::network::{Arrival, HostId, Packet, Side};
use crate::picture::Picture;
use crate::queue::Micros;
use crate::stranger::{self, Lie};
use crate::wire;

/// More ticks than this at one instant are a busy loop.
const MAX_TICKS_AT_ONCE: u32 = 10;
/// A view is looked at once in so many steps even if nothing says that it has changed.
const LOOK_EVERY_STEPS: u64 = 16;

impl World {
    pub(super) fn on_packet(&mut self, packet: Packet) {
        let arrived = self.net.arrive(self.now_us, packet);
        self.flush_network();
        let Some((host, conn, side, arrival)) = arrived else {
            return;
        };
        let peer = match &arrival {
            Arrival::Accepted { from } => self.address(*from).ip(),
            _ => self.address(host).ip(),
        };
        self.stimulate(host, Stimulus::Network(conn, side, arrival, peer));
    }

    pub(super) fn on_wake(&mut self, host: HostId, incarnation: u32) {
        let state = &mut self.hosts[host.index()];
        let Some(process) = state
            .process
            .as_mut()
            .filter(|_| state.incarnation == incarnation)
        else {
            return;
        };
        if process.wake_us != Some(self.now_us) {
            return;
        }
        process.wake_us = None;
        let is_due = process
            .cluster
            .poll_timeout()
            .is_some_and(|deadline_ms| deadline_ms <= state.clock.millis(self.now_us));
        if is_due {
            // One tick is enough, however long the process has been stopped.
            let waits = process
                .inbox
                .iter()
                .any(|waiting| matches!(waiting, Stimulus::Tick));
            if !waits {
                self.stimulate(host, Stimulus::Tick);
            }
        } else {
            self.arm(host);
        }
    }

    pub(super) fn on_disk_done(&mut self, host: HostId, incarnation: u32) {
        let state = &mut self.hosts[host.index()];
        let Some(process) = state
            .process
            .as_mut()
            .filter(|_| state.incarnation == incarnation)
        else {
            return;
        };
        process.writing = false;
        // A thread that waited for its disk was as good as stopped.
        process.resumed_us = self.now_us;
        state.disk.complete();
        self.counts.writes += 1;
        self.read_back(host);
        self.carry_out(host);
        self.empty_inbox(host);
    }

    /// Reads what the disk has, which has to be a whole configuration.
    fn read_back(&mut self, host: HostId) {
        let state = &mut self.hosts[host.index()];
        let Some(text) = state.disk.durable() else {
            return;
        };
        match Conf::parse(text) {
            Ok(conf) if conf.max_config_epoch > conf.current_epoch => {
                self.violation(8, format!("{host:?} wrote a nodes.conf with {conf:?}"));
            }
            Ok(conf) => state.outdated = state.durable.replace(conf),
            Err(error) => self.violation(17, format!("{host:?} wrote a bad nodes.conf: {error}")),
        }
    }

    /// Something happens to a process: now, or once it can run again.
    pub(super) fn stimulate(&mut self, host: HostId, stimulus: Stimulus) {
        let blocks = self.scenario.blocking_disk;
        let Some(process) = self.hosts[host.index()].process.as_mut() else {
            return;
        };
        if process.paused || (blocks && process.writing) || !process.inbox.is_empty() {
            process.inbox.push_back(stimulus);
        } else {
            self.handle(host, stimulus);
        }
    }

    fn empty_inbox(&mut self, host: HostId) {
        let blocks = self.scenario.blocking_disk;
        while let Some(process) = self.hosts[host.index()].process.as_mut() {
            if process.paused || (blocks && process.writing) {
                return;
            }
            let Some(stimulus) = process.inbox.pop_front() else {
                return;
            };
            self.handle(host, stimulus);
        }
    }

    fn handle(&mut self, host: HostId, stimulus: Stimulus) {
        self.tell_replication(host);
        let state = &mut self.hosts[host.index()];
        let now_ms = state.clock.millis(self.now_us);
        let local_ip = state.address.ip();
        let process = state.process.as_mut().expect("a running process");
        let cluster = &mut process.cluster;
        match stimulus {
            Stimulus::WritesPaused { until_ms, offset } => {
                cluster.handle(now_ms, Input::WritesPaused { until_ms, offset });
                self.after_step(host, &Cause::Link);
            }
            Stimulus::Tick => {
                cluster.handle(now_ms, Input::Tick);
                self.count_tick(host);
                self.after_step(host, &Cause::Tick);
            }
            Stimulus::Network(conn, side, Arrival::Accepted { .. }, peer_ip) => {
                let link = cluster.accept(now_ms, peer_ip, local_ip);
                process.bind(link, conn, side);
                self.after_step(host, &Cause::Link);
            }
            Stimulus::Network(conn, side, arrival, _) => {
                let Some(link) = process.link_of(conn, side) else {
                    return;
                };
                match arrival {
                    Arrival::Connected => {
                        let input = Input::Connected { link, local_ip };
                        process.cluster.handle(now_ms, input);
                        self.after_step(host, &Cause::Link);
                    }
                    Arrival::Closed { refused } => {
                        process.unbind(link);
                        process
                            .cluster
                            .handle(now_ms, Input::Closed { link, refused });
                        self.after_step(host, &Cause::Link);
                    }
                    Arrival::Frame(bytes) => {
                        let inbound = side == Side::Listener;
                        self.give_frame(host, link, inbound, &bytes);
                    }
                    Arrival::Accepted { .. } => unreachable!("handled above"),
                }
            }
        }
    }

    /// Tells a machine how far replication has got.
    pub(super) fn tell_replication(&mut self, host: HostId) {
        let state = self.replication_state(host);
        if let Some(process) = self.hosts[host.index()].process.as_mut() {
            process.cluster.set_replication(state);
        }
    }

    fn give_frame(
        &mut self,
        host: HostId,
        link: hexad_gossip::LinkId,
        inbound: bool,
        bytes: &[u8],
    ) {
        self.counts.frames += 1;
        let mut cause = Cause::frame(inbound, bytes);
        self.trace
            .note(self.now_us, host, format_args!("<- {}", cause.describe()));
        checks::before_frame(self, host, link, &mut cause);
        let now_ms = self.hosts[host.index()].clock.millis(self.now_us);
        let process = self.hosts[host.index()]
            .process
            .as_mut()
            .expect("a running process");
        process.cluster.handle(now_ms, Input::Frame { link, bytes });
        self.after_step(host, &cause);
    }

    fn count_tick(&mut self, host: HostId) {
        let now_us = self.now_us;
        let process = self.hosts[host.index()]
            .process
            .as_mut()
            .expect("a running process");
        let (at_us, ticks) = &mut process.ticks_at;
        *ticks = if *at_us == now_us { *ticks + 1 } else { 1 };
        *at_us = now_us;
        if *ticks > MAX_TICKS_AT_ONCE {
            self.violation(0, format!("{host:?} keeps ticking without time passing"));
        }
    }

    /// Takes what the machine has put out, checks the step, and goes on with the outputs.
    pub(super) fn after_step(&mut self, host: HostId, cause: &Cause<'_>) {
        let process = self.hosts[host.index()]
            .process
            .as_mut()
            .expect("a running process");
        let mut view_changed = false;
        // Anything that changes more than times and counters also writes, logs, or drops.
        // Links are looked at to know whom each of them leads to.
        let mut is_notable = cause.is_rare() || matches!(cause, Cause::Link);
        let mut put_out = PutOut::default();
        while let Some(output) = process.cluster.poll_output() {
            is_notable |= !matches!(output, Output::Send { .. } | Output::ViewChanged);
            match output {
                Output::ViewChanged => view_changed = true,
                Output::Log { text, .. } => {
                    self.trace
                        .note(self.now_us, host, format_args!("log: {text}"));
                }
                output => {
                    match &output {
                        Output::DropKeys(slots) => put_out.dropped.push((**slots).clone()),
                        Output::Send { frame, .. } => put_out.note_frame(frame),
                        Output::Close { link } => process.deafen(*link),
                        _ => {}
                    }
                    process.effects.push_back(Effect::Output(output));
                }
            }
        }
        if view_changed && is_notable {
            // The last of the outputs that matter for the workers.
            let view = process.cluster.view();
            process.effects.push_back(Effect::Publish(view));
        }
        let must_look = is_notable || self.counts.events.is_multiple_of(LOOK_EVERY_STEPS);
        if must_look {
            let next = Picture::new(process.cluster.view());
            let previous = std::mem::replace(&mut process.picture, next);
            checks::after_step(self, host, cause, &previous, &put_out);
        }
        self.trace.mix(self.now_us ^ (u64::from(host.0) << 48));
        self.carry_out(host);
        self.arm(host);
    }

    /// Carries out outputs in order, up to a write of nodes.conf.
    fn carry_out(&mut self, host: HostId) {
        while let Some(process) = self.hosts[host.index()].process.as_mut() {
            if process.writing {
                break;
            }
            let Some(effect) = process.effects.pop_front() else {
                break;
            };
            match effect {
                Effect::Publish(view) => process.published = view,
                Effect::Output(output) => self.perform(host, output),
            }
        }
        self.flush_network();
    }

    fn perform(&mut self, host: HostId, output: Output) {
        let now_us = self.now_us;
        let state = &mut self.hosts[host.index()];
        let process = state.process.as_mut().expect("a running process");
        match output {
            Output::Persist(text) => {
                process.writing = true;
                process.writing_since_us = now_us;
                state.disk.begin(text);
                let incarnation = state.incarnation;
                let done_us = now_us + self.disk_latency(host);
                self.schedule(done_us, Event::DiskDone(host, incarnation));
            }
            Output::Connect { link, addr } => {
                let conn = self.net.connect(now_us, host, addr);
                process.bind(link, conn, Side::Opener);
            }
            Output::Send { link, frame } => {
                let end = process.end_of(link);
                let peer = end.and_then(|(conn, side)| self.net.peer(conn, side));
                checks::wire(self, host, peer, &frame);
                if let Some((conn, side)) = end {
                    self.trace.mix(frame.len() as u64);
                    self.net.send(now_us, conn, side, frame);
                }
            }
            Output::Close { link } => {
                if let Some((conn, side)) = process.unbind(link) {
                    self.net.close(now_us, conn, side);
                }
            }
            Output::DropKeys(slots) => self.drop_keys(host, &slots),
            output @ (Output::RoleChanged { .. }
            | Output::PauseWrites { .. }
            | Output::ResumeWrites) => self.perform_replication(host, output),
            Output::Published { .. } | Output::ViewChanged | Output::Log { .. } => {}
        }
    }

    fn disk_latency(&mut self, host: HostId) -> Micros {
        let usual_us = self
            .rng
            .random_range(self.scenario.disk_us / 10..=self.scenario.disk_us);
        let stalled_us = self.hosts[host.index()].disk.stalled_until_us;
        usual_us.max(stalled_us.saturating_sub(self.now_us))
    }

    /// Sets the timer of a process to what its machine asks for.
    fn arm(&mut self, host: HostId) {
        let state = &mut self.hosts[host.index()];
        let Some(process) = state.process.as_mut() else {
            return;
        };
        let Some(deadline_ms) = process.cluster.poll_timeout() else {
            return;
        };
        let wake_us = state.clock.instant_of(deadline_ms).max(self.now_us);
        if process.wake_us.is_none_or(|armed_us| wake_us < armed_us) {
            process.wake_us = Some(wake_us);
            let incarnation = state.incarnation;
            self.schedule(wake_us, Event::Wake(host, incarnation));
        }
    }

    fn flush_network(&mut self) {
        for (at_us, packet) in self.net.departures() {
            self.queue.push(at_us, Event::Packet(packet));
        }
    }

    /// A fault begins or ends.
    pub(crate) fn fault(&mut self, fault: Fault) {
        self.trace.headline(self.now_us, format_args!("{fault:?}"));
        let now_us = self.now_us;
        match fault {
            Fault::Kill(host) => self.kill(host),
            Fault::Start(host) => self.start(host),
            Fault::PowerOff(host) => self.power_off(host),
            Fault::PowerOn(host) => {
                self.hosts[host.index()].powered = true;
                self.net.power_on(self.now_us, host);
                self.flush_network();
                self.start(host);
            }
            Fault::Pause(host) => {
                if let Some(process) = self.hosts[host.index()].process.as_mut() {
                    process.paused = true;
                }
            }
            Fault::Resume(host) => self.resume(host),
            Fault::Cut(pairs) => pairs.iter().for_each(|&(from, to)| self.net.cut(from, to)),
            Fault::Heal(pairs) => {
                pairs
                    .iter()
                    .for_each(|&(from, to)| self.net.heal(now_us, from, to));
                self.flush_network();
            }
            Fault::Reset(host) => self.reset_links(host),
            Fault::StallDisk(host, until_us) => {
                self.hosts[host.index()].disk.stalled_until_us = until_us;
            }
            Fault::StallReplication(host, until_us) => {
                self.hosts[host.index()].replication_stalled_until_us = until_us;
            }
            Fault::Stranger(host) => self.bring_stranger(host),
            Fault::SwapAddresses(one, other) => self.swap_addresses(one, other),
        }
    }

    /// Starts the process of a host, if it has power and none runs.
    pub(super) fn start(&mut self, host: HostId) {
        let state = &self.hosts[host.index()];
        if !state.powered || state.process.is_some() {
            return;
        }
        let seed = self.rng.random();
        let now_ms = state.clock.millis(self.now_us);
        let config = state.config.clone();
        let loaded = match state.disk.durable() {
            None => Ok(Cluster::new(config, seed, now_ms)),
            Some(text) => std::str::from_utf8(text)
                .map_err(|error| error.to_string())
                .and_then(|text| {
                    Cluster::load(text, config, seed, now_ms).map_err(|error| error.to_string())
                }),
        };
        let mut cluster = match loaded {
            Ok(cluster) => cluster,
            Err(error) => {
                return self.violation(17, format!("{host:?} cannot load nodes.conf: {error}"));
            }
        };
        let mut slots = SlotBitmap::new();
        state.data.keys.keys().for_each(|&slot| {
            slots.set(slot);
        });
        checks::loaded(self, host, &Picture::new(cluster.view()));
        cluster.data_loaded(now_ms, &slots);
        let state = &mut self.hosts[host.index()];
        state.incarnation += 1;
        state.process = Some(Process::new(cluster, self.now_us));
        self.net.set_listening(host, true);
        self.after_step(host, &Cause::Start);
    }

    fn kill(&mut self, host: HostId) {
        let Some(process) = self.hosts[host.index()].process.take() else {
            return;
        };
        self.net.set_listening(host, false);
        for (conn, side) in process.all_ends() {
            self.net.close(self.now_us, conn, side);
        }
        self.crash_disk(host);
        self.flush_network();
    }

    fn power_off(&mut self, host: HostId) {
        self.hosts[host.index()].powered = false;
        self.net.power_off(host);
        let Some(process) = self.hosts[host.index()].process.take() else {
            return;
        };
        for (conn, side) in process.all_ends() {
            self.net.vanish(conn, side);
        }
        self.crash_disk(host);
    }

    fn crash_disk(&mut self, host: HostId) {
        let renamed = self.rng.random_ratio(1, 2);
        self.hosts[host.index()].disk.crash(renamed);
        self.read_back(host);
    }

    fn resume(&mut self, host: HostId) {
        let now_us = self.now_us;
        let Some(process) = self.hosts[host.index()].process.as_mut() else {
            return;
        };
        if std::mem::replace(&mut process.paused, false) {
            process.resumed_us = now_us;
            self.empty_inbox(host);
        }
    }

    fn reset_links(&mut self, host: HostId) {
        let Some(process) = self.hosts[host.index()].process.as_mut() else {
            return;
        };
        let ends = process.all_ends();
        for (conn, side) in ends {
            let peer: IpAddr = self.address(host).ip();
            let closed = Arrival::Closed { refused: false };
            self.net.close(self.now_us, conn, side);
            self.stimulate(host, Stimulus::Network(conn, side, closed, peer));
        }
        self.flush_network();
    }

    /// Swaps the addresses of two hosts on which nothing runs.
    fn swap_addresses(&mut self, one: HostId, other: HostId) {
        let is_down = |host: HostId| self.hosts[host.index()].process.is_none();
        if one == other || !is_down(one) || !is_down(other) {
            return;
        }
        let [a, b] = self
            .hosts
            .get_disjoint_mut([one.index(), other.index()])
            .expect("two hosts");
        std::mem::swap(&mut a.address, &mut b.address);
        std::mem::swap(&mut a.config.port, &mut b.config.port);
        self.net.assign(self.address(one), one);
        self.net.assign(self.address(other), other);
    }

    /// A connection from nowhere brings one frame.
    fn bring_stranger(&mut self, host: HostId) {
        if !self.answers(host) {
            return;
        }
        let known: Vec<NodeId> = self.hosts[host.index()]
            .process
            .iter()
            .flat_map(|process| process.picture.nodes().map(|node| node.id))
            .collect();
        let about = known[self.rng.random_range(0..known.len())];
        let epoch = self.rng.random_range(1_000_000..2_000_000);
        let bytes = stranger::frame(&mut self.rng, Lie { about, epoch });
        debug_assert!(wire::Frame::new(&bytes).is_some());
        let state = &mut self.hosts[host.index()];
        let now_ms = state.clock.millis(self.now_us);
        let process = state.process.as_mut().expect("a node that answers");
        let peer_ip = IpAddr::from([10, 9, 9, 9]);
        let link = process.cluster.accept(now_ms, peer_ip, state.address.ip());
        self.give_frame(host, link, true, &bytes);
        let state = &mut self.hosts[host.index()];
        if let Some(process) = state.process.as_mut() {
            process.cluster.handle(
                now_ms,
                Input::Closed {
                    link,
                    refused: false,
                },
            );
            self.after_step(host, &Cause::Link);
        }
    }

    /// Looks at all nodes anew.
    pub(super) fn look(&mut self) {
        self.host_ids().for_each(|host| self.look_at(host));
    }

    /// Looks at one node anew.
    pub(crate) fn look_at(&mut self, host: HostId) {
        if let Some(process) = self.hosts[host.index()].process.as_mut() {
            process.picture = Picture::new(process.cluster.view());
        }
    }
}
