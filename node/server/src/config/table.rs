//! Every directive that redis-server 7.0.15 knows, and hexad's own, in one table.
//!
//! A line gives: identifier, name, `/ alias` where there is an older spelling, kind, default, flags, and what
//! hexad does with it today. Parsing, `CONFIG GET`, `CONFIG SET`, `CONFIG REWRITE` and the defaults all read it,
//! so a directive is added here, and, once code needs its value, in [`super::Settings`].

use std::borrow::Cow;
use std::os::unix::ffi::OsStringExt;

use super::kind::{Check, Kind, Range};
use super::value::{OutputBufferLimit, SavePoint, Value};

/// One directive.
#[derive(Debug)]
pub struct Directive {
    /// Its place in the table.
    pub id: Id,
    /// The name that `CONFIG GET` and `CONFIG REWRITE` use.
    pub name: &'static str,
    /// An older spelling (`slave-…`, `…-ziplist-…`): accepted everywhere, and listed by `CONFIG GET` too.
    pub alias: Option<&'static str>,
    /// What values it takes.
    pub kind: Kind,
    /// The value where nothing is given; [`Id::default_value`] where it depends on the machine.
    pub(super) default: Value,
    /// Who may change it, and when.
    pub flags: Flags,
    /// What hexad does with it.
    pub effect: Effect,
}

/// What hexad does with a directive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// In effect at once, also when it is changed by `CONFIG SET`.
    Live,
    /// Read once, when the server starts.
    AtStart,
    /// Accepted, kept and shown, so that configuration files and tools work; it changes nothing yet.
    NotYet,
}

bitflags::bitflags! {
    /// Restrictions on a directive.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Flags: u8 {
        /// `CONFIG SET` refuses it.
        const IMMUTABLE = 1;
        /// `CONFIG SET` takes it only where `enable-protected-configs` allows.
        const PROTECTED = 2;
        /// Shown by `CONFIG GET` only when it is asked for by its full name.
        const HIDDEN = 4;
        /// A secret: never to be written to a log.
        const SENSITIVE = 8;
        /// Takes several words; `CONFIG SET` splits its one argument into them.
        const MULTI_ARG = 16;
        /// `CONFIG SET` refuses it while a dataset is being loaded.
        const DENY_LOADING = 32;
    }
}

impl Directive {
    /// Its name, and its alias if it has one.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        [Some(self.name), self.alias].into_iter().flatten()
    }
}

impl Id {
    /// The directive's line in the table.
    pub fn directive(self) -> &'static Directive {
        &DIRECTIVES[self as usize]
    }

    /// The directive called `name`, by name or alias, in any case.
    pub fn lookup(name: &[u8]) -> Option<Id> {
        let is_named = |d: &&Directive| {
            d.names()
                .any(|known| known.as_bytes().eq_ignore_ascii_case(name))
        };
        DIRECTIVES.iter().find(is_named).map(|d| d.id)
    }

    /// The same, with the spelling of the table.
    pub(super) fn lookup_spelling(name: &[u8]) -> Option<(Id, &'static str)> {
        let id = Id::lookup(name)?;
        let spelling = id
            .directive()
            .names()
            .find(|spelling| spelling.as_bytes().eq_ignore_ascii_case(name))?;
        Some((id, spelling))
    }

    /// The value where nothing is given. `io-threads` is one per core, where stock has 1;
    /// `disable-thp` is no, where stock, which forks, has yes.
    pub fn default_value(self) -> Value {
        match self {
            Id::IoThreads => Value::Int(default_io_threads()),
            Id::Dir => Value::Str(Cow::Owned(current_dir())),
            _ => self.directive().default.clone(),
        }
    }
}

/// The working directory; where it has been deleted, stock too has no name for it.
fn current_dir() -> Vec<u8> {
    std::env::current_dir()
        .map(|dir| dir.into_os_string().into_vec())
        .unwrap_or_default()
}

/// One worker a core, within the range of `io-threads`.
fn default_io_threads() -> i128 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MAX_IO_THREADS)) as i128
}

/// Redis 7.0's upper bound of `io-threads`.
const MAX_IO_THREADS: usize = 128;

