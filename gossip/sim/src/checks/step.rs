//! The first list of INVARIANTS.md, as far as it is not about elections: 7 to 17.

use hexad_gossip::{Admin, NodeFlags, NodeId, NodeView, SetSlot};
use hexad_slots::{Slot, SlotBitmap};

use super::ledger::{Record, Sent};
use super::{Cause, Finding, PutOut, elections, is_from_primary, serving_window_us, short};
use crate::admin::all_slots;
use crate::conf::Conf;
use crate::network::HostId;
use crate::picture::{Picture, is_primary, is_voter};
use crate::wire::{Frame, kind};
use crate::world::World;

pub(super) type Checked = Result<(), Finding>;

/// One step of one node: what came, and the views before and after.
pub(super) struct Step<'a> {
    pub cause: &'a Cause<'a>,
    pub previous: &'a Picture,
    pub next: &'a Picture,
    pub now_ms: u64,
    pub timeout_ms: u64,
}

/// Checks one step.
pub(crate) fn check(
    world: &mut World,
    host: HostId,
    cause: &Cause<'_>,
    previous: &Picture,
    put_out: &PutOut,
) -> Option<Finding> {
    let now_us = world.now_us();
    let state = &world.hosts[host.index()];
    let next = state.process.as_ref().map(|process| &process.picture)?;
    let step = Step {
        cause,
        previous,
        next,
        now_ms: state.clock.millis(now_us),
        timeout_ms: state.config.node_timeout_ms,
    };
    let record = &mut world.ledger.records[host.index()];
    let checked = (|| {
        epochs(&step)?;
        identity(&step)?;
        strangers(&step, put_out)?;
        slots(&step)?;
        drops(&step, &put_out.dropped)?;
        moves(&step)?;
        failures(&step, record)?;
        elections::decisions(&step, record, put_out)
    })();
    checked.err()
}

/// 7, 8, 9, 10.
fn epochs(step: &Step<'_>) -> Checked {
    let (previous, next) = (step.previous.view(), step.next.view());
    let (before, after) = (previous.current_epoch, next.current_epoch);
    if after < before && !step.is_hard_reset() {
        return Err((7, format!("currentEpoch falls from {before} to {after}")));
    }
    for (place, node) in step.next.places() {
        let epoch = node.config_epoch;
        if epoch > after {
            let id = short(&node.id);
            return Err((
                8,
                format!("{id} has configEpoch {epoch}, currentEpoch is {after}"),
            ));
        }
        let earlier = step.previous.twin(place, node);
        let earlier = earlier.filter(|earlier| is_primary(earlier));
        let Some(earlier) = earlier.filter(|_| is_primary(node)) else {
            continue;
        };
        if epoch < earlier.config_epoch {
            let (id, was) = (short(&node.id), earlier.config_epoch);
            return Err((
                9,
                format!("configEpoch of {id} falls from {was} to {epoch}"),
            ));
        }
        if node.flags.contains(NodeFlags::MYSELF) && epoch > earlier.config_epoch {
            step.may_raise(earlier)?;
        }
    }
    Ok(())
}

/// 17.
fn identity(step: &Step<'_>) -> Checked {
    let (before, after) = (step.previous.me(), step.next.me());
    if before != after && !step.is_hard_reset() {
        return Err((17, format!("the id changes from {before} to {after}")));
    }
    Ok(())
}

/// 16.
fn strangers(step: &Step<'_>, put_out: &PutOut) -> Checked {
    let Cause::Frame {
        inbound,
        frame,
        is_stranger: true,
    } = step.cause
    else {
        return Ok(());
    };
    let sender = frame.and_then(Frame::sender);
    // The answer to a handshake, on the link that it began on: no stranger any more.
    let is_introduced = !inbound
        && sender.is_some_and(|sender| step.next.knows(sender))
        && step.next.handshakes() < step.previous.handshakes();
    if is_introduced || frame.is_some_and(|frame| frame.kind() == kind::MEET) {
        return Ok(());
    }
    let (previous, next) = (step.previous.view(), step.next.view());
    // A manual failover may go on whatever wakes the machine.
    let own = u64::from(put_out.requests);
    if previous.current_epoch + own != next.current_epoch {
        return Err((
            16,
            format!("a stranger changes currentEpoch to {}", next.current_epoch),
        ));
    }
    for node in step.next.nodes() {
        let Some(earlier) = step.previous.node(node.id) else {
            return Err((16, format!("a stranger brings in {}", node.id)));
        };
        let same = earlier.config_epoch == node.config_epoch
            && earlier.slots == node.slots
            && earlier.primary == node.primary;
        // On a link of one's own the wrong node answers at a known node's address.
        let same_state = earlier.flags == node.flags && earlier.ip == node.ip;
        if !same || (*inbound && !same_state) {
            return Err((16, format!("a stranger changes {earlier:?} to {node:?}")));
        }
    }
    if next.nodes.len() > previous.nodes.len() {
        return Err((16, "a stranger starts a handshake".to_owned()));
    }
    Ok(())
}

