//! Watching the workers, so that a wedged node stops vouching for itself.
//!
//! The bus runs on a thread of its own, so its heartbeats go on whatever the workers do. That is
//! the point (a slow command is no failure), but a node whose workers hang for good must still
//! fail over. A worker that is busy and makes no progress for `cluster-stall-timeout` makes the
//! node unhealthy; the state machine then stops answering for it.

use hexad_gossip::Millis;

/// What a worker shows of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// A number that changes with every batch (or, within a long one, every command).
    pub progress: u64,
    /// Whether the worker is executing something now.
    pub busy: bool,
}

/// Remembers since when each worker has shown the same pulse.
#[derive(Debug, Default)]
pub(crate) struct StallWatch {
    seen: Vec<(Pulse, Millis)>,
}

impl StallWatch {
    /// Takes in the workers' pulses and answers which worker has been busy without progress for
    /// `timeout` milliseconds or more. A timeout of 0 turns the watch off.
    pub(crate) fn stalled(
        &mut self,
        now: Millis,
        timeout: Millis,
        pulses: impl Iterator<Item = Pulse>,
    ) -> Option<usize> {
        let mut stalled = None;
        for (worker, pulse) in pulses.enumerate() {
            if worker == self.seen.len() {
                self.seen.push((pulse, now));
            }
            let (last, since) = &mut self.seen[worker];
            if *last != pulse || !pulse.busy {
                (*last, *since) = (pulse, now);
            }
            if timeout > 0 && now - *since >= timeout {
                stalled = stalled.or(Some(worker));
            }
        }
        stalled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Millis = 1000;

    fn busy(progress: u64) -> Pulse {
        Pulse {
            progress,
            busy: true,
        }
    }

    fn idle(progress: u64) -> Pulse {
        Pulse {
            progress,
            busy: false,
        }
    }

    #[test]
    fn only_busy_without_progress_counts() {
        let mut watch = StallWatch::default();
        // (time, pulses of two workers, the stalled one)
        let table = [
            (0, [busy(1), idle(7)], None),
            (999, [busy(1), idle(7)], None),
            (1000, [busy(1), idle(7)], Some(0)),
            (1001, [busy(2), idle(7)], None),
            (5000, [idle(2), busy(7)], None),
            (5999, [busy(2), busy(7)], None),
            (6000, [busy(2), busy(7)], Some(1)),
            (6998, [busy(2), busy(8)], None),
            (6999, [busy(2), busy(8)], Some(0)),
            (7000, [idle(2), busy(8)], None),
        ];
        for (now, pulses, stalled) in table {
            assert_eq!(
                watch.stalled(now, TIMEOUT, pulses.into_iter()),
                stalled,
                "at {now}"
            );
        }
    }

    #[test]
    fn a_timeout_of_zero_is_none() {
        let mut watch = StallWatch::default();
        watch.stalled(0, 0, [busy(1)].into_iter());
        assert_eq!(watch.stalled(1_000_000, 0, [busy(1)].into_iter()), None);
    }
}
