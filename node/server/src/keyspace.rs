//! The partitions of this node behind their locks.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, mpsc};

use arc_swap::ArcSwapOption;
use hexad_slots::{SLOT_COUNT, Slot};
use hexad_store::{Detached, HashSeed, Partition, PreImages, Snapshot};
use parking_lot::{Mutex, MutexGuard};

use crate::gate::World;

/// All data of the node: one partition a slot in cluster mode, one for everything otherwise.
///
/// Whoever holds the lock of one partition never waits for a second one. Code that needs several
/// at once runs while the world is stopped ([`crate::gate`]).
pub(crate) struct Keyspace {
    partitions: Box<[Cell]>,
    seed: HashSeed,
    databases: u16,
    reaper: Reaper,
    /// The epoch of `snapshot`, 0 before the first: what a partition's is compared with.
    epoch: AtomicU32,
    /// The last snapshot that was begun; changed only while the world is stopped.
    snapshot: ArcSwapOption<Snapshot>,
}

/// Frees former contents of databases on a thread of its own, which starts when it is first
/// needed and then waits for more.
#[derive(Default)]
struct Reaper(OnceLock<Option<mpsc::Sender<Detached>>>);

impl Reaper {
    fn free(&self, garbage: Detached) {
        if let Some(thread) = self.0.get_or_init(Self::start) {
            // It cannot fail: the thread ends only with the process. If it did, `garbage` would
            // be dropped here.
            let _ = thread.send(garbage);
        }
    }

    /// `None` if no thread can be had: then whoever has garbage frees it.
    fn start() -> Option<mpsc::Sender<Detached>> {
        let (sender, receiver) = mpsc::channel::<Detached>();
        let work = move || {
            for mut garbage in receiver {
                while garbage.free_some() {}
            }
        };
        std::thread::Builder::new()
            .name("hexad-free".to_owned())
            .spawn(work)
            .ok()?;
        Some(sender)
    }
}

/// A partition and its lock on one cache line.
#[repr(align(64))]
struct Cell(Mutex<Partition>);

const _: () = assert!(
    size_of::<Cell>() == 64,
    "a slot and its lock fill one cache line"
);

impl Keyspace {
    /// An empty keyspace.
    pub(crate) fn new(cluster: bool, databases: u16, seed: HashSeed) -> Self {
        let (count, databases) = if cluster {
            (SLOT_COUNT, 1)
        } else {
            (1, databases)
        };
        Self {
            partitions: (0..count)
                .map(|_| Cell(Mutex::new(Partition::new(databases, seed.clone()))))
                .collect(),
            seed,
            databases,
            reaper: Reaper::default(),
            epoch: AtomicU32::new(0),
            snapshot: ArcSwapOption::empty(),
        }
    }

    /// Begins a snapshot of all data as they are now. The last one's walk must be finished.
    pub(crate) fn cut(
        &self,
        _world: &World<'_>,
        pre_images: impl PreImages + 'static,
    ) -> Arc<Snapshot> {
        let epoch = self.epoch.load(Relaxed).wrapping_add(1);
        let snapshot = Snapshot::new(epoch, pre_images);
        self.snapshot.store(Some(Arc::clone(&snapshot)));
        self.epoch.store(epoch, Relaxed);
        snapshot
    }

    /// The seed of the key hash.
    pub(crate) fn seed(&self) -> &HashSeed {
        &self.seed
    }

    /// Databases of each partition: 1 in cluster mode.
    pub(crate) fn databases(&self) -> u16 {
        self.databases
    }

    /// Number of partitions.
    pub(crate) fn len(&self) -> usize {
        self.partitions.len()
    }

