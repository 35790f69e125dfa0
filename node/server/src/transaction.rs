//! MULTI, EXEC and WATCH: the queue of a transaction and the keys that it depends on.
//!
//! A transaction whose commands all touch one partition runs under that partition's lock, as a
//! single command does; any other one (it contains KEYS, CONFIG, or watches a key of another
//! slot) runs while the world is stopped. Either way nobody sees half of it.

use std::sync::Arc;

use hexad_commands::{Args, Command, Expiry};
use hexad_resp::ArgRange;
use hexad_store::WatchFlag;

use crate::keyspace::Keyspace;
use crate::worker::Worker;

/// What MULTI has queued.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    /// The commands, in order.
    pub(crate) queue: Vec<Queued>,
    /// A command could not be queued: EXEC will refuse.
    pub(crate) aborted: bool,
    /// Bytes that the queue holds.
    pub(crate) bytes: usize,
}

/// One queued command, with its own copy of the arguments.
#[derive(Debug)]
pub(crate) struct Queued {
    /// What to run.
    pub(crate) command: &'static Command,
    buffer: Box<[u8]>,
    ranges: Box<[ArgRange]>,
}

impl Queued {
    /// Its arguments.
    pub(crate) fn args(&self) -> Args<'_> {
        Args::new(&self.buffer, &self.ranges)
    }
}

impl Transaction {
    /// Queues a command.
    pub(crate) fn push(&mut self, command: &'static Command, args: Args<'_>) {
        let mut buffer = Vec::with_capacity(args.iter().map(<[u8]>::len).sum());
        let ranges: Box<[ArgRange]> = args
            .iter()
            .map(|arg| {
                let start = buffer.len();
                buffer.extend_from_slice(arg);
                ArgRange::new(start, buffer.len())
            })
            .collect();
        self.bytes += buffer.len() + size_of_val(&*ranges) + size_of::<Queued>();
        self.queue.push(Queued {
            command,
            buffer: buffer.into(),
            ranges,
        });
    }
}

/// A watched key.
#[derive(Debug)]
struct Watched {
    partition: u16,
    db: usize,
    key: Box<[u8]>,
}

/// The keys that a client watches, and the flag that a change of any of them sets.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    flag: Option<Arc<WatchFlag>>,
    keys: Vec<Watched>,
}

impl Watches {
    /// Watches a key. One that is past its time counts as absent from now on.
    pub(crate) fn add(
        &mut self,
        worker: &mut Worker,
        keyspace: &Keyspace,
        partition: u16,
        db: usize,
        key: &[u8],
    ) {
        let known = |watched: &Watched| {
            (watched.partition, watched.db, &*watched.key) == (partition, db, key)
        };
        if self.keys.iter().any(known) {
            return;
        }
        let flag = self.flag.get_or_insert_with(Arc::default);
        let mut locked = keyspace.lock(partition.into());
        let hash = keyspace.seed().hash(key);
        if is_expired(&locked, db, key, hash, worker.now_ms) && worker.env.expiry == Expiry::Deletes
        {
            locked.db_mut(db).remove(key, hash);
            locked.touch(db, key);
            worker.expired(db, key);
        }
        locked.watch(db, key, flag);
        self.keys.push(Watched {
            partition,
            db,
            key: key.into(),
        });
    }

    /// Whether a watched key has changed, or expired, since it was watched.
    pub(crate) fn is_dirty(&self) -> bool {
        self.flag.as_ref().is_some_and(|flag| flag.is_dirty())
    }

    /// Marks the flag if a watched key is past its time by now. Takes the partitions' locks.
    pub(crate) fn check_expired(&self, keyspace: &Keyspace, now_ms: i64) {
        let Some(flag) = &self.flag else { return };
        for watched in &self.keys {
            let locked = keyspace.lock(watched.partition.into());
            let hash = keyspace.seed().hash(&watched.key);
            if is_expired(&locked, watched.db, &watched.key, hash, now_ms) {
                flag.set();
            }
        }
    }

    /// The partitions that hold the watched keys.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = u16> + '_ {
        self.keys.iter().map(|watched| watched.partition)
    }

    /// UNWATCH, and the end of every transaction.
    pub(crate) fn clear(&mut self, keyspace: &Keyspace) {
        let Some(flag) = self.flag.take() else { return };
        for watched in self.keys.drain(..) {
            keyspace
                .lock(watched.partition.into())
                .unwatch(watched.db, &watched.key, &flag);
        }
    }
}

fn is_expired(
    partition: &hexad_store::Partition,
    db: usize,
    key: &[u8],
    hash: hexad_store::KeyHash,
    now_ms: i64,
) -> bool {
    let entry = partition.db(db).get(key, hash);
    entry
        .and_then(|entry| entry.expire_at())
        .is_some_and(|at| at <= now_ms)
}
