//! Behaviour of the handlers, command by command, as Redis 7.0.15 was seen to behave. What is not
//! here is covered by the comparison with a real server (`examples/differential`).

use std::collections::BTreeSet;
use std::sync::Arc;

use hexad_resp::{ArgRange, Args, Reply};
use hexad_store::WatchFlag;

use super::debug;
use super::harness::Harness;
use crate::Expiry;

#[test]
fn set_takes_every_option() {
    let mut server = Harness::stand_alone();
    server.transcript(
        "
        SET k v => +OK
        SET k w NX => $-1
        SET k w XX GET => $1 v
        SET n w XX => $-1
        SET n w XX GET => $-1
        SET n w nx get => $-1
        GET n => $1 w
        SET k v EX 100 => +OK
        SET k w KEEPTTL => +OK
        PTTL k => :100000
        SET k w => +OK
        TTL k => :-1
        SET k v PXAT 1000000500 => +OK
        PTTL k => :500
        SET k v EXAT 1000001 => +OK
        PEXPIRETIME k => :1000001000
        SET k v EX 10 EX 20 => +OK
        TTL k => :20
        SET k v NX XX => -ERR syntax error
        SET k v EX => -ERR syntax error
        SET k v EX 10 PX 10 => -ERR syntax error
        SET k v KEEPTTL EX 10 => -ERR syntax error
        SET k v PERSIST => -ERR syntax error
        SET k v EX ten => -ERR value is not an integer or out of range
        SET k v EX 0 => -ERR invalid expire time in 'set' command
        SET k v PX 9223372036854775807 => -ERR invalid expire time in 'set' command
        SETEX k 0 v => -ERR invalid expire time in 'setex' command
        PSETEX k -1 v => -ERR invalid expire time in 'psetex' command
        ",
    );
}

#[test]
fn getex_looks_at_the_number_only_if_the_key_is_there() {
    let mut server = Harness::stand_alone();
    server.transcript(
        "
        GETEX n EX 0 => $-1
        SET k v => +OK
        GETEX k EX 0 => -ERR invalid expire time in 'getex' command
        GETEX k KEEPTTL => -ERR syntax error
        GETEX k EX 10 => $1 v
        TTL k => :10
        GETEX k => $1 v
        TTL k => :10
        GETEX k PERSIST => $1 v
        TTL k => :-1
        GETEX k PXAT 1 => $1 v
        EXISTS k => :0
        ",
    );
}

#[test]
fn encodings_follow_the_commands() {
    let mut server = Harness::stand_alone();
    server.transcript(&format!(
        "
        SET k 12 => +OK
        OBJECT ENCODING k => $3 int
        OBJECT REFCOUNT k => :2147483647
        APPEND k 3 => :3
        OBJECT ENCODING k => $3 raw
        INCR k => :124
        OBJECT ENCODING k => $3 int
        SET k 012 => +OK
        OBJECT ENCODING k => $6 embstr
        SET k {} => +OK
        OBJECT ENCODING k => $6 embstr
        SET k {} => +OK
        OBJECT ENCODING k => $3 raw
        OBJECT REFCOUNT k => :1
        INCRBYFLOAT f 3 => $1 3
        OBJECT ENCODING f => $6 embstr
        APPEND n 123 => :3
        OBJECT ENCODING n => $3 int
        SETRANGE r 0 5 => :1
        OBJECT ENCODING r => $3 raw
        OBJECT ENCODING missing => $-1
        ",
        "x".repeat(44),
        "x".repeat(45),
    ));
}

#[test]
fn counters_stop_at_their_limits() {
    let mut server = Harness::stand_alone();
    server.transcript(
        "
        INCR k => :1
        DECRBY k 3 => :-2
        INCRBY k 9223372036854775807 => :9223372036854775805
        INCRBY k 3 => -ERR increment or decrement would overflow
        DECRBY k -9223372036854775808 => -ERR decrement would overflow
        INCRBY k +1 => -ERR value is not an integer or out of range
        SET k 01 => +OK
        INCR k => -ERR value is not an integer or out of range
        INCRBYFLOAT k .5 => $3 1.5
        INCRBYFLOAT k nan => -ERR value is not a valid float
        INCRBYFLOAT k inf => -ERR increment would produce NaN or Infinity
        SET k 1 EX 10 => +OK
        INCR k => :2
        INCRBYFLOAT k 1 => $1 3
        TTL k => :10
        ",
    );
}

