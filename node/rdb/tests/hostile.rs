//! Files and payloads that are cut, flipped or made to harm.

#![allow(dead_code, reason = "each test uses a part of the support")]

mod support;

use hexad_rdb::{Checksum, Error, RestoreError, Value, restore};
use support::{Said, decode, decode_pieces};

const FILES: [&[u8]; 5] = [
    include_bytes!("fixtures/strings.rdb"),
    include_bytes!("fixtures/idle.rdb"),
    include_bytes!("fixtures/freq.rdb"),
    include_bytes!("fixtures/function.rdb"),
    include_bytes!("fixtures/single.rdb"),
];

#[test]
fn a_file_cut_anywhere_is_truncated() {
    for file in FILES {
        let whole = decode(file);
        for cut in 0..file.len() {
            let (said, end) = decode_pieces([&file[..cut]]);
            assert_eq!(end, Err(Error::Truncated(cut as u64)));
            assert!(whole.starts_with(&said), "cut at {cut}");
        }
    }
}

#[test]
fn each_cut_in_two_says_the_same() {
    for file in FILES {
        let whole = decode(file);
        for cut in 0..file.len() {
            let (said, end) = decode_pieces([&file[..cut], &file[cut..]]);
            assert_eq!(end, Ok(()), "cut at {cut}");
            assert_eq!(said, whole, "cut at {cut}");
        }
        let (said, _) = decode_pieces(file.chunks(1));
        assert_eq!(said, whole);
    }
}

#[test]
fn each_flipped_bit_is_found() {
    for file in FILES {
        for bit in 0..file.len() * 8 {
            let mut flipped = file.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let (said, end) = decode_pieces([&flipped[..]]);
            // Bits of the version may make a version without a checksum of the file.
            let in_version = (5..9).contains(&(bit / 8));
            if !in_version {
                assert!(end.is_err(), "bit {bit}: {said:?}");
            }
        }
    }
}

#[test]
fn each_flipped_bit_of_a_payload_is_found() {
    let payload = b"\x00\xc3\t2\x01aa\xe0%\x00\x01aa\n\x00\t\xacH\xb9\xab\x15\xfb\xc9";
    assert_eq!(
        restore(payload, u64::MAX, &mut Vec::new()),
        Ok(Value::Str(&[b'a'; 50]))
    );
    for bit in 0..payload.len() * 8 {
        let mut flipped = payload.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            restore(&flipped, u64::MAX, &mut Vec::new()),
            Err(RestoreError::Footer),
            "bit {bit}"
        );
        assert_eq!(
            restore(&payload[..bit / 8], u64::MAX, &mut Vec::new()),
            Err(RestoreError::Footer)
        );
    }
}

/// A payload with a right footer.
fn payload(body: &[u8], version: u16) -> Vec<u8> {
    let mut payload = [body, &version.to_le_bytes()].concat();
    let checksum = Checksum::of(&payload);
    payload.extend_from_slice(&checksum.to_le_bytes());
    payload
}

#[test]
fn payloads_with_a_right_footer_and_wrong_data() {
    for (body, error) in [
        (&b""[..], Error::Truncated(0)),
        (b"\x00", Error::Truncated(1)),
        (b"\x00\x05abcd", Error::Truncated(6)),
        (
            b"\x00\x81\x00\x00\x00\x00\xff\xff\xff\xff",
            Error::Truncated(10),
        ),
        (
            b"\x00\x81\xff\xff\xff\xff\xff\xff\xff\xff",
            Error::TooLong {
                len: u64::MAX,
                max: 1 << 40,
            },
        ),
        (
            b"\x00\xc3\x05\x81\x00\x00\x00\x10\x00\x00\x00\x00abcde",
            Error::Compression,
        ),
        (b"\x01\x00", Error::UnsupportedType(1)),
        (b"\xff", Error::UnknownType(255)),
    ] {
        assert_eq!(
            restore(&payload(body, 10), 1 << 40, &mut Vec::new()),
            Err(RestoreError::Data(error)),
            "{}",
            body.escape_ascii()
        );
    }
}

#[test]
fn payloads_of_other_versions() {
    let mut scratch = Vec::new();
    for version in 0..=11 {
        let payload = payload(b"\x00\x01v", version);
        assert_eq!(restore(&payload, 10, &mut scratch), Ok(Value::Str(b"v")));
    }
    for version in [12, 0xFFFF] {
        let payload = payload(b"\x00\x01v", version);
        assert_eq!(
            restore(&payload, 10, &mut scratch),
            Err(RestoreError::Footer)
        );
    }
}

#[test]
fn strings_beyond_the_limit_are_refused_at_once() {
    let mut decoder = hexad_rdb::Decoder::new(true).max_string_bytes(1000);
    decoder.feed(b"REDIS0010\x00\x01k\x43\xe9");
    assert_eq!(
        decoder.next(),
        Err(Error::TooLong {
            len: 1001,
            max: 1000
        })
    );
    // So are six bytes that are said to stand for more than six bytes can.
    let mut decoder = hexad_rdb::Decoder::new(true);
    decoder.feed(b"REDIS0010\x00\x01k\xc3\x06\x42\x11");
    assert_eq!(decoder.next(), Err(Error::Compression));
    let mut decoder = hexad_rdb::Decoder::new(true);
    decoder.feed(b"REDIS0010\x00\x01k\xc3\x06\x42\x10");
    assert_eq!(decoder.next(), Ok(None));
}

#[test]
fn a_large_string_in_small_pieces() {
    // With work in proportion to the square of the pieces this would take minutes.
    let len = 64 << 20;
    let mut decoder = hexad_rdb::Decoder::new(true);
    decoder.feed(b"REDIS0010\x00\x01k\x80");
    decoder.feed(&(len as u32).to_be_bytes());
    for _ in 0..len / 512 {
        assert_eq!(decoder.next(), Ok(None));
        decoder.feed(&[b'x'; 512]);
    }
    let Ok(Some(event)) = decoder.next() else {
        panic!("the string is there")
    };
    assert!(matches!(Said::from(event), Said::Record(record) if record.key == b"k"));
    assert_eq!(decoder.consumed(), 9 + 3 + 5 + len as u64);
}
