//! nodes.conf: a file that is taken means the same after it is written and read again.

use hexad_gossip::{Cluster, Config, NodesConf};

/// The bytes are a nodes.conf.
pub fn nodes_conf(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(conf) = NodesConf::parse(text) else {
        return;
    };
    let written = conf.to_string();
    let again = NodesConf::parse(&written).expect("what was written is a nodes.conf");
    assert_eq!(again, conf, "writing changed it:\n{written}");

    let now = 1_700_000_000_000;
    let Ok(mut cluster) = Cluster::load(text, Config::new(7000), 1, now) else {
        return;
    };
    while cluster.poll_output().is_some() {}
    let _ = cluster.view();
    NodesConf::parse(&cluster.nodes_conf()).expect("a node that started can start again");
}
