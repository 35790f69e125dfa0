//! The commands of an administrator.

use hexad_slots::{Slot, SlotBitmap};
use std::net::IpAddr;

use super::Cluster;
use super::roles::FORGET_MS;
use crate::node::{Address, ME, NodeIx};
use crate::{Admin, AdminOk, LogLevel, NodeFlags, NodeId, Output, SetSlot};

/// Why a command is refused. Its text is the error reply of Redis 7.0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// MEET: nobody can be reached there.
    #[error("ERR Invalid node address specified: {ip}:{port}")]
    Address {
        /// The address that was given.
        ip: IpAddr,
        /// The client port that was given.
        port: u16,
    },
    /// ADDSLOTS of a slot that has an owner.
    #[error("ERR Slot {0} is already busy")]
    SlotBusy(Slot),
    /// DELSLOTS of a slot that has none.
    #[error("ERR Slot {0} is already unassigned")]
    SlotUnassigned(Slot),
    /// ADDSLOTS to a replica. (Stricter: Redis 7.0 lets a replica own slots that it never tells
    /// anybody of.)
    #[error("ERR Please use ADDSLOTS only with masters.")]
    AddSlotsOnReplica,
    /// FLUSHSLOTS while there are keys.
    #[error("ERR DB must be empty to perform CLUSTER FLUSHSLOTS.")]
    FlushSlotsWithKeys,
    /// SETSLOT on a replica.
    #[error("ERR Please use SETSLOT only with masters.")]
    SetSlotOnReplica,
    /// SETSLOT MIGRATING of another node's slot.
    #[error("ERR I'm not the owner of hash slot {0}")]
    NotOwner(Slot),
    /// SETSLOT IMPORTING of this node's own slot.
    #[error("ERR I'm already the owner of hash slot {0}")]
    AlreadyOwner(Slot),
    /// SETSLOT MIGRATING or IMPORTING with an unknown node.
    #[error("ERR I don't know about node {0}")]
    UnknownPeer(NodeId),
    /// Any other command with an unknown node.
    #[error("ERR Unknown node {0}")]
    UnknownNode(NodeId),
    /// SETSLOT with a replica.
    #[error("ERR Target node is not a master")]
    TargetIsReplica,
    /// SETSLOT NODE of a slot that this node would leave with keys in it.
    #[error(
        "ERR Can't assign hashslot {0} to a different node while I still hold keys for this hash \
         slot."
    )]
    KeysInSlot(Slot),
    /// FORGET of this node.
    #[error("ERR I tried hard but I can't forget myself...")]
    ForgetMyself,
    /// FORGET of this replica's primary.
    #[error("ERR Can't forget my master!")]
    ForgetMyPrimary,
    /// REPLICATE of this node.
    #[error("ERR Can't replicate myself")]
    ReplicateMyself,
    /// REPLICATE of a replica.
    #[error("ERR I can only replicate a master, not a replica.")]
    ReplicateReplica,
    /// REPLICATE on a primary that has slots or keys.
    #[error("ERR To set a master the node must be empty and without assigned slots.")]
    ReplicateNotEmpty,
    /// FAILOVER on a primary.
    #[error("ERR You should send CLUSTER FAILOVER to a replica")]
    FailoverOnPrimary,
    /// FAILOVER on a replica of somebody unknown.
    #[error("ERR I'm a replica but my master is unknown to me")]
    FailoverOfNobody,
    /// A plain FAILOVER without the primary.
    #[error("ERR Master is down or failed, please use CLUSTER FAILOVER FORCE")]
    FailoverOfFailed,
    /// RESET of a primary that has keys.
    #[error("ERR CLUSTER RESET can't be called with master nodes containing keys")]
    ResetWithKeys,
    /// SET-CONFIG-EPOCH on a node that is not alone.
    #[error(
        "ERR The user can assign a config epoch only when the node does not know any other node."
    )]
    ConfigEpochNotAlone,
    /// SET-CONFIG-EPOCH on a node that has one.
    #[error("ERR Node config epoch is already non-zero")]
    ConfigEpochSet,
}

type Done = Result<(), AdminError>;

