//! Payloads of full synchronisations, however the bytes are cut on their way.

use hexad_replication::{Payload, Transfer, TransferError, TransferStep};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

#[derive(Debug, PartialEq)]
struct Received {
    payload: Vec<u8>,
    headers: Vec<Payload>,
    keep_alives: usize,
    end: Option<Result<Vec<u8>, TransferError>>,
}

fn receive<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Received {
    let (mut transfer, mut left) = (Transfer::new(), Vec::new());
    let mut received = Received {
        payload: Vec::new(),
        headers: Vec::new(),
        keep_alives: 0,
        end: None,
    };
    for piece in pieces {
        left.extend_from_slice(piece);
        if let Some(end) = &mut received.end {
            if let Ok(stream) = end {
                stream.append(&mut left);
            }
            continue;
        }
        let mut input = left.as_slice();
        loop {
            match transfer.step(&mut input) {
                Ok(TransferStep::NeedMore) => break,
                Ok(TransferStep::KeepAlive) => received.keep_alives += 1,
                Ok(TransferStep::Header(header)) => received.headers.push(header),
                Ok(TransferStep::Payload(bytes)) => {
                    assert!(!bytes.is_empty());
                    received.payload.extend_from_slice(bytes);
                }
                Ok(TransferStep::End) => {
                    received.end = Some(Ok(input.to_vec()));
                    input = b"";
                    break;
                }
                Err(error) => {
                    received.end = Some(Err(error));
                    input = b"";
                    break;
                }
            }
        }
        assert!(input.len() < 1024, "{} bytes are held back", input.len());
        left = input.to_vec();
    }
    received
}

#[test]
fn a_sized_payload() {
    let received = receive([&b"\n\n$5\r\nabcde*1\r\n"[..]]);
    assert_eq!(received.payload, b"abcde");
    assert_eq!(received.headers, [Payload::Sized(5)]);
    assert_eq!(received.keep_alives, 2);
    assert_eq!(received.end, Some(Ok(b"*1\r\n".to_vec())));
    assert_eq!(receive([&b"$0\r\n"[..]]).end, Some(Ok(Vec::new())));
    assert_eq!(receive([&b"$5\r\nabcd"[..]]).end, None);
}

#[test]
fn a_marked_payload_with_all_that_looks_like_its_mark() {
    let mut rng = SmallRng::seed_from_u64(3);
    for round in 0..400 {
        // Few letters, so that the mark's beginnings are everywhere.
        let letters: &[u8] = if round % 2 == 0 { b"ab" } else { b"abcdefgh" };
        let letter = |rng: &mut SmallRng| letters[rng.random_range(0..letters.len())];
        let mark: Vec<u8> = (0..40).map(|_| letter(&mut rng)).collect();
        let mut payload = Vec::new();
        for _ in 0..rng.random_range(0..12) {
            match rng.random_bool(0.5) {
                true => payload.extend_from_slice(&mark[..rng.random_range(0..40)]),
                false => payload.push(letter(&mut rng)),
            }
        }
        let mut input = b"\n$EOF:".to_vec();
        input.extend_from_slice(&mark);
        input.extend_from_slice(b"\r\n");
        input.extend_from_slice(&payload);
        input.extend_from_slice(&mark);
        if memchr::memmem::find(&[&payload[..], &mark].concat(), &mark) != Some(payload.len()) {
            continue;
        }
        input.extend_from_slice(b"the stream");
        let whole = receive([input.as_slice()]);
        assert_eq!(whole.payload, payload);
        assert_eq!(whole.end, Some(Ok(b"the stream".to_vec())));
        for size in [1, 2, 3, 7, 39, 40, 41] {
            assert_eq!(receive(input.chunks(size)), whole, "in pieces of {size}");
        }
    }
}

#[test]
fn headers_that_are_none() {
    let error = |input: &[u8]| match receive([input]).end {
        Some(Err(error)) => error.to_string(),
        end => panic!("{end:?}"),
    };
    assert_eq!(
        error(b"-ERR sorry\r\n"),
        "MASTER aborted replication with an error: ERR sorry"
    );
    assert_eq!(
        error(b"junk\r\n"),
        "Bad protocol from MASTER, the first byte is not '$' (we received 'junk'), are you sure the \
         host and port are right?"
    );
    for wrong in ["$-1", "$abc", "$", "$EOF:abc", "$99999999999999999999"] {
        let error = error(format!("{wrong}\r\n").as_bytes());
        assert!(error.contains("length of the payload is wrong"), "{error}");
    }
    assert!(error(&[b'$'; 1024]).starts_with("Bad protocol"));
}
