//! The stream and its readers against a naive model: all bytes there ever were, in one vector.

use bytes::Bytes;
use hexad_replication::{OutputLimit, ReadError, ReaderId, ReplId, Stream};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const ID: [u8; 20] = [1; 20];

fn stream(backlog_bytes: usize, limit: OutputLimit) -> Stream {
    let mut stream = Stream::new(ReplId::from_random(ID), backlog_bytes, limit);
    assert!(stream.start_backlog(ReplId::from_random(ID)).is_some());
    stream
}

struct Model {
    stream: Stream,
    /// Byte `offset` of the stream is at `offset - 1`.
    all: Vec<u8>,
    size: usize,
    largest_size: usize,
    readers: Vec<(ReaderId, u64)>,
    /// Slices that somebody still writes, and from where they are.
    in_flight: Vec<(u64, Bytes)>,
}

impl Model {
    fn new(size: usize) -> Self {
        let mut stream = stream(size, OutputLimit::NONE);
        // Database 0 is selected, so that no SELECT comes in between.
        stream.append_raw(b"", 0);
        Self {
            stream,
            all: Vec::new(),
            size,
            largest_size: size,
            readers: Vec::new(),
            in_flight: Vec::new(),
        }
    }

    fn step(&mut self, rng: &mut SmallRng) {
        match rng.random_range(0..100) {
            0..50 => self.append(rng),
            50..75 => self.read(rng),
            75..83 => self.attach(rng),
            83..88 => self.detach(rng),
            88..92 => self.resize(rng),
            92..96 => self.append_raw(rng),
            _ => {
                self.stream.append_ping();
                self.all.extend_from_slice(b"*1\r\n$4\r\nping\r\n");
            }
        }
        self.check();
    }

    fn append(&mut self, rng: &mut SmallRng) {
        let args: Vec<Vec<u8>> = (0..rng.random_range(1..5))
            .map(|_| {
                let length = match rng.random_range(0..20) {
                    0 => rng.random_range(0..60_000),
                    1..4 => rng.random_range(0..3000),
                    _ => rng.random_range(0..120),
                };
                vec![rng.random(); length]
            })
            .collect();
        self.all.extend(format!("*{}\r\n", args.len()).bytes());
        for arg in &args {
            self.all.extend(format!("${}\r\n", arg.len()).bytes());
            self.all.extend(arg);
            self.all.extend(b"\r\n");
        }
        self.stream
            .append_command(0, args.iter().map(Vec::as_slice));
    }

    fn append_raw(&mut self, rng: &mut SmallRng) {
        let raw = vec![rng.random(); rng.random_range(0..40_000)];
        self.stream.append_raw(&raw, 0);
        self.all.extend(raw);
    }

    fn attach(&mut self, rng: &mut SmallRng) {
        let next = rng.random_range(0..self.all.len() as u64 + 4);
        let backlog = self.stream.backlog().unwrap();
        let there = backlog.first() <= next && next <= backlog.next();
        let reader = self.stream.attach(next);
        assert_eq!(reader.is_some(), there);
        self.readers.extend(reader.map(|reader| (reader, next)));
    }

    fn detach(&mut self, rng: &mut SmallRng) {
        if !self.readers.is_empty() {
            let at = rng.random_range(0..self.readers.len());
            let (reader, _) = self.readers.swap_remove(at);
            self.stream.detach(reader);
            while self.stream.trim() {}
            let gone = self.stream.read(reader, 1, &mut Vec::new());
            assert_eq!(gone, Err(ReadError::Gone));
        }
    }

    fn resize(&mut self, rng: &mut SmallRng) {
        self.size = rng.random_range(1..300_000);
        self.largest_size = self.largest_size.max(self.size);
        self.stream.set_backlog_bytes(self.size);
        while self.stream.trim() {}
    }

    fn read(&mut self, rng: &mut SmallRng) {
        if self.readers.is_empty() {
            return;
        }
        let at = rng.random_range(0..self.readers.len());
        let (reader, next) = &mut self.readers[at];
        let max = match rng.random_range(0..3) {
            0 => usize::MAX,
            _ => rng.random_range(0..50_000),
        };
        let mut out = Vec::new();
        let bytes = self.stream.read(*reader, max, &mut out).unwrap();
        let left = self.all.len() - (*next as usize - 1);
        assert_eq!(bytes, left.min(max), "all there is, up to the maximum");
        assert_eq!(bytes, out.iter().map(Bytes::len).sum::<usize>());
        // Sometimes to the end of a block exactly.
        let written = match out.first() {
            Some(first) if rng.random_bool(0.3) => first.len(),
            _ => rng.random_range(0..=bytes),
        };
        let mut from = *next;
        for slice in out {
            assert!(!slice.is_empty());
            let end = from as usize - 1 + slice.len();
            assert!(
                slice == self.all[from as usize - 1..end],
                "other bytes at {from}"
            );
            self.in_flight.push((from, slice.clone()));
            from += slice.len() as u64;
        }
        self.stream.advance(*reader, written).unwrap();
        *next += written as u64;
    }

