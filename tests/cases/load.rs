//! Many clients at once: nothing is lost, torn or returned twice.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use hexad_tests::{Conn, Kind, Server, on_both, wait_until};

on_both! {
    increments_are_not_lost,
    transactions_are_atomic,
    scan_returns_what_was_there_throughout,
    keys_expire_without_being_touched,
    long_pipelines_come_back_in_order,
    a_thousand_connections,
    large_values,
}

fn increments_are_not_lost(kind: Kind) {
    const CLIENTS: i64 = 8;
    const EACH: i64 = 5_000;
    let server = Server::start(kind);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut conn = server.conn();
                for _ in 0..EACH / 50 {
                    conn.send_raw(&b"INCR counter\r\n".repeat(50))
                        .expect("sent");
                    for _ in 0..50 {
                        assert!(!conn.read().expect("a reply").is_error());
                    }
                }
            });
        }
    });
    assert_eq!(
        server.cmd("GET counter").text(),
        (CLIENTS * EACH).to_string()
    );
}

/// Transfers between two accounts by WATCH and MULTI; readers always see the same sum.
fn transactions_are_atomic(kind: Kind) {
    let server = Server::start(kind);
    server.conn().ok("MSET {x}a 1000 {x}b 1000");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let transfers: Vec<_> = (0..3i64)
            .map(|number| {
                let mut conn = server.conn();
                scope.spawn(move || (0..400).filter(|_| transfer(&mut conn, number + 1)).count())
            })
            .collect();
        let reader = scope.spawn(|| {
            let mut conn = server.conn();
            while !done.load(Ordering::Relaxed) {
                let reply = conn.cmd("MGET {x}a {x}b");
                let sum: i64 = reply
                    .array()
                    .iter()
                    .map(|n| n.text().parse::<i64>().unwrap())
                    .sum();
                assert_eq!(sum, 2000, "{reply:?}");
            }
        });
        let committed: usize = transfers
            .into_iter()
            .map(|t| t.join().expect("no panic"))
            .sum();
        done.store(true, Ordering::Relaxed);
        reader.join().expect("no panic");
        assert!(committed > 0);
    });
}

fn transfer(conn: &mut Conn, amount: i64) -> bool {
    conn.ok("WATCH {x}a {x}b");
    let reply = conn.cmd("MGET {x}a {x}b");
    let balance = |index: usize| {
        reply.array()[index]
            .text()
            .parse::<i64>()
            .expect("a number")
    };
    let (a, b) = (balance(0) - amount, balance(1) + amount);
    conn.ok("MULTI");
    conn.ok(&format!("SET {{x}}a {a}"));
    conn.ok(&format!("SET {{x}}b {b}"));
    matches!(conn.cmd("EXEC"), hexad_tests::Value::Array(_))
}

/// SCAN's promise, while other keys come and go in numbers that make the tables grow and shrink.
fn scan_returns_what_was_there_throughout(kind: Kind) {
    const LASTING: usize = 5_000;
    let server = Server::start(kind);
    let mut conn = server.conn();
    fill(&mut conn, "lasting", LASTING);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut conn = server.conn();
            while !done.load(Ordering::Relaxed) {
                fill(&mut conn, "passing", 40_000);
                let names = (0..40_000).map(|number| format!("passing:{number}"));
                let names: Vec<_> = names.collect();
                for chunk in names.chunks(1_000) {
                    let mut args = vec!["DEL"];
                    args.extend(chunk.iter().map(String::as_str));
                    conn.call(&args);
                }
            }
        });
        for round in 0..10 {
            let found = scan(&mut conn, "lasting:*");
            assert_eq!(found.len(), LASTING, "round {round}");
        }
        done.store(true, Ordering::Relaxed);
    });
}

fn fill(conn: &mut Conn, prefix: &str, count: usize) {
    for start in (0..count).step_by(1_000) {
        let numbers = start..count.min(start + 1_000);
        let mut args = vec!["MSET".to_owned()];
        args.extend(numbers.flat_map(|n| [format!("{prefix}:{n}"), n.to_string()]));
        assert_eq!(conn.call(&args).text(), "OK");
    }
}

