//! The loop of the cluster thread: events into the state machine, its outputs out into the world.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use hexad_gossip::frame::frame_type_number;
use hexad_gossip::{Admin, AdminError, AdminOk, Cluster, Input, LinkId, LogLevel, Output, View};
use hexad_resp::{Proto, Reply};
use socket2::Socket;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Receiver, Sender, UnboundedReceiver, channel};
use tokio::time::MissedTickBehavior;

use super::bus::{Clock, Host};
use super::command::{Ask, unknown_node};
use super::handle::{Request, Shared};
use super::link::{Closed, Event, Link};
use super::nodes_conf::{NodesConf, SaveError, reason};
use super::replies::{self, LinkRow};
use super::settings::DriverSettings;
use super::stall::StallWatch;

/// Events that may wait for the thread; a link whose events find no room is not read meanwhile.
const EVENT_QUEUE: usize = 256;
/// Inbound links that may be open. A node of the largest advised cluster (1000) has one to each
/// other node; the rest is for reconnects and strangers.
const MAX_INBOUND_LINKS: usize = 4096;
/// How often the workers are looked at and the queues are added up.
const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(1);
/// How long to wait after accept() failed for want of file descriptors or memory.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// The state of the cluster thread.
pub(super) struct Driver<H> {
    cluster: Cluster,
    clock: Clock,
    conf: NodesConf,
    settings: DriverSettings,
    shared: Arc<Shared>,
    host: Arc<H>,
    links: HashMap<LinkId, Link>,
    inbound_links: usize,
    /// Links closed because their queue was full (CLUSTER INFO).
    queue_limit_exceeded: u64,
    stall: StallWatch,
    /// The worker that the node is unhealthy for.
    stalled: Option<usize>,
    events: Sender<Event>,
    incoming: Receiver<Event>,
}

impl<H: Host> Driver<H> {
    pub(super) fn new(
        cluster: Cluster,
        clock: Clock,
        conf: NodesConf,
        settings: DriverSettings,
        shared: Arc<Shared>,
        host: H,
    ) -> Self {
        let (events, incoming) = channel(EVENT_QUEUE);
        Self {
            cluster,
            clock,
            conf,
            settings,
            shared,
            host: Arc::new(host),
            links: HashMap::new(),
            inbound_links: 0,
            queue_limit_exceeded: 0,
            stall: StallWatch::default(),
            stalled: None,
            events,
            incoming,
        }
    }

    pub(super) fn host(&self) -> Arc<H> {
        self.host.clone()
    }

