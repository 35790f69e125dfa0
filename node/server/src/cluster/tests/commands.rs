//! Every subcommand and its errors, as Redis 7.0.15 answers them in the same state.

use hexad_gossip::{PrimaryLink, ReplicationState};
use hexad_resp::Proto;

use super::node::{TestNode, wait_for};
use crate::cluster::testing::Words;

const BOGUS: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// Runs commands in order and compares each reply. `{me}` stands for the node's id; an expected
/// error is written without its `-ERR ` and line end, another simple reply without its line end.
fn transcript(node: &TestNode, lines: &[(&str, &str)]) {
    let me = node.id();
    let fill = |text: &str| text.replace("{me}", &me).replace("{bogus}", BOGUS);
    for (line, expected) in lines {
        let reply = node.run(&fill(line));
        let shown = reply.trim_end_matches("\r\n");
        let shown = shown.strip_prefix("-ERR ").unwrap_or(shown);
        assert_eq!(shown, fill(expected), "{line}");
    }
}

#[test]
fn arguments_that_do_not_fit() {
    let arity = |name: &str| format!("wrong number of arguments for 'cluster|{name}' command");
    let node = TestNode::start();
    for line in [
        "MEET",
        "MEET 127.0.0.1",
        "NODES x",
        "SLOTS x",
        "SHARDS x",
        "INFO x",
        "MYID x",
        "LINKS x",
        "KEYSLOT",
        "KEYSLOT a b",
        "COUNTKEYSINSLOT",
        "GETKEYSINSLOT 5",
        "ADDSLOTS",
        "DELSLOTS",
        "ADDSLOTSRANGE",
        "ADDSLOTSRANGE 1",
        "ADDSLOTSRANGE 1 2 3",
        "DELSLOTSRANGE 5",
        "DELSLOTSRANGE 5 6 7",
        "FLUSHSLOTS x",
        "BUMPEPOCH x",
        "SET-CONFIG-EPOCH",
        "SAVECONFIG x",
        "SETSLOT",
        "SETSLOT 1",
        "FORGET",
        "REPLICATE",
        "REPLICAS",
        "SLAVES a b",
        "COUNT-FAILURE-REPORTS",
        "HELP x",
    ] {
        let name = line.split(' ').next().unwrap_or_default().to_lowercase();
        transcript(&node, &[(&format!("CLUSTER {line}"), &arity(&name))]);
    }
    let unknown = |name: &str| {
        format!("unknown subcommand or wrong number of arguments for '{name}'. Try CLUSTER HELP.")
    };
    transcript(
        &node,
        &[
            ("CLUSTER FOO", "unknown subcommand 'FOO'. Try CLUSTER HELP."),
            ("CLUSTER MEET 127.0.0.1 7000 17000 3", &unknown("MEET")),
            ("CLUSTER RESET SOFT x", &unknown("RESET")),
            ("CLUSTER FAILOVER FORCE x", &unknown("FAILOVER")),
            ("CLUSTER RESET FOO", "syntax error"),
            ("CLUSTER FAILOVER FOO", "syntax error"),
            (
                "CLUSTER FAILOVER",
                "You should send CLUSTER FAILOVER to a replica",
            ),
            (
                "CLUSTER FAILOVER FORCE",
                "You should send CLUSTER FAILOVER to a replica",
            ),
        ],
    );
}

#[test]
fn quoted_arguments_cannot_break_the_reply() {
    let node = TestNode::start();
    let run = |parts: &[&[u8]]| {
        let words = Words::from_parts([&b"CLUSTER"[..]].into_iter().chain(parts.iter().copied()));
        node.run_words(&words, Proto::Resp2)
    };
    assert_eq!(
        run(&[b"FORGET", b"ab\r\ncd"]),
        "-ERR Unknown node ab  cd\r\n"
    );
    assert_eq!(run(&[b"FORGET", b"a\0b"]), "-ERR Unknown node a\r\n");
    assert_eq!(
        run(&[b"MEET", b"ab\r\ncd", b"1"]),
        "-ERR Invalid node address specified: ab  cd:1\r\n"
    );
    assert_eq!(
        run(&[b"fo\r\no"]),
        "-ERR unknown subcommand 'fo  o'. Try CLUSTER HELP.\r\n"
    );
}

