//! Faults on a six-node cluster under load: what was acknowledged stays, and the cluster heals.
//!
//! How many faults, and which, comes from the environment (`scripts/chaos` sets it):
//! `HEXAD_CHAOS_KILLS`, `HEXAD_CHAOS_STOPS`, `HEXAD_CHAOS_PARTITIONS`, `HEXAD_CHAOS_SEED` and
//! `HEXAD_CHAOS_NODE_TIMEOUT_MS`. The seed decides who is hit when and how; processes and networks
//! have a will of their own, so a seed does not repeat a run to the letter.

mod faults;
mod ledger;
mod load;
mod shards;

use std::io::Write;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use faults::{Fault, Field};

/// The ledger is no use if it does not notice.
#[test]
fn a_dropped_write_is_noticed() {
    let mut field = Field::on_this_machine(node_timeout(), seed());
    let (key, reason) = field.drop_a_write();
    let said = reason.lines().next().unwrap_or_default();
    assert!(
        said.starts_with(&key) && said.contains("and is lost"),
        "{reason}"
    );
}

#[test]
#[ignore = "takes minutes; scripts/chaos runs it"]
fn killed_and_stopped_primaries() {
    let (kills, stops) = (setting("KILLS", 30), setting("STOPS", 6));
    let mut field = Field::on_this_machine(node_timeout(), seed());
    let mut faults = vec![Fault::Kill; kills];
    faults.extend(vec![Fault::Stop; stops]);
    faults.extend(vec![Fault::HandOver; stops.div_ceil(2)]);
    field.run(faults);
}

#[test]
#[ignore = "takes minutes; scripts/chaos runs it"]
fn partitions() {
    let count = setting("PARTITIONS", 10);
    let field = Field::in_namespaces(node_timeout(), seed());
    let mut field = match field {
        Ok(field) => field,
        Err(reason) => {
            say(&format!("SKIPPED, no partitions are tried: {reason}"));
            return;
        }
    };
    let kinds = [
        Fault::Isolate,
        Fault::Deafen,
        Fault::Mute,
        Fault::Flap,
        Fault::LoseReplicas,
    ];
    field.run(kinds.into_iter().cycle().take(count).collect());
}

fn node_timeout() -> Duration {
    Duration::from_millis(setting("NODE_TIMEOUT_MS", 1_000))
}

fn seed() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    setting("SEED", u64::from(now.unwrap_or_default().subsec_nanos()))
}

fn setting<T: FromStr>(name: &str, default: T) -> T {
    let name = format!("HEXAD_CHAOS_{name}");
    match std::env::var(&name) {
        Err(_) => default,
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text} is not a number")),
    }
}

/// Writes a line at once, whether or not the test harness keeps output back.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
