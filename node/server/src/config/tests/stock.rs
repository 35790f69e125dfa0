//! Puts the questions to a redis-server, and writes its answers to `fixtures/`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::questions::{LINES, NOT_ASKED, SPECIAL, common_values};
use crate::config::table::{DIRECTIVES, Flags, Id};
use crate::config::words::quote;

/// Set by [`Stock::start`], so that CONFIG GET does not show the default.
const GIVEN: [&str; 3] = ["port", "dir", "enable-protected-configs"];

/// Asks a redis-server all questions, and writes the fixtures anew.
#[test]
#[ignore = "needs redis-server 7.0.15 in the path"]
fn record_stock_answers() {
    let mut stock = Stock::start();
    write_fixture(
        "lines.txt",
        LINES
            .iter()
            .map(|line| vec![(*line).to_owned(), stock_reason(line)]),
    );

    let hidden = DIRECTIVES
        .iter()
        .filter(|d| d.flags.contains(Flags::HIDDEN))
        .map(|d| d.name);
    let mut defaults = stock.get("*");
    defaults.extend(hidden.flat_map(|name| stock.get(name)).collect::<Vec<_>>());
    defaults.retain(|(name, _)| !GIVEN.contains(&name.as_str()));
    defaults.sort();
    write_fixture(
        "defaults.txt",
        defaults
            .iter()
            .map(|(name, value)| vec![name.clone(), value.clone()]),
    );

    let names = defaults
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| !NOT_ASKED.contains(name));
    let (fixed, changeable): (Vec<&str>, Vec<&str>) = names.partition(|name| {
        Id::lookup(name.as_bytes())
            .unwrap()
            .directive()
            .flags
            .contains(Flags::IMMUTABLE)
    });
    let mut answers = stock.answers("x", &fixed);
    answers.extend(
        common_values()
            .flat_map(|value| stock.answers(value, &changeable))
            .collect::<Vec<_>>(),
    );
    for (name, values) in SPECIAL {
        answers.extend(
            values
                .iter()
                .flat_map(|value| stock.answers(value, &[name])),
        );
    }
    write_fixture("set.txt", answers.into_iter());
}

fn write_fixture(name: &str, records: impl Iterator<Item = Vec<String>>) {
    let mut text = Vec::new();
    for record in records {
        let fields: Vec<Vec<u8>> = record.iter().map(|field| quote(field.as_bytes())).collect();
        text.extend(fields.join(&b' '));
        text.push(b'\n');
    }
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/config/fixtures");
    std::fs::write(folder.join(name), text).unwrap();
}

/// What stock says of a line; empty where it accepts it. A bad second line keeps it from starting.
fn stock_reason(line: &str) -> String {
    let mut child = Command::new("redis-server")
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let text = format!("{line}\nthe-end\n");
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    if error.contains("at line 1\n") {
        error.trim_end().rsplit('\n').next().unwrap().to_owned()
    } else {
        String::new()
    }
}

/// A running redis-server, ended when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A redis-server, and a connection to it.
struct Stock {
    _process: Process,
    stream: BufReader<TcpStream>,
}

impl Stock {
    fn start() -> Self {
        let port = 20000 + std::process::id() % 9000;
        let folder = std::env::temp_dir();
        let mut command = Command::new("redis-server");
        command
            .args([
                "--port",
                &port.to_string(),
                "--enable-protected-configs",
                "yes",
                "--dir",
            ])
            .arg(folder)
            .stdout(Stdio::null());
        let process = Process(command.spawn().unwrap());
        for _ in 0..100 {
            std::thread::sleep(Duration::from_millis(20));
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", port as u16)) {
                return Stock {
                    _process: process,
                    stream: BufReader::new(stream),
                };
            }
        }
        panic!("redis-server does not start");
    }

    /// Sets each of `names` to `value`; directives with the same answer in one record.
    fn answers(&mut self, value: &str, names: &[&str]) -> Vec<Vec<String>> {
        let mut groups: Vec<Vec<String>> = Vec::new();
        for name in names {
            let reply = self.ask(&["CONFIG", "SET", name, value]).concat();
            let reason = reply
                .split_once(" - ")
                .map_or("", |(_, reason)| reason)
                .to_owned();
            let after = if reply == "OK" {
                self.get(name).remove(0).1
            } else {
                String::new()
            };
            let answer = [value.to_owned(), reason, after];
            match groups.iter_mut().find(|group| group.starts_with(&answer)) {
                Some(group) => group.push((*name).to_owned()),
                None => groups.push([&answer[..], &[(*name).to_owned()]].concat()),
            }
        }
        groups
    }

    fn get(&mut self, pattern: &str) -> Vec<(String, String)> {
        let words = self.ask(&["CONFIG", "GET", pattern]);
        words
            .chunks(2)
            .map(|pair| (pair[0].clone(), pair[1].clone()))
            .collect()
    }

    /// The strings of a reply, of whatever kind.
    fn ask(&mut self, words: &[&str]) -> Vec<String> {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request += &format!("${}\r\n{word}\r\n", word.len());
        }
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        self.reply()
    }

    fn reply(&mut self) -> Vec<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        let (kind, rest) = line.trim_end().split_at(1);
        match kind {
            "*" => (0..rest.parse::<usize>().unwrap())
                .flat_map(|_| self.reply())
                .collect(),
            "$" => {
                let mut bytes = vec![0; rest.parse::<usize>().unwrap() + 2];
                self.stream.read_exact(&mut bytes).unwrap();
                bytes.truncate(bytes.len() - 2);
                vec![String::from_utf8(bytes).unwrap()]
            }
            _ => vec![rest.to_owned()],
        }
    }
}
