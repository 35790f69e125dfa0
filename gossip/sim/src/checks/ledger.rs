//! What the checkers remember: about each node, whatever becomes of its process, and about the
//! clusters as wholes.

use std::collections::BTreeMap;

use hexad_gossip::{Millis, NodeId};
use hexad_slots::SlotBitmap;

use crate::network::HostId;
use crate::picture::Picture;
use crate::queue::Micros;
use crate::wire::{Frame, flag, kind};

/// Everything that is remembered.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// By host.
    pub records: Vec<Record>,
    /// By cluster: the slots that had an owner before the faults.
    owned: BTreeMap<usize, SlotBitmap>,
    /// By cluster: currentEpoch when everything first was quiet.
    epochs: BTreeMap<usize, u64>,
}

/// What is remembered of the node on one host.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Survives restarts.
    pub sent: Option<Sent>,
    /// What others have told this process about failures, as its machine has to see it.
    pub reports: Vec<Report>,
    /// Since when this process holds whom for FAIL, by its clock. What it read from its disk is
    /// not here: nobody knows since when.
    pub failed_since: Vec<(NodeId, Millis)>,
    /// When this process last got a frame of whom.
    pub heard: Vec<(NodeId, Micros)>,
}

/// The epochs that a node has told others of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// As whom.
    pub id: NodeId,
    /// The greatest currentEpoch.
    pub current_epoch: u64,
    /// The greatest configEpoch of its own.
    pub config_epoch: u64,
}

/// A primary has told that it gets no answer from a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    /// From whom it gets no answer.
    pub about: NodeId,
    /// Who told.
    pub by: NodeId,
    /// When, by the clock of the node that was told.
    pub at_ms: Millis,
}

impl Ledger {
    /// About so many hosts, nothing yet.
    #[must_use]
    pub(crate) fn new(hosts: usize) -> Self {
        Ledger {
            records: (0..hosts).map(|_| Record::default()).collect(),
            owned: BTreeMap::new(),
            epochs: BTreeMap::new(),
        }
    }

    /// The record of a host's node.
    pub(crate) fn record(&mut self, host: HostId) -> &mut Record {
        &mut self.records[host.index()]
    }

    /// Notes which slots have an owner now.
    pub(crate) fn note_owned<'a>(&mut self, views: impl Iterator<Item = (usize, &'a Picture)>) {
        for (cluster, view) in views {
            let owned = self.owned.entry(cluster).or_default();
            view.nodes()
                .flat_map(|node| node.slots.iter())
                .for_each(|&range| {
                    owned.set_range(range);
                });
        }
    }

    /// The slots that had an owner before the faults.
    #[must_use]
    pub(crate) fn owned(&self, cluster: usize) -> Option<&SlotBitmap> {
        self.owned.get(&cluster)
    }

    /// These slots are meant to have no owner any more.
    pub(crate) fn disown(&mut self, cluster: usize, slots: &SlotBitmap) {
        if let Some(owned) = self.owned.get_mut(&cluster) {
            *owned = owned.difference(slots);
        }
    }

    /// Notes the epochs of a quiet moment.
    pub(crate) fn note_epochs<'a>(&mut self, views: impl Iterator<Item = (usize, &'a Picture)>) {
        for (cluster, view) in views {
            self.epochs.insert(cluster, view.view().current_epoch);
        }
    }

    /// The currentEpoch of the last quiet moment.
    #[must_use]
    pub(crate) fn epoch(&self, cluster: usize) -> Option<u64> {
        self.epochs.get(&cluster).copied()
    }
}

impl Record {
    /// A new process knows nothing of what its predecessor was told.
    pub(crate) fn restart(&mut self) {
        self.reports.clear();
        self.failed_since.clear();
        self.heard.clear();
    }

    /// Notes what a frame of a known node tells.
    pub(crate) fn note_frame(
        &mut self,
        frame: Frame<'_>,
        sender: NodeId,
        at_us: Micros,
        at_ms: Millis,
    ) {
        match self.heard.iter_mut().find(|(id, _)| *id == sender) {
            Some((_, heard_us)) => *heard_us = at_us,
            None => self.heard.push((sender, at_us)),
        }
        if frame.kind() > kind::MEET {
            return;
        }
        for (about, flags) in frame.gossip() {
            let is_failing = flags & (flag::PFAIL | flag::FAIL) != 0;
            if is_failing || !self.reports.is_empty() {
                self.reports
                    .retain(|report| report.about != about || report.by != sender);
            }
            if is_failing {
                self.reports.push(Report {
                    about,
                    by: sender,
                    at_ms,
                });
            }
        }
    }

    /// When a node was last heard of by this process.
    #[must_use]
    pub(crate) fn last_heard_us(&self, id: NodeId) -> Micros {
        self.heard
            .iter()
            .find(|(known, _)| *known == id)
            .map_or(0, |(_, at_us)| *at_us)
    }
}
