//! Transcripts: text files of commands and the exact bytes of their replies.
//!
//! ```text
//! # A comment. The first section starts by itself; each starts with an empty keyspace and
//! # fresh connections.
//! @args --maxclients 100
//! == a section
//! SET key "a value\r\n"
//!   +OK
//! GET key
//!   $9
//!   a value
//!   
//! ```
//!
//! A line that is not indented is a command, split as `redis-cli` splits it (quotes, `\xHH`).
//! The lines indented by two spaces after it are the reply's bytes, cut at each CRLF, other
//! unprintable bytes escaped. In them `<any>` stands for any text and `<5..9>` for an integer
//! from 5 to 9. Directives:
//!
//! * `@args …`: arguments of the server; before the first section only;
//! * `@conn NAME`: the following lines use the connection of that name, opened at need;
//! * `@send COMMAND`: sends and reads nothing; `@raw BYTES`: the same with the bytes as they are;
//! * `@recv`: reads one reply; `@closed`: the server closes the connection;
//! * `@sorted COMMAND`, `@pairs COMMAND`: compares the elements, or pairs of them, as a set;
//! * `@wait COMMAND`: repeats the command until the reply is as expected.
//!
//! With `HEXAD_BLESS=1` in the environment a run against stock Redis writes the replies into the
//! file, so that nobody has to type them; patterns that still match stay.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::client::{Conn, reply_len};
use crate::server::{Kind, Server};
use crate::wait::poll_until;

/// How long `@wait` repeats its command.
const WAIT_LIMIT: Duration = Duration::from_secs(15);

/// How many differences a failure shows.
const SHOWN_DIFFERENCES: usize = 40;

/// A transcript file.
#[derive(Debug)]
pub struct Transcript {
    path: PathBuf,
    args: Vec<String>,
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    /// Counted from 1.
    line: usize,
    /// The line as it stands in the file.
    source: String,
    action: Action,
    /// The indented lines after it, without the indent.
    expected: Vec<String>,
}

#[derive(Debug)]
enum Action {
    /// A comment, an empty line or `@args`.
    Nothing,
    Section,
    Conn(String),
    Send(Vec<u8>),
    Recv,
    Closed,
    Call(Vec<u8>),
    /// The elements of the reply are compared in groups of this many, as a set.
    CallSorted(Vec<u8>, usize),
    CallUntil(Vec<u8>),
}

impl Transcript {
    /// Reads a file.
    ///
    /// # Panics
    /// If it cannot be read or has a syntax error.
    #[must_use]
    pub fn load(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut args = Vec::new();
        let mut steps: Vec<Step> = Vec::new();
        for (index, source) in text.lines().enumerate() {
            if let (Some(reply), Some(step)) = (source.strip_prefix("  "), steps.last_mut()) {
                step.expected.push(reply.to_owned());
                continue;
            }
            if let Some(words) = source.strip_prefix("@args ") {
                let words = split(words).into_iter();
                args.extend(words.map(|word| String::from_utf8_lossy(&word).into_owned()));
            }
            let (source, expected) = (source.to_owned(), Vec::new());
            steps.push(Step {
                line: index + 1,
                action: parse_action(&source),
                source,
                expected,
            });
        }
        Self {
            path: path.to_owned(),
            args,
            steps,
        }
    }

    /// Runs it against a fresh server of `kind`.
    ///
    /// # Panics
    /// If a reply differs, listing all that do.
    #[track_caller]
    pub fn check(mut self, kind: Kind) {
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        let mut server = Server::builder(kind).args(&args).start();
        let differences = Run::new(&server).all(&self.steps);
        if kind == Kind::Stock && std::env::var_os("HEXAD_BLESS").is_some() {
            return self.bless(differences);
        }
        let mut report = String::new();
        for (index, got) in differences.iter().take(SHOWN_DIFFERENCES) {
            let step = &self.steps[*index];
            let (expected, got) = (step.expected.join("\n    "), got.join("\n    "));
            let Step { line, source, .. } = step;
            let _ = writeln!(
                report,
                "{line}: {source}\n  want\n    {expected}\n  got\n    {got}"
            );
        }
        if !server.is_running() {
            report.push_str(&server.log_tail());
        }
        let (path, count) = (self.path.display(), differences.len());
        assert!(
            report.is_empty(),
            "{path} on {kind:?}: {count} replies differ\n{report}"
        );
    }

    /// Writes the file anew with the replies that were seen.
    fn bless(&mut self, differences: Vec<(usize, Vec<String>)>) {
        for (index, got) in differences {
            self.steps[index].expected = got;
        }
        let mut text = String::new();
        for step in &self.steps {
            let _ = writeln!(text, "{}", step.source);
            for line in &step.expected {
                let _ = writeln!(text, "  {line}");
            }
        }
        fs::write(&self.path, text).expect("the transcript can be written");
    }
}

