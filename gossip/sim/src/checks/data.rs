//! 15, 18 and 25: what becomes of clients' writes.
//!
//! A write is lost for good when the node that has it gives way to one that has not. The ledger
//! lets that pass only where the protocol admits it; every other write has to be there in the end.

use hexad_gossip::NodeId;
use hexad_slots::{Slot, SlotBitmap};

use super::ledger::{Kind, Paused, Promotion};
use super::step::Checked;
use super::{short, step};
use crate::data::Write;
use crate::host::Pause;
use crate::network::HostId;
use crate::queue::{MS, Micros, SECOND};
use crate::world::World;

/// A manual failover takes at most 5 s on either side.
const MANUAL_US: Micros = 6 * SECOND;

/// A node has taken a client's write.
pub(crate) fn accepted(world: &mut World, host: HostId, slot: Slot, writes: &[Write]) {
    if let Err(what) = step::check_accepted(world, host) {
        world.violation(15, format!("{host:?} takes a write: {what}"));
    }
    if let Err((invariant, what)) = superseded(world, host, slot, writes) {
        world.violation(invariant, format!("{host:?} takes a write: {what}"));
    }
}

/// A node has got the keys of a slot that is moved to it.
pub(crate) fn received(world: &mut World, host: HostId, slot: Slot, writes: &[Write]) {
    // An administrator may well have picked a node that is cut off.
    let _ = superseded(world, host, slot, writes);
}

/// What a node takes in whose place another one is already will be lost. 15: not for long.
fn superseded(world: &mut World, host: HostId, slot: Slot, writes: &[Write]) -> Checked {
    let now_us = world.now_us();
    let Some(process) = &world.hosts[host.index()].process else {
        return Ok(());
    };
    // The workers', which may be waiting for the disk.
    let view = &process.published;
    let (me, epoch) = (view.myself().id, view.my_epoch);
    let Some(since_us) = world.ledger.superseded_since(me, epoch, slot) else {
        return Ok(());
    };
    world.counts.lost += writes.len() as u64;
    world.ledger.excuse(writes.iter().copied());
    let state = &world.hosts[host.index()];
    let resumed_us = state
        .process
        .as_ref()
        .map_or(0, |process| process.resumed_us);
    let base_ms = world.scenario.node_timeout_ms;
    let timeout_ms = state.config.node_timeout_ms.max(2 * base_ms);
    // Whoever votes for another has to be out of reach, or this node would hear of it.
    let window_us = 2 * super::serving_window_us(timeout_ms);
    let late_us = now_us - since_us.max(resumed_us);
    if late_us > window_us {
        let seconds = late_us as f64 / SECOND as f64;
        return Err((15, format!("it lost slot {slot} {seconds} s ago")));
    }
    Ok(())
}

/// A primary's writes rest, for a manual failover.
pub(crate) fn paused(world: &mut World, host: HostId) {
    let (at_us, incarnation) = (world.now_us(), world.hosts[host.index()].incarnation);
    world.ledger.record(host).paused = Some(Paused { at_us, incarnation });
}

/// A replica's driver has heard that it is a primary now.
pub(crate) fn promoted(world: &mut World, host: HostId) {
    let Some(mut promotion) = world.ledger.record(host).promotion.take() else {
        // A reset.
        return;
    };
    promotion.at_us = world.now_us();
    if let Err((invariant, what)) = check_promotion(world, host, &promotion) {
        let Promotion { kind, old, .. } = &promotion;
        let old = short(old);
        let what = format!("{host:?} takes the place of {old} ({kind:?}): {what}");
        world.violation(invariant, what);
    }
    world.ledger.note_promotion(promotion);
}

