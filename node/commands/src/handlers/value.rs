//! A key's value as the handlers of one type see it.

use hexad_resp::Reply;
use hexad_store::{Entry, ValueRef};

use super::errors::WRONG_TYPE;

/// The value of a string, or the error text for a key of another type.
#[inline]
pub(super) fn string(entry: &Entry) -> Result<ValueRef<'_>, &'static str> {
    match entry.value() {
        value @ (ValueRef::Int(_) | ValueRef::Str(_)) => Ok(value),
        #[expect(unreachable_patterns, reason = "strings are the only type yet")]
        _ => Err(WRONG_TYPE),
    }
}

/// The name that TYPE replies and SCAN's TYPE option takes.
pub(super) fn type_name(entry: &Entry) -> &'static str {
    match entry.value() {
        ValueRef::Int(_) | ValueRef::Str(_) => "string",
    }
}

/// Calls `visit` with the bytes of a string, an integer's digits included.
pub(super) fn with_text<R>(
    entry: &Entry,
    visit: impl FnOnce(&[u8]) -> R,
) -> Result<R, &'static str> {
    Ok(match string(entry)? {
        ValueRef::Int(value) => visit(itoa::Buffer::new().format(value).as_bytes()),
        ValueRef::Str(text) => visit(text),
    })
}

/// Length of a string in bytes.
pub(super) fn text_len(entry: &Entry) -> Result<usize, &'static str> {
    with_text(entry, <[u8]>::len)
}

/// Replies a string, null for a missing key, or the error; tells whether it was no error.
#[inline]
pub(super) fn reply_string(entry: Option<&Entry>, reply: &mut Reply) -> bool {
    let Some(entry) = entry else {
        reply.null();
        return true;
    };
    match string(entry) {
        Ok(ValueRef::Str(text)) => reply.bulk(text),
        Ok(ValueRef::Int(value)) => reply.bulk_int(value),
        Err(text) => {
            reply.error(text);
            return false;
        }
    }
    true
}
