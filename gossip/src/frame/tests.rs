//! Frames against those of a stock node, and against rubbish.

use std::net::IpAddr;

use hexad_slots::Slot;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::{NodeFlags, NodeId};

/// Frames that a redis-server 7.0.15 sent to a listener.
const STOCK: [(&str, &str); 8] = [
    ("meet", include_str!("../../testdata/redis-7.0.15/meet.hex")),
    ("ping", include_str!("../../testdata/redis-7.0.15/ping.hex")),
    (
        "ping-from-replica",
        include_str!("../../testdata/redis-7.0.15/ping-from-replica.hex"),
    ),
    ("pong", include_str!("../../testdata/redis-7.0.15/pong.hex")),
    ("fail", include_str!("../../testdata/redis-7.0.15/fail.hex")),
    (
        "publish",
        include_str!("../../testdata/redis-7.0.15/publish.hex"),
    ),
    (
        "update",
        include_str!("../../testdata/redis-7.0.15/update.hex"),
    ),
    (
        "auth-request",
        include_str!("../../testdata/redis-7.0.15/auth-request.hex"),
    ),
];

fn stock_bytes(name: &str) -> Vec<u8> {
    let hex = STOCK.iter().find(|(at, _)| *at == name).unwrap().1;
    let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits
        .chunks(2)
        .map(|pair| (pair[0] * 16 + pair[1]) as u8)
        .collect()
}

fn stock(name: &str) -> Frame {
    Frame::decode(&stock_bytes(name)).unwrap().unwrap()
}

fn id(digit: char) -> NodeId {
    digit.to_string().repeat(NodeId::LEN).parse().unwrap()
}

fn header(kind: FrameType) -> Header {
    Header {
        kind,
        port: 7000,
        plain_port: 7100,
        bus_port: 17000,
        current_epoch: 9,
        config_epoch: 8,
        repl_offset: 7,
        sender: id('a'),
        slots: Box::new((0..100).filter_map(Slot::new).collect()),
        primary: Some(id('b')),
        ip: Some("2001:db8::1".parse().unwrap()),
        flags: NodeFlags::REPLICA | NodeFlags::MYSELF | NodeFlags::NOFAILOVER,
        state_fail: true,
        message_flags: MessageFlags::all(),
    }
}

fn gossip(entries: Vec<GossipEntry>, extensions: Extensions) -> Body {
    Body::Gossip {
        entries,
        extensions,
    }
}

fn entry(digit: char) -> GossipEntry {
    GossipEntry {
        id: id(digit),
        ping_sent_s: 1,
        pong_received_s: 2,
        ip: Some("10.0.0.1".parse().unwrap()),
        port: 3,
        bus_port: 4,
        flags: NodeFlags::PRIMARY | NodeFlags::PFAIL,
        plain_port: 5,
    }
}

/// One frame of each kind that is sent.
fn samples() -> Vec<Frame> {
    let extensions = Extensions {
        hostname: Some("host-1.example".to_owned()),
        human_name: Some("seven77".to_owned()),
        forgotten: vec![(id('d'), 60)],
        shard_id: Some(id('e')),
        newer_than_7_0: true,
    };
    let bodies = [
        (FrameType::Ping, gossip(vec![], Extensions::default())),
        (
            FrameType::Pong,
            gossip(vec![entry('c'), entry('d')], Extensions::default()),
        ),
        (FrameType::Meet, gossip(vec![entry('c')], extensions)),
        (FrameType::Fail, Body::Fail(id('c'))),
        (
            FrameType::Publish,
            Body::Publish {
                channel: "news".into(),
                message: "hello".into(),
            },
        ),
        (
            FrameType::PublishShard,
            Body::Publish {
                channel: "".into(),
                message: "".into(),
            },
        ),
        (FrameType::FailoverAuthRequest, Body::Empty),
        (FrameType::FailoverAuthAck, Body::Empty),
        (FrameType::ManualFailoverStart, Body::Empty),
        (FrameType::Update, {
            let slots = Box::new((200..300).filter_map(Slot::new).collect());
            Body::Update {
                config_epoch: 5,
                node: id('c'),
                slots,
            }
        }),
        (FrameType::Module, Body::Module("\0\x01anything".into())),
    ];
    bodies
        .into_iter()
        .map(|(kind, body)| Frame {
            header: header(kind),
            body,
        })
        .collect()
}

#[test]
fn stock_frames_are_read_and_written_back_byte_for_byte() {
    for (name, _) in STOCK {
        let bytes = stock_bytes(name);
        assert_eq!(frame_length(&bytes), Ok(Some(bytes.len())), "{name}");
        assert_eq!(stock(name).encode(), bytes, "{name}");
    }
}

