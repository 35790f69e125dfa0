//! Counters, written by one worker each and read by whoever answers INFO.
//!
//! Each worker has a [`WorkerStats`] of its own, so a counter has one writer: adding is a relaxed
//! load and store, which costs what a plain variable does. Readers add up over the workers.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// A counter with a single writer at a time.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`; only the owning worker may call this.
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// The value now.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Sets the value (CONFIG RESETSTAT; an addition that races with it may survive).
    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }
}

/// How many sub-buckets a power of two has in a [`Histogram`]: 8 give a relative error below 7 %.
const SUB_BUCKETS: usize = 8;
/// Powers of two that a histogram tells apart: up to 2^40 ns, 18 minutes.
const POWERS: usize = 40;

/// A log-linear histogram of durations in nanoseconds.
#[derive(Debug)]
pub(crate) struct Histogram {
    buckets: Box<[Counter]>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: (0..POWERS * SUB_BUCKETS)
                .map(|_| Counter::default())
                .collect(),
        }
    }
}

impl Histogram {
    fn bucket_of(nanos: u64) -> usize {
        let nanos = nanos.max(SUB_BUCKETS as u64);
        let power = 63 - nanos.leading_zeros() as usize;
        let sub = (nanos >> (power - 3)) as usize & (SUB_BUCKETS - 1);
        (power * SUB_BUCKETS + sub).min(POWERS * SUB_BUCKETS - 1)
    }

    /// The largest duration that falls into a bucket, nanoseconds.
    fn upper_bound(bucket: usize) -> u64 {
        let (power, sub) = (bucket / SUB_BUCKETS, bucket % SUB_BUCKETS);
        if power < 3 {
            // Never used: shorter durations count as 8 ns.
            return SUB_BUCKETS as u64 - 1;
        }
        (1u64 << power) + ((sub as u64 + 1) << (power - 3)) - 1
    }

    #[inline]
    fn record(&self, nanos: u64) {
        self.buckets[Self::bucket_of(nanos)].add(1);
    }
}

/// What INFO commandstats says of one command.
#[derive(Debug, Default)]
pub(crate) struct CommandStats {
    /// Executed calls.
    pub(crate) calls: Counter,
    /// Time spent in them, nanoseconds.
    pub(crate) nanos: Counter,
    /// Calls refused before execution (arity, ACL, redirects, OOM, …).
    pub(crate) rejected: Counter,
    /// Calls that ended in an error reply.
    pub(crate) failed: Counter,
    histogram: OnceLock<Histogram>,
}

impl CommandStats {
    /// Counts one call.
    #[inline]
    pub(crate) fn record(&self, nanos: u64, track_latency: bool) {
        self.calls.add(1);
        self.nanos.add(nanos);
        if track_latency {
            self.histogram.get_or_init(Histogram::default).record(nanos);
        }
    }
}

/// The counters of one worker, on cache lines of its own (lines are fetched in pairs).
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct WorkerStats {
    /// `total_commands_processed`
    pub(crate) commands: Counter,
    /// `keyspace_hits`
    pub(crate) hits: Counter,
    /// `keyspace_misses`
    pub(crate) misses: Counter,
    /// `expired_keys`
    pub(crate) expired: Counter,
    /// `expire_cycle_cpu_milliseconds`, in microseconds.
    pub(crate) expire_cycle_micros: Counter,
    /// `expired_time_cap_reached_count`
    pub(crate) expire_time_cap: Counter,
    /// Changes since the start (`rdb_changes_since_last_save` is a difference of it).
    pub(crate) dirty: Counter,
    /// `total_net_input_bytes`
    pub(crate) input_bytes: Counter,
    /// `total_net_output_bytes`
    pub(crate) output_bytes: Counter,
    /// `total_error_replies`
    pub(crate) error_replies: Counter,
    /// `total_reads_processed`
    pub(crate) reads: Counter,
    /// `total_writes_processed`
    pub(crate) writes: Counter,
    /// `client_query_buffer_limit_disconnections`
    pub(crate) query_buffer_disconnections: Counter,
    /// Rises with every batch: the cluster thread's proof that the worker is alive.
    pub(crate) heartbeat: AtomicU64,
    /// Whether the worker executes something now.
    pub(crate) busy: AtomicBool,
    /// Indexed by [`hexad_commands::Command::index`].
    pub(crate) per_command: Box<[CommandStats]>,
}

