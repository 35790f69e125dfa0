//! Elections, as a candidate: a replica whose primary has failed asks the voters for its place.
//!
//! An attempt goes through three stages, and a retry begins with the first again:
//!
//! ```text
//! planned ──(delay by rank)──► requested, at epoch E ──(majority of votes for E)──► promoted
//! ```
//!
//! E is this node's raised currentEpoch, on disk before the requests leave. Each voter gives one
//! vote an epoch, so of all candidates only one can have a majority for E (invariant 6). The delay
//! lets the replica with the most data ask first.

use std::collections::BTreeSet;

use rand::Rng;

use super::Cluster;
use super::failure::majority;
use crate::frame::{FrameType, Header};
use crate::node::{ME, NodeIx};
use crate::{LogLevel, Millis, NodeFlags, NodeId};

/// So long a candidate waits at least, for the verdict on its primary to get around: who has not
/// heard of it refuses its vote.
const MIN_DELAY_MS: u64 = 500;

/// Up to so much is added at random, so that candidates of equal rank do not split the votes.
const RANDOM_DELAY_MS: u64 = 500;

/// Each replica with more data is given so much of a start.
const RANK_DELAY_MS: u64 = 1000;

/// For so many node timeouts votes are waited for, but at least [`MIN_AUTH_TIMEOUT_MS`].
const AUTH_TIMEOUTS: u64 = 2;
const MIN_AUTH_TIMEOUT_MS: u64 = 2000;

/// A failed attempt is repeated after so many times the time that votes are waited for.
const RETRY_TIMEOUTS: u64 = 2;

/// The same reason for not standing is not logged again for so long.
const RELOG_MS: u64 = 300_000;

/// Nothing is logged about not standing for so long (and the node timeout) after the verdict: an
/// election takes that much even if all goes well.
const QUIET_MS: u64 = 5000;

/// This node's candidature.
#[derive(Clone, Debug, Default)]
pub(super) struct Election {
    attempt: Option<Attempt>,
    /// The last reason for not standing, and when it was logged.
    hindrance: Option<(Hindrance, Millis)>,
}

#[derive(Clone, Debug)]
struct Attempt {
    /// When the requests go out, or did.
    start: Millis,
    /// How many replicas had more data.
    rank: u64,
    /// The epoch that votes are asked for, once they are.
    epoch: Option<u64>,
    /// Who has given a vote for it. (Stricter: Redis 7.0 counts answers; invariant 4.)
    votes: BTreeSet<NodeId>,
}

/// Why a candidate does not get on, in the words of Redis 7.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Hindrance {
    #[error(
        "Disconnected from master for longer than allowed. Please check the \
         'cluster-replica-validity-factor' configuration option."
    )]
    DataAge,
    #[error("Waiting the delay before I can start a new failover.")]
    Delay,
    #[error("Failover attempt expired.")]
    Expired,
    #[error("Waiting for votes, but majority still not reached.")]
    Votes,
}

impl Election {
    /// When votes are to be asked for, if that is planned.
    pub(super) fn starts_at(&self) -> Option<Millis> {
        let attempt = self.attempt.as_ref();
        Some(attempt.filter(|attempt| attempt.epoch.is_none())?.start)
    }
}

impl Cluster {
    /// Goes on with the candidature when its delay is over, whether a tick is due or not.
    pub(super) fn seek_promotion_in_time(&mut self) {
        if self
            .election
            .starts_at()
            .is_some_and(|start| start <= self.now)
        {
            self.seek_promotion();
        }
    }

    /// Goes on with the candidature, if there is reason for one: to be called as time passes, and
    /// at once when something has come that it waits for.
    pub(super) fn seek_promotion(&mut self) {
        let manual = self.manual.may_start();
        let Some(primary) = self.primary_to_replace(manual) else {
            self.election = Election::default();
            return;
        };
        if self.is_emptied() || (!manual && self.data_is_too_old()) {
            return self.log_hindrance(Hindrance::DataAge);
        }
        let timeout = auth_timeout(self.config.node_timeout_ms);
        let attempt = self.election.attempt.as_ref();
        let Some(attempt) = attempt.filter(|attempt| {
            self.now.saturating_sub(attempt.start) <= timeout.saturating_mul(RETRY_TIMEOUTS)
        }) else {
            return self.plan_attempt(manual);
        };
        let (start, epoch) = (attempt.start, attempt.epoch);
        if epoch.is_none() && !manual {
            self.worsen_rank();
        }
        let start = self.election.attempt.as_ref().map_or(start, |it| it.start);
        if self.now < start {
            return self.log_hindrance(Hindrance::Delay);
        }
        if self.now - start > timeout {
            return self.log_hindrance(Hindrance::Expired);
        }
        match epoch {
            None => self.request_votes(),
            Some(epoch) if self.has_majority() => self.win(primary, epoch),
            Some(_) => self.log_hindrance(Hindrance::Votes),
        }
    }

    /// Ends the candidature: the primary is another one, or this node is one itself.
    pub(super) fn withdraw(&mut self) {
        self.election = Election::default();
    }

    /// Has the next attempt begin at once, unless votes are being waited for: asked for again,
    /// they would not be given.
    pub(super) fn hasten_election(&mut self) {
        let timeout = auth_timeout(self.config.node_timeout_ms);
        let now = self.now;
        self.election.attempt = self.election.attempt.take().filter(|attempt| {
            attempt.epoch.is_some() && now.saturating_sub(attempt.start) <= timeout
        });
    }

