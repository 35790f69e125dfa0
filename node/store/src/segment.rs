//! A segment: entries in hash order, by ordered linear probing.
//!
//! # The problem
//! A table of one allocation per entry needs an array of pointers. Chains cost a pointer more per entry;
//! open addressing with metadata bytes (9 bytes a place, a power of two of places, 7/8 full at most)
//! comes to 14 to 18 bytes an entry on average, must rehash every key to grow, and scatters the keys so
//! that an iteration loses its place when it does.
//!
//! # The idea
//! Keep the entries sorted by hash. An entry's home is its hash scaled to the number of homes, so that
//! sorted order and home order are the same, and whatever is displaced is displaced to the right:
//!
//! ```text
//! tags        02  13       31  33  35       58      7a
//! homes       0   1        3   3   3        5       7
//! cells     | 02 | 13 |   | 31 | 33 | 35 |   | 58 | 7a |
//!                                 ^ the home of 33 is one cell to its left
//! ```
//!
//! Two invariants make it work: tags never fall from left to right, and there is no empty cell between an
//! entry and its home. So a lookup walks from the home until it meets its tag, a greater tag or an empty
//! cell; that is what Robin Hood hashing does too, without storing distances. Inserting moves the run that
//! follows one cell to the right, deleting moves it back: a memmove of some cells.
//!
//! The tag in the cell tells the home at any capacity. Therefore growing and shrinking, in the steps of
//! the allocator's size classes rather than by doubling, is one pass over the cells that touches no entry;
//! the load stays between 0.7 and 0.875, and the overhead at 9.1 to 11.4 bytes an entry.
//!
//! # What if the hash is bad
//! If many tags are equal, the cells after their home run out while others are empty. The segment grows,
//! and if that does not help becomes [`Spread::Dense`]: a sorted array with one home, which takes any
//! entries, at a linear cost. With an honest hash this does not happen; but nothing breaks if it does.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::ptr::NonNull;
use std::slice;

use crate::cell::Cell;
use crate::entry::{Entry, OwnedEntry};
use crate::geometry;
use crate::hash::{HashSeed, KeyHash, TAG_BITS};
use crate::prefetch::prefetch;

/// How many cells ahead of a walk over all entries their memory is prefetched: enough to cover a miss.
const PREFETCH_DISTANCE: usize = 12;

/// Cells of a walk that are looked at together: most walks end within them.
const WALK_CELLS: usize = 4;

/// How many capacities beyond the wanted one are tried before a segment becomes dense.
const HASHED_ATTEMPTS: u32 = 3;

/// Entries whose hashes share their first `depth` bits, sorted by the [`TAG_BITS`] bits after these.
pub(crate) struct Segment {
    /// `capacity` cells; dangling if there are none.
    cells: NonNull<Cell>,
    capacity: u32,
    /// Cells that are not empty.
    len: u32,
    /// Cells whose entry has an expiry.
    volatile: u32,
    depth: u8,
    spread: Spread,
}

/// How entries lie in their cells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Spread {
    /// At their home or to its right, by the number of homes that the capacity gives.
    Hashed,
    /// From the first cell on, without gaps: one home.
    Dense,
}

// SAFETY: a segment owns its cells and their entries alone, and entries are Send.
unsafe impl Send for Segment {}

impl Segment {
    /// A segment without entries or memory.
    pub(crate) const fn new(depth: u8) -> Segment {
        Segment {
            cells: NonNull::dangling(),
            capacity: 0,
            len: 0,
            volatile: 0,
            depth,
            spread: Spread::Hashed,
        }
    }

    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    pub(crate) fn volatile(&self) -> u32 {
        self.volatile
    }

    pub(crate) fn capacity(&self) -> u32 {
        self.capacity
    }

    pub(crate) fn depth(&self) -> u8 {
        self.depth
    }

    /// The cell of `key`.
    #[inline]
    pub(crate) fn find(&self, hash: KeyHash, key: &[u8]) -> Option<usize> {
        let tag = hash.tag(self.depth);
        let mut index = self.first_from(tag);
        while let Some(cell) = self.cells().get(index)
            && !cell.is_empty()
            && cell.tag() == tag
        {
            // SAFETY: the cell is not empty, and the reference ends before anything changes.
            if unsafe { cell.entry() }.key() == key {
                return Some(index);
            }
            index += 1;
        }
        None
    }

