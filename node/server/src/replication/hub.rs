//! The table of replicas, and the clients that wait for them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use hexad_replication::{
    Acks, Failover, FailoverTarget, Listed, Millis, Replica, ReplicaId, ReplicaState, WaiterId,
};
use tokio::sync::oneshot;

use crate::clients::Client;

/// Replicas of this server by the id of their connection, and clients in WAIT.
#[derive(Default)]
pub(crate) struct Hub {
    /// How far each has got, and who waits for that.
    pub(crate) acks: Acks,
    /// FAILOVER.
    pub(crate) failover: Failover,
    attached: BTreeMap<u64, Attached>,
    waiting: HashMap<u64, oneshot::Sender<WaitEnd>>,
}

/// A replica's connection.
#[derive(Clone)]
pub(crate) struct Attached {
    /// The connection.
    pub(crate) client: Arc<Client>,
    /// What it has said with REPLCONF.
    pub(crate) said: Replica,
    /// The address that it comes from.
    pub(crate) ip: String,
}

/// How a WAIT ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitEnd {
    /// So many replicas have acknowledged.
    Replicas(usize),
    /// The server has become a replica.
    Demoted,
    /// CLIENT UNBLOCK … ERROR.
    Unblocked,
}

impl Attached {
    /// The address that INFO, ROLE and FAILOVER know it by.
    pub(crate) fn host(&self) -> String {
        match &self.said.announced_ip {
            Some(ip) => String::from_utf8_lossy(ip).into_owned(),
            None => self.ip.clone(),
        }
    }

    /// The name that log lines give it.
    pub(crate) fn name(&self) -> String {
        self.said.name(&self.ip)
    }
}

impl Hub {
    /// A replica has come.
    pub(crate) fn attach(&mut self, replica: Attached, state: ReplicaState, now: Millis) {
        let id = replica.client.id;
        // Who has come by SYNC, or says nothing of itself, never acknowledges.
        let silent = !replica.said.psync2 && !replica.said.eof;
        self.acks.add(ReplicaId(id), state, silent, now);
        self.attached.insert(id, replica);
    }

    /// It has gone.
    pub(crate) fn detach(&mut self, id: u64) {
        self.acks.remove(ReplicaId(id));
        self.attached.remove(&id);
    }

    /// Number of replicas.
    pub(crate) fn len(&self) -> usize {
        self.attached.len()
    }

    /// The replicas with their acknowledgements, in the order in which they came.
    pub(crate) fn replicas(
        &self,
    ) -> impl Iterator<Item = (&Attached, &hexad_replication::ReplicaAck)> {
        let acks = self.acks.replicas().iter();
        acks.filter_map(|ack| Some((self.attached.get(&ack.id.0)?, ack)))
    }

    /// The replicas as FAILOVER looks at them.
    pub(crate) fn listed(&self) -> Vec<Listed> {
        self.replicas()
            .map(|(replica, ack)| Listed {
                address: FailoverTarget {
                    host: replica.host().into_bytes(),
                    port: replica.said.listening_port,
                },
                online: ack.state == ReplicaState::Online,
                acked: ack.offset,
            })
            .collect()
    }

    /// Closes the connections of all replicas: they have to come again.
    pub(crate) fn disconnect_all(&self) {
        for replica in self.attached.values() {
            replica.client.kill();
        }
    }

    /// Closes the connections of these.
    pub(crate) fn disconnect(&self, ids: &[ReplicaId], why: &str) {
        for replica in ids.iter().filter_map(|id| self.attached.get(&id.0)) {
            tracing::warn!("Disconnecting {why}: {}", replica.name());
            replica.client.kill();
        }
    }

    // ---- WAIT ------------------------------------------------------------------------------------

    /// Begins a WAIT; what comes through the channel ends it.
    pub(crate) fn wait(
        &mut self,
        client: u64,
        offset: u64,
        replicas: i64,
        timeout_ms: Millis,
        now: Millis,
    ) -> Result<usize, oneshot::Receiver<WaitEnd>> {
        match self
            .acks
            .wait(WaiterId(client), offset, replicas, timeout_ms, now)
        {
            Some(acked) => Ok(acked),
            None => {
                let (sender, receiver) = oneshot::channel();
                self.waiting.insert(client, sender);
                Err(receiver)
            }
        }
    }

    /// Ends the WAITs that are satisfied or out of time.
    pub(crate) fn end_waits(&mut self, now: Millis) {
        for satisfied in self.acks.ready(now) {
            self.end_wait(satisfied.client, WaitEnd::Replicas(satisfied.replicas));
        }
    }

    /// CLIENT UNBLOCK, or the client is gone. Whether it was waiting.
    pub(crate) fn unblock(&mut self, client: u64, error: bool) -> bool {
        let Some(acked) = self.acks.cancel(WaiterId(client)) else {
            return false;
        };
        let end = match error {
            true => WaitEnd::Unblocked,
            false => WaitEnd::Replicas(acked),
        };
        self.end_wait(WaiterId(client), end);
        true
    }

    /// The server becomes a replica: nobody can wait any more.
    pub(crate) fn unblock_all(&mut self) {
        for client in self.acks.unblock_all() {
            self.end_wait(client, WaitEnd::Demoted);
        }
    }

    fn end_wait(&mut self, client: WaiterId, end: WaitEnd) {
        if let Some(sender) = self.waiting.remove(&client.0) {
            // A client that is gone needs no answer.
            let _ = sender.send(end);
        }
    }
}