impl Cluster {
    pub(super) fn on_admin(&mut self, admin: Admin) -> Result<AdminOk, AdminError> {
        match admin {
            Admin::Meet { ip, port, bus_port } => self.meet(ip, port, bus_port)?,
            Admin::AddSlots(slots) => self.add_slots(&slots)?,
            Admin::DelSlots(slots) => self.del_slots(&slots)?,
            Admin::FlushSlots { dataset_empty } => self.flush_slots(dataset_empty)?,
            Admin::SetSlot {
                slot,
                action,
                keys_in_slot,
            } => {
                self.set_slot(slot, &action, keys_in_slot)?;
            }
            Admin::Forget(id) => self.forget_node(id)?,
            Admin::Replicate {
                primary,
                dataset_empty,
            } => self.replicate(primary, dataset_empty)?,
            Admin::Failover(mode) => self.fail_over(mode)?,
            Admin::Reset {
                hard,
                dataset_empty,
            } => self.reset(hard, dataset_empty)?,
            Admin::SetConfigEpoch(epoch) => self.set_config_epoch(epoch)?,
            Admin::BumpEpoch => {
                let bumped = self.bump_epoch();
                let epoch = bumped.unwrap_or(self.nodes[ME].config_epoch);
                return Ok(AdminOk::Epoch {
                    epoch,
                    bumped: bumped.is_some(),
                });
            }
            Admin::SaveConfig => self.changes.durable = true,
            Admin::Publish {
                sharded,
                channel,
                message,
            } => {
                self.broadcast_message(sharded, channel, message);
            }
        }
        Ok(AdminOk::Done)
    }

    fn meet(&mut self, ip: IpAddr, port: u16, bus_port: u16) -> Done {
        if port == 0 || bus_port == 0 || ip.is_unspecified() {
            return Err(AdminError::Address { ip, port });
        }
        let address = Address {
            ip: Some(ip.to_canonical()),
            port,
            plain_port: 0,
            bus_port,
        };
        self.start_handshake(address, NodeFlags::HANDSHAKE | NodeFlags::MEET);
        Ok(())
    }

    fn add_slots(&mut self, slots: &SlotBitmap) -> Done {
        if !self.am_primary() {
            return Err(AdminError::AddSlotsOnReplica);
        }
        if let Some(busy) = slots.iter().find(|&slot| self.slots.owner(slot).is_some()) {
            return Err(AdminError::SlotBusy(busy));
        }
        for slot in slots {
            self.importing.remove(&slot);
            self.assign(slot, ME);
        }
        Ok(())
    }

    fn del_slots(&mut self, slots: &SlotBitmap) -> Done {
        if let Some(free) = slots.iter().find(|&slot| self.slots.owner(slot).is_none()) {
            return Err(AdminError::SlotUnassigned(free));
        }
        slots.iter().for_each(|slot| self.unassign(slot));
        Ok(())
    }

    fn flush_slots(&mut self, dataset_empty: bool) -> Done {
        if !dataset_empty {
            return Err(AdminError::FlushSlotsWithKeys);
        }
        let mine = self.slots.slots_of(ME).clone();
        mine.iter().for_each(|slot| self.unassign(slot));
        self.changed();
        Ok(())
    }

    fn set_slot(&mut self, slot: Slot, action: &SetSlot, keys_in_slot: usize) -> Done {
        if !self.am_primary() {
            return Err(AdminError::SetSlotOnReplica);
        }
        let mine = self.slots.owner(slot) == Some(ME);
        match action {
            SetSlot::Migrating(to) => {
                if !mine {
                    return Err(AdminError::NotOwner(slot));
                }
                let to = self.primary_named(to, AdminError::UnknownPeer)?;
                self.migrating.insert(slot, to);
            }
            SetSlot::Importing(from) => {
                if mine {
                    return Err(AdminError::AlreadyOwner(slot));
                }
                let from = self.primary_named(from, AdminError::UnknownPeer)?;
                self.importing.insert(slot, from);
            }
            SetSlot::Stable => {
                self.migrating.remove(&slot);
                self.importing.remove(&slot);
            }
            SetSlot::Node(owner) => {
                let owner = self.primary_named(owner, AdminError::UnknownNode)?;
                if mine && owner != ME && keys_in_slot > 0 {
                    return Err(AdminError::KeysInSlot(slot));
                }
                self.give_slot(slot, owner, keys_in_slot);
            }
        }
        self.changes.slots = true;
        self.changed();
        Ok(())
    }

