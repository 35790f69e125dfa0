//! A worker: one thread, one tokio runtime, and the buffers that its connections share.
//!
//! Connections are handed to a worker when they are accepted and stay with it. All of them parse
//! from one read buffer and reply into one write buffer, since only one executes at a time; what
//! is left over after a batch (half a command, replies that the socket did not take) moves to
//! buffers of the connection.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use hexad_commands::{Effects, Env, Expiry};
use hexad_gossip::View;
use hexad_resp::{Limits, Reply};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::config::Config;
use crate::connection::{Connection, Socket};
use crate::expire::ExpireCycle;
use crate::pause::Paused;
use crate::replication::Standing;
use crate::server::Server;
use crate::session::Batch;
use crate::stats::WorkerStats;

/// Bytes read from a socket at a time: a batch of 64 commands of ordinary size, and small enough
/// to stay in the cache.
const READ_BUFFER_BYTES: usize = 64 * 1024;
/// How long a look at the system's clock serves: a clock that was set is followed this soon.
const CLOCK_READ_NANOS: u64 = 10_000_000;
/// A reply buffer that has grown beyond this is given back after the batch.
const REPLY_BUFFER_KEPT_BYTES: usize = 1024 * 1024;

/// What a worker's connections share.
pub(crate) struct Worker {
    /// This worker's number.
    pub(crate) id: usize,
    /// The process.
    pub(crate) server: &'static Server,
    /// This worker's counters.
    pub(crate) stats: &'static WorkerStats,
    /// Where a socket is read into when its connection has no input pending; empty between reads.
    pub(crate) read_buffer: Vec<u8>,
    /// The replies of the running batch.
    pub(crate) reply: Reply,
    /// The commands of the running batch.
    pub(crate) batch: Batch,
    /// What the running batch did.
    pub(crate) effects: Effects,
    /// The running batch has added to the replication stream.
    pub(crate) appended: bool,
    /// The worker's generator.
    pub(crate) rng: SmallRng,
    /// Settings that handlers read.
    pub(crate) env: Env,
    /// The configuration as of this batch.
    pub(crate) config: Arc<Config>,
    config_generation: u64,
    /// The cluster as of this batch; `None` in stand-alone mode.
    pub(crate) view: Option<Arc<View>>,
    /// The cluster thread's beat as last seen, and since when it has been that.
    bus_beat: (u64, Instant),
    /// The cluster thread has said nothing for a node timeout: others may have taken over this
    /// node's slots without its knowing.
    pub(crate) bus_silent: bool,
    /// Converts the time stamps of commands.
    pub(crate) clock: quanta::Clock,
    /// Raw time stamp of the start of the command that runs.
    pub(crate) ticks: u64,
    /// Unix time, milliseconds.
    pub(crate) now_ms: i64,
    /// The last look at the system's clock: raw time stamp and Unix time, microseconds.
    clock_read: (u64, i64),
    /// What CLIENT PAUSE forbids during this batch.
    pub(crate) paused: Paused,
    /// What replication means to this batch.
    pub(crate) standing: Standing,
    /// A command that takes this long, in nanoseconds, goes to the slow log.
    pub(crate) slow_nanos: u64,
}

thread_local! {
    static WORKER: RefCell<Option<Worker>> = const { RefCell::new(None) };
}

/// Runs `f` on the worker of this thread. Not reentrant.
pub(crate) fn with<T>(f: impl FnOnce(&mut Worker) -> T) -> T {
    WORKER.with(|worker| {
        f(worker
            .borrow_mut()
            .as_mut()
            .expect("connections run on worker threads only"))
    })
}

/// Unix time in milliseconds.
pub(crate) fn unix_ms() -> i64 {
    unix_micros() / 1000
}

/// Unix time in microseconds.
pub(crate) fn unix_micros() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_micros() as i64)
}

