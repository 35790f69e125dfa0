//! The faults, and what must hold once each is over.

use std::thread;
use std::time::{Duration, Instant};

use hexad_tests::{Cluster, Kind, Network, Server};
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use crate::ledger::Window;
use crate::load::{Load, fill};
use crate::say;
use crate::shards::{Shard, check_by_redis_cli, shards, wait_equal, wait_linked, wait_promoted};

/// Three primaries with a replica each.
const NODES: usize = 6;
/// How old a write that only its primary has may be: replication is asynchronous, and how late it
/// is depends on the machine. What WAIT acknowledged is not measured by it.
const LAG: Duration = Duration::from_secs(1);
/// Keys that are there from the beginning.
const FILL: usize = 60_000;
/// A replica that is not promoted by then never will be.
const PROMOTION_LIMIT: Duration = Duration::from_secs(40);
/// Time under load between two faults, and after a promotion, at most.
const PAUSE_MS: std::ops::Range<u64> = 100..1_200;

/// What happens to a primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// kill -9; it starts again once its replica has taken over.
    Kill,
    /// SIGSTOP, and SIGCONT: mostly once its replica has taken over, sometimes much sooner.
    Stop,
    /// It and some replicas of others are alone.
    Isolate,
    /// They can send to the others, and hear nothing.
    Deafen,
    /// They hear the others, and nothing that they send arrives.
    Mute,
    /// They are alone, and not, and alone again, in quick change.
    Flap,
    /// Some replicas are alone, and no primary.
    LoseReplicas,
    /// CLUSTER FAILOVER: its replica takes over, and not a single write may be lost.
    HandOver,
}

/// A cluster under load, and what breaks it.
pub(crate) struct Field {
    cluster: Cluster,
    /// The nodes' own network, for partitions. Dropped after the nodes.
    network: Option<Network>,
    load: Option<Load>,
    rng: SmallRng,
    seed: u64,
    /// Of all faults: a key is checked more than once.
    windows: Vec<Window>,
}

impl Field {
    /// On 127.0.0.1.
    pub(crate) fn on_this_machine(node_timeout: Duration, seed: u64) -> Self {
        Self::new(None, node_timeout, seed)
    }

    /// Each node in a network namespace; or why there are none.
    pub(crate) fn in_namespaces(node_timeout: Duration, seed: u64) -> Result<Self, String> {
        Ok(Self::new(Some(Network::new(NODES)?), node_timeout, seed))
    }

    fn new(network: Option<Network>, node_timeout: Duration, seed: u64) -> Self {
        say(&format!(
            "chaos: seed {seed}, node timeout {node_timeout:?}"
        ));
        let start = |index| {
            let builder = Server::builder(Kind::Hexad)
                .config("")
                .cluster(node_timeout);
            let builder = match &network {
                Some(network) => builder.at(network.place(index)),
                None => builder,
            };
            let args = ["--protected-mode", "no", "--enable-debug-command", "yes"];
            builder
                .args(&args)
                .args(&["--repl-diskless-sync-delay", "0"])
                .start()
        };
        let cluster = Cluster::of((0..NODES).map(start).collect(), node_timeout);
        cluster.create_by_redis_cli(1);
        cluster.wait_agreed();
        let addresses = cluster.nodes().iter().map(Server::socket_address);
        let addresses: Vec<_> = addresses.collect();
        fill(&addresses, FILL);
        let load = Some(Load::start(addresses, seed));
        let rng = SmallRng::seed_from_u64(seed);
        let windows = Vec::new();
        Self {
            cluster,
            network,
            load,
            rng,
            seed,
            windows,
        }
    }

    /// Takes away a write that was acknowledged, and tells what the check says of it.
    pub(crate) fn drop_a_write(&mut self) -> (String, String) {
        self.check(None);
        self.rest();
        let load = self.load.as_ref().expect("it runs");
        let _paused = load.pause();
        let key = load.drop_a_write();
        let reason = load.check(&self.windows).expect_err("the loss is noticed");
        (key, reason)
    }

    /// Lets the faults happen, in an order of their own, and checks after each.
    pub(crate) fn run(&mut self, mut faults: Vec<Fault>) {
        faults.shuffle(&mut self.rng);
        self.check(None);
        for (number, &fault) in faults.iter().enumerate() {
            self.rest();
            let shards = shards(&self.cluster);
            let shard = shards[self.rng.random_range(0..shards.len())];
            say(&format!(
                "{}: {fault:?} node {} of {shards:?}",
                number + 1,
                shard.primary
            ));
            let begun = Instant::now();
            let admitted = self.windows.len();
            match fault {
                Fault::Kill => self.kill(shard),
                Fault::Stop => self.stop(shard),
                Fault::HandOver => self.hand_over(shard),
                Fault::LoseReplicas => self.lose_replicas(shard, &shards),
                Fault::Isolate | Fault::Deafen | Fault::Mute | Fault::Flap => {
                    self.partition(fault, shard, &shards);
                }
            }
            self.check(Some((shard, admitted)));
            say(&format!(
                "  over after {:.1} s",
                begun.elapsed().as_secs_f64()
            ));
        }
        let load = self.load.take().expect("it is ended only here");
        let settled = load
            .finish(&self.windows)
            .unwrap_or_else(|reason| panic!("{reason}"));
        say(&format!(
            "chaos: seed {}, {} faults, {settled} older keys as they were",
            self.seed,
            faults.len()
        ));
    }

