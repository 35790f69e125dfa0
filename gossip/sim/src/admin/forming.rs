//! A cluster is formed: nodes meet, slots are given out, empty nodes become replicas.

use std::net::SocketAddr;

use hexad_gossip::Admin;
use hexad_slots::Slot;
use rand::Rng;
use rand::seq::SliceRandom;

use super::{Progress, all_slots, bitmap};
use crate::network::HostId;
use crate::queue::{MS, Micros, SECOND};
use crate::scenario::Mesh;
use crate::world::World;

/// The client port lies this much below the bus port.
const BUS_PORT_OFFSET: u16 = 10_000;
/// A cluster that has not formed by then never will.
const FORM_WITHIN_US: Micros = 240 * SECOND;
/// How long a handshake may take before the administrator repeats the MEET.
const PATIENCE_US: Micros = 20 * SECOND;

/// How many slots may be given out in single pieces.
const SCATTERED_SLOTS: usize = 300;

/// The forming of one cluster.
#[derive(Debug)]
pub(crate) struct Forming {
    hosts: Vec<HostId>,
    /// Who is to meet whom.
    meetings: Vec<(HostId, HostId)>,
    /// Which slots each host is to have.
    shares: Vec<(HostId, Vec<Slot>)>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Epochs,
    Slots,
    Meetings,
    Waiting { since_us: Micros },
    Replicas,
}

impl Forming {
    /// Plans the forming of a cluster out of these hosts.
    pub(crate) fn plan(world: &mut World, hosts: Vec<HostId>) -> Self {
        let meetings = meetings(world, &hosts);
        let shares = shares(world, &hosts);
        Forming {
            hosts,
            meetings,
            shares,
            stage: Stage::Epochs,
        }
    }

    /// See [`super::Work::advance`].
    pub(crate) fn advance(&mut self, world: &mut World) -> Progress {
        if !self.hosts.iter().all(|&host| world.answers(host)) {
            return Progress::Again(50 * MS);
        }
        match self.stage {
            Stage::Epochs => {
                self.assign_epochs(world);
                self.stage = Stage::Slots;
            }
            Stage::Slots => {
                for (host, slots) in &self.shares {
                    world.must(*host, Admin::AddSlots(bitmap(slots)));
                }
                self.stage = Stage::Meetings;
            }
            Stage::Meetings => {
                for &(host, other) in &self.meetings {
                    if !knows(world, host, other) || !knows(world, other, host) {
                        world.must(host, meet(world.address(other)));
                    }
                }
                self.stage = Stage::Waiting {
                    since_us: world.now_us(),
                };
            }
            Stage::Waiting { since_us } => return self.wait(world, since_us),
            Stage::Replicas => {
                self.attach_replicas(world);
                return Progress::Done;
            }
        }
        Progress::Again(200 * MS)
    }

    fn assign_epochs(&self, world: &mut World) {
        if world.scenario.assign_epochs {
            for (epoch, &host) in (1..).zip(&self.hosts) {
                world.must(host, Admin::SetConfigEpoch(epoch));
            }
        }
    }

    fn wait(&mut self, world: &mut World, since_us: Micros) -> Progress {
        let is_formed = world.is_formed(&self.hosts);
        if is_formed && world.scenario.replicas {
            self.stage = Stage::Replicas;
        } else if is_formed {
            return Progress::Done;
        } else if world.now_us() > FORM_WITHIN_US {
            let found = format!("{:?} have not formed a cluster", self.hosts);
            world.violation(19, format!("{found} within {} s", FORM_WITHIN_US / SECOND));
        } else if world.now_us() > since_us + PATIENCE_US {
            self.stage = Stage::Meetings;
        }
        Progress::Again(200 * MS)
    }

    fn attach_replicas(&self, world: &mut World) {
        let owners: Vec<HostId> = self.shares.iter().map(|(host, _)| *host).collect();
        let empty = self.hosts.iter().filter(|host| !owners.contains(host));
        let empty: Vec<HostId> = empty.copied().collect();
        let is_even = world.rng.random_ratio(1, 2);
        for (host, next) in empty.into_iter().zip(owners.iter().cycle()) {
            let any = owners[world.rng.random_range(0..owners.len())];
            let primary = if is_even { *next } else { any };
            let primary = world.id(primary).expect("all hosts answer");
            world.must(
                host,
                Admin::Replicate {
                    primary,
                    dataset_empty: true,
                },
            );
        }
    }
}

/// CLUSTER MEET with the node whose bus is at this address.
pub(super) fn meet(bus: SocketAddr) -> Admin {
    Admin::Meet {
        ip: bus.ip(),
        port: bus.port() - BUS_PORT_OFFSET,
        bus_port: bus.port(),
    }
}

fn knows(world: &World, host: HostId, other: HostId) -> bool {
    let (view, id) = (world.view(host), world.id(other));
    view.zip(id).is_some_and(|(view, id)| view.knows(id))
}

fn meetings(world: &mut World, hosts: &[HostId]) -> Vec<(HostId, HostId)> {
    let mut order = hosts.to_vec();
    order.shuffle(&mut world.rng);
    let later = 1..order.len();
    match world.scenario.mesh {
        Mesh::Star => later.map(|i| (order[0], order[i])).collect(),
        Mesh::Chain => later.map(|i| (order[i - 1], order[i])).collect(),
        Mesh::Tree => later
            .map(|i| (order[i], order[world.rng.random_range(0..i)]))
            .collect(),
        Mesh::Full => (order.iter())
            .flat_map(|&a| order.iter().map(move |&b| (a, b)))
            .filter(|(a, b)| a != b)
            .collect(),
    }
}

/// Gives the slots out to the hosts that get some: at least three, as in any safe cluster.
fn shares(world: &mut World, hosts: &[HostId]) -> Vec<(HostId, Vec<Slot>)> {
    let empty = hosts.len() * world.scenario.empty_percent as usize / 100;
    let owners = (hosts.len() - empty).max(3).min(hosts.len());
    let mut slots: Vec<Slot> = all_slots().collect();
    if world.rng.random_ratio(1, 4) {
        // Some of them in single pieces: more would only make every nodes.conf long.
        slots[..SCATTERED_SLOTS].shuffle(&mut world.rng);
        slots.rotate_left(world.rng.random_range(0..SCATTERED_SLOTS));
    }
    slots.truncate(slots.len() - world.scenario.unassigned_slots);
    let share = slots.len().div_ceil(owners);
    let mut shares: Vec<Vec<Slot>> = slots.chunks(share).map(<[Slot]>::to_vec).collect();
    for next in 1..shares.len() {
        let contested = shares[next - 1][..world.scenario.contested_slots].to_vec();
        shares[next].extend(contested);
    }
    hosts.iter().copied().zip(shares).collect()
}
