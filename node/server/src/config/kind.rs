//! What values a directive takes: reading them from words, with the stock error texts.

/// What values a directive takes.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `yes` or `no`.
    Bool,
    /// A decimal integer.
    Int(Range),
    /// An octal file mode, at most 0777.
    Octal,
    /// Bytes, with an optional unit (`1kb` = 1024, `1k` = 1000, …).
    Memory(Range),
    /// Bytes, or a percentage of `maxmemory`.
    MemoryOrPercent(Range),
    /// One of some words.
    Enum(&'static [&'static str]),
    /// Any of some words.
    EnumSet(&'static [&'static str]),
    /// A string.
    Text(Check),
    /// Addresses to listen on.
    Bind,
    /// The working directory.
    Dir,
    /// Snapshot points: pairs of seconds and changes.
    Save,
    /// Output limits by class of client.
    OutputBufferLimits,
    /// Three adjustments between -2000 and 2000.
    OomScoreAdj,
    /// Percentiles, each from 0 to 100.
    Percentiles,
    /// A set of event class characters.
    NotifyEvents,
    /// Host and port of a primary.
    Replicaof,
}

/// Inclusive bounds; wide enough for the unsigned 64-bit directives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// The least value allowed.
    pub min: i128,
    /// The greatest value allowed.
    pub max: i128,
}

/// What a string must look like.
#[derive(Clone, Copy, Debug)]
pub enum Check {
    /// Anything.
    Any,
    /// A file name without a path; else this error.
    BaseName(&'static str),
    /// A host name of letters, digits, `-` and `.`.
    Hostname,
    /// A human-readable node name.
    NodeName,
    /// A template of known variables.
    ProcTitle,
}
