//! INFO: the sections and fields of Redis 7.0, in its order.
//!
//! Fields of things that hexad does not have (yet) are there with the value that Redis shows when
//! the thing is unused, since monitoring tools look them up by name.

use std::fmt::{Display, Write};
use std::sync::atomic::Ordering::Relaxed;

use hexad_commands::Command;
use hexad_replication::Backlog;

use crate::config::{Config, Id, Value};
use crate::memory::{self, human};
use crate::replication::{LinkState, Standing};
use crate::server::Server;
use crate::stats::CommandTotals;
use crate::worker::{unix_micros, unix_ms};

/// The version of Redis whose behaviour this node has.
pub(crate) const REDIS_VERSION: &str = "7.0.15";

/// A section: its name, whether plain INFO and INFO default show it, and what writes it.
struct Section {
    name: &'static str,
    default: bool,
    write: fn(&mut Text, &Server),
}

const fn section(name: &'static str, default: bool, write: fn(&mut Text, &Server)) -> Section {
    Section {
        name,
        default,
        write,
    }
}

/// All sections, in the order in which they are shown.
const SECTIONS: [Section; 13] = [
    section("Server", true, server_section),
    section("Clients", true, clients_section),
    section("Memory", true, memory_section),
    section("Persistence", true, persistence_section),
    section("Stats", true, stats_section),
    section("Replication", true, replication_section),
    section("CPU", true, cpu_section),
    section("Modules", true, |_, _| {}),
    section("Commandstats", false, commandstats_section),
    section("Errorstats", true, errorstats_section),
    section("Latencystats", false, latencystats_section),
    section("Cluster", true, cluster_section),
    section("Keyspace", true, keyspace_section),
];

/// The text of INFO for these section names; no name means the default ones.
pub(crate) fn text<'a>(server: &Server, names: impl Iterator<Item = &'a [u8]>) -> String {
    let names: Vec<String> = names
        .map(|name| String::from_utf8_lossy(name).to_ascii_lowercase())
        .collect();
    let named = |name: &str| names.iter().any(|other| other.eq_ignore_ascii_case(name));
    let all = named("all") || named("everything");
    let default = names.is_empty() || named("default");
    let mut text = Text::default();
    for section in &SECTIONS {
        if all || (default && section.default) || named(section.name) {
            text.begin(section.name);
            (section.write)(&mut text, server);
        }
    }
    text.0
}

/// INFO text under construction.
#[derive(Default)]
struct Text(String);

impl Text {
    fn begin(&mut self, name: &str) {
        if !self.0.is_empty() {
            self.0.push_str("\r\n");
        }
        self.line(format_args!("# {name}"));
    }

    fn line(&mut self, line: impl Display) {
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{line}\r\n");
    }

    fn field(&mut self, name: &str, value: impl Display) {
        self.line(format_args!("{name}:{value}"));
    }

    /// Fields that are 0 because hexad does not have what they count.
    fn zeros(&mut self, names: &[&str]) {
        for name in names {
            self.field(name, 0);
        }
    }

    /// A number of bytes, and the same for human eyes.
    fn bytes(&mut self, name: &str, bytes: u64) {
        self.field(name, bytes);
        self.field(&format!("{name}_human"), human(bytes));
    }

    fn rate(&mut self, name: &str, bytes_per_second: u64) {
        self.field(
            name,
            format_args!("{:.2}", bytes_per_second as f64 / 1024.0),
        );
    }
}

fn server_section(text: &mut Text, server: &Server) {
    let config = server.config.load();
    let uptime = server.started.elapsed().as_secs();
    let uname = rustix::system::uname();
    let micros = unix_micros();
    text.field("redis_version", REDIS_VERSION);
    text.field("hexad_version", env!("CARGO_PKG_VERSION"));
    text.field("redis_git_sha1", "00000000");
    text.field("redis_git_dirty", 0);
    text.field("redis_build_id", 0);
    text.field(
        "redis_mode",
        if server.cluster.is_some() {
            "cluster"
        } else {
            "standalone"
        },
    );
    text.field(
        "os",
        format_args!(
            "{} {} {}",
            uname.sysname().to_string_lossy(),
            uname.release().to_string_lossy(),
            uname.machine().to_string_lossy()
        ),
    );
    text.field("arch_bits", usize::BITS);
    text.field("monotonic_clock", "POSIX clock_gettime");
    text.field("multiplexing_api", "epoll");
    text.field("atomicvar_api", "rust-atomics");
    text.field("process_id", std::process::id());
    text.field("process_supervised", "no");
    text.field("run_id", &server.run_id);
    text.field("tcp_port", config.port);
    text.field("server_time_usec", micros);
    text.field("uptime_in_seconds", uptime);
    text.field("uptime_in_days", uptime / 86_400);
    text.field("hz", config.hz);
    text.field("configured_hz", config.hz);
    text.field("lru_clock", (micros / 1_000_000) & 0xff_ffff);
    text.field("executable", server.executable.display());
    text.field(
        "config_file",
        config
            .file()
            .map_or(String::new(), |file| file.display().to_string()),
    );
    text.field("io_threads_active", u8::from(server.worker_count() > 1));
}

