//! Votes: what a primary answers to a replica that wants to take its primary's place.
//!
//! A vote is given once an epoch, ever. So `last_vote_epoch` is on disk before the ACK leaves: a
//! voter that forgot its vote in a crash could elect two primaries for one epoch (invariant 1).

use super::Cluster;
use crate::frame::{FrameType, Header, MessageFlags};
use crate::node::NodeIx;
use crate::{LogLevel, Millis, NodeFlags};

/// A voter gives one vote about a primary in so many node timeouts: the winner needs time to tell
/// the other replicas of it, which could else win as well, at a higher epoch.
const VOTE_INTERVAL: u64 = 2;

impl Cluster {
    /// A FAILOVER_AUTH_REQUEST. Its epoch has raised this node's by now, like any frame's.
    pub(super) fn on_vote_request(&mut self, header: &Header, candidate: NodeIx) {
        if !self.is_voter(crate::node::ME) || !self.healthy {
            return;
        }
        let id = self.nodes[candidate].id;
        if let Err(why) = self.judge_candidate(header, candidate) {
            let text = format!("Failover auth denied to {id}: {why}");
            return self.log(LogLevel::Warning, text);
        }
        let Some(link) = self.link_to(candidate) else {
            return;
        };
        if let Some(primary) = self.nodes[candidate].primary {
            self.nodes[primary].voted = self.now;
        }
        self.last_vote_epoch = self.current_epoch;
        self.changed();
        self.send_bare(FrameType::FailoverAuthAck, link);
        let text = format!(
            "Failover auth granted to {id} for epoch {}",
            self.current_epoch
        );
        self.log(LogLevel::Warning, text);
    }

    /// Whether a candidate gets this node's vote, or why it does not, in the words of Redis 7.0
    /// (invariants 1 and 3).
    fn judge_candidate(&self, header: &Header, candidate: NodeIx) -> Result<(), String> {
        let (requested, current) = (header.current_epoch, self.current_epoch);
        if requested < current {
            return Err(format!("reqEpoch ({requested}) < curEpoch({current})"));
        }
        if self.last_vote_epoch >= requested {
            return Err(format!("already voted for epoch {current}"));
        }
        let node = &self.nodes[candidate];
        if node.is_primary() {
            return Err("it is a master node".to_owned());
        }
        let Some(primary) = node.primary.map(|primary| &self.nodes[primary]) else {
            return Err("I don't know its master".to_owned());
        };
        let forced = header.message_flags.contains(MessageFlags::FORCE_ACK);
        if !primary.is(NodeFlags::FAIL) && !forced {
            return Err("its master is up".to_owned());
        }
        let left = vote_delay(self.now, primary.voted, self.config.node_timeout_ms);
        if left > 0 {
            return Err(format!(
                "can't vote about this master before {left} milliseconds"
            ));
        }
        let newer = header.slots.iter().find_map(|slot| {
            let epoch = self.nodes[self.slots.owner(slot)?].config_epoch;
            (epoch > header.config_epoch).then_some((slot, epoch))
        });
        match newer {
            Some((slot, epoch)) => Err(format!(
                "slot {slot} epoch ({epoch}) > reqEpoch ({})",
                header.config_epoch
            )),
            None => Ok(()),
        }
    }
}

/// How long a primary's replicas have to wait for the next vote.
fn vote_delay(now: Millis, voted: Millis, node_timeout_ms: u64) -> u64 {
    if voted == 0 {
        return 0;
    }
    let next = voted.saturating_add(node_timeout_ms.saturating_mul(VOTE_INTERVAL));
    next.saturating_sub(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn votes_about_a_primary_are_two_node_timeouts_apart() {
        for (now, voted, left) in [
            (10_000, 0, 0),
            (10_000, 10_000, 2000),
            (11_999, 10_000, 1),
            (12_000, 10_000, 0),
            (u64::MAX, u64::MAX, 0),
        ] {
            assert_eq!(vote_delay(now, voted, 1000), left, "{now} {voted}");
        }
    }
}
