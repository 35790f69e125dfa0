//! What a data command sees while it runs: its partition, its reply, the time, and nothing else.

use hexad_resp::Reply;
use hexad_store::{
    DbMut, Detached, Entry, HashSeed, KeyHash, LfuSettings, OwnedEntry, Partition, Stored, TooLong,
    lfu_access, lfu_new, lfu_with_counter, lru_clock, lru_clock_before,
};
use rand::Rng;
use rand::rngs::SmallRng;

use crate::Args;
use crate::propagation::{Stream, Word};

/// The longest key that the store takes.
const KEY_MAX_BYTES: usize = u32::MAX as usize;

/// Settings that handlers read, fixed for the length of a batch.
#[derive(Clone, Debug)]
pub struct Env {
    /// Seed of the key hash of every partition of this process.
    pub seed: HashSeed,
    /// `proto-max-bulk-len`: the longest string value, in bytes.
    pub max_string_bytes: u64,
    /// What becomes of expired keys.
    pub expiry: Expiry,
    /// Whether handlers note what goes to the replicas: see [`Effects::propagated`].
    pub replicates: bool,
    /// `lazyfree-lazy-expire`: replicas get UNLINK for expired keys.
    pub lazy_expire: bool,
    /// `lazyfree-lazy-user-del`: replicas get UNLINK for GETDEL.
    pub lazy_user_del: bool,
    /// Whether `maxmemory-policy` is an LFU policy (OBJECT FREQ answers, OBJECT IDLETIME does not).
    pub lfu: bool,
    /// `lfu-log-factor`
    pub lfu_log_factor: u32,
    /// `lfu-decay-time`, minutes.
    pub lfu_decay_minutes: u32,
    /// `lazyfree-lazy-user-flush`: FLUSHALL and FLUSHDB without a mode free in the background.
    pub lazy_user_flush: bool,
    /// `rdbcompression`: DUMP compresses strings.
    pub compress_dumps: bool,
    /// Whether the node runs in cluster mode.
    pub cluster: bool,
}

/// What becomes of a key past its time that a command comes upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// It is deleted, and is not there: on a primary.
    Deletes,
    /// It is not there, but stays: on a replica, which waits for its primary's DEL, and while a
    /// pause has promised that nothing changes.
    Hides,
    /// It is not there; a write deletes it: on a replica with `replica-read-only no`.
    HidesFromReads,
    /// It is there: for what comes from the primary, which deletes it when the time has come.
    Ignores,
}

/// What a command did besides its reply; the caller adds it to its statistics.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// Changes of the dataset (`rdb_changes_since_last_save`).
    pub dirty: u64,
    /// `keyspace_hits`
    pub hits: u64,
    /// `keyspace_misses`
    pub misses: u64,
    /// `expired_keys`: keys deleted because a command found them past their time.
    pub expired: u64,
    /// What goes to the replicas.
    pub(crate) stream: Stream,
}

/// The context of one data command: it holds the lock of its partition.
pub struct Ctx<'a> {
    /// The partition: one slot in cluster mode, all databases in stand-alone mode.
    pub partition: &'a mut Partition,
    /// The selected database.
    pub db: usize,
    /// Where the reply goes.
    pub reply: &'a mut Reply,
    /// Unix time of this command, milliseconds.
    pub now_ms: i64,
    /// Settings.
    pub env: &'a Env,
    /// Statistics of this command.
    pub effects: &'a mut Effects,
    /// The worker's generator.
    pub rng: &'a mut SmallRng,
    /// Hash of the first key, where the caller has computed it for prefetching.
    pub first_key: Option<KeyHash>,
}

/// A key with its hash.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// The key's bytes.
    pub bytes: &'a [u8],
    /// Its hash under [`Env::seed`].
    pub hash: KeyHash,
}

/// A handler of a data command.
pub type DataHandler = fn(&mut Ctx<'_>, &Args<'_>);

