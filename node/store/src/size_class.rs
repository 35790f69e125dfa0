//! The allocator's size classes.
//!
//! jemalloc hands out sizes of 8, then multiples of 16 up to 128, then four sizes per doubling
//! (160, 192, 224, 256, 320, …). Asking for a whole class costs nothing more and makes the slack
//! usable: a value may grow or shrink within its class without a move, and an allocation's size is a
//! function of what it holds, so that it need not be stored.

/// The smallest size class that holds `bytes` (> 8), a multiple of 16.
#[inline]
pub(crate) const fn round_up(bytes: usize) -> usize {
    let step = if bytes <= 128 {
        16
    } else {
        1 << (usize::BITS - (bytes - 1).leading_zeros() - 3)
    };
    (bytes + step - 1) & !(step - 1)
}

#[cfg(test)]
mod tests {
    use super::round_up;

    #[test]
    fn classes_are_jemallocs() {
        let classes = [
            16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768,
            896, 1024, 1280,
        ];
        for pair in classes.windows(2) {
            assert_eq!(round_up(pair[0]), pair[0]);
            assert_eq!(round_up(pair[0] + 1), pair[1]);
            assert_eq!(round_up(pair[1] - 1), pair[1]);
        }
        assert_eq!(round_up((1 << 30) + 1), (1 << 30) + (1 << 28));
    }
}
