//! CLIENT PAUSE: no commands, or no writes, until a moment or CLIENT UNPAUSE.

use std::future::Future;
use std::sync::atomic::{
    AtomicBool, AtomicI64,
    Ordering::{Acquire, Relaxed, Release},
};
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

/// Who wants a pause. Each ends its own only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// CLIENT PAUSE.
    Client,
    /// A failover by hand, of a stand-alone server or in a cluster.
    Failover,
    /// The end of the process, which waits for replicas.
    Shutdown,
}

/// The pauses of this process. They are changed only while the world is stopped, so that no
/// command that they forbid is still running when CLIENT PAUSE is answered.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    causes: [Slot; 3],
    ended: Notify,
}

#[derive(Debug, Default)]
struct Slot {
    /// Unix time of the end, milliseconds; 0 when nothing is paused.
    until_ms: AtomicI64,
    all: AtomicBool,
}

impl Slot {
    #[inline]
    fn state(&self, now_ms: i64) -> Paused {
        // Who sees the end sees what came before it: see `Worker::begin_batch`.
        let until_ms = self.until_ms.load(Acquire);
        if until_ms == 0 || now_ms >= until_ms {
            Paused::Nothing
        } else if self.all.load(Relaxed) {
            Paused::All
        } else {
            Paused::Writes
        }
    }
}

impl Pause {
    /// What is paused at `now_ms`.
    #[inline]
    pub(crate) fn state(&self, now_ms: i64) -> Paused {
        let mut strongest = Paused::Nothing;
        for slot in &self.causes {
            match slot.state(now_ms) {
                Paused::Nothing => {}
                Paused::Writes if strongest == Paused::All => {}
                state => strongest = state,
            }
        }
        strongest
    }

    /// Whether CLIENT PAUSE is on, whatever else is.
    pub(crate) fn is_by_client(&self, now_ms: i64) -> bool {
        self.causes[Cause::Client as usize].state(now_ms) != Paused::Nothing
    }

    /// Pauses until `until_ms`. A pause that is on is never shortened or weakened by another one of
    /// the same cause.
    pub(crate) fn start(&self, cause: Cause, until_ms: i64, all: bool, now_ms: i64) {
        let slot = &self.causes[cause as usize];
        let already = slot.state(now_ms);
        slot.all.store(all || already == Paused::All, Relaxed);
        let until_ms = match already {
            Paused::Nothing => until_ms,
            _ => until_ms.max(slot.until_ms.load(Relaxed)),
        };
        slot.until_ms.store(until_ms, Relaxed);
        // Who waits for the end of the old pause has a longer one to wait for.
        self.ended.notify_waiters();
    }

    /// CLIENT UNPAUSE, or the end of a failover.
    pub(crate) fn end(&self, cause: Cause) {
        self.causes[cause as usize].until_ms.store(0, Release);
        self.ended.notify_waiters();
    }

    /// Waits for the end of the pauses, or for a change of one: the caller looks again.
    pub(crate) fn ended(&'static self) -> impl Future<Output = ()> + Send + 'static {
        let changed = self.ended.notified();
        async move {
            let ends = self.causes.iter().map(|slot| slot.until_ms.load(Relaxed));
            let left_ms = ends.max().unwrap_or(0) - unix_ms();
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
        pause.start(Cause::Client, 200, true, 100);
        pause.start(Cause::Client, 150, false, 110);
        assert_eq!(pause.state(199), Paused::All);
        assert_eq!(pause.state(200), Paused::Nothing);
        pause.start(Cause::Client, 300, false, 250);
        assert_eq!(pause.state(260), Paused::Writes);
        pause.end(Cause::Client);
        assert_eq!(pause.state(260), Paused::Nothing);
    }

    #[test]
    fn each_ends_its_own() {
        let pause = Pause::default();
        pause.start(Cause::Failover, 200, false, 100);
        pause.start(Cause::Client, 150, true, 100);
        assert_eq!(pause.state(149), Paused::All);
        assert_eq!(pause.state(150), Paused::Writes);
        pause.end(Cause::Client);
        assert_eq!(pause.state(150), Paused::Writes);
        pause.end(Cause::Failover);
        assert_eq!(pause.state(120), Paused::Nothing);
    }
}
