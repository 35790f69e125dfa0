//! Slots that move.

use super::*;
use crate::Route;

/// Moves a slot the way of redis-cli: importing, migrating, then SETSLOT NODE on the target and
/// on the source.
fn move_slot(net: &mut Net, number: u16, from: usize, to: usize) {
    open_slot(net, number, from, to);
    let id = net.id(to);
    set_slot(net, to, number, SetSlot::Node(id));
    set_slot(net, from, number, SetSlot::Node(id));
}

fn open_slot(net: &mut Net, number: u16, from: usize, to: usize) {
    let (source, target) = (net.id(from), net.id(to));
    set_slot(net, to, number, SetSlot::Importing(source));
    set_slot(net, from, number, SetSlot::Migrating(target));
}

fn set_slot(net: &mut Net, at: usize, number: u16, action: SetSlot) {
    net.admin(
        at,
        Admin::SetSlot {
            slot: slot(number),
            action,
            keys_in_slot: 0,
        },
    );
}

#[test]
fn an_open_slot_is_routed_to_both_ends() {
    let mut net = Net::primaries(3);
    open_slot(&mut net, 5, 0, 1);
    let (source, target) = (net.view(0), net.view(1));
    let Route::Migrating { to: Some(to) } = source.route(slot(5)) else {
        panic!()
    };
    assert_eq!(to.id, net.id(1));
    let Route::Importing { owner } = target.route(slot(5)) else {
        panic!()
    };
    assert_eq!(owner.id, net.id(0));
    assert_eq!(source.route(slot(6)), Route::Mine);
    assert!(
        net.hosts[0]
            .disk
            .contains(&format!(" 0-5460 [5->-{}]", net.id(1)))
    );
    assert!(net.hosts[1].disk.contains(&format!(" [5-<-{}]", net.id(0))));
    net.run(5000);
    assert!(
        matches!(net.view(1).route(slot(5)), Route::Importing { .. }),
        "until it is closed"
    );
    set_slot(&mut net, 0, 5, SetSlot::Stable);
    set_slot(&mut net, 1, 5, SetSlot::Stable);
    assert_eq!(net.view(0).route(slot(5)), Route::Mine);
    assert!(matches!(net.view(1).route(slot(5)), Route::Remote { .. }));
}

#[test]
fn a_moved_slot_is_known_to_all() {
    let mut net = Net::primaries(3);
    move_slot(&mut net, 5, 0, 1);
    assert_eq!(
        net.view(1).my_epoch,
        4,
        "the highest epoch makes the others believe it"
    );
    net.run(300);
    net.assert_agreement();
    assert_eq!(net.ranges(2, 1), "5 5461-10921");
    assert_eq!(net.ranges(2, 0), "0-4 6-5460");
    assert!(net.view(0).migrating.is_empty() && net.view(1).importing.is_empty());
}

#[test]
fn a_source_that_sleeps_learns_that_its_slot_is_gone_and_drops_its_keys() {
    let mut net = Net::primaries(3);
    open_slot(&mut net, 5, 0, 1);
    net.cuts = vec![(0, 1), (0, 2)];
    let id = net.id(1);
    set_slot(&mut net, 1, 5, SetSlot::Node(id));
    net.run(1000);
    net.cuts.clear();
    net.run(3000);
    net.assert_agreement();
    assert_eq!(net.hosts[0].dropped, [*slots("5")]);
    assert!(
        net.view(0).migrating.is_empty(),
        "what is not here cannot be moved away"
    );
    assert!(net.hosts[1].dropped.is_empty() && net.hosts[2].dropped.is_empty());
}

#[test]
fn a_primary_whose_last_slot_is_taken_follows_the_taker_and_keeps_its_keys() {
    let mut net = Net::strangers(3);
    for (at, range) in [(0, "0"), (1, "1-9000"), (2, "9001-16383")] {
        net.admin(at, Admin::AddSlots(slots(range)));
    }
    net.join_all();
    net.run(6000);
    move_slot(&mut net, 0, 0, 1);
    net.run(2000);
    net.assert_agreement();
    assert_eq!(net.flags(2, 0), "slave");
    assert_eq!(net.seen(2, 0).primary, Some(net.id(1)));
    assert!(
        net.hosts[0].dropped.is_empty(),
        "they are its primary's now, too"
    );
    let view = net.view(0);
    assert!(matches!(view.route(slot(0)), Route::Replicated { .. }));
    assert!(matches!(view.route(slot(16383)), Route::Remote { .. }));
}

#[test]
fn a_primary_may_be_told_to_stay_one() {
    let mut net = Net::strangers(2);
    net.admin(0, Admin::AddSlots(slots("0")));
    net.admin(1, Admin::AddSlots(slots("1-16383")));
    net.join_all();
    net.set_config(0, |config| config.allow_replica_migration = false);
    move_slot(&mut net, 0, 0, 1);
    net.run(2000);
    net.assert_agreement();
    assert_eq!(net.flags(1, 0), "master");
}

#[test]
fn slots_that_two_claim_go_to_the_newer_claim() {
    let mut net = Net::strangers(3);
    for at in 0..3 {
        net.admin(at, Admin::SetConfigEpoch(at as u64 + 1));
    }
    net.admin(0, Admin::AddSlots(slots("0-99 200")));
    net.admin(1, Admin::AddSlots(slots("50-149 201")));
    net.admin(2, Admin::AddSlots(slots("202-16383")));
    net.join_all();
    net.run(3000);
    net.assert_agreement();
    assert_eq!(net.ranges(2, 0), "0-49 200");
    assert_eq!(net.ranges(2, 1), "50-149 201");
    assert_eq!(net.hosts[0].dropped, [*slots("50-99")]);
}

#[test]
fn a_replica_shows_its_primarys_slots_as_its_primarys() {
    let mut net = Net::primaries(3);
    net.hosts.push(Net::strangers(4).hosts.pop().unwrap());
    net.meet(3, 0);
    net.run(2000);
    let primary = net.id(1);
    net.admin(
        3,
        Admin::Replicate {
            primary,
            dataset_empty: true,
        },
    );
    net.run(2000);
    net.assert_agreement();
    assert_eq!(net.ranges(0, 3), "");
    assert_eq!(net.seen(0, 3).config_epoch, 2, "its primary's");
    assert_eq!(net.view(3).my_epoch, 2);
    assert_eq!(net.view(0).size, 3);
    assert!(net.view(3).state.is_ok());
    assert!(matches!(
        net.view(3).route(slot(6000)),
        Route::Replicated { .. }
    ));
    // The primary moves all its slots away: it and its replica follow the taker.
    let moved: Vec<u16> = net
        .view(1)
        .slots_of(net.view(1).myself())
        .iter()
        .map(Slot::get)
        .collect();
    for number in moved {
        move_slot(&mut net, number, 1, 0);
    }
    net.run(3000);
    net.assert_agreement();
    assert_eq!(net.seen(2, 1).primary, Some(net.id(0)));
    assert_eq!(
        net.seen(2, 3).primary,
        Some(net.id(0)),
        "no replica of a replica"
    );
}
