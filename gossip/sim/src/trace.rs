//! The transcript of a run: a line for each thing that happens, or nothing at all.

use std::fmt;

use crate::network::HostId;
use crate::queue::Micros;

/// Where the transcript goes.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    lines: Option<Vec<String>>,
    hash: u64,
}

impl Trace {
    /// A transcript that is kept, or thrown away line by line.
    #[must_use]
    pub(crate) fn new(keep: bool) -> Self {
        Trace {
            lines: keep.then(Vec::new),
            hash: 0xcbf2_9ce4_8422_2325,
        }
    }

    /// Notes something about a host.
    pub(crate) fn note(&mut self, at_us: Micros, host: HostId, what: fmt::Arguments<'_>) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{} n{:<2} {what}", Time(at_us), host.0));
        }
    }

    /// Notes something about the whole.
    pub(crate) fn headline(&mut self, at_us: Micros, what: fmt::Arguments<'_>) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{} === {what}", Time(at_us)));
        }
    }

    /// Adds to the hash over everything that happens (FNV-1a over words): two runs of one seed
    /// have to come to the same.
    pub(crate) fn mix(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(0x0100_0000_01b3);
    }

    /// The hash so far.
    #[must_use]
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// Takes the lines out.
    pub(crate) fn take(&mut self) -> Vec<String> {
        self.lines.as_mut().map(std::mem::take).unwrap_or_default()
    }
}

/// Virtual time as seconds with milliseconds and microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time(pub Micros);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>4}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}