#[test]
fn a_stock_meet_says_who_sends_it() {
    let frame = stock("meet");
    let header = &frame.header;
    assert_eq!(header.kind, FrameType::Meet);
    assert_eq!(header.bus_port, header.port + 10_000);
    assert_eq!(
        (header.ip, header.primary, header.plain_port),
        (None, None, 0)
    );
    assert_eq!(header.flags, NodeFlags::PRIMARY | NodeFlags::MYSELF);
    assert_eq!(
        header
            .slots
            .ranges()
            .map(|range| range.to_string())
            .collect::<Vec<_>>(),
        ["0-5460"]
    );
    assert_eq!(header.message_flags, MessageFlags::EXTENSIONS);
    let Body::Gossip {
        entries,
        extensions,
    } = &frame.body
    else {
        panic!("{frame:?}")
    };
    assert_eq!(extensions.hostname.as_deref(), Some("host-0.example"));
    assert!(!extensions.newer_than_7_0);
    assert_eq!(entries.len(), 2);
    for entry in entries {
        assert_eq!(entry.ip, Some(IpAddr::from([127, 0, 0, 1])));
        assert_eq!(entry.bus_port, entry.port + 10_000);
        assert_eq!(
            entry
                .flags
                .intersection(NodeFlags::ROLE)
                .bits()
                .count_ones(),
            1
        );
    }
}

#[test]
fn a_stock_replica_shows_its_primary() {
    let header = stock("ping-from-replica").header;
    assert_eq!(header.flags, NodeFlags::REPLICA | NodeFlags::MYSELF);
    assert!(header.primary.is_some());
    assert!(
        header.slots.count() > 5000,
        "a replica shows its primary's slots"
    );
    assert_eq!(
        header.message_flags,
        MessageFlags::empty(),
        "7.0 flags extensions only with some"
    );
}

#[test]
fn other_stock_frames_carry_what_they_are_for() {
    assert!(matches!(stock("fail").body, Body::Fail(_)));
    assert_eq!(stock("auth-request").body, Body::Empty);
    let published = Body::Publish {
        channel: "chan".into(),
        message: "hello".into(),
    };
    assert_eq!(stock("publish").body, published);
    let Body::Update {
        config_epoch,
        slots,
        node,
    } = stock("update").body
    else {
        panic!()
    };
    assert_eq!(node, stock("update").header.sender, "it told of itself");
    assert_eq!(
        (config_epoch, slots.count()),
        (stock("update").header.config_epoch, 5461)
    );
}

#[test]
fn every_frame_is_read_back_as_it_was_written() {
    for frame in samples() {
        let bytes = frame.encode();
        assert_eq!(bytes.len(), HEADER_LEN + frame.body.encoded_len());
        assert_eq!(Frame::decode(&bytes), Ok(Some(frame)));
    }
}

#[test]
fn the_header_lies_as_documented() {
    let bytes = samples()[0].encode();
    assert_eq!(bytes.len(), 2256);
    let word = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    assert_eq!(&bytes[0..4], b"RCmb");
    assert_eq!(bytes[4..8], 2256u32.to_be_bytes());
    assert_eq!((word(8), word(10), word(12), word(14)), (1, 7000, 0, 0));
    for (at, epoch) in [(16, 9u64), (24, 8), (32, 7)] {
        assert_eq!(bytes[at..at + 8], epoch.to_be_bytes());
    }
    assert_eq!(&bytes[40..80], id('a').as_bytes());
    assert_eq!((bytes[80], bytes[92], bytes[93]), (0xff, 0x0f, 0));
    assert_eq!(&bytes[2128..2168], id('b').as_bytes());
    assert_eq!(&bytes[2168..2180], b"2001:db8::1\0");
    assert_eq!((word(2214), word(2246), word(2248)), (0, 7100, 17000));
    assert_eq!(word(2250), 2 | 16 | 512);
    assert_eq!(bytes[2252..2256], [1, 7, 0, 0]);
}

#[test]
fn a_type_that_is_not_known_is_no_error() {
    let mut bytes = samples()[0].encode().to_vec();
    bytes[12..14].copy_from_slice(&99u16.to_be_bytes());
    assert_eq!(Frame::decode(&bytes), Ok(None));
}

