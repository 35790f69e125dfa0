//! Walks over a table in hash order, and picking at random.

use rand::{Rng, RngCore};

use crate::cell::Cell;
use crate::entry::Entry;
use crate::geometry::{CURSOR_BITS, Geometry};
use crate::hash::KeyHash;
use crate::segment::Segment;
use crate::table::{Table, position_of_tag};

/// How many cells ahead a walk that looks at all entries prefetches them.
const PREFETCH_CELLS: usize = 8;

/// How often an empty cell is drawn before a random pick takes the next entry instead. At the usual
/// load, one draw in four fails.
const RANDOM_DRAWS: usize = 64;

impl<G: Geometry> Table<G> {
    /// Passes entries from `cursor` on to `visit`, about `count`; gives the cursor for the next call, or 0
    /// after the last entry. The contract is told in the `table` module.
    pub(crate) fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&Entry)) -> u64 {
        self.walk(cursor, count, |entry| {
            visit(entry);
            1
        })
    }

    /// As [`Table::scan`], until what `visit` says that the entries cost comes to `max_cost`.
    pub(crate) fn walk(
        &self,
        cursor: u64,
        max_cost: usize,
        mut visit: impl FnMut(&Entry) -> usize,
    ) -> u64 {
        let shift = 64 - CURSOR_BITS;
        let mut position = cursor << shift;
        let mut left = max_cost.max(1);
        loop {
            let (segment, next) = self.segment_at(position);
            let tag = KeyHash(position).tag(segment.depth());
            if let Some(tag) = scan_segment(segment, tag, &mut left, &mut visit) {
                return position_of_tag(position, segment.depth(), tag) >> shift;
            }
            match next {
                None => return 0,
                Some(next) if left == 0 => return next >> shift,
                Some(next) => position = next,
            }
        }
    }

    /// An entry, each about as likely as any other.
    pub(crate) fn random(&self, rng: &mut impl RngCore) -> Option<&Entry> {
        if self.len() == 0 {
            return None;
        }
        for _ in 0..RANDOM_DRAWS {
            let segment = self.segment(KeyHash(rng.next_u64()));
            if segment.capacity() == 0 {
                continue;
            }
            let index = rng.random_range(0..segment.capacity());
            if let Some(entry) = segment.entry(index as usize) {
                return Some(entry);
            }
        }
        self.iter().next()
    }

    pub(crate) fn iter(&self) -> Walk<'_, G> {
        let (segment, next) = self.segment_at(0);
        Walk {
            table: self,
            segment,
            next,
            index: 0,
        }
    }
}

/// Visits the entries from `tag` on until nothing is `left` of what they may cost; entries with equal tags together.
/// Gives the tag to go on with, or none at the end.
fn scan_segment(
    segment: &Segment,
    tag: u32,
    left: &mut usize,
    visit: &mut impl FnMut(&Entry) -> usize,
) -> Option<u32> {
    let mut last = None;
    for (index, cell) in segment.cells().iter().enumerate().skip(segment.home(tag)) {
        let Some(entry) = segment.entry(index).filter(|_| cell.tag() >= tag) else {
            continue;
        };
        if *left == 0 && last != Some(cell.tag()) {
            return Some(cell.tag());
        }
        segment.prefetch_at(index + PREFETCH_CELLS);
        *left = left.saturating_sub(visit(entry));
        last = Some(cell.tag());
    }
    None
}

/// All entries of a table, in hash order.
pub(crate) struct Walk<'a, G: Geometry> {
    table: &'a Table<G>,
    segment: &'a Segment,
    /// Where the segment after this one begins.
    next: Option<u64>,
    index: usize,
}

impl<'a, G: Geometry> Iterator for Walk<'a, G> {
    type Item = &'a Entry;

    fn next(&mut self) -> Option<&'a Entry> {
        loop {
            let rest: &[Cell] = self.segment.cells().get(self.index..).unwrap_or_default();
            if let Some(gap) = rest.iter().position(|cell| !cell.is_empty()) {
                let index = self.index + gap;
                self.index = index + 1;
                self.segment.prefetch_at(index + PREFETCH_CELLS);
                return self.segment.entry(index);
            }
            (self.segment, self.next) = self.table.segment_at(self.next?);
            self.index = 0;
        }
    }
}

/// All entries of a database, in hash order. See [`crate::Db::iter`].
pub struct Iter<'a>(pub(crate) Walk<'a, crate::geometry::Production>);

impl<'a> Iterator for Iter<'a> {
    type Item = &'a Entry;

    fn next(&mut self) -> Option<&'a Entry> {
        self.0.next()
    }
}
