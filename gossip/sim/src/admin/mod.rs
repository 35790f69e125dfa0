//! The administrators: pieces of work of several steps, as redis-cli would do them.
//!
//! An administrator reads a node's view before each step and acts only on nodes that answer and
//! whose last command is on disk, so a crash between two steps, or in the middle of one, leaves
//! work that goes on where it stands. Nothing is assumed from a reply alone.

mod forming;
mod migrating;
mod replacing;

use std::net::SocketAddr;

use hexad_gossip::{Admin, FailoverMode, NodeId, SetSlot};
use hexad_slots::{SLOT_COUNT, Slot, SlotBitmap};
use rand::Rng;
use rand::seq::IndexedRandom;

pub(crate) use forming::Forming;
use migrating::Migration;
use replacing::Replacement;

use crate::network::HostId;
use crate::picture::Picture;
use crate::queue::{MS, Micros, SECOND};
use crate::scenario::{HEAL_AT_US, WorkKind};
use crate::world::World;

/// How a piece of work stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// To be looked at again after this time.
    Again(Micros),
    /// Nothing is left to do.
    Done,
}

/// The time between two looks at work that waits for something.
const POLL_US: Micros = 200 * MS;

/// A piece of work under way.
#[derive(Debug)]
pub(crate) enum Work {
    /// A cluster is formed.
    Form(Forming),
    /// Slots move.
    Migrate(Migration),
    /// A node is replaced.
    Replace(Replacement),
    /// What is left of a slot's move is brought to an end, as `redis-cli --cluster fix` does.
    Fix(HostId, Slot),
    /// A single command, sent until the host takes it or refuses it.
    Command(HostId, Admin),
    /// These slots are taken from their owner.
    DelSlots {
        /// Their owner.
        owner: HostId,
        /// They.
        slots: Box<SlotBitmap>,
    },
    /// cluster-node-timeout is set on all hosts.
    NodeTimeout {
        /// The new value.
        timeout_ms: u64,
        /// Who has not got it yet.
        hosts: Vec<HostId>,
    },
}

impl Work {
    /// Goes on as far as is possible now.
    pub(crate) fn advance(&mut self, world: &mut World) -> Progress {
        match self {
            Work::Form(forming) => forming.advance(world),
            Work::Migrate(migration) => migration.advance(world),
            Work::Replace(replacement) => replacement.advance(world),
            Work::Fix(host, slot) => {
                if !world.answers(*host) {
                    return Progress::Again(POLL_US);
                }
                fix(world, *host, *slot);
                Progress::Done
            }
            Work::Command(host, command) => {
                if !world.answers(*host) {
                    return Progress::Again(POLL_US);
                }
                // Refusals are part of the game: a slot may have got an owner meanwhile.
                let _ = world.admin(*host, command.clone());
                Progress::Done
            }
            Work::DelSlots { owner, slots } => advance_del_slots(world, *owner, slots),
            Work::NodeTimeout { timeout_ms, hosts } => {
                hosts.retain(|&host| !world.set_node_timeout(host, *timeout_ms));
                if hosts.is_empty() {
                    Progress::Done
                } else {
                    Progress::Again(POLL_US)
                }
            }
        }
    }

    /// Whether a host has a part in this work, so that other work keeps away from it.
    pub(crate) fn involves(&self, host: HostId) -> bool {
        match self {
            Work::Form(_) => true,
            Work::Migrate(migration) => migration.involves(host),
            Work::Replace(replacement) => replacement.involves(host),
            Work::Command(target, _) | Work::Fix(target, _) => *target == host,
            Work::DelSlots { owner, .. } => *owner == host,
            Work::NodeTimeout { .. } => false,
        }
    }
}

/// Starts one piece of the scenario's work and answers when the next is due.
pub(crate) fn begin(world: &mut World) -> Option<Micros> {
    let kinds = world.scenario.work.clone();
    let kind = *kinds.choose(&mut world.rng)?;
    if let Some(work) = choose(world, kind) {
        world.start_work(work);
    }
    let mean_us = world.scenario.work_interval_us;
    let next_us = world.now_us() + world.rng.random_range(mean_us / 4..=mean_us * 7 / 4);
    (next_us < HEAL_AT_US - SECOND).then_some(next_us)
}

