//! Slots move from one primary to another: SETSLOT IMPORTING at the destination, MIGRATING at the
//! source, the keys, then SETSLOT NODE at the destination and only after that at the source.

use hexad_gossip::{Admin, NodeId, SetSlot};
use hexad_slots::Slot;
use rand::Rng;
use rand::seq::IndexedRandom;

use super::{POLL_US, Progress, all_slots};
use crate::network::HostId;
use crate::queue::Micros;
use crate::scenario::HEAL_AT_US;
use crate::world::World;

/// Some slots on their way.
#[derive(Debug)]
pub(crate) struct Migration {
    slots: Vec<Slot>,
    source: HostId,
    destination: HostId,
    /// The administrator is interrupted until then.
    paused_until_us: Micros,
}

impl Migration {
    /// Picks slots to move between two primaries that no other work is about.
    pub(crate) fn choose(world: &mut World) -> Option<Self> {
        let (source, destination) = (world.random_host(), world.random_host());
        let busy = world.is_busy(source) || world.is_busy(destination);
        let (from, to) = (world.view(source)?, world.view(destination)?);
        if busy || !to.is_primary(to.me()) || !from.knows(to.me()) || !to.knows(from.me()) {
            return None;
        }
        let owned: Vec<Slot> = all_slots()
            .filter(|&slot| from.owner(slot) == Some(from.me()))
            .collect();
        let count = world.rng.random_range(1..=12).min(owned.len());
        let slots: Vec<Slot> = owned
            .choose_multiple(&mut world.rng, count)
            .copied()
            .collect();
        // The last slots stay, so that a primary remains one.
        let is_worth_it = source != destination && count > 0 && count < owned.len();
        world.heat(&slots);
        is_worth_it.then_some(Migration {
            slots,
            source,
            destination,
            paused_until_us: 0,
        })
    }

    /// See [`super::Work::involves`].
    pub(crate) fn involves(&self, host: HostId) -> bool {
        host == self.source || host == self.destination
    }

    /// See [`super::Work::advance`].
    pub(crate) fn advance(&mut self, world: &mut World) -> Progress {
        let now_us = world.now_us();
        self.source = primary_of(world, self.source);
        self.destination = primary_of(world, self.destination);
        if self.source == self.destination {
            return Progress::Done;
        }
        let answers = world.answers(self.source) && world.answers(self.destination);
        if now_us < self.paused_until_us || !answers {
            return Progress::Again(POLL_US);
        }
        if now_us < HEAL_AT_US && world.rng.random_ratio(1, 20) {
            let pause_us = world.rng.random_range(0..20) * world.scenario.node_timeout_ms * 1_000;
            self.paused_until_us = (now_us + pause_us).min(HEAL_AT_US);
            return Progress::Again(POLL_US);
        }
        for index in (0..self.slots.len()).rev() {
            if !self.advance_slot(world, self.slots[index]) {
                continue;
            }
            self.slots.swap_remove(index);
        }
        if self.slots.is_empty() {
            Progress::Done
        } else {
            Progress::Again(POLL_US)
        }
    }

    /// One step for one slot, by what the two nodes think of it; true once nothing is left to do.
    fn advance_slot(&self, world: &mut World, slot: Slot) -> bool {
        let (Some(from), Some(to)) = (world.view(self.source), world.view(self.destination)) else {
            return false;
        };
        let (source, destination) = (from.me(), to.me());
        let at_source = from.owner(slot) == Some(source);
        let at_destination = to.owner(slot) == Some(destination);
        let is_migrating = from.migrating(slot) == Some(destination);
        let is_importing = to.importing(slot) == Some(source);
        match (at_source, at_destination) {
            // Another node won the slot, or the two have not heard of each other's last step.
            (false, false) => return self.give_up(world, slot, is_importing),
            (false, true) => return self.tell_others(world, slot, destination),
            // The source may have raised its epoch meanwhile. Released now, a late frame of it would
            // take the slot back from the destination, and nobody would have it.
            (true, true) if from.view().my_epoch >= to.view().my_epoch => {
                let _ = world.admin(self.destination, Admin::BumpEpoch);
            }
            (true, true) => {
                if world.move_keys(slot, self.source, self.destination) {
                    self.set(world, self.source, slot, SetSlot::Node(destination));
                }
            }
            (true, false) if !is_importing => {
                self.set(world, self.destination, slot, SetSlot::Importing(source));
            }
            (true, false) if !is_migrating => {
                self.set(world, self.source, slot, SetSlot::Migrating(destination));
            }
            (true, false) => {
                if world.move_keys(slot, self.source, self.destination) {
                    self.set(world, self.destination, slot, SetSlot::Node(destination));
                }
            }
        }
        false
    }

    fn give_up(&self, world: &mut World, slot: Slot, is_importing: bool) -> bool {
        if is_importing {
            self.set(world, self.destination, slot, SetSlot::Stable);
        }
        // Keys that had been moved already are in a slot that another node won: `tidy` takes them
        // there.
        true
    }

    /// redis-cli tells the other primaries too; half of the administrators leave it to gossip.
    fn tell_others(&self, world: &mut World, slot: Slot, destination: NodeId) -> bool {
        if world.rng.random_ratio(1, 2) {
            return true;
        }
        let others: Vec<HostId> = (world.host_ids())
            .filter(|&host| !self.involves(host) && world.answers(host))
            .filter(|&host| world.view(host).is_some_and(|view| view.knows(destination)))
            .collect();
        for host in others {
            self.set(world, host, slot, SetSlot::Node(destination));
        }
        true
    }

    /// Refusals are expected (a node may be a replica, or have the state already): what counts is
    /// the view at the next step.
    fn set(&self, world: &mut World, host: HostId, slot: Slot, action: SetSlot) {
        let keys_in_slot = world.keys_in_slot(host, slot);
        let _ = world.admin(
            host,
            Admin::SetSlot {
                slot,
                action,
                keys_in_slot,
            },
        );
    }
}

/// The host of the primary of a host's shard: a failover moves the work there.
fn primary_of(world: &World, host: HostId) -> HostId {
    let primary = world
        .view(host)
        .and_then(|view| view.view().myself().primary);
    let head = primary.and_then(|primary| world.host_of(primary));
    head.filter(|&head| world.members(host).any(|member| member == head))
        .unwrap_or(host)
}
