//! Epochs: who is right when two nodes claim the same.
//!
//! `current_epoch` is the cluster's logical clock, `config_epoch` the time of a primary's claim
//! to its slots. Whatever raises one of them is on disk before a frame shows it: a raised
//! `current_epoch` that a crash took back could be given to a second claim.

use super::Cluster;
use crate::node::{ME, NodeIx};
use crate::{LogLevel, NodeId};

impl Cluster {
    /// Takes over the epochs that a known node shows. Neither falls (invariants 7 and 9), and the
    /// current one is never behind (invariant 8).
    pub(super) fn see_epochs(&mut self, at: NodeIx, current: u64, config: u64) {
        self.raise_current_epoch(current.max(config));
        let node = &mut self.nodes[at];
        if at != ME && config > node.config_epoch {
            node.config_epoch = config;
            self.changes.durable = true;
        }
    }

    /// Raises the current epoch to this one, if it is higher.
    ///
    /// Stricter than Redis 7.0, which does not save what it learns.
    pub(super) fn raise_current_epoch(&mut self, epoch: u64) {
        if epoch > self.current_epoch {
            self.current_epoch = epoch;
            self.changes.durable = true;
        }
    }

    /// If another primary has the same configEpoch, the one with the smaller id takes a new one
    /// (invariant 10). As the ids of any two differ, and each step raises the current epoch, all
    /// end up with different ones.
    pub(super) fn resolve_collision(&mut self, sender: NodeIx, config_epoch: u64) {
        let other = &self.nodes[sender];
        let collides = self.am_primary()
            && other.is_primary()
            && config_epoch == self.nodes[ME].config_epoch
            && self.nodes[ME].id < other.id;
        if collides {
            let id = other.id;
            let epoch = self.take_new_epoch();
            let text = format!(
                "WARNING: configEpoch collision with node {id}. configEpoch set to {epoch}"
            );
            self.log(LogLevel::Verbose, text);
        }
    }

    /// Makes this node's configEpoch the highest in the cluster, without asking anybody; `None`
    /// if it is already.
    pub(super) fn bump_epoch(&mut self) -> Option<u64> {
        let mine = self.nodes[ME].config_epoch;
        // No node has a configEpoch above the current epoch.
        if mine != 0 && mine == self.current_epoch {
            return None;
        }
        let epoch = self.take_new_epoch();
        self.log(LogLevel::Warning, format!("New configEpoch set to {epoch}"));
        Some(epoch)
    }

    pub(super) fn take_new_epoch(&mut self) -> u64 {
        self.current_epoch = self.current_epoch.saturating_add(1);
        self.nodes[ME].config_epoch = self.current_epoch;
        self.changes.announce = true;
        self.changed();
        self.current_epoch
    }

    /// An UPDATE: a known node tells which slots another has by a newer claim.
    pub(super) fn on_update(
        &mut self,
        about: NodeId,
        config_epoch: u64,
        slots: &hexad_slots::SlotBitmap,
    ) {
        let Some(at) = self.nodes.find_known(&about) else {
            return;
        };
        if at == ME {
            self.log(LogLevel::Debug, "Discarding UPDATE message about myself.");
            return;
        }
        if self.nodes[at].config_epoch >= config_epoch {
            return;
        }
        self.set_as_primary(at);
        self.see_epochs(at, config_epoch, config_epoch);
        self.claim(at, config_epoch, slots);
    }
}
