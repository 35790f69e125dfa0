//! What the checkers remember: about each node, whatever becomes of its process, and about the
//! clusters as wholes.

use std::collections::{BTreeMap, BTreeSet};

use hexad_gossip::{FailoverMode, Millis, NodeId};
use hexad_slots::{Slot, SlotBitmap};

use crate::data::Write;
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
    /// By cluster: the slots that were given to a node once.
    given: BTreeMap<usize, SlotBitmap>,
    /// Slots that administrators have given to two nodes, or taken away: the data in them has no
    /// one owner to be with.
    contested: SlotBitmap,
    /// The clients' writes, by number.
    writes: Vec<Written>,
    /// The votes that have left, by voter and epoch: to whom.
    votes: BTreeMap<(NodeId, u64), HostId>,
    /// Who has won which epoch, by cluster and epoch, and who voted then.
    winners: BTreeMap<(usize, u64), (HostId, BTreeSet<NodeId>)>,
    /// The replicas that have taken their primaries' places.
    promotions: Vec<Promotion>,
}

/// A client's write.
#[derive(Clone, Copy, Debug)]
struct Written {
    cluster: usize,
    slot: Slot,
    /// It has been lost in a way that the protocol admits.
    is_excused: bool,
}

/// A replica that has taken its primary's place.
#[derive(Clone, Debug)]
pub(crate) struct Promotion {
    /// The primary.
    pub old: NodeId,
    /// At this configEpoch.
    pub epoch: u64,
    /// With these slots.
    pub slots: Box<SlotBitmap>,
    /// By which way.
    pub kind: Kind,
    /// When its workers knew it.
    pub at_us: Micros,
}

/// The ways in which a replica becomes a primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An election after the primary has failed.
    Election,
    /// CLUSTER FAILOVER: an election that the primary helps with.
    Plain,
    /// CLUSTER FAILOVER FORCE: an election whatever the primary does.
    Force,
    /// CLUSTER FAILOVER TAKEOVER: by itself.
    Takeover,
}

/// A pause of a primary's clients for a manual failover.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paused {
    /// When the last write had ended.
    pub at_us: Micros,
    /// In which of the host's processes.
    pub incarnation: u32,
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
    /// When this process last voted about which primary, by its clock.
    pub voted_about: Vec<(NodeId, Millis)>,
    /// The votes that this process has got, with their epochs.
    pub acks: Vec<(NodeId, u64)>,
    /// The last epoch that it has asked for votes for, and why.
    pub requested: Option<(u64, Kind)>,
    /// The last CLUSTER FAILOVER that it has accepted.
    pub failover: Option<FailoverMode>,
    /// A promotion that its workers do not know of yet.
    pub promotion: Option<Promotion>,
    /// Its last pause. Survives restarts.
    pub paused: Option<Paused>,
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
            given: BTreeMap::new(),
            contested: SlotBitmap::new(),
            writes: Vec::new(),
            votes: BTreeMap::new(),
            winners: BTreeMap::new(),
            promotions: Vec::new(),
        }
    }

    /// A client's write has been taken: its number.
    pub(crate) fn next_write(&mut self, cluster: usize, slot: Slot) -> Write {
        self.writes.push(Written {
            cluster,
            slot,
            is_excused: false,
        });
        (self.writes.len() - 1) as Write
    }

    /// These writes may be lost.
    pub(crate) fn excuse(&mut self, writes: impl Iterator<Item = Write>) {
        writes.for_each(|write| self.writes[write as usize].is_excused = true);
    }

    /// The writes that have to be there.
    pub(crate) fn must_have(&self, cluster: usize) -> impl Iterator<Item = (Slot, Write)> {
        let numbered = self.writes.iter().enumerate();
        numbered
            .filter(move |(_, write)| write.cluster == cluster && !write.is_excused)
            .filter(|(_, write)| !self.contested.get(write.slot))
            .map(|(number, write)| (write.slot, number as Write))
    }

    /// These slots are given to a node.
    pub(crate) fn give(&mut self, cluster: usize, slots: &SlotBitmap) {
        let given = self.given.entry(cluster).or_default();
        self.contested.extend(slots.intersection(given).iter());
        given.extend(slots.iter());
    }

    /// Nobody can say whose data these slots' is.
    pub(crate) fn contest(&mut self, slots: &SlotBitmap) {
        self.contested.extend(slots.iter());
    }

    /// A vote leaves; answers who has got another one of this voter at this epoch.
    pub(crate) fn cast(&mut self, voter: NodeId, epoch: u64, to: HostId) -> Option<HostId> {
        self.votes.insert((voter, epoch), to)
    }

    /// To whom a vote has gone.
    #[must_use]
    pub(crate) fn vote(&self, voter: NodeId, epoch: u64) -> Option<HostId> {
        self.votes.get(&(voter, epoch)).copied()
    }

    /// An epoch is won; answers who else has won it in the eyes of the same voters.
    pub(crate) fn win(
        &mut self,
        cluster: usize,
        epoch: u64,
        host: HostId,
        voters: BTreeSet<NodeId>,
    ) -> Option<HostId> {
        let same = voters.clone();
        let (other, theirs) = self.winners.insert((cluster, epoch), (host, voters))?;
        (theirs == same).then_some(other)
    }

    /// A replica's workers have heard that it is a primary.
    pub(crate) fn note_promotion(&mut self, promotion: Promotion) {
        self.promotions.push(promotion);
    }

    /// A node begins anew.
    pub(crate) fn note_reset(&mut self, id: NodeId) {
        self.promotions.retain(|promotion| promotion.old != id);
    }

    /// Since when another node has this one's slot by a promotion above this configEpoch.
    #[must_use]
    pub(crate) fn superseded_since(&self, id: NodeId, epoch: u64, slot: Slot) -> Option<Micros> {
        let over = self.promotions.iter().filter(|promotion| {
            promotion.old == id && promotion.epoch > epoch && promotion.slots.get(slot)
        });
        over.map(|promotion| promotion.at_us).min()
    }

    /// The primaries whose places were taken, and by whom.
    pub(crate) fn promotions(&self) -> &[Promotion] {
        &self.promotions
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
        self.voted_about.clear();
        self.acks.clear();
        self.requested = None;
        self.failover = None;
        self.promotion = None;
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
        if frame.kind() == kind::AUTH_ACK {
            self.acks.push((sender, frame.current_epoch()));
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
