//! Keys and values: one table per slot, one allocation per key.
//!
//! The pieces, from the inside out:
//!
//! * [`Entry`]: a key, its value, its expiry and its access clock in one allocation.
//! * `segment`: up to 1792 pointers to entries, sorted by hash: ordered linear probing.
//! * `table`: a directory of segments that split and merge one at a time; why SCAN's cursor survives
//!   that is told there.
//! * [`Db`] and [`DbMut`]: one numbered database: the commands' view of a table.
//! * [`Partition`]: what one lock guards: a slot in cluster mode, all databases otherwise, and the
//!   registry of watched keys.
//! * [`Snapshot`]: all entries as they were at one moment, while clients write on.
//!
//! This crate knows no socket, clock, thread or global randomness: time, hashes' seeds and random
//! numbers are passed in. It is the only crate with `unsafe` code: every block argues why it is sound, and
//! `cargo +nightly miri test -p hexad-store` runs the tests under Miri (a few minutes; needs the toolchain's
//! miri component). `cargo run --release -p hexad-store --example measure` shows times and memory.

mod access;
mod cell;
mod db;
mod db_mut;
mod entry;
mod expire;
mod geometry;
mod hash;
mod heap_string;
mod integer;
mod iter;
mod partition;
mod prefetch;
mod segment;
mod size_class;
mod snapshot;
mod table;
mod watch;

pub use access::{
    ACCESS_CLOCK_MAX, LFU_INITIAL, LfuSettings, lfu_access, lfu_counter, lfu_new, lfu_with_counter,
    lru_clock, lru_clock_before, lru_idle_ms,
};
pub use db::{Db, Detached};
pub use db_mut::{DbMut, Stored};
pub use entry::{Encoding, Entry, OwnedEntry, TooLong, ValueRef};
pub use expire::ExpireStats;
pub use hash::{HashSeed, KeyHash};
pub use integer::parse_integer;
pub use iter::Iter;
pub use partition::Partition;
pub use prefetch::prefetch_line;
pub use snapshot::{PreImages, Snapshot, WalkCursor};
pub use table::TableStats;
pub use watch::WatchFlag;
