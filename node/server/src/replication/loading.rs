//! Taking in the payload of a full synchronisation.
//!
//! By `repl-diskless-load` it goes to a file first, so that the old data are given up only once all
//! of the new have arrived; or straight into memory. Into memory it goes in place of the old data,
//! or beside them (`swapdb`): if the primary's history is the one that the old data stand in,
//! clients read those meanwhile.

use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use hexad_commands::Env;
use hexad_rdb::{Decoder, Event, Record};
use hexad_replication::{Payload, Transfer, TransferStep};
use hexad_store::{HashSeed, KeyHash, OwnedEntry, Partition, lru_clock};

use super::Standing;
use super::link::{Failure, LinkInput};
use super::thread::stop_world;
use crate::config::DisklessLoad;
use crate::gate::World;
use crate::keyspace::Keyspace;
use crate::server::Server;
use crate::worker::unix_ms;

/// Bytes given to the decoder before others have a turn.
const STEP_BYTES: usize = 256 * 1024;
/// How often the primary gets a sign of life while a file is loaded.
const KEEPALIVE_MS: u128 = 1000;

/// What a payload has brought.
pub(super) struct Loaded {
    server: &'static Server,
    /// The database that the primary's stream has selected.
    pub(super) db: u32,
    aside: Option<Vec<Partition>>,
}

impl Loaded {
    /// Makes the data those that are served.
    pub(super) fn publish(self, world: &World<'_>) {
        if let Some(aside) = self.aside {
            self.server.keyspace.replace(world, aside);
        }
        let replication = &self.server.replication;
        let flags = Standing::LOADING | Standing::ASYNC_LOADING;
        replication.standing.set(flags, false);
        replication.status().emptied = false;
    }
}

/// After a load that was broken off: its part of the data is dropped.
pub(super) async fn give_up(server: &'static Server) {
    let standing = server.replication.standing();
    if !standing.intersects(Standing::LOADING | Standing::ASYNC_LOADING) {
        return;
    }
    let world = stop_world(server).await;
    if server.replication.status().emptied {
        server.keyspace.clear(&world);
    }
    let cell = &server.replication.standing;
    cell.set(Standing::LOADING | Standing::ASYNC_LOADING, false);
}

/// Receives a payload and loads it. `same_history`: the old data stand in the history that the new
/// ones continue.
pub(super) async fn receive(
    server: &'static Server,
    transfer: &mut Transfer,
    same_history: bool,
    mut link: LinkInput<'_>,
) -> Result<Loaded, Failure> {
    let mode = server.config.load().replication.diskless_load;
    let to_memory = match mode {
        DisklessLoad::Disabled => false,
        DisklessLoad::OnEmptyDb => server.keyspace.is_empty(),
        DisklessLoad::SwapDb => true,
    };
    let expected = header(transfer, &mut link).await?;
    let (kind, target) = match (expected, to_memory) {
        (Some(bytes), true) => (format!("receiving {bytes} bytes from master"), "to parser"),
        (Some(bytes), false) => (format!("receiving {bytes} bytes from master"), "to disk"),
        (None, true) => (
            "receiving streamed RDB from master with EOF".to_owned(),
            "to parser",
        ),
        (None, false) => (
            "receiving streamed RDB from master with EOF".to_owned(),
            "to disk",
        ),
    };
    tracing::info!("MASTER <-> REPLICA sync: {kind} {target}");
    let result = if to_memory {
        let aside = mode == DisklessLoad::SwapDb;
        if !aside {
            link.note_emptied();
        }
        let mut loader = Loader::begin(server, aside, same_history).await;
        match to_loader(transfer, &mut link, &mut loader, expected).await {
            Ok(()) => loader.finish(),
            Err(failure) => Err(failure),
        }
    } else {
        let file = to_file(transfer, &mut link, expected).await?;
        link.note_emptied();
        let mut loader = Loader::begin(server, false, false).await;
        match from_file(&file, &mut link, &mut loader).await {
            Ok(()) => loader.finish(),
            Err(failure) => Err(failure),
        }
    };
    if result.is_err() {
        tracing::warn!("Failed trying to load the MASTER synchronization DB, check server logs.");
        give_up(server).await;
    }
    result
}

