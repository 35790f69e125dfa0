//! The reply writer: values in, RESP bytes out.

use memchr::memchr2;

use crate::number::write_double;

/// The protocol version of a connection, as HELLO chose it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Proto {
    /// RESP2, the version of a fresh connection.
    #[default]
    Resp2,
    /// RESP3.
    Resp3,
}

/// A growing buffer of replies in one protocol version.
///
/// Types that RESP2 lacks are written the way Redis 7.0 downgrades them: maps, sets and pushes
/// become arrays (a map of twice its size), doubles, big numbers and verbatim strings become bulk
/// strings, booleans become 0 and 1, null becomes the null bulk string or null array.
///
/// The writer does not check that an announced aggregate gets its elements; the caller owes them.
#[derive(Debug, Default)]
pub struct Reply {
    out: Vec<u8>,
    proto: Proto,
    errors: u64,
    /// Offset in `out` of the last error's text.
    last_error: Option<usize>,
}

/// The place of an aggregate whose length is not known yet; see [`Reply::begin_deferred`].
#[derive(Debug)]
#[must_use = "the aggregate has no header until a set_deferred method is called"]
pub struct Deferred {
    at: usize,
}

impl Reply {
    /// An empty buffer in RESP2.
    pub const fn new() -> Self {
        Self {
            out: Vec::new(),
            proto: Proto::Resp2,
            errors: 0,
            last_error: None,
        }
    }

    /// The protocol version that replies are written in.
    #[inline]
    pub const fn proto(&self) -> Proto {
        self.proto
    }

    /// Changes the protocol version of what is written from now on.
    pub const fn set_proto(&mut self, proto: Proto) {
        self.proto = proto;
    }

    /// The bytes written so far.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        &self.out
    }

    /// The number of bytes written so far.
    #[inline]
    pub const fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing is written.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Drops everything after the first `len` bytes, to take back a reply (CLIENT REPLY OFF).
    pub fn truncate(&mut self, len: usize) {
        self.out.truncate(len);
        self.last_error = self.last_error.filter(|&at| at < len);
    }

    /// Drops the bytes and keeps the memory.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Takes the bytes out and leaves an empty buffer.
    pub fn take(&mut self) -> Vec<u8> {
        self.last_error = None;
        std::mem::take(&mut self.out)
    }

    /// Bytes that can be written before the buffer grows, plus those written.
    pub const fn capacity(&self) -> usize {
        self.out.capacity()
    }

    /// Gives back memory beyond `capacity` bytes or what is written, whichever is more.
    pub fn shrink_to(&mut self, capacity: usize) {
        self.out.shrink_to(capacity);
    }

    /// Appends bytes that already are RESP.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }
}

