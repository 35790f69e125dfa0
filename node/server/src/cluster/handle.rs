//! What workers hold of the cluster thread.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use arc_swap::{ArcSwap, Guard};
use hexad_gossip::{Config as GossipConfig, Millis, NodeFlags, ReplicationState, View};
use hexad_resp::{Args, Proto, Reply};
use hexad_slots::Slot;
use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use crate::config::Config;

use super::command::{self, Ask, Facts, Outcome};
use super::settings::{DriverSettings, gossip_config};

/// An encoded reply that the cluster thread is making.
pub type Answer = Pin<Box<dyn Future<Output = Vec<u8>> + Send>>;

/// The cluster thread, for the rest of the process. Clones are the same thread.
#[derive(Clone, Debug)]
pub struct ClusterHandle {
    shared: Arc<Shared>,
}

/// What the handles and the thread share.
#[derive(Debug)]
pub(super) struct Shared {
    /// The current view.
    pub(super) view: ArcSwap<View>,
    /// Rises with every tick of the state machine.
    pub(super) beat: AtomicU64,
    /// Open links of the bus.
    pub(super) links: AtomicUsize,
    /// Bytes that wait on the links.
    pub(super) queued_bytes: AtomicUsize,
    /// Links that were closed because what came over them was no frame.
    pub(super) bad_frames: AtomicU64,
    /// The type of the frames that are dropped on arrival, by its number; see
    /// [`ClusterHandle::drop_frames`].
    pub(super) dropped_type: AtomicI64,
    /// How far replication has got.
    pub(super) replication: Mutex<ReplicationState>,
    requests: UnboundedSender<Request>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the thread is asked. Each waiting worker has one request in the queue at a time, so the
/// queue is bounded by the number of connections.
pub(super) enum Request {
    /// Answer a command.
    Ask {
        ask: Box<Ask>,
        proto: Proto,
        answer: Box<dyn FnOnce(Vec<u8>) + Send>,
    },
    /// Go on with another configuration, and say when it is in effect.
    Configure {
        gossip: Box<GossipConfig>,
        driver: DriverSettings,
        done: SyncSender<()>,
    },
    /// Forget the counters of the bus.
    ResetStats,
    /// No client's write is under way since a pause; see [`hexad_gossip::Input::WritesPaused`].
    WritesPaused { until_ms: Millis, offset: u64 },
    /// Save nodes.conf and end.
    Stop,
}

impl Shared {
    pub(super) fn new(view: Arc<View>, requests: UnboundedSender<Request>) -> Arc<Self> {
        Arc::new(Self {
            view: ArcSwap::new(view),
            beat: AtomicU64::new(0),
            links: AtomicUsize::new(0),
            queued_bytes: AtomicUsize::new(0),
            bad_frames: AtomicU64::new(0),
            dropped_type: AtomicI64::new(-1),
            replication: Mutex::default(),
            requests,
            thread: Mutex::new(None),
        })
    }

    /// Keeps the thread, for [`ClusterHandle::stop`] to wait for its end.
    pub(super) fn set_thread(&self, thread: JoinHandle<()>) {
        *self.thread.lock() = Some(thread);
    }
}

impl ClusterHandle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The cluster as of now. To be loaded once a batch: it is an atomic load and a little more.
    #[inline]
    pub fn view(&self) -> Guard<Arc<View>> {
        self.shared.view.load()
    }

    /// Executes `CLUSTER …`. Either the reply is written, or the cluster thread makes it: then
    /// this returns a future of the encoded reply, and the client's next command has to wait.
    pub fn command(&self, args: &Args<'_>, facts: &dyn Facts, reply: &mut Reply) -> Option<Answer> {
        let view = self.shared.view.load();
        match command::execute(args, &view, facts, reply) {
            Outcome::Answered => None,
            Outcome::Ask(ask) => Some(self.ask(*ask, reply.proto())),
        }
    }

    /// [`ClusterHandle::command`] for where the caller cannot wait later (inside EXEC): blocks
    /// until the reply is written. The cluster thread never waits for a worker or a slot's lock,
    /// but it may have to wait for the disk.
    pub fn command_blocking(&self, args: &Args<'_>, facts: &dyn Facts, reply: &mut Reply) {
        let view = self.shared.view.load();
        if let Outcome::Ask(ask) = command::execute(args, &view, facts, reply) {
            let (sender, receiver) = sync_channel(1);
            self.send(*ask, reply.proto(), move |answer| {
                // It fails only when the asking thread is gone, and then nobody waits.
                let _ = sender.send(answer);
            });
            reply.raw(&receiver.recv().unwrap_or_else(|_| ended()));
        }
    }

