//! The link of a replica to its primary: however the bytes are cut, it ends and applies the same.

use hexad_replication::{
    Handshake, HandshakeSettings, Incoming, IncomingLimits, Outcome, OutputLimit, ReplId, Step,
    Stream, Transfer, TransferStep,
};

/// Most bytes that a machine may leave to be shown again: a line.
const HELD_BACK_BYTES: usize = 1025;

/// What a link brings.
#[derive(Debug, Default, PartialEq)]
struct Meaning {
    sent: Vec<u8>,
    log: Vec<String>,
    outcome: Option<Outcome>,
    payload: Vec<u8>,
    end: Option<Result<(), String>>,
    units: Vec<String>,
    applied: Vec<u8>,
    offset: u64,
    /// Whether the stream could not be followed to its end.
    broken: bool,
}

/// The first byte says where the link begins and how it is cut; the rest is what the primary says.
pub fn replication(data: &[u8]) {
    let Some((&mode, bytes)) = data.split_first() else {
        return;
    };
    let whole = follow(mode, bytes, bytes.len().max(1));
    let cut = follow(mode, bytes, usize::from(mode >> 3) + 1);
    assert_eq!(whole, cut, "the meaning depends on how the bytes are cut");
}

enum Phase {
    Handshake(Box<Handshake>),
    Transfer(Transfer),
    Incoming(Box<Incoming>),
    Over,
}

fn follow(mode: u8, bytes: &[u8], piece: usize) -> Meaning {
    let mut meaning = Meaning::default();
    let mut phase = match mode & 3 {
        0 => Phase::Transfer(Transfer::new()),
        1 => incoming(0),
        _ => Phase::Handshake(Box::new(handshake(mode))),
    };
    // What is applied goes on to this server's own replicas.
    let id = ReplId::from_random([1; 20]);
    let mut stream = Stream::new(id, 0, OutputLimit::NONE);
    stream.start_backlog(id);
    let mut left = Vec::new();
    for arrived in std::iter::once(&bytes[..0]).chain(bytes.chunks(piece)) {
        left.extend_from_slice(arrived);
        let mut input = left.as_slice();
        loop {
            let next = match &mut phase {
                Phase::Handshake(machine) => shake(machine, &mut input, &mut meaning),
                Phase::Transfer(machine) => load(machine, &mut input, &mut meaning),
                Phase::Incoming(machine) => {
                    machine.feed(input);
                    input = &[];
                    apply(machine, &mut stream, &mut meaning)
                }
                Phase::Over => {
                    input = &[];
                    None
                }
            };
            match next {
                Some(next) => phase = next,
                None => break,
            }
        }
        assert!(
            input.len() < HELD_BACK_BYTES + piece,
            "too much is held back"
        );
        left = input.to_vec();
    }
    meaning
}

fn handshake(mode: u8) -> Handshake {
    let settings = HandshakeSettings {
        user: None,
        password: (mode & 4 != 0).then(|| b"password".to_vec()),
        port: 6379,
        announce_ip: (mode & 4 != 0).then(|| b"host".to_vec()),
    };
    let wanted = (mode & 8 == 0).then(|| (ReplId::from_random([2; 20]), 77));
    Handshake::new(settings, wanted, mode & 16 != 0)
}

fn incoming(offset: u64) -> Phase {
    let limits = IncomingLimits {
        databases: 16,
        max_unit_bytes: 512,
    };
    Phase::Incoming(Box::new(Incoming::new(offset, 0, limits)))
}

fn shake(machine: &mut Handshake, input: &mut &[u8], meaning: &mut Meaning) -> Option<Phase> {
    loop {
        let step = machine.step(input);
        meaning
            .log
            .extend(machine.take_log().into_iter().map(|line| line.text));
        match step {
            Step::NeedMore => return None,
            Step::Send(bytes) => meaning.sent.extend(bytes),
            Step::Done(outcome) => {
                meaning.outcome = Some(outcome.clone());
                return Some(match outcome {
                    Outcome::Continue { .. } => incoming(76),
                    Outcome::Full { .. } => Phase::Transfer(Transfer::new()),
                    Outcome::TryLater | Outcome::Refused | Outcome::Failed => Phase::Over,
                });
            }
        }
    }
}

fn load(machine: &mut Transfer, input: &mut &[u8], meaning: &mut Meaning) -> Option<Phase> {
    loop {
        let before = input.len();
        match machine.step(input) {
            Ok(TransferStep::NeedMore) => return None,
            Ok(TransferStep::KeepAlive | TransferStep::Header(_)) => {}
            Ok(TransferStep::Payload(bytes)) => {
                assert!(!bytes.is_empty() && bytes.len() == before - input.len());
                meaning.payload.extend_from_slice(bytes);
            }
            Ok(TransferStep::End) => {
                meaning.end = Some(Ok(()));
                return Some(incoming(1000));
            }
            Err(error) => {
                meaning.end = Some(Err(error.to_string()));
                return Some(Phase::Over);
            }
        }
    }
}

/// Applies all that there is; an error ends the link.
fn apply(machine: &mut Incoming, stream: &mut Stream, meaning: &mut Meaning) -> Option<Phase> {
    loop {
        let cut = machine.cut(3);
        let mut end = machine.offset();
        for unit in machine.units() {
            assert_eq!(unit.end, end + unit.raw.len() as u64);
            end = unit.end;
            let commands: Vec<_> = unit.commands().collect();
            meaning
                .units
                .push(format!("{:?} {} {commands:?}", unit.kind, unit.db));
            meaning.applied.extend_from_slice(unit.raw);
            stream.append_raw(unit.raw, unit.db);
        }
        let progress = end > machine.offset();
        machine.applied(end);
        assert_eq!(
            (machine.offset(), stream.offset()),
            (end, meaning.applied.len() as u64)
        );
        meaning.offset = end;
        match cut {
            // Which error it is may depend on how much of a bad unit was there.
            Err(_) => {
                meaning.broken = true;
                return Some(Phase::Over);
            }
            Ok(more) if !more && !progress => return None,
            Ok(_) => {}
        }
    }
}
