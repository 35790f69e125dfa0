//! Making, changing and freeing entries.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;

use super::{
    EMBEDDED_MAX_BYTES, EMBSTR_MAX_BYTES, ENTRY_ALIGN, Entry, GENERATION, HAS_EXPIRY, Header,
    KEY_MAX_BYTES, KIND_MASK, Kind, TooLong, Value, ValueRef, check_value_len, entry_at,
    expiry_bytes, used_bytes,
};
use crate::heap_string::HeapString;
use crate::size_class;

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
        self.reshape(expire_at, embedded_len, embedded_len);
    }

    /// Replaces value and expiry by a string; key and access clock stay. In place if the size class
    /// stays the same.
    #[inline]
    pub(crate) fn set_string(&mut self, value: &[u8], expire_at: Option<i64>) {
        self.set_string_of_kind(kind_of_new(value), value, expire_at);
    }

    pub(super) fn set_string_of_kind(&mut self, kind: Kind, value: &[u8], expire_at: Option<i64>) {
        match (self.kind(), kind) {
            (Kind::Heap, Kind::Heap) => {
                self.set_expire(expire_at);
                self.change_heap(|heap| heap.assign(value));
            }
            (_, Kind::Heap) => {
                let heap = HeapString::new(value);
                self.reshape(expire_at, 0, 0);
                self.set_value(
                    Kind::Heap,
                    Value {
                        heap: heap.into_raw(),
                    },
                );
            }
            (_, embedded) => {
                self.release_heap();
                self.reshape(expire_at, value.len(), 0);
                self.fill(embedded, value);
            }
        }
    }

    /// Replaces value and expiry by an integer; key and access clock stay.
    pub(crate) fn set_int(&mut self, value: i64, expire_at: Option<i64>) {
        self.release_heap();
        self.reshape(expire_at, 0, 0);
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
        if let ValueRef::Int(int) = self.value() {
            return Ok(self.write_over_int(int, offset, bytes));
        }
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

    /// [`Entry::generation`], which here needs nothing but the header.
    #[inline]
    pub(crate) fn generation(&self) -> bool {
        self.header().meta.get() & GENERATION != 0
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
        // SAFETY: freshly allocated, with room for header, expiry and key; `key` is other memory.
        unsafe {
            header.write(Header {
                meta: Cell::new(0),
                key_len,
                value: Value { int: 0 },
            });
            let start = expiry_bytes(expire_at.is_some());
            tail(header)
                .add(start)
                .copy_from_nonoverlapping(key.as_ptr(), key.len());
        }
        let mut entry = OwnedEntry(header);
        entry.write_expiry(expire_at);
        Ok(entry)
    }

    /// Makes the allocation fit this expiry, which it sets, and an embedded value of `embedded_len` bytes,
    /// of which it keeps the first `keep` bytes of the present embedded value.
    ///
    /// Until the caller has set the value, the entry is not to be looked at: this is the one step between
    /// two states of an entry, and nothing in between can unwind.
    #[inline]
    fn reshape(&mut self, expire_at: Option<i64>, embedded_len: usize, keep: usize) {
        let header = self.header();
        let key_len = header.key_len as usize;
        let old_size = size_class::round_up(header.used_bytes());
        let new_size = size_class::round_up(used_bytes(expire_at.is_some(), key_len, embedded_len));
        let old_start = header.expiry_bytes();
        let new_start = expiry_bytes(expire_at.is_some());
        let moved = key_len + keep;
        debug_assert!(keep <= embedded_len && keep <= header.embedded_len());
        if old_size == new_size {
            if old_start != new_start {
                // SAFETY: both ranges lie within the allocation, and copy_to() allows them to overlap.
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
        self.write_expiry(expire_at);
        if self.kind().is_embedded() {
            self.set_value(
                self.kind(),
                Value {
                    len: embedded_len as u64,
                },
            );
        }
    }

    /// Sets the expiry of an entry that has the room for it at the start of its tail, or none.
    #[inline]
    fn write_expiry(&mut self, expire_at: Option<i64>) {
        let meta = self.header().meta.get() & !HAS_EXPIRY;
        self.header().meta.set(if expire_at.is_some() {
            meta | HAS_EXPIRY
        } else {
            meta
        });
        if let Some(expire_at) = expire_at {
            // SAFETY: the caller has made room; it is 8-aligned, as the allocation is 16-aligned and the
            // header 16 bytes long.
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
        self.reshape(self.expire_at(), new_len, old_len);
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

    /// [`OwnedEntry::write_at`] for the decimal string of an integer. In one step: an entry that moved twice
    /// could come to lie at its old address again, and [`Segment::change`](crate::segment::Segment::change)
    /// would keep its pointer to the freed allocation there.
    fn write_over_int(&mut self, int: i64, offset: usize, bytes: &[u8]) -> usize {
        let mut text = int.to_string().into_bytes();
        let len = text.len().max(offset + bytes.len());
        text.resize(len, 0);
        text[offset..offset + bytes.len()].copy_from_slice(bytes);
        let kind = if len <= EMBEDDED_MAX_BYTES {
            Kind::EmbeddedRaw
        } else {
            Kind::Heap
        };
        self.set_string_of_kind(kind, &text, self.expire_at());
        len
    }

    /// Moves an embedded string to an allocation of its own with room for `capacity` bytes.
    fn embedded_to_heap(&mut self, capacity: usize) {
        let mut heap = HeapString::with_capacity(capacity);
        if let ValueRef::Str(bytes) = self.value() {
            heap.extend(bytes);
        }
        self.reshape(self.expire_at(), 0, 0);
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

fn kind_of_new(value: &[u8]) -> Kind {
    match value.len() {
        ..=EMBSTR_MAX_BYTES => Kind::Embedded,
        len if len <= EMBEDDED_MAX_BYTES => Kind::EmbeddedRaw,
        _ => Kind::Heap,
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
