//! Runs random commands against the handlers in this process and against a real `redis-server`
//! 7.0.15, and compares the replies byte for byte.
//!
//! ```text
//! cargo run --release -p hexad-commands --example differential -- [SEED [COMMANDS [PROGRAM]]]
//! ```
//!
//! The first difference is printed with the commands before it, and ends the run with an error. A
//! reply that depends on the table's order, the clock or chance is compared by what must hold for
//! it; the state of both sides is compared by DEBUG DIGEST after each batch, and so is what both
//! send to replicas.

#![allow(
    clippy::disallowed_methods,
    reason = "an example that talks to a real server"
)]
#![allow(clippy::print_stdout, reason = "a program with a report")]

mod compare;
mod generate;
mod local;
mod reference;
mod stream;

use std::error::Error;
use std::time::{SystemTime, UNIX_EPOCH};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use compare::{Check, Reader, same};
use generate::Generator;
use local::Local;
use reference::Reference;
use stream::Replica;

/// Commands that are sent together.
const BATCH: usize = 200;
/// Earlier commands that are searched for the keys of the one that differs.
const HISTORY: usize = 1000;
/// How many of them are shown.
const SHOWN: usize = 12;

type Failure = Box<dyn Error>;

/// A command: its arguments, name first.
type Call = Vec<Vec<u8>>;

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let seed: u64 = args.next().map_or(Ok(1), |text| text.parse())?;
    let commands: usize = args.next().map_or(Ok(500_000), |text| text.parse())?;
    let program = args.next().unwrap_or_else(|| "redis-server".into());

    let mut session = Session::start(seed, &program)?;
    while session.done < commands {
        session.batch()?;
    }
    println!("{} commands, seed {seed}: no difference", session.done);
    Ok(())
}

struct Session {
    rng: SmallRng,
    generator: Generator,
    local: Local,
    reference: Reference,
    replica: Replica,
    history: Vec<Call>,
    done: usize,
}

impl Session {
    fn start(seed: u64, program: &str) -> Result<Self, Failure> {
        let mut rng = SmallRng::seed_from_u64(seed);
        let port = rng.random_range(20_000..30_000);
        let mut reference = Reference::start(program, port)?;
        let mut session = Self {
            generator: Generator::new(rng.random()),
            local: Local::new(rng.random(), rng.random()),
            replica: attach_replica(&mut reference, port)?,
            reference,
            rng,
            history: Vec::new(),
            done: 0,
        };
        session
            .reference
            .call(&call(["DEBUG", "SET-ACTIVE-EXPIRE", "0"]))?;
        let limit = session.local.max_string_bytes().to_string();
        session
            .reference
            .call(&call(["CONFIG", "SET", "proto-max-bulk-len", &limit]))?;
        let lazy = if session.local.lazy() { "yes" } else { "no" };
        for what in ["expire", "server-del", "user-del"] {
            let name = format!("lazyfree-lazy-{what}");
            session
                .reference
                .call(&call(["CONFIG", "SET", &name, lazy]))?;
        }
        Ok(session)
    }

    /// Runs a batch of commands, then what needs a dialogue, then compares the state.
    fn batch(&mut self) -> Result<(), Failure> {
        if self.rng.random_ratio(1, 20) {
            self.switch_protocol()?;
        }
        let calls: Vec<Call> = (0..BATCH).map(|_| self.generator.next_call()).collect();
        self.reference.send(&calls)?;
        for call in calls {
            self.local.set_now(unix_time_ms()?);
            let expected = self.reference.receive()?;
            self.compare(call, &expected)?;
        }
        let options = self.generator.scan_options();
        self.scan_everything(&options)?;
        self.random_key()?;
        self.short_expiry()?;
        for db in [0, 1] {
            self.both(call(["SELECT", &db.to_string()]))?;
            self.both(call(["DBSIZE"]))?;
        }
        self.both(call(["SELECT", &self.generator.db().to_string()]))?;
        self.both(call(["DEBUG", "DIGEST"]))?;
        self.statistics()?;
        self.streams()
    }

    /// What goes to the replicas must be the same.
    fn streams(&mut self) -> Result<(), Failure> {
        let mark = self.done.to_string();
        self.reference.call(&call(["PUBLISH", "mark", &mark]))?;
        self.replica.acknowledge()?;
        let expected = self.replica.read_until(&mark)?;
        stream::compare(expected, self.local.take_stream())
    }

    /// The counters of both sides must be the same too.
    fn statistics(&mut self) -> Result<(), Failure> {
        let mut info = self.reference.call(&call(["INFO", "stats"]))?;
        info.extend(self.reference.call(&call(["INFO", "persistence"]))?);
        let info = String::from_utf8(info)?;
        for (name, actual) in self.local.statistics() {
            let prefix = format!("{name}:");
            let line = info.lines().find_map(|line| line.strip_prefix(&prefix));
            let expected: u64 = line.ok_or("a field is missing in INFO")?.parse()?;
            // A SET that overwrites an expired key does not look at it here, so it does not count.
            if expected != actual && (name != "expired_keys" || expected < actual) {
                return Err(format!("{name} is {expected} there and {actual} here").into());
            }
        }
        Ok(())
    }

