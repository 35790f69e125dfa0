//! What this node says of itself, and what it learns of its own address.

use std::net::IpAddr;
use std::sync::Arc;

use super::Cluster;
use crate::node::ME;
use crate::{LogLevel, NodeFlags};

impl Cluster {
    /// Takes over from the settings what concerns this node itself.
    pub(super) fn apply_config(&mut self) {
        let ports = self.config.announced_ports();
        let me = &mut self.nodes[ME];
        me.address.port = ports.client;
        me.address.plain_port = ports.plain;
        me.address.bus_port = ports.bus;
        if let Some(ip) = self.config.announce_ip {
            me.address.ip = Some(ip);
        }
        me.hostname = Arc::from(self.config.announce_hostname.as_str());
        me.human_name = Arc::from(self.config.announce_human_nodename.as_str());
        me.flags
            .set(NodeFlags::NOFAILOVER, self.config.replica_no_failover);
        self.changes.view = true;
    }

    /// Learns this node's own address from the address that a peer reached it at.
    pub(super) fn learn_own_ip(&mut self, local_ip: IpAddr) {
        let me = &mut self.nodes[ME];
        if self.config.announce_ip.is_some() || me.address.ip == Some(local_ip) {
            return;
        }
        me.address.ip = Some(local_ip);
        self.changes.durable = true;
        self.log(
            LogLevel::Warning,
            format!("IP address for this node updated to {local_ip}"),
        );
    }
}
