//! Files that Redis 7.0.15 wrote (`fixtures/make`), and files as other versions write them.

#![allow(dead_code, reason = "each test uses a part of the support")]

mod support;

use hexad_rdb::{Decoder, Error, Event, Trailer};
use support::{Kept, KeptValue, Said, aux, decode, decode_pieces, records};

const STRINGS: &[u8] = include_bytes!("fixtures/strings.rdb");
const PLAIN: &[u8] = include_bytes!("fixtures/plain.rdb");
const IDLE: &[u8] = include_bytes!("fixtures/idle.rdb");
const FREQ: &[u8] = include_bytes!("fixtures/freq.rdb");
const FUNCTION: &[u8] = include_bytes!("fixtures/function.rdb");
const LIST: &[u8] = include_bytes!("fixtures/list.rdb");

/// What `fixtures/make` sets, in the order of databases and keys.
fn strings() -> Vec<(u32, Kept)> {
    let mut all = Vec::new();
    let mut add = |db, key: &str, value: &[u8], expire_at| {
        let text = std::str::from_utf8(value).unwrap_or_default();
        let int = text
            .parse::<i64>()
            .ok()
            .filter(|int| int.to_string() == text);
        all.push((
            db,
            Kept {
                key: key.into(),
                value: int.map_or_else(|| KeptValue::Str(value.to_vec()), KeptValue::Int),
                expire_at,
                idle_s: None,
                freq: None,
            },
        ));
    };
    for int in [
        0,
        1,
        -1,
        127,
        128,
        -128,
        -129,
        32_767,
        32_768,
        -32_768,
        -32_769,
        2_147_483_647,
        2_147_483_648,
        -2_147_483_648,
        -2_147_483_649,
        i64::MAX,
        i64::MIN,
    ] {
        add(0, &format!("int:{int}"), int.to_string().as_bytes(), None);
    }
    let letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    add(0, "12345", b"a key of digits", None);
    add(0, "9999999999", b"a key of more digits", None);
    add(0, &"k".repeat(100), b"a key that packs", None);
    add(0, "", b"the empty key", None);
    add(0, "empty", b"", None);
    add(0, "leading", b"007", None);
    add(0, "len:20", &[b'x'; 20], None);
    add(0, "len:21", &[b'x'; 21], None);
    add(0, "len:63", &letters.as_bytes()[..63], None);
    add(0, "len:64", letters.as_bytes(), None);
    add(0, "len:20000", &[b'y'; 20000], None);
    add(0, "binary", b"\x00\xff\r\n\x80", None);
    add(0, "expires", b"soon", Some(4_102_444_800_123));
    add(3, "elsewhere", b"3", None);
    add(15, "last", b"15", None);
    all.sort_by(|(a, left), (b, right)| (a, &left.key).cmp(&(b, &right.key)));
    all
}

#[track_caller]
fn assert_same(left: &[(u32, Kept)], right: &[(u32, Kept)]) {
    for (left, right) in left.iter().zip(right) {
        assert_eq!(left, right);
    }
    assert_eq!(left.len(), right.len());
}

#[test]
fn strings_of_every_encoding() {
    assert_same(&records(STRINGS), &strings());
    assert_eq!(decode(STRINGS).last(), Some(&Said::Eof(Trailer::Verified)));
}

#[test]
fn strings_as_they_are_without_checksum() {
    assert_same(&records(PLAIN), &strings());
    assert_eq!(decode(PLAIN).last(), Some(&Said::Eof(Trailer::Unverified)));
}