fn clients_section(text: &mut Text, server: &Server) {
    let config = server.config.load();
    let clients = server.clients.all();
    let max = |of: &dyn Fn(&crate::clients::Live) -> usize| {
        clients
            .iter()
            .map(|client| of(&client.live))
            .max()
            .unwrap_or(0)
    };
    let blocked = clients
        .iter()
        .filter(|client| client.live.flags.load(Relaxed) & crate::clients::flag::BLOCKED != 0)
        .count();
    // (Redis 7.0: replicas are not counted here.)
    let replicas = clients
        .iter()
        .filter(|client| client.live.flags.load(Relaxed) & crate::clients::flag::REPLICA != 0)
        .count();
    text.field("connected_clients", clients.len() - replicas);
    text.field(
        "cluster_connections",
        server.cluster.as_ref().map_or(0, |c| c.connections()),
    );
    text.field("maxclients", config.maxclients);
    text.field(
        "client_recent_max_input_buffer",
        max(&|live| live.query_capacity.load(Relaxed)),
    );
    text.field(
        "client_recent_max_output_buffer",
        max(&|live| live.output_bytes.load(Relaxed)),
    );
    text.field("blocked_clients", blocked);
    text.zeros(&["tracking_clients", "clients_in_timeout_table"]);
}

fn memory_section(text: &mut Text, server: &Server) {
    let config = server.config.load();
    let usage = memory::usage(server);
    text.bytes("used_memory", usage.allocated);
    text.bytes("used_memory_rss", usage.rss);
    text.bytes("used_memory_peak", usage.peak);
    let percent = |part: u64, whole: u64| part as f64 * 100.0 / whole.max(1) as f64;
    text.field(
        "used_memory_peak_perc",
        format_args!("{:.2}%", percent(usage.allocated, usage.peak)),
    );
    text.field("used_memory_overhead", usage.overhead);
    text.field("used_memory_startup", usage.startup);
    text.field("used_memory_dataset", usage.dataset());
    let above_startup = usage.allocated.saturating_sub(usage.startup);
    text.field(
        "used_memory_dataset_perc",
        format_args!("{:.2}%", percent(usage.dataset(), above_startup).min(100.0)),
    );
    text.field("allocator_allocated", usage.allocated);
    text.field("allocator_active", usage.active);
    text.field("allocator_resident", usage.resident);
    text.bytes("total_system_memory", usage.system);
    text.field("used_memory_lua", 0);
    text.field("used_memory_vm_eval", 0);
    text.field("used_memory_lua_human", human(0));
    text.zeros(&[
        "used_memory_scripts_eval",
        "number_of_cached_scripts",
        "number_of_functions",
        "number_of_libraries",
        "used_memory_vm_functions",
    ]);
    text.bytes("used_memory_vm_total", 0);
    text.zeros(&["used_memory_functions"]);
    text.bytes("used_memory_scripts", 0);
    // Kept, but not enforced yet: boot says so.
    text.bytes("maxmemory", bytes(&config, Id::Maxmemory));
    text.field("maxmemory_policy", word(&config, Id::MaxmemoryPolicy));
    let ratio = |a: u64, b: u64| a as f64 / b.max(1) as f64;
    let mut pair = |name: &str, bytes_name: &str, a: u64, b: u64| {
        text.field(name, format_args!("{:.2}", ratio(a, b)));
        text.field(bytes_name, a as i64 - b as i64);
    };
    pair(
        "allocator_frag_ratio",
        "allocator_frag_bytes",
        usage.active,
        usage.allocated,
    );
    pair(
        "allocator_rss_ratio",
        "allocator_rss_bytes",
        usage.resident,
        usage.active,
    );
    pair(
        "rss_overhead_ratio",
        "rss_overhead_bytes",
        usage.rss,
        usage.resident,
    );
    pair(
        "mem_fragmentation_ratio",
        "mem_fragmentation_bytes",
        usage.rss,
        usage.allocated,
    );
    text.field("mem_not_counted_for_evict", 0);
    let (backlog, buffers) = server.replication.memory_bytes();
    text.field("mem_replication_backlog", backlog);
    text.field("mem_total_replication_buffers", buffers);
    // As in Redis: what a replica has before it beyond the backlog.
    text.field("mem_clients_slaves", buffers.saturating_sub(backlog));
    text.field("mem_clients_normal", usage.clients);
    let links = server
        .cluster
        .as_ref()
        .map_or(0, |cluster| cluster.link_memory_bytes());
    text.field("mem_cluster_links", links);
    text.field("mem_aof_buffer", 0);
    text.field("mem_allocator", "jemalloc-5.3.0");
    text.zeros(&[
        "active_defrag_running",
        "lazyfree_pending_objects",
        "lazyfreed_objects",
    ]);
}

