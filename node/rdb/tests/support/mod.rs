//! Decoding whole files into values that own their bytes.

use hexad_rdb::{Decoder, Error, Event, Record, Trailer, Value};

/// An event, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Aux(Vec<u8>, Vec<u8>),
    SelectDb(u32),
    ResizeDb(u64, u64),
    SlotInfo(u64, u64, u64),
    Function(Vec<u8>),
    Record(Kept),
    Eof(Trailer),
}

/// A record, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) key: Vec<u8>,
    pub(crate) value: KeptValue,
    pub(crate) expire_at: Option<i64>,
    pub(crate) idle_s: Option<u64>,
    pub(crate) freq: Option<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeptValue {
    Int(i64),
    Str(Vec<u8>),
}

impl From<Event<'_>> for Said {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Aux { key, value } => Self::Aux(key.to_vec(), value.to_vec()),
            Event::SelectDb(db) => Self::SelectDb(db),
            Event::ResizeDb { keys, volatile } => Self::ResizeDb(keys, volatile),
            Event::SlotInfo {
                slot,
                keys,
                volatile,
            } => Self::SlotInfo(slot, keys, volatile),
            Event::Function { library } => Self::Function(library.to_vec()),
            Event::Record(record) => Self::Record(record.into()),
            Event::Eof(trailer) => Self::Eof(trailer),
        }
    }
}

impl From<Record<'_>> for Kept {
    fn from(record: Record<'_>) -> Self {
        Self {
            key: record.key.to_vec(),
            value: match record.value {
                Value::Int(value) => KeptValue::Int(value),
                Value::Str(text) => KeptValue::Str(text.to_vec()),
                other => panic!("no string: {other:?}"),
            },
            expire_at: record.expire_at,
            idle_s: record.idle_s,
            freq: record.freq,
        }
    }
}

/// What a file says until it ends or breaks off, fed in these pieces.
pub(crate) fn decode_pieces<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Said>, Result<(), Error>) {
    let mut decoder = Decoder::new(true);
    let mut said = Vec::new();
    for piece in pieces {
        decoder.feed(piece);
        loop {
            match decoder.next() {
                Ok(Some(event)) => said.push(event.into()),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.next(), Err(error.clone()), "an error is final");
                    assert_eq!(decoder.finish(), Err(error.clone()));
                    return (said, Err(error));
                }
            }
        }
    }
    let end = decoder.finish();
    assert_eq!(end.is_ok(), decoder.is_done());
    assert!(end.is_err() || decoder.rest().is_empty());
    (said, end)
}

/// What a whole file says.
#[track_caller]
pub(crate) fn decode(file: &[u8]) -> Vec<Said> {
    let (said, end) = decode_pieces([file]);
    end.expect("the file is right");
    said
}

/// The records of a whole file, each with its database, in the order of databases and keys.
#[track_caller]
pub(crate) fn records(file: &[u8]) -> Vec<(u32, Kept)> {
    let (mut db, mut records) = (0, Vec::new());
    for said in decode(file) {
        match said {
            Said::SelectDb(selected) => db = selected,
            Said::Record(record) => records.push((db, record)),
            _ => {}
        }
    }
    records.sort_by(|(a, left), (b, right)| (a, &left.key).cmp(&(b, &right.key)));
    records
}

/// The value of an AUX field.
pub(crate) fn aux<'a>(said: &'a [Said], name: &str) -> Option<&'a [u8]> {
    said.iter().find_map(|said| match said {
        Said::Aux(key, value) if key == name.as_bytes() => Some(&value[..]),
        _ => None,
    })
}
