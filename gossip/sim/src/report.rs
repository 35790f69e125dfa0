//! One seed from beginning to end, and what there is to tell of it.

use std::fmt;
use std::panic::{self, AssertUnwindSafe};

use crate::checks::short;
use crate::scenario::Scenario;
use crate::trace::Time;
use crate::world::{Counts, Violation, World};

/// What became of a seed.
#[derive(Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What was done.
    pub counts: Counts,
    /// How much virtual time it took, in microseconds.
    pub virtual_us: u64,
    /// The same for every run of the seed.
    pub hash: u64,
    /// The transcript, if it was asked for.
    pub transcript: Vec<String>,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
}

/// A failed seed.
#[derive(Debug)]
pub struct Failure {
    seed: u64,
    violation: Violation,
    scenario: Scenario,
    views: String,
}

impl Failure {
    /// What did not hold.
    #[must_use]
    pub fn violation(&self) -> &Violation {
        &self.violation
    }
}

/// Runs one seed. A panic in the machine under test is a violation, too (number 0).
#[must_use]
pub fn run_seed(seed: u64, keep_transcript: bool) -> Report {
    let mut world = World::new(Scenario::from_seed(seed), keep_transcript);
    let result = panic::catch_unwind(AssertUnwindSafe(|| world.run()));
    let result = result.unwrap_or_else(|cause| {
        let text = cause.downcast_ref::<String>().map(String::as_str);
        let text = text
            .or_else(|| cause.downcast_ref::<&str>().copied())
            .unwrap_or("?");
        Err(Violation {
            invariant: 0,
            at_us: world.now_us(),
            what: format!("panic: {text}"),
        })
    });
    let failure = result.err().map(|violation| Failure {
        seed,
        violation,
        scenario: world.scenario.clone(),
        views: views(&world),
    });
    Report {
        seed,
        counts: world.counts,
        virtual_us: world.now_us(),
        hash: world.trace.hash(),
        transcript: world.trace.take(),
        failure,
    }
}

/// What every node sees: its state, and CLUSTER NODES.
fn views(world: &World) -> String {
    let mut text = String::new();
    for host in world.host_ids() {
        let place = format!("n{} at {}", host.0, world.address(host));
        let Some(picture) = world.view(host) else {
            text += &format!("{place}: down\n");
            continue;
        };
        let view = picture.view();
        let (me, epoch) = (short(&picture.me()), view.current_epoch);
        text += &format!("{place} is {me}, currentEpoch {epoch}, {:?}\n", view.state);
        text.extend(
            view.nodes
                .iter()
                .map(|node| format!("    {}\n", view.node_line(node, false))),
        );
    }
    text
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation {
            invariant,
            at_us,
            what,
        } = &self.violation;
        writeln!(
            f,
            "seed {}: invariant {invariant} at{} s",
            self.seed,
            Time(*at_us)
        )?;
        writeln!(f, "  {what}")?;
        writeln!(f, "{:?}", self.scenario)?;
        f.write_str(&self.views)?;
        let replay = "cargo run --release -p hexad-gossip-sim --";
        writeln!(f, "replay: {replay} --seed {} --trace", self.seed)
    }
}
