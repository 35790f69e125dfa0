//! Which replica has acknowledged what, and who waits for it.

use crate::Millis;

/// A replica's connection, by the id of its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplicaId(pub u64);

/// A client that waits in WAIT, by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WaiterId(pub u64);

/// How far a replica is on its way to being fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaState {
    /// Waits for a snapshot to begin.
    WaitBgsave,
    /// Gets an RDB payload.
    SendBulk,
    /// Follows the stream.
    Online,
}

impl ReplicaState {
    /// INFO's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WaitBgsave => "wait_bgsave",
            Self::SendBulk => "send_bulk",
            Self::Online => "online",
        }
    }
}

/// A replica as [`Acks`] knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaAck {
    /// Whose it is.
    pub id: ReplicaId,
    /// How far it is on its way.
    pub state: ReplicaState,
    /// How far it has applied the stream, as it has said.
    pub offset: u64,
    /// When it has said so last.
    pub at: Millis,
    /// It came by SYNC and so never says anything.
    pub silent: bool,
}

impl ReplicaAck {
    /// INFO's `lag`: seconds since its last word; 0 before it is online.
    pub fn lag(&self, now: Millis) -> u64 {
        match self.state {
            ReplicaState::Online => now.saturating_sub(self.at) / 1000,
            ReplicaState::WaitBgsave | ReplicaState::SendBulk => 0,
        }
    }
}

/// A client whose WAIT is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Satisfied {
    /// The client.
    pub client: WaiterId,
    /// Its answer: how many replicas have acknowledged its writes.
    pub replicas: usize,
}

#[derive(Debug)]
struct Waiter {
    client: WaiterId,
    offset: u64,
    replicas: i64,
    /// `None`: for ever.
    deadline: Option<Millis>,
}

/// The replicas of a server and the clients that wait for them.
#[derive(Debug, Default)]
pub struct Acks {
    replicas: Vec<ReplicaAck>,
    waiters: Vec<Waiter>,
    /// A client has begun to wait since the replicas were asked last.
    ask: bool,
}

impl Acks {
    /// No replicas, nobody waits.
    pub fn new() -> Self {
        Self::default()
    }

    // ---- replicas --------------------------------------------------------------------------------

    /// A replica has come.
    pub fn add(&mut self, id: ReplicaId, state: ReplicaState, silent: bool, now: Millis) {
        self.remove(id);
        self.replicas.push(ReplicaAck {
            id,
            state,
            offset: 0,
            at: now,
            silent,
        });
    }

    /// A replica has gone.
    pub fn remove(&mut self, id: ReplicaId) {
        self.replicas.retain(|replica| replica.id != id);
    }

    /// A replica is further on its way. One that goes online counts as heard of now.
    pub fn set_state(&mut self, id: ReplicaId, state: ReplicaState, now: Millis) {
        if let Some(replica) = self.replica_mut(id) {
            if state == ReplicaState::Online && replica.state != state {
                replica.at = now;
            }
            replica.state = state;
        }
    }

    /// REPLCONF ACK. An offset never falls; one that is beyond the stream (`end`) is none.
    pub fn ack(&mut self, id: ReplicaId, offset: u64, end: u64, now: Millis) {
        if let Some(replica) = self.replica_mut(id) {
            if offset <= end {
                replica.offset = replica.offset.max(offset);
            }
            replica.at = now;
        }
    }

    /// The replicas in the order in which they came.
    pub fn replicas(&self) -> &[ReplicaAck] {
        &self.replicas
    }

    /// One replica.
    pub fn replica(&self, id: ReplicaId) -> Option<&ReplicaAck> {
        self.replicas.iter().find(|replica| replica.id == id)
    }

    fn replica_mut(&mut self, id: ReplicaId) -> Option<&mut ReplicaAck> {
        self.replicas.iter_mut().find(|replica| replica.id == id)
    }