    /// The first cell from the home of `tag` on that is empty or has this tag or a greater one. This is
    /// where the walk of every lookup is.
    #[inline]
    fn first_from(&self, tag: u32) -> usize {
        let mut index = self.home(tag);
        // How far a walk goes cannot be predicted; so it is counted over several cells at a time. No cell
        // beyond the end of the walk is counted: tags never fall, and after a gap they are greater.
        while let Some(cells) = self.cells().get(index..index + WALK_CELLS) {
            let passed: usize = cells
                .iter()
                .map(|cell| usize::from(cell.is_before(tag)))
                .sum();
            index += passed;
            if passed < WALK_CELLS {
                return index;
            }
        }
        while self
            .cells()
            .get(index)
            .is_some_and(|cell| cell.is_before(tag))
        {
            index += 1;
        }
        index
    }

    /// The entry in cell `index`, if there is one.
    #[inline]
    pub(crate) fn entry(&self, index: usize) -> Option<&Entry> {
        let cell = self.cells().get(index).filter(|cell| !cell.is_empty())?;
        // SAFETY: the cell is not empty, and self, which owns the entry, is borrowed as long.
        Some(unsafe { cell.entry() })
    }

    /// Starts to load the cells where `hash` would be.
    #[inline]
    pub(crate) fn prefetch_cells(&self, hash: KeyHash) {
        let cell = self
            .cells
            .as_ptr()
            .wrapping_add(self.home(hash.tag(self.depth)));
        prefetch(cell);
        // At full load a walk takes four cells on average: the next line is needed half the time.
        prefetch(cell.wrapping_add(6));
    }

    /// Starts to load the entry that has the tag of `hash`, most probably the wanted one.
    #[inline]
    pub(crate) fn prefetch_entry(&self, hash: KeyHash) {
        let tag = hash.tag(self.depth);
        if let Some(&cell) = self.cells().get(self.first_from(tag))
            && cell.tag() == tag
        {
            // The header and key, and what follows in the next line.
            prefetch(cell.address());
            prefetch(cell.address().wrapping_byte_add(64));
        }
    }

    /// Puts an entry, whose key is not in the segment yet, in its place; gives it back if there is no room.
    pub(crate) fn insert(&mut self, hash: KeyHash, entry: OwnedEntry) -> Result<(), OwnedEntry> {
        if self.len >= self.max_len() {
            return Err(entry);
        }
        let tag = hash.tag(self.depth);
        let (home, cells) = (self.home(tag), self.cells_mut());
        let place = home
            + cells[home..]
                .iter()
                .take_while(|cell| !cell.is_empty() && cell.tag() <= tag)
                .count();
        let Some(run) = cells[place..].iter().position(|cell| cell.is_empty()) else {
            return Err(entry);
        };
        cells.copy_within(place..place + run, place + 1);
        let cell = Cell::new(entry, tag);
        cells[place] = cell;
        self.len += 1;
        self.volatile += u32::from(cell.has_expiry());
        Ok(())
    }

    /// Takes the entry of cell `index`, which is not empty, out of the segment. The segment does not
    /// shrink: see [`Segment::is_sparse`].
    pub(crate) fn remove(&mut self, index: usize) -> OwnedEntry {
        let homes = self.homes();
        let cells = self.cells_mut();
        let cell = cells[index];
        assert!(!cell.is_empty(), "there is an entry to remove");
        // The run that follows moves back, up to an entry that is at its home.
        let run = cells[index + 1..]
            .iter()
            .zip(index + 1..)
            .take_while(|&(cell, at)| {
                !cell.is_empty() && (geometry::home(cell.tag(), homes) as usize) < at
            })
            .count();
        cells.copy_within(index + 1..index + 1 + run, index);
        cells[index + run] = Cell::EMPTY;
        self.len -= 1;
        self.volatile -= u32::from(cell.has_expiry());
        // SAFETY: the cell was not empty, and what was its place holds another one or none now.
        unsafe { cell.into_entry() }
    }

