//! The bytes of a long string value, in an allocation of their own with room to grow.
//!
//! ```text
//!  0          8          16
//! +----------+----------+------------------- - - -+----------- - - -+
//! | len      | capacity | len bytes of the string | uninitialised   |
//! +----------+----------+------------------- - - -+----------- - - -+
//! ```
//!
//! Length and capacity stand before the bytes, not beside the pointer, because an entry has room for
//! one pointer only.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::ptr::NonNull;
use std::slice;

use crate::size_class;

/// A string that grows by more than it needs does so up to this much: beyond, doubling would waste
/// too much (Redis 7.0: SDS_MAX_PREALLOC).
const MOST_SPARE_BYTES: usize = 1 << 20;

#[repr(C)]
pub(crate) struct Header {
    len: usize,
    /// Bytes that there is room for. Invariant: `len <= capacity`, and header and capacity together
    /// fill a size class.
    capacity: usize,
}

const HEADER_BYTES: usize = size_of::<Header>();

/// An owned string of up to `isize::MAX` bytes.
pub(crate) struct HeapString(NonNull<Header>);

// SAFETY: a HeapString owns its allocation alone, as a Vec<u8> does.
unsafe impl Send for HeapString {}

impl HeapString {
    /// An empty string with room for `capacity` bytes.
    pub(crate) fn with_capacity(capacity: usize) -> HeapString {
        let layout = layout(capacity);
        // SAFETY: the layout is not empty: it holds at least the header.
        let header = unsafe { alloc(layout) }.cast::<Header>();
        let Some(header) = NonNull::new(header) else {
            handle_alloc_error(layout)
        };
        // SAFETY: freshly allocated, large enough and aligned for a Header.
        unsafe {
            header.write(Header {
                len: 0,
                capacity: layout.size() - HEADER_BYTES,
            })
        };
        HeapString(header)
    }

    /// A copy of `bytes`.
    pub(crate) fn new(bytes: &[u8]) -> HeapString {
        let mut string = HeapString::with_capacity(bytes.len());
        string.extend(bytes);
        string
    }

    /// Gives up ownership; [`HeapString::from_raw`] takes it back.
    pub(crate) fn into_raw(self) -> *mut Header {
        let raw = self.0.as_ptr();
        std::mem::forget(self);
        raw
    }

    /// Takes ownership back.
    ///
    /// # Safety
    /// `raw` comes from [`HeapString::into_raw`], and nobody else takes it back too.
    pub(crate) unsafe fn from_raw(raw: *mut Header) -> HeapString {
        // SAFETY: into_raw gives no null.
        HeapString(unsafe { NonNull::new_unchecked(raw) })
    }

    /// The bytes of a string that lives as `raw`.
    ///
    /// # Safety
    /// `raw` comes from [`HeapString::into_raw`] and is not taken back, nor its string changed, during
    /// `'a`.
    pub(crate) unsafe fn bytes_of_raw<'a>(raw: *mut Header) -> &'a [u8] {
        // SAFETY: the first `len` bytes after the header are initialised (invariant of the type).
        unsafe { slice::from_raw_parts(data(raw), (*raw).len) }
    }

    /// Bytes that the allocation of the string `raw` takes.
    ///
    /// # Safety
    /// As for [`HeapString::bytes_of_raw`].
    pub(crate) unsafe fn allocated_by_raw(raw: *mut Header) -> usize {
        // SAFETY: the caller's promise.
        HEADER_BYTES + unsafe { (*raw).capacity }
    }

    pub(crate) fn len(&self) -> usize {
        // SAFETY: the pointer is valid for the life of self.
        unsafe { self.0.as_ref().len }
    }

    pub(crate) fn capacity(&self) -> usize {
        // SAFETY: the pointer is valid for the life of self.
        unsafe { self.0.as_ref().capacity }
    }

    /// Makes the string `bytes`, in place where they fit and do not leave most of the room unused.
    pub(crate) fn assign(&mut self, bytes: &[u8]) {
        let fits = bytes.len() <= self.capacity();
        if fits && bytes.len() >= self.capacity() / 2 {
            self.set_len(0);
            self.extend(bytes);
        } else {
            *self = HeapString::new(bytes);
        }
    }

    /// Appends `bytes`, leaving spare room for further appends where the string had to be moved.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        let len = self.len();
        self.reserve(len + bytes.len());
        // SAFETY: there is room for them after the first len bytes; `bytes` borrows other memory, as
        // self is borrowed mutably.
        unsafe {
            data(self.0.as_ptr())
                .add(len)
                .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
        self.set_len(len + bytes.len());
    }

