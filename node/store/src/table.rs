//! The table: a directory of segments in hash order.
//!
//! # The shape
//! A small table is one [`Segment`]. When that has reached its largest size it splits in two by the first
//! bit of the hash, and so on: extendible hashing, most significant bits first. A directory finds the
//! segment by the first bits; a segment of fewer bits than the directory resolves stands in the first of
//! its places, and the others are aliases:
//!
//! ```text
//! place      000   001   010   011   100   101   110   111        3 bits
//! node     | S 00      | S 010 S 011| S 1                 |
//!            ^     |                  ^     |     |     |
//!            +-----+ alias            +-----+-----+-----+
//! ```
//!
//! A directory of the greatest size does not double any more; a segment below it that must split becomes
//! a directory of its own. So no step ever takes longer than one split, one merge or one doubling of a
//! bounded directory, at any number of entries: there is no rehash of the table.
//!
//! # SCAN: the problem
//! SCAN walks a table over many calls, between which the client writes. Whatever is in the table from the
//! first call to the last must be returned, though the table grows and shrinks meanwhile, and the server
//! may remember nothing but the cursor that the client carries.
//!
//! # The idea
//! The whole table is in the order of the hash: directories and segments divide it by its leading bits,
//! and segments sort by the bits that follow. So a cursor is simply a position in hash space. It
//! says: every entry whose hash is below has been returned, everything from here on has not.
//!
//! # Why it is right
//! An entry's hash never changes. Splitting, merging, growing and shrinking move entries in memory, but
//! not in hash order; so they cannot carry an entry from one side of a cursor to the other. An entry that
//! stays through the scan is returned by the call whose range of positions has its hash, exactly once,
//! but for one case: segments sort by 19 bits after their prefix, and entries that agree in
//! those are returned together, with the cursor set after them. A cursor that was set by a deep segment
//! is rounded down by a shallower one that took its place, and returns up to a few entries again; never
//! too few. Each call ends at a greater position than it began at, so the scan ends. The deepest segment
//! resolves 29 + 19 bits, so a cursor needs 48.
//!
//! # What was rejected
//! * A cursor with reversed bits, as Redis's power-of-two tables have: it survives doubling
//!   and halving only, and during a rehash must visit two tables' worth of buckets per call.
//! * An index of buckets: it survives neither.
//! * Remembering scans in the server: clients abandon them.
//!
//! The walk of a snapshot (`snapshot`) goes by the same order.

use std::marker::PhantomData;

use crate::entry::{self, Entry, OwnedEntry};
use crate::geometry::{Geometry, Production};
use crate::hash::{HashSeed, KeyHash, TAG_BITS};
use crate::segment::Segment;
use crate::snapshot::Marks;

mod directory;
#[cfg(test)]
mod tests;

use directory::Directory;

/// Entries by key, in the order of the keys' hashes.
pub(crate) struct Table<G: Geometry = Production> {
    root: Root,
    geometry: PhantomData<G>,
}

enum Root {
    One(Segment),
    Many(Box<Many>),
}

struct Many {
    /// Entries in all segments.
    len: usize,
    /// Entries with an expiry in all segments.
    volatile: usize,
    directory: Directory,
}

/// What a table takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableStats {
    /// Entries.
    pub entries: usize,
    /// Entries with an expiry.
    pub volatile: usize,
    /// Segments.
    pub segments: usize,
    /// Places for entries in all segments.
    pub cells: usize,
    /// Memory of the segments' cells, bytes.
    pub cell_bytes: usize,
    /// Memory of the directory, bytes; 0 as long as there is one segment.
    pub directory_bytes: usize,
}