    /// Lets `change` change the entry of cell `index`, which is not empty; it may move the entry and set
    /// or remove its expiry, but not change its key.
    #[inline]
    pub(crate) fn change<R>(
        &mut self,
        index: usize,
        change: impl FnOnce(&mut OwnedEntry) -> R,
    ) -> R {
        let cell = self.cells()[index];
        assert!(!cell.is_empty(), "there is an entry to change");
        // SAFETY: the cell is not empty; CellUpdate puts the entry back before anyone looks at the cell,
        // even if `change` unwinds.
        let entry = ManuallyDrop::new(unsafe { cell.into_entry() });
        let mut update = CellUpdate {
            segment: self,
            index,
            entry,
        };
        change(&mut update.entry)
    }

    /// Whether so many entries have gone that the segment should shrink.
    pub(crate) fn is_sparse(&self) -> bool {
        geometry::is_sparse(self.len, self.capacity)
    }

    /// Gives the segment the capacity that its entries need.
    pub(crate) fn shrink(&mut self) {
        self.rebuild(geometry::capacity_for(self.len));
    }

    /// Makes room where an insertion found none, by as little as helps.
    pub(crate) fn grow(&mut self) {
        // An overflow at the end although half of the cells are empty: more cells would not help.
        if self.spread == Spread::Hashed && self.len < self.capacity / 2 {
            let dense = Segment::build_dense(self.depth, self.capacity, self.occupied());
            self.replace(dense);
        } else {
            self.rebuild(geometry::next_capacity(self.capacity));
        }
    }

    /// Divides the segment by the first bit of the tags, in hash order. Rehashes every key.
    pub(crate) fn split(mut self, seed: &HashSeed) -> (Segment, Segment) {
        let depth = self.depth + 1;
        let expected = self.len as usize / 2 + self.len as usize / 16 + 1;
        let mut halves = [Vec::with_capacity(expected), Vec::with_capacity(expected)];
        self.for_each_prefetched(|cell| {
            // SAFETY: the cell is not empty, and the reference ends here.
            let hash = seed.hash(unsafe { cell.entry() }.key());
            let upper = cell.tag() >> (TAG_BITS - 1);
            halves[upper as usize].push(cell.with_tag(hash.tag(depth)));
        });
        self.release_cells();
        let [lower, upper] = halves.map(|mut cells| {
            // Only neighbours whose old tags were equal can be out of order.
            cells.sort_by_key(|cell| cell.tag());
            Segment::build(
                depth,
                geometry::capacity_for(cells.len() as u32),
                cells.iter().copied(),
            )
        });
        (lower, upper)
    }

    /// Joins two segments that a split made, or could have made. Touches no entry.
    pub(crate) fn merge(mut lower: Segment, mut upper: Segment) -> Segment {
        let upper_half = 1 << (TAG_BITS - 1);
        let cells = lower
            .occupied()
            .map(|cell| cell.with_tag(cell.tag() >> 1))
            .chain(
                upper
                    .occupied()
                    .map(|cell| cell.with_tag(upper_half | cell.tag() >> 1)),
            );
        let capacity = geometry::capacity_for(lower.len + upper.len);
        let merged = Segment::build(lower.depth - 1, capacity, cells);
        lower.release_cells();
        upper.release_cells();
        merged
    }

    /// The first cell that may have a tag of `tag` or more.
    pub(crate) fn home(&self, tag: u32) -> usize {
        geometry::home(tag, self.homes()) as usize
    }

    /// The cells, in hash order with gaps.
    #[inline]
    pub(crate) fn cells(&self) -> &[Cell] {
        // SAFETY: `cells` points to `capacity` initialised cells, or dangles while capacity is 0.
        unsafe { slice::from_raw_parts(self.cells.as_ptr(), self.capacity as usize) }
    }

    /// Starts to load the entry of cell `index`, if there are such a cell and entry.
    pub(crate) fn prefetch_at(&self, index: usize) {
        if let Some(&cell) = self.cells().get(index) {
            prefetch(cell.address());
        }
    }

    /// Starts to load those entries of the cells in `range` that have an expiry.
    pub(crate) fn prefetch_volatile(&self, range: Range<usize>) {
        for &cell in self.cells().iter().take(range.end).skip(range.start) {
            if cell.has_expiry() {
                prefetch(cell.address());
            }
        }
    }

    fn cells_mut(&mut self) -> &mut [Cell] {
        // SAFETY: as in cells(), and self is borrowed mutably.
        unsafe { slice::from_raw_parts_mut(self.cells.as_ptr(), self.capacity as usize) }
    }

