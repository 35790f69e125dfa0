//! Elections among some machines, and the exact outputs of a candidate.

use super::lone::{Lone, header, id, words};
use super::*;
use crate::frame::{Body, Frame, FrameType};

/// This node is `a`, a replica of `c`, which has failed; `b` and `d` vote, `c` has a vote, too.
/// Its link to `b` is up.
fn candidate() -> Lone {
    let mut lone = Lone::from_file(&format!(
        "{} 10.0.0.0:7000@17000 myself,slave {} 0 0 3 connected\n\
         {} 10.0.0.1:7000@17000 master - 0 0 2 connected 100-199\n\
         {} 10.0.0.2:7000@17000 master,fail - 0 0 3 connected 200-16383\n\
         {} 10.0.0.3:7000@17000 master - 0 0 4 connected 0-99\n\
         {} 10.0.0.4:7000@17000 master - 0 0 0 connected\n\
         vars currentEpoch 5 lastVoteEpoch 0\n",
        id('a'),
        id('c'),
        id('b'),
        id('c'),
        id('d'),
        id('e'),
    ));
    lone.sync(1, 100);
    lone
}

impl Lone {
    fn sync(&mut self, term: u64, offset: u64) {
        let link = PrimaryLink::Up { heard_ms: self.now };
        self.cluster
            .set_replication(ReplicationState { term, offset, link });
    }

    /// Ticks until votes are asked for; the outputs of that tick.
    fn stand(&mut self) -> Vec<Output> {
        for _ in 0..20 {
            let outputs = self.tick(100);
            if words(&outputs).contains(&"send auth-req".to_owned()) {
                return outputs;
            }
        }
        panic!("no election within 2 s");
    }

    fn vote(&mut self, voter: char, epoch: u64) -> Vec<Output> {
        let mut header = header(FrameType::FailoverAuthAck, voter);
        header.current_epoch = epoch;
        // Each over a link of its own.
        let link = self.accept();
        self.frame_on(
            link,
            &Frame {
                header,
                body: Body::Empty,
            },
        )
    }
}

#[test]
fn a_replica_that_starts_is_told_whom_to_follow() {
    let lone = candidate();
    let mut again = Cluster::load(&lone.cluster.nodes_conf(), config(), 1, START).unwrap();
    let outputs: Vec<Output> = std::iter::from_fn(|| again.poll_output()).collect();
    let started = format!("log Node configuration loaded, I'm {}", id('a'));
    let role = "role 1: replica of c at 10.0.0.2:7000";
    assert_eq!(words(&outputs), ["persist", "view", role, &started]);
}

#[test]
fn the_epoch_of_an_election_is_on_disk_before_the_requests_leave() {
    let mut lone = candidate();
    let outputs = lone.stand();
    let words = words(&outputs);
    assert_eq!(words[0], "persist");
    assert!(words.contains(&"log Starting a failover election for epoch 6.".to_owned()));
    let Some(Output::Persist(text)) = outputs.first() else {
        panic!("{outputs:?}")
    };
    let text = String::from_utf8(text.clone()).unwrap();
    assert!(
        text.ends_with("vars currentEpoch 6 lastVoteEpoch 0\n"),
        "{text}"
    );
}

#[test]
fn a_majority_of_distinct_voters_decides() {
    let mut lone = candidate();
    lone.vote('b', 5);
    lone.vote('d', 5);
    lone.stand();
    // Those came too early. Twice by one, for another epoch, by one without slots.
    lone.vote('b', 6);
    lone.vote('b', 6);
    lone.vote('d', 5);
    lone.vote('e', 6);
    assert!(
        lone.cluster
            .view()
            .myself()
            .flags
            .contains(NodeFlags::REPLICA)
    );
    let outputs = lone.vote('d', 6);
    let before_news: Vec<String> = words(&outputs).into_iter().take(3).collect();
    assert_eq!(before_news, ["persist", "role 2: primary", "view"]);
    let Some(Output::Persist(text)) = outputs.first() else {
        panic!("{outputs:?}")
    };
    let text = String::from_utf8(text.clone()).unwrap();
    assert!(
        text.contains(" myself,master - 0 0 6 connected 200-16383\n"),
        "{text}"
    );
    assert!(words(&outputs).contains(&"log Failover election won: I'm the new master.".to_owned()));
    assert!(
        words(&outputs).contains(&"send pong".to_owned()),
        "all are told at once"
    );
}

