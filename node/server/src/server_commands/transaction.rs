//! MULTI, EXEC, DISCARD, WATCH and UNWATCH.

use hexad_commands::{Args, Handler};

use crate::session::{Flow, Session, Wait};
use crate::transaction::Transaction;
use crate::worker::Worker;

/// MULTI.
pub(super) fn multi(session: &mut Session, worker: &mut Worker) -> Flow {
    if session.transaction.is_some() {
        return super::error(worker, "ERR MULTI calls can not be nested");
    }
    session.transaction = Some(Transaction::default());
    worker.reply.ok();
    Flow::Next
}

/// DISCARD.
pub(super) fn discard(session: &mut Session, worker: &mut Worker) -> Flow {
    if session.transaction.is_none() {
        return super::error(worker, "ERR DISCARD without MULTI");
    }
    session.discard();
    worker.reply.ok();
    Flow::Next
}

/// WATCH key ….
pub(super) fn watch(session: &mut Session, worker: &mut Worker, args: Args<'_>) -> Flow {
    if session.transaction.is_some() {
        return super::error(worker, "ERR WATCH inside MULTI is not allowed");
    }
    let keyspace = &session.server.keyspace;
    for key in args.slice(1) {
        let partition = keyspace.partition_of(key);
        session
            .watches
            .add(worker, keyspace, partition, session.db, key);
    }
    worker.reply.ok();
    Flow::Next
}

/// UNWATCH.
pub(super) fn unwatch(session: &mut Session, worker: &mut Worker) -> Flow {
    session.watches.clear(&session.server.keyspace);
    worker.reply.ok();
    Flow::Next
}

/// EXEC.
pub(super) fn exec(session: &mut Session, worker: &mut Worker) -> Flow {
    let Some(transaction) = session.transaction.take() else {
        return super::error(worker, "ERR EXEC without MULTI");
    };
    if transaction.aborted {
        session.discard();
        let text = "EXECABORT Transaction discarded because of previous errors.";
        return super::error(worker, text);
    }
    let partition = only_partition(session, &transaction);
    if partition.is_none() && !session.world {
        session.transaction = Some(transaction);
        return Flow::Again(Wait::World);
    }
    let keyspace = &session.server.keyspace;
    session.watches.check_expired(keyspace, worker.now_ms);
    let watches = std::mem::take(&mut session.watches);
    // From here on nobody else changes what the transaction reads: looked at before, a watched
    // key could still change between the look and the first command.
    let mut locked = partition.map(|index| keyspace.lock(index.into()));
    if watches.is_dirty() {
        worker.reply.null_array();
    } else {
        session.executing = Some(transaction.queue.len());
        worker.reply.array(transaction.queue.len());
        for queued in &transaction.queue {
            session.run_queued(worker, queued, locked.as_deref_mut());
        }
        session.executing = None;
        session.propagate_transaction(worker);
    }
    drop(locked);
    let mut watches = watches;
    watches.clear(keyspace);
    if std::mem::take(&mut session.close_requested) {
        Flow::Close
    } else {
        Flow::Next
    }
}

/// The one partition that all of the transaction, and what it watches, lies in; `None` if it
/// needs more than the lock of one.
fn only_partition(session: &Session, transaction: &Transaction) -> Option<u16> {
    let keyspace = &session.server.keyspace;
    let mut only = None;
    let mut agrees = |partition: u16| *only.get_or_insert(partition) == partition;
    for queued in &transaction.queue {
        let args = queued.args();
        match queued.command.handler {
            Handler::Data(_) => {
                let Ok(keys) = queued.command.keys(&args) else {
                    continue;
                };
                let mut partitions = keys
                    .iter()
                    .map(|(key, _)| keyspace.partition_of(&args[key]));
                if !partitions.all(&mut agrees) {
                    return None;
                }
            }
            Handler::Pure(_) => {}
            Handler::Keyspace(_) | Handler::Server(_) | Handler::Container => return None,
        }
    }
    session
        .watches
        .partitions()
        .all(agrees)
        .then_some(only.unwrap_or(0))
}
