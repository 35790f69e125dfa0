//! The gates: how one thread stops every worker between two batches.
//!
//! A worker holds its own gate while it executes a batch; nobody else wants it then, so taking it
//! costs one uncontended lock. [`Gates::try_stop`] takes all of them, or none: a caller that fails
//! tries again later, so a worker that is deep in a long command delays the pause and never the
//! other workers. While a [`World`] exists no worker executes a command, and no slot is locked.

use parking_lot::{Mutex, MutexGuard};

/// One gate a worker, each on a cache line of its own.
#[derive(Debug)]
pub(crate) struct Gates {
    gates: Box<[Gate]>,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Gate(Mutex<()>);

/// Proof that a worker executes a batch: nobody can stop the world meanwhile.
pub(crate) struct Pass<'a>(#[expect(dead_code, reason = "held for its drop")] MutexGuard<'a, ()>);

/// Proof that no worker executes anything: all gates are held.
pub(crate) struct World<'a>(
    #[expect(dead_code, reason = "held for its drop")] Vec<MutexGuard<'a, ()>>,
);

impl Gates {
    /// Gates for this many workers.
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            gates: (0..workers).map(|_| Gate::default()).collect(),
        }
    }

    /// Enters a worker's own gate, waiting while the world is stopped.
    #[inline]
    pub(crate) fn enter(&self, worker: usize) -> Pass<'_> {
        Pass(self.gates[worker].0.lock())
    }

    /// Stops the world, or returns `None` at once if some worker is busy. The caller must not be
    /// inside its own gate.
    pub(crate) fn try_stop(&self) -> Option<World<'_>> {
        self.gates
            .iter()
            .map(|gate| gate.0.try_lock())
            .collect::<Option<Vec<_>>>()
            .map(World)
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
        drop(world);
        drop(gates.enter(0));
    }
}
