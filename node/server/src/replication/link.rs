//! Following a primary: connect, shake hands, take its data if need be, and apply its stream.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use hexad_replication::{
    Handshake, HandshakeSettings, Incoming, IncomingLimits, Outcome, ReplId, Step, Transfer,
    ack_command,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::applier::Applier;
use super::loading;
use super::role::Following;
use super::thread::{Thread, stop_world};
use super::{Standing, new_id, write_log};
use crate::server::Server;
use crate::worker::unix_ms;

/// How long to wait before the next attempt (Redis 7.0: its replication cron runs each second).
const RETRY: Duration = Duration::from_secs(1);
/// How often the primary is told how far the stream is applied (Redis 7.0: each second).
const ACK_EVERY: Duration = Duration::from_secs(1);
/// How often is looked whether a pause has ended.
const PAUSE_LOOK: Duration = Duration::from_millis(50);
/// Bytes of the stream that are read during a pause.
const MAX_READ_AHEAD: u64 = 64 * 1024 * 1024;
/// Bytes read at a time.
const READ_BYTES: usize = 64 * 1024;

/// The link to the primary as INFO and ROLE show it.
#[derive(Clone, Debug, Default)]
pub(crate) struct PrimaryStatus {
    /// Whom this server follows; `None`: it is a primary, or does not know whom.
    pub(crate) primary: Option<Following>,
    /// How the link is.
    pub(crate) state: LinkState,
    /// It was up since this role began.
    pub(crate) was_up: bool,
    /// Unix time of the last byte from the primary, milliseconds; 0 before any.
    pub(crate) last_io_ms: i64,
    /// The same, of bytes of the stream: the data are as old as this.
    pub(crate) in_sync_ms: i64,
    /// Since when the link is down, Unix time in milliseconds.
    pub(crate) down_since_ms: i64,
    /// The data were given up for those of a full synchronisation, which have not all arrived.
    pub(crate) emptied: bool,
    /// How far the stream has arrived.
    pub(crate) read_offset: u64,
    /// A full synchronisation: bytes that are expected (`None`: not known), and have arrived.
    pub(crate) transfer: Option<(Option<u64>, u64)>,
}

/// How a link is, in the order of its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LinkState {
    /// About to connect.
    #[default]
    Connect,
    /// Connecting.
    Connecting,
    /// Talking.
    Handshake,
    /// Receiving data.
    Sync,
    /// Following the stream.
    Connected,
}

impl LinkState {
    /// ROLE's word.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Connecting => "connecting",
            Self::Handshake => "handshake",
            Self::Sync => "sync",
            Self::Connected => "connected",
        }
    }
}

/// A connection to the primary.
struct Link {
    thread: Rc<Thread>,
    server: &'static Server,
    socket: TcpStream,
    /// What has arrived and is not taken yet.
    input: Vec<u8>,
}

