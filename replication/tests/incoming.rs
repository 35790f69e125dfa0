//! A primary's stream, cut into units, however the bytes are cut on their way.

use hexad_replication::{Incoming, IncomingError, IncomingLimits, Unit, UnitKind};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// What a stream means: its units in words, and the error that ends it.
type Meaning = (Vec<String>, Option<IncomingError>, (u64, u32));

fn follow(stream: &[u8], mut pieces: impl FnMut() -> (usize, usize)) -> Meaning {
    let mut incoming = Incoming::new(100, 0, IncomingLimits::default());
    let (mut units, mut at) = (Vec::new(), 0);
    while at < stream.len() {
        let (bytes, commands) = pieces();
        let end = stream.len().min(at + bytes);
        incoming.feed(&stream[at..end]);
        at = end;
        assert_eq!(incoming.read_offset(), 100 + at as u64);
        loop {
            let more = match incoming.cut(commands) {
                Ok(more) => more,
                Err(error) => {
                    units.extend(incoming.units().map(|unit| describe(&unit, stream)));
                    return (units, Some(error), (0, 0));
                }
            };
            let mut end = incoming.offset();
            for unit in incoming.units() {
                units.push(describe(&unit, stream));
                end = unit.end;
            }
            let none = end == incoming.offset();
            incoming.applied(end);
            assert_eq!(incoming.offset(), end);
            if none && !more {
                break;
            }
        }
    }
    (units, None, (incoming.offset(), incoming.db()))
}

fn describe(unit: &Unit<'_>, stream: &[u8]) -> String {
    let end = (unit.end - 100) as usize;
    assert_eq!(
        unit.raw,
        &stream[end - unit.raw.len()..end],
        "other bytes than came"
    );
    let commands: Vec<_> = unit
        .commands()
        .map(|(db, args)| {
            let args: Vec<_> = args
                .iter()
                .map(|arg| arg.escape_ascii().to_string())
                .collect();
            format!("{db}:{}", args.join(" "))
        })
        .collect();
    match unit.kind {
        UnitKind::Command => assert_eq!(commands.len(), 1),
        UnitKind::Transaction => assert!(!commands.is_empty()),
        UnitKind::GetAck | UnitKind::Nothing => assert!(commands.is_empty()),
    }
    format!("{:?} {} {}", unit.kind, unit.db, commands.join("; "))
        .trim_end()
        .to_owned()
}

fn array(line: &str) -> String {
    let args: Vec<_> = line.split(' ').collect();
    let bulks = args
        .iter()
        .map(|arg| format!("${}\r\n{arg}\r\n", arg.len()));
    format!("*{}\r\n{}", args.len(), bulks.collect::<String>())
}

fn arrays(lines: &[&str]) -> String {
    lines.iter().map(|line| array(line)).collect()
}

const STREAM: &[&str] = &[
    "SELECT 3",
    "SET a 1",
    "ping",
    "MULTI",
    "SET b 2",
    "SELECT 4",
    "SET c 3",
    "ping",
    "EXEC",
    "SET d 4",
    "REPLCONF GETACK *",
    "MULTI",
    "EXEC",
    "select 0",
    "MULTI",
    "SELECT 9",
    "SET e 1",
    "DISCARD",
    "SET f 5",
    "MULTI",
    "SET g 6",
];

const MEANING: &[&str] = &[
    "Nothing 3",
    "Command 3 3:SET a 1",
    "Nothing 3",
    "Transaction 4 3:SET b 2; 4:SET c 3",
    "Command 4 4:SET d 4",
    "GetAck 4",
    "Nothing 4",
    "Nothing 0",
    "Nothing 0",
    "Command 0 0:SET f 5",
];

