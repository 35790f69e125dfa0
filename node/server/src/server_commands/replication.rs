//! REPLICAOF, PSYNC, SYNC, REPLCONF, ROLE, WAIT and FAILOVER.

use hexad_commands::Args;
use hexad_replication::{
    Answer, FailoverCommand, FailoverEvent, FailoverRequest, PsyncRequest, ReplConf, ServerState,
};
use hexad_resp::parse_i64;
use tokio::sync::oneshot;

use crate::clients::flag;
use crate::replication::{
    Attached, Following, LinkState, Order, Reader, Standing, Start, WaitEnd, pause_for_failover,
};
use crate::session::{Flow, Session, ToReplica, Wait};
use crate::worker::Worker;

/// REPLICAOF host port, REPLICAOF NO ONE; SLAVEOF is the same.
pub(super) fn replicaof(session: &mut Session, worker: &mut Worker, args: Args<'_>) -> Flow {
    let server = session.server;
    if server.cluster.is_some() {
        return super::error(worker, "ERR REPLICAOF not allowed in cluster mode.");
    }
    if server.replication.hub().failover.is_on() {
        return super::error(worker, "ERR REPLICAOF not allowed while failing over.");
    }
    let no_one = args[1].eq_ignore_ascii_case(b"no") && args[2].eq_ignore_ascii_case(b"one");
    let (done, changed) = oneshot::channel();
    let done = Some(done);
    let order = if no_one {
        if worker.standing.contains(Standing::REPLICA) {
            tracing::info!(
                "MASTER MODE enabled (user request from '{}')",
                String::from_utf8_lossy(&session.client.describe(worker.now_ms))
            );
        }
        // At once: in a transaction CONFIG REWRITE may be the next command.
        server.note_primary(None);
        Order::Promote { done }
    } else {
        let Some(port) = parse_i64(&args[2]).and_then(|port| u16::try_from(port).ok()) else {
            return super::error(worker, "ERR Invalid master port");
        };
        let primary = Following {
            host: String::from_utf8_lossy(&args[1]).into_owned(),
            port,
        };
        if server.replication.status().primary.as_ref() == Some(&primary) {
            tracing::info!(
                "REPLICAOF would result into synchronization with the master we are already \
                 connected with. No operation performed."
            );
            worker
                .reply
                .simple("OK Already connected to specified master");
            return Flow::Next;
        }
        tracing::info!(
            "REPLICAOF {primary} enabled (user request from '{}')",
            String::from_utf8_lossy(&session.client.describe(worker.now_ms))
        );
        server.note_primary(Some(&primary));
        if session.executing.is_some() {
            // What follows in the transaction sees the role (Redis 7.0: at once).
            let primary = Some(primary.clone());
            server.replication.demote_stopped(&server.keyspace, primary);
        }
        Order::Follow { primary, done }
    };
    server.replication.order(order);
    if session.executing.is_some() {
        // The transaction's own world is stopped: the thread goes on behind it.
        worker.reply.ok();
        return Flow::Next;
    }
    Flow::Reply(Box::pin(async move {
        // It fails only if the process ends.
        let _ = changed.await;
        b"+OK\r\n".to_vec()
    }))
}

/// REPLCONF option value ….
pub(super) fn replconf(session: &mut Session, worker: &mut Worker, args: Args<'_>) -> Flow {
    match session.replica.replconf(args.slice(1)) {
        ReplConf::Ok => worker.reply.ok(),
        ReplConf::Error(text) => worker.reply.error_bytes(&text),
        // From a connection that is no replica's and no primary's these mean nothing.
        ReplConf::Ack(_) | ReplConf::GetAck | ReplConf::Nothing => {}
    }
    Flow::Next
}

