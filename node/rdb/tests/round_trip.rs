//! What is written is read again, however it is cut.

#![allow(dead_code, reason = "each test uses a part of the support")]

mod support;

use hexad_rdb::{
    AccessInfo, Checksum, Header, Options, ReplicationInfo, Trailer, Value, dump, encode_entry,
    restore, write_eof, write_header, write_select_db,
};
use hexad_store::{LfuSettings, OwnedEntry, ValueRef, lfu_new, lru_clock};
use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};
use support::{Kept, KeptValue, Said, aux, decode, decode_pieces};

const HEADER: Header<'_> = Header {
    version: "7.0.15",
    created_s: 1_700_000_000,
    used_memory: 123_456_789_012,
    replication: Some(ReplicationInfo {
        stream_db: 0,
        id: "0123456789012345678901234567890123456789",
        offset: 1 << 40,
    }),
    aof_base: false,
};

const PLAIN: Options = Options {
    compress: false,
    access: AccessInfo::None,
};

/// A string of a length, a form and an alphabet of all sorts.
fn random_text(rng: &mut SmallRng) -> Vec<u8> {
    let len = match rng.random_range(0..20) {
        0 => 0,
        1..10 => rng.random_range(1..30),
        10..15 => rng.random_range(30..200),
        15..19 => rng.random_range(200..2000),
        _ => rng.random_range(16_000..80_000),
    };
    match rng.random_range(0..4) {
        0 => (rng.random::<i64>() >> rng.random_range(0..64))
            .to_string()
            .into_bytes(),
        1 => {
            let mut noise = vec![0; len];
            rng.fill_bytes(&mut noise);
            noise
        }
        2 => b"repeated ".iter().copied().cycle().take(len).collect(),
        _ => (0..len).map(|_| rng.random_range(b'a'..b'e')).collect(),
    }
}

fn random_entry(rng: &mut SmallRng) -> OwnedEntry {
    let (key, value) = (random_text(rng), random_text(rng));
    let expire_at = rng.random_bool(0.3).then(|| rng.random());
    let entry = match rng.random_bool(0.3) {
        true => OwnedEntry::int(
            &key,
            rng.random::<i64>() >> rng.random_range(0..64),
            expire_at,
        ),
        false => OwnedEntry::string(&key, &value, expire_at),
    };
    let entry = entry.expect("it is short enough");
    entry.set_access(rng.random());
    entry
}

/// The record that an entry comes back as: a string of digits is an integer then.
fn record_of(entry: &OwnedEntry) -> Kept {
    let value = match entry.value() {
        ValueRef::Int(int) => KeptValue::Int(int),
        ValueRef::Str(text) => match hexad_store::parse_integer(text) {
            Some(int) => KeptValue::Int(int),
            None => KeptValue::Str(text.to_vec()),
        },
    };
    Kept {
        key: entry.key().to_vec(),
        value,
        expire_at: entry.expire_at(),
        idle_s: None,
        freq: None,
    }
}

/// A file with these entries in database 7.
fn file_of(entries: &[OwnedEntry], options: &Options, summed: bool) -> Vec<u8> {
    let mut file = Vec::new();
    write_header(&mut file, &HEADER);
    write_select_db(&mut file, 7, entries.len() as u64, 0);
    for entry in entries {
        encode_entry(&mut file, entry, options);
    }
    let checksum = summed.then(|| {
        let mut checksum = Checksum::new();
        checksum.update(&file);
        checksum
    });
    write_eof(&mut file, checksum);
    file
}

#[test]
fn random_entries_cut_anywhere() {
    let mut rng = SmallRng::seed_from_u64(1);
    for _ in 0..200 {
        let entries: Vec<_> = (0..rng.random_range(0..40))
            .map(|_| random_entry(&mut rng))
            .collect();
        let options = Options {
            compress: rng.random(),
            ..PLAIN
        };
        let summed = rng.random();
        let file = file_of(&entries, &options, summed);

        let mut pieces = Vec::new();
        let mut rest = &file[..];
        let longest = 1 << rng.random_range(2..18);
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(rng.random_range(0..=rest.len().min(longest)));
            pieces.push(piece);
            rest = behind;
        }
        let (said, end) = decode_pieces(pieces);
        assert_eq!(end, Ok(()));

        let records: Vec<_> = entries
            .iter()
            .map(|entry| Said::Record(record_of(entry)))
            .collect();
        let start = said
            .iter()
            .position(|said| matches!(said, Said::ResizeDb(..)));
        let body = &said[start.expect("a database") + 1..];
        let (last, body) = body.split_last().expect("an end");
        assert_eq!(body, records);
        let trailer = if summed {
            Trailer::Verified
        } else {
            Trailer::Unverified
        };
        assert_eq!(*last, Said::Eof(trailer));
    }
}

#[test]
fn every_length_at_which_a_form_changes() {
    let mut rng = SmallRng::seed_from_u64(2);
    for len in [
        0, 1, 11, 12, 20, 21, 63, 64, 65, 16_383, 16_384, 16_385, 70_000,
    ] {
        for compress in [false, true] {
            let mut noise = vec![0; len];
            rng.fill_bytes(&mut noise);
            for value in [noise, vec![b'z'; len]] {
                let entry = OwnedEntry::string(&value, &value, None).expect("short enough");
                let options = Options { compress, ..PLAIN };
                let said = decode(&file_of(&[entry], &options, true));
                let Said::Record(record) = &said[said.len() - 2] else {
                    panic!("{said:?}")
                };
                assert_eq!(
                    (&record.key, &record.value),
                    (&value, &KeptValue::Str(value.clone()))
                );
            }
        }
    }
}

