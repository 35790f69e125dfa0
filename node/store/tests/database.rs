//! A database against a naive model: random sequences of all string operations.

#![allow(
    clippy::disallowed_methods,
    reason = "a test of what may cross threads"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use hexad_store::{
    Db, DbMut, Encoding, Entry, HashSeed, KeyHash, OwnedEntry, Partition, ValueRef, WatchFlag,
};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// What the model knows of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    text: Vec<u8>,
    encoding: Encoding,
    expire_at: Option<i64>,
    access: u32,
}

struct Pair {
    partition: Partition,
    model: BTreeMap<Vec<u8>, Known>,
    seed: HashSeed,
    rng: SmallRng,
}

const STEPS: usize = match (cfg!(miri), cfg!(debug_assertions)) {
    (true, _) => 160,
    (_, true) => 100_000,
    (_, false) => 2_000_000,
};

fn text_of(entry: &Entry) -> Vec<u8> {
    match entry.value() {
        ValueRef::Int(value) => value.to_string().into_bytes(),
        ValueRef::Str(text) => text.to_vec(),
    }
}

fn encoding_of(text: &[u8]) -> Encoding {
    if text.len() <= 44 {
        Encoding::Embstr
    } else {
        Encoding::Raw
    }
}

impl Pair {
    fn new(seed: u64) -> Pair {
        println!("STORE_SEED={seed}");
        let hash_seed = HashSeed::new(seed, 7);
        Pair {
            partition: Partition::new(1, hash_seed.clone()),
            model: BTreeMap::new(),
            seed: hash_seed,
            rng: SmallRng::seed_from_u64(seed),
        }
    }