/// Waits for the header; gives the payload's length, if it says one.
async fn header(transfer: &mut Transfer, link: &mut LinkInput<'_>) -> Result<Option<u64>, Failure> {
    loop {
        let mut rest = &link.input()[..];
        let before = rest.len();
        let step = transfer.step(&mut rest);
        let taken = before - rest.len();
        let header = match step {
            Ok(TransferStep::Header(Payload::Sized(bytes))) => Some(Some(bytes)),
            Ok(TransferStep::Header(Payload::Marked)) => Some(None),
            Ok(_) => None,
            Err(error) => return Err(Failure::Broken(error.to_string())),
        };
        let more = matches!(step, Ok(TransferStep::NeedMore));
        link.input().drain(..taken);
        match header {
            Some(expected) => return Ok(expected),
            None if more => link.more().await?,
            None => {}
        }
    }
}

/// Passes the payload on to `take`, piece by piece.
async fn payload(
    transfer: &mut Transfer,
    link: &mut LinkInput<'_>,
    expected: Option<u64>,
    mut take: impl AsyncFnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut arrived = 0;
    loop {
        let mut rest = &link.input()[..];
        let before = rest.len();
        let (mut more, mut end) = (false, false);
        match transfer.step(&mut rest) {
            Ok(TransferStep::Payload(bytes)) => {
                arrived += bytes.len() as u64;
                take(bytes).await?;
            }
            Ok(TransferStep::End) => end = true,
            Ok(TransferStep::NeedMore) => more = true,
            Ok(TransferStep::KeepAlive | TransferStep::Header(_)) => {}
            Err(error) => return Err(Failure::Broken(error.to_string())),
        }
        let taken = before - rest.len();
        link.input().drain(..taken);
        if end {
            return Ok(());
        }
        if more {
            link.progress(expected, arrived);
            link.more().await?;
        }
    }
}

async fn to_loader(
    transfer: &mut Transfer,
    link: &mut LinkInput<'_>,
    loader: &mut Loader,
    expected: Option<u64>,
) -> Result<(), Failure> {
    payload(transfer, link, expected, async |bytes| {
        loader.feed(bytes)?;
        loader.rest().await;
        Ok(())
    })
    .await
}

/// A file that is removed when it is loaded.
struct Received(PathBuf);

impl Drop for Received {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn to_file(
    transfer: &mut Transfer,
    link: &mut LinkInput<'_>,
    expected: Option<u64>,
) -> Result<Received, Failure> {
    let name = format!("temp-{}.{}.rdb", unix_ms() / 1000, std::process::id());
    let failed = |error: std::io::Error| {
        Failure::Broken(format!(
            "Write error or short write writing to the DB dump file needed for MASTER <-> REPLICA \
             synchronization: {error}"
        ))
    };
    let mut file = File::create(&name).map_err(|error| {
        Failure::Broken(format!(
            "Opening the temp file needed for MASTER <-> REPLICA synchronization: {error}"
        ))
    })?;
    let received = Received(name.into());
    payload(transfer, link, expected, async |bytes| {
        file.write_all(bytes).map_err(failed)
    })
    .await?;
    Ok(received)
}

async fn from_file(
    file: &Received,
    link: &mut LinkInput<'_>,
    loader: &mut Loader,
) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::Broken(format!("Reading the RDB file that was received: {error}"))
    };
    let mut file = File::open(&file.0).map_err(failed)?;
    let mut chunk = vec![0; STEP_BYTES];
    let mut said = Instant::now();
    loop {
        let n = file.read(&mut chunk).map_err(failed)?;
        if n == 0 {
            return Ok(());
        }
        loader.feed(&chunk[..n])?;
        loader.rest().await;
        if said.elapsed().as_millis() > KEEPALIVE_MS {
            said = Instant::now();
            // If the primary is gone, the file is still whole.
            let _ = link.keep_alive().await;
        }
        tokio::task::yield_now().await;
    }
}

/// A payload on its way into memory.
struct Loader {
    server: &'static Server,
    decoder: Decoder,
    db: usize,
    stream_db: u32,
    aside: Option<Vec<Partition>>,
    env: Env,
    now_ms: i64,
    keys: u64,
    /// How many of the keys were rested for.
    rested: u64,
    started: Instant,
}

