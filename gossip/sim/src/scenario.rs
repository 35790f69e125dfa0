//! What a seed stands for: the hosts, their clocks and disks, the network's weather, which faults
//! there are and how many, and what the administrators do.
//!
//! Each kind of fault and of work is in only part of the scenarios. A mixture of everything in
//! every run would hide what one thing alone brings about.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::network::Weather;
use crate::queue::{MS, Micros, SECOND};

/// Faults and work go on until here; then everything heals.
pub(crate) const HEAL_AT_US: Micros = 600 * SECOND;

/// Everything that a seed decides before the first event.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    /// Where it comes from.
    pub seed: u64,
    /// How many hosts, with a node each.
    pub hosts: usize,
    /// How many of them, the last ones, form a second cluster.
    pub second_cluster: usize,
    /// cluster-node-timeout at the start.
    pub node_timeout_ms: u64,
    /// How packets fare until everything heals.
    pub weather: Weather,
    /// Clocks are up to this much off, either way.
    pub clock_offset_ms: i64,
    /// Clocks run up to this much too fast or too slow.
    pub clock_drift_ppm: i64,
    /// How long a disk takes for one nodes.conf: at most this.
    pub disk_us: Micros,
    /// The driver handles no input while it writes nodes.conf. Otherwise it goes on and only the
    /// outputs wait.
    pub blocking_disk: bool,
    /// Every node listens on the same IP address, on ports of its own.
    pub shared_ip: bool,
    /// The kinds of fault that there are.
    pub faults: Vec<FaultKind>,
    /// The mean time between two faults.
    pub fault_interval_us: Micros,
    /// How the nodes are made to meet.
    pub mesh: Mesh,
    /// Whether each node gets a configEpoch of its own before the others know it, as redis-cli
    /// does. Without it collisions do the work.
    pub assign_epochs: bool,
    /// How many slots of each node are given to the next one, too, before the two meet.
    pub contested_slots: usize,
    /// The share of nodes, in percent, that get no slots at the start.
    pub empty_percent: u32,
    /// Whether empty nodes become replicas.
    pub replicas: bool,
    /// cluster-replica-validity-factor.
    pub validity_factor: u32,
    /// repl-ping-replica-period.
    pub repl_ping_period_ms: u64,
    /// cluster-migration-barrier.
    pub migration_barrier: u32,
    /// cluster-allow-replica-migration.
    pub replica_migration: bool,
    /// Slots that stay without an owner at the start.
    pub unassigned_slots: usize,
    /// The kinds of work that administrators do while faults happen.
    pub work: Vec<WorkKind>,
    /// The mean time between two pieces of work.
    pub work_interval_us: Micros,
}

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// kill -9, and a restart later.
    Kill,
    /// Power loss, and a boot later.
    PowerLoss,
    /// SIGSTOP, and SIGCONT later.
    Pause,
    /// Packets from one host to another are lost.
    OneWayCut,
    /// Packets between two hosts are lost.
    TwoWayCut,
    /// One host is cut off from all others.
    Isolation,
    /// The hosts fall into two groups.
    Partition,
    /// Two hosts lose each other again and again.
    Flapping,
    /// A host's connections are reset.
    Resets,
    /// A disk takes long.
    DiskStall,
    /// A replica gets nothing from its primary, though the bus works.
    ReplicationStall,
    /// A frame of a node that nobody knows.
    Stranger,
    /// Two hosts die and come back with each other's address.
    AddressSwap,
}

impl FaultKind {
    const ALL: [FaultKind; 13] = [
        FaultKind::Kill,
        FaultKind::PowerLoss,
        FaultKind::Pause,
        FaultKind::OneWayCut,
        FaultKind::TwoWayCut,
        FaultKind::Isolation,
        FaultKind::Partition,
        FaultKind::Flapping,
        FaultKind::Resets,
        FaultKind::DiskStall,
        FaultKind::ReplicationStall,
        FaultKind::Stranger,
        FaultKind::AddressSwap,
    ];
}

/// A kind of administrators' work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkKind {
    /// Some slots move from one primary to another, by the migration protocol.
    Migrate,
    /// Slots without an owner are given to a node.
    AddSlots,
    /// Slots are taken from a node.
    DelSlots,
    /// CLUSTER BUMPEPOCH.
    BumpEpoch,
    /// An empty node becomes a replica, or another primary's.
    Replicate,
    /// CLUSTER FAILOVER, in one of its modes.
    Failover,
    /// An empty node is reset, forgotten by all, and brought back.
    Replace,
    /// cluster-node-timeout changes on all nodes.
    NodeTimeout,
    /// CLUSTER MEET with an address at which there is no host.
    MeetNobody,
    /// CLUSTER SAVECONFIG.
    SaveConfig,
    /// PUBLISH.
    Publish,
}