#[test]
fn an_election_ends_when_the_primary_is_back_or_ahead() {
    let mut lone = candidate();
    lone.stand();
    lone.vote('b', 6);
    let mut back = header(FrameType::Pong, 'c');
    (back.config_epoch, back.current_epoch) = (6, 6);
    back.slots = slots("200-16383");
    let link = lone.accept();
    lone.frame_on(link, &super::lone::heartbeat(back, vec![]));
    lone.vote('d', 6);
    assert!(
        lone.cluster
            .view()
            .myself()
            .flags
            .contains(NodeFlags::REPLICA)
    );
}

#[test]
fn data_that_is_too_old_does_not_stand() {
    for (link, stands) in [
        (PrimaryLink::Never, false),
        (PrimaryLink::Emptied, false),
        (
            PrimaryLink::Down {
                heard_ms: START - 31_000,
            },
            true,
        ),
        (
            PrimaryLink::Down {
                heard_ms: START - 33_000,
            },
            false,
        ),
        (
            PrimaryLink::Up {
                heard_ms: START - 33_000,
            },
            false,
        ),
    ] {
        let mut lone = candidate();
        lone.cluster.set_replication(ReplicationState {
            term: 1,
            offset: 100,
            link,
        });
        let mut stood = false;
        for _ in 0..8 {
            let log = words(&lone.tick(100)).join("\n");
            stood |= log.contains("Start of election delayed for");
        }
        assert_eq!(stood, stands, "{link:?}");
    }
}

#[test]
fn what_is_said_of_an_earlier_role_does_not_count() {
    let mut lone = candidate();
    lone.sync(0, 1000);
    lone.sync(7, 1000);
    assert_eq!(lone.seen('a').repl_offset, 100);
    lone.sync(1, 200);
    assert_eq!(lone.seen('a').repl_offset, 200);
    let replicate = Admin::Replicate {
        primary: id('b'),
        dataset_empty: false,
    };
    let outputs = lone.admin(replicate).unwrap();
    let role = "role 2: replica of b at 10.0.0.1:7000";
    assert_eq!(words(&outputs), ["persist", "view", role]);
    assert_eq!(lone.seen('a').repl_offset, 0, "another primary's stream");
    lone.sync(1, 300);
    assert_eq!(lone.seen('a').repl_offset, 0);
}

#[test]
fn a_new_address_of_the_primary_is_no_new_role() {
    let mut lone = candidate();
    let mut moved = header(FrameType::Ping, 'c');
    (moved.config_epoch, moved.ip) = (3, Some("10.0.0.9".parse().unwrap()));
    moved.slots = slots("200-16383");
    let link = lone.accept();
    let outputs = lone.frame_on(link, &super::lone::heartbeat(moved, vec![]));
    let role = "role 1: replica of c at 10.0.0.9:7000".to_owned();
    assert!(words(&outputs).contains(&role), "{:?}", words(&outputs));
    assert_eq!(lone.seen('a').repl_offset, 100);
}

