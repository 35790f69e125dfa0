//! Failover between hexad and stock nodes: each kind takes over from the other, with the votes of
//! both.

use std::time::Duration;

use hexad_tests::{Cluster, Kind, Value, info_field, redis_cli};

const NODE_TIMEOUT: Duration = Duration::from_secs(2);
/// A failover takes some node timeouts, and a loaded machine its time.
const LIMIT: Duration = Duration::from_secs(40);

/// Three shards, with voters of both kinds: primaries are nodes 0 to 2, node `n + 3` is the replica
/// of node `n`.
struct Shards {
    cluster: Cluster,
}

/// The shards are stock → hexad, hexad → stock, and a voter more: so each of the first elections
/// needs a vote of each kind.
#[test]
fn the_other_kind_takes_over() {
    use Kind::{Hexad, Stock};
    let mut shards = Shards::create([Stock, Hexad, Stock, Hexad, Stock, Hexad]);
    shards.fill();
    a_replica_serves_reads_to_who_asks_for_them(&shards);
    for shard in [0, 1] {
        shards.kill_and_take_over(shard, shard + 3);
    }
    // And back: now the other kind is the primary.
    for shard in [0, 1] {
        shards.kill_and_take_over(shard + 3, shard);
    }
    for shard in [0, 1] {
        shards.fail_over_by_hand(shard, shard + 3, "");
        shards.fail_over_by_hand(shard + 3, shard, "FORCE");
        shards.fail_over_by_hand(shard, shard + 3, "TAKEOVER");
    }
}

impl Shards {
    fn create(kinds: [Kind; 6]) -> Self {
        let args = [
            "--repl-diskless-sync-delay",
            "0",
            "--enable-debug-command",
            "yes",
        ];
        let cluster = Cluster::start(&kinds, NODE_TIMEOUT, &args);
        let addresses = cluster.nodes()[..3].iter().map(|node| node.address());
        let mut create = vec!["--cluster".to_owned(), "create".to_owned()];
        create.extend(addresses);
        create.push("--cluster-yes".to_owned());
        redis_cli(&create);
        let shards = Self { cluster };
        for replica in 3..6 {
            let first = shards.cluster[0].port();
            shards.cluster[replica].cmd(&format!("CLUSTER MEET 127.0.0.1 {first}"));
        }
        for replica in 3..6 {
            let id = shards.cluster.id(replica - 3);
            shards
                .cluster
                .wait(
                    "the node knows its primary",
                    LIMIT,
                    |cluster| match cluster[replica].cmd(&format!("CLUSTER REPLICATE {id}")) {
                        Value::Simple(_) => Ok(()),
                        other => Err(other.text()),
                    },
                );
        }
        shards.cluster.wait_agreed();
        for replica in 3..6 {
            shards.wait_follows(replica, replica - 3);
        }
        shards
    }

    fn fill(&self) {
        let mut client = self.cluster.client();
        for number in 0..1000 {
            let key = format!("key:{number}");
            let (reply, _) = client.call(0, &["SET", &key, &key]);
            assert_eq!(reply.text(), "OK");
        }
    }

    /// All keys are there, and all replicas equal to their primaries.
    #[track_caller]
    fn check(&self) {
        self.cluster.wait_agreed();
        let mut client = self.cluster.client();
        for number in 0..1000 {
            let key = format!("key:{number}");
            let (reply, _) = client.call(number % 6, &["GET", &key]);
            assert_eq!(reply.text(), key);
        }
        self.cluster
            .wait("equal data in each shard", LIMIT, |cluster| {
                for shard in 0..3 {
                    let digest = |index: usize| cluster[index].cmd("DEBUG DIGEST").text();
                    if digest(shard) != digest(shard + 3) {
                        return Err(format!("shard {shard}"));
                    }
                }
                Ok(())
            });
        let address = self.cluster[0].address();
        redis_cli(&["--cluster", "check", &address]);
    }

    #[track_caller]
    fn wait_follows(&self, replica: usize, primary: usize) {
        let port = self.cluster[primary].port().to_string();
        self.cluster
            .wait("the replica is in sync", LIMIT, |cluster| {
                let field = |name| {
                    let text = cluster[replica].cmd("INFO replication").text();
                    let line = text.lines().find(|line| line.starts_with(name));
                    line.unwrap_or_default().to_owned()
                };
                let seen = (field("master_port"), field("master_link_status"));
                match seen.0.ends_with(&port) && seen.1.ends_with(":up") {
                    true => Ok(()),
                    false => Err(format!("{seen:?}")),
                }
            });
    }

