//! Feeding one replica: what it needs to begin with, and then the stream as it grows.

use std::io::{self, IoSlice};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use hexad_replication::{ReaderId, ReplConf, ReplicaId, ReplicaState};
use hexad_resp::{Args, Limits, Parsed, RequestParser};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;

use super::fullsync::{Payload, Request};
use super::hub::Attached;
use super::thread::Thread;
use crate::clients::flag;
use crate::server::Server;
use crate::worker::unix_ms;

/// Most bytes taken from the stream for one write.
const WRITE_BYTES: usize = 256 * 1024;
/// How often a replica that waits for its snapshot gets a sign of life (Redis 7.0: each second).
const KEEPALIVE: Duration = Duration::from_secs(1);

/// A connection that has become a replica's, on its way from its worker to the replication thread.
pub(crate) struct HandOver {
    /// The socket.
    pub(crate) socket: std::net::TcpStream,
    /// What has arrived over it and is not read yet.
    pub(crate) input: Vec<u8>,
    /// Who it is.
    pub(crate) replica: Attached,
    /// What it gets first.
    pub(crate) start: Start,
}

/// What a replica gets first.
pub(crate) enum Start {
    /// This answer, and then the stream from where the reader is.
    Continue {
        /// `+CONTINUE …`
        reply: Vec<u8>,
        /// The place in the stream to go on from.
        reader: Reader,
    },
    /// All data; the answer to PSYNC is +FULLRESYNC, SYNC has none.
    Full {
        /// Whether it was PSYNC.
        psync: bool,
    },
}

/// One replica while it is fed.
struct Feeder {
    server: &'static Server,
    replica: Attached,
    /// The replica has acknowledged something.
    acked: Notify,
}

/// Feeds a replica until its connection ends.
pub(super) async fn run(thread: Rc<Thread>, hand_over: HandOver) {
    let HandOver {
        socket,
        input,
        replica,
        start,
    } = hand_over;
    let server = thread.server;
    let id = replica.client.id;
    let state = match start {
        Start::Continue { .. } => ReplicaState::Online,
        Start::Full { .. } => ReplicaState::WaitBgsave,
    };
    replica.client.live.flags.fetch_or(flag::REPLICA, Relaxed);
    server
        .replication
        .hub()
        .attach(replica.clone(), state, thread.now());
    let feeder = Feeder {
        server,
        replica,
        acked: Notify::new(),
    };
    let nodelay = !server.config.load().replication.disable_tcp_nodelay;
    let stream = socket.set_nodelay(nodelay).and_then(|()| {
        socket.set_nonblocking(true)?;
        TcpStream::from_std(socket)
    });
    match stream {
        Ok(stream) => {
            let (reader, writer) = stream.into_split();
            tokio::select! {
                result = feeder.write(&thread, writer, start) => if let Err(error) = result {
                    tracing::info!("Connection with replica {} lost: {error}", feeder.replica.name());
                },
                () = feeder.read(&thread, reader, input) => {
                    tracing::warn!("Connection with replica {} lost.", feeder.replica.name());
                }
                () = feeder.replica.client.killed() => {
                    tracing::info!("Connection with replica {} closed.", feeder.replica.name());
                }
            }
        }
        Err(error) => tracing::warn!("Cannot feed replica {}: {error}", feeder.replica.name()),
    }
    server.replication.hub().detach(id);
    server.clients.disconnect(id);
    thread.note_replicas();
}

impl Feeder {
    // ---- writing ---------------------------------------------------------------------------------

    async fn write(
        &self,
        thread: &Thread,
        mut socket: OwnedWriteHalf,
        start: Start,
    ) -> io::Result<()> {
        let reader = match start {
            Start::Continue { reply, reader } => {
                self.send(&mut socket, &reply).await?;
                reader
            }
            Start::Full { psync } => match self.send_all_data(thread, &mut socket, psync).await? {
                Some(reader) => reader,
                // Only the data were wanted.
                None => return Ok(()),
            },
        };
        self.set_state(thread, ReplicaState::Online);
        thread.note_replicas();
        tracing::info!(
            "Synchronization with replica {} succeeded",
            self.replica.name()
        );
        self.follow(&mut socket, &reader).await
    }

    /// Sends a snapshot; gives the reader for what has happened since its cut.
    async fn send_all_data(
        &self,
        thread: &Thread,
        socket: &mut OwnedWriteHalf,
        psync: bool,
    ) -> io::Result<Option<Reader>> {
        let mut promised = thread.syncs.request(Request::of(&self.replica));
        let mut payload: Payload = loop {
            tokio::select! {
                payload = &mut promised => match payload {
                    Ok(payload) => break payload,
                    Err(_) => return Err(io::Error::other("there is no snapshot")),
                },
                () = tokio::time::sleep(KEEPALIVE) => self.send(socket, b"\n").await?,
            }
        };
        if psync {
            self.send(socket, &payload.reply).await?;
        }
        self.set_state(thread, ReplicaState::SendBulk);
        let header = payload.header().await?;
        self.send(socket, &header).await?;
        while let Some(chunk) = payload.next().await? {
            self.send(socket, &chunk).await?;
        }
        self.send(socket, &payload.trailer()).await?;
        if self.replica.said.rdb_only {
            socket.shutdown().await?;
            // Its own side closes when it has read all.
            std::future::pending::<()>().await;
        }
        if payload.is_marked() {
            tracing::info!(
                "Streamed replica with replica {} succeeded (socket). Waiting for REPLCONF ACK \
                 from replica to enable streaming",
                self.replica.name()
            );
            self.acked.notified().await;
        }
        Ok(payload.take_reader())
    }

