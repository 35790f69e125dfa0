//! What a command may do and whom ACL lets do it: two sets of bits with the names that COMMAND INFO
//! gives them.

use bitflags::bitflags;

bitflags! {
    /// How the server treats a command. Names: [`CommandFlags::names`].
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct CommandFlags: u32 {
        /// May change the dataset.
        const WRITE = 1 << 0;
        /// Reads the dataset only; a replica may serve it.
        const READONLY = 1 << 1;
        /// Refused while memory is above `maxmemory` and nothing can be evicted.
        const DENYOOM = 1 << 2;
        /// For operators.
        const ADMIN = 1 << 3;
        /// Part of publish/subscribe.
        const PUBSUB = 1 << 4;
        /// Not to be called by scripts.
        const NOSCRIPT = 1 << 5;
        /// May block its client.
        const BLOCKING = 1 << 6;
        /// Allowed while the dataset is being loaded.
        const LOADING = 1 << 7;
        /// Allowed on a replica that has lost its primary and does not serve stale data.
        const STALE = 1 << 8;
        /// Not shown to MONITOR.
        const SKIP_MONITOR = 1 << 9;
        /// Not logged by the slow log.
        const SKIP_SLOWLOG = 1 << 10;
        /// Served for an importing slot without ASKING.
        const ASKING = 1 << 11;
        /// O(1) or O(log n): never slow by itself.
        const FAST = 1 << 12;
        /// Allowed before authentication.
        const NO_AUTH = 1 << 13;
        /// May replicate something though it is no write command.
        const MAY_REPLICATE = 1 << 14;
        /// Takes keys but may be called without any.
        const NO_MANDATORY_KEYS = 1 << 15;
        /// Off unless a `enable-…-command` directive allows it.
        const PROTECTED = 1 << 16;
        /// Refused while a replica loads its dataset in the background.
        const NO_ASYNC_LOADING = 1 << 17;
        /// Not allowed in a transaction.
        const NO_MULTI = 1 << 18;
        /// Allowed while a script runs for too long.
        const ALLOW_BUSY = 1 << 19;
        /// The key specs do not find every key; [`Command::keys`](crate::Command::keys) does.
        const MOVABLEKEYS = 1 << 20;
    }
}

bitflags! {
    /// The ACL categories that a command belongs to. Names: [`AclCategories::names`].
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct AclCategories: u32 {
        /// Keys whatever their type.
        const KEYSPACE = 1 << 0;
        /// Reads keys.
        const READ = 1 << 1;
        /// Writes keys.
        const WRITE = 1 << 2;
        /// Sets.
        const SET = 1 << 3;
        /// Sorted sets.
        const SORTEDSET = 1 << 4;
        /// Lists.
        const LIST = 1 << 5;
        /// Hashes.
        const HASH = 1 << 6;
        /// Strings.
        const STRING = 1 << 7;
        /// Bitmaps.
        const BITMAP = 1 << 8;
        /// HyperLogLogs.
        const HYPERLOGLOG = 1 << 9;
        /// Geospatial indexes.
        const GEO = 1 << 10;
        /// Streams.
        const STREAM = 1 << 11;
        /// Publish/subscribe.
        const PUBSUB = 1 << 12;
        /// For operators.
        const ADMIN = 1 << 13;
        /// Never slow by itself.
        const FAST = 1 << 14;
        /// All that is not fast.
        const SLOW = 1 << 15;
        /// May block its client.
        const BLOCKING = 1 << 16;
        /// Can harm the service when misused.
        const DANGEROUS = 1 << 17;
        /// About the connection itself.
        const CONNECTION = 1 << 18;
        /// Transactions.
        const TRANSACTION = 1 << 19;
        /// Scripts and functions.
        const SCRIPTING = 1 << 20;
    }
}

