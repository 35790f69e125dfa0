//! What a data command sees while it runs: its partition, its reply, the time, and nothing else.

use hexad_resp::Reply;
use hexad_store::{Db, HashSeed, KeyHash, Partition};
use rand::rngs::SmallRng;

use crate::Args;

/// Settings that handlers read, fixed for the length of a batch.
#[derive(Clone, Debug)]
pub struct Env {
    /// Seed of the key hash of every partition of this process.
    pub seed: HashSeed,
    /// `proto-max-bulk-len`: the longest string value, in bytes.
    pub max_string_bytes: u64,
    /// Whether this node deletes expired keys itself (a replica waits for its primary's DEL).
    pub expires_keys: bool,
    /// Whether `maxmemory-policy` is an LFU policy (OBJECT FREQ answers, OBJECT IDLETIME does not).
    pub lfu: bool,
    /// `lfu-log-factor`
    pub lfu_log_factor: u32,
    /// `lfu-decay-time`, minutes.
    pub lfu_decay_minutes: u32,
    /// Whether the node runs in cluster mode.
    pub cluster: bool,
}

/// What a command did besides its reply; the caller adds it to its statistics.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// Changes of the dataset (`rdb_changes_since_last_save`).
    pub dirty: u64,
    /// `keyspace_hits`
    pub hits: u64,
    /// `keyspace_misses`
    pub misses: u64,
    /// `expired_keys`: keys deleted because a command found them past their time.
    pub expired: u64,
}

/// The context of one data command: it holds the lock of its partition.
pub struct Ctx<'a> {
    /// The partition: one slot in cluster mode, all databases in stand-alone mode.
    pub partition: &'a mut Partition,
    /// The selected database.
    pub db: usize,
    /// Where the reply goes.
    pub reply: &'a mut Reply,
    /// Unix time of this command, milliseconds.
    pub now_ms: i64,
    /// Settings.
    pub env: &'a Env,
    /// Statistics of this command.
    pub effects: &'a mut Effects,
    /// The worker's generator.
    pub rng: &'a mut SmallRng,
    /// Hash of the first key, where the caller has computed it for prefetching.
    pub first_key: Option<KeyHash>,
}

/// A key with its hash.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// The key's bytes.
    pub bytes: &'a [u8],
    /// Its hash under [`Env::seed`].
    pub hash: KeyHash,
}

/// A handler of a data command.
pub type DataHandler = fn(&mut Ctx<'_>, &Args<'_>);

/// All partitions of the node, visited one at a time; the implementor takes and releases locks.
pub trait Keyspace {
    /// Number of partitions: 16384 in cluster mode (index = slot), 1 in stand-alone mode.
    fn partitions(&self) -> usize;
    /// Runs `visit` under the lock of partition `index`.
    fn visit(&self, index: usize, visit: &mut dyn FnMut(&mut Partition));
    /// Which partitions hold any key, cheaply and possibly a moment out of date.
    fn maybe_non_empty(&self, index: usize) -> bool;
}

/// The context of a command that visits partitions one after another (KEYS, SCAN, DBSIZE, …).
pub struct KeyspaceCtx<'a> {
    /// The partitions.
    pub keyspace: &'a dyn Keyspace,
    /// The selected database.
    pub db: usize,
    /// Where the reply goes.
    pub reply: &'a mut Reply,
    /// Unix time of this command, milliseconds.
    pub now_ms: i64,
    /// Settings.
    pub env: &'a Env,
    /// Statistics of this command.
    pub effects: &'a mut Effects,
    /// The worker's generator.
    pub rng: &'a mut SmallRng,
}

/// A handler of a command over all partitions.
pub type KeyspaceHandler = fn(&mut KeyspaceCtx<'_>, &Args<'_>);

impl<'a> Ctx<'a> {
    /// The selected database.
    pub fn database(&mut self) -> &mut Db {
        self.partition.db_mut(self.db)
    }
}
