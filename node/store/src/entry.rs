//! A key, its value, its expiry and its access clock in one allocation.
//!
//! ```text
//!  0        4        8               16
//! +--------+--------+---------------+- - - - - - - -+--------- - - -+----------- - - -+
//! | meta   | key    | value         | expire_at     | key           | embedded value  |
//! |        | length | i64/len/ptr   | i64, if any   |               | if any          |
//! +--------+--------+---------------+- - - - - - - -+--------- - - -+----------- - - -+
//!
//! meta:   31           8    7        6        3..0
//!        +--------------+--------+----------+------+
//!        | access clock | expiry | genera-  | kind |     value: kind Int       the integer
//!        | 24 bits      | ?      | tion     |      |            kind Embedded* length of the embedded value
//!        +--------------+--------+----------+------+            kind Heap      pointer to a HeapString
//! ```
//!
//! A 16-byte key with a 64-byte value takes exactly 96 bytes, a size class. The allocation is always as
//! large as the size class of its contents, so its size need not be stored, and a value changes within
//! its class without a move.
//!
//! Kinds 4 to 15 are free: other data types will hang a boxed object from `value`.

use std::cell::Cell;
use std::fmt;
use std::ptr::{self, NonNull};

use crate::access::ACCESS_CLOCK_MAX;
use crate::heap_string::{self, HeapString};
use crate::size_class;

mod owned;
#[cfg(test)]
mod tests;

pub use owned::OwnedEntry;

/// Longest string that lives in its entry. Longer ones have an allocation of their own, which can grow
/// in place and does not move when the entry gains or loses an expiry. Copying a kilobyte takes about
/// as long as the second allocation and the second cache miss that embedding saves.
pub(crate) const EMBEDDED_MAX_BYTES: usize = 1024;

/// Longest string for which OBJECT ENCODING says "embstr" (Redis 7.0: OBJ_ENCODING_EMBSTR_SIZE_LIMIT).
const EMBSTR_MAX_BYTES: usize = 44;

/// Longest key: what the header's `key_len` can say.
const KEY_MAX_BYTES: usize = u32::MAX as usize;

/// Longest string value: leaves room for headers and rounding within an address space.
const VALUE_MAX_BYTES: usize = isize::MAX as usize / 4;

/// Alignment of entries. It leaves the low four bits of their addresses to the cells' tags.
pub(crate) const ENTRY_ALIGN: usize = 16;

const HEADER_BYTES: usize = size_of::<Header>();
const EXPIRY_BYTES: usize = size_of::<i64>();

const KIND_MASK: u32 = 0x0F;
const HAS_EXPIRY: u32 = 0x80;
const GENERATION: u32 = 0x40;
const CLOCK_SHIFT: u32 = 8;

const _: () = assert!(HEADER_BYTES == 16 && size_of::<Value>() == 8);

#[repr(C)]
pub(crate) struct Header {
    meta: Cell<u32>,
    key_len: u32,
    value: Value,
}

#[repr(C)]
#[derive(Clone, Copy)]
union Value {
    int: i64,
    len: u64,
    heap: *mut heap_string::Header,
}

#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Int = 0,
    /// Embedded, and said to be "embstr".
    Embedded = 1,
    /// Embedded, but said to be "raw": longer than "embstr" allows, or changed since it was set.
    EmbeddedRaw = 2,
    Heap = 3,
}

impl Kind {
    fn is_embedded(self) -> bool {
        matches!(self, Kind::Embedded | Kind::EmbeddedRaw)
    }
}

/// How a value is stored, as OBJECT ENCODING says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// A string that is an integer.
    Int,
    /// A string of at most 44 bytes, as it was set.
    Embstr,
    /// Any other string.
    Raw,
}

impl Encoding {
    /// The name that OBJECT ENCODING answers.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Int => "int",
            Encoding::Embstr => "embstr",
            Encoding::Raw => "raw",
        }
    }
}

