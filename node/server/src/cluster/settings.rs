//! What the bus takes from the configuration.

use std::net::IpAddr;
use std::time::Duration;

use hexad_gossip::{Config as GossipConfig, PreferredEndpoint};

use crate::config::{Config, EndpointType, Id, Value};

use super::link::Dial;

/// Settings of the driver itself; all can change at run time.
#[derive(Clone, Copy, Debug)]
pub(super) struct DriverSettings {
    /// A link whose queue grows beyond this is closed.
    pub(super) link_queue_max_bytes: usize,
    /// `cluster-stall-timeout`; 0 for none.
    pub(super) stall_timeout_ms: u64,
    /// How outbound links are opened.
    pub(super) dial: Dial,
}

/// Where `cluster-link-sendbuf-limit` is 0, stock nodes queue without end for a peer that does not
/// read. Such a peer is closed here before it can take the process's memory.
const LINK_QUEUE_CEILING_BYTES: usize = 256 * 1024 * 1024;
/// Connecting gets at least this long, also with the shortest node timeouts.
const MIN_CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

impl DriverSettings {
    pub(super) fn new(config: &Config) -> Self {
        let cluster = &config.cluster;
        let node_timeout = Duration::from_millis(cluster.node_timeout_ms);
        let limit = usize::try_from(cluster.link_sendbuf_limit_bytes).unwrap_or(usize::MAX);
        Self {
            link_queue_max_bytes: if limit == 0 {
                LINK_QUEUE_CEILING_BYTES
            } else {
                limit
            },
            stall_timeout_ms: cluster.stall_timeout_ms,
            dial: Dial {
                source: source_address(config),
                timeout: node_timeout.max(MIN_CONNECT_TIMEOUT),
                // As Redis: probes begin after twice the node timeout.
                keepalive: (2 * node_timeout).max(Duration::from_secs(1)),
            },
        }
    }
}

/// The state machine's settings.
pub(super) fn gossip_config(config: &Config) -> GossipConfig {
    let cluster = &config.cluster;
    GossipConfig {
        node_timeout_ms: cluster.node_timeout_ms,
        bus_port: cluster.port,
        announce_ip: address("cluster-announce-ip", cluster.announce_ip.as_deref()),
        announce_port: cluster.announce_port,
        announce_tls_port: cluster.announce_tls_port,
        announce_bus_port: cluster.announce_bus_port,
        announce_hostname: cluster.announce_hostname.clone().unwrap_or_default(),
        announce_human_nodename: cluster.announce_human_nodename.clone().unwrap_or_default(),
        preferred_endpoint: match cluster.preferred_endpoint {
            EndpointType::Ip => PreferredEndpoint::Ip,
            EndpointType::Hostname => PreferredEndpoint::Hostname,
            EndpointType::Unknown => PreferredEndpoint::UnknownEndpoint,
        },
        require_full_coverage: cluster.require_full_coverage,
        allow_reads_when_down: cluster.allow_reads_when_down,
        allow_pubsubshard_when_down: cluster.allow_pubsubshard_when_down,
        allow_replica_migration: cluster.allow_replica_migration,
        migration_barrier: cluster.migration_barrier,
        replica_no_failover: cluster.replica_no_failover,
        replica_validity_factor: cluster.replica_validity_factor,
        repl_ping_period_ms: repl_ping_period_ms(config),
        ..GossipConfig::new(config.port)
    }
}

/// `repl-ping-replica-period`.
fn repl_ping_period_ms(config: &Config) -> u64 {
    match config.value(Id::ReplPingReplicaPeriod) {
        Value::Int(seconds) => u64::try_from(*seconds).unwrap_or(0).saturating_mul(1000),
        _ => 0,
    }
}

/// `bind-source-addr`.
fn source_address(config: &Config) -> Option<IpAddr> {
    match config.value(Id::BindSourceAddr) {
        Value::Str(text) => address("bind-source-addr", str::from_utf8(text).ok()),
        _ => None,
    }
}

/// The address that a directive gives, if it gives one.
fn address(directive: &str, text: Option<&str>) -> Option<IpAddr> {
    let text = text.filter(|text| !text.is_empty())?;
    let ip = text.parse().ok();
    if ip.is_none() {
        tracing::warn!("{directive} '{text}' is no IPv4 or IPv6 address and has no effect");
    }
    ip
}