    /// How many replicas are online and have acknowledged up to `offset`.
    pub fn count_acked(&self, offset: u64) -> usize {
        let acked = |replica: &&ReplicaAck| {
            replica.state == ReplicaState::Online && replica.offset >= offset
        };
        self.replicas.iter().filter(acked).count()
    }

    /// INFO's `min_slaves_good_slaves`: how many replicas are online with a lag of at most
    /// `max_lag` seconds (`min-replicas-max-lag`).
    pub fn count_good(&self, max_lag: u64, now: Millis) -> usize {
        let good = |replica: &&ReplicaAck| {
            replica.state == ReplicaState::Online && replica.lag(now) <= max_lag
        };
        self.replicas.iter().filter(good).count()
    }

    /// The replicas that are online and have not been heard of for more than `timeout_ms`
    /// (`repl-timeout`), which have to be disconnected.
    pub fn timed_out(&self, timeout_ms: Millis, now: Millis) -> Vec<ReplicaId> {
        let late = |replica: &&ReplicaAck| {
            replica.state == ReplicaState::Online
                && !replica.silent
                && now.saturating_sub(replica.at) > timeout_ms
        };
        self.replicas
            .iter()
            .filter(late)
            .map(|replica| replica.id)
            .collect()
    }

    // ---- WAIT ------------------------------------------------------------------------------------

    /// WAIT of a client whose writes reach up to `offset`: its answer, if it need not wait.
    ///
    /// `timeout_ms` 0 is for ever. In a transaction or script do not call this but
    /// [`count_acked`](Self::count_acked), which is the answer there.
    pub fn wait(
        &mut self,
        client: WaiterId,
        offset: u64,
        replicas: i64,
        timeout_ms: Millis,
        now: Millis,
    ) -> Option<usize> {
        let acked = self.count_acked(offset);
        if acked as i64 >= replicas {
            return Some(acked);
        }
        self.waiters.push(Waiter {
            client,
            offset,
            replicas,
            deadline: (timeout_ms > 0).then(|| now.saturating_add(timeout_ms)),
        });
        self.ask = true;
        None
    }

    /// The client is gone, or unblocked by CLIENT UNBLOCK: in which case this is its answer.
    pub fn cancel(&mut self, client: WaiterId) -> Option<usize> {
        let at = self
            .waiters
            .iter()
            .position(|waiter| waiter.client == client)?;
        let waiter = self.waiters.remove(at);
        Some(self.count_acked(waiter.offset))
    }

    /// Whether anybody waits.
    pub fn has_waiters(&self) -> bool {
        !self.waiters.is_empty()
    }

    /// Whether the replicas have to be asked now ([`crate::Stream::append_getack`]); once for all
    /// who have begun to wait since the last time. (Redis 7.0: not while writes are paused; call it
    /// again after that.)
    pub fn take_ask(&mut self) -> bool {
        std::mem::take(&mut self.ask)
    }

    /// Those whose replicas have acknowledged, or whose time is up.
    pub fn ready(&mut self, now: Millis) -> Vec<Satisfied> {
        let (replicas, mut ready) = (std::mem::take(&mut self.waiters), Vec::new());
        for waiter in replicas {
            let acked = self.count_acked(waiter.offset);
            if acked as i64 >= waiter.replicas || waiter.deadline.is_some_and(|at| now >= at) {
                ready.push(Satisfied {
                    client: waiter.client,
                    replicas: acked,
                });
            } else {
                self.waiters.push(waiter);
            }
        }
        ready
    }

    /// Everybody who waits, because this server becomes a replica: Redis 7.0 answers them
    /// `-UNBLOCKED force unblock from blocking operation, instance state changed (master ->
    /// replica?)`.
    pub fn unblock_all(&mut self) -> Vec<WaiterId> {
        self.ask = false;
        self.waiters.drain(..).map(|waiter| waiter.client).collect()
    }

    /// When [`ready`](Self::ready) has to be called even if nothing was acknowledged.
    pub fn deadline(&self) -> Option<Millis> {
        self.waiters
            .iter()
            .filter_map(|waiter| waiter.deadline)
            .min()
    }
}