    /// Locks one partition. The caller must hold no other. Who is going to change it is inside a
    /// gate, or holds the world.
    #[inline]
    pub(crate) fn lock(&self, index: usize) -> MutexGuard<'_, Partition> {
        let mut partition = self.partitions[index].0.lock();
        if partition.epoch() != self.epoch.load(Relaxed) {
            self.enter_snapshot(&mut partition);
        }
        partition
    }

    /// Lets a partition take part in a snapshot that was begun since it was last locked.
    #[cold]
    fn enter_snapshot(&self, partition: &mut Partition) {
        if let Some(snapshot) = &*self.snapshot.load() {
            partition.enter(snapshot);
        }
    }

    /// The partition of a key.
    #[inline]
    pub(crate) fn partition_of(&self, key: &[u8]) -> u16 {
        if self.partitions.len() == 1 {
            0
        } else {
            Slot::of_key(key).get()
        }
    }

    /// Gives up the snapshot that is running, if any: it gets nothing more.
    pub(crate) fn abort_snapshot(&self) {
        if let Some(snapshot) = &*self.snapshot.load() {
            snapshot.abort();
        }
    }

    /// Takes all data away at once. A snapshot that is running is given up: passing on what it has
    /// not got yet would hold the world for as long as that takes.
    pub(crate) fn clear(&self, _world: &World<'_>) {
        self.abort_snapshot();
        for index in 0..self.len() {
            let mut partition = self.lock(index);
            for db in 0..usize::from(self.databases) {
                let garbage = partition.flush(db);
                if !garbage.is_empty() {
                    self.reaper.free(garbage);
                }
            }
        }
    }

    /// As many empty partitions, to be filled aside.
    pub(crate) fn new_partitions(&self) -> Vec<Partition> {
        (0..self.len())
            .map(|_| {
                let mut partition = Partition::new(self.databases, self.seed.clone());
                if partition.epoch() != self.epoch.load(Relaxed) {
                    self.enter_snapshot(&mut partition);
                }
                partition
            })
            .collect()
    }

    /// Exchanges all data for those of [`Keyspace::new_partitions`]. No snapshot may have begun
    /// since.
    pub(crate) fn replace(&self, world: &World<'_>, partitions: Vec<Partition>) {
        self.clear(world);
        for (index, mut partition) in partitions.into_iter().enumerate() {
            self.lock(index).take_from(&mut partition);
        }
    }

    /// Gets a partition's lock and table on the way into the cache.
    #[inline]
    pub(crate) fn prefetch(&self, index: u16) {
        hexad_store::prefetch_line(&self.partitions[usize::from(index)]);
    }

    /// Figures of one database, over all partitions.
    pub(crate) fn totals(&self, db: usize) -> Totals {
        let mut totals = Totals::default();
        for index in 0..self.len() {
            let stats = self.lock(index).db(db).stats();
            totals.keys += stats.entries as u64;
            totals.volatile += stats.volatile as u64;
            totals.cells += stats.cells as u64;
            totals.table_bytes += (stats.cell_bytes + stats.directory_bytes) as u64;
        }
        totals
    }

    /// Bytes of all tables.
    pub(crate) fn table_bytes(&self) -> u64 {
        (0..usize::from(self.databases))
            .map(|db| self.totals(db).table_bytes)
            .sum()
    }

    /// Whether no database holds a key.
    pub(crate) fn is_empty(&self) -> bool {
        (0..self.len()).all(|index| {
            let partition = self.lock(index);
            (0..usize::from(self.databases)).all(|db| partition.db(db).is_empty())
        })
    }
}

impl hexad_commands::Keyspace for Keyspace {
    fn partitions(&self) -> usize {
        self.len()
    }

    fn visit(&self, index: usize, visit: &mut dyn FnMut(&mut Partition)) {
        visit(&mut self.lock(index));
    }

    fn free_later(&self, garbage: Detached) {
        if !garbage.is_empty() {
            self.reaper.free(garbage);
        }
    }

    fn maybe_non_empty(&self, index: usize) -> bool {
        let partition = self.lock(index);
        (0..usize::from(self.databases)).any(|db| !partition.db(db).is_empty())
    }
}

/// Figures of a database.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    /// Keys.
    pub(crate) keys: u64,
    /// Keys with an expiry.
    pub(crate) volatile: u64,
    /// Cells of the tables.
    pub(crate) cells: u64,
    /// Bytes of the tables.
    pub(crate) table_bytes: u64,
}

/// Process-wide gauges with many writers.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicU64);

impl Gauge {
    /// Adds one and returns the value before.
    pub(crate) fn increment(&self) -> u64 {
        self.0.fetch_add(1, Relaxed)
    }

    /// Takes one away.
    pub(crate) fn decrement(&self) {
        self.0.fetch_sub(1, Relaxed);
    }

    /// The value now.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Sets the value.
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }
}
