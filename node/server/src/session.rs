//! A session: what one client's commands change about its connection, and how they are executed.
//!
//! [`Session::process`] takes a buffer and runs it in batches: parse up to [`MAX_BATCH`] commands,
//! look up and prefetch what they need, execute them under the worker's gate. [`Session::execute`]
//! is the path of every single command; what only unusual clients need (a transaction, a pause,
//! missing authentication, CLIENT REPLY) is behind one test, in [`guard`](Session::guard).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use hexad_commands::{
    Args, Command, CommandFlags, Ctx, DataHandler, Effects, Handler, KeyspaceCtx, KeyspaceHandler,
    ServerCommand, unknown_command,
};
use hexad_gossip::NodeFlags;
use hexad_resp::{ArgRange, Parsed, Proto, ProtocolError, RequestParser};
use hexad_store::{Detached, KeyHash, Partition};
use parking_lot::MutexGuard;

use crate::clients::{Client, flag};
use crate::pause::Paused;
use crate::replication::{Attached, Pending, Standing, Start};
use crate::routing::{self, Routed};
use crate::server::Server;
use crate::server_commands;
use crate::slowlog;
use crate::transaction::{Queued, Transaction, Watches};
use crate::worker::Worker;

/// Most commands executed under one gate. Each has a slot line and an entry line in flight while
/// the batch is prepared, so this is bounded by what the caches' line buffers can hold, not by
/// the cost of a gate.
const MAX_BATCH: usize = 64;
/// Replies beyond this go to the socket before the next command runs.
const FLUSH_REPLY_BYTES: usize = 256 * 1024;
/// A load that takes less than this keeps clients waiting, a longer one is told to them. (Redis 7.0
/// serves nobody while it loads up to `loading-process-events-interval-bytes`.)
const SHORT_LOAD_MS: i64 = 200;

/// The commands of a batch; a worker keeps one for its connections to use.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    ranges: Vec<ArgRange>,
    requests: Vec<Request>,
}

/// One parsed command.
#[derive(Clone, Copy, Debug)]
struct Request {
    /// Its arguments are `ranges[first..last]`.
    first: u32,
    last: u32,
    /// Offset behind it.
    end: usize,
    /// What it is; `None` for a command that does not exist.
    command: Option<&'static Command>,
    /// Hash and partition of its first key.
    key: Option<(KeyHash, u16)>,
}

/// Why [`Session::process`] came back.
pub(crate) enum Stop {
    /// All that was complete is executed.
    NeedInput {
        /// Length that the rest of the buffer must reach before another call is worth it.
        at_least: usize,
    },
    /// The replies are large: write them, then call again.
    Flush,
    /// The client is to be disconnected once it has its replies.
    Close,
    /// The connection becomes a replica's.
    HandOver(Box<ToReplica>),
    /// No further command may run before this is over. `again` is the command that waits, to be
    /// put before the rest of the input; it is empty if the command has been executed.
    Wait {
        /// What to wait for.
        wait: Wait,
        /// A command to run again, as the client would send it.
        again: Vec<u8>,
    },
}

/// What makes a connection a replica's.
pub(crate) struct ToReplica {
    /// Who it is.
    pub(crate) replica: Attached,
    /// What it gets first.
    pub(crate) start: Start,
}

/// What a client waits for.
pub(crate) enum Wait {
    /// A reply that another thread makes.
    Reply(Pin<Box<dyn Future<Output = Vec<u8>> + Send>>),
    /// The end of CLIENT PAUSE.
    Unpaused,
    /// A moment when no other worker executes.
    World,
    /// This.
    Until(Pin<Box<dyn Future<Output = ()> + Send>>),
}

/// What becomes of the connection after one command.
pub(crate) enum Flow {
    /// The next command.
    Next,
    /// Disconnect after the reply.
    Close,
    /// The connection is a replica's from now on: it leaves this worker.
    HandOver(Box<ToReplica>),
    /// The command is done but for its reply.
    Reply(Pin<Box<dyn Future<Output = Vec<u8>> + Send>>),
    /// Nothing is done yet: try this command again then.
    Again(Wait),
}

/// CLIENT REPLY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplyMode {
    /// Every command is answered.
    On,
    /// None is.
    Off,
    /// CLIENT REPLY SKIP was just given: the next command is not answered.
    SkipNext,
    /// This command is not answered.
    Skip,
}

