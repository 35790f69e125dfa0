//! What one lock guards.

use std::fmt;
use std::sync::Arc;

use crate::db::{Db, Detached};
use crate::db_mut::DbMut;
use crate::entry::OwnedEntry;
use crate::expire::ExpireStats;
use crate::hash::HashSeed;
use crate::snapshot::{Marks, Snapshot};
use crate::watch::{WatchFlag, WatchRegistry};

/// A slot in cluster mode, all databases otherwise; and who watches which of its keys.
///
/// There are 16384 of them in cluster mode, so that it is small: with a mutex around it, it fits a cache
/// line, and what an ordinary slot does not need is elsewhere.
pub struct Partition {
    first: Db,
    /// Databases 1, 2, … in stand-alone mode.
    others: Option<Box<Others>>,
    /// There while anybody watches anything.
    watched: Option<Box<WatchRegistry>>,
    /// The last snapshot that the partition has entered.
    snapshot: Option<Arc<Snapshot>>,
}

/// One pointer to them is all that a partition has room for.
struct Others(Vec<Db>);

const _: () = assert!(
    size_of::<Partition>() <= 56,
    "with a mutex it fits a cache line"
);

impl Partition {
    /// A partition of `databases` empty databases, at least one.
    pub fn new(databases: u16, seed: HashSeed) -> Partition {
        let others: Vec<Db> = (1..databases).map(|_| Db::new(seed.clone())).collect();
        Partition {
            first: Db::new(seed),
            others: (!others.is_empty()).then(|| Box::new(Others(others))),
            watched: None,
            snapshot: None,
        }
    }

    /// Number of databases.
    pub fn databases(&self) -> usize {
        1 + self.others.as_ref().map_or(0, |others| others.0.len())
    }

    /// Database `index`.
    ///
    /// # Panics
    /// If there is none: SELECT has checked.
    #[inline]
    pub fn db(&self, index: usize) -> &Db {
        match (index, &self.others) {
            (0, _) => &self.first,
            (_, Some(others)) => &others.0[index - 1],
            (_, None) => no_database(index),
        }
    }

    /// Database `index`, to be changed.
    ///
    /// # Panics
    /// As [`Partition::db`].
    #[inline]
    pub fn db_mut(&mut self, index: usize) -> DbMut<'_> {
        let db = match (index, &mut self.others) {
            (0, _) => &mut self.first,
            (_, Some(others)) => &mut others.0[index - 1],
            (_, None) => no_database(index),
        };
        DbMut {
            db,
            marks: Marks::new(self.snapshot.as_deref(), index),
        }
    }

    /// Exchanges the contents of two databases, and touches the watched keys that either has.
    ///
    /// A watched key that is past its time counts as absent, before and after: it is deleted here, and
    /// `on_expired` gets its database and name.
    pub fn swap(
        &mut self,
        a: usize,
        b: usize,
        now_ms: i64,
        mut on_expired: impl FnMut(usize, &[u8]),
    ) {
        if a == b {
            return;
        }
        if let Some(watched) = self.watched.take() {
            for key in watched.keys(a).chain(watched.keys(b)) {
                for db in [a, b] {
                    if self.expire(db, key, now_ms) {
                        on_expired(db, key);
                    }
                }
            }
            for db in [a, b] {
                watched.touch_where(db, |key| self.contains(a, key) || self.contains(b, key));
            }
            self.watched = Some(watched);
        }
        for db in [a, b] {
            let mut db = self.db_mut(db);
            // A walk that has passed one of them would miss what comes there.
            if db.marks.is_unfinished() {
                db.settle();
            }
        }
        let empty = Db::new(self.first.seed().clone());
        let taken = std::mem::replace(self.db_mut(a).db, empty);
        let taken = std::mem::replace(self.db_mut(b).db, taken);
        *self.db_mut(a).db = taken;
    }

    /// Deletes a key if it is past its time, without touching its watchers.
    fn expire(&mut self, db: usize, key: &[u8], now_ms: i64) -> bool {
        let mut db = self.db_mut(db);
        let hash = db.seed().hash(key);
        let expired = db
            .get(key, hash)
            .is_some_and(|entry| entry.is_expired(now_ms));
        if expired {
            db.remove(key, hash);
        }
        expired
    }

    /// Empties database `db` at once, and touches its watched keys that exist. See [`DbMut::take_all`].
    pub fn flush(&mut self, db: usize) -> Detached {
        self.touch_all(db);
        self.db_mut(db).take_all()
    }

    /// Takes over what another partition of as many databases has, in place of its own contents,
    /// which must be [flushed](Self::flush) before. Both are in the same snapshot, which has nothing of either any more.
    pub fn take_from(&mut self, other: &mut Partition) {
        std::mem::swap(&mut self.first, &mut other.first);
        std::mem::swap(&mut self.others, &mut other.others);
    }

    /// [`DbMut::expire_cycle`], which also touches the watchers of what it deletes.
    pub fn expire_cycle(
        &mut self,
        db: usize,
        cursor: &mut u64,
        now_ms: i64,
        max_work: usize,
        mut on_expired: impl FnMut(OwnedEntry),
    ) -> ExpireStats {
        let watched = self.watched.take();
        let stats = self
            .db_mut(db)
            .expire_cycle(cursor, now_ms, max_work, |entry| {
                if let Some(watched) = &watched {
                    watched.touch(db, entry.key());
                }
                on_expired(entry);
            });
        self.watched = watched;
        stats
    }

    /// Sets `flag` when `key` changes, from now on.
    pub fn watch(&mut self, db: usize, key: &[u8], flag: &Arc<WatchFlag>) {
        self.watched.get_or_insert_default().watch(db, key, flag);
    }

    /// Ends a [`Partition::watch`].
    pub fn unwatch(&mut self, db: usize, key: &[u8], flag: &Arc<WatchFlag>) {
        if let Some(watched) = &mut self.watched {
            watched.unwatch(db, key, flag);
            if watched.is_empty() {
                self.watched = None;
            }
        }
    }

    /// Sets the flags of those who watch `key`. To be called for every change of it.
    #[inline]
    pub fn touch(&self, db: usize, key: &[u8]) {
        if let Some(watched) = &self.watched {
            watched.touch(db, key);
        }
    }

    /// Sets the flags of those who watch a key that exists in database `db`.
    pub fn touch_all(&self, db: usize) {
        if let Some(watched) = &self.watched {
            watched.touch_where(db, |key| self.contains(db, key));
        }
    }

    pub(crate) fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_deref()
    }

    pub(crate) fn set_snapshot(&mut self, snapshot: Arc<Snapshot>) {
        self.snapshot = Some(snapshot);
    }

    fn contains(&self, db: usize, key: &[u8]) -> bool {
        let db = self.db(db);
        db.get(key, db.seed().hash(key)).is_some()
    }
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let databases = (0..self.databases()).map(|index| self.db(index));
        f.debug_list().entries(databases).finish()
    }
}

#[cold]
fn no_database(index: usize) -> ! {
    panic!("there is no database {index}")
}
