//! The place of elections: votes, and manual failovers.
//!
//! They are decoded, counted and then ignored. A primary that does not vote is what others see as
//! one that is slow, which the protocol tolerates; a replica here does not stand for election.

use super::Cluster;
use crate::LogLevel;
use crate::frame::Header;
use crate::node::NodeIx;

impl Cluster {
    /// A FAILOVER_AUTH_REQUEST, FAILOVER_AUTH_ACK or MFSTART of a known node.
    pub(super) fn on_election_frame(&mut self, header: &Header, sender: NodeIx) {
        let text = format!("Ignoring {} of node {}", header.kind, self.nodes[sender].id);
        self.log(LogLevel::Debug, text);
    }
}
