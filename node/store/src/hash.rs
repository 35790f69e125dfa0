//! The seeded hash of keys.

use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use ahash::RandomState;

use crate::geometry::CURSOR_BITS;

/// Bits of a hash that a cell keeps: the ones that follow the prefix which its segment's entries share.
pub(crate) const TAG_BITS: u32 = 19;

/// The seed of the key hash, the same for all partitions of a process, secret from clients.
///
/// Cheap to clone: partitions share one.
#[derive(Clone)]
pub struct HashSeed(Arc<RandomState>);

impl HashSeed {
    /// A seed from 128 random bits.
    pub fn new(a: u64, b: u64) -> HashSeed {
        // RandomState wants four words; any distinct function of the two will do.
        HashSeed(Arc::new(RandomState::with_seeds(
            a,
            b,
            !a,
            b.rotate_left(32),
        )))
    }

    /// The hash of `key`.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> KeyHash {
        let mut hasher = self.0.build_hasher();
        hasher.write(key);
        KeyHash(hasher.finish())
    }
}

impl fmt::Debug for HashSeed {
    /// Says nothing: whoever knows the seed can make keys that collide.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashSeed(..)")
    }
}

/// The hash of a key, and so its position in its table: tables keep their entries in hash order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyHash(pub(crate) u64);

impl KeyHash {
    /// Whether a walk by [`crate::Db::scan`] that has got to `cursor` has passed this position: what has
    /// this hash and was there is behind the walk, what comes there now will not be visited any more.
    pub fn is_before(self, cursor: u64) -> bool {
        self.0 >> (64 - CURSOR_BITS) < cursor
    }

    /// The [`TAG_BITS`] bits that follow the first `depth` bits. `depth` is below 64.
    #[inline]
    pub(crate) fn tag(self, depth: u8) -> u32 {
        ((self.0 << depth) >> (64 - TAG_BITS)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_hash() {
        let (a, b, c) = (
            HashSeed::new(1, 2),
            HashSeed::new(1, 2),
            HashSeed::new(2, 1),
        );
        assert_eq!(a.hash(b"key"), b.hash(b"key"));
        assert_ne!(a.hash(b"key"), c.hash(b"key"));
        assert_ne!(a.hash(b""), a.hash(b"\0"));
    }

    #[test]
    fn tag_follows_the_prefix() {
        let hash = KeyHash(0xABCD_E000_0000_0000);
        assert_eq!(
            hash.tag(0),
            0xABCD_E000_0000_0000u64.wrapping_shr(45) as u32
        );
        assert_eq!(hash.tag(4), (0xBCDE_0000_0000_0000u64 >> 45) as u32);
        assert_eq!(hash.tag(63), 0);
    }
}
