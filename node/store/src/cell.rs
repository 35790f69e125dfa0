//! One place of a segment: a pointer to an entry, with part of its hash in the pointer's spare bits.
//!
//! ```text
//!  63               48 47                            4  3   2..0
//! +-------------------+-------------------------------+---+------+
//! | low 16 bits       | bits of the entry's address   | E | high |   E: the entry has an expiry
//! | of the tag        |                               |   | 3    |
//! +-------------------+-------------------------------+---+------+
//! ```
//!
//! Rotated left by 16, the tag's 19 bits stand together at the bottom. User addresses have 47 bits on
//! x86-64 and 48 on AArch64 unless a program asks for more when it maps memory, which allocators do not;
//! [`Cell::new`] checks it.

use std::ptr::{self, NonNull};

use crate::entry::{self, ENTRY_ALIGN, Entry, Header, OwnedEntry};
use crate::hash::TAG_BITS;

const ADDRESS_BITS: u32 = 48;
const HIGH_BITS: u32 = 64 - ADDRESS_BITS;
const EXPIRY_BIT: usize = 1 << (TAG_BITS - HIGH_BITS);
const TAG_MASK: usize = (1 << TAG_BITS) - 1;
const ADDRESS_MASK: usize = ((1 << ADDRESS_BITS) - 1) & !(ENTRY_ALIGN - 1);

const _: () = assert!(
    EXPIRY_BIT << 1 == ENTRY_ALIGN,
    "tag and expiry bit fill the low bits"
);

/// A place of a segment, empty or owning an entry. Copying one does not copy the entry: a segment sees to
/// it that of the copies only one counts.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Cell(*mut Header);

impl Cell {
    pub(crate) const EMPTY: Cell = Cell(ptr::null_mut());

    /// A cell that owns `entry`.
    #[inline]
    pub(crate) fn new(entry: OwnedEntry, tag: u32) -> Cell {
        Cell::with_raw(entry.into_raw(), tag)
    }

    #[inline]
    fn with_raw(raw: NonNull<Header>, tag: u32) -> Cell {
        assert!(
            raw.addr().get() & !ADDRESS_MASK == 0,
            "the allocator gave an address beyond 48 bits, or a misaligned one"
        );
        // SAFETY: raw is a live entry.
        let expiry = if unsafe { entry::has_expiry_at(raw) } {
            EXPIRY_BIT
        } else {
            0
        };
        let tag = (tag as usize).rotate_right(HIGH_BITS);
        Cell(raw.as_ptr().map_addr(|address| address | tag | expiry))
    }

    #[inline]
    pub(crate) fn is_empty(self) -> bool {
        self.0.is_null()
    }

    /// The tag of the entry's hash; 0 if the cell is empty.
    #[inline]
    pub(crate) fn tag(self) -> u32 {
        (self.0.addr().rotate_left(HIGH_BITS) & TAG_MASK) as u32
    }

    /// Whether there is an entry, and its tag is less than `tag`.
    #[inline]
    pub(crate) fn is_before(self, tag: u32) -> bool {
        !self.is_empty() & (self.tag() < tag)
    }

    /// Whether the entry has an expiry, which is known without touching it.
    #[inline]
    pub(crate) fn has_expiry(self) -> bool {
        self.0.addr() & EXPIRY_BIT != 0
    }

    /// The same entry with another tag. The cell must not be empty.
    #[inline]
    pub(crate) fn with_tag(self, tag: u32) -> Cell {
        let tag = (tag as usize).rotate_right(HIGH_BITS);
        Cell(
            self.0
                .map_addr(|bits| bits & (ADDRESS_MASK | EXPIRY_BIT) | tag),
        )
    }

    /// Where the entry is; null if the cell is empty.
    #[inline]
    pub(crate) fn address(self) -> *mut Header {
        self.0.map_addr(|bits| bits & ADDRESS_MASK)
    }

    /// The entry.
    ///
    /// # Safety
    /// The cell is not empty, and nobody changes, moves or frees the entry during `'a`.
    #[inline]
    pub(crate) unsafe fn entry<'a>(self) -> &'a Entry {
        // SAFETY: the cell is not empty, so the address is that of a live entry.
        unsafe { entry::entry_at(NonNull::new_unchecked(self.address())) }
    }

    /// Takes the entry out of the cell.
    ///
    /// # Safety
    /// The cell is not empty, and no copy of it is used as a non-empty cell from then on.
    #[inline]
    pub(crate) unsafe fn into_entry(self) -> OwnedEntry {
        // SAFETY: the cell is not empty and owned the entry, which it gives up.
        unsafe { OwnedEntry::from_raw(NonNull::new_unchecked(self.address())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_expiry_and_address_do_not_mix() {
        for expire_at in [None, Some(5)] {
            for tag in [0, 1, 2, 0x40000, 0x7FFFF, 0x55555, 0x2AAAA] {
                let entry = OwnedEntry::int(b"key", 7, expire_at).unwrap();
                let address = (&raw const *entry).cast::<u8>();
                let cell = Cell::new(entry, tag);
                assert_eq!(cell.tag(), tag);
                assert_eq!(cell.has_expiry(), expire_at.is_some());
                assert_eq!(cell.address().cast::<u8>().cast_const(), address);
                let retagged = cell.with_tag(0x12345);
                assert_eq!(retagged.tag(), 0x12345);
                assert_eq!(retagged.has_expiry(), expire_at.is_some());
                // SAFETY: the cell owns the entry; `cell` is not used again.
                assert_eq!(unsafe { retagged.into_entry() }.key(), b"key");
            }
        }
        assert!(Cell::EMPTY.is_empty());
    }
}
