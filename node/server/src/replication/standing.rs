//! What a worker has to mind of replication, in one word that it reads once a batch.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

bitflags::bitflags! {
    /// The state of replication as far as it changes what commands may do. Empty: a primary that
    /// nobody listens to, which is the state of the fast path.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Standing: u32 {
        /// Changes are appended to the stream: a primary that has, or has had, replicas.
        const REPLICATES = 1;
        /// This server follows a primary.
        const REPLICA = 1 << 1;
        /// It does so and is in sync.
        const LINK_UP = 1 << 2;
        /// A full synchronisation replaces the data: nothing is served.
        const LOADING = 1 << 3;
        /// A full synchronisation loads beside the data, which are served meanwhile.
        const ASYNC_LOADING = 1 << 4;
        /// Fewer replicas than `min-replicas-to-write` are near enough.
        const TOO_FEW_REPLICAS = 1 << 5;
    }
}

impl Standing {
    /// Whether it forbids nothing.
    #[inline]
    pub(crate) fn is_free(self) -> bool {
        Self::REPLICATES.contains(self)
    }
}

/// The [`Standing`] of the process.
#[derive(Debug, Default)]
pub(super) struct StandingCell(AtomicU32);

impl StandingCell {
    /// As it is.
    #[inline]
    pub(super) fn get(&self) -> Standing {
        Standing::from_bits_truncate(self.0.load(Relaxed))
    }

    /// Sets or clears a flag. What commands rely on within a batch is changed only while the world
    /// is stopped.
    pub(super) fn set(&self, flag: Standing, on: bool) {
        if on {
            self.0.fetch_or(flag.bits(), Relaxed);
        } else {
            self.0.fetch_and(!flag.bits(), Relaxed);
        }
    }
}
