//! Keys that clients WATCH.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Tells a client that a key it watches has changed, so that its EXEC must fail.
///
/// The client holds one and registers it for each key it watches; a change under another thread's lock
/// sets it.
#[derive(Debug, Default)]
pub struct WatchFlag(AtomicBool);

impl WatchFlag {
    /// A flag that is not set.
    pub fn new() -> WatchFlag {
        WatchFlag::default()
    }

    /// Whether a watched key has changed.
    pub fn is_dirty(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Notes a change.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Forgets the changes, for the client's next WATCH.
    pub fn clear(&self) {
        self.0.store(false, Ordering::Release);
    }
}

type Flags = Vec<Arc<WatchFlag>>;

/// Who watches which key of one partition. A tree, as it needs no seed, and few keys are watched.
#[derive(Debug, Default)]
pub(crate) struct WatchRegistry {
    /// By database. Invariant: no list is empty.
    databases: BTreeMap<usize, BTreeMap<Box<[u8]>, Flags>>,
}

impl WatchRegistry {
    /// Adds `flag` to the watchers of `key`; once, however often it is asked.
    pub(crate) fn watch(&mut self, db: usize, key: &[u8], flag: &Arc<WatchFlag>) {
        let flags = self
            .databases
            .entry(db)
            .or_default()
            .entry(key.into())
            .or_default();
        if !flags.iter().any(|other| Arc::ptr_eq(other, flag)) {
            flags.push(Arc::clone(flag));
        }
    }

    /// Takes `flag` from the watchers of `key`.
    pub(crate) fn unwatch(&mut self, db: usize, key: &[u8], flag: &Arc<WatchFlag>) {
        let Some(keys) = self.databases.get_mut(&db) else {
            return;
        };
        let Some(flags) = keys.get_mut(key) else {
            return;
        };
        flags.retain(|other| !Arc::ptr_eq(other, flag));
        if flags.is_empty() {
            keys.remove(key);
        }
        if keys.is_empty() {
            self.databases.remove(&db);
        }
    }

    /// Whether nobody watches anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.databases.is_empty()
    }

    /// Sets the flags of the watchers of `key`.
    pub(crate) fn touch(&self, db: usize, key: &[u8]) {
        if let Some(flags) = self.databases.get(&db).and_then(|keys| keys.get(key)) {
            flags.iter().for_each(|flag| flag.set());
        }
    }

    /// The watched keys of `db`.
    pub(crate) fn keys(&self, db: usize) -> impl Iterator<Item = &[u8]> {
        self.databases
            .get(&db)
            .into_iter()
            .flatten()
            .map(|(key, _)| &**key)
    }

    /// Sets the flags of the watchers of those keys of `db` that `affected` chooses.
    pub(crate) fn touch_where(&self, db: usize, affected: impl Fn(&[u8]) -> bool) {
        for (key, flags) in self.databases.get(&db).into_iter().flatten() {
            if affected(key) {
                flags.iter().for_each(|flag| flag.set());
            }
        }
    }
}