fn choose(world: &mut World, kind: WorkKind) -> Option<Work> {
    let host = world.random_host();
    match kind {
        WorkKind::Migrate => Migration::choose(world).map(Work::Migrate),
        WorkKind::Replace => Replacement::choose(world).map(Work::Replace),
        WorkKind::AddSlots => add_slots(world, host),
        WorkKind::DelSlots => del_slots(world, host),
        WorkKind::Replicate => replicate(world, host),
        WorkKind::Failover => failover(world),
        WorkKind::BumpEpoch => Some(Work::Command(host, Admin::BumpEpoch)),
        WorkKind::MeetNobody => {
            let nowhere = SocketAddr::from(([10, 0, 1, 1], 17_000));
            Some(Work::Command(host, forming::meet(nowhere)))
        }
        WorkKind::SaveConfig => Some(Work::Command(host, Admin::SaveConfig)),
        WorkKind::Publish => {
            let publish = Admin::Publish {
                sharded: world.rng.random_ratio(1, 2),
                channel: "news".into(),
                message: "hello".into(),
            };
            Some(Work::Command(host, publish))
        }
        WorkKind::NodeTimeout => {
            let base_ms = world.scenario.node_timeout_ms;
            let timeout_ms = world.rng.random_range(base_ms * 2 / 3..=base_ms * 2);
            let hosts = world.host_ids().collect();
            Some(Work::NodeTimeout { timeout_ms, hosts })
        }
    }
}

/// Gives a primary some of the slots that nobody sees with an owner. Two administrators may do so
/// at once at two nodes; the greater configEpoch has to settle it.
fn add_slots(world: &mut World, host: HostId) -> Option<Work> {
    let views: Option<Vec<&Picture>> = world.members(host).map(|host| world.view(host)).collect();
    let (views, view) = (views?, world.view(host)?);
    let is_free = |slot: &Slot| views.iter().all(|view| view.owner(*slot).is_none());
    let mut free: Vec<Slot> = all_slots().filter(is_free).collect();
    if !view.is_primary(view.me()) || free.is_empty() {
        return None;
    }
    free.truncate(world.rng.random_range(1..=20));
    world.heat(&free);
    let rival = world.random_host();
    if world.members(host).any(|member| member == rival) && world.rng.random_ratio(1, 2) {
        world.start_work(Work::Command(rival, Admin::AddSlots(bitmap(&free))));
    }
    Some(Work::Command(host, Admin::AddSlots(bitmap(&free))))
}

/// Takes some slots from a primary that keeps most of its own.
fn del_slots(world: &mut World, owner: HostId) -> Option<Work> {
    let view = world.view(owner).filter(|_| !world.is_busy(owner))?;
    let mut slots: Vec<Slot> = all_slots()
        .filter(|&slot| view.owner(slot) == Some(view.me()))
        .collect();
    if slots.len() < 50 {
        return None;
    }
    slots.truncate(world.rng.random_range(1..=5));
    let slots = bitmap(&slots);
    world.disown(owner, &slots);
    Some(Work::DelSlots { owner, slots })
}

/// DELSLOTS at the owner first, as it would claim the slots again, then wherever the owner is
/// still taken for it.
fn advance_del_slots(world: &mut World, owner: HostId, slots: &SlotBitmap) -> Progress {
    let Some(id) = world.id(owner).filter(|_| world.answers(owner)) else {
        return Progress::Again(POLL_US);
    };
    let others = world.members(owner).filter(|&host| host != owner);
    let order: Vec<HostId> = std::iter::once(owner).chain(others).collect();
    for host in order {
        if !world.answers(host) {
            return Progress::Again(POLL_US);
        }
        let view = world.view(host).expect("a node that answers");
        let left: Vec<Slot> = slots
            .iter()
            .filter(|&slot| view.owner(slot) == Some(id))
            .collect();
        if !left.is_empty() {
            // A replica refuses nothing here either; what counts is the view at the next look.
            let _ = world.admin(host, Admin::DelSlots(bitmap(&left)));
            return Progress::Again(POLL_US);
        }
    }
    // DELSLOTS keeps the keys; the slots are given to others, so they go with them.
    let is_primary = world.view(owner).is_some_and(|view| view.is_primary(id));
    if is_primary {
        slots.iter().for_each(|slot| world.delete_keys(slot, owner));
    }
    Progress::Done
}

/// Once all work is done: forgets ids that are nobody's any more, which a frame that was under way
/// for longer than a minute may have brought back, and gives slots that no node claims to one that
/// sees them without an owner.
pub(crate) fn tidy(world: &mut World) -> Option<Work> {
    let hosts: Vec<HostId> = world
        .host_ids()
        .filter(|&host| world.answers(host))
        .collect();
    for &host in &hosts {
        let view = world.view(host)?;
        if let Some(&ghost) = world.retired_ids.iter().find(|&&id| view.knows(id)) {
            return Some(Work::Command(host, Admin::Forget(ghost)));
        }
    }
    if let Some((host, slot)) = hosts.iter().find_map(|&host| left_over(world, host)) {
        return Some(Work::Fix(host, slot));
    }
    for &host in &hosts {
        let Some(view) = world.view(host).filter(|view| view.is_primary(view.me())) else {
            continue;
        };
        let mut missing: Vec<Slot> = all_slots()
            .filter(|&slot| view.owner(slot).is_none())
            .collect();
        for other in world.members(host).filter_map(|other| world.view(other)) {
            missing.retain(|&slot| other.owner(slot) != Some(other.me()));
        }
        // Where others still take one node for the owner, the slot goes back to that one.
        let is_taken_for_owner = |id: NodeId, slot: Slot| {
            world
                .members(host)
                .filter_map(|other| world.view(other))
                .any(|other| other.owner(slot) == Some(id))
        };
        let me = view.me();
        let rivals: Vec<NodeId> = world
            .members(host)
            .filter_map(|other| world.id(other))
            .collect();
        missing.retain(|&slot| {
            is_taken_for_owner(me, slot) || !rivals.iter().any(|&id| is_taken_for_owner(id, slot))
        });
        if !missing.is_empty() {
            return Some(Work::Command(host, Admin::AddSlots(bitmap(&missing))));
        }
    }
    None
}