#[test]
fn strings_stay_below_the_limit() {
    let mut server = Harness::stand_alone();
    server.transcript(
        "
        SETRANGE k 998 ab => :1000
        APPEND k c => -ERR string exceeds maximum allowed size (proto-max-bulk-len)
        SETRANGE k 1000 c => -ERR string exceeds maximum allowed size (proto-max-bulk-len)
        SETRANGE k 9223372036854775807 c => -ERR string exceeds maximum allowed size (proto-max-bulk-len)
        SETRANGE k -1 c => -ERR offset is out of range
        STRLEN k => :1000
        GETRANGE k -2 -1 => $2 ab
        LCS k k => -ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len
        ",
    );
    assert_eq!(server.run("SETRANGE n 5000 "), ":0");
    assert_eq!(server.run("EXISTS n"), ":0");
}

#[test]
fn lcs_replies_in_three_forms() {
    let mut server = Harness::stand_alone();
    server.transcript(
        "
        MSET a ohmytext b mynewtext => +OK
        LCS a b => $6 mytext
        LCS a b LEN => :6
        LCS a b IDX => *4 $7 matches *2 *2 *2 :4 :7 *2 :5 :8 *2 *2 :2 :3 *2 :0 :1 $3 len :6
        LCS a b IDX MINMATCHLEN 3 WITHMATCHLEN => *4 $7 matches *1 *3 *2 :4 :7 *2 :5 :8 :4 $3 len :6
        LCS a none LEN => :0
        LCS a b LEN IDX => -ERR If you want both the length and indexes, please just use IDX.
        LCS a b MINMATCHLEN => -ERR syntax error
        ",
    );
    let mut server = server.resp3();
    assert_eq!(
        server.run("LCS none none IDX"),
        "%2 $7 matches *0 $3 len :0"
    );
    assert_eq!(server.run("GET none"), "_");
}

#[test]
fn expire_obeys_its_conditions() {
    let mut server = Harness::stand_alone();
    server.transcript(
        "
        EXPIRE k 10 => :0
        SET k v => +OK
        EXPIRE k 10 XX => :0
        EXPIRE k 10 GT => :0
        EXPIRE k 10 LT => :1
        EXPIRE k 20 NX => :0
        EXPIRE k 5 GT => :0
        EXPIRE k 20 gt xx => :1
        EXPIRE k 20 LT => :0
        EXPIRETIME k => :1000020
        PERSIST k => :1
        PERSIST k => :0
        EXPIRE k 1 NX XX => -ERR NX and XX, GT or LT options at the same time are not compatible
        EXPIRE k 1 GT LT => -ERR GT and LT options at the same time are not compatible
        EXPIRE k x foo => -ERR Unsupported option foo
        EXPIRE k x => -ERR value is not an integer or out of range
        EXPIRE k 9223372036854775807 => -ERR invalid expire time in 'expire' command
        PEXPIRE k 9223372036854775807 => -ERR invalid expire time in 'pexpire' command
        PEXPIREAT k 9223372036854775807 => :1
        EXPIRETIME k => :9223372036854776
        EXPIRE k -1 => :1
        TTL k => :-2
        ",
    );
}

#[test]
fn a_primary_deletes_an_expired_key_when_it_is_looked_up() {
    let mut server = Harness::stand_alone();
    server.run("SET k v PX 10");
    let flag = Arc::new(WatchFlag::new());
    server.partition(b"k").watch(0, b"k", &flag);
    server.now_ms += 10;
    assert_eq!(
        server.run("GET k"),
        "$1 v",
        "it lives in its last millisecond"
    );
    server.now_ms += 1;
    assert_eq!(server.run("DBSIZE"), ":1");
    assert_eq!(server.run("KEYS *"), "*0");
    assert!(!flag.is_dirty());
    assert_eq!(server.run("GET k"), "$-1");
    assert!(flag.is_dirty());
    assert_eq!(server.run("DBSIZE"), ":0");
    assert_eq!(
        (
            server.effects.expired,
            server.effects.hits,
            server.effects.misses
        ),
        (1, 1, 1)
    );
}

