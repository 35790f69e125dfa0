//! The values that code reads, typed: a projection of the directive table.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::table::Id;
use super::value::{OutputBufferLimit, Value};
use super::values::Values;

/// The values that code reads. Units are in the names; times are as in the file unless the name says otherwise.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `bind`: where to listen; empty means nowhere.
    pub bind: Vec<BindAddress>,
    /// `port`; 0 means no TCP listener.
    pub port: u16,
    /// `unixsocket`
    pub unixsocket: Option<PathBuf>,
    /// `unixsocketperm`, a file mode; 0 leaves what the umask gives.
    pub unixsocketperm: u32,
    /// `tcp-backlog`
    pub tcp_backlog: i32,
    /// `protected-mode`
    pub protected_mode: bool,
    /// `requirepass`
    pub requirepass: Option<Vec<u8>>,
    /// `maxclients`
    pub maxclients: usize,
    /// `timeout`: seconds of idleness after which a client is disconnected; 0 means never.
    pub timeout_s: u64,
    /// `tcp-keepalive`, seconds; 0 means off.
    pub tcp_keepalive_s: u32,
    /// `client-output-buffer-limit`, by [`ClientClass`].
    pub client_output_buffer_limit: [OutputBufferLimit; 3],
    /// `client-query-buffer-limit`
    pub client_query_buffer_limit_bytes: usize,
    /// `proto-max-bulk-len`
    pub proto_max_bulk_bytes: u64,
    /// `enable-protected-configs`
    pub enable_protected_configs: Who,
    /// `enable-debug-command`
    pub enable_debug_command: Who,

    /// `dir`, absolute.
    pub dir: PathBuf,
    /// `daemonize`
    pub daemonize: bool,
    /// `pidfile`; see [`Settings::effective_pidfile`].
    pub pidfile: Option<PathBuf>,
    /// `logfile`; none means standard output.
    pub logfile: Option<PathBuf>,
    /// `loglevel`
    pub loglevel: LogLevel,
    /// `databases`
    pub databases: u32,
    /// `io-threads`: the number of workers.
    pub io_threads: usize,

    /// `maxmemory-policy`
    pub maxmemory_policy: MaxmemoryPolicy,
    /// `lfu-log-factor`
    pub lfu_log_factor: u32,
    /// `lfu-decay-time`
    pub lfu_decay_minutes: u32,
    /// `rdbcompression`
    pub rdbcompression: bool,
    /// `active-expire-effort`, 1 to 10.
    pub active_expire_effort: u32,
    /// `hz`, 1 to 500.
    pub hz: u32,
    /// `lazyfree-lazy-expire`
    pub lazyfree_lazy_expire: bool,
    /// `lazyfree-lazy-server-del`
    pub lazyfree_lazy_server_del: bool,
    /// `lazyfree-lazy-user-del`
    pub lazyfree_lazy_user_del: bool,
    /// `lazyfree-lazy-user-flush`
    pub lazyfree_lazy_user_flush: bool,

    /// `slowlog-log-slower-than`, microseconds; negative means off.
    pub slowlog_log_slower_than_us: i64,
    /// `slowlog-max-len`
    pub slowlog_max_len: usize,
    /// `latency-tracking`
    pub latency_tracking: bool,
    /// `latency-tracking-info-percentiles`
    pub latency_percentiles: Vec<f64>,

    /// Replication.
    pub replication: ReplicationSettings,
    /// All of `cluster-…`.
    pub cluster: ClusterSettings,
}

