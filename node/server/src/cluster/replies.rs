//! The replies of CLUSTER that show a [`View`], in the shapes of Redis 7.0.

use std::collections::HashMap;
use std::net::IpAddr;

use hexad_gossip::{LinkInfo, NodeFlags, NodeId, NodeView, PreferredEndpoint, View};
use hexad_resp::Reply;
use hexad_slots::SlotRange;

/// How clients are told to reach a node: the text in MOVED, ASK and CLUSTER SHARDS.
pub(super) fn endpoint(view: &View, node: &NodeView) -> String {
    match view.preferred_endpoint {
        PreferredEndpoint::Ip => ip_text(node.ip),
        PreferredEndpoint::Hostname if node.hostname.is_empty() => "?".to_owned(),
        PreferredEndpoint::Hostname => node.hostname.to_string(),
        PreferredEndpoint::UnknownEndpoint => String::new(),
    }
}

/// CLUSTER SLOTS: each run of slots with its primary and the replicas that can serve.
pub(super) fn slots(view: &View, tls: bool, reply: &mut Reply) {
    let mut runs: Vec<(SlotRange, &NodeView)> = view
        .nodes
        .iter()
        .flat_map(|node| node.slots.iter().map(move |&range| (range, node)))
        .collect();
    runs.sort_unstable_by_key(|(range, _)| range.start());
    let replicas = replicas_by_primary(view);
    reply.array(runs.len());
    for (range, owner) in runs {
        let replicas = replicas.get(&owner.id).into_iter().flatten();
        let shown = replicas.filter(|node| can_serve_reads(node));
        reply.array(3 + shown.clone().count());
        reply.integer(range.start().get().into());
        reply.integer(range.end().get().into());
        slots_node(view, owner, tls, reply);
        shown.for_each(|node| slots_node(view, node, tls, reply));
    }
}

/// Each primary's replicas: looked up once a reply, since a cluster may have a thousand nodes.
fn replicas_by_primary(view: &View) -> HashMap<NodeId, Vec<&NodeView>> {
    let mut replicas: HashMap<NodeId, Vec<&NodeView>> = HashMap::new();
    for node in &view.nodes {
        if let Some(primary) = node.primary {
            replicas.entry(primary).or_default().push(node);
        }
    }
    replicas
}

/// A replica that has not failed and has data. (Redis 7.0 shows the others only in SHARDS.)
fn can_serve_reads(node: &NodeView) -> bool {
    !node.flags.contains(NodeFlags::FAIL) && node.repl_offset != 0
}

/// One node of CLUSTER SLOTS: endpoint, port, id, and what else is known of its address.
fn slots_node(view: &View, node: &NodeView, tls: bool, reply: &mut Reply) {
    reply.array(4);
    match view.preferred_endpoint {
        PreferredEndpoint::UnknownEndpoint => reply.null(),
        _ => reply.bulk(endpoint(view, node).as_bytes()),
    }
    reply.integer(node.client_port(tls).into());
    reply.bulk(node.id.as_bytes());
    let with_ip = view.preferred_endpoint != PreferredEndpoint::Ip;
    let with_hostname =
        view.preferred_endpoint != PreferredEndpoint::Hostname && !node.hostname.is_empty();
    reply.map(usize::from(with_ip) + usize::from(with_hostname));
    if with_ip {
        reply.bulk(b"ip");
        reply.bulk(ip_text(node.ip).as_bytes());
    }
    if with_hostname {
        reply.bulk(b"hostname");
        reply.bulk(node.hostname.as_bytes());
    }
}

/// CLUSTER SHARDS: each primary's slots, and its nodes.
pub(super) fn shards(view: &View, reply: &mut Reply) {
    let primaries: Vec<_> = view
        .nodes
        .iter()
        .filter(|node| node.flags.contains(NodeFlags::PRIMARY))
        .collect();
    let replicas = replicas_by_primary(view);
    reply.array(primaries.len());
    for primary in primaries {
        reply.map(2);
        reply.bulk(b"slots");
        reply.array(2 * primary.slots.len());
        for range in primary.slots.iter() {
            reply.integer(range.start().get().into());
            reply.integer(range.end().get().into());
        }
        reply.bulk(b"nodes");
        let replicas = replicas.get(&primary.id).map_or(&[][..], Vec::as_slice);
        reply.array(1 + replicas.len());
        shards_node(view, primary, reply);
        replicas
            .iter()
            .for_each(|node| shards_node(view, node, reply));
    }
}

fn shards_node(view: &View, node: &NodeView, reply: &mut Reply) {
    let ports = [("port", node.port), ("tls-port", node.tls_port)];
    let ports = ports.into_iter().filter(|(_, port)| *port != 0);
    let is_replica = node.flags.contains(NodeFlags::REPLICA);
    reply.map(6 + ports.clone().count() + usize::from(!node.hostname.is_empty()));
    reply.bulk(b"id");
    reply.bulk(node.id.as_bytes());
    for (name, port) in ports {
        reply.bulk(name.as_bytes());
        reply.integer(port.into());
    }
    text_pair("ip", &ip_text(node.ip), reply);
    text_pair("endpoint", &endpoint(view, node), reply);
    if !node.hostname.is_empty() {
        text_pair("hostname", &node.hostname, reply);
    }
    text_pair("role", if is_replica { "replica" } else { "master" }, reply);
    reply.bulk(b"replication-offset");
    reply.integer(integer(node.repl_offset));
    let health = if node.flags.contains(NodeFlags::FAIL) {
        "fail"
    } else if is_replica && node.repl_offset == 0 {
        "loading"
    } else {
        "online"
    };
    text_pair("health", health, reply);
}

/// A link of CLUSTER LINKS with what only the driver knows of it.
pub(super) struct LinkRow {
    /// As the state machine knows the link.
    pub(super) info: LinkInfo,
    /// Bytes that wait to be written.
    pub(super) queued_bytes: usize,
}

/// CLUSTER LINKS.
pub(super) fn links(rows: &[LinkRow], reply: &mut Reply) {
    reply.array(rows.len());
    for LinkRow { info, queued_bytes } in rows {
        let queued = integer(*queued_bytes as u64);
        reply.map(6);
        text_pair("direction", if info.inbound { "from" } else { "to" }, reply);
        text_pair("node", info.node.as_str(), reply);
        reply.bulk(b"create-time");
        reply.integer(integer(info.create_time));
        // Stock shows which events it waits for: always readable, writable while it has a queue.
        text_pair("events", if queued == 0 { "r" } else { "rw" }, reply);
        // A queue here holds the frames themselves and allocates nothing beyond them.
        reply.bulk(b"send-buffer-allocated");
        reply.integer(queued);
        reply.bulk(b"send-buffer-used");
        reply.integer(queued);
    }
}

/// CLUSTER REPLICAS: the replicas' lines of CLUSTER NODES.
pub(super) fn replicas(view: &View, primary: &NodeView, tls: bool, reply: &mut Reply) {
    let lines: Vec<_> = view
        .replicas_of(primary.id)
        .map(|node| view.node_line(node, tls))
        .collect();
    reply.array(lines.len());
    lines.iter().for_each(|line| reply.bulk(line.as_bytes()));
}

fn text_pair(name: &str, value: &str, reply: &mut Reply) {
    reply.bulk(name.as_bytes());
    reply.bulk(value.as_bytes());
}

/// The address as text; empty if it is not known.
fn ip_text(ip: Option<IpAddr>) -> String {
    ip.map(|ip| ip.to_string()).unwrap_or_default()
}

fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
