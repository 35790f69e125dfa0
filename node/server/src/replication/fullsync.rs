//! Snapshots for replicas that need all data.
//!
//! Replicas that ask at about the same time share a snapshot. One begins when nobody else's is
//! under way: at once if it goes to a file (`repl-diskless-sync no`, or a replica that cannot take
//! a payload without a length), else after `repl-diskless-sync-delay`, so that others can join.
//!
//! The walk runs in small steps on the replication thread. What clients change meanwhile comes from
//! their workers as pre-images, into a buffer that is emptied before each step.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hexad_rdb::{AccessInfo, Checksum, Header, Options, ReplicationInfo};
use hexad_store::{Entry, PreImages, Snapshot, WalkCursor, lru_clock};
use parking_lot::{Mutex, MutexGuard};
use rand::Rng;
use tokio::sync::{mpsc, oneshot};

use super::Standing;
use super::feeder::Reader;
use super::hub::Attached;
use super::thread::{Thread, stop_world};
use crate::config::Config;
use crate::server::Server;
use crate::worker::unix_ms;

/// Bytes that are collected before they are sent.
const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks that a slow replica may lag behind a fast one.
const CHUNKS_AHEAD: usize = 16;
/// Entries looked at under one lock: some ten microseconds.
const WALK_WORK: usize = 256;

/// A replica that needs a snapshot.
pub(super) struct Request {
    name: String,
    marked: bool,
    empty: bool,
}

impl Request {
    /// What this replica can take.
    pub(super) fn of(replica: &Attached) -> Self {
        Self {
            name: replica.name(),
            marked: replica.said.eof,
            empty: replica.said.filter.is_some(),
        }
    }
}

struct Waiting {
    request: Request,
    since: Instant,
    promise: oneshot::Sender<Payload>,
}

/// Who waits for a snapshot, and whether one is under way.
#[derive(Default)]
pub(super) struct Syncs {
    waiting: RefCell<Vec<Waiting>>,
    running: Cell<bool>,
}

/// A snapshot as one replica gets it.
pub(super) struct Payload {
    /// `+FULLRESYNC …`
    pub(super) reply: Vec<u8>,
    source: Source,
    reader: Option<Reader>,
}

enum Source {
    /// Straight from the walk, ended by a mark.
    Walk {
        mark: [u8; 40],
        chunks: mpsc::Receiver<Chunk>,
    },
    /// From a file, once that is complete.
    File {
        done: Option<oneshot::Receiver<Arc<TempFile>>>,
        file: Option<(Arc<TempFile>, File)>,
    },
}

/// A piece of a payload.
#[derive(Clone)]
enum Chunk {
    Bytes(Bytes),
    /// The last one was that.
    End,
}

impl Payload {
    /// `$…`: what comes before the payload. For a file this waits until it is complete.
    pub(super) async fn header(&mut self) -> io::Result<Vec<u8>> {
        match &mut self.source {
            Source::Walk { mark, .. } => Ok([b"$EOF:", &mark[..], b"\r\n"].concat()),
            Source::File { done, file } => {
                let lost = || io::Error::other("the snapshot could not be written");
                let written = match done.take() {
                    Some(done) => done.await.map_err(|_| lost())?,
                    None => return Err(lost()),
                };
                let handle = File::open(&written.0)?;
                let header = format!("${}\r\n", handle.metadata()?.len());
                *file = Some((written, handle));
                Ok(header.into_bytes())
            }
        }
    }

    /// The next piece; `None` at the end.
    pub(super) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        match &mut self.source {
            Source::Walk { chunks, .. } => match chunks.recv().await {
                Some(Chunk::Bytes(bytes)) => Ok(Some(bytes)),
                Some(Chunk::End) => Ok(None),
                None => Err(io::Error::other("the snapshot was given up")),
            },
            Source::File { file, .. } => {
                let Some((_, file)) = file else {
                    return Ok(None);
                };
                let mut chunk = vec![0; CHUNK_BYTES];
                let n = file.read(&mut chunk)?;
                chunk.truncate(n);
                tokio::task::yield_now().await;
                Ok((n > 0).then(|| chunk.into()))
            }
        }
    }

    /// What comes behind the payload.
    pub(super) fn trailer(&self) -> Vec<u8> {
        match &self.source {
            Source::Walk { mark, .. } => mark.to_vec(),
            Source::File { .. } => Vec::new(),
        }
    }

    /// Whether a mark ends it: then the replica has to say that it has loaded it before it is sent
    /// the stream.
    pub(super) fn is_marked(&self) -> bool {
        matches!(self.source, Source::Walk { .. })
    }

    /// The place in the stream behind the snapshot.
    pub(super) fn take_reader(&mut self) -> Option<Reader> {
        self.reader.take()
    }
}

