//! Requests: however the bytes are cut, the same commands come out.

use hexad_resp::{ArgRange, Limits, Parsed, RequestParser};

/// What a stream of bytes means: its commands, and the error that ends it.
type Meaning = (Vec<Vec<Vec<u8>>>, Option<String>);

/// The first byte says how the rest is cut and under which limits; the rest is the stream.
pub fn resp(data: &[u8]) {
    let Some((&mode, stream)) = data.split_first() else {
        return;
    };
    let limits = Limits {
        max_bulk_bytes: if mode & 1 == 0 {
            Limits::MAX_BULK_BYTES
        } else {
            64
        },
        max_multibulk: Limits::MAX_MULTIBULK,
        authenticated: mode & 2 == 0,
    };
    let whole = parse(stream, stream.len().max(1), &limits);
    let cut = parse(stream, usize::from(mode >> 2) + 1, &limits);
    assert_eq!(whole, cut, "the meaning depends on how the stream is cut");
}

/// Parses a stream that arrives in pieces of `piece` bytes.
fn parse(stream: &[u8], piece: usize, limits: &Limits) -> Meaning {
    let mut parser = RequestParser::new();
    let mut commands = Vec::new();
    let mut buffer = Vec::new();
    for arrived in stream.chunks(piece) {
        buffer.extend_from_slice(arrived);
        let mut at = 0;
        loop {
            let mut args: Vec<ArgRange> = Vec::new();
            match parser.parse(&mut buffer[at..], at, &mut args, limits) {
                Ok(Parsed::Complete { consumed }) => {
                    assert!(consumed > 0 && at + consumed <= buffer.len());
                    if !args.is_empty() {
                        commands.push(
                            args.iter()
                                .map(|r| buffer[r.start..r.end].to_vec())
                                .collect(),
                        );
                    }
                    at += consumed;
                }
                Ok(Parsed::Incomplete { at_least }) => {
                    assert!(args.is_empty());
                    assert!(
                        at_least > buffer.len() - at,
                        "more of what is there was asked for"
                    );
                    break;
                }
                Err(error) => return (commands, Some(error.to_string())),
            }
        }
        buffer.drain(..at);
    }
    (commands, None)
}
