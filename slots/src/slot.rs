//! A slot, and the hash that leads from a key to it.

use std::fmt;

use crc16::{State, XMODEM};

/// How many slots the keyspace of a cluster has.
pub const SLOT_COUNT: usize = 16384;

// `Slot::of_key` reduces the CRC by a mask, which needs a power of two.
const _: () = assert!(SLOT_COUNT.is_power_of_two() && SLOT_COUNT <= 1 << 16);

/// A hash slot, always below [`SLOT_COUNT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// The slot of this number; `None` from [`SLOT_COUNT`] on.
    #[inline]
    pub const fn new(number: u16) -> Option<Self> {
        if (number as usize) < SLOT_COUNT {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The slot that a key hashes to: CRC16/XMODEM of its [`hash_tag`], modulo [`SLOT_COUNT`].
    #[inline]
    pub fn of_key(key: &[u8]) -> Self {
        Self(State::<XMODEM>::calculate(hash_tag(key)) & (SLOT_COUNT as u16 - 1))
    }

    /// All slots in ascending order.
    pub fn all() -> impl ExactSizeIterator<Item = Self> + DoubleEndedIterator + Clone {
        (0..SLOT_COUNT as u16).map(Self)
    }

    /// The slot's number.
    #[inline]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The slot's number as an index into a table of [`SLOT_COUNT`] places.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Slot> for u16 {
    fn from(slot: Slot) -> Self {
        slot.0
    }
}

/// The part of a key that is hashed: what stands between the first `{` and the first `}` after
/// it, if that is not empty; else the whole key.
///
/// Braces do not nest: `{{a}}` has the tag `{a`.
#[inline]
pub fn hash_tag(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|&byte| byte == b'{') else {
        return key;
    };
    let behind = &key[open + 1..];
    match behind.iter().position(|&byte| byte == b'}') {
        None | Some(0) => key,
        Some(close) => &behind[..close],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_of_keys_are_those_of_stock_redis() {
        // As answered by CLUSTER KEYSLOT of redis-server 7.0.15.
        for (key, slot) in [
            ("", 0),
            ("foo", 12182),
            ("bar", 5061),
            ("123456789", 12739),
            ("{user1000}.following", 3443),
            ("{user1000}.followers", 3443),
            ("user1000", 3443),
            ("foo{}{bar}", 8363),
            ("foo{{bar}}zap", 4015),
        ] {
            assert_eq!(Slot::of_key(key.as_bytes()).get(), slot, "{key}");
        }
    }

    #[test]
    fn a_tag_is_what_the_first_pair_of_braces_holds() {
        for (key, tag) in [
            ("", ""),
            ("plain", "plain"),
            ("a{b}c", "b"),
            ("{b}{c}", "b"),
            ("foo{}{bar}", "foo{}{bar}"),
            ("foo{{bar}}zap", "{bar"),
            ("foo{bar", "foo{bar"),
            ("foo}bar", "foo}bar"),
            ("}a{b}", "b"),
            ("{", "{"),
            ("{}", "{}"),
        ] {
            assert_eq!(hash_tag(key.as_bytes()), tag.as_bytes(), "{key}");
        }
    }

    #[test]
    fn numbers_from_the_slot_count_on_are_no_slots() {
        assert_eq!(Slot::new(16383).map(Slot::index), Some(16383));
        assert_eq!(Slot::new(16384), None);
        assert_eq!(Slot::new(u16::MAX), None);
        assert_eq!(Slot::all().len(), SLOT_COUNT);
    }
}
