//! Cluster mode: whether this node executes a command, and in which partition.

use std::sync::Arc;

use hexad_commands::{Args, Command, CommandFlags};
use hexad_gossip::View;
use hexad_slots::Slot;
use hexad_store::{KeyHash, Partition};
use parking_lot::MutexGuard;

use crate::cluster::redirect::{self, Decision, Moving, Refusal, Traits};
use crate::session::{Session, is_exec};
use crate::worker::Worker;

/// Where a command goes.
pub(crate) enum Routed {
    /// It runs here, in this partition (0 if it has no keys).
    Here(u16),
    /// It runs here, in a slot that is on the move: its keys were looked for under this lock,
    /// and it has to run under the same.
    Locked(MutexGuard<'static, Partition>),
    /// It is answered with this error.
    Refused(String),
}

/// Routes a command; `key` is what the batch's preparation found of its first key.
#[inline]
pub(crate) fn route(
    view: &Arc<View>,
    worker: &Worker,
    session: &Session,
    command: &Command,
    key: Option<(KeyHash, u16)>,
    args: Args<'_>,
) -> Routed {
    if worker.bus_silent && (command.has_keys() || is_exec(command)) {
        return Routed::Refused(Refusal::Down.text(view, false));
    }
    if let Some((_, partition)) = key
        && command.has_single_key()
        && let Some(slot) = Slot::new(partition)
        && let Decision::Serve = redirect::route(view, slot, traits(session, command))
    {
        return Routed::Here(partition);
    }
    if !command.has_keys() && !is_exec(command) {
        return Routed::Here(0);
    }
    match route_keys(view, worker, session, command, args) {
        Ok(routed) => routed,
        Err(refusal) => Routed::Refused(refusal.text(view, false)),
    }
}

fn traits(session: &Session, command: &Command) -> Traits {
    Traits {
        write: command.flags.contains(CommandFlags::WRITE),
        asking: session.asking || command.flags.contains(CommandFlags::ASKING),
        readonly: session.readonly,
        shard_channel: false,
        migrate: false,
    }
}

/// The careful way: all keys of the command, or of the whole transaction at EXEC.
#[cold]
fn route_keys<'v>(
    view: &'v Arc<View>,
    worker: &Worker,
    session: &Session,
    command: &Command,
    args: Args<'_>,
) -> Result<Routed, Refusal<'v>> {
    let mut traits = traits(session, command);
    let mut keys = KeysOf::default();
    match &session.transaction {
        Some(transaction) if is_exec(command) => {
            for queued in &transaction.queue {
                traits.write |= queued.command.flags.contains(CommandFlags::WRITE);
                keys.collect(queued.command, queued.args());
            }
        }
        _ => keys.collect(command, args),
    }
    let Some(slot) = keys.slot else {
        return Ok(Routed::Here(0));
    };
    if keys.crosses {
        return Err(redirect::cross_slot(view, slot));
    }
    match redirect::route(view, slot, traits) {
        Decision::Serve => Ok(Routed::Here(slot.get())),
        Decision::Refuse(refusal) => Err(refusal),
        Decision::Count(moving) => settle(worker, session, slot, &keys, &moving),
    }
}

/// Looks which keys are here, and keeps the lock for the command if it may run.
fn settle<'v>(
    worker: &Worker,
    session: &Session,
    slot: Slot,
    keys: &KeysOf<'_>,
    moving: &Moving<'v>,
) -> Result<Routed, Refusal<'v>> {
    let keyspace = &worker.server.keyspace;
    let locked = keyspace.lock(slot.index());
    let existing = keys
        .keys
        .iter()
        .filter(|key| {
            let entry = locked.db(session.db).get(key, keyspace.seed().hash(key));
            entry.is_some_and(|entry| !entry.is_expired(worker.now_ms))
        })
        .count();
    let distinct = keys.keys.iter().any(|key| *key != keys.keys[0]);
    moving.settle(keys.keys.len() - existing, existing, distinct)?;
    Ok(Routed::Locked(locked))
}

/// The keys of a command or transaction, and the slot that they share.
#[derive(Default)]
struct KeysOf<'a> {
    keys: Vec<&'a [u8]>,
    slot: Option<Slot>,
    crosses: bool,
}

impl<'a> KeysOf<'a> {
    fn collect(&mut self, command: &Command, args: Args<'a>) {
        // Arguments that contradict the key specs are the handler's to complain about.
        let Ok(positions) = command.keys(&args) else {
            return;
        };
        for (position, _) in positions.iter() {
            let Some(key) = args.get(position) else {
                continue;
            };
            let slot = Slot::of_key(key);
            self.crosses |= *self.slot.get_or_insert(slot) != slot;
            self.keys.push(key);
        }
    }
}
