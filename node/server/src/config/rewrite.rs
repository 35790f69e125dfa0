//! `CONFIG REWRITE`: the configuration back into its file, with as little change as possible.
//!
//! A directive's lines stay where they are and get its value; surplus lines of it go; a directive that is not in the
//! file is added at the end if it is not at its default. Comments, `include`, and whatever else the file holds stay.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::kind::Kind;
use super::number::format_memory;
use super::table::{DIRECTIVES, Directive, Id};
use super::value::{CLIENT_CLASSES, Value};
use super::words::{quote, split};
use super::Config;

/// Goes above the directives that were not in the file.
const MARKER: &[u8] = b"# Added by CONFIG REWRITE";

impl Config {
    /// `CONFIG REWRITE`: writes the configuration to its file, all of it or nothing, and to the disk. Where the server
    /// was started without a file, the error is `NotFound`.
    pub fn rewrite_file(&self) -> io::Result<()> {
        let path = self.file().ok_or(io::ErrorKind::NotFound)?;
        let old = match std::fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read?,
        };
        replace_file(path, &self.rewrite(&old))
    }

    /// The text of the configuration file that is `old` now.
    pub fn rewrite(&self, old: &[u8]) -> Vec<u8> {
        let mut text = OldText::read(old);
        let mut added: Vec<Vec<u8>> = Vec::new();
        for directive in &DIRECTIVES {
            let mut places = text.lines_of(directive.id).into_iter();
            for line in self.lines_of(directive) {
                match places.next() {
                    Some(place) => text.lines[place].content = line.text,
                    None if line.needed => added.push(line.text),
                    None => {}
                }
            }
            places.for_each(|surplus| text.lines[surplus].content.clear());
        }
        text.join(added)
    }

    /// The lines that say the directive's value.
    fn lines_of(&self, directive: &Directive) -> Vec<Line> {
        let value = &self.values[directive.id];
        let default = directive.id.default_value();
        let line = |text: Vec<u8>, needed: bool| {
            let text = [directive.name.as_bytes(), b" ", &text].concat();
            Line { text, needed }
        };
        match (value, &default) {
            (Value::Save(points), _) if !points.is_empty() => {
                let needed = *value != default;
                let texts = points.iter().map(|p| format!("{} {}", p.seconds, p.changes).into_bytes());
                texts.map(|text| line(text, needed)).collect()
            }
            (Value::OutputBufferLimits(limits), Value::OutputBufferLimits(defaults)) => CLIENT_CLASSES
                .iter()
                .zip(limits.iter().zip(defaults))
                .map(|(class, (limit, default))| {
                    let hard = format_memory(limit.hard_bytes.into());
                    let soft = format_memory(limit.soft_bytes.into());
                    let text = format!("{class} {hard} {soft} {}", limit.soft_seconds);
                    line(text.into_bytes(), limit != default)
                })
                .collect(),
            (Value::Replicaof(None), _) => Vec::new(),
            // A path may be relative to the directory in which the server is started: always say where it was.
            _ if directive.id == Id::Dir => vec![line(file_text(directive, value), true)],
            _ => vec![line(file_text(directive, value), *value != default)],
        }
    }
}

/// A line to be, and whether the file must have it.
struct Line {
    text: Vec<u8>,
    needed: bool,
}

/// A value as the file has it: strings quoted, memory with units.
fn file_text(directive: &Directive, value: &Value) -> Vec<u8> {
    match (directive.kind, value) {
        (Kind::Memory(_) | Kind::MemoryOrPercent(_), Value::Int(bytes)) => format_memory(*bytes).into_bytes(),
        (_, Value::Str(text)) => quote(text),
        (_, Value::Notify(_)) => quote(&value.to_text()),
        (_, Value::List(words)) if !words.is_empty() => value.to_text(),
        (_, Value::List(_) | Value::Save(_) | Value::Percentiles(_)) if value.to_text().is_empty() => quote(b""),
        _ => value.to_text(),
    }
}

/// The file as it is, line by line.
struct OldText {
    lines: Vec<OldLine>,
}

struct OldLine {
    content: Vec<u8>,
    directive: Option<Id>,
}

impl OldText {
    fn read(text: &[u8]) -> Self {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let lines = text.split(|byte| *byte == b'\n').map(|line| {
            let content = line.trim_ascii().to_vec();
            OldLine { directive: directive_of(&content), content }
        });
        OldText { lines: lines.collect() }
    }

    fn lines_of(&self, id: Id) -> Vec<usize> {
        let is_of = |(_, line): &(usize, &OldLine)| line.directive == Some(id);
        self.lines.iter().enumerate().filter(is_of).map(|(place, _)| place).collect()
    }

    /// The whole text; of several empty lines in a row, which removed lines leave behind, one stays.
    fn join(self, added: Vec<Vec<u8>>) -> Vec<u8> {
        let marked = self.lines.iter().any(|line| line.content == MARKER);
        let mut lines: Vec<Vec<u8>> = self.lines.into_iter().map(|line| line.content).collect();
        if !added.is_empty() && !marked {
            lines.extend([Vec::new(), MARKER.to_vec()]);
        }
        lines.extend(added);
        lines.dedup_by(|next, line| next.is_empty() && line.is_empty());
        let mut text = lines.join(&b'\n');
        text.push(b'\n');
        text
    }
}

/// The directive that a line sets.
fn directive_of(line: &[u8]) -> Option<Id> {
    if line.starts_with(b"#") {
        return None;
    }
    Id::lookup(split(line)?.first()?)
}

/// Replaces a file by way of a temporary one beside it, so that a crash leaves the old text or the new one.
fn replace_file(path: &Path, text: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = folder.join(name);
    let result = write_synced(&temporary, path, text).and_then(|()| std::fs::rename(&temporary, path));
    if result.is_err() {
        // Best effort: the error that matters is the one being returned.
        let _ = std::fs::remove_file(&temporary);
    }
    result?;
    File::open(folder)?.sync_all()
}

/// Writes `temporary` with the permissions of `original`: it may hold passwords.
fn write_synced(temporary: &Path, original: &Path, text: &[u8]) -> io::Result<()> {
    const DEFAULT_MODE: u32 = 0o644;
    let mode = std::fs::metadata(original).map_or(DEFAULT_MODE, |metadata| metadata.permissions().mode() & 0o777);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(temporary)?;
    file.set_permissions(std::fs::Permissions::from_mode(mode))?;
    file.write_all(text)?;
    file.sync_all()
}
