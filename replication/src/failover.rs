//! FAILOVER: a stand-alone primary hands over to one of its replicas.
//!
//! ```text
//!   no-failover ──FAILOVER──► waiting-for-sync ──target has it all──► failover-in-progress
//!        ▲                      │ writes paused │ (or time is up, FORCE)   │ PSYNC … FAILOVER
//!        ├── ABORT, time is up ─┘                                          │
//!        └── ABORT, the target refuses, the target has taken over ─────────┘
//! ```

use hexad_resp::{Args, parse_i64};

use crate::Millis;
use crate::log::{LogLine, printable};

/// INFO's `master_failover_state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailoverState {
    /// None.
    #[default]
    None,
    /// Writes are paused until a replica has all there is.
    WaitForSync,
    /// This server has become a replica of the target and tells it to take over.
    InProgress,
}

impl FailoverState {
    /// INFO's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "no-failover",
            Self::WaitForSync => "waiting-for-sync",
            Self::InProgress => "failover-in-progress",
        }
    }
}

/// A replica by its announced address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailoverTarget {
    /// Its host, as FAILOVER names it.
    pub host: Vec<u8>,
    /// Its port.
    pub port: i64,
}

/// A replica of this server, as far as FAILOVER cares.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its address: the announced one, or that of its connection with its listening port.
    pub address: FailoverTarget,
    /// Whether it is online.
    pub online: bool,
    /// How far it has acknowledged the stream.
    pub acked: u64,
}

/// FAILOVER's arguments, once their syntax is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailoverCommand {
    /// ABORT.
    Abort,
    /// A failover.
    Start {
        /// TO host port.
        target: Option<FailoverTarget>,
        /// FORCE.
        force: bool,
        /// TIMEOUT; 0 if not given.
        timeout_ms: Millis,
    },
}

/// What the driver has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailoverEvent {
    /// Become a replica of this one ([`crate::Stream::demote`]) and shake hands with it as a
    /// failover ([`crate::Handshake::new`]). Writes stay paused.
    Demote(FailoverTarget),
    /// The failover is off: end the pause of writes; and if this server has become a replica
    /// already (`was_replica`), become a primary again.
    Aborted {
        /// Whether it has.
        was_replica: bool,
    },
    /// The target has taken over: end the pause of writes.
    Done,
}

/// The failover of a server.
///
/// [`start`](Self::start) begins it: pause writes then. Call [`poll`](Self::poll) whenever an
/// acknowledgement has come, and each 100 ms or so. Nothing may be appended to the stream meanwhile,
/// no PING and no GETACK either, or the replicas would never have all of it; they tell by themselves
/// each second.
#[derive(Debug, Default)]
pub struct Failover {
    state: FailoverState,
    target: Option<FailoverTarget>,
    force: bool,
    deadline: Option<Millis>,
}

/// Reads FAILOVER's arguments (without the command's name); the error is that of Redis 7.0.
pub fn parse_failover(args: Args<'_>) -> Result<FailoverCommand, &'static str> {
    let is = |at: usize, word: &[u8]| {
        args.get(at)
            .is_some_and(|arg| arg.eq_ignore_ascii_case(word))
    };
    if args.len() == 1 && is(0, b"abort") {
        return Ok(FailoverCommand::Abort);
    }
    let (mut target, mut force, mut timeout_ms) = (None, false, 0);
    let mut at = 0;
    while at < args.len() {
        if is(at, b"timeout") && at + 1 < args.len() && timeout_ms == 0 {
            timeout_ms = match u64::try_from(integer(&args[at + 1])?) {
                Ok(0) | Err(_) => return Err("ERR FAILOVER timeout must be greater than 0"),
                Ok(timeout_ms) => timeout_ms,
            };
            at += 2;
        } else if is(at, b"to") && at + 2 < args.len() && target.is_none() {
            target = Some(FailoverTarget {
                host: args[at + 1].to_vec(),
                port: integer(&args[at + 2])?,
            });
            at += 3;
        } else if is(at, b"force") && !force {
            force = true;
            at += 1;
        } else {
            return Err("ERR syntax error");
        }
    }
    Ok(FailoverCommand::Start {
        target,
        force,
        timeout_ms,
    })
}

fn integer(text: &[u8]) -> Result<i64, &'static str> {
    parse_i64(text).ok_or("ERR value is not an integer or out of range")
}

impl Failover {
    /// No failover.
    pub fn new() -> Self {
        Self::default()
    }

    /// INFO's `master_failover_state`.
    pub const fn state(&self) -> FailoverState {
        self.state
    }

