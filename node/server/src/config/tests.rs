//! hexad's configuration beside that of redis-server 7.0.15, whose answers are kept in `fixtures/`.
//!
//! `cargo test -p hexad-server -- --ignored record_stock_answers` asks a redis-server in the path again.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::table::DIRECTIVES;
use super::words::{quote, split};
use super::*;

const TEXT: &[&str] = &["zzz", "", "a b", "\u{e9}"];
const NUMBERS: &[&str] = &[
    "0", "1", "-1", "-2", "7", "10", "100", "777", "1000", "65535", "65536", "1048576", "2147483647", "2147483648",
    "4294967295", "4294967296", "9223372036854775807", "9223372036854775808", "-2147483648", "-2147483649", "01",
    "+1", " 1", "1 ", "1.5", "1e3",
];
const MEMORY: &[&str] = &["1kb", "1k", "1MB", "2g", "3gb", "5b", "kb", "1t", "5%", "0%", "100%", "101%", "-1kb"];
const WORDS: &[&str] = &["yes", "NO", "local", "debug", "Verbose", "ip", "hostname", "swapdb", "always", "no yes"];

/// Values that each directive is set to.
fn common_values() -> impl Iterator<Item = &'static str> {
    [TEXT, NUMBERS, MEMORY, WORDS].into_iter().flatten().copied()
}

/// Values for directives with a syntax of their own, and pairs of directives.
const SPECIAL: &[(&str, &[&str])] = &[
    ("oom-score-adj", &["relative", "yes", "absolute", "no"]),
    (
        "shutdown-on-sigterm",
        &["save now", "now save", "default save", "save nosave", "SAVE", "nosave force now", "save bogus", "default"],
    ),
    (
        "oom-score-adj-values",
        &["1 2 3", "-1 2 3", "1 1 2001", "1 2", "a b c", "-2001 0 0", "1 2 3 4", "01 2 3", "0 200 800"],
    ),
    (
        "save",
        &[
            "", "1 2", "1 2 3", "0 1", "1 -1", "-1 1", "60 1 300 10", "1 0", "a 1", "1 a", "\"\" ", "1 2  ",
            "\"1 2\"", "3600 1 300 100 60 10000",
        ],
    ),
    (
        "client-output-buffer-limit",
        &[
            "normal 1 2 3", "normal 1mb 2kb 3", "slave 1 2 3", "replica 2 2 3", "pubsub 1 1 1 normal 5 5 5",
            "master 1 1 1", "normal 1 1", "normal a 1 1", "normal 1 a 1", "normal 1 1 a", "normal 1 1 -1",
            "NORMAL 7 7 7", "normal 1 1 1 normal 2 2 2", "", "normal 1 1 1kb",
            "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
        ],
    ),
    (
        "notify-keyspace-events",
        &["KEA", "Kx", "g$lshzxetd", "g$lshzxet", "KEg$lshzxetmdn", "mn", "A", "An", "Am", "KEAmn", "$K", "q", "K q", ""],
    ),
    (
        "latency-tracking-info-percentiles",
        &["50", "", "0 100", "100.1", "99.99 50", "1e1", "0.001", "99.999999", "50.123456789", "nan", "inf", "5 5a"],
    ),
    ("dbfilename", &["a/b", "a\\b", "x.rdb", "x.aof", "", "/", "dump.rdb"]),
    ("cluster-announce-hostname", &["a.b", "a_b", "-a", "A1-.", ""]),
    ("proc-title-template", &["{title}", "{bogus}", "{", "}", "{title", "{port} {tls-port} {unixsocket}"]),
    ("maxmemory-policy", &["allkeys-lfu", "VOLATILE-TTL", "noeviction"]),
    ("hz", &["0", "501", "500", "10"]),
    ("repl-backlog-size", &["1", "16385", "1mb"]),
    ("cluster-preferred-endpoint-type", &["unknown-endpoint", "unknown", "ip"]),
];

