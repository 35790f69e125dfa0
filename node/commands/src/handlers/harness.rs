//! Runs textual command lines in tests.

use std::cell::RefCell;

use hexad_resp::{ArgRange, Proto, Reply};
use hexad_slots::Slot;
use hexad_store::{HashSeed, Partition};
use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::{Args, Ctx, Effects, Env, Expiry, Handler, Keyspace, KeyspaceCtx, Propagated, lookup};

/// A server's data without the server: one partition, or a slot each.
pub(super) struct Harness {
    pub(super) data: Data,
    pub(super) env: Env,
    pub(super) effects: Effects,
    pub(super) db: usize,
    /// Starts at a million seconds; tests move it.
    pub(super) now_ms: i64,
    proto: Proto,
    rng: SmallRng,
}

pub(super) struct Data(Vec<RefCell<Partition>>);

impl Keyspace for Data {
    fn partitions(&self) -> usize {
        self.0.len()
    }

    fn visit(&self, index: usize, visit: &mut dyn FnMut(&mut Partition)) {
        visit(&mut self.0[index].borrow_mut());
    }
}

impl Harness {
    /// One partition with 16 databases.
    pub(super) fn stand_alone() -> Self {
        Self::new(1, 16)
    }

    /// A partition for each slot.
    pub(super) fn cluster() -> Self {
        Self::new(hexad_slots::SLOT_COUNT, 1)
    }

    fn new(partitions: usize, databases: u16) -> Self {
        let seed = HashSeed::new(1, 2);
        let partition = || RefCell::new(Partition::new(databases, seed.clone()));
        Self {
            data: Data((0..partitions).map(|_| partition()).collect()),
            env: Env {
                seed: seed.clone(),
                max_string_bytes: 1000,
                expiry: Expiry::Deletes,
                replicates: true,
                lazy_expire: false,
                lazy_user_del: false,
                lfu: false,
                lfu_log_factor: 10,
                compress_dumps: true,
                lfu_decay_minutes: 1,
                lazy_user_flush: false,
                cluster: partitions > 1,
            },
            effects: Effects::default(),
            db: 0,
            now_ms: 1_000_000_000,
            proto: Proto::Resp2,
            rng: SmallRng::seed_from_u64(3),
        }
    }

    /// Speaks RESP3 from now on.
    pub(super) fn resp3(mut self) -> Self {
        self.proto = Proto::Resp3;
        self
    }

    /// Runs a command of words between single spaces (so two spaces make an empty word) and
    /// returns the reply; its line ends are shown as spaces.
    pub(super) fn run(&mut self, line: &str) -> String {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        self.run_words(&words)
    }

    /// Runs a command of any bytes.
    pub(super) fn run_words(&mut self, words: &[&[u8]]) -> String {
        let mut end = 0;
        let ranges = words.iter().map(|word| {
            end += word.len();
            ArgRange::new(end - word.len(), end)
        });
        let ranges: Vec<_> = ranges.collect();
        let line = words.concat();
        let args = Args::new(&line, &ranges);
        let mut reply = Reply::new();
        reply.set_proto(self.proto);
        self.execute(&args, &mut reply);
        String::from_utf8_lossy(reply.as_slice())
            .trim_end()
            .replace("\r\n", " ")
    }

    /// Runs `command => reply` lines.
    pub(super) fn transcript(&mut self, text: &str) {
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (command, expected) = line.split_once(" => ").expect("command => reply");
            assert_eq!(self.run(command), expected, "{command}");
        }
    }

    /// Runs `command => stream` lines: what each adds to the replication stream, commands between
    /// semicolons, databases other than 0 before them, and `=` for the command as it is.
    pub(super) fn stream_transcript(&mut self, text: &str) {
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (command, expected) = line.split_once(" =>").expect("command => stream");
            self.effects.begin_command();
            self.run(command);
            let shown: Vec<String> = self.effects.propagated().map(show_propagated).collect();
            assert_eq!(shown.join("; "), expected.trim_start(), "{command}");
        }
    }

    /// The partition of a key.
    pub(super) fn partition(&mut self, key: &[u8]) -> &mut Partition {
        let index = if self.env.cluster {
            Slot::of_key(key).index()
        } else {
            0
        };
        self.data.0[index].get_mut()
    }

    fn execute(&mut self, args: &Args<'_>, reply: &mut Reply) {
        let command = lookup(&args[0]).expect("a command of the table");
        let command = match command.resolve(args) {
            Ok(command) => command,
            Err(text) => return reply.error_bytes(&text),
        };
        match command.handler {
            Handler::Data(handler) => self.with_ctx(args, reply, handler),
            Handler::Keyspace(handler) => handler(&mut self.keyspace_ctx(reply), args),
            Handler::Pure(handler) => handler(reply, args),
            Handler::Server(_) | Handler::Container => panic!("not a data command: {args:?}"),
        }
    }

    /// Runs a handler as `execute` does, for those that are in no table.
    pub(super) fn with_ctx(
        &mut self,
        args: &Args<'_>,
        reply: &mut Reply,
        handler: crate::DataHandler,
    ) {
        let command = lookup(&args[0]);
        let at = command.map_or(0, |command| usize::from(command.fast_key));
        let key = args.get(at.max(1)).unwrap_or_default();
        let index = if self.env.cluster {
            Slot::of_key(key).index()
        } else {
            0
        };
        let mut ctx = Ctx {
            partition: self.data.0[index].get_mut(),
            db: self.db,
            reply,
            now_ms: self.now_ms,
            env: &self.env,
            effects: &mut self.effects,
            rng: &mut self.rng,
            first_key: (at > 0).then(|| self.env.seed.hash(key)),
        };
        handler(&mut ctx, args);
    }

    pub(super) fn keyspace_ctx<'a>(&'a mut self, reply: &'a mut Reply) -> KeyspaceCtx<'a> {
        KeyspaceCtx {
            keyspace: &self.data,
            db: self.db,
            reply,
            now_ms: self.now_ms,
            env: &self.env,
            effects: &mut self.effects,
            rng: &mut self.rng,
        }
    }
}

fn show_propagated(propagated: Propagated<'_>) -> String {
    let Propagated::Command { db, resp } = propagated else {
        return "=".to_owned();
    };
    let text = String::from_utf8_lossy(resp);
    let words: Vec<&str> = text.trim_end().split("\r\n").skip(2).step_by(2).collect();
    match db {
        0 => words.join(" "),
        _ => format!("{db}: {}", words.join(" ")),
    }
}