/// The directives of replication.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplicationSettings {
    /// `replicaof`: host and port; stand-alone mode only.
    pub replicaof: Option<(Vec<u8>, u16)>,
    /// `masteruser`
    pub masteruser: Option<Vec<u8>>,
    /// `masterauth`
    pub masterauth: Option<Vec<u8>>,
    /// `replica-serve-stale-data`
    pub serve_stale_data: bool,
    /// `replica-read-only`
    pub read_only: bool,
    /// `replica-priority`
    pub priority: u32,
    /// `replica-announced`
    pub announced: bool,
    /// `replica-announce-ip`
    pub announce_ip: Option<Vec<u8>>,
    /// `replica-announce-port`; 0 means `port`.
    pub announce_port: u16,
    /// `repl-diskless-sync`
    pub diskless_sync: bool,
    /// `repl-diskless-sync-delay`, seconds.
    pub diskless_sync_delay_s: u64,
    /// `repl-diskless-sync-max-replicas`; 0 means that nobody is waited for.
    pub diskless_sync_max_replicas: usize,
    /// `repl-diskless-load`
    pub diskless_load: DisklessLoad,
    /// `repl-ping-replica-period`, seconds.
    pub ping_period_s: u64,
    /// `repl-timeout`, seconds.
    pub timeout_s: u64,
    /// `repl-disable-tcp-nodelay`
    pub disable_tcp_nodelay: bool,
    /// `repl-backlog-size`
    pub backlog_bytes: usize,
    /// `repl-backlog-ttl`, seconds; 0 means for ever.
    pub backlog_ttl_s: u64,
    /// `min-replicas-to-write`; 0 means off.
    pub min_replicas_to_write: usize,
    /// `min-replicas-max-lag`, seconds; 0 means off.
    pub min_replicas_max_lag_s: u64,
    /// `rdb-key-save-delay`, microseconds; negative values are no delay.
    pub key_save_delay_micros: u64,
    /// `key-load-delay`, microseconds; negative values are no delay.
    pub key_load_delay_micros: u64,
    /// `shutdown-timeout`: how long the end of the process waits for replicas, seconds.
    pub shutdown_timeout_s: u64,
    /// `rdbcompression`
    pub rdb_compression: bool,
    /// `rdbchecksum`
    pub rdb_checksum: bool,
}

/// `repl-diskless-load`: where the payload of a full synchronisation goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DisklessLoad {
    /// To a file first.
    Disabled,
    /// Into memory, if that is empty; else to a file first.
    OnEmptyDb,
    /// Into memory, beside the old data.
    SwapDb,
}

/// The `cluster-…` directives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClusterSettings {
    /// `cluster-enabled`
    pub enabled: bool,
    /// `cluster-config-file`, relative to `dir`.
    pub config_file: PathBuf,
    /// `cluster-node-timeout`
    pub node_timeout_ms: u64,
    /// `cluster-stall-timeout`: how long a worker may make no progress until the node stops vouching for itself.
    /// hexad's own; 0 means for ever.
    pub stall_timeout_ms: u64,
    /// `cluster-port`: the bus port; 0 means `port` + 10000.
    pub port: u16,
    /// `cluster-require-full-coverage`
    pub require_full_coverage: bool,
    /// `cluster-allow-reads-when-down`
    pub allow_reads_when_down: bool,
    /// `cluster-allow-pubsubshard-when-down`
    pub allow_pubsubshard_when_down: bool,
    /// `cluster-migration-barrier`
    pub migration_barrier: u32,
    /// `cluster-allow-replica-migration`
    pub allow_replica_migration: bool,
    /// `cluster-replica-no-failover`
    pub replica_no_failover: bool,
    /// `cluster-replica-validity-factor`
    pub replica_validity_factor: u32,
    /// `cluster-link-sendbuf-limit`; 0 means none.
    pub link_sendbuf_limit_bytes: u64,
    /// `cluster-announce-ip`
    pub announce_ip: Option<String>,
    /// `cluster-announce-port`; 0 means `port`.
    pub announce_port: u16,
    /// `cluster-announce-tls-port`; 0 means `tls-port`.
    pub announce_tls_port: u16,
    /// `cluster-announce-bus-port`; 0 means the bus port.
    pub announce_bus_port: u16,
    /// `cluster-announce-hostname`
    pub announce_hostname: Option<String>,
    /// `cluster-announce-human-nodename` (Redis 7.2).
    pub announce_human_nodename: Option<String>,
    /// `cluster-preferred-endpoint-type`
    pub preferred_endpoint: EndpointType,
}

/// An address of `bind`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BindAddress {
    /// The address; `*` is all of IPv4, `::*` all of IPv6.
    pub address: String,
    /// Written with a leading `-`: no failure where the machine does not have the address.
    pub optional: bool,
}

/// The classes of clients that have limits of their own; the index into
/// [`Settings::client_output_buffer_limit`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientClass {
    /// Neither of the others.
    Normal = 0,
    /// A replica's link.
    Replica = 1,
    /// A client that has subscribed to anything.
    Pubsub = 2,
}

