//! The active expiry cycle: deleting expired entries that nobody asks for.
//!
//! Whether an entry has an expiry stands in its cell, so the cycle walks over cells, eight to a cache
//! line, and touches only the entries that can expire. It needs no second table of expiries. Its
//! position is one in hash space, as SCAN's is, and so survives whatever happens between calls.

use crate::entry::OwnedEntry;
use crate::geometry::{CURSOR_BITS, Geometry};
use crate::hash::KeyHash;
use crate::snapshot::Marks;
use crate::table::{Table, position_of_tag};

/// Cells that cost as much to walk over as one entry to look at.
const CELLS_PER_ENTRY: usize = 16;

/// Cells whose entries are prefetched before they are looked at.
const BATCH_CELLS: usize = 16;

/// What a call of the expiry cycle did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExpireStats {
    /// Entries with an expiry that were looked at.
    pub examined: usize,
    /// Entries that were expired and are deleted.
    pub expired: usize,
    /// The work done, of `max_work`: one for an entry looked at or for 16 cells walked over.
    pub work: usize,
}

impl<G: Geometry> Table<G> {
    /// Deletes expired entries from `cursor` on until `max_work` is done or the end is reached, and sets
    /// the cursor to where to go on: 0 after the end. Always gets on by at least one entry or segment.
    pub(crate) fn expire_cycle(
        &mut self,
        cursor: &mut u64,
        now_ms: i64,
        max_work: usize,
        marks: &Marks<'_>,
        mut on_expired: impl FnMut(OwnedEntry),
    ) -> ExpireStats {
        let mut on_expired = |entry: OwnedEntry| {
            marks.before_change(&entry);
            on_expired(entry);
        };
        let shift = 64 - CURSOR_BITS;
        let mut stats = ExpireStats::default();
        let mut position = *cursor << shift;
        loop {
            let next = self.segment_at(position).1;
            let stopped =
                self.expire_segment(position, now_ms, max_work, &mut stats, &mut on_expired);
            match stopped.or(next) {
                None => *cursor = 0,
                Some(at) if stats.work >= max_work => *cursor = at >> shift,
                Some(at) => {
                    position = at;
                    continue;
                }
            }
            return stats;
        }
    }

    /// The cycle over the rest of the segment at `position`. Gives the position before which it stopped
    /// if the work was used up before the end.
    fn expire_segment(
        &mut self,
        position: u64,
        now_ms: i64,
        max_work: usize,
        stats: &mut ExpireStats,
        on_expired: &mut impl FnMut(OwnedEntry),
    ) -> Option<u64> {
        let hash = KeyHash(position);
        stats.work += 1;
        if self.segment(hash).volatile() == 0 {
            return None;
        }
        let depth = self.segment(hash).depth();
        let first = hash.tag(depth);
        let mut index = self.segment(hash).home(first);
        let mut batch_end = index;
        let (mut last, mut stopped) = (None, None);
        while let Some(&cell) = self.segment(hash).cells().get(index) {
            if index == batch_end {
                batch_end = index + BATCH_CELLS;
                stats.work += BATCH_CELLS / CELLS_PER_ENTRY;
                self.segment(hash).prefetch_volatile(index..batch_end);
            }
            if !cell.has_expiry() || cell.tag() < first {
                index += 1;
                continue;
            }
            if stats.work >= max_work && last.is_some_and(|last| last != cell.tag()) {
                stopped = Some(position_of_tag(position, depth, cell.tag()));
                break;
            }
            last = Some(cell.tag());
            stats.work += 1;
            stats.examined += 1;
            if self
                .segment(hash)
                .entry(index)
                .is_some_and(|entry| entry.is_expired(now_ms))
            {
                // What follows moves into this cell, or the cell is empty now: look at it again.
                let entry = self.segment_mut(hash).remove(index);
                self.note_removed(1, 1);
                stats.expired += 1;
                on_expired(entry);
            } else {
                index += 1;
            }
        }
        if self.segment(hash).is_sparse() {
            self.contract(hash);
        }
        stopped
    }
}
