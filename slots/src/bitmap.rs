//! A set of slots.

use std::fmt;

use crate::{SLOT_COUNT, Slot, SlotRange, SlotRanges};

/// The size of a [`SlotBitmap`] in bytes.
pub const SLOT_BYTES: usize = SLOT_COUNT / 8;

/// A set of slots in the layout of the cluster bus: slot `s` is bit `s % 8` of byte `s / 8`.
#[derive(Clone, PartialEq, Eq)]
pub struct SlotBitmap([u8; SLOT_BYTES]);

impl SlotBitmap {
    /// The empty set.
    pub const fn new() -> Self {
        Self([0; SLOT_BYTES])
    }

    /// The set of all slots.
    pub const fn full() -> Self {
        Self([0xff; SLOT_BYTES])
    }

    /// The set that these bytes of a bus frame stand for.
    pub const fn from_bytes(bytes: [u8; SLOT_BYTES]) -> Self {
        Self(bytes)
    }

    /// The set as it stands in a bus frame.
    pub const fn as_bytes(&self) -> &[u8; SLOT_BYTES] {
        &self.0
    }

    /// Whether the slot is in the set.
    #[inline]
    pub fn get(&self, slot: Slot) -> bool {
        self.0[slot.index() / 8] & (1 << (slot.index() % 8)) != 0
    }

    /// Puts a slot into the set; true if it was not there.
    #[inline]
    pub fn set(&mut self, slot: Slot) -> bool {
        let added = !self.get(slot);
        self.0[slot.index() / 8] |= 1 << (slot.index() % 8);
        added
    }

    /// Takes a slot out of the set; true if it was there.
    #[inline]
    pub fn clear(&mut self, slot: Slot) -> bool {
        let removed = self.get(slot);
        self.0[slot.index() / 8] &= !(1 << (slot.index() % 8));
        removed
    }

    /// Puts a run of slots into the set.
    pub fn set_range(&mut self, range: SlotRange) {
        range.iter().for_each(|slot| {
            self.set(slot);
        });
    }

    /// How many slots the set has.
    pub fn count(&self) -> usize {
        self.words().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether the set has no slot.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|&byte| byte == 0)
    }

    /// The slots of the set in ascending order.
    pub fn iter(&self) -> SlotIter<'_> {
        SlotIter {
            bitmap: self,
            word: 0,
            rest: self.word(0),
        }
    }

    /// The slots of the set as its maximal runs, in ascending order.
    pub fn ranges(&self) -> SlotRanges<'_> {
        SlotRanges::new(self)
    }

    /// The slots that are in both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at] & other.0[at]))
    }

    /// The slots of this set that are not in the other.
    pub fn difference(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at] & !other.0[at]))
    }

    fn words(&self) -> impl Iterator<Item = u64> + '_ {
        (0..SLOT_BYTES / 8).map(|at| self.word(at))
    }

    /// Slots `64 * at ..` as the bits of a word, the lowest slot in the lowest bit.
    #[inline]
    fn word(&self, at: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[at * 8..at * 8 + 8]);
        u64::from_le_bytes(bytes)
    }
}

impl Default for SlotBitmap {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SlotBitmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(
                self.ranges()
                    .map(|range| format_args!("{range}").to_string()),
            )
            .finish()
    }
}

impl FromIterator<Slot> for SlotBitmap {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> Self {
        let mut set = Self::new();
        set.extend(slots);
        set
    }
}

impl Extend<Slot> for SlotBitmap {
    fn extend<I: IntoIterator<Item = Slot>>(&mut self, slots: I) {
        slots.into_iter().for_each(|slot| {
            self.set(slot);
        });
    }
}

impl<'a> IntoIterator for &'a SlotBitmap {
    type Item = Slot;
    type IntoIter = SlotIter<'a>;

    fn into_iter(self) -> SlotIter<'a> {
        self.iter()
    }
}

/// The slots of a [`SlotBitmap`] in ascending order.
#[derive(Clone, Debug)]
pub struct SlotIter<'a> {
    bitmap: &'a SlotBitmap,
    /// Which word `rest` comes from.
    word: usize,
    /// The bits of that word that are still to be given.
    rest: u64,
}

impl Iterator for SlotIter<'_> {
    type Item = Slot;

    fn next(&mut self) -> Option<Slot> {
        while self.rest == 0 {
            self.word += 1;
            if self.word >= SLOT_BYTES / 8 {
                self.word = SLOT_BYTES / 8;
                return None;
            }
            self.rest = self.bitmap.word(self.word);
        }
        let bit = self.rest.trailing_zeros() as usize;
        self.rest &= self.rest - 1;
        Slot::new((self.word * 64 + bit) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(number: u16) -> Slot {
        Slot::new(number).unwrap()
    }

    #[test]
    fn bits_lie_as_on_the_bus() {
        let mut set = SlotBitmap::new();
        assert!(set.set(slot(0)));
        assert!(set.set(slot(9)));
        assert!(set.set(slot(16383)));
        assert!(!set.set(slot(9)), "a second time changes nothing");
        assert_eq!(
            (set.as_bytes()[0], set.as_bytes()[1], set.as_bytes()[2047]),
            (1, 2, 128)
        );
        assert_eq!(set.iter().map(Slot::get).collect::<Vec<_>>(), [0, 9, 16383]);
        assert!(set.clear(slot(9)));
        assert!(!set.clear(slot(9)));
        assert_eq!(set.count(), 2);
    }

    #[test]
    fn the_full_set_has_every_slot_once() {
        let full = SlotBitmap::full();
        assert_eq!(full.count(), SLOT_COUNT);
        assert!(full.iter().eq(Slot::all()));
        let mut it = full.iter();
        it.by_ref().for_each(drop);
        assert_eq!(it.next(), None, "an ended iterator stays at its end");
    }

    #[test]
    fn the_empty_set_has_none() {
        assert!(SlotBitmap::new().is_empty());
        assert_eq!(SlotBitmap::default().iter().next(), None);
        assert!(!SlotBitmap::full().is_empty());
    }

    #[test]
    fn set_arithmetic() {
        let a: SlotBitmap = [1, 2, 3].map(slot).into_iter().collect();
        let b: SlotBitmap = [2, 3, 4].map(slot).into_iter().collect();
        assert_eq!(a.intersection(&b), [2, 3].map(slot).into_iter().collect());
        assert_eq!(a.difference(&b), [slot(1)].into_iter().collect());
        assert_eq!(format!("{a:?}"), r#"{"1-3"}"#);
    }
}