/// All partitions of the node, visited one at a time; the implementor takes and releases locks.
pub trait Keyspace {
    /// Number of partitions: 16384 in cluster mode (index = slot), 1 in stand-alone mode.
    fn partitions(&self) -> usize;
    /// Runs `visit` under the lock of partition `index`.
    fn visit(&self, index: usize, visit: &mut dyn FnMut(&mut Partition));
    /// Which partitions hold any key, cheaply and possibly a moment out of date.
    fn maybe_non_empty(&self, index: usize) -> bool {
        let _ = index;
        true
    }
    /// Called under the lock of a partition when a command has deleted an expired key there and
    /// [`Env::replicates`]. An implementor that does not hold all locks until the command ends
    /// appends [`Effects::propagated`] to the stream, and calls [`Effects::begin_command`].
    fn propagate(&self, effects: &mut Effects) {
        let _ = effects;
    }
    /// Frees what a database held, under no lock; the implementor may do it on another thread.
    fn free_later(&self, garbage: Detached) {
        drop(garbage);
    }
}

/// The context of a command that visits partitions one after another (KEYS, SCAN, DBSIZE, …).
pub struct KeyspaceCtx<'a> {
    /// The partitions.
    pub keyspace: &'a dyn Keyspace,
    /// The selected database.
    pub db: usize,
    /// Where the reply goes.
    pub reply: &'a mut Reply,
    /// Unix time of this command, milliseconds.
    pub now_ms: i64,
    /// Settings.
    pub env: &'a Env,
    /// Statistics of this command.
    pub effects: &'a mut Effects,
    /// The worker's generator.
    pub rng: &'a mut SmallRng,
}

/// A handler of a command over all partitions.
pub type KeyspaceHandler = fn(&mut KeyspaceCtx<'_>, &Args<'_>);

impl Env {
    /// How fast LFU counters grow and decay.
    pub fn lfu_settings(&self) -> LfuSettings {
        LfuSettings {
            log_factor: self.lfu_log_factor,
            decay_minutes: self.lfu_decay_minutes,
        }
    }

    /// `bytes` as a key.
    #[inline]
    pub fn key<'k>(&self, bytes: &'k [u8]) -> Key<'k> {
        Key {
            bytes,
            hash: self.seed.hash(bytes),
        }
    }

    /// Notes on an entry that it was accessed.
    #[inline]
    fn touch_clock(&self, entry: &Entry, now_ms: i64, rng: &mut SmallRng) {
        let clock = entry.access();
        let touched = if self.lfu {
            lfu_access(clock, now_ms, self.lfu_settings(), rng.random())
        } else {
            lru_clock(now_ms)
        };
        // Most accesses come within the same second: leave the cache line clean then.
        if touched != clock {
            entry.set_access(touched);
        }
    }

    /// Gives a value that was just stored its access clock: the counter of an LFU policy outlives
    /// the value, as in Redis.
    #[inline]
    fn start_clock(&self, stored: &Stored<'_>, now_ms: i64) {
        if stored.created || !self.lfu {
            stored.entry.set_access(self.new_clock(now_ms));
        }
    }

    /// The access clock of an entry from a payload or a file, which may say how it was used: the
    /// policy decides which of the two counts (Redis 7.0: objectSetLRUOrLFU).
    pub fn restored_clock(&self, now_ms: i64, idle_s: Option<u64>, freq: Option<u8>) -> u32 {
        match (self.lfu, idle_s, freq) {
            (false, Some(idle_s), _) => lru_clock_before(now_ms, idle_s),
            (true, _, Some(counter)) => lfu_with_counter(now_ms, counter),
            _ => self.new_clock(now_ms),
        }
    }

    fn new_clock(&self, now_ms: i64) -> u32 {
        if self.lfu {
            lfu_new(now_ms)
        } else {
            lru_clock(now_ms)
        }
    }
}

/// How a lookup counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// As an access by a reader: in the statistics and on the access clock.
    Read,
    /// In the statistics only.
    Peek,
    /// On the access clock only.
    Write,
}

