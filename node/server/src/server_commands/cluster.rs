//! CLUSTER: what a view answers is answered here, the rest by the cluster thread.

use hexad_commands::Args;
use hexad_slots::Slot;

use crate::cluster::Facts;
use crate::keyspace::Keyspace;
use crate::session::{Flow, Session};
use crate::worker::Worker;

/// Executes a CLUSTER subcommand.
pub(super) fn run(session: &mut Session, worker: &mut Worker, args: Args<'_>) -> Flow {
    let Some(cluster) = &session.server.cluster else {
        return super::error(worker, "ERR This instance has cluster support disabled");
    };
    let facts = NodeFacts(&session.server.keyspace);
    if session.executing.is_some() {
        cluster.command_blocking(&args, &facts, &mut worker.reply);
        return Flow::Next;
    }
    match cluster.command(&args, &facts, &mut worker.reply) {
        None => Flow::Next,
        Some(reply) => Flow::Reply(reply),
    }
}

/// What the CLUSTER commands want to know of this node's data.
struct NodeFacts<'a>(&'a Keyspace);

impl Facts for NodeFacts<'_> {
    fn dataset_is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn keys_in_slot(&self, slot: Slot) -> usize {
        self.0.lock(slot.index()).db(0).len()
    }

    fn visit_keys(&self, slot: Slot, limit: usize, visit: &mut dyn FnMut(&[u8])) {
        let partition = self.0.lock(slot.index());
        partition
            .db(0)
            .iter()
            .take(limit)
            .for_each(|entry| visit(entry.key()));
    }
}
