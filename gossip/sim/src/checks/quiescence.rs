//! The second list of INVARIANTS.md, and how fast a dead primary is replaced (23).

use std::collections::BTreeMap;

use hexad_gossip::{NodeFlags, NodeId};
use hexad_slots::Slot;

use super::{Finding, short};
use crate::admin::all_slots;
use crate::data::Write;
use crate::host::Link;
use crate::network::HostId;
use crate::picture::{Picture, is_primary};
use crate::queue::{Micros, SECOND};
use crate::world::World;

type Checked = Result<(), Finding>;

/// One cluster: its nodes, by id, and what each sees.
struct Members<'a> {
    number: usize,
    views: BTreeMap<NodeId, (HostId, &'a Picture)>,
}

/// Checks everything that has to hold once all is quiet.
///
/// # Errors
/// The first finding.
pub(crate) fn check(world: &World) -> Checked {
    for number in 0..=usize::from(world.scenario.second_cluster > 0) {
        let members = members(world, number)?;
        membership(world, &members)?;
        links(world, &members)?;
        same_slots(world, &members)?;
        distinct_epochs(&members)?;
        healthy(&members)?;
        moves(&members)?;
        shards(world, &members)?;
        writes(world, &members)?;
    }
    no_leftovers(world)
}

/// The same, and 20: currentEpoch has stopped growing.
///
/// # Errors
/// The first finding.
pub(crate) fn check_lasting(world: &World) -> Checked {
    check(world)?;
    for (number, view) in world.views_by_cluster() {
        let (then, now) = (world.ledger.epoch(number), view.view().current_epoch);
        if then.is_some_and(|then| then != now) {
            let me = short(&view.me());
            return Err((20, format!("{me} still raises currentEpoch, to {now}")));
        }
    }
    Ok(())
}

/// Whether these nodes know each other and nobody else, and agree on the owners of all slots.
pub(crate) fn is_formed(world: &World, hosts: &[HostId]) -> bool {
    let Some(&first) = hosts.first() else {
        return true;
    };
    members(world, world.hosts[first.index()].cluster)
        .and_then(|members| {
            membership(world, &members)?;
            same_slots(world, &members)
        })
        .is_ok()
}

fn members(world: &World, number: usize) -> Result<Members<'_>, Finding> {
    let mut views = BTreeMap::new();
    for host in world
        .host_ids()
        .filter(|host| world.hosts[host.index()].cluster == number)
    {
        let view = world
            .view(host)
            .ok_or_else(|| (24, format!("{host:?} does not run")))?;
        views.insert(view.me(), (host, view));
    }
    Ok(Members { number, views })
}

/// 24: everybody knows everybody and nobody else, by the right address.
fn membership(world: &World, members: &Members<'_>) -> Checked {
    for (host, view) in members.views.values() {
        for node in &view.view().nodes {
            let Some((peer, _)) = members.views.get(&node.id) else {
                let (id, flags) = (short(&node.id), node.flags);
                return Err((24, format!("{host:?} knows {id} ({flags:?}), no member")));
            };
            let address = world.address(*peer);
            let is_right = (node.ip, node.bus_port) == (Some(address.ip()), address.port());
            if peer != host && !is_right {
                let found = format!("{:?} port {}", node.ip, node.bus_port);
                return Err((
                    24,
                    format!("{host:?} has {peer:?} at {found}, not {address}"),
                ));
            }
        }
        if let Some((id, _)) = members.views.iter().find(|(id, _)| !view.knows(**id)) {
            return Err((24, format!("{host:?} does not know {}", short(id))));
        }
    }
    Ok(())
}

/// 24: all links are up, and each node has been heard of within half a node timeout.
fn links(world: &World, members: &Members<'_>) -> Checked {
    for (host, view) in members.views.values() {
        let state = &world.hosts[host.index()];
        let now_ms = state.clock.millis(world.now_us());
        // A tick, a round trip, and a frame on its way.
        let oldest_ms = now_ms.saturating_sub(state.config.node_timeout_ms / 2 + 600);
        for node in view.nodes().filter(|node| node.id != view.me()) {
            let (peer, _) = members.views[&node.id];
            if !node.connected {
                return Err((24, format!("{host:?} has no link to {peer:?}")));
            }
            if node.pong_received < oldest_ms {
                let silent_ms = now_ms - node.pong_received;
                let what = format!("{host:?} last heard of {peer:?} {silent_ms} ms ago");
                return Err((24, what));
            }
        }
    }
    Ok(())
}