/// Looking up. Each of these minds [`Env::expiry`] if the key is past its time.
///
/// They pass the entry on to a closure, together with the reply, because both belong to the
/// context: a value is written to the reply without a copy in between.
impl Ctx<'_> {
    /// The first key of the command, whose hash the caller may have computed already.
    #[inline]
    pub fn first_key<'k>(&self, bytes: &'k [u8]) -> Key<'k> {
        match self.first_key {
            Some(hash) => Key { bytes, hash },
            None => self.key(bytes),
        }
    }

    /// Another key of the command.
    #[inline]
    pub fn key<'k>(&self, bytes: &'k [u8]) -> Key<'k> {
        self.env.key(bytes)
    }

    /// Looks a key up to read it.
    #[inline]
    pub fn read<R>(
        &mut self,
        key: Key<'_>,
        visit: impl FnOnce(Option<&Entry>, &mut Reply) -> R,
    ) -> R {
        self.lookup(key, Purpose::Read, visit)
    }

    /// Looks a key up to say something about it, which is no access.
    pub fn peek<R>(
        &mut self,
        key: Key<'_>,
        visit: impl FnOnce(Option<&Entry>, &mut Reply) -> R,
    ) -> R {
        self.lookup(key, Purpose::Peek, visit)
    }

    /// Looks a key up to change it, which counts neither as a hit nor as a miss.
    #[inline]
    pub fn for_write<R>(
        &mut self,
        key: Key<'_>,
        visit: impl FnOnce(Option<&Entry>, &mut Reply) -> R,
    ) -> R {
        self.lookup(key, Purpose::Write, visit)
    }

    /// Whether a key that a write is about to change exists.
    pub fn exists_for_write(&mut self, key: Key<'_>) -> bool {
        self.for_write(key, |entry, _| entry.is_some())
    }

    #[inline]
    fn lookup<R>(
        &mut self,
        key: Key<'_>,
        purpose: Purpose,
        visit: impl FnOnce(Option<&Entry>, &mut Reply) -> R,
    ) -> R {
        let counts = u64::from(purpose != Purpose::Write);
        match self.partition.db(self.db).get(key.bytes, key.hash) {
            Some(entry) if !entry.is_expired(self.now_ms) || self.env.expiry == Expiry::Ignores => {
                if purpose != Purpose::Peek {
                    self.env.touch_clock(entry, self.now_ms, self.rng);
                }
                self.effects.hits += counts;
                return visit(Some(entry), self.reply);
            }
            Some(_) => self.meet_expired(key, purpose),
            None => {}
        }
        self.effects.misses += counts;
        visit(None, self.reply)
    }

    /// Deletes a key that is expired, if this command may.
    #[cold]
    fn meet_expired(&mut self, key: Key<'_>, purpose: Purpose) {
        let deletes = match self.env.expiry {
            Expiry::Deletes => true,
            Expiry::HidesFromReads => purpose == Purpose::Write,
            Expiry::Hides | Expiry::Ignores => false,
        };
        if deletes && self.database().remove(key.bytes, key.hash).is_some() {
            self.effects.deleted_expired(self.env, self.db, key.bytes);
            self.touched(key);
        }
    }

    /// Whether a key with this expiry would be expired at once. Where keys are not expired by this
    /// node, its primary says so.
    pub fn is_past(&self, deadline: i64) -> bool {
        self.env.expiry == Expiry::Deletes && deadline <= self.now_ms
    }
}

