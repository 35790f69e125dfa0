//! Handshakes as recorded from redis-server 7.0.15, however the bytes are cut on their way.

use hexad_replication::{Handshake, HandshakeSettings, Outcome, ReplId, Step};

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn id(text: &str) -> ReplId {
    ReplId::parse(text.as_bytes()).unwrap()
}

struct Case {
    password: Option<&'static str>,
    user: Option<&'static str>,
    ip: Option<&'static str>,
    wanted: Option<(ReplId, u64)>,
    failover: bool,
    /// All that the primary says. After each of its lines the machine says what it can.
    replies: &'static [&'static str],
    sent: Vec<String>,
    outcome: Option<Outcome>,
    log: Vec<&'static str>,
}

fn case(replies: &'static [&'static str]) -> Case {
    Case {
        password: None,
        user: None,
        ip: None,
        wanted: Some((id(A), 1)),
        failover: false,
        replies,
        sent: vec![PING.into(), INTRODUCTION.into(), psync(A, "1")],
        outcome: None,
        log: Vec::new(),
    }
}

const PING: &str = "*1\r\n$4\r\nPING\r\n";
const INTRODUCTION: &str = "*3\r\n$8\r\nREPLCONF\r\n$14\r\nlistening-port\r\n$5\r\n21702\r\n*5\r\n\
    $8\r\nREPLCONF\r\n$4\r\ncapa\r\n$3\r\neof\r\n$4\r\ncapa\r\n$6\r\npsync2\r\n";

fn psync(id: &str, next: &str) -> String {
    format!(
        "*3\r\n$5\r\nPSYNC\r\n${}\r\n{id}\r\n${}\r\n{next}\r\n",
        id.len(),
        next.len()
    )
}

/// What a machine sends, how it ends, what it logs and leaves.
#[derive(Debug, PartialEq)]
struct Talk {
    sent: Vec<String>,
    outcome: Option<Outcome>,
    log: Vec<String>,
    left: Vec<u8>,
}

fn talk(case: &Case, pieces: &[&[u8]]) -> Talk {
    let bytes = |text: Option<&str>| text.map(|text| text.as_bytes().to_vec());
    let settings = HandshakeSettings {
        user: bytes(case.user),
        password: bytes(case.password),
        port: 21702,
        announce_ip: bytes(case.ip),
    };
    let mut machine = Handshake::new(settings, case.wanted, case.failover);
    let mut talk = Talk {
        sent: Vec::new(),
        outcome: None,
        log: Vec::new(),
        left: Vec::new(),
    };
    let none: &[u8] = b"";
    for piece in std::iter::once(&none).chain(pieces) {
        talk.left.extend_from_slice(piece);
        let left = std::mem::take(&mut talk.left);
        let mut input = left.as_slice();
        while talk.outcome.is_none() {
            match machine.step(&mut input) {
                Step::NeedMore => break,
                Step::Send(bytes) => talk.sent.push(String::from_utf8(bytes).unwrap()),
                Step::Done(outcome) => talk.outcome = Some(outcome),
            }
        }
        talk.log
            .extend(machine.take_log().into_iter().map(|line| line.text));
        talk.left = input.to_vec();
    }
    talk
}

