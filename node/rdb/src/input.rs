//! Taking lengths and strings off a buffer that may end in the middle of one.

use std::ops::Range;

use crate::{Error, lzf, opcode};

/// Why nothing could be taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The buffer ends too early: try again, from the start of the item, when there is more.
    More,
    /// The bytes are wrong.
    Bad(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Bad(error)
    }
}

/// A place in a buffer, moving forward.
#[derive(Debug)]
pub(crate) struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
    max_string_bytes: u64,
}

/// Where a string lies in the buffer, and how it is encoded. It is unpacked only when all of its item
/// has arrived, or each attempt at the item would unpack it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    /// The decimal form of this.
    Int(i32),
    /// These bytes.
    Plain(Range<usize>),
    /// `len` bytes, packed.
    Packed { range: Range<usize>, len: usize },
}

impl<'a> Input<'a> {
    /// From index `at` of `bytes` on.
    pub(crate) fn new(bytes: &'a [u8], at: usize, max_string_bytes: u64) -> Self {
        Self {
            bytes,
            at,
            max_string_bytes,
        }
    }

    /// The index of the next byte.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, Stop> {
        let byte = *self.bytes.get(self.at).ok_or(Stop::More)?;
        self.at += 1;
        Ok(byte)
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let array = self.bytes[self.at..].first_chunk().ok_or(Stop::More)?;
        self.at += N;
        Ok(*array)
    }

    /// A number in the place of which no encoded string may stand.
    #[inline]
    pub(crate) fn length(&mut self) -> Result<u64, Stop> {
        let first = self.byte()?;
        if first & opcode::LEN_MASK == opcode::LEN_ENCODED {
            return Err(Error::NotALength.into());
        }
        self.length_after(first)
    }

    /// A string, wherever it lies.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Span, Stop> {
        let first = self.byte()?;
        if first & opcode::LEN_MASK != opcode::LEN_ENCODED {
            let len = self.length_after(first)?;
            let len = self.allowed(len)?;
            return Ok(Span::Plain(self.skip(len)?));
        }
        match first & !opcode::LEN_MASK {
            opcode::ENCODED_INT8 => Ok(Span::Int(i8::from_le_bytes(self.array()?).into())),
            opcode::ENCODED_INT16 => Ok(Span::Int(i16::from_le_bytes(self.array()?).into())),
            opcode::ENCODED_INT32 => Ok(Span::Int(i32::from_le_bytes(self.array()?))),
            opcode::ENCODED_LZF => self.packed(),
            unknown => Err(Error::StringEncoding(unknown).into()),
        }
    }

    fn packed(&mut self) -> Result<Span, Stop> {
        let (packed, len) = (self.length()?, self.length()?);
        let (packed, len) = (self.allowed(packed)?, self.allowed(len)?);
        if len > packed.saturating_mul(lzf::EXPANSION_MAX) {
            return Err(Error::Compression.into());
        }
        Ok(Span::Packed {
            range: self.skip(packed)?,
            len,
        })
    }

    #[inline]
    fn length_after(&mut self, first: u8) -> Result<u64, Stop> {
        let low = first & !opcode::LEN_MASK;
        Ok(match (first & opcode::LEN_MASK, first) {
            (opcode::LEN_6BIT, _) => low.into(),
            (opcode::LEN_14BIT, _) => u64::from(low) << 8 | u64::from(self.byte()?),
            (_, opcode::LEN_32BIT) => u32::from_be_bytes(self.array()?).into(),
            (_, opcode::LEN_64BIT) => u64::from_be_bytes(self.array()?),
            _ => return Err(Error::Length(first).into()),
        })
    }

    #[inline]
    fn allowed(&self, len: u64) -> Result<usize, Stop> {
        let max = self.max_string_bytes;
        if len > max {
            return Err(Error::TooLong { len, max }.into());
        }
        usize::try_from(len).map_err(|_| Error::TooLong { len, max }.into())
    }

    #[inline]
    fn skip(&mut self, len: usize) -> Result<Range<usize>, Stop> {
        if self.bytes.len() - self.at < len {
            return Err(Stop::More);
        }
        let start = self.at;
        self.at += len;
        Ok(start..self.at)
    }
}

impl Span {
    /// Writes into `scratch` what does not stand in the buffer as it is: an integer's digits, what
    /// was packed.
    #[inline]
    pub(crate) fn unpack(&self, buffer: &[u8], scratch: &mut Vec<u8>) -> Result<(), Error> {
        match self {
            Self::Plain(_) => {}
            Self::Int(value) => {
                scratch.clear();
                scratch.extend_from_slice(itoa::Buffer::new().format(*value).as_bytes());
            }
            Self::Packed { range, len } => {
                scratch.clear();
                lzf::unpack(&buffer[range.clone()], scratch, *len).ok_or(Error::Compression)?;
            }
        }
        Ok(())
    }

    /// The string, once it is unpacked.
    #[inline]
    pub(crate) fn bytes<'a>(&self, buffer: &'a [u8], scratch: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Plain(range) => &buffer[range.clone()],
            Self::Int(_) | Self::Packed { .. } => scratch,
        }
    }
}
