//! What a replica says to its primary until the answer to PSYNC is in.

use crate::encode::command_bytes;
use crate::history::MAX_OFFSET;
use crate::id::ReplId;
use crate::log::{LogLine, printable};

/// The longest line that is taken for a reply. (Redis 7.0 takes 255 bytes, and the rest of a longer
/// line for the next reply.)
const LINE_MAX_BYTES: usize = 1024;

/// What the replica is configured to say.
#[derive(Clone, Debug, Default)]
pub struct HandshakeSettings {
    /// `masteruser`.
    pub user: Option<Vec<u8>>,
    /// `masterauth`; without it there is no AUTH.
    pub password: Option<Vec<u8>>,
    /// `replica-announce-port`, or the port that this server serves clients at.
    pub port: u16,
    /// `replica-announce-ip`.
    pub announce_ip: Option<Vec<u8>>,
}

/// The talk of a replica with its primary over a new connection.
///
/// Call [`step`](Self::step) at once, without input, and then whenever bytes have arrived, as long
/// as it does not say [`Step::NeedMore`]. `step` takes what it has understood from the front of the
/// input; what is left has to be there again, with more behind it, at the next call. After
/// [`Step::Done`] what is left belongs to the [`Transfer`](crate::Transfer) or the
/// [`Incoming`](crate::Incoming) stream. After each call there may be lines for the log
/// ([`take_log`](Self::take_log)).
///
/// Whoever drives it gives up after `repl-timeout` without a byte, empty lines included.
#[derive(Debug)]
pub struct Handshake {
    settings: HandshakeSettings,
    wanted: Option<(ReplId, u64)>,
    failover: bool,
    state: State,
    log: Vec<LogLine>,
}

/// What [`Handshake::step`] wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// More input.
    NeedMore,
    /// These bytes to be sent; then call again.
    Send(Vec<u8>),
    /// Nothing: this is the outcome.
    Done(Outcome),
}

/// How a handshake ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// +CONTINUE: the stream goes on at the byte that was asked for ([`crate::Stream::resume`]).
    Continue {
        /// The history's name now, from a primary that says it.
        id: Option<ReplId>,
    },
    /// An RDB payload follows, and behind it the stream from `at` on.
    Full {
        /// The history and offset of the payload; `None` from a primary that does not know PSYNC
        /// (or does not say them properly): nothing can be continued after it.
        at: Option<(ReplId, u64)>,
    },
    /// The primary cannot serve anybody now (-NOMASTERLINK, -LOADING): try again later.
    TryLater,
    /// The target of a failover does not take over ([`crate::Failover::abort`]).
    Refused,
    /// The connection is of no use; the log says why. Try again later.
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Start,
    Pong,
    Auth,
    Port,
    Ip,
    Capabilities,
    Psync,
    Psynced,
    SyncSent,
    Over,
}

impl Handshake {
    /// A talk that asks to go on at `wanted` ([`crate::Stream::wanted`]), and, with `failover`,
    /// tells the replica at the other end to become the primary.
    pub fn new(settings: HandshakeSettings, wanted: Option<(ReplId, u64)>, failover: bool) -> Self {
        Self {
            settings,
            wanted,
            failover,
            state: State::Start,
            log: Vec::new(),
        }
    }

    /// The lines for the log since the last call.
    pub fn take_log(&mut self) -> Vec<LogLine> {
        std::mem::take(&mut self.log)
    }

    /// Goes on with what has arrived.
    pub fn step(&mut self, input: &mut &[u8]) -> Step {
        loop {
            match self.state {
                State::Start => {
                    self.state = State::Pong;
                    return Step::Send(command_bytes(&[b"PING"]));
                }
                State::Psync => {
                    self.state = State::Psynced;
                    return Step::Send(self.psync());
                }
                State::SyncSent => return self.end(Outcome::Full { at: None }),
                State::Over => return Step::Done(Outcome::Failed),
                _ => {}
            }
            let line = match take_line(input) {
                Line::Whole(line) => line,
                Line::Cut => return Step::NeedMore,
                Line::TooLong => {
                    self.warn("The reply of the MASTER during the SYNC handshake is too long");
                    return self.end(Outcome::Failed);
                }
            };
            if let Some(step) = self.reply(line) {
                return step;
            }
        }
    }

