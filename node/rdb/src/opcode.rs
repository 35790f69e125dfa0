//! The bytes that stand where a type might stand (Redis 7.0: rdb.h).

/// What a file starts with; four digits of its version follow.
pub(crate) const MAGIC: &[u8; 5] = b"REDIS";

/// Slot number, number of keys, number of keys with an expiry: hints that newer versions give.
pub(crate) const SLOT_INFO: u8 = 0xF4;
/// A function library's source.
pub(crate) const FUNCTION2: u8 = 0xF5;
/// A function library as release candidates of 7.0 wrote it.
pub(crate) const FUNCTION_PRE_GA: u8 = 0xF6;
/// Data of a module that belongs to no key.
pub(crate) const MODULE_AUX: u8 = 0xF7;
/// Seconds since the last access to the next key.
pub(crate) const IDLE: u8 = 0xF8;
/// LFU counter of the next key, a byte.
pub(crate) const FREQ: u8 = 0xF9;
/// A fact about the file: two strings.
pub(crate) const AUX: u8 = 0xFA;
/// Number of keys and of keys with an expiry: hints for the selected database.
pub(crate) const RESIZEDB: u8 = 0xFB;
/// Expiry of the next key, Unix milliseconds, 8 bytes.
pub(crate) const EXPIRETIME_MS: u8 = 0xFC;
/// Expiry of the next key, Unix seconds, 4 bytes: in old files.
pub(crate) const EXPIRETIME: u8 = 0xFD;
/// The database of the following keys.
pub(crate) const SELECTDB: u8 = 0xFE;
/// The end; from version 5 on a checksum of 8 bytes follows.
pub(crate) const EOF: u8 = 0xFF;

/// The top two bits of a length's first byte.
pub(crate) const LEN_MASK: u8 = 0xC0;
/// The length is the other six bits.
pub(crate) const LEN_6BIT: u8 = 0x00;
/// The length is the other six bits and the next byte.
pub(crate) const LEN_14BIT: u8 = 0x40;
/// The length is the next four bytes, big-endian.
pub(crate) const LEN_32BIT: u8 = 0x80;
/// The length is the next eight bytes, big-endian.
pub(crate) const LEN_64BIT: u8 = 0x81;
/// No length: the other six bits say how a string is encoded.
pub(crate) const LEN_ENCODED: u8 = 0xC0;

/// The string is the decimal form of the next byte, signed.
pub(crate) const ENCODED_INT8: u8 = 0;
/// The string is the decimal form of the next two bytes, little-endian.
pub(crate) const ENCODED_INT16: u8 = 1;
/// The string is the decimal form of the next four bytes, little-endian.
pub(crate) const ENCODED_INT32: u8 = 2;
/// Compressed length, length, compressed bytes.
pub(crate) const ENCODED_LZF: u8 = 3;
