//! The server.

use super::generic::{RESTORE_ARGS, RESTORE_COMPLEXITY, RESTORE_HISTORY};
use crate::builder::{container, data, keyspace, pure, server};
use crate::command::{Command, ServerCommand as S};
use crate::docs::Arg;
use crate::flags::{AclCategories as A, CommandFlags as F};
use crate::keys::{KeyFlags as K, KeySpec};
use crate::{handlers, introspect, pure};

pub(super) const COMMANDS: &[Command] = &[
    pure("command", -1, introspect::command)
        .nested(COMMAND)
        .about("2.8.13", "Describes all commands.")
        .complexity("O(N) for N commands.")
        .flags(&[F::LOADING, F::STALE])
        .acl(&[A::CONNECTION])
        .tips(&["nondeterministic_output_order"]),
    container("config", CONFIG).about("2.0.0", "Shows and changes the configuration."),
    keyspace("dbsize", 1, handlers::dbsize)
        .about("1.0.0", "Returns the number of keys in the database.")
        .flags(&[F::READONLY, F::FAST])
        .acl(&[A::KEYSPACE])
        .tips(&["request_policy:all_shards", "response_policy:agg_sum"]),
    server("debug", -2, S::Debug)
        .about("1.0.0", "Does what tests of the server need.")
        .complexity("Depends on the subcommand.")
        .flags(&[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE])
        .syscmd(),
    keyspace("flushall", -1, handlers::flushall)
        .about("1.0.0", "Deletes all keys of all databases.")
        .complexity("O(N) for N keys in all databases.")
        .flags(&[F::WRITE])
        .acl(&[A::KEYSPACE, A::DANGEROUS])
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .history(&[("4.0.0", "`ASYNC`."), ("6.2.0", "`SYNC`.")])
        .args(&[Arg::one_of(
            "async",
            &[
                Arg::word("async", "ASYNC").since("4.0.0"),
                Arg::word("sync", "SYNC").since("6.2.0"),
            ],
        )
        .optional()]),
    keyspace("flushdb", -1, handlers::flushdb)
        .about("1.0.0", "Deletes all keys of the database.")
        .complexity("O(N) for N keys in the database.")
        .flags(&[F::WRITE])
        .acl(&[A::KEYSPACE, A::DANGEROUS])
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .history(&[("4.0.0", "`ASYNC`."), ("6.2.0", "`SYNC`.")])
        .args(&[Arg::one_of(
            "async",
            &[
                Arg::word("async", "ASYNC").since("4.0.0"),
                Arg::word("sync", "SYNC").since("6.2.0"),
            ],
        )
        .optional()]),
    server("info", -1, S::Info)
        .about("1.0.0", "Reports on the server in text.")
        .flags(&[F::LOADING, F::STALE])
        .acl(&[A::DANGEROUS])
        .tips(&[
            "nondeterministic_output",
            "request_policy:all_shards",
            "response_policy:special",
        ])
        .history(&[("7.0.0", "Several sections in one call.")])
        .args(&[Arg::string("section").optional().multiple()]),
    server("lastsave", 1, S::LastSave)
        .about(
            "1.0.0",
            "Returns the Unix time of the last successful save.",
        )
        .flags(&[F::LOADING, F::STALE, F::FAST])
        .acl(&[A::ADMIN, A::DANGEROUS])
        .tips(&["nondeterministic_output"]),
    container("memory", MEMORY).about("4.0.0", "Reports on memory."),
    server("failover", -1, S::Failover)
        .about(
            "6.2.0",
            "Hands over to a replica once that has all the data.",
        )
        .flags(&[F::ADMIN, F::NOSCRIPT, F::STALE])
        .args(&[
            Arg::block(
                "target",
                &[
                    Arg::string("host"),
                    Arg::integer("port"),
                    Arg::word("force", "FORCE").optional(),
                ],
            )
            .after("TO")
            .optional(),
            Arg::word("abort", "ABORT").optional(),
            Arg::integer("milliseconds").after("TIMEOUT").optional(),
        ]),
    server("psync", -3, S::Psync)
        .about(
            "2.8.0",
            "A replica asks for the stream, and for the data if need be.",
        )
        .complexity("")
        .flags(&[F::ADMIN, F::NOSCRIPT, F::NO_ASYNC_LOADING, F::NO_MULTI])
        .args(&[Arg::string("replicationid"), Arg::integer("offset")]),
    server("replconf", -1, S::ReplConf)
        .about("3.0.0", "What a replica says about itself.")
        .flags(&[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE, F::ALLOW_BUSY])
        .syscmd(),
    server("replicaof", 3, S::ReplicaOf)
        .about(
            "5.0.0",
            "Makes the server a replica of another, or a primary.",
        )
        .flags(&[F::ADMIN, F::NOSCRIPT, F::STALE, F::NO_ASYNC_LOADING])
        .args(PRIMARY),
    data("restore-asking", -4, handlers::restore)
        .about(
            "3.0.0",
            "RESTORE for keys that move to this node, in a slot that is being imported.",
        )
        .complexity(RESTORE_COMPLEXITY)
        .flags(&[F::WRITE, F::DENYOOM, F::ASKING])
        .acl(&[A::KEYSPACE, A::DANGEROUS])
        .key_specs(&[KeySpec::one(&[K::OW, K::UPDATE], 1)])
        .history(RESTORE_HISTORY)
        .args(RESTORE_ARGS)
        .syscmd(),
    server("role", 1, S::Role)
        .about(
            "2.8.12",
            "Tells whether this is a primary or a replica, and how far replication is.",
        )
        .flags(&[F::NOSCRIPT, F::LOADING, F::STALE, F::FAST])
        .acl(&[A::ADMIN, A::DANGEROUS]),
    server("shutdown", -1, S::Shutdown)
        .about("1.0.0", "Saves if configured to, and ends the server.")
        .complexity("O(N) for N keys when saving, O(1) otherwise.")
        .flags(&[
            F::ADMIN,
            F::NOSCRIPT,
            F::LOADING,
            F::STALE,
            F::NO_MULTI,
            F::ALLOW_BUSY,
        ])
        .history(&[("7.0.0", "`NOW`, `FORCE`, `ABORT`.")])
        .args(&[
            Arg::one_of(
                "nosave_save",
                &[Arg::word("nosave", "NOSAVE"), Arg::word("save", "SAVE")],
            )
            .optional(),
            Arg::word("now", "NOW").since("7.0.0").optional(),
            Arg::word("force", "FORCE").since("7.0.0").optional(),
            Arg::word("abort", "ABORT").since("7.0.0").optional(),
        ]),
    server("slaveof", 3, S::ReplicaOf)
        .about(
            "1.0.0",
            "Makes the server a replica of another, or a primary.",
        )
        .deprecated("5.0.0", "`REPLICAOF`")
        .flags(&[F::ADMIN, F::NOSCRIPT, F::STALE, F::NO_ASYNC_LOADING])
        .args(PRIMARY),
    container("slowlog", SLOWLOG).about("2.2.12", "Shows the commands that took long."),
    keyspace("swapdb", 3, handlers::swapdb)
        .about("4.0.0", "Exchanges two databases, for all clients at once.")
        .complexity("O(N) for N clients that watch keys of either.")
        .flags(&[F::WRITE, F::FAST])
        .acl(&[A::KEYSPACE, A::DANGEROUS])
        .args(&[Arg::integer("index1"), Arg::integer("index2")]),
    server("sync", 1, S::Sync)
        .about("1.0.0", "A replica asks for all data and then the stream.")
        .complexity("")
        .flags(&[F::ADMIN, F::NOSCRIPT, F::NO_ASYNC_LOADING, F::NO_MULTI]),
    server("time", 1, S::Time)
        .about("2.6.0", "Returns the server's Unix time with microseconds.")
        .flags(&[F::LOADING, F::STALE, F::FAST])
        .tips(&["nondeterministic_output"]),
];

