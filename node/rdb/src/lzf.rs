//! LZF, the compression of strings in RDB files.
//!
//! The packed form is a sequence of
//!
//! ```text
//! 000nnnnn                    n + 1 bytes follow as they are (1 to 32)
//! nnnooooo oooooooo           n = 1..6: repeats n + 2 bytes (3 to 8) from o + 1 bytes back
//! 111ooooo nnnnnnnn oooooooo  the same, n + 9 bytes (9 to 264)
//! ```
//!
//! The format is small enough to be written here, bounded as it must be. Packing is greedy: the
//! latest place where the next three bytes' hash was seen is tried, nothing else. What it makes of
//! a string need not be, and is not, byte for byte what Redis makes of it.

/// Longest run of bytes as they are.
const LITERALS_MAX: usize = 32;
/// Farthest that a repetition goes back.
const DISTANCE_MAX: usize = 1 << 13;
/// Shortest repetition that is worth its bytes.
const REPEAT_MIN: usize = 3;
/// Longest repetition.
const REPEAT_MAX: usize = 264;
/// After 2 to the power of this many literals packing goes on in longer strides: incompressible bytes are to be
/// given up fast.
const PATIENCE_SHIFT: u32 = 5;

/// The longest string that packed bytes can stand for, as a multiple of their number: three bytes
/// repeat 264.
pub(crate) const EXPANSION_MAX: usize = REPEAT_MAX / 3;

/// Appends the packed form of `input` to `out`, unless it is longer than `max` bytes; tells whether
/// it did.
pub(crate) fn pack(input: &[u8], out: &mut Vec<u8>, max: usize) -> bool {
    // The table of places is cleared for each string, so short strings get a small one.
    match input.len() {
        0..=128 => pack_with::<128>(input, out, max),
        129..=2048 => pack_with::<1024>(input, out, max),
        _ => pack_with::<8192>(input, out, max),
    }
}

fn pack_with<const PLACES: usize>(input: &[u8], out: &mut Vec<u8>, max: usize) -> bool {
    let start = out.len();
    // Where each hash was seen last, modulo 2^16: more than the distance that counts. A place that
    // was never set, or that is of an earlier round, is told by the bytes there.
    let mut places = [0u16; PLACES];
    let (mut at, mut literals_from) = (0, 0);
    while let Some(head) = input.get(at..).and_then(<[u8]>::first_chunk) {
        let place = &mut places[hash::<PLACES>(*head)];
        let distance = usize::from((at as u16).wrapping_sub(*place));
        *place = at as u16;
        let len = match distance {
            1..=DISTANCE_MAX if distance <= at => repeat_len(input, at - distance, at),
            _ => 0,
        };
        if len < REPEAT_MIN {
            at += 1 + ((at - literals_from) >> PATIENCE_SHIFT);
            continue;
        }
        put_literals(out, &input[literals_from..at]);
        put_repeat(out, distance, len);
        at += len;
        literals_from = at;
    }
    let literals = &input[literals_from..];
    let runs = literals.len().div_ceil(LITERALS_MAX);
    let fits = out.len() - start + runs + literals.len() <= max;
    if fits {
        put_literals(out, literals);
    } else {
        out.truncate(start);
    }
    fits
}

fn put_literals(out: &mut Vec<u8>, bytes: &[u8]) {
    for run in bytes.chunks(LITERALS_MAX) {
        out.push((run.len() - 1) as u8);
        out.extend_from_slice(run);
    }
}

fn put_repeat(out: &mut Vec<u8>, distance: usize, len: usize) {
    let (offset, count) = (distance - 1, len - 2);
    let high = (offset >> 8) as u8;
    if count < 7 {
        out.push((count as u8) << 5 | high);
    } else {
        out.extend([7 << 5 | high, (count - 7) as u8]);
    }
    out.push(offset as u8);
}

#[inline]
fn hash<const PLACES: usize>(head: [u8; 4]) -> usize {
    // Fibonacci hashing of the first three bytes, which is what a repetition needs at least.
    let word = u32::from_le_bytes(head) << 8;
    (word.wrapping_mul(0x9E37_79B1) >> (32 - PLACES.ilog2())) as usize
}

/// How many bytes from `at` on are those from `from` on, as far as one repetition goes.
#[inline]
fn repeat_len(input: &[u8], from: usize, at: usize) -> usize {
    let (then, now) = (&input[from..], &input[at..]);
    // Most places hold something else.
    if then.first_chunk::<REPEAT_MIN>() != now.first_chunk() {
        return 0;
    }
    let same = then.iter().zip(now).take(REPEAT_MAX);
    same.take_while(|(then, now)| then == now).count()
}

