//! Keys, whatever their type.

use crate::builder::{container, data, keyspace, pure, server};
use crate::command::{Command, ServerCommand as S};
use crate::docs::Arg;
use crate::flags::{AclCategories as A, CommandFlags as F};
use crate::handlers;
use crate::keys::{KeyFlags as K, KeySpec};

pub(super) const COMMANDS: &[Command] = &[
    data("copy", -3, handlers::copy)
        .about("6.2.0", "Copies a key's value and expiry to another key.")
        .complexity("O(1) for a string, O(N) for a value of N elements.")
        .flags(&[F::WRITE, F::DENYOOM])
        .acl(&[A::KEYSPACE])
        .key_specs(&[
            KeySpec::one(&[K::RO, K::ACCESS], 1),
            KeySpec::one(&[K::OW, K::UPDATE], 2),
        ])
        .args(&[
            Arg::key("source", 0),
            Arg::key("destination", 1),
            Arg::integer("destination-db").after("DB").optional(),
            Arg::word("replace", "REPLACE").optional(),
        ]),
    data("del", -2, handlers::del)
        .about("1.0.0", "Deletes keys.")
        .complexity("O(N) for N keys, plus O(M) for each that holds M elements.")
        .flags(&[F::WRITE])
        .acl(&[A::KEYSPACE])
        .key_specs(&[KeySpec::range(&[K::RM, K::DELETE], 1, -1, 1)])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .args(&[Arg::key("key", 0).multiple()]),
    data("dump", 2, handlers::dump)
        .about(
            "2.6.0",
            "Returns a key's value in a form that RESTORE takes.",
        )
        .complexity("O(N) for a value of N bytes or elements.")
        .flags(&[F::READONLY])
        .acl(&[A::KEYSPACE])
        .key_specs(&[KeySpec::one(&[K::RO, K::ACCESS], 1)])
        .tips(&["nondeterministic_output"])
        .args(&[Arg::key("key", 0)]),
    data("exists", -2, handlers::exists)
        .about("1.0.0", "Counts how many of the given keys are there.")
        .complexity("O(N) for N keys.")
        .flags(&[F::READONLY, F::FAST])
        .acl(&[A::KEYSPACE])
        .key_specs(&[KeySpec::range(&[K::RO], 1, -1, 1)])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .history(&[("3.0.3", "Several keys in one call.")])
        .args(&[Arg::key("key", 0).multiple()]),
    data("expire", -3, handlers::expire)
        .about("1.0.0", "Lets a key expire after some seconds.")
        .flags(&[F::WRITE, F::FAST])
        .acl(&[A::KEYSPACE])
        .key_specs(&[KeySpec::one(&[K::RW, K::UPDATE], 1)])
        .history(&[("7.0.0", "`NX`, `XX`, `GT`, `LT`.")])
        .args(&[
            Arg::key("key", 0),
            Arg::integer("seconds"),
            Arg::one_of(
                "condition",
                &[
                    Arg::word("nx", "NX"),
                    Arg::word("xx", "XX"),
                    Arg::word("gt", "GT"),
                    Arg::word("lt", "LT"),
                ],
            )
            .since("7.0.0")
            .optional(),
        ]),
    data("expireat", -3, handlers::expireat)
        .about("1.2.0", "Lets a key expire at a Unix time in seconds.")
        .flags(&[F::WRITE, F::FAST])
        .acl(&[A::KEYSPACE])
        .key_specs(&[KeySpec::one(&[K::RW, K::UPDATE], 1)])
        .history(&[("7.0.0", "`NX`, `XX`, `GT`, `LT`.")])
        .args(&[
            Arg::key("key", 0),
            Arg::unix_time("unix-time-seconds"),
            Arg::one_of(
                "condition",
                &[
                    Arg::word("nx", "NX"),
                    Arg::word("xx", "XX"),
                    Arg::word("gt", "GT"),
                    Arg::word("lt", "LT"),
                ],
            )
            .since("7.0.0")
            .optional(),
        ]),
    data("expiretime", 2, handlers::expiretime)
        .about(
            "7.0.0",
            "Returns the Unix time, in seconds, at which a key expires.",
        )
        .flags(&[F::READONLY, F::FAST])
        .acl(&[A::KEYSPACE])
        .key_specs(&[KeySpec::one(&[K::RO, K::ACCESS], 1)])
        .args(&[Arg::key("key", 0)]),
    keyspace("keys", 2, handlers::keys)
        .about("1.0.0", "Lists the keys that match a pattern.")
        .complexity("O(N) for N keys in the database.")
        .flags(&[F::READONLY])
        .acl(&[A::KEYSPACE, A::DANGEROUS])
        .tips(&["request_policy:all_shards", "nondeterministic_output_order"])
        .args(&[Arg::pattern("pattern")]),
    data("move", 3, handlers::move_key)
        .about("1.0.0", "Moves a key to another database.")
        .flags(&[F::WRITE, F::FAST])
        .acl(&[A::KEYSPACE])
        .key_specs(&[KeySpec::one(&[K::RW, K::ACCESS, K::UPDATE], 1)])
        .args(&[Arg::key("key", 0), Arg::integer("db")]),
    container("object", OBJECT).about("2.2.3", "Shows how keys are stored."),
    data("persist", 2, handlers::persist)
        .about("2.2.0", "Removes a key's expiry.")
        .flags(&[F::WRITE, F::FAST])
        .acl(&[A::KEYSPACE])
        .key_specs(&[KeySpec::one(&[K::RW, K::UPDATE], 1)])
        .args(&[Arg::key("key", 0)]),
    data("pexpire", -3, handlers::pexpire)
        .about("2.6.0", "Lets a key expire after some milliseconds.")
        .flags(&[F::WRITE, F::FAST])
        .acl(&[A::KEYSPACE])
        .key_specs(&[KeySpec::one(&[K::RW, K::UPDATE], 1)])
        .history(&[("7.0.0", "`NX`, `XX`, `GT`, `LT`.")])
        .args(&[
            Arg::key("key", 0),
            Arg::integer("milliseconds"),
            Arg::one_of(
                "condition",
                &[
                    Arg::word("nx", "NX"),
                    Arg::word("xx", "XX"),
                    Arg::word("gt", "GT"),
                    Arg::word("lt", "LT"),
                ],
            )
            .since("7.0.0")
            .optional(),
        ]),
    data("pexpireat", -3, handlers::pexpireat)
        .about("2.6.0", "Lets a key expire at a Unix time in milliseconds.")
        .flags(&[F::WRITE, F::FAST])
        .acl(&[A::KEYSPACE])
        .key_specs(&[KeySpec::one(&[K::RW, K::UPDATE], 1)])
        .history(&[("7.0.0", "`NX`, `XX`, `GT`, `LT`.")])
        .args(&[
            Arg::key("key", 0),
            Arg::unix_time("unix-time-milliseconds"),
            Arg::one_of(
                "condition",
                &[
                    Arg::word("nx", "NX"),
                    Arg::word("xx", "XX"),
                    Arg::word("gt", "GT"),
                    Arg::word("lt", "LT"),
                ],
            )
            .since("7.0.0")
            .optional(),
        ]),
    data("pexpiretime", 2, handlers::pexpiretime)
        .about(
            "7.0.0",
            "Returns the Unix time, in milliseconds, at which a key expires.",
        )
        .flags(&[F::READONLY, F::FAST])
        .acl(&[A::KEYSPACE])
        .key_specs(&[KeySpec::one(&[K::RO, K::ACCESS], 1)])
        .args(&[Arg::key("key", 0)]),
    data("pttl", 2, handlers::pttl)
        .about("2.6.0", "Returns the milliseconds until a key expires.")
        .flags(&[F::READONLY, F::FAST])
        .acl(&[A::KEYSPACE])
        .key_specs(&[KeySpec::one(&[K::RO, K::ACCESS], 1)])
        .tips(&["nondeterministic_output"])
        .history(&[("2.8.0", "-2 for a missing key.")])
        .args(&[Arg::key("key", 0)]),
    keyspace("randomkey", 1, handlers::randomkey)
        .about("1.0.0", "Returns a key picked at random.")
        .flags(&[F::READONLY])
        .acl(&[A::KEYSPACE])
        .tips(&["request_policy:all_shards", "nondeterministic_output"]),
    data("rename", 3, handlers::rename)
        .about(
            "1.0.0",
            "Renames a key, replacing one that has the new name.",
        )
        .flags(&[F::WRITE])
        .acl(&[A::KEYSPACE])
        .key_specs(&[
            KeySpec::one(&[K::RW, K::ACCESS, K::DELETE], 1),
            KeySpec::one(&[K::OW, K::UPDATE], 2),
        ])
        .args(&[Arg::key("key", 0), Arg::key("newkey", 1)]),
    data("renamenx", 3, handlers::renamenx)
        .about("1.0.0", "Renames a key unless the new name is taken.")
        .flags(&[F::WRITE, F::FAST])
        .acl(&[A::KEYSPACE])
        .key_specs(&[
            KeySpec::one(&[K::RW, K::ACCESS, K::DELETE], 1),
            KeySpec::one(&[K::OW, K::INSERT], 2),
        ])
        .history(&[("3.2.0", "Equal names are no error.")])
        .args(&[Arg::key("key", 0), Arg::key("newkey", 1)]),
    data("restore", -4, handlers::restore)
        .about("2.6.0", "Creates a key from what DUMP returned.")
        .complexity(RESTORE_COMPLEXITY)
        .flags(&[F::WRITE, F::DENYOOM])
        .acl(&[A::KEYSPACE, A::DANGEROUS])
        .key_specs(&[KeySpec::one(&[K::OW, K::UPDATE], 1)])
        .history(RESTORE_HISTORY)
        .args(RESTORE_ARGS),
    keyspace("scan", -2, handlers::scan)
        .about("2.8.0", "Walks over the keys, some at each call.")
        .complexity("O(1) a call, O(N) for a walk over N keys.")
        .flags(&[F::READONLY])
        .acl(&[A::KEYSPACE])
        .tips(&["nondeterministic_output", "request_policy:special"])
        .history(&[("6.0.0", "`TYPE`.")])
        .args(&[
            Arg::integer("cursor"),
            Arg::pattern("pattern").after("MATCH").optional(),
            Arg::integer("count").after("COUNT").optional(),
            Arg::string("type").after("TYPE").since("6.0.0").optional(),
        ]),
    data("touch", -2, handlers::touch)
        .about(
            "3.2.1",
            "Marks keys as just accessed and counts those that are there.",
        )
        .complexity("O(N) for N keys.")
        .flags(&[F::READONLY, F::FAST])
        .acl(&[A::KEYSPACE])
        .key_specs(&[KeySpec::range(&[K::RO], 1, -1, 1)])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .args(&[Arg::key("key", 0).multiple()]),
    data("ttl", 2, handlers::ttl)
        .about("1.0.0", "Returns the seconds until a key expires.")
        .flags(&[F::READONLY, F::FAST])
        .acl(&[A::KEYSPACE])
        .key_specs(&[KeySpec::one(&[K::RO, K::ACCESS], 1)])
        .tips(&["nondeterministic_output"])
        .history(&[("2.8.0", "-2 for a missing key.")])
        .args(&[Arg::key("key", 0)]),
    data("type", 2, handlers::type_of)
        .about("1.0.0", "Returns the type of a key's value.")
        .flags(&[F::READONLY, F::FAST])
        .acl(&[A::KEYSPACE])
        .key_specs(&[KeySpec::one(&[K::RO], 1)])
        .args(&[Arg::key("key", 0)]),
    data("unlink", -2, handlers::del)
        .about(
            "4.0.0",
            "Deletes keys and frees large values in the background.",
        )
        .complexity("O(1) a key; freeing its value takes as long as in DEL, elsewhere.")
        .flags(&[F::WRITE, F::FAST])
        .acl(&[A::KEYSPACE])
        .key_specs(&[KeySpec::range(&[K::RM, K::DELETE], 1, -1, 1)])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .args(&[Arg::key("key", 0).multiple()]),
    server("wait", 3, S::Wait)
        .about(
            "3.0.0",
            "Waits until replicas have acknowledged the connection's writes.",
        )
        .flags(&[F::NOSCRIPT])
        .acl(&[A::CONNECTION])
        .tips(&["request_policy:all_shards", "response_policy:agg_min"])
        .args(&[Arg::integer("numreplicas"), Arg::integer("timeout")]),
];

