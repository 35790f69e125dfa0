//! A deterministic simulator of clusters of [`hexad_gossip::Cluster`].
//!
//! One `u64` seed decides everything: the hosts and their clocks, the network's weather, faults,
//! administrators' work, and every random number in the machines. Time is virtual. A run is a
//! `World`: a cluster (or two) forms, lives through ten minutes of trouble, heals, comes to
//! rest, and is watched finding out about one more death. The checks hold every step against
//! INVARIANTS.md; the first violation ends the run, and the seed replays it exactly.
//!
//! Clients write numbered keys; replicas follow their primaries' streams with some delay; a ledger
//! knows which writes have to be there in the end.
//!
//! What is not here: bytes that are no frames (the fuzz targets do that), and the protocol of
//! replication, of which only the outcome is played.

#![forbid(unsafe_code)]

mod admin;
mod checks;
mod clock;
mod conf;
mod data;
mod disk;
mod faults;
mod host;
mod network;
mod picture;
mod queue;
mod report;
mod scenario;
mod stranger;
mod trace;
mod wire;
mod world;

pub use report::{Failure, Report, run_seed};
pub use world::{Counts, Violation};
