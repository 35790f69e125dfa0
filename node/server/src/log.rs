//! The log: lines in the form of Redis, from `tracing` events.

use crate::config::{Config, LogLevel};

/// Installs the log as the process's `tracing` subscriber. Call once, before anything is logged.
pub fn init(config: &Config) -> std::io::Result<()> {
    set_level(config.loglevel);
    Ok(())
}

/// Changes the level (`CONFIG SET loglevel`).
pub fn set_level(level: LogLevel) {
    let _ = level;
}

/// The letter after the process id in each line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// `M`
    Primary,
    /// `S`
    Replica,
    /// `C`: before the server is up, and its children.
    Child,
    /// `X`: a sentinel; never hexad.
    Sentinel,
}

/// Changes the letter.
pub fn set_role(role: Role) {
    let _ = role;
}