    /// The primary in whose place this node may be, if it is failed or helps.
    fn primary_to_replace(&self, manual: bool) -> Option<NodeIx> {
        let primary = self.nodes[ME].primary.filter(|_| self.healthy)?;
        let failed = self.nodes[primary].is(NodeFlags::FAIL);
        let wanted = manual || (failed && !self.config.replica_no_failover);
        (wanted && self.slots.count_of(primary) > 0).then_some(primary)
    }

    fn plan_attempt(&mut self, manual: bool) {
        let by_chance = self.rng.random_range(0..RANDOM_DELAY_MS);
        let (rank, delay) = if manual {
            (0, 0)
        } else {
            let rank = self.rank();
            (rank, MIN_DELAY_MS + by_chance + rank * RANK_DELAY_MS)
        };
        self.election.attempt = Some(Attempt {
            start: self.now + delay,
            rank,
            epoch: None,
            votes: BTreeSet::new(),
        });
        let offset = self.own_offset();
        let text = format!(
            "Start of election delayed for {delay} milliseconds (rank #{rank}, offset {offset})."
        );
        self.log(LogLevel::Warning, text);
        // The others of the shard need the offset for their own rank.
        self.tell_shard();
        if delay == 0 {
            self.request_votes();
        }
    }

    /// How many replicas of the same primary have more data, as far as they have told.
    fn rank(&self) -> u64 {
        let (primary, mine) = (self.nodes[ME].primary, self.own_offset());
        let ahead = self.nodes.iter().filter(|(at, node)| {
            *at != ME
                && node.primary == primary
                && !node.is(NodeFlags::NOFAILOVER)
                && node.repl_offset > mine
        });
        ahead.count() as u64
    }

    /// Gives those a start who turn out to have more data.
    fn worsen_rank(&mut self) {
        let rank = self.rank();
        let Some(attempt) = self.election.attempt.as_mut() else {
            return;
        };
        if rank <= attempt.rank {
            return;
        }
        let added = (rank - attempt.rank) * RANK_DELAY_MS;
        attempt.start += added;
        attempt.rank = rank;
        let text = format!("Replica rank updated to #{rank}, added {added} milliseconds of delay.");
        self.log(LogLevel::Warning, text);
    }

    fn request_votes(&mut self) {
        let epoch = self.current_epoch.saturating_add(1);
        self.raise_current_epoch(epoch);
        if let Some(attempt) = self.election.attempt.as_mut() {
            attempt.epoch = Some(epoch);
        }
        let text = format!("Starting a failover election for epoch {epoch}.");
        self.log(LogLevel::Warning, text);
        self.changed();
        self.broadcast_bare(FrameType::FailoverAuthRequest);
    }

    /// A FAILOVER_AUTH_ACK: a vote, if it is one for the election that goes on.
    ///
    /// A voter's ACK shows the epoch that it has voted for; one with another epoch is an answer
    /// to an earlier request.
    pub(super) fn hear_vote(&mut self, header: &Header, sender: NodeIx) {
        let voter = self.is_voter(sender).then(|| self.nodes[sender].id);
        let Some(attempt) = self.election.attempt.as_mut() else {
            return;
        };
        if let Some(voter) = voter.filter(|_| attempt.epoch == Some(header.current_epoch)) {
            attempt.votes.insert(voter);
            self.seek_promotion();
        }
    }

    fn has_majority(&self) -> bool {
        let votes = self.election.attempt.as_ref();
        let votes = votes.map_or(0, |attempt| attempt.votes.len());
        votes >= majority(self.voters().count())
    }

    fn win(&mut self, primary: NodeIx, epoch: u64) {
        if self.nodes[primary].config_epoch >= epoch {
            // The primary has claimed its slots anew since the votes were asked for.
            self.election.attempt = None;
            return;
        }
        self.log(
            LogLevel::Warning,
            "Failover election won: I'm the new master.",
        );
        let text = format!("configEpoch set to {epoch} after successful failover");
        self.log(LogLevel::Warning, text);
        self.nodes[ME].config_epoch = epoch;
        self.replace_primary(primary);
    }

    /// Takes the place of this node's primary: its slots, at this node's configEpoch, which is a
    /// new one (invariant 5). [`Cluster::finish`] puts all that on disk before anybody is told.
    pub(super) fn replace_primary(&mut self, primary: NodeIx) {
        self.become_primary();
        for slot in self.slots.slots_of(primary).clone().iter() {
            self.assign(slot, ME);
        }
        self.end_manual_failover();
        self.withdraw();
        self.update_state();
        self.changes.announce = false;
        self.broadcast_pong();
    }

    fn log_hindrance(&mut self, hindrance: Hindrance) {
        let primary = self.nodes[ME].primary.map(|at| &self.nodes[at]);
        let quiet = self.config.node_timeout_ms.saturating_add(QUIET_MS);
        let is_early = primary.is_some_and(|primary| {
            primary.is(NodeFlags::FAIL) && self.now.saturating_sub(primary.fail_time) < quiet
        });
        let is_told = self
            .election
            .hindrance
            .is_some_and(|(told, at)| told == hindrance && self.now - at < RELOG_MS);
        if is_early || is_told {
            return;
        }
        self.election.hindrance = Some((hindrance, self.now));
        let text = format!("Currently unable to failover: {hindrance}");
        self.log(LogLevel::Warning, text);
    }
}

/// For how long votes are waited for.
fn auth_timeout(node_timeout_ms: u64) -> u64 {
    node_timeout_ms
        .saturating_mul(AUTH_TIMEOUTS)
        .max(MIN_AUTH_TIMEOUT_MS)
}
