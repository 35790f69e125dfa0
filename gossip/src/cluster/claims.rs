//! Who owns which slot, and how messages and commands change that.

use hexad_slots::{Slot, SlotBitmap};

use super::Cluster;
use crate::frame::Header;
use crate::node::{ME, NodeIx};
use crate::{LogLevel, Output};

/// A slot that its owner does not claim for so many node timeouts has no owner any more.
const UNCLAIMED_LIFE: u64 = 2;

impl Cluster {
    /// What a node's header says of the slots that it, or its primary, serves.
    pub(super) fn see_slots(&mut self, sender: NodeIx, header: &Header) {
        let node = &self.nodes[sender];
        let is_primary = node.is_primary();
        let Some(owner) = (if is_primary {
            Some(sender)
        } else {
            node.primary
        }) else {
            return;
        };
        if self.slots.slots_of(owner) == &*header.slots {
            if is_primary {
                self.nodes[owner].unclaimed = None;
            }
            return;
        }
        if is_primary {
            self.see_unclaimed(sender, header);
            self.claim(sender, header.config_epoch, &header.slots);
        }
        self.correct_stale_claim(sender, header);
    }

    /// A primary claims slots. It gets those that nobody owns, and those whose owner's claim is
    /// older than this one; never one of the same age (invariant 11).
    pub(super) fn claim(&mut self, claimer: NodeIx, config_epoch: u64, claimed: &SlotBitmap) {
        if claimer == ME {
            return;
        }
        // Whose slots are at stake for this node: its own, or its primary's.
        let head = if self.am_primary() {
            Some(ME)
        } else {
            self.nodes[ME].primary
        };
        let new: Vec<Slot> = claimed
            .difference(self.slots.slots_of(claimer))
            .iter()
            .filter(|&slot| match self.slots.owner(slot) {
                None => true,
                Some(owner) => self.nodes[owner].config_epoch < config_epoch,
            })
            .collect();
        if new.is_empty() {
            self.leave_sub_replica();
            return;
        }
        let (mut from_head, mut mine) = (0, SlotBitmap::new());
        for slot in new {
            let previous = self.assign(slot, claimer);
            from_head += usize::from(previous.is_some() && previous == head);
            if previous == Some(ME) {
                mine.set(slot);
            }
            // A slot on its way here now comes from its new owner, as after a failover there.
            if self.importing.contains_key(&slot) {
                self.importing.insert(slot, claimer);
            }
        }
        let head_is_empty = head.is_some_and(|head| self.slots.count_of(head) == 0);
        let may_follow = self.config.allow_replica_migration || from_head == claimed.count();
        if from_head > 0 && head_is_empty && may_follow {
            // A failover took this node's slots, or its primary's: the winner is the primary now.
            let id = self.nodes[claimer].id;
            let text =
                format!("Configuration change detected. Reconfiguring myself as a replica of {id}");
            self.log(LogLevel::Warning, text);
            // Who takes exactly what the primary had has its data; who takes the last of several
            // pieces has other data.
            let is_same_shard = !self.am_primary() && from_head == claimed.count();
            let heard = self.last_heard().filter(|_| is_same_shard);
            self.become_replica_of(claimer, heard);
            return;
        }
        self.leave_sub_replica();
        if !mine.is_empty() {
            self.staged.push(Output::DropKeys(Box::new(mine)));
        }
    }

    /// A primary that owns slots here does not claim all of them any more. If it keeps to that, they
    /// have no owner.
    ///
    /// Stricter than Redis 7.0, where a slot that was taken off its owner by DELSLOTS stays with it
    /// in whatever view missed the command, and nobody with an older claim is ever believed to have
    /// it there (invariant 19). The delay is for slots that move: the claim of the new owner is
    /// under way then.
    fn see_unclaimed(&mut self, owner: NodeIx, header: &Header) {
        let node = &self.nodes[owner];
        let mut missing = self.slots.slots_of(owner).difference(&header.slots);
        for slot in self.importing.keys() {
            missing.clear(*slot);
        }
        // A frame from before its last claim says nothing about that.
        if missing.is_empty() || header.config_epoch < node.config_epoch {
            self.nodes[owner].unclaimed = None;
            return;
        }
        let delay = self.config.node_timeout_ms.saturating_mul(UNCLAIMED_LIFE);
        let since = match &node.unclaimed {
            Some((since, slots)) if missing.difference(slots).is_empty() => *since,
            _ => self.now,
        };
        if self.now.saturating_sub(since) <= delay {
            self.nodes[owner].unclaimed = Some((since, Box::new(missing)));
            return;
        }
        let text = format!("Node {} does not claim {missing:?} any more", node.id);
        self.log(LogLevel::Notice, text);
        self.nodes[owner].unclaimed = None;
        missing.iter().for_each(|slot| self.unassign(slot));
    }

    /// Tells a node which claims slots of somebody with a newer claim. One UPDATE a heartbeat:
    /// the next one brings the next.
    fn correct_stale_claim(&mut self, sender: NodeIx, header: &Header) {
        let newer = header.slots.iter().find_map(|slot| {
            let owner = self.slots.owner(slot).filter(|&owner| owner != sender)?;
            (self.nodes[owner].config_epoch > header.config_epoch).then_some(owner)
        });
        let Some(owner) = newer else { return };
        let text = format!(
            "Node {} has old slots configuration, sending an UPDATE message about {}",
            self.nodes[sender].id, self.nodes[owner].id
        );
        self.log(LogLevel::Verbose, text);
        self.send_update(sender, owner);
    }

    /// Gives a slot to a node and answers who had it.
    pub(super) fn assign(&mut self, slot: Slot, owner: NodeIx) -> Option<NodeIx> {
        let previous = self.slots.assign(slot, owner);
        self.slot_changed(slot, previous, Some(owner));
        previous
    }

    /// Takes a slot from its owner.
    pub(super) fn unassign(&mut self, slot: Slot) {
        let previous = self.slots.unassign(slot);
        self.slot_changed(slot, previous, None);
    }

    fn slot_changed(&mut self, slot: Slot, previous: Option<NodeIx>, owner: Option<NodeIx>) {
        self.changes.slots = true;
        self.changed();
        if previous == Some(ME) && owner != Some(ME) {
            // What is not here cannot be moved away (invariant 22).
            self.migrating.remove(&slot);
        }
        if (previous == Some(ME)) != (owner == Some(ME)) {
            self.changes.announce = true;
        }
    }

    /// See [`Cluster::data_loaded`].
    pub(super) fn claim_slots_with_keys(&mut self, slots: &SlotBitmap) {
        if !self.am_primary() {
            return;
        }
        for slot in slots {
            match self.slots.owner(slot) {
                Some(ME) => {}
                _ if self.importing.contains_key(&slot) => {}
                None => {
                    let text = format!(
                        "I have keys for unassigned slot {slot}. Taking responsibility for it."
                    );
                    self.log(LogLevel::Notice, text);
                    self.assign(slot, ME);
                }
                Some(owner) => {
                    let text = format!(
                        "I have keys for slot {slot}, but the slot is assigned to another node. \
                         Setting it to importing state."
                    );
                    self.log(LogLevel::Notice, text);
                    self.importing.insert(slot, owner);
                    self.changes.slots = true;
                    self.changed();
                }
            }
        }
    }

    /// Ends all moves of slots.
    pub(super) fn close_all_slots(&mut self) {
        self.migrating.clear();
        self.importing.clear();
        self.changes.slots = true;
    }
}
