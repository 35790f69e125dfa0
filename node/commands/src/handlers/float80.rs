//! The x87 extended-precision number that Redis computes INCRBYFLOAT with.
//!
//! Redis on x86-64 reads both operands as `long double`, adds them, and prints the sum with 17
//! decimals. What a client sees therefore depends on the rounding of a 64-bit mantissa, which no
//! type of Rust has. This is that arithmetic in integers: reading rounds the exact decimal once,
//! to nearest, ties to even; so does the addition; so does printing. Results equal those of glibc
//! on x86-64 on every processor.
//!
//! Left out, because 17 decimals cannot show them: denormals (below 2^-16382) keep their full
//! mantissa here.

use super::bignum::BigUint;

/// A value `±mantissa × 2^exponent`; the mantissa's top bit is set, or the value is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Float80 {
    negative: bool,
    mantissa: u64,
    exponent: i32,
}

/// What the text of a number stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// A finite number.
    Finite(Float80),
    /// `inf` or `infinity`, of either sign.
    Infinite,
}

/// Exponent of the largest values; their magnitude is below 2^16384.
const MAX_EXPONENT: i32 = 16384 - 64;
/// Values of at most 2^-16446 round to zero: half the smallest denormal, 2^-16445.
const UNDERFLOW_EXPONENT: i32 = -16446 - 63;
/// Decimal exponents beyond this are overflow or underflow whatever the digits are.
const MAX_DECIMAL_EXPONENT: i64 = 5000;
/// Decimals printed.
const DECIMALS: usize = 17;
/// `10^DECIMALS`
const DECIMAL_SCALE: u64 = 100_000_000_000_000_000;
/// The largest power of five in 64 bits: 5^27.
const MAX_POWER_OF_FIVE: u32 = 27;
/// Longest text that is read at all, in bytes (Redis copies it into 5 KiB with a final zero).
const MAX_TEXT_LEN: usize = 5 * 1024 - 1;

impl Float80 {
    /// Zero.
    pub(super) const ZERO: Self = Self {
        negative: false,
        mantissa: 0,
        exponent: 0,
    };

    /// Reads a number as `strtold` does, the whole text and no leading space: decimal or `0x`
    /// hexadecimal with an exponent, `inf`, `infinity`. `None` for anything else, for NaN, and for
    /// numbers too large or (but for zero itself) too small for the format.
    pub(super) fn parse(text: &[u8]) -> Option<Parsed> {
        if text.len() > MAX_TEXT_LEN {
            return None;
        }
        let (negative, body) = match text {
            [b'-', body @ ..] => (true, body),
            [b'+', body @ ..] | body => (false, body),
        };
        if body.eq_ignore_ascii_case(b"inf") || body.eq_ignore_ascii_case(b"infinity") {
            return Some(Parsed::Infinite);
        }
        let magnitude = match body {
            [b'0', b'x' | b'X', digits @ ..] => parse_hexadecimal(digits)?,
            digits => parse_decimal(digits)?,
        };
        let in_range = magnitude.mantissa == 0
            || (magnitude.exponent <= MAX_EXPONENT
                && (magnitude.exponent > UNDERFLOW_EXPONENT
                    || (magnitude.exponent == UNDERFLOW_EXPONENT && magnitude.mantissa > 1 << 63)));
        in_range.then_some(Parsed::Finite(Self {
            negative,
            ..magnitude
        }))
    }

    /// The sum, rounded once; `None` if it is too large for the format.
    pub(super) fn checked_add(self, other: Self) -> Option<Self> {
        if self.mantissa == 0 {
            return Some(other);
        }
        if other.mantissa == 0 {
            return Some(self);
        }
        // Mantissas are normalised, so the greater pair is the greater magnitude.
        let (large, small) = if (self.exponent, self.mantissa) >= (other.exponent, other.mantissa) {
            (self, other)
        } else {
            (other, self)
        };
        let distance = (large.exponent - small.exponent).unsigned_abs();
        let wide_large = u128::from(large.mantissa) << 63;
        let wide_small = shift_right_jamming(u128::from(small.mantissa) << 63, distance);
        let wide = if large.negative == small.negative {
            wide_large + wide_small
        } else {
            wide_large - wide_small
        };
        let sum = Self {
            negative: large.negative && wide != 0,
            ..Self::round(wide, false, large.exponent - 63)
        };
        (sum.exponent <= MAX_EXPONENT || sum.mantissa == 0).then_some(sum)
    }

    /// Appends the value with 17 decimals, trailing zeros and a bare point left off; a negative
    /// value that rounds to zero has no sign.
    pub(super) fn write_to(self, out: &mut Vec<u8>) {
        let (integer, decimals) = self.split_decimal();
        if self.negative && (decimals != 0 || integer != [b'0']) {
            out.push(b'-');
        }
        out.extend_from_slice(&integer);
        if decimals == 0 {
            return;
        }
        let mut digits = [0; DECIMALS];
        let mut rest = decimals;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        let kept = DECIMALS
            - digits
                .iter()
                .rev()
                .take_while(|&&digit| digit == b'0')
                .count();
        out.push(b'.');
        out.extend_from_slice(&digits[..kept]);
    }

