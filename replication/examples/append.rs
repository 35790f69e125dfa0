//! What the stream costs a worker: `cargo run --release --example append -p hexad-replication`.

#![allow(clippy::disallowed_methods, reason = "an example measures time")]
#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use std::hint::black_box;
use std::time::Instant;

use hexad_replication::{OutputLimit, ReplId, Stream};

/// Commands measured at once: some ten microseconds, so that the fastest of many measurements was
/// disturbed by nothing else on the machine.
const ROUNDS: u32 = 1000;
const MEASUREMENTS: usize = 3000;

fn main() {
    let key = b"key:000000000042";
    measure(
        "SET, 16-byte key, 64-byte value",
        0,
        &[b"SET", key, &[b'v'; 64]],
    );
    measure(
        "SET, 5-byte key, 5-byte value",
        0,
        &[b"SET", b"key:1", b"value"],
    );
    measure("the same, one reader", 1, &[b"SET", b"key:1", b"value"]);
    measure("the same, five readers", 5, &[b"SET", b"key:1", b"value"]);
    measure("INCR, 16-byte key", 0, &[b"INCR", key]);
    measure(
        "SET, 16-byte key, 4 KiB value",
        0,
        &[b"SET", key, &[b'v'; 4096]],
    );
    measure(
        "SET, 16-byte key, 1 MiB value",
        0,
        &[b"SET", key, &vec![b'v'; 1 << 20]],
    );
}

/// Appends one command over and over, with readers that take up after each measurement.
fn measure(what: &str, readers: usize, args: &[&[u8]]) {
    let id = ReplId::from_random([7; 20]);
    let mut stream = Stream::new(id, 1 << 20, OutputLimit::NONE);
    stream.start_backlog(id);
    let readers: Vec<_> = (0..readers).filter_map(|_| stream.attach(1)).collect();
    let large = args.iter().map(|arg| arg.len()).sum::<usize>() > 1000;
    let (rounds, measurements) = match large {
        true => (10, MEASUREMENTS / 10),
        false => (ROUNDS, MEASUREMENTS),
    };
    let mut times: Vec<f64> = (0..measurements)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..rounds {
                stream.append_command(0, black_box(args).iter().copied());
            }
            let each = start.elapsed().as_nanos() as f64 / f64::from(rounds);
            for &reader in &readers {
                let mut out = Vec::new();
                if let Ok(bytes) = stream.read(reader, usize::MAX, &mut out) {
                    let _ = stream.advance(reader, black_box(bytes));
                }
            }
            each
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!(
        "{what:34} {:9.1} ns (median {:.1})",
        times[0],
        times[times.len() / 2]
    );
}
