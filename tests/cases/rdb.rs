//! RDB files and DUMP payloads between hexad and stock Redis.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use hexad_rdb::{
    AccessInfo, Checksum, Decoder, Event, Header, Options, ReplicationInfo, Trailer, Value,
    encode_entry, write_eof, write_header, write_select_db,
};
use hexad_store::{LfuSettings, OwnedEntry};
use hexad_tests::{Conn, Kind, Server, run};
use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};

/// Far in the future, and different for each key.
const EXPIRY_MS: i64 = 4_102_444_800_000;

const PLAIN: Options = Options {
    compress: false,
    access: AccessInfo::None,
};

/// Strings of all lengths and forms.
fn texts(seed: u64, count: usize) -> Vec<Vec<u8>> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut texts: Vec<Vec<u8>> = [
        &b""[..],
        b"0",
        b"-0",
        b"007",
        b"+1",
        b" 1",
        b"2147483648",
        b"-129",
    ]
    .iter()
    .map(|text| text.to_vec())
    .collect();
    while texts.len() < count {
        let longest = 1 << rng.random_range(1..17);
        let len = rng.random_range(0..longest);
        let mut noise = vec![0; len];
        rng.fill_bytes(&mut noise);
        texts.push(match rng.random_range(0..4) {
            0 => (rng.random::<i64>() >> rng.random_range(0..64))
                .to_string()
                .into_bytes(),
            1 => noise,
            2 => noise.iter().map(|byte| b'a' + byte % 3).collect(),
            _ => noise[..len / 7].repeat(7),
        });
    }
    texts
}

fn string(value: &hexad_tests::Value) -> &[u8] {
    match value {
        hexad_tests::Value::Bulk(bytes) => bytes,
        other => panic!("no string: {other:?}"),
    }
}

/// Each string is dumped by one server and restored by the other.
fn pass_on(from: &mut Conn, to: &mut Conn) {
    for (index, text) in texts(1, 400).iter().enumerate() {
        from.call(&[b"SET", &b"k"[..], text]);
        let payload = from.call(&[&b"DUMP"[..], b"k"]);
        let reply = to.call(&[
            b"RESTORE",
            &b"k"[..],
            b"100000",
            string(&payload),
            b"REPLACE",
        ]);
        assert_eq!(reply.text(), "OK", "string {index}");
        assert!(
            string(&to.call(&[&b"GET"[..], b"k"])) == text,
            "string {index}"
        );
        let [theirs, ours] = [&mut *from, to].map(|conn| conn.cmd("OBJECT ENCODING k").text());
        assert_eq!(theirs, ours, "string {index}");
    }
}

#[test]
fn payloads_go_both_ways() {
    let [hexad, stock] = [Kind::Hexad, Kind::Stock].map(Server::start);
    let (mut hexad, mut stock) = (hexad.conn(), stock.conn());
    for compression in ["yes", "no"] {
        for conn in [&mut hexad, &mut stock] {
            conn.ok(&format!("CONFIG SET rdbcompression {compression}"));
        }
        pass_on(&mut hexad, &mut stock);
        pass_on(&mut stock, &mut hexad);
    }
}

#[test]
fn hexad_compresses_about_as_well_as_stock() {
    let servers = [Kind::Hexad, Kind::Stock].map(Server::start);
    let [hexad, stock] = servers.each_ref().map(|server| {
        let mut conn = server.conn();
        let payload_bytes = |text: &Vec<u8>| {
            conn.call(&[b"SET", &b"k"[..], text]);
            string(&conn.call(&[&b"DUMP"[..], b"k"])).len()
        };
        texts(2, 400).iter().map(payload_bytes).sum::<usize>()
    });
    assert!(hexad < stock + stock / 10, "{hexad} bytes, stock {stock}");
}

/// What a file holds: value and expiry by database and key.
type Contents = BTreeMap<(u32, Vec<u8>), (Vec<u8>, Option<i64>)>;

fn contents() -> Contents {
    let texts = texts(3, 600);
    let keyed = texts.iter().enumerate().map(|(index, text)| {
        let key = match index % 3 {
            0 => index.to_string().into_bytes(),
            1 => format!("{}{index}", "key".repeat(20)).into_bytes(),
            _ => [&[0xFF, 0x00], &(index as u32).to_le_bytes()[..]].concat(),
        };
        let expire_at = (index % 5 == 0).then_some(EXPIRY_MS + index as i64);
        ((index as u32 % 4, key), (text.clone(), expire_at))
    });
    keyed.collect()
}

/// A file of these contents, as hexad writes it.
fn write(contents: &Contents, options: &Options, summed: bool) -> Vec<u8> {
    let mut file = Vec::new();
    let header = Header {
        version: "7.0.15",
        created_s: 1_700_000_000,
        used_memory: 1 << 33,
        replication: Some(ReplicationInfo {
            stream_db: 3,
            id: "0123456789abcdef0123456789abcdef01234567",
            offset: 12345,
        }),
        aof_base: false,
    };
    write_header(&mut file, &header);
    for wanted in 0..4 {
        let of_db = contents.iter().filter(|((db, _), _)| *db == wanted);
        let volatile = of_db
            .clone()
            .filter(|(_, (_, expire_at))| expire_at.is_some());
        write_select_db(
            &mut file,
            wanted,
            of_db.clone().count() as u64,
            volatile.count() as u64,
        );
        for ((_, key), (text, expire_at)) in of_db {
            let entry = Value::Str(text)
                .into_entry(key, *expire_at)
                .expect("short enough");
            encode_entry(&mut file, &entry, options);
        }
    }
    let checksum = summed.then(|| {
        let mut checksum = Checksum::new();
        checksum.update(&file);
        checksum
    });
    write_eof(&mut file, checksum);
    file
}