#[test]
fn facts_about_the_file() {
    let said = decode(STRINGS);
    assert_eq!(aux(&said, "redis-ver"), Some(&b"7.0.15"[..]));
    assert_eq!(aux(&said, "redis-bits"), Some(&b"64"[..]));
    assert_eq!(aux(&said, "aof-base"), Some(&b"0"[..]));
    let databases: Vec<&Said> = said
        .iter()
        .filter(|said| matches!(said, Said::SelectDb(_) | Said::ResizeDb(..)))
        .collect();
    let in_first = strings().iter().filter(|(db, _)| *db == 0).count() as u64;
    assert_eq!(
        databases,
        [
            &Said::SelectDb(0),
            &Said::ResizeDb(in_first, 1),
            &Said::SelectDb(3),
            &Said::ResizeDb(1, 0),
            &Said::SelectDb(15),
            &Said::ResizeDb(1, 0),
        ]
    );
}

#[test]
fn access_times_and_frequencies() {
    let idle: Vec<_> = records(IDLE)
        .into_iter()
        .map(|(_, record)| (record.key, record.idle_s, record.freq))
        .collect();
    assert_eq!(
        idle,
        [
            (b"fresh".to_vec(), Some(0), None),
            (b"idle-100000".to_vec(), Some(100_000), None),
        ]
    );
    let freq: Vec<_> = records(FREQ)
        .into_iter()
        .map(|(_, record)| (record.key, record.idle_s, record.freq))
        .collect();
    assert_eq!(
        freq,
        [
            (b"freq-200".to_vec(), None, Some(200)),
            (b"fresh".to_vec(), None, Some(6)),
        ]
    );
}

#[test]
fn functions_are_passed_on() {
    let said = decode(FUNCTION);
    let source = b"#!lua name=lib\nredis.register_function('f', function() return 1 end)";
    assert!(said.contains(&Said::Function(source.to_vec())));
    assert!(
        said.iter()
            .any(|said| matches!(said, Said::Record(record) if record.key == b"after"))
    );
}

#[test]
fn other_types_are_named() {
    let (_, end) = decode_pieces([LIST]);
    let error = end.expect_err("lists cannot be read yet");
    assert_eq!(error, Error::UnsupportedType(18));
    assert_eq!(
        error.to_string(),
        "values of other data types are not supported yet: list (type 18)"
    );
}

/// A file of this version with this body, ended as that version ends it.
fn file(version: u16, body: &[u8]) -> Vec<u8> {
    let mut file = format!("REDIS{version:04}").into_bytes();
    file.extend_from_slice(body);
    file.push(0xFF);
    if version >= 5 {
        file.extend_from_slice(&[0; 8]);
    }
    file
}

fn string(key: &[u8], value: &[u8]) -> Said {
    Said::Record(Kept {
        key: key.to_vec(),
        value: KeptValue::Str(value.to_vec()),
        expire_at: None,
        idle_s: None,
        freq: None,
    })
}

#[test]
fn every_version_up_to_11() {
    for version in 1..=11 {
        let said = decode(&file(version, b"\xfe\x02\x00\x01k\x01v"));
        let expected = [
            Said::SelectDb(2),
            string(b"k", b"v"),
            Said::Eof(Trailer::Unverified),
        ];
        assert_eq!(said, expected, "version {version}");
    }
    for version in [0, 12, 9999] {
        let (_, end) = decode_pieces([&file(version, b"")[..]]);
        assert_eq!(end, Err(Error::Version(version)));
    }
}

#[test]
fn wrong_signatures() {
    for magic in [
        &b"REDIX0010"[..],
        b"REDIS00a0",
        b"REDIS+010",
        b"RESP\r\n$3\r\n",
    ] {
        let (_, end) = decode_pieces([magic]);
        assert_eq!(end, Err(Error::Signature), "{}", magic.escape_ascii());
    }
}

#[test]
fn expiry_in_seconds() {
    let said = decode(&file(
        2,
        b"\xfd\x10\x27\x00\x00\x00\x01k\x01v\x00\x01l\x01w",
    ));
    let Said::Record(first) = &said[0] else {
        panic!("{said:?}")
    };
    assert_eq!(first.expire_at, Some(10_000_000));
    // It was said about the first key only.
    assert_eq!(said[1], string(b"l", b"w"));
}

