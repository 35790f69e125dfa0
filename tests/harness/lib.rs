//! Harness of the black-box tests: starts real servers and talks to them as a client would.
//!
//! Every test runs against a built binary, never against a crate's API, and most of them run
//! twice: once against hexad and once against a stock `redis-server`, which proves that the
//! expectation is the reference's and not ours. [`Kind`] says which of the two a server is.
//!
//! The parts, from the bottom up:
//!
//! * [`Conn`]: a RESP client that can show the exact bytes of a reply;
//! * [`PortPair`]: a port and its bus port, free and held for the life of the value;
//! * [`Network`]: network namespaces between which links are cut;
//! * [`Server`]: one process, ended when the value is dropped;
//! * [`Cluster`]: several servers made into one cluster, and their views ([`NodeLine`]);
//! * [`replication_server`], [`follow`], [`wait_equal`]: primaries and replicas;
//! * [`Transcript`]: text files of commands and their exact replies.
//!
//! Nothing here sleeps for a fixed time: every wait is for a condition, with a deadline, and a
//! failure shows the last state seen and the tails of the logs.

mod client;
mod cluster;
mod network;
mod ports;
mod replication;
mod server;
mod tools;
mod transcript;
mod view;
mod wait;

pub use client::{Conn, Value};
pub use cluster::{Cluster, ClusterClient};
pub use network::{Network, Place};
pub use ports::PortPair;
pub use replication::{follow, info, info_field, replication_server, wait_equal, wait_link_up};
pub use server::{Kind, Server, ServerBuilder, TempDir};
pub use tools::{redis_cli, run, workspace_root};
pub use transcript::Transcript;
pub use view::{ClusterInfo, NodeLine, parse_nodes};
pub use wait::{poll_until, wait_until};

/// Makes two tests, `name::hexad` and `name::stock`, of each function `name` that takes a [`Kind`].
#[macro_export]
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            #[test]
            fn hexad() {
                super::$name($crate::Kind::Hexad);
            }

            #[test]
            fn stock() {
                super::$name($crate::Kind::Stock);
            }
        })+
    };
}