/// 11 and 12.
fn slots(step: &Step<'_>) -> Checked {
    if !step.next.has_other_slots_than(step.previous) {
        return Ok(());
    }
    tables_agree(step.next)?;
    let heir = step.inherits_from();
    for slot in all_slots() {
        let (before, after) = (step.previous.owner(slot), step.next.owner(slot));
        if before == after {
            continue;
        }
        let is_admitted = match step.cause {
            // It takes its primary's place: see `elections`.
            _ if before.is_some() && before == heir && after == Some(step.next.me()) => true,
            Cause::Start => after == Some(step.next.me()) && before.is_none(),
            Cause::Tick | Cause::Link | Cause::Config => step.has_vanished(before),
            Cause::Admin(command) => step.command_moves(command, slot, before, after),
            Cause::Frame { frame, .. } => match frame {
                Some(frame) => step.claim_moves(*frame, slot, before, after)?,
                None => false,
            },
        };
        if !is_admitted {
            let name = |owner: Option<NodeId>| owner.map_or("nobody".into(), |id| short(&id));
            let (before, after) = (name(before), name(after));
            return Err((12, format!("slot {slot} goes from {before} to {after}")));
        }
    }
    Ok(())
}

/// 11: bitmaps, table and counts say the same.
fn tables_agree(picture: &Picture) -> Checked {
    let mut owners = vec![None; hexad_slots::SLOT_COUNT];
    for node in picture.nodes() {
        let mut count = 0;
        for slot in node.slots.iter().flat_map(|range| range.iter()) {
            count += 1;
            if let Some(other) = owners[slot.index()].replace(node.id) {
                let (one, other) = (short(&node.id), short(&other));
                return Err((11, format!("slot {slot} belongs to {one} and to {other}")));
            }
        }
        if count != node.slot_count {
            let (id, told) = (short(&node.id), node.slot_count);
            return Err((11, format!("{id} has {count} slots, counted as {told}")));
        }
    }
    let differs = all_slots().find(|&slot| picture.owner(slot) != owners[slot.index()]);
    match differs {
        Some(slot) => Err((11, format!("table and sets disagree about slot {slot}"))),
        None => Ok(()),
    }
}

/// 13.
fn drops(step: &Step<'_>, dropped: &[SlotBitmap]) -> Checked {
    if matches!(
        step.cause,
        Cause::Admin(Admin::Reset { .. } | Admin::Replicate { .. })
    ) {
        // A change of role, and not a loss of slots: what is dropped is a copy, or nothing.
        return Ok(());
    }
    for slot in dropped.iter().flat_map(|slots| slots.iter()) {
        let owner = step.next.owner(slot);
        if owner.is_none_or(|owner| owner == step.next.me()) {
            let owner = owner.map_or("nobody's", |_| "its own");
            return Err((
                13,
                format!("keys of slot {slot} are dropped, which is {owner}"),
            ));
        }
    }
    let is_claim = matches!(step.cause, Cause::Frame { .. });
    if !is_claim || !step.next.has_other_slots_than(step.previous) {
        return Ok(());
    }
    // Seen from its end: what a primary has lost to a claim it drops.
    let me = step.next.me();
    let lost = all_slots().find(|&slot| {
        step.previous.owner(slot) == Some(me)
            && step.next.owner(slot).is_some_and(|owner| owner != me)
            && !dropped.iter().any(|slots| slots.get(slot))
    });
    match lost.filter(|_| step.next.is_primary(me)) {
        Some(slot) => Err((13, format!("it keeps the keys of slot {slot}, another's"))),
        None => Ok(()),
    }
}