/// The state of one client's connection.
pub(crate) struct Session {
    pub(crate) server: &'static Server,
    pub(crate) client: Arc<Client>,
    pub(crate) db: usize,
    pub(crate) proto: Proto,
    pub(crate) authenticated: bool,
    pub(crate) readonly: bool,
    pub(crate) no_evict: bool,
    /// ASKING was the last command.
    pub(crate) asking: bool,
    pub(crate) reply_mode: ReplyMode,
    pub(crate) transaction: Option<Transaction>,
    pub(crate) watches: Watches,
    /// Whether the world is stopped for the command that runs.
    pub(crate) world: bool,
    /// While EXEC runs: how many commands it has.
    pub(crate) executing: Option<usize>,
    /// What REPLCONF has said of the replica that this connection is about to be.
    pub(crate) replica: hexad_replication::Replica,
    /// Whether its PSYNC … FAILOVER has made this server a primary, and is now tried again.
    pub(crate) took_over: bool,
    /// Where this client's last write ends in the replication stream.
    pub(crate) write_offset: u64,
    /// What the running transaction will add to the stream.
    pending: Pending,
    /// A command of the running transaction wants the connection closed after EXEC's reply.
    pub(crate) close_requested: bool,
    parser: RequestParser,
}

impl Session {
    /// The session of a new connection.
    pub(crate) fn new(server: &'static Server, client: Arc<Client>) -> Self {
        Self {
            authenticated: server.config.load().requirepass.is_none(),
            server,
            client,
            db: 0,
            proto: Proto::Resp2,
            readonly: false,
            no_evict: false,
            asking: false,
            reply_mode: ReplyMode::On,
            transaction: None,
            watches: Watches::default(),
            world: false,
            took_over: false,
            executing: None,
            replica: hexad_replication::Replica::default(),
            write_offset: 0,
            pending: Pending::default(),
            close_requested: false,
            parser: RequestParser::new(),
        }
    }

    /// Executes the complete commands at the start of `buffer`; the replies are in
    /// `worker.reply`. Returns how many bytes are done with.
    pub(crate) fn process(&mut self, worker: &mut Worker, buffer: &mut [u8]) -> (usize, Stop) {
        let mut done = 0;
        loop {
            // The limits may have been changed from another worker.
            worker.follow_config();
            let mut batch = std::mem::take(&mut worker.batch);
            self.client
                .live
                .query_bytes
                .store(buffer.len() - done, Relaxed);
            let parsed = self.parse(&mut batch, worker, buffer, done);
            let stop = self.execute_batch(&mut batch, worker, buffer, &mut done);
            worker.batch = batch;
            if let Some(stop) = stop {
                self.parser = RequestParser::new();
                return (done, stop);
            }
            match parsed {
                Ok(None) if done == buffer.len() => {
                    return (done, Stop::NeedInput { at_least: 0 });
                }
                Ok(None) => {}
                Ok(Some(at_least)) => return (done, Stop::NeedInput { at_least }),
                Err(error) => {
                    let reply_start = worker.reply.len();
                    error.write(&mut worker.reply);
                    count_error(self.server, worker, reply_start);
                    tracing::debug!("Protocol error ({error}) from client {}", self.client.addr);
                    return (buffer.len(), Stop::Close);
                }
            }
        }
    }

    /// Parses a batch from offset `from` on. `Ok(None)`: the batch is full or the buffer used up;
    /// `Ok(Some(n))`: the last command is incomplete and needs `n` bytes in all.
    fn parse(
        &mut self,
        batch: &mut Batch,
        worker: &Worker,
        buffer: &mut [u8],
        from: usize,
    ) -> Result<Option<usize>, ProtocolError> {
        batch.ranges.clear();
        batch.requests.clear();
        let limits = worker.limits(self.authenticated);
        // What a client may send changes with AUTH and HELLO.
        let most = if self.authenticated { MAX_BATCH } else { 1 };
        let mut position = from;
        while position < buffer.len() && batch.requests.len() < most {
            let first = batch.ranges.len();
            let rest = &mut buffer[position..];
            match self
                .parser
                .parse(rest, position, &mut batch.ranges, &limits)?
            {
                Parsed::Complete { consumed } => position += consumed,
                Parsed::Incomplete { at_least } => return Ok(Some(at_least)),
            }
            batch.requests.push(Request {
                first: first as u32,
                last: batch.ranges.len() as u32,
                end: position,
                command: None,
                key: None,
            });
        }
        Ok(None)
    }

