//! Everything of a hexad node that has a socket, a clock or a thread.
//!
//! A client's bytes go [`listener`] → [`worker`] → [`connection`] (bytes in and out) →
//! [`session`] (batches, checks, transactions) → a handler of `hexad-commands`, under the lock of
//! one partition of the [`keyspace`]. Commands about the server itself are in
//! [`server_commands`]. The bus has a thread of its own ([`cluster`]).

mod boot;
mod clients;
pub mod cluster;
pub mod config;
mod connection;
mod endpoint;
mod expire;
mod gate;
mod host;
mod info;
mod keyspace;
mod listener;
pub mod log;
mod memory;
mod pause;
pub mod process;
mod replication;
mod routing;
mod sampling;
mod server;
mod server_commands;
mod session;
mod shutdown;
mod slowlog;
mod stats;
mod transaction;
mod worker;

pub use boot::run;
