//! The table against a naive model, and what it promises of scans, pauses and memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::geometry::{self, CURSOR_BITS};
use crate::segment::tests::take_moved;
use crate::snapshot::{PreImages, Snapshot};

/// Divides after some dozen entries, nests directories after some hundred and ends dividing soon
/// after, so that few entries see all there is to see.
struct Tiny;

impl Geometry for Tiny {
    const SEGMENT_MAX: u32 = 24;
    const DIRECTORY_BITS: u8 = 3;
    const DEPTH_MAX: u8 = 7;
}

/// The seeds of a test: one given by STORE_SEED, or `count` fixed ones. A failing test has printed its
/// seed.
fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let given = std::env::var("STORE_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seeds = given.map_or(1..count + 1, |seed| seed..seed + 1);
    seeds.inspect(|seed| println!("STORE_SEED={seed}"))
}

/// Fewer steps under Miri, which takes a thousand times as long, and in debug builds.
fn steps(release: usize) -> usize {
    if cfg!(miri) {
        release / 4000
    } else if cfg!(debug_assertions) {
        release / 10
    } else {
        release
    }
}

/// There is no snapshot.
fn unmarked() -> Marks<'static> {
    Marks::new(None, 0)
}

/// A table with the model of what must be in it: expiry by key.
struct Pair<G: Geometry> {
    table: Table<G>,
    model: BTreeMap<u64, Option<i64>>,
    seed: HashSeed,
    snapshot: Option<Arc<Snapshot>>,
}

impl<G: Geometry> Pair<G> {
    fn new(seed: u64) -> Pair<G> {
        let seed = HashSeed::new(seed, 1);
        Pair {
            table: Table::new(),
            model: BTreeMap::new(),
            seed,
            snapshot: None,
        }
    }

    fn hash(&self, id: u64) -> KeyHash {
        self.seed.hash(&id.to_le_bytes())
    }

    fn put(&mut self, id: u64, expire_at: Option<i64>) {
        let (key, hash) = (id.to_le_bytes(), self.hash(id));
        let update = |entry: &mut OwnedEntry| entry.set_int(id as i64, expire_at);
        let create = || OwnedEntry::int(&key, id as i64, expire_at);
        let marks = Marks::new(self.snapshot.as_deref(), 0);
        let (entry, created) = self
            .table
            .upsert(&key, hash, (&self.seed, &marks), update, create)
            .unwrap();
        assert_eq!((entry.key(), entry.expire_at()), (&key[..], expire_at));
        assert_eq!(created, self.model.insert(id, expire_at).is_none());
    }

    fn remove(&mut self, id: u64) {
        let hash = self.hash(id);
        let marks = Marks::new(self.snapshot.as_deref(), 0);
        let removed = self.table.remove(&id.to_le_bytes(), hash, &marks);
        let removed = removed.map(|entry| entry.expire_at());
        assert_eq!(removed, self.model.remove(&id));
    }

    fn change_expiry(&mut self, id: u64, expire_at: Option<i64>) {
        let hash = self.hash(id);
        let marks = Marks::new(self.snapshot.as_deref(), 0);
        let changed = self.table.change(&id.to_le_bytes(), hash, &marks, |entry| {
            entry.set_expire(expire_at)
        });
        let slot = self.model.get_mut(&id).map(|slot| *slot = expire_at);
        assert_eq!(changed, slot);
    }

    fn get(&self, id: u64) {
        let entry = self.table.get(&id.to_le_bytes(), self.hash(id));
        assert_eq!(entry.map(Entry::expire_at), self.model.get(&id).copied());
    }

    /// One random operation on one of `range` keys; inserts rather than removes if `growing`.
    fn step(&mut self, rng: &mut SmallRng, range: u64, growing: bool) {
        let id = rng.random_range(0..range);
        let expire_at = rng.random_bool(0.4).then(|| rng.random_range(0..1000));
        match rng.random_range(0..10) {
            0 => self.get(id),
            1 => self.change_expiry(id, expire_at),
            2 => self.remove(id),
            3 => self.put(id, expire_at),
            _ if growing => self.put(id, expire_at),
            _ => self.remove(id),
        }
    }

