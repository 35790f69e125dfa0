//! RESP2 and RESP3 as a server speaks them: a request parser and a reply writer.
//!
//! Both are sans-I/O: bytes in, ranges out; values in, bytes out. Neither knows a socket, a
//! command or a key. Reference behaviour is Redis 7.0.15.
//!
//! * [`RequestParser`] cuts a receive buffer into commands. Arguments are ranges of the buffer, so
//!   a pipelined command costs no allocation and no copy.
//! * [`Args`] is one command's arguments: the buffer and its ranges.
//! * [`Reply`] appends replies to a `Vec<u8>` and converts what RESP2 cannot say.
//! * [`split_words`] is the quoting of inline commands, for texts that come from elsewhere.
//! * [`parse_i64`] and [`write_double`] are the protocol's integer and double texts.

mod args;
mod inline;
mod number;
mod reply;
mod request;

pub use args::{ArgRange, Args, ArgsIter};
pub use inline::split_words;
pub use number::{parse_i64, write_double};
pub use reply::{Deferred, Proto, Reply};
pub use request::{INLINE_MAX_BYTES, Limits, Parsed, ProtocolError, RequestParser};