fn parse_action(source: &str) -> Action {
    let Some(directive) = source.strip_prefix('@') else {
        return match source {
            _ if source.starts_with("==") => Action::Section,
            _ if source.is_empty() || source.starts_with('#') => Action::Nothing,
            _ => Action::Call(encode(source)),
        };
    };
    let (name, rest) = directive.split_once(' ').unwrap_or((directive, ""));
    match name {
        "args" => Action::Nothing,
        "conn" => Action::Conn(rest.to_owned()),
        "send" => Action::Send(encode(rest)),
        "raw" => Action::Send(split(rest).concat()),
        "recv" => Action::Recv,
        "closed" => Action::Closed,
        "sorted" => Action::CallSorted(encode(rest), 1),
        "pairs" => Action::CallSorted(encode(rest), 2),
        "wait" => Action::CallUntil(encode(rest)),
        _ => panic!("no such directive in a transcript: {source}"),
    }
}

/// A run of a transcript against one server.
struct Run<'a> {
    server: &'a Server,
    conns: HashMap<String, Conn>,
    current: String,
}

impl<'a> Run<'a> {
    fn new(server: &'a Server) -> Self {
        Self {
            server,
            conns: HashMap::new(),
            current: "main".to_owned(),
        }
    }

    /// Runs the steps; gives the index and the lines seen of each whose reply is not as expected.
    fn all(mut self, steps: &[Step]) -> Vec<(usize, Vec<String>)> {
        let mut differences = Vec::new();
        let mut lost = false;
        for (index, step) in steps.iter().enumerate() {
            if matches!(step.action, Action::Section) {
                lost = false;
            } else if lost {
                continue;
            }
            match self.step(step) {
                Ok(got) if matches(&step.expected, &got) => {}
                Ok(got) => differences.push((index, got)),
                Err(error) => {
                    // The connections are out of step now: go on with the next section.
                    lost = true;
                    differences.push((index, vec![format!("({error})")]));
                }
            }
        }
        differences
    }

    /// Runs one step; gives the lines to compare.
    fn step(&mut self, step: &Step) -> io::Result<Vec<String>> {
        match &step.action {
            Action::Nothing => {}
            Action::Section => {
                self.conns.clear();
                "main".clone_into(&mut self.current);
                self.conn()?.try_call(&["FLUSHALL"])?;
            }
            Action::Conn(name) => name.clone_into(&mut self.current),
            Action::Send(bytes) => self.conn()?.send_raw(bytes)?,
            Action::Recv => return Ok(lines(&self.conn()?.read_bytes()?)),
            Action::Closed => {
                let closed = self.conn()?.is_closed();
                let current = self.current.clone();
                self.conns.remove(&current);
                if !closed {
                    return Err(io::Error::other("the connection is not closed"));
                }
            }
            Action::Call(bytes) => return Ok(lines(&self.call(bytes)?)),
            Action::CallSorted(bytes, group) => {
                return Ok(sorted_lines(&self.call(bytes)?, *group));
            }
            Action::CallUntil(bytes) => {
                let mut last = Err(io::Error::other("never asked"));
                let _ = poll_until(WAIT_LIMIT, || {
                    last = self.call(bytes).map(|reply| lines(&reply));
                    let right = last.as_ref().is_ok_and(|got| matches(&step.expected, got));
                    if right { Ok(()) } else { Err(String::new()) }
                });
                return last;
            }
        }
        Ok(Vec::new())
    }

    fn call(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let conn = self.conn()?;
        conn.send_raw(bytes)?;
        conn.read_bytes()
    }

    fn conn(&mut self) -> io::Result<&mut Conn> {
        if !self.conns.contains_key(&self.current) {
            self.conns
                .insert(self.current.clone(), self.server.try_conn()?);
        }
        Ok(self
            .conns
            .get_mut(&self.current)
            .expect("it was just put there"))
    }
}

/// A command line as a RESP array of bulk strings.
fn encode(line: &str) -> Vec<u8> {
    let args = split(line);
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        bytes.extend_from_slice(&arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Splits a line at spaces; `"…"` holds spaces and escapes, `'…'` holds everything.
fn split(line: &str) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut bytes = line.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b' ' => words.extend(word.take()),
            b'"' | b'\'' => {
                let word = word.get_or_insert_default();
                while let Some(inner) = bytes.next() {
                    match inner {
                        _ if inner == byte => break,
                        b'\\' if byte == b'"' => word.push(unescape(&mut bytes)),
                        _ => word.push(inner),
                    }
                }
            }
            _ => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word);
    words
}