    fn both(&mut self, call: Call) -> Result<(), Failure> {
        let expected = self.reference.call(&call)?;
        self.local.set_now(unix_time_ms()?);
        self.compare(call, &expected)
    }

    fn compare(&mut self, call: Call, expected: &[u8]) -> Result<(), Failure> {
        let actual = self.local.run(&call);
        self.done += 1;
        let equal = same(Check::of(&call), expected, &actual);
        if self.history.len() == HISTORY {
            self.history.remove(0);
        }
        self.history.push(call);
        if equal {
            return Ok(());
        }
        self.show_history();
        println!(
            "expected {}\nactual   {}",
            expected.escape_ascii(),
            actual.escape_ascii()
        );
        Err(format!("difference after {} commands", self.done).into())
    }

    /// Prints the last commands that have a word in common with the last one.
    fn show_history(&self) {
        let Some(last) = self.history.last() else {
            return;
        };
        let related = |call: &&Call| {
            last[1..].is_empty() || last[1..].iter().any(|word| call[1..].contains(word))
        };
        let related: Vec<_> = self.history.iter().filter(related).collect();
        for call in &related[related.len().saturating_sub(SHOWN)..] {
            println!("  {}", show(call));
        }
    }

    fn switch_protocol(&mut self) -> Result<(), Failure> {
        let version = self.rng.random_range(2..=3);
        self.reference
            .call(&call(["HELLO", &version.to_string()]))?;
        self.local.set_protocol(version);
        Ok(())
    }

    /// Scans both sides to the end with the same options; the keys returned must be the same set.
    fn scan_everything(&mut self, options: &[Vec<u8>]) -> Result<(), Failure> {
        let (mut expected, mut cursor) = (Vec::new(), b"0".to_vec());
        loop {
            let reply = self.reference.call(&scan_call(&cursor, options))?;
            cursor = Reader::new(&reply).scan_page(&mut expected);
            if cursor == b"0" {
                break;
            }
        }
        self.local.set_now(unix_time_ms()?);
        let (mut actual, mut cursor) = (Vec::new(), b"0".to_vec());
        loop {
            let reply = self.local.run(&scan_call(&cursor, options));
            cursor = Reader::new(&reply).scan_page(&mut actual);
            if cursor == b"0" {
                break;
            }
        }
        for keys in [&mut expected, &mut actual] {
            keys.sort();
            keys.dedup();
        }
        self.done += 1;
        if expected == actual {
            return Ok(());
        }
        Err(format!(
            "SCAN {}: {} and {}",
            show(options),
            show(&expected),
            show(&actual)
        )
        .into())
    }

    /// A random key must be one that is there. A scan deletes expired keys first: the two sides
    /// would come upon different ones.
    fn random_key(&mut self) -> Result<(), Failure> {
        self.scan_everything(&[])?;
        let expected = self.reference.call(&call(["RANDOMKEY"]))?;
        let actual = self.local.run(&call(["RANDOMKEY"]));
        let Some(key) = Reader::new(&actual).bulk() else {
            let both = Reader::new(&expected).bulk().is_none();
            return if both {
                Ok(())
            } else {
                Err("RANDOMKEY found nothing".into())
            };
        };
        let exists = vec![b"EXISTS".to_vec(), key.to_vec()];
        let found = self.reference.call(&exists)?;
        self.compare(exists, &found)?;
        if found == b":1\r\n" {
            Ok(())
        } else {
            Err("RANDOMKEY made a key up".into())
        }
    }

    /// Lets a key expire by time.
    fn short_expiry(&mut self) -> Result<(), Failure> {
        if !self.rng.random_ratio(1, 10) {
            return Ok(());
        }
        let key = self.generator.key();
        self.both(vec![
            b"SET".to_vec(),
            key.clone(),
            b"v".to_vec(),
            b"PX".to_vec(),
            b"3".to_vec(),
        ])?;
        std::thread::sleep(std::time::Duration::from_millis(10));
        self.both(call(["DBSIZE"]))?;
        self.both(vec![b"GET".to_vec(), key])?;
        self.both(call(["DBSIZE"]))
    }
}

/// Attaches a replica and waits for its stream to start.
fn attach_replica(reference: &mut Reference, port: u16) -> Result<Replica, Failure> {
    let mut replica = Replica::attach(port)?;
    loop {
        let info = reference.call(&call(["INFO", "replication"]))?;
        if String::from_utf8(info)?.contains("state=online") {
            replica.acknowledge()?;
            return Ok(replica);
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn unix_time_ms() -> Result<i64, Failure> {
    Ok(i64::try_from(
        SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis(),
    )?)
}

fn call<'a>(words: impl IntoIterator<Item = &'a str>) -> Call {
    words
        .into_iter()
        .map(|word| word.as_bytes().to_vec())
        .collect()
}

fn scan_call(cursor: &[u8], options: &[Vec<u8>]) -> Call {
    let mut call = vec![b"SCAN".to_vec(), cursor.to_vec()];
    call.extend_from_slice(options);
    call
}

fn show(call: &[Vec<u8>]) -> String {
    let quoted = call.iter().map(|word| {
        let shown = &word[..word.len().min(100)];
        format!("\"{}\"", shown.escape_ascii())
    });
    quoted.collect::<Vec<_>>().join(" ")
}
