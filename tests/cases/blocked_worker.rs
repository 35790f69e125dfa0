//! A worker that is busy for long must not be taken for a dead node: hexad's bus does not wait
//! for it. Stock Redis, for comparison, is marked.

use std::time::{Duration, Instant};

use hexad_tests::{Cluster, Kind};

const NODE_TIMEOUT: Duration = Duration::from_secs(2);
const SLEEP: Duration = Duration::from_secs(10);

/// Blocks node 0 for [`SLEEP`]; gives the first mark that another node made meanwhile.
fn mark_while_blocked(kind: Kind, args: &[&str]) -> Option<String> {
    let all: Vec<&str> = ["--enable-debug-command", "yes"]
        .iter()
        .chain(args)
        .copied()
        .collect();
    let cluster = Cluster::start(&[kind; 3], NODE_TIMEOUT, &all);
    cluster.create_by_redis_cli(0);
    cluster.wait_agreed();

    let seconds = SLEEP.as_secs().to_string();
    let mut blocked = cluster[0].conn();
    blocked
        .send(&["DEBUG", "SLEEP", &seconds])
        .expect("the node takes the command");
    let start = Instant::now();
    let mut mark = None;
    while start.elapsed() < SLEEP {
        for observer in 1..3 {
            let flags = cluster.seen_by(observer, 0).flags.join(",");
            if flags.contains("fail") {
                let elapsed = start.elapsed();
                mark.get_or_insert_with(|| format!("{elapsed:?}: node {observer} has {flags}"));
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let slept = blocked.read().expect("the command ends");
    assert_eq!(slept.text(), "OK");
    assert!(
        start.elapsed() >= SLEEP,
        "the sleep was cut short: {:?}",
        start.elapsed()
    );
    mark
}

#[test]
fn hexad_with_its_only_worker_blocked_is_not_marked() {
    assert_eq!(
        mark_while_blocked(Kind::Hexad, &["--io-threads", "1"]),
        None
    );
}

#[test]
fn stock_is_marked() {
    assert!(
        mark_while_blocked(Kind::Stock, &[]).is_some(),
        "nobody noticed"
    );
}
