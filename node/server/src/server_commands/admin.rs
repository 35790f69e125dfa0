//! Commands about the process: INFO, ROLE, SHUTDOWN, LASTSAVE.

use hexad_commands::Args;

use crate::info;
use crate::session::{Flow, Session};
use crate::worker::Worker;

/// INFO [section …].
pub(super) fn info(session: &Session, worker: &mut Worker, args: Args<'_>) -> Flow {
    worker.settle();
    let text = info::text(session.server, args.slice(1).iter());
    worker.reply.verbatim("txt", text.as_bytes());
    Flow::Next
}

/// LASTSAVE.
pub(super) fn last_save(session: &Session, worker: &mut Worker) -> Flow {
    worker
        .reply
        .integer(session.server.last_save_s.get() as i64);
    Flow::Next
}

/// SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] [ABORT].
pub(super) fn shutdown(session: &Session, worker: &mut Worker, args: Args<'_>) -> Flow {
    let (mut save, mut nosave, mut abort, mut now, mut force) = (false, false, false, false, false);
    for option in args.slice(1) {
        match option.to_ascii_lowercase().as_slice() {
            b"save" => save = true,
            b"nosave" => nosave = true,
            b"abort" => abort = true,
            b"now" => now = true,
            b"force" => force = true,
            _ => return super::syntax_error(worker),
        }
    }
    if (save && nosave) || (abort && (save || nosave || now || force)) {
        return super::syntax_error(worker);
    }
    if abort {
        if !session.server.shutdown.abort() {
            return super::error(worker, "ERR No shutdown in progress.");
        }
        worker.reply.ok();
        return Flow::Next;
    }
    if save {
        tracing::warn!("SHUTDOWN SAVE: this version cannot save the dataset; not shutting down");
        return super::error(worker, "ERR Errors trying to SHUTDOWN. Check logs.");
    }
    session.server.shutdown.request(now);
    // There is no answer: the connection ends with the process, unless the shutdown is aborted.
    Flow::Reply(Box::pin(session.server.shutdown.outcome()))
}
