//! What the machine is told by redis.conf.

use std::net::IpAddr;

/// The settings of the cluster state machine. Each can change at run time
/// ([`crate::Cluster::set_config`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `cluster-node-timeout`, in milliseconds: how long a node may stay silent before it is
    /// suspected. Most other periods are derived from it.
    pub node_timeout_ms: u64,
    /// `port`: the plain client port; 0 if there is none.
    pub port: u16,
    /// `tls-port`: the TLS client port; 0 if there is none.
    pub tls_port: u16,
    /// `tls-cluster`: the bus speaks TLS, and the announced client port is the TLS one.
    pub tls_cluster: bool,
    /// `cluster-port`: where the bus listens; 0 for the announced client port's base + 10000.
    pub bus_port: u16,
    /// `cluster-announce-ip`: the address that peers are told, instead of the one they see.
    pub announce_ip: Option<IpAddr>,
    /// `cluster-announce-port`; 0 for `port`.
    pub announce_port: u16,
    /// `cluster-announce-tls-port`; 0 for `tls-port`.
    pub announce_tls_port: u16,
    /// `cluster-announce-bus-port`; 0 for the port that the bus listens on.
    pub announce_bus_port: u16,
    /// `cluster-announce-hostname`; empty for none.
    pub announce_hostname: String,
    /// `cluster-announce-human-nodename` (of Redis 7.2); empty for none.
    pub announce_human_nodename: String,
    /// `cluster-preferred-endpoint-type`.
    pub preferred_endpoint: PreferredEndpoint,
    /// `cluster-require-full-coverage`: a slot without a live owner makes the state `fail`.
    pub require_full_coverage: bool,
    /// `cluster-allow-reads-when-down`.
    pub allow_reads_when_down: bool,
    /// `cluster-allow-pubsubshard-when-down`.
    pub allow_pubsubshard_when_down: bool,
    /// `cluster-allow-replica-migration`.
    pub allow_replica_migration: bool,
    /// `cluster-migration-barrier`: how many replicas a primary keeps before one may migrate.
    pub migration_barrier: u32,
    /// `cluster-replica-no-failover`: this node never stands for election.
    pub replica_no_failover: bool,
    /// `cluster-replica-validity-factor`: a replica that has not heard of its primary for the node
    /// timeout times this, and `repl_ping_period_ms`, does not stand for election; 0: it always
    /// does.
    pub replica_validity_factor: u32,
    /// `repl-ping-replica-period`, in milliseconds.
    pub repl_ping_period_ms: u64,
}

impl Config {
    /// How far the bus port lies above the client port unless `cluster-port` is set.
    pub const BUS_PORT_OFFSET: u16 = 10_000;

    /// The defaults of Redis 7.0 for a node with this client port.
    pub fn new(port: u16) -> Self {
        Self {
            node_timeout_ms: 15_000,
            port,
            tls_port: 0,
            tls_cluster: false,
            bus_port: 0,
            announce_ip: None,
            announce_port: 0,
            announce_tls_port: 0,
            announce_bus_port: 0,
            announce_hostname: String::new(),
            announce_human_nodename: String::new(),
            preferred_endpoint: PreferredEndpoint::Ip,
            require_full_coverage: true,
            allow_reads_when_down: false,
            allow_pubsubshard_when_down: true,
            allow_replica_migration: true,
            migration_barrier: 1,
            replica_no_failover: false,
            replica_validity_factor: 10,
            repl_ping_period_ms: 10_000,
        }
    }

    /// The ports that peers are told: as a frame carries them.
    ///
    /// `client` is the port of the kind that the bus is secured as; `plain` the other one, 0
    /// unless the bus speaks TLS.
    pub fn announced_ports(&self) -> AnnouncedPorts {
        let pick = |announced: u16, own: u16| if announced != 0 { announced } else { own };
        let base = if self.tls_cluster {
            self.tls_port
        } else {
            self.port
        };
        let bus = pick(self.bus_port, base.saturating_add(Self::BUS_PORT_OFFSET));
        let plain = pick(self.announce_port, self.port);
        let tls = pick(self.announce_tls_port, self.tls_port);
        AnnouncedPorts {
            client: if self.tls_cluster { tls } else { plain },
            plain: if self.tls_cluster { plain } else { 0 },
            bus: pick(self.announce_bus_port, bus),
        }
    }
}

/// See [`Config::announced_ports`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnnouncedPorts {
    /// `port` of a frame.
    pub client: u16,
    /// `pport` of a frame.
    pub plain: u16,
    /// `cport` of a frame.
    pub bus: u16,
}

/// `cluster-preferred-endpoint-type`: how clients are told where a node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PreferredEndpoint {
    /// `ip`
    #[default]
    Ip,
    /// `hostname`; `?` for a node that announces none.
    Hostname,
    /// `unknown-endpoint`: clients keep the address they used.
    UnknownEndpoint,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announced_ports_follow_the_bus() {
        let ports = |config: &Config| {
            let AnnouncedPorts { client, plain, bus } = config.announced_ports();
            (client, plain, bus)
        };
        let mut config = Config::new(7000);
        assert_eq!(ports(&config), (7000, 0, 17000));
        config.tls_port = 8000;
        assert_eq!(ports(&config), (7000, 0, 17000));
        config.tls_cluster = true;
        assert_eq!(ports(&config), (8000, 7000, 18000));
        config.bus_port = 9000;
        assert_eq!(ports(&config), (8000, 7000, 9000));
        (
            config.announce_port,
            config.announce_tls_port,
            config.announce_bus_port,
        ) = (1, 2, 3);
        assert_eq!(ports(&config), (2, 1, 3));
        config.tls_cluster = false;
        assert_eq!(ports(&config), (1, 0, 3));
        assert_eq!(
            Config::new(60_000).announced_ports().bus,
            u16::MAX,
            "no wrap-around"
        );
    }
}