    /// The magnitude's integer digits, and its decimals as a number below [`DECIMAL_SCALE`].
    fn split_decimal(self) -> (Vec<u8>, u64) {
        if self.exponent >= 0 && self.mantissa != 0 {
            let integer = BigUint::from(self.mantissa).shifted_left(self.exponent.unsigned_abs());
            return (integer.into_decimal(), 0);
        }
        // 64 and 57 bits: the product is exact.
        let scaled = u128::from(self.mantissa) * u128::from(DECIMAL_SCALE);
        let rounded = shift_right_to_even(scaled, self.exponent.unsigned_abs());
        let integer = rounded / u128::from(DECIMAL_SCALE);
        let decimals = rounded % u128::from(DECIMAL_SCALE);
        (integer.to_string().into_bytes(), decimals as u64)
    }

    /// The nearest value to `wide × 2^exponent` and, if `sticky`, a little more; ties to even.
    fn round(wide: u128, sticky: bool, exponent: i32) -> Self {
        if wide == 0 {
            return Self::ZERO;
        }
        let shift = 128 - wide.leading_zeros();
        if shift <= 64 {
            debug_assert!(
                !sticky,
                "callers keep more than 64 bits above what they cut off"
            );
            let up = 64 - shift;
            return Self {
                negative: false,
                mantissa: (wide as u64) << up,
                exponent: exponent - up as i32,
            };
        }
        let shift = shift - 64;
        let kept = (wide >> shift) as u64;
        let rest = wide << (128 - shift);
        let half = 1u128 << 127;
        let up = rest > half || (rest == half && (sticky || kept & 1 == 1));
        match kept.checked_add(u64::from(up)) {
            Some(mantissa) => Self {
                negative: false,
                mantissa,
                exponent: exponent + shift as i32,
            },
            None => Self {
                negative: false,
                mantissa: 1 << 63,
                exponent: exponent + shift as i32 + 1,
            },
        }
    }
}

impl From<i64> for Float80 {
    fn from(value: i64) -> Self {
        Self {
            negative: value < 0,
            ..Self::round(u128::from(value.unsigned_abs()), false, 0)
        }
    }
}

/// Shifts right; what falls off sets the lowest bit, so that a later rounding still sees it.
fn shift_right_jamming(wide: u128, distance: u32) -> u128 {
    match distance {
        0 => wide,
        1..=127 => (wide >> distance) | u128::from(wide << (128 - distance) != 0),
        _ => u128::from(wide != 0),
    }
}

/// Shifts right, rounding to nearest, ties to even.
fn shift_right_to_even(wide: u128, distance: u32) -> u128 {
    if distance == 0 {
        return wide;
    }
    if distance > 127 {
        // The callers' numbers have at most 121 bits: less than a half.
        return 0;
    }
    let kept = wide >> distance;
    let rest = wide << (128 - distance);
    let half = 1u128 << 127;
    kept + u128::from(rest > half || (rest == half && kept & 1 == 1))
}

/// Reads what follows `0x`.
fn parse_hexadecimal(text: &[u8]) -> Option<Float80> {
    let (digits, exponent) = split_exponent(text, b'p')?;
    let (mut wide, mut sticky, mut dropped, mut seen, mut point) =
        (0u128, false, 0i64, false, false);
    for &byte in digits {
        if byte == b'.' && !point {
            point = true;
            continue;
        }
        let digit = char::from(byte).to_digit(16)?;
        seen = true;
        if wide >> 120 == 0 {
            wide = wide << 4 | u128::from(digit);
            dropped -= if point { 4 } else { 0 };
        } else {
            sticky |= digit != 0;
            dropped += if point { 0 } else { 4 };
        }
    }
    if !seen {
        return None;
    }
    if wide == 0 {
        return Some(Float80::ZERO);
    }
    // Any exponent of this size is out of range; the clamp only keeps the sum from overflowing.
    let exponent = exponent.saturating_add(dropped).clamp(-100_000, 100_000);
    Some(Float80::round(wide, sticky, exponent as i32))
}

/// Reads decimal digits with an optional point and exponent.
fn parse_decimal(text: &[u8]) -> Option<Float80> {
    let (mantissa, exponent) = split_exponent(text, b'e')?;
    let point = mantissa.iter().position(|&byte| byte == b'.');
    let (integer, fraction) = match point {
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
        None => (mantissa, &[][..]),
    };
    if integer.is_empty() && fraction.is_empty()
        || !integer.iter().chain(fraction).all(u8::is_ascii_digit)
    {
        return None;
    }
    let digits = || {
        integer
            .iter()
            .chain(fraction)
            .skip_while(|&&digit| digit == b'0')
    };
    let count = digits().count();
    if count == 0 {
        return Some(Float80::ZERO);
    }
    let exponent = exponent.saturating_sub(fraction.len() as i64);
    let magnitude = exponent.saturating_add(count as i64);
    if magnitude.abs() > MAX_DECIMAL_EXPONENT {
        return None;
    }
    // Both are bounded by the text's length and the check above.
    let exponent = exponent as i32;
    if count <= 19 && exponent.unsigned_abs() <= MAX_POWER_OF_FIVE {
        let value = digits().fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        return Some(scale_small(value, exponent));
    }
    Some(scale_large(
        BigUint::from_decimal(digits().copied()),
        exponent,
    ))
}