const NONE: Flags = Flags::empty();
const IMMUTABLE: Flags = Flags::IMMUTABLE;
const PROTECTED: Flags = Flags::PROTECTED;
const HIDDEN: Flags = Flags::HIDDEN;
const SENSITIVE: Flags = Flags::SENSITIVE;
const MULTI_ARG: Flags = Flags::MULTI_ARG;
const DENY_LOADING: Flags = Flags::DENY_LOADING;
const FIXED_WORDS: Flags = MULTI_ARG.union(IMMUTABLE);

const YES: Value = Value::Bool(true);
const NO: Value = Value::Bool(false);

const fn n(value: i128) -> Value {
    Value::Int(value)
}
const fn s(text: &'static str) -> Value {
    Value::Str(Cow::Borrowed(text.as_bytes()))
}
const fn e(choice: &'static str) -> Value {
    Value::Enum(choice)
}

const fn int(min: i128, max: i128) -> Kind {
    Kind::Int(Range { min, max })
}
const fn memory(min: i128, max: i128) -> Kind {
    Kind::Memory(Range { min, max })
}

const I32_MIN: i128 = i32::MIN as i128;
const I32: i128 = i32::MAX as i128;
const U32: i128 = u32::MAX as i128;
const I64: i128 = i64::MAX as i128;
const U64: i128 = u64::MAX as i128;
const PORT: Kind = int(0, 65535);
const MIB: i128 = 1 << 20;

const TEXT: Kind = Kind::Text(Check::Any);
const WHO: Kind = Kind::Enum(&["no", "yes", "local"]);
const SHUTDOWN: Kind = Kind::EnumSet(&["default", "save", "nosave", "now", "force"]);

macro_rules! directives {
    ($($id:ident $name:literal $(/ $alias:literal)?, $kind:expr, $default:expr, $flags:expr, $effect:ident;)*) => {
        /// The identifier of a directive: its index in [`DIRECTIVES`].
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u16)]
        pub enum Id { $(#[doc = concat!("`", $name, "`")] $id),* }

        /// All directives, in the order in which `CONFIG GET *` lists them.
        pub static DIRECTIVES: [Directive; [$(Id::$id),*].len()] = [$(Directive {
            id: Id::$id,
            name: $name,
            alias: directives!(@alias $($alias)?),
            kind: $kind,
            default: $default,
            flags: $flags,
            effect: Effect::$effect,
        }),*];
    };
    (@alias) => { None };
    (@alias $alias:literal) => { Some($alias) };
}

