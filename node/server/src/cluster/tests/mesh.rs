//! Drivers that form clusters on the loopback interface.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::node::{TestNode, holds_soon, wait_for};
use crate::cluster::{Bus, Pulse, StartError};

/// What all nodes of a cluster must show alike: per node its id, role, epoch and slots.
fn picture(node: &TestNode) -> Vec<String> {
    let text = node.text("CLUSTER NODES");
    let mut lines: Vec<String> = text
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let flags = words[2].replace("myself,", "");
            format!("{} {flags} {} {:?}", words[0], words[6], &words[8..])
        })
        .collect();
    lines.sort();
    lines
}

/// Three nodes that have met, with a third of the slots each.
fn cluster_of_three() -> [TestNode; 3] {
    let nodes = [(); 3].map(|()| TestNode::start());
    let ranges = ["0 5460", "5461 10922", "10923 16383"];
    for (node, range) in nodes.iter().zip(ranges) {
        assert_eq!(
            node.run(&format!("CLUSTER ADDSLOTSRANGE {range}")),
            "+OK\r\n"
        );
    }
    for other in &nodes[1..] {
        assert_eq!(
            nodes[0].run(&format!("CLUSTER MEET 127.0.0.1 {}", other.ports())),
            "+OK\r\n"
        );
    }
    wait_for_agreement(&nodes);
    nodes
}