    /// Panics unless the invariants hold and the contents are those of the model.
    fn check(&self) {
        let mut position = Some(0);
        while let Some(at) = position {
            let (segment, next) = self.table.segment_at(at);
            segment.check();
            for index in 0..segment.capacity() as usize {
                let Some(entry) = segment.entry(index) else {
                    continue;
                };
                let hash = self.seed.hash(entry.key());
                assert!(
                    hash.0 >= at && next.is_none_or(|next| hash.0 < next),
                    "in its segment"
                );
                assert_eq!(segment.cells()[index].tag(), hash.tag(segment.depth()));
            }
            position = next;
        }
        if let Root::Many(many) = &self.table.root {
            many.directory.check();
        }
        assert_eq!(self.table.len(), self.model.len());
        let volatile = self
            .model
            .values()
            .filter(|expire_at| expire_at.is_some())
            .count();
        assert_eq!(self.table.volatile(), volatile);
        let contents = self
            .table
            .iter()
            .map(|entry| (id_of(entry), entry.expire_at()));
        assert_eq!(contents.collect::<BTreeMap<_, _>>(), self.model);
    }
}

fn id_of(entry: &Entry) -> u64 {
    u64::from_le_bytes(entry.key().try_into().unwrap())
}

fn model_test<G: Geometry>(range: u64, steps: usize, seeds_wanted: u64) {
    for seed in seeds(if cfg!(miri) { 1 } else { seeds_wanted }) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut pair = Pair::<G>::new(seed);
        for phase in 0..10 {
            for _ in 0..steps / 10 {
                pair.step(&mut rng, range, phase % 2 == 0);
            }
            pair.check();
        }
        for id in 0..range {
            pair.remove(id);
        }
        pair.check();
        let stats = pair.table.stats();
        assert_eq!(
            (stats.cells, stats.directory_bytes),
            (0, 0),
            "an empty table has no memory"
        );
    }
}

#[test]
fn as_the_model_in_tiny_segments() {
    model_test::<Tiny>(if cfg!(miri) { 60 } else { 300 }, steps(1_000_000), 3);
    model_test::<Tiny>(if cfg!(miri) { 150 } else { 3000 }, steps(1_000_000), 3);
}

#[test]
fn as_the_model_in_real_segments() {
    model_test::<Production>(if cfg!(miri) { 60 } else { 40_000 }, steps(2_000_000), 2);
}

/// Scans while the table grows and shrinks by far; gives how often an entry was returned again.
fn scan_test<G: Geometry>(seed: u64, stable: u64, others: u64, count: usize) -> usize {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut pair = Pair::<G>::new(seed);
    (0..stable).for_each(|id| pair.put(id, None));
    let mut population = 0;
    if rng.random() {
        (stable..stable + others).for_each(|id| pair.put(id, None));
        population = others;
    }
    let (mut seen, mut again, mut calls, mut cursor) = (BTreeSet::new(), 0, 0, 0);
    loop {
        let mut visited = Vec::new();
        let next = pair
            .table
            .scan(cursor, count, |entry| visited.push(id_of(entry)));
        for id in visited {
            assert!(next == 0 || pair.hash(id).is_before(next));
            again += usize::from(!seen.insert(id));
        }
        assert!(next == 0 || next > cursor, "the cursor gets on");
        assert!(next < 1 << CURSOR_BITS);
        cursor = next;
        calls += 1;
        if cursor == 0 {
            break;
        }
        // Now and then the table is made several times as large or as small.
        let target = if rng.random_bool(0.2) {
            rng.random_range(0..=others)
        } else {
            population
        };
        while population < target {
            pair.put(stable + population, None);
            population += 1;
        }
        while population > target {
            population -= 1;
            pair.remove(stable + population);
        }
    }
    assert!(
        (0..stable).all(|id| seen.contains(&id)),
        "what is there all the time is returned"
    );
    assert!(
        calls <= pair.table.len().max(stable as usize + others as usize) / count.max(1) * 2 + 4000
    );
    again
}