/// 22: what is not here cannot be moved away.
fn moves(step: &Step<'_>) -> Checked {
    let me = step.next.me();
    let migrating = &step.next.view().migrating;
    let mut foreign = migrating
        .keys()
        .filter(|&&slot| step.next.owner(slot) != Some(me));
    match foreign.next() {
        Some(slot) => Err((22, format!("slot {slot} migrates, which is not here"))),
        None => Ok(()),
    }
}

/// 14.
fn failures(step: &Step<'_>, record: &mut Record) -> Checked {
    for (place, node) in step.next.places() {
        let earlier = step.previous.twin(place, node);
        let had = earlier.is_some_and(|earlier| earlier.flags.contains(NodeFlags::FAIL));
        let has = node.flags.contains(NodeFlags::FAIL);
        if has && !had && !matches!(step.cause, Cause::Start) {
            step.may_fail(earlier, node, record)?;
            record.failed_since.push((node.id, step.now_ms));
        }
        if had && !has {
            let since = record.failed_since.iter().find(|(id, _)| *id == node.id);
            if let Some((_, since_ms)) = since {
                step.may_lift(earlier.unwrap_or(node), *since_ms)?;
            }
            record.failed_since.retain(|(id, _)| *id != node.id);
        }
    }
    record.failed_since.retain(|(id, _)| step.next.knows(*id));
    Ok(())
}

