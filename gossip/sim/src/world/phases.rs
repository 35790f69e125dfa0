//! The course of a run: a cluster forms, trouble, healing, quiet, and a last death to see how
//! fast it is found out.

use hexad_gossip::NodeFlags;
use rand::Rng;
use rand::seq::IndexedRandom;

use super::{Event, World, pictures};
use crate::admin::{self, Forming, Progress, Work};
use crate::checks::quiescence;
use crate::faults;
use crate::network::{HostId, Network};
use crate::queue::{MS, Micros, SECOND};
use crate::scenario::HEAL_AT_US;

/// The time between two looks at the state of things.
const LOOK_EVERY_US: Micros = 250 * MS;
/// How long the administrators may take to finish after everything has healed. Forgotten ids are
/// refused for a minute, and a node that is replaced may have to wait for that.
const FINISH_WITHIN_US: Micros = 240 * SECOND;
/// Added to the times that are given in node timeouts: ticks, round trips, and the disk.
const SLACK_US: Micros = 2 * SECOND;

/// What is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The clusters form, without faults other than the weather's.
    Forming,
    /// Faults and work.
    Trouble,
    /// Everything has healed, and administrators finish what they have begun.
    Finishing,
    /// The second list of INVARIANTS.md has to hold at last.
    Settling { until_us: Micros, is_last: bool },
    /// And to stay.
    Watching { until_us: Micros, is_last: bool },
    /// A node has died: the others have to find out.
    Detecting { victim: HostId, died_us: Micros },
    /// They have; a replica has to take its place, if there is one that can.
    FailingOver { victim: HostId, until_us: Micros },
    /// They have; it comes back.
    Returning { victim: HostId, at_us: Micros },
    /// The end.
    Over,
}

impl World {
    pub(super) fn begin(&mut self) {
        for host in self.host_ids() {
            self.start(host);
            self.begin_replication(host);
        }
        for cluster in 0..=usize::from(self.scenario.second_cluster > 0) {
            let hosts = self
                .host_ids()
                .filter(|host| self.hosts[host.index()].cluster == cluster);
            let forming = Forming::plan(self, hosts.collect());
            self.start_work(Work::Form(forming));
        }
        self.schedule(SECOND, Event::Write);
        self.schedule(LOOK_EVERY_US, Event::Phase);
    }

    pub(super) fn on_strike(&mut self) {
        if self.now_us < HEAL_AT_US {
            self.counts.faults += 1;
            if let Some(next_us) = faults::strike(self) {
                self.schedule(next_us, Event::Strike);
            }
        }
    }

    pub(super) fn on_new_work(&mut self) {
        if let Some(next_us) = admin::begin(self) {
            self.schedule(next_us, Event::NewWork);
        }
    }

    pub(super) fn on_work(&mut self, id: u64) {
        let Some(at) = self.works.iter().position(|(known, _)| *known == id) else {
            return;
        };
        let mut work = self.works[at]
            .1
            .take()
            .expect("work is not advanced by itself");
        match work.advance(self) {
            Progress::Again(wait_us) => {
                self.works[at].1 = Some(work);
                self.schedule(self.now_us + wait_us, Event::Work(id));
            }
            Progress::Done => self.works.retain(|(known, _)| *known != id),
        }
    }

    pub(super) fn on_phase(&mut self) {
        let next = self.next_phase();
        if next != self.phase {
            self.trace.headline(self.now_us, format_args!("{next:?}"));
            self.phase = next;
        }
        self.schedule(self.now_us + LOOK_EVERY_US, Event::Phase);
    }

    fn next_phase(&mut self) -> Phase {
        let now_us = self.now_us;
        match self.phase {
            Phase::Forming if self.works.is_empty() => {
                self.ledger.note_owned(pictures(&self.hosts));
                self.schedule(now_us + SECOND, Event::Strike);
                self.schedule(now_us + SECOND, Event::NewWork);
                Phase::Trouble
            }
            Phase::Trouble if now_us >= HEAL_AT_US => {
                self.heal();
                Phase::Finishing
            }
            Phase::Finishing => self.finish(),
            Phase::Settling { until_us, is_last } => self.settle(until_us, is_last),
            Phase::Watching { until_us, is_last } if now_us >= until_us => self.watch(is_last),
            Phase::Detecting { victim, died_us } => self.detect(victim, died_us),
            Phase::FailingOver { victim, until_us } => self.fail_over(victim, until_us),
            Phase::Returning { victim, at_us } if now_us >= at_us => {
                self.start(victim);
                // FAIL on an owner of slots stays for two timeouts; then the next contact lifts it.
                Phase::Settling {
                    until_us: now_us + 4 * self.timeout_us() + 5 * SECOND,
                    is_last: true,
                }
            }
            unchanged => unchanged,
        }
    }

    /// Faults have ended by themselves by now; this makes sure that every host is up.
    fn heal(&mut self) {
        self.net.calm();
        for host in self.host_ids() {
            self.fault(faults::Fault::PowerOn(host));
            self.fault(faults::Fault::Resume(host));
        }
        let timeout_ms = self.scenario.node_timeout_ms;
        let hosts = self.host_ids().collect();
        self.start_work(Work::NodeTimeout { timeout_ms, hosts });
    }