/// PSYNC id offset, and SYNC.
pub(super) fn psync(session: &mut Session, worker: &mut Worker, args: Args<'_>) -> Flow {
    if session.executing.is_some() {
        return super::error(
            worker,
            "ERR SYNC and PSYNC are not allowed in a transaction",
        );
    }
    let server = session.server;
    let replication = &server.replication;
    let standing = worker.standing;
    let is_psync = args.len() > 1;
    let ip = session.client.ip().to_owned();
    let name = session.replica.name(&ip);
    if !session.world && !session.took_over {
        tracing::info!("Replica {name} asks for synchronization");
    }
    if is_psync && !session.world && !session.took_over {
        let (request, line) = {
            let stream = replication.stream();
            let is_replica = standing.contains(Standing::REPLICA);
            hexad_replication::failover_request(args.slice(1), stream.history(), is_replica)
        };
        crate::replication::write_log(line);
        match request {
            FailoverRequest::None => {}
            FailoverRequest::Refuse(text) => return super::error(worker, text),
            FailoverRequest::Promote if server.cluster.is_some() => {
                return super::error(worker, "ERR FAILOVER not allowed in cluster mode.");
            }
            FailoverRequest::Promote => return promote_first(session),
        }
    }
    let state = ServerState {
        is_replica: standing.contains(Standing::REPLICA),
        link_up: standing.contains(Standing::LINK_UP),
        failing_over: replication.hub().failover.is_on(),
        pending_output: !worker.reply.is_empty(),
    };
    if let Some(text) = hexad_replication::refuse_sync(&state, &session.replica) {
        session.took_over = false;
        return super::error(worker, text);
    }
    if !session.world {
        // Workers begin to append to the stream between two batches.
        return Flow::Again(Wait::World);
    }
    session.took_over = false;
    let start = if is_psync {
        match answer(session, worker, args, &name) {
            Ok(start) => start,
            Err(text) => return super::error(worker, text),
        }
    } else {
        start_stream(session, worker);
        replication.counters.sync_full.increment();
        Start::Full { psync: false }
    };
    Flow::HandOver(Box::new(ToReplica {
        replica: Attached {
            client: session.client.clone(),
            said: session.replica.clone(),
            ip,
        },
        start,
    }))
}

/// Makes sure of a backlog.
fn start_stream(session: &Session, worker: &mut Worker) {
    let replication = &session.server.replication;
    let line = replication.start_stream();
    crate::replication::write_log(line);
    worker.standing = replication.standing();
}

fn answer(
    session: &Session,
    worker: &mut Worker,
    args: Args<'_>,
    name: &str,
) -> Result<Start, &'static str> {
    let replication = &session.server.replication;
    let counters = &replication.counters;
    let request = PsyncRequest::parse(args.slice(1), name).map_err(|(text, line)| {
        crate::replication::write_log([line]);
        text
    })?;
    let answer = {
        let mut stream = replication.stream();
        match hexad_replication::psync(&stream, &session.replica, name, &request) {
            Answer::Continue { reply, next, log } => Ok((stream.attach(next), reply, log)),
            Answer::Full { log } => Err(log),
        }
    };
    match answer {
        Ok((Some(reader), reply, log)) => {
            crate::replication::write_log([log]);
            counters.sync_partial_ok.increment();
            let reader = Reader(session.server, reader);
            return Ok(Start::Continue { reply, reader });
        }
        Ok((None, ..)) => {}
        Err(log) => crate::replication::write_log(log),
    }
    counters.sync_full.increment();
    if !request.wants_all() {
        counters.sync_partial_err.increment();
    }
    start_stream(session, worker);
    Ok(Start::Full { psync: true })
}

/// PSYNC … FAILOVER: become a primary, then try the command again.
fn promote_first(session: &mut Session) -> Flow {
    session.took_over = true;
    let (done, changed) = oneshot::channel();
    let order = Order::Promote { done: Some(done) };
    session.server.replication.order(order);
    Flow::Again(Wait::Until(Box::pin(async move {
        let _ = changed.await;
    })))
}

/// ROLE.
pub(super) fn role(session: &Session, worker: &mut Worker) -> Flow {
    let replication = &session.server.replication;
    let offset = replication.stream().offset();
    if worker.standing.contains(Standing::REPLICA) {
        let status = replication.status().clone();
        let (host, port) = status
            .primary
            .map_or((String::new(), 0), |of| (of.host, of.port));
        let offset = match status.state {
            LinkState::Connected | LinkState::Connect => offset as i64,
            _ => -1,
        };
        worker.reply.array(5);
        worker.reply.bulk(b"slave");
        worker.reply.bulk(host.as_bytes());
        worker.reply.integer(port.into());
        worker.reply.bulk(status.state.as_str().as_bytes());
        worker.reply.integer(offset);
        return Flow::Next;
    }
    let hub = replication.hub();
    let online: Vec<(String, i64, u64)> = hub
        .replicas()
        .filter(|(_, ack)| ack.state == hexad_replication::ReplicaState::Online)
        .map(|(replica, ack)| (replica.host(), replica.said.listening_port, ack.offset))
        .collect();
    drop(hub);
    worker.reply.array(3);
    worker.reply.bulk(b"master");
    worker.reply.integer(offset as i64);
    worker.reply.array(online.len());
    for (host, port, offset) in online {
        worker.reply.array(3);
        worker.reply.bulk(host.as_bytes());
        worker.reply.bulk_int(port);
        worker.reply.bulk_int(offset as i64);
    }
    Flow::Next
}

