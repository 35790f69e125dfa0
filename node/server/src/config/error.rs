//! What can be wrong with a configuration.

/// The command line or a configuration file is wrong. Display is the text for standard error; the exit status is 1.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StartError {
    /// A line is not a directive, or its value is refused.
    #[error(
        "\n*** FATAL CONFIG FILE ERROR ({}) ***\nReading the configuration file, at line {number}\n>>> '{text}'\n{reason}",
        PRODUCT
    )]
    Line {
        /// The line's number in its file; those of the command line follow the file's.
        number: usize,
        /// The line.
        text: String,
        /// What is wrong with it, in stock's words.
        reason: String,
    },
    /// The directives do not go together.
    #[error("\n*** FATAL CONFIG FILE ERROR ({}) ***\n{reason}", PRODUCT)]
    General {
        /// What is wrong, in stock's words where it has any.
        reason: String,
    },
    /// A configuration file cannot be read.
    #[error("Fatal error, can't open config file '{path}': {reason}")]
    Unreadable {
        /// The file as it was named.
        path: String,
        /// The system's reason.
        reason: String,
    },
    /// Help was asked for, which stock takes for a failure, or something that hexad does not do.
    #[error("{0}")]
    Usage(String),
}

/// What error banners call this program.
const PRODUCT: &str = concat!("hexad ", env!("CARGO_PKG_VERSION"));

/// `CONFIG SET` is refused; Display is the whole error reply.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SetError {
    /// No such directive.
    #[error("ERR Unknown option or number of arguments for CONFIG SET - '{0}'")]
    Unknown(String),
    /// A directive that must not change while a dataset is being loaded.
    #[error("LOADING Redis is loading the dataset in memory")]
    Loading,
    /// A directive refuses its value, or could not be applied.
    #[error("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}")]
    Refused {
        /// The directive's name or alias.
        name: String,
        /// Why, in stock's words.
        reason: String,
    },
}
