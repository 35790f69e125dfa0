//! The request parser: from a receive buffer to argument ranges.
//!
//! ```text
//! multibulk   *2\r\n $3\r\nGET\r\n $3\r\nkey\r\n      inline   GET key\r\n
//! ```
//!
//! A command that is complete in the buffer, with plain lengths, takes the fast path
//! (`parse_whole`): one pass, no state. Everything else (a command cut by the network, an inline
//! command, an error, a client that has to authenticate) takes the resumable path, which remembers
//! how far it got, so bytes are looked at once however small the pieces in which they arrive.
//!
//! Differences from Redis 7.0, none of which a client can rely on: a NUL is a byte like any other
//! (Redis stops looking for a line's end there), and whether a line is too long depends on the line
//! alone (in Redis, also on the pieces in which it arrives).

use memchr::memchr;
use thiserror::Error;

use crate::args::ArgRange;
use crate::inline;
use crate::number::parse_i64;
use crate::reply::Reply;

/// Longest inline command, and longest line that holds a count or length, in bytes without its
/// line end. (Redis 7.0: `PROTO_INLINE_MAX_SIZE`.)
pub const INLINE_MAX_BYTES: usize = 64 * 1024;

/// Arguments and bytes per argument that a client may claim before it has authenticated.
/// (Redis 7.0 does not let strangers make it collect more.)
const UNAUTHENTICATED_MAX_MULTIBULK: i64 = 10;
const UNAUTHENTICATED_MAX_BULK_BYTES: i64 = 16384;

/// Room for arguments that a parser keeps between commands; one huge command must not pin its
/// memory for the life of the connection.
const KEPT_PENDING_ARGS: usize = 256;

/// What a client may send, as it stands when a command is parsed.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `proto-max-bulk-len`: the longest argument, in bytes.
    pub max_bulk_bytes: u64,
    /// The most arguments of one command. (Redis 7.0: [`Limits::MAX_MULTIBULK`].)
    pub max_multibulk: i64,
    /// Whether the client needs no authentication (any more).
    pub authenticated: bool,
}

impl Limits {
    /// The most arguments that Redis 7.0 takes in one command.
    pub const MAX_MULTIBULK: i64 = i32::MAX as i64;
    /// The default of `proto-max-bulk-len`: 512 MiB.
    pub const MAX_BULK_BYTES: u64 = 512 * 1024 * 1024;
}

impl Default for Limits {
    /// The limits of an authenticated client in the default configuration.
    fn default() -> Self {
        Self {
            max_bulk_bytes: Self::MAX_BULK_BYTES,
            max_multibulk: Self::MAX_MULTIBULK,
            authenticated: true,
        }
    }
}

/// What [`RequestParser::parse`] found at the start of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// One command, possibly without any argument (an empty line, `*0`, `*-1`): ignore it then.
    Complete {
        /// How many bytes it took; the next command starts there.
        consumed: usize,
    },
    /// The command is not all there yet.
    Incomplete {
        /// The length that the buffer must reach before another call can get any further. It
        /// comes from the client: not a size to allocate unseen.
        at_least: usize,
    },
}

/// What makes a request unreadable. The connection is closed after the error is sent, since the
/// start of the next command is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProtocolError {
    /// The count after `*` is no integer or above [`Limits::max_multibulk`].
    #[error("invalid multibulk length")]
    InvalidMultibulkLength,
    /// More than 10 arguments before authentication.
    #[error("unauthenticated multibulk length")]
    UnauthenticatedMultibulkLength,
    /// A line that starts with `*` and does not end within [`INLINE_MAX_BYTES`].
    #[error("too big mbulk count string")]
    TooBigMultibulkCount,
    /// A line in place of an argument's length that does not end within [`INLINE_MAX_BYTES`].
    #[error("too big bulk count string")]
    TooBigBulkCount,
    /// An argument that does not start with `$`, but with this byte.
    #[error("expected '$', got '{}'", char::from(*.0))]
    ExpectedDollar(u8),
    /// The length after `$` is no integer, negative, or above [`Limits::max_bulk_bytes`].
    #[error("invalid bulk length")]
    InvalidBulkLength,
    /// An argument of more than 16384 bytes before authentication.
    #[error("unauthenticated bulk length")]
    UnauthenticatedBulkLength,
    /// A quote of an inline command that is never closed, or not followed by a blank.
    #[error("unbalanced quotes in request")]
    UnbalancedQuotes,
    /// An inline command that does not end within [`INLINE_MAX_BYTES`].
    #[error("too big inline request")]
    TooBigInline,
}