/// WAIT numreplicas timeout.
pub(super) fn wait(session: &mut Session, worker: &mut Worker, args: Args<'_>) -> Flow {
    if worker.standing.contains(Standing::REPLICA) {
        return super::error(
            worker,
            "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 \
             if a replica is configured to be writable (which is not the default) writes to \
             replicas are just local and are not propagated.",
        );
    }
    let Some(replicas) = parse_i64(&args[1]) else {
        return super::error(worker, "ERR value is not an integer or out of range");
    };
    let timeout_ms = match parse_i64(&args[2]) {
        None => return super::error(worker, "ERR timeout is not an integer or out of range"),
        Some(timeout) if timeout < 0 => {
            return super::error(worker, "ERR timeout is negative");
        }
        Some(timeout) => timeout as u64,
    };
    let server = session.server;
    let id = session.client.id;
    let now = server.replication.now();
    let mut hub = server.replication.hub();
    if session.executing.is_some() {
        let acked = hub.acks.count_acked(session.write_offset);
        worker.reply.integer(acked as i64);
        return Flow::Next;
    }
    match hub.wait(id, session.write_offset, replicas, timeout_ms, now) {
        Ok(acked) => {
            worker.reply.integer(acked as i64);
            Flow::Next
        }
        Err(end) => {
            drop(hub);
            server.replication.order(Order::Look);
            let waiting = Waiting(session.server, id);
            Flow::Reply(Box::pin(async move {
                let end = end.await;
                drop(waiting);
                match end {
                    Ok(WaitEnd::Replicas(acked)) => format!(":{acked}\r\n").into_bytes(),
                    Ok(WaitEnd::Unblocked) => {
                        b"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n".to_vec()
                    }
                    Ok(WaitEnd::Demoted) | Err(_) => {
                        b"-UNBLOCKED force unblock from blocking operation, instance state changed \
                          (master -> replica?)\r\n"
                            .to_vec()
                    }
                }
            }))
        }
    }
}

/// A client in WAIT; when its connection closes, nobody waits any more.
struct Waiting(&'static crate::server::Server, u64);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.replication.hub().unblock(self.1, false);
    }
}

/// FAILOVER [TO host port [FORCE]] [ABORT] [TIMEOUT ms].
pub(super) fn failover(session: &mut Session, worker: &mut Worker, args: Args<'_>) -> Flow {
    let server = session.server;
    if server.cluster.is_some() {
        return super::error(worker, "ERR FAILOVER not allowed in cluster mode.");
    }
    let command = match hexad_replication::parse_failover(args.slice(1)) {
        Ok(command) => command,
        Err(text) => return super::error(worker, text),
    };
    if !session.world {
        return Flow::Again(Wait::World);
    }
    let replication = &server.replication;
    let is_replica = worker.standing.contains(Standing::REPLICA);
    let now = replication.now();
    let mut hub = replication.hub();
    let result = match command {
        FailoverCommand::Abort => hub.failover.abort_by_hand().map(|(event, line)| {
            crate::replication::write_log([line]);
            Some(event)
        }),
        FailoverCommand::Start {
            target,
            force,
            timeout_ms,
        } => {
            let replicas = hub.listed();
            let begun = hub
                .failover
                .start(target, force, timeout_ms, is_replica, &replicas, now);
            begun.map(|line| {
                crate::replication::write_log([line]);
                None
            })
        }
    };
    drop(hub);
    match result {
        Ok(event) => {
            if event.is_none() {
                pause_for_failover(server);
            }
            replication.order(Order::Failover(event.filter(is_something)));
            worker.reply.ok();
        }
        Err(text) => worker.reply.error(text),
    }
    Flow::Next
}

fn is_something(event: &FailoverEvent) -> bool {
    !matches!(event, FailoverEvent::Done)
}

/// CLIENT UNBLOCK of a client in WAIT; whether it was waiting.
pub(super) fn unblock(session: &Session, client: u64, error: bool) -> bool {
    let blocked = session.server.clients.get(client).is_some_and(|client| {
        client.live.flags.load(std::sync::atomic::Ordering::Relaxed) & flag::BLOCKED != 0
    });
    blocked && session.server.replication.hub().unblock(client, error)
}
