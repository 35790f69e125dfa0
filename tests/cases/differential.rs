//! hexad and stock Redis side by side: the same commands, and the replies must be the same bytes.

use std::collections::BTreeSet;
use std::time::Duration;

use hexad_tests::{Conn, Kind, Server, Value, wait_until};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// How many commands the random sequences have in all; `HEXAD_RANDOM_COMMANDS` overrides it.
const COMMANDS: usize = 200_000;

/// After so many commands both start with nothing again.
const SEQUENCE: usize = 400;

/// A connection to each of the two.
struct Pair {
    hexad: Conn,
    stock: Conn,
    _servers: [Server; 2],
}

impl Pair {
    fn start(args: &[&str]) -> Self {
        let servers = [Kind::Hexad, Kind::Stock].map(|kind| {
            Server::builder(kind)
                .args(args)
                .args(&["--enable-debug-command", "yes"])
                .start()
        });
        Self {
            hexad: servers[0].conn(),
            stock: servers[1].conn(),
            _servers: servers,
        }
    }

    /// Sends one command to both; gives hexad's reply and stock's.
    fn replies<A: AsRef<[u8]>>(&mut self, args: &[A]) -> [Vec<u8>; 2] {
        [&mut self.hexad, &mut self.stock].map(|conn| {
            conn.send(args).expect("the server takes the command");
            conn.read_bytes()
                .unwrap_or_else(|e| format!("(no reply: {e})").into_bytes())
        })
    }
}

/// The difference of two replies from the first byte that differs, with some bytes before it.
fn difference(hexad: &[u8], stock: &[u8]) -> String {
    let same = hexad.iter().zip(stock).take_while(|(a, b)| a == b).count();
    let start = same.saturating_sub(60);
    let part = |reply: &[u8]| {
        reply[start..reply.len().min(same + 200)]
            .escape_ascii()
            .to_string()
    };
    format!("hexad ..{}\n  stock ..{}", part(hexad), part(stock))
}

/// What hexad has at least, beside the sub-commands of these containers.
const REQUIRED: &str = "\
    append decr decrby get getdel getex getrange getset incr incrby incrbyfloat lcs mget mset msetnx \
    psetex set setex setnx setrange strlen substr copy del exists expire expireat expiretime keys \
    move object persist pexpire pexpireat pexpiretime pttl randomkey rename renamenx scan touch ttl \
    type unlink auth client echo hello ping quit reset select discard exec multi unwatch watch \
    command config dbsize debug flushall flushdb info lastsave memory shutdown slowlog swapdb time \
    asking cluster readonly readwrite";