/// 19: one slot map, and each owner agrees that it is one; the state is ok where it can be.
fn same_slots(world: &World, members: &Members<'_>) -> Checked {
    let Some((first, reference)) = members.views.values().next() else {
        return Ok(());
    };
    for (host, view) in members.views.values() {
        if !has_same_slots(reference, view)
            && let Some(slot) = all_slots().find(|&slot| reference.owner(slot) != view.owner(slot))
        {
            let name = |owner: Option<NodeId>| owner.map_or("nobody".into(), |id| short(&id));
            let (one, other) = (name(reference.owner(slot)), name(view.owner(slot)));
            let what = format!("slot {slot} is {one}'s for {first:?}, {other}'s for {host:?}");
            return Err((19, what));
        }
    }
    let mut is_covered = true;
    let was_owned = world.ledger.owned(members.number);
    for slot in all_slots().filter(|&slot| reference.owner(slot).is_none()) {
        is_covered = false;
        if was_owned.is_some_and(|owned| owned.get(slot)) {
            return Err((19, format!("slot {slot} has lost its owner")));
        }
    }
    for (host, view) in members.views.values() {
        let state = view.view().state;
        if is_covered && was_owned.is_some() && !state.is_ok() {
            return Err((19, format!("{host:?} does not serve: {state:?}")));
        }
    }
    Ok(())
}

/// Whether two views have the same slots for the same nodes.
fn has_same_slots(one: &Picture, other: &Picture) -> bool {
    one.nodes().all(|node| {
        other
            .node(node.id)
            .map_or(node.slot_count == 0, |twin| twin.slots == node.slots)
    }) && other
        .nodes()
        .all(|node| one.knows(node.id) || node.slot_count == 0)
}

/// 20.
fn distinct_epochs(members: &Members<'_>) -> Checked {
    let mut owners: BTreeMap<u64, HostId> = BTreeMap::new();
    let mut current = None;
    for (host, view) in members.views.values() {
        let (epoch, me) = (view.view().current_epoch, view.view().myself());
        if *current.get_or_insert(epoch) != epoch {
            return Err((
                20,
                format!("{host:?} has currentEpoch {epoch}, others {current:?}"),
            ));
        }
        if let Some(other) = is_primary(me)
            .then(|| owners.insert(me.config_epoch, *host))
            .flatten()
        {
            let epoch = me.config_epoch;
            return Err((
                20,
                format!("{host:?} and {other:?} both have configEpoch {epoch}"),
            ));
        }
        for node in view.nodes().filter(|node| is_primary(node)) {
            let (_, theirs) = &members.views[&node.id];
            let (seen, real) = (node.config_epoch, theirs.view().myself().config_epoch);
            if seen != real {
                let id = short(&node.id);
                return Err((
                    20,
                    format!("{host:?} has {seen} for the configEpoch {real} of {id}"),
                ));
            }
        }
    }
    Ok(())
}

/// 21.
fn healthy(members: &Members<'_>) -> Checked {
    for (host, view) in members.views.values() {
        for node in view.nodes() {
            let id = short(&node.id);
            if node.flags.intersects(NodeFlags::FAILING) {
                return Err((21, format!("{host:?} holds {id} for {:?}", node.flags)));
            }
            let theirs = &members.views[&node.id].1.view().myself();
            if node.primary != theirs.primary || is_primary(node) != is_primary(theirs) {
                return Err((
                    21,
                    format!("{host:?} takes {id} for what it is not: {node:?}"),
                ));
            }
            let chained = node
                .primary
                .is_some_and(|primary| !view.is_primary(primary));
            if chained {
                return Err((21, format!("for {host:?} {id} is a replica of no primary")));
            }
        }
    }
    Ok(())
}

