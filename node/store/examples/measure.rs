//! Measures the store: `cargo run --release -p hexad-store --example measure [keys in millions]`.
//!
//! * one table of 10 million keys (or as many as asked for): the longest pause of an insertion and of a
//!   removal, and the memory of a key of 16 bytes with a value of 64;
//! * a million keys in 16384 partitions: time of a lookup and of an overwrite, of a thousand keys that stay
//!   in the cache and of all, one by one and in batches with the two prefetching passes;
//! * the same partitions: the walk of a snapshot, and overwriting while one runs; loading the keys anew.
//!
//! Times are the thread's CPU time, so that other work on the machine disturbs them little.

use std::hint::black_box;
use std::sync::Mutex;
use std::time::Duration;

use hexad_store::{
    DbMut, Entry, HashSeed, KeyHash, OwnedEntry, Partition, PreImages, Snapshot, ValueRef,
    WalkCursor,
};
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rustix::time::{ClockId, clock_gettime};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const PARTITIONS: usize = 16384;
const KEYS: u64 = 1_000_000;
const ROUNDS: usize = 4_000_000;
/// Of so many parts the fastest counts: what else runs on the machine only slows down.
const PARTS: usize = 20;
const BATCH: usize = 64;
/// Runs of which the shortest pause of each operation counts.
const RUNS: usize = 4;

/// A partition on a cache line of its own, as the server keeps it.
#[repr(align(64))]
struct Cell(Partition);

fn key_of(id: u64) -> [u8; 16] {
    let mut key = *b"key:000000000000";
    let mut rest = id;
    for place in key[4..].iter_mut().rev() {
        *place += (rest % 10) as u8;
        rest /= 10;
    }
    key
}

fn allocated_bytes() -> usize {
    tikv_jemalloc_ctl::epoch::advance().expect("jemalloc keeps statistics");
    tikv_jemalloc_ctl::stats::allocated::read().expect("jemalloc keeps statistics")
}

/// CPU time of this thread, nanoseconds.
fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// How long each of a sequence of operations takes, nanoseconds: the least over several runs, which leaves
/// what the operation itself needs and drops what the machine did meanwhile.
struct Pauses(Vec<u32>);

impl Pauses {
    fn new(operations: u64) -> Pauses {
        Pauses(vec![u32::MAX; operations as usize])
    }

    fn time(&mut self, operation: u64, work: impl FnOnce()) {
        let start = cpu_ns();
        work();
        let least = &mut self.0[operation as usize];
        *least = (*least).min((cpu_ns() - start) as u32);
    }

    fn print(mut self, what: &str) {
        self.0.sort_unstable();
        let at = |share: f64| self.0[((self.0.len() - 1) as f64 * share) as usize];
        let longest = Duration::from_nanos(u64::from(at(1.0)));
        println!(
            "{what}: median {} ns, 99 % {} ns, 99.9 % {} ns, 99.99 % {} ns, longest {longest:?}",
            at(0.5),
            at(0.99),
            at(0.999),
            at(0.9999)
        );
    }
}

fn one_table(keys: u64) {
    let (mut inserts, mut removes) = (Pauses::new(keys), Pauses::new(keys));
    for run in 0..RUNS {
        let seed = HashSeed::new(1, 2);
        let mut partition = Partition::new(1, seed.clone());
        let before = allocated_bytes();
        for id in 0..keys {
            let key = key_of(id);
            let hash = seed.hash(&key);
            inserts.time(id, || insert(partition.db_mut(0), &key, hash));
        }
        if run == 0 {
            let each = (allocated_bytes() - before) as f64 / keys as f64;
            println!(
                "{keys} keys in one table: {each:.1} bytes a key; {:?}",
                partition.db(0).stats()
            );
        }
        for id in 0..keys {
            let key = key_of(id);
            let hash = seed.hash(&key);
            removes.time(id, || drop(partition.db_mut(0).remove(&key, hash)));
        }
    }
    inserts.print("  insert");
    removes.print("  remove");
}

