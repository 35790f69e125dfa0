//! A small RESP2/RESP3 client that keeps the exact bytes of each reply.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long a read waits before it counts as failed.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// A reply, decoded.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `+text`
    Simple(String),
    /// `-text`, and RESP3's `!` bulk errors.
    Error(String),
    /// `:n`
    Int(i64),
    /// `$n` and RESP3's `=` verbatim strings (with their three-letter format).
    Bulk(Vec<u8>),
    /// `$-1`, `*-1` or `_`.
    Null,
    /// `*n`, `~n` and `>n`.
    Array(Vec<Value>),
    /// `%n`
    Map(Vec<(Value, Value)>),
    /// `,text`: kept as text, for the text is what is compared.
    Double(String),
    /// `#t` or `#f`
    Bool(bool),
    /// `(text`
    BigNumber(String),
}

impl Value {
    /// The text of a simple, bulk, verbatim, error, double or number reply; `""` for the others.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Simple(s) | Self::Error(s) | Self::Double(s) | Self::BigNumber(s) => s.clone(),
            Self::Bulk(b) => String::from_utf8_lossy(b).into_owned(),
            Self::Int(n) => n.to_string(),
            Self::Null | Self::Array(_) | Self::Map(_) | Self::Bool(_) => String::new(),
        }
    }

    /// The integer of an integer reply.
    ///
    /// # Panics
    /// If the reply is something else.
    #[must_use]
    #[track_caller]
    pub fn int(&self) -> i64 {
        match self {
            Self::Int(n) => *n,
            other => panic!("expected an integer reply, got {other:?}"),
        }
    }

    /// The elements of an array, set or push reply.
    ///
    /// # Panics
    /// If the reply is something else.
    #[must_use]
    #[track_caller]
    pub fn array(&self) -> &[Value] {
        match self {
            Self::Array(items) => items,
            other => panic!("expected an array reply, got {other:?}"),
        }
    }

    /// Whether the reply is an error.
    #[must_use]
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// One client connection.
pub struct Conn {
    stream: Box<dyn Stream>,
    /// Bytes read and not yet consumed.
    buffer: Vec<u8>,
}

impl std::fmt::Debug for Conn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conn")
            .field("buffered", &self.buffer.len())
            .finish_non_exhaustive()
    }
}

impl Conn {
    /// Connects to `127.0.0.1:port`.
    pub fn open(port: u16) -> io::Result<Self> {
        Self::open_at((Ipv4Addr::LOCALHOST, port).into(), READ_TIMEOUT)
    }

    /// Connects to an address; connecting, each read and each write fail after `timeout`.
    pub fn open_at(address: SocketAddr, timeout: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, timeout)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: Box::new(stream),
            buffer: Vec::new(),
        })
    }

    /// Connects to a unix socket.
    pub fn open_unix(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(READ_TIMEOUT))?;
        Ok(Self {
            stream: Box::new(stream),
            buffer: Vec::new(),
        })
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends one command.
    pub fn send<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<()> {
        let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            let arg = arg.as_ref();
            bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            bytes.extend_from_slice(arg);
            bytes.extend_from_slice(b"\r\n");
        }
        self.send_raw(&bytes)
    }

    /// Sends a command and gives its reply.
    pub fn try_call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<Value> {
        self.send(args)?;
        self.read()
    }

    /// [`Conn::try_call`] for a command that must get a reply.
    ///
    /// # Panics
    /// If the connection fails.
    #[track_caller]
    pub fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Value {
        match self.try_call(args) {
            Ok(value) => value,
            Err(error) => {
                let args: Vec<_> = args
                    .iter()
                    .map(|a| String::from_utf8_lossy(a.as_ref()))
                    .collect();
                panic!("no reply to {args:?}: {error}")
            }
        }
    }

    /// [`Conn::call`] with the arguments in one text, parted by spaces.
    ///
    /// # Panics
    /// If the connection fails.
    #[track_caller]
    pub fn cmd(&mut self, line: &str) -> Value {
        let args: Vec<&str> = line.split_whitespace().collect();
        self.call(&args)
    }

    /// [`Conn::cmd`] whose reply must not be an error.
    ///
    /// # Panics
    /// If the connection fails or the reply is an error.
    #[track_caller]
    pub fn ok(&mut self, line: &str) -> Value {
        let reply = self.cmd(line);
        assert!(!reply.is_error(), "{line}: {}", reply.text());
        reply
    }

    /// Reads one reply.
    pub fn read(&mut self) -> io::Result<Value> {
        let bytes = self.read_bytes()?;
        Ok(decode(&bytes).0)
    }

    /// Reads one reply and gives its exact bytes. An attribute (`|`) comes with its reply.
    pub fn read_bytes(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(len) = reply_len(&self.buffer)? {
                return Ok(self.buffer.drain(..len).collect());
            }
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Whether the server closes the connection without sending anything more.
    pub fn is_closed(&mut self) -> bool {
        if !self.buffer.is_empty() {
            return false;
        }
        match self.fill() {
            Ok(count) => count == 0,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    /// Reads and drops what comes until the server closes the connection; gives the byte count.
    pub fn drain(&mut self) -> io::Result<usize> {
        let mut total = self.buffer.len();
        self.buffer.clear();
        let mut chunk = vec![0; 1 << 16];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Ok(total),
                Ok(count) => total += count,
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(total),
                Err(error) => return Err(error),
            }
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 16 * 1024];
        let count = self.stream.read(&mut chunk)?;
        self.buffer.extend_from_slice(&chunk[..count]);
        Ok(count)
    }
}