/// 22.
fn moves(members: &Members<'_>) -> Checked {
    for (me, (host, view)) in &members.views {
        let moves = |away: bool| {
            if away {
                &view.view().migrating
            } else {
                &view.view().importing
            }
        };
        for away in [true, false] {
            for (slot, peer) in moves(away).iter() {
                let counterpart = members.views.get(peer).and_then(|(_, theirs)| match away {
                    true => theirs.importing(*slot),
                    false => theirs.migrating(*slot),
                });
                if counterpart != Some(*me) {
                    let word = if away {
                        "migrating to"
                    } else {
                        "importing from"
                    };
                    let peer = short(peer);
                    let what = format!("{host:?} has slot {slot} {word} {peer}, unrequited");
                    return Err((22, what));
                }
            }
        }
    }
    Ok(())
}

/// 21: who has lost its place is a replica, and each replica has its primary's data.
fn shards(world: &World, members: &Members<'_>) -> Checked {
    for promotion in world.ledger.promotions() {
        let Some((host, view)) = members.views.get(&promotion.old) else {
            continue;
        };
        let me = view.view().myself();
        let may_follow = world.hosts[host.index()].config.allow_replica_migration;
        if is_primary(me) && me.slot_count == 0 && may_follow {
            return Err((
                21,
                format!("{host:?} has lost its place and follows nobody"),
            ));
        }
    }
    for (host, view) in members.views.values() {
        let Some((primary, _)) = view
            .view()
            .myself()
            .primary
            .and_then(|id| members.views.get(&id))
        else {
            continue;
        };
        let [replica, head] = [host, primary].map(|host| &world.hosts[host.index()]);
        let link = replica.process.as_ref().map(|process| process.link);
        if !matches!(link, Some(Link::Up(_))) {
            return Err((21, format!("{host:?} does not replicate: {link:?}")));
        }
        // What has just been written is under way.
        let settled_us = world.now_us().saturating_sub(SECOND);
        let is_settled = |(.., at_us): &(Slot, Write, Micros)| *at_us < settled_us;
        let is_behind = || head.data.beyond(&replica.data).iter().any(is_settled);
        if !replica.data.beyond(&head.data).is_empty() || is_behind() {
            let what = format!("{host:?} has other data than its primary {primary:?}");
            return Err((21, what));
        }
    }
    Ok(())
}

/// 25: the owner of a slot has all that was written to it and was not lost where the protocol
/// admits it.
fn writes(world: &World, members: &Members<'_>) -> Checked {
    let Some((_, reference)) = members.views.values().next() else {
        return Ok(());
    };
    for (slot, write) in world.ledger.must_have(members.number) {
        let owner = reference.owner(slot).and_then(|id| members.views.get(&id));
        if let Some((host, _)) = owner
            && !world.hosts[host.index()].data.has(slot, write)
        {
            return Err((
                25,
                format!("{host:?} has lost write {write} of slot {slot}"),
            ));
        }
    }
    Ok(())
}

/// 23: what a replica needs to take a dead primary's place: it has its data, and may.
pub(crate) fn has_eligible_replica(world: &World, victim: HostId) -> bool {
    let Some(id) = world.hosts[victim.index()]
        .durable
        .as_ref()
        .map(|conf| conf.me)
    else {
        return false;
    };
    world.members(victim).any(|host| {
        let state = &world.hosts[host.index()];
        let follows = world
            .view(host)
            .is_some_and(|view| view.view().myself().primary == Some(id));
        let has_data = state
            .process
            .as_ref()
            .is_some_and(|process| process.synced_us.is_some());
        follows && has_data && !state.config.replica_no_failover
    })
}

/// 13, seen from its end: whoever lost a slot has dropped its keys.
fn no_leftovers(world: &World) -> Checked {
    for host in world.host_ids() {
        let Some(view) = world.view(host) else {
            continue;
        };
        if !view.is_primary(view.me()) {
            continue;
        }
        let keys = &world.hosts[host.index()].data.keys;
        let foreign = |slot: &&Slot| {
            let is_other = view.owner(**slot).is_some_and(|owner| owner != view.me());
            is_other && view.importing(**slot).is_none()
        };
        if let Some(slot) = keys.keys().find(foreign) {
            return Err((
                13,
                format!("{host:?} still has keys of slot {slot}, another's"),
            ));
        }
    }
    Ok(())
}
