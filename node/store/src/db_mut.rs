//! Changing a database.

use std::ops::Deref;

use crate::db::{Db, Detached};
use crate::entry::{Entry, OwnedEntry, TooLong, check_value_len};
use crate::expire::ExpireStats;
use crate::hash::KeyHash;
use crate::integer::parse_integer;
use crate::snapshot::Marks;
use crate::table::Table;

/// A database that may be changed; for a short time, as it borrows its partition.
///
/// This is the only way to entries that change, and every change made here minds the snapshot that may be
/// running: see [`Snapshot`](crate::Snapshot). What gives out an entry takes `self`, so that the entry
/// may live as long as the borrow.
pub struct DbMut<'a> {
    pub(crate) db: &'a mut Db,
    pub(crate) marks: Marks<'a>,
}

/// An entry that a command has just stored.
#[derive(Debug)]
pub struct Stored<'a> {
    /// Whether the key is new.
    pub created: bool,
    /// The entry. A new one's access clock is 0, a replaced one's is what it was: set it.
    pub entry: &'a Entry,
}

impl Deref for DbMut<'_> {
    type Target = Db;

    #[inline]
    fn deref(&self) -> &Db {
        self.db
    }
}

impl<'a> DbMut<'a> {
    /// Stores a value as SET does: as an integer if it is the canonical form of one, else as a string.
    /// Replaces value and expiry of an existing key.
    #[inline]
    pub fn set(
        self,
        key: &[u8],
        hash: KeyHash,
        value: &[u8],
        expire_at: Option<i64>,
    ) -> Result<Stored<'a>, TooLong> {
        match parse_integer(value) {
            Some(integer) => self.set_int(key, hash, integer, expire_at),
            None => self.set_string(key, hash, value, expire_at),
        }
    }

    /// Stores a string, with encoding "embstr" or "raw" even if it looks like an integer. Replaces value
    /// and expiry of an existing key, in place if they fit.
    #[inline]
    pub fn set_string(
        self,
        key: &[u8],
        hash: KeyHash,
        value: &[u8],
        expire_at: Option<i64>,
    ) -> Result<Stored<'a>, TooLong> {
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
        self,
        key: &[u8],
        hash: KeyHash,
        value: i64,
        expire_at: Option<i64>,
    ) -> Result<Stored<'a>, TooLong> {
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
        self.db
            .table
            .change(key, hash, &self.marks, |entry| entry.replace_int(value))
            .is_some()
    }

    /// Sets or removes the expiry of an existing key. Whether the key exists.
    pub fn set_expire(&mut self, key: &[u8], hash: KeyHash, expire_at: Option<i64>) -> bool {
        self.db
            .table
            .change(key, hash, &self.marks, |entry| entry.set_expire(expire_at))
            .is_some()
    }

    /// Appends to a string, and gives its new length. An existing value is "raw" from then on; a missing
    /// key is set as by [`DbMut::set`].
    pub fn append(&mut self, key: &[u8], hash: KeyHash, bytes: &[u8]) -> Result<usize, TooLong> {
        match self
            .db
            .table
            .change(key, hash, &self.marks, |entry| entry.append(bytes))
        {
            Some(result) => result,
            None => self
                .reborrow()
                .set(key, hash, bytes, None)
                .map(|_| bytes.len()),
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
        if let Some(result) = self.db.table.change(key, hash, &self.marks, |entry| {
            entry.write_at(offset, bytes)
        }) {
            return result;
        }
        let mut entry = OwnedEntry::string(key, b"", None)?;
        let len = entry.write_at(offset, bytes)?;
        self.insert_new(entry, hash);
        Ok(len)
    }

    /// Takes the entry of `key` out: to drop it here or elsewhere, or to insert it under another key.
    #[inline]
    pub fn remove(&mut self, key: &[u8], hash: KeyHash) -> Option<OwnedEntry> {
        self.db.table.remove(key, hash, &self.marks)
    }

    /// Inserts an entry; `hash` is that of its key. Gives the entry that had the key before.
    pub fn insert(&mut self, entry: OwnedEntry, hash: KeyHash) -> Option<OwnedEntry> {
        let previous = self.db.table.remove(entry.key(), hash, &self.marks);
        self.insert_new(entry, hash);
        previous
    }

    /// Inserts an entry that is loaded: in one go if its key is not there, as it should be. Gives it back
    /// if the key is there.
    pub fn load(&mut self, entry: OwnedEntry, hash: KeyHash) -> Result<(), OwnedEntry> {
        if self.db.get(entry.key(), hash).is_some() {
            return Err(entry);
        }
        self.insert_new(entry, hash);
        Ok(())
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
        self.db
            .table
            .expire_cycle(cursor, now_ms, max_work, &self.marks, on_expired)
    }

    /// Empties the database at once; what was in it is freed when the result is dropped, on any thread. While a
    /// snapshot is running that takes longer: it gets what it has not got yet.
    pub fn take_all(&mut self) -> Detached {
        if self.marks.is_running() {
            self.settle();
        }
        Detached {
            table: std::mem::replace(&mut self.db.table, Table::new()),
            position: Some(0),
        }
    }

    /// Makes all entries current, those that a running snapshot still needs by way of its pre-images.
    pub(crate) fn settle(&mut self) {
        self.db.iter().for_each(|entry| self.marks.settle(entry));
    }

    /// The same, borrowed for less long.
    #[inline]
    fn reborrow(&mut self) -> DbMut<'_> {
        DbMut {
            db: self.db,
            marks: self.marks,
        }
    }

    fn insert_new(&mut self, entry: OwnedEntry, hash: KeyHash) {
        let Db { table, seed } = &mut *self.db;
        table.insert_new(entry, hash, (seed, &self.marks));
    }

    #[inline]
    fn upsert(
        self,
        key: &[u8],
        hash: KeyHash,
        update: impl FnOnce(&mut OwnedEntry),
        create: impl FnOnce() -> Result<OwnedEntry, TooLong>,
    ) -> Result<Stored<'a>, TooLong> {
        let Db { table, seed } = self.db;
        let (entry, created) = table.upsert(key, hash, (seed, &self.marks), update, create)?;
        Ok(Stored { created, entry })
    }
}
