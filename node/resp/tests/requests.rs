//! The request parser from outside: what it makes of whole, cut and broken input.

use hexad_resp::{
    ArgRange, Args, INLINE_MAX_BYTES, Limits, Parsed, ProtocolError, Reply, RequestParser,
};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

type Command = Vec<Vec<u8>>;

/// What a connection makes of a stream: its commands, then an error or the bytes left over.
#[derive(Debug, PartialEq)]
struct Outcome {
    commands: Vec<Command>,
    end: Result<usize, ProtocolError>,
}

/// Runs `stream` through a parser as a connection does when its bytes arrive in `pieces`.
fn run<'p>(pieces: impl IntoIterator<Item = &'p [u8]>, limits: &Limits) -> Outcome {
    let mut parser = RequestParser::new();
    let mut commands = Vec::new();
    let mut buf = Vec::new();
    for piece in pieces {
        buf.extend_from_slice(piece);
        let mut done = 0;
        let end = loop {
            let mut args = vec![ArgRange::new(7, 7)];
            match parser.parse(&mut buf[done..], done, &mut args, limits) {
                Ok(Parsed::Complete { consumed }) => {
                    done += consumed;
                    commands.push(
                        Args::new(&buf, &args[1..])
                            .iter()
                            .map(<[u8]>::to_vec)
                            .collect(),
                    );
                }
                Ok(Parsed::Incomplete { at_least }) => {
                    assert_eq!(args.len(), 1, "an incomplete command leaves no arguments");
                    assert!(
                        at_least > buf.len() - done,
                        "must ask for more than there is"
                    );
                    break None;
                }
                Err(error) => break Some(error),
            }
        };
        buf.drain(..done);
        if let Some(error) = end {
            return Outcome {
                commands,
                end: Err(error),
            };
        }
    }
    Outcome {
        commands,
        end: Ok(buf.len()),
    }
}

fn run_whole(stream: &[u8]) -> Outcome {
    run([stream], &Limits::default())
}