impl Loader {
    /// Takes the old data away, or begins beside them.
    async fn begin(server: &'static Server, aside: bool, same_history: bool) -> Self {
        let config = server.config.load_full();
        let replication = &server.replication;
        let world = stop_world(server).await;
        if !aside {
            tracing::info!("MASTER <-> REPLICA sync: Flushing old data");
            server.keyspace.clear(&world);
        }
        let keeps_serving = aside && same_history;
        let line = replication.stream().begin_full_sync();
        super::write_log(line);
        let flag = match keeps_serving {
            true => Standing::ASYNC_LOADING,
            false => Standing::LOADING,
        };
        replication.loading_since_ms.store(unix_ms(), Relaxed);
        replication.standing.set(flag, true);
        drop(world);
        replication.hub().disconnect_all();
        replication.notify();
        tracing::info!("MASTER <-> REPLICA sync: Loading DB in memory");
        Self {
            server,
            decoder: Decoder::new(config.replication.rdb_checksum),
            db: 0,
            stream_db: 0,
            aside: aside.then(|| server.keyspace.new_partitions()),
            env: server.env(&config),
            now_ms: unix_ms(),
            keys: 0,
            rested: 0,
            started: Instant::now(),
        }
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        for piece in bytes.chunks(STEP_BYTES) {
            self.decoder.feed(piece);
            loop {
                let event = self.decoder.next().map_err(bad)?;
                let Some(event) = event else { break };
                match event {
                    Event::Aux { key, value } => {
                        if key == b"repl-stream-db"
                            && let Some(db) = std::str::from_utf8(value)
                                .ok()
                                .and_then(|db| db.parse().ok())
                        {
                            self.stream_db = db;
                        }
                    }
                    Event::SelectDb(db) => {
                        if db >= u32::from(self.server.keyspace.databases()) {
                            return Err(Failure::Broken(format!(
                                "The master's data use database {db}, which this server does not have"
                            )));
                        }
                        self.db = db as usize;
                    }
                    Event::Record(record) => {
                        let keyspace = &self.server.keyspace;
                        let (entry, hash, partition) =
                            prepare(record, keyspace, &self.env, self.now_ms)
                                .map_err(|text| Failure::Broken(text.to_owned()))?;
                        self.keys += 1;
                        match &mut self.aside {
                            Some(aside) => {
                                let partition = &mut aside[usize::from(partition)];
                                partition.db_mut(self.db).insert(entry, hash);
                            }
                            None => {
                                let mut partition = keyspace.lock(partition.into());
                                partition.db_mut(self.db).insert(entry, hash);
                            }
                        }
                    }
                    Event::Function { .. } => {
                        tracing::warn!(
                            "The master's functions are left out: there are none here yet"
                        );
                    }
                    Event::ResizeDb { .. } | Event::SlotInfo { .. } | Event::Eof(_) => {}
                }
            }
        }
        Ok(())
    }

    /// Rests for the keys since the last time: `key-load-delay`, with which tests make it slow.
    async fn rest(&mut self) {
        let keys = self.keys - std::mem::replace(&mut self.rested, self.keys);
        let key_micros = self.server.config.load().replication.key_load_delay_micros;
        if key_micros > 0 {
            tokio::time::sleep(Duration::from_micros(key_micros.saturating_mul(keys))).await;
        }
    }

    fn finish(self) -> Result<Loaded, Failure> {
        self.decoder.finish().map_err(bad)?;
        tracing::info!(
            "Done loading RDB, keys loaded: {}, in {} ms.",
            self.keys,
            self.started.elapsed().as_millis()
        );
        Ok(Loaded {
            server: self.server,
            db: self.stream_db,
            aside: self.aside,
        })
    }
}

fn bad(error: hexad_rdb::Error) -> Failure {
    Failure::Broken(format!("The master's RDB cannot be loaded: {error}"))
}

/// A record as an entry, with its hash and where it belongs.
fn prepare(
    record: Record<'_>,
    keyspace: &Keyspace,
    env: &Env,
    now_ms: i64,
) -> Result<(OwnedEntry, KeyHash, u16), &'static str> {
    let entry = record
        .value
        .into_entry(record.key, record.expire_at)
        .map_err(|_| "The master's RDB has a string that is too long")?;
    let clock = match (env.lfu, record.freq, record.idle_s) {
        (true, Some(freq), _) => hexad_store::lfu_with_counter(now_ms, freq),
        (true, None, _) => hexad_store::lfu_new(now_ms),
        (false, _, idle_s) => {
            let idle_ms = idle_s.unwrap_or(0).saturating_mul(1000);
            lru_clock(now_ms.saturating_sub_unsigned(idle_ms))
        }
    };
    entry.set_access(clock);
    let seed: &HashSeed = keyspace.seed();
    Ok((
        entry,
        seed.hash(record.key),
        keyspace.partition_of(record.key),
    ))
}
