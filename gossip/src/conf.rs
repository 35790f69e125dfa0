/// x
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("x")]
pub struct ConfError;
/// x
#[derive(Debug)]
pub struct NodesConf;
/// x
#[derive(Debug)]
pub struct NodeLine;
