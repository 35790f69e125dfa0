//! The process: everything that its threads share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use arc_swap::ArcSwap;
use hexad_commands::{Env, Expiry};
use hexad_store::HashSeed;
use parking_lot::Mutex;
use rand::Rng;
use tokio::sync::mpsc::UnboundedSender;

use crate::clients::Clients;
use crate::cluster::ClusterHandle;
use crate::config::Config;
use crate::connection::Socket;
use crate::endpoint::Mover;
use crate::gate::{Gates, Pass};
use crate::keyspace::{Gauge, Keyspace};
use crate::pause::Pause;
use crate::replication::{Following, Order, Replication};
use crate::sampling::Samples;
use crate::shutdown::Shutdown;
use crate::slowlog::SlowLog;
use crate::stats::WorkerStats;

/// Most different error codes that INFO errorstats counts, so that clients that make up codes
/// cannot grow it without end.
const MAX_ERROR_CODES: usize = 128;

/// Gates beside the workers': one of the replication thread, and one of threads that drop keys.
const OTHER_GATES: usize = 2;

/// What the threads of the process share. There is one, and it lives as long as the process.
pub(crate) struct Server {
    /// The configuration; changed as a whole by CONFIG SET.
    pub(crate) config: ArcSwap<Config>,
    /// Rises with each change of `config`, so that workers notice with one load a batch.
    pub(crate) config_generation: AtomicU64,
    /// Held while CONFIG SET and CONFIG REWRITE read, change and publish the configuration.
    pub(crate) config_change: Mutex<()>,
    /// The data.
    pub(crate) keyspace: Keyspace,
    /// The workers' gates.
    pub(crate) gates: Gates,
    /// Open connections.
    pub(crate) clients: Clients,
    /// CLIENT PAUSE.
    pub(crate) pause: Pause,
    /// SLOWLOG.
    pub(crate) slowlog: SlowLog,
    /// Counters, one set a worker.
    pub(crate) stats: Box<[WorkerStats]>,
    /// The cluster thread, in cluster mode.
    pub(crate) cluster: Option<ClusterHandle>,
    /// Rates and peaks that INFO shows.
    pub(crate) samples: Samples,
    /// Moves the TCP endpoint.
    pub(crate) mover: Mover,
    /// How the process ends.
    pub(crate) shutdown: Shutdown,
    /// When the process started.
    pub(crate) started: Instant,
    /// 40 random hexadecimal digits that name this run.
    pub(crate) run_id: String,
    /// The replication stream, replicas and the primary.
    pub(crate) replication: Replication,
    /// The binary that runs.
    pub(crate) executable: PathBuf,
    /// Connections accepted since the start.
    pub(crate) received_connections: Gauge,
    /// Clients closed because they did not take their replies.
    pub(crate) output_limit_disconnections: Gauge,
    /// Connections turned away since the start.
    pub(crate) rejected_connections: Gauge,
    /// `unexpected_error_replies`-like counts of errors by their code.
    errors: Mutex<BTreeMap<String, u64>>,
    /// DEBUG SET-ACTIVE-EXPIRE.
    pub(crate) active_expire: AtomicBool,
    /// Unix time of the start, seconds: LASTSAVE before any save.
    pub(crate) last_save_s: Gauge,
    /// `dirty` at the last save.
    pub(crate) dirty_at_save: Gauge,
    connected: Gauge,
    workers: Box<[UnboundedSender<Socket>]>,
    per_worker: Box<[Gauge]>,
}

/// What [`Server::new`] is made of.
pub(crate) struct Parts {
    /// The configuration at the start.
    pub(crate) config: Config,
    /// The cluster thread.
    pub(crate) cluster: Option<ClusterHandle>,
    /// Seed of the key hash.
    pub(crate) seed: HashSeed,
    /// Where each worker takes its connections from.
    pub(crate) workers: Vec<UnboundedSender<Socket>>,
    /// Number of commands in the table, subcommands included.
    pub(crate) commands: usize,
    /// Where the replication thread takes its orders from.
    pub(crate) orders: UnboundedSender<Order>,
}