impl WorkKind {
    const ALL: [WorkKind; 11] = [
        WorkKind::Migrate,
        WorkKind::AddSlots,
        WorkKind::DelSlots,
        WorkKind::BumpEpoch,
        WorkKind::Replicate,
        WorkKind::Failover,
        WorkKind::Replace,
        WorkKind::NodeTimeout,
        WorkKind::MeetNobody,
        WorkKind::SaveConfig,
        WorkKind::Publish,
    ];
}

/// Who is told to meet whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mesh {
    /// The first node meets every other one, as redis-cli does.
    Star,
    /// Every node meets the next one.
    Chain,
    /// Every node meets one that came before it.
    Tree,
    /// Every node meets every other one.
    Full,
}

impl Scenario {
    /// The scenario that a seed stands for.
    #[must_use]
    pub(crate) fn from_seed(seed: u64) -> Self {
        let rng = &mut SmallRng::seed_from_u64(seed);
        // Small clusters are more frequent: they run faster and fail no less.
        let hosts = 5 + rng.random_range(0..=15usize).min(rng.random_range(0..=15));
        let second_cluster = if hosts >= 8 && rng.random_ratio(1, 5) {
            rng.random_range(3..=hosts - 5)
        } else {
            0
        };
        // A ping for every pair and half node-timeout: what is large gets a long one.
        let node_timeouts: &[u64] = match hosts {
            ..=7 => &[1_000, 2_000, 5_000],
            8..=12 => &[3_000, 5_000, 15_000],
            _ => &[8_000, 15_000],
        };
        Scenario {
            seed,
            hosts,
            second_cluster,
            node_timeout_ms: *node_timeouts.choose(rng).expect("not empty"),
            weather: weather(rng),
            clock_offset_ms: *[0, 50, 3_600_000].choose(rng).expect("not empty"),
            clock_drift_ppm: *[0, 100, 500].choose(rng).expect("not empty"),
            disk_us: *[MS, 20 * MS, 200 * MS].choose(rng).expect("not empty"),
            blocking_disk: rng.random_ratio(2, 3),
            shared_ip: rng.random_ratio(1, 4),
            faults: subset(rng, &FaultKind::ALL),
            fault_interval_us: rng.random_range(3..=30) * SECOND,
            mesh: *[Mesh::Star, Mesh::Chain, Mesh::Tree, Mesh::Full]
                .choose(rng)
                .expect("not empty"),
            assign_epochs: rng.random_ratio(1, 2),
            contested_slots: *[0, 0, 5].choose(rng).expect("not empty"),
            empty_percent: *[0, 20, 50, 65].choose(rng).expect("not empty"),
            replicas: rng.random_ratio(2, 3),
            validity_factor: *[10, 10, 1, 0].choose(rng).expect("not empty"),
            repl_ping_period_ms: *[1_000, 10_000].choose(rng).expect("not empty"),
            migration_barrier: *[1, 1, 0, 2].choose(rng).expect("not empty"),
            replica_migration: rng.random_ratio(3, 4),
            unassigned_slots: *[0, 0, 100].choose(rng).expect("not empty"),
            work: subset(rng, &WorkKind::ALL),
            work_interval_us: rng.random_range(3..=30) * SECOND,
        }
    }
}

fn weather(rng: &mut SmallRng) -> Weather {
    let (delay_us, jitter_us) = *[(100, 200), (500, 5 * MS), (20 * MS, 30 * MS)]
        .choose(rng)
        .expect("not empty");
    let is_stressed = rng.random_ratio(1, 3);
    Weather {
        delay_us,
        jitter_us,
        spike_one_in: *[0, 0, 500, 50].choose(rng).expect("not empty"),
        drop_one_in: if is_stressed {
            *[20, 200].choose(rng).expect("not empty")
        } else {
            0
        },
        double_one_in: if is_stressed {
            *[10, 100].choose(rng).expect("not empty")
        } else {
            0
        },
    }
}

/// Each of them with an even chance; at least one.
fn subset<T: Copy>(rng: &mut SmallRng, all: &[T]) -> Vec<T> {
    let mut chosen: Vec<T> = all
        .iter()
        .copied()
        .filter(|_| rng.random_ratio(1, 2))
        .collect();
    if chosen.is_empty() {
        chosen.extend(all.choose(rng));
    }
    chosen
}