/// Follows `primary` until the task is aborted. `failover`: the first handshake tells it to become
/// the primary.
pub(super) async fn run(thread: Rc<Thread>, primary: Following, failover: bool) {
    let server = thread.server;
    let mut failover = failover;
    loop {
        let result = follow(&thread, &primary, failover).await;
        if failover && thread.is_failing_over() {
            let reason = match &result {
                Err(Failure::Refused) => "Failover target rejected psync request",
                _ => "Write error to failover target",
            };
            thread.failover_ended(Some(reason));
        }
        failover = false;
        if let Err(Failure::Broken(error)) = result {
            tracing::warn!("{error}");
        }
        let was_up = lost(server);
        thread.report();
        if was_up {
            // At once: the primary's backlog goes on (Redis 7.0).
            tracing::info!("Reconnecting to MASTER {primary}");
        } else {
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Why following ends.
pub(super) enum Failure {
    /// The log has said it.
    Said,
    /// The target of a failover does not take over.
    Refused,
    /// This.
    Broken(String),
}

impl Failure {
    /// CLIENT KILL has closed the link.
    pub(super) fn killed() -> Self {
        Self::Broken("Connection with master lost.".to_owned())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Broken(format!("Connection with master lost: {error}"))
    }
}

/// The link is down. Whether it was up before.
fn lost(server: &Server) -> bool {
    let replication = &server.replication;
    let was_up = {
        let mut status = replication.status();
        let was_up = status.state == LinkState::Connected;
        status.state = LinkState::Connect;
        status.transfer = None;
        if was_up {
            status.down_since_ms = unix_ms();
        }
        was_up
    };
    if was_up {
        tracing::info!("Caching the disconnected master state.");
    }
    replication.standing.set(Standing::LINK_UP, false);
    was_up
}

async fn follow(thread: &Rc<Thread>, primary: &Following, failover: bool) -> Result<(), Failure> {
    let server = thread.server;
    tracing::info!("Connecting to MASTER {primary}");
    server.replication.status().state = LinkState::Connecting;
    tracing::info!("MASTER <-> REPLICA sync started");
    let mut link = Link {
        thread: Rc::clone(thread),
        server,
        socket: connect(server, primary).await?,
        input: Vec::new(),
    };
    tracing::info!("Non blocking connect for SYNC fired the event.");
    link.status(|status| status.state = LinkState::Handshake);
    let wanted = server.replication.stream().wanted();
    match link.shake_hands(wanted, failover).await? {
        Outcome::Continue { id } => {
            if failover {
                thread.failover_ended(None);
            }
            link.resume(id);
        }
        Outcome::Full { at } => {
            if failover {
                thread.failover_ended(None);
            }
            link.take_all_data(at).await?;
        }
        Outcome::Refused => return Err(Failure::Refused),
        Outcome::TryLater | Outcome::Failed => return Err(Failure::Said),
    }
    link.follow_stream().await
}

async fn connect(server: &Server, primary: &Following) -> Result<TcpStream, Failure> {
    let limit = Duration::from_secs(server.config.load().replication.timeout_s);
    let connecting = TcpStream::connect((primary.host.as_str(), primary.port));
    let failed = |why: String| {
        Failure::Broken(format!(
            "Error condition on socket for SYNC: {why} (connecting to MASTER {primary})"
        ))
    };
    match timeout(limit, connecting).await {
        Ok(Ok(socket)) => {
            // Without it acknowledgements may be late; nothing else depends on it.
            let _ = socket.set_nodelay(true);
            Ok(socket)
        }
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => {
            tracing::warn!("Timeout connecting to the MASTER...");
            Err(Failure::Said)
        }
    }
}

impl Link {
    fn status(&self, change: impl FnOnce(&mut super::PrimaryStatus)) {
        change(&mut self.server.replication.status());
    }

    /// Reads once, waiting for `repl-timeout` at most.
    async fn read(&mut self) -> Result<(), Failure> {
        self.input.reserve(READ_BYTES);
        let limit = Duration::from_secs(self.server.config.load().replication.timeout_s);
        let n = match timeout(limit, self.socket.read_buf(&mut self.input)).await {
            Ok(n) => n?,
            Err(_) => {
                return Err(Failure::Broken(
                    "Timeout receiving bulk data from MASTER... If the problem persists try to set \
                     the 'repl-timeout' parameter in redis.conf to a larger value."
                        .to_owned(),
                ));
            }
        };
        self.heard(n)
    }

    fn heard(&self, n: usize) -> Result<(), Failure> {
        if n == 0 {
            return Err(Failure::Broken("Connection with master lost.".to_owned()));
        }
        let counters = &self.server.replication.counters;
        counters.input_bytes.fetch_add(n as u64, Relaxed);
        self.status(|status| {
            status.last_io_ms = unix_ms();
            if status.state == LinkState::Connected {
                status.in_sync_ms = status.last_io_ms;
            }
        });
        Ok(())
    }

    // ---- the handshake ---------------------------------------------------------------------------

    async fn shake_hands(
        &mut self,
        wanted: Option<(ReplId, u64)>,
        failover: bool,
    ) -> Result<Outcome, Failure> {
        let mut handshake = Handshake::new(self.settings(), wanted, failover);
        loop {
            let mut rest = &self.input[..];
            let step = handshake.step(&mut rest);
            let taken = self.input.len() - rest.len();
            self.input.drain(..taken);
            write_log(handshake.take_log());
            match step {
                Step::NeedMore => self.read().await?,
                Step::Send(bytes) => self.socket.write_all(&bytes).await?,
                Step::Done(outcome) => return Ok(outcome),
            }
        }
    }

    fn settings(&self) -> HandshakeSettings {
        let config = self.server.config.load();
        let settings = &config.replication;
        HandshakeSettings {
            user: settings.masteruser.clone(),
            password: settings.masterauth.clone(),
            port: match settings.announce_port {
                0 => config.port,
                port => port,
            },
            announce_ip: settings.announce_ip.clone(),
        }
    }

    // ---- partial synchronisation -----------------------------------------------------------------

    fn resume(&self, id: Option<ReplId>) {
        let replication = &self.server.replication;
        let changed = replication.stream().resume(id);
        if changed {
            // Own replicas have to learn the id.
            replication.hub().disconnect_all();
        }
        tracing::info!("MASTER <-> REPLICA sync: Master accepted a Partial Resynchronization.");
    }

    // ---- full synchronisation --------------------------------------------------------------------

    async fn take_all_data(&mut self, at: Option<(ReplId, u64)>) -> Result<(), Failure> {
        self.status(|status| {
            status.state = LinkState::Sync;
            status.transfer = Some((None, 0));
        });
        let mut transfer = Transfer::new();
        let loaded = loading::receive(
            self.server,
            &mut transfer,
            at.is_some_and(|(id, _)| self.server.replication.stream().history().id() == id),
            LinkInput(self),
        )
        .await?;
        let world = stop_world(self.server).await;
        let replication = &self.server.replication;
        {
            let mut stream = replication.stream();
            match at {
                Some((id, offset)) => stream.adopt(id, offset, loaded.db),
                None => stream.adopt_nameless(new_id(), loaded.db),
            }
        }
        loaded.publish(&world);
        drop(world);
        replication.notify();
        tracing::info!("MASTER <-> REPLICA sync: Finished with success");
        Ok(())
    }

    // ---- the stream ------------------------------------------------------------------------------

    async fn follow_stream(&mut self) -> Result<(), Failure> {
        let replication = &self.server.replication;
        let (offset, db) = {
            let stream = replication.stream();
            (stream.offset(), stream.db().unwrap_or(0))
        };
        self.status(|status| {
            status.state = LinkState::Connected;
            status.was_up = true;
            status.transfer = None;
            status.last_io_ms = unix_ms();
            status.in_sync_ms = status.last_io_ms;
            status.read_offset = offset;
        });
        replication.standing.set(Standing::LINK_UP, true);
        self.thread.report();
        let limits = IncomingLimits {
            databases: u32::from(self.server.keyspace.databases()),
            ..IncomingLimits::default()
        };
        let mut incoming = Incoming::new(offset, db, limits);
        incoming.feed(&std::mem::take(&mut self.input));
        let mut applier = Applier::new(self.server, &self.socket);
        self.acknowledge(&incoming).await?;
        let mut acks = tokio::time::interval(ACK_EVERY);
        let client = Arc::clone(applier.client());
        loop {
            // CLIENT PAUSE holds the primary's stream, too (Redis 7.0); some of it is read ahead.
            let paused = self.server.pause.is_by_client(unix_ms());
            if !paused && applier.apply(&mut incoming).await? {
                self.acknowledge(&incoming).await?;
            }
            let reads = !paused || incoming.read_offset() - incoming.offset() < MAX_READ_AHEAD;
            let limit = Duration::from_secs(self.server.config.load().replication.timeout_s);
            let silent_ms = unix_ms() - replication.status().last_io_ms;
            let patience = limit.saturating_sub(Duration::from_millis(silent_ms.max(0) as u64));
            tokio::select! {
                biased;
                () = client.killed() => {
                    return Err(Failure::killed());
                }
                _ = acks.tick() => self.acknowledge(&incoming).await?,
                () = tokio::time::sleep(PAUSE_LOOK), if paused => {}
                readable = self.socket.readable(), if reads => {
                    readable?;
                    let read = incoming.receive(|buffer| {
                        buffer.reserve(READ_BYTES);
                        self.socket.try_read_buf(buffer)
                    });
                    match read {
                        Ok(n) => self.heard(n)?,
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error.into()),
                    }
                    self.status(|status| status.read_offset = incoming.read_offset());
                }
                () = tokio::time::sleep(patience), if reads => {
                    return Err(Failure::Broken(
                        "MASTER timeout: no data nor PING received...".to_owned(),
                    ));
                }
            }
        }
    }

    /// Tells the primary how far the stream is applied.
    async fn acknowledge(&mut self, incoming: &Incoming) -> io::Result<()> {
        self.socket.write_all(&ack_command(incoming.offset())).await
    }
}

impl From<hexad_replication::IncomingError> for Failure {
    fn from(error: hexad_replication::IncomingError) -> Self {
        Self::Broken(format!(
            "The stream of the master cannot be followed: {error}"
        ))
    }
}

/// The link as a source of a payload.
pub(super) struct LinkInput<'a>(&'a mut Link);

impl LinkInput<'_> {
    /// What has arrived.
    pub(super) fn input(&mut self) -> &mut Vec<u8> {
        &mut self.0.input
    }

    /// Waits for more.
    pub(super) async fn more(&mut self) -> Result<(), Failure> {
        self.0.read().await
    }

    /// A sign of life for the primary while data are loaded: it waits for the first acknowledgement.
    pub(super) async fn keep_alive(&mut self) -> Result<(), Failure> {
        Ok(self.0.socket.write_all(b"\n").await?)
    }

    /// The data are about to be given up: an election from now on must not count on them.
    pub(super) fn note_emptied(&self) {
        self.0.status(|status| status.emptied = true);
        self.0.thread.report();
    }

    /// Shows how far the transfer is.
    pub(super) fn progress(&self, expected: Option<u64>, arrived: u64) {
        self.0
            .status(|status| status.transfer = Some((expected, arrived)));
    }
}