    /// Executes a batch under the gate. `done` follows the commands; `None` when all of them ran.
    fn execute_batch(
        &mut self,
        batch: &mut Batch,
        worker: &mut Worker,
        buffer: &[u8],
        done: &mut usize,
    ) -> Option<Stop> {
        if batch.requests.is_empty() {
            return None;
        }
        let mut stop = None;
        let mut pass = Some(self.server.gates.enter(worker.id));
        worker.begin_batch();
        worker.reply.set_proto(self.proto);
        self.prepare(batch, buffer);
        let mut last_command = None;
        for request in &batch.requests {
            let ranges = &batch.ranges[request.first as usize..request.last as usize];
            let args = Args::new(buffer, ranges);
            let mut flow = self.execute(worker, request, args);
            if let Flow::Again(Wait::World) = flow {
                // Leave the own gate, then stop everyone; if somebody is busy, come back later.
                drop(pass.take());
                if let Some(world) = self.server.gates.try_stop() {
                    // Outside of the gate the role may have changed, or a pause begun.
                    worker.begin_batch();
                    self.world = true;
                    flow = self.execute(worker, request, args);
                    self.world = false;
                    drop(world);
                    pass = Some(self.server.gates.enter(worker.id));
                    worker.begin_batch();
                }
            }
            *done = request.end;
            last_command = request.command.or(last_command);
            stop = match flow {
                Flow::Next if worker.reply.len() >= FLUSH_REPLY_BYTES => Some(Stop::Flush),
                Flow::Next => None,
                Flow::Close => Some(Stop::Close),
                Flow::HandOver(replica) => Some(Stop::HandOver(replica)),
                Flow::Reply(reply) => Some(Stop::Wait {
                    wait: Wait::Reply(reply),
                    again: vec![],
                }),
                Flow::Again(wait) => Some(Stop::Wait {
                    wait,
                    again: encode(args),
                }),
            };
            if stop.is_some() {
                break;
            }
        }
        worker.end_batch();
        drop(pass);
        self.publish(worker, last_command);
        stop
    }

    /// Looks up the batch's commands and gets their slots and entries on the way into the cache.
    fn prepare(&self, batch: &mut Batch, buffer: &[u8]) {
        let keyspace = &self.server.keyspace;
        for request in &mut batch.requests {
            let ranges = &batch.ranges[request.first as usize..request.last as usize];
            let args = Args::new(buffer, ranges);
            let Some(name) = args.get(0) else { continue };
            request.command = hexad_commands::lookup(name);
            let Some(command) = request.command else {
                continue;
            };
            if command.fast_key == 0 {
                continue;
            }
            if let Some(key) = args.get(usize::from(command.fast_key)) {
                let partition = keyspace.partition_of(key);
                keyspace.prefetch(partition);
                request.key = Some((keyspace.seed().hash(key), partition));
            }
        }
        if batch.requests.len() < 2 {
            return;
        }
        let keys = || batch.requests.iter().filter_map(|request| request.key);
        for (hash, partition) in keys() {
            keyspace
                .lock(partition.into())
                .db(self.db)
                .prefetch_cells(hash);
        }
        for (hash, partition) in keys() {
            keyspace
                .lock(partition.into())
                .db(self.db)
                .prefetch_entry(hash);
        }
    }

    /// Executes one command and counts it.
    #[inline]
    fn execute(&mut self, worker: &mut Worker, request: &Request, args: Args<'_>) -> Flow {
        if args.is_empty() {
            return Flow::Next;
        }
        let reply_start = worker.reply.len();
        let outcome = match request.command {
            Some(command) if command.is_simple(args.len()) => {
                self.check_and_run(worker, command, request.key, args)
            }
            other => {
                match other.map_or_else(|| Err(unknown_command(&args)), |c| c.resolve(&args)) {
                    Ok(command) => self.check_and_run(worker, command, None, args),
                    Err(_) if is_http(args) => {
                        tracing::warn!(
                            "A client at {} speaks HTTP, or is made to by a web page that attacks \
                             this server; it is disconnected.",
                            self.client.addr
                        );
                        Outcome::Disconnect
                    }
                    Err(text) => self.reject(worker, other, &text),
                }
            }
        };
        self.account(worker, outcome, reply_start, args)
    }

