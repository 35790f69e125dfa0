//! The exact outputs of single calls: the disk before the network, and nothing without need.

use super::lone::{Lone, entry, header, heartbeat, id, words};
use super::*;
use crate::frame::{Body, Frame, FrameType, GossipEntry, MessageFlags};

#[test]
fn a_new_node_persists_itself_first() {
    let mut cluster = Cluster::new(config(), 1, START);
    let outputs: Vec<Output> = std::iter::from_fn(|| cluster.poll_output()).collect();
    let id = cluster.id();
    assert_eq!(
        words(&outputs),
        [
            "persist",
            &format!("log No cluster configuration found, I'm {id}"),
            "view"
        ]
    );
    let file = format!(
        "{id} :7000@17000 myself,master - 0 0 0 connected\nvars currentEpoch 0 lastVoteEpoch 0\n"
    );
    assert_eq!(outputs[0], Output::Persist(file.into_bytes()));
    assert_eq!(cluster.poll_timeout(), Some(START + 100));
}

#[test]
fn the_same_seed_and_calls_give_the_same_outputs() {
    let run = |seed| {
        let mut cluster = Cluster::new(config(), seed, START);
        let _ = cluster.admin(
            START,
            Admin::Meet {
                ip: ip(1),
                port: 7000,
                bus_port: 17000,
            },
        );
        cluster.handle(START + 100, Input::Tick);
        std::iter::from_fn(|| cluster.poll_output()).collect::<Vec<_>>()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn an_early_tick_does_nothing() {
    let mut lone = Lone::new();
    assert_eq!(lone.tick(10), []);
}

#[test]
fn a_ping_is_answered_and_changes_nothing_else() {
    let mut lone = Lone::new();
    let link = lone.accept();
    let ping = heartbeat(header(FrameType::Ping, 'b'), vec![]);
    let outputs = lone.frame_on(link, &ping);
    assert_eq!(words(&outputs), ["send pong"]);
    assert!(matches!(outputs[0], Output::Send { link: on, .. } if on == link));
    assert_eq!(words(&lone.frame_on(link, &ping)), ["send pong"]);
}

#[test]
fn a_higher_epoch_is_on_disk_before_it_is_shown() {
    let mut lone = Lone::new();
    let link = lone.accept();
    let mut ping = heartbeat(header(FrameType::Ping, 'b'), vec![]);
    ping.header.current_epoch = 9;
    let outputs = lone.frame_on(link, &ping);
    assert_eq!(words(&outputs), ["persist", "send pong", "view"]);
    let Output::Persist(text) = &outputs[0] else {
        panic!()
    };
    assert!(String::from_utf8_lossy(text).ends_with("vars currentEpoch 9 lastVoteEpoch 0\n"));
    let Output::Send { frame, .. } = &outputs[1] else {
        panic!()
    };
    assert_eq!(
        Frame::decode(frame).unwrap().unwrap().header.current_epoch,
        9
    );
}

#[test]
fn epochs_never_fall() {
    let mut lone = Lone::new();
    let mut ping = heartbeat(header(FrameType::Pong, 'b'), vec![]);
    (ping.header.current_epoch, ping.header.config_epoch) = (0, 0);
    assert_eq!(words(&lone.frame(&ping)), [""; 0]);
    assert_eq!(
        (
            lone.cluster.view().current_epoch,
            lone.seen('b').config_epoch
        ),
        (5, 2)
    );
    ping.header.config_epoch = 11;
    assert_eq!(words(&lone.frame(&ping)), ["persist", "view"]);
    assert_eq!(
        lone.cluster.view().current_epoch,
        11,
        "never behind a configEpoch"
    );
    (ping.header.current_epoch, ping.header.config_epoch) = (u64::MAX, u64::MAX);
    lone.frame(&ping);
    lone.admin(Admin::BumpEpoch).unwrap();
    assert_eq!(lone.cluster.view().current_epoch, u64::MAX, "no overflow");
}

#[test]
fn in_a_collision_the_smaller_id_moves() {
    let mut lone = Lone::new();
    let mut pong = heartbeat(header(FrameType::Pong, 'b'), vec![]);
    pong.header.config_epoch = 1;
    let collision = format!(
        "log WARNING: configEpoch collision with node {}. configEpoch set to 6",
        id('b')
    );
    assert_eq!(words(&lone.frame(&pong)), ["persist", &collision, "view"]);
    assert_eq!(lone.cluster.view().my_epoch, 6);
    assert_eq!(
        words(&lone.tick(100))[..1],
        ["send pong"],
        "and tells at once"
    );

    let file = lone
        .cluster
        .nodes_conf()
        .replace(&id('a').to_string(), &id('z').to_string());
    let mut greater = Lone::from_file(&file.replace(" 6 connected", " 2 connected"));
    assert_eq!(greater.cluster.view().my_epoch, 2);
    assert_eq!(
        words(&greater.frame(&heartbeat(header(FrameType::Pong, 'b'), vec![]))),
        [""; 0]
    );
    assert_eq!(greater.cluster.view().my_epoch, 2);
}

#[test]
fn a_newer_claim_takes_slots_and_an_equal_one_does_not() {
    let mut lone = Lone::new();
    let mut pong = heartbeat(header(FrameType::Pong, 'b'), vec![]);
    pong.header.slots = slots("90-199 200");
    // b is newer than this node and older than c. It gets told about c over the link to it.
    let outputs = lone.frame(&pong);
    let stale = format!(
        "log Node {} has old slots configuration, sending an UPDATE message about {}",
        id('b'),
        id('c')
    );
    assert_eq!(
        words(&outputs),
        [
            "persist",
            r#"drop {"90-99"}"#,
            &stale,
            "send update about c at 3",
            "view"
        ]
    );
    assert_eq!(lone.seen('b').slot_count, 110);

    let mut lone = Lone::new();
    pong.header.config_epoch = 1;
    pong.header.sender = id('b');
    lone.frame(&pong);
    assert_eq!(
        lone.seen('b').slot_count,
        100,
        "epoch 1 is not newer than this node's"
    );
}

#[test]
fn an_update_moves_slots_and_never_this_nodes_epoch() {
    let mut lone = Lone::new();
    let update = |about: char, config_epoch, range: &str| Frame {
        header: header(FrameType::Update, 'b'),
        body: Body::Update {
            config_epoch,
            node: id(about),
            slots: slots(range),
        },
    };
    assert_eq!(
        words(&lone.frame(&update('a', 9, "0-99"))),
        ["log Discarding UPDATE message about myself."]
    );
    assert_eq!(
        words(&lone.frame(&update('c', 3, "0-99"))),
        [""; 0],
        "nothing newer"
    );
    assert_eq!(
        words(&lone.frame(&update('x', 9, "0-99"))),
        [""; 0],
        "nobody known"
    );
    let outputs = lone.frame(&update('c', 9, "99 200-16383"));
    assert_eq!(words(&outputs), ["persist", r#"drop {"99"}"#, "view"]);
    let view = lone.cluster.view();
    assert_eq!((view.current_epoch, view.my_epoch), (9, 1));
}

#[test]
fn a_verdict_needs_a_majority_and_is_told_to_all() {
    let mut lone = Lone::new();
    lone.tick(100);
    // Silence until c, which was never reached, is suspected; b goes on answering.
    let mut outputs = Vec::new();
    while !lone.seen('c').flags.contains(NodeFlags::PFAIL) {
        outputs = lone.tick(100);
        lone.frame(&heartbeat(header(FrameType::Pong, 'b'), vec![]));
        assert!(lone.now < START + 4000);
    }
    let possibly = format!("log *** NODE {} possibly failing", id('c'));
    assert!(words(&outputs).contains(&possibly), "{outputs:?}");
    assert!(
        !words(&outputs).contains(&"persist".to_owned()),
        "a suspicion is not kept"
    );

    let report = |flags| {
        let about_c = GossipEntry {
            ip: Some(ip(2)),
            ..entry('c', flags)
        };
        heartbeat(header(FrameType::Pong, 'b'), vec![about_c])
    };
    let outputs = lone.frame(&report(NodeFlags::PRIMARY | NodeFlags::PFAIL));
    let reported = format!(
        "log Node {} reported node {} as not reachable.",
        id('b'),
        id('c')
    );
    let marking = format!("log Marking node {} as failing (quorum reached).", id('c'));
    let state = "log Cluster state changed: fail (the owner of slot 200 has failed)";
    let expected = [
        "persist",
        &reported,
        &marking,
        "send fail about c",
        state,
        "view",
    ];
    assert_eq!(words(&outputs), expected);
    assert_eq!(lone.seen('c').flags.to_words(), "master,fail");

    let outputs = lone.frame(&report(NodeFlags::PRIMARY));
    let back = format!(
        "log Node {} reported node {} is back online.",
        id('b'),
        id('c')
    );
    assert_eq!(words(&outputs), [back]);
    assert_eq!(
        lone.seen('c').flags.to_words(),
        "master,fail",
        "hearsay lifts no verdict"
    );
}

#[test]
fn a_fail_frame_is_believed() {
    let mut lone = Lone::new();
    let fail = |about| Frame {
        header: header(FrameType::Fail, 'b'),
        body: Body::Fail(id(about)),
    };
    let outputs = lone.frame(&fail('c'));
    let text = format!(
        "log FAIL message received from {} about {}",
        id('b'),
        id('c')
    );
    assert_eq!(words(&outputs), ["persist", &text, "view"]);
    assert_eq!(words(&lone.frame(&fail('c'))), [""; 0], "once");
    assert_eq!(words(&lone.frame(&fail('a'))), [""; 0], "not about oneself");
    assert_eq!(
        words(&lone.frame(&fail('x'))),
        [""; 0],
        "not about strangers"
    );
}

#[test]
fn a_bad_frame_costs_its_link() {
    let mut lone = Lone::new();
    let mut bytes = heartbeat(header(FrameType::Ping, 'b'), vec![])
        .encode()
        .to_vec();
    bytes[8] = 9;
    let link = lone.link;
    let outputs = lone.input(Input::Frame {
        link,
        bytes: &bytes,
    });
    assert_eq!(
        words(&outputs),
        [
            "log Closing a bus link: bad frame from 10.0.0.1: protocol version 2305 is not 1",
            "close",
            "view"
        ]
    );
    assert_eq!(lone.cluster.view().stats.malformed(), 1);
    assert_eq!(
        lone.input(Input::Frame {
            link,
            bytes: &bytes
        }),
        [],
        "the link is forgotten"
    );
    assert_eq!(
        lone.input(Input::Closed {
            link,
            refused: false
        }),
        []
    );
}

#[test]
fn another_node_at_a_known_address_is_not_taken_for_it() {
    let mut lone = Lone::new();
    let mut wrong = heartbeat(
        header(FrameType::Pong, 'x'),
        vec![entry('y', NodeFlags::PRIMARY)],
    );
    wrong.header.current_epoch = 99;
    let outputs = lone.frame(&wrong);
    assert_eq!(words(&outputs)[..1], ["persist"]);
    assert!(words(&outputs).contains(&"close".to_owned()));
    let seen = lone.seen('b');
    assert_eq!(
        (seen.flags.to_words().as_str(), seen.ip, seen.port),
        ("master,noaddr", None, 0)
    );
    assert_eq!(
        (
            lone.cluster.view().current_epoch,
            lone.cluster.view().nodes.len()
        ),
        (5, 3)
    );
    // c knows where b is now.
    let link = lone.accept();
    let told = heartbeat(
        header(FrameType::Ping, 'c'),
        vec![entry('b', NodeFlags::PRIMARY)],
    );
    lone.frame_on(link, &told);
    assert_eq!(lone.seen('b').ip, Some(ip(7)));
    assert_eq!(lone.seen('b').flags.to_words(), "master");
}

#[test]
fn a_known_node_that_answers_in_place_of_another_has_moved_there() {
    let mut lone = Lone::new();
    lone.frame(&heartbeat(header(FrameType::Pong, 'c'), vec![]));
    assert_eq!(lone.seen('c').ip, Some(ip(1)));
    assert_eq!(lone.seen('b').flags.to_words(), "master,noaddr");
    // Both are tried there: c at once, and b after a node timeout, for it may be back.
    let to_there = |outputs: Vec<Output>| {
        words(&outputs)
            .iter()
            .filter(|word| *word == "connect 10.0.0.1:17000")
            .count()
    };
    assert_eq!(to_there(lone.tick(100)), 1);
    assert_eq!(to_there(lone.tick(TIMEOUT)), 1);
    assert!(
        lone.cluster
            .nodes_conf()
            .contains("10.0.0.1:7000@17000 master,noaddr")
    );
    assert_eq!(lone.seen('b').ip, None, "but nobody is sent there");
}

#[test]
fn a_node_whose_address_is_lost_is_suspected_like_any_other() {
    let mut lone = Lone::new();
    lone.frame(&heartbeat(header(FrameType::Pong, 'x'), vec![]));
    let suspicion = NodeFlags::PFAIL | NodeFlags::FAIL;
    assert!(lone.seen('b').flags.contains(NodeFlags::NOADDR));
    assert!(!lone.seen('b').flags.intersects(suspicion));
    for _ in 0..2 * TIMEOUT / 100 {
        lone.tick(100);
    }
    assert!(lone.seen('b').flags.intersects(suspicion));
}

#[test]
fn a_slot_that_its_owner_gave_up_is_nobodys_after_a_while() {
    let mut lone = Lone::new();
    let mut pong = heartbeat(header(FrameType::Pong, 'b'), vec![]);
    pong.header.slots = slots("100-149");
    for _ in 0..=2 * TIMEOUT / 100 {
        lone.frame(&pong);
        assert_eq!(lone.seen('b').slot_count, 100, "a move may be under way");
        lone.tick(100);
    }
    let outputs = lone.frame(&pong);
    let text = format!(
        r#"log Node {} does not claim {{"150-199"}} any more"#,
        id('b')
    );
    assert_eq!(words(&outputs)[..2], ["persist", &text]);
    assert_eq!(
        (
            lone.seen('b').slot_count,
            lone.cluster.view().owner(slot(150))
        ),
        (50, None)
    );
}

#[test]
fn a_slot_that_is_claimed_again_stays() {
    let mut lone = Lone::new();
    let all = heartbeat(header(FrameType::Pong, 'b'), vec![]);
    let mut less = heartbeat(header(FrameType::Pong, 'b'), vec![]);
    less.header.slots = slots("100-149");
    for round in 0..100 {
        lone.frame(if round % 10 == 0 { &all } else { &less });
        lone.tick(100);
    }
    assert_eq!(lone.seen('b').slot_count, 100);
}

#[test]
fn extensions_go_only_to_who_understands_them() {
    let mut lone = Lone::new();
    let named = Config {
        announce_hostname: "a.example".to_owned(),
        announce_human_nodename: "alpha".to_owned(),
        ..config()
    };
    lone.cluster.set_config(lone.now, named);
    lone.drain();
    let link = lone.accept();
    let mut names = |flags: MessageFlags| {
        let mut ping = heartbeat(header(FrameType::Ping, 'b'), vec![]);
        ping.header.message_flags = flags;
        // The first frame announces what the sender understands, the next is answered by it.
        lone.frame_on(link, &ping);
        let outputs = lone.frame_on(link, &ping);
        let Some(Output::Send { frame, .. }) = outputs.first() else {
            panic!("{outputs:?}")
        };
        let frame = Frame::decode(frame).unwrap().unwrap();
        assert!(
            frame
                .header
                .message_flags
                .contains(MessageFlags::EXTENSIONS)
        );
        let Body::Gossip { extensions, .. } = frame.body else {
            panic!()
        };
        (extensions.hostname, extensions.human_name)
    };
    let (hostname, human_name) = (Some("a.example".to_owned()), Some("alpha".to_owned()));
    assert_eq!(
        names(MessageFlags::empty()),
        (hostname.clone(), None),
        "as to Redis 7.0"
    );
    assert_eq!(names(MessageFlags::EXTENSIONS), (hostname, human_name));
}

#[test]
fn a_forgotten_node_is_not_learnt_of_again_for_a_minute() {
    let mut lone = Lone::new();
    let about_c = heartbeat(
        header(FrameType::Pong, 'b'),
        vec![entry('c', NodeFlags::PRIMARY)],
    );
    lone.admin(Admin::Forget(id('c'))).unwrap();
    lone.frame(&about_c);
    assert_eq!(lone.cluster.view().nodes.len(), 2);
    for _ in 0..60 {
        lone.tick(1000);
        lone.frame(&heartbeat(header(FrameType::Pong, 'b'), vec![]));
    }
    assert_eq!(lone.cluster.view().nodes.len(), 2);
    lone.frame(&about_c);
    assert_eq!(lone.cluster.view().nodes.len(), 3);
}

#[test]
fn newer_nodes_spread_that_a_node_is_forgotten() {
    let mut lone = Lone::new();
    let extensions = crate::frame::Extensions {
        forgotten: vec![(id('c'), 60), (id('a'), 60), (id('x'), 60)],
        ..Default::default()
    };
    let frame = Frame {
        header: header(FrameType::Pong, 'b'),
        body: Body::Gossip {
            entries: vec![],
            extensions,
        },
    };
    lone.frame(&frame);
    let view = lone.cluster.view();
    assert_eq!(view.nodes.len(), 2, "c is gone, this node stays");
    assert_eq!(view.size, 2);
}

#[test]
fn a_role_that_changes_takes_its_slots_along() {
    let mut lone = Lone::new();
    let mut pong = heartbeat(header(FrameType::Pong, 'b'), vec![]);
    pong.header.primary = Some(id('c'));
    pong.header.flags = NodeFlags::REPLICA;
    pong.header.config_epoch = 3;
    pong.header.slots = slots("200-16383");
    assert_eq!(words(&lone.frame(&pong))[0], "persist");
    let seen = lone.seen('b');
    assert_eq!((seen.primary, seen.slot_count), (Some(id('c')), 0));
    assert_eq!(words(&lone.frame(&pong)), [""; 0]);
    pong.header.primary = None;
    pong.header.config_epoch = 6;
    lone.frame(&pong);
    let seen = lone.seen('b');
    assert_eq!(
        (seen.primary, seen.slot_count),
        (None, 16184),
        "it has taken over from c"
    );
    assert_eq!(lone.seen('c').slot_count, 0);
}

#[test]
fn a_primary_that_loses_all_to_a_failover_follows_the_winner() {
    let mut lone = Lone::new();
    let mut pong = heartbeat(header(FrameType::Pong, 'b'), vec![]);
    pong.header.config_epoch = 6;
    pong.header.slots = slots("0-199");
    let outputs = lone.frame(&pong);
    let text = format!(
        "log Configuration change detected. Reconfiguring myself as a replica of {}",
        id('b')
    );
    // A replica has no reason to wait with its service after a start.
    let ok = "log Cluster state changed: ok";
    let role = "role 1: replica of b at 10.0.0.1:7000";
    assert_eq!(words(&outputs), ["persist", "view", role, &text, ok]);
    let view = lone.cluster.view();
    assert_eq!(view.myself().flags.to_words(), "myself,slave");
    assert_eq!((view.myself().primary, view.my_epoch), (Some(id('b')), 6));
}

#[test]
fn an_importing_slot_follows_its_source_through_a_failover() {
    let mut lone = Lone::new();
    let import = Admin::SetSlot {
        slot: slot(200),
        action: SetSlot::Importing(id('c')),
        keys_in_slot: 0,
    };
    lone.admin(import).unwrap();
    let mut pong = heartbeat(header(FrameType::Pong, 'b'), vec![]);
    pong.header.config_epoch = 6;
    pong.header.slots = slots("100-16383");
    lone.frame(&pong);
    assert_eq!(lone.cluster.view().importing[&slot(200)], id('b'));
}