    fn check(&mut self) {
        let backlog = self.stream.backlog().unwrap();
        let end = self.all.len() as u64;
        assert_eq!(self.stream.offset(), end);
        assert_eq!(backlog.next(), end + 1);
        assert_eq!(backlog.len(), end + 1 - backlog.first());
        for &(reader, next) in &self.readers {
            assert!(backlog.first() <= next, "what a reader wants was dropped");
            assert_eq!(self.stream.pending(reader), Ok(end + 1 - next));
        }
        if self.readers.is_empty() {
            // A block was made under some size, and is dropped as a whole, when the next is full.
            let block = (self.largest_size / 16).max(16 * 1024);
            let size = self.size.max(16 * 1024);
            assert!(backlog.len() <= (size + 2 * block) as u64);
            assert!(backlog.memory_bytes() <= size + 2 * block + 64 * 1024);
        }
        // A slice stays what it was, whatever happens to the backlog.
        while self.in_flight.len() > 20 {
            let (from, slice) = self.in_flight.swap_remove(0);
            let from = from as usize - 1;
            assert!(slice == self.all[from..from + slice.len()]);
        }
    }
}

#[test]
fn random_operations_against_a_vector() {
    for seed in 0..60 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut model = Model::new(rng.random_range(1..200_000));
        for _ in 0..800 {
            model.step(&mut rng);
        }
    }
}

#[test]
fn what_is_within_the_size_is_kept() {
    let mut stream = stream(100_000, OutputLimit::NONE);
    for _ in 0..1000 {
        stream.append_raw(&[b'x'; 777], 0);
        let backlog = stream.backlog().unwrap();
        assert!(backlog.len() >= 100_000.min(stream.offset()));
    }
    assert!(stream.backlog().unwrap().first() > 1);
}

#[test]
fn a_smaller_size_counts_at_once_and_16_kib_is_the_least() {
    let mut stream = stream(1 << 20, OutputLimit::NONE);
    stream.append_raw(&vec![b'x'; 1 << 20], 0);
    assert_eq!(stream.backlog().unwrap().len(), 1 << 20);
    stream.set_backlog_bytes(1);
    let backlog = stream.backlog().unwrap();
    assert_eq!(backlog.size(), 16 * 1024);
    assert!(backlog.len() <= 16 * 1024 + (1 << 16));
}

#[test]
fn a_reader_pins_what_it_has_not_read() {
    let mut stream = stream(16 * 1024, OutputLimit::NONE);
    let reader = stream.attach(1).unwrap();
    stream.append_raw(&vec![b'x'; 1 << 20], 0);
    assert_eq!(stream.backlog().unwrap().first(), 1);
    assert_eq!(stream.pending(reader), Ok(1 << 20));
    stream.advance(reader, 1 << 19).unwrap();
    let first = stream.backlog().unwrap().first();
    assert!(
        ((1 << 19) - (1 << 16)..=(1 << 19) + 1).contains(&first),
        "{first}"
    );
    stream.detach(reader);
    assert!(stream.backlog().unwrap().len() <= 32 * 1024);
}

#[test]
fn what_a_slow_reader_leaves_is_freed_bit_by_bit() {
    let mut stream = stream(16 * 1024, OutputLimit::NONE);
    let reader = stream.attach(1).unwrap();
    stream.append_raw(&vec![b'x'; 16 << 20], 0);
    stream.detach(reader);
    let mut steps = 0;
    let mut left = stream.backlog().unwrap().len();
    while stream.trim() {
        let now = stream.backlog().unwrap().len();
        assert!(now < left && left - now <= 1 << 20, "a megabyte at most");
        (steps, left) = (steps + 1, now);
    }
    assert!(steps >= 14, "{steps}");
    assert!(stream.backlog().unwrap().len() <= 32 * 1024);
}

