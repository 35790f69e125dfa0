//! 1 to 6 and 18: votes, candidates, and those who win.

use std::collections::BTreeSet;

use hexad_gossip::{Admin, FailoverMode, NodeFlags, NodeId, Role};
use hexad_slots::{Slot, SlotBitmap};

use super::ledger::{Kind, Promotion, Record};
use super::step::{Checked, Step};
use super::{Cause, PutOut, short};
use crate::admin::all_slots;
use crate::network::HostId;
use crate::picture::{Picture, is_primary, is_voter};
use crate::wire::{Frame, kind};
use crate::world::World;

/// A candidate waits so long after the verdict on its primary, and so long again for each replica
/// that has more data.
const DELAY_MS: u64 = 500;
const RANK_DELAY_MS: u64 = 1_000;

/// 3 and 18, when a machine has decided to vote or to stand.
pub(super) fn decisions(step: &Step<'_>, record: &mut Record, put_out: &PutOut) -> Checked {
    if put_out.votes > 1 {
        return Err((1, "it votes twice at once".into()));
    }
    if put_out.votes > 0 {
        vote(step, record)?;
    }
    if put_out.requests && !put_out.is_forced {
        candidature(step, record)?;
    }
    Ok(())
}

/// 3.
fn vote(step: &Step<'_>, record: &mut Record) -> Checked {
    let found = |what: String| Err((3, format!("it votes {what}")));
    let frame = match step.cause {
        Cause::Frame {
            frame: Some(frame),
            is_stranger: false,
            ..
        } if frame.kind() == kind::AUTH_REQUEST => *frame,
        _ => return found("without being asked".into()),
    };
    if !is_voter(step.next.view().myself()) {
        return found("without being a primary with slots".into());
    }
    let (asked, current) = (frame.current_epoch(), step.next.view().current_epoch);
    if asked != current || asked < step.previous.view().current_epoch {
        return found(format!("for epoch {asked} at currentEpoch {current}"));
    }
    let candidate = frame.sender().and_then(|id| step.previous.node(id));
    let primary = candidate
        .and_then(|candidate| candidate.primary)
        .and_then(|primary| step.previous.node(primary));
    let Some(primary) = primary else {
        return found("for who is no replica of anybody".into());
    };
    if !primary.flags.contains(NodeFlags::FAIL) && !frame.is_forced() {
        return found("against a primary that it does not hold for FAIL".into());
    }
    let newer = claimed(frame).find(|&slot| {
        let owner = step.previous.owner(slot);
        let owner = owner.and_then(|id| step.previous.node(id));
        owner.is_some_and(|owner| owner.config_epoch > frame.config_epoch())
    });
    if let Some(slot) = newer {
        return found(format!("for an old claim of slot {slot}"));
    }
    let last = record.voted_about.iter().find(|(id, _)| *id == primary.id);
    if let Some((_, last_ms)) = last
        && step.now_ms - last_ms < 2 * step.timeout_ms
    {
        return found(format!("twice about {}", short(&primary.id)));
    }
    record.voted_about.retain(|(id, _)| *id != primary.id);
    record.voted_about.push((primary.id, step.now_ms));
    Ok(())
}

fn claimed(frame: Frame<'_>) -> impl Iterator<Item = Slot> {
    let slots = frame.slots();
    all_slots().filter(|slot| slots[slot.index() / 8] & (1 << (slot.index() % 8)) != 0)
}

/// 3 and 18: who asks for votes has a primary that has failed, and has left others with more data
/// their start.
fn candidature(step: &Step<'_>, record: &Record) -> Checked {
    let me = step.next.view().myself();
    let primary = me.primary.and_then(|id| step.next.node(id));
    let failed = primary.filter(|primary| primary.flags.contains(NodeFlags::FAIL));
    let Some(failed) = failed else {
        return Err((
            3,
            "it asks for votes though its primary has not failed".into(),
        ));
    };
    let ahead = step.next.nodes().filter(|node| {
        node.id != me.id
            && node.primary == me.primary
            && !node.flags.contains(NodeFlags::NOFAILOVER)
            && node.repl_offset > me.repl_offset
    });
    let ahead = ahead.count() as u64;
    let since = record.failed_since.iter().find(|(id, _)| *id == failed.id);
    if let Some((_, since_ms)) = since {
        let waited_ms = step.now_ms - since_ms;
        if waited_ms < DELAY_MS + ahead * RANK_DELAY_MS {
            let what = format!("it stands after {waited_ms} ms, {ahead} have more data");
            return Err((18, what));
        }
    }
    Ok(())
}