/// The arguments of REPLICAOF.
const PRIMARY: &[Arg] = &[Arg::one_of(
    "args",
    &[
        Arg::block("host-port", &[Arg::string("host"), Arg::integer("port")]),
        Arg::block("no-one", &[Arg::word("no", "NO"), Arg::word("one", "ONE")]),
    ],
)];

const COMMAND: &[Command] = &[
    pure("command|count", 2, introspect::count)
        .about("2.8.13", "Returns the number of commands.")
        .flags(&[F::LOADING, F::STALE])
        .acl(&[A::CONNECTION]),
    pure("command|docs", -2, introspect::docs)
        .about("7.0.0", "Documents commands: purpose, arguments, history.")
        .complexity("O(N) for N commands named.")
        .flags(&[F::LOADING, F::STALE])
        .acl(&[A::CONNECTION])
        .tips(&["nondeterministic_output_order"])
        .args(&[Arg::string("command-name").optional().multiple()]),
    pure("command|getkeys", -4, introspect::getkeys)
        .about("2.8.13", "Picks the keys out of a command line.")
        .complexity("O(N) for N arguments.")
        .flags(&[F::LOADING, F::STALE])
        .acl(&[A::CONNECTION]),
    pure("command|getkeysandflags", -4, introspect::getkeysandflags)
        .about(
            "7.0.0",
            "Picks the keys out of a command line, with what it does to each.",
        )
        .complexity("O(N) for N arguments.")
        .flags(&[F::LOADING, F::STALE])
        .acl(&[A::CONNECTION]),
    pure("command|help", 2, pure::command_help)
        .about("5.0.0", "Lists the subcommands.")
        .flags(&[F::LOADING, F::STALE])
        .acl(&[A::CONNECTION]),
    pure("command|info", -2, introspect::info)
        .about(
            "2.8.13",
            "Describes the given commands: arity, flags, keys.",
        )
        .complexity("O(N) for N commands named.")
        .flags(&[F::LOADING, F::STALE])
        .acl(&[A::CONNECTION])
        .tips(&["nondeterministic_output_order"])
        .history(&[("7.0.0", "Without a name: all commands.")])
        .args(&[Arg::string("command-name").optional().multiple()]),
    pure("command|list", -2, introspect::list)
        .about(
            "7.0.0",
            "Lists command names, all or those that pass a filter.",
        )
        .complexity("O(N) for N commands.")
        .flags(&[F::LOADING, F::STALE])
        .acl(&[A::CONNECTION])
        .tips(&["nondeterministic_output_order"])
        .args(&[Arg::one_of(
            "filterby",
            &[
                Arg::string("module-name").after("MODULE"),
                Arg::string("category").after("ACLCAT"),
                Arg::pattern("pattern").after("PATTERN"),
            ],
        )
        .after("FILTERBY")
        .optional()]),
];

