//! Strings.

use crate::builder::data;
use crate::command::Command;
use crate::docs::Arg;
use crate::flags::{AclCategories as A, CommandFlags as F};
use crate::keys::{KeyFlags as K, KeySpec};
use crate::{Args, handlers};

pub(super) const COMMANDS: &[Command] = &[
    data("append", 3, handlers::append)
        .about(
            "2.0.0",
            "Appends to a string, which starts empty if the key is missing.",
        )
        .complexity("O(M) for M bytes appended, amortized over the growth of the string.")
        .flags(&[F::WRITE, F::DENYOOM, F::FAST])
        .acl(&[A::STRING])
        .key_specs(&[KeySpec::one(&[K::RW, K::INSERT], 1)])
        .args(&[Arg::key("key", 0), Arg::string("value")]),
    data("decr", 2, handlers::decr)
        .about("1.0.0", "Subtracts one from a key's integer.")
        .flags(&[F::WRITE, F::DENYOOM, F::FAST])
        .acl(&[A::STRING])
        .key_specs(&[KeySpec::one(&[K::RW, K::ACCESS, K::UPDATE], 1)])
        .args(&[Arg::key("key", 0)]),
    data("decrby", 3, handlers::decrby)
        .about("1.0.0", "Subtracts a number from a key's integer.")
        .flags(&[F::WRITE, F::DENYOOM, F::FAST])
        .acl(&[A::STRING])
        .key_specs(&[KeySpec::one(&[K::RW, K::ACCESS, K::UPDATE], 1)])
        .args(&[Arg::key("key", 0), Arg::integer("decrement")]),
    data("get", 2, handlers::get)
        .about("1.0.0", "Returns a key's string.")
        .flags(&[F::READONLY, F::FAST])
        .acl(&[A::STRING])
        .key_specs(&[KeySpec::one(&[K::RO, K::ACCESS], 1)])
        .args(&[Arg::key("key", 0)]),
    data("getdel", 2, handlers::getdel)
        .about("6.2.0", "Returns a key's string and deletes the key.")
        .flags(&[F::WRITE, F::FAST])
        .acl(&[A::STRING])
        .key_specs(&[KeySpec::one(&[K::RW, K::ACCESS, K::DELETE], 1)])
        .args(&[Arg::key("key", 0)]),
    data("getex", -2, handlers::getex)
        .about(
            "6.2.0",
            "Returns a key's string and sets or removes the key's expiry.",
        )
        .flags(&[F::WRITE, F::FAST])
        .acl(&[A::STRING])
        .key_specs(&[KeySpec::one(&[K::RW, K::ACCESS, K::UPDATE], 1)
            .notes("Changes the expiry, so RW and UPDATE.")])
        .args(&[
            Arg::key("key", 0),
            Arg::one_of(
                "expiration",
                &[
                    Arg::integer("seconds").after("EX"),
                    Arg::integer("milliseconds").after("PX"),
                    Arg::unix_time("unix-time-seconds").after("EXAT"),
                    Arg::unix_time("unix-time-milliseconds").after("PXAT"),
                    Arg::word("persist", "PERSIST"),
                ],
            )
            .optional(),
        ]),
    data("getrange", 4, handlers::getrange)
        .about("2.4.0", "Returns the part of a string between two offsets.")
        .complexity("O(N) for N bytes returned.")
        .flags(&[F::READONLY])
        .acl(&[A::STRING])
        .key_specs(&[KeySpec::one(&[K::RO, K::ACCESS], 1)])
        .args(&[
            Arg::key("key", 0),
            Arg::integer("start"),
            Arg::integer("end"),
        ]),
    data("getset", 3, handlers::getset)
        .about("1.0.0", "Replaces a key's string and returns the old one.")
        .flags(&[F::WRITE, F::DENYOOM, F::FAST])
        .acl(&[A::STRING])
        .key_specs(&[KeySpec::one(&[K::RW, K::ACCESS, K::UPDATE], 1)])
        .deprecated("6.2.0", "`SET` with `GET`")
        .args(&[Arg::key("key", 0), Arg::string("value")]),
    data("incr", 2, handlers::incr)
        .about("1.0.0", "Adds one to a key's integer.")
        .flags(&[F::WRITE, F::DENYOOM, F::FAST])
        .acl(&[A::STRING])
        .key_specs(&[KeySpec::one(&[K::RW, K::ACCESS, K::UPDATE], 1)])
        .args(&[Arg::key("key", 0)]),
    data("incrby", 3, handlers::incrby)
        .about("1.0.0", "Adds a number to a key's integer.")
        .flags(&[F::WRITE, F::DENYOOM, F::FAST])
        .acl(&[A::STRING])
        .key_specs(&[KeySpec::one(&[K::RW, K::ACCESS, K::UPDATE], 1)])
        .args(&[Arg::key("key", 0), Arg::integer("increment")]),
    data("incrbyfloat", 3, handlers::incrbyfloat)
        .about("2.6.0", "Adds a number to a key's floating-point number.")
        .flags(&[F::WRITE, F::DENYOOM, F::FAST])
        .acl(&[A::STRING])
        .key_specs(&[KeySpec::one(&[K::RW, K::ACCESS, K::UPDATE], 1)])
        .args(&[Arg::key("key", 0), Arg::double("increment")]),
    data("lcs", -3, handlers::lcs)
        .about(
            "7.0.0",
            "Finds the longest subsequence that two strings have in common.",
        )
        .complexity("O(N*M) for strings of N and M bytes.")
        .flags(&[F::READONLY])
        .acl(&[A::STRING])
        .key_specs(&[KeySpec::range(&[K::RO, K::ACCESS], 1, 1, 1)])
        .args(&[
            Arg::key("key1", 0),
            Arg::key("key2", 0),
            Arg::word("len", "LEN").optional(),
            Arg::word("idx", "IDX").optional(),
            Arg::integer("len").after("MINMATCHLEN").optional(),
            Arg::word("withmatchlen", "WITHMATCHLEN").optional(),
        ]),
    data("mget", -2, handlers::mget)
        .about("1.0.0", "Returns the strings of several keys.")
        .complexity("O(N) for N keys.")
        .flags(&[F::READONLY, F::FAST])
        .acl(&[A::STRING])
        .key_specs(&[KeySpec::range(&[K::RO, K::ACCESS], 1, -1, 1)])
        .tips(&["request_policy:multi_shard"])
        .args(&[Arg::key("key", 0).multiple()]),
    data("mset", -3, handlers::mset)
        .about("1.0.1", "Sets several keys to a string each, all at once.")
        .complexity("O(N) for N keys.")
        .flags(&[F::WRITE, F::DENYOOM])
        .acl(&[A::STRING])
        .key_specs(&[KeySpec::range(&[K::OW, K::UPDATE], 1, -1, 2)])
        .tips(&[
            "request_policy:multi_shard",
            "response_policy:all_succeeded",
        ])
        .args(&[Arg::block("key_value", &[Arg::key("key", 0), Arg::string("value")]).multiple()]),
    data("msetnx", -3, handlers::msetnx)
        .about(
            "1.0.1",
            "Sets several keys to a string each, unless one of them is there.",
        )
        .complexity("O(N) for N keys.")
        .flags(&[F::WRITE, F::DENYOOM])
        .acl(&[A::STRING])
        .key_specs(&[KeySpec::range(&[K::OW, K::INSERT], 1, -1, 2)])
        .tips(&["request_policy:multi_shard", "response_policy:agg_min"])
        .args(&[Arg::block("key_value", &[Arg::key("key", 0), Arg::string("value")]).multiple()]),
    data("psetex", 4, handlers::psetex)
        .about(
            "2.6.0",
            "Sets a key to a string that expires after some milliseconds.",
        )
        .flags(&[F::WRITE, F::DENYOOM])
        .acl(&[A::STRING])
        .key_specs(&[KeySpec::one(&[K::OW, K::UPDATE], 1)])
        .args(&[
            Arg::key("key", 0),
            Arg::integer("milliseconds"),
            Arg::string("value"),
        ]),
    data("set", -3, handlers::set)
        .about(
            "1.0.0",
            "Sets a key to a string, whatever type it held before.",
        )
        .flags(&[F::WRITE, F::DENYOOM])
        .acl(&[A::STRING])
        .key_specs(&[
            KeySpec::one(&[K::RW, K::ACCESS, K::UPDATE, K::VARIABLE_FLAGS], 1)
                .notes("GET makes it RW and ACCESS."),
        ])
        .key_flags(set_key_flags)
        .history(&[
            ("2.6.12", "`EX`, `PX`, `NX`, `XX`."),
            ("6.0.0", "`KEEPTTL`."),
            ("6.2.0", "`GET`, `EXAT`, `PXAT`."),
            ("7.0.0", "`NX` together with `GET`."),
        ])
        .args(&[
            Arg::key("key", 0),
            Arg::string("value"),
            Arg::one_of("condition", &[Arg::word("nx", "NX"), Arg::word("xx", "XX")])
                .since("2.6.12")
                .optional(),
            Arg::word("get", "GET").since("6.2.0").optional(),
            Arg::one_of(
                "expiration",
                &[
                    Arg::integer("seconds").after("EX").since("2.6.12"),
                    Arg::integer("milliseconds").after("PX").since("2.6.12"),
                    Arg::unix_time("unix-time-seconds")
                        .after("EXAT")
                        .since("6.2.0"),
                    Arg::unix_time("unix-time-milliseconds")
                        .after("PXAT")
                        .since("6.2.0"),
                    Arg::word("keepttl", "KEEPTTL").since("6.0.0"),
                ],
            )
            .optional(),
        ]),
    data("setex", 4, handlers::setex)
        .about(
            "2.0.0",
            "Sets a key to a string that expires after some seconds.",
        )
        .flags(&[F::WRITE, F::DENYOOM])
        .acl(&[A::STRING])
        .key_specs(&[KeySpec::one(&[K::OW, K::UPDATE], 1)])
        .args(&[
            Arg::key("key", 0),
            Arg::integer("seconds"),
            Arg::string("value"),
        ]),
    data("setnx", 3, handlers::setnx)
        .about("1.0.0", "Sets a key to a string unless it is there.")
        .flags(&[F::WRITE, F::DENYOOM, F::FAST])
        .acl(&[A::STRING])
        .key_specs(&[KeySpec::one(&[K::OW, K::INSERT], 1)])
        .args(&[Arg::key("key", 0), Arg::string("value")]),
    data("setrange", 4, handlers::setrange)
        .about(
            "2.2.0",
            "Overwrites a string from an offset on and lengthens it as needed.",
        )
        .complexity("O(M) for M bytes written, plus the zeros that fill a gap.")
        .flags(&[F::WRITE, F::DENYOOM])
        .acl(&[A::STRING])
        .key_specs(&[KeySpec::one(&[K::RW, K::UPDATE], 1)])
        .args(&[
            Arg::key("key", 0),
            Arg::integer("offset"),
            Arg::string("value"),
        ]),
    data("strlen", 2, handlers::strlen)
        .about("2.2.0", "Returns the length of a string.")
        .flags(&[F::READONLY, F::FAST])
        .acl(&[A::STRING])
        .key_specs(&[KeySpec::one(&[K::RO], 1)])
        .args(&[Arg::key("key", 0)]),
    data("substr", 4, handlers::getrange)
        .about("1.0.0", "Returns the part of a string between two offsets.")
        .complexity("O(N) for N bytes returned.")
        .flags(&[F::READONLY])
        .acl(&[A::STRING])
        .key_specs(&[KeySpec::one(&[K::RO, K::ACCESS], 1)])
        .deprecated("2.0.0", "`GETRANGE`")
        .args(&[
            Arg::key("key", 0),
            Arg::integer("start"),
            Arg::integer("end"),
        ]),
];

/// SET reads the old value only when it returns it.
fn set_key_flags(args: &Args<'_>) -> K {
    match args
        .slice(3)
        .iter()
        .any(|option| option.eq_ignore_ascii_case(b"get"))
    {
        true => K::RW.union(K::ACCESS).union(K::UPDATE),
        false => K::OW.union(K::UPDATE),
    }
}
