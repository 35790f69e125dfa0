//! Which replica may take over, and with which data.

use std::time::Duration;

use hexad_tests::{Cluster, Kind, Server, wait_until};

const NODE_TIMEOUT: Duration = Duration::from_secs(1);
/// Keys in the primary that is killed.
const KEYS: i64 = 5_000;
/// By then a replica is in sync, or promoted, however slow the machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A replica has given up its data and is loading its primary's when that one dies. It takes over
/// once it has them all, and not without.
#[test]
fn a_replica_is_not_elected_while_it_loads() {
    let mut cluster = Cluster::start(&[Kind::Hexad; 6], NODE_TIMEOUT, &DEBUGGING);
    cluster.create_by_redis_cli(1);
    cluster.wait_agreed();
    let replica = (3..6).find(|&index| cluster.seen_by(index, index).master == cluster.id(0));
    let replica = replica.expect("the first primary has a replica");
    wait_for_info(&cluster[replica], "master_link_status:up");
    fill(&cluster[0]);

    // Each key takes a while, the whole of them longer than an election.
    cluster[replica].conn().ok("CONFIG SET key-load-delay 1000");
    cluster[0].conn().ok("DEBUG CHANGE-REPL-ID");
    cluster[0].conn().ok("CLIENT KILL TYPE replica");
    wait_until("the replica loads", LIMIT, || {
        let reply = cluster[replica].cmd("DBSIZE");
        if reply.text().starts_with("LOADING") {
            Ok(())
        } else {
            Err(format!("{reply:?}"))
        }
    });
    let info = cluster[replica].cmd("INFO persistence").text();
    assert!(info.contains("\r\nloading:1\r\n"), "{info}");
    cluster[0].kill();

    wait_for_info(&cluster[replica], "role:master");
    assert_eq!(cluster[replica].cmd("DBSIZE").int(), KEYS);
}

const DEBUGGING: [&str; 4] = [
    "--enable-debug-command",
    "yes",
    "--repl-diskless-sync-delay",
    "0",
];

/// Keys of one slot of the first primary, which has the slots from 0.
fn fill(node: &Server) {
    let mut conn = node.conn();
    let tag = (0..).find(|tag| {
        let key = format!("{{{tag}}}");
        conn.call(&["CLUSTER", "KEYSLOT", &key]).int() < 5_000
    });
    let tag = tag.expect("some number has a low slot");
    for key in 0..KEYS {
        conn.ok(&format!("SET {{{tag}}}:{key} value"));
    }
}

fn wait_for_info(node: &Server, line: &str) {
    wait_until(&format!("INFO says {line}"), LIMIT, || {
        let info = node.cmd("INFO").text();
        if info.lines().any(|it| it == line) {
            Ok(())
        } else {
            Err(node.log_tail())
        }
    });
}
