//! Invariant 16: whom this node does not know changes nothing here.

use rand::Rng;

use super::lone::{Lone, entry, header, heartbeat, id, words};
use super::*;
use crate::frame::{Body, Frame, FrameType};

#[test]
fn a_strangers_ping_is_answered_and_forgotten() {
    let mut lone = Lone::new();
    let before = lone.cluster.nodes_conf();
    let link = lone.accept();
    let mut ping = heartbeat(
        header(FrameType::Ping, 'x'),
        vec![
            entry('y', NodeFlags::PRIMARY),
            entry('c', NodeFlags::PRIMARY | NodeFlags::FAIL),
        ],
    );
    (ping.header.current_epoch, ping.header.config_epoch) = (99, 98);
    ping.header.slots = slots("0-16383");
    assert_eq!(words(&lone.frame_on(link, &ping)), ["send pong"]);
    assert_eq!(lone.cluster.nodes_conf(), before);
    assert_eq!(lone.cluster.view().nodes.len(), 3);
}

#[test]
fn a_strangers_other_frames_are_ignored() {
    let mut lone = Lone::new();
    let before = lone.cluster.nodes_conf();
    let link = lone.accept();
    let publish = Body::Publish {
        channel: "c".into(),
        message: "m".into(),
    };
    let update = Body::Update {
        config_epoch: 99,
        node: id('c'),
        slots: slots("0-16383"),
    };
    for (kind, body) in [
        (
            FrameType::Pong,
            heartbeat(header(FrameType::Pong, 'x'), vec![]).body,
        ),
        (FrameType::Fail, Body::Fail(id('c'))),
        (FrameType::Publish, publish),
        (FrameType::Update, update),
        (FrameType::FailoverAuthRequest, Body::Empty),
    ] {
        let mut frame = Frame {
            header: header(kind, 'x'),
            body,
        };
        frame.header.current_epoch = 99;
        let outputs = lone.frame_on(link, &frame);
        let quiet = |output: &Output| {
            matches!(
                output,
                Output::Log {
                    level: LogLevel::Debug,
                    ..
                }
            )
        };
        assert!(outputs.iter().all(quiet), "{outputs:?}");
    }
    assert_eq!(lone.cluster.nodes_conf(), before);
}

#[test]
fn a_strangers_meet_starts_a_handshake_and_no_more() {
    let mut lone = Lone::new();
    let before = lone.cluster.nodes_conf();
    let link = lone.accept();
    let mut meet = heartbeat(
        header(FrameType::Meet, 'x'),
        vec![entry('y', NodeFlags::PRIMARY)],
    );
    (meet.header.current_epoch, meet.header.config_epoch) = (99, 98);
    meet.header.slots = slots("0-16383");
    assert_eq!(words(&lone.frame_on(link, &meet)), ["send pong", "view"]);
    assert_eq!(
        words(&lone.frame_on(link, &meet)),
        ["send pong"],
        "one handshake at a time"
    );
    assert_eq!(lone.cluster.nodes_conf(), before);
    let view = lone.cluster.view();
    assert_eq!(view.nodes.len(), 4);
    assert_eq!(view.nodes[3].flags.to_words(), "handshake");
    assert_ne!(
        view.nodes[3].id,
        id('x'),
        "it has to say so itself, where it claims to be"
    );
}

#[test]
fn who_does_not_take_up_the_acquaintance_is_asked_again() {
    let mut lone = Lone::new();
    let inbound = lone.accept();
    let mut meet = heartbeat(header(FrameType::Meet, 'x'), vec![]);
    meet.header.ip = Some(ip(8));
    lone.frame_on(inbound, &meet);
    let outputs = lone.tick(100);
    let to_x = outputs.iter().find_map(|output| match output {
        Output::Connect { link, addr } if addr.ip() == ip(8) => Some(*link),
        _ => None,
    });
    let link = to_x.unwrap();
    lone.input(Input::Connected {
        link,
        local_ip: ip(0),
    });
    let pong = heartbeat(header(FrameType::Pong, 'x'), vec![]);
    lone.frame_on(link, &pong);
    let meets = |lone: &mut Lone| {
        let mut count = 0;
        for _ in 0..50 {
            let sent = words(&lone.tick(100));
            count += sent.iter().filter(|word| *word == "send meet").count();
            lone.frame_on(link, &pong);
        }
        count
    };
    assert_eq!(meets(&mut lone), 2, "one each node timeout");
    let again = lone.accept();
    lone.frame_on(again, &heartbeat(header(FrameType::Ping, 'x'), vec![]));
    assert_eq!(meets(&mut lone), 0);
    lone.input(Input::Closed {
        link: again,
        refused: false,
    });
    assert_eq!(
        meets(&mut lone),
        0,
        "it knew this node once, and may have been told to forget it"
    );
}