/// To whom a dangerous facility is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    /// To nobody.
    Nobody,
    /// To everybody.
    Everybody,
    /// To connections from this machine.
    Local,
}

/// `loglevel`
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// Much.
    Verbose,
    /// What an operator wants to know.
    Notice,
    /// What an operator must know.
    Warning,
}

/// `maxmemory-policy`
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MaxmemoryPolicy {
    /// `volatile-lru`
    VolatileLru,
    /// `volatile-lfu`
    VolatileLfu,
    /// `volatile-random`
    VolatileRandom,
    /// `volatile-ttl`
    VolatileTtl,
    /// `allkeys-lru`
    AllkeysLru,
    /// `allkeys-lfu`
    AllkeysLfu,
    /// `allkeys-random`
    AllkeysRandom,
    /// `noeviction`
    NoEviction,
}

/// `cluster-preferred-endpoint-type`
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndpointType {
    /// The node's IP address.
    Ip,
    /// Its announced host name.
    Hostname,
    /// None: clients use the address that they already have.
    Unknown,
}

impl MaxmemoryPolicy {
    /// Whether the time of the last access decides.
    pub fn is_lru(self) -> bool {
        matches!(
            self,
            MaxmemoryPolicy::VolatileLru | MaxmemoryPolicy::AllkeysLru
        )
    }

    /// Whether the access clock of keys counts frequency (OBJECT FREQ answers, OBJECT IDLETIME does not).
    pub fn is_lfu(self) -> bool {
        matches!(
            self,
            MaxmemoryPolicy::VolatileLfu | MaxmemoryPolicy::AllkeysLfu
        )
    }
}

impl Settings {
    /// The file for the process id: `pidfile`, else `/var/run/redis.pid` for a daemon, else none.
    pub fn effective_pidfile(&self) -> Option<PathBuf> {
        let daemon_default = || self.daemonize.then(|| PathBuf::from("/var/run/redis.pid"));
        self.pidfile.clone().or_else(daemon_default)
    }

    /// The port of the cluster bus: `cluster-port`, else `port` + 10000. None where that is past 65535.
    pub fn bus_port(&self) -> Option<u16> {
        match self.cluster.port {
            0 => self.port.checked_add(10_000),
            port => Some(port),
        }
    }

    /// Reads the table's values.
    pub(super) fn project(values: &Values) -> Settings {
        Settings {
            bind: bind_addresses(values),
            port: number(values, Id::Port),
            unixsocket: path(values, Id::Unixsocket),
            unixsocketperm: mode(values, Id::Unixsocketperm),
            tcp_backlog: number(values, Id::TcpBacklog),
            protected_mode: flag(values, Id::ProtectedMode),
            requirepass: text(values, Id::Requirepass).map(<[u8]>::to_vec),
            maxclients: number(values, Id::Maxclients),
            timeout_s: number(values, Id::Timeout),
            tcp_keepalive_s: number(values, Id::TcpKeepalive),
            client_output_buffer_limit: output_buffer_limits(values),
            client_query_buffer_limit_bytes: number(values, Id::ClientQueryBufferLimit),
            proto_max_bulk_bytes: number(values, Id::ProtoMaxBulkLen),
            enable_protected_configs: who(values, Id::EnableProtectedConfigs),
            enable_debug_command: who(values, Id::EnableDebugCommand),
            dir: path(values, Id::Dir).unwrap_or_default(),
            daemonize: flag(values, Id::Daemonize),
            pidfile: path(values, Id::Pidfile),
            logfile: path(values, Id::Logfile),
            loglevel: log_level(values),
            databases: number(values, Id::Databases),
            io_threads: number(values, Id::IoThreads),
            maxmemory_policy: maxmemory_policy(values),
            lfu_log_factor: number(values, Id::LfuLogFactor),
            lfu_decay_minutes: number(values, Id::LfuDecayTime),
            rdbcompression: flag(values, Id::Rdbcompression),
            active_expire_effort: number(values, Id::ActiveExpireEffort),
            hz: number(values, Id::Hz),
            lazyfree_lazy_expire: flag(values, Id::LazyfreeLazyExpire),
            lazyfree_lazy_server_del: flag(values, Id::LazyfreeLazyServerDel),
            lazyfree_lazy_user_del: flag(values, Id::LazyfreeLazyUserDel),
            lazyfree_lazy_user_flush: flag(values, Id::LazyfreeLazyUserFlush),
            slowlog_log_slower_than_us: number(values, Id::SlowlogLogSlowerThan),
            slowlog_max_len: number(values, Id::SlowlogMaxLen),
            latency_tracking: flag(values, Id::LatencyTracking),
            latency_percentiles: percentiles(values),
            replication: ReplicationSettings::project(values),
            cluster: ClusterSettings::project(values),
        }
    }
}

