//! What survives a restart.

use super::*;
use crate::ClusterState;

#[test]
fn id_epochs_and_slots_survive() {
    let mut net = Net::primaries(3);
    let (before, id) = (net.view(1), net.id(1));
    net.kill(1);
    net.run(500);
    net.restart(1);
    let after = net.view(1);
    assert_eq!(after.myself().id, id);
    assert_eq!(
        (after.current_epoch, after.my_epoch),
        (before.current_epoch, before.my_epoch)
    );
    assert_eq!(
        after.slots_of(after.myself()),
        before.slots_of(before.myself())
    );
    assert_eq!(after.state, ClusterState::Fail(crate::FailReason::Starting));
    let ok = net.run_until(5000, |net| net.view(1).state.is_ok());
    assert!((2000..2200).contains(&ok), "{ok}");
    net.run(1000);
    net.assert_agreement();
    assert_eq!(net.flags(0, 1), "master", "half a second is no failure");
}

#[test]
fn all_may_restart_at_once() {
    let mut net = Net::primaries(5);
    (0..5).for_each(|at| net.kill(at));
    net.run(60_000);
    (0..5).for_each(|at| net.restart(at));
    net.run(3000);
    net.assert_agreement();
    assert!((0..5).all(|at| net.view(at).state.is_ok()));
}

#[test]
fn the_file_is_written_back_as_it_was_read() {
    let mut net = Net::primaries(3);
    let disk = net.hosts[0].disk.clone();
    net.kill(0);
    net.restart(0);
    let still = |text: &str| {
        // Times and link states are of the moment.
        let fields = |line: &str| {
            let mut fields: Vec<String> = line.split(' ').map(str::to_owned).collect();
            if fields.len() > 7 {
                fields.drain(4..6);
                fields.remove(5);
            }
            fields
        };
        text.lines().map(fields).collect::<Vec<_>>()
    };
    assert_eq!(still(&net.hosts[0].disk), still(&disk));
}

#[test]
fn suspicion_does_not_survive_but_a_verdict_does() {
    let (a, b, c) = ("a".repeat(40), "b".repeat(40), "c".repeat(40));
    let file = format!(
        "{a} 10.0.0.0:7000@17000 myself,master - 0 0 1 connected 0-5\n\
         {b} 10.0.0.1:7000@17000 master,fail? - 5 5 2 connected 6\n\
         {c} 10.0.0.2:7000@17000 master,fail - 5 5 7 disconnected 7\n\
         vars currentEpoch 3 lastVoteEpoch 2\n"
    );
    let mut cluster = Cluster::load(&file, config(), 1, START).unwrap();
    let view = cluster.view();
    let flags: Vec<_> = view
        .nodes
        .iter()
        .map(|node| node.flags.to_words())
        .collect();
    assert_eq!(flags, ["myself,master", "master", "master,fail"]);
    assert_eq!(
        (view.current_epoch, view.last_vote_epoch),
        (7, 2),
        "never behind a configEpoch"
    );
    assert_eq!(view.nodes[1].pong_received, START);
}

#[test]
fn keys_in_slots_of_nobody_make_them_this_nodes() {
    let (a, b) = ("a".repeat(40), "b".repeat(40));
    let file = format!(
        "{a} 10.0.0.0:7000@17000 myself,master - 0 0 1 connected 0-5\n\
         {b} 10.0.0.1:7000@17000 master - 0 0 2 connected 6-9\n"
    );
    let mut cluster = Cluster::load(&file, config(), 1, START).unwrap();
    cluster.data_loaded(START, &slots("3 7 12"));
    let view = cluster.view();
    assert_eq!(view.slots_of(view.myself()), *slots("0-5 12"));
    assert_eq!(
        view.importing.keys().copied().collect::<Vec<_>>(),
        [slot(7)]
    );
    let line = view.node_line(view.myself(), false);
    assert!(line.ends_with(&format!(" 0-5 12 [7-<-{b}]")), "{line}");
}

#[test]
fn a_file_that_makes_no_sense_is_refused() {
    let a = "a".repeat(40);
    let error = |file: &str| {
        Cluster::load(file, config(), 1, START)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(error("junk"), "line 1: 1 fields are too few for a node");
    let own = format!("{a} :0@0 myself,slave {a} 0 0 0 connected\n");
    assert_eq!(error(&own), "this node is its own primary");
}
