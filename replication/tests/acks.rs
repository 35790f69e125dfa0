//! Acknowledgements: WAIT, lag, good replicas, timeouts.

use hexad_replication::{Acks, ReplicaId, ReplicaState, Satisfied, WaiterId};

const R: [ReplicaId; 3] = [ReplicaId(1), ReplicaId(2), ReplicaId(3)];
const W: [WaiterId; 3] = [WaiterId(11), WaiterId(12), WaiterId(13)];
const END: u64 = 1000;

/// Three replicas, the last of which is still loading.
fn acks() -> Acks {
    let mut acks = Acks::new();
    acks.add(R[0], ReplicaState::Online, false, 0);
    acks.add(R[1], ReplicaState::Online, false, 0);
    acks.add(R[2], ReplicaState::SendBulk, false, 0);
    acks
}

fn done(client: WaiterId, replicas: usize) -> Satisfied {
    Satisfied { client, replicas }
}

#[test]
fn wait_is_over_when_enough_have_acknowledged() {
    let mut acks = acks();
    assert_eq!(acks.wait(W[0], 0, 2, 0, 5), Some(2), "nothing was written");
    assert_eq!(acks.wait(W[0], 100, 0, 0, 5), Some(0));
    assert_eq!(acks.wait(W[0], 100, -1, 0, 5), Some(0));
    assert!(!acks.take_ask());
    assert_eq!(acks.wait(W[0], 100, 1, 0, 5), None);
    assert_eq!(acks.wait(W[1], 100, 2, 0, 5), None);
    assert_eq!(acks.wait(W[2], 101, 1, 0, 5), None);
    assert!(acks.take_ask());
    assert!(!acks.take_ask(), "once for all");
    acks.ack(R[0], 99, END, 6);
    assert_eq!(acks.ready(6), []);
    acks.ack(R[2], 500, END, 6);
    assert_eq!(acks.ready(6), [], "one that is loading does not count");
    acks.ack(R[0], 100, END, 6);
    assert_eq!(acks.ready(6), [done(W[0], 1)]);
    acks.ack(R[1], 100, END, 7);
    assert_eq!(acks.ready(7), [done(W[1], 2)]);
    acks.set_state(R[2], ReplicaState::Online, 7);
    assert_eq!(acks.ready(7), [done(W[2], 1)]);
    assert!(!acks.has_waiters());
}

#[test]
fn wait_ends_with_its_time() {
    let mut acks = acks();
    acks.ack(R[0], 100, END, 0);
    acks.wait(W[0], 100, 2, 50, 10);
    acks.wait(W[1], 100, 9, 0, 10);
    assert_eq!(acks.deadline(), Some(60));
    assert_eq!(acks.ready(59), []);
    assert_eq!(acks.ready(60), [done(W[0], 1)]);
    assert_eq!(acks.deadline(), None);
    assert_eq!(acks.cancel(W[1]), Some(1));
    assert_eq!(acks.cancel(W[1]), None);
    acks.wait(W[2], 100, 9, 0, 10);
    assert_eq!(acks.unblock_all(), [W[2]]);
    assert!(!acks.has_waiters() && !acks.take_ask());
}

#[test]
fn an_acknowledgement_counts_once_and_never_falls() {
    let mut acks = acks();
    acks.ack(R[0], 100, END, 0);
    acks.ack(R[0], 100, END, 0);
    assert_eq!(acks.count_acked(100), 1, "a replica is one replica");
    acks.ack(R[0], 50, END, 3);
    assert_eq!(
        acks.replica(R[0])
            .map(|replica| (replica.offset, replica.at)),
        Some((100, 3))
    );
    acks.ack(R[1], END + 1, END, 3);
    assert_eq!(
        acks.count_acked(1),
        1,
        "nobody can have what was not written"
    );
    acks.ack(R[1], END, END, 3);
    assert_eq!(acks.count_acked(END), 1);
    acks.ack(ReplicaId(99), 100, END, 3);
    assert_eq!(acks.replicas().len(), 3);
    acks.add(R[0], ReplicaState::WaitBgsave, false, 4);
    assert_eq!(acks.count_acked(100), 1, "one that comes again begins anew");
}

#[test]
fn lag_and_good_replicas() {
    let mut acks = acks();
    acks.ack(R[0], 1, END, 5000);
    let lag = |acks: &Acks, at: usize, now| acks.replica(R[at]).map(|replica| replica.lag(now));
    assert_eq!(lag(&acks, 0, 7999), Some(2));
    assert_eq!(lag(&acks, 1, 7999), Some(7));
    assert_eq!(lag(&acks, 2, 7999), Some(0), "not online yet");
    assert_eq!(acks.count_good(2, 7999), 1);
    assert_eq!(acks.count_good(1, 7999), 0);
    assert_eq!(acks.count_good(7, 7999), 2);
    acks.set_state(R[2], ReplicaState::Online, 7999);
    assert_eq!(acks.count_good(2, 7999), 2);
    assert_eq!(lag(&acks, 2, 10_999), Some(3));
}

#[test]
fn silent_replicas_are_given_up() {
    let mut acks = acks();
    acks.add(ReplicaId(4), ReplicaState::Online, true, 0);
    acks.ack(R[1], 1, END, 10);
    assert_eq!(acks.timed_out(60_000, 60_000), []);
    assert_eq!(acks.timed_out(60_000, 60_001), [R[0]]);
    assert_eq!(acks.timed_out(60_000, 60_011), [R[0], R[1]]);
    acks.remove(R[0]);
    assert_eq!(acks.timed_out(60_000, 60_011), [R[1]]);
}

#[test]
fn states_in_words() {
    let words = [
        ReplicaState::WaitBgsave,
        ReplicaState::SendBulk,
        ReplicaState::Online,
    ]
    .map(ReplicaState::as_str);
    assert_eq!(words, ["wait_bgsave", "send_bulk", "online"]);
}
