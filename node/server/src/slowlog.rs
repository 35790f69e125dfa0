//! The slow log: the last commands that took longer than `slowlog-log-slower-than`.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

/// Arguments kept of one command; the last one kept tells how many more there were (Redis 7.0: 32).
const MAX_ARGUMENTS: usize = 32;
/// Bytes kept of one argument (Redis 7.0: 128).
const MAX_ARGUMENT_BYTES: usize = 128;

/// One logged command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Rising over the life of the process.
    pub(crate) id: u64,
    /// Unix time, seconds.
    pub(crate) time_s: i64,
    /// How long it took, microseconds.
    pub(crate) micros: u64,
    /// Its arguments, trimmed.
    pub(crate) args: Vec<Vec<u8>>,
    /// The client's address.
    pub(crate) addr: String,
    /// The client's name.
    pub(crate) name: Vec<u8>,
}

/// The log, newest first.
#[derive(Debug, Default)]
pub(crate) struct SlowLog {
    entries: Mutex<VecDeque<Entry>>,
    next_id: AtomicU64,
}

impl SlowLog {
    /// Adds a command, and drops the oldest beyond `max_len`.
    pub(crate) fn push<'a>(
        &self,
        args: impl ExactSizeIterator<Item = &'a [u8]>,
        entry: impl FnOnce(u64, Vec<Vec<u8>>) -> Entry,
        max_len: usize,
    ) {
        let mut entries = self.entries.lock();
        let id = self.next_id.fetch_add(1, Relaxed);
        entries.push_front(entry(id, trim(args)));
        entries.truncate(max_len);
    }

    /// The newest `count` entries.
    pub(crate) fn newest(&self, count: usize) -> Vec<Entry> {
        self.entries.lock().iter().take(count).cloned().collect()
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.entries.lock().len()
    }

    /// `slowlog-max-len` has changed.
    pub(crate) fn truncate(&self, max_len: usize) {
        self.entries.lock().truncate(max_len);
    }

    /// SLOWLOG RESET.
    pub(crate) fn reset(&self) {
        self.entries.lock().clear();
    }
}

fn trim<'a>(args: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let total = args.len();
    args.take(MAX_ARGUMENTS)
        .enumerate()
        .map(|(index, arg)| {
            if total > MAX_ARGUMENTS && index == MAX_ARGUMENTS - 1 {
                let more = total - MAX_ARGUMENTS + 1;
                format!("... ({more} more arguments)").into_bytes()
            } else if arg.len() > MAX_ARGUMENT_BYTES {
                let mut kept = arg[..MAX_ARGUMENT_BYTES].to_vec();
                let more = arg.len() - MAX_ARGUMENT_BYTES;
                kept.extend_from_slice(format!("... ({more} more bytes)").as_bytes());
                kept
            } else {
                arg.to_vec()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(log: &SlowLog, args: &[&[u8]], max_len: usize) {
        let entry = |id, args| Entry {
            id,
            time_s: 1,
            micros: 2,
            args,
            addr: String::new(),
            name: Vec::new(),
        };
        log.push(args.iter().copied(), entry, max_len);
    }

    #[test]
    fn keeps_the_newest() {
        let log = SlowLog::default();
        for n in 0..5u8 {
            push(&log, &[&[n]], 3);
        }
        let ids: Vec<_> = log.newest(10).iter().map(|entry| entry.id).collect();
        assert_eq!(ids, [4, 3, 2]);
        log.reset();
        assert_eq!(log.len(), 0);
    }

    #[test]
    fn trims_long_commands() {
        let log = SlowLog::default();
        let long = vec![b'x'; 130];
        let mut args: Vec<&[u8]> = vec![b"a"; 40];
        args[1] = &long;
        push(&log, &args, 1);
        let kept = &log.newest(1)[0].args;
        assert_eq!(kept.len(), 32);
        assert!(kept[1].ends_with(b"xx... (2 more bytes)"));
        assert_eq!(kept[31], b"... (9 more arguments)");
    }
}