/// The value of a directive that is a number of bytes and that nothing else reads yet.
fn bytes(config: &Config, id: Id) -> u64 {
    match config.value(id) {
        Value::Int(bytes) => u64::try_from(*bytes).unwrap_or(0),
        _ => 0,
    }
}

/// The value of a directive that is a word.
fn word(config: &Config, id: Id) -> &str {
    match config.value(id) {
        Value::Enum(word) => word,
        _ => "",
    }
}

fn persistence_section(text: &mut Text, server: &Server) {
    let standing = server.replication.standing();
    let loads = |flag| u8::from(standing.contains(flag));
    text.field("loading", loads(Standing::LOADING));
    text.field("async_loading", loads(Standing::ASYNC_LOADING));
    text.zeros(&[
        "current_cow_peak",
        "current_cow_size",
        "current_cow_size_age",
    ]);
    text.field("current_fork_perc", "0.00");
    text.zeros(&["current_save_keys_processed", "current_save_keys_total"]);
    let dirty = server.sum(|stats| stats.dirty.get());
    text.field(
        "rdb_changes_since_last_save",
        dirty.saturating_sub(server.dirty_at_save.get()),
    );
    text.field(
        "rdb_bgsave_in_progress",
        server.replication.counters.snapshots.get(),
    );
    text.field("rdb_last_save_time", server.last_save_s.get());
    text.field("rdb_last_bgsave_status", "ok");
    text.field("rdb_last_bgsave_time_sec", -1);
    text.field("rdb_current_bgsave_time_sec", -1);
    text.zeros(&[
        "rdb_saves",
        "rdb_last_cow_size",
        "rdb_last_load_keys_expired",
        "rdb_last_load_keys_loaded",
        "aof_enabled",
        "aof_rewrite_in_progress",
        "aof_rewrite_scheduled",
    ]);
    text.field("aof_last_rewrite_time_sec", -1);
    text.field("aof_current_rewrite_time_sec", -1);
    text.field("aof_last_bgrewrite_status", "ok");
    text.zeros(&["aof_rewrites", "aof_rewrites_consecutive_failures"]);
    text.field("aof_last_write_status", "ok");
    text.zeros(&[
        "aof_last_cow_size",
        "module_fork_in_progress",
        "module_fork_last_cow_size",
    ]);
}

