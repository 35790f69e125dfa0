//! MEMORY: what the allocator and the tables say. (MEMORY USAGE is a data command.)

use crate::memory;
use crate::session::{Flow, Session};
use crate::worker::Worker;

/// Below this a diagnosis says nothing (Redis 7.0: 5 MiB).
const TOO_SMALL_BYTES: u64 = 5 * 1024 * 1024;

/// MEMORY STATS.
pub(super) fn stats(session: &Session, worker: &mut Worker) -> Flow {
    let server = session.server;
    let usage = memory::usage(server);
    let databases: Vec<_> = (0..usize::from(server.keyspace.databases()))
        .map(|db| (db, server.keyspace.totals(db)))
        .filter(|(_, totals)| totals.keys > 0)
        .collect();
    let keys: u64 = databases.iter().map(|(_, totals)| totals.keys).sum();
    let reply = &mut worker.reply;
    let integers = |reply: &mut hexad_resp::Reply, fields: &[(&str, u64)]| {
        for (name, value) in fields {
            reply.bulk(name.as_bytes());
            reply.integer(*value as i64);
        }
    };
    let ratio = |a: u64, b: u64| a as f64 / b.max(1) as f64;
    let above_startup = usage.allocated.saturating_sub(usage.startup);
    reply.map(26 + databases.len());
    integers(
        reply,
        &[
            ("peak.allocated", usage.peak),
            ("total.allocated", usage.allocated),
            ("startup.allocated", usage.startup),
            ("replication.backlog", 0),
            ("clients.slaves", 0),
            ("clients.normal", usage.clients),
            ("cluster.links", 0),
            ("aof.buffer", 0),
            ("lua.caches", 0),
            ("functions.caches", 0),
        ],
    );
    for (db, totals) in &databases {
        reply.bulk(format!("db.{db}").as_bytes());
        reply.map(3);
        integers(
            reply,
            &[
                ("overhead.hashtable.main", totals.table_bytes),
                // Expiry times are in the entries; there is no second table.
                ("overhead.hashtable.expires", 0),
                ("overhead.hashtable.slot-to-keys", 0),
            ],
        );
    }
    integers(
        reply,
        &[
            ("overhead.total", usage.overhead),
            ("keys.count", keys),
            (
                "keys.bytes-per-key",
                above_startup.checked_div(keys).unwrap_or(0),
            ),
            ("dataset.bytes", usage.dataset()),
        ],
    );
    let doubles = |reply: &mut hexad_resp::Reply, fields: &[(&str, f64)]| {
        for (name, value) in fields {
            reply.bulk(name.as_bytes());
            reply.double(*value);
        }
    };
    doubles(
        reply,
        &[
            (
                "dataset.percentage",
                ratio(usage.dataset() * 100, above_startup).min(100.0),
            ),
            ("peak.percentage", ratio(usage.allocated * 100, usage.peak)),
        ],
    );
    integers(
        reply,
        &[
            ("allocator.allocated", usage.allocated),
            ("allocator.active", usage.active),
            ("allocator.resident", usage.resident),
        ],
    );
    let pairs = [
        ("allocator-fragmentation", usage.active, usage.allocated),
        ("allocator-rss", usage.resident, usage.active),
        ("rss-overhead", usage.rss, usage.resident),
    ];
    for (name, a, b) in pairs {
        doubles(reply, &[(&format!("{name}.ratio"), ratio(a, b))]);
        reply.bulk(format!("{name}.bytes").as_bytes());
        reply.integer(a as i64 - b as i64);
    }
    doubles(
        reply,
        &[("fragmentation", ratio(usage.rss, usage.allocated))],
    );
    Flow::Next
}

/// MEMORY DOCTOR: a verdict in words.
pub(super) fn doctor(session: &Session, worker: &mut Worker) -> Flow {
    let usage = memory::usage(session.server);
    let mut findings = Vec::new();
    if usage.peak > usage.allocated * 3 / 2 {
        findings.push("The peak was more than 1.5 times what is in use now.");
    }
    if usage.active > usage.allocated * 14 / 10 {
        findings.push("The allocator's pages are fragmented by more than 40 %.");
    }
    if usage.resident > usage.active * 11 / 10 + TOO_SMALL_BYTES {
        findings.push("The allocator keeps free pages: MEMORY PURGE gives them back.");
    }
    if usage.clients > usage.allocated / 4 {
        findings.push("Clients' buffers take more than a quarter of the memory.");
    }
    let text = if usage.allocated < TOO_SMALL_BYTES {
        "There is too little in memory to say anything about it.".to_owned()
    } else if findings.is_empty() {
        "No memory problem was found.".to_owned()
    } else {
        findings.join("\n")
    };
    worker.reply.verbatim("txt", text.as_bytes());
    Flow::Next
}

/// MEMORY MALLOC-STATS: the allocator's own figures.
pub(super) fn malloc_stats(worker: &mut Worker) -> Flow {
    use tikv_jemalloc_ctl::{epoch, stats};
    // Fails only if the allocator was built without statistics.
    let _ = epoch::advance();
    let lines = [
        ("allocated", stats::allocated::read()),
        ("active", stats::active::read()),
        ("metadata", stats::metadata::read()),
        ("resident", stats::resident::read()),
        ("mapped", stats::mapped::read()),
        ("retained", stats::retained::read()),
    ];
    let mut text = String::from("jemalloc 5.3.0\n");
    for (name, value) in lines {
        text.push_str(&format!("{name}: {}\n", value.unwrap_or(0)));
    }
    worker.reply.verbatim("txt", text.as_bytes());
    Flow::Next
}

/// MEMORY PURGE: the allocator gives its free pages back by itself within seconds
/// (`background_thread`, dirty decay); there is nothing left to be asked for.
pub(super) fn purge(worker: &mut Worker) -> Flow {
    tracing::info!("MEMORY PURGE: free pages are given back by the allocator, within seconds");
    worker.reply.ok();
    Flow::Next
}
