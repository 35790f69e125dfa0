//! What the cluster thread tells and asks the rest of the server.

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use hexad_commands::Keyspace;
use hexad_gossip::{Millis, Role};
use hexad_slots::SlotBitmap;

use crate::cluster::{Host, Pulse};
use crate::pause::Cause;
use crate::replication::{Order, Standing};
use crate::server::Server;

/// The server as the cluster thread sees it.
pub(crate) struct ClusterHost(pub(crate) &'static Server);

impl Host for ClusterHost {
    fn drop_keys(&self, slots: Box<SlotBitmap>) {
        let server = self.0;
        let work = move || {
            for slot in slots.iter() {
                let _pass = server.enter_as_other();
                let mut partition = server.keyspace.lock(slot.index());
                // It may be this node's again, with new keys in it.
                if server
                    .cluster
                    .as_ref()
                    .is_some_and(|cluster| cluster.owns(slot))
                {
                    continue;
                }
                let standing = server.replication.standing();
                if standing.contains(Standing::REPLICATES) {
                    for entry in partition.db(0).iter() {
                        server.replication.append_deletion(entry.key());
                    }
                }
                let lost = partition.flush(0);
                drop(partition);
                server.keyspace.free_later(lost);
                server.replication.notify();
            }
        };
        let spawned = std::thread::Builder::new()
            .name("hexad-drop-keys".to_owned())
            .spawn(work);
        if let Err(error) = spawned {
            tracing::error!("Keys of lost slots are still here, no thread can be had: {error}");
        }
    }

    fn role_changed(&self, term: u64, role: Role) {
        let order = Order::ClusterRole { term, role };
        self.0.replication.order(order);
    }

    fn pause_writes(&self, until_ms: Millis) {
        self.0.replication.order(Order::PauseWrites { until_ms });
    }

    fn resume_writes(&self) {
        self.0.pause.end(Cause::Failover);
    }

    fn published(&self, _sharded: bool, channel: Bytes, _message: Bytes) {
        // Nobody can subscribe yet.
        tracing::trace!("Published on {}", String::from_utf8_lossy(&channel));
    }

    fn pulses(&self) -> Vec<Pulse> {
        let pulse = |stats: &crate::stats::WorkerStats| Pulse {
            progress: stats.heartbeat.load(Relaxed),
            busy: stats.busy.load(Relaxed),
        };
        let workers = self.0.worker_count();
        self.0.stats[..workers].iter().map(pulse).collect()
    }

    fn die(&self) {
        tracing::error!("The node cannot go on without its cluster thread; exiting");
        std::process::exit(1);
    }
}
