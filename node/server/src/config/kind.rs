//! What values a directive takes: reading them from words, with the stock error texts.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use super::number::{parse_int, parse_memory, parse_octal, parse_percent};
use super::value::{NOTIFY_CLASSES, OutputBufferLimit, SavePoint, Value};

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
    /// A file name without a path; the word is what the error calls it.
    BaseName(&'static str),
    /// The same, and not empty.
    NonEmptyBaseName(&'static str),
    /// A host name of letters, digits, `-` and `.`.
    Hostname,
    /// A human-readable node name.
    NodeName,
    /// A template of known variables.
    ProcTitle,
}

/// Why a value is refused, in stock's words.
pub(super) type Reason = Cow<'static, str>;

/// Limit of `bind` (Redis 7.0).
const MAX_BIND_ADDRESSES: usize = 16;
/// The most bytes of a host name or node name, its terminator in the cluster bus included.
const MAX_NAME_BYTES: usize = 256;
const OUT_OF_RANGE_OOM: &str =
    "Invalid oom-score-adj-values, elements must be between -2000 and 2000.";

impl Kind {
    /// Reads the words after the directive's name. `current` is the value so far, which some directives add to.
    pub(super) fn parse(
        &self,
        name: &str,
        words: &[&[u8]],
        current: &Value,
    ) -> Result<Value, Reason> {
        match self {
            Kind::Bind => parse_bind(words),
            Kind::Save => parse_save(words),
            Kind::OutputBufferLimits => parse_output_buffer_limits(words, current),
            Kind::OomScoreAdj => parse_oom_score_adj(words),
            Kind::Percentiles => parse_percentiles(words),
            Kind::Replicaof => parse_replicaof(words),
            Kind::EnumSet(choices) => parse_enum_set(words, choices),
            single => match words {
                [word] => single.parse_word(name, word, current),
                _ => Err("wrong number of arguments".into()),
            },
        }
    }

    /// Reads a kind that takes exactly one word.
    fn parse_word(&self, name: &str, word: &[u8], current: &Value) -> Result<Value, Reason> {
        match self {
            Kind::Bool => parse_bool(word),
            Kind::Int(range) => parse_int(word)
                .ok_or("argument couldn't be parsed into an integer".into())
                .and_then(|value| range.check(value)),
            Kind::Octal => match parse_octal(word) {
                Some(mode @ 0..=0o777) => Ok(Value::Octal(mode as u32)),
                Some(_) => Err("argument must be between 0 and 777 inclusive".into()),
                None => Err("argument couldn't be parsed as an octal number".into()),
            },
            Kind::Memory(range) => parse_memory(word)
                .ok_or("argument must be a memory value".into())
                .and_then(|value| range.check(value)),
            Kind::MemoryOrPercent(range) => parse_memory_or_percent(word, range),
            Kind::Enum(choices) => find_choice(choices, word)
                .map(Value::Enum)
                .ok_or_else(|| not_a_choice(choices)),
            Kind::Text(check) => {
                check.check(name, word)?;
                Ok(Value::Str(Cow::Owned(word.to_vec())))
            }
            Kind::Dir => {
                resolve_dir(word, current).map_err(|error| system_error_text(&error).into())
            }
            Kind::NotifyEvents => parse_notify_events(word),
            Kind::Bind
            | Kind::Save
            | Kind::OutputBufferLimits
            | Kind::OomScoreAdj
            | Kind::Percentiles
            | Kind::Replicaof
            | Kind::EnumSet(_) => Err("wrong number of arguments".into()),
        }
    }
}

impl Range {
    fn check(self, value: i128) -> Result<Value, Reason> {
        if (self.min..=self.max).contains(&value) {
            return Ok(Value::Int(value));
        }
        Err(format!(
            "argument must be between {} and {} inclusive",
            self.min, self.max
        )
        .into())
    }
}

impl Check {
    fn check(self, name: &str, word: &[u8]) -> Result<(), Reason> {
        match self {
            Check::Any => Ok(()),
            Check::NonEmptyBaseName(_) if word.is_empty() => {
                Err(format!("{name} can't be empty").into())
            }
            Check::BaseName(what) | Check::NonEmptyBaseName(what) => {
                let is_path = word.iter().any(|byte| matches!(byte, b'/' | b'\\'));
                refuse_if(is_path, || {
                    format!("{name} can't be a path, just a {what}").into()
                })
            }
            Check::Hostname => check_name(
                word,
                "Hostnames must be less than 256 characters",
                "Hostnames may only contain alphanumeric characters, hyphens or dots",
                |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'),
            ),
            Check::NodeName => check_name(
                word,
                "Announced human node name must be less than 256 characters",
                "Announced human node name contained invalid character",
                |byte| byte.is_ascii_graphic(),
            ),
            Check::ProcTitle => {
                let reason = "template format is invalid or contains unknown variables";
                refuse_if(!is_valid_template(word), || reason.into())
            }
        }
    }
}

/// Stock's text for an error of the operating system: without the number that Rust's carries.
pub(super) fn system_error_text(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

fn refuse_if(refused: bool, reason: impl FnOnce() -> Reason) -> Result<(), Reason> {
    if refused { Err(reason()) } else { Ok(()) }
}

fn parse_bool(word: &[u8]) -> Result<Value, Reason> {
    if word.eq_ignore_ascii_case(b"yes") {
        Ok(Value::Bool(true))
    } else if word.eq_ignore_ascii_case(b"no") {
        Ok(Value::Bool(false))
    } else {
        Err("argument must be 'yes' or 'no'".into())
    }
}

/// Stock takes bytes beyond the range for a percentage, which then is too great.
fn parse_memory_or_percent(word: &[u8], range: &Range) -> Result<Value, Reason> {
    let too_great = "percentage argument must be less or equal to 100";
    if let Some(percent) = parse_percent(word) {
        let percent = u32::try_from(percent)
            .ok()
            .filter(|percent| *percent <= 100)
            .ok_or(too_great)?;
        return Ok(if percent == 0 {
            Value::Int(0)
        } else {
            Value::Percent(percent)
        });
    }
    let bytes = parse_memory(word).ok_or("argument must be a memory or percent value")?;
    range.check(bytes).map_err(|_| too_great.into())
}

fn find_choice(choices: &[&'static str], word: &[u8]) -> Option<&'static str> {
    choices
        .iter()
        .copied()
        .find(|choice| choice.as_bytes().eq_ignore_ascii_case(word))
}

fn not_a_choice(choices: &[&'static str]) -> Reason {
    format!(
        "argument(s) must be one of the following: {}",
        choices.join(", ")
    )
    .into()
}

/// The first choice stands for none of the others.
fn parse_enum_set(words: &[&[u8]], choices: &'static [&'static str]) -> Result<Value, Reason> {
    if words.is_empty() {
        return Err(not_a_choice(choices));
    }
    let mut chosen = vec![false; choices.len()];
    for word in words {
        let place = choices
            .iter()
            .position(|choice| choice.as_bytes().eq_ignore_ascii_case(word));
        chosen[place.ok_or_else(|| not_a_choice(choices))?] = true;
    }
    let mut set: Vec<&'static str> = choices
        .iter()
        .zip(chosen)
        .skip(1)
        .filter(|(_, chosen)| *chosen)
        .map(|(choice, _)| *choice)
        .collect();
    if set.contains(&"save") && set.contains(&"nosave") {
        return Err("shutdown options SAVE and NOSAVE can't be used simultaneously".into());
    }
    if set.is_empty() {
        set.extend(choices.first());
    }
    Ok(Value::EnumSet(set.into()))
}

fn parse_bind(words: &[&[u8]]) -> Result<Value, Reason> {
    if words.len() > MAX_BIND_ADDRESSES {
        return Err("Too many bind addresses specified.".into());
    }
    let only_empty = matches!(words, [word] if word.is_empty());
    let words = if only_empty { &[] } else { words };
    Ok(Value::List(
        words.iter().map(|word| Cow::Owned(word.to_vec())).collect(),
    ))
}

fn parse_save(words: &[&[u8]]) -> Result<Value, Reason> {
    let invalid = || Reason::from("Invalid save parameters");
    if matches!(words, [] | [b""]) {
        return Ok(Value::Save(Cow::Borrowed(&[])));
    }
    let (pairs, rest) = words.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(invalid());
    }
    pairs
        .iter()
        .map(|[seconds, changes]| {
            let seconds = parse_i64(seconds).filter(|seconds| *seconds >= 1);
            let changes = parse_i64(changes).filter(|changes| *changes >= 0);
            let (seconds, changes) = seconds.zip(changes).ok_or_else(invalid)?;
            Ok(SavePoint { seconds, changes })
        })
        .collect::<Result<Vec<_>, _>>()
        .map(|points| Value::Save(points.into()))
}

fn parse_output_buffer_limits(words: &[&[u8]], current: &Value) -> Result<Value, Reason> {
    let mut limits = match current {
        Value::OutputBufferLimits(limits) => *limits,
        _ => Default::default(),
    };
    let (groups, rest) = words.as_chunks::<4>();
    if !rest.is_empty() {
        return Err("Wrong number of arguments in buffer limit configuration.".into());
    }
    for [class, hard, soft, seconds] in groups {
        let class = client_class(class)
            .ok_or("Invalid client class specified in buffer limit configuration.")?;
        let limit = || {
            Some(OutputBufferLimit {
                hard_bytes: u64::try_from(parse_memory(hard)?).ok()?,
                soft_bytes: u64::try_from(parse_memory(soft)?).ok()?,
                soft_seconds: u64::try_from(parse_i64(seconds)?).ok()?,
            })
        };
        limits[class] = limit()
            .ok_or("Error in hard, soft or soft_seconds setting in buffer limit configuration.")?;
    }
    Ok(Value::OutputBufferLimits(limits))
}

fn client_class(word: &[u8]) -> Option<usize> {
    let names: [&[&str]; 3] = [&["normal"], &["slave", "replica"], &["pubsub"]];
    names.iter().position(|names| {
        names
            .iter()
            .any(|name| name.as_bytes().eq_ignore_ascii_case(word))
    })
}

fn parse_oom_score_adj(words: &[&[u8]]) -> Result<Value, Reason> {
    let [primary, replica, child] = words else {
        return Err("wrong number of arguments".into());
    };
    let parse = |word: &[u8]| {
        let value = parse_i64(word).filter(|value| (-2000..=2000).contains(value));
        value
            .and_then(|value| i32::try_from(value).ok())
            .ok_or(Reason::from(OUT_OF_RANGE_OOM))
    };
    Ok(Value::OomScoreAdj([
        parse(primary)?,
        parse(replica)?,
        parse(child)?,
    ]))
}

fn parse_percentiles(words: &[&[u8]]) -> Result<Value, Reason> {
    let words = if matches!(words, [b""]) { &[] } else { words };
    words
        .iter()
        .map(|word| {
            let value: Option<f64> = str::from_utf8(word).ok().and_then(|text| text.parse().ok());
            let value = value.filter(|value| !value.is_nan()).ok_or(Reason::from(
                "Invalid latency-tracking-info-percentiles parameters",
            ))?;
            let outside =
                "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]";
            refuse_if(!(0.0..=100.0).contains(&value), || outside.into())?;
            Ok(value)
        })
        .collect::<Result<Vec<_>, _>>()
        .map(|percentiles| Value::Percentiles(percentiles.into()))
}

fn parse_replicaof(words: &[&[u8]]) -> Result<Value, Reason> {
    let [host, port] = words else {
        return Err("wrong number of arguments".into());
    };
    if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
        return Ok(Value::Replicaof(None));
    }
    let port = parse_i64(port)
        .and_then(|port| u16::try_from(port).ok())
        .ok_or("Invalid master port")?;
    Ok(Value::Replicaof(Some((host.to_vec(), port))))
}

fn parse_notify_events(word: &[u8]) -> Result<Value, Reason> {
    let mut classes = 0;
    for byte in word {
        let class = NOTIFY_CLASSES
            .iter()
            .find(|(character, _)| character == byte);
        let (_, bits) = class.ok_or("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")?;
        classes |= bits;
    }
    Ok(Value::Notify(classes))
}

/// The directory that `word` names, seen from the one in effect; absolute and free of links, as getcwd gives it.
fn resolve_dir(word: &[u8], current: &Value) -> io::Result<Value> {
    let base = match current {
        Value::Str(dir) => Path::new(OsStr::from_bytes(dir)),
        _ => Path::new(""),
    };
    if word.is_empty() {
        return Err(rustix::io::Errno::NOENT.into());
    }
    let dir = base.join(OsStr::from_bytes(word)).canonicalize()?;
    // Fails as chdir does where this is no directory, or may not be entered.
    rustix::fs::access(dir.join("."), rustix::fs::Access::EXEC_OK)?;
    Ok(Value::Str(Cow::Owned(OsString::from(dir).into_vec())))
}

fn check_name(
    word: &[u8],
    too_long: &'static str,
    bad: &'static str,
    allowed: fn(&u8) -> bool,
) -> Result<(), Reason> {
    refuse_if(word.len() >= MAX_NAME_BYTES, || too_long.into())?;
    refuse_if(!word.iter().all(allowed), || bad.into())
}

/// Whether each `{…}` of the template is a variable that the process title knows, and there is more than the title.
fn is_valid_template(template: &[u8]) -> bool {
    const VARIABLES: [&[u8]; 7] = [
        b"title",
        b"listen-addr",
        b"server-mode",
        b"port",
        b"tls-port",
        b"unixsocket",
        b"config-file",
    ];
    let mut rest = template;
    while let Some(start) = rest.iter().position(|byte| *byte == b'{') {
        let after = &rest[start + 1..];
        let Some(end) = after.iter().position(|byte| *byte == b'}') else {
            return false;
        };
        if !VARIABLES.contains(&&after[..end]) {
            return false;
        }
        rest = &after[end + 1..];
    }
    !matches!(template.trim_ascii(), b"" | b"{title}")
}

/// A decimal integer in the lenient form of C's strtoll: blanks and a sign before it, leading zeros, "" for 0.
fn parse_i64(word: &[u8]) -> Option<i64> {
    match str::from_utf8(word).ok()?.trim_ascii_start() {
        "" => Some(0),
        number => number.parse().ok(),
    }
}