fn cases() -> Vec<(&'static str, Case)> {
    let alive = "Master replied to PING, replication can continue...";
    let trying =
        "Trying a partial resynchronization (request aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:1).";
    let retry = "Retrying with SYNC...";
    let sent_sync = || {
        let mut sent = case(&[]).sent;
        sent.push("SYNC\r\n".into());
        sent
    };
    vec![
        (
            "a full synchronisation",
            Case {
                wanted: None,
                sent: vec![PING.into(), INTRODUCTION.into(), psync("?", "-1")],
                outcome: Some(Outcome::Full {
                    at: Some((id("507ed712c8d3bc7c3db1c39d8efc8348162a316f"), 17)),
                }),
                log: vec![
                    alive,
                    "Partial resynchronization not possible (no cached master)",
                    "Full resync from master: 507ed712c8d3bc7c3db1c39d8efc8348162a316f:17",
                ],
                ..case(&[
                    "+PONG\r\n",
                    "+OK\r\n",
                    "+OK\r\n",
                    "+FULLRESYNC 507ed712c8d3bc7c3db1c39d8efc8348162a316f 17\r\n",
                    "\n$172\r\nREDIS",
                ])
            },
        ),
        (
            "a partial one, under a new id",
            Case {
                outcome: Some(Outcome::Continue {
                    id: Some(id("507ed712c8d3bc7c3db1c39d8efc8348162a316f")),
                }),
                log: vec![
                    alive,
                    trying,
                    "Successful partial resynchronization with master.",
                    "Master replication ID changed to 507ed712c8d3bc7c3db1c39d8efc8348162a316f",
                    "MASTER <-> REPLICA sync: Master accepted a Partial Resynchronization.",
                ],
                ..case(&[
                    "+PONG\r\n",
                    "+OK\r\n",
                    "+OK\r\n",
                    "\n",
                    "\r\n",
                    "+CONTINUE 507ed712c8d3bc7c3db1c39d8efc8348162a316f\r\n",
                    "*1\r\n$4\r\nPING\r\n",
                ])
            },
        ),
        (
            "a partial one from an old primary",
            Case {
                outcome: Some(Outcome::Continue { id: None }),
                log: vec![
                    alive,
                    trying,
                    "Successful partial resynchronization with master.",
                    "MASTER <-> REPLICA sync: Master accepted a Partial Resynchronization.",
                ],
                ..case(&["+PONG\r\n", "+OK\r\n", "+OK\r\n", "+CONTINUE\r\n"])
            },
        ),
        (
            "a partial one that was not asked for",
            Case {
                wanted: None,
                sent: vec![PING.into(), INTRODUCTION.into(), psync("?", "-1")],
                outcome: Some(Outcome::Failed),
                log: vec![
                    alive,
                    "Partial resynchronization not possible (no cached master)",
                    "Master accepted a partial resynchronization that was not asked for",
                ],
                ..case(&["+PONG\r\n", "+OK\r\n", "+OK\r\n", "+CONTINUE\r\n"])
            },
        ),
        (
            "a wrong password",
            Case {
                password: Some("pw"),
                sent: vec![
                    PING.into(),
                    format!("*2\r\n$4\r\nAUTH\r\n$2\r\npw\r\n{INTRODUCTION}"),
                ],
                outcome: Some(Outcome::Failed),
                log: vec![alive, "Unable to AUTH to MASTER: -WRONGPASS no"],
                ..case(&["-NOAUTH x\r\n", "-WRONGPASS no\r\n", "+OK\r\n", "+OK\r\n"])
            },
        ),
        (
            "user and address; what is not understood is not critical; loading",
            Case {
                password: Some("pw"),
                user: Some("u"),
                ip: Some("1.2.3.4"),
                sent: vec![
                    PING.into(),
                    "*3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$2\r\npw\r\n*3\r\n$8\r\nREPLCONF\r\n\
                     $14\r\nlistening-port\r\n$5\r\n21702\r\n*3\r\n$8\r\nREPLCONF\r\n\
                     $10\r\nip-address\r\n$7\r\n1.2.3.4\r\n*5\r\n$8\r\nREPLCONF\r\n$4\r\ncapa\r\n\
                     $3\r\neof\r\n$4\r\ncapa\r\n$6\r\npsync2\r\n"
                        .into(),
                    psync(A, "1"),
                ],
                outcome: Some(Outcome::TryLater),
                log: vec![
                    alive,
                    "(Non critical) Master does not understand REPLCONF listening-port: -ERR no port",
                    "(Non critical) Master does not understand REPLCONF ip-address: -ERR no ip",
                    "(Non critical) Master does not understand REPLCONF capa: -ERR no capa",
                    trying,
                    "Master is currently unable to PSYNC but should be in the future: -LOADING x",
                ],
                ..case(&[
                    "-NOAUTH x\r\n",
                    "+OK\r\n",
                    "-ERR no port\r\n",
                    "-ERR no ip\r\n",
                    "-ERR no capa\r\n",
                    "\n\n\n",
                    "-LOADING x\r\n",
                ])
            },
        ),
        (
            "an error for PING",
            Case {
                sent: vec![PING.into()],
                outcome: Some(Outcome::Failed),
                log: vec!["Error reply to PING from master: '-MISCONF bla'"],
                ..case(&["-MISCONF bla\r\n"])
            },
        ),
        (
            "an empty line for PING",
            Case {
                sent: vec![PING.into()],
                outcome: Some(Outcome::Failed),
                log: vec!["Error reply to PING from master: ''"],
                ..case(&["\r\n"])
            },
        ),
        (
            "no PSYNC",
            Case {
                sent: sent_sync(),
                outcome: Some(Outcome::Full { at: None }),
                log: vec![
                    alive,
                    trying,
                    "Master does not support PSYNC or is in error state (reply: -ERR unknown command)",
                    retry,
                ],
                ..case(&[
                    "+PONG\r\n",
                    "+OK\r\n",
                    "+OK\r\n",
                    "-ERR unknown command\r\n",
                    "$3\r\nabc",
                ])
            },
        ),
        (
            "PSYNC not permitted",
            Case {
                sent: sent_sync(),
                outcome: Some(Outcome::Full { at: None }),
                log: vec![
                    alive,
                    trying,
                    "Unexpected reply to PSYNC from master: -NOPERM foo",
                    retry,
                ],
                ..case(&["+PONG\r\n", "+OK\r\n", "+OK\r\n", "-NOPERM foo\r\n"])
            },
        ),
        (
            "no link of its own",
            Case {
                outcome: Some(Outcome::TryLater),
                log: vec![
                    alive,
                    trying,
                    "Master is currently unable to PSYNC but should be in the future: \
                     -NOMASTERLINK foo",
                ],
                ..case(&["+PONG\r\n", "+OK\r\n", "+OK\r\n", "-NOMASTERLINK foo\r\n"])
            },
        ),
        (
            "an id that is none",
            Case {
                outcome: Some(Outcome::Full { at: None }),
                log: vec![
                    alive,
                    trying,
                    "Master replied with wrong +FULLRESYNC syntax.",
                ],
                ..case(&["+PONG\r\n", "+OK\r\n", "+OK\r\n", "+FULLRESYNC abc 12\r\n"])
            },
        ),
        (
            "an offset that is none",
            Case {
                outcome: Some(Outcome::Full { at: None }),
                log: vec![
                    alive,
                    trying,
                    "Master replied with wrong +FULLRESYNC syntax.",
                ],
                ..case(&[
                    "+PONG\r\n",
                    "+OK\r\n",
                    "+OK\r\n",
                    "+FULLRESYNC 507ed712c8d3bc7c3db1c39d8efc8348162a316f 9223372036854775807\r\n",
                ])
            },
        ),
        (
            "a failover",
            Case {
                failover: true,
                sent: vec![
                    PING.into(),
                    INTRODUCTION.into(),
                    format!("*4\r\n$5\r\nPSYNC\r\n$40\r\n{A}\r\n$1\r\n1\r\n$8\r\nFAILOVER\r\n"),
                ],
                outcome: Some(Outcome::Refused),
                log: vec![
                    alive,
                    trying,
                    "Master does not support PSYNC or is in error state (reply: -ERR nope)",
                ],
                ..case(&["+PONG\r\n", "+OK\r\n", "+OK\r\n", "-ERR nope\r\n"])
            },
        ),
    ]
}

#[test]
fn handshakes_as_recorded() {
    for (name, case) in cases() {
        let replies: Vec<&[u8]> = case.replies.iter().map(|reply| reply.as_bytes()).collect();
        let talk = talk(&case, &replies);
        assert_eq!(talk.sent, case.sent, "{name}");
        assert_eq!(talk.outcome, case.outcome, "{name}");
        assert_eq!(talk.log, case.log, "{name}");
    }
}

#[test]
fn handshakes_however_cut() {
    for (name, case) in cases() {
        let all = case.replies.concat();
        let whole = talk(&case, &[all.as_bytes()]);
        for size in 1..12 {
            let pieces: Vec<&[u8]> = all.as_bytes().chunks(size).collect();
            assert_eq!(talk(&case, &pieces), whole, "{name}, in pieces of {size}");
        }
    }
}

#[test]
fn a_reply_without_end_is_not_waited_for() {
    let mut case = case(&[]);
    case.sent.clear();
    let talk = talk(&case, &[&[b'+'; 1025]]);
    assert_eq!(talk.outcome, Some(Outcome::Failed));
}