#[test]
fn required_commands_are_there() {
    let mut pair = Pair::start(&[]);
    let common = common_commands(&mut pair);
    let lacks = |name: &&str| !common.iter().any(|common| common == name);
    let missing: Vec<_> = REQUIRED.split_whitespace().filter(lacks).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let missing: Vec<_> = subcommands(&mut pair.stock, "cluster")
        .into_iter()
        .filter(|name| !common.contains(name))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Commands of stock that hexad has too, in lower case, sub-commands as `container|name`.
fn common_commands(pair: &mut Pair) -> Vec<String> {
    let names = |conn: &mut Conn| -> BTreeSet<String> {
        conn.cmd("COMMAND LIST")
            .array()
            .iter()
            .map(|name| name.text())
            .collect()
    };
    let (hexad, stock) = (names(&mut pair.hexad), names(&mut pair.stock));
    let unknown: Vec<_> = hexad.difference(&stock).collect();
    assert!(
        unknown.is_empty(),
        "Redis has no such commands: {unknown:?}"
    );
    hexad.intersection(&stock).cloned().collect()
}

/// A command's description, sub-commands apart: theirs may be fewer in hexad.
fn described(reply: &Value) -> String {
    match reply.array() {
        [Value::Array(fields)] => {
            let (own, subcommands) = fields.split_at(fields.len().min(9));
            let _ = subcommands;
            own.iter()
                .map(|field| format!("{}\n", unordered(field)))
                .collect()
        }
        other => format!("{other:?}"),
    }
}

/// A value as text, with the elements of arrays of simple strings (flags) sorted, and without the
/// notes of key specifications, which are sentences.
fn unordered(value: &Value) -> String {
    let Value::Array(items) = value else {
        return value.text();
    };
    let notes = items.first().is_some_and(|item| item.text() == "notes");
    let mut texts: Vec<_> = items[if notes { 2 } else { 0 }..]
        .iter()
        .map(unordered)
        .collect();
    if items.iter().all(|item| matches!(item, Value::Simple(_))) {
        texts.sort();
    }
    format!("[{}]", texts.join(", "))
}

#[test]
fn the_command_table_is_the_reference_s() {
    let mut pair = Pair::start(&[]);
    let mut wrong = Vec::new();
    let names = common_commands(&mut pair);
    for name in &names {
        let ask = |conn: &mut Conn| described(&conn.call(&["COMMAND", "INFO", name]));
        let (hexad, stock) = (ask(&mut pair.hexad), ask(&mut pair.stock));
        if hexad != stock {
            wrong.push(format!("{name}:\n  hexad {hexad}\n  stock {stock}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// The names of a container's sub-commands, as `container|name`.
fn subcommands(conn: &mut Conn, container: &str) -> Vec<String> {
    let reply = conn.call(&["COMMAND", "INFO", container]);
    match reply.array() {
        [Value::Array(fields)] => fields[9]
            .array()
            .iter()
            .map(|sub| sub.array()[0].text())
            .collect(),
        _ => Vec::new(),
    }
}

/// COMMAND DOCS but for its sentences, which are hexad's own.
#[test]
fn documentation_has_the_reference_s_facts() {
    let mut pair = Pair::start(&[]);
    let mut wrong = Vec::new();
    for name in common_commands(&mut pair) {
        // Containers may have fewer sub-commands so far.
        if !subcommands(&mut pair.hexad, &name).is_empty() {
            continue;
        }
        let ask = |conn: &mut Conn| facts(&conn.call(&["COMMAND", "DOCS", &name]), "");
        let (hexad, stock) = (ask(&mut pair.hexad), ask(&mut pair.stock));
        if hexad != stock {
            let shown = difference(hexad.as_bytes(), stock.as_bytes());
            wrong.push(format!("{name}: {shown}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// A value of COMMAND DOCS that stands under `key`, as text without the sentences in it.
fn facts(value: &Value, key: &str) -> String {
    match value {
        Value::Array(items) if key == "history" => {
            let versions = items.iter().map(|item| item.array()[0].text());
            versions.collect::<Vec<_>>().join(" ")
        }
        Value::Array(items) if matches!(items.first(), Some(Value::Bulk(_))) => {
            let pairs = items.chunks(2).map(|pair| {
                let key = pair[0].text();
                let value = pair
                    .get(1)
                    .map(|value| facts(value, &key))
                    .unwrap_or_default();
                format!("{key}: {value}; ")
            });
            pairs.collect()
        }
        Value::Array(items) => items
            .iter()
            .map(|item| format!("[{}]", facts(item, "")))
            .collect(),
        _ if ["summary", "complexity", "replaced_by"].contains(&key) => String::new(),
        value => value.text(),
    }
}

/// HELP names what the reference's HELP names, as far as hexad has it; the words are hexad's own.
#[test]
fn help_names_no_other_subcommands() {
    let mut pair = Pair::start(&["--cluster-enabled", "yes"]);
    let mut wrong = Vec::new();
    for container in [
        "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "OBJECT", "SLOWLOG",
    ] {
        let syntax = |conn: &mut Conn| -> Vec<String> {
            let reply = conn.call(&[container, "HELP"]);
            let lines = reply.array().iter().map(Value::text);
            let syntax = lines.filter(|line| !line.starts_with(' '));
            syntax
                .map(|line| line.split(' ').next().unwrap_or_default().to_owned())
                .collect()
        };
        let (hexad, stock) = (syntax(&mut pair.hexad), syntax(&mut pair.stock));
        wrong.extend(hexad.into_iter().filter(|line| !stock.contains(line)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Fields of INFO are there, by name and in the same order within their sections.
#[test]
fn info_has_the_reference_s_fields() {
    let mut pair = Pair::start(&[]);
    let fields = |conn: &mut Conn| -> Vec<String> {
        let text = conn.cmd("INFO").text();
        let name = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
        text.lines()
            .filter(|line| !line.is_empty())
            .map(name)
            .collect()
    };
    let (hexad, stock) = (fields(&mut pair.hexad), fields(&mut pair.stock));
    // hexad tells its compiler's version under another name.
    let missing: Vec<_> = stock
        .iter()
        .filter(|field| !hexad.contains(field) && *field != "gcc_version")
        .collect();
    assert!(missing.is_empty(), "INFO lacks {missing:?}");
}

/// Every directive that CONFIG GET knows, with its default.
#[test]
fn configuration_defaults_are_the_reference_s() {
    let mut pair = Pair::start(&[]);
    let all = |conn: &mut Conn| -> Vec<(String, String)> {
        let reply = conn.cmd("CONFIG GET *");
        let mut all: Vec<_> = reply
            .array()
            .chunks_exact(2)
            .map(|p| (p[0].text(), p[1].text()))
            .collect();
        all.sort();
        all
    };
    let (hexad, stock) = (all(&mut pair.hexad), all(&mut pair.stock));
    // These differ by design (io-threads) or between any two servers.
    let own = [
        "port",
        "dir",
        "io-threads",
        "disable-thp",
        "jemalloc-bg-thread",
    ];
    let wrong: Vec<_> = stock
        .iter()
        .filter(|(name, _)| !own.contains(&name.as_str()))
        .filter_map(|(name, value)| {
            let found = hexad
                .iter()
                .find(|(other, _)| other == name)
                .map(|(_, value)| value);
            (found != Some(value)).then(|| format!("{name}: {found:?}, stock {value:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Random commands on few keys: every reply the same, byte for byte.
#[test]
fn random_commands_get_the_same_replies() {
    compare_random_commands(Pair::start(&[]));
}

/// The same on a cluster of one node, where hexad has a table for each slot.
#[test]
fn random_commands_in_cluster_mode_get_the_same_replies() {
    let mut pair = Pair::start(&["--cluster-enabled", "yes"]);
    let _ = pair.replies(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    wait_until("both serve", Duration::from_secs(15), || {
        let replies = pair.replies(&["SET", "key", "value"]);
        if replies.iter().all(|reply| reply == b"+OK\r\n") {
            Ok(())
        } else {
            Err(String::new())
        }
    });
    compare_random_commands(pair);
}

fn compare_random_commands(mut pair: Pair) {
    let count = std::env::var("HEXAD_RANDOM_COMMANDS")
        .ok()
        .and_then(|n| n.parse().ok());
    for seed in 0..(count.unwrap_or(COMMANDS) / SEQUENCE) as u64 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let _ = pair.replies(&["RESET"]);
        let _ = pair.replies(&["FLUSHALL"]);
        if rng.random() {
            let _ = pair.replies(&["HELLO", "3"]);
        }
        let mut history = Vec::new();
        for _ in 0..SEQUENCE {
            let command = random_command(&mut rng);
            history.push(command.join(" "));
            let [hexad, stock] = pair.replies(&command);
            let recent = || history[history.len().saturating_sub(30)..].join("\n  ");
            assert!(
                same(&command, &hexad, &stock),
                "seed {seed}, last of\n  {}\n  {}",
                recent(),
                difference(&hexad, &stock)
            );
        }
    }
}

/// Equal line by line, but that a moment in Unix time may differ by what passed between the two
/// servers' turns, and that KEYS has no order.
fn same(command: &[String], hexad: &[u8], stock: &[u8]) -> bool {
    let lines = |reply: &[u8]| {
        let text = reply.escape_ascii().to_string();
        let mut lines: Vec<_> = text.split("\\r\\n").map(str::to_owned).collect();
        if ["KEYS", "EXEC"].contains(&command[0].as_str()) {
            lines.sort();
        }
        lines
    };
    let (hexad, stock) = (lines(hexad), lines(stock));
    hexad.len() == stock.len()
        && hexad
            .iter()
            .zip(&stock)
            .all(|(a, b)| a == b || close_moments(a, b))
}

fn close_moments(a: &str, b: &str) -> bool {
    let moment = |line: &str| {
        let value: Option<i64> = line
            .strip_prefix(':')
            .and_then(|number| number.parse().ok());
        value.filter(|&value| value > 1_000_000_000)
    };
    moment(a)
        .zip(moment(b))
        .is_some_and(|(a, b)| a.abs_diff(b) < 5_000)
}

fn random_command(rng: &mut SmallRng) -> Vec<String> {
    let template = *TEMPLATES.choose(rng).expect("there are templates");
    let mut words: Vec<String> = Vec::new();
    for word in template.split(' ') {
        match word {
            "key" => words.push((*KEYS.choose(rng).expect("there are keys")).to_owned()),
            "value" => words.push(random_value(rng)),
            "int" => words.push(random_int(rng)),
            "float" => words.push((*FLOATS.choose(rng).expect("not empty")).to_owned()),
            "offset" => words.push(rng.random_range(-12..30).to_string()),
            "seconds" => words.push(random_seconds(rng)),
            "at" => words.push((*ABSOLUTE.choose(rng).expect("not empty")).to_owned()),
            "condition" => words.extend(option(rng, &["NX", "XX", "GT", "LT"])),
            "exists" => words.extend(option(rng, &["NX", "XX", "GET"])),
            "keep" => words.extend(option(rng, &["KEEPTTL", "EX 77777", "PERSIST"])),
            "get" => words.extend(option(rng, &["GET"])),
            "db" => words.push(rng.random_range(0..3).to_string()),
            _ => words.push(word.to_owned()),
        }
    }
    words
}

fn option(rng: &mut SmallRng, options: &[&str]) -> Vec<String> {
    if rng.random() {
        return Vec::new();
    }
    let chosen = options.choose(rng).expect("not empty");
    chosen.split(' ').map(str::to_owned).collect()
}

fn random_value(rng: &mut SmallRng) -> String {
    match rng.random_range(0..6) {
        0 | 1 => random_int(rng),
        2 => (*FLOATS.choose(rng).expect("not empty")).to_owned(),
        3 => "x".repeat(rng.random_range(0..100)),
        4 => "long".repeat(rng.random_range(0..600)),
        _ => format!("v{}", rng.random_range(0..100)),
    }
}

/// Far off, and so rarely the same twice that no two moments lie within the servers' difference.
fn random_seconds(rng: &mut SmallRng) -> String {
    const EDGES: &[&str] = &["0", "-1", "abc", "9223372036854775807", "1.5"];
    if rng.random_range(0..4) == 0 {
        (*EDGES.choose(rng).expect("not empty")).to_owned()
    } else {
        rng.random_range(10_000..1_000_000_000).to_string()
    }
}

fn random_int(rng: &mut SmallRng) -> String {
    const EDGES: &[&str] = &[
        "0",
        "-1",
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775808",
        "+5",
    ];
    if rng.random_range(0..4) == 0 {
        (*EDGES.choose(rng).expect("not empty")).to_owned()
    } else {
        rng.random_range(-1000..1000).to_string()
    }
}

/// Four of them in one slot.
const KEYS: &[&str] = &["k0", "{k0}a", "{k0}b", "{k0}c", "k1", "k2"];
const FLOATS: &[&str] = &[
    "1.5", "-0.25", "3", "10.125", "abc", "1e3", "0", "-2.5e-1", " 1",
];
const ABSOLUTE: &[&str] = &["99999999999", "1", "0", "-5", "99999999998", "x"];

/// Commands whose replies are the same on any two servers at any time. (DBSIZE is not: it counts
/// keys that have expired and are not collected yet.)
const TEMPLATES: &[&str] = &[
    "SET key value",
    "SET key value exists",
    "SET key value exists exists",
    "SET key value keep exists",
    "SET key value EXAT at",
    "SET key value EX seconds",
    "SETNX key value",
    "SETEX key seconds value",
    "PSETEX key seconds value",
    "GETSET key value",
    "GET key",
    "GETDEL key",
    "GETEX key",
    "GETEX key keep",
    "GETEX key EXAT at",
    "MSET key value key value",
    "MSETNX key value key value",
    "MGET key key key",
    "APPEND key value",
    "STRLEN key",
    "SETRANGE key offset value",
    "GETRANGE key offset offset",
    "SUBSTR key offset offset",
    "INCR key",
    "DECR key",
    "INCRBY key int",
    "DECRBY key int",
    "INCRBYFLOAT key float",
    "LCS key key LEN",
    "DEL key",
    "DEL key key",
    "UNLINK key",
    "EXISTS key key",
    "TYPE key",
    "TOUCH key key",
    "RENAME key key",
    "RENAMENX key key",
    "COPY key key",
    "COPY key key REPLACE",
    "COPY key key DB db",
    "MOVE key db",
    "SELECT db",
    "SWAPDB db db",
    "KEYS *",
    "KEYS *[0-2]*",
    "EXPIRE key seconds condition",
    "EXPIRE key seconds condition condition",
    "EXPIREAT key at condition",
    "PEXPIREAT key at",
    "PERSIST key",
    "EXPIRETIME key",
    "PEXPIRETIME key",
    "OBJECT ENCODING key",
    "MULTI",
    "EXEC",
    "DISCARD",
    "WATCH key",
    "UNWATCH",
    "PING",
    "ECHO value",
];
