//! SLOWLOG.

use hexad_commands::Args;
use hexad_resp::parse_i64;

use crate::session::{Flow, Session};
use crate::worker::Worker;

/// Entries that SLOWLOG GET returns without a count.
const DEFAULT_COUNT: usize = 10;

/// SLOWLOG GET [count].
pub(super) fn get(session: &Session, worker: &mut Worker, args: Args<'_>) -> Flow {
    let count = match args.get(2).map(parse_i64) {
        None => DEFAULT_COUNT,
        Some(Some(-1)) => usize::MAX,
        Some(Some(count)) if count >= 0 => count as usize,
        Some(_) => {
            return super::error(worker, "ERR count should be greater than or equal to -1");
        }
    };
    let entries = session.server.slowlog.newest(count);
    let reply = &mut worker.reply;
    reply.array(entries.len());
    for entry in entries {
        reply.array(6);
        reply.integer(entry.id as i64);
        reply.integer(entry.time_s);
        reply.integer(entry.micros as i64);
        reply.array(entry.args.len());
        entry.args.iter().for_each(|arg| reply.bulk(arg));
        reply.bulk(entry.addr.as_bytes());
        reply.bulk(&entry.name);
    }
    Flow::Next
}

/// SLOWLOG LEN.
pub(super) fn len(session: &Session, worker: &mut Worker) -> Flow {
    worker.reply.integer(session.server.slowlog.len() as i64);
    Flow::Next
}

/// SLOWLOG RESET.
pub(super) fn reset(session: &Session, worker: &mut Worker) -> Flow {
    session.server.slowlog.reset();
    worker.reply.ok();
    Flow::Next
}