/// A value, borrowed from its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueRef<'a> {
    /// A string that is the decimal form of this integer.
    Int(i64),
    /// Any other string.
    Str(&'a [u8]),
}

/// A key or a value is longer than the store can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// Its length, bytes.
    pub len: usize,
    /// The longest that can be, bytes.
    pub max: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "string of {} bytes exceeds the maximum of {}",
            self.len, self.max
        )
    }
}

impl std::error::Error for TooLong {}

/// A key with its value, expiry and access clock. See [`OwnedEntry`] for making one.
#[repr(C)]
pub struct Entry {
    header: Header,
    /// Expiry, key and embedded value: exactly the initialised bytes of the allocation.
    tail: [u8],
}

impl Entry {
    /// The key.
    #[inline]
    pub fn key(&self) -> &[u8] {
        let start = self.key_start();
        &self.tail[start..start + self.header.key_len as usize]
    }

    /// The value.
    #[inline]
    pub fn value(&self) -> ValueRef<'_> {
        match self.header.kind() {
            // SAFETY: kind Int says that `int` is the field in use.
            Kind::Int => ValueRef::Int(unsafe { self.header.value.int }),
            Kind::Embedded | Kind::EmbeddedRaw => {
                ValueRef::Str(&self.tail[self.key_start() + self.header.key_len as usize..])
            }
            Kind::Heap => {
                // SAFETY: kind Heap says that `heap` is in use; the string is owned by this entry and
                // changes only through `&mut OwnedEntry`.
                ValueRef::Str(unsafe { HeapString::bytes_of_raw(self.header.value.heap) })
            }
        }
    }

    /// Unix time in milliseconds after which the entry is expired, if it ever is.
    #[inline]
    pub fn expire_at(&self) -> Option<i64> {
        match self.tail.first_chunk::<EXPIRY_BYTES>() {
            Some(bytes) if self.header.has_expiry() => Some(i64::from_ne_bytes(*bytes)),
            _ => None,
        }
    }

    /// Whether the entry's time is over at `now_ms` (Redis 7.0: it still lives in the very millisecond).
    #[inline]
    pub fn is_expired(&self, now_ms: i64) -> bool {
        self.expire_at().is_some_and(|expire_at| now_ms > expire_at)
    }

    /// How the value is stored.
    pub fn encoding(&self) -> Encoding {
        match self.header.kind() {
            Kind::Int => Encoding::Int,
            Kind::Embedded => Encoding::Embstr,
            Kind::EmbeddedRaw | Kind::Heap => Encoding::Raw,
        }
    }

    /// The access clock, 24 bits; see [`crate::lru_clock`] and [`crate::lfu_access`].
    #[inline]
    pub fn access(&self) -> u32 {
        self.header.meta.get() >> CLOCK_SHIFT
    }

    /// Sets the access clock to the low 24 bits of `clock`.
    #[inline]
    pub fn set_access(&self, clock: u32) {
        let rest = self.header.meta.get() & ((1 << CLOCK_SHIFT) - 1);
        self.header
            .meta
            .set((clock & ACCESS_CLOCK_MAX) << CLOCK_SHIFT | rest);
    }

    /// One of the two generations by which snapshots tell what they have still to get.
    #[inline]
    pub(crate) fn generation(&self) -> bool {
        self.header.meta.get() & GENERATION != 0
    }

    #[inline]
    pub(crate) fn set_generation(&self, generation: bool) {
        let rest = self.header.meta.get() & !GENERATION;
        let bit = if generation { GENERATION } else { 0 };
        self.header.meta.set(rest | bit);
    }

    /// Bytes of the key and the value.
    pub(crate) fn len_bytes(&self) -> usize {
        let value = match self.value() {
            ValueRef::Int(_) => 0,
            ValueRef::Str(bytes) => bytes.len(),
        };
        self.header.key_len as usize + value
    }

    /// Bytes that the entry's allocations take, without its cell in the table.
    pub fn memory_bytes(&self) -> usize {
        let own = size_class::round_up(self.header.used_bytes());
        match self.header.kind() {
            // SAFETY: kind Heap says that `heap` is in use.
            Kind::Heap => own + unsafe { HeapString::allocated_by_raw(self.header.value.heap) },
            _ => own,
        }
    }

    /// A copy under another key: value, encoding, expiry and access clock.
    pub fn copy_as(&self, key: &[u8]) -> Result<OwnedEntry, TooLong> {
        let mut copy = OwnedEntry::int(key, 0, self.expire_at())?;
        match self.value() {
            ValueRef::Int(int) => copy.set_int(int, self.expire_at()),
            ValueRef::Str(bytes) => {
                copy.set_string_of_kind(self.header.kind(), bytes, self.expire_at())
            }
        }
        copy.set_access(self.access());
        Ok(copy)
    }

    fn key_start(&self) -> usize {
        self.header.expiry_bytes()
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("key", &self.key().escape_ascii().to_string())
            .field("value", &self.value())
            .field("encoding", &self.encoding())
            .field("expire_at", &self.expire_at())
            .finish()
    }
}