    fn db(&mut self) -> DbMut<'_> {
        self.partition.db_mut(0)
    }

    fn key(&mut self, keys: u32) -> (Vec<u8>, KeyHash) {
        let id = self.rng.random_range(0..keys);
        let key = format!("{id:0width$}", width = (id % 37) as usize).into_bytes();
        let hash = self.seed.hash(&key);
        (key, hash)
    }

    /// Lengths around the limits of the encodings and of the size classes.
    fn text(&mut self) -> Vec<u8> {
        let longest = match self.rng.random_range(0..10) {
            0..6 => 70,
            6..9 => 1100,
            _ => 2500,
        };
        let len = self.rng.random_range(0..longest);
        let first: u8 = self.rng.random_range(b'a'..=b'z');
        (0..len).map(|at| first.wrapping_add(at as u8)).collect()
    }

    fn expiry(&mut self) -> Option<i64> {
        self.rng
            .random_bool(0.3)
            .then(|| self.rng.random_range(0..1000))
    }

    fn know(&mut self, key: Vec<u8>, text: Vec<u8>, encoding: Encoding, expire_at: Option<i64>) {
        let access = self.model.get(&key).map_or(0, |known| known.access);
        self.model.insert(
            key,
            Known {
                text,
                encoding,
                expire_at,
                access,
            },
        );
    }

    fn set(&mut self, key: Vec<u8>, hash: KeyHash) {
        let expire_at = self.expiry();
        let is_new = !self.model.contains_key(&key);
        if self.rng.random_bool(0.5) {
            let text = self.text();
            let stored = self.db().set(&key, hash, &text, expire_at).unwrap();
            assert_eq!(
                (stored.created, text_of(stored.entry)),
                (is_new, text.clone())
            );
            let encoding = encoding_of(&text);
            return self.know(key, text, encoding, expire_at);
        }
        let value: i64 = self.rng.random::<i64>() >> self.rng.random_range(0..64);
        let text = value.to_string().into_bytes();
        let (stored, encoding) = match self.rng.random_range(0..3) {
            0 => (
                self.db().set(&key, hash, &text, expire_at).unwrap(),
                Encoding::Int,
            ),
            1 => (
                self.db().set_int(&key, hash, value, expire_at).unwrap(),
                Encoding::Int,
            ),
            _ => (
                self.db().set_string(&key, hash, &text, expire_at).unwrap(),
                Encoding::Embstr,
            ),
        };
        assert_eq!(stored.created, is_new);
        self.know(key, text, encoding, expire_at);
    }

    fn change_text(&mut self, key: Vec<u8>, hash: KeyHash) {
        let mut added = self.text();
        added.truncate(300);
        let known = self.model.get(&key).cloned();
        let expire_at = known.as_ref().and_then(|known| known.expire_at);
        let mut text = known.map_or(Vec::new(), |known| known.text);
        let is_new = !self.model.contains_key(&key);
        let mut encoding = Encoding::Raw;
        if self.rng.random_bool(0.5) {
            text.extend(&added);
            assert_eq!(self.db().append(&key, hash, &added), Ok(text.len()));
            if is_new {
                encoding = encoding_of(&text);
            }
        } else {
            let offset = self.rng.random_range(0..text.len() + 40);
            text.resize(text.len().max(offset + added.len()), 0);
            text[offset..offset + added.len()].copy_from_slice(&added);
            assert_eq!(
                self.db().set_range(&key, hash, offset, &added),
                Ok(text.len())
            );
        }
        self.know(key, text, encoding, expire_at);
    }

    /// RENAME and COPY.
    fn move_or_copy(&mut self, from: Vec<u8>, hash: KeyHash) {
        let (to, to_hash) = self.key(500);
        let Some(known) = self.model.get(&from).cloned() else {
            return assert!(self.db().remove(&from, hash).is_none());
        };
        let entry = if self.rng.random_bool(0.5) {
            self.model.remove(&from);
            self.db()
                .remove(&from, hash)
                .unwrap()
                .with_key(&to)
                .unwrap()
        } else {
            self.db().get(&from, hash).unwrap().copy_as(&to).unwrap()
        };
        let previous = self
            .db()
            .insert(entry, to_hash)
            .map(|entry| text_of(&entry));
        assert_eq!(
            previous,
            self.model.insert(to, known).map(|known| known.text)
        );
    }

    fn expire(&mut self) {
        let now_ms = self.rng.random_range(0..300);
        let mut cursor = 0;
        loop {
            self.partition
                .expire_cycle(0, &mut cursor, now_ms, 50, drop);
            if cursor == 0 {
                break;
            }
        }
        self.model
            .retain(|_, known| known.expire_at.is_none_or(|at| at >= now_ms));
    }

    fn step(&mut self) {
        let (key, hash) = self.key(500);
        match self.rng.random_range(0..100) {
            0..40 => self.set(key, hash),
            40..60 => self.change_text(key, hash),
            60..75 => {
                let removed = self.db().remove(&key, hash).map(|entry| text_of(&entry));
                assert_eq!(removed, self.model.remove(&key).map(|known| known.text));
            }
            75..85 => {
                let expire_at = self.expiry();
                let known = self
                    .model
                    .get_mut(&key)
                    .map(|known| known.expire_at = expire_at);
                assert_eq!(self.db().set_expire(&key, hash, expire_at), known.is_some());
            }
            85..90 => {
                let clock = self.rng.random_range(0..1 << 24);
                let touched = self.db().get_touch(&key, hash, clock).is_some();
                let known = self.model.get_mut(&key).map(|known| known.access = clock);
                assert_eq!(touched, known.is_some());
            }
            90..94 => {
                let known = self.model.get_mut(&key).map(|known| {
                    (known.text, known.encoding) = (b"-12".to_vec(), Encoding::Int);
                });
                assert_eq!(self.db().replace_int(&key, hash, -12), known.is_some());
            }
            94..99 => self.move_or_copy(key, hash),
            _ if self.rng.random_bool(0.1) => self.expire(),
            _ => {}
        }
    }

    fn check(&mut self) {
        let mut count = 0;
        for entry in self.partition.db(0).iter() {
            let stored = Known {
                text: text_of(entry),
                encoding: entry.encoding(),
                expire_at: entry.expire_at(),
                access: entry.access(),
            };
            assert_eq!(Some(&stored), self.model.get(entry.key()), "{entry:?}");
            count += 1;
        }
        assert_eq!(count, self.model.len());
        let volatile = self
            .model
            .values()
            .filter(|known| known.expire_at.is_some())
            .count();
        assert_eq!(self.db().volatile_len(), volatile);
    }
}

