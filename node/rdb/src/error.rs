//! What can be wrong with a file or a payload.

use crate::types::TypeByte;
use crate::{VERSION_MAX, opcode};

/// Why a file or a payload cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It does not start as an RDB file does.
    #[error("wrong signature: not an RDB file")]
    Signature,
    /// A version that this crate does not know.
    #[error("RDB version {0} is not supported, only 1 to {VERSION_MAX}")]
    Version(u16),
    /// A length's first byte is none of those that there are.
    #[error("length of unknown encoding {0:#04x}")]
    Length(u8),
    /// A string in place of a length.
    #[error("an encoded string where a length must be")]
    NotALength,
    /// A string's encoding that there is none of.
    #[error("string of unknown encoding {0}")]
    StringEncoding(u8),
    /// Compressed bytes do not stand for what they claim to.
    #[error("invalid LZF data")]
    Compression,
    /// A string is longer than the reader allows.
    #[error("string of {len} bytes exceeds the limit of {max}")]
    TooLong {
        /// The length that the file claims.
        len: u64,
        /// The longest that is allowed.
        max: u64,
    },
    /// A database number that is none.
    #[error("database number {0} is out of range")]
    Database(u64),
    /// A value of a type that is not there yet.
    #[error("values of other data types are not supported yet: {}", TypeByte(*.0))]
    UnsupportedType(u8),
    /// A type or opcode that there is none of.
    #[error("unknown type or opcode {0}")]
    UnknownType(u8),
    /// A function library.
    #[error(
        "function library of a release candidate (opcode {})",
        opcode::FUNCTION_PRE_GA
    )]
    PreReleaseFunction,
    /// Data that only a module understands.
    #[error("data of the module '{0}', which is not loaded")]
    ModuleData(String),
    /// The checksum at the end is another one than that of the file's bytes.
    #[error("wrong checksum: {stored:016x} in the file, {computed:016x} of the file")]
    Checksum {
        /// At the end of the file.
        stored: u64,
        /// Of the bytes before it.
        computed: u64,
    },
    /// The bytes end before the file does.
    #[error("unexpected end after {0} bytes")]
    Truncated(u64),
}
