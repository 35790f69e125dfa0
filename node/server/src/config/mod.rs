//! Configuration: the directives of Redis, from the command line, a file, and `CONFIG`.
//!
//! [`Config`] is immutable and cheap to share: workers read a snapshot of it. `CONFIG SET` makes a new one
//! ([`Config::set`]), the server applies what has side effects, and publishes it.

mod error;
mod kind;
mod settings;
mod table;
mod value;
mod values;

use std::ffi::OsString;
use std::ops::Deref;
use std::path::{Path, PathBuf};

pub use error::{SetError, StartError};
pub use kind::{Check, Kind, Range};
pub use settings::{
    BindAddress, ClientClass, ClusterSettings, EndpointType, LogLevel, MaxmemoryPolicy, Settings, Who,
};
pub use table::{DIRECTIVES, Directive, Effect, Flags, Id};
pub use value::{OutputBufferLimit, SavePoint, Value};
use values::Values;

/// The configuration: all directives' values, and, by [`Deref`], the typed [`Settings`] that code reads.
#[derive(Clone, Debug)]
pub struct Config {
    settings: Settings,
    values: Values,
    file: Option<PathBuf>,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Start {
    /// Run with this configuration.
    Run(Box<Config>),
    /// Print this to standard output and exit with 0.
    Print(String),
}

/// The circumstances of a `CONFIG SET` that decide whether it is allowed.
#[derive(Clone, Copy, Debug)]
pub struct SetContext {
    /// The client is connected from this machine (for `enable-protected-configs local`).
    pub client_is_local: bool,
    /// A dataset is being loaded.
    pub loading: bool,
}

impl Deref for Config {
    type Target = Settings;
    fn deref(&self) -> &Settings {
        &self.settings
    }
}

impl Default for Config {
    fn default() -> Self {
        let values = Values::defaults();
        Config { settings: Settings::project(&values), values, file: None }
    }
}

impl Config {
    /// Reads a command line (without the program's name) as redis-server does.
    pub fn from_args(args: &[OsString]) -> Result<Start, StartError> {
        let _ = args;
        Ok(Start::Run(Box::default()))
    }

    /// The file that the configuration was read from, absolute; `CONFIG REWRITE` writes it.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The directives whose names match any of the glob patterns, with their values as text.
    pub fn get(&self, patterns: &[&[u8]]) -> Vec<(&'static str, Vec<u8>)> {
        let _ = patterns;
        Vec::new()
    }

    /// The configuration after `CONFIG SET` with these pairs, and what changed; all or nothing.
    pub fn set(&self, pairs: &[(&[u8], &[u8])], context: SetContext) -> Result<(Config, Vec<Id>), SetError> {
        let _ = (pairs, context);
        Ok((self.clone(), Vec::new()))
    }

    /// Directives that are set to something else than their default although hexad does nothing with them yet.
    pub fn without_effect(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Writes the configuration back to its file (`CONFIG REWRITE`).
    pub fn rewrite_file(&self) -> std::io::Result<()> {
        Ok(())
    }
}
