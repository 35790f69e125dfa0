//! Point-in-time snapshots of tables that are written to meanwhile.
//!
//! # The problem
//! A file or a replica is to get all keys as they were at one moment, the cut, while clients go on writing.
//! Redis forks, and lets the kernel copy the pages that change: a pause that grows with the memory, and up
//! to twice the memory. Threads that share the keyspace cannot fork at all.
//!
//! # The idea
//! Every entry has one bit that says of which *generation* it is. As long as no snapshot is taken, all
//! entries are of the current one. The cut makes the other one the current, and so at one stroke all entries
//! are old: old means *part of the snapshot, and not in it yet*. From then on each entry gets into the snapshot
//! in one of two ways, whichever comes first:
//!
//! * a [walk](Partition::walk) in the background comes by, passes it on and makes it current;
//! * a command is about to change or remove it: the entry goes to [`PreImages::keep`] just before.
//!
//! Whatever is made or changed is current, so that no walk ever passes it on. When the walk is through, all entries
//! are current, and the next cut is possible.
//!
//! # Why it is right
//! *Each key once:* to be passed on an entry must be old; passing it on makes it current, and a current entry
//! never becomes old before the next cut. *None missing:* an old entry leaves the table, or changes, by way of
//! [`DbMut`](crate::DbMut) only, all of whose changes come here first. One that stays
//! is met by the walk, as by SCAN: the table is in hash order, and neither splits nor merges carry an entry
//! across the walk's position. (Where entries may change their place otherwise, in [`Partition::swap`], the
//! old ones are passed on first.)
//!
//! # A cut without touching 16384 partitions
//! Each partition knows the snapshot that it has [entered](Partition::enter) last. The server compares that with
//! its own whenever it locks a partition, and lets those that are behind enter: one comparison a lock, and
//! the cut itself is one store.
//!
//! # What was rejected
//! * Comparing an entry's hash with the walk's position instead of a bit: it needs no bit, but every change
//!   must know the position of the walk in its partition, a change ahead of it must mark the entry all the
//!   same, and a partition that moves on to the next snapshot must remember both.
//! * Copying whole segments before their first change: some 100 KiB for one small write.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::entry::{Entry, OwnedEntry};
use crate::partition::Partition;

/// Entries look as costly to a walk as one more for each so many bytes of theirs.
const WALK_BYTES: usize = 256;

/// Gets the entries of a snapshot that a command changes before the walk has come to them.
pub trait PreImages: Send + Sync {
    /// `entry` of database `db` is about to change or to go. Called under the lock of its partition, so
    /// that it must be quick, and from any thread.
    fn keep(&self, db: usize, entry: &Entry);
}

/// One snapshot, from its cut until the next one's.
pub struct Snapshot {
    epoch: u32,
    state: AtomicU8,
    pre_images: Box<dyn PreImages>,
}

/// The snapshot gets what it consists of.
const RUNNING: u8 = 0;
/// Nobody wants it any more, but there may be old entries yet.
const ABORTED: u8 = 1;
/// There are no old entries left.
const FINISHED: u8 = 2;

impl Snapshot {
    /// The snapshot `epoch`: one more than the last one's, the first is 1.
    pub fn new(epoch: u32, pre_images: impl PreImages + 'static) -> Arc<Snapshot> {
        Arc::new(Snapshot {
            epoch,
            state: AtomicU8::new(RUNNING),
            pre_images: Box::new(pre_images),
        })
    }

    /// Its number.
    #[inline]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// From now on nothing is passed on. The walk must go on to its end all the same: only it makes all
    /// entries current.
    pub fn abort(&self) {
        self.advance(ABORTED);
    }

    /// The walk has gone through all partitions.
    pub fn finish(&self) {
        self.advance(FINISHED);
    }

    /// Whether entries are passed on.
    #[inline]
    pub fn is_running(&self) -> bool {
        self.state.load(Ordering::Acquire) == RUNNING
    }

    /// Whether the walk has gone through all partitions.
    pub fn is_finished(&self) -> bool {
        self.state.load(Ordering::Acquire) == FINISHED
    }

    fn advance(&self, state: u8) {
        self.state.fetch_max(state, Ordering::AcqRel);
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("epoch", &self.epoch)
            .field("state", &self.state)
            .finish()
    }
}

