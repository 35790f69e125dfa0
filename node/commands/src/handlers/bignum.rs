//! As much arithmetic on large naturals as correct rounding of decimal texts needs.

use std::cmp::Ordering;

/// A natural number: 64-bit limbs, least significant first, no zero limb at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BigUint(Vec<u64>);

const FIVE_TO_THE_27: u64 = 5u64.pow(27);
const TEN_TO_THE_19: u64 = 10u64.pow(19);

impl From<u64> for BigUint {
    fn from(value: u64) -> Self {
        Self(vec![value]).trimmed()
    }
}

impl BigUint {
    /// Reads ASCII decimal digits.
    pub(super) fn from_decimal(digits: impl Iterator<Item = u8>) -> Self {
        let mut number = Self(Vec::new());
        let (mut chunk, mut scale) = (0u64, 1u64);
        for digit in digits {
            chunk = chunk * 10 + u64::from(digit - b'0');
            scale *= 10;
            if scale == TEN_TO_THE_19 {
                number.multiply_add(scale, chunk);
                (chunk, scale) = (0, 1);
            }
        }
        number.multiply_add(scale, chunk);
        number
    }

    /// `5^exponent`
    pub(super) fn power_of_five(exponent: u32) -> Self {
        let mut power = Self::from(5u64.pow(exponent % 27));
        for _ in 0..exponent / 27 {
            power.multiply_add(FIVE_TO_THE_27, 0);
        }
        power
    }

    /// Length in bits; 0 for zero.
    pub(super) fn bits(&self) -> u32 {
        self.0
            .last()
            .map_or(0, |top| self.0.len() as u32 * 64 - top.leading_zeros())
    }

    /// The product.
    pub(super) fn multiplied(&self, other: &Self) -> Self {
        let mut product = vec![0u64; self.0.len() + other.0.len()];
        for (at, &a) in self.0.iter().enumerate() {
            let mut carry = 0u128;
            for (&b, limb) in other.0.iter().zip(&mut product[at..]) {
                let sum = u128::from(a) * u128::from(b) + u128::from(*limb) + carry;
                *limb = sum as u64;
                carry = sum >> 64;
            }
            product[at + other.0.len()] = carry as u64;
        }
        Self(product).trimmed()
    }

    /// `self × 2^distance`
    pub(super) fn shifted_left(&self, distance: u32) -> Self {
        let (limbs, bits) = (distance as usize / 64, distance % 64);
        let mut shifted = vec![0u64; limbs];
        let mut carry = 0;
        for &limb in &self.0 {
            shifted.push(limb << bits | carry);
            carry = if bits == 0 { 0 } else { limb >> (64 - bits) };
        }
        shifted.push(carry);
        Self(shifted).trimmed()
    }

    /// `⌊self / 2^distance⌋`, and whether anything was cut off.
    fn shifted_right(&self, distance: u32) -> (Self, bool) {
        let (limbs, bits) = ((distance as usize / 64).min(self.0.len()), distance % 64);
        let (dropped, kept) = self.0.split_at(limbs);
        let cut = dropped.iter().any(|&limb| limb != 0)
            || kept
                .first()
                .is_some_and(|limb| limb & ((1 << bits) - 1) != 0);
        let above = kept.iter().skip(1).copied().chain([0]);
        let shifted = kept
            .iter()
            .zip(above)
            .map(|(limb, above)| {
                if bits == 0 {
                    *limb
                } else {
                    limb >> bits | above << (64 - bits)
                }
            })
            .collect();
        (Self(shifted).trimmed(), cut)
    }

    /// The top 128 bits at most, whether anything nonzero lies below them, and how many bits do.
    pub(super) fn top_bits(&self) -> (u128, bool, u32) {
        let below = self.bits().saturating_sub(128);
        let (top, cut) = self.shifted_right(below);
        let limb = |at: usize| u128::from(top.0.get(at).copied().unwrap_or(0));
        (limb(1) << 64 | limb(0), cut, below)
    }

    /// The top bits of `self / divisor`, at least 67 of them: `(quotient, inexact, exponent)` with
    /// `self / divisor = quotient × 2^exponent`, and a little more if inexact.
    ///
    /// Scaling the dividend by a power of two first makes the quotient's length known, so one bit
    /// a step is quick enough; `⌊⌊n / 2^s⌋ / d⌋ = ⌊n / (2^s d)⌋` keeps it exact.
    pub(super) fn divided_by(&self, divisor: &Self) -> (u128, bool, i32) {
        const QUOTIENT_BITS: u32 = 67;
        let wanted = divisor.bits() + QUOTIENT_BITS;
        let (dividend, mut inexact, exponent) = if self.bits() <= wanted {
            let up = wanted - self.bits();
            (self.shifted_left(up), false, -(up as i32))
        } else {
            let down = self.bits() - wanted;
            let (dividend, cut) = self.shifted_right(down);
            (dividend, cut, down as i32)
        };
        let (mut remainder, _) = dividend.shifted_right(QUOTIENT_BITS);
        let mut quotient = 0u128;
        for bit in (0..=QUOTIENT_BITS).rev() {
            quotient <<= 1;
            if remainder.cmp(divisor) != Ordering::Less {
                remainder.subtract(divisor);
                quotient |= 1;
            }
            if bit > 0 {
                remainder = remainder.shifted_left(1);
                if dividend.bit(bit - 1) {
                    remainder.multiply_add(1, 1);
                }
            }
        }
        inexact |= !remainder.0.is_empty();
        (quotient, inexact, exponent)
    }

