//! Configuration: the directives of Redis, from the command line, a file, and `CONFIG`.
//!
//! [`Config`] is immutable and cheap to share: workers read a snapshot of it. `CONFIG SET` makes a new one
//! ([`Config::set`]); the server applies what has side effects (listeners, the log level, the working directory),
//! and publishes it, or drops it and answers with [`SetError::Refused`].
//!
//! Where hexad differs from Redis 7.0.15:
//! * `io-threads` is one per core where nothing is said, since every thread executes commands.
//! * `disable-thp` is `no` where nothing is said: huge pages hurt who forks, and serve who does not.
//! * `cluster-stall-timeout` is hexad's own, `cluster-announce-human-nodename` is from Redis 7.2.
//! * Memory values beyond 64 bits are refused; stock wraps around.
//! * `tls-port`, `tls-cluster` and `tls-replication` are refused, as an unencrypted server would be dangerous.
//! * `latency-tracking-info-percentiles` takes no hexadecimal numbers.
//! * `daemonize` does not go with a configuration from standard input, which the daemon could not read again.
//! * Modules, sentinel mode and `--test-memory` are refused.
//! * An `include` that includes itself is an error; stock crashes.

mod command_line;
mod error;
mod kind;
mod load;
mod number;
mod pattern;
mod rewrite;
mod settings;
mod table;
#[cfg(test)]
mod tests;
mod value;
mod values;
mod words;

use std::borrow::Cow;
use std::ops::Deref;
use std::path::{Path, PathBuf};

pub use command_line::Start;
pub use error::{SetError, StartError};
pub use kind::{Check, Kind, Range};
use load::{Extras, Loader, split_blanks};
pub use settings::{
    BindAddress, ClientClass, ClusterSettings, DisklessLoad, EndpointType, LogLevel,
    MaxmemoryPolicy, ReplicationSettings, Settings, Who,
};
pub use table::{DIRECTIVES, Directive, Effect, Flags, Id};
pub use value::{OutputBufferLimit, SavePoint, Value};
use values::Values;

/// The configuration: all directives' values, and, by [`Deref`], the typed [`Settings`] that code reads.
#[derive(Clone, Debug)]
pub struct Config {
    settings: Settings,
    values: Values,
    extras: Extras,
    file: Option<PathBuf>,
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
        Config::from_values(Values::defaults(), Extras::default(), None)
    }
}

impl Config {
    fn from_values(values: Values, extras: Extras, file: Option<PathBuf>) -> Self {
        Config {
            settings: Settings::project(&values),
            values,
            extras,
            file,
        }
    }

    /// A configuration from a file's text.
    pub fn from_text(text: &[u8]) -> Result<Config, StartError> {
        let mut loader = Loader::new(Values::defaults());
        loader.text(text)?;
        loader.finish()?;
        Ok(Config::from_values(loader.values, loader.extras, None))
    }

    /// The file that the configuration was read from, absolute; `CONFIG REWRITE` writes it.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The value of a directive.
    pub fn value(&self, id: Id) -> &Value {
        &self.values[id]
    }