/// In the order in which Redis 7.0 lists them.
const FLAG_NAMES: &[(CommandFlags, &str)] = &[
    (CommandFlags::WRITE, "write"),
    (CommandFlags::READONLY, "readonly"),
    (CommandFlags::DENYOOM, "denyoom"),
    (CommandFlags::ADMIN, "admin"),
    (CommandFlags::PUBSUB, "pubsub"),
    (CommandFlags::NOSCRIPT, "noscript"),
    (CommandFlags::BLOCKING, "blocking"),
    (CommandFlags::LOADING, "loading"),
    (CommandFlags::STALE, "stale"),
    (CommandFlags::SKIP_MONITOR, "skip_monitor"),
    (CommandFlags::SKIP_SLOWLOG, "skip_slowlog"),
    (CommandFlags::ASKING, "asking"),
    (CommandFlags::FAST, "fast"),
    (CommandFlags::NO_AUTH, "no_auth"),
    (CommandFlags::MAY_REPLICATE, "may_replicate"),
    (CommandFlags::NO_MANDATORY_KEYS, "no_mandatory_keys"),
    (CommandFlags::PROTECTED, "protected"),
    (CommandFlags::NO_ASYNC_LOADING, "no_async_loading"),
    (CommandFlags::NO_MULTI, "no_multi"),
    (CommandFlags::ALLOW_BUSY, "allow_busy"),
    (CommandFlags::MOVABLEKEYS, "movablekeys"),
];

const CATEGORY_NAMES: &[(AclCategories, &str)] = &[
    (AclCategories::KEYSPACE, "keyspace"),
    (AclCategories::READ, "read"),
    (AclCategories::WRITE, "write"),
    (AclCategories::SET, "set"),
    (AclCategories::SORTEDSET, "sortedset"),
    (AclCategories::LIST, "list"),
    (AclCategories::HASH, "hash"),
    (AclCategories::STRING, "string"),
    (AclCategories::BITMAP, "bitmap"),
    (AclCategories::HYPERLOGLOG, "hyperloglog"),
    (AclCategories::GEO, "geo"),
    (AclCategories::STREAM, "stream"),
    (AclCategories::PUBSUB, "pubsub"),
    (AclCategories::ADMIN, "admin"),
    (AclCategories::FAST, "fast"),
    (AclCategories::SLOW, "slow"),
    (AclCategories::BLOCKING, "blocking"),
    (AclCategories::DANGEROUS, "dangerous"),
    (AclCategories::CONNECTION, "connection"),
    (AclCategories::TRANSACTION, "transaction"),
    (AclCategories::SCRIPTING, "scripting"),
];

impl CommandFlags {
    /// The names of the flags that are set, in Redis's order.
    pub fn names(self) -> impl Iterator<Item = &'static str> + Clone {
        FLAG_NAMES
            .iter()
            .filter(move |(flag, _)| self.contains(*flag))
            .map(|&(_, name)| name)
    }
}

impl AclCategories {
    /// The names of the categories, without `@`, in Redis's order.
    pub fn names(self) -> impl Iterator<Item = &'static str> + Clone {
        CATEGORY_NAMES
            .iter()
            .filter(move |(flag, _)| self.contains(*flag))
            .map(|&(_, name)| name)
    }

    /// The category called `name` (without `@`, in any case).
    pub fn by_name(name: &[u8]) -> Option<Self> {
        let of_name = |&&(_, known): &&(_, &str)| known.as_bytes().eq_ignore_ascii_case(name);
        CATEGORY_NAMES
            .iter()
            .find(of_name)
            .map(|&(category, _)| category)
    }

    /// The categories that follow from what a command does. (Redis 7.0 derives the same.)
    pub(crate) const fn implied_by(flags: CommandFlags) -> Self {
        let mut categories = match flags.contains(CommandFlags::FAST) {
            true => Self::FAST,
            false => Self::SLOW,
        };
        if flags.contains(CommandFlags::WRITE) {
            categories = categories.union(Self::WRITE);
        }
        if flags.contains(CommandFlags::READONLY) {
            categories = categories.union(Self::READ);
        }
        if flags.contains(CommandFlags::ADMIN) {
            categories = categories.union(Self::ADMIN).union(Self::DANGEROUS);
        }
        if flags.contains(CommandFlags::PUBSUB) {
            categories = categories.union(Self::PUBSUB);
        }
        if flags.contains(CommandFlags::BLOCKING) {
            categories = categories.union(Self::BLOCKING);
        }
        categories
    }
}