#[test]
fn meet_checks_the_address() {
    let bad = |address: &str| format!("Invalid node address specified: {address}");
    transcript(
        &TestNode::start(),
        &[
            (
                "CLUSTER MEET 127.0.0.1 a",
                "Invalid TCP base port specified: a",
            ),
            (
                "CLUSTER MEET 127.0.0.1 99999999999999999999",
                "Invalid TCP base port specified: 99999999999999999999",
            ),
            (
                "CLUSTER MEET 127.0.0.1 7000 a",
                "Invalid TCP bus port specified: a",
            ),
            (
                "CLUSTER MEET ::1 65535 1x",
                "Invalid TCP bus port specified: 1x",
            ),
            ("CLUSTER MEET 127.0.0.1 0", &bad("127.0.0.1:0")),
            ("CLUSTER MEET 127.0.0.1 -1", &bad("127.0.0.1:-1")),
            ("CLUSTER MEET 127.0.0.1 70000", &bad("127.0.0.1:70000")),
            ("CLUSTER MEET 127.0.0.1 60000", &bad("127.0.0.1:60000")),
            ("CLUSTER MEET 127.0.0.1 7000 0", &bad("127.0.0.1:7000")),
            ("CLUSTER MEET 127.0.0.1 7000 70000", &bad("127.0.0.1:7000")),
            ("CLUSTER MEET localhost 7000", &bad("localhost:7000")),
            ("CLUSTER MEET 127.0.0.01 7000", &bad("127.0.0.01:7000")),
            ("CLUSTER MEET  7000", &bad(":7000")),
            ("CLUSTER MEET :: 0", &bad(":::0")),
            ("CLUSTER MEET ::1 65535", &bad("::1:65535")),
        ],
    );
}

#[test]
fn slots_are_taken_and_given_up() {
    let invalid = "Invalid or out of range slot";
    transcript(
        &TestNode::start(),
        &[
            ("CLUSTER ADDSLOTS a", invalid),
            ("CLUSTER ADDSLOTS -1", invalid),
            ("CLUSTER ADDSLOTS 16384", invalid),
            ("CLUSTER ADDSLOTS 01", invalid),
            ("CLUSTER ADDSLOTS 1 1", "Slot 1 specified multiple times"),
            ("CLUSTER ADDSLOTS 1", "+OK"),
            ("CLUSTER ADDSLOTS 1 a", invalid),
            ("CLUSTER ADDSLOTS 1 2", "Slot 1 is already busy"),
            ("CLUSTER ADDSLOTS 2 2", "Slot 2 specified multiple times"),
            ("CLUSTER ADDSLOTS 2 1", "Slot 1 is already busy"),
            ("CLUSTER ADDSLOTS 2 1 99999", invalid),
            ("CLUSTER DELSLOTS 5", "Slot 5 is already unassigned"),
            ("CLUSTER DELSLOTS 1 5", "Slot 5 is already unassigned"),
            ("CLUSTER DELSLOTS 1 1", "Slot 1 specified multiple times"),
            ("CLUSTER DELSLOTS 5 5", "Slot 5 is already unassigned"),
            ("CLUSTER ADDSLOTSRANGE 1 2", "Slot 1 is already busy"),
            ("CLUSTER ADDSLOTSRANGE 1 2 9 8", "Slot 1 is already busy"),
            ("CLUSTER ADDSLOTSRANGE 1 2 9 a", "Slot 1 is already busy"),
            (
                "CLUSTER ADDSLOTSRANGE 5 4",
                "start slot number 5 is greater than end slot number 4",
            ),
            ("CLUSTER ADDSLOTSRANGE a 4", invalid),
            ("CLUSTER ADDSLOTSRANGE 4 16384", invalid),
            (
                "CLUSTER ADDSLOTSRANGE 5 6 6 7",
                "Slot 6 specified multiple times",
            ),
            (
                "CLUSTER ADDSLOTSRANGE 2 2 6 5",
                "start slot number 6 is greater than end slot number 5",
            ),
            ("CLUSTER ADDSLOTSRANGE 5 6 8 9", "+OK"),
            ("CLUSTER DELSLOTSRANGE 5 7", "Slot 7 is already unassigned"),
            (
                "CLUSTER DELSLOTSRANGE 5 6 6 6",
                "Slot 6 specified multiple times",
            ),
            ("CLUSTER DELSLOTSRANGE 5 6", "+OK"),
            ("CLUSTER DELSLOTS 8 9", "+OK"),
            ("CLUSTER FLUSHSLOTS", "+OK"),
            ("CLUSTER DELSLOTS 1", "Slot 1 is already unassigned"),
        ],
    );
}