    /// `CONFIG GET`: the directives that any of the patterns names, with their values as text. A pattern with a
    /// wildcard matches names and aliases in any case, but for hidden directives; a full name is answered in the
    /// spelling of the question.
    pub fn get(&self, patterns: &[&[u8]]) -> Vec<(String, Vec<u8>)> {
        let mut found: Vec<(String, Vec<u8>)> = Vec::new();
        let mut add = |name: &[u8], id: Id| {
            if !found
                .iter()
                .any(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name))
            {
                found.push((
                    String::from_utf8_lossy(name).into_owned(),
                    self.values[id].to_text(),
                ));
            }
        };
        for &pattern in patterns {
            if !pattern
                .iter()
                .any(|byte| matches!(byte, b'*' | b'?' | b'['))
            {
                if let Some(id) = Id::lookup(pattern) {
                    add(pattern, id);
                }
                continue;
            }
            for directive in DIRECTIVES
                .iter()
                .filter(|d| !d.flags.contains(Flags::HIDDEN))
            {
                for name in directive.names() {
                    if pattern::matches(pattern, name.as_bytes()) {
                        add(name.as_bytes(), directive.id);
                    }
                }
            }
        }
        found
    }

    /// `CONFIG SET`: the configuration with these names set to these values, and which directives changed. All or
    /// nothing: with an error, nothing is to be done.
    pub fn set(
        &self,
        pairs: &[(&[u8], &[u8])],
        context: SetContext,
    ) -> Result<(Config, Vec<Id>), SetError> {
        let mut named: Vec<(Id, &'static str)> = Vec::with_capacity(pairs.len());
        for (name, _) in pairs {
            let (id, spelling) =
                Id::lookup_spelling(name).ok_or_else(|| SetError::unknown(name))?;
            let duplicate = named.iter().any(|(_, known)| *known == spelling);
            self.check_settable(id, spelling, duplicate, context)?;
            named.push((id, spelling));
        }
        let mut values = self.values.clone();
        for ((id, spelling), (_, value)) in named.iter().zip(pairs) {
            let several = id.directive().flags.contains(Flags::MULTI_ARG);
            let words = if several {
                split_blanks(value)
            } else {
                vec![*value]
            };
            values
                .assign(*id, &words)
                .map_err(|reason| SetError::refused(spelling, reason))?;
        }
        let mut changed: Vec<Id> = named
            .into_iter()
            .map(|(id, _)| id)
            .filter(|id| values[*id] != self.values[*id])
            .collect();
        changed.sort_unstable();
        changed.dedup();
        Ok((
            Config::from_values(values, self.extras.clone(), self.file.clone()),
            changed,
        ))
    }

    /// The configuration of a server that follows this primary, or none: `replicaof` is not set by `CONFIG SET`, it
    /// says what the role is.
    pub(crate) fn with_replicaof(&self, primary: Option<(Vec<u8>, u16)>) -> Config {
        let mut values = self.values.clone();
        values.put(Id::Replicaof, Value::Replicaof(primary));
        Config::from_values(values, self.extras.clone(), self.file.clone())
    }

    fn check_settable(
        &self,
        id: Id,
        spelling: &str,
        duplicate: bool,
        context: SetContext,
    ) -> Result<(), SetError> {
        let flags = id.directive().flags;
        let protected_allowed = match self.enable_protected_configs {
            Who::Nobody => false,
            Who::Local => context.client_is_local,
            Who::Everybody => true,
        };
        let refused = |reason| Err(SetError::refused(spelling, reason));
        if flags.contains(Flags::IMMUTABLE) {
            refused("can't set immutable config")
        } else if flags.contains(Flags::PROTECTED) && !protected_allowed {
            refused("can't set protected config")
        } else if flags.contains(Flags::DENY_LOADING) && context.loading {
            Err(SetError::Loading)
        } else if duplicate {
            refused("duplicate parameter")
        } else {
            Ok(())
        }
    }

    /// Directives that are set to something else than their default although hexad does nothing with them yet.
    pub fn without_effect(&self) -> Vec<&'static str> {
        let ignored = |d: &&Directive| {
            d.effect == Effect::NotYet && self.values[d.id] != d.id.default_value()
        };
        let mut names: Vec<&'static str> =
            DIRECTIVES.iter().filter(ignored).map(|d| d.name).collect();
        if !self.extras.renamed_commands.is_empty() {
            names.push("rename-command");
        }
        if !self.extras.users.iter().all(|user| is_default_user(user)) {
            names.push("user");
        }
        names
    }
}

/// Whether a `user` line says what holds without it; stock's `CONFIG REWRITE` leaves such a line in the file.
fn is_default_user(user: &[Vec<u8>]) -> bool {
    const RULES: [&[u8]; 6] = [
        b"on",
        b"nopass",
        b"sanitize-payload",
        b"~*",
        b"&*",
        b"+@all",
    ];
    let (name, rules) = user
        .split_first()
        .map_or((&[][..], user), |(name, rules)| (name.as_slice(), rules));
    name == b"default" && rules.iter().all(|rule| RULES.contains(&rule.as_slice()))
}

impl SetError {
    /// A directive that could not be applied, for instance because its port is taken.
    pub fn refused(name: &str, reason: impl Into<Cow<'static, str>>) -> Self {
        SetError::Refused {
            name: name.to_owned(),
            reason: reason.into().into_owned(),
        }
    }

    /// Line breaks would end the reply: stock writes blanks for them.
    fn unknown(name: &[u8]) -> Self {
        SetError::Unknown(String::from_utf8_lossy(name).replace(['\r', '\n'], " "))
    }
}