    /// SETSLOT NODE: the end of a slot's move, on either side.
    fn give_slot(&mut self, slot: Slot, owner: NodeIx, keys_in_slot: usize) {
        if keys_in_slot == 0 {
            self.migrating.remove(&slot);
        }
        let was_mine = self.assign(slot, owner) == Some(ME);
        let left_empty = was_mine && owner != ME && self.slots.count_of(ME) == 0;
        if left_empty && self.config.allow_replica_migration {
            let id = self.nodes[owner].id;
            let text =
                format!("Configuration change detected. Reconfiguring myself as a replica of {id}");
            self.log(LogLevel::Warning, text);
            self.become_replica_of(owner, None);
        }
        if owner == ME && self.importing.remove(&slot).is_some() {
            // Nobody was asked whether the slot is this node's now: only the highest epoch makes
            // the others believe it.
            if self.bump_epoch().is_some() {
                let text = format!("configEpoch updated after importing slot {slot}");
                self.log(LogLevel::Warning, text);
            }
            self.changes.announce = true;
        }
    }

    fn primary_named(
        &self,
        id: &NodeId,
        unknown: fn(NodeId) -> AdminError,
    ) -> Result<NodeIx, AdminError> {
        let at = self.nodes.find_known(id).ok_or_else(|| unknown(*id))?;
        if self.nodes[at].is_replica() {
            Err(AdminError::TargetIsReplica)
        } else {
            Ok(at)
        }
    }

    fn forget_node(&mut self, id: NodeId) -> Done {
        let at = self.nodes.find(&id).ok_or(AdminError::UnknownNode(id))?;
        if at == ME {
            return Err(AdminError::ForgetMyself);
        }
        if self.nodes[ME].primary == Some(at) {
            return Err(AdminError::ForgetMyPrimary);
        }
        self.forget(at, FORGET_MS);
        Ok(())
    }

    fn replicate(&mut self, id: NodeId, dataset_empty: bool) -> Done {
        let at = self
            .nodes
            .find_known(&id)
            .ok_or(AdminError::UnknownNode(id))?;
        if at == ME {
            return Err(AdminError::ReplicateMyself);
        }
        if self.nodes[at].is_replica() {
            return Err(AdminError::ReplicateReplica);
        }
        if self.am_primary() && (self.slots.count_of(ME) > 0 || !dataset_empty) {
            return Err(AdminError::ReplicateNotEmpty);
        }
        if self.nodes[ME].primary == Some(at) {
            // The data that is here is this primary's already.
            return Ok(());
        }
        self.become_replica_of(at, None);
        Ok(())
    }

    /// RESET: alone again; after a hard one as somebody else.
    fn reset(&mut self, hard: bool, dataset_empty: bool) -> Done {
        if self.am_primary() && !dataset_empty {
            return Err(AdminError::ResetWithKeys);
        }
        if !self.am_primary() {
            self.become_primary();
            // What a replica holds is its primary's.
            self.staged
                .push(Output::DropKeys(Box::new(SlotBitmap::full())));
        }
        self.close_all_slots();
        for slot in Slot::all() {
            self.slots.unassign(slot);
        }
        for at in self.nodes.places() {
            self.delete_node(at);
        }
        self.forgotten.clear();
        if hard {
            let id = NodeId::random(&mut self.rng);
            self.nodes.rename(ME, id);
            self.nodes[ME].config_epoch = 0;
            self.current_epoch = 0;
            self.last_vote_epoch = 0;
            self.log(LogLevel::Notice, format!("Node hard reset, now I'm {id}"));
        }
        self.changed();
        Ok(())
    }

    fn set_config_epoch(&mut self, epoch: u64) -> Done {
        if self.nodes.len() > 1 {
            return Err(AdminError::ConfigEpochNotAlone);
        }
        if self.nodes[ME].config_epoch != 0 {
            return Err(AdminError::ConfigEpochSet);
        }
        self.nodes[ME].config_epoch = epoch;
        self.raise_current_epoch(epoch);
        self.log(
            LogLevel::Notice,
            format!("configEpoch set to {epoch} via CLUSTER SET-CONFIG-EPOCH"),
        );
        self.changed();
        Ok(())
    }
}