    #[inline]
    fn homes(&self) -> u32 {
        match self.spread {
            Spread::Hashed => geometry::homes(self.capacity),
            Spread::Dense => 1,
        }
    }

    fn max_len(&self) -> u32 {
        match self.spread {
            Spread::Hashed => geometry::max_len(self.capacity),
            Spread::Dense => self.capacity,
        }
    }

    /// The cells that are not empty, in hash order.
    fn occupied(&self) -> impl Iterator<Item = Cell> + Clone {
        self.cells().iter().copied().filter(|cell| !cell.is_empty())
    }

    /// Visits the cells that are not empty, prefetching their entries well ahead.
    fn for_each_prefetched(&self, mut visit: impl FnMut(Cell)) {
        let mut ahead = self.occupied().skip(PREFETCH_DISTANCE);
        for cell in self.occupied() {
            if let Some(ahead) = ahead.next() {
                // The header and most keys: one line, or two where the entry stands across.
                prefetch(ahead.address());
                prefetch(ahead.address().wrapping_byte_add(40));
            }
            visit(cell);
        }
    }

    fn rebuild(&mut self, capacity: u32) {
        let rebuilt = Segment::build(self.depth, capacity, self.occupied());
        self.replace(rebuilt);
    }

    /// Becomes `rebuilt`, which has all its entries.
    fn replace(&mut self, rebuilt: Segment) {
        self.release_cells();
        *self = rebuilt;
    }

    /// A segment with copies of these cells, sorted by tag, in `capacity` cells, or more if they do not
    /// fit. The caller gives up the originals.
    fn build(depth: u8, capacity: u32, cells: impl Iterator<Item = Cell> + Clone) -> Segment {
        let mut attempt = capacity;
        for _ in 0..HASHED_ATTEMPTS {
            let mut segment = Segment::with_capacity(depth, attempt, Spread::Hashed);
            if segment.place(cells.clone()) {
                return segment;
            }
            attempt = geometry::next_capacity(attempt);
        }
        Segment::build_dense(depth, capacity, cells)
    }

    fn build_dense(depth: u8, capacity: u32, cells: impl Iterator<Item = Cell>) -> Segment {
        let mut segment = Segment::with_capacity(depth, capacity, Spread::Dense);
        let placed = segment.place(cells);
        assert!(placed, "a dense segment has a place for every cell");
        segment
    }

    /// Puts sorted cells in their places; whether all have one. If not, the segment is left empty.
    fn place(&mut self, cells: impl Iterator<Item = Cell>) -> bool {
        let (homes, places) = (self.homes(), self.cells_mut());
        let (mut len, mut volatile, mut next) = (0, 0, 0);
        for cell in cells {
            let place = next.max(geometry::home(cell.tag(), homes) as usize);
            let Some(free) = places.get_mut(place) else {
                places.fill(Cell::EMPTY);
                return false;
            };
            *free = cell;
            next = place + 1;
            len += 1;
            volatile += u32::from(cell.has_expiry());
        }
        (self.len, self.volatile) = (len, volatile);
        #[cfg(test)]
        tests::count_moved(len);
        true
    }

    fn with_capacity(depth: u8, capacity: u32, spread: Spread) -> Segment {
        let mut segment = Segment::new(depth);
        if capacity > 0 {
            let layout = layout(capacity);
            // SAFETY: the layout is not empty.
            let cells = unsafe { alloc_zeroed(layout) };
            // All bits zero is an empty cell.
            segment.cells =
                NonNull::new(cells.cast()).unwrap_or_else(|| handle_alloc_error(layout));
        }
        (segment.capacity, segment.spread) = (capacity, spread);
        segment
    }

    /// Frees the cells, but not their entries, which others own by now.
    fn release_cells(&mut self) {
        if self.capacity > 0 {
            // SAFETY: allocated with this layout; the segment no longer refers to it afterwards.
            unsafe { dealloc(self.cells.as_ptr().cast(), layout(self.capacity)) };
        }
        self.cells = NonNull::dangling();
        (self.capacity, self.len, self.volatile) = (0, 0, 0);
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.for_each_prefetched(|cell| {
            // SAFETY: the cell is not empty and owns its entry; it is not looked at again.
            drop(unsafe { cell.into_entry() });
        });
        self.release_cells();
    }
}

