//! Error texts that several handlers share, letter for letter as Redis 7.0.15 writes them: client
//! libraries match on them.

use std::borrow::Cow;

use hexad_resp::Reply;
use hexad_store::TooLong;

use crate::Ctx;

/// Runs what may fail; an error takes the place of whatever was replied before it.
#[inline]
pub(super) fn attempt(ctx: &mut Ctx<'_>, act: impl FnOnce(&mut Ctx<'_>) -> Result<(), ErrorText>) {
    let start = ctx.reply.len();
    if let Err(text) = act(ctx) {
        ctx.reply.truncate(start);
        text.write_to(ctx.reply);
    }
}

/// The whole text of an error reply, which may quote a client's bytes.
pub(super) struct ErrorText(Cow<'static, [u8]>);

impl ErrorText {
    /// Replies the error.
    #[cold]
    pub(super) fn write_to(&self, reply: &mut Reply) {
        reply.error_bytes(&self.0);
    }
}

impl From<&'static str> for ErrorText {
    fn from(text: &'static str) -> Self {
        Self(text.as_bytes().into())
    }
}

/// A key of more than 4 GiB: Redis has no such limit, and so no text for it.
impl From<TooLong> for ErrorText {
    #[cold]
    fn from(error: TooLong) -> Self {
        Self(format!("ERR {error}").into_bytes().into())
    }
}

impl From<Vec<u8>> for ErrorText {
    fn from(text: Vec<u8>) -> Self {
        Self(text.into())
    }
}

/// Options that do not parse.
pub(super) const SYNTAX: &str = "ERR syntax error";
/// An argument or value that is no canonical 64-bit integer.
pub(super) const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";
/// An integer that does not fit 32 bits where a C `int` is read.
pub(super) const NOT_AN_INT: &str =
    "ERR value is out of range, value must between -2147483648 and 2147483647";
/// A count that is no number or negative.
pub(super) const NOT_POSITIVE: &str = "ERR value is out of range, must be positive";
/// An argument or value that is no number.
pub(super) const NOT_A_FLOAT: &str = "ERR value is not a valid float";
/// A command on a key that holds another type.
pub(super) const WRONG_TYPE: &str =
    "WRONGTYPE Operation against a key holding the wrong kind of value";
/// A string that would grow beyond `proto-max-bulk-len`.
pub(super) const STRING_TOO_LONG: &str =
    "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
/// A key that must exist does not.
pub(super) const NO_SUCH_KEY: &str = "ERR no such key";
/// A database number that there is none of.
pub(super) const DB_OUT_OF_RANGE: &str = "ERR DB index is out of range";
/// COPY or MOVE onto itself.
pub(super) const SAME_OBJECT: &str = "ERR source and destination objects are the same";

/// An expiry of zero or less where that makes no sense, or one that overflows.
pub(super) fn invalid_expire(command: &str) -> ErrorText {
    format!("ERR invalid expire time in '{command}' command")
        .into_bytes()
        .into()
}

/// Arguments that do not come in pairs.
pub(super) fn wrong_arity(command: &str) -> ErrorText {
    format!("ERR wrong number of arguments for '{command}' command")
        .into_bytes()
        .into()
}
