//! The command line in redis-server's form: `hexad [file] [--directive value …] [-]`.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::Config;
use super::error::StartError;
use super::kind::system_error_text;
use super::load::read;
use super::words::quote;

/// What the command line asks for.
#[derive(Debug)]
pub enum Start {
    /// Run with this configuration.
    Run(Box<Config>),
    /// Print this to standard output and exit with 0.
    Print(String),
}

const HELP: &str = "\
Usage: hexad [/path/to/redis.conf] [options] [-]
       hexad -                  read the configuration from standard input
       hexad -v | --version
       hexad -h | --help

An option is a directive of the configuration file with two hyphens before it;
options override the file.

Examples:
       hexad                                    default configuration
       hexad /etc/redis/7000.conf
       hexad --port 7000 --cluster-enabled yes
       hexad 7000.conf --loglevel verbose
       echo 'maxclients 100' | hexad --port 7000 -
";

/// The version line; stock tools look for `v=`, the version whose behaviour this is.
const VERSION: &str = concat!(
    "Redis server v=7.0.15 hexad=",
    env!("CARGO_PKG_VERSION"),
    " bits=64"
);

impl Config {
    /// Reads a command line (without the program's name), the file it names, and standard input where it says so.
    pub fn from_args(args: &[OsString]) -> Result<Start, StartError> {
        let args: Vec<Vec<u8>> = args.iter().map(|arg| arg.as_bytes().to_vec()).collect();
        match args.first().map(Vec::as_slice) {
            Some(b"-v" | b"--version") => return Ok(Start::Print(VERSION.into())),
            Some(b"-h" | b"--help") => return Err(StartError::Usage(HELP.into())),
            _ => {}
        }
        if let Some(mode) = args.iter().find(|arg| is_other_mode(arg)) {
            let mode = String::from_utf8_lossy(mode);
            return Err(StartError::Usage(format!("hexad does not support {mode}")));
        }
        let sources = Sources::of(&args);
        let from_stdin = sources.from_stdin;
        let (text, file) = sources.gather()?;
        let config = Config {
            file,
            ..Config::from_text(&text)?
        };
        if config.daemonize && from_stdin {
            let reason = "daemonize does not go with a configuration from standard input".into();
            return Err(StartError::General { reason });
        }
        Ok(Start::Run(Box::new(config)))
    }
}

/// Things that redis-server's binary also is.
fn is_other_mode(arg: &[u8]) -> bool {
    matches!(arg, b"--sentinel" | b"--test-memory" | b"--check-system")
}

/// Where the directives are, in the order in which they count.
struct Sources<'a> {
    file: Option<&'a [u8]>,
    from_stdin: bool,
    options: Vec<u8>,
}

impl<'a> Sources<'a> {
    fn of(args: &'a [Vec<u8>]) -> Self {
        let (file, options) = match args.split_first() {
            Some((first, rest)) if !first.starts_with(b"-") => (Some(first.as_slice()), rest),
            _ => (None, args),
        };
        // A lone hyphen is standard input where it is the first argument or the last.
        let (from_stdin, options) = match options {
            [first, rest @ ..] if first == b"-" => (true, rest),
            [rest @ .., last] if last == b"-" => (true, rest),
            _ => (false, options),
        };
        let file = file.filter(|path| !path.is_empty());
        Sources {
            file,
            from_stdin,
            options: option_lines(options),
        }
    }

    /// All text in one, so that lines are counted on as stock does; and the file's absolute path.
    fn gather(self) -> Result<(Vec<u8>, Option<PathBuf>), StartError> {
        let mut text = Vec::new();
        let mut file = None;
        if let Some(path) = self.file {
            let path = Path::new(std::ffi::OsStr::from_bytes(path));
            text = read(path, path)?;
            file = Some(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
        }
        if self.from_stdin {
            std::io::stdin()
                .read_to_end(&mut text)
                .map_err(|error| StartError::Unreadable {
                    path: "-".into(),
                    reason: system_error_text(&error),
                })?;
        }
        if !self.options.is_empty() {
            text.push(b'\n');
            text.extend(self.options);
        }
        Ok((text, file))
    }
}

/// Turns `--name value …` into lines. As in Redis 7.0, what follows a name that has no value yet is its value, even
/// if it begins with `--`; but name and value may be one argument (`"--port 1"`), and `--save` may stand alone and
/// then means `save ""`.
fn option_lines(args: &[Vec<u8>]) -> Vec<u8> {
    let mut lines = Vec::new();
    let mut values_of_last = None;
    let mut last_is_save = false;
    for arg in args {
        let may_be_name = values_of_last != Some(0) || last_is_save;
        if let Some(name) = arg.strip_prefix(b"--").filter(|_| may_be_name) {
            end_option(&mut lines, values_of_last, last_is_save);
            lines.extend(name);
            values_of_last = Some(usize::from(has_value(name)));
            last_is_save = name.eq_ignore_ascii_case(b"save");
        } else {
            if values_of_last.is_some() || !lines.is_empty() {
                lines.push(b' ');
            }
            lines.extend(quote(arg));
            values_of_last = Some(values_of_last.unwrap_or(0) + 1);
        }
    }
    if last_is_save && values_of_last == Some(0) {
        lines.extend(b" \"\"");
    }
    lines
}

/// Whether an argument is a name and its value.
fn has_value(name: &[u8]) -> bool {
    name.trim_ascii().iter().any(u8::is_ascii_whitespace)
}

fn end_option(lines: &mut Vec<u8>, values: Option<usize>, is_save: bool) {
    if is_save && values == Some(0) {
        lines.extend(b" \"\"");
    }
    if values.is_some() {
        lines.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(args: &[&str]) -> String {
        let args: Vec<Vec<u8>> = args.iter().map(|arg| arg.as_bytes().to_vec()).collect();
        String::from_utf8(option_lines(&args)).unwrap()
    }

    #[test]
    fn options_become_lines() {
        let cases: [(&[&str], &str); 10] = [
            (&[], ""),
            (&["--port", "1"], "port \"1\""),
            (
                &["--port", "1", "2", "--timeout", "3"],
                "port \"1\" \"2\"\ntimeout \"3\"",
            ),
            (
                &["--requirepass", "--x", "--port", "1"],
                "requirepass \"--x\"\nport \"1\"",
            ),
            (&["--save", "--port", "1"], "save \"\"\nport \"1\""),
            (&["--save"], "save \"\""),
            (&["--save", "", "--save", "1 2"], "save \"\"\nsave \"1 2\""),
            (&["x", "--port", "1"], "\"x\"\nport \"1\""),
            (&["--port=1"], "port=1"),
            (
                &["--maxmemory 7mb", "--port", "1"],
                "maxmemory 7mb\nport \"1\"",
            ),
        ];
        for (args, expected) in cases {
            assert_eq!(lines(args), expected, "{args:?}");
        }
    }
}
