//! How long a command's lookup takes: `cargo run --release -p hexad-commands --example lookup`.

#![allow(clippy::disallowed_methods, reason = "an example measures time")]
#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use std::hint::black_box;
use std::time::Instant;

use hexad_commands::lookup;

const ROUNDS: usize = 1_000;
const MEASUREMENTS: usize = 2_000;

fn main() {
    for name in [
        "get",
        "SET",
        "Incr",
        "DEL",
        "PING",
        "expire",
        "INCRBYFLOAT",
        "nosuchcommand",
    ] {
        println!("{name}: {:.1} ns", fastest_ns(&[name]));
    }
    let mixed = [
        "GET", "set", "DEL", "exists", "TTL", "mget", "INCR", "expire", "APPEND", "hello",
    ];
    println!("ten in turn: {:.1} ns", fastest_ns(&mixed));
}

/// Nanoseconds a lookup, the fastest of many measurements.
fn fastest_ns(names: &[&str]) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..MEASUREMENTS {
        let start = Instant::now();
        for _ in 0..ROUNDS / names.len() {
            for name in names {
                black_box(lookup(black_box(name.as_bytes())));
            }
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    best / (ROUNDS / names.len() * names.len()) as f64 * 1e9
}
