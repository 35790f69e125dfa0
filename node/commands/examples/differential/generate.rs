//! Random commands: mostly sensible, often at the edges, sometimes wrong.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::Call;

/// Few keys, so that commands meet each other's work.
const KEYS: usize = 24;

/// Durations below this, in milliseconds, might end while a command travels to one side only.
const SOON: i64 = 10_000_000;

/// The string "v" as Redis 7.0 dumps it.
const PAYLOAD: &[u8] = b"\x00\x01v\x0a\x00\x91\x08\xce\xb2\x198\x8a\xce";

/// How a word of a command is made.
#[derive(Clone, Copy)]
enum Word {
    Key,
    Value,
    Integer,
    Float,
    Offset,
    /// Seconds to live.
    Seconds,
    /// Milliseconds to live.
    Milliseconds,
    /// Unix time, seconds.
    UnixSeconds,
    /// Unix time, milliseconds.
    UnixMilliseconds,
    Pattern,
    Database,
    /// A value as DUMP gives it.
    Payload,
    /// Any of these, as it stands or with an argument.
    Options(&'static [Option_]),
    Literal(&'static str),
    /// More of the words before it, up to this many groups of `1` or `2` words.
    More(usize),
}

/// An option's name and argument.
type Option_ = (&'static str, Option<&'static Word>);

use Word::*;

const SET_OPTIONS: &[Option_] = &[
    ("NX", None),
    ("XX", None),
    ("GET", None),
    ("KEEPTTL", None),
    ("EX", Some(&Seconds)),
    ("PX", Some(&Milliseconds)),
    ("EXAT", Some(&UnixSeconds)),
    ("PXAT", Some(&UnixMilliseconds)),
    ("PERSIST", None),
];
const GETEX_OPTIONS: &[Option_] = &[
    ("PERSIST", None),
    ("EX", Some(&Seconds)),
    ("PX", Some(&Milliseconds)),
    ("EXAT", Some(&UnixSeconds)),
    ("PXAT", Some(&UnixMilliseconds)),
    ("KEEPTTL", None),
];
const EXPIRE_OPTIONS: &[Option_] = &[("NX", None), ("XX", None), ("GT", None), ("LT", None)];
const LCS_OPTIONS: &[Option_] = &[
    ("LEN", None),
    ("IDX", None),
    ("WITHMATCHLEN", None),
    ("MINMATCHLEN", Some(&Offset)),
    ("MINMATCHLEN", Some(&Integer)),
];
const COPY_OPTIONS: &[Option_] = &[("REPLACE", None), ("DB", Some(&Database))];
const SCAN_OPTIONS: &[Option_] = &[
    ("COUNT", Some(&Literal("3"))),
    ("COUNT", Some(&Literal("1000"))),
    ("MATCH", Some(&Pattern)),
    ("TYPE", Some(&Literal("string"))),
    ("TYPE", Some(&Literal("list"))),
];
const RESTORE_OPTIONS: &[Option_] = &[
    ("REPLACE", None),
    ("REPLACE", None),
    ("ABSTTL", None),
    ("IDLETIME", Some(&Literal("5"))),
    ("FREQ", Some(&Literal("7"))),
];
const MEMORY_OPTIONS: &[Option_] = &[("SAMPLES", Some(&Integer)), ("SAMPLES", None)];

/// Name (subcommands as literals behind it), words, and weight.
const COMMANDS: &[(&str, &[Word], u32)] = &[
    ("GET", &[Key], 10),
    ("SET", &[Key, Value], 12),
    ("SET", &[Key, Value, Options(SET_OPTIONS)], 12),
    ("SETNX", &[Key, Value], 3),
    ("SETEX", &[Key, Seconds, Value], 3),
    ("PSETEX", &[Key, Milliseconds, Value], 3),
    ("GETSET", &[Key, Value], 3),
    ("GETDEL", &[Key], 2),
    ("GETEX", &[Key, Options(GETEX_OPTIONS)], 6),
    ("MGET", &[Key, More(1)], 3),
    ("MSET", &[Key, Value, More(2)], 3),
    ("MSETNX", &[Key, Value, More(2)], 2),
    ("APPEND", &[Key, Value], 6),
    ("STRLEN", &[Key], 3),
    ("SETRANGE", &[Key, Offset, Value], 6),
    ("GETRANGE", &[Key, Offset, Offset], 5),
    ("SUBSTR", &[Key, Integer, Offset], 2),
    ("INCR", &[Key], 4),
    ("DECR", &[Key], 3),
    ("INCRBY", &[Key, Integer], 5),
    ("DECRBY", &[Key, Integer], 4),
    ("INCRBYFLOAT", &[Key, Float], 8),
    ("LCS", &[Key, Key, Options(LCS_OPTIONS)], 6),
    ("DEL", &[Key, More(1)], 2),
    ("UNLINK", &[Key], 2),
    ("EXISTS", &[Key, More(1)], 3),
    ("TYPE", &[Key], 2),
    ("TOUCH", &[Key, More(1)], 2),
    ("TTL", &[Key], 4),
    ("PTTL", &[Key], 4),
    ("EXPIRETIME", &[Key], 4),
    ("PEXPIRETIME", &[Key], 4),
    ("EXPIRE", &[Key, Seconds, Options(EXPIRE_OPTIONS)], 6),
    ("PEXPIRE", &[Key, Milliseconds, Options(EXPIRE_OPTIONS)], 6),
    ("EXPIREAT", &[Key, UnixSeconds, Options(EXPIRE_OPTIONS)], 6),
    (
        "PEXPIREAT",
        &[Key, UnixMilliseconds, Options(EXPIRE_OPTIONS)],
        6,
    ),
    ("PERSIST", &[Key], 3),
    ("RENAME", &[Key, Key], 4),
    ("RENAMENX", &[Key, Key], 4),
    ("COPY", &[Key, Key, Options(COPY_OPTIONS)], 5),
    ("MOVE", &[Key, Database], 3),
    (
        "RESTORE",
        &[Key, Literal("0"), Payload, Options(RESTORE_OPTIONS)],
        3,
    ),
    (
        "RESTORE",
        &[Key, Milliseconds, Payload, Options(RESTORE_OPTIONS)],
        3,
    ),
    (
        "RESTORE",
        &[Key, UnixMilliseconds, Payload, Options(RESTORE_OPTIONS)],
        3,
    ),
    ("OBJECT", &[Literal("ENCODING"), Key], 12),
    ("OBJECT", &[Literal("FREQ"), Key], 1),
    ("OBJECT", &[Literal("IDLETIME"), Key], 1),
    (
        "MEMORY",
        &[Literal("USAGE"), Key, Options(MEMORY_OPTIONS)],
        2,
    ),
    ("KEYS", &[Pattern], 2),
    ("DBSIZE", &[], 3),
    ("SWAPDB", &[Database, Database], 1),
    ("FLUSHDB", &[Options(&[("ASYNC", None), ("SYNC", None)])], 1),
    (
        "FLUSHALL",
        &[Options(&[("ASYNC", None), ("SYNC", None)])],
        1,
    ),
    ("DEBUG", &[Literal("DIGEST-VALUE"), Key, More(1)], 3),
];

/// Makes commands from a seed.
pub(crate) struct Generator {
    rng: SmallRng,
    db: usize,
}

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rng: SmallRng::seed_from_u64(seed),
            db: 0,
        }
    }

    /// The database that the last SELECT chose.
    pub(crate) fn db(&self) -> usize {
        self.db
    }

    /// The next command.
    pub(crate) fn next_call(&mut self) -> Call {
        if self.rng.random_ratio(1, 50) {
            self.db = self.rng.random_range(0..2);
            return vec![b"SELECT".to_vec(), self.db.to_string().into_bytes()];
        }
        let total: u32 = COMMANDS.iter().map(|command| command.2).sum();
        let mut at = self.rng.random_range(0..total);
        let command = COMMANDS.iter().find(|command| {
            let hit = at < command.2;
            at = at.wrapping_sub(command.2);
            hit
        });
        let (name, words, _) = command.unwrap_or(&COMMANDS[0]);
        let mut call = vec![self.spelled(name)];
        for &word in *words {
            self.push(&mut call, word, words);
        }
        // DEBUG is the server's, which is not there.
        if *name != "DEBUG" {
            self.spoil(&mut call);
        }
        call
    }

    /// Options for a whole SCAN.
    pub(crate) fn scan_options(&mut self) -> Vec<Vec<u8>> {
        let mut options = Vec::new();
        self.push_options(&mut options, SCAN_OPTIONS);
        options
    }

    pub(crate) fn key(&mut self) -> Vec<u8> {
        key(self.rng.random_range(0..KEYS))
    }

    fn push(&mut self, call: &mut Call, word: Word, words: &[Word]) {
        let made = match word {
            Options(options) => return self.push_options(call, options),
            More(group) => {
                for _ in 0..self.rng.random_range(0..4) {
                    for &word in &words[words.len() - 1 - group..words.len() - 1] {
                        self.push(call, word, words);
                    }
                }
                return;
            }
            Key => self.key(),
            Value => self.value(),
            Integer => self.integer().into_bytes(),
            Float => self.float().into_bytes(),
            Offset => self.offset().into_bytes(),
            Seconds => self.time(1).into_bytes(),
            Milliseconds => self.time(1000).into_bytes(),
            UnixSeconds => self.unix_time(1).into_bytes(),
            UnixMilliseconds => self.unix_time(1000).into_bytes(),
            Pattern => self.pattern().into(),
            Database => self.database().into(),
            Payload => PAYLOAD.to_vec(),
            Literal(text) => self.spelled(text),
        };
        call.push(made);
    }

    fn push_options(&mut self, call: &mut Call, options: &[Option_]) {
        let count = [0, 1, 1, 1, 2, 2, 3]
            .choose(&mut self.rng)
            .copied()
            .unwrap_or(0);
        for _ in 0..count {
            let Some(&(name, argument)) = options.choose(&mut self.rng) else {
                return;
            };
            call.push(self.spelled(name));
            if let Some(&word) = argument {
                self.push(call, word, &[]);
            }
        }
    }

    /// Now and then drops, adds or changes a word.
    fn spoil(&mut self, call: &mut Call) {
        if !self.rng.random_ratio(1, 40) {
            return;
        }
        let at = self.rng.random_range(1..=call.len());
        let word = match self.value() {
            // It might become a time to live.
            value if is_soon(&value) => b"soon".to_vec(),
            value => value,
        };
        match self.rng.random_range(0..3) {
            0 if at < call.len() => drop(call.remove(at)),
            1 if at < call.len() => call[at] = word,
            _ => call.insert(at, word),
        }
    }

    fn spelled(&mut self, word: &str) -> Vec<u8> {
        match self.rng.random_range(0..8) {
            0 => word.to_ascii_lowercase().into_bytes(),
            1 => word
                .bytes()
                .map(|byte| {
                    if self.rng.random() {
                        byte.to_ascii_lowercase()
                    } else {
                        byte
                    }
                })
                .collect(),
            _ => word.as_bytes().to_vec(),
        }
    }

    fn value(&mut self) -> Vec<u8> {
        match self.rng.random_range(0..12) {
            0..3 => self.integer().into_bytes(),
            3 | 4 => self.float().into_bytes(),
            5 => Vec::new(),
            6 => vec![b'x'; *[43, 44, 45, 63, 64].choose(&mut self.rng).unwrap_or(&44)],
            7 => self.bytes(2000),
            8 => self.bytes(60),
            // Two letters, so that LCS finds something.
            9 | 10 => (0..self.rng.random_range(0..40))
                .map(|_| if self.rng.random() { b'a' } else { b'b' })
                .collect(),
            _ => b"line\r\nbreak\0".to_vec(),
        }
    }

    fn bytes(&mut self, max: usize) -> Vec<u8> {
        let len = self.rng.random_range(0..=max);
        (0..len).map(|_| self.rng.random()).collect()
    }

    fn integer(&mut self) -> String {
        const EDGES: &[&str] = &[
            "0",
            "-0",
            "+1",
            " 1",
            "1 ",
            "01",
            "",
            "-",
            "9223372036854775807",
            "-9223372036854775808",
            "9223372036854775808",
            "-9223372036854775809",
            "18446744073709551615",
            "99999999999999999999",
            "123456789012345678901",
            "1e3",
            "0x10",
            "10000",
            "9999",
        ];
        match self.rng.random_range(0..6) {
            0 => (*EDGES.choose(&mut self.rng).unwrap_or(&"0")).into(),
            1 => self.rng.random::<i64>().to_string(),
            2 => (self.rng.random::<i64>() >> self.rng.random_range(0..63)).to_string(),
            _ => self.rng.random_range(-100..20_000).to_string(),
        }
    }

    fn float(&mut self) -> String {
        const EDGES: &[&str] = &[
            "inf",
            "-inf",
            "nan",
            "infinity",
            "1e400",
            "-1e400",
            "1e4932",
            "1.2e4932",
            "1e-4940",
            "1e-5000",
            "0x1.8p3",
            "0x",
            ".5",
            "5.",
            ".",
            "1e",
            "1e+",
            " 1",
            "1 ",
            "+3",
            "-0",
            "1e-18",
            "0.000000000000000005",
            "18446744073709551615",
            "18446744073709551616.5",
            "5e17",
            "",
        ];
        match self.rng.random_range(0..8) {
            0 => (*EDGES.choose(&mut self.rng).unwrap_or(&"0")).into(),
            1 => format!("{:e}", self.rng.random::<f64>()),
            2 => format!("{}", f64::from_bits(self.rng.random())),
            3 => format!("{:.3}", self.rng.random_range(-1000.0..1000.0)),
            4 => format!("{:.20}", self.rng.random_range(-10.0..10.0)),
            5 => format!("{}.{}", self.rng.random::<i64>(), self.rng.random::<u64>()),
            6 => format!(
                "{}e{}",
                self.rng.random::<i64>(),
                self.rng.random_range(-40..40)
            ),
            _ => self.rng.random_range(-50..50).to_string(),
        }
    }

    fn offset(&mut self) -> String {
        match self.rng.random_range(0..10) {
            0 => self.integer(),
            1 => self.rng.random_range(0..2_000_000).to_string(),
            2 => self.rng.random_range(0..3000).to_string(),
            3..6 => self.rng.random_range(-60..0).to_string(),
            _ => self.rng.random_range(0..60).to_string(),
        }
    }

    /// A duration of `scale` units a second: far ahead, past, or wrong. Such a random one that two
    /// equal ones, which the milliseconds between the two sides would tell apart, hardly meet.
    fn time(&mut self, scale: i64) -> String {
        match self.rng.random_range(0..12) {
            0 => match self.integer() {
                text if is_soon(text.as_bytes()) => {
                    self.rng.random_range(SOON..SOON * 1000).to_string()
                }
                text => text,
            },
            1 => self.rng.random_range(-100_000..=0).to_string(),
            2 => (i64::MAX / (1000 / scale) - self.rng.random_range(0..3)).to_string(),
            3 => (i64::MIN / (1000 / scale) + self.rng.random_range(0..3)).to_string(),
            _ => (self.rng.random_range(1000..100_000_000) * scale).to_string(),
        }
    }

    fn unix_time(&mut self, scale: i64) -> String {
        match self.rng.random_range(0..8) {
            0 => self.time(scale),
            1 => self.rng.random_range(0..1000).to_string(),
            _ => (self.rng.random_range(4_000_000_000i64..4_000_000_010) * scale).to_string(),
        }
    }

    fn pattern(&mut self) -> &'static str {
        let patterns = &[
            "*",
            "key:*",
            "key:1?",
            "key:[0-3]",
            "key:[^0-3]*",
            "*\\:1*",
            "k[a-z]y*2",
            "",
            "key:2",
            "?*?",
            "[",
            "key:[1",
        ];
        patterns.choose(&mut self.rng).copied().unwrap_or("*")
    }

    fn database(&mut self) -> &'static str {
        let databases = &[
            "0",
            "1",
            "0",
            "1",
            "0",
            "1",
            "16",
            "-1",
            "x",
            "99999999999",
            "",
        ];
        databases.choose(&mut self.rng).copied().unwrap_or("0")
    }
}

fn is_soon(text: &[u8]) -> bool {
    let number = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse::<i64>().ok());
    number.is_some_and(|number| (1..SOON).contains(&number))
}

fn key(number: usize) -> Vec<u8> {
    format!("key:{number}").into_bytes()
}