fn wait_for_agreement(nodes: &[TestNode]) {
    let agreed = holds_soon(|| {
        let first = picture(&nodes[0]);
        first.len() == nodes.len()
            && nodes
                .iter()
                .all(|node| node.info("cluster_state") == "ok" && picture(node) == first)
    });
    let views = || {
        nodes
            .iter()
            .map(|node| node.text("CLUSTER INFO") + &node.text("CLUSTER NODES"))
    };
    assert!(
        agreed,
        "no agreement:\n{}",
        views().collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn three_nodes_meet_agree_and_survive_a_restart() {
    let mut nodes = cluster_of_three();
    for node in &nodes {
        assert_eq!(node.info("cluster_slots_ok"), "16384");
        assert_eq!(node.info("cluster_known_nodes"), "3");
        assert_eq!(node.info("cluster_size"), "3");
        wait_for("every pair has a link each way", || {
            node.run("CLUSTER LINKS").starts_with("*4\r\n")
        });
        assert_eq!(node.handle().connections(), 4);
    }
    let (before, ids) = (picture(&nodes[0]), nodes.each_ref().map(TestNode::id));
    nodes[1].stop();
    nodes[1].restart();
    wait_for_agreement(&nodes);
    assert_eq!(picture(&nodes[1]), before);
    nodes.iter_mut().for_each(TestNode::stop);
    nodes.iter_mut().for_each(TestNode::restart);
    wait_for_agreement(&nodes);
    assert_eq!(picture(&nodes[2]), before);
    assert_eq!(nodes.each_ref().map(TestNode::id), ids);
}

#[test]
fn a_killed_node_is_marked_failed_and_comes_back() {
    let mut nodes = cluster_of_three();
    let gone = nodes[2].id();
    nodes[2].stop();
    let flags = |node: &TestNode| {
        let text = node.text("CLUSTER NODES");
        let line = text
            .lines()
            .find(|line| line.starts_with(&gone))
            .expect("it is known");
        line.split(' ').nth(2).expect("has flags").to_owned()
    };
    wait_for("the others know it", || {
        nodes[..2].iter().all(|node| flags(node) == "master,fail")
    });
    assert_eq!(nodes[0].info("cluster_state"), "fail");
    assert_eq!(nodes[0].info("cluster_slots_fail"), "5461");
    nodes[2].restart();
    wait_for_agreement(&nodes);
}

#[test]
fn nodes_conf_has_one_owner() {
    let node = TestNode::start();
    assert!(matches!(node.open_again(), Err(StartError::NodesConf(_))));
    // Also after the file has been replaced.
    assert_eq!(node.run("CLUSTER BUMPEPOCH"), "+BUMPED 1\r\n");
    assert!(matches!(node.open_again(), Err(StartError::NodesConf(_))));
}

#[test]
fn the_bus_port_has_one_owner() {
    let taken = TestNode::start();
    let bus_port = taken.bus_port;
    let other = TestNode::start();
    let config = other.config_with(&format!(
        "cluster-port {bus_port}\ncluster-config-file other.conf"
    ));
    let error = Bus::open(&config).err().expect("the port is taken");
    assert_eq!(
        error.to_string(),
        format!("Failed listening on port {bus_port} (cluster), aborting.")
    );
}

#[test]
fn a_broken_nodes_conf_stops_the_start() {
    let mut node = TestNode::start();
    node.stop();
    std::fs::write(node.dir.path().join("nodes.conf"), "nonsense\n").expect("writes");
    let error = node.open_again().err().expect("it cannot be read");
    let text = error.to_string();
    assert!(
        text.starts_with("Unrecoverable error: corrupted cluster config file"),
        "{text}"
    );
}

#[test]
fn a_node_that_cannot_write_its_configuration_ends() {
    let node = TestNode::start();
    assert_eq!(node.run("CLUSTER BUMPEPOCH"), "+BUMPED 1\r\n");
    std::fs::remove_dir_all(node.dir.path()).expect("removes");
    assert_eq!(
        node.run("CLUSTER SAVECONFIG"),
        "-ERR error saving the cluster node config: No such file or directory\r\n"
    );
    assert!(!*node.seen.died.lock());
    assert_eq!(
        node.run("CLUSTER ADDSLOTS 1"),
        "-ERR the cluster thread has ended\r\n"
    );
    wait_for("the server is told", || *node.seen.died.lock());
}

#[test]
fn bytes_that_are_no_frame_close_the_link_and_nothing_else() {
    let node = TestNode::start();
    let before = node.text("CLUSTER NODES");
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[b'R', b'C', b'm', b'b', 0, 0, 0, 1, 0, 1],
        &{
            let mut huge = *b"RCmb\xff\xff\xff\xff\x00\x01\x00\x00\x00\x04\x00\x00";
            huge[14] = 0xff;
            huge
        },
    ] {
        let mut stranger =
            TcpStream::connect(("127.0.0.1", node.bus_port)).expect("the bus listens");
        stranger.write_all(bytes).expect("writes");
        let mut rest = Vec::new();
        // Closed with unread input it may be a reset; either way the link is gone.
        let _ = stranger.read_to_end(&mut rest);
        assert!(rest.is_empty());
    }
    wait_for("all three are counted", || node.handle().bad_frames() == 3);
    assert_eq!(node.text("CLUSTER NODES"), before);
    assert_eq!(node.handle().connections(), 0);
}

#[test]
fn a_node_whose_worker_hangs_is_marked_failed() {
    let nodes = [
        TestNode::start_with("cluster-stall-timeout 1000"),
        TestNode::start(),
        TestNode::start(),
    ];
    for (node, range) in nodes.iter().zip(["0 5460", "5461 10922", "10923 16383"]) {
        node.run(&format!("CLUSTER ADDSLOTSRANGE {range}"));
        node.run(&format!("CLUSTER MEET 127.0.0.1 {}", nodes[0].ports()));
    }
    wait_for_agreement(&nodes);
    let hung = nodes[0].id();
    let failed = |node: &TestNode| {
        let text = node.text("CLUSTER NODES");
        text.lines()
            .any(|line| line.starts_with(&hung) && line.contains(" master,fail "))
    };
    *nodes[0].seen.pulses.lock() = vec![Pulse {
        progress: 7,
        busy: true,
    }];
    wait_for("the others give it up", || nodes[1..].iter().all(failed));
    *nodes[0].seen.pulses.lock() = vec![Pulse {
        progress: 8,
        busy: false,
    }];
    wait_for_agreement(&nodes);
}

#[test]
fn a_changed_configuration_reaches_the_others() {
    let nodes = cluster_of_three();
    let config = nodes[0].config_with("cluster-announce-hostname one.example");
    nodes[0].handle().config_changed(&config);
    assert!(nodes[0].text("CLUSTER NODES").contains(",one.example "));
    wait_for("the others know the name", || {
        nodes[1..]
            .iter()
            .all(|node| node.text("CLUSTER NODES").contains(",one.example "))
    });
}
