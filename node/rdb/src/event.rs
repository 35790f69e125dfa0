//! What a file says, piece by piece.

use crate::Value;

/// Something that a file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A fact about the file. Unknown ones are to be ignored.
    Aux {
        /// What it is about.
        key: &'a [u8],
        /// What it says.
        value: &'a [u8],
    },
    /// The following entries belong to this database.
    SelectDb(u32),
    /// About so many entries follow in this database.
    ResizeDb {
        /// Keys.
        keys: u64,
        /// Keys with an expiry.
        volatile: u64,
    },
    /// About so many entries follow in this slot (of newer versions).
    SlotInfo {
        /// The slot.
        slot: u64,
        /// Keys.
        keys: u64,
        /// Keys with an expiry.
        volatile: u64,
    },
    /// The source of a function library.
    Function {
        /// The source.
        library: &'a [u8],
    },
    /// An entry.
    Record(Record<'a>),
    /// The end.
    Eof(Trailer),
}

/// An entry as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The value.
    pub value: Value<'a>,
    /// Unix time in milliseconds at which it expires; it may be long past.
    pub expire_at: Option<i64>,
    /// Seconds since the last access.
    pub idle_s: Option<u64>,
    /// LFU counter.
    pub freq: Option<u8>,
}

/// What the end of a file tells of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trailer {
    /// The checksum was compared and is right.
    Verified,
    /// There is no checksum, or the decoder was told not to look at it.
    Unverified,
}
