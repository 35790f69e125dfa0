//! What can be wrong with a configuration.

/// The command line or the file is wrong; Display is the text for standard error.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub(super) String);

/// `CONFIG SET` is refused; Display is the whole error reply.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SetError {
    /// No such directive, or a name without a value.
    #[error("ERR Unknown option or number of arguments for CONFIG SET - '{0}'")]
    Unknown(String),
    /// A directive refuses its value, or could not be applied.
    #[error("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}")]
    Refused {
        /// The name as the client gave it.
        name: String,
        /// Why.
        reason: String,
    },
}