/// An entry on loan from its cell, which is brought up to date when the loan ends.
struct CellUpdate<'a> {
    segment: &'a mut Segment,
    index: usize,
    entry: ManuallyDrop<OwnedEntry>,
}

impl Drop for CellUpdate<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the entry is taken once, here.
        let entry = unsafe { ManuallyDrop::take(&mut self.entry) };
        let old = self.segment.cells()[self.index];
        let new = Cell::new(entry, old.tag());
        // Most changes leave entry and expiry where they are; then the line of the cell stays clean. (An
        // entry moves once a change at most, so that an equal address is the same allocation.)
        if new != old {
            self.segment.cells_mut()[self.index] = new;
            self.segment.volatile += u32::from(new.has_expiry());
            self.segment.volatile -= u32::from(old.has_expiry());
        }
    }
}

fn layout(capacity: u32) -> Layout {
    match Layout::array::<Cell>(capacity as usize) {
        Ok(layout) => layout,
        Err(_) => handle_alloc_error(Layout::new::<Cell>()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::cell::Cell as Counter;

    thread_local! {
        static MOVED: Counter<usize> = const { Counter::new(0) };
    }

    /// Counts cells that a rebuild, split or merge has moved.
    pub(super) fn count_moved(cells: u32) {
        MOVED.with(|moved| moved.set(moved.get() + cells as usize));
    }

    /// Cells moved on this thread since the last call.
    pub(crate) fn take_moved() -> usize {
        MOVED.with(Counter::take)
    }

    impl Segment {
        /// Panics unless the invariants hold.
        pub(crate) fn check(&self) {
            let homes = self.homes();
            let mut last_tag = 0;
            let (mut len, mut volatile, mut gap_at) = (0, 0, None);
            for (index, cell) in self.cells().iter().enumerate() {
                if cell.is_empty() {
                    gap_at = Some(index);
                    continue;
                }
                let home = geometry::home(cell.tag(), homes) as usize;
                assert!(cell.tag() >= last_tag, "sorted");
                assert!(
                    home <= index && gap_at.is_none_or(|gap| gap < home),
                    "no gap after the home"
                );
                last_tag = cell.tag();
                len += 1;
                volatile += u32::from(cell.has_expiry());
                // SAFETY: the cell is not empty, and the reference ends here.
                let has_expiry = unsafe { cell.entry() }.expire_at().is_some();
                assert_eq!(cell.has_expiry(), has_expiry);
            }
            assert_eq!((self.len, self.volatile), (len, volatile));
        }
    }

    fn entry(id: u64) -> OwnedEntry {
        OwnedEntry::int(
            &id.to_le_bytes(),
            id as i64,
            id.is_multiple_of(3).then_some(1),
        )
        .unwrap()
    }

    /// Inserts into one segment whatever the hashes are, removes every other entry, and looks at all.
    fn exercise(hash: impl Fn(u64) -> KeyHash, count: u64) {
        let mut segment = Segment::new(0);
        for id in 0..count {
            let mut waiting = Some(entry(id));
            while let Some(entry) = waiting.take() {
                if let Err(entry) = segment.insert(hash(id), entry) {
                    segment.grow();
                    waiting = Some(entry);
                }
            }
        }
        segment.check();
        for id in (0..count).step_by(2) {
            let index = segment.find(hash(id), &id.to_le_bytes()).unwrap();
            assert_eq!(segment.remove(index).key(), id.to_le_bytes());
            if segment.is_sparse() {
                segment.shrink();
            }
        }
        segment.check();
        for id in 0..count {
            assert_eq!(
                segment.find(hash(id), &id.to_le_bytes()).is_some(),
                id % 2 == 1
            );
        }
    }

    #[test]
    fn any_hash_will_do() {
        let count = if cfg!(miri) { 60 } else { 1000 };
        let seed = HashSeed::new(1, 2);
        exercise(|id| seed.hash(&id.to_le_bytes()), count);
        exercise(|_| KeyHash(0), count);
        exercise(|_| KeyHash(u64::MAX), count);
        exercise(|id| KeyHash((id % 3) << 62), count);
        exercise(|id| KeyHash(id << 50), count);
        exercise(|id| KeyHash((id << 50).reverse_bits()), count);
    }

    #[test]
    fn a_segment_is_small() {
        assert_eq!(size_of::<Segment>(), 24);
    }
}
