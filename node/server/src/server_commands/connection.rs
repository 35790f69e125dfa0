//! Commands about the client's own connection: AUTH, HELLO, SELECT, RESET, QUIT, and the
//! switches of cluster clients.

use hexad_commands::Args;
use hexad_resp::{Proto, parse_i64};

use crate::info::REDIS_VERSION;
use crate::session::{Flow, ReplyMode, Session};
use crate::worker::Worker;

const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";
const BAD_NAME: &str = "ERR Client names cannot contain spaces, newlines or special characters.";

/// AUTH [user] password.
pub(super) fn auth(session: &mut Session, worker: &mut Worker, args: Args<'_>) -> Flow {
    let (user, password) = match args.len() {
        2 => (&b"default"[..], &args[1]),
        3 => (&args[1], &args[2]),
        _ => return super::syntax_error(worker),
    };
    if args.len() == 2 && worker.config.requirepass.is_none() {
        worker.reply.error(
            "ERR AUTH <password> called without any password configured for the default user. \
             Are you sure your configuration is correct?",
        );
    } else if login(session, worker, user, password) {
        worker.reply.ok();
    } else {
        worker.reply.error(WRONG_PASSWORD);
    }
    Flow::Next
}

/// Authenticates the session if user and password are right. Without a password set, the default
/// user may log in with any (Redis 7.0: `nopass`).
fn login(session: &mut Session, worker: &Worker, user: &[u8], password: &[u8]) -> bool {
    let right = user == b"default"
        && worker
            .config
            .requirepass
            .as_ref()
            .is_none_or(|wanted| equal(wanted, password));
    if right {
        session.authenticated = true;
    }
    right
}

/// Compares in a time that does not depend on where the difference is.
fn equal(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0, |sum, (x, y)| sum | (x ^ y));
    a.len() == b.len() && std::hint::black_box(difference) == 0
}

/// HELLO [protover [AUTH user password] [SETNAME name]].
pub(super) fn hello(session: &mut Session, worker: &mut Worker, args: Args<'_>) -> Flow {
    let proto = match args.get(1) {
        None => session.proto,
        Some(text) => match parse_i64(text) {
            Some(2) => Proto::Resp2,
            Some(3) => Proto::Resp3,
            Some(_) => return super::error(worker, "NOPROTO unsupported protocol version"),
            None => {
                let text = "ERR Protocol version is not an integer or out of range";
                return super::error(worker, text);
            }
        },
    };
    let mut name = None;
    let mut next = 2;
    while let Some(option) = args.get(next) {
        match (
            option.to_ascii_lowercase().as_slice(),
            args.get(next + 1),
            args.get(next + 2),
        ) {
            (b"auth", Some(user), Some(password)) => {
                if !login(session, worker, user, password) {
                    return super::error(worker, WRONG_PASSWORD);
                }
                next += 3;
            }
            (b"setname", Some(wanted), _) => {
                if !is_valid_name(wanted) {
                    return super::error(worker, BAD_NAME);
                }
                name = Some(wanted);
                next += 2;
            }
            _ => {
                let option = String::from_utf8_lossy(option);
                return super::error(
                    worker,
                    &format!("ERR Syntax error in HELLO option '{option}'"),
                );
            }
        }
    }
    if !session.authenticated {
        let text = "NOAUTH HELLO must be called with the client already authenticated, otherwise \
                    the HELLO AUTH <user> <pass> option can be used to authenticate the \
                    client and select the RESP protocol version at the same time";
        return super::error(worker, text);
    }
    if let Some(name) = name {
        *session.client.name.lock() = name.to_vec();
    }
    session.proto = proto;
    worker.reply.set_proto(proto);
    describe_server(session, worker);
    Flow::Next
}

fn describe_server(session: &Session, worker: &mut Worker) {
    let replica = session
        .server
        .cluster
        .as_ref()
        .is_some_and(|cluster| cluster.is_replica());
    let reply = &mut worker.reply;
    reply.map(7);
    reply.bulk(b"server");
    reply.bulk(b"redis");
    reply.bulk(b"version");
    reply.bulk(REDIS_VERSION.as_bytes());
    reply.bulk(b"proto");
    reply.integer(if session.proto == Proto::Resp3 { 3 } else { 2 });
    reply.bulk(b"id");
    reply.integer(session.client.id as i64);
    reply.bulk(b"mode");
    reply.bulk(if session.server.cluster.is_some() {
        b"cluster"
    } else {
        b"standalone"
    });
    reply.bulk(b"role");
    reply.bulk(if replica { b"replica" } else { b"master" });
    reply.bulk(b"modules");
    reply.array(0);
}

/// Whether CLIENT SETNAME takes this name: printable ASCII without spaces.
pub(super) fn is_valid_name(name: &[u8]) -> bool {
    name.iter().all(u8::is_ascii_graphic)
}

/// Sets the client's name, or says why not.
pub(super) fn set_name(session: &Session, worker: &mut Worker, name: &[u8]) -> Flow {
    if !is_valid_name(name) {
        return super::error(worker, BAD_NAME);
    }
    *session.client.name.lock() = name.to_vec();
    worker.reply.ok();
    Flow::Next
}

/// SELECT index.
pub(super) fn select(session: &mut Session, worker: &mut Worker, args: Args<'_>) -> Flow {
    let Some(index) = parse_i64(&args[1]) else {
        return super::error(worker, "ERR value is not an integer or out of range");
    };
    if session.server.cluster.is_some() && index != 0 {
        return super::error(worker, "ERR SELECT is not allowed in cluster mode");
    }
    match usize::try_from(index) {
        Ok(db) if db < usize::from(session.server.keyspace.databases()) => {
            session.db = db;
            worker.reply.ok();
            Flow::Next
        }
        _ => super::error(worker, "ERR DB index is out of range"),
    }
}

/// RESET: the connection is as new.
pub(super) fn reset(session: &mut Session, worker: &mut Worker) -> Flow {
    session.discard();
    session.db = 0;
    session.proto = Proto::Resp2;
    session.authenticated = worker.config.requirepass.is_none();
    session.readonly = false;
    session.asking = false;
    session.no_evict = false;
    session.reply_mode = ReplyMode::On;
    session.client.name.lock().clear();
    worker.reply.set_proto(Proto::Resp2);
    worker.reply.simple("RESET");
    Flow::Next
}

/// ASKING, READONLY and READWRITE.
pub(super) fn cluster_switch(
    session: &mut Session,
    worker: &mut Worker,
    switch: impl FnOnce(&mut Session),
) -> Flow {
    if session.server.cluster.is_none() {
        return super::error(worker, "ERR This instance has cluster support disabled");
    }
    switch(session);
    worker.reply.ok();
    Flow::Next
}
