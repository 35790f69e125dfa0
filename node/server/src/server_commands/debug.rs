//! DEBUG: what tests and operators need to look inside, or to provoke.
//!
//! Subcommands about things that hexad does not have (yet) are refused by name, so that a test
//! that relies on one fails where it should.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use hexad_commands::handlers::debug;
use hexad_commands::{Args, KeyspaceHandler};
use hexad_resp::Proto;

use crate::config::Who;
use crate::session::{Flow, Session, Wait};
use crate::worker::Worker;

const NOT_ALLOWED: &str = "ERR DEBUG command not allowed. If the enable-debug-command option is \
     set to \"local\", you can run it from a local connection, otherwise you need to set this \
     option in the configuration file, and then restart the server.";

/// DEBUG HELP: a syntax line, then what it does.
const HELP: [(&str, &str); 14] = [
    ("CHANGE-REPL-ID", "Give the dataset's history a new id."),
    (
        "DIGEST",
        "Show a digest of the whole dataset: equal for equal data.",
    ),
    (
        "DIGEST-VALUE <key> [<key> ...]",
        "Show a digest of each key's value.",
    ),
    (
        "DROP-CLUSTER-PACKET-FILTER <type>",
        "Drop the frames of the cluster bus of this type; -1 lets all through.",
    ),
    ("ERROR <text>", "Answer with this error."),
    (
        "HTSTATS <dbid> [FULL]",
        "Show the figures of a database's tables.",
    ),
    ("LOG <text>", "Write a line to the log."),
    ("OBJECT <key>", "Show how a key's value is stored."),
    (
        "POPULATE <count> [<prefix>] [<size>]",
        "Create <count> string keys that are not there yet.",
    ),
    ("PROTOCOL <type>", "Answer with a reply of this type."),
    (
        "SET-ACTIVE-EXPIRE (0|1)",
        "Stop or start the deletion of expired keys nobody asks for.",
    ),
    (
        "SLEEP <seconds>",
        "Block the worker that serves this client; fractions are allowed.",
    ),
    (
        "STRUCTSIZE",
        "Show the sizes of the structures that hold a key.",
    ),
    ("HELP", "Show this text."),
];

/// Subcommands of Redis 7.0 about what hexad does not have.
const ABSENT: [&[u8]; 17] = [
    b"aof-flush-sleep",
    b"assert",
    b"client-eviction",
    b"config-rewrite-force-all",
    b"crash-and-recover",
    b"listpack",
    b"loadaof",
    b"mallctl",
    b"oom",
    b"panic",
    b"quicklist",
    b"quicklist-packed-threshold",
    b"reload",
    b"restart",
    b"sdslen",
    b"segfault",
    b"set-disable-deny-scripts",
];

/// Executes DEBUG <subcommand> ….
pub(super) fn run(session: &mut Session, worker: &mut Worker, args: Args<'_>) -> Flow {
    let allowed = match worker.config.enable_debug_command {
        Who::Everybody => true,
        Who::Local => session.client.is_local(),
        Who::Nobody => false,
    };
    if !allowed {
        return super::error(worker, NOT_ALLOWED);
    }
    let name = args[1].to_ascii_lowercase();
    match (name.as_slice(), args.len()) {
        (b"help", 2) => help(worker),
        (b"sleep", 3) => sleep(worker, &args[2]),
        (b"set-active-expire", 3) => {
            session
                .server
                .active_expire
                .store(&args[2] != b"0", Relaxed);
            worker.reply.ok();
        }
        (b"error", 3) => worker.reply.error_bytes(&args[2]),
        (b"log", 3) => {
            tracing::warn!("DEBUG LOG: {}", String::from_utf8_lossy(&args[2]));
            worker.reply.ok();
        }
        (b"protocol", 3) => protocol(worker, &args[2]),
        (b"object", 3 | 4) => on_key(session, worker, args, debug::debug_object),
        (b"digest-value", _) => digest_values(session, worker, args),
        (b"digest", 2) => return on_keyspace(session, worker, args, true, debug::debug_digest),
        (b"populate", 3..=5) => {
            return on_keyspace(session, worker, args, false, debug::debug_populate);
        }
        (b"htstats", 3 | 4) => return table_stats(session, worker, args),
        (b"structsize", 2) => {
            let sizes = format!(
                "bits:{} partition:{} cell:{}",
                usize::BITS,
                size_of::<hexad_store::Partition>(),
                size_of::<usize>()
            );
            worker.reply.simple(&sizes);
        }
        (b"change-repl-id", 2) => {
            session.server.replication.change_id();
            worker.reply.ok();
        }
        (b"drop-cluster-packet-filter", 3) => {
            let Some(number) = hexad_resp::parse_i64(&args[2]) else {
                return super::error(worker, "ERR value is not an integer or out of range");
            };
            if let Some(cluster) = &session.server.cluster {
                cluster.drop_frames(number);
            }
            worker.reply.ok();
        }
        (absent, _) if ABSENT.contains(&absent) => {
            let name = String::from_utf8_lossy(absent).to_ascii_uppercase();
            worker
                .reply
                .error(&format!("ERR DEBUG {name} is not supported by hexad"));
        }
        _ => {
            let name = String::from_utf8_lossy(&args[1]);
            worker.reply.error(&format!(
                "ERR unknown subcommand or wrong number of arguments for '{name}'. Try DEBUG HELP."
            ));
        }
    }
    Flow::Next
}