    /// Decides whether a command may run, and runs it.
    #[inline]
    fn check_and_run(
        &mut self,
        worker: &mut Worker,
        command: &'static Command,
        key: Option<(KeyHash, u16)>,
        args: Args<'_>,
    ) -> Outcome {
        if (self.is_unusual() || worker.paused != Paused::Nothing)
            && let Some(outcome) = self.guard(worker, command)
        {
            return outcome;
        }
        let mut partition = key.map_or(0, |(_, partition)| partition);
        if let Some(view) = &worker.view {
            match routing::route(view, worker, self, command, key, args) {
                Routed::Here(index) => partition = index,
                Routed::Locked(locked) => {
                    return self.run_locked(worker, command, args, locked);
                }
                Routed::Refused(text) => return self.redirect(worker, command, &text),
            }
        }
        if !worker.standing.is_free()
            && let Some(outcome) = self.obstacle(worker, command)
        {
            return outcome;
        }
        if self.transaction.is_some() && !runs_inside_multi(command) {
            return self.enqueue(worker, command, args);
        }
        match command.handler {
            Handler::Data(handler) => {
                let server = self.server;
                let mut locked = server.keyspace.lock(partition.into());
                self.run_data(
                    worker,
                    handler,
                    &mut locked,
                    key.map(|(hash, _)| hash),
                    args,
                );
                Outcome::Ran(command, Flow::Next)
            }
            _ => Outcome::Ran(command, self.run_other(worker, command, args)),
        }
    }

    /// Runs a handler on a locked partition.
    #[inline]
    pub(crate) fn run_data(
        &mut self,
        worker: &mut Worker,
        handler: DataHandler,
        partition: &mut Partition,
        first_key: Option<KeyHash>,
        args: Args<'_>,
    ) {
        let replicates = worker.env.replicates;
        if replicates {
            worker.effects.begin_command();
        }
        let mut ctx = Ctx {
            partition,
            db: self.db,
            reply: &mut worker.reply,
            now_ms: worker.now_ms,
            env: &worker.env,
            effects: &mut worker.effects,
            rng: &mut worker.rng,
            first_key,
        };
        handler(&mut ctx, &args);
        if replicates {
            self.propagate(worker, args);
        }
    }

    /// Adds what a command has changed to the replication stream, before its locks are released.
    fn propagate(&mut self, worker: &mut Worker, args: Args<'_>) {
        if self.executing.is_some() {
            self.pending.take(&worker.effects, self.db, args);
        } else if let Some(end) = self
            .server
            .replication
            .append(&worker.effects, self.db, args)
        {
            self.write_offset = end;
            worker.appended = true;
        }
    }

    /// Adds what the commands of a transaction have changed to the replication stream.
    pub(crate) fn propagate_transaction(&mut self, worker: &mut Worker) {
        let pending = std::mem::take(&mut self.pending);
        if let Some(end) = self.server.replication.append_transaction(&pending) {
            self.write_offset = end;
            worker.appended = true;
        }
    }

    /// Adds a finished command to the statistics.
    #[inline]
    fn account(
        &mut self,
        worker: &mut Worker,
        outcome: Outcome,
        reply_start: usize,
        args: Args<'_>,
    ) -> Flow {
        let failed = worker.reply.as_slice().get(reply_start) == Some(&b'-');
        if failed {
            count_error(self.server, worker, reply_start);
        }
        let flow = match outcome {
            Outcome::Ran(_, flow @ Flow::Again(_)) => return flow,
            Outcome::Ran(command, flow) => {
                let nanos = worker.lap();
                let stats = &worker.stats.per_command[command.index];
                stats.record(nanos, worker.config.latency_tracking);
                worker.stats.commands.add(1);
                if failed {
                    stats.failed.add(1);
                }
                if nanos >= worker.slow_nanos {
                    self.log_slow(worker, command, args, nanos);
                }
                if !matches!(command.handler, Handler::Server(ServerCommand::Asking)) {
                    self.asking = false;
                }
                flow
            }
            Outcome::Rejected(command) => {
                self.asking = false;
                if let Some(command) = command {
                    worker.stats.per_command[command.index].rejected.add(1);
                }
                Flow::Next
            }
            Outcome::Queued => Flow::Next,
            Outcome::Disconnect => return Flow::Close,
            Outcome::Postponed(wait) => return Flow::Again(wait),
        };
        if self.reply_mode != ReplyMode::On {
            self.suppress_reply(worker, reply_start);
        }
        flow
    }

    /// Whether the next command needs [`guard`](Self::guard).
    #[inline]
    fn is_unusual(&self) -> bool {
        !self.authenticated || self.transaction.is_some()
    }

