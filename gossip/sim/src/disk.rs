//! One node's disk, as far as nodes.conf goes: write to a temporary file, fsync, rename, fsync of
//! the folder.
//!
//! The rename makes the replacement atomic, so a crash in the middle leaves the old text or the
//! new one, whole either way; which of the two is for the dice. What the disk has completed is
//! never lost.

use crate::queue::Micros;

/// The file on disk, and the replacement being written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    durable: Option<Vec<u8>>,
    in_flight: Option<Vec<u8>>,
    /// Until when every write takes longer: a stalled disk.
    pub stalled_until_us: Micros,
}

impl Disk {
    /// What a process that starts now would read.
    #[must_use]
    pub(crate) fn durable(&self) -> Option<&[u8]> {
        self.durable.as_deref()
    }

    /// Starts a replacement. There is one at a time: a driver waits for it before the next.
    pub(crate) fn begin(&mut self, text: Vec<u8>) {
        assert!(
            self.in_flight.is_none(),
            "the driver started two writes of nodes.conf at once"
        );
        self.in_flight = Some(text);
    }

    /// The replacement is complete: written, synced, renamed, and the folder synced.
    pub(crate) fn complete(&mut self) {
        let text = self.in_flight.take().expect("a write was in flight");
        self.durable = Some(text);
    }

    /// The process or the machine died. `renamed` tells whether a replacement in flight had got
    /// as far as its rename.
    pub(crate) fn crash(&mut self, renamed: bool) {
        let in_flight = self.in_flight.take();
        if renamed && in_flight.is_some() {
            self.durable = in_flight;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_leaves_the_old_text_or_the_new_one() {
        let mut disk = Disk::default();
        disk.begin(b"one".to_vec());
        disk.complete();
        disk.begin(b"two".to_vec());
        let mut renamed = disk.clone();
        disk.crash(false);
        renamed.crash(true);
        assert_eq!(disk.durable(), Some(&b"one"[..]));
        assert_eq!(renamed.durable(), Some(&b"two"[..]));
        renamed.crash(true);
        assert_eq!(
            renamed.durable(),
            Some(&b"two"[..]),
            "nothing was in flight"
        );
    }
}