/// 4, 5 and 6: a replica has made itself a primary with its primary's slots.
pub(super) fn promotion(
    world: &mut World,
    host: HostId,
    cause: &Cause<'_>,
    earlier: &Picture,
) -> Checked {
    let Some(next) = world.view(host).cloned() else {
        return Ok(());
    };
    let (was, is) = (earlier.view().myself(), next.view().myself());
    let is_reset = matches!(cause, Cause::Admin(Admin::Reset { .. }));
    if is_primary(was) || !is_primary(is) || is_reset {
        return Ok(());
    }
    let Some(old) = was.primary else {
        return Err((5, "it promotes itself over nobody".into()));
    };
    let epoch = is.config_epoch;
    let slots = slots_of(earlier, old);
    if let Some(slot) = slots.iter().find(|&slot| next.owner(slot) != Some(is.id)) {
        return Err((5, format!("it promotes itself without slot {slot}")));
    }
    // Another node may have taken this epoch without asking: that is a collision.
    let highest = earlier.node(old).map(|node| node.config_epoch);
    if highest.is_some_and(|highest| epoch <= highest) {
        return Err((5, format!("it promotes itself at the old epoch {epoch}")));
    }
    let record = world.ledger.record(host);
    let kind = match cause {
        Cause::Admin(Admin::Failover(FailoverMode::Takeover)) => Kind::Takeover,
        _ => match record.requested {
            Some((asked, kind)) if asked == epoch => kind,
            asked => {
                return Err((4, format!("it wins epoch {epoch}, asked for {asked:?}")));
            }
        },
    };
    if kind != Kind::Takeover {
        let record = &world.ledger.records[host.index()];
        let votes: BTreeSet<NodeId> = (record.acks.iter())
            .filter(|(_, at)| *at == epoch)
            .map(|(voter, _)| *voter)
            .collect();
        let others = (votes.iter()).find(|voter| world.ledger.vote(**voter, epoch) != Some(host));
        if let Some(voter) = others {
            let what = format!("it counts the vote of {}, who gave none", short(voter));
            return Err((4, what));
        }
        let voters = earlier.voters().count().min(next.voters().count());
        if votes.len() < voters / 2 + 1 {
            let found = votes.len();
            return Err((
                4,
                format!("it wins epoch {epoch} with {found} of {voters} votes"),
            ));
        }
        let voters: BTreeSet<NodeId> = earlier.voters().map(|voter| voter.id).collect();
        let cluster = world.hosts[host.index()].cluster;
        if let Some(other) = world.ledger.win(cluster, epoch, host, voters) {
            return Err((6, format!("it wins epoch {epoch}, as {other:?} has")));
        }
    }
    world.counts.promotions += 1;
    let record = world.ledger.record(host);
    record.promotion = Some(Promotion {
        old,
        epoch,
        slots,
        kind,
        at_us: 0,
    });
    Ok(())
}

fn slots_of(view: &Picture, id: NodeId) -> Box<SlotBitmap> {
    let mut slots = Box::new(SlotBitmap::new());
    let ranges = view.node(id).map(|node| node.slots.clone());
    for &range in ranges.iter().flat_map(|ranges| ranges.iter()) {
        slots.set_range(range);
    }
    slots
}

impl World {
    /// 1 and 2: a vote, or a request for votes, enters the network.
    pub(super) fn check_election_frame(
        &mut self,
        host: HostId,
        peer: Option<HostId>,
        frame: Frame<'_>,
    ) -> Checked {
        let (Some(conf), Some(peer)) = (&self.hosts[host.index()].durable, peer) else {
            return Ok(());
        };
        let epoch = frame.current_epoch();
        if frame.kind() == kind::AUTH_REQUEST && conf.current_epoch < epoch {
            let had = conf.current_epoch;
            return Err((
                2,
                format!("a request for epoch {epoch}, its disk has {had}"),
            ));
        }
        if frame.kind() == kind::AUTH_REQUEST {
            let record = self.ledger.record(host);
            let kind = match (frame.is_forced(), record.failover) {
                (true, Some(FailoverMode::Plain)) => Kind::Plain,
                (true, _) => Kind::Force,
                (false, _) => Kind::Election,
            };
            record.requested = Some((epoch, kind));
        }
        if frame.kind() == kind::AUTH_ACK {
            let (voted, current) = (conf.last_vote_epoch, conf.current_epoch);
            if voted < epoch || current < epoch {
                let what = format!("a vote for epoch {epoch}, its disk has {voted} and {current}");
                return Err((2, what));
            }
            let voter = conf.me;
            if let Some(other) = self.ledger.cast(voter, epoch, peer) {
                let what = format!("a vote for epoch {epoch} to {peer:?}, {other:?} has it");
                return Err((1, what));
            }
        }
        Ok(())
    }

    /// 18: a replica shows how far it has come in its primary's stream, or nothing.
    pub(super) fn check_offset(&self, host: HostId, frame: Frame<'_>) -> Checked {
        let state = &self.hosts[host.index()];
        let Some(process) = &state.process else {
            return Ok(());
        };
        // A frame from just before a change of role still shows the last primary, and its offset.
        let follows = match process.role {
            Role::Replica { of: Some(of) } => frame.primary() == Some(of.id),
            _ => false,
        };
        let shown = frame.repl_offset();
        if follows && process.link == crate::host::Link::Never && shown != 0 {
            let what = format!("offset {shown}, and has nothing of its primary");
            return Err((18, what));
        }
        Ok(())
    }
}
