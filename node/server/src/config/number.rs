//! Numbers as Redis writes them in configuration.

/// A decimal integer without leading zeros, blanks or a plus sign; within 64 signed bits.
pub(super) fn parse_int(word: &[u8]) -> Option<i128> {
    let digits = word.strip_prefix(b"-").unwrap_or(word);
    let canonical = match digits {
        [b'0'] => word == digits,
        [b'1'..=b'9', ..] => true,
        _ => false,
    };
    if !canonical {
        return None;
    }
    let value: i64 = str::from_utf8(word).ok()?.parse().ok()?;
    Some(value.into())
}

/// Bytes: digits and an optional unit, in any case. Redis 7.0 reads missing digits as 0, so `""` and `kb` are 0;
/// what does not fit 64 bits is refused here, where stock wraps around.
pub(super) fn parse_memory(word: &[u8]) -> Option<i128> {
    let digits = word.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, unit) = word.split_at(digits);
    let factor = UNITS
        .iter()
        .find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(unit))?
        .1;
    let number: u64 = match number {
        [] => 0,
        digits => str::from_utf8(digits).ok()?.parse().ok()?,
    };
    number.checked_mul(factor).map(i128::from)
}

const UNITS: [(&str, u64); 8] = [
    ("", 1),
    ("b", 1),
    ("k", 1000),
    ("kb", 1 << 10),
    ("m", 1_000_000),
    ("mb", 1 << 20),
    ("g", 1_000_000_000),
    ("gb", 1 << 30),
];

/// `word` before its `%`: None where it is not a percentage at all.
pub(super) fn parse_percent(word: &[u8]) -> Option<i128> {
    let number = parse_int(word.strip_suffix(b"%")?)?;
    (number >= 0).then_some(number)
}

/// An octal number; Redis 7.0 reads "" as 0.
pub(super) fn parse_octal(word: &[u8]) -> Option<i128> {
    let text = str::from_utf8(word).ok()?;
    if text.is_empty() {
        return Some(0);
    }
    i64::from_str_radix(text, 8).ok().map(i128::from)
}

/// Bytes with the greatest of `gb`, `mb`, `kb` that divides them, as `CONFIG REWRITE` writes them.
pub(super) fn format_memory(bytes: i128) -> String {
    for (unit, size) in [("gb", 1 << 30), ("mb", 1 << 20), ("kb", 1 << 10)] {
        if bytes != 0 && bytes % size == 0 {
            return format!("{}{unit}", bytes / size);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_canonical() {
        let cases: [(&str, Option<i128>); 12] = [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("10", Some(10)),
            ("9223372036854775807", Some(i64::MAX.into())),
            ("9223372036854775808", None),
            ("-0", None),
            ("01", None),
            ("+1", None),
            (" 1", None),
            ("1 ", None),
            ("", None),
            ("-", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_int(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn memory_has_units() {
        let cases: [(&str, Option<i128>); 13] = [
            ("1", Some(1)),
            ("1b", Some(1)),
            ("1k", Some(1000)),
            ("1KB", Some(1024)),
            ("2mb", Some(2 << 20)),
            ("3G", Some(3_000_000_000)),
            ("18446744073709551615", Some(u64::MAX.into())),
            ("", Some(0)),
            ("kb", Some(0)),
            ("-1", None),
            ("1.5mb", None),
            ("1t", None),
            ("18014398509481985kb", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_memory(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn memory_is_written_with_its_greatest_unit() {
        let cases = [
            (0, "0"),
            (1, "1"),
            (1024, "1kb"),
            (1 << 20, "1mb"),
            (3 << 30, "3gb"),
            (1025, "1025"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(format_memory(bytes), expected);
        }
    }
}