impl ReplicationSettings {
    fn project(values: &Values) -> ReplicationSettings {
        ReplicationSettings {
            replicaof: match &values[Id::Replicaof] {
                Value::Replicaof(of) => of.clone(),
                _ => None,
            },
            masteruser: octets(values, Id::Masteruser),
            masterauth: octets(values, Id::Masterauth),
            serve_stale_data: flag(values, Id::ReplicaServeStaleData),
            read_only: flag(values, Id::ReplicaReadOnly),
            priority: number(values, Id::ReplicaPriority),
            announced: flag(values, Id::ReplicaAnnounced),
            announce_ip: octets(values, Id::ReplicaAnnounceIp),
            announce_port: number(values, Id::ReplicaAnnouncePort),
            diskless_sync: flag(values, Id::ReplDisklessSync),
            diskless_sync_delay_s: number(values, Id::ReplDisklessSyncDelay),
            diskless_sync_max_replicas: number(values, Id::ReplDisklessSyncMaxReplicas),
            diskless_load: match values[Id::ReplDisklessLoad] {
                Value::Enum("on-empty-db") => DisklessLoad::OnEmptyDb,
                Value::Enum("swapdb") => DisklessLoad::SwapDb,
                _ => DisklessLoad::Disabled,
            },
            ping_period_s: number(values, Id::ReplPingReplicaPeriod),
            timeout_s: number(values, Id::ReplTimeout),
            disable_tcp_nodelay: flag(values, Id::ReplDisableTcpNodelay),
            backlog_bytes: number(values, Id::ReplBacklogSize),
            backlog_ttl_s: number(values, Id::ReplBacklogTtl),
            min_replicas_to_write: number(values, Id::MinReplicasToWrite),
            min_replicas_max_lag_s: number(values, Id::MinReplicasMaxLag),
            key_save_delay_micros: number::<i64>(values, Id::RdbKeySaveDelay).max(0) as u64,
            key_load_delay_micros: number::<i64>(values, Id::KeyLoadDelay).max(0) as u64,
            shutdown_timeout_s: number(values, Id::ShutdownTimeout),
            rdb_compression: flag(values, Id::Rdbcompression),
            rdb_checksum: flag(values, Id::Rdbchecksum),
        }
    }
}

impl ClusterSettings {
    fn project(values: &Values) -> ClusterSettings {
        ClusterSettings {
            enabled: flag(values, Id::ClusterEnabled),
            config_file: path(values, Id::ClusterConfigFile).unwrap_or_default(),
            node_timeout_ms: number(values, Id::ClusterNodeTimeout),
            stall_timeout_ms: number(values, Id::ClusterStallTimeout),
            port: number(values, Id::ClusterPort),
            require_full_coverage: flag(values, Id::ClusterRequireFullCoverage),
            allow_reads_when_down: flag(values, Id::ClusterAllowReadsWhenDown),
            allow_pubsubshard_when_down: flag(values, Id::ClusterAllowPubsubshardWhenDown),
            migration_barrier: number(values, Id::ClusterMigrationBarrier),
            allow_replica_migration: flag(values, Id::ClusterAllowReplicaMigration),
            replica_no_failover: flag(values, Id::ClusterReplicaNoFailover),
            replica_validity_factor: number(values, Id::ClusterReplicaValidityFactor),
            link_sendbuf_limit_bytes: number(values, Id::ClusterLinkSendbufLimit),
            announce_ip: string(values, Id::ClusterAnnounceIp),
            announce_port: number(values, Id::ClusterAnnouncePort),
            announce_tls_port: number(values, Id::ClusterAnnounceTlsPort),
            announce_bus_port: number(values, Id::ClusterAnnounceBusPort),
            announce_hostname: string(values, Id::ClusterAnnounceHostname),
            announce_human_nodename: string(values, Id::ClusterAnnounceHumanNodename),
            preferred_endpoint: endpoint_type(values),
        }
    }
}