/// Simple types.
impl Reply {
    /// `+OK`
    #[inline]
    pub fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    /// A simple string; `text` must hold no CR or LF.
    #[inline]
    pub fn simple(&mut self, text: &str) {
        self.out.push(b'+');
        self.out.extend_from_slice(text.as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    /// An error; `text` is the whole text with its code, such as `ERR syntax error`.
    pub fn error(&mut self, text: &str) {
        self.error_bytes(text.as_bytes());
    }

    /// [`error`](Self::error) for a text that quotes a client's bytes. CR and LF become blanks.
    pub fn error_bytes(&mut self, text: &[u8]) {
        self.out.push(b'-');
        let at = self.out.len();
        self.out.extend_from_slice(text);
        if memchr2(b'\r', b'\n', text).is_some() {
            for byte in &mut self.out[at..] {
                if matches!(byte, b'\r' | b'\n') {
                    *byte = b' ';
                }
            }
        }
        self.out.extend_from_slice(b"\r\n");
        self.errors += 1;
        self.last_error = Some(at);
    }

    /// How many errors were ever written, for the caller to tell failed commands.
    #[inline]
    pub const fn errors(&self) -> u64 {
        self.errors
    }

    /// The code of the last error in the buffer (`ERR`, `WRONGTYPE`, …), for error statistics.
    pub fn last_error_code(&self) -> Option<&[u8]> {
        let text = self.out.get(self.last_error?..)?;
        text.split(|byte| matches!(byte, b' ' | b'\r')).next()
    }

    /// An integer.
    #[inline]
    pub fn integer(&mut self, value: i64) {
        self.header(b':', value);
    }

    /// A boolean; RESP2: 1 or 0.
    pub fn bool(&mut self, value: bool) {
        self.out.extend_from_slice(match (self.proto, value) {
            (Proto::Resp2, true) => b":1\r\n",
            (Proto::Resp2, false) => b":0\r\n",
            (Proto::Resp3, true) => b"#t\r\n",
            (Proto::Resp3, false) => b"#f\r\n",
        });
    }

    /// A double with 17 significant digits; RESP2: a bulk string of the same text.
    pub fn double(&mut self, value: f64) {
        match self.proto {
            Proto::Resp2 => {
                let mut text = Vec::with_capacity(32);
                write_double(&mut text, value);
                self.bulk(&text);
            }
            Proto::Resp3 => {
                self.out.push(b',');
                write_double(&mut self.out, value);
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// An integer of any size, given as its decimal text; RESP2: a bulk string.
    pub fn big_number(&mut self, digits: &str) {
        match self.proto {
            Proto::Resp2 => self.bulk(digits.as_bytes()),
            Proto::Resp3 => {
                self.out.push(b'(');
                self.out.extend_from_slice(digits.as_bytes());
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// "There is no value" in place of a string.
    #[inline]
    pub fn null(&mut self) {
        self.out.extend_from_slice(match self.proto {
            Proto::Resp2 => b"$-1\r\n",
            Proto::Resp3 => b"_\r\n",
        });
    }

    /// "There is no value" in place of an array (an EXEC that WATCH aborted).
    pub fn null_array(&mut self) {
        self.out.extend_from_slice(match self.proto {
            Proto::Resp2 => b"*-1\r\n",
            Proto::Resp3 => b"_\r\n",
        });
    }
}

/// Strings.
impl Reply {
    /// A bulk string.
    #[inline]
    pub fn bulk(&mut self, value: &[u8]) {
        self.header(b'$', value.len() as i64);
        self.out.extend_from_slice(value);
        self.out.extend_from_slice(b"\r\n");
    }

    /// A bulk string that holds the decimal text of `value`.
    #[inline]
    pub fn bulk_int(&mut self, value: i64) {
        self.bulk(itoa::Buffer::new().format(value).as_bytes());
    }

    /// A bulk string of `len` bytes that `write` appends, without a copy in between.
    ///
    /// # Panics
    /// When `write` appends another number of bytes: the connection could not be understood any
    /// more.
    pub fn bulk_with(&mut self, len: usize, write: impl FnOnce(&mut Vec<u8>)) {
        self.header(b'$', len as i64);
        self.out.reserve(len + 2);
        let start = self.out.len();
        write(&mut self.out);
        assert_eq!(
            self.out.len() - start,
            len,
            "a bulk string of another length than announced"
        );
        self.out.extend_from_slice(b"\r\n");
    }

    /// A string with a three-letter format such as `txt`; RESP2: a bulk string.
    ///
    /// # Panics
    /// When `format` has not three bytes.
    pub fn verbatim(&mut self, format: &str, value: &[u8]) {
        assert_eq!(
            format.len(),
            3,
            "a verbatim string's format has three letters"
        );
        match self.proto {
            Proto::Resp2 => self.bulk(value),
            Proto::Resp3 => {
                self.header(b'=', value.len() as i64 + 4);
                self.out.extend_from_slice(format.as_bytes());
                self.out.push(b':');
                self.out.extend_from_slice(value);
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }
}

/// Aggregates: each announces the elements that the caller writes next.
impl Reply {
    /// An array of `len` elements.
    #[inline]
    pub fn array(&mut self, len: usize) {
        self.header(b'*', len as i64);
    }

    /// A map of `pairs` key-value pairs; RESP2: an array of `2 * pairs`.
    pub fn map(&mut self, pairs: usize) {
        match self.proto {
            Proto::Resp2 => self.header(b'*', 2 * pairs as i64),
            Proto::Resp3 => self.header(b'%', pairs as i64),
        }
    }

    /// A set of `len` elements; RESP2: an array.
    pub fn set(&mut self, len: usize) {
        match self.proto {
            Proto::Resp2 => self.header(b'*', len as i64),
            Proto::Resp3 => self.header(b'~', len as i64),
        }
    }

    /// Out-of-band data of `len` elements; RESP2: an array.
    pub fn push(&mut self, len: usize) {
        match self.proto {
            Proto::Resp2 => self.header(b'*', len as i64),
            Proto::Resp3 => self.header(b'>', len as i64),
        }
    }

    /// Attributes of the reply that follows, `pairs` of them. RESP2 has none: the caller must ask
    /// [`proto`](Self::proto) first, and write them in RESP3 only.
    pub fn attribute(&mut self, pairs: usize) {
        debug_assert_eq!(self.proto, Proto::Resp3, "RESP2 has no attributes");
        self.header(b'|', pairs as i64);
    }

    /// Marks the place of an aggregate whose length is known only once its elements are written.
    ///
    /// The header is put in when a `set_deferred_` method is called, which moves what was written
    /// since. Nested ones must be set innermost first.
    pub const fn begin_deferred(&mut self) -> Deferred {
        Deferred { at: self.out.len() }
    }

    /// Makes what was written since `begin` an array of `len` elements.
    pub fn set_deferred_array(&mut self, begin: Deferred, len: usize) {
        self.insert_header(begin, |reply| reply.array(len));
    }

    /// Makes what was written since `begin` a map of `pairs` pairs.
    pub fn set_deferred_map(&mut self, begin: Deferred, pairs: usize) {
        self.insert_header(begin, |reply| reply.map(pairs));
    }

    /// Makes what was written since `begin` a set of `len` elements.
    pub fn set_deferred_set(&mut self, begin: Deferred, len: usize) {
        self.insert_header(begin, |reply| reply.set(len));
    }

    /// Writes a header at the end, then rotates it to its place.
    fn insert_header(&mut self, begin: Deferred, write: impl FnOnce(&mut Self)) {
        let end = self.out.len();
        write(self);
        let header = self.out.len() - end;
        self.out[begin.at..].rotate_right(header);
        self.last_error = self
            .last_error
            .map(|at| if at > begin.at { at + header } else { at });
    }

    #[inline]
    fn header(&mut self, kind: u8, value: i64) {
        if (0..10).contains(&value) {
            self.out
                .extend_from_slice(&[kind, b'0' + value as u8, b'\r', b'\n']);
        } else {
            self.out.push(kind);
            self.out
                .extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
            self.out.extend_from_slice(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `write` appends in RESP2 and in RESP3.
    fn both(write: impl Fn(&mut Reply)) -> (String, String) {
        let text = |proto| {
            let mut reply = Reply::new();
            reply.set_proto(proto);
            write(&mut reply);
            String::from_utf8(reply.take()).unwrap()
        };
        (text(Proto::Resp2), text(Proto::Resp3))
    }

    /// The DEBUG PROTOCOL replies of Redis 7.0.15 and the rest of the types.
    #[test]
    fn every_type_in_both_protocols() {
        type Case = (fn(&mut Reply), &'static str, &'static str);
        let cases: &[Case] = &[
            (|r| r.ok(), "+OK\r\n", "+OK\r\n"),
            (|r| r.simple("PONG"), "+PONG\r\n", "+PONG\r\n"),
            (|r| r.error("ERR no"), "-ERR no\r\n", "-ERR no\r\n"),
            (
                |r| r.error_bytes(b"ERR a\r\nb"),
                "-ERR a  b\r\n",
                "-ERR a  b\r\n",
            ),
            (|r| r.integer(12345), ":12345\r\n", ":12345\r\n"),
            (|r| r.integer(-1), ":-1\r\n", ":-1\r\n"),
            (
                |r| r.integer(i64::MIN),
                ":-9223372036854775808\r\n",
                ":-9223372036854775808\r\n",
            ),
            (|r| r.bool(true), ":1\r\n", "#t\r\n"),
            (|r| r.bool(false), ":0\r\n", "#f\r\n"),
            (|r| r.double(3.25), "$4\r\n3.25\r\n", ",3.25\r\n"),
            (
                |r| r.double(f64::NEG_INFINITY),
                "$4\r\n-inf\r\n",
                ",-inf\r\n",
            ),
            (|r| r.null(), "$-1\r\n", "_\r\n"),
            (|r| r.null_array(), "*-1\r\n", "_\r\n"),
            (
                |r| r.bulk(b"Hello World"),
                "$11\r\nHello World\r\n",
                "$11\r\nHello World\r\n",
            ),
            (|r| r.bulk(b""), "$0\r\n\r\n", "$0\r\n\r\n"),
            (|r| r.bulk_int(-12), "$3\r\n-12\r\n", "$3\r\n-12\r\n"),
            (
                |r| r.bulk_with(2, |out| out.extend_from_slice(b"ab")),
                "$2\r\nab\r\n",
                "$2\r\nab\r\n",
            ),
            (
                |r| r.verbatim("txt", b"a\nb"),
                "$3\r\na\nb\r\n",
                "=7\r\ntxt:a\nb\r\n",
            ),
            (
                |r| r.big_number("1234567999999999999999999999999999999"),
                "$37\r\n1234567999999999999999999999999999999\r\n",
                "(1234567999999999999999999999999999999\r\n",
            ),
            (|r| r.array(3), "*3\r\n", "*3\r\n"),
            (|r| r.array(10), "*10\r\n", "*10\r\n"),
            (|r| r.map(3), "*6\r\n", "%3\r\n"),
            (|r| r.set(3), "*3\r\n", "~3\r\n"),
            (|r| r.push(2), "*2\r\n", ">2\r\n"),
        ];
        for (write, resp2, resp3) in cases {
            assert_eq!(both(write), (resp2.to_string(), resp3.to_string()));
        }
    }

    #[test]
    fn deferred_lengths_nest() {
        let (resp2, resp3) = both(|reply| {
            reply.ok();
            let outer = reply.begin_deferred();
            reply.integer(1);
            let inner = reply.begin_deferred();
            reply.set_deferred_set(inner, 0);
            let inner = reply.begin_deferred();
            reply.integer(2);
            reply.integer(3);
            reply.set_deferred_map(inner, 1);
            reply.set_deferred_array(outer, 3);
        });
        assert_eq!(resp2, "+OK\r\n*3\r\n:1\r\n*0\r\n*2\r\n:2\r\n:3\r\n");
        assert_eq!(resp3, "+OK\r\n*3\r\n:1\r\n~0\r\n%1\r\n:2\r\n:3\r\n");
    }

    #[test]
    fn errors_are_counted_and_their_code_is_known() {
        let mut reply = Reply::new();
        assert_eq!((reply.errors(), reply.last_error_code()), (0, None));
        let deferred = reply.begin_deferred();
        reply.error("WRONGTYPE Operation against a key holding the wrong kind of value");
        reply.set_deferred_array(deferred, 1);
        reply.ok();
        assert_eq!(
            (reply.errors(), reply.last_error_code()),
            (1, Some(&b"WRONGTYPE"[..]))
        );
        reply.error("EXECABORT");
        assert_eq!(
            (reply.errors(), reply.last_error_code()),
            (2, Some(&b"EXECABORT"[..]))
        );
        reply.clear();
        assert_eq!((reply.errors(), reply.last_error_code()), (2, None));
    }

    #[test]
    fn a_reply_can_be_taken_back() {
        let mut reply = Reply::new();
        reply.ok();
        let len = reply.len();
        reply.integer(7);
        reply.truncate(len);
        assert_eq!(reply.as_slice(), b"+OK\r\n");
        assert!(!reply.is_empty());
    }
}