#[test]
fn compression_is_used_where_it_gains() {
    let size = |value: &[u8], compress| {
        let entry = OwnedEntry::string(b"k", value, None).expect("short enough");
        let mut out = Vec::new();
        encode_entry(&mut out, &entry, &Options { compress, ..PLAIN });
        out.len()
    };
    // Type, key, length and the bytes themselves.
    assert_eq!(size(&[b'x'; 20], true), 1 + 2 + 1 + 20);
    assert!(size(&[b'x'; 21], true) < 1 + 2 + 1 + 21 - 4);
    assert_eq!(size(&[b'x'; 21], false), 1 + 2 + 1 + 21);
    assert_eq!(size(b"abcdefghijklmnopqrstuvwxyz", true), 1 + 2 + 1 + 26);
    assert!(size(&[b'x'; 100_000], true) < 1500);
}

#[test]
fn the_header_says_what_redis_s_says() {
    let said = decode(&file_of(&[], &PLAIN, true));
    let names: Vec<_> = said
        .iter()
        .filter_map(|said| match said {
            Said::Aux(name, _) => std::str::from_utf8(name).ok(),
            _ => None,
        })
        .collect();
    assert_eq!(
        names,
        [
            "redis-ver",
            "redis-bits",
            "ctime",
            "used-mem",
            "repl-stream-db",
            "repl-id",
            "repl-offset",
            "aof-base"
        ]
    );
    assert_eq!(aux(&said, "used-mem"), Some(&b"123456789012"[..]));
    assert_eq!(aux(&said, "repl-offset"), Some(&b"1099511627776"[..]));
}

#[test]
fn a_header_is_byte_for_byte_the_one_of_redis() {
    let theirs: &[u8] = include_bytes!("fixtures/single.rdb");
    let said = decode(theirs);
    let number = |name| {
        let text = std::str::from_utf8(aux(&said, name).expect("it is there")).expect("digits");
        text.parse::<i64>().expect("a number")
    };
    let mut ours = Vec::new();
    let header = Header {
        created_s: number("ctime"),
        used_memory: number("used-mem") as u64,
        replication: None,
        ..HEADER
    };
    write_header(&mut ours, &header);
    write_select_db(&mut ours, 0, 1, 0);
    let entry = OwnedEntry::string(b"before", b"v", None).expect("short enough");
    encode_entry(&mut ours, &entry, &PLAIN);
    let mut checksum = Checksum::new();
    checksum.update(&ours);
    write_eof(&mut ours, Some(checksum));
    assert_eq!(
        ours.escape_ascii().to_string(),
        theirs.escape_ascii().to_string()
    );
}

#[test]
fn access_is_said_if_asked_for() {
    let now_ms = 1_700_000_000_000;
    let entry = OwnedEntry::int(b"k", 1, Some(5)).expect("short enough");
    let record = |access| {
        let options = Options {
            compress: true,
            access,
        };
        let copy = entry.copy_as(b"k").expect("short enough");
        copy.set_access(entry.access());
        match decode(&file_of(&[copy], &options, true))
            .into_iter()
            .rev()
            .nth(1)
        {
            Some(Said::Record(record)) => record,
            other => panic!("{other:?}"),
        }
    };
    entry.set_access(lru_clock(now_ms - 70_000));
    let now = lru_clock(now_ms);
    let idle = record(AccessInfo::Idle { now });
    assert_eq!(
        (idle.expire_at, idle.idle_s, idle.freq),
        (Some(5), Some(70), None)
    );

    entry.set_access(lfu_new(now_ms - 120_000));
    let settings = LfuSettings {
        log_factor: 10,
        decay_minutes: 1,
    };
    let freq = record(AccessInfo::Frequency { now_ms, settings });
    assert_eq!(
        (freq.expire_at, freq.idle_s, freq.freq),
        (Some(5), None, Some(3))
    );
}

#[test]
fn records_become_entries_again() {
    let entry = Value::Int(5)
        .into_entry(b"k", Some(7))
        .expect("short enough");
    assert_eq!((entry.key(), entry.value()), (&b"k"[..], ValueRef::Int(5)));
    assert_eq!(entry.expire_at(), Some(7));
    let entry = Value::Str(b"text")
        .into_entry(b"k", None)
        .expect("short enough");
    assert_eq!(
        (entry.value(), entry.expire_at()),
        (ValueRef::Str(b"text"), None)
    );
}

#[test]
fn dumps_are_restored() {
    let mut rng = SmallRng::seed_from_u64(3);
    let mut scratch = Vec::new();
    for _ in 0..2000 {
        let entry = random_entry(&mut rng);
        let mut payload = Vec::new();
        dump(&mut payload, &entry, rng.random());
        let value = match restore(&payload, u64::MAX, &mut scratch).expect("a good payload") {
            Value::Int(int) => KeptValue::Int(int),
            Value::Str(text) => KeptValue::Str(text.to_vec()),
            other => panic!("{other:?}"),
        };
        assert_eq!(value, record_of(&entry).value);
    }
}

#[test]
fn dumps_are_byte_for_byte_those_of_redis() {
    for (value, expected) in [
        (&b"123"[..], &b"\x00\xc0{\n\x00H\xe2S\xe1\x00zg\xb9"[..]),
        (
            b"1234567890123",
            b"\x00\r1234567890123\n\x00^\x0c\x12\xae\x04)\xbc\x1e",
        ),
    ] {
        let entry = OwnedEntry::string(b"key", value, None).expect("short enough");
        let mut payload = Vec::new();
        dump(&mut payload, &entry, true);
        assert_eq!(
            payload.escape_ascii().to_string(),
            expected.escape_ascii().to_string()
        );
    }
}
