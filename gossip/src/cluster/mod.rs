//! skeleton
use crate::{Admin, AdminOk, ConfError, Config, Input, LinkId, Millis, NodeId, Output, View};
use hexad_slots::SlotBitmap;
use std::net::IpAddr;
use std::sync::Arc;

/// x
#[derive(Debug)]
pub struct Cluster {}

/// x
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// x
    #[error("ERR Unknown node {0}")]
    UnknownNode(NodeId),
}
/// x
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// x
    #[error(transparent)]
    Conf(#[from] ConfError),
}

/// Being written: the signatures are final.
#[allow(unused_variables, missing_docs, clippy::unused_self)]
impl Cluster {
    /// A new node, alone in its cluster. The first outputs persist it.
    pub fn new(config: Config, seed: u64, now: Millis) -> Self {
        Self {}
    }
    /// A node as its nodes.conf left it.
    pub fn load(
        nodes_conf: &str,
        config: Config,
        seed: u64,
        now: Millis,
    ) -> Result<Self, LoadError> {
        Ok(Self {})
    }
    /// Once, after the data set is loaded: the slots that hold keys (slots_with_keys). Takes over unowned ones.
    pub fn data_loaded(&mut self, now: Millis, slots_with_keys: &SlotBitmap) {}
    /// A new inbound connection.
    pub fn accept(&mut self, now: Millis, peer_ip: IpAddr, local_ip: IpAddr) -> LinkId {
        LinkId(0)
    }
    pub fn handle(&mut self, now: Millis, input: Input<'_>) {}
    pub fn admin(&mut self, now: Millis, admin: Admin) -> Result<AdminOk, AdminError> {
        Ok(AdminOk::Done)
    }
    pub fn set_config(&mut self, now: Millis, config: Config) {}
    pub fn set_healthy(&mut self, now: Millis, healthy: bool) {}
    pub fn set_repl_offset(&mut self, offset: u64) {}
    pub fn reset_stats(&mut self) {}
    pub fn poll_output(&mut self) -> Option<Output> {
        None
    }
    pub fn poll_timeout(&self) -> Option<Millis> {
        None
    }
    pub fn id(&self) -> NodeId {
        unimplemented!()
    }
    pub fn config(&self) -> &Config {
        unimplemented!()
    }
    /// Builds (or returns the cached) picture.
    pub fn view(&mut self) -> Arc<View> {
        unimplemented!()
    }
}