#[test]
fn a_reader_beyond_the_hard_limit_is_cut_off_by_the_append() {
    let limit = OutputLimit {
        hard_bytes: 200_000,
        soft_bytes: 0,
        soft_ms: 0,
    };
    let mut stream = stream(16 * 1024, limit);
    let slow = stream.attach(1).unwrap();
    let quick = stream.attach(1).unwrap();
    for _ in 0..100 {
        stream.append_raw(&[b'x'; 10_000], 0);
        stream.advance(quick, 10_000).unwrap();
    }
    assert_eq!(
        stream.read(slow, 1, &mut Vec::new()),
        Err(ReadError::Overrun)
    );
    assert_eq!(stream.pending(quick), Ok(0));
    assert!(stream.backlog().unwrap().len() <= 64 * 1024, "still pinned");
    assert_eq!(stream.check_limits(0), [slow]);
}

#[test]
fn the_soft_limit_counts_with_time_and_never_below_the_size() {
    let limit = OutputLimit {
        hard_bytes: 0,
        soft_bytes: 1000,
        soft_ms: 5000,
    };
    let mut stream = stream(20_000, limit);
    let reader = stream.attach(1).unwrap();
    stream.append_raw(&[b'x'; 20_000], 0);
    assert_eq!(stream.check_limits(0), []);
    assert_eq!(
        stream.check_limits(100_000),
        [],
        "within the backlog's size"
    );
    stream.append_raw(&[b'x'; 1], 0);
    assert_eq!(stream.check_limits(100_000), []);
    stream.advance(reader, 1).unwrap();
    assert_eq!(stream.check_limits(106_000), [], "it has been below");
    stream.append_raw(&[b'x'; 1], 0);
    assert_eq!(stream.check_limits(110_000), []);
    assert_eq!(stream.check_limits(115_000), []);
    assert_eq!(stream.check_limits(115_001), [reader]);
}

#[test]
fn nothing_is_appended_without_a_backlog() {
    let id = ReplId::from_random(ID);
    let mut stream = Stream::new(id, 16 * 1024, OutputLimit::NONE);
    stream.append_command(0, [&b"SET"[..], b"a", b"1"]);
    stream.append_multi(3);
    stream.append_ping();
    assert_eq!(
        (stream.offset(), stream.db(), stream.saved()),
        (0, None, None)
    );
    assert_eq!(stream.attach(1), None);
    assert!(!stream.has_readers());
}

#[test]
fn the_forms_of_the_stream() {
    let mut stream = stream(16 * 1024, OutputLimit::NONE);
    let set = |key: &'static [u8]| [&b"SET"[..], key, b"1"];
    stream.append_command(0, set(b"a"));
    stream.append_command(0, set(b"b"));
    stream.append_multi(11);
    stream.append_command(11, set(b"c"));
    stream.append_command(0, set(b""));
    stream.append_exec();
    stream.forget_db();
    stream.append_ping();
    stream.append_getack();
    stream.append_command(0, set(b"e"));
    let mut out = Vec::new();
    let reader = stream.attach(1).unwrap();
    stream.read(reader, usize::MAX, &mut out).unwrap();
    let expected = "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n\
                    *3\r\n$3\r\nSET\r\n$1\r\nb\r\n$1\r\n1\r\n\
                    *2\r\n$6\r\nSELECT\r\n$2\r\n11\r\n*1\r\n$5\r\nMULTI\r\n\
                    *3\r\n$3\r\nSET\r\n$1\r\nc\r\n$1\r\n1\r\n\
                    *2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$0\r\n\r\n$1\r\n1\r\n\
                    *1\r\n$4\r\nEXEC\r\n*1\r\n$4\r\nping\r\n\
                    *3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n\
                    *2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\ne\r\n$1\r\n1\r\n";
    assert_eq!(String::from_utf8(out.concat()).unwrap(), expected);
    assert_eq!(stream.offset(), expected.len() as u64);
}

#[test]
fn the_backlog_is_freed_after_its_time_without_replicas() {
    let (mut stream, new) = (
        stream(16 * 1024, OutputLimit::NONE),
        ReplId::from_random([9; 20]),
    );
    stream.append_ping();
    assert_eq!(stream.tick_primary(0, 1, 10_000, new), None);
    assert_eq!(stream.tick_primary(50_000, 0, 10_000, new), None);
    assert_eq!(stream.tick_primary(55_000, 1, 10_000, new), None);
    assert_eq!(stream.tick_primary(56_000, 0, 10_000, new), None);
    assert_eq!(stream.tick_primary(66_000, 0, 0, new), None, "0 is never");
    assert_eq!(stream.tick_primary(66_000, 0, 10_000, new), None);
    let line = stream.tick_primary(66_001, 0, 10_000, new).unwrap();
    assert_eq!(
        line.text,
        "Replication backlog freed after 10 seconds without connected replicas."
    );
    assert!(!stream.is_active());
    assert_eq!((stream.history().id(), stream.offset()), (new, 14));
    assert_eq!(stream.tick_primary(99_000, 0, 10_000, new), None);
}
