//! One value, as DUMP gives it and RESTORE takes it.

use hexad_store::Entry;

use crate::encode::{put_value, type_of};
use crate::input::{Input, Stop};
use crate::value::{Value, ValueSpan};
use crate::{Checksum, Error, Type, VERSION, VERSION_MAX};

/// Why a payload is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Its version is too new, its checksum is wrong, or it is too short for either.
    #[error("DUMP payload version or checksum are wrong")]
    Footer,
    /// What it says is no value.
    #[error("Bad data format: {0}")]
    Data(#[from] Error),
}

/// Appends the payload of an entry's value.
pub fn dump(out: &mut Vec<u8>, entry: &Entry, compress: bool) {
    let start = out.len();
    let value = entry.value();
    out.push(type_of(value) as u8);
    put_value(out, value, compress);
    out.extend_from_slice(&VERSION.to_le_bytes());
    let checksum = Checksum::of(&out[start..]);
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// The value of a payload. What must be unpacked goes to `scratch`.
///
/// As in Redis, bytes behind the value are ignored. Payloads of version 11 are taken, which Redis 7.0 refuses: newer nodes migrate keys here.
pub fn restore<'a>(
    payload: &'a [u8],
    max_string_bytes: u64,
    scratch: &'a mut Vec<u8>,
) -> Result<Value<'a>, RestoreError> {
    let body = checked_body(payload).ok_or(RestoreError::Footer)?;
    let mut input = Input::new(body, 0, max_string_bytes);
    let span = input
        .byte()
        .and_then(|byte| ValueSpan::take(Type::from_byte(byte)?, &mut input))
        .map_err(|stop| match stop {
            Stop::More => Error::Truncated(body.len() as u64),
            Stop::Bad(error) => error,
        })?;
    span.unpack(body, scratch)?;
    Ok(span.value(body, scratch))
}

/// Type and value of a payload whose footer is right.
fn checked_body(payload: &[u8]) -> Option<&[u8]> {
    let (summed, checksum) = payload.split_last_chunk::<8>()?;
    let (body, version) = summed.split_last_chunk::<2>()?;
    let version_is_known = u16::from_le_bytes(*version) <= VERSION_MAX;
    let checksum_is_right = u64::from_le_bytes(*checksum) == Checksum::of(summed);
    (version_is_known && checksum_is_right).then_some(body)
}