/// Changing. Each of these tells the watchers of the key and counts one change, but for those
/// whose names say otherwise.
impl Ctx<'_> {
    /// The selected database.
    #[inline]
    pub fn database(&mut self) -> DbMut<'_> {
        self.partition.db_mut(self.db)
    }

    /// Runs `act` with another database selected.
    pub fn in_db<R>(&mut self, db: usize, act: impl FnOnce(&mut Self) -> R) -> R {
        let selected = std::mem::replace(&mut self.db, db);
        let result = act(self);
        self.db = selected;
        result
    }

    /// Stores a value as SET does: value and expiry of an existing key are replaced, an integer's
    /// text becomes an integer. One operation on the table.
    #[inline]
    pub fn set(
        &mut self,
        key: Key<'_>,
        value: &[u8],
        expire_at: Option<i64>,
    ) -> Result<(), TooLong> {
        let stored = self
            .partition
            .db_mut(self.db)
            .set(key.bytes, key.hash, value, expire_at)?;
        self.env.start_clock(&stored, self.now_ms);
        self.modified(key);
        Ok(())
    }

    /// Stores a string that is not to become an integer, whatever it looks like.
    pub fn set_text(
        &mut self,
        key: Key<'_>,
        text: &[u8],
        expire_at: Option<i64>,
    ) -> Result<(), TooLong> {
        let db = self.partition.db_mut(self.db);
        let stored = db.set_string(key.bytes, key.hash, text, expire_at)?;
        self.env.start_clock(&stored, self.now_ms);
        self.modified(key);
        Ok(())
    }

    /// Replaces a value by an integer; the expiry stays.
    pub fn set_number(&mut self, key: Key<'_>, value: i64) -> Result<(), TooLong> {
        let mut db = self.partition.db_mut(self.db);
        if !db.replace_int(key.bytes, key.hash, value) {
            let stored = db.set_int(key.bytes, key.hash, value, None)?;
            self.env.start_clock(&stored, self.now_ms);
        }
        self.modified(key);
        Ok(())
    }

    /// Overwrites part of a string, filling a gap with zeros; a missing key counts as empty. The
    /// expiry stays. Returns the new length.
    pub fn set_range(
        &mut self,
        key: Key<'_>,
        offset: usize,
        part: &[u8],
    ) -> Result<usize, TooLong> {
        let mut db = self.partition.db_mut(self.db);
        let created = db.get(key.bytes, key.hash).is_none();
        let len = db.set_range(key.bytes, key.hash, offset, part)?;
        if let Some(entry) = db.get(key.bytes, key.hash) {
            self.env
                .start_clock(&Stored { created, entry }, self.now_ms);
        }
        self.modified(key);
        Ok(len)
    }

    /// Appends to a string, which must exist: [`set`](Self::set) makes a new one. The expiry stays.
    /// Returns the new length.
    pub fn append(&mut self, key: Key<'_>, tail: &[u8]) -> Result<usize, TooLong> {
        let len = self.database().append(key.bytes, key.hash, tail)?;
        self.modified(key);
        Ok(len)
    }

    /// Sets the expiry of a key, Unix time in milliseconds; returns whether the key exists.
    pub fn set_expire(&mut self, key: Key<'_>, expire_at: i64) -> bool {
        let exists = self
            .database()
            .set_expire(key.bytes, key.hash, Some(expire_at));
        if exists {
            self.modified(key);
        }
        exists
    }

    /// Removes the expiry of a key; returns whether it had one.
    pub fn persist(&mut self, key: Key<'_>) -> bool {
        let mut db = self.partition.db_mut(self.db);
        let entry = db.get(key.bytes, key.hash);
        let volatile = entry.is_some_and(|entry| entry.expire_at().is_some());
        if volatile {
            db.set_expire(key.bytes, key.hash, None);
            self.modified(key);
        }
        volatile
    }

    /// Deletes a key; returns whether it was there. An expired one was not, but for
    /// [`Expiry::Ignores`]: it is deleted as such.
    pub fn remove(&mut self, key: Key<'_>) -> bool {
        let Some(entry) = self.database().remove(key.bytes, key.hash) else {
            return false;
        };
        if entry.is_expired(self.now_ms) && self.env.expiry != Expiry::Ignores {
            self.effects.deleted_expired(self.env, self.db, key.bytes);
            self.touched(key);
            return false;
        }
        self.modified(key);
        true
    }

    /// Deletes a key, past its time or not; returns whether it was there.
    pub fn remove_any(&mut self, key: Key<'_>) -> bool {
        let removed = self.database().remove(key.bytes, key.hash).is_some();
        if removed {
            self.modified(key);
        }
        removed
    }

    /// Gives a key another name, in place of whatever has that. Returns false if there is no such
    /// key.
    pub fn rename(&mut self, from: Key<'_>, to: Key<'_>) -> Result<bool, TooLong> {
        if to.bytes.len() > KEY_MAX_BYTES {
            // Found out later it would cost the value.
            return Err(TooLong {
                len: to.bytes.len(),
                max: KEY_MAX_BYTES,
            });
        }
        let mut db = self.partition.db_mut(self.db);
        let Some(entry) = db.remove(from.bytes, from.hash) else {
            return Ok(false);
        };
        db.insert(entry.with_key(to.bytes)?, to.hash);
        self.touched(from);
        self.modified(to);
        Ok(true)
    }

    /// Copies a key to another name or database, in place of whatever is there. Returns false if
    /// there is no such key.
    pub fn copy(&mut self, from: Key<'_>, target: usize, to: Key<'_>) -> Result<bool, TooLong> {
        let Some(entry) = self.partition.db(self.db).get(from.bytes, from.hash) else {
            return Ok(false);
        };
        let copy = entry.copy_as(to.bytes)?;
        copy.set_access(self.env.new_clock(self.now_ms));
        self.in_db(target, |ctx| {
            ctx.database().insert(copy, to.hash);
            ctx.modified(to);
        });
        Ok(true)
    }

    /// Stores an entry, in place of whatever its key has. Its access clock is the caller's to set.
    pub fn insert(&mut self, key: Key<'_>, entry: OwnedEntry) {
        self.database().insert(entry, key.hash);
        self.modified(key);
    }

    /// Moves a key to another database, in place of whatever is there; returns whether it exists.
    pub fn move_to_db(&mut self, key: Key<'_>, target: usize) -> bool {
        let Some(entry) = self.database().remove(key.bytes, key.hash) else {
            return false;
        };
        self.touched(key);
        self.in_db(target, |ctx| {
            ctx.database().insert(entry, key.hash);
            ctx.modified(key);
        });
        true
    }

    /// Notes that a key has changed.
    #[inline]
    pub fn modified(&mut self, key: Key<'_>) {
        self.touched(key);
        self.effects.dirty += 1;
    }

    /// Tells the watchers of a key, without counting a change.
    #[inline]
    pub fn touched(&mut self, key: Key<'_>) {
        self.partition.touch(self.db, key.bytes);
    }
}