    /// kill -9 of `primary`: `replica` is elected; the old primary comes back as its replica.
    #[track_caller]
    fn kill_and_take_over(&mut self, primary: usize, replica: usize) {
        let epoch = |cluster: &Cluster| cluster.info(2).get("cluster_current_epoch").to_owned();
        let before = epoch(&self.cluster);
        self.cluster[primary].kill();
        self.cluster
            .wait("the replica takes over", LIMIT, |cluster| {
                for index in (0..6).filter(|index| *index != primary) {
                    let line = cluster.seen_by(index, replica);
                    if !line.has("master") || line.slots.is_empty() {
                        return Err(format!("node {index} sees {line:?}"));
                    }
                    let state = cluster.info(index);
                    if state.get("cluster_state") != "ok" {
                        return Err(format!("node {index}: {state:?}"));
                    }
                }
                Ok(())
            });
        assert_ne!(epoch(&self.cluster), before, "there was an election");
        let log = self.cluster[replica].log();
        assert!(log.contains("Failover election won"), "{log}");
        let mut client = self.cluster.client();
        let (reply, _) = client.call(replica, &["SET", "after", "kill"]);
        assert_eq!(reply.text(), "OK");
        self.cluster[primary].restart();
        self.wait_follows(primary, replica);
        self.check();
    }

    /// CLUSTER FAILOVER: the roles change, and the old primary goes on without a full transfer.
    #[track_caller]
    fn fail_over_by_hand(&self, primary: usize, replica: usize, way: &str) {
        let full = info_field(&self.cluster[replica], "stats", "sync_full");
        let reply = self.cluster[replica].cmd(&format!("CLUSTER FAILOVER {way}"));
        assert_eq!(reply.text(), "OK", "{way}");
        self.cluster.wait("the roles change", LIMIT, |cluster| {
            for index in 0..6 {
                let roles = (
                    cluster.seen_by(index, replica).has("master"),
                    cluster.seen_by(index, primary).has("slave"),
                );
                if roles != (true, true) {
                    return Err(format!("{way}: node {index} sees {roles:?}"));
                }
            }
            Ok(())
        });
        self.wait_follows(primary, replica);
        self.check();
        if way.is_empty() {
            assert_eq!(
                info_field(&self.cluster[replica], "stats", "sync_full"),
                full
            );
        }
    }
}

/// READONLY and READWRITE.
fn a_replica_serves_reads_to_who_asks_for_them(shards: &Shards) {
    for (primary, replica) in [(0, 3), (1, 4)] {
        let number = (0..1000).find(|number| {
            let reply = shards.cluster[primary].cmd(&format!("GET key:{number}"));
            !reply.is_error()
        });
        let key = format!("key:{}", number.expect("a key of each shard"));
        shards.cluster.wait("the key arrives", LIMIT, |cluster| {
            let mut conn = cluster[replica].conn();
            conn.ok("READONLY");
            let found = conn.cmd(&format!("GET {key}")).text();
            (found == key).then_some(()).ok_or(found)
        });
        let mut conn = shards.cluster[replica].conn();
        let moved = conn.cmd(&format!("GET {key}")).text();
        assert!(moved.starts_with("MOVED "), "{moved}");
        conn.ok("READONLY");
        assert_eq!(conn.cmd(&format!("GET {key}")).text(), key);
        assert_eq!(conn.cmd(&format!("SET {key} x")).text(), moved);
        assert_eq!(
            conn.cmd("FLUSHALL").text(),
            "READONLY You can't write against a read only replica."
        );
        conn.ok("MULTI");
        assert_eq!(conn.cmd(&format!("GET {key}")).text(), "QUEUED");
        assert_eq!(conn.cmd("EXEC").array()[0].text(), key);
        conn.ok("MULTI");
        assert_eq!(conn.cmd(&format!("SET {key} x")).text(), moved);
        assert!(conn.cmd("EXEC").text().starts_with("EXECABORT"));
        // Another shard's key is elsewhere all the same.
        let other = (0..1000).find_map(|number| {
            let reply = conn.cmd(&format!("GET key:{number}"));
            reply.is_error().then(|| reply.text())
        });
        assert!(other.expect("a key of another shard").starts_with("MOVED "));
        conn.ok("READWRITE");
        assert_eq!(conn.cmd(&format!("GET {key}")).text(), moved);
    }
}
