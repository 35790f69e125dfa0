//! The arithmetic of segments: sizes, loads, homes.
//!
//! A segment of `capacity` cells has `homes` of them where entries belong; the rest, at the end, takes
//! what the last homes spill over. There is no wrap-around, so that cells stay in hash order.

use crate::hash::TAG_BITS;

/// Bits of a SCAN cursor: the server puts 14 bits of slot beside them.
pub(crate) const CURSOR_BITS: u32 = 48;

/// Up to this many cells a segment is one dense sorted array without gaps: a walk over two cache lines
/// costs less than the gaps would.
const DENSE_MAX: u32 = 16;

/// Most cells that are kept for spilling. At 7/8 load the last homes overflow them less than once in a
/// thousand segments, and then the segment grows a little early.
const SPILL_MAX: u32 = 32;

/// How far tables go before they divide. Tests use a tiny one to see many splits in few entries.
pub(crate) trait Geometry {
    /// Cells of the largest segment.
    const SEGMENT_MAX: u32;
    /// Bits of the hash that one directory resolves; segments that divide further get a directory of
    /// their own.
    const DIRECTORY_BITS: u8;
    /// Depth of the deepest segments, at most what a cursor can resolve. Segments that would have to
    /// split further grow instead; an honest hash gets here after 2^40 entries.
    const DEPTH_MAX: u8;
}

/// The geometry of real tables.
#[derive(Debug)]
pub(crate) struct Production;

impl Geometry for Production {
    /// 14 KiB, the largest size that jemalloc serves from its thread cache's slabs. A split rehashes 1568
    /// entries at some 20 to 50 ns each, memory being what it is: well below a tenth of a millisecond.
    const SEGMENT_MAX: u32 = 1792;
    /// 2^14 places take 384 KiB: doubling a directory stays well below a millisecond. They are enough for
    /// some 19 million entries; beyond, a lookup goes through two directories.
    const DIRECTORY_BITS: u8 = 14;
    const DEPTH_MAX: u8 = (CURSOR_BITS - TAG_BITS) as u8;
}

/// Homes of a hashed segment of `capacity` cells.
#[inline]
pub(crate) const fn homes(capacity: u32) -> u32 {
    if capacity <= DENSE_MAX {
        1
    } else if capacity / 8 < SPILL_MAX {
        capacity - capacity / 8
    } else {
        capacity - SPILL_MAX
    }
}

/// Where an entry belongs: homes divide the tags evenly, in order.
#[inline]
pub(crate) const fn home(tag: u32, homes: u32) -> u32 {
    ((tag as u64 * homes as u64) >> TAG_BITS) as u32
}

/// Most entries that a hashed segment of `capacity` cells takes: all of them, or 7/8.
#[inline]
pub(crate) const fn max_len(capacity: u32) -> u32 {
    if capacity <= DENSE_MAX {
        capacity
    } else {
        capacity - capacity / 8
    }
}

/// Whether `len` entries are so few for `capacity` cells that the segment should shrink: half. Growing
/// leaves at least 7/10, so that neither undoes the other at once.
pub(crate) const fn is_sparse(len: u32, capacity: u32) -> bool {
    capacity > 0 && len <= capacity / 2
}

/// The next larger capacity: the allocator's size classes.
pub(crate) const fn next_capacity(capacity: u32) -> u32 {
    match capacity {
        0 => 1,
        1 => 2,
        2..16 => capacity + 2,
        _ => {
            let step = 1 << (capacity.ilog2() - 2);
            (capacity / step + 1) * step
        }
    }
}

/// The capacity for a segment that is made with `len` entries: the smallest that does not have to grow
/// at once.
pub(crate) const fn capacity_for(len: u32) -> u32 {
    let wanted = if len <= DENSE_MAX {
        len
    } else {
        len + len / 16
    };
    let mut capacity = 0;
    while max_len(capacity) < wanted {
        capacity = next_capacity(capacity);
    }
    capacity
}

/// Most entries that two buddies may have together to be merged: half of what makes a segment split, so
/// that neither undoes the other at once.
pub(crate) const fn merge_max<G: Geometry>() -> u32 {
    max_len(G::SEGMENT_MAX) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacities_are_size_classes() {
        let mut capacities = vec![1u32];
        while *capacities.last().unwrap() < Production::SEGMENT_MAX {
            capacities.push(next_capacity(*capacities.last().unwrap()));
        }
        assert_eq!(
            capacities[..22],
            [
                1, 2, 4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128,
                160
            ]
        );
        assert_eq!(*capacities.last().unwrap(), Production::SEGMENT_MAX);
        for capacity in capacities.into_iter().filter(|&capacity| capacity > 1) {
            let bytes = capacity as usize * 8;
            assert_eq!(crate::size_class::round_up(bytes), bytes);
        }
    }

    #[test]
    fn homes_divide_the_tags_in_order() {
        for capacity in [1, 16, 20, 80, 1792] {
            let homes = homes(capacity);
            assert_eq!(home(0, homes), 0);
            assert_eq!(home((1 << TAG_BITS) - 1, homes), homes - 1);
        }
    }

    #[test]
    fn growing_does_not_make_sparse_nor_shrinking_full() {
        let mut capacity = 1;
        while capacity < Production::SEGMENT_MAX {
            let next = next_capacity(capacity);
            assert!(
                !is_sparse(max_len(capacity) + 1, next),
                "{capacity} -> {next}"
            );
            let shrunk = capacity_for(capacity / 2);
            assert!(shrunk < capacity || capacity <= 1, "{capacity} -> {shrunk}");
            assert!(max_len(shrunk) >= capacity / 2);
            capacity = next;
        }
    }
}
