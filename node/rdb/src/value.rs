//! Values as they are read.

use hexad_store::{OwnedEntry, TooLong, parse_integer};

use crate::input::{Input, Span, Stop};
use crate::{Error, Type};

/// A value that was read, to be made an entry of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// A string that is the decimal form of this integer.
    Int(i64),
    /// Any other string.
    Str(&'a [u8]),
}

impl Value<'_> {
    /// The entry of this value under `key`.
    pub fn into_entry(self, key: &[u8], expire_at: Option<i64>) -> Result<OwnedEntry, TooLong> {
        match self {
            Self::Int(value) => OwnedEntry::int(key, value, expire_at),
            Self::Str(text) => OwnedEntry::string(key, text, expire_at),
        }
    }
}

/// Where a value lies in the buffer: all of it has arrived.
///
/// A value of many elements will not be taken in one go as a string is, or each piece that arrives
/// would start it again: it keeps what it has read so far beside this.
#[derive(Debug)]
pub(crate) enum ValueSpan {
    String(Span),
}

impl ValueSpan {
    /// Takes a value of this type.
    #[inline]
    pub(crate) fn take(kind: Type, input: &mut Input<'_>) -> Result<Self, Stop> {
        match kind {
            Type::String => input.string().map(Self::String),
        }
    }

    /// Writes into `scratch` what does not stand in the buffer as it is.
    #[inline]
    pub(crate) fn unpack(&self, buffer: &[u8], scratch: &mut Vec<u8>) -> Result<(), Error> {
        match self {
            Self::String(Span::Int(_)) => Ok(()),
            Self::String(span) => span.unpack(buffer, scratch),
        }
    }

    /// The value, once it is unpacked.
    #[inline]
    pub(crate) fn value<'a>(&self, buffer: &'a [u8], scratch: &'a [u8]) -> Value<'a> {
        match self {
            Self::String(Span::Int(value)) => Value::Int((*value).into()),
            // An integer of more than 32 bits stands there as its digits, and becomes an integer
            // again (Redis 7.0: rdbLoad encodes what it loads).
            Self::String(span) => {
                let text = span.bytes(buffer, scratch);
                parse_integer(text).map_or(Value::Str(text), Value::Int)
            }
        }
    }
}
