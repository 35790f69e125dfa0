//! Splitting a line into words, and quoting a word, as Redis does in its configuration file.

/// Splits a line into words: blanks separate, `"…"` knows `\n \r \t \b \a \xHH` and takes any other character after
/// a backslash as it is, `'…'` knows only `\'`. None where a quote is not closed or not followed by a blank.
pub(super) fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line.trim_ascii_start();
    while !rest.is_empty() {
        let (word, after) = split_first(rest)?;
        words.push(word);
        rest = after.trim_ascii_start();
    }
    Some(words)
}

/// Quotes a word so that [`split`] gives it back.
pub(super) fn quote(word: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'"'];
    for &byte in word {
        match byte {
            b'\\' | b'"' => quoted.extend([b'\\', byte]),
            b'\n' => quoted.extend(b"\\n"),
            b'\r' => quoted.extend(b"\\r"),
            b'\t' => quoted.extend(b"\\t"),
            7 => quoted.extend(b"\\a"),
            8 => quoted.extend(b"\\b"),
            b' '..=b'~' => quoted.push(byte),
            _ => quoted.extend(format!("\\x{byte:02x}").as_bytes()),
        }
    }
    quoted.push(b'"');
    quoted
}

/// The word at the start of `text`, and what follows it.
fn split_first(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    let mut rest = text;
    loop {
        match rest {
            [] => return Some((word, rest)),
            [byte, ..] if byte.is_ascii_whitespace() => return Some((word, rest)),
            [b'"', inner @ ..] => rest = double_quoted(inner, &mut word)?,
            [b'\'', inner @ ..] => rest = single_quoted(inner, &mut word)?,
            [byte, after @ ..] => {
                word.push(*byte);
                rest = after;
            }
        }
    }
}

fn double_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] => return None,
            [b'"', after @ ..] => return closed(after),
            [b'\\', b'x', high, low, after @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                word.push(hex_value(*high) * 16 + hex_value(*low));
                rest = after;
            }
            [b'\\', escaped, after @ ..] => {
                word.push(unescape(*escaped));
                rest = after;
            }
            [byte, after @ ..] => {
                word.push(*byte);
                rest = after;
            }
        }
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] => return None,
            [b'\'', after @ ..] => return closed(after),
            [b'\\', b'\'', after @ ..] => {
                word.push(b'\'');
                rest = after;
            }
            [byte, after @ ..] => {
                word.push(*byte);
                rest = after;
            }
        }
    }
}

/// A closing quote ends the word.
fn closed(after: &[u8]) -> Option<&[u8]> {
    match after.first() {
        Some(byte) if !byte.is_ascii_whitespace() => None,
        _ => Some(after),
    }
}

fn unescape(escaped: u8) -> u8 {
    match escaped {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    }
}

/// The value of an ASCII hexadecimal digit.
fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_as_stock_does() {
        let cases: [(&str, Option<&[&[u8]]>); 12] = [
            ("", Some(&[])),
            ("  a  b ", Some(&[b"a", b"b"])),
            (r#"a "b c" 'd e'"#, Some(&[b"a", b"b c", b"d e"])),
            (r#""\x41\n\q\"""#, Some(&[b"A\nq\""])),
            (r#""\xZZ""#, Some(&[b"xZZ"])),
            (r"'\n\''", Some(&[b"\\n'"])),
            (r#"pre"fix""#, Some(&[b"prefix"])),
            (r#"""''"#, None),
            (r#""""#, Some(&[b""])),
            (r#""a"#, None),
            (r#""a"b"#, None),
            (r"'a\'", None),
        ];
        for (line, expected) in cases {
            let expected =
                expected.map(|words| words.iter().map(|word| word.to_vec()).collect::<Vec<_>>());
            assert_eq!(split(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn quoting_round_trips_every_byte() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(split(&quote(&all)), Some(vec![all]));
        assert_eq!(quote(b"a\"\\\x01\xff"), br#""a\"\\\x01\xff""#);
    }
}
