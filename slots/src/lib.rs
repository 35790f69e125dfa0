//! Hash slots: from a key to its slot, sets of slots, their text, and who owns which.
//!
//! A cluster's keyspace is cut into [`SLOT_COUNT`] slots. This crate knows what a slot is and
//! nothing of nodes, sockets or time.
//!
//! * [`Slot`]: one slot; [`Slot::of_key`] hashes a key with its hash tag ([`hash_tag`]).
//! * [`SlotBitmap`]: a set of slots in the layout of the cluster bus.
//! * [`SlotRange`]: a run of slots and its text form (`5`, `0-5460`).
//! * [`SlotMap`]: slot to owner, with the set of each owner kept beside it.

#![forbid(unsafe_code)]

mod bitmap;
mod map;
mod range;
mod slot;

pub use bitmap::{SLOT_BYTES, SlotBitmap, SlotIter};
pub use map::SlotMap;
pub use range::{SlotRange, SlotRangeError, SlotRanges};
pub use slot::{SLOT_COUNT, Slot, hash_tag};