/// A file that is removed with its last user.
struct TempFile(PathBuf);

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Syncs {
    /// Asks for a snapshot.
    pub(super) fn request(&self, request: Request) -> oneshot::Receiver<Payload> {
        let (promise, promised) = oneshot::channel();
        self.waiting.borrow_mut().push(Waiting {
            request,
            since: Instant::now(),
            promise,
        });
        promised
    }
}

/// Begins a snapshot if it is time: to be called when somebody has asked, when one has ended, and
/// now and then.
pub(super) fn schedule(thread: &Rc<Thread>) {
    let syncs = &thread.syncs;
    if syncs.running.get() {
        return;
    }
    let config = thread.server.config.load();
    let settings = &config.replication;
    let group = {
        let mut waiting = syncs.waiting.borrow_mut();
        waiting.retain(|one| !one.promise.is_closed());
        if waiting.is_empty() {
            return;
        }
        let diskless = settings.diskless_sync && waiting.iter().all(|one| one.request.marked);
        let delay = Duration::from_secs(settings.diskless_sync_delay_s);
        let most = settings.diskless_sync_max_replicas;
        let due = !diskless
            || waiting.iter().any(|one| one.since.elapsed() >= delay)
            || (most > 0 && waiting.len() >= most);
        if !due {
            return;
        }
        (std::mem::take(&mut *waiting), diskless)
    };
    syncs.running.set(true);
    thread.server.replication.counters.snapshots.set(1);
    let thread = Rc::clone(thread);
    tokio::task::spawn_local(async move {
        let (group, diskless) = group;
        run(&thread, group, diskless).await;
        thread.syncs.running.set(false);
        thread.server.replication.counters.snapshots.set(0);
        schedule(&thread);
    });
}

/// The pre-images of a snapshot, in pieces of one database each.
struct Changed {
    options: Options,
    pieces: Mutex<Vec<Piece>>,
}

struct Piece {
    db: usize,
    keys: u64,
    bytes: Vec<u8>,
}

struct Keeper(Arc<Changed>);

impl PreImages for Keeper {
    fn keep(&self, db: usize, entry: &Entry) {
        let mut pieces = self.0.pieces.lock();
        if pieces.last().is_none_or(|last| last.db != db) {
            pieces.push(Piece {
                db,
                keys: 0,
                bytes: Vec::new(),
            });
        }
        if let Some(piece) = pieces.last_mut() {
            piece.keys += 1;
            hexad_rdb::encode_entry(&mut piece.bytes, entry, &self.0.options);
        }
    }
}

/// Where a snapshot goes.
enum Sink {
    Replicas(Vec<mpsc::Sender<Chunk>>),
    File {
        path: Arc<TempFile>,
        file: File,
        promises: Vec<oneshot::Sender<Arc<TempFile>>>,
    },
}

/// A snapshot while it is written.
struct Writer {
    sink: Sink,
    checksum: Option<Checksum>,
    chunk: Vec<u8>,
    db: Option<usize>,
    sizes: Vec<(u64, u64)>,
    /// Keys that were written.
    keys: u64,
}

async fn run(thread: &Rc<Thread>, group: Vec<Waiting>, diskless: bool) {
    let server = thread.server;
    let config = server.config.load_full();
    let target = if diskless { "replicas sockets" } else { "disk" };
    tracing::info!("Starting BGSAVE for SYNC with target: {target}");
    let changed = Arc::new(Changed {
        options: options(&config),
        pieces: Mutex::default(),
    });
    let empty = group.iter().all(|one| one.request.empty);
    let sizes = sizes(server);
    let mut sink = match sink(diskless) {
        Ok(sink) => sink,
        Err(error) => {
            tracing::warn!("BGSAVE for replication failed: {error}");
            return;
        }
    };
    let names: Vec<String> = group.iter().map(|one| one.request.name.clone()).collect();

    let world = stop_world(server).await;
    let replication = &server.replication;
    let mut unwanted = Vec::new();
    let (snapshot, saved) = {
        let mut stream = replication.stream();
        let is_replica = replication.standing().contains(Standing::REPLICA);
        let Some(saved) = stream.saved() else {
            tracing::warn!("BGSAVE for replication is off: there is no stream any more");
            return;
        };
        if !is_replica {
            stream.forget_db();
        }
        let reply = hexad_replication::full_resync_reply(stream.history());
        let next = stream.history().next();
        for one in group {
            let reader = stream.attach(next).map(|reader| Reader(server, reader));
            let payload = Payload {
                reply: reply.clone(),
                source: sink.add(),
                reader,
            };
            if let Err(payload) = one.promise.send(payload) {
                unwanted.push(payload);
            }
        }
        drop(stream);
        let snapshot = server.keyspace.cut(&world, Keeper(Arc::clone(&changed)));
        (snapshot, saved)
    };
    drop(world);
    // Their readers lock the stream when they go.
    drop(unwanted);

    let mut writer = Writer {
        sink,
        checksum: config.replication.rdb_checksum.then(Checksum::new),
        chunk: Vec::with_capacity(2 * CHUNK_BYTES),
        db: None,
        sizes,
        keys: 0,
    };
    hexad_rdb::write_header(
        &mut writer.chunk,
        &Header {
            version: crate::info::REDIS_VERSION,
            created_s: unix_ms() / 1000,
            used_memory: crate::memory::allocated(),
            replication: Some(ReplicationInfo {
                stream_db: i64::from(saved.db),
                id: saved.id.as_str(),
                offset: saved.offset as i64,
            }),
            aof_base: false,
        },
    );
    let started = Instant::now();
    let result = walk(server, &snapshot, &changed, &mut writer, empty).await;
    snapshot.finish();
    let result = match result {
        Ok(()) => writer.end().await,
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => tracing::info!(
            "Background RDB transfer terminated with success, {} ms for {}",
            started.elapsed().as_millis(),
            names.join(", ")
        ),
        Err(error) => tracing::warn!("Background transfer error: {error}"),
    }
}