#[test]
fn a_replica_keeps_an_expired_key_and_does_not_show_it() {
    let mut server = Harness::stand_alone();
    server.run("SET k v PX 10");
    server.env.expiry = Expiry::Hides;
    server.now_ms += 11;
    server.transcript(
        "
        GET k => $-1
        EXISTS k => :0
        TTL k => :-2
        SCAN 0 => *2 $1 0 *0
        DBSIZE => :1
        RANDOMKEY => $1 k
        ",
    );
    assert_eq!(server.effects.expired, 0);
}

#[test]
fn changes_are_counted_and_watchers_told() {
    let mut server = Harness::stand_alone();
    for (line, dirty, touched) in [
        ("SET k v", 1, true),
        ("GET k", 0, false),
        ("SET k v NX", 0, false),
        ("APPEND k x", 1, true),
        ("SETRANGE k 0 ", 0, false),
        ("EXPIRE k 100", 1, true),
        ("EXPIRE k 100 NX", 0, false),
        ("GETEX k", 0, false),
        ("GETEX k PERSIST", 1, true),
        ("MSET k 1 other 2", 2, true),
        ("INCR k", 1, true),
        ("RENAME other k", 1, true),
        ("COPY k copy", 1, false),
        ("RENAME k elsewhere", 1, true),
        ("RENAMENX copy k", 1, true),
        ("MOVE k 1", 1, true),
        ("DEL k", 0, false),
        ("MSETNX k 1 k2 2", 2, true),
        ("GETDEL k", 1, true),
        ("SETEX k 10 v", 1, true),
        ("FLUSHDB", 3, true),
        ("FLUSHALL", 1, false),
    ] {
        let flag = Arc::new(WatchFlag::new());
        server.partition(b"k").watch(0, b"k", &flag);
        let before = server.effects.dirty;
        server.run(line);
        assert_eq!(server.effects.dirty - before, dirty, "{line}");
        assert_eq!(flag.is_dirty(), touched, "{line}");
        server.partition(b"k").unwatch(0, b"k", &flag);
    }
}

#[test]
fn rename_copy_and_move() {
    let mut server = Harness::stand_alone();
    server.transcript(
        "
        RENAME a a => -ERR no such key
        SET a 1 EX 10 => +OK
        RENAME a a => +OK
        RENAMENX a a => :0
        RENAME a b => +OK
        TTL b => :10
        COPY b b => -ERR source and destination objects are the same
        COPY b c => :1
        COPY b c => :0
        COPY b c REPLACE => :1
        TTL c => :10
        COPY b b DB 16 => -ERR DB index is out of range
        COPY b b DB x => -ERR value is not an integer or out of range
        COPY b b DB 99999999999 => -ERR value is out of range, value must between -2147483648 and 2147483647
        COPY b b DB 1 => :1
        MOVE b 1 => :0
        MOVE c 1 => :1
        MOVE c 0 => -ERR source and destination objects are the same
        DBSIZE => :1
        SWAPDB 0 1 => +OK
        DBSIZE => :2
        SWAPDB a 1 => -ERR invalid first DB index
        SWAPDB 0 a => -ERR invalid second DB index
        SWAPDB 0 16 => -ERR DB index is out of range
        ",
    );
    let mut server = Harness::cluster();
    server.transcript(
        "
        SET a 1 => +OK
        COPY a {a}b => :1
        COPY a {a}b DB 0 REPLACE => :1
        MOVE a 1 => -ERR MOVE is not allowed in cluster mode
        SWAPDB 0 1 => -ERR SWAPDB is not allowed in cluster mode
        ",
    );
}

#[test]
fn access_clocks() {
    let mut server = Harness::stand_alone();
    server.run("SET k v");
    server.run("SETRANGE r 3 v");
    server.now_ms += 7000;
    server.transcript(
        "
        OBJECT IDLETIME k => :7
        OBJECT IDLETIME r => :7
        EXISTS k => :1
        TTL k => :-1
        TYPE k => +string
        OBJECT IDLETIME k => :7
        TOUCH k => :1
        OBJECT IDLETIME k => :0
        COPY r s => :1
        OBJECT IDLETIME s => :0
        ",
    );
    assert!(
        server
            .run("OBJECT FREQ k")
            .starts_with("-ERR An LFU maxmemory policy is not selected")
    );
    server.env.lfu = true;
    assert!(
        server
            .run("OBJECT IDLETIME k")
            .starts_with("-ERR An LFU maxmemory policy is selected")
    );
    server.transcript(
        "
        SET f v => +OK
        OBJECT FREQ f => :5
        GET f => $1 v
        OBJECT FREQ f => :6
        SET f w => +OK
        OBJECT FREQ f => :6
        ",
    );
    server.now_ms += 2 * 60_000;
    assert_eq!(server.run("OBJECT FREQ f"), ":4");
}

