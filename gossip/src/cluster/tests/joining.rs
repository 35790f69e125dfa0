//! Handshakes, and how news of nodes gets around.

use super::*;
use crate::Route;

#[test]
fn two_strangers_meet() {
    let mut net = Net::strangers(2);
    net.meet(0, 1);
    net.run(100);
    // The handshake is complete on the side that met; the other learns the id with its own PONG.
    net.run(300);
    net.assert_agreement();
    assert_eq!(net.view(0).nodes.len(), 2);
    for (at, other) in [(0, 1), (1, 0)] {
        let seen = net.seen(at, other);
        assert_eq!(
            (seen.ip, seen.port, seen.bus_port),
            (Some(ip(other)), 7000, 17000)
        );
        assert!(seen.connected);
    }
    assert_eq!(
        net.view(1).myself().ip,
        Some(ip(1)),
        "the MEET told it its own address"
    );
    assert_eq!(
        net.view(0).myself().ip,
        Some(ip(0)),
        "the first PING of the other did"
    );
}

#[test]
fn two_may_meet_each_other_at_once() {
    let mut net = Net::strangers(2);
    net.meet(0, 1);
    net.meet(1, 0);
    net.run(1000);
    net.assert_agreement();
    assert_eq!((net.view(0).nodes.len(), net.view(1).nodes.len()), (2, 2));
    assert!(net.seen(0, 1).connected && net.seen(1, 0).connected);
}

#[test]
fn gossip_introduces_everybody_to_everybody() {
    let mut net = Net::strangers(8);
    net.join_all();
    net.assert_agreement();
    for at in 0..8 {
        assert_eq!(net.view(at).nodes.len(), 8);
        assert!(
            net.view(at).nodes.iter().all(|node| node.connected),
            "host {at}"
        );
        assert_eq!(
            net.view(at).links.len(),
            14,
            "one link to, one from each other"
        );
    }
}

#[test]
fn fresh_primaries_end_up_with_different_epochs() {
    let mut net = Net::strangers(6);
    net.join_all();
    net.run(5000);
    net.assert_agreement();
    let mut epochs: Vec<u64> = net
        .view(0)
        .nodes
        .iter()
        .map(|node| node.config_epoch)
        .collect();
    epochs.sort_unstable();
    epochs.dedup();
    assert_eq!(epochs.len(), 6);
    let before = net.view(0).current_epoch;
    net.run(20_000);
    assert_eq!(
        net.view(0).current_epoch,
        before,
        "and that is the end of it"
    );
}

#[test]
fn a_cluster_of_primaries_serves_all_slots() {
    let mut net = Net::primaries(3);
    net.assert_agreement();
    for at in 0..3 {
        let view = net.view(at);
        assert_eq!((view.size, view.current_epoch), (3, 3));
        assert_eq!(view.my_epoch, at as u64 + 1);
        let mine = Slot::all()
            .filter(|&slot| view.route(slot) == Route::Mine)
            .count();
        assert_eq!(mine, view.myself().slot_count);
    }
    let view = net.view(0);
    let Route::Remote { owner } = view.route(slot(16383)) else {
        panic!()
    };
    assert_eq!(owner.id, net.id(2));
}

#[test]
fn nobody_at_an_address_ends_the_handshake() {
    let mut net = Net::strangers(1);
    net.admin(
        0,
        Admin::Meet {
            ip: ip(9),
            port: 7000,
            bus_port: 17000,
        },
    );
    assert_eq!(net.view(0).nodes[1].flags.to_words(), "handshake");
    assert!(!net.hosts[0].disk.contains("handshake"));
    net.run(TIMEOUT);
    assert_eq!(net.view(0).nodes.len(), 2);
    net.run(300);
    assert_eq!(net.view(0).nodes.len(), 1);
}

#[test]
fn a_node_that_meets_itself_stays_alone() {
    let mut net = Net::strangers(1);
    net.meet(0, 0);
    net.run(500);
    assert_eq!(net.view(0).nodes.len(), 1);
    net.assert_agreement();
}

#[test]
fn meeting_a_known_node_again_changes_nothing() {
    let mut net = Net::primaries(3);
    let before = net.view(0).current_epoch;
    net.meet(0, 1);
    net.meet(2, 1);
    net.run(3000);
    net.assert_agreement();
    assert_eq!(
        (net.view(0).nodes.len(), net.view(0).current_epoch),
        (3, before)
    );
}

#[test]
fn two_handshakes_with_one_address_are_one() {
    let mut net = Net::strangers(2);
    net.kill(1);
    net.meet(0, 1);
    net.meet(0, 1);
    assert_eq!(net.view(0).nodes.len(), 2);
}

#[test]
fn names_and_addresses_that_are_announced_get_around() {
    let mut net = Net::primaries(3);
    net.set_config(1, |config| {
        config.announce_hostname = "one.example".to_owned();
        config.announce_human_nodename = "number-one".to_owned();
        config.replica_no_failover = true;
    });
    net.run(3000);
    for at in 0..3 {
        let seen = net.seen(at, 1);
        assert_eq!(
            (&*seen.hostname, &*seen.human_name),
            ("one.example", "number-one")
        );
        assert!(seen.flags.contains(NodeFlags::NOFAILOVER));
        assert!(net.hosts[at].disk.contains(":7000@17000,one.example "));
    }
    net.set_config(1, |config| config.announce_hostname.clear());
    net.run(3000);
    assert_eq!(&*net.seen(0, 1).hostname, "", "taken back");
}

#[test]
fn an_announced_port_replaces_the_old_one() {
    let mut net = Net::primaries(3);
    net.set_config(1, |config| config.announce_port = 7999);
    net.run(3000);
    assert_eq!((net.seen(0, 1).port, net.seen(2, 1).port), (7999, 7999));
    assert!(
        net.hosts[0]
            .log
            .iter()
            .any(|line| line.ends_with(", now 10.0.0.1:7999"))
    );
    net.assert_agreement();
}

#[test]
fn messages_reach_all_or_the_shard() {
    let mut net = Net::primaries(3);
    let id = net.id(0);
    net.hosts.push(Net::strangers(4).hosts.pop().unwrap());
    net.meet(3, 0);
    net.run(2000);
    net.admin(
        3,
        Admin::Replicate {
            primary: id,
            dataset_empty: true,
        },
    );
    net.run(2000);
    let publish = |sharded| Admin::Publish {
        sharded,
        channel: "c".into(),
        message: "m".into(),
    };
    net.admin(0, publish(false));
    net.admin(0, publish(true));
    net.admin(3, publish(true));
    let message = |sharded| (sharded, "c".to_owned(), "m".to_owned());
    assert_eq!(net.hosts[0].published, [message(true)]);
    assert_eq!(net.hosts[1].published, [message(false)]);
    assert_eq!(net.hosts[2].published, [message(false)]);
    assert_eq!(net.hosts[3].published, [message(false), message(true)]);
}
