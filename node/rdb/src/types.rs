//! The types of values, by their byte in a file (Redis 7.0: rdb.h; 18 to 21 from version 11 on).

use std::fmt;

use crate::Error;

/// The type of a value, and how it is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Type {
    /// A string.
    String = 0,
}

impl Type {
    /// The type that a byte stands for.
    #[inline]
    pub fn from_byte(byte: u8) -> Result<Self, Error> {
        match byte {
            0 => Ok(Self::String),
            _ if TypeByte(byte).name().is_some() => Err(Error::UnsupportedType(byte)),
            _ => Err(Error::UnknownType(byte)),
        }
    }
}

/// A type byte in words, those included that cannot be read yet.
pub(crate) struct TypeByte(pub(crate) u8);

impl TypeByte {
    fn name(&self) -> Option<&'static str> {
        Some(match self.0 {
            0 => "string",
            1 | 10 | 14 | 18 => "list",
            2 | 11 | 20 => "set",
            3 | 5 | 12 | 17 => "sorted set",
            4 | 9 | 13 | 16 => "hash",
            6 | 7 => "module value",
            15 | 19 | 21 => "stream",
            _ => return None,
        })
    }
}

impl fmt::Display for TypeByte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (type {})", self.name().unwrap_or("unknown"), self.0)
    }
}
