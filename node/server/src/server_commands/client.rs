//! CLIENT: what one connection may learn of all, and do to them.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use hexad_commands::Args;
use hexad_resp::parse_i64;

use super::replication;
use crate::clients::{Client, flag};
use crate::pause::Cause;
use crate::session::{Flow, ReplyMode, Session, Wait};
use crate::worker::Worker;

/// The kinds of clients that CLIENT LIST TYPE and CLIENT KILL TYPE name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Replica,
    Master,
    PubSub,
}

impl Kind {
    fn of(client: &Client) -> Self {
        let flags = client.live.flags.load(Relaxed);
        if flags & flag::PRIMARY != 0 {
            Self::Master
        } else if flags & flag::REPLICA != 0 {
            Self::Replica
        } else {
            Self::Normal
        }
    }

    fn parse(text: &[u8]) -> Option<Self> {
        match text.to_ascii_lowercase().as_slice() {
            b"normal" => Some(Self::Normal),
            b"slave" | b"replica" => Some(Self::Replica),
            b"pubsub" => Some(Self::PubSub),
            b"master" => Some(Self::Master),
            _ => None,
        }
    }
}

fn unknown_kind(worker: &mut Worker, text: &[u8]) -> Flow {
    let text = String::from_utf8_lossy(text);
    super::error(worker, &format!("ERR Unknown client type '{text}'"))
}

/// CLIENT INFO.
pub(super) fn info(session: &Session, worker: &mut Worker) -> Flow {
    session.publish_now(worker, "client|info");
    let mut line = session.client.describe(worker.now_ms);
    line.push(b'\n');
    worker.reply.verbatim("txt", &line);
    Flow::Next
}

/// CLIENT LIST [TYPE type] [ID id …].
pub(super) fn list(session: &Session, worker: &mut Worker, args: Args<'_>) -> Flow {
    session.publish_now(worker, "client|list");
    let clients: Vec<Arc<Client>> = match args.get(2).map(<[u8]>::to_ascii_lowercase).as_deref() {
        None => session.server.clients.all(),
        Some(b"type") if args.len() == 4 => {
            let Some(kind) = Kind::parse(&args[3]) else {
                return unknown_kind(worker, &args[3]);
            };
            let mut clients = session.server.clients.all();
            clients.retain(|client| Kind::of(client) == kind);
            clients
        }
        Some(b"id") if args.len() > 3 => {
            let mut clients = Vec::new();
            for text in args.slice(3) {
                let Some(id) = parse_i64(text) else {
                    return super::error(worker, "ERR Invalid client ID");
                };
                clients.extend(session.server.clients.get(id as u64));
            }
            clients
        }
        Some(_) => return super::syntax_error(worker),
    };
    let mut lines = Vec::new();
    for client in clients {
        lines.extend_from_slice(&client.describe(worker.now_ms));
        lines.push(b'\n');
    }
    worker.reply.verbatim("txt", &lines);
    Flow::Next
}

/// Which clients CLIENT KILL means: all of the given conditions must hold.
#[derive(Default)]
struct Filter<'a> {
    id: Option<u64>,
    addr: Option<&'a [u8]>,
    laddr: Option<&'a [u8]>,
    kind: Option<Kind>,
    skip_me: bool,
}

impl Filter<'_> {
    fn matches(&self, client: &Client, me: u64) -> bool {
        self.id.is_none_or(|id| id == client.id)
            && self.addr.is_none_or(|addr| addr == client.addr.as_bytes())
            && self
                .laddr
                .is_none_or(|laddr| laddr == client.laddr.as_bytes())
            && self.kind.is_none_or(|kind| kind == Kind::of(client))
            && !(self.skip_me && client.id == me)
    }
}

/// CLIENT KILL, in its old form (an address) and its new one (filters).
pub(super) fn kill(session: &mut Session, worker: &mut Worker, args: Args<'_>) -> Flow {
    let old_form = args.len() == 3;
    let filter = match parse_filter(worker, args) {
        Ok(filter) => filter,
        Err(flow) => return flow,
    };
    let me = session.client.id;
    let victims: Vec<_> = session
        .server
        .clients
        .all()
        .into_iter()
        .filter(|client| filter.matches(client, me))
        .collect();
    victims
        .iter()
        .filter(|client| client.id != me)
        .for_each(|client| client.kill());
    match (old_form, victims.len()) {
        (true, 0) => worker.reply.error("ERR No such client"),
        (true, _) => worker.reply.ok(),
        (false, killed) => worker.reply.integer(killed as i64),
    }
    // Who kills itself gets the reply first.
    if victims.iter().any(|client| client.id == me) {
        Flow::Close
    } else {
        Flow::Next
    }
}

fn parse_filter<'a>(worker: &mut Worker, args: Args<'a>) -> Result<Filter<'a>, Flow> {
    if args.len() == 3 {
        return Ok(Filter {
            addr: args.get(2),
            ..Filter::default()
        });
    }
    let mut filter = Filter {
        skip_me: true,
        ..Filter::default()
    };
    let mut next = 2;
    while let Some(name) = args.get(next) {
        let Some(value) = args.get(next + 1) else {
            return Err(super::syntax_error(worker));
        };
        match name.to_ascii_lowercase().as_slice() {
            b"id" => match parse_i64(value) {
                Some(id) if id > 0 => filter.id = Some(id as u64),
                _ => {
                    return Err(super::error(
                        worker,
                        "ERR client-id should be greater than 0",
                    ));
                }
            },
            b"type" => match Kind::parse(value) {
                Some(kind) => filter.kind = Some(kind),
                None => return Err(unknown_kind(worker, value)),
            },
            b"addr" => filter.addr = Some(value),
            b"laddr" => filter.laddr = Some(value),
            b"user" if value == b"default" => {}
            b"user" => {
                let user = String::from_utf8_lossy(value);
                return Err(super::error(worker, &format!("ERR No such user '{user}'")));
            }
            b"skipme" if value.eq_ignore_ascii_case(b"yes") => filter.skip_me = true,
            b"skipme" if value.eq_ignore_ascii_case(b"no") => filter.skip_me = false,
            _ => return Err(super::syntax_error(worker)),
        }
        next += 2;
    }
    Ok(filter)
}

