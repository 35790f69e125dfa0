//! Replication as Redis 7.0 does it (PSYNC2), without a socket, a clock, a thread or a generator:
//! time is passed in as [`Millis`], new replication ids are made of random bytes that are passed in.
//!
//! The side of a primary:
//! * [`Stream`] is what is replicated: the [`History`] (ids and offset), the [`Backlog`] behind it,
//!   and the readers that feed replicas. It lives under one mutex.
//! * [`Replica`] is what a connection has said with REPLCONF; [`psync`] decides between +CONTINUE
//!   and a full synchronisation.
//! * [`Acks`] knows which replica has acknowledged what: WAIT, min-replicas-to-write, lag, timeouts.
//! * [`Failover`] is the FAILOVER command.
//!
//! The side of a replica, in the order of a link's life:
//! * [`Handshake`] talks until the primary has answered PSYNC,
//! * [`Transfer`] cuts the RDB payload out of what follows, if it is a full synchronisation,
//! * [`Incoming`] cuts the stream of commands, with exact offsets.
//!
//! # Offsets
//! An offset counts bytes of the stream; the first byte has offset 1. `History::offset` is that of
//! the last byte there is, so the next byte has `offset + 1`, and this is what PSYNC asks for.
//! Everything named `next` or `from` here is the offset of a byte that is wanted, everything named
//! `offset` that of the last byte that one has.
//!
//! # Differences from Redis 7.0
//! | here | why |
//! |---|---|
//! | an acknowledgement of what was not written yet is ignored | WAIT must not count it |
//! | an id is made of letters and digits | it gets into files, replies and the log |
//! | an offset above 2^62, or one that is no number, counts as a wrong +FULLRESYNC | sums with it could overflow |
//! | after a wrong +FULLRESYNC, or SYNC, the data are in no history | Redis keeps the id that it had |
//! | a +CONTINUE that was not asked for ends the link | there is nothing to continue |
//! | a reply of more than 1024 bytes ends the handshake | Redis takes its rest for the next reply |
//! | a payload's length that is no number ends the link | Redis takes it for 0 |
//! | the mark of a payload is found wherever it stands | Redis looks at the end of each read only |
//! | a database that is not there, a MULTI within a MULTI, an EXEC without one end the link | Redis goes on and its data part from the primary's |
//! | an inline command with quotes in a primary's stream ends the link | no primary sends one |

#![forbid(unsafe_code)]

mod acks;
mod backlog;
mod encode;
mod failover;
mod handshake;
mod history;
mod id;
mod incoming;
mod log;
mod negotiate;
mod replconf;
mod stream;
mod transfer;

pub use acks::{Acks, ReplicaAck, ReplicaId, ReplicaState, Satisfied, WaiterId};
pub use backlog::{Backlog, OutputLimit, ReadError, ReaderId};
pub use encode::{ack_command, command_bytes};
pub use failover::{
    Failover, FailoverCommand, FailoverEvent, FailoverState, FailoverTarget, Listed, parse_failover,
};
pub use handshake::{Handshake, HandshakeSettings, Outcome, Step};
pub use history::{History, MAX_OFFSET, Saved, SecondId};
pub use id::ReplId;
pub use incoming::{Incoming, IncomingError, IncomingLimits, Unit, UnitCommands, UnitKind};
pub use log::{LogLevel, LogLine};
pub use negotiate::{
    Answer, FailoverRequest, PsyncRequest, ServerState, failover_request, full_resync_reply, psync,
    refuse_sync,
};
pub use replconf::{Filter, ReplConf, Replica};
pub use stream::Stream;
pub use transfer::{Payload, Transfer, TransferError, TransferStep};

/// Milliseconds of a clock that never goes backwards.
pub type Millis = u64;