directives! {
    // Network.
    Bind "bind", Kind::Bind, Value::List(Cow::Borrowed(&[Cow::Borrowed(b"*"), Cow::Borrowed(b"-::*")])), MULTI_ARG, Live;
    BindSourceAddr "bind-source-addr", TEXT, s(""), NONE, Live;
    Port "port", PORT, n(6379), NONE, Live;
    TcpBacklog "tcp-backlog", int(0, I32), n(511), IMMUTABLE, AtStart;
    Unixsocket "unixsocket", TEXT, s(""), IMMUTABLE, AtStart;
    Unixsocketperm "unixsocketperm", Kind::Octal, Value::Octal(0), IMMUTABLE, AtStart;
    Timeout "timeout", int(0, I32), n(0), NONE, Live;
    TcpKeepalive "tcp-keepalive", int(0, I32), n(300), NONE, Live;
    SocketMarkId "socket-mark-id", int(0, U32), n(0), IMMUTABLE, NotYet;
    ProtectedMode "protected-mode", Kind::Bool, YES, NONE, Live;
    EnableProtectedConfigs "enable-protected-configs", WHO, e("no"), IMMUTABLE, AtStart;
    EnableDebugCommand "enable-debug-command", WHO, e("no"), IMMUTABLE, AtStart;
    EnableModuleCommand "enable-module-command", WHO, e("no"), IMMUTABLE, NotYet;

    // TLS.
    TlsPort "tls-port", PORT, n(0), NONE, NotYet;
    TlsCertFile "tls-cert-file", TEXT, s(""), NONE, NotYet;
    TlsKeyFile "tls-key-file", TEXT, s(""), NONE, NotYet;
    TlsKeyFilePass "tls-key-file-pass", TEXT, s(""), SENSITIVE, NotYet;
    TlsClientCertFile "tls-client-cert-file", TEXT, s(""), NONE, NotYet;
    TlsClientKeyFile "tls-client-key-file", TEXT, s(""), NONE, NotYet;
    TlsClientKeyFilePass "tls-client-key-file-pass", TEXT, s(""), SENSITIVE, NotYet;
    TlsDhParamsFile "tls-dh-params-file", TEXT, s(""), NONE, NotYet;
    TlsCaCertFile "tls-ca-cert-file", TEXT, s(""), NONE, NotYet;
    TlsCaCertDir "tls-ca-cert-dir", TEXT, s(""), NONE, NotYet;
    TlsAuthClients "tls-auth-clients", Kind::Enum(&["no", "yes", "optional"]), e("yes"), NONE, NotYet;
    TlsReplication "tls-replication", Kind::Bool, NO, NONE, NotYet;
    TlsCluster "tls-cluster", Kind::Bool, NO, NONE, NotYet;
    TlsProtocols "tls-protocols", TEXT, s(""), NONE, NotYet;
    TlsCiphers "tls-ciphers", TEXT, s(""), NONE, NotYet;
    TlsCiphersuites "tls-ciphersuites", TEXT, s(""), NONE, NotYet;
    TlsPreferServerCiphers "tls-prefer-server-ciphers", Kind::Bool, NO, NONE, NotYet;
    TlsSessionCaching "tls-session-caching", Kind::Bool, YES, NONE, NotYet;
    TlsSessionCacheSize "tls-session-cache-size", int(0, I32), n(20480), NONE, NotYet;
    TlsSessionCacheTimeout "tls-session-cache-timeout", int(0, I32), n(300), NONE, NotYet;

    // General.
    Daemonize "daemonize", Kind::Bool, NO, IMMUTABLE, AtStart;
    Supervised "supervised", Kind::Enum(&["upstart", "systemd", "auto", "no"]), e("no"), IMMUTABLE, NotYet;
    Pidfile "pidfile", TEXT, s(""), IMMUTABLE, AtStart;
    Loglevel "loglevel", Kind::Enum(&["debug", "verbose", "notice", "warning"]), e("notice"), NONE, Live;
    Logfile "logfile", TEXT, s(""), IMMUTABLE, AtStart;
    SyslogEnabled "syslog-enabled", Kind::Bool, NO, IMMUTABLE, NotYet;
    SyslogIdent "syslog-ident", TEXT, s("redis"), IMMUTABLE, NotYet;
    SyslogFacility "syslog-facility", Kind::Enum(&["user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"]), e("local0"), IMMUTABLE, NotYet;
    CrashLogEnabled "crash-log-enabled", Kind::Bool, YES, NONE, NotYet;
    CrashMemcheckEnabled "crash-memcheck-enabled", Kind::Bool, YES, NONE, NotYet;
    UseExitOnPanic "use-exit-on-panic", Kind::Bool, NO, HIDDEN, NotYet;
    Databases "databases", int(1, I32), n(16), IMMUTABLE, AtStart;
    AlwaysShowLogo "always-show-logo", Kind::Bool, NO, IMMUTABLE, AtStart;
    SetProcTitle "set-proc-title", Kind::Bool, YES, IMMUTABLE, NotYet;
    ProcTitleTemplate "proc-title-template", Kind::Text(Check::ProcTitle), s("{title} {listen-addr} {server-mode}"), NONE, NotYet;
    IoThreads "io-threads", int(1, MAX_IO_THREADS as i128), n(1), IMMUTABLE, AtStart;
    IoThreadsDoReads "io-threads-do-reads", Kind::Bool, NO, IMMUTABLE, NotYet;
    ServerCpulist "server_cpulist", TEXT, s(""), IMMUTABLE, NotYet;
    BioCpulist "bio_cpulist", TEXT, s(""), IMMUTABLE, NotYet;
    AofRewriteCpulist "aof_rewrite_cpulist", TEXT, s(""), IMMUTABLE, NotYet;
    BgsaveCpulist "bgsave_cpulist", TEXT, s(""), IMMUTABLE, NotYet;
    IgnoreWarnings "ignore-warnings", TEXT, s(""), NONE, NotYet;
    OomScoreAdj "oom-score-adj", Kind::Enum(&["no", "yes", "relative", "absolute"]), e("no"), NONE, NotYet;
    OomScoreAdjValues "oom-score-adj-values", Kind::OomScoreAdj, Value::OomScoreAdj([0, 200, 800]), MULTI_ARG, NotYet;
    DisableThp "disable-thp", Kind::Bool, NO, IMMUTABLE, AtStart;
    ShutdownTimeout "shutdown-timeout", int(0, I32), n(10), NONE, Live;
    ShutdownOnSigint "shutdown-on-sigint", SHUTDOWN, Value::EnumSet(Cow::Borrowed(&["default"])), MULTI_ARG, NotYet;
    ShutdownOnSigterm "shutdown-on-sigterm", SHUTDOWN, Value::EnumSet(Cow::Borrowed(&["default"])), MULTI_ARG, NotYet;
    WatchdogPeriod "watchdog-period", int(0, I32), n(0), HIDDEN, NotYet;

    // Snapshots.
    Save "save", Kind::Save, Value::Save(Cow::Borrowed(&[
        SavePoint { seconds: 3600, changes: 1 },
        SavePoint { seconds: 300, changes: 100 },
        SavePoint { seconds: 60, changes: 10000 },
    ])), MULTI_ARG, NotYet;
    StopWritesOnBgsaveError "stop-writes-on-bgsave-error", Kind::Bool, YES, NONE, NotYet;
    Rdbcompression "rdbcompression", Kind::Bool, YES, NONE, Live;
    Rdbchecksum "rdbchecksum", Kind::Bool, YES, IMMUTABLE, Live;
    SanitizeDumpPayload "sanitize-dump-payload", Kind::Enum(&["no", "yes", "clients"]), e("no"), NONE, NotYet;
    Dbfilename "dbfilename", Kind::Text(Check::BaseName("filename")), s("dump.rdb"), PROTECTED, NotYet;
    RdbDelSyncFiles "rdb-del-sync-files", Kind::Bool, NO, NONE, NotYet;
    RdbSaveIncrementalFsync "rdb-save-incremental-fsync", Kind::Bool, YES, NONE, NotYet;
    Dir "dir", Kind::Dir, s(""), PROTECTED.union(DENY_LOADING), Live;
    LoadingProcessEventsIntervalBytes "loading-process-events-interval-bytes", int(1024, I32), n(2 * MIB), HIDDEN, NotYet;
    KeyLoadDelay "key-load-delay", int(I32_MIN, I32), n(0), HIDDEN, Live;
    RdbKeySaveDelay "rdb-key-save-delay", int(I32_MIN, I32), n(0), HIDDEN, Live;

    // Append-only file.
    Appendonly "appendonly", Kind::Bool, NO, DENY_LOADING, NotYet;
    Appendfilename "appendfilename", Kind::Text(Check::NonEmptyBaseName("filename")), s("appendonly.aof"), IMMUTABLE, NotYet;
    Appenddirname "appenddirname", Kind::Text(Check::NonEmptyBaseName("dirname")), s("appendonlydir"), IMMUTABLE, NotYet;
    Appendfsync "appendfsync", Kind::Enum(&["everysec", "always", "no"]), e("everysec"), NONE, NotYet;
    NoAppendfsyncOnRewrite "no-appendfsync-on-rewrite", Kind::Bool, NO, NONE, NotYet;
    AutoAofRewritePercentage "auto-aof-rewrite-percentage", int(0, I32), n(100), NONE, NotYet;
    AutoAofRewriteMinSize "auto-aof-rewrite-min-size", memory(0, I64), n(64 * MIB), NONE, NotYet;
    AofLoadTruncated "aof-load-truncated", Kind::Bool, YES, NONE, NotYet;
    AofUseRdbPreamble "aof-use-rdb-preamble", Kind::Bool, YES, NONE, NotYet;
    AofTimestampEnabled "aof-timestamp-enabled", Kind::Bool, NO, NONE, NotYet;
    AofRewriteIncrementalFsync "aof-rewrite-incremental-fsync", Kind::Bool, YES, NONE, NotYet;
    AofDisableAutoGc "aof-disable-auto-gc", Kind::Bool, NO, NONE, NotYet;

    // Replication.
    Replicaof "replicaof" / "slaveof", Kind::Replicaof, Value::Replicaof(None), FIXED_WORDS, Live;
    Masteruser "masteruser", TEXT, s(""), SENSITIVE, Live;
    Masterauth "masterauth", TEXT, s(""), SENSITIVE, Live;
    ReplicaServeStaleData "replica-serve-stale-data" / "slave-serve-stale-data", Kind::Bool, YES, NONE, Live;
    ReplicaReadOnly "replica-read-only" / "slave-read-only", Kind::Bool, YES, NONE, Live;
    ReplicaIgnoreMaxmemory "replica-ignore-maxmemory" / "slave-ignore-maxmemory", Kind::Bool, YES, NONE, NotYet;
    ReplicaLazyFlush "replica-lazy-flush" / "slave-lazy-flush", Kind::Bool, NO, NONE, NotYet;
    ReplicaPriority "replica-priority" / "slave-priority", int(0, I32), n(100), NONE, Live;
    ReplicaAnnounced "replica-announced", Kind::Bool, YES, NONE, Live;
    ReplicaAnnounceIp "replica-announce-ip" / "slave-announce-ip", TEXT, s(""), NONE, Live;
    ReplicaAnnouncePort "replica-announce-port" / "slave-announce-port", PORT, n(0), NONE, Live;
    ReplicaIgnoreDiskWriteErrors "replica-ignore-disk-write-errors", Kind::Bool, NO, NONE, NotYet;
    ReplDisklessSync "repl-diskless-sync", Kind::Bool, YES, NONE, Live;
    ReplDisklessSyncDelay "repl-diskless-sync-delay", int(0, I32), n(5), NONE, Live;
    ReplDisklessSyncMaxReplicas "repl-diskless-sync-max-replicas", int(0, I32), n(0), NONE, Live;
    ReplDisklessLoad "repl-diskless-load", Kind::Enum(&["disabled", "on-empty-db", "swapdb"]), e("disabled"), NONE, Live;
    ReplPingReplicaPeriod "repl-ping-replica-period" / "repl-ping-slave-period", int(1, I32), n(10), NONE, Live;
    ReplTimeout "repl-timeout", int(1, I32), n(60), NONE, Live;
    ReplDisableTcpNodelay "repl-disable-tcp-nodelay", Kind::Bool, NO, NONE, Live;
    ReplBacklogSize "repl-backlog-size", memory(1, I64), n(MIB), NONE, Live;
    ReplBacklogTtl "repl-backlog-ttl", int(0, I64), n(3600), NONE, Live;
    MinReplicasToWrite "min-replicas-to-write" / "min-slaves-to-write", int(0, I32), n(0), NONE, Live;
    MinReplicasMaxLag "min-replicas-max-lag" / "min-slaves-max-lag", int(0, I32), n(10), NONE, Live;
    PropagationErrorBehavior "propagation-error-behavior", Kind::Enum(&["ignore", "panic", "panic-on-replicas"]), e("ignore"), NONE, NotYet;

    // Security.
    Requirepass "requirepass", TEXT, s(""), SENSITIVE, Live;
    Aclfile "aclfile", TEXT, s(""), IMMUTABLE, NotYet;
    AcllogMaxLen "acllog-max-len", int(0, I64), n(128), NONE, NotYet;
    AclPubsubDefault "acl-pubsub-default", Kind::Enum(&["allchannels", "resetchannels"]), e("resetchannels"), NONE, NotYet;

    // Clients.
    Maxclients "maxclients", int(1, U32), n(10000), NONE, Live;
    ClientQueryBufferLimit "client-query-buffer-limit", memory(MIB, I64), n(1024 * MIB), NONE, Live;
    ClientOutputBufferLimit "client-output-buffer-limit", Kind::OutputBufferLimits, Value::OutputBufferLimits([
        OutputBufferLimit { hard_bytes: 0, soft_bytes: 0, soft_seconds: 0 },
        OutputBufferLimit { hard_bytes: 256 << 20, soft_bytes: 64 << 20, soft_seconds: 60 },
        OutputBufferLimit { hard_bytes: 32 << 20, soft_bytes: 8 << 20, soft_seconds: 60 },
    ]), MULTI_ARG, Live;
    ProtoMaxBulkLen "proto-max-bulk-len", memory(MIB, I64), n(512 * MIB), NONE, Live;
    MaxmemoryClients "maxmemory-clients", Kind::MemoryOrPercent(Range { min: 0, max: I64 }), n(0), NONE, NotYet;
    TrackingTableMaxKeys "tracking-table-max-keys", int(0, I64), n(1000000), NONE, NotYet;

    // Memory.
    Maxmemory "maxmemory", memory(0, U64), n(0), NONE, NotYet;
    MaxmemoryPolicy "maxmemory-policy", Kind::Enum(&["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl", "allkeys-lru", "allkeys-lfu", "allkeys-random", "noeviction"]), e("noeviction"), NONE, Live;
    MaxmemorySamples "maxmemory-samples", int(1, I32), n(5), NONE, NotYet;
    MaxmemoryEvictionTenacity "maxmemory-eviction-tenacity", int(0, 100), n(10), NONE, NotYet;
    LfuLogFactor "lfu-log-factor", int(0, I32), n(10), NONE, Live;
    LfuDecayTime "lfu-decay-time", int(0, I32), n(1), NONE, Live;
    ActiveExpireEffort "active-expire-effort", int(1, 10), n(1), NONE, Live;
    LazyfreeLazyEviction "lazyfree-lazy-eviction", Kind::Bool, NO, NONE, NotYet;
    LazyfreeLazyExpire "lazyfree-lazy-expire", Kind::Bool, NO, NONE, Live;
    LazyfreeLazyServerDel "lazyfree-lazy-server-del", Kind::Bool, NO, NONE, NotYet;
    LazyfreeLazyUserDel "lazyfree-lazy-user-del", Kind::Bool, NO, NONE, Live;
    LazyfreeLazyUserFlush "lazyfree-lazy-user-flush", Kind::Bool, NO, NONE, Live;
    Activedefrag "activedefrag", Kind::Bool, NO, NONE, NotYet;
    ActiveDefragIgnoreBytes "active-defrag-ignore-bytes", memory(1, I64), n(100 * MIB), NONE, NotYet;
    ActiveDefragThresholdLower "active-defrag-threshold-lower", int(0, 1000), n(10), NONE, NotYet;
    ActiveDefragThresholdUpper "active-defrag-threshold-upper", int(0, 1000), n(100), NONE, NotYet;
    ActiveDefragCycleMin "active-defrag-cycle-min", int(1, 99), n(1), NONE, NotYet;
    ActiveDefragCycleMax "active-defrag-cycle-max", int(1, 99), n(25), NONE, NotYet;
    ActiveDefragMaxScanFields "active-defrag-max-scan-fields", int(1, I64), n(1000), NONE, NotYet;
    JemallocBgThread "jemalloc-bg-thread", Kind::Bool, YES, NONE, Live;
    Activerehashing "activerehashing", Kind::Bool, YES, NONE, NotYet;

    // Time and observation.
    Hz "hz", int(0, I32), n(10), NONE, Live;
    DynamicHz "dynamic-hz", Kind::Bool, YES, NONE, NotYet;
    SlowlogLogSlowerThan "slowlog-log-slower-than", int(-1, I64), n(10000), NONE, Live;
    SlowlogMaxLen "slowlog-max-len", int(0, I64), n(128), NONE, Live;
    LatencyMonitorThreshold "latency-monitor-threshold", int(0, I64), n(0), NONE, NotYet;
    LatencyTracking "latency-tracking", Kind::Bool, YES, NONE, Live;
    LatencyTrackingInfoPercentiles "latency-tracking-info-percentiles", Kind::Percentiles, Value::Percentiles(Cow::Borrowed(&[50.0, 99.0, 99.9])), MULTI_ARG, Live;
    NotifyKeyspaceEvents "notify-keyspace-events", Kind::NotifyEvents, Value::Notify(0), NONE, NotYet;
    BusyReplyThreshold "busy-reply-threshold" / "lua-time-limit", int(0, I64), n(5000), NONE, NotYet;

    // Encodings.
    HashMaxListpackEntries "hash-max-listpack-entries" / "hash-max-ziplist-entries", int(0, I64), n(512), NONE, NotYet;
    HashMaxListpackValue "hash-max-listpack-value" / "hash-max-ziplist-value", memory(0, I64), n(64), NONE, NotYet;
    ListMaxListpackSize "list-max-listpack-size" / "list-max-ziplist-size", int(I32_MIN, I32), n(-2), NONE, NotYet;
    ListCompressDepth "list-compress-depth", int(0, I32), n(0), NONE, NotYet;
    SetMaxIntsetEntries "set-max-intset-entries", int(0, I64), n(512), NONE, NotYet;
    ZsetMaxListpackEntries "zset-max-listpack-entries" / "zset-max-ziplist-entries", int(0, I64), n(128), NONE, NotYet;
    ZsetMaxListpackValue "zset-max-listpack-value" / "zset-max-ziplist-value", memory(0, I64), n(64), NONE, NotYet;
    HllSparseMaxBytes "hll-sparse-max-bytes", memory(0, I64), n(3000), NONE, NotYet;
    StreamNodeMaxBytes "stream-node-max-bytes", memory(0, I64), n(4096), NONE, NotYet;
    StreamNodeMaxEntries "stream-node-max-entries", int(0, I64), n(100), NONE, NotYet;

    // Cluster.
    ClusterEnabled "cluster-enabled", Kind::Bool, NO, IMMUTABLE, AtStart;
    ClusterConfigFile "cluster-config-file", TEXT, s("nodes.conf"), IMMUTABLE, AtStart;
    ClusterNodeTimeout "cluster-node-timeout", int(0, I64), n(15000), NONE, Live;
    ClusterStallTimeout "cluster-stall-timeout", int(0, I64), n(60000), NONE, Live;
    ClusterPort "cluster-port", PORT, n(0), IMMUTABLE, AtStart;
    ClusterReplicaValidityFactor "cluster-replica-validity-factor" / "cluster-slave-validity-factor", int(0, I32), n(10), NONE, Live;
    ClusterMigrationBarrier "cluster-migration-barrier", int(0, I32), n(1), NONE, Live;
    ClusterAllowReplicaMigration "cluster-allow-replica-migration", Kind::Bool, YES, NONE, Live;
    ClusterReplicaNoFailover "cluster-replica-no-failover" / "cluster-slave-no-failover", Kind::Bool, NO, NONE, Live;
    ClusterRequireFullCoverage "cluster-require-full-coverage", Kind::Bool, YES, NONE, Live;
    ClusterAllowReadsWhenDown "cluster-allow-reads-when-down", Kind::Bool, NO, NONE, Live;
    ClusterAllowPubsubshardWhenDown "cluster-allow-pubsubshard-when-down", Kind::Bool, YES, NONE, Live;
    ClusterLinkSendbufLimit "cluster-link-sendbuf-limit", memory(0, U64), n(0), NONE, Live;
    ClusterAnnounceIp "cluster-announce-ip", TEXT, s(""), NONE, Live;
    ClusterAnnouncePort "cluster-announce-port", PORT, n(0), NONE, Live;
    ClusterAnnounceTlsPort "cluster-announce-tls-port", PORT, n(0), NONE, Live;
    ClusterAnnounceBusPort "cluster-announce-bus-port", PORT, n(0), NONE, Live;
    ClusterAnnounceHostname "cluster-announce-hostname", Kind::Text(Check::Hostname), s(""), NONE, Live;
    ClusterAnnounceHumanNodename "cluster-announce-human-nodename", Kind::Text(Check::NodeName), s(""), NONE, Live;
    ClusterPreferredEndpointType "cluster-preferred-endpoint-type", Kind::Enum(&["ip", "hostname", "unknown-endpoint"]), e("ip"), NONE, Live;
}
