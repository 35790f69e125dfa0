//! Who owns which slot.

use std::collections::BTreeMap;

use crate::{SLOT_COUNT, Slot, SlotBitmap};

static NO_SLOTS: SlotBitmap = SlotBitmap::new();

/// Slot to owner, and beside it the set and the count of each owner.
///
/// The two sides are changed only together, so that they cannot disagree (invariant 11 of a
/// cluster): a slot stands in exactly the set of its owner, or in none.
#[derive(Clone, Debug)]
pub struct SlotMap<T> {
    owners: Box<[Option<T>]>,
    /// Only owners of at least one slot are here.
    holdings: BTreeMap<T, Holding>,
    assigned: usize,
}

#[derive(Clone, Debug)]
struct Holding {
    slots: Box<SlotBitmap>,
    /// Always `slots.count()`.
    count: usize,
}

impl<T: Copy + Ord> SlotMap<T> {
    /// A map in which no slot has an owner.
    pub fn new() -> Self {
        Self {
            owners: vec![None; SLOT_COUNT].into_boxed_slice(),
            holdings: BTreeMap::new(),
            assigned: 0,
        }
    }

    /// The owner of a slot.
    #[inline]
    pub fn owner(&self, slot: Slot) -> Option<T> {
        self.owners[slot.index()]
    }

    /// Gives a slot to an owner and answers who had it.
    pub fn assign(&mut self, slot: Slot, owner: T) -> Option<T> {
        let previous = self.unassign(slot);
        self.owners[slot.index()] = Some(owner);
        let holding = self.holdings.entry(owner).or_insert_with(|| Holding {
            slots: Box::default(),
            count: 0,
        });
        holding.slots.set(slot);
        holding.count += 1;
        self.assigned += 1;
        previous
    }

    /// Takes a slot from its owner and answers who that was.
    pub fn unassign(&mut self, slot: Slot) -> Option<T> {
        let owner = self.owners[slot.index()].take()?;
        self.assigned -= 1;
        if let Some(holding) = self.holdings.get_mut(&owner) {
            holding.slots.clear(slot);
            holding.count -= 1;
            if holding.count == 0 {
                self.holdings.remove(&owner);
            }
        }
        Some(owner)
    }

    /// Takes all slots of an owner and answers which they were.
    pub fn unassign_all(&mut self, owner: T) -> SlotBitmap {
        let Some(holding) = self.holdings.remove(&owner) else {
            return SlotBitmap::new();
        };
        self.assigned -= holding.count;
        holding
            .slots
            .iter()
            .for_each(|slot| self.owners[slot.index()] = None);
        *holding.slots
    }

    /// The slots of an owner.
    pub fn slots_of(&self, owner: T) -> &SlotBitmap {
        self.holdings
            .get(&owner)
            .map_or(&NO_SLOTS, |holding| &holding.slots)
    }

    /// How many slots an owner has.
    pub fn count_of(&self, owner: T) -> usize {
        self.holdings.get(&owner).map_or(0, |holding| holding.count)
    }

    /// How many slots have an owner.
    pub fn assigned(&self) -> usize {
        self.assigned
    }

    /// The owners of at least one slot, in ascending order.
    pub fn owners(&self) -> impl Iterator<Item = T> + '_ {
        self.holdings.keys().copied()
    }
}

impl<T: Copy + Ord> Default for SlotMap<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(number: u16) -> Slot {
        Slot::new(number).unwrap()
    }

    /// A small linear congruential generator: enough to mix operations, the same on every run.
    fn numbers(mut state: u64) -> impl FnMut(u64) -> u64 {
        move |below| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 33) % below
        }
    }

    #[test]
    fn both_sides_agree_after_any_operations() {
        let mut random = numbers(7);
        let mut map = SlotMap::<u8>::new();
        let mut model: BTreeMap<u16, u8> = BTreeMap::new();
        for _ in 0..20_000 {
            let (at, owner) = (random(300) as u16, random(5) as u8);
            match random(10) {
                0..6 => assert_eq!(map.assign(slot(at), owner), model.insert(at, owner)),
                6..9 => assert_eq!(map.unassign(slot(at)), model.remove(&at)),
                _ => {
                    let taken = map.unassign_all(owner);
                    let expected = model.extract_if(.., |_, of| *of == owner);
                    assert!(taken.iter().map(Slot::get).eq(expected.map(|(at, _)| at)));
                }
            }
            assert_eq!(map.assigned(), model.len());
        }
        for owner in 0..5 {
            let expected = model
                .iter()
                .filter(|(_, of)| **of == owner)
                .map(|(at, _)| *at);
            assert!(map.slots_of(owner).iter().map(Slot::get).eq(expected));
            assert_eq!(map.count_of(owner), map.slots_of(owner).count());
        }
        assert!(Slot::all().all(|slot| map.owner(slot) == model.get(&slot.get()).copied()));
    }

    #[test]
    fn who_has_lost_the_last_slot_is_no_owner() {
        let mut map = SlotMap::new();
        map.assign(slot(3), 'a');
        assert_eq!(map.assign(slot(3), 'b'), Some('a'));
        assert_eq!(map.owners().collect::<Vec<_>>(), ['b']);
        assert!(map.slots_of('a').is_empty());
        assert_eq!(
            map.assign(slot(3), 'b'),
            Some('b'),
            "assigning again changes nothing"
        );
        assert_eq!((map.count_of('b'), map.assigned()), (1, 1));
    }
}