#[test]
fn scan_goes_through_all_slots() {
    let mut server = Harness::cluster();
    let keys: BTreeSet<String> = (0..3000).map(|number| format!("key:{number}")).collect();
    for key in &keys {
        server.run(&format!("SET {key} v"));
    }
    assert_eq!(server.run("DBSIZE"), ":3000");
    let mut seen = BTreeSet::new();
    let (mut cursor, mut calls) = ("0".to_owned(), 0);
    loop {
        let reply = server.run(&format!("SCAN {cursor} COUNT 100"));
        let mut words = reply.split(' ').skip(2);
        cursor = words.next().expect("a cursor").to_owned();
        seen.extend(
            words
                .filter(|word| word.starts_with("key:"))
                .map(str::to_owned),
        );
        calls += 1;
        if cursor == "0" {
            break;
        }
        assert!(cursor.parse::<u64>().expect("a number") < 1 << 62);
        // What comes and goes meanwhile does not matter.
        server.run(&format!("SET other:{calls} v"));
        server.run(&format!("DEL other:{}", calls / 2));
    }
    assert_eq!(seen, keys);
    assert!((30..=40).contains(&calls), "{calls}");
    assert_eq!(server.run("SCAN 18446744073709551615"), "*2 $1 0 *0");
}

#[test]
fn random_keys_are_fair_over_slots() {
    let mut server = Harness::cluster();
    // One slot holds nine of ten keys.
    for number in 0..90 {
        server.run(&format!("SET {{big}}{number} v"));
    }
    for number in 0..10 {
        server.run(&format!("SET small{number} v"));
    }
    let small = (0..400)
        .filter(|_| server.run("RANDOMKEY").contains("small"))
        .count();
    assert!(
        (15..=75).contains(&small),
        "{small} of 400, expected about 40"
    );
    server.run("FLUSHALL");
    assert_eq!(server.run("RANDOMKEY"), "$-1");
}

#[test]
fn digest_is_that_of_redis() {
    let mut server = Harness::stand_alone();
    server.run("MSET a 1 b 2 c hello");
    server.run("EXPIRE c 10000");
    let mut reply = Reply::new();
    let args = Args::new(b"", &[]);
    debug::debug_digest(&mut server.keyspace_ctx(&mut reply), &args);
    assert_eq!(
        reply.as_slice(),
        b"+639d4b9ec91f0c9431ad7208e9f4f3e7a0020998\r\n"
    );
    reply.clear();
    // "DEBUG DIGEST-VALUE c"
    let ranges = [
        ArgRange::new(0, 5),
        ArgRange::new(6, 18),
        ArgRange::new(19, 20),
    ];
    let args = Args::new(b"DEBUG DIGEST-VALUE c", &ranges);
    server.with_ctx(&args, &mut reply, debug::debug_digest_value);
    assert_eq!(
        reply.as_slice(),
        b"+d037c4eb8a8b36b602fbced4000daeab0714c1e3\r\n"
    );
}

#[test]
fn populate_makes_keys_in_their_slots() {
    let mut server = Harness::cluster();
    server.run("SET key:1 mine");
    let words = ["DEBUG", "POPULATE", "3", "key", "9"];
    let line = words.join(" ");
    let mut start = 0;
    let ranges = words.map(|word| {
        let range = ArgRange::new(start, start + word.len());
        start = range.end + 1;
        range
    });
    let args = Args::new(line.as_bytes(), &ranges);
    let mut reply = Reply::new();
    debug::debug_populate(&mut server.keyspace_ctx(&mut reply), &args);
    assert_eq!(reply.as_slice(), b"+OK\r\n");
    assert_eq!(server.run("GET key:0"), "$9 value:0\0\0");
    assert_eq!(server.run("GET key:1"), "$4 mine");
    assert_eq!(server.run("DBSIZE"), ":3");
}