/// A slot of which a primary has keys though another owns it, or whose move has only one end left:
/// a failover in the middle of a move leaves either.
fn left_over(world: &World, host: HostId) -> Option<(HostId, Slot)> {
    let view = world.view(host).filter(|view| view.is_primary(view.me()))?;
    let keys = world.hosts[host.index()].data.keys.keys();
    let mut foreign =
        keys.filter(|&&slot| view.owner(slot).is_some_and(|owner| owner != view.me()));
    let moving = || {
        let (away, here) = (&view.view().migrating, &view.view().importing);
        let one_ended = |id: &NodeId, slot: &Slot, away: bool| {
            let other = world.host_of(*id).and_then(|other| world.view(other));
            let counterpart = other.and_then(|other| match away {
                true => other.importing(*slot),
                false => other.migrating(*slot),
            });
            counterpart != Some(view.me())
        };
        let mut away = away.iter().filter(|(slot, id)| one_ended(id, slot, true));
        let mut here = here.iter().filter(|(slot, id)| one_ended(id, slot, false));
        away.next().or_else(|| here.next()).map(|(slot, _)| *slot)
    };
    let slot = foreign.next().copied().or_else(moving)?;
    Some((host, slot))
}

fn fix(world: &mut World, host: HostId, slot: Slot) {
    let Some(view) = world.view(host) else {
        return;
    };
    let (me, owner) = (view.me(), view.owner(slot));
    let owner = owner
        .filter(|&owner| owner != me)
        .and_then(|id| world.host_of(id));
    let owner = owner.filter(|&owner| {
        let view = world.view(owner);
        world.answers(owner) && view.is_some_and(|view| view.owner(slot) == Some(view.me()))
    });
    if let Some(owner) = owner
        && !world.move_keys(slot, host, owner)
    {
        return;
    }
    let keys_in_slot = world.keys_in_slot(host, slot);
    let stable = Admin::SetSlot {
        slot,
        action: SetSlot::Stable,
        keys_in_slot,
    };
    let _ = world.admin(host, stable);
}

/// CLUSTER FAILOVER on some replica, mostly by the way that loses nothing.
fn failover(world: &mut World) -> Option<Work> {
    let replicas: Vec<HostId> = (world.host_ids())
        .filter(|&host| {
            world
                .view(host)
                .is_some_and(|view| !view.is_primary(view.me()))
        })
        .collect();
    let host = *replicas.choose(&mut world.rng)?;
    let mode = match world.rng.random_range(0..6) {
        0 => FailoverMode::Takeover,
        1 => FailoverMode::Force,
        _ => FailoverMode::Plain,
    };
    Some(Work::Command(host, Admin::Failover(mode)))
}

fn replicate(world: &mut World, host: HostId) -> Option<Work> {
    if !world.scenario.replicas || world.is_busy(host) || !is_empty(world, host) {
        return None;
    }
    let view = world.view(host)?;
    let primaries: Vec<NodeId> = view.voters().map(|node| node.id).collect();
    let primary = *primaries.choose(&mut world.rng)?;
    let dataset_empty = world.is_dataset_empty(host);
    Some(Work::Command(
        host,
        Admin::Replicate {
            primary,
            dataset_empty,
        },
    ))
}

/// Whether a node has no slots in anybody's view, and no replicas.
fn is_empty(world: &World, host: HostId) -> bool {
    let Some(id) = world.id(host) else {
        return false;
    };
    world
        .views()
        .all(|view| view.slot_count(id) == 0 && view.replica_count(id) == 0)
}

/// All slots, in ascending order.
pub(crate) fn all_slots() -> impl Iterator<Item = Slot> {
    (0..SLOT_COUNT as u16).filter_map(Slot::new)
}

fn bitmap(slots: &[Slot]) -> Box<SlotBitmap> {
    let mut bitmap = Box::new(SlotBitmap::new());
    for &slot in slots {
        bitmap.set(slot);
    }
    bitmap
}