/// What whoever changes entries of a database must know of snapshots.
#[derive(Clone, Copy)]
pub(crate) struct Marks<'a> {
    snapshot: Option<&'a Snapshot>,
    db: usize,
    /// The current generation.
    generation: bool,
}

impl<'a> Marks<'a> {
    #[inline]
    pub(crate) fn new(snapshot: Option<&'a Snapshot>, db: usize) -> Marks<'a> {
        Marks {
            snapshot,
            db,
            generation: snapshot.is_some_and(|snapshot| snapshot.epoch & 1 == 1),
        }
    }

    /// To be called before an entry of the table changes or goes.
    #[inline]
    pub(crate) fn before_change(&self, entry: &OwnedEntry) {
        if entry.generation() != self.generation {
            self.keep(entry);
        }
    }

    /// Passes on what a snapshot has not got yet, and makes it current.
    pub(crate) fn settle(&self, entry: &Entry) {
        if entry.generation() != self.generation {
            self.keep(entry);
        }
    }

    /// To be called for an entry that comes into the table.
    #[inline]
    pub(crate) fn stamp(&self, entry: &Entry) {
        entry.set_generation(self.generation);
    }

    /// Whether any entry may be old that is to be passed on.
    pub(crate) fn is_running(&self) -> bool {
        self.snapshot.is_some_and(Snapshot::is_running)
    }

    /// Whether any entry may be old.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.snapshot
            .is_some_and(|snapshot| !snapshot.is_finished())
    }

    #[cold]
    fn keep(&self, entry: &Entry) {
        if let Some(snapshot) = self.snapshot
            && snapshot.is_running()
        {
            snapshot.pre_images.keep(self.db, entry);
        }
        self.stamp(entry);
    }
}

/// Where the walk of a snapshot is in a partition; at first at its start.
#[derive(Clone, Copy, Debug, Default)]
pub struct WalkCursor {
    db: usize,
    position: u64,
}

impl Partition {
    /// The snapshot that the partition has entered last; 0 before the first.
    #[inline]
    pub fn epoch(&self) -> u32 {
        self.snapshot().map_or(0, Snapshot::epoch)
    }

    /// Lets the partition take part in a snapshot, before anything in it is read by the walk or changed after the
    /// cut. Entering the one that it is in does nothing.
    ///
    /// # Panics
    /// If the partition has keys and is not in the snapshot before this one, or that one's walk is not
    /// finished: some entries would be taken for old that are not, and others the other way round.
    #[inline]
    pub fn enter(&mut self, snapshot: &Arc<Snapshot>) {
        if self.epoch() != snapshot.epoch {
            self.enter_next(snapshot);
        }
    }

    #[cold]
    fn enter_next(&mut self, snapshot: &Arc<Snapshot>) {
        let follows = snapshot.epoch == self.epoch().wrapping_add(1)
            && self.snapshot().is_none_or(Snapshot::is_finished);
        let is_empty = (0..self.databases()).all(|db| self.db(db).is_empty());
        assert!(
            follows || is_empty,
            "snapshot {} does not follow on {:?}",
            snapshot.epoch,
            self.snapshot()
        );
        self.set_snapshot(Arc::clone(snapshot));
    }

    /// Goes on with the walk of the snapshot from `cursor` until about `max_work` is done, passing the entries that
    /// it consists of on to `visit` with their databases, and making them current. Whether the end is
    /// reached; then the partition has nothing more for the snapshot.
    ///
    /// One unit of work is an entry looked at or 256 bytes passed on. One entry may be of any size.
    pub fn walk(
        &mut self,
        cursor: &mut WalkCursor,
        max_work: usize,
        mut visit: impl FnMut(usize, &Entry),
    ) -> bool {
        let mut left = max_work.max(1);
        while cursor.db < self.databases() {
            let marks = Marks::new(self.snapshot(), cursor.db);
            let (running, mut work) = (marks.is_running(), 0);
            cursor.position = self.db(cursor.db).walk(cursor.position, left, |entry| {
                let mut cost = 1;
                if entry.generation() != marks.generation {
                    if running {
                        visit(cursor.db, entry);
                        cost += entry.len_bytes() / WALK_BYTES;
                    }
                    marks.stamp(entry);
                }
                work += cost;
                cost
            });
            if cursor.position != 0 {
                return false;
            }
            cursor.db += 1;
            left = left.saturating_sub(work);
            if left == 0 {
                break;
            }
        }
        cursor.db >= self.databases()
    }
}