/// What cannot be asked of a live server without moving its sockets or its folder; what is refused for a documented
/// reason; and a debugging aid whose value depends on `hz`.
const NOT_ASKED: &[&str] =
    &["port", "bind", "dir", "tls-port", "tls-cluster", "tls-replication", "maxclients", "watchdog-period"];

/// Lines of a configuration file.
const LINES: &[&str] = &[
    "port", "port 1 2", "port abc", "port \"1", "PORT 70000", "bogus", "bogus 1", "a.b", "daemonize maybe",
    "include", "include a b", "user", "rename-command get", "sentinel monitor x", "lua-replicate-commands yes",
    "lua-replicate-commands", "list-max-ziplist-entries 5", "list-max-ziplist-value 5 6", "save", "save 1",
    "save 1 2", "save \"1 2\"", "save \"1 2\" 3 4", "save \"\"", "bind", "bind \"\"", "bind 127.0.0.1 ::1",
    "bind 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", "bind 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17",
    "notify-keyspace-events K E", "notify-keyspace-events KE", "unixsocketperm 1000", "unixsocketperm 888",
    "unixsocketperm 700", "unixsocketperm -1", "unixsocketperm \"\"", "io-threads 0", "io-threads 129",
    "io-threads 128", "databases 0", "cluster-port 65536", "appendfilename \"\"", "appendfilename a/b",
    "appendfilename a", "appenddirname \"\"", "appenddirname a/b", "dir /nonexistent", "dir /etc/passwd", "dir /tmp",
    "dir \"\"", "dir /tmp /tmp", "replicaof a", "replicaof a b", "replicaof a 1 2", "replicaof no one",
    "slaveof a 6379", "supervised maybe", "syslog-facility local9", "enable-debug-command maybe",
    "activedefrag yes", "activedefrag no", "client-output-buffer-limit normal 1 1 1",
    "client-output-buffer-limit normal 1 1", "client-output-buffer-limit \"normal 1 1 1\"",
    "shutdown-on-sigint save nosave", "shutdown-on-sigint \"save now\"", "shutdown-on-sigint save now",
    "latency-tracking-info-percentiles 1 2 300", "oom-score-adj-values 1 2", "timeout \"5 \"", "timeout '5'",
    "timeout \"\\x35\"", "maxmemory 1tb", "logfile \"\"", "requirepass foo bar", "loglevel Notice", "hz 100000",
    "tcp-backlog -1", "socket-mark-id -1", "maxclients 0", "cluster-announce-hostname a_b",
];

#[test]
fn defaults_are_stocks() {
    // Set to ask the questions, but for `io-threads`.
    const DIFFERENT: &[&str] = &["port", "dir", "enable-protected-configs", "io-threads"];
    let config = Config::default();
    let mut checked = 0;
    for record in records(include_str!("fixtures/defaults.txt")) {
        let [name, value] = &record[..] else { panic!("{record:?}") };
        if DIFFERENT.contains(&name.as_str()) {
            continue;
        }
        assert_eq!(get(&config, name), Some(value.clone()), "{name}");
        checked += 1;
    }
    assert!(checked > 190, "{checked}");
}

/// Each record: a value, stock's reason to refuse it (empty: it does not), the value then shown if it was taken, and
/// the directives of which that is true. The order is that in which stock was asked.
#[test]
fn set_answers_as_stock_does() {
    let mut config = Config::from_text(b"enable-protected-configs yes").unwrap();
    let mut checked = 0;
    for record in records(include_str!("fixtures/set.txt")) {
        let [value, reason, after, names @ ..] = &record[..] else { panic!("{record:?}") };
        for name in names {
            assert_eq!(set(&mut config, name, value), *reason, "CONFIG SET {name} {value:?}");
            if reason.is_empty() {
                assert_eq!(get(&config, name).as_ref(), Some(after), "CONFIG GET {name} after {value:?}");
            }
            checked += 1;
        }
    }
    assert!(checked > 7000, "{checked}");
}

