//! Splitting an inline command into arguments.
//!
//! Arguments are separated by blanks. A double-quoted part may hold blanks and the escapes `\n`,
//! `\r`, `\t`, `\b`, `\a`, `\xHH` and `\` before any other byte, which stands for itself; in a
//! single-quoted part only `\'` is an escape. A closing quote ends its argument, so a blank or the
//! end of the line must follow; an opening one may stand anywhere.

use crate::args::ArgRange;

/// The words of a text in which blanks and quotes mean what they do in an inline command; `None`
/// when a quote does not close properly.
pub fn split_words(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut text = text.to_vec();
    let mut args = Vec::new();
    split(&mut text, &mut args)?;
    let word = |range: &ArgRange| text[range.start..range.end].to_vec();
    Some(args.iter().map(word).collect())
}

/// Splits `line` and appends where its arguments lie; `None` when a quote does not close properly.
///
/// Unescaping never lengthens anything, so an argument is written over its own source text: the
/// write offset never overtakes the read offset.
pub(crate) fn split(line: &mut [u8], args: &mut Vec<ArgRange>) -> Option<()> {
    let mut read = 0;
    loop {
        while line.get(read).is_some_and(|&byte| is_space(byte)) {
            read += 1;
        }
        if read == line.len() {
            return Some(());
        }
        let start = read;
        let mut write = start;
        read = unescape(line, read, &mut write)?;
        args.push(ArgRange::new(start, write));
    }
}

/// Rewrites the argument at `read` to `write..`; returns the offset after it.
fn unescape(line: &mut [u8], mut read: usize, write: &mut usize) -> Option<usize> {
    while read < line.len() {
        match line[read] {
            b' ' | b'\n' | b'\r' | b'\t' => break,
            quote @ (b'"' | b'\'') => {
                read = unescape_quoted(line, read + 1, write, quote)?;
                return line
                    .get(read)
                    .is_none_or(|&byte| is_space(byte))
                    .then_some(read);
            }
            byte => {
                line[*write] = byte;
                *write += 1;
                read += 1;
            }
        }
    }
    Some(read)
}

/// The part between quotes from `read` on; returns the offset after the closing one.
fn unescape_quoted(
    line: &mut [u8],
    mut read: usize,
    write: &mut usize,
    quote: u8,
) -> Option<usize> {
    loop {
        let (byte, taken) = match (quote, line.get(read..)?) {
            (_, []) => return None,
            (_, [byte, ..]) if *byte == quote => return Some(read + 1),
            (b'"', [b'\\', b'x', high, low, ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                (hex_digit(*high) << 4 | hex_digit(*low), 4)
            }
            (b'"', [b'\\', escaped, ..]) => (control(*escaped), 2),
            (b'\'', [b'\\', b'\'', ..]) => (b'\'', 2),
            (_, [byte, ..]) => (*byte, 1),
        };
        line[*write] = byte;
        *write += 1;
        read += taken;
    }
}

/// What a backslash and `letter` mean.
fn control(letter: u8) -> u8 {
    match letter {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// C's `isspace`.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        type Case<'a> = (&'a [u8], Option<&'a [&'a [u8]]>);
        let cases: &[Case<'_>] = &[
            (b"", Some(&[])),
            (b" \t ", Some(&[])),
            (b"PING", Some(&[b"PING"])),
            (b"  set  k\tv ", Some(&[b"set", b"k", b"v"])),
            (br#"set k "a b""#, Some(&[b"set", b"k", b"a b"])),
            (br#"set k "" v"#, Some(&[b"set", b"k", b"", b"v"])),
            (
                br#""\x41\x7a\xfF\x4g\q\n\r\t\b\a\"""#,
                Some(&[b"Az\xffx4gq\n\r\t\x08\x07\""]),
            ),
            (br"'a\n\'b' c", Some(&[br"a\n'b", b"c"])),
            (br#"ab"c d" e"#, Some(&[b"abc d", b"e"])),
            (b"a\x0bb c", Some(&[b"a\x0bb", b"c"])),
            (br#"a\ b"#, Some(&[br"a\", b"b"])),
            (br#""abc"#, None),
            (br#""abc\"#, None),
            (br#""abc\""#, None),
            (br#"'abc"#, None),
            (br#""a"b"#, None),
            (br#"'a''b'"#, None),
            (b"\"a\"\x0b'b'", Some(&[b"a", b"b"])),
        ];
        for (line, expected) in cases {
            let expected = expected.map(|args| args.iter().map(|arg| arg.to_vec()).collect());
            assert_eq!(split_words(line), expected, "{}", line.escape_ascii());
        }
    }
}
