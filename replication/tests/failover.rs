//! FAILOVER: replies, states and log lines as redis-server 7.0.15 was seen to give them.

use hexad_replication::{
    Failover, FailoverCommand, FailoverEvent, FailoverState, FailoverTarget, Listed, parse_failover,
};
use hexad_resp::{ArgRange, Args};

fn target(host: &str, port: i64) -> FailoverTarget {
    FailoverTarget {
        host: host.into(),
        port,
    }
}

fn listed(host: &str, port: i64, online: bool, acked: u64) -> Listed {
    Listed {
        address: target(host, port),
        online,
        acked,
    }
}

fn parse(line: &str) -> Result<FailoverCommand, &'static str> {
    let ranges: Vec<ArgRange> = line
        .split_ascii_whitespace()
        .map(|word| {
            let start = word.as_ptr() as usize - line.as_ptr() as usize;
            ArgRange::new(start, start + word.len())
        })
        .collect();
    parse_failover(Args::new(line.as_bytes(), &ranges))
}

fn start(
    failover: &mut Failover,
    line: &str,
    is_replica: bool,
    replicas: &[Listed],
) -> Result<String, &'static str> {
    let Ok(FailoverCommand::Start {
        target,
        force,
        timeout_ms,
    }) = parse(line)
    else {
        panic!("{line}")
    };
    let line = failover.start(target, force, timeout_ms, is_replica, replicas, 1000)?;
    Ok(line.text)
}

#[test]
fn syntax() {
    let not_an_integer = Err("ERR value is not an integer or out of range");
    let not_positive = Err("ERR FAILOVER timeout must be greater than 0");
    let syntax = Err("ERR syntax error");
    assert_eq!(parse("abort"), Ok(FailoverCommand::Abort));
    assert_eq!(parse("abort abort"), syntax);
    assert_eq!(parse("timeout 0"), not_positive);
    assert_eq!(parse("timeout -1"), not_positive);
    assert_eq!(parse("timeout x"), not_an_integer);
    assert_eq!(parse("timeout 9223372036854775808"), not_an_integer);
    assert_eq!(parse("timeout"), syntax);
    assert_eq!(parse("to a"), syntax);
    assert_eq!(parse("to a x"), not_an_integer);
    assert_eq!(parse("to a 1 to b 2"), syntax);
    assert_eq!(parse("timeout 1 timeout 2"), syntax);
    assert_eq!(parse("force force"), syntax);
    let none = FailoverCommand::Start {
        target: None,
        force: false,
        timeout_ms: 0,
    };
    assert_eq!(parse(""), Ok(none));
    let all = FailoverCommand::Start {
        target: Some(target("a", 1)),
        force: true,
        timeout_ms: 5,
    };
    assert_eq!(parse("TIMEOUT 5 FORCE TO a 1"), Ok(all));
}

#[test]
fn refusals_in_their_order() {
    let mut failover = Failover::new();
    let loading = [listed("a", 1, false, 0)];
    let mut try_it =
        |line, is_replica, replicas: &[Listed]| start(&mut failover, line, is_replica, replicas);
    assert_eq!(
        try_it("force", true, &[]),
        Err("ERR FAILOVER is not valid when server is a replica.")
    );
    assert_eq!(
        try_it("force", false, &[]),
        Err("ERR FAILOVER requires connected replicas.")
    );
    let incomplete =
        Err("ERR FAILOVER with force option requires both a timeout and target HOST and IP.");
    assert_eq!(try_it("to a 1 force", false, &loading), incomplete);
    assert_eq!(try_it("force timeout 10", false, &loading), incomplete);
    assert_eq!(
        try_it("to b 1", false, &loading),
        Err("ERR FAILOVER target HOST and PORT is not a replica.")
    );
    assert_eq!(
        try_it("to a 1", false, &loading),
        Err("ERR FAILOVER target replica is not online.")
    );
    assert_eq!(
        try_it("", false, &loading),
        Ok("FAILOVER requested to any replica.".into())
    );
    assert_eq!(
        try_it("force", true, &[]),
        Err("ERR FAILOVER already in progress.")
    );
}

