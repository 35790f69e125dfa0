//! Writing entries.

use hexad_store::{Entry, LfuSettings, ValueRef, lfu_counter, lru_idle_ms, parse_integer};

use crate::types::Type;
use crate::{lzf, opcode};

/// Longest string that is tried as an integer: `-2147483648` (Redis 7.0: rdbSaveRawString).
const INTEGER_MAX_BYTES: usize = 11;
/// Shortest string that is tried to be compressed (Redis 7.0: rdbSaveRawString).
const COMPRESS_MIN_BYTES: usize = 21;
/// What compression must save at least, in bytes (Redis 7.0: rdbSaveLzfStringObject).
const COMPRESS_GAIN_BYTES: usize = 4;

/// How entries are written.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// `rdbcompression`: strings that LZF makes shorter are written so.
    pub compress: bool,
    /// What is said about the last access to a key.
    pub access: AccessInfo,
}

/// What a file says about the last access to a key (Redis 7.0: by `maxmemory-policy`).
#[derive(Clone, Copy, Debug)]
pub enum AccessInfo {
    /// Nothing: no policy needs it.
    None,
    /// Seconds since then: an LRU policy.
    Idle {
        /// The LRU clock of now.
        now: u32,
    },
    /// The frequency: an LFU policy.
    Frequency {
        /// Unix time in milliseconds.
        now_ms: i64,
        /// How fast counters decay.
        settings: LfuSettings,
    },
}

/// Appends one entry: its expiry and access if any, type, key and value.
#[inline]
pub fn encode_entry(out: &mut Vec<u8>, entry: &Entry, options: &Options) {
    if let Some(expire_at) = entry.expire_at() {
        out.push(opcode::EXPIRETIME_MS);
        out.extend_from_slice(&expire_at.to_le_bytes());
    }
    match options.access {
        AccessInfo::None => {}
        AccessInfo::Idle { now } => {
            out.push(opcode::IDLE);
            put_length(out, lru_idle_ms(entry.access(), now) / 1000);
        }
        AccessInfo::Frequency { now_ms, settings } => {
            out.extend_from_slice(&[opcode::FREQ, lfu_counter(entry.access(), now_ms, settings)]);
        }
    }
    let value = entry.value();
    out.push(type_of(value) as u8);
    put_string(out, entry.key(), options.compress);
    put_value(out, value, options.compress);
}

/// The type byte of a value as it is written.
pub(crate) fn type_of(value: ValueRef<'_>) -> Type {
    match value {
        ValueRef::Int(_) | ValueRef::Str(_) => Type::String,
    }
}

/// Appends a value without its type.
pub(crate) fn put_value(out: &mut Vec<u8>, value: ValueRef<'_>, compress: bool) {
    match value {
        ValueRef::Int(value) => put_integer(out, value),
        ValueRef::Str(text) => put_string(out, text, compress),
    }
}

/// Appends an integer as the string that it is.
pub(crate) fn put_integer(out: &mut Vec<u8>, value: i64) {
    if let Ok(small) = i32::try_from(value) {
        return put_small_integer(out, small);
    }
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(value).as_bytes();
    put_length(out, digits.len() as u64);
    out.extend_from_slice(digits);
}

/// Appends a string in its shortest form.
pub(crate) fn put_string(out: &mut Vec<u8>, text: &[u8], compress: bool) {
    if text.len() <= INTEGER_MAX_BYTES
        && let Some(small) = parse_integer(text).and_then(|value| i32::try_from(value).ok())
    {
        return put_small_integer(out, small);
    }
    if compress && text.len() >= COMPRESS_MIN_BYTES && put_compressed(out, text) {
        return;
    }
    put_length(out, text.len() as u64);
    out.extend_from_slice(text);
}

/// Appends a length in its shortest form.
#[inline]
pub(crate) fn put_length(out: &mut Vec<u8>, length: u64) {
    let (bytes, len) = length_bytes(length);
    out.extend_from_slice(&bytes[..len]);
}

/// The shortest form of a length: that many of the bytes.
#[inline]
fn length_bytes(length: u64) -> ([u8; 9], usize) {
    let mut bytes = [0; 9];
    let len = match length {
        0..0x40 => {
            bytes[0] = opcode::LEN_6BIT | length as u8;
            1
        }
        0x40..0x4000 => {
            bytes[0] = opcode::LEN_14BIT | (length >> 8) as u8;
            bytes[1] = length as u8;
            2
        }
        0x4000..=0xFFFF_FFFF => {
            bytes[0] = opcode::LEN_32BIT;
            bytes[1..5].copy_from_slice(&(length as u32).to_be_bytes());
            5
        }
        _ => {
            bytes[0] = opcode::LEN_64BIT;
            bytes[1..].copy_from_slice(&length.to_be_bytes());
            9
        }
    };
    (bytes, len)
}

fn put_small_integer(out: &mut Vec<u8>, value: i32) {
    if let Ok(value) = i8::try_from(value) {
        out.extend_from_slice(&[opcode::LEN_ENCODED | opcode::ENCODED_INT8, value as u8]);
    } else if let Ok(value) = i16::try_from(value) {
        out.push(opcode::LEN_ENCODED | opcode::ENCODED_INT16);
        out.extend_from_slice(&value.to_le_bytes());
    } else {
        out.push(opcode::LEN_ENCODED | opcode::ENCODED_INT32);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// Appends a string in its compressed form, if that gains enough; tells whether it did.
fn put_compressed(out: &mut Vec<u8>, text: &[u8]) -> bool {
    let start = out.len();
    let max = text.len() - COMPRESS_GAIN_BYTES;
    // The compressed length comes first and is known last: room is left for the longest it can be.
    out.push(opcode::LEN_ENCODED | opcode::ENCODED_LZF);
    let (_, room) = length_bytes(max as u64);
    out.extend_from_slice(&[0; 9][..room]);
    put_length(out, text.len() as u64);
    let data = out.len();
    if !lzf::pack(text, out, max) {
        out.truncate(start);
        return false;
    }
    let (bytes, len) = length_bytes((out.len() - data) as u64);
    out.splice(start + 1..start + 1 + room, bytes[..len].iter().copied());
    true
}
