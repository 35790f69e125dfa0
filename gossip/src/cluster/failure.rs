//! From suspicion to verdict: PFAIL, failure reports, FAIL, and back.

use super::Cluster;
use crate::node::{ME, Node, NodeIx};
use crate::{LogLevel, Millis, NodeFlags, NodeId};

/// A failure report counts for so many node timeouts.
const REPORT_LIFE: u64 = 2;

/// A failed primary that still owns its slots is believed again after so many node timeouts: its
/// replicas have had their time to take over.
const FAIL_LIFE: u64 = 2;

/// How many of `voters` are a majority.
pub(super) fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

impl Cluster {
    /// The primaries that have slots: those who decide.
    pub(super) fn voters(&self) -> impl Iterator<Item = (NodeIx, &Node)> {
        let owners = self.slots.owners().map(|at| (at, &self.nodes[at]));
        owners.filter(|(_, node)| node.is_primary())
    }

    pub(super) fn is_voter(&self, at: NodeIx) -> bool {
        self.nodes[at].is_primary() && self.slots.count_of(at) > 0
    }

    /// This node has waited too long for a node's answer.
    pub(super) fn suspect(&mut self, at: NodeIx) {
        let node = &mut self.nodes[at];
        if node.is(NodeFlags::FAILING) {
            return;
        }
        node.flags.insert(NodeFlags::PFAIL);
        let text = format!("*** NODE {} possibly failing", node.id);
        self.log(LogLevel::Debug, text);
        self.changes.state = true;
        self.changes.view = true;
        // With one voter there is nobody to wait for.
        self.convict_if_agreed(at);
    }

    /// A primary tells what it thinks of a node.
    pub(super) fn hear_report(&mut self, about: NodeIx, from: NodeIx, failing: bool) {
        if about == ME || about == from {
            return;
        }
        let (name, reporter) = (self.nodes[about].id, self.nodes[from].id);
        if failing {
            if self.nodes[about].reports.insert(from, self.now).is_none() {
                let text = format!("Node {reporter} reported node {name} as not reachable.");
                self.log(LogLevel::Verbose, text);
                self.changes.times = true;
            }
            self.convict_if_agreed(about);
        } else if self.nodes[about].reports.remove(&from).is_some() {
            let text = format!("Node {reporter} reported node {name} is back online.");
            self.log(LogLevel::Verbose, text);
            self.changes.times = true;
        }
    }

    /// Marks a suspected node as failed if a majority of the voters suspects it, and tells all.
    ///
    /// Stricter than Redis 7.0, where primaries without slots count, too (invariant 14).
    fn convict_if_agreed(&mut self, at: NodeIx) {
        self.expire_reports(at);
        let node = &self.nodes[at];
        if !node.is(NodeFlags::PFAIL) || node.is(NodeFlags::FAIL) {
            return;
        }
        let others = node
            .reports
            .keys()
            .filter(|&&from| self.is_voter(from))
            .count();
        let agreed = others + usize::from(self.is_voter(ME));
        if agreed < majority(self.voters().count()) {
            return;
        }
        let text = format!("Marking node {} as failing (quorum reached).", node.id);
        self.log(LogLevel::Notice, text);
        self.mark_failed(at);
        self.broadcast_fail(at);
    }

    /// A known node has sent the verdict on another.
    pub(super) fn hear_verdict(&mut self, about: NodeId, from: NodeIx) {
        let Some(at) = self.nodes.find_known(&about) else {
            return;
        };
        if at == ME || self.nodes[at].is(NodeFlags::FAIL) {
            return;
        }
        let text = format!(
            "FAIL message received from {} about {about}",
            self.nodes[from].id
        );
        self.log(LogLevel::Notice, text);
        self.mark_failed(at);
    }