#[test]
fn lines_are_refused_as_by_stock() {
    for record in records(include_str!("fixtures/lines.txt")) {
        let [line, reason] = &record[..] else { panic!("{record:?}") };
        let ours = match Config::from_text(line.as_bytes()) {
            Ok(_) => String::new(),
            Err(StartError::Line { number: 1, reason, .. }) => reason,
            Err(error) => panic!("{line}: {error}"),
        };
        assert_eq!(ours, *reason, "{line}");
    }
}

/// Asks a redis-server all questions, and writes the fixtures anew.
#[test]
#[ignore = "needs redis-server 7.0.15 in the path"]
fn record_stock_answers() {
    let mut stock = Stock::start();
    write_fixture("lines.txt", LINES.iter().map(|line| vec![(*line).to_owned(), stock_reason(line)]));

    let hidden = DIRECTIVES.iter().filter(|d| d.flags.contains(Flags::HIDDEN)).map(|d| d.name);
    let mut defaults = stock.get("*");
    defaults.extend(hidden.flat_map(|name| stock.get(name)).collect::<Vec<_>>());
    defaults.sort();
    write_fixture("defaults.txt", defaults.iter().map(|(name, value)| vec![name.clone(), value.clone()]));

    let names = defaults.iter().map(|(name, _)| name.as_str()).filter(|name| !NOT_ASKED.contains(name));
    let (fixed, changeable): (Vec<&str>, Vec<&str>) =
        names.partition(|name| Id::lookup(name.as_bytes()).unwrap().directive().flags.contains(Flags::IMMUTABLE));
    let mut answers = stock.answers("x", &fixed);
    answers.extend(common_values().flat_map(|value| stock.answers(value, &changeable)).collect::<Vec<_>>());
    for (name, values) in SPECIAL {
        answers.extend(values.iter().flat_map(|value| stock.answers(value, &[name])));
    }
    write_fixture("set.txt", answers.into_iter());
}

fn get(config: &Config, name: &str) -> Option<String> {
    let (_, value) = config.get(&[name.as_bytes()]).pop()?;
    Some(String::from_utf8_lossy(&value).into_owned())
}

fn set(config: &mut Config, name: &str, value: &str) -> String {
    let context = SetContext { client_is_local: true, loading: false };
    match config.set(&[(name.as_bytes(), value.as_bytes())], context) {
        Ok((new, _)) => {
            *config = new;
            String::new()
        }
        Err(SetError::Refused { reason, .. }) => reason,
        Err(error) => panic!("{error}"),
    }
}

fn records(fixture: &str) -> impl Iterator<Item = Vec<String>> {
    fixture.lines().map(|line| {
        let fields = split(line.as_bytes()).unwrap();
        fields.into_iter().map(|field| String::from_utf8(field).unwrap()).collect()
    })
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
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    if error.contains("at line 1\n") { error.trim_end().rsplit('\n').next().unwrap().to_owned() } else { String::new() }
}

/// A running redis-server, and a connection to it.
struct Stock {
    process: Child,
    stream: BufReader<TcpStream>,
}

impl Stock {
    fn start() -> Self {
        let port = 20000 + std::process::id() % 9000;
        let folder = std::env::temp_dir();
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--enable-protected-configs", "yes", "--dir"])
            .arg(folder)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        for _ in 0..100 {
            std::thread::sleep(Duration::from_millis(20));
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", port as u16)) {
                return Stock { process, stream: BufReader::new(stream) };
            }
        }
        panic!("redis-server does not start");
    }

    /// Sets each of `names` to `value`; directives with the same answer in one record.
    fn answers(&mut self, value: &str, names: &[&str]) -> Vec<Vec<String>> {
        let mut groups: Vec<Vec<String>> = Vec::new();
        for name in names {
            let reply = self.ask(&["CONFIG", "SET", name, value]).concat();
            let reason = reply.split_once(" - ").map_or("", |(_, reason)| reason).to_owned();
            let after = if reply == "OK" { self.get(name).remove(0).1 } else { String::new() };
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
        words.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
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
            "*" => (0..rest.parse::<usize>().unwrap()).flat_map(|_| self.reply()).collect(),
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

impl Drop for Stock {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