impl Server {
    /// The state at the start of the process.
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts {
            config,
            cluster,
            seed,
            workers,
            commands,
            orders,
        } = parts;
        let now_s = crate::worker::unix_ms() as u64 / 1000;
        let last_save_s = Gauge::default();
        last_save_s.set(now_s);
        let databases = u16::try_from(config.databases).unwrap_or(u16::MAX);
        Self {
            keyspace: Keyspace::new(config.cluster.enabled, databases, seed),
            gates: Gates::new(workers.len() + OTHER_GATES),
            clients: Clients::default(),
            pause: Pause::default(),
            slowlog: SlowLog::default(),
            // One more for the replication thread, which applies a primary's commands.
            stats: (0..=workers.len())
                .map(|_| WorkerStats::new(commands))
                .collect(),
            cluster,
            samples: Samples::default(),
            mover: Mover::default(),
            shutdown: Shutdown::default(),
            started: Instant::now(),
            run_id: random_id(),
            replication: Replication::new(&config, orders),
            executable: std::env::current_exe().unwrap_or_default(),
            received_connections: Gauge::default(),
            rejected_connections: Gauge::default(),
            output_limit_disconnections: Gauge::default(),
            errors: Mutex::default(),
            active_expire: AtomicBool::new(true),
            last_save_s,
            dirty_at_save: Gauge::default(),
            connected: Gauge::default(),
            per_worker: workers.iter().map(|_| Gauge::default()).collect(),
            workers: workers.into(),
            config: ArcSwap::from_pointee(config),
            config_generation: AtomicU64::new(0),
            config_change: Mutex::new(()),
        }
    }

    /// The settings that command handlers read.
    pub(crate) fn env(&self, config: &Config) -> Env {
        Env {
            seed: self.keyspace.seed().clone(),
            max_string_bytes: config.proto_max_bulk_bytes,
            expiry: Expiry::Deletes,
            replicates: false,
            lazy_expire: config.lazyfree_lazy_expire,
            lazy_user_del: config.lazyfree_lazy_user_del,
            lfu: config.maxmemory_policy.is_lfu(),
            lfu_log_factor: config.lfu_log_factor,
            lfu_decay_minutes: config.lfu_decay_minutes,
            compress_dumps: config.rdbcompression,
            lazy_user_flush: config.lazyfree_lazy_user_flush,
            cluster: self.cluster.is_some(),
        }
    }

    /// Makes a changed configuration the current one.
    pub(crate) fn publish_config(&self, config: Config) {
        self.replication.config_changed(&config);
        self.config.store(config.into());
        self.config_generation.fetch_add(1, Relaxed);
    }

    /// Makes CONFIG GET and CONFIG REWRITE say that this server follows this primary, or none. In
    /// cluster mode nodes.conf says it.
    pub(crate) fn note_primary(&self, primary: Option<&Following>) {
        if self.cluster.is_some() {
            return;
        }
        let primary = primary.map(|of| (of.host.clone().into_bytes(), of.port));
        let _changing = self.config_change.lock();
        let config = self.config.load_full();
        if config.replication.replicaof != primary {
            self.publish_config(config.with_replicaof(primary));
        }
    }

    /// Connections that were admitted and have not closed.
    pub(crate) fn admitted(&self) -> u64 {
        self.connected.get()
    }

    /// Gives an accepted socket to the worker with the fewest connections.
    pub(crate) fn hand_over(&self, socket: Socket) {
        let fewest = (0..self.workers.len()).min_by_key(|&worker| self.per_worker[worker].get());
        let Some(worker) = fewest else { return };
        self.connected.increment();
        self.per_worker[worker].increment();
        if self.workers[worker].send(socket).is_err() {
            self.connection_closed(worker);
        }
    }

    /// A connection of this worker is gone.
    pub(crate) fn connection_closed(&self, worker: usize) {
        self.connected.decrement();
        self.per_worker[worker].decrement();
    }

    /// Counts an error reply by the code at its start (`-CODE text`).
    pub(crate) fn count_error(&self, code: &[u8]) {
        let code = String::from_utf8_lossy(code);
        let mut errors = self.errors.lock();
        if let Some(count) = errors.get_mut(&*code) {
            *count += 1;
        } else if errors.len() < MAX_ERROR_CODES {
            errors.insert(code.into_owned(), 1);
        }
    }

    /// Errors by their code.
    pub(crate) fn error_counts(&self) -> Vec<(String, u64)> {
        self.errors
            .lock()
            .iter()
            .map(|(code, count)| (code.clone(), *count))
            .collect()
    }

    /// CONFIG RESETSTAT.
    pub(crate) fn reset_stats(&self) {
        self.stats.iter().for_each(WorkerStats::reset);
        self.errors.lock().clear();
        self.received_connections.set(0);
        self.rejected_connections.set(0);
        self.output_limit_disconnections.set(0);
        self.samples.reset();
        self.replication.reset_stats();
        if let Some(cluster) = &self.cluster {
            cluster.reset_stats();
        }
    }

    /// Number of workers.
    pub(crate) fn worker_count(&self) -> usize {
        self.workers.len()
    }

    /// The number of the replication thread among the gates and the counters.
    pub(crate) fn replication_worker(&self) -> usize {
        self.workers.len()
    }

    /// Runs something that changes data on a thread that has no gate of its own.
    pub(crate) fn enter_as_other(&self) -> Pass<'_> {
        self.gates.enter(self.workers.len() + 1)
    }

    /// The sum of one counter over the workers.
    pub(crate) fn sum(&self, counter: impl Fn(&WorkerStats) -> u64) -> u64 {
        self.stats.iter().map(counter).sum()
    }
}

/// 40 random hexadecimal digits.
fn random_id() -> String {
    let mut rng = rand::rng();
    (0..40)
        .map(|_| char::from(b"0123456789abcdef"[rng.random_range(0..16)]))
        .collect()
}
