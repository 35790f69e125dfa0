//! What the cluster thread tells and asks the rest of the server.

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use hexad_commands::Keyspace;
use hexad_gossip::{Millis, Role};
use hexad_slots::SlotBitmap;

use crate::cluster::{Host, Pulse};
use crate::server::Server;

/// The server as the cluster thread sees it.
pub(crate) struct ClusterHost(pub(crate) &'static Server);

impl Host for ClusterHost {
    fn drop_keys(&self, slots: Box<SlotBitmap>) {
        let server = self.0;
        let work = move || {
            for slot in slots.iter() {
                let mut partition = server.keyspace.lock(slot.index());
                // It may be this node's again, with new keys in it.
                if server
                    .cluster
                    .as_ref()
                    .is_some_and(|cluster| cluster.owns(slot))
                {
                    continue;
                }
                let lost = partition.flush(0);
                drop(partition);
                server.keyspace.free_later(lost);
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
        tracing::warn!("Role {term} is {role:?}, and nothing is replicated yet");
    }

    fn pause_writes(&self, _until_ms: Millis) {
        tracing::warn!("Writes cannot be paused for a manual failover yet: it will time out");
    }

    fn resume_writes(&self) {}

    fn published(&self, _sharded: bool, channel: Bytes, _message: Bytes) {
        // Nobody can subscribe yet.
        tracing::trace!("Published on {}", String::from_utf8_lossy(&channel));
    }

    fn pulses(&self) -> Vec<Pulse> {
        let pulse = |stats: &crate::stats::WorkerStats| Pulse {
            progress: stats.heartbeat.load(Relaxed),
            busy: stats.busy.load(Relaxed),
        };
        self.0.stats.iter().map(pulse).collect()
    }

    fn die(&self) {
        tracing::error!("The node cannot go on without its cluster thread; exiting");
        std::process::exit(1);
    }
}