impl ProtocolError {
    /// Writes the error reply of Redis 7.0, `-ERR Protocol error: …`.
    pub fn write(&self, reply: &mut Reply) {
        match *self {
            // The byte itself, not the UTF-8 form that Display gives it.
            Self::ExpectedDollar(byte) => {
                let mut text = b"ERR Protocol error: expected '$', got '".to_vec();
                text.extend_from_slice(&[byte, b'\'']);
                reply.error_bytes(&text);
            }
            error => reply.error(&format!("ERR Protocol error: {error}")),
        }
    }
}

/// The parser of one connection's requests.
///
/// Call [`parse`](Self::parse) with the buffer from the first byte of the next command on. On
/// [`Parsed::Complete`] drop (or skip) the consumed bytes and call again for the next command. On
/// [`Parsed::Incomplete`] call again with **the same bytes and more behind them**; they may have
/// moved in memory. After an error the parser must not be used again.
#[derive(Debug, Default)]
pub struct RequestParser {
    /// Arguments of the incomplete command, relative to its first byte. They grow by what has
    /// arrived, never by what the client announced.
    pending: Vec<ArgRange>,
    /// Arguments still to come; `None` before the multibulk header has been read.
    remaining: Option<i64>,
    /// The length of the argument whose bytes are awaited, once its header has been read.
    bulk_bytes: Option<usize>,
    /// Offset of the first byte that is not dealt with yet.
    position: usize,
    /// Offset up to which the line at `position` is known to hold no line end; 0 when unknown.
    scanned: usize,
}

impl RequestParser {
    /// A parser at the start of a connection.
    pub const fn new() -> Self {
        Self {
            pending: Vec::new(),
            remaining: None,
            bulk_bytes: None,
            position: 0,
            scanned: 0,
        }
    }

    /// Whether part of a command has been seen, so that the peer closing now cuts it off.
    pub const fn is_mid_command(&self) -> bool {
        self.position > 0 || self.scanned > 0
    }

    /// How many arguments of an incomplete command there is memory for.
    pub const fn pending_capacity(&self) -> usize {
        self.pending.capacity()
    }

    /// Reads one command from the start of `buf` and appends its arguments to `args`.
    ///
    /// `base` is added to every range, so that ranges of a whole batch of commands can be relative
    /// to the start of the batch. Nothing is appended unless the command is complete. An inline
    /// command's quoted arguments are unescaped in place, within its own bytes; nothing else in
    /// `buf` is changed.
    #[inline]
    pub fn parse(
        &mut self,
        buf: &mut [u8],
        base: usize,
        args: &mut Vec<ArgRange>,
        limits: &Limits,
    ) -> Result<Parsed, ProtocolError> {
        if limits.authenticated && !self.is_mid_command() {
            let first = args.len();
            match parse_whole(buf, base, args, limits) {
                Some(consumed) => return Ok(Parsed::Complete { consumed }),
                None => args.truncate(first),
            }
        }
        self.resume(buf, base, args, limits)
    }