#[test]
fn epochs_and_saving() {
    transcript(
        &TestNode::start(),
        &[
            (
                "CLUSTER SET-CONFIG-EPOCH a",
                "value is not an integer or out of range",
            ),
            (
                "CLUSTER SET-CONFIG-EPOCH 99999999999999999999",
                "value is not an integer or out of range",
            ),
            (
                "CLUSTER SET-CONFIG-EPOCH -1",
                "Invalid config epoch specified: -1",
            ),
            ("CLUSTER SET-CONFIG-EPOCH 0", "+OK"),
            ("CLUSTER SET-CONFIG-EPOCH 3", "+OK"),
            (
                "CLUSTER SET-CONFIG-EPOCH 5",
                "Node config epoch is already non-zero",
            ),
            ("CLUSTER BUMPEPOCH", "+STILL 3"),
            ("CLUSTER SAVECONFIG", "+OK"),
        ],
    );
    transcript(
        &TestNode::start(),
        &[
            ("CLUSTER BUMPEPOCH", "+BUMPED 1"),
            ("cluster bumpepoch", "+STILL 1"),
        ],
    );
}

#[test]
fn set_slot_on_a_lone_node() {
    let action = "Invalid CLUSTER SETSLOT action or number of arguments. Try CLUSTER HELP";
    let not_mine = "I'm not the owner of hash slot 1";
    transcript(
        &TestNode::start(),
        &[
            ("CLUSTER SETSLOT a STABLE", "Invalid or out of range slot"),
            ("CLUSTER SETSLOT -1 STABLE", "Invalid or out of range slot"),
            ("CLUSTER SETSLOT 1 FOO", action),
            ("CLUSTER SETSLOT 1 FOO a", action),
            ("CLUSTER SETSLOT 1 STABLE x", action),
            ("CLUSTER SETSLOT 1 MIGRATING", action),
            ("CLUSTER SETSLOT 1 NODE {me} x", action),
            ("CLUSTER SETSLOT 1 STABLE", "+OK"),
            ("CLUSTER SETSLOT 1 MIGRATING {bogus}", not_mine),
            ("CLUSTER SETSLOT 1 MIGRATING abc", not_mine),
            ("CLUSTER SETSLOT 1 MIGRATING {me}", not_mine),
            (
                "CLUSTER SETSLOT 1 IMPORTING {bogus}",
                "I don't know about node {bogus}",
            ),
            (
                "CLUSTER SETSLOT 1 IMPORTING abc",
                "I don't know about node abc",
            ),
            ("CLUSTER SETSLOT 1 NODE {bogus}", "Unknown node {bogus}"),
            ("CLUSTER SETSLOT 1 NODE abc", "Unknown node abc"),
            ("CLUSTER ADDSLOTS 1", "+OK"),
            (
                "CLUSTER SETSLOT 1 IMPORTING {me}",
                "I'm already the owner of hash slot 1",
            ),
            (
                "CLUSTER SETSLOT 1 IMPORTING abc",
                "I'm already the owner of hash slot 1",
            ),
            (
                "CLUSTER SETSLOT 1 MIGRATING {bogus}",
                "I don't know about node {bogus}",
            ),
            (
                "CLUSTER SETSLOT 1 MIGRATING abc",
                "I don't know about node abc",
            ),
            ("CLUSTER SETSLOT 1 node {me}", "+OK"),
        ],
    );
}

#[test]
fn commands_about_a_node() {
    transcript(
        &TestNode::start(),
        &[
            ("CLUSTER FORGET abc", "Unknown node abc"),
            ("CLUSTER FORGET {bogus}", "Unknown node {bogus}"),
            (
                "CLUSTER FORGET {me}",
                "I tried hard but I can't forget myself...",
            ),
            ("CLUSTER REPLICATE abc", "Unknown node abc"),
            ("CLUSTER REPLICATE {bogus}", "Unknown node {bogus}"),
            ("CLUSTER REPLICATE {me}", "Can't replicate myself"),
            ("CLUSTER REPLICAS abc", "Unknown node abc"),
            ("CLUSTER REPLICAS {bogus}", "Unknown node {bogus}"),
            ("CLUSTER REPLICAS {me}", "*0"),
            ("CLUSTER SLAVES {me}", "*0"),
            ("CLUSTER COUNT-FAILURE-REPORTS abc", "Unknown node abc"),
            (
                "CLUSTER COUNT-FAILURE-REPORTS {bogus}",
                "Unknown node {bogus}",
            ),
            ("CLUSTER COUNT-FAILURE-REPORTS {me}", ":0"),
            ("CLUSTER LINKS", "*0"),
        ],
    );
}

