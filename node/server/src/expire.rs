//! The active expire cycle: keys that nobody asks for are deleted some time after their end.
//!
//! Each worker looks after its share of the partitions, `hz` times a second, for at most a
//! fraction of its time. A pass over a partition looks at the expiry bits of the table's cells
//! and touches only entries that have an expiry, so partitions without any cost next to nothing.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use hexad_commands::Expiry;

use crate::server::Server;
use crate::worker::Worker;

/// Work done under one lock, in the unit of [`hexad_store::Db::expire_cycle`]: some microseconds.
const WORK_PER_STEP: usize = 64;
/// Share of a worker's time that the cycle may take, percent (Redis 7.0: 25 % at effort 1, and
/// 2 % more for each further effort).
const BASE_TIME_PERCENT: u64 = 25;

/// Where one worker's cycle stands.
#[derive(Debug)]
pub(crate) struct ExpireCycle {
    /// The partitions `first, first + step, …` are this worker's.
    first: usize,
    step: usize,
    /// The partition and database to go on with, and the position in its table.
    partition: usize,
    db: usize,
    position: u64,
}

impl ExpireCycle {
    /// The cycle of worker `id`.
    pub(crate) fn new(id: usize, server: &Server) -> Self {
        Self {
            first: id,
            step: server.worker_count(),
            partition: id,
            db: 0,
            position: 0,
        }
    }

    /// Goes on until all partitions were visited once or the time is used up.
    pub(crate) fn run(&mut self, worker: &mut Worker) {
        let server = worker.server;
        let waits = worker.env.expiry != Expiry::Deletes;
        if self.first >= server.keyspace.len() || waits || !server.active_expire.load(Relaxed) {
            return;
        }
        let config = worker.config.clone();
        let percent = BASE_TIME_PERCENT + 2 * u64::from(config.active_expire_effort.max(1) - 1);
        let budget_micros = 10_000 * percent / u64::from(config.hz.max(1));
        let start = Instant::now();
        let databases = usize::from(server.keyspace.databases());
        let partitions = (server.keyspace.len() - self.first).div_ceil(self.step);
        let mut left = partitions * databases;
        let mut steps = 0u32;
        while left > 0 {
            if self.step_once(worker) {
                left -= 1;
                self.advance(server.keyspace.len(), databases);
            }
            steps += 1;
            if steps.is_multiple_of(16) && start.elapsed().as_micros() as u64 > budget_micros {
                worker.stats.expire_time_cap.add(1);
                break;
            }
        }
        worker
            .stats
            .expire_cycle_micros
            .add(start.elapsed().as_micros() as u64);
    }

    /// Looks at some cells; returns whether the table is done.
    fn step_once(&mut self, worker: &mut Worker) -> bool {
        let mut partition = worker.server.keyspace.lock(self.partition);
        if partition.db(self.db).volatile_len() == 0 {
            return true;
        }
        let mut expired = 0;
        let position = &mut self.position;
        let db = self.db;
        partition.expire_cycle(db, position, worker.now_ms, WORK_PER_STEP, |entry| {
            expired += 1;
            worker.expired(db, entry.key());
        });
        worker.effects.dirty += expired;
        self.position == 0
    }

    fn advance(&mut self, partitions: usize, databases: usize) {
        self.position = 0;
        self.db += 1;
        if self.db >= databases {
            self.db = 0;
            self.partition += self.step;
            if self.partition >= partitions {
                self.partition = self.first;
            }
        }
    }
}
