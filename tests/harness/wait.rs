//! Waiting for a condition instead of for a time.

use std::thread;
use std::time::{Duration, Instant};

/// Time between two looks at a condition.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Calls `look` until it gives `Ok`, at most for `limit`; gives the last `Err` when time is up.
///
/// `look` is called at least once, and once more after the limit has passed, so that a machine
/// that stood still does not fail a condition that holds.
pub fn poll_until<T>(
    limit: Duration,
    mut look: impl FnMut() -> Result<T, String>,
) -> Result<T, String> {
    let deadline = Instant::now() + limit;
    loop {
        let late = Instant::now() >= deadline;
        match look() {
            Ok(value) => return Ok(value),
            Err(reason) if late => return Err(reason),
            Err(_) => thread::sleep(POLL_INTERVAL),
        }
    }
}

/// [`poll_until`] that panics, naming `what` was awaited and the last reason.
#[track_caller]
pub fn wait_until<T>(what: &str, limit: Duration, look: impl FnMut() -> Result<T, String>) -> T {
    match poll_until(limit, look) {
        Ok(value) => value,
        Err(reason) => panic!("not within {limit:?}: {what}\nlast seen: {reason}"),
    }
}
