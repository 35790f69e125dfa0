//! PSYNC and SYNC as a primary answers them.
//!
//! The order of questions, as in Redis 7.0:
//! 1. [`failover_request`]: does the old primary hand over to this replica (`PSYNC … FAILOVER`)?
//! 2. [`refuse_sync`]: can this server feed anybody right now?
//! 3. [`PsyncRequest::parse`] and [`psync`]: from where?

use hexad_resp::{Args, parse_i64};

use crate::history::History;
use crate::id::ReplId;
use crate::log::{LogLine, printable};
use crate::replconf::Replica;
use crate::stream::Stream;

/// What matters of a server that is asked for a synchronisation.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerState {
    /// It is a replica itself.
    pub is_replica: bool,
    /// It is a replica and its link to the primary is up.
    pub link_up: bool,
    /// It is handing over to one of its replicas (FAILOVER).
    pub failing_over: bool,
    /// Replies to earlier commands of this connection are not sent yet.
    pub pending_output: bool,
}

/// What a third argument of PSYNC asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailoverRequest {
    /// No failover.
    None,
    /// Become a primary first (in cluster mode: take the slots over), then go on with the PSYNC.
    Promote,
    /// Refuse with this error.
    Refuse(&'static str),
}

/// Looks for `PSYNC id offset FAILOVER`; `args` are those behind the command's name. A line for
/// the log comes with a request.
pub fn failover_request(
    args: Args<'_>,
    history: &History,
    is_replica: bool,
) -> (FailoverRequest, Option<LogLine>) {
    let Some(id) = args.get(0) else {
        return (FailoverRequest::None, None);
    };
    if !args
        .get(2)
        .is_some_and(|word| word.eq_ignore_ascii_case(b"failover"))
    {
        return (FailoverRequest::None, None);
    }
    let line = LogLine::warning(format!(
        "Failover request received for replid {}.",
        printable(id)
    ));
    let request = if !is_replica {
        FailoverRequest::Refuse("ERR PSYNC FAILOVER can't be sent to a master.")
    } else if history.id().is_named_by(id) {
        FailoverRequest::Promote
    } else {
        FailoverRequest::Refuse("ERR PSYNC FAILOVER replid must match my replid.")
    };
    (request, Some(line))
}

/// Whether PSYNC and SYNC are refused whatever they ask for: the error.
pub fn refuse_sync(state: &ServerState, replica: &Replica) -> Option<&'static str> {
    if state.failing_over {
        Some("NOMASTERLINK Can't SYNC while failing over")
    } else if state.is_replica && !state.link_up {
        Some("NOMASTERLINK Can't SYNC while not connected with my master")
    } else if state.pending_output {
        Some("ERR SYNC and PSYNC are invalid with pending output")
    } else if replica.filter.is_some() && !replica.eof {
        Some("ERR Filtered replica requires EOF capability")
    } else {
        None
    }
}

/// `PSYNC id offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PsyncRequest<'a> {
    /// The history that the replica is in, or `?`.
    pub id: &'a [u8],
    /// The next byte that it wants; -1 with `?`.
    pub next: i64,
}

impl<'a> PsyncRequest<'a> {
    /// Reads the arguments behind the command's name, of which arity assures two; the error is
    /// that of Redis 7.0. A wrong offset comes with a line for the log.
    pub fn parse(args: Args<'a>, name: &str) -> Result<Self, (&'static str, LogLine)> {
        let id = args.get(0).unwrap_or_default();
        match args.get(1).and_then(parse_i64) {
            Some(next) => Ok(Self { id, next }),
            None => Err((
                "ERR value is not an integer or out of range",
                LogLine::warning(format!(
                    "Replica {name} asks for synchronization but with a wrong offset"
                )),
            )),
        }
    }

    /// Whether the replica wants all on purpose, rather than because it cannot go on. Such a
    /// request does not count as a failed partial synchronisation.
    pub fn wants_all(&self) -> bool {
        self.id.first() == Some(&b'?')
    }
}

/// The answer to PSYNC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The replica goes on: send `reply`, then the stream from byte `next` on
    /// ([`Stream::attach`]). INFO's `sync_partial_ok` counts it.
    Continue {
        /// `+CONTINUE`, with the id for who understands it.
        reply: Vec<u8>,
        /// The first byte to send.
        next: u64,
        /// The line for the log.
        log: LogLine,
    },
    /// The replica needs everything. `sync_full` counts it, and `sync_partial_err` unless
    /// [`PsyncRequest::wants_all`]. Make sure of a backlog ([`Stream::start_backlog`]) before the
    /// cut; at the cut answer with [`full_resync_reply`].
    Full {
        /// Why, for the log.
        log: Vec<LogLine>,
    },
}

/// Decides whether the replica `name`, which has said `replica` with REPLCONF, goes on.
pub fn psync(stream: &Stream, replica: &Replica, name: &str, request: &PsyncRequest<'_>) -> Answer {
    let full = |log| Answer::Full { log };
    if let Err(line) = shares_history(stream.history(), name, request) {
        return full(vec![line]);
    }
    let backlog = stream.backlog().zip(u64::try_from(request.next).ok());
    let Some((backlog, next)) = backlog.filter(|(backlog, next)| backlog.covers(*next)) else {
        return full(out_of_backlog(stream, name, request.next));
    };
    let reply = if replica.psync2 {
        format!("+CONTINUE {}\r\n", stream.history().id())
    } else {
        "+CONTINUE\r\n".to_owned()
    };
    Answer::Continue {
        reply: reply.into_bytes(),
        next,
        log: LogLine::notice(format!(
            "Partial resynchronization request from {name} accepted. Sending {} bytes of backlog \
             starting from offset {next}.",
            backlog.next() - next
        )),
    }
}

/// The answer at the cut of a full synchronisation, from where the stream goes on behind the RDB.
/// Who has sent SYNC gets none.
///
/// After an RDB with a mark at its end nothing may be sent before the replica's first REPLCONF ACK
/// (INFO says `online` meanwhile): Redis 7.0 looks for the mark at the end of what it has read, and
/// bytes of the stream behind it would hide it. After one with a length the stream follows at once.
pub fn full_resync_reply(history: &History) -> Vec<u8> {
    format!("+FULLRESYNC {} {}\r\n", history.id(), history.offset()).into_bytes()
}

fn shares_history(
    history: &History,
    name: &str,
    request: &PsyncRequest<'_>,
) -> Result<(), LogLine> {
    if history.shares(request.id, request.next) {
        return Ok(());
    }
    if request.wants_all() {
        return Err(LogLine::notice(format!(
            "Full resync requested by replica {name}"
        )));
    }
    let second: ReplId = history.second_id_shown();
    Err(LogLine::notice(if second.is_named_by(request.id) {
        format!(
            "Partial resynchronization not accepted: Requested offset for second ID was {}, but I \
             can reply up to {}",
            request.next,
            history.second_offset_shown()
        )
    } else {
        format!(
            "Partial resynchronization not accepted: Replication ID mismatch (Replica asked for \
             '{}', my replication IDs are '{}' and '{second}')",
            printable(request.id),
            history.id(),
        )
    }))
}

fn out_of_backlog(stream: &Stream, name: &str, next: i64) -> Vec<LogLine> {
    let mut log = vec![LogLine::notice(format!(
        "Unable to partial resync with replica {name} for lack of backlog (Replica request was: \
         {next})."
    ))];
    if i128::from(next) > i128::from(stream.offset()) {
        log.push(LogLine::warning(format!(
            "Warning: replica {name} tried to PSYNC with an offset that is greater than the master \
             replication offset."
        )));
    }
    log
}
