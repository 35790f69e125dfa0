//! Reading configuration text: the file, what it includes, standard input, and the command line turned into lines.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::error::StartError;
use super::kind::{Reason, system_error_text};
use super::table::{Flags, Id};
use super::value::Value;
use super::values::Values;
use super::words;

/// Nested deeper than this, `include` is a loop.
const MAX_INCLUDE_DEPTH: usize = 16;

/// Longer than this, a file is something else: a device, a dataset.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Directives that older versions had: accepted, with one value, and ignored (Redis 7.0).
const OBSOLETE: [&[u8]; 3] = [
    b"list-max-ziplist-entries",
    b"list-max-ziplist-value",
    b"lua-replicate-commands",
];

/// Collects directives from one text after the other.
pub(super) struct Loader {
    pub(super) values: Values,
    pub(super) extras: Extras,
    /// A `save` was met: the first one replaces the default points, later ones add theirs.
    save_given: bool,
    depth: usize,
}

/// Directives that only a file or the command line can give, and that have no value to be asked for.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Extras {
    /// `rename-command`: from, to.
    pub(super) renamed_commands: Vec<(Vec<u8>, Vec<u8>)>,
    /// `user`: the words after it.
    pub(super) users: Vec<Vec<Vec<u8>>>,
}

/// Why a line is refused: a reason that wants its line number, or an error of an included file, complete.
enum LineError {
    Reason(Reason),
    Included(StartError),
}

impl<T: Into<Reason>> From<T> for LineError {
    fn from(reason: T) -> Self {
        LineError::Reason(reason.into())
    }
}

impl Loader {
    pub(super) fn new(values: Values) -> Self {
        Loader {
            values,
            extras: Extras::default(),
            save_given: false,
            depth: 0,
        }
    }