impl KeyspaceCtx<'_> {
    /// Deletes a key of the selected database that was found expired, if this node may.
    pub fn delete_expired(&mut self, partition: &mut Partition, key: &[u8]) {
        if self.env.expiry != Expiry::Deletes {
            return;
        }
        let key = self.env.key(key);
        if partition
            .db_mut(self.db)
            .remove(key.bytes, key.hash)
            .is_some()
        {
            partition.touch(self.db, key.bytes);
            self.effects.deleted_expired(self.env, self.db, key.bytes);
            if self.env.replicates {
                self.keyspace.propagate(self.effects);
            }
        }
    }

    /// Adds a string to the selected database, unless its key is there.
    pub fn insert_if_absent(
        &mut self,
        partition: &mut Partition,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), TooLong> {
        let key = self.env.key(key);
        let db = partition.db_mut(self.db);
        if db
            .get(key.bytes, key.hash)
            .is_none_or(|entry| entry.is_expired(self.now_ms))
        {
            let stored = db.set_string(key.bytes, key.hash, value, None)?;
            self.env.start_clock(&stored, self.now_ms);
            partition.touch(self.db, key.bytes);
        }
        Ok(())
    }
}

/// Saying what goes to the replicas; nothing is noted unless there are any. If a handler says nothing, the
/// command itself goes there if it has changed anything.
impl Ctx<'_> {
    /// Sends a command in the selected database to the replicas, in place of the command itself.
    /// Further calls send further ones.
    pub fn propagate<'w>(&mut self, words: impl IntoIterator<Item = Word<'w>, IntoIter: Clone>) {
        if self.env.replicates {
            self.effects.stream.push(self.db, words);
            self.effects.stream.replace();
        }
    }

    /// Sends a deletion of `key` to the replicas, in place of the command itself.
    pub fn propagate_deletion(&mut self, key: Key<'_>, lazy: bool) {
        self.propagate(deletion(key.bytes, lazy));
    }
}

impl KeyspaceCtx<'_> {
    /// Sends the command itself to the replicas, even if it has changed nothing.
    pub fn propagate_verbatim(&mut self) {
        if self.env.replicates {
            self.effects.stream.force();
        }
    }
}

impl Effects {
    /// Counts a key that was deleted because it was past its time, and notes it for the replicas.
    pub fn deleted_expired(&mut self, env: &Env, db: usize, key: &[u8]) {
        self.expired += 1;
        if env.replicates {
            self.stream.push(db, deletion(key, env.lazy_expire));
        }
    }
}

fn deletion(key: &[u8], lazy: bool) -> [Word<'_>; 2] {
    let name = if lazy { &b"UNLINK"[..] } else { b"DEL" };
    [name.into(), key.into()]
}
