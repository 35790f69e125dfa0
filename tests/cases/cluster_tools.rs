//! A six-node cluster with replicas under the stock `redis-cli`, and under `scripts/cluster`.

use std::process::Command;
use std::time::Duration;

use hexad_tests::{
    Cluster, Kind, PortPair, Server, TempDir, on_both, redis_cli, run, wait_until, workspace_root,
};

const NODE_TIMEOUT: Duration = Duration::from_secs(5);

on_both! {
    six_nodes_by_redis_cli,
    slots_move_between_nodes,
    the_script,
}

fn six_nodes_by_redis_cli(kind: Kind) {
    let cluster = Cluster::start(&[kind; 6], NODE_TIMEOUT, &[]);
    let created = cluster.create_by_redis_cli(1);
    assert!(
        created.contains("[OK] All 16384 slots covered"),
        "{created}"
    );
    cluster.wait_agreed();
    let first = cluster[0].address();

    wait_until("the replicas show as such", NODE_TIMEOUT, || {
        let checked = redis_cli(&["--cluster", "check", &first]);
        let right = checked.contains("[OK] All nodes agree about slots configuration.")
            && checked.contains("[OK] All 16384 slots covered")
            && checked.matches("1 additional replica(s)").count() == 3;
        if right { Ok(()) } else { Err(checked) }
    });

    let info = redis_cli(&["--cluster", "info", &first]);
    assert!(info.contains("[OK] 0 keys in 3 masters."), "{info}");

    let called = redis_cli(&["--cluster", "call", &first, "ECHO", "hello"]);
    for node in cluster.nodes() {
        assert!(
            called.contains(&format!("{}: hello", node.address())),
            "{called}"
        );
    }

    let set = redis_cli(&["--cluster", "set-timeout", &first, "7000"]);
    assert!(set.contains("New node timeout set. 6 OK, 0 ERR."), "{set}");
    for node in cluster.nodes() {
        let config = node.cmd("CONFIG GET cluster-node-timeout");
        assert_eq!(config.array()[1].text(), "7000");
    }

    replicas_send_clients_to_their_primary(&cluster);
}

fn replicas_send_clients_to_their_primary(cluster: &Cluster) {
    for index in 0..cluster.len() {
        let me = cluster.seen_by(index, index);
        if me.has("master") {
            assert!(!me.slots.is_empty(), "{me:?}");
            continue;
        }
        assert!(me.has("slave") && me.slots.is_empty(), "{me:?}");
        let primary = cluster
            .view(index)
            .into_iter()
            .find(|node| node.id == me.master);
        let primary = primary.expect("a replica knows its primary");
        let slot: u16 = primary.slots[0]
            .split('-')
            .next()
            .and_then(|s| s.parse().ok())
            .unwrap();
        let key = key_in_slot(&cluster[index], slot);
        let expected = format!("MOVED {slot} 127.0.0.1:{}", primary.port());
        assert_eq!(cluster[index].cmd(&format!("GET {key}")).text(), expected);
        let replicas = cluster[index].cmd(&format!("CLUSTER REPLICAS {}", primary.id));
        assert_eq!(replicas.array().len(), 1);
        assert!(replicas.array()[0].text().starts_with(&me.id));
    }
}

fn key_in_slot(node: &Server, slot: u16) -> String {
    let mut conn = node.conn();
    let keys = (0..).map(|n| format!("key:{n}"));
    keys.into_iter()
        .find(|key| conn.call(&["CLUSTER", "KEYSLOT", key]).int() == i64::from(slot))
        .expect("every slot has keys")
}

/// A node without slots joins and leaves; slots without keys are moved by `redis-cli`.
fn slots_move_between_nodes(kind: Kind) {
    let cluster = Cluster::start(&[kind; 4], NODE_TIMEOUT, &[]);
    let first = cluster[0].address();
    let founders: Vec<_> = cluster.nodes()[..3].iter().map(Server::address).collect();
    let mut args = vec!["--cluster", "create"];
    args.extend(founders.iter().map(String::as_str));
    args.push("--cluster-yes");
    redis_cli(&args);
    cluster[0]
        .conn()
        .ok(&format!("CLUSTER MEET 127.0.0.1 {}", cluster[3].port()));
    cluster.wait_agreed();

    let (from, to, empty) = (cluster.id(0), cluster.id(1), cluster.id(3));
    let mut args = vec!["--cluster", "reshard", &first];
    args.extend(["--cluster-from", &from, "--cluster-to", &to]);
    args.extend(["--cluster-slots", "100", "--cluster-yes"]);
    redis_cli(&args);
    cluster.wait("the slots have moved everywhere", NODE_TIMEOUT, |cluster| {
        for index in 0..cluster.len() {
            let line = cluster.seen_by(index, 1);
            if line.slots != ["0-99", "5461-10922"] {
                return Err(format!("{index} sees {line:?}"));
            }
        }
        Ok(())
    });
    let checked = redis_cli(&["--cluster", "check", &first]);
    assert!(
        checked.contains("[OK] All 16384 slots covered"),
        "{checked}"
    );

    redis_cli(&["--cluster", "del-node", &first, &empty]);
    cluster.wait("the node is forgotten", NODE_TIMEOUT, |cluster| {
        for index in 0..3 {
            let known = cluster.view(index);
            if known.len() != 3 || known.iter().any(|node| node.id == empty) {
                return Err(format!("{index} knows {known:?}"));
            }
        }
        let alone = cluster.view(3);
        if alone.len() == 1 {
            Ok(())
        } else {
            Err(format!("the node itself knows {alone:?}"))
        }
    });
}

/// `scripts/cluster`, as the README tells to use it.
fn the_script(kind: Kind) {
    let dir = TempDir::new();
    let folder = dir.path().join("nodes");
    let ports = PortPair::take_run(6);
    let base = ports[0].port().to_string();
    let script = |args: &[&str]| {
        let mut command = Command::new(workspace_root().join("scripts/cluster"));
        command
            .args(args)
            .arg("--dir")
            .arg(&folder)
            .env("HEXAD_BIN", kind.binary());
        let (success, text) = run(&mut command);
        assert!(success, "scripts/cluster {args:?}\n{text}");
        text
    };
    let _stop = Cleanup(&folder);

    let up = ["up", "--base-port", &base];
    for round in ["first", "again"] {
        let text = script(&up);
        let last = text.trim_end().lines().last().unwrap_or_default();
        assert_eq!(last, "[OK] All 16384 slots covered.", "{round}: {text}");
        assert!(text.contains("wrote a key"), "{text}");
    }
    let text = script(&["status"]);
    assert_eq!(text.matches("cluster state ok").count(), 6, "{text}");
    script(&["kill", "2"]);
    assert_eq!(script(&["status"]).matches("not running").count(), 1);
    script(&["start"]);
    assert_eq!(script(&["status"]).matches("not running").count(), 0);
    script(&["stop"]);
    assert_eq!(script(&["status"]).matches("not running").count(), 6);
    script(&["clean"]);
    assert!(!folder.exists());
}

/// Ends the script's nodes if the test fails half-way.
struct Cleanup<'a>(&'a std::path::Path);

impl Drop for Cleanup<'_> {
    fn drop(&mut self) {
        let mut command = Command::new(workspace_root().join("scripts/cluster"));
        let _ = command.arg("stop").arg("--dir").arg(self.0).output();
    }
}