fn help(worker: &mut Worker) {
    let reply = &mut worker.reply;
    reply.array(1 + 2 * HELP.len());
    reply.simple("DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    for (syntax, summary) in HELP {
        reply.simple(syntax);
        reply.simple(&format!("    {summary}"));
    }
}

/// Blocks this worker, gate and all: what a slow command does.
fn sleep(worker: &mut Worker, seconds: &[u8]) {
    // As strtod: what is no number is zero.
    let seconds = std::str::from_utf8(seconds)
        .ok()
        .and_then(|text| text.parse::<f64>().ok());
    let sleep = Duration::try_from_secs_f64(seconds.unwrap_or(0.0)).unwrap_or_default();
    std::thread::sleep(sleep);
    worker.reply.ok();
}

/// Runs a debug handler on the partition of the key at position 2.
fn on_key(
    session: &mut Session,
    worker: &mut Worker,
    args: Args<'_>,
    handler: hexad_commands::DataHandler,
) {
    let server = session.server;
    let mut locked = server
        .keyspace
        .lock(server.keyspace.partition_of(&args[2]).into());
    session.run_data(worker, handler, &mut locked, None, args);
}

/// Runs a debug handler over all partitions, `alone` if it needs them to stand still.
fn on_keyspace(
    session: &mut Session,
    worker: &mut Worker,
    args: Args<'_>,
    alone: bool,
    handler: KeyspaceHandler,
) -> Flow {
    if alone && !session.world {
        return Flow::Again(Wait::World);
    }
    session.run_keyspace(worker, handler, args);
    Flow::Next
}

fn digest_values(session: &mut Session, worker: &mut Worker, args: Args<'_>) {
    worker.reply.array(args.len() - 2);
    for key in &args.ranges()[2..] {
        // The keys may be in different slots: one call each.
        let ranges = [args.ranges()[0], args.ranges()[1], *key];
        on_key(
            session,
            worker,
            Args::new(args.buffer(), &ranges),
            debug::debug_digest_value,
        );
    }
}

/// DEBUG HTSTATS: the tables of one database, in our own terms.
fn table_stats(session: &mut Session, worker: &mut Worker, args: Args<'_>) -> Flow {
    let databases = usize::from(session.server.keyspace.databases());
    let db = hexad_resp::parse_i64(&args[2]).and_then(|db| usize::try_from(db).ok());
    let Some(db) = db.filter(|&db| db < databases) else {
        return super::error(worker, "ERR Out of range database");
    };
    let totals = session.server.keyspace.totals(db);
    let text = format!(
        "[Tables]\n partitions: {}\n entries: {}\n with expiry: {}\n cells: {}\n bytes: {}\n",
        session.server.keyspace.len(),
        totals.keys,
        totals.volatile,
        totals.cells,
        totals.table_bytes
    );
    worker.reply.verbatim("txt", text.as_bytes());
    Flow::Next
}

/// DEBUG PROTOCOL: one reply of each type, with the contents that Redis 7.0 sends.
fn protocol(worker: &mut Worker, kind: &[u8]) {
    let reply = &mut worker.reply;
    match kind.to_ascii_lowercase().as_slice() {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.integer(12345),
        // Not π: the number that Redis sends.
        #[expect(clippy::approx_constant)]
        b"double" => reply.double(3.141),
        b"bignum" => reply.big_number("1234567999999999999999999999999999999"),
        b"null" => reply.null(),
        b"array" => {
            reply.array(3);
            (0..3).for_each(|n| reply.integer(n));
        }
        b"set" => {
            reply.set(3);
            (0..3).for_each(|n| reply.integer(n));
        }
        b"map" => {
            reply.map(3);
            for n in 0..3 {
                reply.integer(n);
                reply.bool(n == 1);
            }
        }
        b"attrib" => {
            if reply.proto() == Proto::Resp3 {
                reply.attribute(1);
                reply.bulk(b"key-popularity");
                reply.array(2);
                reply.bulk(b"key:123");
                reply.integer(90);
            }
            reply.bulk(b"Some real reply following the attribute");
        }
        b"push" if reply.proto() == Proto::Resp2 => {
            reply.error("ERR RESP2 is not supported by this command");
        }
        b"push" => {
            reply.push(2);
            reply.bulk(b"server-cpu-usage");
            reply.integer(42);
            reply.bulk(b"Some real reply following the push reply");
        }
        b"verbatim" => reply.verbatim("txt", b"This is a verbatim\nstring"),
        b"true" => reply.bool(true),
        b"false" => reply.bool(false),
        _ => reply.error(
            "ERR Wrong protocol type name. Please use one of the following: \
             string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
        ),
    }
}