    /// The checks that most commands of most clients do not need. `None`: go on.
    #[cold]
    fn guard(&mut self, worker: &mut Worker, command: &'static Command) -> Option<Outcome> {
        if !self.authenticated && !command.flags.contains(CommandFlags::NO_AUTH) {
            let text = b"NOAUTH Authentication required.";
            return Some(self.reject(worker, Some(command), text));
        }
        if self.transaction.is_some() && command.flags.contains(CommandFlags::NO_MULTI) {
            let text = b"ERR Command not allowed inside a transaction";
            return Some(self.reject(worker, Some(command), text));
        }
        let changes = |command: &Command| {
            command
                .flags
                .intersects(CommandFlags::WRITE | CommandFlags::MAY_REPLICATE)
        };
        let writes = self.any_command(command, changes);
        match worker.paused {
            Paused::All => Some(Outcome::Postponed(Wait::Unpaused)),
            Paused::Writes if writes => Some(Outcome::Postponed(Wait::Unpaused)),
            _ => None,
        }
    }

    /// Whether something is true of a command, or, at EXEC, of one of the transaction's.
    fn any_command(
        &self,
        command: &'static Command,
        is: impl Fn(&'static Command) -> bool,
    ) -> bool {
        match (&self.transaction, command.handler) {
            (Some(transaction), Handler::Server(ServerCommand::Exec)) => {
                transaction.queue.iter().any(|queued| is(queued.command))
            }
            _ => is(command),
        }
    }

    /// What the state of replication forbids, in the order of Redis 7.0. `None`: nothing.
    #[cold]
    fn obstacle(&mut self, worker: &mut Worker, command: &'static Command) -> Option<Outcome> {
        let standing = worker.standing;
        let has = |flag| command.flags.contains(flag);
        let writes = self.any_command(command, |command| {
            command.flags.contains(CommandFlags::WRITE)
        });
        let replication = &worker.config.replication;
        let is_replica = standing.contains(Standing::REPLICA);
        let text: &[u8] = if writes && standing.contains(Standing::TOO_FEW_REPLICAS) {
            b"NOREPLICAS Not enough good replicas to write."
        } else if writes
            && is_replica
            && let Some(view) = &worker.view
            && !view.myself().flags.contains(NodeFlags::REPLICA)
        {
            // The cluster has made this node the slot's owner, and it is about to become a primary.
            return Some(Outcome::Postponed(Wait::World));
        } else if writes && is_replica && replication.read_only {
            b"READONLY You can't write against a read only replica."
        } else if is_replica
            && !standing.contains(Standing::LINK_UP)
            && !replication.serve_stale_data
            && !has(CommandFlags::STALE)
        {
            b"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."
        } else if (standing.contains(Standing::LOADING) && !has(CommandFlags::LOADING))
            || (standing.contains(Standing::ASYNC_LOADING) && has(CommandFlags::NO_ASYNC_LOADING))
        {
            let since_ms = self.server.replication.loading_since_ms.load(Relaxed);
            if standing.contains(Standing::LOADING) && worker.now_ms - since_ms < SHORT_LOAD_MS {
                return Some(Outcome::Postponed(Wait::World));
            }
            b"LOADING Redis is loading the dataset in memory"
        } else {
            return None;
        };
        Some(self.reject(worker, Some(command), text))
    }

    /// Executes a command of the primary's stream. `locked` is the partition that its transaction
    /// uses.
    pub(crate) fn apply(
        &mut self,
        worker: &mut Worker,
        args: Args<'_>,
        locked: Option<&mut Partition>,
    ) {
        let reply_start = worker.reply.len();
        let resolved = args
            .get(0)
            .and_then(hexad_commands::lookup)
            .map_or_else(|| Err(unknown_command(&args)), |c| c.resolve(&args));
        match resolved {
            Ok(command) => {
                match (command.handler, locked) {
                    (Handler::Data(handler), Some(locked)) => {
                        self.run_data(worker, handler, locked, None, args);
                    }
                    (Handler::Data(handler), None) => {
                        let mut locked = self.lock_first_key(command, &args);
                        self.run_data(worker, handler, &mut locked, None, args);
                    }
                    (Handler::Keyspace(handler), _) => {
                        self.run_keyspace_command(worker, command, handler, args);
                    }
                    // What is about the server and not about keys does not come from a primary.
                    (Handler::Pure(_) | Handler::Server(_) | Handler::Container, _) => {}
                }
                let nanos = worker.lap();
                let stats = &worker.stats.per_command[command.index];
                stats.record(nanos, worker.config.latency_tracking);
                worker.stats.commands.add(1);
            }
            Err(text) => worker.reply.error_bytes(&text),
        }
        let reply = &worker.reply.as_slice()[reply_start..];
        if reply.first() == Some(&b'-') {
            tracing::warn!(
                "== CRITICAL == This replica is sending an error to its master: '{}' after \
                 processing the command '{}'",
                String::from_utf8_lossy(reply[1..].trim_ascii_end()),
                String::from_utf8_lossy(args.get(0).unwrap_or_default())
            );
            count_error(self.server, worker, reply_start);
        }
        worker.reply.clear();
    }

    /// Locks the partition of a command's first key.
    fn lock_first_key(
        &self,
        command: &'static Command,
        args: &Args<'_>,
    ) -> MutexGuard<'static, Partition> {
        let server = self.server;
        let first = command
            .keys(args)
            .ok()
            .and_then(|keys| args.get(keys.first()?));
        let index = first.map_or(0, |key| server.keyspace.partition_of(key));
        server.keyspace.lock(index.into())
    }

