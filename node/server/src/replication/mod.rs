//! Replication: what workers append to, who is fed from it, and whom this server follows.
//!
//! * [`Replication`] is the part that workers see: the stream, what the role forbids them, and the
//!   table of replicas and of clients in WAIT ([`hub`]).
//! * [`thread`] is a thread of its own with everything that has a socket: feeders of replicas
//!   ([`feeder`]), snapshots for them ([`fullsync`]), and the link to the primary ([`link`],
//!   [`loading`], [`applier`]).
//!
//! Rules of the protocol are in the crate `hexad-replication`; here are its drivers.
//!
//! # Who locks what
//! The stream's mutex is taken after a partition's, for the length of an append; the hub's is never
//! held together with another. A role changes while the world is stopped, so a batch sees one role.

mod append;
mod applier;
mod feeder;
mod fullsync;
mod hub;
mod link;
mod loading;
mod role;
mod standing;
mod thread;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use hexad_replication::{Backlog, LogLine, Millis, OutputLimit, ReplId, Stream};
use parking_lot::{Mutex, MutexGuard};
use rand::Rng;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

pub(crate) use self::append::Pending;
pub(crate) use self::feeder::{HandOver, Reader, Start};
pub(crate) use self::hub::{Attached, Hub, WaitEnd};
pub(crate) use self::link::{LinkState, PrimaryStatus};
pub(crate) use self::role::Following;
pub(crate) use self::standing::Standing;
pub(crate) use self::thread::{Order, pause_for_failover, spawn};

use crate::config::{ClientClass, Config};
use crate::keyspace::Gauge;
use standing::StandingCell;

/// Replication as the rest of the server sees it.
pub(crate) struct Replication {
    stream: Mutex<Stream>,
    /// What the role and the state of replication mean to commands.
    standing: StandingCell,
    hub: Mutex<Hub>,
    /// When the last load began that clients are kept from, Unix time in milliseconds.
    pub(crate) loading_since_ms: AtomicI64,
    /// The link to the primary, for who shows it.
    status: Mutex<PrimaryStatus>,
    /// Raised whenever feeders may have something to do.
    grown: Notify,
    orders: UnboundedSender<Order>,
    started: Instant,
    /// Figures for INFO.
    pub(crate) counters: Counters,
}

/// What INFO counts.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Snapshots for replicas that are under way: none or one.
    pub(crate) snapshots: Gauge,
    /// `sync_full`
    pub(crate) sync_full: Gauge,
    /// `sync_partial_ok`
    pub(crate) sync_partial_ok: Gauge,
    /// `sync_partial_err`
    pub(crate) sync_partial_err: Gauge,
    /// `total_net_repl_input_bytes`
    pub(crate) input_bytes: AtomicU64,
    /// `total_net_repl_output_bytes`
    pub(crate) output_bytes: AtomicU64,
}

impl Replication {
    /// At the start of the process: a primary, or a replica that has not connected yet.
    pub(crate) fn new(config: &Config, orders: UnboundedSender<Order>) -> Self {
        let stream = Stream::new(
            new_id(),
            config.replication.backlog_bytes,
            output_limit(config),
        );
        Self {
            stream: Mutex::new(stream),
            standing: StandingCell::default(),
            hub: Mutex::default(),
            loading_since_ms: AtomicI64::new(0),
            status: Mutex::default(),
            grown: Notify::new(),
            orders,
            started: Instant::now(),
            counters: Counters::default(),
        }
    }

    /// Milliseconds of a clock that never goes backwards: the time of acknowledgements.
    pub(crate) fn now(&self) -> Millis {
        self.started.elapsed().as_millis() as Millis
    }

    /// A replica comes: from now on changes are appended. The world is stopped.
    pub(crate) fn start_stream(&self) -> Option<LogLine> {
        let line = self.stream().start_backlog(new_id());
        let is_replica = self.standing().contains(Standing::REPLICA);
        self.standing.set(Standing::REPLICATES, !is_replica);
        line
    }

