//! hexad and stock nodes in one cluster: each must be able to stand where the other stood.

use std::time::{Duration, Instant};

use hexad_tests::{Cluster, Kind, Value};

const NODE_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a lifted FAIL may take beyond the time that the protocol makes it wait.
const MARGIN: Duration = Duration::from_secs(30);

#[test]
fn three_hexad_and_three_stock_nodes() {
    let kinds = [
        Kind::Hexad,
        Kind::Stock,
        Kind::Hexad,
        Kind::Stock,
        Kind::Hexad,
        Kind::Stock,
    ];
    let mut cluster = Cluster::create(&kinds, 0, NODE_TIMEOUT);
    slots_are_told_alike(&cluster);
    every_key_is_reached_from_every_node(&cluster);
    for victim in [0, 1] {
        killed_node_is_failed_and_comes_back(&mut cluster, victim);
    }
    every_key_is_reached_from_every_node(&cluster);
}

/// CLUSTER SLOTS and SHARDS of all nodes say the same.
fn slots_are_told_alike(cluster: &Cluster) {
    let slots = |index: usize| {
        let reply = cluster[index].cmd("CLUSTER SLOTS");
        let mut ranges: Vec<_> = reply
            .array()
            .iter()
            .map(|range| format!("{range:?}"))
            .collect();
        ranges.sort();
        ranges
    };
    let shards = |index: usize| {
        let reply = cluster[index].cmd("CLUSTER SHARDS");
        let mut shards: Vec<_> = reply.array().iter().map(shard_without_offset).collect();
        shards.sort();
        shards
    };
    for index in 1..cluster.len() {
        assert_eq!(slots(index), slots(0), "CLUSTER SLOTS of node {index}");
        assert_eq!(shards(index), shards(0), "CLUSTER SHARDS of node {index}");
    }
}

/// A shard as text, without what each node knows in its own way.
fn shard_without_offset(shard: &Value) -> String {
    let fields = shard.array();
    let slots = format!("{:?}", fields[1]);
    let nodes = fields[3].array().iter().map(|node| {
        let pairs = node.array().chunks_exact(2);
        let kept = pairs.filter(|pair| pair[0].text() != "replication-offset");
        kept.map(|pair| format!("{}={} ", pair[0].text(), pair[1].text()))
            .collect::<String>()
    });
    format!("{slots} {:?}", nodes.collect::<Vec<_>>())
}

fn every_key_is_reached_from_every_node(cluster: &Cluster) {
    let mut client = cluster.client();
    let mut redirects = 0;
    for number in 0..600 {
        let key = format!("key:{number}");
        let value = format!("value:{number}");
        let (reply, followed) = client.call(number % 6, &["SET", &key, &value]);
        assert_eq!(reply, Value::Simple("OK".to_owned()), "{key}");
        assert!(followed <= 1, "{key} took {followed} redirects");
        redirects += followed;
        for start in 0..6 {
            let (reply, followed) = client.call(start, &["GET", &key]);
            assert_eq!(reply.text(), value, "{key} from node {start}");
            assert!(
                followed <= 1,
                "{key} took {followed} redirects from node {start}"
            );
        }
    }
    assert!(
        redirects > 300,
        "only {redirects} of 600 keys lay elsewhere"
    );
    for node in cluster.nodes() {
        assert!(
            node.cmd("DBSIZE").int() > 50,
            "{} holds few keys",
            node.address()
        );
    }
}

fn killed_node_is_failed_and_comes_back(cluster: &mut Cluster, victim: usize) {
    let before = cluster.seen_by(victim, victim).lasting();
    let others: Vec<_> = (0..cluster.len())
        .filter(|&index| index != victim)
        .collect();

    cluster[victim].kill();
    let killed = Instant::now();
    cluster.wait("all others mark it FAIL", 2 * NODE_TIMEOUT, |cluster| {
        for &index in &others {
            let line = cluster.seen_by(index, victim);
            if !line.has("fail") {
                return Err(format!(
                    "after {:?} node {index} sees {line:?}",
                    killed.elapsed()
                ));
            }
        }
        Ok(())
    });
    cluster.wait("all others stop serving", NODE_TIMEOUT, |cluster| {
        for &index in &others {
            let reply = cluster[index].cmd("GET key:1").text();
            if reply != "CLUSTERDOWN The cluster is down" {
                return Err(format!("node {index} answers {reply}"));
            }
        }
        Ok(())
    });

    cluster[victim].restart();
    cluster.wait(
        "FAIL is lifted everywhere",
        2 * NODE_TIMEOUT + MARGIN,
        |cluster| {
            for &index in &others {
                let line = cluster.seen_by(index, victim);
                if line.has("fail") || line.has("fail?") {
                    return Err(format!("node {index} sees {line:?}"));
                }
            }
            Ok(())
        },
    );
    cluster.wait_agreed();
    assert_eq!(
        cluster.seen_by(victim, victim).lasting(),
        before,
        "kept across the restart"
    );
}
