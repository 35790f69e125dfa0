//! The RDB payload of a full synchronisation, as it comes over the link.
//!
//! ```text
//!   \n \n …  $1234\r\n        1234 bytes                the stream
//!   \n \n …  $EOF:<mark>\r\n  bytes …  <mark>           the stream
//! ```
//!
//! The mark is 40 random characters; that they turn up in the payload by chance is out of the
//! question. Empty lines before the header keep the link alive while the primary prepares.

use memchr::memmem::Finder;
use thiserror::Error;

use crate::log::printable;

/// The longest header. (Redis 7.0: 1024.)
const HEADER_MAX_BYTES: usize = 1024;
/// The length of a mark.
const MARK_BYTES: usize = 40;

/// What a header announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// So many bytes. It comes from the primary: not a size to allocate unseen.
    Sized(u64),
    /// What comes before a mark. Once it is loaded, a REPLCONF ACK has to be sent at once, and then
    /// each second as always: the primary does not begin the stream before it has got one.
    Marked,
}

/// Why a transfer cannot go on; the text is the log line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TransferError {
    /// The primary gave up.
    #[error("MASTER aborted replication with an error: {0}")]
    Aborted(String),
    /// This is no header.
    #[error(
        "Bad protocol from MASTER, the first byte is not '$' (we received '{0}'), are you sure the \
         host and port are right?"
    )]
    BadHeader(String),
    /// A length that is none.
    #[error("Bad protocol from MASTER, the length of the payload is wrong (we received '{0}')")]
    BadLength(String),
}

/// What [`Transfer::step`] found at the front of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferStep<'a> {
    /// Nothing that can be decided yet.
    NeedMore,
    /// An empty line: the link lives.
    KeepAlive,
    /// The header; the payload follows.
    Header(Payload),
    /// A part of the payload, never empty.
    Payload(&'a [u8]),
    /// The end. What is left of the input belongs to the stream.
    End,
}

/// Cuts a payload out of what arrives.
///
/// Call [`step`](Self::step) with what has arrived until it says [`TransferStep::NeedMore`] or
/// [`TransferStep::End`]. It takes what it has understood from the front of the input; what is left
/// (at most a header, or 39 bytes that may begin the mark) has to be there again, with more behind
/// it, at the next call.
#[derive(Debug, Default)]
pub struct Transfer {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Header,
    Sized(u64),
    Marked(Box<Finder<'static>>),
    End,
}

impl Transfer {
    /// A transfer whose header has not come yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on with what has arrived.
    pub fn step<'a>(&mut self, input: &mut &'a [u8]) -> Result<TransferStep<'a>, TransferError> {
        let taken = match &mut self.state {
            State::Header => return self.header(input),
            State::End | State::Sized(0) => {
                self.state = State::End;
                return Ok(TransferStep::End);
            }
            State::Sized(left) => {
                let taken = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(input.len());
                *left -= taken as u64;
                taken
            }
            State::Marked(mark) => match mark.find(input) {
                Some(0) => {
                    *input = &input[MARK_BYTES..];
                    self.state = State::End;
                    return Ok(TransferStep::End);
                }
                Some(at) => at,
                None => input.len() - may_begin(mark.needle(), input),
            },
        };
        let (payload, rest) = input.split_at(taken);
        *input = rest;
        Ok(match payload {
            [] => TransferStep::NeedMore,
            payload => TransferStep::Payload(payload),
        })
    }

    fn header<'a>(&mut self, input: &mut &'a [u8]) -> Result<TransferStep<'a>, TransferError> {
        let start = &input[..input.len().min(HEADER_MAX_BYTES)];
        let Some(end) = memchr::memchr(b'\n', start) else {
            return match start.len() {
                HEADER_MAX_BYTES => Err(TransferError::BadHeader(printable(start))),
                _ => Ok(TransferStep::NeedMore),
            };
        };
        *input = &input[end + 1..];
        let line = start[..end].strip_suffix(b"\r").unwrap_or(&start[..end]);
        match line {
            [] => Ok(TransferStep::KeepAlive),
            [b'-', reason @ ..] => Err(TransferError::Aborted(printable(reason))),
            [b'$', what @ ..] => {
                let (payload, state) =
                    parse_header(what).ok_or_else(|| TransferError::BadLength(printable(line)))?;
                self.state = state;
                Ok(TransferStep::Header(payload))
            }
            _ => Err(TransferError::BadHeader(printable(line))),
        }
    }
}

fn parse_header(what: &[u8]) -> Option<(Payload, State)> {
    if let Some(mark) = what.strip_prefix(b"EOF:") {
        // As in Redis, what may stand behind the mark is of no meaning.
        let finder = Finder::new(mark.get(..MARK_BYTES)?).into_owned();
        return Some((Payload::Marked, State::Marked(Box::new(finder))));
    }
    let bytes = u64::try_from(hexad_resp::parse_i64(what)?).ok()?;
    Some((Payload::Sized(bytes), State::Sized(bytes)))
}

/// How many bytes at the end of the input may be the beginning of the mark.
fn may_begin(mark: &[u8], input: &[u8]) -> usize {
    let most = input.len().min(mark.len() - 1);
    (1..=most)
        .rev()
        .find(|&bytes| input.ends_with(&mark[..bytes]))
        .unwrap_or(0)
}
