//! What commands add to the replication stream, as Redis 7.0.15 was seen to feed a replica. The
//! comparison with a real server (`examples/differential`) covers what is not here.

use super::harness::Harness;
use crate::Expiry;

#[test]
fn set_goes_without_durations_and_without_get() {
    Harness::stand_alone().stream_transcript(
        "
        set k v => =
        SET k v NX =>
        SET k v EX 100 => SET k v PXAT 1000100000
        SET k v px 5000 XX => SET k v PXAT 1000005000
        SET k v EXAT 4000000000 => SET k v PXAT 4000000000000
        SET k v XX pxat 4000000000123 => SET k v PXAT 4000000000123
        SET k v KEEPTTL => =
        SET k v get XX GET => SET k v XX
        SET k v PXAT 4000000000000 GET => SET k v PXAT 4000000000000
        SET k v XX GET EX 100 => SET k v PXAT 1000100000
        SET new get GET => SET new get
        SET k v GET NX =>
        SET k v EX 0 =>
        SETEX k 100 v => SET k v PXAT 1000100000
        psetex k 100 v => SET k v PXAT 1000000100
        SETNX k v =>
        SETNX other v => =
        getset k w => SET k w
        GETDEL k => DEL k
        GETDEL k =>
        MSET a 1 b 2 => =
        MSETNX a 1 c 3 =>
        MSETNX d 4 c 3 => =
        ",
    );
}

#[test]
fn expiries_go_as_points_in_time() {
    Harness::stand_alone().stream_transcript(
        "
        SET k v => =
        EXPIRE k 100 => PEXPIREAT k 1000100000
        pexpire k 100000 xx => PEXPIREAT k 1000100000 xx
        EXPIREAT k 4000000000 => PEXPIREAT k 4000000000000
        pexpireat k 4000000000000 XX => =
        EXPIRE k 100 LT => PEXPIREAT k 1000100000 LT
        EXPIRE k 100 NX =>
        EXPIRE no 100 =>
        PERSIST k => =
        PERSIST k =>
        GETEX k => 
        GETEX k EX 100 => PEXPIREAT k 1000100000
        GETEX k PXAT 4000000000000 => PEXPIREAT k 4000000000000
        GETEX k PERSIST => PERSIST k
        GETEX k PERSIST =>
        GETEX k PXAT 1 => DEL k
        SET k v => =
        EXPIRE k -1 => DEL k
        SET k v => =
        PEXPIREAT k 1000000000 => DEL k
        ",
    );
}

#[test]
fn other_changes_go_as_they_are() {
    Harness::stand_alone().stream_transcript(
        "
        INCR n => =
        INCRBYFLOAT n 0.5 => SET n 1.5 KEEPTTL
        incrbyfloat n x =>
        APPEND s x => =
        APPEND s  => =
        SETRANGE s 2 y => =
        SETRANGE s 2  =>
        GET s =>
        COPY s t => =
        COPY s t =>
        COPY s t DB 1 REPLACE => =
        RENAME t u => =
        RENAME u u =>
        RENAMENX u s =>
        RENAMENX u w => =
        MOVE w 1 => =
        MOVE w 1 =>
        DEL s no => =
        UNLINK no =>
        SWAPDB 0 1 => =
        FLUSHDB => =
        FLUSHDB => =
        FLUSHALL ASYNC => =
        FLUSHALL SOON =>
        FLUSHDB SOON =>
        ",
    );
}

#[test]
fn keys_past_their_time_are_deleted_first() {
    let mut server = Harness::stand_alone();
    server.stream_transcript(
        "
        SET e v PXAT 1 => SET e v PXAT 1
        GET e => DEL e
        GET e =>
        SET e v PXAT 1 => SET e v PXAT 1
        SET f v PXAT 1 => SET f v PXAT 1
        MGET e k f => DEL e; DEL f
        SET e v PXAT 1 => SET e v PXAT 1
        SET k v => =
        DEL e k => DEL e; =
        SET e v PXAT 1 => SET e v PXAT 1
        UNLINK e => DEL e
        SET e v PXAT 1 => SET e v PXAT 1
        INCR e => DEL e; =
        SET e v PXAT 1 => SET e v PXAT 1
        SET e v NX EX 100 => DEL e; SET e v PXAT 1000100000
        SET e v PXAT 1 => SET e v PXAT 1
        EXPIRE e 100 => DEL e
        SET e v PXAT 1 => SET e v PXAT 1
        RENAME e f => DEL e
        SET e v PXAT 1 => SET e v PXAT 1
        SET k v => =
        RENAMENX k e => DEL e; =
        SET k v PXAT 1 => SET k v PXAT 1
        COPY k f => DEL k
        SET k v PXAT 1 => SET k v PXAT 1
        SCAN 0 => DEL k
        SET k v PXAT 1 => SET k v PXAT 1
        ",
    );
    server.db = 2;
    server.stream_transcript("SET e v PXAT 1 => 2: SET e v PXAT 1");
    server.stream_transcript("TTL e => 2: DEL e");
    server.env.lazy_expire = true;
    server.stream_transcript("SET e v PXAT 1 => 2: SET e v PXAT 1");
    server.stream_transcript("TTL e => 2: UNLINK e");
}

#[test]
fn lazy_deletions_go_as_unlink() {
    let mut server = Harness::stand_alone();
    (server.env.lazy_expire, server.env.lazy_user_del) = (true, true);
    server.stream_transcript(
        "
        SET k v => =
        EXPIRE k -1 => UNLINK k
        SET k v => =
        GETEX k PXAT 1 => UNLINK k
        SET k v => =
        GETDEL k => UNLINK k
        ",
    );
}

#[test]
fn where_there_are_no_replicas_nothing_is_noted() {
    let mut server = Harness::stand_alone();
    server.env.replicates = false;
    server.stream_transcript(
        "
        SET e v PXAT 1 => =
        GET e =>
        SET k v EX 100 => =
        FLUSHDB => =
        FLUSHDB =>
        FLUSHALL =>
        ",
    );
}

#[test]
fn keys_past_their_time_are_there_for_the_primary() {
    let mut server = Harness::stand_alone();
    server.run("SET e 5 PXAT 1");
    server.env.expiry = Expiry::Hides;
    server.transcript(
        "
        GET e => $-1
        DBSIZE => :1
        SCAN 0 => *2 $1 0 *0
        ",
    );
    server.env.expiry = Expiry::Ignores;
    server.transcript(
        "
        INCR e => :6
        PEXPIRETIME e => :1
        SETNX e x => :0
        PEXPIREAT e 2 => :1
        COPY e f => :1
        DEL f => :1
        SWAPDB 0 1 => +OK
        SWAPDB 0 1 => +OK
        DEL e => :1
        ",
    );
}

#[test]
fn a_writable_replica_deletes_what_it_writes_to() {
    let mut server = Harness::stand_alone();
    server.run("SET e 5 PXAT 1");
    server.env.expiry = Expiry::HidesFromReads;
    server.transcript(
        "
        GET e => $-1
        DBSIZE => :1
        INCR e => :1
        TTL e => :-1
        ",
    );
}
