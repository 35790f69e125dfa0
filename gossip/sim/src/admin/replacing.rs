//! An empty node is taken out (RESET at the node, FORGET at all others), and brought back by MEET.

use hexad_gossip::{Admin, NodeId};
use rand::Rng;

use super::{POLL_US, Progress, forming, is_empty};
use crate::network::HostId;
use crate::queue::SECOND;
use crate::world::World;

/// One node on its way out and back in.
#[derive(Debug)]
pub(crate) struct Replacement {
    host: HostId,
    hard: bool,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Reset,
    Forget(NodeId),
    Meet,
}

impl Replacement {
    /// Picks an empty node that no other work is about.
    pub(crate) fn choose(world: &mut World) -> Option<Self> {
        let host = world.random_host();
        let members = world.members(host).count();
        let is_free = !world.is_busy(host) && !world.is_replacing() && members > 4;
        (is_free && is_empty(world, host)).then(|| Replacement {
            host,
            hard: world.rng.random_ratio(1, 2),
            stage: Stage::Reset,
        })
    }

    /// See [`super::Work::involves`].
    pub(crate) fn involves(&self, host: HostId) -> bool {
        self.host == host
    }

    /// See [`super::Work::advance`].
    pub(crate) fn advance(&mut self, world: &mut World) -> Progress {
        if !world.answers(self.host) {
            return Progress::Again(POLL_US);
        }
        match self.stage {
            // It may have been given a part meanwhile.
            Stage::Reset if !is_empty(world, self.host) => return Progress::Done,
            Stage::Reset => self.reset(world),
            Stage::Forget(id) => self.forget(world, id),
            Stage::Meet => return self.meet(world),
        }
        Progress::Again(POLL_US)
    }

    fn reset(&mut self, world: &mut World) {
        let Some(id) = world.id(self.host) else {
            return;
        };
        let reset = Admin::Reset {
            hard: self.hard,
            dataset_empty: world.is_dataset_empty(self.host),
        };
        if world.admin(self.host, reset).is_ok() {
            if self.hard {
                world.retired_ids.push(id);
            }
            self.stage = Stage::Forget(id);
        }
    }

    /// All others have to forget it within the minute for which a forgotten id is not taken from
    /// gossip again, so this waits until all of them answer.
    fn forget(&mut self, world: &mut World, id: NodeId) {
        let others: Vec<HostId> = world
            .members(self.host)
            .filter(|&host| host != self.host)
            .collect();
        if !others.iter().all(|&host| world.answers(host)) {
            return;
        }
        let mut is_forgotten = true;
        for host in others {
            if world.view(host).is_some_and(|view| view.knows(id)) {
                is_forgotten = false;
                // A replica refuses to forget its primary; nobody replicates an empty node.
                let _ = world.admin(host, Admin::Forget(id));
            }
        }
        if is_forgotten {
            self.stage = Stage::Meet;
        }
    }

    fn meet(&mut self, world: &mut World) -> Progress {
        let others: Vec<HostId> = world
            .members(self.host)
            .filter(|&host| host != self.host)
            .collect();
        let Some(id) = world.id(self.host) else {
            return Progress::Again(POLL_US);
        };
        let is_back = |host: &HostId| {
            let (theirs, ours) = (world.view(*host), world.view(self.host));
            theirs
                .zip(ours)
                .is_some_and(|(view, own)| view.knows(id) && own.knows(view.me()))
        };
        if others.iter().all(is_back) {
            return Progress::Done;
        }
        if let Some(&host) = others.iter().find(|&&host| world.answers(host)) {
            let meet = forming::meet(world.address(self.host));
            let _ = world.admin(host, meet);
        }
        Progress::Again(10 * SECOND)
    }
}