impl<G: Geometry> Table<G> {
    pub(crate) const fn new() -> Table<G> {
        Table {
            root: Root::One(Segment::new(0)),
            geometry: PhantomData,
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        match &self.root {
            Root::One(segment) => segment.len() as usize,
            Root::Many(many) => many.len,
        }
    }

    #[inline]
    pub(crate) fn volatile(&self) -> usize {
        match &self.root {
            Root::One(segment) => segment.volatile() as usize,
            Root::Many(many) => many.volatile,
        }
    }

    #[inline]
    pub(crate) fn get(&self, key: &[u8], hash: KeyHash) -> Option<&Entry> {
        let segment = self.segment(hash);
        segment.entry(segment.find(hash, key)?)
    }

    /// Changes the entry of `key` by `update` if there is one, else inserts what `create` makes.
    /// Gives the entry, and whether it was created.
    #[inline]
    pub(crate) fn upsert<E>(
        &mut self,
        key: &[u8],
        hash: KeyHash,
        (seed, marks): (&HashSeed, &Marks<'_>),
        update: impl FnOnce(&mut OwnedEntry),
        create: impl FnOnce() -> Result<OwnedEntry, E>,
    ) -> Result<(&Entry, bool), E> {
        let changed = self.change(key, hash, marks, |entry| {
            update(entry);
            entry.as_raw()
        });
        let raw = match changed {
            Some(raw) => raw,
            None => {
                let entry = create()?;
                let raw = entry.as_raw();
                self.insert_new(entry, hash, (seed, marks));
                raw
            }
        };
        // SAFETY: the entry is in the table, which is borrowed as long as the reference lives.
        Ok((unsafe { entry::entry_at(raw) }, changed.is_none()))
    }

    /// Lets `change` change the entry of `key`, if there is one; not its key.
    #[inline]
    pub(crate) fn change<R>(
        &mut self,
        key: &[u8],
        hash: KeyHash,
        marks: &Marks<'_>,
        change: impl FnOnce(&mut OwnedEntry) -> R,
    ) -> Option<R> {
        let segment = self.segment_mut(hash);
        let index = segment.find(hash, key)?;
        let before = segment.volatile();
        let result = segment.change(index, |entry| {
            marks.before_change(entry);
            change(entry)
        });
        let after = segment.volatile();
        if let Root::Many(many) = &mut self.root
            && before != after
        {
            many.volatile = many.volatile + after as usize - before as usize;
        }
        Some(result)
    }

    /// Inserts an entry whose key is not in the table.
    pub(crate) fn insert_new(
        &mut self,
        entry: OwnedEntry,
        hash: KeyHash,
        (seed, marks): (&HashSeed, &Marks<'_>),
    ) {
        marks.stamp(&entry);
        let volatile = entry.expire_at().is_some();
        let mut waiting = entry;
        while let Err(entry) = self.segment_mut(hash).insert(hash, waiting) {
            waiting = entry;
            self.make_room(hash, seed);
        }
        if let Root::Many(many) = &mut self.root {
            many.len += 1;
            many.volatile += usize::from(volatile);
        }
    }

    pub(crate) fn remove(
        &mut self,
        key: &[u8],
        hash: KeyHash,
        marks: &Marks<'_>,
    ) -> Option<OwnedEntry> {
        let segment = self.segment_mut(hash);
        let index = segment.find(hash, key)?;
        let entry = segment.remove(index);
        marks.before_change(&entry);
        let sparse = segment.is_sparse();
        self.note_removed(1, usize::from(entry.expire_at().is_some()));
        if sparse {
            self.contract(hash);
        }
        Some(entry)
    }

    /// The segment where `hash` belongs.
    #[inline]
    pub(crate) fn segment(&self, hash: KeyHash) -> &Segment {
        match &self.root {
            Root::One(segment) => segment,
            Root::Many(many) => many.directory.segment(hash),
        }
    }

    /// The segment where `hash` belongs. Whoever removes entries from it says so by
    /// [`Table::note_removed`] and calls [`Table::contract`] if it has become sparse.
    #[inline]
    pub(crate) fn segment_mut(&mut self, hash: KeyHash) -> &mut Segment {
        match &mut self.root {
            Root::One(segment) => segment,
            Root::Many(many) => many.directory.segment_mut(hash),
        }
    }

    /// Counts entries that were removed from a segment directly, `volatile` of them with an expiry.
    pub(crate) fn note_removed(&mut self, entries: usize, volatile: usize) {
        if let Root::Many(many) = &mut self.root {
            many.len -= entries;
            many.volatile -= volatile;
        }
    }

    /// Merges the segment of `hash` with its buddy if both are small, else shrinks it.
    pub(crate) fn contract(&mut self, hash: KeyHash) {
        if let Root::Many(many) = &mut self.root
            && let Some(only) = many.directory.merge::<G>(hash)
        {
            self.root = Root::One(only);
        }
        let segment = self.segment_mut(hash);
        if segment.is_sparse() {
            segment.shrink();
        }
    }

    /// The segment that has `position`, and the first position after it unless it is the last one.
    pub(crate) fn segment_at(&self, position: u64) -> (&Segment, Option<u64>) {
        let segment = self.segment(KeyHash(position));
        (segment, position_after(position, segment.depth()))
    }

    /// Takes the segment that has `position` out of the table, leaving an empty one.
    pub(crate) fn take_segment_at(&mut self, position: u64) -> Segment {
        let segment = self.segment_mut(KeyHash(position));
        let taken = std::mem::replace(segment, Segment::new(segment.depth()));
        self.note_removed(taken.len() as usize, taken.volatile() as usize);
        taken
    }

    pub(crate) fn stats(&self) -> TableStats {
        let mut stats = TableStats {
            entries: self.len(),
            volatile: self.volatile(),
            directory_bytes: match &self.root {
                Root::One(_) => 0,
                Root::Many(many) => size_of::<Many>() + many.directory.heap_bytes(),
            },
            ..TableStats::default()
        };
        let mut position = Some(0);
        while let Some(at) = position {
            let (segment, next) = self.segment_at(at);
            stats.segments += 1;
            stats.cells += segment.capacity() as usize;
            position = next;
        }
        stats.cell_bytes = stats.cells * 8;
        stats
    }

    fn make_room(&mut self, hash: KeyHash, seed: &HashSeed) {
        let segment = self.segment_mut(hash);
        let at_maximum = segment.capacity() >= G::SEGMENT_MAX
            && segment.len() >= segment.capacity() / 2
            && segment.depth() < G::DEPTH_MAX;
        if !at_maximum {
            return segment.grow();
        }
        match &mut self.root {
            Root::Many(many) => many.directory.split::<G>(hash, seed),
            Root::One(segment) => {
                let (len, volatile) = (segment.len() as usize, segment.volatile() as usize);
                let only = std::mem::replace(segment, Segment::new(0));
                let directory = Directory::of_split(only, seed);
                self.root = Root::Many(Box::new(Many {
                    len,
                    volatile,
                    directory,
                }));
            }
        }
    }
}

/// The first position after a segment of `depth` that has `position`; none after the last one.
fn position_after(position: u64, depth: u8) -> Option<u64> {
    if depth == 0 {
        return None;
    }
    let width = 1u64 << (64 - u32::from(depth));
    (position & !(width - 1)).checked_add(width)
}

/// The position at which `tag` begins in a segment of `depth` that has `position`.
pub(crate) fn position_of_tag(position: u64, depth: u8, tag: u32) -> u64 {
    let prefix = if depth == 0 {
        0
    } else {
        position >> (64 - u32::from(depth))
    };
    ((prefix << TAG_BITS) | u64::from(tag)) << (64 - TAG_BITS - u32::from(depth))
}
