//! Replication, as the machine sees it: whom to follow, and how good this node's copy is.

use super::Cluster;
use crate::node::ME;
use crate::{Millis, Output, PrimaryLink, ReplicaOf, ReplicationState, Role};

/// How this node replicates.
#[derive(Clone, Copy, Debug)]
pub(super) struct Following {
    /// What the driver was last told, and its term.
    told: (u64, Role),
    /// Of the present term, which rises whenever this node follows somebody else than before.
    state: ReplicationState,
    /// When the last primary was last heard of, if the present one has taken its place: as long
    /// as nothing has come from the new one, this node's data is as old as that.
    inherited: Option<Millis>,
}

impl Following {
    /// As a new node begins: a primary.
    pub(super) fn new() -> Self {
        Self {
            told: (0, Role::Primary),
            state: ReplicationState::default(),
            inherited: None,
        }
    }
}

impl Cluster {
    /// Says how far replication has got. Cheap, and without outputs: to be called whenever the
    /// machine is about to be given something, so that what it says and decides is up to date.
    pub fn set_replication(&mut self, state: ReplicationState) {
        if state == self.following.state || state.term != self.following.state.term {
            return;
        }
        let before = self.own_offset();
        self.following.state = state;
        if self.own_offset() != before {
            self.own_offset_changed();
        }
    }

    /// The offset that counts: that of this node's own stream, or in its present primary's.
    pub(super) fn own_offset(&self) -> u64 {
        if self.am_primary() || self.is_in_sync() {
            self.following.state.offset
        } else {
            0
        }
    }

    /// Whether this replica has, or had lately, its primary's data.
    pub(super) fn is_in_sync(&self) -> bool {
        let link = self.following.state.link;
        !matches!(link, PrimaryLink::Never | PrimaryLink::Emptied)
    }

    /// Whether this replica has no data, for it is about to get its primary's.
    pub(super) fn is_emptied(&self) -> bool {
        self.following.state.link == PrimaryLink::Emptied
    }

    pub(super) fn note_own_offset(&mut self, offset: u64) {
        self.following.state.offset = offset;
        self.own_offset_changed();
    }

    fn own_offset_changed(&mut self) {
        self.nodes[ME].repl_offset = self.own_offset();
        self.changes.times = true;
        self.picture.outdate();
    }

    /// When this replica's data was last known to be that of its shard; `None` for never.
    pub(super) fn last_heard(&self) -> Option<Millis> {
        match self.following.state.link {
            PrimaryLink::Up { heard_ms } | PrimaryLink::Down { heard_ms } => Some(heard_ms),
            PrimaryLink::Never => self.following.inherited,
            PrimaryLink::Emptied => None,
        }
    }

    /// Whether this replica's data is too old for it to stand for election.
    pub(super) fn data_is_too_old(&self) -> bool {
        let factor = u64::from(self.config.replica_validity_factor);
        let timeout = self.config.node_timeout_ms;
        let limit = self
            .config
            .repl_ping_period_ms
            .saturating_add(timeout.saturating_mul(factor));
        let is_older = |heard| data_age(self.now, heard, timeout) > limit;
        factor > 0 && self.last_heard().is_none_or(is_older)
    }

    /// This node follows somebody else from now on, or nobody any more. `heard`: see
    /// [`Following::inherited`].
    pub(super) fn begin_term(&mut self, heard: Option<Millis>) {
        let Following {
            state, inherited, ..
        } = &mut self.following;
        state.term += 1;
        state.link = PrimaryLink::Never;
        *inherited = heard;
        self.own_offset_changed();
    }

    /// What the driver is to be told at the end of a call, if there is something new.
    pub(super) fn role_output(&mut self) -> Option<Output> {
        let (term, role) = (self.following.state.term, self.role());
        let news = self.following.told != (term, role);
        self.following.told = (term, role);
        news.then_some(Output::RoleChanged { term, role })
    }

    fn role(&self) -> Role {
        if self.am_primary() {
            return Role::Primary;
        }
        let primary = self.nodes[ME].primary.map(|at| &self.nodes[at]);
        Role::Replica {
            of: primary.and_then(|node| {
                let address = node.shown_address();
                Some(ReplicaOf {
                    id: node.id,
                    ip: address.ip?,
                    port: address.port,
                })
            }),
        }
    }
}

/// How old data is, beyond the node timeout that it takes to notice that a primary has failed.
fn data_age(now: Millis, heard: Millis, node_timeout_ms: u64) -> u64 {
    let age = now.saturating_sub(heard);
    if age > node_timeout_ms {
        age - node_timeout_ms
    } else {
        age
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_data_leaves_out_the_time_to_notice() {
        for (now, heard, age) in [
            (5000, 5000, 0),
            (5000, 4000, 1000),
            (5000, 3999, 1),
            (5, 9, 0),
        ] {
            assert_eq!(data_age(now, heard, 1000), age, "{now} {heard}");
        }
    }
}
