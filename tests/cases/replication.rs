//! Primaries and replicas of both kinds, in every pairing.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use hexad_tests::{
    Conn, Kind, Server, Value, follow, info, info_field, on_pairs, replication_server, run,
    wait_equal, wait_link_up, wait_until,
};

/// For what is to happen within a few rounds of a server's own timers.
const SOON: Duration = Duration::from_secs(20);

on_pairs!(
    what_is_written_arrives,
    every_way_of_transfer_under_load,
    a_cut_link_goes_on_where_it_was,
    a_promoted_replica_keeps_the_history,
    a_key_past_its_time_goes_with_the_primarys_del,
    wait_counts_replicas,
    writes_need_enough_replicas,
    a_replica_without_its_primary,
    failover_hands_over_without_loss,
    what_sentinels_say_is_kept_in_the_file,
);

fn pair(primary: Kind, replica: Kind) -> (Server, Server) {
    let primary = replication_server(primary).start();
    let replica = replication_server(replica).start();
    (primary, replica)
}

/// Waits until a command's reply is this.
#[track_caller]
fn wait_reply(server: &Server, command: &str, wanted: &str) {
    wait_until(command, SOON, || match server.cmd(command).text() {
        text if text == wanted => Ok(()),
        text => Err(format!("{text}\n{}", server.log_tail())),
    });
}

/// Waits until the primary's replica is online as the primary sees it.
#[track_caller]
fn wait_online(primary: &Server) {
    wait_until("the replica is online", SOON, || {
        let fields = info(primary, "replication");
        let online = |(_, value): &(String, String)| value.contains("state=online");
        let found = fields.iter().any(online);
        found.then_some(()).ok_or_else(|| format!("{fields:?}"))
    });
}

// ---- what arrives, and what is told of it ---------------------------------------------------------

fn what_is_written_arrives(primary: Kind, replica: Kind) {
    let (primary, replica) = pair(primary, replica);
    let mut client = primary.conn();
    client.ok("SET before snapshot");
    client.ok("SELECT 9");
    client.ok("SET in-nine snapshot EX 1000");
    follow(&replica, &primary);

    client.ok("SELECT 3");
    client.ok("SET in-three 1");
    client.ok("SELECT 0");
    client.ok("MULTI");
    for command in ["INCR n", "APPEND text abc", "SELECT 5", "SET in-five x"] {
        assert_eq!(client.cmd(command).text(), "QUEUED");
    }
    client.ok("EXEC");
    for command in [
        "SELECT 0",
        "SET number 10",
        "INCRBYFLOAT number 0.5",
        "SETEX soon 1000 x",
        "EXPIRE before 1000",
        "GETEX soon PERSIST",
        "MSET a 1 b 2 c 3",
        "MOVE a 7",
        "COPY b d DB 8",
        "RENAME c e",
        "SETRANGE text 10 tail",
        "SWAPDB 3 4",
        "SELECT 9",
        "FLUSHDB",
        "SET nine-again 1",
    ] {
        client.ok(command);
    }
    wait_equal(&[&primary, &replica]);
    let mut reader = replica.conn();
    let mut get = |db: u32, key: &str| {
        reader.ok(&format!("SELECT {db}"));
        reader.cmd(&format!("GET {key}")).text()
    };
    assert_eq!(get(4, "in-three"), "1");
    assert_eq!(get(5, "in-five"), "x");
    assert_eq!(get(0, "number"), "10.5");
    assert_eq!(get(9, "in-nine"), "");
    assert_eq!(get(9, "nine-again"), "1");
    assert_eq!(replica.cmd("TTL soon").int(), -1);

    client.ok("FLUSHALL");
    wait_equal(&[&primary, &replica]);
    assert_eq!(replica.cmd("DBSIZE").int(), 0);

    a_replica_refuses_writes(&replica);
    both_say_who_they_are(&primary, &replica);
}

fn a_replica_refuses_writes(replica: &Server) {
    let refusal = "READONLY You can't write against a read only replica.";
    for write in ["SET a 1", "DEL a", "FLUSHALL", "EXPIRE a 1"] {
        assert_eq!(replica.cmd(write).text(), refusal, "{write}");
    }
    let mut conn = replica.conn();
    conn.ok("MULTI");
    assert_eq!(conn.cmd("SET a 1").text(), refusal);
    assert!(conn.cmd("EXEC").text().starts_with("EXECABORT"));
    conn.ok("CONFIG SET replica-read-only no");
    conn.ok("SET local 1");
    conn.ok("DEL local");
    conn.ok("CONFIG SET replica-read-only yes");
}

