//! The value of a directive, as it is kept and as it is written.

use std::borrow::Cow;

/// The value of a directive. Defaults are constants, so the owned parts are [`Cow`]s.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// `yes` or `no`.
    Bool(bool),
    /// An integer of whatever width and signedness the directive has in stock.
    Int(i128),
    /// A file mode.
    Octal(u32),
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
    /// Event classes, as the bits of [`NOTIFY_CLASSES`].
    Notify(u32),
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

/// The characters of `notify-keyspace-events`, in the order in which they are written, with their bits.
pub(super) const NOTIFY_CLASSES: [(u8, u32); 15] = [
    (b'A', NOTIFY_ALL),
    (b'g', 1),
    (b'$', 1 << 1),
    (b'l', 1 << 2),
    (b's', 1 << 3),
    (b'h', 1 << 4),
    (b'z', 1 << 5),
    (b'x', 1 << 6),
    (b'e', 1 << 7),
    (b't', 1 << 8),
    (b'd', 1 << 9),
    (b'n', 1 << 10),
    (b'K', 1 << 11),
    (b'E', 1 << 12),
    (b'm', 1 << 13),
];

/// What `A` stands for: all classes but "new key" and "key miss".
const NOTIFY_ALL: u32 = (1 << 10) - 1;
const NOTIFY_NEW: u32 = 1 << 10;

impl Value {
    /// The value as `CONFIG GET` shows it.
    pub fn to_text(&self) -> Vec<u8> {
        match self {
            Value::Bool(true) => b"yes".to_vec(),
            Value::Bool(false) => b"no".to_vec(),
            Value::Int(value) => value.to_string().into_bytes(),
            Value::Octal(mode) => format!("{mode:o}").into_bytes(),
            Value::Percent(percent) => format!("{percent}%").into_bytes(),
            Value::Enum(word) => word.as_bytes().to_vec(),
            Value::EnumSet(words) => words.join(" ").into_bytes(),
            Value::Str(text) => text.to_vec(),
            Value::List(words) => words.join(&b' '),
            Value::Save(points) => join(
                points
                    .iter()
                    .map(|p| format!("{} {}", p.seconds, p.changes)),
            ),
            Value::OutputBufferLimits(limits) => {
                join(CLIENT_CLASSES.iter().zip(limits).map(|(class, l)| {
                    format!(
                        "{class} {} {} {}",
                        l.hard_bytes, l.soft_bytes, l.soft_seconds
                    )
                }))
            }
            Value::OomScoreAdj(values) => join(values.iter().map(i32::to_string)),
            Value::Percentiles(values) => {
                join(values.iter().map(|value| format_percentile(*value)))
            }
            Value::Notify(classes) => format_notify(*classes, false),
            Value::Replicaof(Some((host, port))) => [host, format!(" {port}").as_bytes()].concat(),
            Value::Replicaof(None) => Vec::new(),
        }
    }
}

/// What `CONFIG GET` calls the classes of clients (the file says `replica`).
const CLIENT_CLASSES: [&str; 3] = ["normal", "slave", "pubsub"];

fn join(parts: impl Iterator<Item = String>) -> Vec<u8> {
    parts.collect::<Vec<_>>().join(" ").into_bytes()
}

/// Six decimals, without the zeros at their end.
fn format_percentile(value: f64) -> String {
    format!("{value:.6}")
        .trim_end_matches('0')
        .trim_end_matches('.')
        .to_owned()
}

/// The classes' characters, with `A` instead of all that it stands for. Redis 7.0 does not show `n` beside `A`.
pub(super) fn format_notify(classes: u32, new_beside_all: bool) -> Vec<u8> {
    let all = classes & NOTIFY_ALL == NOTIFY_ALL;
    let covered = match (all, new_beside_all) {
        (true, true) => NOTIFY_ALL,
        (true, false) => NOTIFY_ALL | NOTIFY_NEW,
        (false, _) => 0,
    };
    NOTIFY_CLASSES
        .iter()
        .filter(|(character, bits)| match character {
            b'A' => all,
            _ => classes & bits & !covered != 0,
        })
        .map(|(character, _)| *character)
        .collect()
}