    /// Overwrites from `offset` on, filling a gap before it with zeros.
    pub(crate) fn write_at(&mut self, offset: usize, bytes: &[u8]) {
        let (old, end) = (self.len(), offset + bytes.len());
        self.reserve(end);
        let data = data(self.0.as_ptr());
        // SAFETY: there is room up to end >= offset; `bytes` is other memory, as above. Bytes from old
        // to offset are zeroed before they count.
        unsafe {
            if offset > old {
                data.add(old).write_bytes(0, offset - old);
            }
            data.add(offset)
                .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
        self.set_len(old.max(end));
    }

    /// Makes room for `wanted` bytes, and for as many again if a move is needed.
    fn reserve(&mut self, wanted: usize) {
        let capacity = self.capacity();
        if wanted <= capacity {
            return;
        }
        let spare = if self.len() == 0 {
            0
        } else {
            wanted.min(MOST_SPARE_BYTES)
        };
        let (old, new) = (layout(capacity), layout(wanted + spare));
        // SAFETY: the allocation has layout `old`, which layout() gives for its capacity, and the new
        // size is no less than the header's.
        let raw = unsafe { realloc(self.0.as_ptr().cast(), old, new.size()) };
        let Some(raw) = NonNull::new(raw.cast::<Header>()) else {
            handle_alloc_error(new)
        };
        self.0 = raw;
        // SAFETY: the header was moved along.
        unsafe { (*raw.as_ptr()).capacity = new.size() - HEADER_BYTES };
    }

    fn set_len(&mut self, len: usize) {
        debug_assert!(len <= self.capacity());
        // SAFETY: the pointer is valid, and self is borrowed mutably.
        unsafe { self.0.as_mut().len = len };
    }
}

impl Drop for HeapString {
    fn drop(&mut self) {
        // SAFETY: allocated with the layout of this capacity; nobody uses it after self.
        unsafe { dealloc(self.0.as_ptr().cast(), layout(self.capacity())) };
    }
}

/// The layout of a string with room for `capacity` bytes, rounded up to a size class; idempotent on the
/// capacities that result.
///
/// A capacity that no address space holds is reported as an allocation failure is.
fn layout(capacity: usize) -> Layout {
    let bytes = size_class::round_up(
        HEADER_BYTES
            .saturating_add(capacity)
            .min(isize::MAX as usize / 2),
    );
    match Layout::from_size_align(bytes, align_of::<Header>()) {
        Ok(layout) if bytes - HEADER_BYTES >= capacity => layout,
        _ => handle_alloc_error(Layout::new::<Header>()),
    }
}

fn data(raw: *mut Header) -> *mut u8 {
    raw.wrapping_add(1).cast()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(string: &HeapString) -> &[u8] {
        // SAFETY: the string is borrowed for as long as the bytes.
        unsafe { HeapString::bytes_of_raw(string.0.as_ptr()) }
    }

    #[test]
    fn grows_and_overwrites() {
        let mut string = HeapString::new(b"hello");
        assert_eq!(bytes(&string), b"hello");
        string.extend(&[b'x'; 1000]);
        assert_eq!(string.len(), 1005);
        assert!(string.capacity() >= 2 * 1005 - 16);
        string.write_at(2000, b"end");
        assert_eq!(&bytes(&string)[1005..2000], &[0; 995][..]);
        assert_eq!(&bytes(&string)[2000..], b"end");
        string.write_at(0, b"J");
        assert_eq!(&bytes(&string)[..5], b"Jello");
        assert_eq!(string.len(), 2003);
    }

    #[test]
    fn assign_reuses_room_that_fits() {
        let mut string = HeapString::new(&[1; 3000]);
        let before = string.0;
        string.assign(&[2; 2500]);
        assert_eq!((string.0, bytes(&string)), (before, &[2; 2500][..]));
        string.assign(&[3; 10]);
        assert!(string.capacity() < 100);
        string.assign(b"");
        assert_eq!(bytes(&string), b"");
    }

    #[test]
    fn raw_round_trip() {
        let raw = HeapString::new(b"abc").into_raw();
        // SAFETY: raw is taken back once, after its last use.
        unsafe {
            assert_eq!(HeapString::allocated_by_raw(raw), 32);
            drop(HeapString::from_raw(raw));
        }
    }
}
