//! Integers and doubles as the protocol writes them.

use std::io::Write;

/// The integer that `text` spells in canonical decimal form, as Redis reads lengths and integer
/// arguments: an optional `-`, no `+`, no leading zero, no blank, nothing but digits, within `i64`.
#[inline]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let magnitude = match digits {
        [b'0'] if !negative => 0,
        [b'1'..=b'9', ..] if digits.len() <= 19 => parse_digits(digits)?,
        _ => return None,
    };
    match negative {
        false => i64::try_from(magnitude).ok(),
        true if magnitude <= 1 << 63 => Some((magnitude as i64).wrapping_neg()),
        true => None,
    }
}

/// Up to 19 digits, which `u64` always holds.
#[inline]
fn parse_digits(digits: &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    Some(value)
}

/// Appends `value` as C's `printf("%.17g")` does: 17 significant digits, trailing zeros dropped,
/// an exponent of at least two digits when it is below -4 or above 16; `inf`, `-inf`, `nan`.
///
/// This is how Redis 7.0 writes doubles in replies.
pub fn write_double(out: &mut Vec<u8>, value: f64) {
    if !value.is_finite() {
        return out.extend_from_slice(non_finite(value));
    }
    // Every integer below 10^17 has at most 17 digits and so prints as it is; -0.0 keeps its sign.
    if value.abs() < 1e17 && value.trunc() == value && (value != 0.0 || value.is_sign_positive()) {
        return out.extend_from_slice(itoa::Buffer::new().format(value as i64).as_bytes());
    }
    write_general(out, value);
}

fn non_finite(value: f64) -> &'static [u8] {
    if value.is_nan() {
        b"nan"
    } else if value > 0.0 {
        b"inf"
    } else {
        b"-inf"
    }
}

/// The `%.17g` form by way of the scientific one: `[-]d.dddddddddddddddde[-]x` with 17 digits.
fn write_general(out: &mut Vec<u8>, value: f64) {
    const SIGNIFICANT_DIGITS: i32 = 17;
    let mut text = [0_u8; 32];
    let length = {
        let mut rest = &mut text[..];
        // 1 sign, 18 mantissa and at most 5 exponent bytes always fit in 32.
        let _ = write!(rest, "{:.16e}", value.abs());
        32 - rest.len()
    };
    let text = &text[..length];
    let Some(e) = text.iter().position(|&byte| byte == b'e') else {
        return;
    };
    let exponent = parse_i64(&text[e + 1..]).unwrap_or(0) as i32;
    let mut digits = [0_u8; SIGNIFICANT_DIGITS as usize];
    digits[0] = text[0];
    digits[1..].copy_from_slice(&text[2..e]);
    let kept = digits
        .iter()
        .rposition(|&digit| digit != b'0')
        .map_or(1, |last| last + 1);
    let digits = &digits[..kept];

    if value.is_sign_negative() {
        out.push(b'-');
    }
    if !(-4..SIGNIFICANT_DIGITS).contains(&exponent) {
        write_point(out, digits, 1);
        let _ = write!(
            out,
            "e{}{:02}",
            if exponent < 0 { '-' } else { '+' },
            exponent.abs()
        );
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + (-exponent - 1) as usize, b'0');
        out.extend_from_slice(digits);
    } else {
        write_point(out, digits, exponent as usize + 1);
    }
}

/// `digits` with the decimal point after the first `whole`, padded with zeros up to there; no
/// point when nothing follows it.
fn write_point(out: &mut Vec<u8>, digits: &[u8], whole: usize) {
    if digits.len() <= whole {
        out.extend_from_slice(digits);
        out.resize(out.len() + whole - digits.len(), b'0');
    } else {
        out.extend_from_slice(&digits[..whole]);
        out.push(b'.');
        out.extend_from_slice(&digits[whole..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers() {
        for (text, value) in [
            ("0", Some(0)),
            ("7", Some(7)),
            ("-7", Some(-7)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("9999999999999999999", None),
            ("10000000000000000000", None),
            ("", None),
            ("-", None),
            ("-0", None),
            ("00", None),
            ("07", None),
            ("+7", None),
            (" 7", None),
            ("7 ", None),
            ("7a", None),
            ("0x7", None),
        ] {
            assert_eq!(parse_i64(text.as_bytes()), value, "{text:?}");
        }
    }

    fn text(value: f64) -> String {
        let mut out = Vec::new();
        write_double(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn doubles() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-42.0, "-42"),
            (2.75, "2.75"),
            (0.1, "0.10000000000000001"),
            (-0.1, "-0.10000000000000001"),
            (1.0 / 3.0, "0.33333333333333331"),
            (0.0001, "0.0001"),
            (0.00001, "1.0000000000000001e-05"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (123456789012345678.0, "1.2345678901234568e+17"),
            (1.5e300, "1.5000000000000001e+300"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (5e-324, "4.9406564584124654e-324"),
            (99999999999999990.0, "99999999999999984"),
            (12345.678, "12345.678"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(text(value), expected);
        }
    }
}