fn unescape(bytes: &mut std::str::Bytes<'_>) -> u8 {
    match bytes.next().unwrap_or(b'\\') {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'x' => {
            let digits = [bytes.next().unwrap_or(b'0'), bytes.next().unwrap_or(b'0')];
            let digits = std::str::from_utf8(&digits).unwrap_or("0");
            u8::from_str_radix(digits, 16).unwrap_or(0)
        }
        other => other,
    }
}

/// Reply bytes as the lines of a transcript.
fn lines(reply: &[u8]) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut bytes = reply.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte == b'\r' && bytes.peek() == Some(&b'\n') {
            bytes.next();
            lines.push(String::new());
            continue;
        }
        let line = lines.last_mut().expect("there is always a line");
        match byte {
            b'\n' => line.push_str("\\n"),
            b'\r' => line.push_str("\\r"),
            b'\\' => line.push_str("\\\\"),
            b' '..=b'~' => line.push(char::from(byte)),
            _ => {
                let _ = write!(line, "\\x{byte:02x}");
            }
        }
    }
    lines.pop();
    lines
}

/// Like [`lines`], with the reply's elements sorted in groups of `group`.
fn sorted_lines(reply: &[u8], group: usize) -> Vec<String> {
    let shown = lines(reply);
    if !matches!(reply.first(), Some(b'*' | b'~' | b'%')) {
        return shown;
    }
    let mut at = shown[0].len() + 2;
    let mut elements = Vec::new();
    while let Ok(Some(len)) = reply_len(&reply[at..]) {
        elements.push(lines(&reply[at..at + len]));
        at += len;
    }
    let mut groups: Vec<_> = elements.chunks(group).map(<[_]>::concat).collect();
    groups.sort();
    std::iter::once(shown[0].clone())
        .chain(groups.concat())
        .collect()
}

fn matches(expected: &[String], got: &[String]) -> bool {
    expected.len() == got.len() && expected.iter().zip(got).all(|(e, g)| line_matches(e, g))
}

/// Whether `got` fits `expected` with its `<any>` and `<n..m>`.
fn line_matches(expected: &str, got: &str) -> bool {
    let Some((start, end, pattern)) = find_pattern(expected) else {
        return expected == got;
    };
    let Some(got) = got.strip_prefix(&expected[..start]) else {
        return false;
    };
    let rest = &expected[end..];
    match pattern {
        Pattern::Any => {
            (0..=got.len()).any(|n| got.is_char_boundary(n) && line_matches(rest, &got[n..]))
        }
        Pattern::Range(low, high) => {
            let len = got
                .find(|c: char| !c.is_ascii_digit() && c != '-')
                .unwrap_or(got.len());
            let fits = got[..len]
                .parse()
                .is_ok_and(|n: i64| (low..=high).contains(&n));
            fits && line_matches(rest, &got[len..])
        }
    }
}

enum Pattern {
    Any,
    Range(i64, i64),
}

/// The first pattern in `text`: where it starts, where it ends, and what it is.
fn find_pattern(text: &str) -> Option<(usize, usize, Pattern)> {
    text.match_indices('<').find_map(|(start, _)| {
        let len = text[start..].find('>')?;
        let inner = &text[start + 1..start + len];
        let pattern = match inner.split_once("..") {
            Some((low, high)) => Pattern::Range(low.parse().ok()?, high.parse().ok()?),
            None if inner == "any" => Pattern::Any,
            None => return None,
        };
        Some((start, start + len + 1, pattern))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_quotes_and_escapes() {
        let words = split(r#"SET  "a \x00\"" 'b "c' """#);
        assert_eq!(
            words,
            [
                b"SET".to_vec(),
                b"a \0\"".to_vec(),
                b"b \"c".to_vec(),
                Vec::new()
            ]
        );
    }

    #[test]
    fn patterns() {
        for (expected, got, fits) in [
            (":<90..100>", ":97", true),
            (":<90..100>", ":101", false),
            (
                "id=<1..9> addr=<any> fd=8",
                "id=3 addr=127.0.0.1:1 fd=8",
                true,
            ),
            (
                "id=<1..9> addr=<any> fd=8",
                "id=3 addr=127.0.0.1:1 fd=9",
                false,
            ),
            ("a <b> c", "a <b> c", true),
        ] {
            assert_eq!(line_matches(expected, got), fits, "{expected} / {got}");
        }
    }

    #[test]
    fn elements_are_sorted_with_their_lengths() {
        let reply = b"*2\r\n$2\r\nzz\r\n$1\r\na\r\n";
        assert_eq!(sorted_lines(reply, 1), ["*2", "$1", "a", "$2", "zz"]);
    }
}
