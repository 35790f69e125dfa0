//! Redis Cluster.

use crate::builder::{container, pure, server};
use crate::command::{Command, ServerCommand as S};
use crate::docs::Arg;
use crate::flags::{AclCategories as A, CommandFlags as F};
use crate::pure;

pub(super) const COMMANDS: &[Command] = &[
    server("asking", 1, S::Asking)
        .about(
            "3.0.0",
            "Announces that the next command follows an ASK redirect.",
        )
        .flags(&[F::FAST])
        .acl(&[A::CONNECTION]),
    container("cluster", CLUSTER).about("3.0.0", "Shows and manages the cluster."),
    server("readonly", 1, S::ReadOnly)
        .about("3.0.0", "Allows this connection to read from a replica.")
        .flags(&[F::LOADING, F::STALE, F::FAST])
        .acl(&[A::CONNECTION]),
    server("readwrite", 1, S::ReadWrite)
        .about("3.0.0", "Sends this connection's reads to primaries again.")
        .flags(&[F::LOADING, F::STALE, F::FAST])
        .acl(&[A::CONNECTION]),
];

const CLUSTER: &[Command] = &[
    server("cluster|addslots", -3, S::ClusterAddSlots)
        .about("3.0.0", "Gives unowned slots to this node.")
        .complexity("O(N) for N slots.")
        .flags(&[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING])
        .args(&[Arg::integer("slot").multiple()]),
    server("cluster|addslotsrange", -4, S::ClusterAddSlotsRange)
        .about("7.0.0", "Gives ranges of unowned slots to this node.")
        .complexity("O(N) for N slots in the ranges.")
        .flags(&[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING])
        .args(&[Arg::block(
            "start-slot_end-slot",
            &[Arg::integer("start-slot"), Arg::integer("end-slot")],
        )
        .multiple()]),
    server("cluster|bumpepoch", 2, S::ClusterBumpEpoch)
        .about(
            "3.0.0",
            "Gives this node a configuration epoch above all others.",
        )
        .flags(&[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING])
        .tips(&["nondeterministic_output"]),
    server(
        "cluster|count-failure-reports",
        3,
        S::ClusterCountFailureReports,
    )
    .about("3.0.0", "Counts the nodes that report a node as failing.")
    .complexity("O(N) for N reports.")
    .flags(&[F::ADMIN, F::STALE])
    .tips(&["nondeterministic_output"])
    .args(&[Arg::string("node-id")]),
    server("cluster|countkeysinslot", 3, S::ClusterCountKeysInSlot)
        .about("3.0.0", "Returns how many keys this node has in a slot.")
        .flags(&[F::STALE])
        .args(&[Arg::integer("slot")]),
    server("cluster|delslots", -3, S::ClusterDelSlots)
        .about("3.0.0", "Makes slots unowned in this node's view.")
        .complexity("O(N) for N slots.")
        .flags(&[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING])
        .args(&[Arg::integer("slot").multiple()]),
    server("cluster|delslotsrange", -4, S::ClusterDelSlotsRange)
        .about(
            "7.0.0",
            "Makes ranges of slots unowned in this node's view.",
        )
        .complexity("O(N) for N slots in the ranges.")
        .flags(&[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING])
        .args(&[Arg::block(
            "start-slot_end-slot",
            &[Arg::integer("start-slot"), Arg::integer("end-slot")],
        )
        .multiple()]),
    server("cluster|failover", -2, S::ClusterFailover)
        .about("3.0.0", "Has a replica take its primary's place.")
        .flags(&[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING])
        .args(&[Arg::one_of(
            "options",
            &[
                Arg::word("force", "FORCE"),
                Arg::word("takeover", "TAKEOVER"),
            ],
        )
        .optional()]),
    server("cluster|flushslots", 2, S::ClusterFlushSlots)
        .about("3.0.0", "Drops all of this node's slots.")
        .flags(&[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING]),
    server("cluster|forget", 3, S::ClusterForget)
        .about(
            "3.0.0",
            "Removes a node from this node's view and keeps it out for a minute.",
        )
        .flags(&[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING])
        .args(&[Arg::string("node-id")]),
    server("cluster|getkeysinslot", 4, S::ClusterGetKeysInSlot)
        .about(
            "3.0.0",
            "Returns some of the keys that this node has in a slot.",
        )
        .complexity("O(N) for N keys returned.")
        .flags(&[F::STALE])
        .tips(&["nondeterministic_output"])
        .args(&[Arg::integer("slot"), Arg::integer("count")]),
    pure("cluster|help", 2, pure::cluster_help)
        .about("5.0.0", "Lists the subcommands.")
        .flags(&[F::LOADING, F::STALE]),
    server("cluster|info", 2, S::ClusterInfo)
        .about(
            "3.0.0",
            "Reports on the state of the cluster as this node sees it.",
        )
        .flags(&[F::STALE])
        .tips(&["nondeterministic_output"]),
    server("cluster|keyslot", 3, S::ClusterKeySlot)
        .about("3.0.0", "Returns the slot of a key.")
        .complexity("O(N) for N bytes of the key.")
        .flags(&[F::STALE])
        .args(&[Arg::string("key")]),
    server("cluster|links", 2, S::ClusterLinks)
        .about(
            "7.0.0",
            "Lists the bus connections to and from other nodes.",
        )
        .complexity("O(N) for N nodes.")
        .flags(&[F::STALE])
        .tips(&["nondeterministic_output"]),
    server("cluster|meet", -4, S::ClusterMeet)
        .about(
            "3.0.0",
            "Makes this node greet another one, to join their clusters.",
        )
        .flags(&[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING])
        .history(&[("4.0.0", "The bus port.")])
        .args(&[
            Arg::string("ip"),
            Arg::integer("port"),
            Arg::integer("cluster_bus_port").since("4.0.0").optional(),
        ]),
    server("cluster|myid", 2, S::ClusterMyId)
        .about("3.0.0", "Returns this node's id.")
        .flags(&[F::STALE]),
    server("cluster|nodes", 2, S::ClusterNodes)
        .about("3.0.0", "Lists the nodes and their slots, a line each.")
        .complexity("O(N) for N nodes.")
        .flags(&[F::STALE])
        .tips(&["nondeterministic_output"]),
    server("cluster|replicas", 3, S::ClusterReplicas)
        .about("5.0.0", "Lists the replicas of a primary.")
        .complexity("O(N) for N replicas.")
        .flags(&[F::ADMIN, F::STALE])
        .tips(&["nondeterministic_output"])
        .args(&[Arg::string("node-id")]),
    server("cluster|replicate", 3, S::ClusterReplicate)
        .about("3.0.0", "Makes this node a replica of a primary.")
        .flags(&[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING])
        .args(&[Arg::string("node-id")]),
    server("cluster|reset", -2, S::ClusterReset)
        .about("3.0.0", "Makes this node forget the cluster.")
        .complexity("O(N) for N nodes, plus the keys that it may delete.")
        .flags(&[F::ADMIN, F::NOSCRIPT, F::STALE])
        .args(&[Arg::one_of(
            "hard_soft",
            &[Arg::word("hard", "HARD"), Arg::word("soft", "SOFT")],
        )
        .optional()]),
    server("cluster|saveconfig", 2, S::ClusterSaveConfig)
        .about("3.0.0", "Writes the cluster's state to disk now.")
        .flags(&[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING]),
    server("cluster|set-config-epoch", 3, S::ClusterSetConfigEpoch)
        .about("3.0.0", "Sets the configuration epoch of a new node.")
        .flags(&[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING])
        .args(&[Arg::integer("config-epoch")]),
    server("cluster|setslot", -4, S::ClusterSetSlot)
        .about(
            "3.0.0",
            "Marks a slot as migrating, importing, stable, or owned by a node.",
        )
        .flags(&[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING])
        .args(&[
            Arg::integer("slot"),
            Arg::one_of(
                "subcommand",
                &[
                    Arg::string("node-id").after("IMPORTING"),
                    Arg::string("node-id").after("MIGRATING"),
                    Arg::string("node-id").after("NODE"),
                    Arg::word("stable", "STABLE"),
                ],
            ),
        ]),
    server("cluster|shards", 2, S::ClusterShards)
        .about("7.0.0", "Lists the shards: slots and nodes of each.")
        .complexity("O(N) for N nodes.")
        .flags(&[F::STALE])
        .tips(&["nondeterministic_output"]),
    server("cluster|slaves", 3, S::ClusterReplicas)
        .about("3.0.0", "Lists the replicas of a primary.")
        .complexity("O(N) for N replicas.")
        .flags(&[F::ADMIN, F::STALE])
        .tips(&["nondeterministic_output"])
        .deprecated("5.0.0", "`CLUSTER REPLICAS`")
        .args(&[Arg::string("node-id")]),
    server("cluster|slots", 2, S::ClusterSlots)
        .about("3.0.0", "Maps ranges of slots to nodes.")
        .complexity("O(N) for N nodes.")
        .flags(&[F::STALE])
        .tips(&["nondeterministic_output"])
        .deprecated("7.0.0", "`CLUSTER SHARDS`")
        .history(&[
            ("4.0.0", "Node ids."),
            ("7.0.0", "Further addresses of a node."),
        ]),
];