    // ---- the faults ------------------------------------------------------------------------------

    fn kill(&mut self, shard: Shard) {
        let killed = Instant::now();
        self.cluster[shard.primary].kill();
        self.admit(shard.primary, killed, Instant::now());
        self.wait_promoted(shard);
        self.rest();
        self.cluster[shard.primary].restart();
    }

    fn stop(&mut self, shard: Shard) {
        let stopped = Instant::now();
        self.cluster[shard.primary].pause();
        if self.rng.random_bool(0.25) {
            thread::sleep(self.cluster.node_timeout() / 3);
        } else {
            self.wait_promoted(shard);
            self.rest();
        }
        self.cluster[shard.primary].resume();
        // It learns only then that it was deposed.
        self.admit(
            shard.primary,
            stopped,
            Instant::now() + self.cluster.node_timeout(),
        );
    }

    fn partition(&mut self, fault: Fault, shard: Shard, shards: &[Shard]) {
        // The minority: a primary and some replicas of the others.
        let mut alone = vec![shard.primary];
        let others = shards.iter().filter(|other| **other != shard);
        let joins = others.filter(|_| self.rng.random_bool(0.3));
        alone.extend(joins.map(|other| other.replica));
        say(&format!("  apart: {alone:?}"));
        let timeout = self.cluster.node_timeout();
        let cut = Instant::now();
        match fault {
            Fault::Flap => {
                let end = cut + 4 * timeout;
                while Instant::now() < end {
                    self.cut(&alone, true, true);
                    self.rest();
                    self.heal();
                    self.rest();
                }
                self.admit(shard.primary, cut, Instant::now() + timeout);
            }
            _ => {
                self.cut(&alone, fault != Fault::Deafen, fault != Fault::Mute);
                // A loaded machine takes its time to cut.
                let apart = Instant::now();
                self.wait_promoted(shard);
                self.rest();
                self.heal();
                // By then it has counted itself in the minority.
                self.admit(shard.primary, cut, apart + 3 * timeout);
            }
        }
    }

    fn lose_replicas(&mut self, shard: Shard, shards: &[Shard]) {
        let mut alone = vec![shard.replica];
        let others = shards.iter().filter(|other| **other != shard);
        alone.extend(
            others
                .filter(|_| self.rng.random_bool(0.3))
                .map(|other| other.replica),
        );
        self.cut(&alone, true, true);
        thread::sleep(self.cluster.node_timeout() * 2);
        self.rest();
        self.heal();
    }

    fn hand_over(&mut self, shard: Shard) {
        self.cluster[shard.replica].conn().ok("CLUSTER FAILOVER");
        self.wait_promoted(shard);
        self.rest();
    }

    fn cut(&self, alone: &[usize], outward: bool, inward: bool) {
        let network = self.network.as_ref().expect("partitions have a network");
        for &inner in alone {
            for outer in (0..NODES).filter(|node| !alone.contains(node)) {
                if outward {
                    network.cut(inner, outer);
                }
                if inward {
                    network.cut(outer, inner);
                }
            }
        }
    }

    fn heal(&self) {
        self.network
            .as_ref()
            .expect("partitions have a network")
            .heal_all();
    }

    fn admit(&mut self, node: usize, from: Instant, to: Instant) {
        let node = self.cluster[node].port();
        self.windows.push(Window {
            node,
            from: from - LAG,
            to,
        });
    }

    fn wait_promoted(&self, shard: Shard) {
        let begun = Instant::now();
        wait_promoted(&self.cluster, shard.replica, PROMOTION_LIMIT);
        let waited = begun.elapsed().as_secs_f64();
        say(&format!(
            "  node {} is promoted after {waited:.1} s",
            shard.replica
        ));
    }

    fn rest(&mut self) {
        thread::sleep(Duration::from_millis(self.rng.random_range(PAUSE_MS)));
    }

    // ---- the checks ------------------------------------------------------------------------------

    /// All is well again, and no write is lost that must not be. `hit` is the shard that was hit,
    /// and how many windows there were before.
    fn check(&mut self, hit: Option<(Shard, usize)>) {
        self.cluster.wait_agreed();
        wait_linked(&self.cluster);
        let shards = shards(&self.cluster);
        if let Some((hit, admitted)) = hit
            && shards.iter().any(|shard| shard.primary == hit.primary)
        {
            // Nobody took over from it, so there is nothing that may be lost.
            self.windows.truncate(admitted);
        }
        let load = self.load.as_ref().expect("it runs");
        let _paused = load.pause();
        wait_equal(&self.cluster, &shards);
        check_by_redis_cli(&self.cluster);
        let tally = load.check(&self.windows);
        let tally = tally.unwrap_or_else(|reason| panic!("{reason}"));
        say(&format!("  {tally:?}"));
    }
}