#[test]
fn scan_returns_what_stays() {
    let (mut again, mut returned) = (0, 0);
    for seed in seeds(if cfg!(miri) { 1 } else { 30 }) {
        let stable = if cfg!(miri) { 20 } else { 400 };
        again += scan_test::<Tiny>(seed, stable, stable * 10, 7);
        again += scan_test::<Tiny>(seed, 3, stable, 1);
        again += scan_test::<Tiny>(seed, stable, 20, 0);
        returned += stable as usize;
    }
    assert!(again * 20 <= returned, "{again} returned again");
}

#[cfg_attr(miri, ignore = "too many entries")]
#[test]
fn scan_returns_what_stays_in_real_segments() {
    for seed in seeds(if cfg!(debug_assertions) { 1 } else { 5 }) {
        scan_test::<Production>(seed, 5_000, 60_000, 100);
    }
}

/// What a snapshot was passed: id and expiry.
type Record = (u64, Option<i64>);

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Record>>>);

impl PreImages for Kept {
    fn keep(&self, _db: usize, entry: &Entry) {
        let record = (id_of(entry), entry.expire_at());
        self.0.lock().unwrap().push(record);
    }
}

/// Snapshots while the table grows and shrinks by far between the steps of the walk.
#[test]
fn a_snapshot_is_the_model_at_the_cut() {
    for seed in seeds(if cfg!(miri) { 1 } else { 30 }) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut pair = Pair::<Tiny>::new(seed);
        let range = if cfg!(miri) { 60 } else { 2000 };
        for epoch in 1..if cfg!(miri) { 4 } else { 12 } {
            let kept = Kept::default();
            let snapshot = Snapshot::new(epoch, kept.clone());
            pair.snapshot = Some(Arc::clone(&snapshot));
            let at_the_cut = pair.model.clone();
            let (mut cursor, mut growing) = (0, rng.random_bool(0.5));
            loop {
                if rng.random_bool(0.05) {
                    growing = !growing;
                }
                let most = if rng.random_bool(0.1) { range } else { 20 };
                for _ in 0..rng.random_range(0..most) {
                    pair.step(&mut rng, range, growing);
                }
                let marks = Marks::new(Some(&*snapshot), 0);
                cursor = pair.table.walk(cursor, rng.random_range(1..50), |entry| {
                    marks.settle(entry);
                    1
                });
                if cursor == 0 {
                    break;
                }
            }
            snapshot.finish();
            let current = epoch % 2 == 1;
            assert!(
                pair.table.iter().all(|entry| entry.generation() == current),
                "epoch {epoch}"
            );
            let kept = std::mem::take(&mut *kept.0.lock().unwrap());
            assert_eq!(kept.len(), at_the_cut.len(), "each once");
            assert_eq!(kept.into_iter().collect::<BTreeMap<_, _>>(), at_the_cut);
        }
        pair.check();
    }
}

#[test]
fn any_cursor_is_valid() {
    let mut pair = Pair::<Tiny>::new(1);
    (0..200).for_each(|id| pair.put(id, None));
    for cursor in [1, 0xFFFF_FFFF_FFFF, u64::MAX, 1 << 47, 12345 << 30] {
        let mut at = cursor;
        loop {
            at = pair.table.scan(at, 10, |_| {});
            if at == 0 {
                break;
            }
        }
    }
}

#[test]
fn scan_is_not_cut_within_equal_tags() {
    // More entries of one tag than COUNT: they come together, and the cursor gets on.
    let mut table = Table::<Production>::new();
    for id in 0..10u64 {
        let entry = OwnedEntry::int(&id.to_le_bytes(), 0, None).unwrap();
        table.insert_new(
            entry,
            KeyHash(5 << 50 | id),
            (&HashSeed::new(1, 1), &unmarked()),
        );
    }
    let mut seen = 0;
    assert_eq!(table.scan(0, 3, |_| seen += 1), 0);
    assert_eq!(seen, 10);
}

