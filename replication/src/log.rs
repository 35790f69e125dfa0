//! Lines for the log, with the words that Redis's tools and tests look for.

/// How much a log line matters, in the levels of `loglevel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// `debug`
    Debug,
    /// `verbose`
    Verbose,
    /// `notice`
    Notice,
    /// `warning`
    Warning,
}

/// A line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How much it matters.
    pub level: LogLevel,
    /// The line.
    pub text: String,
}

impl LogLine {
    /// A line of level notice.
    pub fn notice(text: impl Into<String>) -> Self {
        Self {
            level: LogLevel::Notice,
            text: text.into(),
        }
    }

    /// A line of level warning.
    pub fn warning(text: impl Into<String>) -> Self {
        Self {
            level: LogLevel::Warning,
            text: text.into(),
        }
    }
}

/// Bytes of a peer as part of a line: what is not printable is escaped.
pub(crate) fn printable(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|&byte| match byte {
            b' '..=b'~' => vec![byte],
            _ => std::ascii::escape_default(byte).collect(),
        })
        .map(char::from)
        .collect()
}