fn stats_section(text: &mut Text, server: &Server) {
    let (commands, input, output) = server.samples.rates();
    text.field(
        "total_connections_received",
        server.received_connections.get(),
    );
    text.field(
        "total_commands_processed",
        server.sum(|stats| stats.commands.get()),
    );
    text.field("instantaneous_ops_per_sec", commands);
    text.field(
        "total_net_input_bytes",
        server.sum(|stats| stats.input_bytes.get()),
    );
    text.field(
        "total_net_output_bytes",
        server.sum(|stats| stats.output_bytes.get()),
    );
    let counters = &server.replication.counters;
    text.field(
        "total_net_repl_input_bytes",
        counters.input_bytes.load(Relaxed),
    );
    text.field(
        "total_net_repl_output_bytes",
        counters.output_bytes.load(Relaxed),
    );
    text.rate("instantaneous_input_kbps", input);
    text.rate("instantaneous_output_kbps", output);
    text.rate("instantaneous_input_repl_kbps", 0);
    text.rate("instantaneous_output_repl_kbps", 0);
    text.field("rejected_connections", server.rejected_connections.get());
    text.field("sync_full", counters.sync_full.get());
    text.field("sync_partial_ok", counters.sync_partial_ok.get());
    text.field("sync_partial_err", counters.sync_partial_err.get());
    text.field("expired_keys", server.sum(|stats| stats.expired.get()));
    text.field("expired_stale_perc", "0.00");
    text.field(
        "expired_time_cap_reached_count",
        server.sum(|stats| stats.expire_time_cap.get()),
    );
    text.field(
        "expire_cycle_cpu_milliseconds",
        server.sum(|stats| stats.expire_cycle_micros.get()) / 1000,
    );
    text.zeros(&[
        "evicted_keys",
        "evicted_clients",
        "total_eviction_exceeded_time",
        "current_eviction_exceeded_time",
    ]);
    text.field("keyspace_hits", server.sum(|stats| stats.hits.get()));
    text.field("keyspace_misses", server.sum(|stats| stats.misses.get()));
    text.zeros(&[
        "pubsub_channels",
        "pubsub_patterns",
        "pubsubshard_channels",
        "latest_fork_usec",
        "total_forks",
        "migrate_cached_sockets",
        "slave_expires_tracked_keys",
        "active_defrag_hits",
        "active_defrag_misses",
        "active_defrag_key_hits",
        "active_defrag_key_misses",
        "total_active_defrag_time",
        "current_active_defrag_time",
        "tracking_total_keys",
        "tracking_total_items",
        "tracking_total_prefixes",
        "unexpected_error_replies",
    ]);
    text.field(
        "total_error_replies",
        server.sum(|stats| stats.error_replies.get()),
    );
    text.field("dump_payload_sanitizations", 0);
    text.field(
        "total_reads_processed",
        server.sum(|stats| stats.reads.get()),
    );
    text.field(
        "total_writes_processed",
        server.sum(|stats| stats.writes.get()),
    );
    text.zeros(&[
        "io_threaded_reads_processed",
        "io_threaded_writes_processed",
        "reply_buffer_shrinks",
        "reply_buffer_expands",
    ]);
    text.field(
        "client_query_buffer_limit_disconnections",
        server.sum(|stats| stats.query_buffer_disconnections.get()),
    );
    text.field(
        "client_output_buffer_limit_disconnections",
        server.output_limit_disconnections.get(),
    );
}

fn replication_section(text: &mut Text, server: &Server) {
    let replication = &server.replication;
    let config = server.config.load();
    let is_replica = replication.standing().contains(Standing::REPLICA);
    text.field("role", if is_replica { "slave" } else { "master" });
    if is_replica {
        primary_fields(text, server);
    }
    let now = replication.now();
    let settings = &config.replication;
    {
        let hub = replication.hub();
        text.field("connected_slaves", hub.len());
        if settings.min_replicas_to_write > 0 && settings.min_replicas_max_lag_s > 0 {
            let good = hub.acks.count_good(settings.min_replicas_max_lag_s, now);
            text.field("min_slaves_good_slaves", good);
        }
        for (number, (replica, ack)) in hub.replicas().enumerate() {
            let line = format_args!(
                "ip={},port={},state={},offset={},lag={}",
                replica.host(),
                replica.said.listening_port,
                ack.state.as_str(),
                ack.offset,
                ack.lag(now)
            );
            text.field(&format!("slave{number}"), line);
        }
        text.field("master_failover_state", hub.failover.state().as_str());
    }
    let stream = replication.stream();
    let history = stream.history();
    text.field("master_replid", history.id());
    text.field("master_replid2", history.second_id_shown());
    text.field("master_repl_offset", history.offset());
    text.field("second_repl_offset", history.second_offset_shown());
    let backlog = stream.backlog();
    text.field("repl_backlog_active", u8::from(backlog.is_some()));
    text.field("repl_backlog_size", settings.backlog_bytes);
    text.field(
        "repl_backlog_first_byte_offset",
        backlog.map_or(0, Backlog::first),
    );
    text.field("repl_backlog_histlen", backlog.map_or(0, Backlog::len));
}

