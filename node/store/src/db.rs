//! One numbered database.

use std::fmt;

use rand::RngCore;

use crate::entry::Entry;
use crate::hash::{HashSeed, KeyHash};
use crate::iter::Iter;
use crate::table::{Table, TableStats};

/// The keys of one database in one partition. [`DbMut`](crate::DbMut) changes them.
///
/// Every method that takes a key takes its hash under the partition's seed too, which the caller has
/// computed for [`Db::prefetch_cells`]; a wrong hash makes the key another key. Expired entries are
/// entries like others here: the caller looks at [`Entry::is_expired`].
pub struct Db {
    pub(crate) table: Table,
    pub(crate) seed: HashSeed,
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

    /// Passes about `count` entries from `cursor` (0 at first) on to `visit`; gives the cursor for the
    /// next call, or 0 after the last entry.
    ///
    /// A key that is there from the first call to the last is passed at least once, whatever else comes
    /// and goes meanwhile. Cursors have 48 bits; any number is a valid one.
    pub fn scan(&self, cursor: u64, count: usize, visit: impl FnMut(&Entry)) -> u64 {
        self.table.scan(cursor, count, visit)
    }

    /// As [`Db::scan`], until what `visit` says that the entries cost comes to `max_cost`.
    pub(crate) fn walk(
        &self,
        cursor: u64,
        max_cost: usize,
        visit: impl FnMut(&Entry) -> usize,
    ) -> u64 {
        self.table.walk(cursor, max_cost, visit)
    }

    /// All entries, in the order of their hashes.
    pub fn iter(&self) -> Iter<'_> {
        Iter(self.table.iter())
    }

    /// An entry, each about as likely as any other.
    pub fn random(&self, rng: &mut impl RngCore) -> Option<&Entry> {
        self.table.random(rng)
    }

    /// Size and memory of the table.
    pub fn stats(&self) -> TableStats {
        self.table.stats()
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
    pub(crate) table: Table,
    /// Where the first segment begins that has not been freed.
    pub(crate) position: Option<u64>,
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