#[test]
fn keys_and_slots() {
    let mut node = TestNode::start();
    node.keys.0 = vec!["bar", "x{bar}", "foo"];
    let number = "value is not an integer or out of range";
    let range = "Invalid slot or number of keys";
    transcript(
        &node,
        &[
            ("CLUSTER KEYSLOT foo", ":12182"),
            ("CLUSTER KEYSLOT ", ":0"),
            ("CLUSTER COUNTKEYSINSLOT -1", "Invalid slot"),
            ("CLUSTER COUNTKEYSINSLOT 16384", "Invalid slot"),
            ("CLUSTER COUNTKEYSINSLOT a", number),
            ("CLUSTER COUNTKEYSINSLOT 5061", ":2"),
            ("CLUSTER GETKEYSINSLOT 5 a", number),
            ("CLUSTER GETKEYSINSLOT a 5", number),
            ("CLUSTER GETKEYSINSLOT 5 -1", range),
            ("CLUSTER GETKEYSINSLOT 16384 1", range),
            ("CLUSTER GETKEYSINSLOT -1 -1", range),
            ("CLUSTER GETKEYSINSLOT 5 10", "*0"),
            ("CLUSTER GETKEYSINSLOT 5061 0", "*0"),
            ("CLUSTER GETKEYSINSLOT 5061 1", "*1\r\n$3\r\nbar"),
            (
                "CLUSTER GETKEYSINSLOT 5061 9223372036854775807",
                "*2\r\n$3\r\nbar\r\n$6\r\nx{bar}",
            ),
            (
                "CLUSTER FLUSHSLOTS",
                "DB must be empty to perform CLUSTER FLUSHSLOTS.",
            ),
            (
                "CLUSTER RESET",
                "CLUSTER RESET can't be called with master nodes containing keys",
            ),
        ],
    );
}

