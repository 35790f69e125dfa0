//! Builds the [`View`].

use std::collections::BTreeMap;
use std::sync::Arc;

use hexad_slots::{Slot, SlotRange};

use super::Cluster;
use crate::node::{ME, Node, NodeIx};
use crate::view::SlotTable;
use crate::{LinkInfo, NodeFlags, NodeId, NodeView, View};

/// The last view, and those parts of it that stay until slots change.
#[derive(Clone, Debug, Default)]
pub(super) struct PictureCache {
    view: Option<Arc<View>>,
    slots: Option<SlotPicture>,
}

#[derive(Clone, Debug)]
struct SlotPicture {
    table: Arc<SlotTable>,
    ranges: BTreeMap<NodeIx, Arc<[SlotRange]>>,
    migrating: Arc<BTreeMap<Slot, NodeId>>,
    importing: Arc<BTreeMap<Slot, NodeId>>,
}

impl PictureCache {
    /// The view is not what is the case any more.
    pub(super) fn outdate(&mut self) {
        self.view = None;
    }
}

impl Cluster {
    pub(super) fn build_view(&mut self) -> Arc<View> {
        if let Some(view) = &self.picture.view {
            return Arc::clone(view);
        }
        if std::mem::take(&mut self.changes.slots) {
            self.picture.slots = None;
        }
        let slots = match self.picture.slots.take() {
            Some(slots) => slots,
            None => self.picture_slots(),
        };
        let me = &self.nodes[ME];
        let view = Arc::new(View {
            state: self.health.state(),
            nodes: self
                .nodes
                .iter()
                .map(|(at, node)| self.picture_node(at, node, &slots))
                .collect(),
            current_epoch: self.current_epoch,
            my_epoch: self.nodes[me.primary.unwrap_or(ME)].config_epoch,
            last_vote_epoch: self.last_vote_epoch,
            size: self.health.size(),
            migrating: Arc::clone(&slots.migrating),
            importing: Arc::clone(&slots.importing),
            stats: self.stats,
            links: self.picture_links(),
            preferred_endpoint: self.config.preferred_endpoint,
            allow_reads_when_down: self.config.allow_reads_when_down,
            allow_pubsubshard_when_down: self.config.allow_pubsubshard_when_down,
            slots: Arc::clone(&slots.table),
        });
        self.picture.slots = Some(slots);
        self.picture.view = Some(Arc::clone(&view));
        view
    }

    fn picture_slots(&self) -> SlotPicture {
        let places: BTreeMap<NodeIx, usize> = self
            .nodes
            .iter()
            .enumerate()
            .map(|(place, (at, _))| (at, place))
            .collect();
        let special = self.migrating.keys().chain(self.importing.keys()).copied();
        let ids = |moves: &BTreeMap<Slot, NodeIx>| {
            Arc::new(
                moves
                    .iter()
                    .map(|(slot, at)| (*slot, self.nodes[*at].id))
                    .collect(),
            )
        };
        let ranges = self
            .slots
            .owners()
            .map(|at| (at, self.slots.slots_of(at).ranges().collect()));
        SlotPicture {
            table: Arc::new(SlotTable::new(
                |slot| {
                    self.slots
                        .owner(slot)
                        .and_then(|at| places.get(&at).copied())
                },
                special,
            )),
            ranges: ranges.collect(),
            migrating: ids(&self.migrating),
            importing: ids(&self.importing),
        }
    }

    fn picture_node(&self, at: NodeIx, node: &Node, slots: &SlotPicture) -> NodeView {
        let head = node.primary.map_or(node, |primary| &self.nodes[primary]);
        let address = node.shown_address();
        let (port, tls_port) = if self.config.tls_cluster {
            (address.plain_port, address.port)
        } else {
            (address.port, 0)
        };
        NodeView {
            id: node.id,
            ip: address.ip,
            port,
            tls_port,
            bus_port: address.bus_port,
            hostname: Arc::clone(&node.hostname),
            human_name: Arc::clone(&node.human_name),
            flags: node.flags,
            primary: node.primary.map(|primary| self.nodes[primary].id),
            ping_sent: node.ping_sent,
            pong_received: node.pong_received,
            config_epoch: head.config_epoch,
            connected: node.is(NodeFlags::MYSELF) || node.link.is_some_and(|link| self.is_up(link)),
            slots: slots.ranges.get(&at).cloned().unwrap_or_default(),
            slot_count: self.slots.count_of(at),
            repl_offset: node.repl_offset,
            shard_id: node.shard_id,
            failure_reports: self.count_reports(node),
        }
    }

    fn picture_links(&self) -> Vec<LinkInfo> {
        let known = self
            .links
            .iter()
            .filter_map(|(id, link)| Some((id, link, link.node?)));
        let info = known.map(|(id, link, node)| LinkInfo {
            link: id,
            node: self.nodes[node].id,
            inbound: link.inbound,
            create_time: link.created,
        });
        info.collect()
    }
}
