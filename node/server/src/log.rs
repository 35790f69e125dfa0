//! The log: `tracing` events as lines in the form of Redis, on standard output or in `logfile`.
//!
//! ```text
//! 4711:M 21 Nov 2026 01:19:18.029 * Ready to accept connections
//! pid  │ local time               │ text
//!      └ role                     └ level
//! ```
//!
//! Levels are those of `loglevel`: `.` debug (`tracing::trace!`), `-` verbose (`debug!`), `*` notice (`info!`), `#`
//! warning (`warn!` and `error!`). An event below the level costs one load and one branch. Only hexad's own crates
//! are heard. A log that cannot be written is no reason to stop serving: such lines are lost.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use jiff::Zoned;
use parking_lot::Mutex;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Registry, reload};

use crate::config::{Config, LogLevel};

/// The letter after the process id in each line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Role {
    /// `M`: a primary.
    Primary = b'M',
    /// `S`: a replica.
    Replica = b'S',
    /// `C`: before the server is up, and its children.
    Child = b'C',
}

/// Where the common prefix of the targets of hexad's crates is heard; other crates are not.
const TARGETS: &str = "hexad";

static ROLE: AtomicU8 = AtomicU8::new(Role::Child as u8);
static FILTER: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// Installs the log for the whole process. Fails where `logfile` cannot be opened, or a log is installed already.
pub fn init(config: &Config) -> io::Result<()> {
    // Relative to `dir`, whatever the working directory is now or will be.
    let sink = Sink::open(config.logfile.as_ref().map(|path| config.dir.join(path)))?;
    let (filter, handle) = reload::Layer::new(filter(config.loglevel));
    let lines = tracing_subscriber::fmt::layer()
        .event_format(RedisLine {
            pid: std::process::id(),
        })
        .with_ansi(false)
        .log_internal_errors(false)
        .with_writer(sink);
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);
    tracing::subscriber::set_global_default(subscriber).map_err(io::Error::other)?;
    let _ = FILTER.set(handle);
    Ok(())
}

/// Changes the level (`CONFIG SET loglevel`).
pub fn set_level(level: LogLevel) {
    if let Some(handle) = FILTER.get()
        && let Err(error) = handle.reload(filter(level))
    {
        tracing::warn!("Cannot change the log level: {error}");
    }
}

/// Changes the letter of the role.
pub fn set_role(role: Role) {
    ROLE.store(role as u8, Ordering::Relaxed);
}

fn filter(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Debug => LevelFilter::TRACE,
        LogLevel::Verbose => LevelFilter::DEBUG,
        LogLevel::Notice => LevelFilter::INFO,
        LogLevel::Warning => LevelFilter::WARN,
    };
    Targets::new().with_target(TARGETS, level)
}

/// Formats an event as a line.
struct RedisLine {
    pid: u32,
}

impl<S, N> FormatEvent<S, N> for RedisLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let role = char::from(ROLE.load(Ordering::Relaxed));
        write_prefix(
            &mut writer,
            self.pid,
            role,
            &Zoned::now(),
            *event.metadata().level(),
        )?;
        context
            .field_format()
            .format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

fn write_prefix(
    writer: &mut impl fmt::Write,
    pid: u32,
    role: char,
    time: &Zoned,
    level: Level,
) -> fmt::Result {
    let level = match level {
        Level::TRACE => '.',
        Level::DEBUG => '-',
        Level::INFO => '*',
        Level::WARN | Level::ERROR => '#',
    };
    write!(
        writer,
        "{pid}:{role} {} {level} ",
        time.strftime("%d %b %Y %H:%M:%S%.3f")
    )
}

/// Where lines go.
enum Sink {
    Stdout,
    File(Mutex<LogFile>),
}

/// A log file that may be moved away at any time, as logrotate does.
struct LogFile {
    path: PathBuf,
    file: File,
    /// Device and inode of `file`.
    identity: (u64, u64),
}

impl Sink {
    fn open(path: Option<PathBuf>) -> io::Result<Sink> {
        match path {
            Some(path) => LogFile::open(path).map(|file| Sink::File(Mutex::new(file))),
            None => Ok(Sink::Stdout),
        }
    }
}

impl LogFile {
    fn open(path: PathBuf) -> io::Result<LogFile> {
        let (file, identity) = open_append(&path)?;
        Ok(LogFile {
            path,
            file,
            identity,
        })
    }

    /// Stock opens the file for each line. Looking whether it is still the same one costs less.
    fn reopen_if_moved(&mut self) -> io::Result<()> {
        let current = std::fs::metadata(&self.path)
            .map(|metadata| identity(&metadata))
            .ok();
        if current != Some(self.identity) {
            (self.file, self.identity) = open_append(&self.path)?;
        }
        Ok(())
    }
}

fn open_append(path: &Path) -> io::Result<(File, (u64, u64))> {
    let file = OpenOptions::new().append(true).create(true).open(path)?;
    let identity = identity(&file.metadata()?);
    Ok((file, identity))
}

fn identity(metadata: &std::fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// The subscriber calls `write` once a line.
impl Write for &Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // Errors have nowhere to be reported to, and must not end the process.
        let _ = match self {
            Sink::Stdout => io::stdout().lock().write_all(line),
            Sink::File(file) => {
                let mut file = file.lock();
                // Where the new file cannot be opened, the old one still takes the line.
                let _ = file.reopen_if_moved();
                file.file.write_all(line)
            }
        };
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = &'a Sink;
    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn a_line_begins_as_stocks_does() {
        let time: Timestamp = "2026-11-01T01:09:18.0295Z".parse().unwrap();
        let time = time.to_zoned(TimeZone::UTC);
        let prefix = |level| {
            let mut text = String::new();
            write_prefix(&mut text, 4711, 'M', &time, level).unwrap();
            text
        };
        assert_eq!(prefix(Level::INFO), "4711:M 01 Nov 2026 01:09:18.029 * ");
        assert!(prefix(Level::TRACE).ends_with(" . "));
        assert!(prefix(Level::DEBUG).ends_with(" - "));
        assert!(prefix(Level::ERROR).ends_with(" # "));
    }

    #[test]
    fn a_moved_file_is_opened_anew() {
        let folder = std::env::temp_dir().join(format!("hexad-log-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (path, moved) = (folder.join("log"), folder.join("log.1"));
        let sink = Sink::open(Some(path.clone())).unwrap();
        (&sink).write_all(b"one\n").unwrap();
        std::fs::rename(&path, &moved).unwrap();
        (&sink).write_all(b"two\n").unwrap();
        assert_eq!(std::fs::read(&moved).unwrap(), b"one\n");
        assert_eq!(std::fs::read(&path).unwrap(), b"two\n");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_full_disk_is_survived() {
        let sink = Sink::open(Some(PathBuf::from("/dev/full"))).unwrap();
        assert_eq!((&sink).write(b"lost\n").unwrap(), 5);
    }
}