/// Appends what `packed` stands for, which must be `len` bytes; `None` if it is not. Memory is
/// taken as the bytes come out, not as `len` claims.
pub(crate) fn unpack(mut packed: &[u8], out: &mut Vec<u8>, len: usize) -> Option<()> {
    let start = out.len();
    let end = start.checked_add(len)?;
    while let [control, rest @ ..] = packed {
        packed = rest;
        let count = usize::from(control >> 5);
        if count == 0 {
            let (run, rest) = packed.split_at_checked(usize::from(*control) + 1)?;
            packed = rest;
            (out.len() + run.len() <= end).then(|| out.extend_from_slice(run))?;
            continue;
        }
        let extra = if count == 7 {
            take_byte(&mut packed)?
        } else {
            0
        };
        let repeat = count + usize::from(extra) + 2;
        let offset = usize::from(control & 0x1F) << 8 | usize::from(take_byte(&mut packed)?);
        let from = (out.len() - start).checked_sub(offset + 1)? + start;
        (out.len() + repeat <= end).then(|| repeat_from(out, from, repeat))?;
    }
    (out.len() == end).then_some(())
}

fn take_byte(bytes: &mut &[u8]) -> Option<u8> {
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*first)
}

/// Appends `count` bytes from index `from` on, some of which may only be there once the first are
/// appended.
fn repeat_from(out: &mut Vec<u8>, from: usize, mut count: usize) {
    while count > 0 {
        let piece = count.min(out.len() - from);
        out.extend_from_within(from..from + piece);
        count -= piece;
    }
}

#[cfg(test)]
mod tests {
    use super::{pack, unpack};
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    fn packed(input: &[u8]) -> Option<Vec<u8>> {
        let mut out = b"before".to_vec();
        let fits = pack(input, &mut out, input.len());
        assert!(out.starts_with(b"before"));
        assert!(fits || out.len() == 6);
        fits.then(|| out.split_off(6))
    }

    fn unpacked(packed: &[u8], len: usize) -> Option<Vec<u8>> {
        let mut out = b"before".to_vec();
        unpack(packed, &mut out, len)?;
        Some(out.split_off(6))
    }

    #[test]
    fn what_is_packed_comes_out_again() {
        let mut rng = SmallRng::seed_from_u64(1);
        for round in 0..3000 {
            let len = match round % 4 {
                0 => rng.random_range(0..80),
                1 => rng.random_range(0..3000),
                2 => rng.random_range(250..270),
                _ => rng.random_range(0..40_000),
            };
            let letters = 1 << rng.random_range(0..8);
            let mut input: Vec<u8> = (0..len)
                .map(|_| rng.random_range(0..letters) as u8)
                .collect();
            if len > 100 && rng.random() {
                let half = input[..len / 2].to_vec();
                input.extend(half);
            }
            if let Some(packed) = packed(&input) {
                assert!(packed.len() <= input.len());
                assert_eq!(unpacked(&packed, input.len()), Some(input));
            }
        }
    }

    #[test]
    fn repetitions_pack_well() {
        for (input, at_most) in [
            (vec![b'a'; 100], 8),
            (vec![0; 100_000], 100_000 / 80),
            (b"0123456789".repeat(50), 24),
            (b"0123456789".repeat(5000), 1000),
        ] {
            let packed = packed(&input).expect("it packs");
            assert!(packed.len() <= at_most, "{} bytes", packed.len());
            assert_eq!(unpacked(&packed, input.len()), Some(input));
        }
    }

    #[test]
    fn noise_does_not_pack() {
        let mut rng = SmallRng::seed_from_u64(2);
        for len in [21, 64, 1000, 100_000] {
            let noise: Vec<u8> = (0..len).map(|_| rng.random()).collect();
            assert_eq!(packed(&noise), None);
        }
    }

    #[test]
    fn the_reference_s_bytes_unpack() {
        // What Redis 7.0.15 stores for 50 times "a".
        assert_eq!(unpacked(b"\x01aa\xe0%\x00\x01aa", 50), Some(vec![b'a'; 50]));
    }

    #[test]
    fn wrong_bytes_are_refused() {
        for (packed, len) in [
            // Literals that are not there.
            (&b"\x03abc"[..], 4),
            // A repetition of bytes before the start, though there are some in the buffer.
            (b"\x00a\x20\x01", 4),
            // More or less than claimed.
            (b"\x02abc", 2),
            (b"\x02abc", 4),
            (b"\x00a\x20\x00", 3),
            (b"\x00a\x20\x00", 5),
            // Cut in the middle.
            (b"\x00a\x20", 4),
            (b"\x00a\xe0", 10),
            (b"\x00a\xe0\x00", 10),
            // Nothing, claimed to be something.
            (b"", 1),
        ] {
            assert_eq!(unpacked(packed, len), None, "{packed:?} as {len}");
            // What was claimed is the most that is taken, even from a packed form that goes on.
            let mut out = Vec::new();
            let _ = unpack(packed, &mut out, len);
            assert!(out.len() <= len, "{packed:?} as {len}");
        }
        assert_eq!(unpacked(b"", 0), Some(Vec::new()));
        assert_eq!(unpacked(b"\x00a\x20\x00", 4), Some(vec![b'a'; 4]));
    }
}