    /// The path for everything: continues from `position`.
    #[cold]
    fn resume(
        &mut self,
        buf: &mut [u8],
        base: usize,
        args: &mut Vec<ArgRange>,
        limits: &Limits,
    ) -> Result<Parsed, ProtocolError> {
        let parsed = match buf.first() {
            None => Parsed::Incomplete { at_least: 1 },
            Some(b'*') => self.resume_multibulk(buf, limits)?,
            Some(_) => self.resume_inline(buf)?,
        };
        if let Parsed::Complete { .. } = parsed {
            args.extend(self.pending.iter().map(|range| range.shifted(base)));
            self.reset();
        }
        Ok(parsed)
    }

    fn resume_inline(&mut self, buf: &mut [u8]) -> Result<Parsed, ProtocolError> {
        let Some(newline) = self.find_in_line(buf, b'\n', ProtocolError::TooBigInline)? else {
            return Ok(Parsed::Incomplete {
                at_least: buf.len() + 1,
            });
        };
        let line = match &mut buf[..newline] {
            [line @ .., b'\r'] => line,
            line => line,
        };
        inline::split(line, &mut self.pending).ok_or(ProtocolError::UnbalancedQuotes)?;
        Ok(Parsed::Complete {
            consumed: newline + 1,
        })
    }

    fn resume_multibulk(&mut self, buf: &[u8], limits: &Limits) -> Result<Parsed, ProtocolError> {
        let mut remaining = match self.remaining {
            Some(remaining) => remaining,
            None => match self.read_line(buf, ProtocolError::TooBigMultibulkCount)? {
                Some(line) => multibulk_length(line, limits)?,
                None => {
                    return Ok(Parsed::Incomplete {
                        at_least: buf.len() + 1,
                    });
                }
            },
        };
        while remaining > 0 {
            self.remaining = Some(remaining);
            let bytes = match self.bulk_bytes {
                Some(bytes) => bytes,
                None => match self.read_line(buf, ProtocolError::TooBigBulkCount)? {
                    Some(line) => *self.bulk_bytes.insert(bulk_length(line, limits)?),
                    None => {
                        return Ok(Parsed::Incomplete {
                            at_least: buf.len() + 1,
                        });
                    }
                },
            };
            // As in Redis, the two bytes after an argument are skipped unseen.
            let next = self.position.saturating_add(bytes).saturating_add(2);
            if buf.len() < next {
                return Ok(Parsed::Incomplete { at_least: next });
            }
            self.pending
                .push(ArgRange::new(self.position, self.position + bytes));
            self.position = next;
            self.bulk_bytes = None;
            remaining -= 1;
        }
        Ok(Parsed::Complete {
            consumed: self.position,
        })
    }

    /// The line at `position` without its line end (CR and any byte), and steps over it; `None`
    /// when it is not all there.
    fn read_line<'b>(
        &mut self,
        buf: &'b [u8],
        too_long: ProtocolError,
    ) -> Result<Option<&'b [u8]>, ProtocolError> {
        let Some(end) = self.find_in_line(buf, b'\r', too_long)? else {
            return Ok(None);
        };
        if end + 2 > buf.len() {
            self.scanned = end;
            return Ok(None);
        }
        let line = &buf[self.position..end];
        self.position = end + 2;
        self.scanned = 0;
        Ok(Some(line))
    }

    /// Where the line at `position` has its first `byte`. Remembers how far it looked.
    ///
    /// The limit depends on the line alone, not on the pieces in which it arrives.
    fn find_in_line(
        &mut self,
        buf: &[u8],
        byte: u8,
        too_long: ProtocolError,
    ) -> Result<Option<usize>, ProtocolError> {
        let from = self.scanned.max(self.position);
        let found = memchr(byte, &buf[from..]).map(|offset| from + offset);
        if found.unwrap_or(buf.len()) - self.position > INLINE_MAX_BYTES {
            return Err(too_long);
        }
        self.scanned = buf.len();
        Ok(found)
    }

    fn reset(&mut self) {
        self.pending.clear();
        self.pending.shrink_to(KEPT_PENDING_ARGS);
        self.remaining = None;
        self.bulk_bytes = None;
        self.position = 0;
        self.scanned = 0;
    }
}