    /// Runs until it is told to stop.
    ///
    /// # Errors
    /// If nodes.conf cannot be written. Whatever was to happen after that has not happened, and
    /// must not: a vote or an epoch that is not on disk could be given twice.
    pub(super) async fn run(
        mut self,
        listeners: Vec<Socket>,
        mut requests: UnboundedReceiver<Request>,
    ) -> Result<(), SaveError> {
        listeners
            .into_iter()
            .for_each(|listener| self.listen(listener));
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING_EVERY);
        housekeeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.drain()?;
        loop {
            tokio::select! {
                Some(event) = self.incoming.recv() => self.on_event(event),
                Some(request) = requests.recv() => {
                    if let Request::Stop = request {
                        return self.stop();
                    }
                    self.on_request(request)?;
                }
                () = next_timeout(&self.cluster, self.clock) => {
                    self.learn_replication();
                    self.cluster.handle(self.clock.now(), Input::Tick);
                    self.shared.beat.fetch_add(1, Relaxed);
                }
                _ = housekeeping.tick() => self.housekeep(),
            }
            self.drain()?;
        }
    }

    /// Tells the machine how far replication has got.
    fn learn_replication(&mut self) {
        let state = *self.shared.replication.lock();
        self.cluster.set_replication(state);
    }

    fn listen(&self, listener: Socket) {
        match TcpListener::from_std(listener.into()) {
            Ok(listener) => drop(tokio::spawn(accept(listener, self.events.clone()))),
            Err(error) => tracing::error!("Cannot watch the bus port: {}", reason(&error)),
        }
    }

    // ---- events

    fn on_event(&mut self, event: Event) {
        let now = self.clock.now();
        self.learn_replication();
        match event {
            Event::Accepted { stream, peer } => self.on_accepted(stream, peer),
            Event::Connected { link, local_ip } if self.links.contains_key(&link) => {
                self.cluster
                    .handle(now, Input::Connected { link, local_ip });
            }
            Event::Frame { bytes, .. } if self.is_dropped(&bytes) => {
                tracing::warn!("Packet that matches debug drop filter");
            }
            Event::Frame { link, bytes } if self.links.contains_key(&link) => {
                self.cluster.handle(
                    now,
                    Input::Frame {
                        link,
                        bytes: &bytes,
                    },
                );
            }
            Event::Closed { link, why } => self.on_closed(link, &why),
            // The machine closed the link while this was on its way.
            Event::Connected { .. } | Event::Frame { .. } => {}
        }
    }

    /// Whether an administrator has had frames of this type dropped.
    fn is_dropped(&self, frame: &[u8]) -> bool {
        let dropped = self.shared.dropped_type.load(Relaxed);
        dropped >= 0 && frame_type_number(frame).map(i64::from) == Some(dropped)
    }

    fn on_accepted(&mut self, stream: TcpStream, peer: SocketAddr) {
        if self.inbound_links >= MAX_INBOUND_LINKS {
            tracing::debug!("Refusing {peer} on the bus: {MAX_INBOUND_LINKS} links are open");
            return;
        }
        let Ok(local) = stream.local_addr() else {
            return;
        };
        tracing::debug!("Accepting cluster node connection from {peer}");
        let now = self.clock.now();
        let id = self.cluster.accept(now, peer.ip(), local.ip());
        let keepalive = self.settings.dial.keepalive;
        let link = Link::accepted(id, peer, stream, keepalive, self.events.clone());
        self.links.insert(id, link);
        self.count_links();
    }

    fn on_closed(&mut self, id: LinkId, why: &Closed) {
        let Some(link) = self.remove(id) else { return };
        match why {
            Closed::BadFrame(error) => {
                self.shared.bad_frames.fetch_add(1, Relaxed);
                tracing::warn!("Closing the bus link of {}: {error}", link.peer);
            }
            Closed::Io(error) if link.inbound => {
                tracing::debug!(
                    "I/O error on the bus link from {}: {}",
                    link.peer,
                    reason(error)
                );
            }
            Closed::Io(error) => {
                tracing::debug!(
                    "I/O error on the bus link to {}: {}",
                    link.peer,
                    reason(error)
                );
            }
            Closed::TimedOut | Closed::ByPeer => {}
        }
        let refused = why.is_refusal();
        self.cluster
            .handle(self.clock.now(), Input::Closed { link: id, refused });
    }

    fn remove(&mut self, id: LinkId) -> Option<Link> {
        let link = self.links.remove(&id);
        self.count_links();
        link
    }

    fn count_links(&mut self) {
        self.inbound_links = self.links.values().filter(|link| link.inbound).count();
        self.shared.links.store(self.links.len(), Relaxed);
    }

    // ---- what only time brings

    fn housekeep(&mut self) {
        let queued = self.links.values().map(Link::queued_bytes).sum();
        self.shared.queued_bytes.store(queued, Relaxed);
        self.watch_workers();
    }

    fn watch_workers(&mut self) {
        let now = self.clock.now();
        let pulses = self.host.pulses().into_iter();
        let stalled = self
            .stall
            .stalled(now, self.settings.stall_timeout_ms, pulses);
        if stalled == self.stalled {
            return;
        }
        match stalled {
            Some(worker) => tracing::warn!(
                "Worker {worker} has made no progress for cluster-stall-timeout ({} ms): this node \
                 no longer answers for itself on the bus",
                self.settings.stall_timeout_ms
            ),
            None => tracing::warn!("All workers make progress again"),
        }
        self.stalled = stalled;
        self.cluster.set_healthy(now, stalled.is_none());
    }

    // ---- requests

    fn on_request(&mut self, request: Request) -> Result<(), SaveError> {
        let now = self.clock.now();
        self.learn_replication();
        match request {
            Request::Ask { ask, proto, answer } => answer(self.answer(*ask, proto)?),
            Request::Configure {
                gossip,
                driver,
                done,
            } => {
                self.settings = driver;
                self.cluster.set_config(now, *gossip);
                self.drain()?;
                let _ = done.send(());
            }
            Request::ResetStats => {
                self.queue_limit_exceeded = 0;
                self.cluster.reset_stats();
            }
            Request::WritesPaused { until_ms, offset } => {
                self.cluster
                    .handle(now, Input::WritesPaused { until_ms, offset });
            }
            // The loop has dealt with it.
            Request::Stop => {}
        }
        Ok(())
    }

    /// Answers a command, as an encoded reply. Its outputs have taken effect by then: a client
    /// that has the reply of ADDSLOTS finds the slots in the next view, and on disk.
    fn answer(&mut self, ask: Ask, proto: Proto) -> Result<Vec<u8>, SaveError> {
        let mut reply = Reply::new();
        reply.set_proto(proto);
        match ask {
            Ask::Admin(Admin::SaveConfig) => self.save_config(&mut reply),
            Ask::Admin(admin) => self.administer(admin, &mut reply)?,
            Ask::Info => reply.verbatim("txt", self.info().as_bytes()),
            Ask::Links => replies::links(&self.link_rows(), &mut reply),
            Ask::FailureReports(id) => match self.cluster.view().node(&id) {
                Some(node) => reply.integer(node.failure_reports as i64),
                None => reply.error_bytes(&unknown_node(id.as_bytes())),
            },
        }
        Ok(reply.take())
    }

    fn administer(&mut self, admin: Admin, reply: &mut Reply) -> Result<(), SaveError> {
        let result = self.cluster.admin(self.clock.now(), admin);
        self.drain()?;
        write_result(result, reply);
        Ok(())
    }

    /// CLUSTER SAVECONFIG. Only here a failure is no end: all that must be on disk is there
    /// already, and Redis answers with an error, too.
    fn save_config(&mut self, reply: &mut Reply) {
        let result = self.cluster.admin(self.clock.now(), Admin::SaveConfig);
        match self.drain() {
            Ok(()) => write_result(result, reply),
            Err(error) => {
                tracing::warn!("{error}");
                reply.error(&format!(
                    "ERR error saving the cluster node config: {}",
                    error.reason()
                ));
            }
        }
    }

    fn info(&mut self) -> String {
        let mut text = self.cluster.view().info_text();
        text.push_str(&format!(
            "total_cluster_links_buffer_limit_exceeded:{}\r\n",
            self.queue_limit_exceeded
        ));
        text
    }

    fn link_rows(&mut self) -> Vec<LinkRow> {
        let view = self.cluster.view();
        let queued = |link| self.links.get(&link).map_or(0, Link::queued_bytes);
        view.links
            .iter()
            .map(|&info| LinkRow {
                info,
                queued_bytes: queued(info.link),
            })
            .collect()
    }

    fn stop(mut self) -> Result<(), SaveError> {
        if self
            .cluster
            .admin(self.clock.now(), Admin::SaveConfig)
            .is_ok()
        {
            self.drain()?;
        }
        Ok(())
    }

    // ---- outputs

    /// Performs the machine's outputs, in order.
    fn drain(&mut self) -> Result<(), SaveError> {
        while let Some(output) = self.cluster.poll_output() {
            match output {
                Output::Persist(text) => self.conf.save(&text)?,
                Output::Connect { link, addr } => self.connect(link, addr),
                Output::Send { link, frame } => self.send(link, frame),
                Output::Close { link } => drop(self.remove(link)),
                Output::ViewChanged => self.publish(),
                Output::DropKeys(slots) => self.host.drop_keys(slots),
                Output::RoleChanged { term, role } => self.host.role_changed(term, role),
                Output::PauseWrites { until_ms } => self.host.pause_writes(until_ms),
                Output::ResumeWrites => self.host.resume_writes(),
                Output::Published {
                    sharded,
                    channel,
                    message,
                } => {
                    self.host.published(sharded, channel, message);
                }
                Output::Log { level, text } => log(level, &text),
            }
        }
        Ok(())
    }

    fn connect(&mut self, id: LinkId, addr: SocketAddr) {
        let link = Link::open(id, addr, self.settings.dial, self.events.clone());
        self.links.insert(id, link);
        self.count_links();
    }

    fn send(&mut self, id: LinkId, frame: Bytes) {
        let Some(link) = self.links.get(&id) else {
            return;
        };
        // What is looked at is what the peer has left over, so that a frame of any size goes to
        // one that reads.
        match link.queued_bytes() {
            queued if queued > self.settings.link_queue_max_bytes => {
                self.give_up_slow_reader(id, queued);
            }
            _ => link.send(frame),
        }
    }

    fn give_up_slow_reader(&mut self, id: LinkId, queued: usize) {
        let Some(link) = self.remove(id) else { return };
        let view = self.cluster.view();
        tracing::warn!(
            "Freeing cluster link({} {}, used memory: {queued}) due to exceeding send buffer \
             memory limit.",
            if link.inbound { "from" } else { "to" },
            link_name(&view, id, link.peer),
        );
        self.queue_limit_exceeded += 1;
        self.cluster.handle(
            self.clock.now(),
            Input::Closed {
                link: id,
                refused: false,
            },
        );
    }

    fn publish(&mut self) {
        self.shared.view.store(self.cluster.view());
    }
}