impl Worker {
    fn new(id: usize, server: &'static Server) -> Self {
        let config = server.config.load_full();
        let clock = quanta::Clock::new();
        let mut worker = Self {
            id,
            server,
            stats: &server.stats[id],
            read_buffer: Vec::with_capacity(READ_BUFFER_BYTES),
            reply: Reply::new(),
            batch: Batch::default(),
            effects: Effects::default(),
            appended: false,
            rng: SmallRng::from_os_rng(),
            env: server.env(&config),
            config_generation: server.config_generation.load(Relaxed),
            config,
            view: None,
            bus_beat: (0, Instant::now()),
            bus_silent: false,
            ticks: clock.raw(),
            now_ms: unix_ms(),
            clock_read: (0, 0),
            paused: Paused::Nothing,
            standing: Standing::empty(),
            slow_nanos: u64::MAX,
            clock,
        };
        worker.reload_config(worker.config_generation);
        worker.read_time();
        worker.refresh();
        worker
    }

    /// Starts a batch. The caller is inside this worker's gate.
    #[inline]
    pub(crate) fn begin_batch(&mut self) {
        self.stats.busy.store(true, Relaxed);
        self.read_time();
        // In this order: who sees the pause of a failover ended must see what has come of it, the
        // other role and the other owner of the slots, or it would take writes that nobody gets.
        self.paused = self.server.pause.state(self.now_ms);
        self.refresh();
        self.standing = self.server.replication.standing();
        self.env.replicates = self.standing.contains(Standing::REPLICATES);
        self.env.expiry = if self.paused != Paused::Nothing {
            // A pause is a promise that nothing changes, not even by expiry.
            Expiry::Hides
        } else if !self.standing.contains(Standing::REPLICA) {
            Expiry::Deletes
        } else if self.config.replication.read_only {
            Expiry::Hides
        } else {
            Expiry::HidesFromReads
        };
    }

    /// Ends a batch: adds up what it did.
    #[inline]
    pub(crate) fn end_batch(&mut self) {
        self.settle();
        if std::mem::take(&mut self.appended) {
            self.server.replication.notify();
        }
        self.stats.busy.store(false, Relaxed);
    }

    /// Brings the time up to date.
    #[inline]
    fn read_time(&mut self) {
        self.ticks = self.clock.raw();
        self.tell_time();
    }

    /// Brings configuration and view up to date.
    #[inline]
    pub(crate) fn refresh(&mut self) {
        self.follow_config();
        if let Some(cluster) = &self.server.cluster {
            let current = cluster.view();
            if !self
                .view
                .as_ref()
                .is_some_and(|view| Arc::ptr_eq(view, &current))
            {
                self.view = Some(Arc::clone(&current));
            }
        }
    }

    /// Takes over the configuration if it has changed.
    #[inline]
    pub(crate) fn follow_config(&mut self) {
        let generation = self.server.config_generation.load(Relaxed);
        if generation != self.config_generation {
            self.reload_config(generation);
        }
    }

    /// Takes over a changed configuration, also in the middle of a batch (CONFIG SET).
    #[cold]
    fn reload_config(&mut self, generation: u64) {
        self.config_generation = generation;
        self.config = self.server.config.load_full();
        self.env = self.server.env(&self.config);
        let slow_micros = u64::try_from(self.config.slowlog_log_slower_than_us);
        self.slow_nanos = slow_micros.map_or(u64::MAX, |micros| micros.saturating_mul(1000));
    }

    /// Looks whether the cluster thread is still at work.
    fn watch_bus(&mut self) {
        let Some(cluster) = &self.server.cluster else {
            return;
        };
        let beat = cluster.beat();
        if beat != self.bus_beat.0 {
            self.bus_beat = (beat, Instant::now());
        }
        // Less than a second could be the machine's own hiccup: both threads tick at 10 Hz.
        let timeout = Duration::from_millis(self.config.cluster.node_timeout_ms.max(1000));
        let silent = self.bus_beat.1.elapsed() > timeout;
        if silent && !self.bus_silent {
            tracing::warn!("The cluster thread hangs; keys are not served until it goes on");
        }
        self.bus_silent = silent;
    }