fn insert(db: DbMut<'_>, key: &[u8], hash: KeyHash) {
    db.set_string(key, hash, &[b'v'; 64], None).expect("short");
}

/// Calls `work` for random keys in batches, with or without prefetching, and prints the time of each.
fn rounds(
    what: &str,
    (partitions, keys): (&mut [Cell], u64),
    seed: &HashSeed,
    prefetch: bool,
    mut work: impl FnMut(DbMut<'_>, &[u8], KeyHash),
) {
    let mut rng = SmallRng::seed_from_u64(3);
    let keys: Vec<[u8; 16]> = (0..ROUNDS)
        .map(|_| key_of(rng.random_range(0..keys)))
        .collect();
    let mut best = f64::INFINITY;
    for part in keys.chunks(ROUNDS / PARTS) {
        let start = cpu_ns();
        part.chunks(BATCH)
            .for_each(|batch| run_batch(batch, partitions, seed, prefetch, &mut work));
        best = best.min((cpu_ns() - start) as f64 / part.len() as f64);
    }
    println!("  {what}, prefetch {prefetch}: {best:.1} ns");
}

fn run_batch(
    batch: &[[u8; 16]],
    partitions: &mut [Cell],
    seed: &HashSeed,
    prefetch: bool,
    work: &mut impl FnMut(DbMut<'_>, &[u8], KeyHash),
) {
    let mut hashes = [(0, seed.hash(b"")); BATCH];
    for (key, place) in batch.iter().zip(&mut hashes) {
        *place = (partition_of(key), seed.hash(key));
        if prefetch {
            hexad_store::prefetch_line(&partitions[place.0]);
        }
    }
    if prefetch {
        let hashes = &hashes[..batch.len()];
        hashes
            .iter()
            .for_each(|&(at, hash)| partitions[at].0.db(0).prefetch_cells(hash));
        hashes
            .iter()
            .for_each(|&(at, hash)| partitions[at].0.db(0).prefetch_entry(hash));
    }
    for (key, (at, hash)) in batch.iter().zip(hashes) {
        work(partitions[at].0.db_mut(0), key, hash);
    }
}

/// Stands in for CRC16: spreads keys evenly.
fn partition_of(key: &[u8; 16]) -> usize {
    let id = key[4..]
        .iter()
        .fold(0u64, |id, digit| id * 10 + u64::from(digit - b'0'));
    (id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 50) as usize
}

fn many_partitions() {
    let seed = HashSeed::new(1, 2);
    let before = allocated_bytes();
    let mut partitions: Vec<Cell> = (0..PARTITIONS)
        .map(|_| Cell(Partition::new(1, seed.clone())))
        .collect();
    for id in 0..KEYS {
        let key = key_of(id);
        insert(
            partitions[partition_of(&key)].0.db_mut(0),
            &key,
            seed.hash(&key),
        );
    }
    let per_key = (allocated_bytes() - before) as f64 / KEYS as f64;
    println!(
        "{KEYS} keys in {PARTITIONS} partitions: {per_key:.1} bytes a key, partitions included"
    );
    measure_rounds(&mut partitions, &seed);
    snapshots(&mut partitions, &seed);
    load(&partitions, &seed);
}

fn measure_rounds(partitions: &mut [Cell], seed: &HashSeed) {
    for keys in [1000, KEYS] {
        println!(" of these, {keys} chosen at random");
        for prefetch in [false, true] {
            rounds(
                "hash and nothing",
                (&mut *partitions, keys),
                seed,
                prefetch,
                |_, _, hash| {
                    black_box(hash);
                },
            );
            rounds(
                "get",
                (&mut *partitions, keys),
                seed,
                prefetch,
                |db, key, hash| {
                    black_box(db.get(key, hash).expect("present").value());
                },
            );
            rounds(
                "overwrite",
                (&mut *partitions, keys),
                seed,
                prefetch,
                |db, key, hash| {
                    black_box(db.set(key, hash, &[b'w'; 64], None).expect("short").created);
                },
            );
        }
    }
}

/// Copies what a snapshot consists of, as its writer would.
struct Writer(Mutex<Vec<u8>>);

impl PreImages for Writer {
    fn keep(&self, _db: usize, entry: &Entry) {
        let mut buffer = self.0.lock().expect("nobody panics");
        write(&mut buffer, entry);
    }
}

fn write(buffer: &mut Vec<u8>, entry: &Entry) {
    if buffer.len() > 1 << 20 {
        buffer.clear();
    }
    buffer.extend_from_slice(entry.key());
    if let ValueRef::Str(text) = entry.value() {
        buffer.extend_from_slice(text);
    }
}

/// Snapshots of the partitions: one without writes, one all of whose keys are overwritten first.
fn snapshots(partitions: &mut [Cell], seed: &HashSeed) {
    let each = |nanos: u64| nanos as f64 / KEYS as f64;
    for overwrite in [false, true] {
        let epoch = partitions[0].0.epoch() + 1;
        let snapshot = Snapshot::new(epoch, Writer(Mutex::default()));
        partitions
            .iter_mut()
            .for_each(|partition| partition.0.enter(&snapshot));
        if overwrite {
            for round in [
                "while a snapshot runs: first",
                "while a snapshot runs: second",
            ] {
                let start = cpu_ns();
                for id in 0..KEYS {
                    let key = key_of(id);
                    insert(
                        partitions[partition_of(&key)].0.db_mut(0),
                        &key,
                        seed.hash(&key),
                    );
                }
                println!("  {round} overwrite: {:.1} ns", each(cpu_ns() - start));
            }
        }
        let (start, mut buffer, mut longest) = (cpu_ns(), Vec::new(), 0);
        for partition in &mut *partitions {
            let mut cursor = WalkCursor::default();
            loop {
                let before = cpu_ns();
                let done = partition
                    .0
                    .walk(&mut cursor, 128, |_, entry| write(&mut buffer, entry));
                longest = longest.max(cpu_ns() - before);
                if done {
                    break;
                }
            }
        }
        let nanos = each(cpu_ns() - start);
        println!("  walk, overwritten {overwrite}: {nanos:.1} ns a key, longest step {longest} ns");
        snapshot.finish();
    }
}

/// Loads the keys into new partitions, in random order and in that of a walk.
fn load(from: &[Cell], seed: &HashSeed) {
    let mut ids: Vec<u64> = (0..KEYS).collect();
    ids.shuffle(&mut SmallRng::seed_from_u64(5));
    let shuffled: Vec<Vec<u8>> = ids.iter().map(|&id| key_of(id).to_vec()).collect();
    let entries = from.iter().flat_map(|partition| partition.0.db(0).iter());
    let ordered: Vec<Vec<u8>> = entries.map(|entry| entry.key().to_vec()).collect();
    for (order, keys) in [("random", shuffled), ("a dump's", ordered)] {
        let mut partitions: Vec<Cell> = (0..PARTITIONS)
            .map(|_| Cell(Partition::new(1, seed.clone())))
            .collect();
        let start = cpu_ns();
        for key in keys {
            let at = partition_of(key.first_chunk().expect("16 bytes"));
            let entry = OwnedEntry::string(&key, &[b'v'; 64], None).expect("short");
            let loaded = partitions[at].0.db_mut(0).load(entry, seed.hash(&key));
            loaded.expect("each key once");
        }
        let nanos = (cpu_ns() - start) as f64 / KEYS as f64;
        println!("  load in {order} order: {nanos:.1} ns a key");
    }
}

fn main() {
    let millions = std::env::args()
        .nth(1)
        .and_then(|arg| arg.parse().ok())
        .unwrap_or(10);
    many_partitions();
    if millions > 0 {
        one_table(millions * 1_000_000);
    }
}