    fn finish(&mut self) -> Phase {
        if self.works.is_empty() {
            match admin::tidy(self) {
                Some(work) => self.start_work(work),
                // A connection that lost a frame before is still to be reset.
                None if self.now_us < HEAL_AT_US + Network::LAST_RESET_US => {}
                None => {
                    let until_us = self.now_us + 10 * self.timeout_us() + 70 * SECOND;
                    return Phase::Settling {
                        until_us,
                        is_last: false,
                    };
                }
            }
        }
        if self.now_us > HEAL_AT_US + FINISH_WITHIN_US {
            let works: Vec<_> = self.works.iter().map(|(_, work)| work).collect();
            let what = format!("work does not come to its end: {works:?}");
            self.violation(19, what);
        }
        self.phase
    }

    fn settle(&mut self, until_us: Micros, is_last: bool) -> Phase {
        self.look();
        match quiescence::check(self) {
            Ok(()) => {
                self.ledger.note_epochs(pictures(&self.hosts));
                let until_us = self.now_us + 2 * self.timeout_us();
                return Phase::Watching { until_us, is_last };
            }
            Err((invariant, what)) if self.now_us > until_us => self.violation(invariant, what),
            Err(_) if self.works.is_empty() => {
                // A late frame may have told somebody of slots that are nobody's any more.
                if let Some(work) = admin::tidy(self) {
                    self.start_work(work);
                }
            }
            Err(_) => {}
        }
        self.phase
    }

    fn watch(&mut self, is_last: bool) -> Phase {
        self.look();
        if let Err((invariant, what)) = quiescence::check_lasting(self) {
            self.violation(invariant, what);
        }
        match self.victim().filter(|_| !is_last) {
            Some(victim) => {
                self.fault(faults::Fault::Kill(victim));
                Phase::Detecting {
                    victim,
                    died_us: self.now_us,
                }
            }
            None => Phase::Over,
        }
    }

    /// A host to kill whose death leaves a majority; often one that a replica could replace.
    fn victim(&mut self) -> Option<HostId> {
        let mut host = self.random_host();
        let replaceable: Vec<HostId> = (self.host_ids())
            .filter(|&host| quiescence::has_eligible_replica(self, host))
            .collect();
        if let Some(&other) = replaceable.choose(&mut self.rng)
            && self.rng.random_ratio(2, 3)
        {
            host = other;
        }
        let view = self.view(host)?;
        let (all, me) = (
            view.voters().count(),
            usize::from(view.slot_count(view.me()) > 0),
        );
        (all - me > all / 2).then_some(host)
    }

    fn detect(&mut self, victim: HostId, died_us: Micros) -> Phase {
        self.look();
        let missing = self
            .members(victim)
            .filter(|&host| host != victim)
            .find(|&host| {
                let view = self.view(host).expect("all others run");
                let node = view
                    .nodes()
                    .find(|node| self.ids_of(victim) == Some(node.id));
                !node.is_some_and(|node| node.flags.contains(NodeFlags::FAIL))
            });
        let bound_us = 2 * self.timeout_us() + SLACK_US;
        match missing {
            None => {
                let until_us = self.now_us + self.failover_us(victim);
                return Phase::FailingOver { victim, until_us };
            }
            Some(host) if self.now_us > died_us + bound_us => {
                let seconds = bound_us as f64 / SECOND as f64;
                let what = format!("{host:?} does not hold {victim:?} for FAIL {seconds} s later");
                self.violation(14, what);
            }
            Some(_) => {}
        }
        self.phase
    }

    /// How long a failover may take: the delays of all replicas' ranks, and some more attempts, as
    /// two of them may ask at about the same time and share the votes.
    fn failover_us(&self, victim: HostId) -> Micros {
        let replicas = self.members(victim).count() as u64;
        let retry_us = 4 * self.timeout_us().max(SECOND) + SECOND;
        4 * retry_us + replicas * SECOND + SLACK_US
    }

    fn fail_over(&mut self, victim: HostId, until_us: Micros) -> Phase {
        self.look();
        let id = self.ids_of(victim);
        let owns = |host: HostId| {
            let view = self.view(host).expect("all others run");
            id.is_some_and(|id| view.slot_count(id) > 0)
        };
        let others: Vec<HostId> = self
            .members(victim)
            .filter(|&host| host != victim)
            .collect();
        let waiting = others.iter().find(|&&host| owns(host));
        match waiting.filter(|_| quiescence::has_eligible_replica(self, victim)) {
            None => {
                let wait_us = self.rng.random_range(0..=2 * self.timeout_us());
                return Phase::Returning {
                    victim,
                    at_us: self.now_us + wait_us,
                };
            }
            Some(host) if self.now_us > until_us => {
                let what = format!("for {host:?}, {victim:?} still has its slots");
                self.violation(23, what);
            }
            Some(_) => {}
        }
        self.phase
    }

    /// The id that the disk of a host has.
    fn ids_of(&self, host: HostId) -> Option<hexad_gossip::NodeId> {
        self.hosts[host.index()]
            .durable
            .as_ref()
            .map(|conf| conf.me)
    }

    /// cluster-node-timeout in virtual time.
    pub(crate) fn timeout_us(&self) -> Micros {
        self.scenario.node_timeout_ms * MS
    }
}