impl WorkerStats {
    /// Counters for a table of this many commands.
    pub(crate) fn new(commands: usize) -> Self {
        Self {
            commands: Counter::default(),
            hits: Counter::default(),
            misses: Counter::default(),
            expired: Counter::default(),
            expire_cycle_micros: Counter::default(),
            expire_time_cap: Counter::default(),
            dirty: Counter::default(),
            input_bytes: Counter::default(),
            output_bytes: Counter::default(),
            error_replies: Counter::default(),
            reads: Counter::default(),
            writes: Counter::default(),
            query_buffer_disconnections: Counter::default(),
            heartbeat: AtomicU64::new(0),
            busy: AtomicBool::new(false),
            per_command: (0..commands).map(|_| CommandStats::default()).collect(),
        }
    }

    /// CONFIG RESETSTAT; the count of changes belongs to the dataset and stays.
    pub(crate) fn reset(&self) {
        let counters = [
            &self.commands,
            &self.hits,
            &self.misses,
            &self.expired,
            &self.expire_cycle_micros,
            &self.expire_time_cap,
            &self.input_bytes,
            &self.output_bytes,
            &self.error_replies,
            &self.reads,
            &self.writes,
            &self.query_buffer_disconnections,
        ];
        for counter in counters {
            counter.set(0);
        }
        for command in &self.per_command {
            for counter in [
                &command.calls,
                &command.nanos,
                &command.rejected,
                &command.failed,
            ] {
                counter.set(0);
            }
            if let Some(histogram) = command.histogram.get() {
                histogram.buckets.iter().for_each(|bucket| bucket.set(0));
            }
        }
    }
}

/// One command's figures, added up over all workers.
#[derive(Debug, Default)]
pub(crate) struct CommandTotals {
    /// Executed calls.
    pub(crate) calls: u64,
    /// Time spent in them, nanoseconds.
    pub(crate) nanos: u64,
    /// Calls refused before execution.
    pub(crate) rejected: u64,
    /// Calls that ended in an error reply.
    pub(crate) failed: u64,
    histogram: Vec<u64>,
}

impl CommandTotals {
    /// The figures of command `index` over these workers.
    pub(crate) fn collect<'a>(
        workers: impl IntoIterator<Item = &'a WorkerStats>,
        index: usize,
    ) -> Self {
        let mut totals = Self::default();
        for worker in workers {
            let one = &worker.per_command[index];
            totals.calls += one.calls.get();
            totals.nanos += one.nanos.get();
            totals.rejected += one.rejected.get();
            totals.failed += one.failed.get();
            if let Some(histogram) = one.histogram.get() {
                totals.histogram.resize(POWERS * SUB_BUCKETS, 0);
                for (sum, bucket) in totals.histogram.iter_mut().zip(&histogram.buckets) {
                    *sum += bucket.get();
                }
            }
        }
        totals
    }

    /// The duration that `percent` of the calls did not exceed, microseconds; `None` if no call
    /// was measured.
    pub(crate) fn percentile_micros(&self, percent: f64) -> Option<f64> {
        let total: u64 = self.histogram.iter().sum();
        if total == 0 {
            return None;
        }
        let wanted = ((total as f64) * percent / 100.0).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.histogram.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Some(Histogram::upper_bound(bucket) as f64 / 1000.0);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_its_bounds_say() {
        for nanos in [8u64, 9, 15, 16, 100, 1_000, 123_456_789, 1 << 39] {
            let bucket = Histogram::bucket_of(nanos);
            assert!(nanos <= Histogram::upper_bound(bucket), "{nanos}");
            assert!(
                bucket == 0 || nanos > Histogram::upper_bound(bucket - 1),
                "{nanos}"
            );
        }
        assert_eq!(Histogram::bucket_of(u64::MAX), POWERS * SUB_BUCKETS - 1);
        assert_eq!(Histogram::bucket_of(0), Histogram::bucket_of(8));
    }

    #[test]
    fn percentiles_come_from_all_workers() {
        let workers = [WorkerStats::new(1), WorkerStats::new(1)];
        for _ in 0..99 {
            workers[0].per_command[0].record(1_000, true);
        }
        workers[1].per_command[0].record(1_000_000, true);
        let totals = CommandTotals::collect(&workers, 0);
        assert_eq!((totals.calls, totals.nanos), (100, 1_099_000));
        let p50 = totals.percentile_micros(50.0).expect("measured");
        let p100 = totals.percentile_micros(100.0).expect("measured");
        assert!((1.0..1.1).contains(&p50), "{p50}");
        assert!((1000.0..1100.0).contains(&p100), "{p100}");
        assert!(CommandTotals::default().percentile_micros(50.0).is_none());
    }
}