fn check_promotion(world: &mut World, host: HostId, promotion: &Promotion) -> Checked {
    let state = &world.hosts[host.index()];
    // What its workers do from now on must not be taken back by a crash.
    let is_durable = (state.durable.as_ref())
        .is_some_and(|conf| conf.is_primary && conf.config_epoch >= promotion.epoch);
    if !is_durable {
        return Err((5, "before it is on disk".into()));
    }
    let process = state.process.as_ref().expect("a running process");
    let factor = u64::from(state.config.replica_validity_factor);
    if promotion.kind == Kind::Election && factor > 0 {
        let base_ms = world.scenario.node_timeout_ms;
        // The node timeout may have been another one when this was looked at.
        let timeout_ms = state.config.node_timeout_ms.max(2 * base_ms);
        let limit_ms = state.config.repl_ping_period_ms + (factor + 1) * timeout_ms;
        let limit_us = limit_ms * MS + 2 * SECOND;
        let age_us = process.synced_us.map(|at_us| world.now_us() - at_us);
        if age_us.is_none_or(|age_us| age_us > limit_us) {
            return Err((18, format!("its data is {age_us:?} us old")));
        }
    }
    let Some(old) = world.host_of(promotion.old) else {
        return Ok(());
    };
    let (new_data, old_state) = (&state.data, &world.hosts[old.index()]);
    let is_followed = !world
        .streams
        .are_related(new_data.stream, old_state.data.stream);
    let needs_data = matches!(promotion.kind, Kind::Election | Kind::Plain) && factor > 0;
    if needs_data && is_followed {
        return Err((18, "its data is another shard's".into()));
    }
    let lost = old_state.data.beyond(new_data);
    let lost: Vec<_> = lost
        .into_iter()
        .filter(|(slot, ..)| promotion.slots.get(*slot))
        .collect();
    if promotion.kind == Kind::Plain {
        let paused = world.ledger.records[old.index()].paused;
        let paused = paused.filter(|paused| world.now_us() - paused.at_us < MANUAL_US);
        let Some(paused) = paused else {
            return Err((25, "without a pause of its clients".into()));
        };
        let same_process = paused.incarnation == old_state.incarnation;
        let rests = (old_state.process.as_ref())
            .is_some_and(|process| matches!(process.pause, Pause::On(_)));
        let too_many =
            (lost.iter()).find(|(.., got_us)| *got_us <= paused.at_us || (same_process && rests));
        if let Some((slot, write, _)) = too_many {
            return Err((25, format!("without write {write} of slot {slot}")));
        }
    }
    world.counts.lost += lost.len() as u64;
    world.ledger.excuse(lost.iter().map(|(_, write, _)| *write));
    Ok(())
}

/// A primary's driver has heard that it is to follow another node. If that one has not been
/// promoted in its place, it has won all slots by a newer claim alone (an epoch that was raised
/// without asking anybody), which loses what it has not got.
pub(crate) fn demoted(world: &mut World, host: HostId, head: NodeId) {
    let Some(winner) = world.host_of(head) else {
        return;
    };
    let lost = world.hosts[host.index()]
        .data
        .beyond(&world.hosts[winner.index()].data);
    // As a replica its node has kept the epoch that it had.
    let epoch = world.hosts[host.index()]
        .durable
        .as_ref()
        .map_or(0, |conf| conf.config_epoch);
    let me = world.id(host);
    let lost = lost.into_iter().filter(|(slot, ..)| {
        let promoted = me.and_then(|me| world.ledger.superseded_since(me, epoch, *slot));
        promoted.is_none()
    });
    let lost: Vec<Write> = lost.map(|(_, write, _)| write).collect();
    world.counts.lost += lost.len() as u64;
    world.ledger.excuse(lost.into_iter());
}

/// A node drops the keys of slots that it has lost to newer claims.
pub(crate) fn dropping(world: &mut World, host: HostId, slots: &SlotBitmap) {
    let Some(view) = world.view(host) else {
        return;
    };
    let mut lost = Vec::new();
    for (slot, writes) in &world.hosts[host.index()].data.keys {
        let owner = view.owner(*slot).filter(|_| slots.get(*slot));
        if let Some(owner) = owner.and_then(|owner| world.host_of(owner)) {
            let kept = &world.hosts[owner.index()].data;
            lost.extend(writes.keys().filter(|write| !kept.has(*slot, **write)));
        }
    }
    world.counts.lost += lost.len() as u64;
    world.ledger.excuse(lost.into_iter());
}
