//! The 24 bits by which eviction and OBJECT judge how much an entry is used (Redis 7.0: evict.c).
//!
//! Under an LRU policy they are the time of the last access in seconds, modulo 2^24 (194 days). Under
//! an LFU policy they are
//!
//! ```text
//!  23            8 7        0
//! +---------------+----------+
//! | minutes mod   | counter  |   the counter grows with the logarithm of accesses and
//! | 2^16          |          |   decays with time since those minutes
//! +---------------+----------+
//! ```

/// Largest access clock: 24 bits.
pub const ACCESS_CLOCK_MAX: u32 = (1 << 24) - 1;

/// LFU counter of a new entry: not zero, or new entries would be evicted before they had a chance.
pub const LFU_INITIAL: u8 = 5;

const LFU_MINUTES_MAX: u32 = (1 << 16) - 1;

/// The LRU clock at Unix time `now_ms`.
pub fn lru_clock(now_ms: i64) -> u32 {
    (now_ms / 1000) as u32 & ACCESS_CLOCK_MAX
}

/// Milliseconds since the access that `clock` notes, at LRU clock `now`. The clock wraps after 194
/// days; an entry idle for longer seems younger.
pub fn lru_idle_ms(clock: u32, now: u32) -> u64 {
    let seconds = if now >= clock {
        now - clock
    } else {
        now + (ACCESS_CLOCK_MAX - clock)
    };
    u64::from(seconds) * 1000
}

/// The clock of an entry whose last access was `idle_s` seconds before `now_ms`. An access before the
/// clock's last round counts as one in it, a second later, as in Redis 7.0 (objectSetLRUOrLFU).
pub fn lru_clock_before(now_ms: i64, idle_s: u64) -> u32 {
    let accessed = i64::from(lru_clock(now_ms)).wrapping_sub_unsigned(idle_s);
    let rounds = if accessed < 0 {
        i64::from(ACCESS_CLOCK_MAX)
    } else {
        0
    };
    accessed.wrapping_add(rounds) as u32 & ACCESS_CLOCK_MAX
}

/// How fast LFU counters grow and decay.
#[derive(Clone, Copy, Debug)]
pub struct LfuSettings {
    /// `lfu-log-factor`: the higher, the more accesses one step of the counter takes.
    pub log_factor: u32,
    /// `lfu-decay-time`: minutes for the counter to lose one; 0: it never does.
    pub decay_minutes: u32,
}

/// The clock of an entry that is created at `now_ms` under an LFU policy.
pub fn lfu_new(now_ms: i64) -> u32 {
    pack(minutes(now_ms), LFU_INITIAL)
}

/// The clock of an entry that is said to have this LFU counter at `now_ms`.
pub fn lfu_with_counter(now_ms: i64, counter: u8) -> u32 {
    pack(minutes(now_ms), counter)
}

/// The counter in `clock` as it has decayed by `now_ms` (OBJECT FREQ; eviction).
pub fn lfu_counter(clock: u32, now_ms: i64, settings: LfuSettings) -> u8 {
    let (then, now) = (clock >> 8, minutes(now_ms));
    let elapsed = if now >= then {
        now - then
    } else {
        LFU_MINUTES_MAX - then + now
    };
    let lost = elapsed.checked_div(settings.decay_minutes).unwrap_or(0);
    (clock as u8).saturating_sub(u8::try_from(lost).unwrap_or(u8::MAX))
}

/// The clock after an access at `now_ms`. `random` is uniform in [0, 1): the counter grows with a
/// probability that falls as it rises.
pub fn lfu_access(clock: u32, now_ms: i64, settings: LfuSettings, random: f64) -> u32 {
    let counter = lfu_counter(clock, now_ms, settings);
    let grows = random < growth_probability(counter, settings.log_factor);
    pack(minutes(now_ms), counter.saturating_add(u8::from(grows)))
}

fn growth_probability(counter: u8, log_factor: u32) -> f64 {
    let above_initial = f64::from(counter.saturating_sub(LFU_INITIAL));
    1.0 / (above_initial * f64::from(log_factor) + 1.0)
}

fn minutes(now_ms: i64) -> u32 {
    (now_ms / 60_000) as u32 & LFU_MINUTES_MAX
}

fn pack(minutes: u32, counter: u8) -> u32 {
    minutes << 8 | u32::from(counter)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STOCK: LfuSettings = LfuSettings {
        log_factor: 10,
        decay_minutes: 1,
    };

    #[test]
    fn lru_wraps() {
        assert_eq!(lru_clock(1_000_000), 1000);
        assert_eq!(lru_clock((1i64 << 24) * 1000 + 5000), 5);
        assert_eq!(lru_idle_ms(10, 15), 5000);
        assert_eq!(lru_idle_ms(ACCESS_CLOCK_MAX - 2, 3), 5000);
    }

    /// As Redis 7.0.15 answers OBJECT IDLETIME after RESTORE with IDLETIME.
    #[test]
    fn lru_clocks_of_the_past() {
        let now_ms = 1_795_258_000_000;
        for (idle_s, seen_s) in [
            (0, 0),
            (10, 10),
            (100_000, 100_000),
            (16_777_215, 0),
            (16_777_216, 1),
            (20_000_000, 3_222_784),
        ] {
            let clock = lru_clock_before(now_ms, idle_s);
            assert_eq!(lru_idle_ms(clock, lru_clock(now_ms)), seen_s * 1000);
        }
        assert!(lru_clock_before(now_ms, u64::MAX) <= ACCESS_CLOCK_MAX);
    }

    #[test]
    fn lfu_grows_slower_the_higher() {
        let now_ms = 600_000;
        let new = lfu_new(now_ms);
        assert_eq!(new, 10 << 8 | 5);
        assert_eq!(lfu_access(new, now_ms, STOCK, 0.999), 10 << 8 | 6);
        assert_eq!(lfu_access(10 << 8 | 6, now_ms, STOCK, 0.1), 10 << 8 | 6);
        assert_eq!(lfu_access(10 << 8 | 6, now_ms, STOCK, 0.09), 10 << 8 | 7);
        assert_eq!(lfu_access(10 << 8 | 255, now_ms, STOCK, 0.0), 10 << 8 | 255);
    }

    #[test]
    fn lfu_decays() {
        let clock = 10 << 8 | 20;
        assert_eq!(lfu_counter(clock, 600_000, STOCK), 20);
        assert_eq!(lfu_counter(clock, 12 * 60_000, STOCK), 18);
        assert_eq!(lfu_counter(clock, 500 * 60_000, STOCK), 0);
        let never = LfuSettings {
            decay_minutes: 0,
            ..STOCK
        };
        assert_eq!(lfu_counter(clock, 500 * 60_000, never), 20);
        // Minutes have wrapped: 65535 - 65530 + 3 = 8 have passed.
        assert_eq!(
            lfu_counter(65_530 << 8 | 20, (65_536 + 3) * 60_000, STOCK),
            12
        );
    }
}
