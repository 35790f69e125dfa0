//! One numbered database.

use std::fmt;

use rand::RngCore;

use crate::entry::{Entry, OwnedEntry, TooLong, check_value_len};
use crate::expire::ExpireStats;
use crate::hash::{HashSeed, KeyHash};
use crate::integer::parse_integer;
use crate::iter::Iter;
use crate::table::{Table, TableStats};

/// The keys of one database in one partition.
///
/// Every method that takes a key takes its hash under the partition's seed too, which the caller has
/// computed for [`Db::prefetch_cells`]; a wrong hash makes the key another key. Expired entries are
/// entries like others here: the caller looks at [`Entry::is_expired`].
pub struct Db {
    table: Table,
    seed: HashSeed,
}

/// An entry that a command has just stored.
#[derive(Debug)]
pub struct Stored<'a> {
    /// Whether the key is new.
    pub created: bool,
    /// The entry. A new one's access clock is 0, a replaced one's is what it was: set it.
    pub entry: &'a Entry,
}

impl Db {
    pub(crate) fn new(seed: HashSeed) -> Db {
        Db {
            table: Table::new(),
            seed,
        }
    }

    pub(crate) fn seed(&self) -> &HashSeed {
        &self.seed
    }

    /// Number of keys.
    #[inline]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Number of keys with an expiry.
    #[inline]
    pub fn volatile_len(&self) -> usize {
        self.table.volatile()
    }

    /// Whether there are no keys.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// First pass over a batch of commands: starts to load the part of the table that has `hash`.
    #[inline]
    pub fn prefetch_cells(&self, hash: KeyHash) {
        self.table.segment(hash).prefetch_cells(hash);
    }

    /// Second pass: starts to load the entry itself.
    #[inline]
    pub fn prefetch_entry(&self, hash: KeyHash) {
        self.table.segment(hash).prefetch_entry(hash);
    }

    /// The entry of `key`, expired or not.
    #[inline]
    pub fn get(&self, key: &[u8], hash: KeyHash) -> Option<&Entry> {
        self.table.get(key, hash)
    }

    /// The entry of `key`, whose access clock becomes `clock`.
    #[inline]
    pub fn get_touch(&self, key: &[u8], hash: KeyHash, clock: u32) -> Option<&Entry> {
        self.get(key, hash).inspect(|entry| entry.set_access(clock))
    }