/// The length of the whole reply at the start of `bytes`, or `None` if it is not all there.
pub(crate) fn reply_len(bytes: &[u8]) -> io::Result<Option<usize>> {
    let Some(line_len) = bytes.windows(2).position(|w| w == b"\r\n") else {
        return Ok(None);
    };
    let (kind, text) = (bytes[0], &bytes[1..line_len]);
    let header = line_len + 2;
    let count = || -> io::Result<i64> {
        std::str::from_utf8(text)
            .ok()
            .and_then(|t| t.parse().ok())
            .ok_or_else(|| {
                io::Error::other(format!(
                    "bad length in a reply: {}",
                    bytes[..line_len].escape_ascii()
                ))
            })
    };
    let items = match kind {
        b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => return Ok(Some(header)),
        b'$' | b'=' | b'!' => {
            let len = usize::try_from(count()?).map_or(header, |n| header + n + 2);
            return Ok((bytes.len() >= len).then_some(len));
        }
        b'*' | b'~' | b'>' => count()?,
        b'%' => count()? * 2,
        b'|' => count()? * 2 + 1,
        _ => {
            let shown = bytes[..line_len].escape_ascii();
            return Err(io::Error::other(format!("not a reply: {shown}")));
        }
    };
    let mut at = header;
    for _ in 0..items {
        match reply_len(&bytes[at..])? {
            Some(len) => at += len,
            None => return Ok(None),
        }
    }
    Ok(Some(at))
}

/// Decodes the complete reply at the start of `bytes`; gives it and its length.
fn decode(bytes: &[u8]) -> (Value, usize) {
    let line_len = bytes
        .windows(2)
        .position(|w| w == b"\r\n")
        .expect("a complete reply");
    let text = String::from_utf8_lossy(&bytes[1..line_len]).into_owned();
    let header = line_len + 2;
    let count = text.parse::<i64>().unwrap_or(0);
    let items = |count: i64| {
        let mut at = header;
        let mut values = Vec::new();
        for _ in 0..count {
            let (value, len) = decode(&bytes[at..]);
            values.push(value);
            at += len;
        }
        (values, at)
    };
    match bytes[0] {
        b'$' | b'*' if count < 0 => (Value::Null, header),
        b'$' | b'=' | b'!' => {
            let len = usize::try_from(count).unwrap_or(0);
            let body = bytes[header..header + len].to_vec();
            let value = if bytes[0] == b'!' {
                Value::Error(String::from_utf8_lossy(&body).into_owned())
            } else {
                Value::Bulk(body)
            };
            (value, header + len + 2)
        }
        b'*' | b'~' | b'>' => {
            let (values, len) = items(count);
            (Value::Array(values), len)
        }
        b'%' => {
            let (values, len) = items(count * 2);
            let pairs = values
                .chunks_exact(2)
                .map(|p| (p[0].clone(), p[1].clone()))
                .collect();
            (Value::Map(pairs), len)
        }
        b'|' => {
            let (mut values, len) = items(count * 2 + 1);
            (values.pop().unwrap_or(Value::Null), len)
        }
        b'+' => (Value::Simple(text), header),
        b'-' => (Value::Error(text), header),
        b':' => (Value::Int(count), header),
        b',' => (Value::Double(text), header),
        b'#' => (Value::Bool(text == "t"), header),
        b'(' => (Value::BigNumber(text), header),
        _ => (Value::Null, header),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_complete_only_with_its_last_byte() {
        let replies: [&[u8]; 7] = [
            b"+OK\r\n",
            b"$3\r\nabc\r\n",
            b"$-1\r\n",
            b"*2\r\n:1\r\n*1\r\n$0\r\n\r\n",
            b"%1\r\n+a\r\n,1.5\r\n",
            b"|1\r\n+ttl\r\n:1\r\n$1\r\nx\r\n",
            b">2\r\n+invalidate\r\n_\r\n",
        ];
        for reply in replies {
            for cut in 0..reply.len() {
                assert_eq!(
                    reply_len(&reply[..cut]).unwrap(),
                    None,
                    "{}",
                    reply.escape_ascii()
                );
            }
            assert_eq!(reply_len(reply).unwrap(), Some(reply.len()));
            assert_eq!(decode(reply).1, reply.len());
        }
    }
}
