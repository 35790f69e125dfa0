//! `CONFIG REWRITE`: the configuration back into its file, with as little change as possible.
//!
//! A directive's lines stay where they are and get its value; surplus lines of it go; a directive that is not in the
//! file is added at the end if it is not at its default. Comments, `include`, and whatever else the file holds stay.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::Config;
use super::kind::Kind;
use super::number::format_memory;
use super::table::{DIRECTIVES, Directive, Id};
use super::value::{Value, format_notify};
use super::words::{quote, split};

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
            let mut lines = self.lines_of(directive);
            // A file that names one snapshot point names all: the first replaces the default.
            if directive.id == Id::Save && places.len() > 0 {
                lines.iter_mut().for_each(|line| line.needed = true);
            }
            // Where there are fewer places than lines, those that must be there get them.
            lines.sort_by_key(|line| !line.needed);
            for line in lines {
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
                let texts = points
                    .iter()
                    .map(|p| format!("{} {}", p.seconds, p.changes).into_bytes());
                texts.map(|text| line(text, needed)).collect()
            }
            (Value::OutputBufferLimits(limits), Value::OutputBufferLimits(defaults)) => {
                ["normal", "replica", "pubsub"]
                    .iter()
                    .zip(limits.iter().zip(defaults))
                    .map(|(class, (limit, default))| {
                        let hard = format_memory(limit.hard_bytes.into());
                        let soft = format_memory(limit.soft_bytes.into());
                        let text = format!("{class} {hard} {soft} {}", limit.soft_seconds);
                        line(text.into_bytes(), limit != default)
                    })
                    .collect()
            }
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
        (Kind::Memory(_) | Kind::MemoryOrPercent(_), Value::Int(bytes)) => {
            format_memory(*bytes).into_bytes()
        }
        (_, Value::Str(text)) => quote(text),
        // CONFIG GET leaves out `n` beside `A`; here it must not get lost.
        (_, Value::Notify(classes)) => quote(&format_notify(*classes, true)),
        // In full, where CONFIG GET rounds.
        (_, Value::Percentiles(values)) if !values.is_empty() => values
            .iter()
            .map(f64::to_string)
            .collect::<Vec<_>>()
            .join(" ")
            .into_bytes(),
        (_, Value::List(words)) if !words.is_empty() => value.to_text(),
        (_, Value::List(_) | Value::Save(_) | Value::Percentiles(_))
            if value.to_text().is_empty() =>
        {
            quote(b"")
        }
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
            OldLine {
                directive: directive_of(&content),
                content,
            }
        });
        OldText {
            lines: lines.collect(),
        }
    }

    fn lines_of(&self, id: Id) -> Vec<usize> {
        let is_of = |(_, line): &(usize, &OldLine)| line.directive == Some(id);
        self.lines
            .iter()
            .enumerate()
            .filter(is_of)
            .map(|(place, _)| place)
            .collect()
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
    let result =
        write_synced(&temporary, path, text).and_then(|()| std::fs::rename(&temporary, path));
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
    let mode = std::fs::metadata(original).map_or(DEFAULT_MODE, |metadata| {
        metadata.permissions().mode() & 0o777
    });
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(temporary)?;
    file.set_permissions(std::fs::Permissions::from_mode(mode))?;
    file.write_all(text)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(old: &str, sets: &[(&str, &str)]) -> String {
        let mut config = Config::from_text(old.as_bytes()).unwrap();
        let context = crate::config::SetContext {
            client_is_local: true,
            loading: false,
        };
        for (name, value) in sets {
            config = config
                .set(&[(name.as_bytes(), value.as_bytes())], context)
                .unwrap()
                .0;
        }
        let text = config.rewrite(old.as_bytes());
        let again = Config::from_text(&text).unwrap();
        assert_eq!(again.values, config.values, "what is written says the same");
        assert_eq!(again.rewrite(&text), text, "writing again changes nothing");
        let dir = format!(
            "dir {}\n",
            String::from_utf8(quote(config.dir.as_os_str().as_encoded_bytes())).unwrap()
        );
        String::from_utf8(text).unwrap().replace(&dir, "dir …\n")
    }

    #[test]
    fn lines_keep_their_places() {
        let old = "# The top\nport 7000\n\n\ntimeout 5\n  # inner\nmaxclients 50\ntimeout 7\n";
        let expected = "# The top\nport 7001\n\ntimeout 9\n# inner\nmaxclients 50\n\n\
                        # Added by CONFIG REWRITE\nloglevel debug\ndir …\n";
        let sets = [("port", "7001"), ("timeout", "9"), ("loglevel", "debug")];
        assert_eq!(rewritten(old, &sets), expected);
    }

    #[test]
    fn a_directive_in_the_file_stays_when_it_is_at_its_default() {
        assert_eq!(
            rewritten("dir /\nhz 20\n", &[("hz", "10")]),
            "dir …\nhz 10\n"
        );
    }

    #[test]
    fn aliases_and_spellings_become_the_names_of_today() {
        let expected = "dir …\nreplica-priority 50\nloglevel notice\nmaxmemory 100mb\n";
        assert_eq!(
            rewritten(
                "dir /\nslave-priority 50\nLogLevel NOTICE\nmaxmemory 102400kb\n",
                &[]
            ),
            expected
        );
    }

    #[test]
    fn directives_of_several_lines_take_the_lines_there_are() {
        let old =
            "dir /\nsave 1 2\n# a\nsave 3 4\n# b\nclient-output-buffer-limit pubsub 1mb 2kb 3\n";
        let fewer = "dir …\nsave 7 8\n# a\n\n# b\nclient-output-buffer-limit pubsub 1mb 2kb 3\n";
        assert_eq!(rewritten(old, &[("save", "7 8")]), fewer);
        let back = "dir …\nsave 3600 1\n\n# Added by CONFIG REWRITE\nsave 300 100\nsave 60 10000\n";
        let default = [("save", "3600 1 300 100 60 10000")];
        assert_eq!(rewritten("dir /\nsave 9 9\n", &default), back);
        let none = "dir …\nsave \"\"\n# x\n";
        assert_eq!(rewritten("dir /\nsave 1 2\n# x\n", &[("save", "")]), none);
        let more = "dir …\nsave 1 2\n\n# Added by CONFIG REWRITE\nsave 3 4\n";
        assert_eq!(rewritten("dir /\nsave 9 9\n", &[("save", "1 2 3 4")]), more);
    }

    #[test]
    fn strings_are_quoted_and_empty_values_kept() {
        let old = "dir /\nbind 127.0.0.1 -::1\nrequirepass x\n";
        let expected = "dir …\nbind \"\"\nrequirepass \"a\\\"b\\n\\xc3\\xa9\"\n\n\
                        # Added by CONFIG REWRITE\nnotify-keyspace-events \"xK\"\n";
        let sets = [
            ("bind", ""),
            ("requirepass", "a\"b\né"),
            ("notify-keyspace-events", "Kx"),
        ];
        assert_eq!(rewritten(old, &sets), expected);
    }

    #[test]
    fn what_is_no_value_stays() {
        let old = "dir …\nrename-command FLUSHALL \"\"\nuser default on nopass ~* &* +@all\n\
                   lua-replicate-commands yes\n";
        assert_eq!(rewritten(&old.replace('…', "/"), &[]), old);
    }

    #[test]
    fn an_empty_file_gets_what_is_not_default() {
        let expected = "\n# Added by CONFIG REWRITE\ntimeout 3\ndir …\n";
        assert_eq!(rewritten("", &[("timeout", "3")]), expected);
    }

    #[test]
    fn a_file_is_replaced_with_its_permissions() {
        let folder = std::env::temp_dir().join(format!("hexad-rewrite-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("hexad.conf");
        std::fs::write(&path, "port 7000\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let args = [
            path.clone().into_os_string(),
            "--timeout".into(),
            "5".into(),
        ];
        let crate::config::Start::Run(config) = Config::from_args(&args).unwrap() else {
            panic!()
        };
        config.rewrite_file().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("port 7000\n\n# Added by CONFIG REWRITE\ntimeout 5\n"),
            "{text}"
        );
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            std::fs::read_dir(&folder).unwrap().count(),
            1,
            "no temporary file is left"
        );
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
