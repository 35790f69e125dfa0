//! How long the parser takes for the requests that matter: `cargo run --release --example parse`.

#![allow(clippy::disallowed_methods, reason = "an example measures time")]
#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use std::hint::black_box;
use std::time::Instant;

use hexad_resp::{ArgRange, Limits, Parsed, RequestParser};

const BATCH: usize = 64;
/// Batches measured at once: some tens of microseconds, so that the fastest of many measurements
/// was disturbed by nothing else on the machine.
const ROUNDS: usize = 20;
const MEASUREMENTS: usize = 5_000;

fn main() {
    let set = request(&[b"SET", b"key:000000000042", &[b'v'; 64]]);
    let get = request(&[b"GET", b"key:000000000042"]);
    measure("SET, 16-byte key, 64-byte value", &set);
    measure("GET, 16-byte key", &get);
    measure("PING", &request(&[b"PING"]));
    measure("PING, inline", b"PING\r\n");
    measure(
        "MSET, 10 keys",
        &request(&[&[&b"MSET"[..]][..], &[&b"key:000000000042"[..]; 20]].concat()),
    );
}

fn request(args: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Parses batches of one request, the way a connection does with what one read has brought.
fn measure(name: &str, request: &[u8]) {
    let mut buf = request.repeat(BATCH);
    let mut parser = RequestParser::new();
    let mut args: Vec<ArgRange> = Vec::new();
    let limits = Limits::default();
    let mut best = f64::INFINITY;
    for _ in 0..MEASUREMENTS {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            let mut position = 0;
            args.clear();
            while position < buf.len() {
                match parser.parse(
                    black_box(&mut buf[position..]),
                    position,
                    &mut args,
                    &limits,
                ) {
                    Ok(Parsed::Complete { consumed }) => position += consumed,
                    other => unreachable!("{other:?}"),
                }
            }
            black_box(&args);
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!("{name}: {:.1} ns", best / (ROUNDS * BATCH) as f64 * 1e9);
}
