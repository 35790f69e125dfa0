//! CLUSTER FAILOVER in its three modes.

use super::lone::{Lone, header, id, words};
use super::*;
use crate::frame::{Body, Frame, FrameType, MessageFlags};

const PLAIN: Admin = Admin::Failover(FailoverMode::Plain);

/// What the primary's driver does when it is told to pause.
fn report_pause(net: &mut Net, at: usize, offset: u64) {
    let until_ms = net.now + 10_000;
    net.input(at, Input::WritesPaused { until_ms, offset });
    net.deliver();
}

#[test]
fn a_plain_failover_waits_for_the_primarys_last_offset() {
    let mut net = Net::shards(3, &[0]);
    net.admin(3, PLAIN);
    assert!(net.hosts[0].paused);
    net.run(500);
    assert!(
        !net.logged(3, "Received replication offset"),
        "writes may be under way"
    );
    // The pause was asked for half a second ago.
    net.now -= 500;
    report_pause(&mut net, 0, 150);
    net.now += 500;
    net.run(500);
    assert!(net.logged(
        3,
        "Received replication offset for paused master manual failover: 150"
    ));
    assert_eq!(
        net.owner_among(&[0, 3]),
        Some(0),
        "the data is not there yet"
    );
    net.sync(3, 150);
    net.run_until(300, |net| net.owner_among(&[0, 3]) == Some(3));
    net.run(500);
    assert!(
        !net.hosts[0].paused,
        "clients are let go once they would be redirected"
    );
    assert_eq!(net.seen(1, 0).primary, Some(net.id(3)));
    net.run(5000);
    net.assert_agreement();
}

#[test]
fn the_pause_ends_after_the_change_of_role() {
    // This node is `a`, a primary; its replica `b` asks.
    let mut lone = Lone::from_file(&format!(
        "{} 10.0.0.0:7000@17000 myself,master - 0 0 1 connected 0-16383\n\
         {} 10.0.0.1:7000@17000 slave {} 0 0 1 connected\n\
         vars currentEpoch 5 lastVoteEpoch 0\n",
        id('a'),
        id('b'),
        id('a'),
    ));
    let mut replica = header(FrameType::ManualFailoverStart, 'b');
    replica.primary = Some(id('a'));
    let start = Frame {
        header: replica.clone(),
        body: Body::Empty,
    };
    // The played peer has called itself a primary until now.
    replica.kind = FrameType::Pong;
    lone.frame(&super::lone::heartbeat(replica, vec![]));
    let since_start = lone.now - START;
    let requested = format!("log Manual failover requested by replica {}.", id('b'));
    let pause = format!("pause for {} ms", since_start + 10_000);
    assert_eq!(words(&lone.frame(&start)), [requested, pause]);
    let another = Input::WritesPaused {
        until_ms: START,
        offset: 70,
    };
    assert_eq!(words(&lone.input(another)), [""; 0], "of another pause");
    let outputs = lone.input(Input::WritesPaused {
        until_ms: START + since_start + 10_000,
        offset: 70,
    });
    let Some(Output::Send { frame, .. }) = outputs.first() else {
        panic!("{outputs:?}")
    };
    let ping = Frame::decode(frame).unwrap().unwrap().header;
    assert_eq!(ping.kind, FrameType::Ping);
    assert!(ping.message_flags.contains(MessageFlags::PAUSED));
    assert_eq!(ping.repl_offset, 70);
    let mut won = header(FrameType::Pong, 'b');
    (won.config_epoch, won.current_epoch) = (6, 6);
    won.slots = slots("0-16383");
    let outputs = words(&lone.frame(&super::lone::heartbeat(won, vec![])));
    let role = outputs.iter().position(|word| word.starts_with("role"));
    let view = outputs.iter().position(|word| word == "view");
    let resume = outputs.iter().position(|word| word == "resume");
    assert!(
        view < role && role < resume && view.is_some(),
        "{outputs:?}"
    );
}

#[test]
fn both_sides_give_up_after_five_seconds() {
    let mut net = Net::shards(3, &[0]);
    net.admin(3, PLAIN);
    net.run(4900);
    assert!(net.hosts[0].paused);
    net.run(400);
    assert!(!net.hosts[0].paused);
    assert!(
        net.logged(0, "Manual failover timed out.") && net.logged(3, "Manual failover timed out.")
    );
    // What comes too late starts nothing.
    net.sync(3, 1_000_000);
    net.now -= 5300;
    let until_ms = net.now + 10_000;
    net.now += 5300;
    net.input(
        0,
        Input::WritesPaused {
            until_ms,
            offset: 150,
        },
    );
    net.run(3000);
    assert_eq!(net.owner_among(&[0, 3]), Some(0));
}

#[test]
fn a_forced_failover_asks_the_voters_only() {
    let mut net = Net::shards(3, &[0]);
    net.cuts.push((0, 3));
    let took = {
        net.admin(3, Admin::Failover(FailoverMode::Force));
        net.run_until(1000, |net| net.seen(1, 3).slot_count > 0)
    };
    assert!(took < 200, "{took} ms");
    net.cuts.clear();
    net.run(5000);
    assert_eq!(net.owner_among(&[0, 3]), Some(3));
    net.assert_agreement();
}

#[test]
fn a_takeover_asks_nobody() {
    let mut net = Net::shards(3, &[0]);
    for other in 0..3 {
        net.cuts.push((3, other));
    }
    let epoch = net.view(3).current_epoch;
    net.admin(3, Admin::Failover(FailoverMode::Takeover));
    assert_eq!(net.view(3).myself().slot_count, 5461);
    assert_eq!(net.view(3).my_epoch, epoch + 1);
    net.cuts.clear();
    net.run(9000);
    assert_eq!(net.owner_among(&[0, 3]), Some(3));
    net.assert_agreement();
}

#[test]
fn refusals() {
    let mut net = Net::shards(3, &[0]);
    let refused = |net: &mut Net, at: usize, mode| {
        let result = net.try_admin(at, Admin::Failover(mode));
        result.unwrap_err().to_string()
    };
    assert_eq!(
        refused(&mut net, 0, FailoverMode::Force),
        "ERR You should send CLUSTER FAILOVER to a replica"
    );
    net.kill(0);
    assert_eq!(
        refused(&mut net, 3, FailoverMode::Plain),
        "ERR Master is down or failed, please use CLUSTER FAILOVER FORCE"
    );
    let lost = net.hosts[3].cluster.nodes_conf();
    let primary = net.id(0).to_string();
    let without: String = lost
        .lines()
        .filter(|line| !line.starts_with(&primary))
        .map(|line| format!("{line}\n"))
        .collect();
    net.hosts[3].disk = without;
    net.kill(3);
    net.restart(3);
    assert_eq!(net.hosts[3].role.1, Role::Replica { of: None });
    assert_eq!(
        refused(&mut net, 3, FailoverMode::Takeover),
        "ERR I'm a replica but my master is unknown to me"
    );
}