/// The link to the primary.
fn primary_fields(text: &mut Text, server: &Server) {
    let replication = &server.replication;
    let status = replication.status().clone();
    let settings = &server.config.load().replication;
    let now_ms = unix_ms();
    let (host, port) = status
        .primary
        .map_or((String::new(), 0), |of| (of.host, of.port));
    let is_up = status.state == LinkState::Connected;
    let seconds_since = |ms: i64| (now_ms - ms).max(0) / 1000;
    text.field("master_host", host);
    text.field("master_port", port);
    text.field("master_link_status", if is_up { "up" } else { "down" });
    let last_io = if is_up {
        seconds_since(status.last_io_ms)
    } else {
        -1
    };
    text.field("master_last_io_seconds_ago", last_io);
    text.field(
        "master_sync_in_progress",
        u8::from(status.state == LinkState::Sync),
    );
    let offset = replication.stream().offset();
    text.field("slave_read_repl_offset", status.read_offset.max(offset));
    text.field("slave_repl_offset", offset);
    if let Some((expected, arrived)) = status.transfer {
        let total = expected.map_or(0, |bytes| bytes);
        let percent = match expected {
            Some(bytes) if bytes > 0 => arrived as f64 * 100.0 / bytes as f64,
            _ => 0.0,
        };
        text.field("master_sync_total_bytes", total);
        text.field("master_sync_read_bytes", arrived);
        text.field("master_sync_left_bytes", total as i64 - arrived as i64);
        text.field("master_sync_perc", format_args!("{percent:.2}"));
        text.field(
            "master_sync_last_io_seconds_ago",
            seconds_since(status.last_io_ms),
        );
    }
    if !is_up {
        let down = if status.down_since_ms == 0 {
            -1
        } else {
            seconds_since(status.down_since_ms)
        };
        text.field("master_link_down_since_seconds", down);
    }
    text.field("slave_priority", settings.priority);
    text.field("slave_read_only", u8::from(settings.read_only));
    text.field("replica_announced", u8::from(settings.announced));
}

fn cpu_section(text: &mut Text, _server: &Server) {
    use nix::sys::resource::{UsageWho, getrusage};
    let mut usage = |who, suffix: &str| {
        let Ok(usage) = getrusage(who) else { return };
        for (name, time) in [("sys", usage.system_time()), ("user", usage.user_time())] {
            let seconds = format_args!("{}.{:06}", time.tv_sec(), time.tv_usec());
            text.field(&format!("used_cpu_{name}{suffix}"), seconds);
        }
    };
    usage(UsageWho::RUSAGE_SELF, "");
    usage(UsageWho::RUSAGE_CHILDREN, "_children");
    // The thread that answers INFO: every worker is a main thread here.
    usage(UsageWho::RUSAGE_THREAD, "_main_thread");
}

fn commandstats_section(text: &mut Text, server: &Server) {
    for command in Command::all() {
        let totals = CommandTotals::collect(&server.stats, command.index);
        if totals.calls + totals.rejected + totals.failed == 0 {
            continue;
        }
        let micros = totals.nanos as f64 / 1000.0;
        text.field(
            &format!("cmdstat_{}", command.full_name()),
            format_args!(
                "calls={},usec={},usec_per_call={:.2},rejected_calls={},failed_calls={}",
                totals.calls,
                totals.nanos / 1000,
                if totals.calls == 0 {
                    0.0
                } else {
                    micros / totals.calls as f64
                },
                totals.rejected,
                totals.failed
            ),
        );
    }
}

fn errorstats_section(text: &mut Text, server: &Server) {
    for (code, count) in server.error_counts() {
        text.field(&format!("errorstat_{code}"), format_args!("count={count}"));
    }
}

fn latencystats_section(text: &mut Text, server: &Server) {
    let config = server.config.load();
    if !config.latency_tracking {
        return;
    }
    for command in Command::all() {
        let totals = CommandTotals::collect(&server.stats, command.index);
        let percentiles: Vec<String> = config
            .latency_percentiles
            .iter()
            .filter_map(|&percent| {
                let micros = totals.percentile_micros(percent)?;
                Some(format!("p{percent}={micros:.3}"))
            })
            .collect();
        if totals.calls > 0 && !percentiles.is_empty() {
            text.field(
                &format!("latency_percentiles_usec_{}", command.full_name()),
                percentiles.join(","),
            );
        }
    }
}

fn cluster_section(text: &mut Text, server: &Server) {
    text.field("cluster_enabled", u8::from(server.cluster.is_some()));
}

fn keyspace_section(text: &mut Text, server: &Server) {
    for db in 0..usize::from(server.keyspace.databases()) {
        let totals = server.keyspace.totals(db);
        if totals.keys > 0 {
            text.field(
                &format!("db{db}"),
                // An average TTL would need a look at every key.
                format_args!("keys={},expires={},avg_ttl=0", totals.keys, totals.volatile),
            );
        }
    }
}