#[test]
fn a_stream_in_units() {
    let stream = arrays(STREAM);
    let (units, error, at) = follow(stream.as_bytes(), || (usize::MAX / 2, 64));
    assert_eq!(
        (units.iter().map(String::as_str).collect::<Vec<_>>(), error),
        (MEANING.to_vec(), None)
    );
    // The open transaction does not count.
    let done = stream.len() - arrays(&STREAM[STREAM.len() - 2..]).len();
    assert_eq!(at, (100 + done as u64, 0));
}

#[test]
fn a_stream_however_cut() {
    let mut stream = arrays(STREAM);
    stream.push_str(&arrays(&["EXEC"]));
    stream.push_str("\r\n\nset plain words\n");
    let whole = follow(stream.as_bytes(), || (usize::MAX / 2, 64));
    assert_eq!(whole.0.len(), MEANING.len() + 4);
    assert_eq!(whole.2.0, 100 + stream.len() as u64);
    for size in 1..60 {
        assert_eq!(follow(stream.as_bytes(), || (size, 64)), whole);
        assert_eq!(follow(stream.as_bytes(), || (size, 1)), whole);
    }
    let mut rng = SmallRng::seed_from_u64(1);
    for _ in 0..500 {
        let pieces = || (rng.random_range(1..150), rng.random_range(1..8));
        assert_eq!(follow(stream.as_bytes(), pieces), whole);
    }
}

#[test]
fn streams_that_cannot_be_followed() {
    let error = |stream: &str| follow(stream.as_bytes(), || (7, 3)).1;
    assert_eq!(
        error(&arrays(&["SELECT 16"])),
        Some(IncomingError::NoSuchDatabase)
    );
    assert_eq!(
        error(&arrays(&["SELECT x"])),
        Some(IncomingError::NoSuchDatabase)
    );
    assert_eq!(
        error(&arrays(&["SELECT"])),
        Some(IncomingError::NoSuchDatabase)
    );
    assert_eq!(
        error(&arrays(&["MULTI", "MULTI"])),
        Some(IncomingError::NestedMulti)
    );
    assert_eq!(error(&arrays(&["EXEC"])), Some(IncomingError::NoMulti));
    assert_eq!(error("set a \"b\"\r\n"), Some(IncomingError::QuotedInline));
    assert!(matches!(error("*x\r\n"), Some(IncomingError::Protocol(_))));
    let before = follow(arrays(&["SET a 1", "EXEC"]).as_bytes(), || (500, 64));
    assert_eq!(before.0, ["Command 0 0:SET a 1"]);
}

#[test]
fn a_unit_without_end_is_not_collected() {
    let limits = IncomingLimits {
        databases: 16,
        max_unit_bytes: 1000,
    };
    let mut incoming = Incoming::new(0, 0, limits);
    incoming.feed(b"*2\r\n$3\r\nGET\r\n$1001\r\n");
    assert!(matches!(incoming.cut(1), Err(IncomingError::Protocol(_))));
    let mut incoming = Incoming::new(0, 0, limits);
    incoming.feed(arrays(&["MULTI"]).as_bytes());
    for _ in 0..100 {
        incoming.feed(arrays(&["SET some thing"]).as_bytes());
        match incoming.cut(64) {
            Ok(_) => assert!(incoming.read_offset() <= 1000),
            Err(error) => return assert_eq!(error, IncomingError::TooLarge(1000)),
        }
    }
    panic!("all was collected");
}

#[test]
fn what_is_not_applied_is_forgotten_with_the_link() {
    let mut incoming = Incoming::new(0, 7, IncomingLimits::default());
    let select = arrays(&["SELECT 1"]).len() as u64;
    incoming.feed(arrays(&["SELECT 1", "SET a 1", "SELECT 2", "SET b 2"]).as_bytes());
    incoming.cut(64).unwrap();
    assert_eq!((incoming.offset(), incoming.db()), (0, 7));
    incoming.applied(select);
    assert_eq!((incoming.offset(), incoming.db()), (select, 1));
    assert_eq!(incoming.units().count(), 3);
}
