//! The replication streams of both sides: read, and brought to a form in which they must be equal.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use crate::compare::Reader;
use crate::{Call, Failure, show};

/// How far apart two points in time may be that were computed from a duration, in milliseconds.
const CLOCK_TOLERANCE_MS: u64 = 2000;

/// A command of a stream with its database.
pub(crate) type Effect = (usize, Call);

/// A raw connection to the reference server, which takes it for a replica.
pub(crate) struct Replica {
    input: BufReader<TcpStream>,
    output: TcpStream,
    db: usize,
}

impl Replica {
    /// Asks the server at `port` for a full resynchronisation and skips the data.
    pub(crate) fn attach(port: u16) -> Result<Self, Failure> {
        let output = TcpStream::connect(("127.0.0.1", port))?;
        let mut replica = Self {
            input: BufReader::new(output.try_clone()?),
            output,
            db: 0,
        };
        for request in [&b"REPLCONF capa eof capa psync2\r\n"[..], b"PSYNC ? -1\r\n"] {
            replica.output.write_all(request)?;
            replica.line()?;
        }
        let mark = loop {
            let line = replica.line()?;
            if let Some(mark) = line.trim_ascii().strip_prefix(b"$EOF:") {
                break mark.to_vec();
            }
        };
        let mut data = VecDeque::new();
        while data.len() < mark.len() || !data.iter().rev().eq(mark.iter().rev()) {
            if data.len() == mark.len() {
                data.pop_front();
            }
            let mut byte = [0];
            replica.input.read_exact(&mut byte)?;
            data.push_back(byte[0]);
        }
        Ok(replica)
    }

    /// Tells the server that the replica is alive; starts the stream once the server has noticed
    /// that the transfer is over.
    pub(crate) fn acknowledge(&mut self) -> Result<(), Failure> {
        Ok(self.output.write_all(b"REPLCONF ACK 0\r\n")?)
    }

    /// The stream up to the message `mark` that was published behind it, transactions as groups.
    pub(crate) fn read_until(&mut self, mark: &str) -> Result<Vec<Vec<Effect>>, Failure> {
        let (mut groups, mut open) = (Vec::new(), None::<Vec<Effect>>);
        loop {
            let call = self.command()?;
            match call[0].to_ascii_lowercase().as_slice() {
                b"publish" if call[2] == mark.as_bytes() => return Ok(groups),
                b"select" => self.db = String::from_utf8(call[1].clone())?.parse()?,
                b"multi" => open = Some(Vec::new()),
                b"exec" => groups.extend(open.take()),
                b"ping" => {}
                _ => match &mut open {
                    Some(group) => group.push((self.db, call)),
                    None => groups.push(vec![(self.db, call)]),
                },
            }
        }
    }

    fn command(&mut self) -> Result<Call, Failure> {
        let words = self.number(b'*')?;
        (0..words)
            .map(|_| {
                let mut word = vec![0; self.number(b'$')? + 2];
                self.input.read_exact(&mut word)?;
                word.truncate(word.len() - 2);
                Ok(word)
            })
            .collect()
    }

    fn number(&mut self, kind: u8) -> Result<usize, Failure> {
        let line = self.line()?;
        let digits = line.trim_ascii().strip_prefix(&[kind]);
        let digits = digits.ok_or_else(|| format!("{} in the stream", line.escape_ascii()))?;
        Ok(std::str::from_utf8(digits)?.parse()?)
    }

    fn line(&mut self) -> Result<Vec<u8>, Failure> {
        let mut line = Vec::new();
        if self.input.read_until(b'\n', &mut line)? == 0 {
            return Err("the reference server closed the replica's connection".into());
        }
        Ok(line)
    }
}

/// The words of a command in RESP.
pub(crate) fn parse(resp: &[u8]) -> Call {
    let words = Reader::new(resp).bulks();
    words.into_iter().map(<[u8]>::to_vec).collect()
}

/// Fails unless the streams are the same.
pub(crate) fn compare(expected: Vec<Vec<Effect>>, actual: Vec<Vec<Effect>>) -> Result<(), Failure> {
    let (expected, actual) = (normal(expected), normal(actual));
    let mut pairs = expected.iter().zip(&actual);
    let differing = match pairs.position(|(expected, actual)| !same_group(expected, actual)) {
        None if expected.len() == actual.len() => return Ok(()),
        None => expected.len().min(actual.len()),
        Some(at) => at,
    };
    let lines = |groups: &[Vec<Effect>]| {
        let last = groups.len().min(differing + 3);
        groups[differing.saturating_sub(3)..last]
            .iter()
            .map(|group| format!("\n  {}", show_group(group)))
            .collect::<String>()
    };
    Err(format!(
        "the streams differ\nexpected{}\nactual{}",
        lines(&expected),
        lines(&actual)
    )
    .into())
}

/// A stream without what may differ:
///
/// * Here a command that overwrites a key does not look whether it is past its time; Redis deletes
///   it first.
/// * Which of several expired keys a SCAN meets first depends on the table's order: deletions that
///   follow each other are sorted.
fn normal(groups: Vec<Vec<Effect>>) -> Vec<Vec<Effect>> {
    let mut normal: Vec<Vec<Effect>> = Vec::new();
    for mut group in groups {
        if let Some((db, last)) = group.last().cloned() {
            group.retain(|effect| {
                !(effect.0 == db && is_deletion(effect) && overwrites(&last, &effect.1[1]))
            });
        }
        match normal.last_mut() {
            Some(previous) if previous.iter().chain(&group).all(is_deletion) => {
                previous.append(&mut group);
                previous.sort();
            }
            _ => normal.push(group),
        }
    }
    normal
}

fn is_deletion((_, call): &Effect) -> bool {
    let name = call[0].to_ascii_lowercase();
    call.len() == 2 && (name == b"del" || name == b"unlink")
}

fn overwrites(call: &[Vec<u8>], key: &[u8]) -> bool {
    match call[0].to_ascii_lowercase().as_slice() {
        b"set" => call[1] == key,
        b"mset" => call[1..].iter().step_by(2).any(|name| name == key),
        b"rename" => call[2] == key,
        _ => false,
    }
}

fn same_group(expected: &[Effect], actual: &[Effect]) -> bool {
    expected.len() == actual.len()
        && expected.iter().zip(actual).all(|(expected, actual)| {
            expected.0 == actual.0
                && expected.1.len() == actual.1.len()
                && (0..expected.1.len()).all(|at| same_word(&expected.1, &actual.1, at))
        })
}

fn same_word(expected: &[Vec<u8>], actual: &[Vec<u8>], at: usize) -> bool {
    if expected[at] == actual[at] {
        return true;
    }
    let is_time = match expected[0].as_slice() {
        b"SET" => expected[at - 1] == b"PXAT",
        b"PEXPIREAT" => at == 2,
        name => at == 2 && name.eq_ignore_ascii_case(b"restore"),
    };
    let number = |word: &[u8]| -> Option<i64> { std::str::from_utf8(word).ok()?.parse().ok() };
    let close = number(&expected[at])
        .zip(number(&actual[at]))
        .is_some_and(|(a, b)| a.abs_diff(b) < CLOCK_TOLERANCE_MS);
    is_time && close
}

fn show_group(group: &[Effect]) -> String {
    let commands = group
        .iter()
        .map(|(db, call)| format!("{db}: {}", show(call)));
    commands.collect::<Vec<_>>().join("; ")
}