/// ROLE, INFO and CLIENT LIST of both.
fn both_say_who_they_are(primary: &Server, replica: &Server) {
    let role = primary.cmd("ROLE");
    let [name, Value::Int(_), replicas] = role.array() else {
        panic!("{role:?}");
    };
    assert_eq!(name.text(), "master");
    let [one] = replicas.array() else {
        panic!("{role:?}");
    };
    let [Value::Bulk(ip), Value::Bulk(port), Value::Bulk(_)] = one.array() else {
        panic!("{role:?}");
    };
    assert_eq!(ip, b"127.0.0.1");
    assert_eq!(*port, replica.port().to_string().into_bytes());

    let role = replica.cmd("ROLE");
    let [name, host, Value::Int(port), state, Value::Int(_)] = role.array() else {
        panic!("{role:?}");
    };
    assert_eq!(
        (name.text(), host.text(), *port, state.text()),
        (
            "slave".to_owned(),
            "127.0.0.1".to_owned(),
            i64::from(primary.port()),
            "connected".to_owned()
        )
    );

    let flags = |server: &Server, kind: &str| {
        let list = server.cmd(&format!("CLIENT LIST TYPE {kind}")).text();
        let flags = list.split(' ').filter_map(|f| f.strip_prefix("flags="));
        flags.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(flags(primary, "replica"), ["S"]);
    assert!(flags(primary, "normal").iter().all(|flags| flags == "N"));
    assert_eq!(flags(replica, "master"), ["M"]);
    assert!(flags(replica, "replica").is_empty());

    let line = info_field(primary, "replication", "slave0");
    let start = format!("ip=127.0.0.1,port={},state=online,offset=", replica.port());
    assert!(line.starts_with(&start), "{line}");
}

/// INFO has the same fields in the same order as stock's.
#[test]
fn info_has_stocks_fields() {
    let fields = |kind| {
        let (primary, replica) = pair(kind, kind);
        let names = |server: &Server| -> Vec<String> {
            let fields = info(server, "replication");
            fields.into_iter().map(|(name, _)| name).collect()
        };
        let alone = names(&primary);
        follow(&replica, &primary);
        let linked = (names(&primary), names(&replica));
        replica.cmd("REPLICAOF 127.0.0.1 1");
        let down = wait_until("the link is down", SOON, || {
            match info_field(&replica, "replication", "master_link_status").as_str() {
                "down" => Ok(names(&replica)),
                status => Err(status.to_owned()),
            }
        });
        (alone, linked, down)
    };
    assert_eq!(fields(Kind::Hexad), fields(Kind::Stock));
}

// ---- transfers ------------------------------------------------------------------------------------

/// Keys that every test of a transfer begins with.
fn keys() -> usize {
    let keys = std::env::var("HEXAD_REPLICATION_KEYS").ok();
    keys.and_then(|text| text.parse().ok()).unwrap_or(100_000)
}

/// Clients that write until told to stop.
struct Writers {
    stop: &'static AtomicBool,
    threads: Vec<thread::JoinHandle<u64>>,
}

impl Writers {
    fn start(server: &Server, keys: usize) -> Self {
        let stop: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
        let writer = |number: u64| {
            let mut conn = server.conn();
            move || {
                let mut written = 0;
                let mut random = number + 1;
                loop {
                    written += write_some(&mut conn, &mut random, keys as u64);
                    if stop.load(Relaxed) {
                        return written;
                    }
                }
            }
        };
        let threads = (0..2).map(|number| thread::spawn(writer(number)));
        Self {
            stop,
            threads: threads.collect(),
        }
    }

    /// Ends them; gives how many commands they have had executed.
    fn end(self) -> u64 {
        self.stop.store(true, Relaxed);
        let threads = self.threads.into_iter();
        threads.map(|thread| thread.join().expect("a writer")).sum()
    }
}

/// A pipeline of writes on the keys that DEBUG POPULATE has made, and on some others.
fn write_some(conn: &mut Conn, random: &mut u64, keys: u64) -> u64 {
    const PIPELINE: u64 = 32;
    for number in 0..PIPELINE {
        *random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        let key = (*random >> 33) % keys;
        let command = match number % 8 {
            0 => format!("DEL key:{key}"),
            1 => format!("INCR counter:{}", key % 100),
            2 => format!("APPEND key:{key} more"),
            3 => format!("SET key:{key} {random} EX 1000"),
            4 => format!("EXPIRE key:{key} 1000"),
            5 => format!("INCRBYFLOAT float:{} 0.1", key % 100),
            6 => format!("PERSIST key:{key}"),
            _ => format!("SET other:{key} {random}"),
        };
        let args: Vec<&str> = command.split(' ').collect();
        conn.send(&args).expect("the server reads");
    }
    for _ in 0..PIPELINE {
        conn.read().expect("the server answers");
    }
    PIPELINE
}

/// Each way to send and each way to take all data, one after the other, while clients write.
fn every_way_of_transfer_under_load(primary: Kind, replica: Kind) {
    let (primary, replica) = pair(primary, replica);
    let keys = keys();
    primary
        .conn()
        .ok(&format!("DEBUG POPULATE {} key 20", keys / 2));
    for sync in ["yes", "no"] {
        for load in ["disabled", "on-empty-db", "swapdb"] {
            primary
                .conn()
                .ok(&format!("CONFIG SET repl-diskless-sync {sync}"));
            replica
                .conn()
                .ok(&format!("CONFIG SET repl-diskless-load {load}"));
            // A history that the primary does not know, and data that have to go.
            replica.conn().ok("REPLICAOF NO ONE");
            replica.conn().ok("SET stray 1");
            let before = info_field(&primary, "stats", "sync_full");
            let writers = Writers::start(&primary, keys);
            follow(&replica, &primary);
            let written = writers.end();
            assert_ne!(
                info_field(&primary, "stats", "sync_full"),
                before,
                "all data are sent"
            );
            assert!(written > 0);
            wait_equal(&[&primary, &replica]);
            assert_eq!(replica.cmd("EXISTS stray").int(), 0, "{sync} {load}");
        }
    }
    assert!(primary.cmd("DBSIZE").int() as usize > keys / 4);
}

fn a_cut_link_goes_on_where_it_was(primary: Kind, replica: Kind) {
    let (primary, replica) = pair(primary, replica);
    follow(&replica, &primary);
    let full = info_field(&primary, "stats", "sync_full");
    let mut cuts = 0;
    for (server, kind) in [(&primary, "replica"), (&replica, "master")] {
        let writers = Writers::start(&primary, 1000);
        for _ in 0..2 {
            let killed = server.cmd(&format!("CLIENT KILL TYPE {kind}")).int();
            assert_eq!(killed, 1, "CLIENT KILL TYPE {kind}");
            cuts += 1;
            wait_until("a partial resynchronisation", SOON, || {
                let ok = info_field(&primary, "stats", "sync_partial_ok");
                (ok == cuts.to_string()).then_some(()).ok_or(ok)
            });
            wait_link_up(&replica, &primary);
        }
        assert!(writers.end() > 0);
        wait_equal(&[&primary, &replica]);
    }
    assert_eq!(info_field(&primary, "stats", "sync_full"), full);

    // What the backlog does not have any more takes all data again.
    primary.conn().ok("CONFIG SET repl-backlog-size 16384");
    replica.pause();
    primary.conn().ok("CLIENT KILL TYPE replica");
    let value = "x".repeat(10_000);
    for number in 0..10 {
        primary.conn().ok(&format!("SET big:{number} {value}"));
    }
    replica.resume();
    wait_until("a full resynchronisation", SOON, || {
        let now = info_field(&primary, "stats", "sync_full");
        if now == full { Err(now) } else { Ok(()) }
    });
    wait_link_up(&replica, &primary);
    wait_equal(&[&primary, &replica]);
}

// ---- chains and changes of the role ---------------------------------------------------------------

#[test]
fn stock_hexad_stock() {
    a_chain(Kind::Stock, Kind::Hexad);
}

#[test]
fn hexad_stock_hexad() {
    a_chain(Kind::Hexad, Kind::Stock);
}

/// Data go through a replica of the other kind, under load, through cuts and a full
/// synchronisation in the middle.
fn a_chain(ends: Kind, middle: Kind) {
    let servers = [ends, middle, ends].map(|kind| replication_server(kind).start());
    let [first, second, third] = &servers;
    let keys = keys() / 2;
    first.conn().ok(&format!("DEBUG POPULATE {keys} key 20"));
    follow(second, first);
    follow(third, second);
    let writers = Writers::start(first, keys);
    second.conn().ok("CLIENT KILL TYPE master");
    wait_link_up(second, first);
    second.conn().ok("CLIENT KILL TYPE replica");
    wait_link_up(third, second);
    writers.end();
    wait_equal(&[first, second, third]);
    assert_eq!(info_field(first, "stats", "sync_full"), "1");
    assert_eq!(info_field(second, "stats", "sync_full"), "1");

    // The first becomes the last.
    second.conn().ok("REPLICAOF NO ONE");
    third
        .conn()
        .ok(&format!("REPLICAOF 127.0.0.1 {}", second.port()));
    follow(first, third);
    wait_link_up(third, second);
    let writers = Writers::start(second, keys);
    writers.end();
    wait_equal(&[first, second, third]);
    assert_eq!(
        info_field(second, "stats", "sync_full"),
        "1",
        "partial still"
    );
    assert_eq!(info_field(third, "stats", "sync_full"), "0", "partial too");
}

/// REPLICAOF NO ONE and back, in both directions, without a transfer of all data.
fn a_promoted_replica_keeps_the_history(primary: Kind, replica: Kind) {
    let (primary, replica) = pair(primary, replica);
    follow(&replica, &primary);
    primary.conn().ok("SET a 1");
    wait_equal(&[&primary, &replica]);
    let old_id = info_field(&primary, "replication", "master_replid");

    replica.conn().ok("REPLICAOF NO ONE");
    assert_eq!(info_field(&replica, "replication", "role"), "master");
    assert_eq!(
        info_field(&replica, "replication", "master_replid2"),
        old_id
    );
    let new_id = info_field(&replica, "replication", "master_replid");
    assert_ne!(new_id, old_id);
    replica.conn().ok("SET b 2");
    follow(&primary, &replica);
    wait_equal(&[&primary, &replica]);
    assert_eq!(primary.cmd("GET b").text(), "2");
    assert_eq!(info_field(&primary, "replication", "master_replid"), new_id);
    assert_eq!(info_field(&replica, "stats", "sync_full"), "0");
    assert_eq!(info_field(&replica, "stats", "sync_partial_ok"), "1");

    let reply = primary.cmd(&format!("REPLICAOF 127.0.0.1 {}", replica.port()));
    assert_eq!(reply.text(), "OK Already connected to specified master");
}

/// FAILOVER in both directions, the ways it ends otherwise, and what it refuses.
fn failover_hands_over_without_loss(primary: Kind, replica: Kind) {
    let (primary, replica) = pair(primary, replica);
    assert_eq!(
        primary.cmd("FAILOVER").text(),
        "ERR FAILOVER requires connected replicas."
    );
    assert_eq!(
        primary.cmd("FAILOVER ABORT").text(),
        "ERR No failover in progress."
    );
    follow(&replica, &primary);
    primary.conn().ok("SET n 0");
    for (old, new) in [(&primary, &replica), (&replica, &primary)] {
        old.conn().ok("INCR n");
        wait_online(old);
        old.conn()
            .ok(&format!("FAILOVER TO 127.0.0.1 {}", new.port()));
        wait_until("the roles change", SOON, || {
            let roles = [old, new].map(|server| info_field(server, "replication", "role"));
            match roles == ["slave", "master"] {
                true => Ok(()),
                false => Err(format!("{roles:?}\n{}{}", old.log_tail(), new.log_tail())),
            }
        });
        wait_link_up(old, new);
        assert_eq!(
            info_field(new, "stats", "sync_full"),
            if new.port() == replica.port() {
                "0"
            } else {
                "1"
            }
        );
        wait_reply(old, "GET n", &new.cmd("GET n").text());
        assert_eq!(
            info_field(old, "replication", "master_failover_state"),
            "no-failover"
        );
    }
    assert_eq!(primary.cmd("GET n").text(), "2");
    wait_online(&primary);

    // A replica that does not catch up: FAILOVER ends by time, or by hand.
    replica.pause();
    primary.conn().ok("INCR n");
    primary.conn().ok("FAILOVER TIMEOUT 300");
    assert_eq!(
        info_field(&primary, "replication", "master_failover_state"),
        "waiting-for-sync"
    );
    wait_until("the failover is given up", SOON, || {
        let state = info_field(&primary, "replication", "master_failover_state");
        (state == "no-failover").then_some(()).ok_or(state)
    });
    primary.conn().ok("FAILOVER");
    assert_eq!(
        primary.cmd("FAILOVER").text(),
        "ERR FAILOVER already in progress."
    );
    assert_eq!(
        primary.cmd("REPLICAOF NO ONE").text(),
        "ERR REPLICAOF not allowed while failing over."
    );
    primary.conn().ok("FAILOVER ABORT");
    primary.conn().ok("INCR n");
    replica.resume();
    wait_equal(&[&primary, &replica]);
    assert_eq!(replica.cmd("GET n").text(), "4");

    // Forced onto a replica that did not catch up.
    replica.pause();
    primary.conn().ok("INCR n");
    let force = format!("FAILOVER TO 127.0.0.1 {} FORCE TIMEOUT 200", replica.port());
    primary.conn().ok(&force);
    replica.resume();
    wait_until("the roles change", SOON, || {
        let roles = [&primary, &replica].map(|server| info_field(server, "replication", "role"));
        (roles == ["slave", "master"])
            .then_some(())
            .ok_or(format!("{roles:?}"))
    });
    wait_link_up(&primary, &replica);
    wait_equal(&[&primary, &replica]);
}

/// The transactions by which sentinels change roles: the file says the new role at once, other
/// clients are gone, and a server that starts again has the role of its file.
fn what_sentinels_say_is_kept_in_the_file(primary: Kind, replica: Kind) {
    let primary = replication_server(primary).start();
    let mut replica = replication_server(replica).config("# kept\n").start();
    let file = replica.dir().join("redis.conf");
    let line = || {
        let text = fs::read_to_string(&file).expect("a configuration file");
        assert!(text.starts_with("# kept\n"), "{text}");
        let mut lines = text.lines().filter(|line| line.starts_with("replicaof"));
        let line = lines.next().map(str::to_owned);
        assert_eq!(lines.next(), None, "{text}");
        line
    };
    let transaction = |replica: &Server, command: &str| {
        let mut other = replica.conn();
        other.ok("PING");
        let mut conn = replica.conn();
        conn.ok("MULTI");
        for command in [
            command,
            "CONFIG REWRITE",
            "CLIENT KILL TYPE normal",
            "CLIENT KILL TYPE pubsub",
        ] {
            assert_eq!(conn.cmd(command).text(), "QUEUED");
        }
        let replies = conn.cmd("EXEC");
        let [
            Value::Simple(_),
            Value::Simple(_),
            Value::Int(1..),
            Value::Int(0),
        ] = replies.array()
        else {
            panic!("{replies:?}");
        };
        assert!(other.is_closed());
    };
    let port = primary.port();
    transaction(&replica, &format!("SLAVEOF 127.0.0.1 {port}"));
    assert_eq!(line(), Some(format!("replicaof 127.0.0.1 {port}")));
    wait_link_up(&replica, &primary);
    let shown = replica.cmd("CONFIG GET replicaof");
    assert_eq!(shown.array()[1].text(), format!("127.0.0.1 {port}"));
    replica.kill();
    replica.restart();
    wait_link_up(&replica, &primary);

    transaction(&replica, "SLAVEOF NO ONE");
    assert_eq!(line(), None);
    wait_until("it is a primary", SOON, || {
        let role = info_field(&replica, "replication", "role");
        (role == "master").then_some(()).ok_or(role)
    });
    replica.kill();
    replica.restart();
    assert_eq!(info_field(&replica, "replication", "role"), "master");

    // FAILOVER changes it as well.
    follow(&replica, &primary);
    wait_online(&primary);
    primary.conn().ok("FAILOVER");
    wait_link_up(&primary, &replica);
    let shown = |server: &Server| server.cmd("CONFIG GET replicaof").array()[1].text();
    assert_eq!(shown(&primary), format!("127.0.0.1 {}", replica.port()));
    wait_until("no replica any more", SOON, || match shown(&replica) {
        text if text.is_empty() => Ok(()),
        text => Err(text),
    });
}

// ---- what the state of replication means to clients -----------------------------------------------

fn a_key_past_its_time_goes_with_the_primarys_del(primary: Kind, replica: Kind) {
    let (primary, replica) = pair(primary, replica);
    follow(&replica, &primary);
    // The primary does not look for keys past their time by itself, so only a read removes one.
    primary.conn().ok("DEBUG SET-ACTIVE-EXPIRE 0");
    replica.conn().ok("DEBUG SET-ACTIVE-EXPIRE 0");
    primary.conn().ok("SET short 1 PX 50");
    primary.conn().ok("SET long 1 PX 100000");
    wait_reply(&replica, "EXISTS long", "1");
    wait_reply(&replica, "EXISTS short", "0");
    assert_eq!(replica.cmd("GET short"), Value::Null);
    assert_eq!(replica.cmd("TTL short").int(), -2);
    assert_eq!(replica.cmd("DBSIZE").int(), 2, "it waits for the DEL");
    assert_eq!(primary.cmd("GET short"), Value::Null);
    wait_reply(&replica, "DBSIZE", "1");

    primary.conn().ok("DEBUG SET-ACTIVE-EXPIRE 1");
    primary.conn().ok("SET short 1 PX 50");
    wait_reply(&primary, "DBSIZE", "1");
    wait_reply(&replica, "DBSIZE", "1");
    let pttl = |server: &Server| server.cmd("PEXPIRETIME long").int();
    assert_eq!(pttl(&primary), pttl(&replica));
    wait_equal(&[&primary, &replica]);
}

fn wait_counts_replicas(primary: Kind, replica: Kind) {
    let (primary, replica) = pair(primary, replica);
    assert_eq!(primary.cmd("WAIT 0 0").int(), 0);
    follow(&replica, &primary);
    let mut conn = primary.conn();
    conn.ok("SET a 1");
    assert_eq!(conn.cmd("WAIT 1 0").int(), 1);
    assert_eq!(replica.cmd("GET a").text(), "1");
    conn.ok("SET a 2");
    assert_eq!(conn.cmd("WAIT 2 100").int(), 1);
    assert_eq!(conn.cmd("WAIT 0 0").int(), 1);
    assert_eq!(conn.cmd("WAIT 1 -1").text(), "ERR timeout is negative");
    assert!(
        replica
            .cmd("WAIT 1 0")
            .text()
            .starts_with("ERR WAIT cannot be used with replica instances.")
    );

    // In a transaction it does not wait.
    replica.pause();
    for command in ["MULTI", "SET a 3", "WAIT 1 0"] {
        conn.ok(command);
    }
    assert!((0..=1).contains(&conn.cmd("EXEC").array()[1].int()));
    assert_eq!(
        conn.cmd("WAIT 1 50").int(),
        0,
        "a replica that stands still"
    );

    let id = conn.cmd("CLIENT ID").int();
    for (how, reply) in [
        ("ERROR", "UNBLOCKED client unblocked via CLIENT UNBLOCK"),
        ("TIMEOUT", "0"),
    ] {
        conn.send(&["WAIT", "1", "0"]).expect("the server reads");
        wait_until("the client is blocked", SOON, || {
            match primary.cmd(&format!("CLIENT UNBLOCK {id} {how}")).int() {
                1 => Ok(()),
                other => Err(other.to_string()),
            }
        });
        assert_eq!(conn.read().expect("a reply").text(), reply);
    }
    // Nobody waits in a server that becomes a replica.
    conn.send(&["WAIT", "1", "0"]).expect("the server reads");
    wait_until("the client is blocked", SOON, || {
        let list = primary.cmd(&format!("CLIENT LIST ID {id}")).text();
        list.contains("flags=b").then_some(()).ok_or(list)
    });
    primary.conn().ok("REPLICAOF 127.0.0.1 1");
    assert_eq!(
        conn.read().expect("a reply").text(),
        "UNBLOCKED force unblock from blocking operation, instance state changed (master -> \
         replica?)"
    );
    replica.resume();
}

fn writes_need_enough_replicas(primary: Kind, replica: Kind) {
    let (primary, replica) = pair(primary, replica);
    follow(&replica, &primary);
    let refusal = "NOREPLICAS Not enough good replicas to write.";
    let mut conn = primary.conn();
    conn.ok("CONFIG SET min-replicas-to-write 2");
    wait_reply(&primary, "SET a 1", refusal);
    assert_eq!(conn.cmd("GET a"), Value::Null);
    conn.ok("CONFIG SET min-replicas-to-write 1 min-replicas-max-lag 2");
    wait_reply(&primary, "SET a 1", "OK");
    assert_eq!(
        info_field(&primary, "replication", "min_slaves_good_slaves"),
        "1"
    );
    replica.pause();
    wait_reply(&primary, "SET a 1", refusal);
    replica.resume();
    wait_reply(&primary, "SET a 2", "OK");
    wait_reply(&replica, "GET a", "2");
}

/// A password, and a replica whose primary is gone.
fn a_replica_without_its_primary(primary: Kind, replica: Kind) {
    let mut primary = replication_server(primary)
        .args(&["--requirepass", "sesame"])
        .start();
    let replica = replication_server(replica)
        .args(&["--masterauth", "sesame"])
        .start();
    let mut conn = primary.conn();
    conn.ok("AUTH sesame");
    conn.ok("SET a 1");
    follow(&replica, &primary);
    assert_eq!(replica.cmd("GET a").text(), "1");

    // A wrong password is refused, and a right one helps at the next attempt.
    replica.conn().ok("CONFIG SET masterauth wrong");
    conn.ok("CLIENT KILL TYPE replica");
    replica.wait_log("Unable to AUTH to MASTER: -WRONGPASS");
    replica.conn().ok("CONFIG SET masterauth sesame");
    wait_link_up(&replica, &primary);

    primary.kill();
    wait_until("the link is down", SOON, || {
        match info_field(&replica, "replication", "master_link_status") {
            status if status == "down" => Ok(()),
            status => Err(status),
        }
    });
    assert_eq!(replica.cmd("GET a").text(), "1");
    replica.conn().ok("CONFIG SET replica-serve-stale-data no");
    let refusal =
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.";
    assert_eq!(replica.cmd("GET a").text(), refusal);
    for allowed in ["PING", "INFO", "ROLE", "CONFIG GET port"] {
        let reply = replica.cmd(allowed);
        let refused = reply.text() == refusal;
        assert_eq!(refused, allowed == "PING", "{allowed}: {reply:?}");
    }
    replica.conn().ok("REPLICAOF NO ONE");
    assert_eq!(replica.cmd("GET a").text(), "1");
}

// ---- redis-cli as a replica -----------------------------------------------------------------------

#[test]
fn redis_cli_takes_a_snapshot_and_follows_the_stream() {
    let server = replication_server(Kind::Hexad).start();
    server.conn().ok("DEBUG POPULATE 10000 key 20");
    let port = server.port().to_string();
    let file = server.dir().join("taken.rdb");
    for diskless in ["yes", "no"] {
        server
            .conn()
            .ok(&format!("CONFIG SET repl-diskless-sync {diskless}"));
        let (good, text) = run(Command::new("redis-cli")
            .args(["-p", &port, "--rdb"])
            .arg(&file));
        assert!(good, "{text}");
        let (good, text) = run(Command::new("redis-check-rdb").arg(&file));
        assert!(good && text.contains("10000 keys read"), "{text}");
    }

    let output = server.dir().join("stream");
    let stdout = fs::File::create(&output).expect("a file");
    let mut cli = Command::new("redis-cli")
        .args(["-p", &port, "--replica"])
        .stdout(stdout)
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("redis-cli");
    wait_until("the stream arrives", SOON, || {
        server.conn().ok("SET shown value");
        let text = fs::read_to_string(&output).unwrap_or_default();
        text.contains("\"SET\",\"shown\",\"value\"")
            .then_some(())
            .ok_or(text)
    });
    cli.kill().expect("redis-cli is ours");
    cli.wait().expect("redis-cli ends");
}
