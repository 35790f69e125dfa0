//! The cluster between two faults: who is primary, and whether all is well again.

use std::time::Duration;

use hexad_tests::{Cluster, parse_nodes, redis_cli, wait_until};

/// By then a replica has all that its primary has, when nobody writes.
const EQUAL_LIMIT: Duration = Duration::from_secs(30);

/// A primary and its replica, by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shard {
    /// The primary.
    pub(crate) primary: usize,
    /// Its replica.
    pub(crate) replica: usize,
}

/// The shards of a cluster that agrees, as the first node tells.
pub(crate) fn shards(cluster: &Cluster) -> Vec<Shard> {
    let view = cluster.view(0);
    let index = |id: &str| {
        let line = view.iter().find(|line| line.id == id).expect("a node");
        let nodes = cluster.nodes();
        let found = nodes.iter().position(|node| node.port() == line.port());
        found.expect("it is one of the cluster's")
    };
    let replicas = view.iter().filter(|line| line.has("slave"));
    let shards = replicas.map(|line| Shard {
        primary: index(&line.master),
        replica: index(&line.id),
    });
    let shards: Vec<_> = shards.collect();
    assert_eq!(shards.len(), cluster.len() / 2, "{view:#?}");
    shards
}

/// Whether a node says of itself that it is a primary with slots.
fn is_primary(cluster: &Cluster, index: usize) -> bool {
    let reply = cluster[index].cmd("CLUSTER NODES");
    // It may be loading.
    let lines = if reply.is_error() {
        Vec::new()
    } else {
        parse_nodes(&reply.text())
    };
    let mut own = lines.iter().filter(|line| line.has("myself"));
    own.any(|me| me.has("master") && !me.slots.is_empty())
}

/// Waits until every replica follows its primary. Until then it may be loading, and refuse commands.
pub(crate) fn wait_linked(cluster: &Cluster) {
    cluster.wait("the replicas follow", EQUAL_LIMIT, |_| {
        for index in 0..cluster.len() {
            let is_replica = field(cluster, index, "role") == "slave";
            let link = field(cluster, index, "master_link_status");
            if is_replica && link != "up" {
                return Err(format!("the link of node {index} is {link}"));
            }
        }
        Ok(())
    });
}

/// `redis-cli --cluster check` has nothing to complain of.
pub(crate) fn check_by_redis_cli(cluster: &Cluster) {
    let text = redis_cli(&["--cluster", "check", &cluster[0].address()]);
    for line in [
        "[OK] All nodes agree about slots configuration.",
        "[OK] All 16384 slots covered.",
    ] {
        assert!(text.contains(line), "{text}");
    }
    assert_eq!(text.matches("1 additional replica(s)").count(), 3, "{text}");
    assert!(
        !text.contains("[WARNING]") && !text.contains("[ERR]"),
        "{text}"
    );
}

/// Waits until each replica is in sync and its data are its primary's. Nobody writes.
pub(crate) fn wait_equal(cluster: &Cluster, shards: &[Shard]) {
    for &Shard { primary, replica } in shards {
        cluster.wait("the data of a shard are equal", EQUAL_LIMIT, |_| {
            let link = field(cluster, replica, "master_link_status");
            let offsets = [primary, replica].map(|node| field(cluster, node, "master_repl_offset"));
            let digests = [primary, replica].map(|node| cluster[node].cmd("DEBUG DIGEST").text());
            if link == "up" && offsets[0] == offsets[1] && digests[0] == digests[1] {
                return Ok(());
            }
            Err(format!(
                "primary {primary}, replica {replica}: link {link}, {offsets:?}, {digests:?}"
            ))
        });
    }
}

fn field(cluster: &Cluster, index: usize, name: &str) -> String {
    let info = cluster[index].cmd("INFO replication").text();
    let mut lines = info.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_default().trim().to_owned()
}

/// Waits until node `index` is a primary with slots.
pub(crate) fn wait_promoted(cluster: &Cluster, index: usize, limit: Duration) {
    wait_until("the replica is promoted", limit, || {
        if is_primary(cluster, index) {
            Ok(())
        } else {
            let logs: String = cluster.nodes().iter().map(|node| node.log_tail()).collect();
            Err(logs)
        }
    });
}
