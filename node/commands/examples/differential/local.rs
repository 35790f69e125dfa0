//! The handlers in this process.

use hexad_commands::handlers::debug::{debug_digest, debug_digest_value};
use hexad_commands::{
    Args, Ctx, Effects, Env, Expiry, Handler, Keyspace, KeyspaceCtx, Propagated, lookup,
};
use hexad_resp::{ArgRange, Proto, Reply};
use hexad_store::{HashSeed, Partition};
use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::stream::{self, Effect};

/// A stand-alone server's data without the server.
pub(crate) struct Local {
    data: Data,
    env: Env,
    effects: Effects,
    rng: SmallRng,
    proto: Proto,
    db: usize,
    now_ms: i64,
    /// What went to replicas, by command.
    stream: Vec<Vec<Effect>>,
}

struct Data(Mutex<Partition>);

impl Keyspace for Data {
    fn partitions(&self) -> usize {
        1
    }

    fn visit(&self, _index: usize, visit: &mut dyn FnMut(&mut Partition)) {
        visit(&mut self.0.lock());
    }
}

impl Local {
    /// `lazy`: the `lazyfree-lazy` settings that replicas notice are on.
    pub(crate) fn new(seed: u64, lazy: bool) -> Self {
        let hash = HashSeed::new(seed, !seed);
        let env = Env {
            seed: hash.clone(),
            max_string_bytes: 1 << 20,
            expiry: Expiry::Deletes,
            replicates: true,
            lazy_expire: lazy,
            lazy_user_del: lazy,
            lfu: false,
            lfu_log_factor: 10,
            compress_dumps: true,
            lfu_decay_minutes: 1,
            lazy_user_flush: false,
            cluster: false,
        };
        Self {
            data: Data(Mutex::new(Partition::new(16, hash))),
            env,
            effects: Effects::default(),
            rng: SmallRng::seed_from_u64(seed),
            proto: Proto::Resp2,
            db: 0,
            now_ms: 0,
            stream: Vec::new(),
        }
    }

    pub(crate) fn lazy(&self) -> bool {
        self.env.lazy_expire
    }

    /// What went to replicas since the last call.
    pub(crate) fn take_stream(&mut self) -> Vec<Vec<Effect>> {
        std::mem::take(&mut self.stream)
    }

    pub(crate) fn max_string_bytes(&self) -> u64 {
        self.env.max_string_bytes
    }

    pub(crate) fn set_now(&mut self, now_ms: i64) {
        self.now_ms = now_ms;
    }

    pub(crate) fn set_protocol(&mut self, version: u32) {
        self.proto = if version == 3 {
            Proto::Resp3
        } else {
            Proto::Resp2
        };
    }

    /// The counters, by their names in INFO.
    pub(crate) fn statistics(&self) -> [(&'static str, u64); 4] {
        [
            ("keyspace_hits", self.effects.hits),
            ("keyspace_misses", self.effects.misses),
            ("expired_keys", self.effects.expired),
            ("rdb_changes_since_last_save", self.effects.dirty),
        ]
    }

    /// Runs one command and returns its reply.
    pub(crate) fn run(&mut self, call: &[Vec<u8>]) -> Vec<u8> {
        let (buffer, ranges) = flatten(call);
        let args = Args::new(&buffer, &ranges);
        let mut reply = Reply::new();
        reply.set_proto(self.proto);
        self.effects.begin_command();
        let db = self.db;
        self.dispatch(&args, &mut reply);
        let propagated = self
            .effects
            .propagated()
            .map(|propagated| match propagated {
                Propagated::Verbatim => (db, call.to_vec()),
                Propagated::Command { db, resp } => (db, stream::parse(resp)),
            });
        if propagated.len() > 0 {
            self.stream.push(propagated.collect());
        }
        reply.take()
    }

    fn dispatch(&mut self, args: &Args<'_>, reply: &mut Reply) {
        let Some(command) = lookup(&args[0]) else {
            return reply.error("ERR not in the table");
        };
        let command = match command.resolve(args) {
            Ok(command) => command,
            Err(text) => return reply.error_bytes(&text),
        };
        match command.handler {
            Handler::Data(handler) => handler(&mut self.ctx(reply), args),
            Handler::Keyspace(handler) => handler(&mut self.keyspace_ctx(reply), args),
            Handler::Pure(handler) => handler(reply, args),
            _ => self.serve(args, reply),
        }
    }

    /// The commands of the server that the comparison needs.
    fn serve(&mut self, args: &Args<'_>, reply: &mut Reply) {
        let word = |at: usize| args.get(at).unwrap_or_default().to_ascii_lowercase();
        match (word(0).as_slice(), word(1).as_slice()) {
            (b"select", db) => {
                self.db = usize::from(db == b"1");
                reply.ok();
            }
            (b"debug", b"digest") => debug_digest(&mut self.keyspace_ctx(reply), args),
            (b"debug", b"digest-value") => self.digest_values(args, reply),
            _ => reply.error("ERR unexpected in this comparison"),
        }
    }

    /// The handler is for one key: a server's keys are in many partitions.
    fn digest_values(&mut self, args: &Args<'_>, reply: &mut Reply) {
        let keys = args.slice(2);
        reply.array(keys.len());
        for key in keys.ranges() {
            let ranges = [args.ranges()[0], args.ranges()[1], *key];
            let one = Args::new(args.buffer(), &ranges);
            debug_digest_value(&mut self.ctx(reply), &one);
        }
    }

    fn ctx<'a>(&'a mut self, reply: &'a mut Reply) -> Ctx<'a> {
        Ctx {
            partition: self.data.0.get_mut(),
            db: self.db,
            reply,
            now_ms: self.now_ms,
            env: &self.env,
            effects: &mut self.effects,
            rng: &mut self.rng,
            first_key: None,
        }
    }

    fn keyspace_ctx<'a>(&'a mut self, reply: &'a mut Reply) -> KeyspaceCtx<'a> {
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

fn flatten(call: &[Vec<u8>]) -> (Vec<u8>, Vec<ArgRange>) {
    let mut buffer = Vec::new();
    let ranges = call.iter().map(|word| {
        let start = buffer.len();
        buffer.extend_from_slice(word);
        ArgRange::new(start, buffer.len())
    });
    let ranges = ranges.collect();
    (buffer, ranges)
}