    /// One reply; `None` to go on.
    fn reply(&mut self, line: &[u8]) -> Option<Step> {
        match self.state {
            State::Pong => Some(self.pong(line)),
            State::Auth if line.first() == Some(&b'-') => {
                self.warn(format!("Unable to AUTH to MASTER: {}", printable(line)));
                Some(self.end(Outcome::Failed))
            }
            State::Auth => self.go_on(State::Port),
            State::Port => {
                self.note_refusal("listening-port", line);
                self.go_on(match self.settings.announce_ip {
                    Some(_) => State::Ip,
                    None => State::Capabilities,
                })
            }
            State::Ip => {
                self.note_refusal("ip-address", line);
                self.go_on(State::Capabilities)
            }
            State::Capabilities => {
                self.note_refusal("capa", line);
                self.go_on(State::Psync)
            }
            // Empty lines keep the connection alive while the primary cannot answer yet.
            State::Psynced if line.is_empty() => None,
            State::Psynced => Some(self.psynced(line)),
            State::Start | State::Psync | State::SyncSent | State::Over => None,
        }
    }

    fn go_on(&mut self, state: State) -> Option<Step> {
        self.state = state;
        None
    }

    fn end(&mut self, outcome: Outcome) -> Step {
        self.state = State::Over;
        Step::Done(outcome)
    }

    /// Redis 7.0 takes for alive who answers `+…` or wants authentication.
    fn pong(&mut self, line: &[u8]) -> Step {
        let alive: [&[u8]; 4] = [
            b"+",
            b"-NOAUTH",
            b"-NOPERM",
            b"-ERR operation not permitted",
        ];
        if !alive.iter().any(|start| line.starts_with(start)) {
            self.warn(format!(
                "Error reply to PING from master: '{}'",
                printable(line)
            ));
            return self.end(Outcome::Failed);
        }
        self.note("Master replied to PING, replication can continue...");
        Step::Send(self.introduction())
    }

    /// AUTH and all of REPLCONF at once.
    fn introduction(&mut self) -> Vec<u8> {
        let settings = &self.settings;
        let mut out = Vec::new();
        self.state = State::Port;
        if let Some(password) = &settings.password {
            self.state = State::Auth;
            out.extend(match &settings.user {
                Some(user) => command_bytes(&[b"AUTH", user, password]),
                None => command_bytes(&[b"AUTH", password]),
            });
        }
        let mut port = itoa::Buffer::new();
        let port = port.format(settings.port).as_bytes();
        out.extend(command_bytes(&[b"REPLCONF", b"listening-port", port]));
        if let Some(ip) = &settings.announce_ip {
            out.extend(command_bytes(&[b"REPLCONF", b"ip-address", ip]));
        }
        out.extend(command_bytes(&[
            b"REPLCONF",
            b"capa",
            b"eof",
            b"capa",
            b"psync2",
        ]));
        out
    }

    fn psync(&mut self) -> Vec<u8> {
        let mut digits = itoa::Buffer::new();
        let (id, next): (&[u8], &[u8]) = match &self.wanted {
            Some((id, next)) => (id.as_bytes(), digits.format(*next).as_bytes()),
            None => (b"?", b"-1"),
        };
        let line = match &self.wanted {
            Some((id, next)) => {
                format!("Trying a partial resynchronization (request {id}:{next}).")
            }
            None => "Partial resynchronization not possible (no cached master)".to_owned(),
        };
        let bytes = if self.failover {
            command_bytes(&[b"PSYNC", id, next, b"FAILOVER"])
        } else {
            command_bytes(&[b"PSYNC", id, next])
        };
        self.note(line);
        bytes
    }