    /// Whether any is going on: SYNC, PSYNC and REPLICAOF are refused then, and writes paused.
    pub fn is_on(&self) -> bool {
        self.state != FailoverState::None
    }

    /// Begins a failover, or returns the error of Redis 7.0.
    pub fn start(
        &mut self,
        target: Option<FailoverTarget>,
        force: bool,
        timeout_ms: Millis,
        is_replica: bool,
        replicas: &[Listed],
        now: Millis,
    ) -> Result<LogLine, &'static str> {
        if self.is_on() {
            return Err("ERR FAILOVER already in progress.");
        }
        if is_replica {
            return Err("ERR FAILOVER is not valid when server is a replica.");
        }
        if replicas.is_empty() {
            return Err("ERR FAILOVER requires connected replicas.");
        }
        if force && (timeout_ms == 0 || target.is_none()) {
            return Err(
                "ERR FAILOVER with force option requires both a timeout and target HOST and IP.",
            );
        }
        if let Some(target) = &target {
            let Some(replica) = find(replicas, target) else {
                return Err("ERR FAILOVER target HOST and PORT is not a replica.");
            };
            if !replica.online {
                return Err("ERR FAILOVER target replica is not online.");
            }
        }
        *self = Self {
            state: FailoverState::WaitForSync,
            target,
            force,
            deadline: (timeout_ms > 0).then(|| now.saturating_add(timeout_ms)),
        };
        Ok(LogLine::notice(format!(
            "FAILOVER requested to {}.",
            self.to()
        )))
    }

    /// FAILOVER ABORT.
    pub fn abort_by_hand(&mut self) -> Result<(FailoverEvent, LogLine), &'static str> {
        self.abort("Failover manually aborted")
            .ok_or("ERR No failover in progress.")
    }

    /// The connection to the target broke, or the target has refused PSYNC: `reason` is what Redis
    /// 7.0 logs ("Write error to failover target", "Failover target rejected psync request").
    pub fn abort(&mut self, reason: &str) -> Option<(FailoverEvent, LogLine)> {
        let was_replica = match self.state {
            FailoverState::None => return None,
            state => state == FailoverState::InProgress,
        };
        let line = format!("FAILOVER to {} aborted: {reason}", self.to());
        *self = Self::default();
        Some((
            FailoverEvent::Aborted { was_replica },
            LogLine::notice(line),
        ))
    }

    /// Looks whether the target has all there is (`end`, the offset of the stream), or time is up.
    pub fn poll(
        &mut self,
        end: u64,
        replicas: &[Listed],
        now: Millis,
    ) -> Option<(FailoverEvent, LogLine)> {
        if self.state != FailoverState::WaitForSync {
            return None;
        }
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            return match self.target.clone().filter(|_| self.force) {
                Some(target) => {
                    let line = format!("FAILOVER to {target} time out exceeded, failing over.");
                    Some(self.hand_over(target, line))
                }
                None => self.abort("Replica never caught up before timeout"),
            };
        }
        let synced = |replica: &&Listed| replica.acked == end;
        let replica = match &self.target {
            Some(target) => find(replicas, target).filter(synced),
            None => replicas.iter().find(synced),
        }?;
        let target = replica.address.clone();
        let line = format!("Failover target {target} is synced, failing over.");
        Some(self.hand_over(target, line))
    }

    /// The handshake with the target has got +CONTINUE or +FULLRESYNC.
    pub fn taken_over(&mut self) -> Option<FailoverEvent> {
        let in_progress = self.state == FailoverState::InProgress;
        in_progress.then(|| {
            *self = Self::default();
            FailoverEvent::Done
        })
    }

    /// Whom the log names.
    fn to(&self) -> String {
        match &self.target {
            Some(target) => target.to_string(),
            None => "any replica".to_owned(),
        }
    }

    fn hand_over(&mut self, target: FailoverTarget, line: String) -> (FailoverEvent, LogLine) {
        self.state = FailoverState::InProgress;
        self.target = Some(target.clone());
        (FailoverEvent::Demote(target), LogLine::notice(line))
    }
}

fn find<'r>(replicas: &'r [Listed], target: &FailoverTarget) -> Option<&'r Listed> {
    let is_target = |replica: &&Listed| {
        replica.address.port == target.port
            && replica.address.host.eq_ignore_ascii_case(&target.host)
    };
    replicas.iter().find(is_target)
}

impl std::fmt::Display for FailoverTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", printable(&self.host), self.port)
    }
}
