//! The links of the bus.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::node::NodeIx;
use crate::{LinkId, Millis};

/// A connection, as the machine sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    /// The node at its other end. Always known for an outbound link; for an inbound one from the
    /// first frame of a known sender on.
    pub(crate) node: Option<NodeIx>,
    pub(crate) inbound: bool,
    /// Whether the connection is established.
    pub(crate) up: bool,
    pub(crate) created: Millis,
    /// The address at the other end of an inbound link.
    pub(crate) peer_ip: Option<IpAddr>,
    /// The address at this end, once it is up.
    pub(crate) local_ip: Option<IpAddr>,
}

/// All links by their id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Links {
    links: BTreeMap<LinkId, Link>,
    last: u64,
}

impl Links {
    pub(crate) fn add(&mut self, link: Link) -> LinkId {
        self.last += 1;
        let id = LinkId(self.last);
        self.links.insert(id, link);
        id
    }

    pub(crate) fn get(&self, id: LinkId) -> Option<&Link> {
        self.links.get(&id)
    }

    /// Whether the connection is established.
    pub(crate) fn is_up(&self, id: LinkId) -> bool {
        self.get(id).is_some_and(|link| link.up)
    }

    pub(crate) fn get_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.get_mut(&id)
    }

    pub(crate) fn remove(&mut self, id: LinkId) -> Option<Link> {
        self.links.remove(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (LinkId, &Link)> {
        self.links.iter().map(|(id, link)| (*id, link))
    }
}