fn flag(values: &Values, id: Id) -> bool {
    matches!(values[id], Value::Bool(true))
}

/// The value of an integer directive. Each target type holds the directive's whole range; were one narrower,
/// its default, 0, would be seen at once.
fn number<T: TryFrom<i128> + Default>(values: &Values, id: Id) -> T {
    match values[id] {
        Value::Int(value) => T::try_from(value).unwrap_or_default(),
        _ => T::default(),
    }
}

fn mode(values: &Values, id: Id) -> u32 {
    match values[id] {
        Value::Octal(mode) => mode,
        _ => 0,
    }
}

/// A string that is set.
fn text(values: &Values, id: Id) -> Option<&[u8]> {
    match &values[id] {
        Value::Str(bytes) if !bytes.is_empty() => Some(bytes),
        _ => None,
    }
}

fn octets(values: &Values, id: Id) -> Option<Vec<u8>> {
    text(values, id).map(<[u8]>::to_vec)
}

fn string(values: &Values, id: Id) -> Option<String> {
    text(values, id).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

fn path(values: &Values, id: Id) -> Option<PathBuf> {
    text(values, id).map(|bytes| PathBuf::from(OsStr::from_bytes(bytes)))
}

fn word(values: &Values, id: Id) -> &'static str {
    match values[id] {
        Value::Enum(word) => word,
        _ => "",
    }
}

fn who(values: &Values, id: Id) -> Who {
    match word(values, id) {
        "yes" => Who::Everybody,
        "local" => Who::Local,
        _ => Who::Nobody,
    }
}

fn log_level(values: &Values) -> LogLevel {
    match word(values, Id::Loglevel) {
        "debug" => LogLevel::Debug,
        "verbose" => LogLevel::Verbose,
        "warning" => LogLevel::Warning,
        _ => LogLevel::Notice,
    }
}

fn maxmemory_policy(values: &Values) -> MaxmemoryPolicy {
    match word(values, Id::MaxmemoryPolicy) {
        "volatile-lru" => MaxmemoryPolicy::VolatileLru,
        "volatile-lfu" => MaxmemoryPolicy::VolatileLfu,
        "volatile-random" => MaxmemoryPolicy::VolatileRandom,
        "volatile-ttl" => MaxmemoryPolicy::VolatileTtl,
        "allkeys-lru" => MaxmemoryPolicy::AllkeysLru,
        "allkeys-lfu" => MaxmemoryPolicy::AllkeysLfu,
        "allkeys-random" => MaxmemoryPolicy::AllkeysRandom,
        _ => MaxmemoryPolicy::NoEviction,
    }
}

fn endpoint_type(values: &Values) -> EndpointType {
    match word(values, Id::ClusterPreferredEndpointType) {
        "hostname" => EndpointType::Hostname,
        "unknown-endpoint" => EndpointType::Unknown,
        _ => EndpointType::Ip,
    }
}

fn output_buffer_limits(values: &Values) -> [OutputBufferLimit; 3] {
    match values[Id::ClientOutputBufferLimit] {
        Value::OutputBufferLimits(limits) => limits,
        _ => Default::default(),
    }
}

fn percentiles(values: &Values) -> Vec<f64> {
    match &values[Id::LatencyTrackingInfoPercentiles] {
        Value::Percentiles(percentiles) => percentiles.to_vec(),
        _ => Vec::new(),
    }
}

fn bind_addresses(values: &Values) -> Vec<BindAddress> {
    let Value::List(words) = &values[Id::Bind] else {
        return Vec::new();
    };
    words
        .iter()
        .filter(|word| !word.is_empty())
        .map(|word| {
            let text = String::from_utf8_lossy(word);
            match text.strip_prefix('-') {
                Some(address) => BindAddress {
                    address: address.to_owned(),
                    optional: true,
                },
                None => BindAddress {
                    address: text.into_owned(),
                    optional: false,
                },
            }
        })
        .collect()
}