    /// A command that cannot run, for the reason that is the reply. A transaction that it belongs
    /// to will not run either; if it is EXEC itself, the transaction ends here.
    #[cold]
    fn reject(
        &mut self,
        worker: &mut Worker,
        command: Option<&'static Command>,
        text: &[u8],
    ) -> Outcome {
        if command.is_some_and(is_exec) {
            self.discard();
            let mut abort = b"EXECABORT Transaction discarded because of: ".to_vec();
            abort.extend_from_slice(text.strip_prefix(b"ERR ").unwrap_or(text));
            worker.reply.error_bytes(&abort);
        } else {
            worker.reply.error_bytes(text);
        }
        if let Some(transaction) = &mut self.transaction {
            transaction.aborted = true;
        }
        Outcome::Rejected(command)
    }

    /// A command whose keys are elsewhere; the reply is the redirect whatever the command is.
    #[cold]
    fn redirect(&mut self, worker: &mut Worker, command: &'static Command, text: &str) -> Outcome {
        worker.reply.error(text);
        if is_exec(command) {
            self.discard();
        } else if let Some(transaction) = &mut self.transaction {
            transaction.aborted = true;
        }
        Outcome::Rejected(Some(command))
    }

    fn enqueue(
        &mut self,
        worker: &mut Worker,
        command: &'static Command,
        args: Args<'_>,
    ) -> Outcome {
        if let Some(transaction) = &mut self.transaction {
            // What EXEC will not run anyway is not kept (and not looked at for its slot).
            if !transaction.aborted && !self.watches.is_dirty() {
                transaction.push(command, args);
            }
            worker.reply.simple("QUEUED");
        }
        Outcome::Queued
    }

    /// Runs a command that does not work on one partition alone.
    fn run_other(
        &mut self,
        worker: &mut Worker,
        command: &'static Command,
        args: Args<'_>,
    ) -> Flow {
        match command.handler {
            Handler::Pure(handler) => handler(&mut worker.reply, &args),
            Handler::Server(which) => {
                return server_commands::run(self, worker, which, args);
            }
            // What changes several partitions must not be seen half done.
            Handler::Keyspace(_) if command.flags.contains(CommandFlags::WRITE) && !self.world => {
                return Flow::Again(Wait::World);
            }
            Handler::Keyspace(handler) => self.run_keyspace_command(worker, command, handler, args),
            Handler::Data(_) | Handler::Container => {}
        }
        Flow::Next
    }

    /// Runs a command that visits partitions.
    fn run_keyspace_command(
        &mut self,
        worker: &mut Worker,
        command: &'static Command,
        handler: KeyspaceHandler,
        args: Args<'_>,
    ) {
        if command.flags.contains(CommandFlags::WRITE) {
            // These empty or exchange databases. As Redis, which ends the child that saves: what
            // would have to be passed on to the snapshot is all there is.
            self.server.keyspace.abort_snapshot();
        }
        self.run_keyspace(worker, handler, args);
    }

