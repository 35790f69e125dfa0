//! Whether this node considers the cluster able to serve.

use hexad_slots::Slot;

use super::Cluster;
use super::failure::majority;
use crate::node::ME;
use crate::{ClusterState, FailReason, LogLevel, Millis, NodeFlags};

/// A primary serves only so long after its start: before that, what it knows of its slots may be
/// from before a failover that it slept through.
const START_DELAY_MS: u64 = 2000;

/// How long a primary that was in a minority waits until it serves again: the node timeout,
/// within these bounds. The majority may have given its slots away and needs time to say so.
const MIN_REJOIN_DELAY_MS: u64 = 500;
const MAX_REJOIN_DELAY_MS: u64 = 5000;

/// The state of the cluster and the times that decide when it may change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Health {
    state: ClusterState,
    started: Millis,
    /// When this node was last in a minority; 0 for never.
    in_minority: Millis,
    /// How many primaries have slots.
    size: usize,
}

impl Health {
    pub(super) fn new(now: Millis) -> Self {
        Self {
            state: ClusterState::Fail(FailReason::Starting),
            started: now,
            in_minority: 0,
            size: 0,
        }
    }

    pub(super) fn started(&mut self, now: Millis) {
        self.started = now;
    }

    pub(super) fn state(&self) -> ClusterState {
        self.state
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }
}

impl Cluster {
    /// Decides anew whether the cluster can serve.
    pub(super) fn update_state(&mut self) {
        let voters: Vec<bool> = self
            .voters()
            .map(|(_, node)| !node.is(NodeFlags::FAILING))
            .collect();
        let reachable = voters.iter().filter(|&&reachable| reachable).count();
        self.health.size = voters.len();
        let minority = reachable < majority(voters.len());
        if minority {
            self.health.in_minority = self.now;
        }
        let state = self.judge(minority);
        if state == self.health.state {
            return;
        }
        let before = std::mem::replace(&mut self.health.state, state);
        self.changes.view = true;
        if before.is_ok() != state.is_ok() {
            let text = match state {
                ClusterState::Ok => "Cluster state changed: ok".to_owned(),
                ClusterState::Fail(why) => format!("Cluster state changed: fail ({why})"),
            };
            self.log(LogLevel::Warning, text);
        }
    }

    fn judge(&self, minority: bool) -> ClusterState {
        let health = &self.health;
        let primary_is_down = self.am_primary() && !health.state.is_ok();
        if primary_is_down && self.now - health.started < START_DELAY_MS {
            return ClusterState::Fail(FailReason::Starting);
        }
        if let Some(why) = self.uncovered() {
            return ClusterState::Fail(why);
        }
        if minority {
            return ClusterState::Fail(FailReason::Minority);
        }
        let delay = self
            .config
            .node_timeout_ms
            .clamp(MIN_REJOIN_DELAY_MS, MAX_REJOIN_DELAY_MS);
        if primary_is_down && self.now.saturating_sub(health.in_minority) < delay {
            return ClusterState::Fail(FailReason::Rejoining);
        }
        ClusterState::Ok
    }

    /// A slot that keeps a cluster down which has to cover all of them.
    fn uncovered(&self) -> Option<FailReason> {
        if !self.config.require_full_coverage {
            return None;
        }
        let gap = || Slot::all().find(|&slot| self.slots.owner(slot).is_none());
        if self.slots.assigned() < hexad_slots::SLOT_COUNT {
            return gap().map(FailReason::Uncovered);
        }
        let failed = self
            .slots
            .owners()
            .find(|&at| at != ME && self.nodes[at].is(NodeFlags::FAIL))?;
        self.slots
            .slots_of(failed)
            .iter()
            .next()
            .map(FailReason::OwnerFailed)
    }
}
