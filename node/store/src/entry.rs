//! A key, its value, its expiry and its access clock in one allocation.
//!
//! ```text
//!  0        4        8               16
//! +--------+--------+---------------+- - - - - - - -+--------- - - -+----------- - - -+
//! | meta   | key    | value         | expire_at     | key           | embedded value  |
//! |        | length | i64/len/ptr   | i64, if any   |               | if any          |
//! +--------+--------+---------------+- - - - - - - -+--------- - - -+----------- - - -+
//!
//! meta:   31           8    7      3..0
//!        +--------------+--------+------+
//!        | access clock | expiry | kind |     value: kind Int       the integer
//!        | 24 bits      | ?      |      |            kind Embedded* length of the embedded value
//!        +--------------+--------+------+            kind Heap      pointer to a HeapString
//! ```
//!
//! A 16-byte key with a 64-byte value takes exactly 96 bytes, a size class. The allocation is always as
//! large as the size class of its contents, so its size need not be stored, and a value changes within
//! its class without a move.
//!
//! Kinds 4 to 15 are free: other data types will hang a boxed object from `value`.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::fmt;
use std::ops::Deref;
use std::ptr::{self, NonNull};

use crate::access::ACCESS_CLOCK_MAX;
use crate::heap_string::{self, HeapString};
use crate::size_class;

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
            // SAFETY: kind Heap says that `heap` is in use; the string is owned by this entry and
            // changes only through `&mut OwnedEntry`.
            Kind::Heap => {
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
        if self.has_expiry() { EXPIRY_BYTES } else { 0 }
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
fn used_bytes(has_expiry: bool, key_len: usize, embedded_len: usize) -> usize {
    HEADER_BYTES + if has_expiry { EXPIRY_BYTES } else { 0 } + key_len + embedded_len
}

/// An entry that is in no table: to be inserted, moved to another key, or dropped.
pub struct OwnedEntry(NonNull<Header>);

// SAFETY: an OwnedEntry owns its allocations alone; nothing in it is bound to a thread. (It is not Sync:
// the access clock is a Cell.)
unsafe impl Send for OwnedEntry {}

impl OwnedEntry {
    /// A string entry, with encoding "embstr" or "raw" as its length has it.
    pub fn string(key: &[u8], value: &[u8], expire_at: Option<i64>) -> Result<OwnedEntry, TooLong> {
        check_value_len(value.len())?;
        let embedded = value.len() <= EMBEDDED_MAX_BYTES;
        let mut entry =
            OwnedEntry::with_room(key, expire_at, if embedded { value.len() } else { 0 })?;
        entry.fill(kind_of_new(value), value);
        Ok(entry)
    }

    /// An integer entry.
    pub fn int(key: &[u8], value: i64, expire_at: Option<i64>) -> Result<OwnedEntry, TooLong> {
        OwnedEntry::with_room(key, expire_at, 0).map(|mut entry| {
            entry.set_value(Kind::Int, Value { int: value });
            entry
        })
    }

    /// The same entry under another key.
    pub fn with_key(self, key: &[u8]) -> Result<OwnedEntry, TooLong> {
        // A value of its own allocation changes hands; an embedded one is copied as the entry must be.
        if self.kind() != Kind::Heap {
            return self.copy_as(key);
        }
        let mut renamed = OwnedEntry::int(key, 0, self.expire_at())?;
        renamed.set_access(self.access());
        renamed.set_value(Kind::Heap, self.header().value);
        let mut old = self;
        old.set_value(Kind::Int, Value { int: 0 });
        Ok(renamed)
    }

    /// Sets or removes the expiry.
    pub fn set_expire(&mut self, expire_at: Option<i64>) {
        let embedded_len = self.header().embedded_len();
        self.reshape(expire_at.is_some(), embedded_len, embedded_len);
        self.write_expiry(expire_at);
    }

    /// Replaces value and expiry by a string; key and access clock stay. In place if the size class
    /// stays the same.
    #[inline]
    pub(crate) fn set_string(&mut self, value: &[u8], expire_at: Option<i64>) {
        self.set_string_of_kind(kind_of_new(value), value, expire_at);
    }

    fn set_string_of_kind(&mut self, kind: Kind, value: &[u8], expire_at: Option<i64>) {
        match (self.kind(), kind) {
            (Kind::Heap, Kind::Heap) => {
                self.set_expire(expire_at);
                self.change_heap(|heap| heap.assign(value));
            }
            (_, Kind::Heap) => {
                let heap = HeapString::new(value);
                self.reshape(expire_at.is_some(), 0, 0);
                self.write_expiry(expire_at);
                self.set_value(
                    Kind::Heap,
                    Value {
                        heap: heap.into_raw(),
                    },
                );
            }
            (_, embedded) => {
                self.release_heap();
                self.reshape(expire_at.is_some(), value.len(), 0);
                self.write_expiry(expire_at);
                self.fill(embedded, value);
            }
        }
    }

    /// Replaces value and expiry by an integer; key and access clock stay.
    pub(crate) fn set_int(&mut self, value: i64, expire_at: Option<i64>) {
        self.release_heap();
        self.reshape(expire_at.is_some(), 0, 0);
        self.write_expiry(expire_at);
        self.set_value(Kind::Int, Value { int: value });
    }

    /// Replaces the value by an integer; all else stays.
    pub(crate) fn replace_int(&mut self, value: i64) {
        if self.kind() == Kind::Int {
            self.set_value(Kind::Int, Value { int: value });
        } else {
            self.set_int(value, self.expire_at());
        }
    }

    /// Appends to the string, which is "raw" from then on; gives its new length.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<usize, TooLong> {
        let len = self.string_len();
        self.write_at(len, bytes)
    }

    /// Overwrites the string from `offset` on, filling a gap before it with zeros; it is "raw" from then
    /// on. Gives its new length.
    pub(crate) fn write_at(&mut self, offset: usize, bytes: &[u8]) -> Result<usize, TooLong> {
        let end = offset.saturating_add(bytes.len());
        check_value_len(end)?;
        self.int_to_string();
        let new_len = end.max(self.string_len());
        if self.kind() != Kind::Heap && new_len > EMBEDDED_MAX_BYTES {
            self.embedded_to_heap(new_len);
        }
        if self.kind() == Kind::Heap {
            self.change_heap(|heap| {
                if offset == heap.len() {
                    heap.extend(bytes)
                } else {
                    heap.write_at(offset, bytes)
                }
            });
        } else {
            self.write_embedded_at(offset, bytes, new_len);
        }
        Ok(new_len)
    }

    /// Where the entry is, as long as it is not changed.
    pub(crate) fn as_raw(&self) -> NonNull<Header> {
        self.0
    }

    /// Gives up ownership; [`OwnedEntry::from_raw`] takes it back.
    pub(crate) fn into_raw(self) -> NonNull<Header> {
        let raw = self.0;
        std::mem::forget(self);
        raw
    }

    /// Takes ownership back.
    ///
    /// # Safety
    /// `raw` comes from [`OwnedEntry::into_raw`], and nobody else takes it back too.
    pub(crate) unsafe fn from_raw(raw: NonNull<Header>) -> OwnedEntry {
        OwnedEntry(raw)
    }

    /// Allocates an entry with its key and expiry, room for `embedded_len` bytes and the integer 0 for a
    /// value.
    fn with_room(
        key: &[u8],
        expire_at: Option<i64>,
        embedded_len: usize,
    ) -> Result<OwnedEntry, TooLong> {
        let Ok(key_len) = u32::try_from(key.len()) else {
            return Err(TooLong {
                len: key.len(),
                max: KEY_MAX_BYTES,
            });
        };
        let header = allocate(used_bytes(expire_at.is_some(), key.len(), embedded_len));
        let meta = if expire_at.is_some() { HAS_EXPIRY } else { 0 };
        // SAFETY: freshly allocated, with room for header, expiry and key; `key` is other memory.
        unsafe {
            header.write(Header {
                meta: Cell::new(meta),
                key_len,
                value: Value { int: 0 },
            });
            let start = if expire_at.is_some() { EXPIRY_BYTES } else { 0 };
            tail(header)
                .add(start)
                .copy_from_nonoverlapping(key.as_ptr(), key.len());
        }
        let mut entry = OwnedEntry(header);
        entry.write_expiry(expire_at);
        Ok(entry)
    }

    /// Makes the allocation fit an expiry or none and an embedded value of `embedded_len` bytes, of
    /// which it keeps the first `keep` bytes of the present embedded value.
    ///
    /// Until the caller has set expiry and value, the entry is not to be looked at: this is the one step
    /// between two states of an entry, and nothing in between can unwind.
    #[inline]
    fn reshape(&mut self, has_expiry: bool, embedded_len: usize, keep: usize) {
        let header = self.header();
        let key_len = header.key_len as usize;
        let old_size = size_class::round_up(header.used_bytes());
        let new_size = size_class::round_up(used_bytes(has_expiry, key_len, embedded_len));
        let old_start = header.expiry_bytes();
        let new_start = if has_expiry { EXPIRY_BYTES } else { 0 };
        let moved = key_len + keep;
        debug_assert!(keep <= embedded_len && keep <= header.embedded_len());
        if old_size == new_size {
            if old_start != new_start {
                // SAFETY: both ranges lie within the allocation, and copy() allows them to overlap.
                unsafe {
                    tail(self.0)
                        .add(old_start)
                        .copy_to(tail(self.0).add(new_start), moved)
                };
            }
        } else {
            let new = allocate(new_size);
            // SAFETY: the header and `moved` bytes are within the old allocation and fit the new one;
            // the old one has the size that its contents say, and is not used again.
            unsafe {
                new.copy_from_nonoverlapping(self.0, 1);
                tail(new)
                    .add(new_start)
                    .copy_from_nonoverlapping(tail(self.0).add(old_start), moved);
                dealloc(self.0.as_ptr().cast(), layout(old_size));
            }
            self.0 = new;
        }
        let meta = self.header().meta.get() & !HAS_EXPIRY;
        self.header()
            .meta
            .set(if has_expiry { meta | HAS_EXPIRY } else { meta });
        if self.kind().is_embedded() {
            // SAFETY: the pointer is valid, and self is borrowed mutably.
            unsafe {
                (*self.0.as_ptr()).value = Value {
                    len: embedded_len as u64,
                }
            };
        }
    }

    #[inline]
    fn write_expiry(&mut self, expire_at: Option<i64>) {
        debug_assert_eq!(self.header().has_expiry(), expire_at.is_some());
        if let Some(expire_at) = expire_at {
            // SAFETY: the entry has the room for an expiry at the start of its tail (8-aligned, as the
            // allocation is 16-aligned and the header 16 bytes long).
            unsafe { tail(self.0).cast::<i64>().write(expire_at) };
        }
    }

    /// Writes an embedded value of `kind` (or one that goes to the heap) into an entry that has the room.
    #[inline]
    fn fill(&mut self, kind: Kind, value: &[u8]) {
        if kind == Kind::Heap {
            let heap = HeapString::new(value).into_raw();
            return self.set_value(kind, Value { heap });
        }
        // SAFETY: the caller has made room for value.len() bytes after the key; `value` is other memory.
        unsafe {
            self.embedded()
                .copy_from_nonoverlapping(value.as_ptr(), value.len())
        };
        self.set_value(
            kind,
            Value {
                len: value.len() as u64,
            },
        );
    }

    fn write_embedded_at(&mut self, offset: usize, bytes: &[u8], new_len: usize) {
        let old_len = self.header().embedded_len();
        self.reshape(self.header().has_expiry(), new_len, old_len);
        // SAFETY: there is room for new_len >= offset + bytes.len() bytes; `bytes` is other memory. The
        // bytes between the old length and offset are zeroed.
        unsafe {
            let data = self.embedded();
            if offset > old_len {
                data.add(old_len).write_bytes(0, offset - old_len);
            }
            data.add(offset)
                .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
        self.set_value(
            Kind::EmbeddedRaw,
            Value {
                len: new_len as u64,
            },
        );
    }

    /// Turns an integer into its decimal string.
    fn int_to_string(&mut self) {
        if let ValueRef::Int(int) = self.value() {
            self.set_string_of_kind(
                Kind::EmbeddedRaw,
                int.to_string().as_bytes(),
                self.expire_at(),
            );
        }
    }

    /// Moves an embedded string to an allocation of its own with room for `capacity` bytes.
    fn embedded_to_heap(&mut self, capacity: usize) {
        let mut heap = HeapString::with_capacity(capacity);
        if let ValueRef::Str(bytes) = self.value() {
            heap.extend(bytes);
        }
        self.reshape(self.header().has_expiry(), 0, 0);
        self.set_value(
            Kind::Heap,
            Value {
                heap: heap.into_raw(),
            },
        );
    }

    /// Frees a value that has its own allocation, leaving the integer 0.
    #[inline]
    fn release_heap(&mut self) {
        if self.kind() == Kind::Heap {
            // SAFETY: kind Heap says that `heap` is in use; the value is replaced before anyone sees it.
            let heap = unsafe { HeapString::from_raw(self.header().value.heap) };
            self.set_value(Kind::Int, Value { int: 0 });
            drop(heap);
        }
    }

    /// Changes a value of kind Heap, whose address may change.
    fn change_heap(&mut self, change: impl FnOnce(&mut HeapString)) {
        debug_assert_eq!(self.kind(), Kind::Heap);
        // SAFETY: kind Heap says that `heap` is in use. The entry holds the integer 0 meanwhile, so that
        // the string has one owner even if `change` unwinds.
        let mut heap = unsafe { HeapString::from_raw(self.header().value.heap) };
        self.set_value(Kind::Int, Value { int: 0 });
        change(&mut heap);
        self.set_value(
            Kind::Heap,
            Value {
                heap: heap.into_raw(),
            },
        );
    }

    fn string_len(&self) -> usize {
        match self.value() {
            ValueRef::Int(int) => int.to_string().len(),
            ValueRef::Str(bytes) => bytes.len(),
        }
    }

    /// Where the embedded value starts.
    fn embedded(&self) -> *mut u8 {
        let header = self.header();
        // SAFETY: key and expiry lie within the allocation.
        unsafe { tail(self.0).add(header.expiry_bytes() + header.key_len as usize) }
    }

    fn kind(&self) -> Kind {
        self.header().kind()
    }

    fn header(&self) -> &Header {
        // SAFETY: the pointer is valid for the life of self.
        unsafe { self.0.as_ref() }
    }

    #[inline]
    fn set_value(&mut self, kind: Kind, value: Value) {
        let header = self.header();
        header
            .meta
            .set(header.meta.get() & !KIND_MASK | kind as u32);
        // SAFETY: the pointer is valid, and self is borrowed mutably.
        unsafe { (*self.0.as_ptr()).value = value };
    }
}

impl Deref for OwnedEntry {
    type Target = Entry;

    #[inline]
    fn deref(&self) -> &Entry {
        // SAFETY: the entry is valid for the life of self, and whoever changes it borrows self mutably.
        unsafe { entry_at(self.0) }
    }
}

impl Drop for OwnedEntry {
    fn drop(&mut self) {
        self.release_heap();
        let size = size_class::round_up(self.header().used_bytes());
        // SAFETY: the allocation has the size class of its contents; nobody uses it after self.
        unsafe { dealloc(self.0.as_ptr().cast(), layout(size)) };
    }
}

impl fmt::Debug for OwnedEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// The entry at `raw`.
///
/// # Safety
/// `raw` is a live entry that nobody changes (but for its access clock) during `'a`.
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

fn kind_of_new(value: &[u8]) -> Kind {
    match value.len() {
        0..=EMBSTR_MAX_BYTES => Kind::Embedded,
        ..=EMBEDDED_MAX_BYTES => Kind::EmbeddedRaw,
        _ => Kind::Heap,
    }
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

/// What follows the header.
fn tail(header: NonNull<Header>) -> *mut u8 {
    header.as_ptr().wrapping_add(1).cast()
}

fn layout(size: usize) -> Layout {
    // SAFETY: the alignment is a power of two, and size, the class of a key below 4 GiB and an embedded
    // value of at most 1 KiB, is far below isize::MAX.
    unsafe { Layout::from_size_align_unchecked(size, ENTRY_ALIGN) }
}

/// Allocates the size class of `used` bytes (at least a header).
fn allocate(used: usize) -> NonNull<Header> {
    let layout = layout(size_class::round_up(used));
    // SAFETY: the layout is not empty.
    let raw = unsafe { alloc(layout) };
    NonNull::new(raw.cast()).unwrap_or_else(|| handle_alloc_error(layout))
}

const _: () = assert!(
    usize::BITS == 64,
    "cells keep tags in the upper bits of 64-bit addresses"
);

#[cfg(test)]
mod tests {
    use super::*;

    fn string(value: &[u8]) -> OwnedEntry {
        OwnedEntry::string(b"key", value, None).unwrap()
    }

    #[test]
    fn sixteen_and_sixty_four_take_ninety_six() {
        let entry = OwnedEntry::string(&[b'k'; 16], &[b'v'; 64], None).unwrap();
        assert_eq!(entry.memory_bytes(), 96);
        assert_eq!(entry.key(), &[b'k'; 16]);
        assert_eq!(entry.value(), ValueRef::Str(&[b'v'; 64]));
    }

    #[test]
    fn encodings_are_those_of_redis() {
        assert_eq!(string(&[b'v'; 44]).encoding(), Encoding::Embstr);
        assert_eq!(string(&[b'v'; 45]).encoding(), Encoding::Raw);
        assert_eq!(string(&[b'v'; 5000]).encoding(), Encoding::Raw);
        let mut entry = OwnedEntry::int(b"key", -17, None).unwrap();
        assert_eq!(entry.encoding(), Encoding::Int);
        assert_eq!(entry.append(b"5").unwrap(), 4);
        assert_eq!(
            (entry.value(), entry.encoding()),
            (ValueRef::Str(b"-175"), Encoding::Raw)
        );
    }

    #[test]
    fn expiry_comes_and_goes() {
        for len in [0, 5, 9, 13, 64, 1024, 2000] {
            let value = vec![b'v'; len];
            let mut entry = string(&value);
            entry.set_access(77);
            for expire_at in [Some(1), Some(i64::MAX), None, Some(-5), None] {
                entry.set_expire(expire_at);
                assert_eq!(entry.expire_at(), expire_at);
                assert_eq!(entry.key(), b"key");
                assert_eq!(entry.value(), ValueRef::Str(&value));
                assert_eq!(entry.access(), 77);
            }
        }
    }

    #[test]
    fn expired_only_after_its_millisecond() {
        let entry = OwnedEntry::int(b"key", 1, Some(1000)).unwrap();
        assert!(!entry.is_expired(1000));
        assert!(entry.is_expired(1001));
    }

    #[test]
    fn same_class_is_in_place() {
        let mut entry = OwnedEntry::string(&[b'k'; 16], &[b'v'; 60], None).unwrap();
        let before = entry.0;
        entry.set_string(&[b'w'; 64], None);
        entry.set_string(&[b'x'; 50], Some(5));
        assert_eq!(entry.0, before);
        assert_eq!(
            (entry.value(), entry.expire_at()),
            (ValueRef::Str(&[b'x'; 50]), Some(5))
        );
    }

    #[test]
    fn renamed_and_copied() {
        for len in [3, 100, 3000] {
            let entry = OwnedEntry::string(b"a", &vec![b'v'; len], Some(9)).unwrap();
            entry.set_access(3);
            let copy = entry.copy_as(b"longer key").unwrap();
            let moved = entry.with_key(b"other").unwrap();
            assert_eq!(moved.value(), copy.value());
            assert_eq!(
                (moved.key(), copy.key()),
                (&b"other"[..], &b"longer key"[..])
            );
            assert_eq!((moved.expire_at(), copy.expire_at()), (Some(9), Some(9)));
            assert_eq!((moved.access(), copy.access()), (3, 3));
        }
    }

    #[test]
    fn changed_embstr_copies_as_raw() {
        let mut entry = string(b"abc");
        entry.append(b"d").unwrap();
        assert_eq!(entry.copy_as(b"k").unwrap().encoding(), Encoding::Raw);
    }

    #[test]
    fn too_long_is_an_error() {
        let error = string(b"x").write_at(usize::MAX, b"yy").unwrap_err();
        assert_eq!(error.max, VALUE_MAX_BYTES);
    }
}
