//! The event queue: virtual time moves only by taking the next event.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Virtual time in microseconds since the start of the simulation.
pub(crate) type Micros = u64;

/// One virtual millisecond.
pub(crate) const MS: Micros = 1_000;
/// One virtual second.
pub(crate) const SECOND: Micros = 1_000 * MS;

/// A priority queue of events by time; events of the same instant keep the order of their pushes,
/// so that nothing depends on the heap's internals.
#[derive(Debug)]
pub(crate) struct Queue<E> {
    heap: BinaryHeap<Entry<E>>,
    pushed: u64,
}

impl<E> Queue<E> {
    /// An empty queue.
    #[must_use]
    pub(crate) fn new() -> Self {
        Queue {
            heap: BinaryHeap::new(),
            pushed: 0,
        }
    }

    /// Schedules `event` for `at_us`.
    pub(crate) fn push(&mut self, at_us: Micros, event: E) {
        self.pushed += 1;
        self.heap.push(Entry {
            at_us,
            order: self.pushed,
            event,
        });
    }

    /// Takes the earliest event.
    pub(crate) fn pop(&mut self) -> Option<(Micros, E)> {
        self.heap.pop().map(|entry| (entry.at_us, entry.event))
    }
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Queue::new()
    }
}

#[derive(Debug)]
struct Entry<E> {
    at_us: Micros,
    order: u64,
    event: E,
}

impl<E> Ord for Entry<E> {
    /// Reversed, as [`BinaryHeap`] yields its greatest element.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at_us, other.order).cmp(&(self.at_us, self.order))
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Entry<E> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_one_instant_keep_their_order() {
        let mut queue = Queue::new();
        for (at_us, name) in [(5, "b"), (1, "a"), (5, "c"), (5, "d"), (9, "e")] {
            queue.push(at_us, name);
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.pop())
            .map(|(_, name)| name)
            .collect();
        assert_eq!(order, ["a", "b", "c", "d", "e"]);
    }
}