    /// Counts a key that was deleted because it was past its time, and tells the replicas. The lock
    /// of its partition is held.
    pub(crate) fn expired(&mut self, db: usize, key: &[u8]) {
        if self.env.replicates {
            self.effects.begin_command();
        }
        self.effects.deleted_expired(&self.env, db, key);
        if self.env.replicates {
            self.server.replication.append_each(&self.effects);
            self.appended = true;
        }
    }

    /// Ends the running command: returns what it took, in nanoseconds, and starts the next one.
    #[inline]
    pub(crate) fn lap(&mut self) -> u64 {
        let now = self.clock.raw();
        let nanos = self.clock.delta_as_nanos(self.ticks, now);
        self.ticks = now;
        self.tell_time();
        nanos
    }

    /// Brings `now_ms` up to `ticks`. The system's clock is asked now and then only: between that
    /// the raw time stamp goes on at the same pace.
    #[inline]
    fn tell_time(&mut self) {
        let (ticks, micros) = self.clock_read;
        let passed = self.clock.delta_as_nanos(ticks, self.ticks);
        if passed < CLOCK_READ_NANOS {
            self.now_ms = (micros + passed as i64 / 1000) / 1000;
        } else {
            self.read_clock();
        }
    }

    #[cold]
    fn read_clock(&mut self) {
        let micros = unix_micros();
        self.clock_read = (self.ticks, micros);
        self.now_ms = micros / 1000;
    }

    /// Adds what the batch did to the counters.
    #[inline]
    pub(crate) fn settle(&mut self) {
        let effects = std::mem::take(&mut self.effects);
        let stats = self.stats;
        stats.dirty.add(effects.dirty);
        stats.hits.add(effects.hits);
        stats.misses.add(effects.misses);
        stats.expired.add(effects.expired);
        stats
            .heartbeat
            .store(stats.heartbeat.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// Gives back the memory of an unusually large batch.
    pub(crate) fn trim_buffers(&mut self) {
        if self.reply.capacity() > REPLY_BUFFER_KEPT_BYTES {
            self.reply = Reply::new();
        }
        if self.read_buffer.capacity() != READ_BUFFER_BYTES {
            self.read_buffer = Vec::with_capacity(READ_BUFFER_BYTES);
        }
    }

    /// The limits that the parser applies to this client.
    pub(crate) fn limits(&self, authenticated: bool) -> Limits {
        Limits {
            max_bulk_bytes: self.env.max_string_bytes,
            max_multibulk: i64::from(i32::MAX),
            authenticated,
        }
    }
}

/// Makes this thread one that executes commands, as worker `id`.
pub(crate) fn install(id: usize, server: &'static Server) {
    WORKER.with(|worker| *worker.borrow_mut() = Some(Worker::new(id, server)));
}

/// Starts worker `id`; it serves the sockets that come through `sockets` until the process ends.
pub(crate) fn spawn(
    id: usize,
    server: &'static Server,
    mut sockets: UnboundedReceiver<Socket>,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name(format!("hexad-worker-{id}"))
        .spawn(move || {
            install(id, server);
            runtime.block_on(async move {
                tokio::spawn(cron(server));
                while let Some(socket) = sockets.recv().await {
                    match Connection::open(socket, server, id) {
                        Ok(connection) => drop(tokio::spawn(connection)),
                        Err(error) => tracing::debug!("Cannot serve an accepted client: {error}"),
                    }
                }
            });
        })?;
    Ok(())
}

/// What a worker does between its clients' commands, `hz` times a second.
async fn cron(server: &'static Server) {
    let mut expiry = with(|worker| ExpireCycle::new(worker.id, server));
    loop {
        let hz = server.config.load().hz.clamp(1, 500);
        tokio::time::sleep(Duration::from_millis(1000 / hz as u64)).await;
        with(|worker| {
            let _pass = server.gates.enter(worker.id);
            worker.begin_batch();
            worker.watch_bus();
            expiry.run(worker);
            worker.end_batch();
            worker.trim_buffers();
        });
    }
}