pub(super) const RESTORE_COMPLEXITY: &str =
    "O(N) for a value of N bytes or elements, O(N*log(N)) for a sorted set.";

pub(super) const RESTORE_HISTORY: &[(&str, &str)] = &[
    ("3.0.0", "`REPLACE`."),
    ("5.0.0", "`ABSTTL`."),
    ("5.0.0", "`IDLETIME` and `FREQ`."),
];

pub(super) const RESTORE_ARGS: &[Arg] = &[
    Arg::key("key", 0),
    Arg::integer("ttl"),
    Arg::string("serialized-value"),
    Arg::word("replace", "REPLACE").since("3.0.0").optional(),
    Arg::word("absttl", "ABSTTL").since("5.0.0").optional(),
    Arg::integer("seconds")
        .after("IDLETIME")
        .since("5.0.0")
        .optional(),
    Arg::integer("frequency")
        .after("FREQ")
        .since("5.0.0")
        .optional(),
];

const OBJECT: &[Command] = &[
    data("object|encoding", 3, handlers::object_encoding)
        .about(
            "2.2.3",
            "Returns the name of the representation in which a value is stored.",
        )
        .flags(&[F::READONLY])
        .acl(&[A::KEYSPACE])
        .key_specs(&[KeySpec::one(&[K::RO], 2)])
        .tips(&["nondeterministic_output"])
        .args(&[Arg::key("key", 0)]),
    data("object|freq", 3, handlers::object_freq)
        .about(
            "4.0.0",
            "Returns a key's access frequency on the logarithmic LFU scale.",
        )
        .flags(&[F::READONLY])
        .acl(&[A::KEYSPACE])
        .key_specs(&[KeySpec::one(&[K::RO], 2)])
        .tips(&["nondeterministic_output"])
        .args(&[Arg::key("key", 0)]),
    pure("object|help", 2, handlers::object_help)
        .about("6.2.0", "Lists the subcommands.")
        .flags(&[F::LOADING, F::STALE])
        .acl(&[A::KEYSPACE]),
    data("object|idletime", 3, handlers::object_idletime)
        .about(
            "2.2.3",
            "Returns the seconds since a key was last accessed.",
        )
        .flags(&[F::READONLY])
        .acl(&[A::KEYSPACE])
        .key_specs(&[KeySpec::one(&[K::RO], 2)])
        .tips(&["nondeterministic_output"])
        .args(&[Arg::key("key", 0)]),
    data("object|refcount", 3, handlers::object_refcount)
        .about("2.2.3", "Returns how many references there are to a value.")
        .flags(&[F::READONLY])
        .acl(&[A::KEYSPACE])
        .key_specs(&[KeySpec::one(&[K::RO], 2)])
        .tips(&["nondeterministic_output"])
        .args(&[Arg::key("key", 0)]),
];
