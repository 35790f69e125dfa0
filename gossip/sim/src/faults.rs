//! The fault scheduler: one fault after the other, each with its end, none beyond the time at
//! which everything heals.

use rand::Rng;
use rand::seq::IndexedRandom;

use crate::network::HostId;
use crate::queue::{MS, Micros, SECOND};
use crate::scenario::{FaultKind, HEAL_AT_US};
use crate::world::{Event, World};

/// One change for the worse, or its end.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// kill -9; the kernel lives on and closes the connections.
    Kill(HostId),
    /// The process starts again, with what the disk has.
    Start(HostId),
    /// Power loss.
    PowerOff(HostId),
    /// The host boots and starts its process.
    PowerOn(HostId),
    /// SIGSTOP.
    Pause(HostId),
    /// SIGCONT.
    Resume(HostId),
    /// These directions are cut.
    Cut(Vec<(HostId, HostId)>),
    /// These directions are no longer cut.
    Heal(Vec<(HostId, HostId)>),
    /// All connections of a host are reset.
    Reset(HostId),
    /// A replica gets nothing from its primary until then.
    StallReplication(HostId, Micros),
    /// Writes take long on a host until then.
    StallDisk(HostId, Micros),
    /// A frame of a node that nobody knows arrives.
    Stranger(HostId),
    /// Two dead hosts swap their addresses.
    SwapAddresses(HostId, HostId),
}

/// Brings about one fault of the scenario, schedules its end, and answers when the next is due.
pub(crate) fn strike(world: &mut World) -> Option<Micros> {
    let kinds = world.scenario.faults.clone();
    let kind = *kinds.choose(&mut world.rng)?;
    let until_us = end(world);
    begin(world, kind, until_us);
    let mean_us = world.scenario.fault_interval_us;
    let next_us = world.now_us() + world.rng.random_range(mean_us / 4..=mean_us * 7 / 4);
    (next_us < HEAL_AT_US).then_some(next_us)
}

/// The end of a fault that starts now: it lasts from a blink to a few node timeouts.
fn end(world: &mut World) -> Micros {
    let timeout_us = world.scenario.node_timeout_ms * MS;
    let lasts_us = match world.rng.random_range(0..4) {
        0 => world.rng.random_range(10 * MS..timeout_us / 2),
        1 => world.rng.random_range(timeout_us / 2..timeout_us * 2),
        _ => world.rng.random_range(timeout_us..timeout_us * 5),
    };
    (world.now_us() + lasts_us).min(HEAL_AT_US)
}

fn begin(world: &mut World, kind: FaultKind, until_us: Micros) {
    let host = world.random_host();
    let other = world.random_host();
    let both = vec![(host, other), (other, host)];
    match kind {
        FaultKind::Kill => pair(world, Fault::Kill(host), until_us, Fault::Start(host)),
        FaultKind::PowerLoss => pair(world, Fault::PowerOff(host), until_us, Fault::PowerOn(host)),
        FaultKind::Pause => pair(world, Fault::Pause(host), until_us, Fault::Resume(host)),
        FaultKind::OneWayCut => cut(world, vec![(host, other)], until_us),
        FaultKind::TwoWayCut => cut(world, both, until_us),
        FaultKind::Isolation => {
            let group = vec![host];
            cut(world, between(world, &group), until_us);
        }
        FaultKind::Partition => {
            let mut group: Vec<HostId> = world.host_ids().collect();
            group.retain(|_| world.rng.random_ratio(1, 2));
            cut(world, between(world, &group), until_us);
        }
        FaultKind::Flapping => flap(world, &both, until_us),
        FaultKind::Resets => world.fault(Fault::Reset(host)),
        FaultKind::DiskStall => world.fault(Fault::StallDisk(host, until_us)),
        FaultKind::ReplicationStall => {
            // Long enough to matter for who may stand for election.
            let until_us = (until_us + world.rng.random_range(0..40) * SECOND).min(HEAL_AT_US);
            world.fault(Fault::StallReplication(host, until_us));
        }
        FaultKind::Stranger => world.fault(Fault::Stranger(host)),
        FaultKind::AddressSwap => {
            world.fault(Fault::Kill(host));
            world.fault(Fault::Kill(other));
            world.fault(Fault::SwapAddresses(host, other));
            for host in [host, other] {
                let back_us = world.now_us() + world.rng.random_range(10 * MS..2 * SECOND);
                world.schedule(back_us.min(until_us), Event::Fault(Fault::Start(host)));
            }
        }
    }
}

fn pair(world: &mut World, begin: Fault, until_us: Micros, end: Fault) {
    world.fault(begin);
    world.schedule(until_us, Event::Fault(end));
}

fn cut(world: &mut World, pairs: Vec<(HostId, HostId)>, until_us: Micros) {
    pair(
        world,
        Fault::Cut(pairs.clone()),
        until_us,
        Fault::Heal(pairs),
    );
}

fn flap(world: &mut World, pairs: &[(HostId, HostId)], until_us: Micros) {
    let mut at_us = world.now_us();
    while at_us < until_us {
        let healed_us = (at_us + world.rng.random_range(MS..2 * SECOND)).min(until_us);
        world.schedule(at_us, Event::Fault(Fault::Cut(pairs.to_vec())));
        world.schedule(healed_us, Event::Fault(Fault::Heal(pairs.to_vec())));
        at_us = healed_us + world.rng.random_range(MS..2 * SECOND);
    }
}

/// Every direction between the group and the rest.
fn between(world: &World, group: &[HostId]) -> Vec<(HostId, HostId)> {
    let rest: Vec<HostId> = world
        .host_ids()
        .filter(|host| !group.contains(host))
        .collect();
    group
        .iter()
        .flat_map(|&inside| {
            rest.iter()
                .flat_map(move |&out| [(inside, out), (out, inside)])
        })
        .collect()
}