fn multibulk(args: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Streams that exercise every state of the parser.
fn streams() -> Vec<Vec<u8>> {
    vec![
        b"PING\r\n".to_vec(),
        b"\r\n\nPING\n  \r\nSET k 'a b' \"\\x41\\n\"\r\nGET k\r\n".to_vec(),
        b"SET k \"open\r\nPING\r\n".to_vec(),
        [
            multibulk(&[b"SET", b"key", b"value"]),
            multibulk(&[b"GET", b"key"]),
        ]
        .concat(),
        [
            multibulk(&[b"GET", b""]),
            b"PING\r\n".to_vec(),
            multibulk(&[b"PING"]),
        ]
        .concat(),
        multibulk(&[b"SET", b"k", b"\r\n*1\r\n$4\r\n\0\xff"]),
        multibulk(&[b"MSET", &[b'x'; 1000], &[b'y'; 12], b"", b"0123456789"]),
        b"*0\r\n*-1\r\n*-7\r\n*1\r\n$4\r\nPING\r\n".to_vec(),
        b"*1\rX$4\rYPINGxx*1\r\n$4\r\nPING\r\n".to_vec(),
        b"*1\r\n$4\r\nPING\r\n*x\r\n".to_vec(),
        b"*2\r\n$4\r\nPING\r\n$-1\r\n".to_vec(),
        b"*2\r\n$4\r\nPING\r\n+PONG\r\n".to_vec(),
        b"*2\r\n$4\r\nPING\r\n$0000000004\r\nPING\r\n".to_vec(),
        b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$50\r\nonly some of it".to_vec(),
    ]
}

#[test]
fn commands_of_a_pipeline() {
    let stream = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\nset k \"a b\"\r\n\r\n*1\r\n$4\r\nPI";
    let outcome = run_whole(stream);
    let expected: Vec<Command> = vec![
        vec![b"GET".to_vec(), b"k".to_vec()],
        vec![b"set".to_vec(), b"k".to_vec(), b"a b".to_vec()],
        vec![],
    ];
    assert_eq!(
        outcome,
        Outcome {
            commands: expected,
            end: Ok(10)
        }
    );
}

#[test]
fn a_cut_at_any_byte_changes_nothing() {
    for stream in streams() {
        let whole = run_whole(&stream);
        for cut in 0..=stream.len() {
            let (left, right) = stream.split_at(cut);
            assert_eq!(run([left, right], &Limits::default()), whole, "{cut}");
        }
        assert_eq!(run(stream.chunks(1), &Limits::default()), whole);
        assert_eq!(run(stream.chunks(3), &Limits::default()), whole);
    }
}

#[test]
fn random_input_never_panics_and_cuts_never_matter() {
    const ALPHABET: &[u8] = b"*$0123456789-+\r\r\r\n\n\n \"'\\xPG\0\xff";
    let mut rng = SmallRng::seed_from_u64(7);
    let seeds = streams();
    for round in 0..60_000 {
        let mut stream = seeds.choose(&mut rng).unwrap().clone();
        if round % 3 == 0 {
            let length = rng.random_range(0..60);
            stream = (0..length)
                .map(|_| *ALPHABET.choose(&mut rng).unwrap())
                .collect();
        } else {
            for _ in 0..rng.random_range(1..4) {
                mutate(&mut stream, ALPHABET, &mut rng);
            }
        }
        let limits = Limits {
            authenticated: rng.random(),
            ..Limits::default()
        };
        let whole = run([&stream[..]], &limits);
        let piece = rng.random_range(1..20);
        assert_eq!(
            run(stream.chunks(piece), &limits),
            whole,
            "{}",
            stream.escape_ascii()
        );
    }
}

fn mutate(stream: &mut Vec<u8>, alphabet: &[u8], rng: &mut SmallRng) {
    let at = rng.random_range(0..=stream.len());
    match rng.random_range(0..3) {
        0 => stream.insert(at, *alphabet.choose(rng).unwrap()),
        1 if at < stream.len() => stream[at] = *alphabet.choose(rng).unwrap(),
        _ => stream.truncate(at),
    }
}

/// The error replies of Redis 7.0.15 to the same bytes.
#[test]
fn protocol_errors() {
    let long = |start: &str| [start.as_bytes(), &[b'1'; INLINE_MAX_BYTES + 1]].concat();
    for (stream, expected) in [
        (&b"*2147483648\r\n"[..], "invalid multibulk length"),
        (b"*\r\n", "invalid multibulk length"),
        (b"*03\r\n", "invalid multibulk length"),
        (b"*+3\r\n", "invalid multibulk length"),
        (b"* 3\r\n", "invalid multibulk length"),
        (b"*3x\r\n", "invalid multibulk length"),
        (b"*1\r\n$\r\n", "invalid bulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$04\r\n", "invalid bulk length"),
        (b"*1\r\n$x\r\n", "invalid bulk length"),
        (b"*1\r\n$536870913\r\n", "invalid bulk length"),
        (b"*1\r\n$99999999999999999999\r\n", "invalid bulk length"),
        (b"*1\r\nPING\r\n", "expected '$', got 'P'"),
        (b"*1\r\n\r\n", "expected '$', got ' '"),
        (b"*1\r\n\n\r\n", "expected '$', got ' '"),
        (b"*1\r\n\xff\r\n", "expected '$', got '\\xff'"),
        (b"PING \"a\r\n", "unbalanced quotes in request"),
        (b"PING 'a'b\r\n", "unbalanced quotes in request"),
        (&long("*"), "too big mbulk count string"),
        (&long("*1\r\n$"), "too big bulk count string"),
        (&long("PING "), "too big inline request"),
    ] {
        assert_eq!(
            error_reply(stream, true),
            expected,
            "{}",
            stream[..12.min(stream.len())].escape_ascii()
        );
    }
    for (stream, expected) in [
        (&b"*2147483648\r\n"[..], "invalid multibulk length"),
        (b"*11\r\n", "unauthenticated multibulk length"),
        (b"*1\r\n$16385\r\n", "unauthenticated bulk length"),
        (b"*1\r\n$536870913\r\n", "invalid bulk length"),
    ] {
        assert_eq!(error_reply(stream, false), expected);
    }
}

/// The text after `-ERR Protocol error: ` of the reply to `stream`, with escapes.
fn error_reply(stream: &[u8], authenticated: bool) -> String {
    let limits = Limits {
        authenticated,
        ..Limits::default()
    };
    let error = run([stream], &limits).end.expect_err("a protocol error");
    let mut reply = Reply::new();
    error.write(&mut reply);
    let text = reply
        .as_slice()
        .strip_prefix(b"-ERR Protocol error: ")
        .unwrap();
    text.strip_suffix(b"\r\n")
        .unwrap()
        .escape_ascii()
        .to_string()
        .replace("\\'", "'")
}

#[test]
fn what_the_limits_allow() {
    let strict = Limits {
        authenticated: false,
        ..Limits::default()
    };
    let ten = multibulk(&[&b"x"[..]; 10]);
    assert_eq!(run([&ten[..]], &strict).commands.len(), 1);
    let big = multibulk(&[&[b'x'; 16384]]);
    assert_eq!(run([&big[..]], &strict).commands.len(), 1);

    let small = Limits {
        max_bulk_bytes: 4,
        max_multibulk: 2,
        ..Limits::default()
    };
    assert_eq!(
        run([&multibulk(&[b"PING", b"abcd"])[..]], &small)
            .commands
            .len(),
        1
    );
    let too_long = run([&multibulk(&[b"PING", b"abcde"])[..]], &small);
    assert_eq!(too_long.end, Err(ProtocolError::InvalidBulkLength));
    let too_many = run([&multibulk(&[b"a", b"b", b"c"])[..]], &small);
    assert_eq!(too_many.end, Err(ProtocolError::InvalidMultibulkLength));

    let line = [&[b'x'; INLINE_MAX_BYTES][..], b"\n"].concat();
    assert_eq!(run_whole(&line).commands.len(), 1);
}

#[test]
fn a_claim_is_not_believed() {
    for claim in [
        &b"*2147483647\r\n"[..],
        b"*2147483647\r\n$536870912\r\nabc",
        b"*1\r\n$536870912\r\n",
    ] {
        let mut parser = RequestParser::new();
        let mut args = Vec::new();
        let parsed = parser.parse(&mut claim.to_vec(), 0, &mut args, &Limits::default());
        assert!(matches!(parsed, Ok(Parsed::Incomplete { .. })));
        assert!(args.capacity() < 16);
        assert!(parser.pending_capacity() < 16);
    }
}

#[test]
fn incomplete_says_how_much_is_missing() {
    let mut parser = RequestParser::new();
    let mut buf = b"*2\r\n$3\r\nGET\r\n$100\r\nabc".to_vec();
    let parsed = parser.parse(&mut buf, 0, &mut Vec::new(), &Limits::default());
    assert_eq!(
        parsed,
        Ok(Parsed::Incomplete {
            at_least: 19 + 100 + 2
        })
    );
    assert!(parser.is_mid_command());
}