    /// Sends the stream as it grows.
    async fn follow(&self, socket: &mut OwnedWriteHalf, reader: &Reader) -> io::Result<()> {
        let replication = &self.server.replication;
        let mut blocks = Vec::new();
        loop {
            let grown = replication.grown.notified();
            tokio::pin!(grown);
            // From here on no growth is missed.
            grown.as_mut().enable();
            blocks.clear();
            let found = replication
                .stream()
                .read(reader.1, WRITE_BYTES, &mut blocks);
            match found {
                Ok(0) => grown.await,
                Ok(_) => {
                    let slices: Vec<IoSlice<'_>> =
                        blocks.iter().map(|block| IoSlice::new(block)).collect();
                    let sent = socket.write_vectored(&slices).await?;
                    if sent == 0 {
                        return Err(io::ErrorKind::WriteZero.into());
                    }
                    self.count(sent);
                    let moved = replication.stream().advance(reader.1, sent);
                    moved.map_err(|error| io::Error::other(format!("{error:?}")))?;
                }
                Err(error) => {
                    return Err(io::Error::other(format!("the stream is gone ({error:?})")));
                }
            }
        }
    }

    async fn send(&self, socket: &mut OwnedWriteHalf, bytes: &[u8]) -> io::Result<()> {
        let limit = Duration::from_secs(self.server.config.load().replication.timeout_s.max(1));
        match tokio::time::timeout(limit, socket.write_all(bytes)).await {
            Ok(result) => result?,
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        }
        self.count(bytes.len());
        Ok(())
    }

    fn count(&self, bytes: usize) {
        let counters = &self.server.replication.counters;
        counters.output_bytes.fetch_add(bytes as u64, Relaxed);
    }

    fn set_state(&self, thread: &Thread, state: ReplicaState) {
        let id = ReplicaId(self.replica.client.id);
        let mut hub = self.server.replication.hub();
        hub.acks.set_state(id, state, thread.now());
    }

    // ---- reading ---------------------------------------------------------------------------------

    /// Reads acknowledgements until the replica closes the connection or sends nonsense.
    async fn read(&self, thread: &Thread, mut socket: OwnedReadHalf, mut input: Vec<u8>) {
        let mut parser = RequestParser::new();
        let mut ranges = Vec::new();
        let limits = Limits {
            max_bulk_bytes: 64 * 1024,
            max_multibulk: 1024,
            authenticated: true,
        };
        loop {
            let mut done = 0;
            while done < input.len() {
                ranges.clear();
                match parser.parse(&mut input[done..], 0, &mut ranges, &limits) {
                    Ok(Parsed::Complete { consumed }) => {
                        let args = Args::new(&input[done..], &ranges);
                        self.hear(thread, args);
                        done += consumed;
                    }
                    Ok(Parsed::Incomplete { .. }) => break,
                    Err(error) => {
                        tracing::warn!("Replica {}: {error}", self.replica.name());
                        return;
                    }
                }
            }
            input.drain(..done);
            parser = match done {
                0 => parser,
                _ => RequestParser::new(),
            };
            match socket.read_buf(&mut input).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {
                    let now_ms = unix_ms();
                    self.replica.client.live.last_ms.store(now_ms, Relaxed);
                }
            }
        }
    }

    /// A command of the replica. Redis executes whatever it is and answers nothing; all that
    /// replicas send is REPLCONF ACK.
    fn hear(&self, thread: &Thread, args: Args<'_>) {
        let is_replconf = args
            .get(0)
            .is_some_and(|name| name.eq_ignore_ascii_case(b"replconf"));
        if !is_replconf {
            return;
        }
        let mut said = self.replica.said.clone();
        if let ReplConf::Ack(offset) = said.replconf(args.slice(1)) {
            let replication = &self.server.replication;
            let end = replication.stream().offset();
            let mut hub = replication.hub();
            let id = ReplicaId(self.replica.client.id);
            hub.acks.ack(id, offset, end, thread.now());
            hub.end_waits(thread.now());
            drop(hub);
            thread.poll_failover();
            self.acked.notify_one();
        }
    }
}

/// A place in the stream that is given up with whoever has it. That locks the stream.
pub(crate) struct Reader(pub(crate) &'static Server, pub(crate) ReaderId);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.replication.stream().detach(self.1);
    }
}