#[test]
fn strings_are_as_the_model() {
    let given = std::env::var("STORE_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seeds = if cfg!(miri) { 1..2 } else { 1..3 };
    for seed in given.map_or(seeds, |seed| seed..seed + 1) {
        let mut pair = Pair::new(seed);
        for step in 0..STEPS {
            pair.step();
            if step % (STEPS / 16) == 0 {
                pair.check();
            }
        }
        pair.check();
    }
}

#[test]
fn a_database_is_emptied_at_once_and_freed_elsewhere() {
    let mut pair = Pair::new(1);
    for id in 0..if cfg!(miri) { 50 } else { 20_000u32 } {
        let key = id.to_le_bytes();
        let hash = pair.seed.hash(&key);
        pair.db()
            .set_string(&key, hash, &[b'x'; 2000], None)
            .unwrap();
    }
    let mut detached = pair.partition.flush(0);
    assert_eq!((pair.db().len(), pair.db().iter().count()), (0, 0));
    let freed = std::thread::spawn(move || {
        let mut steps = 1;
        while detached.free_some() {
            steps += 1;
        }
        (detached.is_empty(), steps)
    });
    let (empty, steps) = freed.join().unwrap();
    assert!(empty && (cfg!(miri) || steps > 4));
}

#[test]
fn watchers_learn_of_changes() {
    let mut partition = Partition::new(3, HashSeed::new(1, 2));
    let seed = HashSeed::new(1, 2);
    let flags: Vec<Arc<WatchFlag>> = (0..3).map(|_| Arc::default()).collect();
    let dirty = || flags.iter().map(|flag| flag.is_dirty()).collect::<Vec<_>>();
    let clear = || flags.iter().for_each(|flag| flag.clear());
    partition.watch(0, b"a", &flags[0]);
    partition.watch(0, b"a", &flags[0]);
    partition.watch(0, b"b", &flags[1]);
    partition.watch(1, b"a", &flags[2]);

    partition.touch(0, b"a");
    assert_eq!(dirty(), [true, false, false]);
    partition.touch(0, b"c");
    partition.touch(2, b"a");
    assert_eq!(dirty(), [true, false, false]);

    // Only keys that exist are touched by FLUSHDB and SWAPDB.
    clear();
    partition.touch_all(0);
    assert_eq!(dirty(), [false; 3]);
    partition
        .db_mut(1)
        .set(b"b", seed.hash(b"b"), b"v", None)
        .unwrap();
    partition.swap(0, 1, 0, |_, _| {});
    assert_eq!(dirty(), [false, true, false]);
    clear();
    assert_eq!(partition.flush(0).len(), 1);
    assert_eq!(dirty(), [false, true, false]);

    // A watched key past its time is deleted before databases are swapped.
    clear();
    let stored = partition
        .db_mut(1)
        .set(b"a", seed.hash(b"a"), b"v", Some(5));
    assert!(stored.unwrap().created);
    let mut expired = Vec::new();
    partition.swap(1, 2, 6, |db, key| expired.push((db, key.to_vec())));
    assert_eq!(expired, [(1, b"a".to_vec())]);
    assert_eq!(dirty(), [false; 3]);

    // The expiry cycle touches what it deletes.
    clear();
    partition
        .db_mut(1)
        .set(b"a", seed.hash(b"a"), b"v", Some(5))
        .unwrap();
    partition.expire_cycle(1, &mut 0, 6, 100, drop);
    assert_eq!(dirty(), [false, false, true]);

    clear();
    for (db, key, flag) in [(0, b"a", 0), (0, b"b", 1), (1, b"a", 2)] {
        partition.unwatch(db, key, &flags[flag]);
        partition.unwatch(db, key, &flags[flag]);
    }
    partition.touch(0, b"a");
    assert_eq!(dirty(), [false; 3]);
    assert!(flags.iter().all(|flag| Arc::strong_count(flag) == 1));
}

#[test]
fn swapped_databases_change_places() {
    let mut partition = Partition::new(4, HashSeed::new(1, 2));
    let hash = HashSeed::new(1, 2).hash(b"k");
    partition.db_mut(0).set(b"k", hash, b"zero", None).unwrap();
    partition.db_mut(3).set(b"k", hash, b"three", None).unwrap();
    partition.swap(0, 3, 0, |_, _| {});
    partition.swap(1, 1, 0, |_, _| {});
    let text = |db: usize| partition.db(db).get(b"k", hash).map(text_of);
    assert_eq!(
        (text(0), text(3)),
        (Some(b"three".to_vec()), Some(b"zero".to_vec()))
    );
    assert_eq!(partition.databases(), 4);
}

#[test]
fn entries_and_databases_may_change_threads() {
    fn is_send<T: Send>() {}
    is_send::<OwnedEntry>();
    is_send::<Db>();
    is_send::<Partition>();
    is_send::<hexad_store::Detached>();
}