const CONFIG: &[Command] = &[
    server("config|get", -3, S::ConfigGet)
        .about(
            "2.0.0",
            "Returns the directives that match patterns, with their values.",
        )
        .complexity("O(N) for N patterns.")
        .flags(&[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE])
        .history(&[("7.0.0", "Several patterns in one call.")])
        .args(&[Arg::block("parameter", &[Arg::string("parameter")]).multiple()]),
    pure("config|help", 2, pure::config_help)
        .about("5.0.0", "Lists the subcommands.")
        .flags(&[F::LOADING, F::STALE]),
    server("config|resetstat", 2, S::ConfigResetStat)
        .about("2.0.0", "Sets the counters that INFO shows back to zero.")
        .flags(&[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE]),
    server("config|rewrite", 2, S::ConfigRewrite)
        .about("2.8.0", "Writes the current configuration to its file.")
        .flags(&[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE]),
    server("config|set", -4, S::ConfigSet)
        .about("2.0.0", "Changes directives, all of them or none.")
        .complexity("O(N) for N directives.")
        .flags(&[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE])
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .history(&[("7.0.0", "Several directives in one call.")])
        .args(&[Arg::block(
            "parameter_value",
            &[Arg::string("parameter"), Arg::string("value")],
        )
        .multiple()]),
];

const MEMORY: &[Command] = &[
    server("memory|doctor", 2, S::MemoryDoctor)
        .about("4.0.0", "Names problems with memory use, if it sees any.")
        .tips(&[
            "nondeterministic_output",
            "request_policy:all_shards",
            "response_policy:special",
        ]),
    pure("memory|help", 2, pure::memory_help)
        .about("4.0.0", "Lists the subcommands.")
        .flags(&[F::LOADING, F::STALE]),
    server("memory|malloc-stats", 2, S::MemoryMallocStats)
        .about("4.0.0", "Returns the allocator's own report.")
        .complexity("Grows with the memory in use.")
        .tips(&[
            "nondeterministic_output",
            "request_policy:all_shards",
            "response_policy:special",
        ]),
    server("memory|purge", 2, S::MemoryPurge)
        .about("4.0.0", "Has the allocator give unused pages back.")
        .complexity("Grows with the memory in use.")
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]),
    server("memory|stats", 2, S::MemoryStats)
        .about("4.0.0", "Tells what the memory is used for.")
        .tips(&[
            "nondeterministic_output",
            "request_policy:all_shards",
            "response_policy:special",
        ]),
    data("memory|usage", -3, handlers::memory_usage)
        .about("4.0.0", "Returns how many bytes a key and its value take.")
        .complexity("O(N) for N samples.")
        .flags(&[F::READONLY])
        .key_specs(&[KeySpec::one(&[K::RO], 2)])
        .args(&[
            Arg::key("key", 0),
            Arg::integer("count").after("SAMPLES").optional(),
        ]),
];

const SLOWLOG: &[Command] = &[
    server("slowlog|get", -2, S::SlowlogGet)
        .about("2.2.12", "Returns the newest entries of the slow log.")
        .complexity("O(N) for N entries returned.")
        .flags(&[F::ADMIN, F::LOADING, F::STALE])
        .tips(&["request_policy:all_nodes", "nondeterministic_output"])
        .history(&[("4.0.0", "Entries tell the client's address and name.")])
        .args(&[Arg::integer("count").optional()]),
    pure("slowlog|help", 2, pure::slowlog_help)
        .about("6.2.0", "Lists the subcommands.")
        .flags(&[F::LOADING, F::STALE]),
    server("slowlog|len", 2, S::SlowlogLen)
        .about("2.2.12", "Returns the number of entries in the slow log.")
        .flags(&[F::ADMIN, F::LOADING, F::STALE])
        .tips(&[
            "request_policy:all_nodes",
            "response_policy:agg_sum",
            "nondeterministic_output",
        ]),
    server("slowlog|reset", 2, S::SlowlogReset)
        .about("2.2.12", "Empties the slow log.")
        .complexity("O(N) for N entries.")
        .flags(&[F::ADMIN, F::LOADING, F::STALE])
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
];
