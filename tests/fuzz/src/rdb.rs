//! RDB files and DUMP payloads: the same is read however a file is cut, what is read can be written
//! and read again, and nothing comes out that is larger than what went in allows.

use hexad_rdb::{
    AccessInfo, Checksum, Decoder, Error, Event, Options, Value, dump, encode_entry, restore,
};
use hexad_store::{OwnedEntry, ValueRef};

/// The most that packed bytes can stand for, as a multiple of their number.
const EXPANSION_MAX: usize = 88;
/// Some bytes are said without being there: an integer's digits.
const DIGITS_MAX: usize = 20;

/// The bytes are a file, then a payload, then a string.
pub fn rdb(data: &[u8]) {
    file(data);
    payload(data);
    string(data);
}

fn file(data: &[u8]) {
    let whole = read([data].into_iter());
    let pieces = read(data.chunks(1 + data.len() % 7));
    assert_eq!(whole, pieces, "it depends on how the file is cut");
    for (key, value, expire_at) in &whole.0 {
        let (key_len, value_len) = (key.len(), value.len());
        assert!(key_len + value_len <= data.len() * EXPANSION_MAX + 2 * DIGITS_MAX);
        let entry = OwnedEntry::string(key, value, *expire_at).expect("it is short enough");
        for compress in [false, true] {
            let options = Options {
                compress,
                access: AccessInfo::None,
            };
            let mut written = b"REDIS0010".to_vec();
            encode_entry(&mut written, &entry, &options);
            let again = read([&written[..]].into_iter()).0;
            assert_eq!(again, [(key.clone(), value.clone(), *expire_at)]);
        }
    }
}

type Records = Vec<(Vec<u8>, Vec<u8>, Option<i64>)>;

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Records, usize, Result<(), Error>) {
    let mut decoder = Decoder::new(true);
    let (mut records, mut events) = (Records::new(), 0);
    for piece in pieces {
        decoder.feed(piece);
        loop {
            match decoder.next() {
                Ok(Some(event)) => {
                    events += 1;
                    if let Event::Record(record) = event {
                        let value = text(record.value);
                        records.push((record.key.to_vec(), value, record.expire_at));
                    }
                }
                Ok(None) => break,
                Err(error) => return (records, events, Err(error)),
            }
        }
    }
    (records, events, decoder.finish())
}

fn payload(data: &[u8]) {
    let mut scratch = Vec::new();
    let _ = restore(data, u64::MAX, &mut scratch);

    let mut signed = [data, &10u16.to_le_bytes()].concat();
    let checksum = Checksum::of(&signed);
    signed.extend_from_slice(&checksum.to_le_bytes());
    if let Ok(value) = restore(&signed, u64::MAX, &mut scratch) {
        assert!(text(value).len() <= data.len() * EXPANSION_MAX + DIGITS_MAX);
    }
}

fn string(data: &[u8]) {
    let entry = OwnedEntry::string(b"k", data, None).expect("it is short enough");
    assert_eq!(entry.value(), ValueRef::Str(data));
    for compress in [false, true] {
        let (mut payload, mut scratch) = (Vec::new(), Vec::new());
        dump(&mut payload, &entry, compress);
        let value = restore(&payload, u64::MAX, &mut scratch).expect("it was dumped right");
        assert_eq!(text(value), data);
    }
}

fn text(value: Value<'_>) -> Vec<u8> {
    match value {
        Value::Int(value) => value.to_string().into_bytes(),
        Value::Str(text) => text.to_vec(),
        other => panic!("there are only strings: {other:?}"),
    }
}