impl Header {
    #[inline]
    fn kind(&self) -> Kind {
        match self.meta.get() & KIND_MASK {
            0 => Kind::Int,
            1 => Kind::Embedded,
            2 => Kind::EmbeddedRaw,
            _ => Kind::Heap,
        }
    }

    #[inline]
    fn has_expiry(&self) -> bool {
        self.meta.get() & HAS_EXPIRY != 0
    }

    #[inline]
    fn expiry_bytes(&self) -> usize {
        expiry_bytes(self.has_expiry())
    }

    /// Length of the embedded value; 0 if the value is elsewhere.
    #[inline]
    fn embedded_len(&self) -> usize {
        if self.kind().is_embedded() {
            // SAFETY: the embedded kinds say that `len` is in use.
            unsafe { self.value.len as usize }
        } else {
            0
        }
    }

    /// Bytes of the allocation that are in use.
    #[inline]
    fn used_bytes(&self) -> usize {
        used_bytes(
            self.has_expiry(),
            self.key_len as usize,
            self.embedded_len(),
        )
    }
}

#[inline]
fn expiry_bytes(has_expiry: bool) -> usize {
    if has_expiry { EXPIRY_BYTES } else { 0 }
}

#[inline]
fn used_bytes(has_expiry: bool, key_len: usize, embedded_len: usize) -> usize {
    HEADER_BYTES + expiry_bytes(has_expiry) + key_len + embedded_len
}

/// The entry at `raw`.
///
/// # Safety
/// `raw` is a live entry that nobody changes (but for its access clock and generation) during `'a`.
#[inline]
pub(crate) unsafe fn entry_at<'a>(raw: NonNull<Header>) -> &'a Entry {
    // SAFETY: a live entry starts with its header; its tail is initialised up to used_bytes(), which with
    // the padding of the type's alignment, 8, is no more than the allocation: a multiple of 16.
    unsafe {
        let tail_len = raw.as_ref().used_bytes() - HEADER_BYTES;
        &*(ptr::slice_from_raw_parts(raw.as_ptr().cast::<u8>(), tail_len) as *const Entry)
    }
}

/// Whether `raw` has an expiry.
///
/// # Safety
/// `raw` is a live entry.
#[inline]
pub(crate) unsafe fn has_expiry_at(raw: NonNull<Header>) -> bool {
    // SAFETY: the caller's promise.
    unsafe { raw.as_ref().has_expiry() }
}

/// Fails if `len` bytes are too long for a string value.
pub(crate) fn check_value_len(len: usize) -> Result<(), TooLong> {
    if len <= VALUE_MAX_BYTES {
        Ok(())
    } else {
        Err(TooLong {
            len,
            max: VALUE_MAX_BYTES,
        })
    }
}

const _: () = assert!(
    usize::BITS == 64,
    "cells keep tags in the upper bits of 64-bit addresses"
);