    /// Reads a whole text.
    pub(super) fn text(&mut self, text: &[u8]) -> Result<(), StartError> {
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            self.line(line).map_err(|error| match error {
                LineError::Included(error) => error,
                LineError::Reason(reason) => StartError::Line {
                    number: index + 1,
                    text: String::from_utf8_lossy(line).into_owned(),
                    reason: reason.into_owned(),
                },
            })?;
        }
        Ok(())
    }

    /// What can only be checked once everything is read.
    pub(super) fn finish(&self) -> Result<(), StartError> {
        let clustered = self.values[Id::ClusterEnabled] == Value::Bool(true);
        if clustered && self.values[Id::Replicaof] != Value::Replicaof(None) {
            return Err(StartError::General {
                reason: "replicaof directive not allowed in cluster mode".into(),
            });
        }
        self.check_logfile()
    }

    fn line(&mut self, line: &[u8]) -> Result<(), LineError> {
        let mut words = words::split(line).ok_or("Unbalanced quotes in configuration line")?;
        let [name, arguments @ ..] = words.as_mut_slice() else {
            return Ok(());
        };
        name.make_ascii_lowercase();
        match (name.as_slice(), &*arguments) {
            (b"include", [pattern]) => self.include(pattern),
            (b"rename-command", [from, to]) => {
                self.extras
                    .renamed_commands
                    .push((from.clone(), to.clone()));
                Ok(())
            }
            (b"user", [_, ..]) => {
                self.extras.users.push(arguments.to_vec());
                Ok(())
            }
            (b"loadmodule", [_, ..]) => Err("Modules are not supported".into()),
            (b"sentinel", _) => Err("sentinel directive while not in sentinel mode".into()),
            (name, [_]) if OBSOLETE.contains(&name) => Ok(()),
            (name, arguments) => self.directive(name, arguments),
        }
    }

    fn directive(&mut self, name: &[u8], arguments: &[Vec<u8>]) -> Result<(), LineError> {
        let Some(id) = Id::lookup(name) else {
            let module = name.contains(&b'.') && arguments.is_empty();
            let reason = if module {
                "Module config specified without value"
            } else {
                "Bad directive or wrong number of arguments"
            };
            return Err(reason.into());
        };
        // One argument of several words, as in `--save "60 1"`, is split as CONFIG SET splits it.
        let words: Vec<&[u8]> = match arguments {
            [one] if id.directive().flags.contains(Flags::MULTI_ARG) => split_blanks(one),
            many => many.iter().map(Vec::as_slice).collect(),
        };
        let before = self.values[id].clone();
        self.values.assign(id, &words)?;
        if id == Id::Save {
            self.add_save_points(before);
        }
        Ok(())
    }

    /// Puts the points of earlier lines before those of the line just read, unless that one was empty.
    fn add_save_points(&mut self, before: Value) {
        if let (Value::Save(old), Value::Save(new)) = (before, &self.values[Id::Save])
            && self.save_given
            && !new.is_empty()
        {
            let all = [&old[..], &new[..]].concat();
            self.values.put(Id::Save, Value::Save(all.into()));
        }
        self.save_given = true;
    }

    /// Reads the files that a glob pattern names; a name without wildcards must exist.
    fn include(&mut self, pattern: &[u8]) -> Result<(), LineError> {
        if self.depth == MAX_INCLUDE_DEPTH {
            return Err(format!("include is nested deeper than {MAX_INCLUDE_DEPTH} files").into());
        }
        self.depth += 1;
        for path in self.included_files(pattern)? {
            let text = read(&self.in_dir(path.as_os_str().as_bytes()), &path)
                .map_err(LineError::Included)?;
            self.text(&text).map_err(LineError::Included)?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn included_files(&self, pattern: &[u8]) -> Result<Vec<PathBuf>, LineError> {
        if !pattern
            .iter()
            .any(|byte| matches!(byte, b'*' | b'?' | b'['))
        {
            return Ok(vec![PathBuf::from(OsStr::from_bytes(pattern))]);
        }
        let pattern = self.in_dir(pattern);
        let pattern = pattern
            .to_str()
            .ok_or("include pattern is not valid UTF-8")?;
        let found = glob::glob(pattern).map_err(|error| error.to_string())?;
        Ok(found.filter_map(Result::ok).collect())
    }

    /// A path as stock sees it, whose working directory is `dir` from the line on that sets it.
    fn in_dir(&self, path: &[u8]) -> PathBuf {
        let Value::Str(dir) = &self.values[Id::Dir] else {
            return PathBuf::from(OsStr::from_bytes(path));
        };
        Path::new(OsStr::from_bytes(dir)).join(OsStr::from_bytes(path))
    }

    /// The log must be writable; better known now than after going into the background.
    fn check_logfile(&self) -> Result<(), StartError> {
        match &self.values[Id::Logfile] {
            Value::Str(path) if !path.is_empty() => {
                let opened = OpenOptions::new()
                    .append(true)
                    .create(true)
                    .open(self.in_dir(path));
                opened.map(drop).map_err(|error| StartError::General {
                    reason: format!("Can't open the log file: {}", system_error_text(&error)),
                })
            }
            _ => Ok(()),
        }
    }
}

/// Reads a configuration file; errors call it `shown`.
pub(super) fn read(path: &Path, shown: &Path) -> Result<Vec<u8>, StartError> {
    let unreadable = |reason| StartError::Unreadable {
        path: shown.display().to_string(),
        reason,
    };
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut text))
        .map_err(|error| unreadable(system_error_text(&error)))?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(unreadable(format!("more than {MAX_FILE_BYTES} bytes")));
    }
    Ok(text)
}

/// Splits at every single blank, as stock splits the argument of `CONFIG SET` for a directive of several words.
pub(super) fn split_blanks(text: &[u8]) -> Vec<&[u8]> {
    if text.is_empty() {
        Vec::new()
    } else {
        text.split(|byte| *byte == b' ').collect()
    }
}