    /// Runs a handler that visits partitions.
    pub(crate) fn run_keyspace(
        &mut self,
        worker: &mut Worker,
        handler: KeyspaceHandler,
        args: Args<'_>,
    ) {
        let replicates = worker.env.replicates;
        if replicates {
            worker.effects.begin_command();
        }
        let visited = Visited {
            server: self.server,
            // While the world is stopped nobody comes in between, and all goes as one.
            at_once: !self.world && self.executing.is_none(),
        };
        let mut ctx = KeyspaceCtx {
            keyspace: &visited,
            db: self.db,
            reply: &mut worker.reply,
            now_ms: worker.now_ms,
            env: &worker.env,
            effects: &mut worker.effects,
            rng: &mut worker.rng,
        };
        handler(&mut ctx, &args);
        if replicates {
            self.propagate(worker, args);
        }
    }

    /// Runs a command of a slot that is on its way to or from another node; its keys were looked
    /// for under the lock that is passed on here.
    #[cold]
    fn run_locked(
        &mut self,
        worker: &mut Worker,
        command: &'static Command,
        args: Args<'_>,
        mut locked: MutexGuard<'static, Partition>,
    ) -> Outcome {
        if self.transaction.is_some() && !runs_inside_multi(command) {
            return self.enqueue(worker, command, args);
        }
        if let Handler::Data(handler) = command.handler {
            self.run_data(worker, handler, &mut locked, None, args);
            return Outcome::Ran(command, Flow::Next);
        }
        drop(locked);
        Outcome::Ran(command, self.run_other(worker, command, args))
    }

    /// Runs one command of a transaction; `locked` is the partition that all of them use, or
    /// `None` while the world is stopped.
    pub(crate) fn run_queued(
        &mut self,
        worker: &mut Worker,
        queued: &Queued,
        locked: Option<&mut Partition>,
    ) {
        let (command, args) = (queued.command, queued.args());
        let reply_start = worker.reply.len();
        match (command.handler, locked) {
            (Handler::Data(handler), Some(locked)) => {
                self.run_data(worker, handler, locked, None, args);
            }
            (Handler::Data(handler), None) => {
                let mut locked = self.lock_first_key(command, &args);
                self.run_data(worker, handler, &mut locked, None, args);
            }
            _ => match self.run_other(worker, command, args) {
                Flow::Next | Flow::Again(_) => {}
                Flow::Close => self.close_requested = true,
                // Inside EXEC server commands answer at once.
                Flow::Reply(_) | Flow::HandOver(_) => {}
            },
        }
        let nanos = worker.lap();
        let stats = &worker.stats.per_command[command.index];
        stats.record(nanos, worker.config.latency_tracking);
        worker.stats.commands.add(1);
        if nanos >= worker.slow_nanos {
            self.log_slow(worker, command, args, nanos);
        }
        if worker.reply.as_slice().get(reply_start) == Some(&b'-') {
            count_error(self.server, worker, reply_start);
            stats.failed.add(1);
        }
    }

    /// Ends a transaction without running it.
    pub(crate) fn discard(&mut self) {
        self.transaction = None;
        self.watches.clear(&self.server.keyspace);
    }

    /// CLIENT REPLY: takes back what the command has answered.
    #[cold]
    fn suppress_reply(&mut self, worker: &mut Worker, reply_start: usize) {
        match self.reply_mode {
            // CLIENT REPLY SKIP itself has no reply; the next command's is dropped.
            ReplyMode::SkipNext => self.reply_mode = ReplyMode::Skip,
            ReplyMode::Skip => {
                worker.reply.truncate(reply_start);
                self.reply_mode = ReplyMode::On;
            }
            ReplyMode::Off => worker.reply.truncate(reply_start),
            ReplyMode::On => {}
        }
    }

    /// Takes the reply of a command that was answered by another thread.
    pub(crate) fn late_reply(&mut self, reply: &[u8], output: &mut Vec<u8>) {
        if self.reply_mode == ReplyMode::On {
            output.extend_from_slice(reply);
        }
    }

    #[cold]
    fn log_slow(&self, worker: &Worker, command: &'static Command, args: Args<'_>, nanos: u64) {
        let hidden = command.flags.contains(CommandFlags::SKIP_SLOWLOG);
        if hidden || worker.config.slowlog_max_len == 0 {
            return;
        }
        let entry = |id, args| slowlog::Entry {
            id,
            time_s: worker.now_ms / 1000,
            micros: nanos / 1000,
            args,
            addr: self.client.addr.clone(),
            name: self.client.name.lock().clone(),
        };
        self.server
            .slowlog
            .push(args.iter(), entry, worker.config.slowlog_max_len);
    }