fn options(config: &Config) -> Options {
    let now_ms = unix_ms();
    let policy = config.maxmemory_policy;
    let access = if policy.is_lfu() {
        AccessInfo::Frequency {
            now_ms,
            settings: hexad_store::LfuSettings {
                log_factor: config.lfu_log_factor,
                decay_minutes: config.lfu_decay_minutes,
            },
        }
    } else if policy.is_lru() {
        AccessInfo::Idle {
            now: lru_clock(now_ms),
        }
    } else {
        AccessInfo::None
    };
    Options {
        compress: config.replication.rdb_compression,
        access,
    }
}

/// Keys and volatile keys of each database: hints for the reader.
fn sizes(server: &Server) -> Vec<(u64, u64)> {
    let databases = usize::from(server.keyspace.databases());
    let totals = |db| {
        let totals = server.keyspace.totals(db);
        (totals.keys, totals.volatile)
    };
    (0..databases).map(totals).collect()
}

/// Writes all entries. On an error the walk goes on to its end without writing: only it makes the
/// next snapshot possible.
async fn walk(
    server: &Server,
    snapshot: &Snapshot,
    changed: &Changed,
    writer: &mut Writer,
    empty: bool,
) -> io::Result<()> {
    let mut result = Ok(());
    if empty {
        snapshot.abort();
    }
    for index in 0..server.keyspace.len() {
        let mut cursor = WalkCursor::default();
        loop {
            let pace = Pace::of(server);
            let before = writer.keys;
            let done = step(server, index, &mut cursor, pace.work, changed, writer);
            writer.take(changed);
            if result.is_ok() && !empty && !snapshot.is_running() {
                result = Err(given_up());
            }
            if result.is_ok() {
                result = pace.rest(writer.keys - before, writer).await;
                if result.is_err() {
                    snapshot.abort();
                }
            }
            if writer.chunk.len() >= pace.chunk_bytes {
                if result.is_ok() {
                    result = writer.flush().await;
                    if result.is_err() {
                        snapshot.abort();
                    }
                }
                writer.chunk.clear();
                tokio::task::yield_now().await;
            }
            if done {
                break;
            }
        }
        if index % 256 == 255 {
            tokio::task::yield_now().await;
        }
    }
    writer.take(changed);
    if result.is_ok() && !empty && !snapshot.is_running() {
        result = Err(given_up());
    }
    result
}

/// One step of the walk; whether it has come to the partition's end.
fn step(
    server: &Server,
    index: usize,
    cursor: &mut WalkCursor,
    work: usize,
    changed: &Changed,
    writer: &mut Writer,
) -> bool {
    let mut partition = server.keyspace.lock(index);
    let done = partition.walk(cursor, work, |db, entry| {
        writer.keys += 1;
        writer.select(db);
        hexad_rdb::encode_entry(&mut writer.chunk, entry, &changed.options);
    });
    // A worker that waits for the lock is next, or the walk would have it again first.
    MutexGuard::unlock_fair(partition);
    done
}

/// FLUSHALL, or a full synchronisation of this server's own, has replaced the data: what has been
/// written is no snapshot.
fn given_up() -> io::Error {
    io::Error::other("the data were replaced meanwhile")
}

/// How fast a snapshot is written.
struct Pace {
    /// Entries looked at under one lock.
    work: usize,
    /// Bytes that are collected before they are sent.
    chunk_bytes: usize,
    key_micros: u64,
}

