//! A node's wall clock: virtual time seen with an offset and a drift.

use hexad_gossip::Millis;

use crate::queue::{MS, Micros};

/// The start of the simulation in Unix time, on a node whose clock is right.
const EPOCH_MS: u64 = 1_700_000_000_000;
const PARTS: u64 = 1_000_000;

/// Maps virtual time to one node's Unix time and back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    offset_ms: i64,
    /// How fast it runs, in parts per million of the right speed.
    rate_ppm: u64,
}

impl Clock {
    /// A clock that is `offset_ms` off at the start and runs `drift_ppm` too fast (or too slow).
    #[must_use]
    pub(crate) fn new(offset_ms: i64, drift_ppm: i64) -> Self {
        Clock {
            offset_ms,
            rate_ppm: PARTS.saturating_add_signed(drift_ppm),
        }
    }

    /// What this clock shows at `at_us`.
    #[must_use]
    pub(crate) fn millis(self, at_us: Micros) -> Millis {
        EPOCH_MS.saturating_add_signed(self.offset_ms) + self.rate_ppm * at_us / PARTS / MS
    }

    /// The first instant at which this clock shows at least `millis`.
    #[must_use]
    pub(crate) fn instant_of(self, millis: Millis) -> Micros {
        let since_start = millis.saturating_sub(EPOCH_MS.saturating_add_signed(self.offset_ms));
        (since_start * MS * PARTS).div_ceil(self.rate_ppm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instant_of_is_the_first_instant_that_shows_the_time() {
        for clock in [
            Clock::new(0, 0),
            Clock::new(-3_600_000, 500),
            Clock::new(77, -500),
        ] {
            for at_us in [0, 1, 999, 1_000, 123_456_789, 600_000_000] {
                let shown = clock.millis(at_us);
                let first = clock.instant_of(shown);
                assert!(
                    first <= at_us && clock.millis(first) == shown,
                    "{clock:?} at {at_us}"
                );
                assert!(
                    first == 0 || clock.millis(first - 1) < shown,
                    "{clock:?} at {at_us}"
                );
            }
        }
    }
}
