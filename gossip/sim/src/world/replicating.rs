//! Data: clients' writes, replication, and what changes of role mean for both.
//!
//! A replica's driver looks at its primary several times a second and takes what is new; what is
//! written in between is lost if the primary dies. It makes sure that the node at the address is
//! the one that it is to follow.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use hexad_gossip::{Config, NodeId, Output, PrimaryLink, ReplicaOf, ReplicationState, Role};
use hexad_slots::{SLOT_COUNT, Slot, SlotBitmap};
use rand::Rng;

use super::{Event, World};
use crate::checks;
use crate::data::Op;
use crate::host::{Link, Pause, Stimulus};
use crate::network::HostId;
use crate::queue::{MS, Micros, SECOND};

/// The time between two looks at the primary, and how much that varies.
const LOOK_US: Micros = 150 * MS;
const LOOK_JITTER_US: Micros = 100 * MS;
/// A full copy takes at most this long.
const FULL_SYNC_US: Micros = 2 * SECOND;
/// Writes that are under way when a pause begins take at most this long.
const WRITE_US: Micros = 60 * MS;

impl World {
    /// Schedules a node's first look at its primary.
    pub(super) fn begin_replication(&mut self, host: HostId) {
        let first_us = self.rng.random_range(0..LOOK_US);
        self.schedule(self.now_us + first_us, Event::Replicate(host));
    }

    /// A replica's driver looks at its primary.
    pub(super) fn on_replicate(&mut self, host: HostId) {
        self.replicate(host);
        let wait_us = LOOK_US + self.rng.random_range(0..LOOK_JITTER_US);
        self.schedule(self.now_us + wait_us, Event::Replicate(host));
    }

    fn replicate(&mut self, host: HostId) {
        let now_us = self.now_us;
        let state = &self.hosts[host.index()];
        let Some(process) = state.process.as_ref().filter(|process| !process.paused) else {
            return;
        };
        let Role::Replica { of } = process.role else {
            return;
        };
        if now_us < state.replication_stalled_until_us {
            return;
        }
        let Some(source) = of.and_then(|of| self.source(of)) else {
            return self.lose_link(host);
        };
        let is_silent = self.net.is_cut(host, source) || self.net.is_cut(source, host);
        let stopped = |process: &crate::host::Process| process.paused;
        if is_silent
            || self.hosts[source.index()]
                .process
                .as_ref()
                .is_none_or(stopped)
        {
            return;
        }
        if source != host {
            self.sync(host, source);
        }
    }

    /// The host at the address of a primary, if it runs that node and has data to give.
    fn source(&self, of: ReplicaOf) -> Option<HostId> {
        let bus = SocketAddr::new(of.ip, of.port + Config::BUS_PORT_OFFSET);
        let host = self.net.host_at(bus)?;
        let process = self.hosts[host.index()].process.as_ref()?;
        let gives = process.role == Role::Primary || process.link != Link::Never;
        (process.cluster.id() == of.id && gives).then_some(host)
    }

    fn lose_link(&mut self, host: HostId) {
        if let Some(process) = self.hosts[host.index()].process.as_mut() {
            process.full_sync_until_us = None;
            if let Link::Up(heard_us) = process.link {
                process.link = Link::Down(heard_us);
            }
        }
    }

    fn sync(&mut self, host: HostId, source: HostId) {
        let now_us = self.now_us;
        let full_us = self.rng.random_range(LOOK_US..FULL_SYNC_US);
        let [state, from] = self
            .hosts
            .get_disjoint_mut([host.index(), source.index()])
            .expect("two hosts");
        let process = state.process.as_mut().expect("a running process");
        if !self.streams.catch_up(&mut state.data, &from.data) {
            let until_us = *process.full_sync_until_us.get_or_insert(now_us + full_us);
            if now_us < until_us {
                return;
            }
            state.data = from.data.clone();
            self.trace
                .note(now_us, host, format_args!("data: a copy of {source:?}'s"));
        }
        process.full_sync_until_us = None;
        process.link = Link::Up(now_us);
        process.synced_us = Some(now_us);
    }

