//! Replica migration: a replica of a primary that has several moves to one that has lost all of
//! its own, so that no failure leaves a primary without any for long.

use super::Cluster;
use crate::node::{ME, NodeIx};
use crate::{LogLevel, NodeFlags};

/// So long a primary has to be without replicas: after a failover the others of its shard need
/// that time to tell that they follow the winner.
const MIGRATION_DELAY_MS: u64 = 5000;

impl Cluster {
    /// Moves this replica to an orphaned primary if it is the one to do so: it belongs to a
    /// primary with the most working replicas, and among all of those it has the smallest id.
    pub(super) fn consider_migration(&mut self) {
        let Some(mine) = self.nodes[ME].primary else {
            return;
        };
        let counted: Vec<(NodeIx, usize)> = self
            .nodes
            .iter()
            .filter(|(_, node)| node.is_primary() && !node.in_handshake())
            .map(|(at, _)| (at, self.working_replicas(at).count()))
            .collect();
        let target = self.track_orphans(&counted);
        let most = counted.iter().map(|(_, count)| *count).max().unwrap_or(0);
        let own = self.working_replicas(mine).count();
        let barrier = self.config.migration_barrier as usize;
        let may_leave = self.config.allow_replica_migration
            && self.health.state().is_ok()
            && own >= 2
            && own == most
            && own > barrier;
        let Some(target) = target.filter(|_| may_leave) else {
            return;
        };
        let richest = counted.iter().filter(|(_, count)| *count == most);
        let candidates = richest.flat_map(|(at, _)| self.working_replicas(*at));
        let first = candidates.min_by_key(|&at| self.nodes[at].id);
        let waited = self.now.saturating_sub(self.nodes[target].orphaned);
        if first == Some(ME) && waited > MIGRATION_DELAY_MS {
            let text = format!("Migrating to orphaned master {}", self.nodes[target].id);
            self.log(LogLevel::Warning, text);
            self.become_replica_of(target, None);
        }
    }

    /// The replicas of a node that are not failing.
    fn working_replicas(&self, of: NodeIx) -> impl Iterator<Item = NodeIx> {
        let replicas = self.nodes.iter();
        let replicas = replicas.filter(move |(_, node)| node.primary == Some(of));
        replicas
            .filter(|(_, node)| !node.is(NodeFlags::FAILING))
            .map(|(at, _)| at)
    }

    /// Notes since when primaries have been orphaned, and answers the first of them.
    fn track_orphans(&mut self, counted: &[(NodeIx, usize)]) -> Option<NodeIx> {
        let mut first = None;
        for &(at, working) in counted {
            let has_slots = self.slots.count_of(at) > 0;
            let (now, node) = (self.now, &mut self.nodes[at]);
            let works = !node.is(NodeFlags::FAILING);
            // Only who had replicas is meant to have some.
            let orphaned = works && has_slots && working == 0 && node.is(NodeFlags::MIGRATE_TO);
            if !orphaned {
                node.orphaned = 0;
                continue;
            }
            if node.orphaned == 0 {
                node.orphaned = now;
            }
            first = first.or(Some(at));
        }
        first
    }
}