impl Step<'_> {
    /// The primary whose replica has become a primary.
    fn inherits_from(&self) -> Option<NodeId> {
        let (was, is) = (self.previous.view().myself(), self.next.view().myself());
        was.primary.filter(|_| is_primary(is))
    }

    fn is_hard_reset(&self) -> bool {
        matches!(self.cause, Cause::Admin(Admin::Reset { hard: true, .. }))
    }

    /// 9 and 10: what may raise the node's own configEpoch.
    fn may_raise(&self, myself: &NodeView) -> Checked {
        let was = myself.config_epoch;
        match self.cause {
            Cause::Admin(Admin::BumpEpoch | Admin::SetSlot { .. }) => Ok(()),
            Cause::Admin(Admin::SetConfigEpoch(_)) if was == 0 => Ok(()),
            Cause::Frame {
                frame: Some(frame), ..
            } => {
                let collides = is_from_primary(*frame) && frame.config_epoch() == was;
                let is_smaller = frame.sender().is_some_and(|sender| myself.id < sender);
                if collides && is_smaller {
                    return Ok(());
                }
                let found = format!("it raises its configEpoch {was} on a frame with");
                Err((
                    10,
                    format!("{found} {}, smaller id: {is_smaller}", frame.config_epoch()),
                ))
            }
            _ => Err((9, format!("it raises its configEpoch {was} without cause"))),
        }
    }

    /// A node that is no longer known takes its slots with it.
    fn has_vanished(&self, owner: Option<NodeId>) -> bool {
        owner.is_some_and(|owner| !self.next.knows(owner))
    }

    fn command_moves(
        &self,
        command: &Admin,
        slot: Slot,
        before: Option<NodeId>,
        after: Option<NodeId>,
    ) -> bool {
        match command {
            Admin::AddSlots(slots) => {
                before.is_none() && after == Some(self.next.me()) && slots.get(slot)
            }
            Admin::DelSlots(slots) => after.is_none() && slots.get(slot),
            Admin::SetSlot {
                slot: set,
                action: SetSlot::Node(id),
                ..
            } => slot == *set && after == Some(*id),
            Admin::FlushSlots { .. } | Admin::Reset { .. } => after.is_none(),
            Admin::Forget(id) => before == Some(*id) && after.is_none(),
            _ => false,
        }
    }

    /// 11: whether a frame may move a slot. Somebody claims it, by a greater configEpoch than the
    /// owner's; or the owner says itself that it is no primary any more, or does not claim the slot.
    fn claim_moves(
        &self,
        frame: Frame<'_>,
        slot: Slot,
        before: Option<NodeId>,
        after: Option<NodeId>,
    ) -> Result<bool, Finding> {
        let has_bit = |slots: &[u8]| slots[slot.index() / 8] & (1 << (slot.index() % 8)) != 0;
        let Some(claimer) = after else {
            let owner = before.and_then(|id| self.next.node(id));
            let has_left = owner.is_some_and(|owner| !is_primary(owner));
            let has_given_up = frame.sender() == before && !has_bit(frame.slots());
            return Ok(self.has_vanished(before) || has_left || has_given_up);
        };
        let epoch = match frame.update() {
            Some((about, epoch, slots)) if about == claimer && has_bit(slots) => epoch,
            None if frame.sender() == Some(claimer) && has_bit(frame.slots()) => {
                frame.config_epoch()
            }
            _ => return Ok(false),
        };
        let Some(owner) = before.and_then(|id| self.previous.node(id)) else {
            return Ok(true);
        };
        if owner.config_epoch >= epoch {
            let (loser, winner, mine) = (short(&owner.id), short(&claimer), owner.config_epoch);
            let what = format!("slot {slot} goes from {loser} at {mine} to {winner} at {epoch}");
            return Err((11, what));
        }
        Ok(true)
    }

    /// 14: whether a node may be held for FAIL from now on.
    fn may_fail(&self, earlier: Option<&NodeView>, node: &NodeView, record: &Record) -> Checked {
        let id = short(&node.id);
        if let Cause::Frame {
            frame: Some(frame),
            is_stranger,
            ..
        } = self.cause
            && frame.failed_node() == Some(node.id)
        {
            return match is_stranger {
                true => Err((14, format!("a stranger's FAIL about {id} is believed"))),
                false => Ok(()),
            };
        }
        let suspected = earlier.is_some_and(|earlier| earlier.flags.contains(NodeFlags::PFAIL));
        if !suspected && !matches!(self.cause, Cause::Tick) {
            return Err((14, format!("{id} is held for FAIL without PFAIL")));
        }
        // The frame that brings the last report may also change who votes.
        self.agree(self.previous, node, record)
            .or_else(|_| self.agree(self.next, node, record))
            .map_err(|votes| (14, format!("{id} is held for FAIL by {votes}")))
    }

    /// Whether a majority of the voters of this view, the node itself included if it is one, have
    /// reported another lately; if not, how many of how many.
    fn agree(&self, view: &Picture, node: &NodeView, record: &Record) -> Result<(), String> {
        let voters: Vec<NodeId> = view.voters().map(|voter| voter.id).collect();
        let oldest_ms = self.now_ms.saturating_sub(2 * self.timeout_ms);
        let reports = (record.reports.iter())
            .filter(|report| report.about == node.id && report.at_ms >= oldest_ms)
            .filter(|report| voters.contains(&report.by))
            .count();
        let own = usize::from(voters.contains(&view.me()));
        let needed = voters.len() / 2 + 1;
        match reports + own >= needed {
            true => Ok(()),
            false => Err(format!("{reports} + {own} of {} primaries", voters.len())),
        }
    }

    /// 14: whether FAIL may be lifted.
    fn may_lift(&self, node: &NodeView, since_ms: u64) -> Checked {
        let id = short(&node.id);
        let Cause::Frame {
            frame: Some(frame), ..
        } = self.cause
        else {
            return Err((14, format!("FAIL of {id} is lifted without contact")));
        };
        if frame.sender() != Some(node.id) {
            return Err((
                14,
                format!("FAIL of {id} is lifted by another node's frame"),
            ));
        }
        let lasted_ms = self.now_ms.saturating_sub(since_ms);
        if is_voter(node) && lasted_ms < 2 * self.timeout_ms {
            return Err((
                14,
                format!("FAIL of {id}, which has slots, lasts only {lasted_ms} ms"),
            ));
        }
        Ok(())
    }
}

