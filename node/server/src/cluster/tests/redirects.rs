//! Where commands go, and the texts of refusals.

use std::sync::Arc;

use hexad_gossip::{Config, PreferredEndpoint, View};
use hexad_slots::Slot;

use crate::cluster::redirect::{Decision, Traits, cross_slot, route};
use crate::cluster::testing::{ME, OTHER, view, view_of};

const READ: Traits = Traits {
    write: false,
    asking: false,
    readonly: false,
    shard_channel: false,
    migrate: false,
};
const WRITE: Traits = Traits {
    write: true,
    ..READ
};
const ASKING: Traits = Traits {
    asking: true,
    ..WRITE
};
const READONLY: Traits = Traits {
    readonly: true,
    ..READ
};
const MIGRATE: Traits = Traits {
    migrate: true,
    ..WRITE
};
const CHANNEL: Traits = Traits {
    shard_channel: true,
    ..READ
};

const TRYAGAIN: &str = "TRYAGAIN Multiple keys request during rehashing of slot";
const DOWN: &str = "CLUSTERDOWN The cluster is down";
const UNASSIGNED: &str = "CLUSTERDOWN Hash slot not served";

fn slot(number: u16) -> Slot {
    Slot::new(number).expect("a slot")
}

/// What becomes of a command: `serve`, `count`, or the text of the refusal.
fn decide(view: &View, number: u16, traits: Traits) -> String {
    match route(view, slot(number), traits) {
        Decision::Serve => "serve".to_owned(),
        Decision::Count(_) => "count".to_owned(),
        Decision::Refuse(refusal) => refusal.text(view, false),
    }
}

fn down(configure: impl FnOnce(&mut Config)) -> Arc<View> {
    view(|config| {
        config.require_full_coverage = true;
        configure(config);
    })
}

fn replica() -> Arc<View> {
    let conf = format!(
        "{ME} 127.0.0.1:7001@17001 myself,slave {OTHER} 0 0 2 connected\n\
         {OTHER} 127.0.0.1:7002@17002 master - 0 0 2 connected 0-16383\n\
         vars currentEpoch 2 lastVoteEpoch 0\n"
    );
    view_of(&conf, |_| {})
}

#[test]
fn a_slot_goes_where_its_owner_is() {
    let view = view(|_| {});
    assert!(view.state.is_ok(), "{:?}", view.state);
    for (number, traits, expected) in [
        (0, WRITE, "serve"),
        (5460, READ, "serve"),
        (5461, READ, "MOVED 5461 127.0.0.1:7002"),
        (5461, READONLY, "MOVED 5461 127.0.0.1:7002"),
        (5461, ASKING, "MOVED 5461 127.0.0.1:7002"),
        (5461, CHANNEL, "MOVED 5461 127.0.0.1:7002"),
        (10923, WRITE, "MOVED 10923 2001:db8::3:7003"),
        (16383, READ, UNASSIGNED),
        (16383, ASKING, UNASSIGNED),
        (5, READ, "count"),
        (5, MIGRATE, "serve"),
        (5, CHANNEL, "serve"),
        (7000, READ, "MOVED 7000 127.0.0.1:7002"),
        (7000, ASKING, "count"),
        (7000, MIGRATE, "serve"),
    ] {
        assert_eq!(
            decide(&view, number, traits),
            expected,
            "slot {number}, {traits:?}"
        );
    }
}

