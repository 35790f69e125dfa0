//! A driver and a stock node in one cluster. Needs `redis-server` 7.0, as all tests against it.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use hexad_gossip::Admin;
use hexad_resp::Proto;
use rustix::process::{Pid, Signal, kill_process};

use super::node::{TestNode, field_of, wait_for};
use crate::cluster::Ask;
use crate::cluster::testing::{TempDir, free_port};

/// A stock node; ended when dropped.
struct Stock {
    process: Child,
    port: u16,
    bus_port: u16,
    _dir: TempDir,
}

impl Stock {
    fn start() -> Self {
        let (dir, port, bus_port) = (TempDir::new(), free_port(), free_port());
        let process = Command::new("redis-server")
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
            ])
            .args(["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"])
            .args(["--cluster-port", &bus_port.to_string()])
            .arg("--dir")
            .arg(dir.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let stock = Self {
            process,
            port,
            bus_port,
            _dir: dir,
        };
        wait_for("the stock node listens", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        stock
    }

    /// The reply's lines joined, without the header of a bulk string.
    fn run(&self, line: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream
            .write_all(format!("{line}\r\n").as_bytes())
            .expect("writes");
        let mut reader = BufReader::new(stream);
        let mut first = String::new();
        reader.read_line(&mut first).expect("reads");
        let Some(length) = first
            .strip_prefix('$')
            .and_then(|text| text.trim().parse().ok())
        else {
            return first.trim_end().to_owned();
        };
        let mut text = vec![0; length];
        std::io::Read::read_exact(&mut reader, &mut text).expect("reads");
        String::from_utf8(text).expect("text")
    }

    fn info(&self, field: &str) -> String {
        field_of(&self.run("CLUSTER INFO"), field)
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.process);
        kill_process(pid, signal).expect("it runs");
    }
}

impl Drop for Stock {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Ids, flags, epochs and slots, without what differs between any two nodes' views.
fn picture(nodes: &str) -> Vec<String> {
    let mut lines: Vec<String> = nodes
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let flags = words[2].replace("myself,", "");
            format!(
                "{} {} {flags} {} {:?}",
                words[0],
                words[1],
                words[6],
                &words[8..]
            )
        })
        .collect();
    lines.sort();
    lines
}

fn wait_for_agreement(ours: &TestNode, stock: &Stock) {
    wait_for("both agree and serve", || {
        let both = [ours.text("CLUSTER NODES"), stock.run("CLUSTER NODES")];
        let [a, b] = both.map(|nodes| picture(&nodes));
        a.len() == 2
            && a == b
            && ours.info("cluster_state") == "ok"
            && stock.info("cluster_state") == "ok"
    });
}

#[test]
fn either_side_may_ask_for_the_meeting() {
    for ours_asks in [true, false] {
        let (mut ours, stock) = (TestNode::start(), Stock::start());
        assert_eq!(ours.run("CLUSTER ADDSLOTSRANGE 0 8191"), "+OK\r\n");
        assert_eq!(stock.run("CLUSTER ADDSLOTSRANGE 8192 16383"), "+OK");
        if ours_asks {
            let meet = format!("CLUSTER MEET 127.0.0.1 {} {}", stock.port, stock.bus_port);
            assert_eq!(ours.run(&meet), "+OK\r\n");
        } else {
            assert_eq!(
                stock.run(&format!("CLUSTER MEET 127.0.0.1 {}", ours.ports())),
                "+OK"
            );
        }
        wait_for_agreement(&ours, &stock);
        let redirect = format!("-MOVED 5061 127.0.0.1:{}", ours.port);
        assert_eq!(stock.run("GET bar"), redirect);
        ours.stop();
        ours.restart();
        wait_for_agreement(&ours, &stock);
        let nodes = stock.run("CLUSTER NODES");
        let epochs: Vec<_> = nodes
            .lines()
            .filter_map(|line| line.split(' ').nth(6))
            .collect();
        assert_ne!(
            epochs[0], epochs[1],
            "the collision of epochs is settled: {nodes}"
        );
        assert_eq!(
            ours.info("cluster_current_epoch"),
            stock.info("cluster_current_epoch")
        );
    }
}

#[test]
fn a_link_whose_peer_does_not_read_is_closed() {
    let (ours, stock) = (
        TestNode::start_with("cluster-link-sendbuf-limit 100000"),
        Stock::start(),
    );
    ours.run("CLUSTER ADDSLOTSRANGE 0 8191");
    stock.run("CLUSTER ADDSLOTSRANGE 8192 16383");
    ours.run(&format!(
        "CLUSTER MEET 127.0.0.1 {} {}",
        stock.port, stock.bus_port
    ));
    wait_for_agreement(&ours, &stock);
    let publish = || {
        let (channel, message) = (
            Bytes::from_static(b"news"),
            Bytes::from(vec![b'x'; 1 << 20]),
        );
        let ask = Ask::Admin(Admin::Publish {
            sharded: false,
            channel,
            message,
        });
        // Without awaiting the answer: the command is in the thread's queue all the same.
        drop(ours.handle().ask(ask, Proto::Resp2));
    };
    let exceeded = || ours.info("total_cluster_links_buffer_limit_exceeded");
    publish();
    wait_for("a reader gets a frame above the limit", || {
        stock
            .run("CLUSTER INFO")
            .contains("cluster_stats_messages_publish_received:1\r\n")
    });
    assert_eq!(exceeded(), "0");
    stock.signal(Signal::STOP);
    // More than the system's buffers take.
    (0..32).for_each(|_| publish());
    wait_for("the link is given up", || exceeded() != "0");
    stock.signal(Signal::CONT);
    wait_for_agreement(&ours, &stock);
}