    fn mark_failed(&mut self, at: NodeIx) {
        let node = &mut self.nodes[at];
        node.flags.remove(NodeFlags::PFAIL);
        node.flags.insert(NodeFlags::FAIL);
        node.fail_time = self.now;
        self.changed();
    }

    /// A node has answered: it is not suspected any more. A verdict is lifted only as
    /// [`may_be_lifted`] says.
    pub(super) fn hear_life(&mut self, at: NodeIx) {
        let node = &self.nodes[at];
        let cleared = if node.is(NodeFlags::PFAIL) {
            NodeFlags::PFAIL
        } else if node.is(NodeFlags::FAIL) && self.may_lift(at) {
            let what = if node.is_replica() {
                "replica"
            } else {
                "master"
            };
            let text = format!(
                "Clear FAIL state for node {}: {what} is reachable again.",
                node.id
            );
            self.log(LogLevel::Notice, text);
            self.changes.durable = true;
            NodeFlags::FAIL
        } else {
            return;
        };
        self.nodes[at].flags.remove(cleared);
        self.changes.state = true;
        self.changes.view = true;
    }

    fn may_lift(&self, at: NodeIx) -> bool {
        let node = &self.nodes[at];
        let has_slots = node.is_primary() && self.slots.count_of(at) > 0;
        may_be_lifted(
            has_slots,
            self.now.saturating_sub(node.fail_time),
            self.config.node_timeout_ms,
        )
    }

    /// Whether some node is reported as failing by reports that still count.
    pub(super) fn is_reported(&mut self, at: NodeIx) -> bool {
        self.expire_reports(at);
        !self.nodes[at].reports.is_empty()
    }

    fn expire_reports(&mut self, at: NodeIx) {
        let (now, timeout) = (self.now, self.config.node_timeout_ms);
        self.nodes[at]
            .reports
            .retain(|_, heard| report_counts(now, *heard, timeout));
    }

    /// How many nodes report a node as failing.
    pub(super) fn count_reports(&self, node: &Node) -> usize {
        let timeout = self.config.node_timeout_ms;
        node.reports
            .values()
            .filter(|&&heard| report_counts(self.now, heard, timeout))
            .count()
    }
}

/// Whether a report that was heard then still counts.
fn report_counts(now: Millis, heard: Millis, node_timeout_ms: u64) -> bool {
    now.saturating_sub(heard) <= node_timeout_ms.saturating_mul(REPORT_LIFE)
}

/// Whether the verdict on a node that is heard of again may be lifted: at once if it serves
/// nothing; else only if nobody has taken its slots for so long that nobody will.
fn may_be_lifted(has_slots: bool, failed_for_ms: u64, node_timeout_ms: u64) -> bool {
    !has_slots || failed_for_ms > node_timeout_ms.saturating_mul(FAIL_LIFE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_is_more_than_half() {
        let table = [
            (0, 1),
            (1, 1),
            (2, 2),
            (3, 2),
            (4, 3),
            (5, 3),
            (6, 4),
            (1000, 501),
        ];
        for (voters, needed) in table {
            assert_eq!(majority(voters), needed, "{voters} voters");
        }
    }

    #[test]
    fn reports_live_for_two_node_timeouts() {
        for (now, heard, timeout, counts) in [
            (10_000, 10_000, 1000, true),
            (12_000, 10_000, 1000, true),
            (12_001, 10_000, 1000, false),
            (10_000, 12_000, 1000, true),
            (u64::MAX, 0, u64::MAX, true),
        ] {
            assert_eq!(
                report_counts(now, heard, timeout),
                counts,
                "{now} {heard} {timeout}"
            );
        }
    }

    #[test]
    fn a_verdict_is_lifted_late_from_who_has_slots() {
        for (has_slots, failed_for, lifted) in [
            (false, 0, true),
            (true, 0, false),
            (true, 2000, false),
            (true, 2001, true),
        ] {
            assert_eq!(may_be_lifted(has_slots, failed_for, 1000), lifted);
        }
    }
}