    /// Stores a value as SET does: as an integer if it is the canonical form of one, else as a string.
    /// Replaces value and expiry of an existing key.
    #[inline]
    pub fn set(
        &mut self,
        key: &[u8],
        hash: KeyHash,
        value: &[u8],
        expire_at: Option<i64>,
    ) -> Result<Stored<'_>, TooLong> {
        match parse_integer(value) {
            Some(integer) => self.set_int(key, hash, integer, expire_at),
            None => self.set_string(key, hash, value, expire_at),
        }
    }

    /// Stores a string, with encoding "embstr" or "raw" even if it looks like an integer. Replaces value
    /// and expiry of an existing key, in place if they fit.
    #[inline]
    pub fn set_string(
        &mut self,
        key: &[u8],
        hash: KeyHash,
        value: &[u8],
        expire_at: Option<i64>,
    ) -> Result<Stored<'_>, TooLong> {
        check_value_len(value.len())?;
        self.upsert(
            key,
            hash,
            |entry| entry.set_string(value, expire_at),
            || OwnedEntry::string(key, value, expire_at),
        )
    }

    /// Stores an integer. Replaces value and expiry of an existing key.
    #[inline]
    pub fn set_int(
        &mut self,
        key: &[u8],
        hash: KeyHash,
        value: i64,
        expire_at: Option<i64>,
    ) -> Result<Stored<'_>, TooLong> {
        self.upsert(
            key,
            hash,
            |entry| entry.set_int(value, expire_at),
            || OwnedEntry::int(key, value, expire_at),
        )
    }

    /// Replaces the value of an existing key by an integer; expiry and access clock stay. Whether the key
    /// exists.
    #[inline]
    pub fn replace_int(&mut self, key: &[u8], hash: KeyHash, value: i64) -> bool {
        self.table
            .change(key, hash, |entry| entry.replace_int(value))
            .is_some()
    }

    /// Sets or removes the expiry of an existing key. Whether the key exists.
    pub fn set_expire(&mut self, key: &[u8], hash: KeyHash, expire_at: Option<i64>) -> bool {
        self.table
            .change(key, hash, |entry| entry.set_expire(expire_at))
            .is_some()
    }

    /// Appends to a string, and gives its new length. An existing value is "raw" from then on; a missing
    /// key is set as by [`Db::set`].
    pub fn append(&mut self, key: &[u8], hash: KeyHash, bytes: &[u8]) -> Result<usize, TooLong> {
        match self.table.change(key, hash, |entry| entry.append(bytes)) {
            Some(result) => result,
            None => self.set(key, hash, bytes, None).map(|_| bytes.len()),
        }
    }

    /// Overwrites a string from `offset` on, filling a gap with zeros, and gives its new length. The
    /// value is "raw" from then on. A missing key counts as an empty string.
    pub fn set_range(
        &mut self,
        key: &[u8],
        hash: KeyHash,
        offset: usize,
        bytes: &[u8],
    ) -> Result<usize, TooLong> {
        if let Some(result) = self
            .table
            .change(key, hash, |entry| entry.write_at(offset, bytes))
        {
            return result;
        }
        let mut entry = OwnedEntry::string(key, b"", None)?;
        let len = entry.write_at(offset, bytes)?;
        self.table.insert_new(entry, hash, &self.seed);
        Ok(len)
    }

    /// Takes the entry of `key` out: to drop it here or elsewhere, or to insert it under another key.
    #[inline]
    pub fn remove(&mut self, key: &[u8], hash: KeyHash) -> Option<OwnedEntry> {
        self.table.remove(key, hash)
    }

    /// Inserts an entry; `hash` is that of its key. Gives the entry that had the key before.
    pub fn insert(&mut self, entry: OwnedEntry, hash: KeyHash) -> Option<OwnedEntry> {
        let previous = self.table.remove(entry.key(), hash);
        self.table.insert_new(entry, hash, &self.seed);
        previous
    }

    /// Passes about `count` entries from `cursor` (0 at first) on to `visit`; gives the cursor for the
    /// next call, or 0 after the last entry.
    ///
    /// A key that is there from the first call to the last is passed at least once, whatever else comes
    /// and goes meanwhile. Cursors have 48 bits; any number is a valid one.
    pub fn scan(&self, cursor: u64, count: usize, visit: impl FnMut(&Entry)) -> u64 {
        self.table.scan(cursor, count, visit)
    }

    /// All entries, in the order of their hashes.
    pub fn iter(&self) -> Iter<'_> {
        Iter(self.table.iter())
    }

    /// An entry, each about as likely as any other.
    pub fn random(&self, rng: &mut impl RngCore) -> Option<&Entry> {
        self.table.random(rng)
    }

    /// Deletes expired entries from `cursor` (0 at first) on until `max_work` is done, and sets the cursor
    /// to where to go on (0: from the start). One unit of work is an entry with an expiry looked at, or 16
    /// places of the table walked over. `on_expired` gets what is deleted.
    pub fn expire_cycle(
        &mut self,
        cursor: &mut u64,
        now_ms: i64,
        max_work: usize,
        on_expired: impl FnMut(OwnedEntry),
    ) -> ExpireStats {
        self.table
            .expire_cycle(cursor, now_ms, max_work, on_expired)
    }

    /// Empties the database at once; what was in it is freed when the result is dropped, on any thread.
    pub fn take_all(&mut self) -> Detached {
        Detached {
            table: std::mem::replace(&mut self.table, Table::new()),
            position: Some(0),
        }
    }

    /// Size and memory of the table.
    pub fn stats(&self) -> TableStats {
        self.table.stats()
    }

    #[inline]
    fn upsert(
        &mut self,
        key: &[u8],
        hash: KeyHash,
        update: impl FnOnce(&mut OwnedEntry),
        create: impl FnOnce() -> Result<OwnedEntry, TooLong>,
    ) -> Result<Stored<'_>, TooLong> {
        let (entry, created) = self.table.upsert(key, hash, &self.seed, update, create)?;
        Ok(Stored { created, entry })
    }
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db")
            .field("len", &self.len())
            .field("volatile", &self.volatile_len())
            .finish()
    }
}

/// The former contents of a database, to be freed: by dropping it, or in steps.
pub struct Detached {
    table: Table,
    /// Where the first segment begins that has not been freed.
    position: Option<u64>,
}

impl Detached {
    /// Number of entries that are still to be freed.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether all entries are freed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Frees some thousand entries at most. Whether there are more.
    pub fn free_some(&mut self) -> bool {
        if let Some(position) = self.position {
            self.position = self.table.segment_at(position).1;
            drop(self.table.take_segment_at(position));
        }
        !self.is_empty()
    }
}

impl fmt::Debug for Detached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detached")
            .field("len", &self.len())
            .finish()
    }
}
