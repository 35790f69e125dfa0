//! The gates: how one thread stops every worker between two batches.
//!
//! A worker holds its own gate while it executes a batch; nobody else wants it then, so taking it
//! costs one uncontended lock. [`Gates::try_stop`] takes all of them, or none. While it does, no
//! worker begins a batch, or with many busy workers there would never be a moment at which all
//! gates are free. It is patient for a fraction of a millisecond only, and a caller that fails
//! tries again much later: so a worker that is deep in a long command delays the pause and hardly
//! the other workers. While a [`World`] exists no worker executes a command, and no slot is locked.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

/// How long the workers are held up for an attempt that fails.
const PATIENCE: Duration = Duration::from_micros(100);

/// When to try again after an attempt that failed.
pub(crate) const RETRY: Duration = Duration::from_millis(2);

/// The gates, one a worker, each on a cache line of its own.
#[derive(Debug)]
pub(crate) struct Gates {
    gates: Box<[Gate]>,
    /// Somebody is stopping the world, or has.
    stopping: AtomicBool,
    /// Held by who stops the world; whoever comes to a gate meanwhile waits here.
    barrier: Mutex<()>,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Gate(Mutex<()>);

/// Proof that a worker executes a batch: nobody can stop the world meanwhile.
pub(crate) struct Pass<'a>(#[expect(dead_code, reason = "held for its drop")] MutexGuard<'a, ()>);

/// Proof that no worker executes anything: all gates are held.
#[expect(dead_code, reason = "held for their drops")]
pub(crate) struct World<'a> {
    gates: Vec<MutexGuard<'a, ()>>,
    stop: Stop<'a>,
}

/// Keeps workers from their gates.
struct Stop<'a> {
    stopping: &'a AtomicBool,
    #[expect(dead_code, reason = "held for its drop")]
    barrier: MutexGuard<'a, ()>,
}

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.stopping.store(false, Relaxed);
    }
}

impl Gates {
    /// Gates for this many workers.
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            gates: (0..workers).map(|_| Gate::default()).collect(),
            stopping: AtomicBool::new(false),
            barrier: Mutex::new(()),
        }
    }

    /// Enters a worker's own gate, waiting while the world is stopped.
    #[inline]
    pub(crate) fn enter(&self, worker: usize) -> Pass<'_> {
        if self.stopping.load(Relaxed) {
            drop(self.barrier.lock());
        }
        Pass(self.gates[worker].0.lock())
    }

    /// Stops the world, or returns `None` soon if some worker is busy; [`RETRY`] says when to try
    /// again. The caller must not be inside its own gate.
    pub(crate) fn try_stop(&self) -> Option<World<'_>> {
        let barrier = self.barrier.try_lock()?;
        self.stopping.store(true, Relaxed);
        let stop = Stop {
            stopping: &self.stopping,
            barrier,
        };
        let deadline = Instant::now() + PATIENCE;
        let gates = self
            .gates
            .iter()
            .map(|gate| gate.0.try_lock_until(deadline))
            .collect::<Option<Vec<_>>>()?;
        Some(World { gates, stop })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_gates_or_none() {
        let gates = Gates::new(3);
        let pass = gates.enter(1);
        assert!(gates.try_stop().is_none());
        // The failed attempt left no gate taken.
        drop((gates.enter(0), gates.enter(2)));
        drop(pass);
        let world = gates.try_stop().expect("nobody is inside");
        assert!(gates.gates[0].0.try_lock().is_none());
        assert!(gates.try_stop().is_none());
        drop(world);
        drop(gates.enter(0));
    }

    #[test]
    fn workers_that_are_always_busy_are_stopped() {
        let gates = Gates::new(8);
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for worker in 0..8 {
                let (gates, ended) = (&gates, &ended);
                scope.spawn(move || {
                    while !ended.load(Relaxed) {
                        // A batch of some microseconds, and the next at once.
                        let _pass = gates.enter(worker);
                        (0..1000).for_each(|_| std::hint::spin_loop());
                    }
                });
            }
            let stopped = (0..1000).filter(|_| {
                let world = gates.try_stop();
                if world.is_none() {
                    std::thread::sleep(RETRY);
                }
                world.is_some()
            });
            let count = stopped.take(3).count();
            ended.store(true, Relaxed);
            assert_eq!(count, 3);
        });
    }
}