/// Everything that a server has in its first four databases.
fn contents_of(conn: &mut Conn) -> Contents {
    let mut contents = Contents::new();
    for db in 0..4 {
        conn.ok(&format!("SELECT {db}"));
        for key in conn.cmd("KEYS *").array() {
            let key = string(key);
            let text = string(&conn.call(&[b"GET", key])).to_vec();
            let expiry = conn.call(&[b"PEXPIRETIME", key]).int();
            contents.insert((db, key.to_vec()), (text, (expiry >= 0).then_some(expiry)));
        }
    }
    contents
}

/// Compares without printing binary strings by the kilobyte.
#[track_caller]
fn assert_same(left: &Contents, right: &Contents) {
    assert_eq!(left.len(), right.len());
    let difference = left.iter().zip(right).find(|(left, right)| left != right);
    assert!(difference.is_none(), "the first difference: {difference:?}");
}

/// Stock Redis with this file in its folder, which it loads when it starts.
fn stock_with(file: &[u8], args: &[&str]) -> Server {
    let builder = Server::builder(Kind::Stock).args(args);
    fs::write(builder.dir().join("dump.rdb"), file).expect("the file is written");
    builder.start()
}

fn check(path: &Path) -> (bool, String) {
    run(Command::new("redis-check-rdb").arg(path))
}

#[test]
fn stock_loads_what_hexad_writes() {
    let contents = contents();
    for (compress, summed) in [(true, true), (false, false)] {
        let options = Options { compress, ..PLAIN };
        let file = write(&contents, &options, summed);
        let server = stock_with(&file, &[]);
        let (success, report) = check(&server.dir().join("dump.rdb"));
        assert!(success && report.contains("RDB looks OK"), "{report}");
        let says_sum = report.contains("Checksum OK");
        assert_eq!(says_sum, summed, "{report}");
        assert_same(&contents_of(&mut server.conn()), &contents);
    }
}

/// A file with one key, whose access clock is `clock`.
fn write_one(clock: u32, access: AccessInfo) -> Vec<u8> {
    let mut file = write(&Contents::new(), &PLAIN, false);
    // Without its end: opcode and checksum.
    file.truncate(file.len() - 9);
    let entry = OwnedEntry::int(b"k", 1, None).expect("short enough");
    entry.set_access(clock);
    let options = Options { access, ..PLAIN };
    encode_entry(&mut file, &entry, &options);
    write_eof(&mut file, None);
    file
}

#[test]
fn stock_takes_idle_times_and_frequencies() {
    // The key is in the last database of the file.
    let asked = |server: Server, about: &str| {
        let mut conn = server.conn();
        conn.ok("SELECT 3");
        conn.cmd(&format!("OBJECT {about} k")).int()
    };
    let file = write_one(1000, AccessInfo::Idle { now: 6000 });
    let server = stock_with(&file, &["--maxmemory-policy", "allkeys-lru"]);
    let idle_s = asked(server, "IDLETIME");
    assert!((5000..5060).contains(&idle_s), "{idle_s} s");

    let never_decays = LfuSettings {
        log_factor: 10,
        decay_minutes: 0,
    };
    let frequency = AccessInfo::Frequency {
        now_ms: 0,
        settings: never_decays,
    };
    let args = ["--maxmemory-policy", "allkeys-lfu", "--lfu-decay-time", "0"];
    let server = stock_with(&write_one(77, frequency), &args);
    assert_eq!(asked(server, "FREQ"), 77);
}

#[test]
fn a_broken_file_of_hexad_is_found_by_stock() {
    let mut file = write(&contents(), &PLAIN, true);
    let server = stock_with(&file, &[]);
    let middle = file.len() / 2;
    file[middle] ^= 1;
    let path = server.dir().join("broken.rdb");
    fs::write(&path, &file).expect("the file is written");
    let (success, report) = check(&path);
    assert!(!success || !report.contains("RDB looks OK"), "{report}");
}

#[test]
fn hexad_reads_what_stock_writes() {
    let contents = contents();
    for args in [
        &["--rdbcompression", "yes"][..],
        &["--rdbcompression", "no", "--rdbchecksum", "no"],
    ] {
        let server = Server::builder(Kind::Stock).args(args).start();
        let mut conn = server.conn();
        for ((db, key), (text, expire_at)) in &contents {
            conn.ok(&format!("SELECT {db}"));
            conn.call(&[b"SET", &key[..], text]);
            if let Some(expire_at) = expire_at {
                conn.call(&[b"PEXPIREAT", &key[..], expire_at.to_string().as_bytes()]);
            }
        }
        conn.ok("SAVE");
        let file = fs::read(server.dir().join("dump.rdb")).expect("it has been saved");
        let (read, trailer) = read(&file);
        assert_same(&read, &contents);
        let summed = args.len() == 2;
        assert_eq!(trailer == Some(Trailer::Verified), summed);
    }
}

fn read(file: &[u8]) -> (Contents, Option<Trailer>) {
    let (mut contents, mut db, mut trailer) = (Contents::new(), 0, None);
    let mut decoder = Decoder::new(true);
    for piece in file.chunks(1000) {
        decoder.feed(piece);
        while let Some(event) = decoder.next().expect("stock writes it right") {
            match event {
                Event::SelectDb(selected) => db = selected,
                Event::Record(record) => {
                    let text = match record.value {
                        Value::Int(value) => value.to_string().into_bytes(),
                        Value::Str(text) => text.to_vec(),
                        other => panic!("no string: {other:?}"),
                    };
                    contents.insert((db, record.key.to_vec()), (text, record.expire_at));
                }
                Event::Eof(end) => trailer = Some(end),
                _ => {}
            }
        }
    }
    (contents, trailer)
}
