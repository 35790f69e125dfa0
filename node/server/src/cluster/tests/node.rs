//! A driver without the rest of a server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hexad_gossip::{Millis, Role};
use hexad_resp::{Proto, Reply};
use hexad_slots::SlotBitmap;
use parking_lot::Mutex;

use crate::cluster::testing::{Keys, TempDir, Words, free_port};
use crate::cluster::{Bus, ClusterHandle, Facts, Host, Pulse, StartError};
use crate::config::Config;

/// What the bus told the server.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) dropped: Mutex<Vec<SlotBitmap>>,
    pub(super) published: Mutex<Vec<(bool, Bytes, Bytes)>>,
    pub(super) pulses: Mutex<Vec<Pulse>>,
    pub(super) role: Mutex<Option<(u64, Role)>>,
    pub(super) paused: Mutex<Option<Millis>>,
    pub(super) died: Mutex<bool>,
}

struct TestHost(Arc<Seen>);

impl Host for TestHost {
    fn drop_keys(&self, slots: Box<SlotBitmap>) {
        self.0.dropped.lock().push(*slots);
    }

    fn role_changed(&self, term: u64, role: Role) {
        *self.0.role.lock() = Some((term, role));
    }

    fn pause_writes(&self, until_ms: Millis) {
        *self.0.paused.lock() = Some(until_ms);
    }

    fn resume_writes(&self) {
        *self.0.paused.lock() = None;
    }

    fn published(&self, sharded: bool, channel: Bytes, message: Bytes) {
        self.0.published.lock().push((sharded, channel, message));
    }

    fn pulses(&self) -> Vec<Pulse> {
        self.0.pulses.lock().clone()
    }

    fn die(&self) {
        *self.0.died.lock() = true;
    }
}

/// A bus with its folder.
pub(super) struct TestNode {
    pub(super) port: u16,
    pub(super) bus_port: u16,
    pub(super) dir: TempDir,
    pub(super) seen: Arc<Seen>,
    pub(super) keys: Keys,
    extra: String,
    handle: Option<ClusterHandle>,
}

impl TestNode {
    /// A running node.
    pub(super) fn start() -> Self {
        Self::start_with("")
    }

    /// A running node with these lines in its configuration.
    pub(super) fn start_with(extra: &str) -> Self {
        let mut node = Self {
            port: free_port(),
            bus_port: free_port(),
            dir: TempDir::new(),
            seen: Arc::default(),
            keys: Keys::default(),
            extra: extra.to_owned(),
            handle: None,
        };
        node.restart();
        node
    }

    /// Its ports, as CLUSTER MEET takes them.
    pub(super) fn ports(&self) -> String {
        format!("{} {}", self.port, self.bus_port)
    }

    fn config(&self) -> Config {
        self.config_with("")
    }

    /// Its configuration with more lines.
    pub(super) fn config_with(&self, more: &str) -> Config {
        let text = format!(
            "port {}\ncluster-port {}\nbind 127.0.0.1\ndir {}\ncluster-enabled yes\n\
             cluster-node-timeout 2000\n{}\n{}\n",
            self.port,
            self.bus_port,
            self.dir.path().display(),
            self.extra,
            more
        );
        Config::from_text(text.as_bytes()).expect("a good configuration")
    }

    /// Opens the bus a second time, as another process would.
    pub(super) fn open_again(&self) -> Result<Bus, StartError> {
        Bus::open(&self.config())
    }

    /// Starts the node again after [`TestNode::stop`].
    pub(super) fn restart(&mut self) {
        let bus = Bus::open(&self.config()).expect("the bus opens");
        self.handle = Some(bus.handle());
        bus.run(TestHost(self.seen.clone()), &SlotBitmap::new())
            .expect("the bus runs");
    }

    /// Ends the node cleanly.
    pub(super) fn stop(&mut self) {
        if let Some(handle) = self.handle.take() {
            handle.stop();
        }
    }

    pub(super) fn handle(&self) -> &ClusterHandle {
        self.handle.as_ref().expect("the node runs")
    }

    /// Executes a command and gives the encoded reply.
    pub(super) fn run(&self, line: &str) -> String {
        self.run_words(&Words::new(line), Proto::Resp2)
    }

    pub(super) fn run_words(&self, words: &Words, proto: Proto) -> String {
        let mut reply = Reply::new();
        reply.set_proto(proto);
        self.handle()
            .command_blocking(&words.args(), &self.keys as &dyn Facts, &mut reply);
        String::from_utf8(reply.take()).expect("these replies are text")
    }

    /// The text of a reply that is a bulk string.
    pub(super) fn text(&self, line: &str) -> String {
        let reply = self.run(line);
        let (_, text) = reply.split_once("\r\n").expect("a bulk string");
        text.trim_end_matches("\r\n").to_owned()
    }

    pub(super) fn id(&self) -> String {
        self.text("CLUSTER MYID")
    }

    /// A line of CLUSTER INFO.
    pub(super) fn info(&self, field: &str) -> String {
        field_of(&self.text("CLUSTER INFO"), field)
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The value of `field:value` in a text of such lines.
pub(super) fn field_of(text: &str, field: &str) -> String {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value
        .unwrap_or_else(|| panic!("no {field} in {text}"))
        .to_owned()
}

/// Waits until something holds. Real time passes here: sockets are at work.
pub(super) fn wait_for(what: &str, holds: impl FnMut() -> bool) {
    assert!(holds_soon(holds), "still waiting until {what}");
}

/// Whether something holds within a time that is long on the slowest machine.
pub(super) fn holds_soon(mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}