    /// DEBUG CHANGE-REPL-ID.
    pub(crate) fn change_id(&self) {
        tracing::info!("Changing replication IDs after receiving change-repl-id");
        self.stream().change_id(new_id());
    }

    /// The stream, locked. Nothing else is locked while it is held.
    pub(crate) fn stream(&self) -> MutexGuard<'_, Stream> {
        self.stream.lock()
    }

    /// Replicas and waiting clients, locked.
    pub(crate) fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock()
    }

    /// How the link to the primary is, locked.
    pub(crate) fn status(&self) -> MutexGuard<'_, PrimaryStatus> {
        self.status.lock()
    }

    /// What a batch that begins now has to mind.
    #[inline]
    pub(crate) fn standing(&self) -> Standing {
        self.standing.get()
    }

    /// Feeders may have something to do: the stream has grown or is gone, a client waits.
    pub(crate) fn notify(&self) {
        self.grown.notify_waiters();
    }

    /// Gives the replication thread something to do.
    pub(crate) fn order(&self, order: Order) {
        // The thread ends with the process only.
        let _ = self.orders.send(order);
    }

    /// The configuration has changed.
    pub(crate) fn config_changed(&self, config: &Config) {
        let mut stream = self.stream.lock();
        stream.set_backlog_bytes(config.replication.backlog_bytes);
        stream.set_output_limit(output_limit(config));
        drop(stream);
        self.notify();
        self.note_replicas(config);
    }

    /// Looks whether enough replicas are near enough for writes.
    fn note_replicas(&self, config: &Config) {
        let settings = &config.replication;
        let wanted = settings.min_replicas_to_write;
        let lag = settings.min_replicas_max_lag_s;
        let too_few = wanted > 0
            && lag > 0
            && !self.standing().contains(Standing::REPLICA)
            && self.hub().acks.count_good(lag, self.now()) < wanted;
        self.standing.set(Standing::TOO_FEW_REPLICAS, too_few);
    }

    /// Bytes of the backlog, and of all that is kept of the stream for whoever reads it.
    pub(crate) fn memory_bytes(&self) -> (u64, u64) {
        let stream = self.stream();
        let kept = stream.backlog().map_or(0, Backlog::memory_bytes) as u64;
        let backlog = stream.backlog().map_or(0, |b| b.len().min(b.size() as u64));
        (backlog, kept.max(backlog))
    }

    /// CONFIG RESETSTAT.
    pub(crate) fn reset_stats(&self) {
        let counters = &self.counters;
        for gauge in [
            &counters.sync_full,
            &counters.sync_partial_ok,
            &counters.sync_partial_err,
        ] {
            gauge.set(0);
        }
        counters.input_bytes.store(0, Relaxed);
        counters.output_bytes.store(0, Relaxed);
    }
}

/// A new replication id.
fn new_id() -> ReplId {
    ReplId::from_random(rand::rng().random())
}

fn output_limit(config: &Config) -> OutputLimit {
    let limit = &config.client_output_buffer_limit[ClientClass::Replica as usize];
    OutputLimit {
        hard_bytes: limit.hard_bytes,
        soft_bytes: limit.soft_bytes,
        soft_ms: limit.soft_seconds.saturating_mul(1000),
    }
}

/// Writes what the protocol's state machines have to say.
pub(crate) fn write_log(lines: impl IntoIterator<Item = hexad_replication::LogLine>) {
    for line in lines {
        match line.level {
            hexad_replication::LogLevel::Debug => tracing::trace!("{}", line.text),
            hexad_replication::LogLevel::Verbose => tracing::debug!("{}", line.text),
            hexad_replication::LogLevel::Notice => tracing::info!("{}", line.text),
            hexad_replication::LogLevel::Warning => tracing::warn!("{}", line.text),
        }
    }
}