    /// Shows the others, in the middle of a batch, what CLIENT LIST shows of this client.
    pub(crate) fn publish_now(&self, worker: &Worker, command: &str) {
        let command = if self.executing.is_some() {
            "exec"
        } else {
            command
        };
        let command = Command::all().find(|known| known.full_name() == command);
        self.publish(worker, command);
    }

    /// Shows the others what the batch has changed.
    fn publish(&self, worker: &Worker, last_command: Option<&'static Command>) {
        let live = &self.client.live;
        live.last_ms.store(worker.now_ms, Relaxed);
        if let Some(command) = last_command {
            live.last_command.store(command.index as u32, Relaxed);
        }
        live.db.store(self.db as u16, Relaxed);
        live.resp
            .store(if self.proto == Proto::Resp3 { 3 } else { 2 }, Relaxed);
        let multi = self.transaction.as_ref();
        let queued = multi.map(|multi| multi.queue.len()).or(self.executing);
        live.multi
            .store(queued.map_or(-1, |queued| queued as i64), Relaxed);
        live.multi_bytes
            .store(multi.map_or(0, |multi| multi.bytes), Relaxed);
        let kept = live.flags.load(Relaxed) & (flag::CLOSE_AFTER_REPLY | flag::BLOCKED);
        let mut flags = kept;
        for (on, bit) in [
            (queued.is_some(), flag::MULTI),
            (self.watches.is_dirty(), flag::DIRTY_CAS),
            (self.readonly, flag::READONLY),
            (self.no_evict, flag::NO_EVICT),
        ] {
            flags |= if on { bit } else { 0 };
        }
        if flags != kept || flags != live.flags.load(Relaxed) {
            live.flags.store(flags, Relaxed);
        }
    }

    /// The connection is gone.
    pub(crate) fn close(&mut self) {
        self.discard();
    }
}

/// The partitions as a command visits them one after another.
struct Visited {
    server: &'static Server,
    /// What it deletes goes to the stream under the lock of its partition.
    at_once: bool,
}

impl hexad_commands::Keyspace for Visited {
    fn partitions(&self) -> usize {
        self.server.keyspace.partitions()
    }

    fn visit(&self, index: usize, visit: &mut dyn FnMut(&mut Partition)) {
        self.server.keyspace.visit(index, visit);
    }

    fn maybe_non_empty(&self, index: usize) -> bool {
        self.server.keyspace.maybe_non_empty(index)
    }

    fn free_later(&self, garbage: Detached) {
        self.server.keyspace.free_later(garbage);
    }

    fn propagate(&self, effects: &mut Effects) {
        if self.at_once {
            self.server.replication.append_each(effects);
            effects.begin_command();
        }
    }
}

/// What became of a command.
enum Outcome {
    /// Its handler ran.
    Ran(&'static Command, Flow),
    /// It was refused.
    Rejected(Option<&'static Command>),
    /// It waits for EXEC.
    Queued,
    /// The client is no client of ours.
    Disconnect,
    /// It has to wait.
    Postponed(Wait),
}

/// Whether MULTI does not queue this command.
fn runs_inside_multi(command: &Command) -> bool {
    use ServerCommand::{Discard, Exec, Multi, Quit, Reset, Watch};
    matches!(
        command.handler,
        Handler::Server(Exec | Discard | Multi | Watch | Quit | Reset)
    )
}

/// Whether this is EXEC.
pub(crate) fn is_exec(command: &Command) -> bool {
    matches!(command.handler, Handler::Server(ServerCommand::Exec))
}

/// Whether this is a line of an HTTP request, which a web page can make a browser send here.
/// (Redis 7.0 looks for the same two words.)
fn is_http(args: Args<'_>) -> bool {
    let name = args.get(0).unwrap_or_default();
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

/// A command as a client would send it.
fn encode(args: Args<'_>) -> Vec<u8> {
    let mut request = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        request.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        request.extend_from_slice(arg);
        request.extend_from_slice(b"\r\n");
    }
    request
}

/// Counts the error reply that starts at `reply_start`.
#[cold]
pub(crate) fn count_error(server: &Server, worker: &Worker, reply_start: usize) {
    worker.stats.error_replies.add(1);
    let text = &worker.reply.as_slice()[reply_start + 1..];
    let end = text
        .iter()
        .position(|byte| matches!(byte, b' ' | b'\r'))
        .unwrap_or(text.len());
    server.count_error(&text[..end]);
}
