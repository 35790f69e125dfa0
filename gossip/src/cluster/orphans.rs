//! Replica migration: a replica of a primary that has several moves to one that has lost all of
//! its own, so that no failure leaves a primary without any for long.

use std::collections::BTreeMap;

use super::Cluster;
use crate::node::{ME, NodeIx};
use crate::{LogLevel, NodeFlags, NodeId};

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
        let shards = self.working_replicas();
        let target = self.track_orphans(&shards);
        let most = shards.values().map(|shard| shard.replicas).max();
        let own = shards.get(&mine).map_or(0, |shard| shard.replicas);
        let may_leave = self.config.allow_replica_migration
            && self.health.state().is_ok()
            && own >= 2
            && Some(own) == most
            && own > self.config.migration_barrier as usize;
        let Some(target) = target.filter(|_| may_leave) else {
            return;
        };
        let richest = shards.values().filter(|shard| shard.replicas == own);
        let first = richest.map(|shard| shard.first).min();
        let waited = self.now.saturating_sub(self.nodes[target].orphaned);
        if first == Some(self.nodes[ME].id) && waited > MIGRATION_DELAY_MS {
            let text = format!("Migrating to orphaned master {}", self.nodes[target].id);
            self.log(LogLevel::Warning, text);
            self.become_replica_of(target, None);
        }
    }

    /// The replicas that are not failing, by their primaries.
    fn working_replicas(&self) -> BTreeMap<NodeIx, Shard> {
        let mut shards: BTreeMap<NodeIx, Shard> = BTreeMap::new();
        for (_, node) in self.nodes.iter() {
            let Some(primary) = node.primary.filter(|_| !node.is(NodeFlags::FAILING)) else {
                continue;
            };
            let shard = shards.entry(primary).or_insert(Shard {
                replicas: 0,
                first: node.id,
            });
            shard.replicas += 1;
            shard.first = shard.first.min(node.id);
        }
        shards
    }

    /// Notes since when primaries have been orphaned, and answers the first of them.
    fn track_orphans(&mut self, shards: &BTreeMap<NodeIx, Shard>) -> Option<NodeIx> {
        let mut first = None;
        for (at, node) in self.nodes.iter_mut() {
            // Only who had replicas is meant to have some.
            let orphaned = node.is(NodeFlags::MIGRATE_TO)
                && !node.is(NodeFlags::FAILING)
                && node.is_primary()
                && !shards.contains_key(&at)
                && self.slots.count_of(at) > 0;
            if !orphaned {
                node.orphaned = 0;
                continue;
            }
            if node.orphaned == 0 {
                node.orphaned = self.now;
            }
            first = first.or(Some(at));
        }
        first
    }
}

/// The working replicas of a primary.
struct Shard {
    replicas: usize,
    /// The smallest of their ids.
    first: NodeId,
}