    fn psynced(&mut self, line: &[u8]) -> Step {
        if let Some(rest) = line.strip_prefix(b"+FULLRESYNC") {
            return self.full(rest);
        }
        if let Some(rest) = line.strip_prefix(b"+CONTINUE") {
            return self.continued(rest);
        }
        let shown = printable(line);
        if line.starts_with(b"-NOMASTERLINK") || line.starts_with(b"-LOADING") {
            self.note(format!(
                "Master is currently unable to PSYNC but should be in the future: {shown}"
            ));
            return self.end(match self.failover {
                true => Outcome::Refused,
                false => Outcome::TryLater,
            });
        }
        if line.starts_with(b"-ERR") {
            self.note(format!(
                "Master does not support PSYNC or is in error state (reply: {shown})"
            ));
        } else {
            self.warn(format!("Unexpected reply to PSYNC from master: {shown}"));
        }
        if self.failover {
            return self.end(Outcome::Refused);
        }
        self.note("Retrying with SYNC...");
        self.state = State::SyncSent;
        Step::Send(b"SYNC\r\n".to_vec())
    }

    fn full(&mut self, rest: &[u8]) -> Step {
        let at = parse_full(rest);
        match at {
            Some((id, offset)) => self.note(format!("Full resync from master: {id}:{offset}")),
            None => self.warn("Master replied with wrong +FULLRESYNC syntax."),
        }
        self.end(Outcome::Full { at })
    }

    fn continued(&mut self, rest: &[u8]) -> Step {
        let Some((asked, _)) = self.wanted else {
            // Nothing was asked for that could go on: these data are in no history.
            self.warn("Master accepted a partial resynchronization that was not asked for");
            return self.end(Outcome::Failed);
        };
        let id = rest.strip_prefix(b" ").and_then(ReplId::parse);
        self.note("Successful partial resynchronization with master.");
        if let Some(id) = id.filter(|id| *id != asked) {
            self.warn(format!("Master replication ID changed to {id}"));
        }
        self.note("MASTER <-> REPLICA sync: Master accepted a Partial Resynchronization.");
        self.end(Outcome::Continue { id })
    }

    fn note_refusal(&mut self, option: &str, line: &[u8]) {
        if line.first() == Some(&b'-') {
            self.note(format!(
                "(Non critical) Master does not understand REPLCONF {option}: {}",
                printable(line)
            ));
        }
    }

    fn note(&mut self, text: impl Into<String>) {
        self.log.push(LogLine::notice(text));
    }

    fn warn(&mut self, text: impl Into<String>) {
        self.log.push(LogLine::warning(text));
    }
}

/// ` id offset`, as it follows +FULLRESYNC.
fn parse_full(rest: &[u8]) -> Option<(ReplId, u64)> {
    let mut words = rest.strip_prefix(b" ")?.splitn(2, |&byte| byte == b' ');
    let id = ReplId::parse(words.next()?)?;
    let offset = u64::try_from(hexad_resp::parse_i64(words.next()?)?).ok()?;
    (offset <= MAX_OFFSET).then_some((id, offset))
}

pub(crate) enum Line<'a> {
    Whole(&'a [u8]),
    Cut,
    TooLong,
}

/// Takes a line from the front of the input; returns it without its line end.
fn take_line<'a>(input: &mut &'a [u8]) -> Line<'a> {
    let Some(end) = memchr::memchr(b'\n', input) else {
        return if input.len() > LINE_MAX_BYTES {
            Line::TooLong
        } else {
            Line::Cut
        };
    };
    if end > LINE_MAX_BYTES {
        return Line::TooLong;
    }
    let line = &input[..end];
    *input = &input[end + 1..];
    Line::Whole(line.strip_suffix(b"\r").unwrap_or(line))
}
