//! The simulator as a test: some seeds in every `cargo test`, a thousand in a release build.
//! `HEXAD_SIM_SEEDS` sets another number.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use hexad_gossip_sim::run_seed;

#[test]
fn the_invariants_hold_for_many_seeds() {
    let usual = if cfg!(debug_assertions) { 8 } else { 1_000 };
    let wanted = std::env::var("HEXAD_SIM_SEEDS").ok();
    let seeds = wanted.map_or(usual, |text| {
        text.parse().expect("HEXAD_SIM_SEEDS is a number")
    });
    let next = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        break;
                    }
                    if let Some(failure) = run_seed(seed, false).failure {
                        panic!("{failure}");
                    }
                }
            });
        }
    });
}

#[test]
fn a_seed_replays_exactly() {
    let (first, again) = (run_seed(3, true), run_seed(3, true));
    assert_eq!(first.hash, again.hash);
    assert_eq!(first.transcript, again.transcript);
    assert_ne!(first.hash, run_seed(4, false).hash);
}

#[test]
fn a_run_covers_ten_minutes_at_least() {
    let report = run_seed(5, false);
    assert!(report.virtual_us >= 600_000_000, "{} us", report.virtual_us);
    let counts = report.counts;
    let busy = counts.frames > 1_000 && counts.faults > 10 && counts.works > 10;
    assert!(busy && counts.accepted > 10, "{counts:?}");
}
