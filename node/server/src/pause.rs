//! CLIENT PAUSE: no commands, or no writes, until a moment or CLIENT UNPAUSE.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::Notify;

use crate::worker::unix_ms;

/// What is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paused {
    /// Nothing.
    Nothing,
    /// Commands that may change the dataset.
    Writes,
    /// All commands of clients.
    All,
}

/// The pause of this process. It is changed only while the world is stopped, so that no command
/// that it forbids is still running when CLIENT PAUSE is answered.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    /// Unix time of the end, milliseconds; 0 when nothing is paused.
    until_ms: AtomicI64,
    all: AtomicBool,
    ended: Notify,
}

impl Pause {
    /// What is paused at `now_ms`.
    #[inline]
    pub(crate) fn state(&self, now_ms: i64) -> Paused {
        let until_ms = self.until_ms.load(Relaxed);
        if until_ms == 0 || now_ms >= until_ms {
            Paused::Nothing
        } else if self.all.load(Relaxed) {
            Paused::All
        } else {
            Paused::Writes
        }
    }

    /// Pauses until `until_ms`. A pause that is on is never shortened or weakened by another one.
    pub(crate) fn start(&self, until_ms: i64, all: bool, now_ms: i64) {
        let already = self.state(now_ms);
        self.all.store(all || already == Paused::All, Relaxed);
        let until_ms = match already {
            Paused::Nothing => until_ms,
            _ => until_ms.max(self.until_ms.load(Relaxed)),
        };
        self.until_ms.store(until_ms, Relaxed);
        // Who waits for the end of the old pause has a longer one to wait for.
        self.ended.notify_waiters();
    }

    /// CLIENT UNPAUSE.
    pub(crate) fn end(&self) {
        self.until_ms.store(0, Relaxed);
        self.ended.notify_waiters();
    }

    /// Waits for the end of the pause, or for a change of it: the caller looks again.
    pub(crate) fn ended(&'static self) -> impl Future<Output = ()> + Send + 'static {
        let changed = self.ended.notified();
        async move {
            let left_ms = self.until_ms.load(Relaxed) - unix_ms();
            if left_ms > 0 {
                let left = Duration::from_millis(left_ms as u64);
                let _ = tokio::time::timeout(left, changed).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_pause_neither_shortens_nor_weakens() {
        let pause = Pause::default();
        assert_eq!(pause.state(100), Paused::Nothing);
        pause.start(200, true, 100);
        pause.start(150, false, 110);
        assert_eq!(pause.state(199), Paused::All);
        assert_eq!(pause.state(200), Paused::Nothing);
        pause.start(300, false, 250);
        assert_eq!(pause.state(260), Paused::Writes);
        pause.end();
        assert_eq!(pause.state(260), Paused::Nothing);
    }
}
