//! The arguments of one command, as views into the receive buffer.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::Index;

/// Where one argument lies in its buffer: bytes `start..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArgRange {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset after the last byte.
    pub end: usize,
}

impl ArgRange {
    /// The range `start..end`.
    #[inline]
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// Length in bytes.
    #[inline]
    pub const fn len(self) -> usize {
        self.end - self.start
    }

    /// Whether the argument is the empty string.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// This range, `base` bytes further on.
    #[inline]
    pub const fn shifted(self, base: usize) -> Self {
        Self {
            start: self.start + base,
            end: self.end + base,
        }
    }
}

/// One command's arguments; argument 0 is the command's name.
///
/// A pair of borrowed slices, so passing it by value copies two fat pointers and no data.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    buf: &'a [u8],
    ranges: &'a [ArgRange],
}

impl<'a> Args<'a> {
    /// The arguments at `ranges` of `buf`.
    ///
    /// Each range must lie within `buf`; reading one that does not panics.
    #[inline]
    pub const fn new(buf: &'a [u8], ranges: &'a [ArgRange]) -> Self {
        Self { buf, ranges }
    }

    /// The number of arguments, the command's name included.
    #[inline]
    pub const fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether there is no argument at all (an empty inline line, `*0`).
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Argument `index`, for as long as the buffer lives.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.ranges
            .get(index)
            .map(|range| &self.buf[range.start..range.end])
    }

    /// The arguments from `from` on; none when there are fewer.
    #[inline]
    pub fn slice(&self, from: usize) -> Args<'a> {
        Args {
            buf: self.buf,
            ranges: self.ranges.get(from..).unwrap_or(&[]),
        }
    }

    /// The arguments in order.
    #[inline]
    pub fn iter(&self) -> ArgsIter<'a> {
        ArgsIter {
            buf: self.buf,
            ranges: self.ranges.iter(),
        }
    }

    /// The buffer that the ranges refer to.
    #[inline]
    pub const fn buffer(&self) -> &'a [u8] {
        self.buf
    }

    /// The ranges themselves.
    #[inline]
    pub const fn ranges(&self) -> &'a [ArgRange] {
        self.ranges
    }
}

impl Index<usize> for Args<'_> {
    type Output = [u8];

    /// Argument `index`; panics when there are fewer, so only for what the arity has checked.
    #[inline]
    fn index(&self, index: usize) -> &[u8] {
        let range = self.ranges[index];
        &self.buf[range.start..range.end]
    }
}

impl<'a> IntoIterator for Args<'a> {
    type Item = &'a [u8];
    type IntoIter = ArgsIter<'a>;

    fn into_iter(self) -> ArgsIter<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &Args<'a> {
    type Item = &'a [u8];
    type IntoIter = ArgsIter<'a>;

    fn into_iter(self) -> ArgsIter<'a> {
        self.iter()
    }
}

impl fmt::Debug for Args<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|arg| arg.escape_ascii().to_string()))
            .finish()
    }
}

/// Iterator over [`Args`].
#[derive(Clone)]
pub struct ArgsIter<'a> {
    buf: &'a [u8],
    ranges: std::slice::Iter<'a, ArgRange>,
}

impl<'a> Iterator for ArgsIter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        self.ranges
            .next()
            .map(|range| &self.buf[range.start..range.end])
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.ranges.size_hint()
    }
}

impl DoubleEndedIterator for ArgsIter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        self.ranges
            .next_back()
            .map(|range| &self.buf[range.start..range.end])
    }
}

impl ExactSizeIterator for ArgsIter<'_> {}
impl FusedIterator for ArgsIter<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    const BUF: &[u8] = b"setkeyvalue";
    const RANGES: &[ArgRange] = &[
        ArgRange::new(0, 3),
        ArgRange::new(3, 6),
        ArgRange::new(6, 11),
    ];

    #[test]
    fn views_of_the_buffer() {
        let args = Args::new(BUF, RANGES);
        assert_eq!(args.len(), 3);
        assert_eq!(&args[0], b"set");
        assert_eq!(args.get(2), Some(&b"value"[..]));
        assert_eq!(args.get(3), None);
        assert_eq!(
            args.iter().rev().collect::<Vec<_>>(),
            [&b"value"[..], b"key", b"set"]
        );
        assert_eq!(
            args.slice(1).iter().collect::<Vec<_>>(),
            [&b"key"[..], b"value"]
        );
        assert!(args.slice(4).is_empty());
        assert_eq!(format!("{args:?}"), r#"["set", "key", "value"]"#);
    }
}
