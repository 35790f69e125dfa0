//! Where a command that has keys is to be executed: here, elsewhere, or nowhere.
//!
//! [`route`] decides by the slot of the keys. Only while a slot moves does the answer depend on
//! which keys are here; then the caller counts them under the slot's lock and asks
//! [`Moving::settle`]. The order of the checks is that of Redis 7.0, which clients and tests can
//! observe: an unassigned slot before a down cluster, and that before any redirect.
//!
//! A command without keys is always executed here, and does not come to this module.

use hexad_gossip::{NodeView, Route, View};
use hexad_resp::Reply;
use hexad_slots::Slot;

use super::replies::endpoint;

/// What the decision depends on besides the slot.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traits {
    /// The command writes (flag `write`); of EXEC: one of its commands does.
    pub write: bool,
    /// The client has sent ASKING just before, or the command implies it (flag `asking`).
    pub asking: bool,
    /// The client has sent READONLY.
    pub readonly: bool,
    /// The command is about a shard channel (SPUBLISH, SSUBSCRIBE), not a key.
    pub shard_channel: bool,
    /// The command is MIGRATE, which works on whatever keys are here while the slot moves.
    pub migrate: bool,
}

/// What is to become of a command.
#[derive(Debug)]
pub enum Decision<'v> {
    /// Execute it here.
    Serve,
    /// The slot is on the move: count the keys under its lock, then [`Moving::settle`].
    Count(Moving<'v>),
    /// Answer with this error.
    Refuse(Refusal<'v>),
}

/// A slot that is being moved away from here or to here.
#[derive(Debug)]
pub struct Moving<'v> {
    slot: Slot,
    /// Who takes the slot; `None` if this node does.
    to: Option<&'v NodeView>,
}

/// An error reply instead of an execution.
#[derive(Clone, Copy, Debug)]
pub enum Refusal<'v> {
    /// The cluster's state is not ok.
    Down,
    /// The cluster's state is not ok, and only reads are allowed then.
    DownForWrites,
    /// Nobody owns the slot.
    Unassigned,
    /// The slot is another node's.
    Moved(Slot, &'v NodeView),
    /// The keys are already with, or are to be created at, the node that the slot moves to.
    Ask(Slot, &'v NodeView),
    /// Some keys have moved already and some have not.
    TryAgain,
    /// The keys are in different slots.
    CrossSlot,
}

/// Decides about a command whose keys are all in `slot`.
#[inline]
pub fn route<'v>(view: &'v View, slot: Slot, traits: Traits) -> Decision<'v> {
    match view.route(slot) {
        Route::Mine if view.state.is_ok() => Decision::Serve,
        found => route_otherwise(view, slot, traits, found),
    }
}

/// The refusal of a command whose keys are in different slots; `first` is the slot of its first
/// key, which is looked at before the others.
#[cold]
pub fn cross_slot(view: &View, first: Slot) -> Refusal<'_> {
    match view.route(first) {
        Route::Unassigned => Refusal::Unassigned,
        _ => Refusal::CrossSlot,
    }
}

#[cold]
fn route_otherwise<'v>(
    view: &'v View,
    slot: Slot,
    traits: Traits,
    found: Route<'v>,
) -> Decision<'v> {
    if let Route::Unassigned = found {
        return Decision::Refuse(Refusal::Unassigned);
    }
    if let Some(refusal) = down(view, traits) {
        return Decision::Refuse(refusal);
    }
    match found {
        Route::Mine => Decision::Serve,
        Route::Migrating { to: Some(to) } => keys_decide(slot, Some(to), traits),
        // Whoever is told to forget a node stops moving slots to it.
        Route::Migrating { to: None } => Decision::Serve,
        Route::Importing { .. } if traits.migrate || traits.asking => {
            keys_decide(slot, None, traits)
        }
        Route::Replicated { .. } if may_read_replica(traits) => Decision::Serve,
        Route::Importing { owner } | Route::Replicated { owner } | Route::Remote { owner } => {
            Decision::Refuse(Refusal::Moved(slot, owner))
        }
        Route::Unassigned => Decision::Refuse(Refusal::Unassigned),
    }
}

/// What a state other than ok refuses.
fn down<'v>(view: &'v View, traits: Traits) -> Option<Refusal<'v>> {
    if view.state.is_ok() {
        return None;
    }
    if traits.shard_channel {
        return (!view.allow_pubsubshard_when_down).then_some(Refusal::Down);
    }
    match (view.allow_reads_when_down, traits.write) {
        (false, _) => Some(Refusal::Down),
        (true, true) => Some(Refusal::DownForWrites),
        (true, false) => None,
    }
}

fn keys_decide<'v>(slot: Slot, to: Option<&'v NodeView>, traits: Traits) -> Decision<'v> {
    if traits.migrate || traits.shard_channel {
        return Decision::Serve;
    }
    Decision::Count(Moving { slot, to })
}

fn may_read_replica(traits: Traits) -> bool {
    (traits.readonly || traits.shard_channel) && !traits.write
}

impl<'v> Moving<'v> {
    /// Decides by the command's keys: how many of them are here (`existing`) and are not
    /// (`missing`), the same key counted as often as it is named, and whether more than one
    /// `distinct` key is named. The caller counts and executes under one hold of the slot's lock.
    ///
    /// # Errors
    /// The reply to give instead of executing the command.
    pub fn settle(
        &self,
        missing: usize,
        existing: usize,
        distinct: bool,
    ) -> Result<(), Refusal<'v>> {
        match self.to {
            _ if missing == 0 => Ok(()),
            Some(_) if existing > 0 => Err(Refusal::TryAgain),
            Some(to) => Err(Refusal::Ask(self.slot, to)),
            None if distinct => Err(Refusal::TryAgain),
            None => Ok(()),
        }
    }
}

impl Refusal<'_> {
    /// Writes the error reply. `tls`: the client uses TLS and is told of TLS ports.
    pub fn write(&self, view: &View, tls: bool, reply: &mut Reply) {
        reply.error(&self.text(view, tls));
    }

    /// The error's text, as [`Refusal::write`] sends it.
    pub fn text(&self, view: &View, tls: bool) -> String {
        let redirect = |code, slot: Slot, node: &NodeView| {
            format!(
                "{code} {slot} {}:{}",
                endpoint(view, node),
                node.client_port(tls)
            )
        };
        let text = match self {
            Self::Down => "CLUSTERDOWN The cluster is down",
            Self::DownForWrites => "CLUSTERDOWN The cluster is down and only accepts read commands",
            Self::Unassigned => "CLUSTERDOWN Hash slot not served",
            Self::TryAgain => "TRYAGAIN Multiple keys request during rehashing of slot",
            Self::CrossSlot => "CROSSSLOT Keys in request don't hash to the same slot",
            Self::Moved(slot, node) => return redirect("MOVED", *slot, node),
            Self::Ask(slot, node) => return redirect("ASK", *slot, node),
        };
        text.to_owned()
    }
}
