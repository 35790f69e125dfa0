//! Transactions.

use crate::builder::server;
use crate::command::{Command, ServerCommand as S};
use crate::docs::Arg;
use crate::flags::{AclCategories as A, CommandFlags as F};
use crate::keys::{KeyFlags as K, KeySpec};

pub(super) const COMMANDS: &[Command] = &[
    server("discard", 1, S::Discard)
        .about("2.0.0", "Drops the commands queued since MULTI.")
        .complexity("O(N) for N queued commands.")
        .flags(&[F::NOSCRIPT, F::LOADING, F::STALE, F::FAST, F::ALLOW_BUSY])
        .acl(&[A::TRANSACTION]),
    server("exec", 1, S::Exec)
        .about(
            "1.2.0",
            "Runs the commands queued since MULTI, unless a watched key has changed.",
        )
        .complexity("That of the queued commands.")
        .flags(&[F::NOSCRIPT, F::LOADING, F::STALE, F::SKIP_SLOWLOG])
        .acl(&[A::TRANSACTION]),
    server("multi", 1, S::Multi)
        .about("1.2.0", "Starts to queue commands for one EXEC.")
        .flags(&[F::NOSCRIPT, F::LOADING, F::STALE, F::FAST, F::ALLOW_BUSY])
        .acl(&[A::TRANSACTION]),
    server("unwatch", 1, S::Unwatch)
        .about("2.2.0", "Stops watching all keys.")
        .flags(&[F::NOSCRIPT, F::LOADING, F::STALE, F::FAST, F::ALLOW_BUSY])
        .acl(&[A::TRANSACTION]),
    server("watch", -2, S::Watch)
        .about(
            "2.2.0",
            "Makes the next EXEC depend on keys staying as they are.",
        )
        .complexity("O(1) a key.")
        .flags(&[F::NOSCRIPT, F::LOADING, F::STALE, F::FAST, F::ALLOW_BUSY])
        .acl(&[A::TRANSACTION])
        .key_specs(&[KeySpec::range(&[K::RO], 1, -1, 1)])
        .args(&[Arg::key("key", 0).multiple()]),
];