#[test]
fn help_is_pairs_of_lines() {
    let reply = TestNode::start().run("CLUSTER HELP");
    let lines: Vec<_> = reply.split("\r\n").collect();
    assert_eq!(lines[0], "*53");
    assert_eq!(
        lines[1],
        "+CLUSTER <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    );
    assert!(
        lines[3..54]
            .iter()
            .step_by(2)
            .all(|line| line.starts_with("+    "))
    );
}

/// A primary, another, and a replica of the first.
fn shard_and_other() -> [TestNode; 3] {
    let nodes = [(); 3].map(|()| TestNode::start());
    assert_eq!(nodes[0].run("CLUSTER ADDSLOTSRANGE 0 8191"), "+OK\r\n");
    assert_eq!(nodes[1].run("CLUSTER ADDSLOTSRANGE 8192 16383"), "+OK\r\n");
    for other in &nodes[1..] {
        nodes[0].run(&format!("CLUSTER MEET 127.0.0.1 {}", other.ports()));
    }
    let names = nodes.each_ref().map(TestNode::id);
    let knows_all = |node: &TestNode| {
        let text = node.text("CLUSTER NODES");
        names.iter().all(|name| text.contains(name)) && !text.contains("handshake")
    };
    wait_for("all know all", || nodes.iter().all(knows_all));
    assert_eq!(
        nodes[2].run(&format!("CLUSTER REPLICATE {}", names[0])),
        "+OK\r\n"
    );
    wait_for("all know the replica", || {
        nodes[..2].iter().all(|node| {
            node.text("CLUSTER NODES")
                .contains(&format!(" slave {} ", names[0]))
                && node.info("cluster_state") == "ok"
        })
    });
    nodes
}

#[test]
fn what_depends_on_roles_and_owners() {
    let mut nodes = shard_and_other();
    nodes[0].keys.0 = vec!["bar"];
    let [a, b, r] = nodes.each_ref().map(TestNode::id);
    let run = |node: usize, line: &str, expected: &str| {
        let line = line
            .replace("{a}", &a)
            .replace("{b}", &b)
            .replace("{r}", &r);
        transcript(&nodes[node], &[(&line, expected)]);
    };
    let only_new = "The user can assign a config epoch only when the node does not know any other \
                    node.";
    run(0, "CLUSTER SET-CONFIG-EPOCH 3", only_new);
    run(
        2,
        "CLUSTER SETSLOT 1 STABLE",
        "Please use SETSLOT only with masters.",
    );
    run(
        2,
        "CLUSTER SETSLOT 1 MIGRATING {b}",
        "Please use SETSLOT only with masters.",
    );
    run(2, "CLUSTER FORGET {a}", "Can't forget my master!");
    run(2, "CLUSTER REPLICATE {r}", "Can't replicate myself");
    run(2, "CLUSTER ADDSLOTS 1", "Slot 1 is already busy");
    run(
        2,
        "CLUSTER REPLICAS {r}",
        "The specified node is not a master",
    );
    run(
        0,
        "CLUSTER SETSLOT 5061 MIGRATING {r}",
        "Target node is not a master",
    );
    run(
        0,
        "CLUSTER SETSLOT 5061 NODE {r}",
        "Target node is not a master",
    );
    run(
        1,
        "CLUSTER SETSLOT 5061 IMPORTING {r}",
        "Target node is not a master",
    );
    run(
        0,
        "CLUSTER SETSLOT 5061 NODE {b}",
        "Can't assign hashslot 5061 to a different node while I still hold keys for this hash slot.",
    );
    let not_empty = "To set a master the node must be empty and without assigned slots.";
    run(0, "CLUSTER REPLICATE {b}", not_empty);
    run(1, "CLUSTER REPLICATE {a}", not_empty);
    run(
        0,
        "CLUSTER REPLICATE {r}",
        "I can only replicate a master, not a replica.",
    );
    run(
        0,
        "CLUSTER RESET HARD",
        "CLUSTER RESET can't be called with master nodes containing keys",
    );
    run(1, "CLUSTER SETSLOT 5061 IMPORTING {a}", "+OK");
    run(0, "CLUSTER SETSLOT 5061 MIGRATING {b}", "+OK");
    assert!(
        nodes[0]
            .text("CLUSTER NODES")
            .contains(&format!(" 0-8191 [5061->-{b}]\n"))
    );
    let others = nodes[1].text("CLUSTER NODES");
    assert!(
        others.contains(&format!(" 8192-16383 [5061-<-{a}]\n")),
        "{others}"
    );
    let replicas = nodes[1].run(&format!("CLUSTER REPLICAS {a}"));
    assert!(replicas.starts_with("*1\r\n$"), "{replicas}");
    assert!(
        replicas.contains(&format!("\r\n{r} 127.0.0.1:{}@", nodes[2].port)),
        "{replicas}"
    );
    assert!(replicas.ends_with(" connected\r\n"), "{replicas}");
}

#[test]
fn reset_leaves_a_lone_node() {
    let nodes = shard_and_other();
    let before = nodes[1].id();
    assert_eq!(nodes[1].run("CLUSTER RESET HARD"), "+OK\r\n");
    let after = nodes[1].id();
    assert_ne!(after, before);
    let text = nodes[1].text("CLUSTER NODES");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with(&after) && text.ends_with(" myself,master - 0 0 0 connected\n"));
}

#[test]
fn a_replica_is_shown_to_clients_once_it_has_data() {
    let nodes = shard_and_other();
    let replica = nodes[2].id();
    assert!(!nodes[0].run("CLUSTER SLOTS").contains(&replica));
    assert!(nodes[0].run("CLUSTER SHARDS").contains("$7\r\nloading\r\n"));
    let (term, _) = nodes[2].seen.role.lock().expect("it is told to replicate");
    nodes[2].handle().set_replication(ReplicationState {
        term,
        offset: 74,
        link: PrimaryLink::Up { heard_ms: 0 },
    });
    wait_for("the others have heard of it", || {
        nodes[..2].iter().all(|node| {
            let slots = node.run("CLUSTER SLOTS");
            slots.contains(&format!("$40\r\n{replica}\r\n*0\r\n"))
        })
    });
    let shards = nodes[1].run("CLUSTER SHARDS");
    assert!(shards.contains("$7\r\nreplica\r\n$18\r\nreplication-offset\r\n:74\r\n"));
    assert!(!shards.contains("loading"));
}