#[test]
fn handshakes_are_limited() {
    let mut lone = Lone::new();
    let link = lone.accept();
    let mut meet = heartbeat(header(FrameType::Meet, 'x'), vec![]);
    for port in 1..=super::handshake::MAX_HANDSHAKES as u16 + 9 {
        meet.header.bus_port = port;
        lone.frame_on(link, &meet);
    }
    let view = lone.cluster.view();
    assert_eq!(view.nodes.len(), 3 + super::handshake::MAX_HANDSHAKES);
}

#[test]
fn a_frame_of_ones_own_changes_nothing() {
    let mut lone = Lone::new();
    let before = lone.cluster.nodes_conf();
    let link = lone.accept();
    for kind in [FrameType::Meet, FrameType::Ping, FrameType::Pong] {
        let mut own = heartbeat(header(kind, 'a'), vec![]);
        own.header.current_epoch = 99;
        lone.frame_on(link, &own);
    }
    assert_eq!(
        (lone.cluster.nodes_conf(), lone.cluster.view().nodes.len()),
        (before, 3)
    );
}

#[test]
fn mutated_frames_of_strangers_change_nothing() {
    let mut rng = StdRng::seed_from_u64(5);
    let mut lone = Lone::new();
    let before = lone.cluster.nodes_conf();
    let strangers: Vec<Vec<u8>> = [
        heartbeat(
            header(FrameType::Ping, 'x'),
            vec![entry('c', NodeFlags::FAIL)],
        ),
        Frame {
            header: header(FrameType::Fail, 'x'),
            body: Body::Fail(id('c')),
        },
        Frame {
            header: header(FrameType::Update, 'x'),
            body: Body::Update {
                config_epoch: 99,
                node: id('c'),
                slots: slots("0-16383"),
            },
        },
    ]
    .iter()
    .map(|frame| frame.encode().to_vec())
    .collect();
    for round in 0..20_000 {
        let link = lone.accept();
        let mut bytes = strangers[round % strangers.len()].clone();
        let at = rng.random_range(0..bytes.len());
        bytes[at] = rng.random();
        // Type 2 is MEET, which starts handshakes by design.
        if bytes[12..14] != [0, 2] {
            lone.input(Input::Frame {
                link,
                bytes: &bytes,
            });
        }
        lone.input(Input::Closed {
            link,
            refused: false,
        });
    }
    assert_eq!(
        (lone.cluster.nodes_conf(), lone.cluster.view().nodes.len()),
        (before, 3)
    );
    assert_eq!(
        lone.cluster.view().links.len(),
        2,
        "theirs are gone, the own stay"
    );
}

#[test]
fn mutated_frames_of_anybody_never_panic() {
    let mut rng = StdRng::seed_from_u64(6);
    for round in 0..300 {
        let mut lone = Lone::new();
        for _ in 0..100 {
            let kind = FrameType::ALL[rng.random_range(0..11)];
            let sender = *b"abcx".get(rng.random_range(0..4)).unwrap() as char;
            let body = match kind {
                FrameType::Fail => Body::Fail(id('c')),
                FrameType::Update => {
                    let config_epoch = rng.random_range(0..9);
                    Body::Update {
                        config_epoch,
                        node: id(sender),
                        slots: slots("0-500"),
                    }
                }
                FrameType::Publish | FrameType::PublishShard => Body::Publish {
                    channel: "c".into(),
                    message: "m".into(),
                },
                FrameType::Ping | FrameType::Pong | FrameType::Meet => {
                    let flags = NodeFlags::from_bits_truncate(rng.random());
                    heartbeat(
                        header(kind, sender),
                        vec![entry('c', flags), entry('y', flags)],
                    )
                    .body
                }
                FrameType::Module => Body::Module("x".into()),
                _ => Body::Empty,
            };
            let mut frame = Frame {
                header: header(kind, sender),
                body,
            };
            frame.header.config_epoch = rng.random_range(0..9);
            frame.header.primary = match rng.random_range(0..6) {
                0 => Some(id('a')),
                1 => Some(id('b')),
                2 => Some(id('c')),
                _ => None,
            };
            let mut bytes = frame.encode().to_vec();
            if rng.random_bool(0.3) {
                let at = rng.random_range(0..bytes.len());
                bytes[at] = rng.random();
            }
            let link = if rng.random_bool(0.5) {
                lone.link
            } else {
                lone.accept()
            };
            lone.input(Input::Frame {
                link,
                bytes: &bytes,
            });
            lone.tick(rng.random_range(0..3) * 100);
            let view = lone.cluster.view();
            assert!(
                view.nodes
                    .iter()
                    .all(|node| node.config_epoch <= view.current_epoch)
            );
        }
        let file = lone.cluster.nodes_conf();
        assert!(
            Cluster::load(&file, config(), 1, lone.now).is_ok(),
            "round {round}: {file}"
        );
    }
}