#[test]
fn while_a_slot_moves_the_keys_decide() {
    let view = view(|_| {});
    let settle = |number, traits, missing, existing, distinct| {
        let Decision::Count(moving) = route(&view, slot(number), traits) else {
            return "not counted".to_owned();
        };
        match moving.settle(missing, existing, distinct) {
            Ok(()) => "serve".to_owned(),
            Err(refusal) => refusal.text(&view, false),
        }
    };
    let ask = "ASK 5 127.0.0.1:7002";
    for (number, traits, missing, existing, distinct, expected) in [
        (5, READ, 0, 1, false, "serve"),
        (5, READ, 0, 3, true, "serve"),
        (5, WRITE, 1, 0, false, ask),
        (5, WRITE, 2, 0, true, ask),
        (5, ASKING, 1, 0, false, ask),
        (5, READ, 1, 1, true, TRYAGAIN),
        (7000, ASKING, 1, 0, false, "serve"),
        (7000, ASKING, 2, 0, false, "serve"),
        (7000, ASKING, 0, 2, true, "serve"),
        (7000, ASKING, 2, 0, true, TRYAGAIN),
        (7000, ASKING, 1, 1, true, TRYAGAIN),
    ] {
        let found = settle(number, traits, missing, existing, distinct);
        assert_eq!(
            found, expected,
            "slot {number}: {missing} missing, {existing} there"
        );
    }
}

#[test]
fn a_down_cluster_refuses_but_first_comes_the_missing_owner() {
    let only_reads = "CLUSTERDOWN The cluster is down and only accepts read commands";
    let plain = down(|_| {});
    let reads = down(|config| config.allow_reads_when_down = true);
    let no_channels = down(|config| config.allow_pubsubshard_when_down = false);
    for (view, number, traits, expected) in [
        (&plain, 0, READ, DOWN),
        (&plain, 5461, WRITE, DOWN),
        (&plain, 7000, ASKING, DOWN),
        (&plain, 16383, READ, UNASSIGNED),
        (&plain, 0, CHANNEL, "serve"),
        (&plain, 5461, CHANNEL, "MOVED 5461 127.0.0.1:7002"),
        (&no_channels, 0, CHANNEL, DOWN),
        (&reads, 0, READ, "serve"),
        (&reads, 0, WRITE, only_reads),
        (&reads, 5461, WRITE, only_reads),
        (&reads, 5461, READ, "MOVED 5461 127.0.0.1:7002"),
        (&reads, 16383, WRITE, UNASSIGNED),
    ] {
        assert!(!view.state.is_ok());
        assert_eq!(
            decide(view, number, traits),
            expected,
            "slot {number}, {traits:?}"
        );
    }
}

#[test]
fn a_replica_serves_reads_to_who_asked_for_it() {
    let view = replica();
    for (traits, expected) in [
        (READ, "MOVED 9 127.0.0.1:7002"),
        (READONLY, "serve"),
        (
            Traits {
                write: true,
                ..READONLY
            },
            "MOVED 9 127.0.0.1:7002",
        ),
        (CHANNEL, "serve"),
    ] {
        assert_eq!(decide(&view, 9, traits), expected, "{traits:?}");
    }
}

#[test]
fn different_slots_are_refused_unless_the_first_has_no_owner() {
    let view = view(|_| {});
    let crossed = "CROSSSLOT Keys in request don't hash to the same slot";
    assert_eq!(cross_slot(&view, slot(5461)).text(&view, false), crossed);
    assert_eq!(
        cross_slot(&view, slot(16383)).text(&view, false),
        UNASSIGNED
    );
}

#[test]
fn redirects_name_the_preferred_endpoint() {
    for (endpoint, to_named, to_nameless) in [
        (PreferredEndpoint::Ip, "2001:db8::3:7003", "127.0.0.1:7002"),
        (PreferredEndpoint::Hostname, "far.example:7003", "?:7002"),
        (PreferredEndpoint::UnknownEndpoint, ":7003", ":7002"),
    ] {
        let view = view(|config| config.preferred_endpoint = endpoint);
        assert_eq!(
            decide(&view, 10923, READ),
            format!("MOVED 10923 {to_named}")
        );
        assert_eq!(
            decide(&view, 5461, READ),
            format!("MOVED 5461 {to_nameless}")
        );
        let Decision::Count(moving) = route(&view, slot(5), READ) else {
            panic!("slot 5 is migrating");
        };
        let refusal = moving.settle(1, 0, false).expect_err("the key is not here");
        assert_eq!(refusal.text(&view, false), format!("ASK 5 {to_nameless}"));
    }
}