/// `value × 10^exponent` where the power of five fits 64 bits: one wide operation.
fn scale_small(value: u64, exponent: i32) -> Float80 {
    let power = 5u64.pow(exponent.unsigned_abs());
    if exponent >= 0 {
        return Float80::round(u128::from(value) * u128::from(power), false, exponent);
    }
    let shift = u128::from(value).leading_zeros();
    let numerator = u128::from(value) << shift;
    // The quotient has at least 128 - 63 bits.
    let quotient = numerator / u128::from(power);
    let sticky = numerator % u128::from(power) != 0;
    Float80::round(quotient, sticky, exponent - shift as i32)
}

/// `value × 10^exponent` exactly, then rounded.
fn scale_large(value: BigUint, exponent: i32) -> Float80 {
    let power = BigUint::power_of_five(exponent.unsigned_abs());
    if exponent >= 0 {
        let (wide, sticky, dropped) = value.multiplied(&power).top_bits();
        return Float80::round(wide, sticky, exponent + dropped as i32);
    }
    let (quotient, sticky, scale) = value.divided_by(&power);
    Float80::round(quotient, sticky, exponent + scale)
}

/// Splits off `marker [sign] digits`; the exponent saturates. `None` if the marker stands without
/// digits.
fn split_exponent(text: &[u8], marker: u8) -> Option<(&[u8], i64)> {
    let Some(at) = text
        .iter()
        .position(|byte| byte.to_ascii_lowercase() == marker)
    else {
        return Some((text, 0));
    };
    let (negative, digits) = match &text[at + 1..] {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let magnitude = digits.iter().fold(0i64, |sum, &digit| {
        sum.saturating_mul(10)
            .saturating_add(i64::from(digit - b'0'))
    });
    Some((&text[..at], if negative { -magnitude } else { magnitude }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What INCRBYFLOAT replies for these two texts.
    fn sum(a: &str, b: &str) -> String {
        let read = |text: &str| match Float80::parse(text.as_bytes()) {
            Some(Parsed::Finite(value)) => value,
            other => panic!("{text}: {other:?}"),
        };
        let mut out = Vec::new();
        read(a)
            .checked_add(read(b))
            .expect("in range")
            .write_to(&mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn sums_as_the_reference_prints_them() {
        for (a, b, expected) in [
            ("3", "0", "3"),
            ("10.50", "0.1", "10.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("0.1", "0.2", "0.3"),
            ("1", "-1", "0"),
            ("-1e-18", "0", "0"),
            ("0", "1e-17", "0.00000000000000001"),
            ("-1.5", "-.5", "-2"),
            ("0x10", "0X.8p1", "17"),
            ("9223372036854775807", "1", "9223372036854775808"),
            ("18446744073709551615", "1", "18446744073709551616"),
        ] {
            assert_eq!(sum(a, b), expected, "{a} + {b}");
        }
        assert!(
            sum("1e400", "0").starts_with("1000000000000000000028188068394758651458645343362905")
        );
    }

    #[test]
    fn what_is_no_number() {
        for text in [
            "",
            " 1",
            "1 ",
            "abc",
            "nan",
            "-nan",
            "1e",
            "1e+",
            "0x",
            "0x1p",
            ".",
            "-",
            "+",
            "1..2",
            "1e5000",
            "-1e5000",
            "1e-5000",
            "1e99999999999999999999",
            "infinit",
            "1\0",
        ] {
            assert_eq!(Float80::parse(text.as_bytes()), None, "{text:?}");
        }
        for text in ["inf", "-INF", "+Infinity"] {
            assert_eq!(Float80::parse(text.as_bytes()), Some(Parsed::Infinite));
        }
        for text in ["0e99999", "-0", "0x0p-99999", "1e4932", "1e-4945"] {
            assert!(Float80::parse(text.as_bytes()).is_some(), "{text}");
        }
    }

    #[test]
    fn both_ways_of_reading_agree() {
        for (value, exponent) in [
            (1u64, -1),
            (u64::MAX / 2, -27),
            (9_999_999_999_999_999_999, 27),
            (123_456_789, -5),
            (7, 0),
        ] {
            let digits = value.to_string();
            let large = scale_large(BigUint::from_decimal(digits.bytes()), exponent);
            assert_eq!(scale_small(value, exponent), large, "{value}e{exponent}");
        }
    }
}
