//! Primaries and replicas.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::server::{Kind, Server, ServerBuilder};
use crate::wait::wait_until;

/// By then a replica is in sync, however slow the machine.
const SYNC_LIMIT: Duration = Duration::from_secs(60);

/// The fields of INFO `section`, in their order.
///
/// # Panics
/// If the server does not answer.
#[must_use]
#[track_caller]
pub fn info(server: &Server, section: &str) -> Vec<(String, String)> {
    let text = server.cmd(&format!("INFO {section}")).text();
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    fields
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// One field of INFO.
///
/// # Panics
/// If it is not there.
#[must_use]
#[track_caller]
pub fn info_field(server: &Server, section: &str, name: &str) -> String {
    let fields = info(server, section);
    let found = fields.iter().find(|(field, _)| field == name);
    found
        .unwrap_or_else(|| panic!("no {name} in {fields:?}"))
        .1
        .clone()
}

/// A stand-alone server that syncs without delay and lets tests look into it.
#[must_use]
pub fn replication_server(kind: Kind) -> ServerBuilder {
    Server::builder(kind).args(&[
        "--enable-debug-command",
        "yes",
        "--repl-diskless-sync-delay",
        "0",
        "--repl-ping-replica-period",
        "1",
    ])
}

/// Makes `replica` follow `primary`, and waits until it does.
///
/// # Panics
/// If it does not in time.
#[track_caller]
pub fn follow(replica: &Server, primary: &Server) {
    let reply = replica.cmd(&format!("REPLICAOF 127.0.0.1 {}", primary.port()));
    assert!(reply.text().starts_with("OK"), "{reply:?}");
    wait_link_up(replica, primary);
}

/// Waits until `replica` follows `primary`.
///
/// # Panics
/// If it does not in time.
#[track_caller]
pub fn wait_link_up(replica: &Server, primary: &Server) {
    let port = primary.port().to_string();
    wait_until("the link is up", SYNC_LIMIT, || {
        let fields = info(replica, "replication");
        let has = |name: &str, value: &str| {
            let wanted = (name.to_owned(), value.to_owned());
            fields.contains(&wanted)
        };
        if has("master_port", &port) && has("master_link_status", "up") {
            return Ok(());
        }
        Err(format!(
            "{fields:?}\n{}{}",
            replica.log_tail(),
            primary.log_tail()
        ))
    });
}

/// Waits until all servers have the same offset, and checks that their data are equal. Nobody may
/// write meanwhile.
///
/// # Panics
/// If they do not in time.
#[track_caller]
pub fn wait_equal(servers: &[&Server]) {
    // The primary's pings move the offset between two looks, so equal offsets are not enough.
    wait_until("equal offsets and data", SYNC_LIMIT, || {
        let look = |server: &&Server| {
            let offset = info_field(server, "replication", "master_repl_offset");
            let digest = server.cmd("DEBUG DIGEST").text();
            format!("{digest} at {offset}")
        };
        let states: Vec<String> = servers.iter().map(look).collect();
        match BTreeSet::from_iter(&states).len() {
            1 => Ok(()),
            _ => Err(format!(
                "{states:?}\n{}",
                servers.iter().map(|s| s.log_tail()).collect::<String>()
            )),
        }
    });
}

/// Makes four tests of each function `name` that takes the [`Kind`]s of a primary and of a replica:
/// every pairing, of which the one of stock with stock proves the test.
#[macro_export]
macro_rules! on_pairs {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            use $crate::Kind::{Hexad, Stock};

            #[test]
            fn stock_follows_hexad() {
                super::$name(Hexad, Stock);
            }

            #[test]
            fn hexad_follows_stock() {
                super::$name(Stock, Hexad);
            }

            #[test]
            fn hexad_follows_hexad() {
                super::$name(Hexad, Hexad);
            }

            #[test]
            fn stock_follows_stock() {
                super::$name(Stock, Stock);
            }
        })+
    };
}
