//! What cutting a primary's stream costs: `cargo run --release --example follow -p hexad-replication`.

#![allow(clippy::disallowed_methods, reason = "an example measures time")]
#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use std::hint::black_box;
use std::time::Instant;

use hexad_replication::{Incoming, IncomingLimits, command_bytes};

/// Bytes that arrive at a time, as much as a busy socket has.
const ARRIVED_BYTES: usize = 64 * 1024;
/// Commands cut before they are applied.
const BATCH_COMMANDS: usize = 64;
const MEASUREMENTS: usize = 300;

fn main() {
    let key = b"key:000000000042";
    let set = command_bytes(&[b"SET", key, &[b'v'; 64]]);
    measure("SET, 16-byte key, 64-byte value", &set, 1);
    measure("INCR, 16-byte key", &command_bytes(&[b"INCR", key]), 1);
    let multi = command_bytes(&[b"MULTI"]);
    let exec = command_bytes(&[b"EXEC"]);
    let transaction = [&multi[..], &set, &set, &set, &exec].concat();
    measure("the same SET, three in a transaction", &transaction, 3);
}

/// The time for each command of a stream of the same unit over and over.
fn measure(what: &str, unit: &[u8], commands: usize) {
    let units = (1 << 20) / unit.len();
    let stream = unit.repeat(units);
    let mut best = f64::MAX;
    for _ in 0..MEASUREMENTS {
        let mut incoming = Incoming::new(0, 0, IncomingLimits::default());
        let start = Instant::now();
        for arrived in stream.chunks(ARRIVED_BYTES) {
            incoming.feed(arrived);
            while matches!(incoming.cut(BATCH_COMMANDS), Ok(true)) || incoming.units().count() > 0 {
                let end = incoming.units().fold(0, |_, unit| {
                    for command in unit.commands() {
                        black_box(command);
                    }
                    unit.end
                });
                incoming.applied(end);
            }
        }
        assert_eq!(incoming.offset(), stream.len() as u64);
        best = best.min(start.elapsed().as_nanos() as f64 / (units * commands) as f64);
    }
    println!("{what:38} {best:7.1} ns");
}
