//! Changes of the role. They happen on the replication thread, while the world is stopped.

use std::fmt;

use super::{LinkState, PrimaryStatus, Replication, Standing, new_id, write_log};
use crate::gate::World;
use crate::keyspace::Keyspace;
use crate::worker::unix_ms;

/// Whom a replica follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Following {
    /// A name or an address.
    pub(crate) host: String,
    /// Its client port.
    pub(crate) port: u16,
}

impl fmt::Display for Following {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Replication {
    /// Makes this server a replica, of `primary` if it is known whom to follow. The data stay until
    /// the primary's replace them.
    pub(super) fn demote(
        &self,
        _world: &World<'_>,
        keyspace: &Keyspace,
        primary: Option<Following>,
    ) {
        self.demote_stopped(keyspace, primary);
    }

    /// The same, by a transaction that has stopped the world; the replication thread is told after
    /// it.
    pub(crate) fn demote_stopped(&self, keyspace: &Keyspace, primary: Option<Following>) {
        let was_replica = self.standing().contains(Standing::REPLICA);
        self.hub().unblock_all();
        // Who starts as a replica without data has nothing that a primary could go on from.
        let has_history = self.stream().is_active() || !keyspace.is_empty();
        if !was_replica && has_history {
            let line = self.stream().demote();
            write_log([line]);
        }
        self.standing.set(Standing::REPLICA, true);
        self.standing
            .set(Standing::REPLICATES | Standing::LINK_UP, false);
        let mut status = self.status();
        *status = PrimaryStatus {
            primary,
            state: LinkState::Connect,
            down_since_ms: unix_ms(),
            emptied: status.emptied,
            ..PrimaryStatus::default()
        };
        drop(status);
        crate::log::set_role(crate::log::Role::Replica);
        self.notify();
    }

    /// Makes this server a primary. Its replicas come again, to learn the new id.
    pub(super) fn promote(&self, _world: &World<'_>) {
        let (lines, active) = {
            let mut stream = self.stream();
            (stream.promote(new_id()), stream.is_active())
        };
        write_log(lines);
        self.standing
            .set(Standing::REPLICA | Standing::LINK_UP, false);
        self.standing.set(Standing::REPLICATES, active);
        self.hub().disconnect_all();
        *self.status() = PrimaryStatus::default();
        crate::log::set_role(crate::log::Role::Primary);
        self.notify();
    }
}