#[test]
fn lengths_in_every_form() {
    for key in [
        &b"\x03key"[..],
        b"\x40\x03key",
        b"\x80\x00\x00\x00\x03key",
        b"\x81\x00\x00\x00\x00\x00\x00\x00\x03key",
    ] {
        let body = [b"\x00", key, b"\x01v"].concat();
        assert_eq!(decode(&file(9, &body))[0], string(b"key", b"v"));
    }
}

#[test]
fn hints_of_newer_versions() {
    let said = decode(&file(
        11,
        b"\xfe\x00\xfb\x02\x01\xf4\x40\x64\x02\x01\x00\x01k\x01v",
    ));
    assert_eq!(said[1], Said::ResizeDb(2, 1));
    assert_eq!(said[2], Said::SlotInfo(100, 2, 1));
    assert_eq!(said[3], string(b"k", b"v"));
}

#[test]
fn what_cannot_be_read_says_why() {
    // The id of a module: nine letters of six bits, ten bits of a version.
    let letters = b"ReJSON-RL".iter().fold(0u64, |id, letter| {
        let set = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        id << 6 | set.iter().position(|other| other == letter).unwrap() as u64
    });
    let module = [&b"\xf7\x81"[..], &(letters << 10 | 3).to_be_bytes()].concat();
    let too_high = b"\xfe\x81\x00\x00\x00\x01\x00\x00\x00\x00";
    for (body, error) in [
        (&module[..], Error::ModuleData("ReJSON-RL".into())),
        (b"\xf6\x00", Error::PreReleaseFunction),
        (b"\x08\x01k", Error::UnknownType(8)),
        (b"\x16\x01k", Error::UnknownType(22)),
        (b"\x07\x01k", Error::UnsupportedType(7)),
        (b"\x00\xc4", Error::StringEncoding(4)),
        (b"\x00\x82", Error::Length(0x82)),
        (b"\x00\xbf", Error::Length(0xbf)),
        (b"\xfe\xc0\x01", Error::NotALength),
        (too_high, Error::Database(1 << 32)),
        (b"\x00\x01k\xc3\x04\x0a\x03abcd", Error::Compression),
        (b"\x00\x01k\xc3\x01\x80\x00\x01\x00\x00", Error::Compression),
    ] {
        let (_, end) = decode_pieces([&file(10, body)[..]]);
        assert_eq!(end, Err(error), "{}", body.escape_ascii());
    }
}

#[test]
fn a_wrong_checksum_is_told() {
    let mut broken = STRINGS.to_vec();
    let place = broken
        .windows(4)
        .position(|bytes| bytes == b"soon")
        .expect("a value");
    broken[place] = b'm';
    let (said, end) = decode_pieces([&broken[..]]);
    assert!(matches!(end, Err(Error::Checksum { .. })), "{end:?}");
    assert!(!matches!(said.last(), Some(Said::Eof(_))));

    let mut unverified = Decoder::new(false);
    unverified.feed(&broken);
    let mut last = None;
    while let Some(event) = unverified.next().expect("the checksum is not looked at") {
        last = Some(Said::from(event));
    }
    assert_eq!(last, Some(Said::Eof(Trailer::Unverified)));
}

#[test]
fn what_follows_the_end_is_left_alone() {
    let mut decoder = Decoder::new(true);
    let (head, tail) = STRINGS.split_at(STRINGS.len() - 4);
    decoder.feed(head);
    while decoder.next().expect("right so far").is_some() {}
    assert!(!decoder.is_done());
    decoder.feed(&[tail, b"*1\r\n$4\r\nPING\r\n"].concat());
    assert_eq!(decoder.next(), Ok(Some(Event::Eof(Trailer::Verified))));
    assert_eq!(decoder.next(), Ok(None));
    assert!(decoder.is_done());
    assert_eq!(decoder.consumed(), STRINGS.len() as u64);
    decoder.feed(b"more");
    assert_eq!(decoder.rest(), b"*1\r\n$4\r\nPING\r\nmore");
    assert_eq!(decoder.finish(), Ok(()));
}