    /// What a driver tells its machine of replication.
    pub(super) fn replication_state(&self, host: HostId) -> ReplicationState {
        let state = &self.hosts[host.index()];
        let process = state.process.as_ref().expect("a running process");
        let millis = |at_us| state.clock.millis(at_us);
        ReplicationState {
            term: process.term,
            offset: state.data.offset,
            link: match process.link {
                Link::Never => PrimaryLink::Never,
                Link::Up(heard_us) => PrimaryLink::Up {
                    heard_ms: millis(heard_us),
                },
                Link::Down(heard_us) => PrimaryLink::Down {
                    heard_ms: millis(heard_us),
                },
            },
        }
    }

    /// Carries out an output that is about replication.
    pub(super) fn perform_replication(&mut self, host: HostId, output: Output) {
        let (now_us, incarnation) = (self.now_us, self.hosts[host.index()].incarnation);
        let process = self.hosts[host.index()].process.as_mut();
        let process = process.expect("a running process");
        match output {
            Output::RoleChanged { term, role } => {
                let previous = std::mem::replace(&mut process.role, role);
                self.trace
                    .note(now_us, host, format_args!("role {term}: {role:?}"));
                if term != process.term {
                    process.term = term;
                    process.link = Link::Never;
                    process.full_sync_until_us = None;
                    process.leads_stream = false;
                }
                match role {
                    Role::Primary => checks::promoted(self, host),
                    Role::Replica { of: Some(of) } if previous == Role::Primary => {
                        checks::demoted(self, host, of.id);
                    }
                    Role::Replica { .. } => {}
                }
            }
            Output::PauseWrites { until_ms } => {
                process.pause = Pause::Beginning(until_ms);
                let rest_us = now_us + self.rng.random_range(0..WRITE_US);
                self.schedule(rest_us, Event::WritesRest(host, incarnation, until_ms));
            }
            _ => process.pause = Pause::Off,
        }
    }

    /// No write is under way any more on a host that is to pause.
    pub(super) fn on_writes_rest(&mut self, host: HostId, incarnation: u32, until_ms: u64) {
        let state = &mut self.hosts[host.index()];
        let process = state.process.as_mut();
        let Some(process) = process.filter(|_| state.incarnation == incarnation) else {
            return;
        };
        if process.pause == Pause::Beginning(until_ms) {
            process.pause = Pause::On(until_ms);
            let offset = state.data.offset;
            checks::paused(self, host);
            self.stimulate(host, Stimulus::WritesPaused { until_ms, offset });
        }
    }

    /// Whether a node takes no writes for the time being.
    fn rests(&self, host: HostId) -> bool {
        let state = &self.hosts[host.index()];
        let pause = state.process.as_ref().map(|process| process.pause);
        matches!(pause, Some(Pause::On(until_ms)) if state.clock.millis(self.now_us) < until_ms)
    }

    /// Changes the data of a primary.
    pub(super) fn change(&mut self, host: HostId, op: Op) {
        self.trace
            .note(self.now_us, host, format_args!("data: {op:?}"));
        let state = &mut self.hosts[host.index()];
        if let Some(process) = state.process.as_mut()
            && !std::mem::replace(&mut process.leads_stream, true)
        {
            self.streams.branch(&mut state.data);
        }
        self.streams.append(&mut state.data, op);
    }