impl Pace {
    /// As fast as it can, but for `rdb-key-save-delay`, with which tests make it slow.
    fn of(server: &Server) -> Self {
        match server.config.load().replication.key_save_delay_micros {
            0 => Self {
                work: WALK_WORK,
                chunk_bytes: CHUNK_BYTES,
                key_micros: 0,
            },
            key_micros => Self {
                work: 1,
                chunk_bytes: CHUNK_BYTES / 4,
                key_micros,
            },
        }
    }

    /// Rests after so many keys; fails when nobody wants the snapshot any more.
    async fn rest(&self, keys: u64, writer: &Writer) -> io::Result<()> {
        let mut left = Duration::from_micros(self.key_micros.saturating_mul(keys));
        while !left.is_zero() {
            let slice = left.min(Duration::from_millis(50));
            tokio::time::sleep(slice).await;
            left -= slice;
            if writer.is_unwanted() {
                return Err(nobody_left());
            }
        }
        Ok(())
    }
}

fn nobody_left() -> io::Error {
    io::Error::other("no replica is left that wants it")
}

/// Where a snapshot goes.
fn sink(diskless: bool) -> io::Result<Sink> {
    if diskless {
        return Ok(Sink::Replicas(Vec::new()));
    }
    let name = format!("temp-sync-{}-{}.rdb", unix_ms(), std::process::id());
    let file = File::create(&name)?;
    Ok(Sink::File {
        path: Arc::new(TempFile(name.into())),
        file,
        promises: Vec::new(),
    })
}

impl Sink {
    /// One more replica.
    fn add(&mut self) -> Source {
        match self {
            Sink::Replicas(senders) => {
                let (sender, chunks) = mpsc::channel(CHUNKS_AHEAD);
                senders.push(sender);
                Source::Walk {
                    mark: mark(),
                    chunks,
                }
            }
            Sink::File { promises, .. } => {
                let (promise, promised) = oneshot::channel();
                promises.push(promise);
                Source::File {
                    done: Some(promised),
                    file: None,
                }
            }
        }
    }
}

/// 40 random characters that no payload has.
fn mark() -> [u8; 40] {
    let mut rng = rand::rng();
    std::array::from_fn(|_| b"0123456789abcdef"[rng.random_range(0..16)])
}

impl Writer {
    /// What follows belongs to this database.
    fn select(&mut self, db: usize) {
        if self.db != Some(db) {
            let (keys, volatile) = self.sizes.get(db).copied().unwrap_or_default();
            hexad_rdb::write_select_db(&mut self.chunk, db as u32, keys, volatile);
            self.db = Some(db);
        }
    }

    /// Takes over what has changed since the last step.
    fn take(&mut self, changed: &Changed) {
        let pieces = std::mem::take(&mut *changed.pieces.lock());
        for piece in pieces {
            self.select(piece.db);
            self.keys += piece.keys;
            self.chunk.extend_from_slice(&piece.bytes);
        }
    }

    /// Whether all who asked for it are gone.
    fn is_unwanted(&self) -> bool {
        match &self.sink {
            Sink::Replicas(senders) => senders.iter().all(mpsc::Sender::is_closed),
            Sink::File { promises, .. } => promises.iter().all(oneshot::Sender::is_closed),
        }
    }

    /// Sends what is collected; fails when nobody is left who wants it.
    async fn flush(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        if let Some(checksum) = &mut self.checksum {
            checksum.update(&self.chunk);
        }
        self.send().await
    }

    async fn send(&mut self) -> io::Result<()> {
        match &mut self.sink {
            Sink::Replicas(senders) => {
                let chunk = Bytes::copy_from_slice(&self.chunk);
                self.chunk.clear();
                broadcast(senders, &Chunk::Bytes(chunk)).await
            }
            Sink::File { file, .. } => {
                file.write_all(&self.chunk)?;
                self.chunk.clear();
                Ok(())
            }
        }
    }

    /// Writes the end.
    async fn end(mut self) -> io::Result<()> {
        self.flush().await?;
        hexad_rdb::write_eof(&mut self.chunk, self.checksum.take());
        self.send().await?;
        match self.sink {
            Sink::Replicas(mut senders) => broadcast(&mut senders, &Chunk::End).await,
            Sink::File {
                path,
                file,
                promises,
            } => {
                drop(file);
                for promise in promises {
                    let _ = promise.send(Arc::clone(&path));
                }
                Ok(())
            }
        }
    }
}

async fn broadcast(senders: &mut Vec<mpsc::Sender<Chunk>>, chunk: &Chunk) -> io::Result<()> {
    let mut gone = Vec::new();
    for (at, sender) in senders.iter().enumerate() {
        if sender.send(chunk.clone()).await.is_err() {
            gone.push(at);
        }
    }
    for at in gone.into_iter().rev() {
        senders.swap_remove(at);
    }
    if senders.is_empty() {
        return Err(nobody_left());
    }
    Ok(())
}