#[test]
fn a_replica_takes_the_place_of_a_dead_primary() {
    let mut net = Net::shards(3, &[0, 1]);
    let before = net.view(3).current_epoch;
    net.kill(0);
    let took = net.run_until(9000, |net| net.owner_among(&[0, 3]) == Some(3));
    assert!(took < 2 * TIMEOUT + 2500, "{took} ms");
    net.run(1000);
    assert_eq!(net.view(3).current_epoch, before + 1);
    assert_eq!(net.view(3).myself().config_epoch, before + 1);
    assert!(matches!(net.hosts[3].role, (_, Role::Primary)));
    assert_eq!(net.view(1).state, crate::ClusterState::Ok);
    // The dead one comes back as a replica of the winner.
    net.restart(0);
    net.run(3000);
    assert_eq!(net.seen(1, 0).primary, Some(net.id(3)));
    let of = ReplicaOf {
        id: net.id(3),
        ip: ip(3),
        port: 7000,
    };
    assert_eq!(net.hosts[0].role.1, Role::Replica { of: Some(of) });
    net.run(6000);
    net.assert_agreement();
}

#[test]
fn the_replica_with_the_most_data_wins() {
    for best in [3, 4] {
        let mut net = Net::shards(3, &[0, 0]);
        net.sync(best, 500);
        net.run(3000);
        net.kill(0);
        net.run_until(9000, |net| {
            net.owner_among(&[0, 3, 4]).is_some_and(|owner| owner != 0)
        });
        assert_eq!(net.owner_among(&[0, 3, 4]), Some(best));
        let other = 7 - best;
        assert!(
            net.logged(other, "(rank #1, offset 100)."),
            "{:?}",
            net.hosts[other].log
        );
        net.run(500);
        assert_eq!(net.seen(1, other).primary, Some(net.id(best)));
        net.assert_agreement();
    }
}

#[test]
fn who_is_told_not_to_stand_does_not() {
    let mut net = Net::shards(3, &[0]);
    net.set_config(3, |config| config.replica_no_failover = true);
    net.run(2000);
    assert_eq!(net.flags(1, 3), "slave,nofailover");
    net.kill(0);
    net.run(15_000);
    assert_eq!(net.owner_among(&[0, 3]), Some(0));
    net.set_config(3, |config| config.replica_no_failover = false);
    net.run_until(3000, |net| net.owner_among(&[0, 3]) == Some(3));
}

#[test]
fn an_unsynced_replica_of_the_winner_has_the_age_of_what_it_had() {
    let mut net = Net::shards(5, &[0, 0]);
    net.sync(3 + 2, 500);
    net.run(2000);
    net.kill(0);
    net.run_until(9000, |net| net.owner_among(&[0, 5, 6]) == Some(5));
    // The other follows the winner, and gets no data of it before it dies, too.
    net.run(500);
    assert_eq!(net.view(6).myself().primary, Some(net.id(5)));
    assert_eq!(net.view(6).myself().repl_offset, 0);
    net.kill(5);
    net.run_until(9000, |net| net.owner_among(&[5, 6]) == Some(6));
}

#[test]
fn an_attempt_that_finds_no_majority_is_repeated() {
    let mut net = Net::shards(3, &[0]);
    net.kill(0);
    net.run_until(9000, |net| net.logged(3, "Start of election delayed"));
    net.cuts.extend([(3, 1), (3, 2)]);
    net.run(TIMEOUT);
    assert!(net.logged(3, "Starting a failover election for epoch"));
    net.cuts.clear();
    let took = net.run_until(20_000, |net| net.owner_among(&[0, 3]) == Some(3));
    assert!(took > TIMEOUT, "not before the retry: {took} ms");
}

#[test]
fn votes_are_asked_for_at_the_very_moment_not_with_a_tick() {
    let mut lone = candidate();
    let planned = words(&lone.tick(100)).join("\n");
    let (_, rest) = planned.split_once("election delayed for ").unwrap();
    let delay: u64 = rest.split(' ').next().unwrap().parse().unwrap();
    let start = lone.now + delay;
    while lone.cluster.poll_timeout() != Some(start) {
        assert!(lone.now < start, "{planned}");
        lone.now = lone.cluster.poll_timeout().unwrap();
        lone.input(Input::Tick);
    }
    lone.now = start;
    let outputs = words(&lone.input(Input::Tick));
    assert!(outputs.contains(&"send auth-req".to_owned()), "{outputs:?}");
}