#[test]
fn the_named_replica_once_it_has_all() {
    let mut failover = Failover::new();
    let replicas = [listed("b", 2, true, 100), listed("HostA", 1, true, 99)];
    let line = start(&mut failover, "to hosta 1 timeout 50", false, &replicas).unwrap();
    assert_eq!(line, "FAILOVER requested to hosta:1.");
    assert_eq!(failover.state().as_str(), "waiting-for-sync");
    assert_eq!(failover.poll(100, &replicas, 1049), None, "another has all");
    let replicas = [listed("HostA", 1, true, 100)];
    let (event, line) = failover.poll(100, &replicas, 1049).unwrap();
    assert_eq!(event, FailoverEvent::Demote(target("HostA", 1)));
    assert_eq!(
        line.text,
        "Failover target HostA:1 is synced, failing over."
    );
    assert_eq!(failover.state().as_str(), "failover-in-progress");
    assert_eq!(failover.poll(100, &replicas, 9999), None);
    assert_eq!(failover.taken_over(), Some(FailoverEvent::Done));
    assert_eq!(failover.state().as_str(), "no-failover");
    assert_eq!(failover.taken_over(), None);
}

#[test]
fn any_replica_that_has_all() {
    let mut failover = Failover::new();
    let replicas = [listed("a", 1, true, 99), listed("b", 2, true, 100)];
    start(&mut failover, "", false, &replicas).unwrap();
    let (event, _) = failover.poll(100, &replicas, u64::MAX).unwrap();
    assert_eq!(event, FailoverEvent::Demote(target("b", 2)));
}

#[test]
fn time_is_up() {
    let mut failover = Failover::new();
    let replicas = [listed("a", 1, true, 99)];
    start(&mut failover, "timeout 50", false, &replicas).unwrap();
    assert_eq!(failover.poll(100, &replicas, 1049), None);
    let (event, line) = failover.poll(100, &replicas, 1050).unwrap();
    assert_eq!(event, FailoverEvent::Aborted { was_replica: false });
    assert_eq!(
        line.text,
        "FAILOVER to any replica aborted: Replica never caught up before timeout"
    );
    assert_eq!(failover.state(), FailoverState::None);
    start(&mut failover, "to a 1 timeout 50", false, &replicas).unwrap();
    let (event, line) = failover.poll(100, &replicas, 1050).unwrap();
    assert_eq!(event, FailoverEvent::Aborted { was_replica: false });
    assert_eq!(
        line.text,
        "FAILOVER to a:1 aborted: Replica never caught up before timeout"
    );
    start(&mut failover, "to a 1 force timeout 50", false, &replicas).unwrap();
    let (event, line) = failover.poll(100, &replicas, 1050).unwrap();
    assert_eq!(event, FailoverEvent::Demote(target("a", 1)));
    assert_eq!(
        line.text,
        "FAILOVER to a:1 time out exceeded, failing over."
    );
}

#[test]
fn aborted_by_hand_or_refused() {
    let mut failover = Failover::new();
    let replicas = [listed("a", 1, true, 100)];
    assert_eq!(
        failover.abort_by_hand(),
        Err("ERR No failover in progress.")
    );
    start(&mut failover, "to a 1", false, &replicas).unwrap();
    let (event, line) = failover.abort_by_hand().unwrap();
    assert_eq!(event, FailoverEvent::Aborted { was_replica: false });
    assert_eq!(
        line.text,
        "FAILOVER to a:1 aborted: Failover manually aborted"
    );
    start(&mut failover, "", false, &replicas).unwrap();
    failover.poll(100, &replicas, 1000).unwrap();
    let (event, line) = failover
        .abort("Failover target rejected psync request")
        .unwrap();
    assert_eq!(event, FailoverEvent::Aborted { was_replica: true });
    assert_eq!(
        line.text,
        "FAILOVER to a:1 aborted: Failover target rejected psync request"
    );
    assert_eq!(failover.abort("Write error to failover target"), None);
}
