//! Measures the codec: `cargo run --release -p hexad-rdb --example codec`.
//!
//! A million keys of 16 bytes are written and read, with values of 64 bytes that pack well, that do
//! not pack, and integers. Writing is what a snapshot does with each entry, the checksum included;
//! reading is parsing, the checksum included. The fastest of some runs counts.

#![allow(clippy::disallowed_methods, reason = "an example codecs time")]
#![allow(clippy::print_stdout, reason = "an example prints what it measures")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use hexad_rdb::{
    AccessInfo, Checksum, Decoder, Header, Options, encode_entry, write_eof, write_header,
    write_select_db,
};
use hexad_store::OwnedEntry;
use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};

const KEYS: usize = 1_000_000;
const RUNS: usize = 5;
/// How much is read from a socket or a file at a time.
const PIECE: usize = 64 << 10;
/// A snapshot's buffer is handed on when it has so much.
const FLUSH: usize = 64 << 10;

fn main() {
    let mut rng = SmallRng::seed_from_u64(1);
    let key = |id: usize| format!("key:{id:012}").into_bytes();
    let mut noise = || {
        let mut noise = vec![0; 64];
        rng.fill_bytes(&mut noise);
        noise
    };
    let string = |id, value: &[u8]| OwnedEntry::string(&key(id), value, None).expect("it is short");
    let sets: [(&str, Vec<OwnedEntry>); 3] = [
        ("noise", (0..KEYS).map(|id| string(id, &noise())).collect()),
        (
            "packs",
            (0..KEYS).map(|id| string(id, &[b'x'; 64])).collect(),
        ),
        (
            "integers",
            (0..KEYS)
                .map(|id| OwnedEntry::int(&key(id), id as i64, None).expect("it is short"))
                .collect(),
        ),
    ];
    for (name, entries) in &sets {
        for compress in [false, true] {
            let options = Options {
                compress,
                access: AccessInfo::None,
            };
            let written = fastest(|| write(entries, &options));
            let file = write(entries, &options);
            let read = fastest(|| read(&file));
            println!(
                "{name:>8} compress={compress:<5} {:>4} MB  written in {:>6.1?}  read in {:>6.1?}: {:.1} M keys/s",
                file.len() / 1_000_000,
                written,
                read,
                KEYS as f64 / read.as_secs_f64() / 1e6,
            );
        }
    }
    let bytes = vec![7; 256 << 20];
    let time = fastest(|| Checksum::of(black_box(&bytes)));
    println!(
        "checksum: {:.1} GB/s",
        bytes.len() as f64 / time.as_secs_f64() / 1e9
    );
}

/// A whole file. Pieces go through a small buffer, as they would to a socket.
fn write(entries: &[OwnedEntry], options: &Options) -> Vec<u8> {
    let mut file = Vec::with_capacity(entries.len() * 100);
    let mut checksum = Checksum::new();
    let mut buffer = Vec::with_capacity(2 * FLUSH);
    let header = Header {
        version: "7.0.15",
        created_s: 0,
        used_memory: 0,
        replication: None,
        aof_base: false,
    };
    write_header(&mut buffer, &header);
    write_select_db(&mut buffer, 0, entries.len() as u64, 0);
    for entry in entries {
        encode_entry(&mut buffer, entry, options);
        if buffer.len() >= FLUSH {
            checksum.update(&buffer);
            file.append(&mut buffer);
        }
    }
    checksum.update(&buffer);
    write_eof(&mut buffer, Some(checksum));
    file.append(&mut buffer);
    file
}

fn read(file: &[u8]) -> usize {
    let mut decoder = Decoder::new(true);
    let mut events = 0;
    for piece in file.chunks(PIECE) {
        decoder.feed(piece);
        while let Some(event) = decoder.next().expect("it was written right") {
            black_box(&event);
            events += 1;
        }
    }
    decoder.finish().expect("it is whole");
    events
}

fn fastest<R>(mut work: impl FnMut() -> R) -> Duration {
    let times = (0..RUNS).map(|_| {
        let start = Instant::now();
        black_box(work());
        start.elapsed()
    });
    times.min().expect("there are runs")
}