/// Waits until the state machine wants to be told that time has passed.
async fn next_timeout(cluster: &Cluster, clock: Clock) {
    match cluster.poll_timeout() {
        Some(at) => tokio::time::sleep_until(clock.instant(at).into()).await,
        None => std::future::pending().await,
    }
}

async fn accept(listener: TcpListener, events: Sender<Event>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let _ = events.send(Event::Accepted { stream, peer }).await;
            }
            Err(error) => {
                tracing::warn!("Error accepting cluster node: {}", reason(&error));
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

fn write_result(result: Result<AdminOk, AdminError>, reply: &mut Reply) {
    match result {
        Ok(AdminOk::Done) => reply.ok(),
        Ok(AdminOk::Epoch {
            epoch,
            bumped: true,
        }) => reply.simple(&format!("BUMPED {epoch}")),
        Ok(AdminOk::Epoch {
            epoch,
            bumped: false,
        }) => reply.simple(&format!("STILL {epoch}")),
        Err(error) => reply.error(&error.to_string()),
    }
}

/// The node at the other end if the machine knows it, else its address.
fn link_name(view: &View, id: LinkId, peer: SocketAddr) -> String {
    match view.links.iter().find(|info| info.link == id) {
        Some(info) => format!("node {}", info.node),
        None => peer.to_string(),
    }
}

fn log(level: LogLevel, text: &str) {
    match level {
        LogLevel::Debug => tracing::trace!("{text}"),
        LogLevel::Verbose => tracing::debug!("{text}"),
        LogLevel::Notice => tracing::info!("{text}"),
        LogLevel::Warning => tracing::warn!("{text}"),
    }
}