#[test]
fn what_is_wrong_with_a_frame_is_said() {
    let patched = |kind: FrameType, at: usize, with: &[u8]| {
        let frame = samples()
            .into_iter()
            .find(|frame| frame.kind() == kind)
            .unwrap();
        let mut bytes = frame.encode().to_vec();
        bytes[at..at + with.len()].copy_from_slice(with);
        Frame::decode(&bytes).unwrap_err().to_string()
    };
    let body = HEADER_LEN;
    for (error, why) in [
        (
            patched(FrameType::Ping, 0, b"X"),
            "bad signature [58, 43, 6d, 62]",
        ),
        (
            patched(FrameType::Ping, 8, &[0, 2]),
            "protocol version 2 is not 1",
        ),
        (
            patched(FrameType::Ping, 4, &[0, 0, 0, 9]),
            "length 9 is below the 2256 bytes of a header",
        ),
        (
            patched(FrameType::Fail, 4, &[0, 0, 9, 0]),
            "length 2304 of a frame of type 3 is above the limit 2296",
        ),
        (
            patched(FrameType::Publish, 4, &[0, 0, 9, 0]),
            "2273 bytes for a frame of length 2304",
        ),
        (
            patched(FrameType::Ping, 40, b"-"),
            "bad node id in the sender",
        ),
        (
            patched(FrameType::Ping, 2128, b"-"),
            "bad node id in the sender's primary",
        ),
        (
            patched(FrameType::Ping, 2168, b"x"),
            "bad address in the header",
        ),
        (
            patched(FrameType::Pong, 14, &[0, 3]),
            "length 2464 of a frame of type 1, but its parts add up to 2568",
        ),
        (
            patched(FrameType::Pong, 14, &[0, 1]),
            "length 2464 of a frame of type 1, but its parts add up to 2360",
        ),
        (
            patched(FrameType::Pong, body, b"-"),
            "bad node id in a gossip entry",
        ),
        (
            patched(FrameType::Publish, body, &[255; 4]),
            "length 2273 of a frame of type 4, but its parts add up to 4294969559",
        ),
        (
            patched(FrameType::Publish, body + 4, &[0, 0, 0, 4]),
            "length 2273 of a frame of type 4, but its parts add up to 2272",
        ),
        (
            patched(FrameType::Fail, body, b"-"),
            "bad node id in a FAIL",
        ),
        (
            patched(FrameType::Update, body + 8, b"-"),
            "bad node id in an UPDATE",
        ),
        (
            patched(FrameType::Meet, body + 104, &[0, 0, 0, 7]),
            "bad extension of type 0",
        ),
        (
            patched(FrameType::Meet, body + 104, &[0, 0, 0, 25]),
            "bad extension of type 0",
        ),
        (
            patched(FrameType::Meet, body + 104 + 8, b" "),
            "bad extension of type 0",
        ),
        (
            patched(FrameType::Meet, 2214, &[0, 9]),
            "length 2504 of a frame of type 2, but its parts add up to 2508",
        ),
    ] {
        assert_eq!(error, why);
    }
}

#[test]
fn an_address_that_cannot_be_read_costs_the_entry_only() {
    let mut bytes = samples()[1].encode().to_vec();
    bytes[HEADER_LEN + 48..][..4].copy_from_slice(b"name");
    let frame = Frame::decode(&bytes).unwrap().unwrap();
    let Body::Gossip { entries, .. } = frame.body else {
        panic!()
    };
    assert_eq!((entries[0].ip, entries[1].ip), (None, entry('d').ip));
}

#[test]
fn unknown_extensions_are_skipped() {
    let frame = &samples()[2];
    let mut bytes = frame.encode().to_vec();
    // The hostname, the first of four, gets a type that nobody knows.
    bytes[HEADER_LEN + 104 + 5] = 77;
    let Body::Gossip { extensions, .. } = Frame::decode(&bytes).unwrap().unwrap().body else {
        panic!()
    };
    assert_eq!(extensions.hostname, None);
    assert_eq!(extensions.human_name.as_deref(), Some("seven77"));
    assert_eq!(extensions.shard_id, Some(id('e')));
}

#[test]
fn mutated_frames_never_panic() {
    let mut rng = StdRng::seed_from_u64(17);
    let mut frames: Vec<Vec<u8>> = samples()
        .iter()
        .map(|frame| frame.encode().to_vec())
        .collect();
    frames.extend(STOCK.iter().map(|(name, _)| stock_bytes(name)));
    let mut taken = 0;
    for round in 0..60_000 {
        let mut bytes = frames[round % frames.len()].clone();
        for _ in 0..rng.random_range(1..4) {
            // Lengths, counts and types are where it hurts; the slots matter little.
            let at = match rng.random_range(0..3) {
                0 => rng.random_range(0..40.min(bytes.len())),
                1 if bytes.len() > 2128 => rng.random_range(2128..bytes.len()),
                _ => rng.random_range(0..bytes.len()),
            };
            match rng.random_range(0..4) {
                0 => bytes.truncate(at.max(1)),
                1 => bytes[at] ^= 1 << rng.random_range(0..8),
                2 => bytes[at] = [0, 255, 127, 128][rng.random_range(0..4)],
                _ => bytes[at] = rng.random(),
            }
        }
        if rng.random_bool(0.5) && bytes.len() >= 8 {
            let length = (bytes.len() as u32).to_be_bytes();
            bytes[4..8].copy_from_slice(&length);
        }
        if let Ok(Some(length)) = frame_length(&bytes) {
            assert!(length <= HEADER_LEN + 65536 * 104 + 600 * 1024 * 1024);
        }
        if let Ok(Some(frame)) = Frame::decode(&bytes) {
            // What is taken for a frame is one.
            assert_eq!(
                Frame::decode(&frame.encode()).unwrap().unwrap().header,
                frame.header
            );
            taken += 1;
        }
    }
    assert!(
        taken > 5_000,
        "{taken}: too few get past the first checks to test anything"
    );
}