    /// The decimal digits; "0" for zero.
    pub(super) fn into_decimal(mut self) -> Vec<u8> {
        let mut chunks = Vec::new();
        while !self.0.is_empty() {
            chunks.push(self.divide_small(TEN_TO_THE_19));
        }
        let mut digits = chunks.pop().unwrap_or(0).to_string().into_bytes();
        for chunk in chunks.iter().rev() {
            digits.extend_from_slice(format!("{chunk:019}").as_bytes());
        }
        digits
    }

    fn bit(&self, at: u32) -> bool {
        self.0
            .get(at as usize / 64)
            .is_some_and(|limb| limb >> (at % 64) & 1 == 1)
    }

    /// `self = self × factor + addend`
    fn multiply_add(&mut self, factor: u64, addend: u64) {
        let mut carry = u128::from(addend);
        for limb in &mut self.0 {
            let sum = u128::from(*limb) * u128::from(factor) + carry;
            *limb = sum as u64;
            carry = sum >> 64;
        }
        if carry != 0 {
            self.0.push(carry as u64);
        }
    }

    /// `self = self / divisor`; returns the remainder.
    fn divide_small(&mut self, divisor: u64) -> u64 {
        let mut remainder = 0u128;
        for limb in self.0.iter_mut().rev() {
            let part = remainder << 64 | u128::from(*limb);
            *limb = (part / u128::from(divisor)) as u64;
            remainder = part % u128::from(divisor);
        }
        self.trim();
        remainder as u64
    }

    /// `self = self - other`; the caller has compared them.
    fn subtract(&mut self, other: &Self) {
        let mut borrow = false;
        for (at, limb) in self.0.iter_mut().enumerate() {
            let part = other.0.get(at).copied().unwrap_or(0);
            let (first, under) = limb.overflowing_sub(part);
            let (second, again) = first.overflowing_sub(u64::from(borrow));
            *limb = second;
            borrow = under || again;
        }
        self.trim();
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    fn trimmed(mut self) -> Self {
        self.trim();
        self
    }
}

impl Ord for BigUint {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_length = self.0.len().cmp(&other.0.len());
        by_length.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }
}

impl PartialOrd for BigUint {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_round_trip_and_products() {
        let text = "123456789012345678901234567890123456789012345678901234567890";
        let number = BigUint::from_decimal(text.bytes());
        assert_eq!(number.clone().into_decimal(), text.as_bytes());
        assert_eq!(BigUint::from(0).into_decimal(), b"0");
        assert_eq!(
            BigUint::from(u64::MAX)
                .multiplied(&BigUint::from(u64::MAX))
                .into_decimal(),
            (u128::from(u64::MAX) * u128::from(u64::MAX))
                .to_string()
                .into_bytes()
        );
        assert_eq!(
            BigUint::from(1).shifted_left(100).into_decimal(),
            (1u128 << 100).to_string().into_bytes()
        );
        assert_eq!(
            BigUint::power_of_five(30).into_decimal(),
            5u128.pow(30).to_string().into_bytes()
        );
    }

    #[test]
    fn division_gives_the_leading_bits() {
        for (dividend, divisor) in [
            (1u128, 3u128),
            (10, 5),
            (u128::MAX, 7),
            (1 << 127, u128::MAX / 3),
        ] {
            let big = |value: u128| BigUint::from_decimal(value.to_string().bytes());
            let (quotient, inexact, exponent) = big(dividend).divided_by(&big(divisor));
            assert!(quotient >> 66 != 0);
            // quotient × divisor ≤ dividend × 2^-exponent < (quotient + 1) × divisor
            let scale = |number: BigUint| match exponent {
                0.. => number,
                down => number.shifted_left(down.unsigned_abs()),
            };
            let lower = big(quotient).multiplied(&big(divisor));
            let upper = big(quotient + 1).multiplied(&big(divisor));
            let raise = |number: BigUint| number.shifted_left(exponent.max(0).unsigned_abs());
            let value = scale(big(dividend));
            assert!(raise(lower.clone()) <= value && value < raise(upper));
            assert_eq!(inexact, raise(lower) != value);
        }
    }
}
