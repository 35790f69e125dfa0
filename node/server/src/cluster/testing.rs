//! What the tests of this module share.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};

use hexad_gossip::{Cluster, Config, Input, Millis, View};
use hexad_resp::{ArgRange, Args};
use hexad_slots::{Slot, SlotBitmap};

use super::command::Facts;

/// A folder of its own for a test, removed when it is dropped.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!(
            "hexad-test-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a temporary folder can be made");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A port that nobody listens on, outside the range that the system gives to connections, and
/// another one at each call.
pub(crate) fn free_port() -> u16 {
    static NEXT: LazyLock<AtomicU16> =
        LazyLock::new(|| AtomicU16::new(rand::random_range(0..9000)));
    loop {
        let port = 20_000 + NEXT.fetch_add(1, Relaxed) % 10_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A command's arguments, kept in one buffer.
pub(crate) struct Words {
    text: Vec<u8>,
    ranges: Vec<ArgRange>,
}

impl Words {
    /// The words of a line.
    pub(crate) fn new(line: &str) -> Self {
        Self::from_parts(line.split(' ').map(str::as_bytes))
    }

    pub(crate) fn from_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut words = Self {
            text: Vec::new(),
            ranges: Vec::new(),
        };
        for part in parts {
            let start = words.text.len();
            words.text.extend_from_slice(part);
            words.ranges.push(ArgRange::new(start, words.text.len()));
        }
        words
    }

    pub(crate) fn args(&self) -> Args<'_> {
        Args::new(&self.text, &self.ranges)
    }
}

/// A dataset of a few keys.
#[derive(Default)]
pub(crate) struct Keys(pub(crate) Vec<&'static str>);

impl Keys {
    fn of(&self, slot: Slot) -> impl Iterator<Item = &'static str> {
        self.0
            .iter()
            .copied()
            .filter(move |key| Slot::of_key(key.as_bytes()) == slot)
    }
}

impl Facts for Keys {
    fn dataset_is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn keys_in_slot(&self, slot: Slot) -> usize {
        self.of(slot).count()
    }

    fn visit_keys(&self, slot: Slot, limit: usize, visit: &mut dyn FnMut(&[u8])) {
        self.of(slot)
            .take(limit)
            .for_each(|key| visit(key.as_bytes()));
    }
}

pub(crate) const ME: &str = "1111111111111111111111111111111111111111";
pub(crate) const OTHER: &str = "2222222222222222222222222222222222222222";
pub(crate) const FAILED: &str = "3333333333333333333333333333333333333333";
pub(crate) const REPLICA: &str = "4444444444444444444444444444444444444444";

/// A cluster as nodes.conf tells it: this node has slots 0-5460, of which 5 moves away and 7000
/// comes; a failed node with an IPv6 address has 10923-16382; nobody has 16383.
pub(crate) fn nodes_conf() -> String {
    format!(
        "{ME} 127.0.0.1:7001@17001,me.example myself,master - 0 0 1 connected 0-5460 \
         [5->-{OTHER}] [7000-<-{OTHER}]\n\
         {OTHER} 127.0.0.1:7002@17002 master - 0 0 2 connected 5461-10922\n\
         {FAILED} 2001:db8::3:7003@17003,far.example master,fail - 0 0 3 connected 10923-16382\n\
         {REPLICA} 127.0.0.1:7004@17004 slave {ME} 0 0 1 connected\n\
         vars currentEpoch 3 lastVoteEpoch 0\n"
    )
}

/// The picture that a node has of [`nodes_conf`] once it has been up for a while.
pub(crate) fn view(configure: impl FnOnce(&mut Config)) -> Arc<View> {
    view_of(&nodes_conf(), configure)
}

/// The picture that a node has of a nodes.conf once it has been up for a while.
pub(crate) fn view_of(conf: &str, configure: impl FnOnce(&mut Config)) -> Arc<View> {
    const START: Millis = 1_700_000_000_000;
    let mut config = Config::new(7001);
    config.require_full_coverage = false;
    config.announce_hostname = "me.example".to_owned();
    configure(&mut config);
    let mut cluster = Cluster::load(conf, config, 1, START).expect("a good nodes.conf");
    cluster.data_loaded(START, &SlotBitmap::new());
    // Long enough to serve after a start, and too short to suspect anybody.
    for now in (START..START + 4000).step_by(100) {
        cluster.handle(now, Input::Tick);
        while cluster.poll_output().is_some() {}
    }
    cluster.view()
}
