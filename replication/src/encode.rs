//! Commands as the stream has them: arrays of bulk strings.

/// The longest text of an array's or a bulk string's length: kind, 20 digits, CR LF.
pub(crate) const HEADER_MAX_BYTES: usize = 23;

/// Bytes of a stream that does not select a database itself.
pub(crate) const PING: &[u8] = b"*1\r\n$4\r\nping\r\n";
pub(crate) const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
pub(crate) const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";
pub(crate) const GETACK: &[u8] = b"*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n";

/// One command.
pub fn command_bytes(args: &[&[u8]]) -> Vec<u8> {
    let bytes = args
        .iter()
        .map(|arg| arg.len() + 2 * HEADER_MAX_BYTES)
        .sum();
    let mut out = Vec::with_capacity(bytes);
    put_header(&mut out, b'*', args.len());
    for arg in args {
        put_bulk(&mut out, arg);
    }
    out
}

/// What a replica tells its primary each second, and when it is asked: how far it has applied the
/// stream.
pub fn ack_command(offset: u64) -> Vec<u8> {
    let mut digits = itoa::Buffer::new();
    command_bytes(&[b"REPLCONF", b"ACK", digits.format(offset).as_bytes()])
}

/// `*3\r\n` or `$3\r\n`.
#[inline]
pub(crate) fn put_header(out: &mut Vec<u8>, kind: u8, length: usize) {
    if length < 10 {
        out.extend_from_slice(&[kind, b'0' + length as u8, b'\r', b'\n']);
    } else if length < 100 {
        let (tens, ones) = (length as u8 / 10, length as u8 % 10);
        out.extend_from_slice(&[kind, b'0' + tens, b'0' + ones, b'\r', b'\n']);
    } else {
        out.push(kind);
        out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// One argument.
#[inline]
pub(crate) fn put_bulk(out: &mut Vec<u8>, arg: &[u8]) {
    put_header(out, b'$', arg.len());
    out.extend_from_slice(arg);
    out.extend_from_slice(b"\r\n");
}