    /// Has a command answered by the cluster thread, as an encoded reply in this protocol.
    pub fn ask(&self, ask: Ask, proto: Proto) -> Answer {
        let (sender, receiver) = oneshot::channel();
        self.send(ask, proto, move |answer| {
            // It fails when the client has gone away meanwhile.
            let _ = sender.send(answer);
        });
        Box::pin(async move { receiver.await.unwrap_or_else(|_| ended()) })
    }

    fn send(&self, ask: Ask, proto: Proto, answer: impl FnOnce(Vec<u8>) + Send + 'static) {
        self.request(Request::Ask {
            ask: Box::new(ask),
            proto,
            answer: Box::new(answer),
        });
    }

    /// Tells the cluster thread of a changed configuration (CONFIG SET), and waits until the view
    /// shows it, so that a client finds it in effect once it has its reply.
    pub fn config_changed(&self, config: &Config) {
        let (done, taken_over) = sync_channel(1);
        self.request(Request::Configure {
            gossip: Box::new(gossip_config(config)),
            driver: DriverSettings::new(config),
            done,
        });
        // It fails when the thread has ended, and then no view changes any more.
        let _ = taken_over.recv();
    }

    /// Forgets the counters that CLUSTER INFO shows (CONFIG RESETSTAT).
    pub fn reset_stats(&self) {
        self.request(Request::ResetStats);
    }

    /// Tells how far replication has got; to be called whenever that changes. The cluster thread
    /// looks at it when it next has something to do, at least ten times a second.
    pub fn set_replication(&self, state: ReplicationState) {
        *self.shared.replication.lock() = state;
    }

    /// Answers [`super::Host::pause_writes`]: no client's write is under way any more, and the
    /// replication stream ends at `offset`.
    pub fn writes_paused(&self, until_ms: Millis, offset: u64) {
        self.request(Request::WritesPaused { until_ms, offset });
    }

    /// DEBUG DROP-CLUSTER-PACKET-FILTER: frames of the type of this number are dropped on arrival
    /// from now on. A number that no type has, as -1, lets all through.
    pub fn drop_frames(&self, type_number: i64) {
        self.shared.dropped_type.store(type_number, Relaxed);
    }

    /// Whether this node is a replica.
    pub fn is_replica(&self) -> bool {
        self.view().myself().flags.contains(NodeFlags::REPLICA)
    }

    /// Whether a slot is this node's now.
    pub fn owns(&self, slot: Slot) -> bool {
        self.view()
            .owner(slot)
            .is_some_and(|owner| owner.flags.contains(NodeFlags::MYSELF))
    }

    /// A number that rises several times a second while the cluster thread runs. It stands still
    /// while the thread waits for a disk that hangs; the view is not to be trusted for long then.
    pub fn beat(&self) -> u64 {
        self.shared.beat.load(Relaxed)
    }

    /// INFO's `cluster_connections`: open links of the bus.
    pub fn connections(&self) -> usize {
        self.shared.links.load(Relaxed)
    }

    /// INFO's `mem_cluster_links`: bytes that wait on the links of the bus, as of the last second.
    pub fn link_memory_bytes(&self) -> usize {
        self.shared.queued_bytes.load(Relaxed)
    }

    /// Links closed because what came over them was no frame of the bus.
    pub fn bad_frames(&self) -> u64 {
        self.shared.bad_frames.load(Relaxed)
    }

    /// Has nodes.conf saved, the links closed and the thread ended, and waits for that.
    pub fn stop(&self) {
        self.request(Request::Stop);
        if let Some(thread) = self.shared.thread.lock().take() {
            // A panic of the thread has been reported when it happened.
            let _ = thread.join();
        }
    }

    fn request(&self, request: Request) {
        // It fails only after the thread's end, when the process is ending, too.
        let _ = self.shared.requests.send(request);
    }
}

/// The reply of a thread that is no more.
fn ended() -> Vec<u8> {
    b"-ERR the cluster thread has ended\r\n".to_vec()
}
