//! Who gets a vote, and in which order that happens.

use super::lone::{Lone, header, heartbeat, id, words};
use super::*;
use crate::frame::{Body, Frame, FrameType, MessageFlags};

/// This node is `a`, a voter like `c`; `b` is a replica of `c`, which has failed.
fn voter() -> Lone {
    voter_from(&format!(
        "{} 10.0.0.0:7000@17000 myself,master - 0 0 1 connected 0-99\n\
         {} 10.0.0.1:7000@17000 slave {} 0 0 3 connected\n\
         {} 10.0.0.2:7000@17000 master,fail - 0 0 3 connected 200-16383\n\
         vars currentEpoch 5 lastVoteEpoch 0\n",
        id('a'),
        id('b'),
        id('c'),
        id('c'),
    ))
}

fn voter_from(file: &str) -> Lone {
    let mut lone = Lone::from_file(file);
    // The played peer calls itself a primary at first.
    lone.frame(&heartbeat(replica_header(FrameType::Pong), vec![]));
    lone
}

/// What `b` sends as a replica of `c`.
fn replica_header(kind: FrameType) -> crate::frame::Header {
    crate::frame::Header {
        primary: Some(id('c')),
        flags: NodeFlags::REPLICA | NodeFlags::MYSELF,
        config_epoch: 3,
        slots: slots("200-16383"),
        ..header(kind, 'b')
    }
}

fn request(epoch: u64) -> Frame {
    let mut header = replica_header(FrameType::FailoverAuthRequest);
    header.current_epoch = epoch;
    Frame {
        header,
        body: Body::Empty,
    }
}

fn denied(outputs: &[Output]) -> String {
    let words = words(outputs);
    let text = format!("log Failover auth denied to {}: ", id('b'));
    let reason = words.iter().find_map(|word| word.strip_prefix(&text));
    assert!(
        !words.iter().any(|word| word.starts_with("send")),
        "{words:?}"
    );
    reason.unwrap_or_else(|| panic!("{words:?}")).to_owned()
}

#[test]
fn a_vote_is_on_disk_before_it_leaves() {
    let mut lone = voter();
    let outputs = lone.frame(&request(6));
    let granted = format!("log Failover auth granted to {} for epoch 6", id('b'));
    assert_eq!(
        words(&outputs),
        ["persist", "send auth-ack", &granted, "view"]
    );
    let Some(Output::Persist(text)) = outputs.first() else {
        panic!("{outputs:?}")
    };
    let text = String::from_utf8(text.clone()).unwrap();
    assert!(
        text.ends_with("vars currentEpoch 6 lastVoteEpoch 6\n"),
        "{text}"
    );
}

#[test]
fn one_vote_an_epoch_restarts_included() {
    let mut lone = voter();
    lone.frame(&request(6));
    assert_eq!(
        denied(&lone.frame(&request(6))),
        "already voted for epoch 6"
    );
    let disk = lone.cluster.nodes_conf();
    let mut lone = voter_from(&disk);
    assert_eq!(
        denied(&lone.frame(&request(6))),
        "already voted for epoch 6"
    );
    assert_eq!(
        denied(&lone.frame(&request(5))),
        "reqEpoch (5) < curEpoch(6)"
    );
}

#[test]
fn one_vote_about_a_primary_in_two_node_timeouts() {
    let mut lone = voter();
    lone.frame(&request(6));
    lone.now += 1000;
    assert_eq!(
        denied(&lone.frame(&request(7))),
        "can't vote about this master before 3000 milliseconds"
    );
    lone.now += 3000;
    let outputs = words(&lone.frame(&request(8)));
    assert!(outputs.contains(&"send auth-ack".to_owned()), "{outputs:?}");
}

#[test]
fn only_replicas_of_failed_primaries_get_votes() {
    let mut lone = voter();
    let mut primary = request(6);
    primary.header.primary = None;
    primary.header.flags = NodeFlags::PRIMARY | NodeFlags::MYSELF;
    let mut pong = heartbeat(primary.header.clone(), vec![]);
    pong.header.kind = FrameType::Pong;
    pong.header.slots = slots("");
    lone.frame(&pong);
    assert_eq!(denied(&lone.frame(&primary)), "it is a master node");
    let mut lone = voter_from(
        &voter()
            .cluster
            .nodes_conf()
            .replace("master,fail", "master"),
    );
    assert_eq!(denied(&lone.frame(&request(6))), "its master is up");
    let mut forced = request(7);
    forced.header.message_flags = MessageFlags::FORCE_ACK;
    let outputs = words(&lone.frame(&forced));
    assert!(outputs.contains(&"send auth-ack".to_owned()), "{outputs:?}");
}

#[test]
fn old_claims_get_no_votes() {
    let mut lone = voter();
    let mut old = request(6);
    old.header.config_epoch = 2;
    assert_eq!(
        denied(&lone.frame(&old)),
        "slot 200 epoch (3) > reqEpoch (2)"
    );
}

#[test]
fn who_has_no_slots_gives_no_votes() {
    let mut lone = voter_from(&voter().cluster.nodes_conf().replace(" 0-99", ""));
    let outputs = words(&lone.frame(&request(6)));
    assert_eq!(outputs, ["persist", "view"], "only the epoch is taken over");
    let mut lone = voter();
    lone.cluster.set_healthy(lone.now, false);
    lone.drain();
    let outputs = words(&lone.frame(&request(6)));
    assert_eq!(outputs, ["persist", "view"], "nor does who is unwell");
}