#[test]
fn expiry_cycle_deletes_what_is_expired() {
    for seed in seeds(if cfg!(miri) { 1 } else { 20 }) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut pair = Pair::<Tiny>::new(seed);
        let count = if cfg!(miri) { 100 } else { 3000 };
        for id in 0..count {
            pair.put(id, rng.random_bool(0.7).then(|| rng.random_range(0..1000)));
        }
        for now_ms in [0, 1, 300, 600, 999, 1000] {
            let (mut cursor, mut expired) = (0, Vec::new());
            loop {
                let before = cursor;
                let stats =
                    pair.table
                        .expire_cycle(&mut cursor, now_ms, 10, &unmarked(), |entry| {
                            assert!(entry.is_expired(now_ms));
                            expired.push(id_of(&entry));
                        });
                assert!(stats.work <= 10 + 3, "{stats:?}");
                if cursor == 0 {
                    break;
                }
                assert!(cursor > before);
            }
            for id in expired {
                assert!(pair.model.remove(&id).is_some());
            }
            assert!(
                pair.model
                    .values()
                    .flatten()
                    .all(|&expire_at| expire_at >= now_ms)
            );
            pair.check();
        }
    }
}

#[test]
fn random_picks_are_fair() {
    let mut pair = Pair::<Tiny>::new(1);
    let mut rng = SmallRng::seed_from_u64(1);
    assert!(pair.table.random(&mut rng).is_none());
    let (count, draws) = (50, if cfg!(miri) { 500 } else { 50_000 });
    (0..count).for_each(|id| pair.put(id, None));
    let mut drawn = vec![0; count as usize];
    for _ in 0..draws {
        drawn[id_of(pair.table.random(&mut rng).unwrap()) as usize] += 1;
    }
    let fair = draws / count as usize;
    assert!(
        drawn.iter().all(|&times| times > 0 && times < 4 * fair),
        "{drawn:?}"
    );
}

/// What a table of 8-byte keys takes besides its entries, by size; and how many cells one step moves.
#[cfg_attr(miri, ignore = "too many entries")]
#[test]
fn overhead_and_pauses_are_small() {
    const LARGEST: u64 = 1 << 20;
    const POINTS_PER_DOUBLING: f64 = 16.0;
    let (mut sum, mut points, mut worst_moved) = (0.0, 0, 0);
    for seed in seeds(2) {
        let mut pair = Pair::<Production>::new(seed);
        let mut next_point = 0.0f64;
        take_moved();
        for id in 0..LARGEST {
            let entry = OwnedEntry::int(&id.to_le_bytes(), 0, None).unwrap();
            pair.table
                .insert_new(entry, pair.hash(id), (&pair.seed, &unmarked()));
            worst_moved = worst_moved.max(take_moved());
            while (next_point / POINTS_PER_DOUBLING).exp2().round() as u64 == id + 1 {
                let stats = pair.table.stats();
                let bytes = stats.cell_bytes + stats.directory_bytes;
                let per_entry = bytes as f64 / stats.entries as f64;
                assert!(per_entry <= 16.0, "{stats:?}");
                sum += per_entry;
                points += 1;
                next_point += 1.0;
            }
        }
        for id in 0..LARGEST {
            drop(
                pair.table
                    .remove(&id.to_le_bytes(), pair.hash(id), &unmarked()),
            );
            worst_moved = worst_moved.max(take_moved());
        }
    }
    let average = sum / f64::from(points);
    println!("average overhead {average:.2} bytes per entry; at most {worst_moved} cells moved");
    assert!(average <= 12.0, "{average}");
    assert!(
        worst_moved <= Production::SEGMENT_MAX as usize,
        "{worst_moved}"
    );
}

#[test]
fn a_table_is_small() {
    assert_eq!(size_of::<Table>(), 24);
}

#[test]
fn positions_add_up() {
    assert_eq!(position_after(0, 0), None);
    assert_eq!(position_after(5, 1), Some(1 << 63));
    assert_eq!(position_after(u64::MAX, 1), None);
    assert_eq!(position_after(u64::MAX >> 1, 2), Some(1 << 63));
    let hash = KeyHash(0x1234_5678_9ABC_DEF0);
    for depth in 0..=29 {
        let start = position_of_tag(hash.0, depth, hash.tag(depth));
        let kept = u32::from(depth) + TAG_BITS;
        assert_eq!(start >> (64 - kept), hash.0 >> (64 - kept));
        assert_eq!(start << kept, 0);
    }
    const { assert!(geometry::merge_max::<Tiny>() > 0) };
}