/// The number of arguments that `line`, such as `*3`, announces; 0 for a negative one.
fn multibulk_length(line: &[u8], limits: &Limits) -> Result<i64, ProtocolError> {
    let length = parse_i64(&line[1..]).ok_or(ProtocolError::InvalidMultibulkLength)?;
    if length > limits.max_multibulk {
        return Err(ProtocolError::InvalidMultibulkLength);
    }
    if length > UNAUTHENTICATED_MAX_MULTIBULK && !limits.authenticated {
        return Err(ProtocolError::UnauthenticatedMultibulkLength);
    }
    Ok(length.max(0))
}

/// The length in bytes that `line`, such as `$5`, announces.
fn bulk_length(line: &[u8], limits: &Limits) -> Result<usize, ProtocolError> {
    let Some((b'$', digits)) = line.split_first() else {
        // An empty line shows its CR.
        return Err(ProtocolError::ExpectedDollar(
            line.first().copied().unwrap_or(b'\r'),
        ));
    };
    let length = parse_i64(digits).ok_or(ProtocolError::InvalidBulkLength)?;
    if length < 0 || length.unsigned_abs() > limits.max_bulk_bytes {
        return Err(ProtocolError::InvalidBulkLength);
    }
    if length > UNAUTHENTICATED_MAX_BULK_BYTES && !limits.authenticated {
        return Err(ProtocolError::UnauthenticatedBulkLength);
    }
    usize::try_from(length).map_err(|_| ProtocolError::InvalidBulkLength)
}

/// The fast path: a command that is all there, with short canonical lengths within the limits of
/// an authenticated client. `None` leaves the verdict to the other path, and the caller to drop
/// what was appended.
#[inline]
fn parse_whole(
    buf: &[u8],
    base: usize,
    args: &mut Vec<ArgRange>,
    limits: &Limits,
) -> Option<usize> {
    let (count, mut position) = short_length(buf, b'*', 0)?;
    if count as i64 > limits.max_multibulk {
        return None;
    }
    for _ in 0..count {
        let (bytes, start) = short_length(buf, b'$', position)?;
        let end = start + bytes;
        if end + 2 > buf.len() || bytes as u64 > limits.max_bulk_bytes {
            return None;
        }
        args.push(ArgRange::new(base + start, base + end));
        position = end + 2;
    }
    Some(position)
}

/// Reads `kind`, a length of up to nine digits without leading zeros, CR and any byte at
/// `position`; returns the length and the offset after the line.
#[inline(always)]
fn short_length(buf: &[u8], kind: u8, position: usize) -> Option<(usize, usize)> {
    // Nearly all lengths have one or two digits; with either, five bytes follow `position`.
    let line: &[u8; 5] = buf.get(position..)?.first_chunk()?;
    let first = usize::from(line[1].wrapping_sub(b'0'));
    if line[0] != kind || first > 9 {
        return None;
    }
    if line[2] == b'\r' {
        return Some((first, position + 4));
    }
    let second = usize::from(line[2].wrapping_sub(b'0'));
    if second > 9 || first == 0 {
        return None;
    }
    if line[3] == b'\r' {
        return Some((first * 10 + second, position + 5));
    }
    longer_length(buf, first * 10 + second, position + 3)
}

/// The rest of [`short_length`] from the third digit on, which is at `position`.
fn longer_length(buf: &[u8], start: usize, mut position: usize) -> Option<(usize, usize)> {
    let mut length = start;
    for &byte in buf[position..].iter().take(8) {
        let digit = byte.wrapping_sub(b'0');
        if byte == b'\r' {
            return (position + 2 <= buf.len()).then_some((length, position + 2));
        } else if digit > 9 {
            return None;
        }
        length = length * 10 + usize::from(digit);
        position += 1;
    }
    None
}