/// CLIENT PAUSE timeout [WRITE | ALL].
pub(super) fn pause(session: &Session, worker: &mut Worker, args: Args<'_>) -> Flow {
    let all = match args.get(3) {
        None => true,
        Some(mode) if mode.eq_ignore_ascii_case(b"write") => false,
        Some(mode) if mode.eq_ignore_ascii_case(b"all") => true,
        Some(_) => return super::error(worker, "ERR CLIENT PAUSE mode must be WRITE or ALL"),
    };
    let until_ms = match parse_i64(&args[2]) {
        Some(timeout) if timeout < 0 => return super::error(worker, "ERR timeout is negative"),
        Some(timeout) => match worker.now_ms.checked_add(timeout) {
            Some(until_ms) => until_ms,
            None => return super::error(worker, "ERR timeout is out of range"),
        },
        None => return super::error(worker, "ERR timeout is not an integer or out of range"),
    };
    if !session.world {
        return Flow::Again(Wait::World);
    }
    session
        .server
        .pause
        .start(Cause::Client, until_ms, all, worker.now_ms);
    worker.reply.ok();
    Flow::Next
}

/// CLIENT UNPAUSE.
pub(super) fn unpause(session: &Session, worker: &mut Worker) -> Flow {
    session.server.pause.end(Cause::Client);
    worker.reply.ok();
    Flow::Next
}

/// CLIENT UNBLOCK id [TIMEOUT | ERROR]: no command of hexad blocks in a way that it may end.
pub(super) fn unblock(session: &Session, worker: &mut Worker, args: Args<'_>) -> Flow {
    if let Some(how) = args.get(3)
        && !how.eq_ignore_ascii_case(b"timeout")
        && !how.eq_ignore_ascii_case(b"error")
    {
        return super::error(
            worker,
            "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR",
        );
    }
    let Some(id) = parse_i64(&args[2]) else {
        return super::error(worker, "ERR value is not an integer or out of range");
    };
    let error = args
        .get(3)
        .is_some_and(|how| how.eq_ignore_ascii_case(b"error"));
    let unblocked = replication::unblock(session, id as u64, error);
    worker.reply.integer(unblocked.into());
    Flow::Next
}

/// CLIENT REPLY ON | OFF | SKIP.
pub(super) fn reply(session: &mut Session, worker: &mut Worker, args: Args<'_>) -> Flow {
    match args[2].to_ascii_lowercase().as_slice() {
        b"on" => {
            session.reply_mode = ReplyMode::On;
            worker.reply.ok();
        }
        b"off" => session.reply_mode = ReplyMode::Off,
        b"skip" if session.reply_mode == ReplyMode::Off => {}
        b"skip" => session.reply_mode = ReplyMode::SkipNext,
        _ => return super::syntax_error(worker),
    }
    Flow::Next
}

/// CLIENT NO-EVICT ON | OFF.
pub(super) fn no_evict(session: &mut Session, worker: &mut Worker, args: Args<'_>) -> Flow {
    session.no_evict = match args[2].to_ascii_lowercase().as_slice() {
        b"on" => true,
        b"off" => false,
        _ => return super::syntax_error(worker),
    };
    worker.reply.ok();
    Flow::Next
}

/// CLIENT GETNAME.
pub(super) fn get_name(session: &Session, worker: &mut Worker) -> Flow {
    let name = session.client.name.lock();
    if name.is_empty() {
        worker.reply.null();
    } else {
        worker.reply.bulk(&name);
    }
    Flow::Next
}

/// CLIENT TRACKINGINFO: tracking is always off.
pub(super) fn tracking_info(worker: &mut Worker) -> Flow {
    let reply = &mut worker.reply;
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(1);
    reply.bulk(b"off");
    reply.bulk(b"redirect");
    reply.integer(-1);
    reply.bulk(b"prefixes");
    reply.array(0);
    Flow::Next
}

impl Client {
    /// Whether the client has sent nothing since `since_ms` and waits for nothing either. Links of
    /// replication are never idle: `repl-timeout` is theirs.
    pub(crate) fn is_idle_since(&self, since_ms: i64) -> bool {
        let busy = flag::BLOCKED | flag::REPLICA | flag::PRIMARY;
        self.live.last_ms.load(Relaxed) < since_ms && self.live.flags.load(Relaxed) & busy == 0
    }

    /// Whether the peer is on this machine.
    pub(crate) fn is_local(&self) -> bool {
        let ip = self
            .addr
            .rsplit_once(':')
            .map(|(ip, _)| ip.trim_matches(['[', ']']));
        self.unix
            || ip
                .and_then(|ip| ip.parse::<IpAddr>().ok())
                .is_some_and(|ip| ip.to_canonical().is_loopback())
    }
}
