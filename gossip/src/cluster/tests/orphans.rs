//! Replicas that migrate, and those that must not.

use super::*;

#[test]
fn a_spare_replica_goes_to_an_orphaned_primary() {
    // Hosts 3 and 4 replicate 0, host 5 replicates 1.
    let mut net = Net::shards(3, &[0, 0, 1]);
    net.kill(5);
    net.run(TIMEOUT * 3);
    net.run_until(9000, |net| net.seen(2, 3).primary != net.seen(2, 4).primary);
    net.run(2000);
    let (first, second) = (net.id(3), net.id(4));
    let (moved, stays) = if first < second { (3, 4) } else { (4, 3) };
    assert_eq!(net.seen(2, moved).primary, Some(net.id(1)));
    assert_eq!(net.seen(2, stays).primary, Some(net.id(0)));
    assert_eq!(
        net.view(moved).myself().repl_offset,
        0,
        "another shard's data"
    );
    net.sync(moved, 50);
    // The old one comes back, and nobody moves again.
    net.restart(5);
    net.sync(5, 50);
    net.run(20_000);
    assert_eq!(net.seen(2, moved).primary, Some(net.id(1)));
    net.assert_agreement();
}

#[test]
fn nobody_migrates_who_is_needed_or_told_not_to() {
    for change in [
        (|config: &mut Config| config.migration_barrier = 2) as fn(&mut Config),
        |config| config.allow_replica_migration = false,
    ] {
        let mut net = Net::shards(3, &[0, 0, 1]);
        (0..6).for_each(|at| net.set_config(at, change));
        net.kill(5);
        net.run(TIMEOUT * 3 + 9000);
        for at in [3, 4] {
            assert_eq!(net.seen(2, at).primary, Some(net.id(0)));
        }
    }
}

#[test]
fn a_primary_that_never_had_replicas_gets_none() {
    let mut net = Net::shards(3, &[0, 0]);
    net.run(20_000);
    for at in [3, 4] {
        assert_eq!(net.seen(2, at).primary, Some(net.id(0)));
    }
    assert!(!net.seen(2, 1).flags.contains(NodeFlags::MIGRATE_TO));
    assert!(net.seen(2, 0).flags.contains(NodeFlags::MIGRATE_TO));
}

#[test]
fn who_has_given_up_its_replicas_is_no_orphan() {
    let mut net = Net::shards(3, &[0, 0, 1]);
    let primary = net.id(2);
    net.admin(
        5,
        Admin::Replicate {
            primary,
            dataset_empty: true,
        },
    );
    net.run(1000);
    assert!(!net.seen(0, 1).flags.contains(NodeFlags::MIGRATE_TO));
    net.run(15_000);
    for at in [3, 4] {
        assert_eq!(net.seen(2, at).primary, Some(net.id(0)));
    }
}
