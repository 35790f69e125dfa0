//! The RDB file format and the payload of DUMP: what a snapshot, a full synchronisation and RESTORE
//! are made of.
//!
//! ```text
//! "REDIS0010"                              magic and version
//! FA key value …                           AUX: facts about the file
//! FE db  FB keys volatile                  SELECTDB, RESIZEDB
//!   [FC ms:8le] [F8 idle | F9 freq:1]      EXPIRETIME_MS, IDLE or FREQ of the next key
//!   type:1 key value                       an entry
//!   …
//! FF checksum:8le                          EOF; CRC-64 of all bytes before it, 0 if switched off
//!
//! length   00nnnnnn                        6 bits            string   length bytes
//!          01nnnnnn n:1                    14 bits                    C0 i8 | C1 i16le | C2 i32le
//!          80 n:4be | 81 n:8be             32 or 64 bits              C3 packed-len len LZF-data
//!
//! DUMP     type:1 value version:2le checksum:8le
//! ```
//!
//! * Writing: [`encode_entry`], [`write_header`], [`write_select_db`] append to a buffer; a
//!   [`Checksum`] sums up what was sent, in the order in which it was sent, and [`write_eof`] ends
//!   the file.
//! * Reading: [`Decoder`] takes bytes as they arrive and gives [`Event`]s.
//! * [`dump`] and [`restore`]: one value, as DUMP and RESTORE pass it on.
//!
//! A data type adds its part in three places: its type bytes and how it is written to `encode`, its
//! type bytes to [`Type`], and how it is read to `value`, where a [`Value`] becomes an entry.
//!
//! This crate knows no file, socket or clock. Version 10 is written (Redis 7.0), 1 to 11 are read.

mod checksum;
mod decoder;
mod dump;
mod encode;
mod error;
mod event;
mod header;
mod input;
mod lzf;
mod opcode;
mod types;
mod value;

pub use checksum::Checksum;
pub use decoder::Decoder;
pub use dump::{RestoreError, dump, restore};
pub use encode::{AccessInfo, Options, encode_entry};
pub use error::Error;
pub use event::{Event, Record, Trailer};
pub use header::{Header, ReplicationInfo, write_eof, write_header, write_select_db};
pub use types::Type;
pub use value::Value;

/// The version that is written: that of Redis 7.0.
pub const VERSION: u16 = 10;

/// The newest version that is read: that of Redis 7.2. It adds encodings of types, nothing to the
/// frame of the file.
pub const VERSION_MAX: u16 = 11;
