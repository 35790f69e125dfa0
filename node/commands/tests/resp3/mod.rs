//! A decoder of complete RESP3 replies, for tests.

/// A reply.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Simple(String),
    Error(String),
    Bulk(String),
    Integer(i64),
    Null,
    Array(Vec<Value>),
    Set(Vec<Value>),
    Map(Vec<(String, Value)>),
}

/// Decodes one reply, which must be all of `bytes`.
pub(crate) fn decode(bytes: &[u8]) -> Value {
    let mut rest = std::str::from_utf8(bytes).expect("text");
    let value = next(&mut rest);
    assert_eq!(rest, "", "bytes after the reply");
    value
}

fn next(rest: &mut &str) -> Value {
    let (line, after) = rest.split_once("\r\n").expect("a line");
    *rest = after;
    let (kind, text) = line.split_at(1);
    let length = || text.parse::<usize>().expect("a length");
    match kind {
        "+" => Value::Simple(text.to_owned()),
        "-" => Value::Error(text.to_owned()),
        ":" => Value::Integer(text.parse().expect("an integer")),
        "_" => Value::Null,
        "$" => {
            let (value, after) = rest.split_at(length());
            *rest = after.strip_prefix("\r\n").expect("a line end");
            Value::Bulk(value.to_owned())
        }
        "*" => Value::Array((0..length()).map(|_| next(rest)).collect()),
        "~" => Value::Set((0..length()).map(|_| next(rest)).collect()),
        "%" => Value::Map(
            (0..length())
                .map(|_| (next_name(rest), next(rest)))
                .collect(),
        ),
        other => panic!("a reply of kind {other:?}"),
    }
}

fn next_name(rest: &mut &str) -> String {
    match next(rest) {
        Value::Bulk(name) | Value::Simple(name) => name,
        other => panic!("a map's key {other:?}"),
    }
}