/// 7, 17: a process that starts knows what its disk has.
pub(crate) fn check_loaded(world: &mut World, host: HostId, picture: &Picture) -> Checked {
    world.ledger.record(host).restart();
    let Some(conf) = &world.hosts[host.index()].durable else {
        return Ok(());
    };
    let (view, me) = (picture.view(), picture.view().myself());
    if view.current_epoch < conf.current_epoch {
        let (has, had) = (view.current_epoch, conf.current_epoch);
        return Err((7, format!("currentEpoch is {has}, its disk has {had}")));
    }
    if view.last_vote_epoch < conf.last_vote_epoch {
        let (has, had) = (view.last_vote_epoch, conf.last_vote_epoch);
        return Err((1, format!("lastVoteEpoch is {has}, its disk has {had}")));
    }
    let same = me.id == conf.me
        && is_primary(me) == conf.is_primary
        && (!conf.is_primary || me.config_epoch == conf.config_epoch)
        && view.slots_of(me) == *conf.slots;
    if !same {
        return Err((17, format!("it is {me:?}, its disk has {conf:?}")));
    }
    Ok(())
}

/// 15: a node that takes a write has heard of a majority not long ago.
pub(crate) fn check_accepted(world: &World, host: HostId) -> Result<(), String> {
    let state = &world.hosts[host.index()];
    let Some(process) = &state.process else {
        return Ok(());
    };
    if process.writing {
        // The cluster thread waits for its disk, and the workers have its last view.
        return Ok(());
    }
    let record = &world.ledger.records[host.index()];
    let base_ms = world.scenario.node_timeout_ms;
    let timeout_ms = state.config.node_timeout_ms.max(2 * base_ms);
    let oldest_us = world.now_us().saturating_sub(serving_window_us(timeout_ms));
    let published = Picture::new(process.published.clone());
    let voters: Vec<NodeId> = published.voters().map(|voter| voter.id).collect();
    let in_touch = |id: &NodeId| {
        *id == published.me() || record.last_heard_us(*id).max(process.resumed_us) >= oldest_us
    };
    let heard = voters.iter().filter(|id| in_touch(id)).count();
    if heard < voters.len() / 2 + 1 {
        return Err(format!(
            "it has heard of {heard} of {} primaries only",
            voters.len()
        ));
    }
    Ok(())
}

impl World {
    /// 7, 9, 11: a frame says no more than the disk has, and no less than earlier frames.
    pub(super) fn check_sent(&mut self, host: HostId, frame: Frame<'_>) -> Checked {
        let Some(id) = frame.sender() else {
            return Err((17, "a frame without id".into()));
        };
        let state = &self.hosts[host.index()];
        let Some(conf) = &state.durable else {
            return Err((17, "a frame before its first nodes.conf is on disk".into()));
        };
        let (current, config) = (frame.current_epoch(), frame.config_epoch());
        if conf.me != id {
            return Err((
                17,
                format!("as {}, its disk has {}", short(&id), short(&conf.me)),
            ));
        }
        if current > conf.current_epoch {
            let had = conf.current_epoch;
            return Err((7, format!("currentEpoch {current}, its disk has {had}")));
        }
        let from_primary = is_from_primary(frame);
        if from_primary && config > conf.config_epoch {
            let had = conf.config_epoch;
            return Err((10, format!("configEpoch {config}, its disk has {had}")));
        }
        let has_extra = |conf: &Conf| has_more_slots(frame.slots(), conf.slots.as_bytes());
        if from_primary && has_extra(conf) && state.outdated.as_ref().is_none_or(has_extra) {
            return Err((12, "a claim of slots that its disk has not".into()));
        }
        let record = self.ledger.record(host);
        let sent = record.sent.filter(|sent| sent.id == id);
        let mut sent = sent.unwrap_or(Sent {
            id,
            current_epoch: 0,
            config_epoch: 0,
        });
        if current < sent.current_epoch {
            let was = sent.current_epoch;
            return Err((
                7,
                format!("currentEpoch {current}, it has sent {was} before"),
            ));
        }
        if from_primary && config < sent.config_epoch {
            let was = sent.config_epoch;
            return Err((9, format!("configEpoch {config}, it has sent {was} before")));
        }
        sent.current_epoch = current;
        if from_primary {
            sent.config_epoch = config;
        }
        record.sent = Some(sent);
        Ok(())
    }
}

/// Whether a bitmap has slots that another has not.
fn has_more_slots(bitmap: &[u8], other: &[u8]) -> bool {
    let word = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().expect("8 bytes"));
    let words = bitmap.chunks_exact(8).zip(other.chunks_exact(8));
    words.fold(0, |extra, (one, other)| extra | (word(one) & !word(other))) != 0
}
