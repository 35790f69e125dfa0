//! The value of a directive, as it is kept and as it is written.

use std::borrow::Cow;

/// The value of a directive. Defaults are constants, so the owned parts are [`Cow`]s.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// `yes` or `no`.
    Bool(bool),
    /// An integer of whatever width and signedness the directive has in stock.
    Int(i128),
    /// A percentage of `maxmemory`.
    Percent(u32),
    /// One of the words of [`Kind::Enum`](super::Kind::Enum).
    Enum(&'static str),
    /// Some of the words of [`Kind::EnumSet`](super::Kind::EnumSet), in their order there.
    EnumSet(Cow<'static, [&'static str]>),
    /// A string; the empty one stands for "not set".
    Str(Cow<'static, [u8]>),
    /// Words.
    List(Cow<'static, [Cow<'static, [u8]>]>),
    /// Snapshot points.
    Save(Cow<'static, [SavePoint]>),
    /// Limits of the classes normal, replica and pubsub.
    OutputBufferLimits([OutputBufferLimit; 3]),
    /// Adjustments for a primary, a replica, and a background child.
    OomScoreAdj([i32; 3]),
    /// Percentiles.
    Percentiles(Cow<'static, [f64]>),
    /// Host and port of the primary.
    Replicaof(Option<(Vec<u8>, u16)>),
}

/// Save a snapshot when so many changes happened within so many seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SavePoint {
    /// Length of the period, seconds.
    pub seconds: i64,
    /// Number of changes.
    pub changes: i64,
}

/// When a client whose replies pile up is disconnected. 0 means no limit.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct OutputBufferLimit {
    /// Disconnect at once above this many bytes.
    pub hard_bytes: u64,
    /// Disconnect above this many bytes for `soft_seconds` without a break.
    pub soft_bytes: u64,
    /// See `soft_bytes`.
    pub soft_seconds: u64,
}