fn scan(conn: &mut Conn, pattern: &str) -> HashSet<String> {
    let mut found = HashSet::new();
    let mut cursor = "0".to_owned();
    loop {
        let reply = conn.call(&["SCAN", &cursor, "MATCH", pattern, "COUNT", "100"]);
        found.extend(
            reply.array()[1]
                .array()
                .iter()
                .map(hexad_tests::Value::text),
        );
        cursor = reply.array()[0].text();
        if cursor == "0" {
            return found;
        }
    }
}

fn keys_expire_without_being_touched(kind: Kind) {
    let server = Server::start(kind);
    let mut conn = server.conn();
    fill(&mut conn, "lasting", 1_000);
    for start in (0..50_000).step_by(1_000) {
        let commands: String = (start..start + 1_000)
            .map(|n| format!("SET passing:{n} v PX 300\r\n"))
            .collect();
        conn.send_raw(commands.as_bytes()).expect("sent");
        for _ in 0..1_000 {
            assert_eq!(conn.read().expect("a reply").text(), "OK");
        }
    }
    wait_until(
        "all that was to pass has passed",
        Duration::from_secs(30),
        || {
            let size = conn.cmd("DBSIZE").int();
            if size == 1_000 {
                Ok(())
            } else {
                Err(format!("{size} keys"))
            }
        },
    );
    let stats = conn.cmd("INFO stats").text();
    assert!(stats.contains("expired_keys:50000\r\n"), "{stats}");
}

fn long_pipelines_come_back_in_order(kind: Kind) {
    const COMMANDS: usize = 100_000;
    let server = Server::start(kind);
    let mut writer = server.conn();
    let pipeline: String = (0..COMMANDS).map(|n| format!("ECHO {n}\r\n")).collect();
    // Nothing is read while all is written: the server must take it in and keep the replies.
    writer.send_raw(pipeline.as_bytes()).expect("sent");
    for number in 0..COMMANDS {
        assert_eq!(writer.read().expect("a reply").text(), number.to_string());
    }
}

fn a_thousand_connections(kind: Kind) {
    let server = Server::start(kind);
    let mut conns: Vec<Conn> = (0..1_000).map(|_| server.conn()).collect();
    for (number, conn) in conns.iter_mut().enumerate() {
        let (key, value) = (format!("key:{number}"), number.to_string());
        conn.send(&["SET", &key, &value]).expect("sent");
    }
    for conn in &mut conns {
        assert_eq!(conn.read().expect("a reply").text(), "OK");
    }
    let info = server.cmd("INFO clients").text();
    assert!(info.contains("connected_clients:100"), "{info}");
    drop(conns);
    wait_until("the connections are gone", Duration::from_secs(10), || {
        let info = server.cmd("INFO clients").text();
        if info.contains("connected_clients:1\r\n") {
            Ok(())
        } else {
            Err(info)
        }
    });
}

fn large_values(kind: Kind) {
    let server = Server::start(kind);
    let mut conn = server.conn();
    let value: Vec<u8> = (0..64 << 20)
        .map(|n: u32| n.to_le_bytes()[2] ^ n.to_le_bytes()[0])
        .collect();
    assert_eq!(conn.call(&[b"SET".as_slice(), b"big", &value]).text(), "OK");
    assert_eq!(conn.cmd("STRLEN big").int(), 64 << 20);
    let hexad_tests::Value::Bulk(got) = conn.cmd("GET big") else {
        panic!("no bulk reply")
    };
    assert!(got == value, "the value came back changed");
    assert_eq!(conn.cmd("APPEND big tail").int(), (64 << 20) + 4);
    assert_eq!(conn.cmd("GETRANGE big -4 -1").text(), "tail");
    assert_eq!(conn.cmd("DEL big").int(), 1);
}
