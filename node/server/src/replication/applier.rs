//! Applying the primary's stream.
//!
//! The applier is one more worker as far as gates, counters and buffers go. Each unit of the stream
//! (a command, or a transaction) is applied under the locks that a client's would take, and
//! appended to the own backlog within the same pass through the gate: a cut for a snapshot never
//! falls between the two.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use hexad_commands::{Command, CommandFlags, Expiry, Handler};
use hexad_replication::{Incoming, Unit, UnitKind};
use hexad_resp::Args;
use tokio::net::TcpStream;

use super::link::Failure;
use crate::clients::{Client, NewClient, flag};
use crate::gate;
use crate::server::Server;
use crate::session::Session;
use crate::worker::{self, Worker, unix_ms};

/// Commands cut at a time, and applied before others have a turn.
const BATCH_COMMANDS: usize = 64;

/// Applies a stream. It shows as a client while it exists.
pub(super) struct Applier {
    server: &'static Server,
    session: Session,
}

/// Whether a unit could be applied.
enum Done {
    Yes,
    /// It needs the world stopped, and somebody is busy.
    NeedsWorld,
    /// Somebody has closed the link: nothing more is applied.
    Killed,
}

impl Applier {
    pub(super) fn new(server: &'static Server, socket: &TcpStream) -> Self {
        let text = |addr: io::Result<SocketAddr>| {
            addr.map_or_else(|_| String::new(), |addr| addr.to_string())
        };
        let client = server.clients.connect(NewClient {
            addr: text(socket.peer_addr()),
            laddr: text(socket.local_addr()),
            fd: socket.as_raw_fd(),
            unix: false,
            worker: server.replication_worker(),
            now_ms: unix_ms(),
        });
        client
            .live
            .flags
            .store(flag::PRIMARY, std::sync::atomic::Ordering::Relaxed);
        let mut session = Session::new(server, client);
        session.authenticated = true;
        Self { server, session }
    }

    /// The link as a client.
    pub(super) fn client(&self) -> &Arc<Client> {
        &self.session.client
    }

    /// Applies all that has arrived whole. Whether the primary has asked for an acknowledgement.
    pub(super) async fn apply(&mut self, incoming: &mut Incoming) -> Result<bool, Failure> {
        let mut asked = false;
        loop {
            let more = incoming.cut(BATCH_COMMANDS)?;
            loop {
                let (applied, done) = self.apply_units(incoming, &mut asked);
                if let Some(end) = applied {
                    incoming.applied(end);
                }
                match done {
                    Done::Yes => break,
                    Done::Killed => return Err(Failure::killed()),
                    Done::NeedsWorld => {
                        let end = self.apply_in_stopped_world(incoming).await;
                        incoming.applied(end);
                    }
                }
            }
            self.server.replication.notify();
            if !more {
                return Ok(asked);
            }
            tokio::task::yield_now().await;
        }
    }

    /// Applies units until one needs the world; gives the offset of the last one.
    fn apply_units(&mut self, incoming: &Incoming, asked: &mut bool) -> (Option<u64>, Done) {
        let mut end = None;
        let server = self.server;
        worker::with(|worker| {
            let _pass = server.gates.enter(worker.id);
            // While this waited for its gate, too.
            if self.session.client.is_killed() {
                return (None, Done::Killed);
            }
            begin(worker);
            let mut done = Done::Yes;
            for unit in incoming.units() {
                match unit.kind {
                    UnitKind::Nothing => {}
                    UnitKind::GetAck => *asked = true,
                    UnitKind::Command | UnitKind::Transaction => {
                        if !self.apply_unit(worker, &unit) {
                            done = Done::NeedsWorld;
                            break;
                        }
                    }
                }
                self.append(&unit);
                end = Some(unit.end);
            }
            worker.end_batch();
            worker.trim_buffers();
            (end, done)
        })
    }

    /// Applies the next unit while the world is stopped; gives its offset.
    async fn apply_in_stopped_world(&mut self, incoming: &Incoming) -> u64 {
        let server = self.server;
        let Some(unit) = incoming.units().next() else {
            return incoming.offset();
        };
        loop {
            if let Some(world) = server.gates.try_stop() {
                worker::with(|worker| {
                    begin(worker);
                    self.session.world = true;
                    self.apply_unit(worker, &unit);
                    self.session.world = false;
                    self.append(&unit);
                    worker.end_batch();
                });
                drop(world);
                return unit.end;
            }
            tokio::time::sleep(gate::RETRY).await;
        }
    }

    fn append(&self, unit: &Unit<'_>) {
        self.server
            .replication
            .stream()
            .append_raw(unit.raw, unit.db);
    }

    /// Applies a unit; false if it needs the world and does not have it: then nothing is done.
    fn apply_unit(&mut self, worker: &mut Worker, unit: &Unit<'_>) -> bool {
        if !self.session.world && needs_world(self.server, unit) {
            return false;
        }
        // A transaction of one partition is applied under one hold of its lock.
        let mut locked = match (unit.kind, self.session.world) {
            (UnitKind::Transaction, false) => only_partition(self.server, unit)
                .map(|index| self.server.keyspace.lock(index.into())),
            _ => None,
        };
        for (db, args) in unit.commands() {
            self.session.db = db as usize;
            self.session.apply(worker, args, locked.as_deref_mut());
        }
        true
    }
}

/// Begins a batch of what the primary says, which obeys no expiry but the primary's.
fn begin(worker: &mut Worker) {
    worker.begin_batch();
    worker.env.expiry = Expiry::Ignores;
    worker.env.replicates = false;
}

impl Drop for Applier {
    fn drop(&mut self) {
        self.session.close();
        self.server.clients.disconnect(self.session.client.id);
    }
}

/// The command that some arguments name, if they are a good call of one.
pub(crate) fn command_of(args: &Args<'_>) -> Option<&'static Command> {
    let command = hexad_commands::lookup(args.get(0)?)?;
    command.resolve(args).ok()
}

/// Whether a unit changes several partitions at once.
fn needs_world(server: &Server, unit: &Unit<'_>) -> bool {
    let several = unit.commands().any(|(_, args)| {
        command_of(&args).is_some_and(|command| {
            matches!(command.handler, Handler::Keyspace(_))
                && command.flags.contains(CommandFlags::WRITE)
        })
    });
    several || (unit.kind == UnitKind::Transaction && only_partition(server, unit).is_none())
}

/// The one partition that all keys of a unit are in.
fn only_partition(server: &Server, unit: &Unit<'_>) -> Option<u16> {
    let keyspace = &server.keyspace;
    let mut only = None;
    for (_, args) in unit.commands() {
        let Some(command) = command_of(&args) else {
            continue;
        };
        let Ok(keys) = command.keys(&args) else {
            continue;
        };
        for (position, _) in keys.iter() {
            let partition = keyspace.partition_of(&args[position]);
            if *only.get_or_insert(partition) != partition {
                return None;
            }
        }
    }
    Some(only.unwrap_or(0))
}