    /// A client writes a key to a node that it takes for the owner. The node decides by the view
    /// that its cluster thread has published.
    pub(super) fn on_write(&mut self) {
        let slot = self.random_slot();
        let host = self.writes_to(slot);
        let has_keys = self.keys_in_slot(host, slot) > 0;
        let process = self.hosts[host.index()].process.as_ref();
        if let Some(process) = process.filter(|process| !process.paused) {
            let view = &process.published;
            let serves = match view.route(slot) {
                hexad_gossip::Route::Mine => true,
                // What is not here is asked for at the other node.
                hexad_gossip::Route::Migrating { .. } => has_keys,
                _ => false,
            };
            // A server whose cluster thread waits for its disk has no news of the cluster.
            let timeout_us = self.hosts[host.index()].config.node_timeout_ms * MS;
            let hangs = process.writing && self.now_us - process.writing_since_us > timeout_us;
            if serves && view.state.is_ok() && !hangs && !self.rests(host) {
                self.counts.accepted += 1;
                let cluster = self.hosts[host.index()].cluster;
                let (write, now_us) = (self.ledger.next_write(cluster, slot), self.now_us);
                self.change(host, Op::Add(slot, BTreeMap::from([(write, now_us)])));
                checks::accepted(self, host, slot, &[write]);
            }
        }
        let next_us = self.now_us + self.rng.random_range(20 * MS..180 * MS);
        self.schedule(next_us, Event::Write);
    }

    /// The host that a client takes for a slot's owner: by somebody's view, or by mistake.
    fn writes_to(&mut self, slot: Slot) -> HostId {
        let asked = self.random_host();
        let owner = self.view(asked).and_then(|view| view.owner(slot));
        let owner = owner.and_then(|id| self.host_of(id));
        owner
            .filter(|_| self.rng.random_ratio(3, 4))
            .unwrap_or(asked)
    }

    /// A slot that an administrator works on, or any.
    fn random_slot(&mut self) -> Slot {
        let hot = self.hot_slots.len();
        if hot > 0 && self.rng.random_ratio(2, 3) {
            return self.hot_slots[self.rng.random_range(0..hot)];
        }
        Slot::new(self.rng.random_range(0..SLOT_COUNT as u16)).expect("in range")
    }

    /// How many keys the node on a host has in a slot.
    #[must_use]
    pub(crate) fn keys_in_slot(&self, host: HostId, slot: Slot) -> usize {
        let keys = &self.hosts[host.index()].data.keys;
        keys.get(&slot).map_or(0, BTreeMap::len)
    }

    /// Whether the node on a host has no keys at all.
    #[must_use]
    pub(crate) fn is_dataset_empty(&self, host: HostId) -> bool {
        self.hosts[host.index()].data.keys.is_empty()
    }

    /// MIGRATE of all the keys of a slot; false if a pause forbids it.
    pub(crate) fn move_keys(&mut self, slot: Slot, from: HostId, to: HostId) -> bool {
        if self.rests(from) || self.rests(to) {
            return false;
        }
        let keys = &self.hosts[from.index()].data.keys;
        let Some(writes) = keys.get(&slot) else {
            return true;
        };
        let now_us = self.now_us;
        let moved: BTreeMap<_, _> = writes.keys().map(|write| (*write, now_us)).collect();
        let writes: Vec<_> = moved.keys().copied().collect();
        self.change(to, Op::Add(slot, moved));
        self.change(from, Op::Remove(slot));
        checks::received(self, to, slot, &writes);
        true
    }

    /// Deletes the keys of a slot.
    pub(crate) fn delete_keys(&mut self, slot: Slot, host: HostId) {
        if self.keys_in_slot(host, slot) > 0 {
            self.change(host, Op::Remove(slot));
        }
    }

    /// The machine has given slots up.
    pub(super) fn drop_keys(&mut self, host: HostId, slots: &SlotBitmap) {
        checks::dropping(self, host, slots);
        if slots.count() == SLOT_COUNT {
            return self.change(host, Op::Clear);
        }
        for slot in slots.iter() {
            self.delete_keys(slot, host);
        }
    }

    /// The host on whose disk a node is.
    #[must_use]
    pub(crate) fn host_of(&self, id: NodeId) -> Option<HostId> {
        self.host_ids().find(|host| {
            let conf = self.hosts[host.index()].durable.as_ref();
            conf.is_some_and(|conf| conf.me == id)
        })
    }
}
