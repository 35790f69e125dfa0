//! The bus from start to end: what it needs to start, what it tells the server, and its thread.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hexad_gossip::{Cluster, Millis, Role};
use hexad_slots::SlotBitmap;
use socket2::Socket;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::config::Config;

use super::driver::Driver;
use super::handle::{ClusterHandle, Request, Shared};
use super::nodes_conf::{NodesConf, OpenError};
use super::settings::{DriverSettings, gossip_config};
use super::stall::Pulse;

/// What the cluster thread tells and asks the rest of the server. It calls these from its own
/// thread and must not be held up: none of them may wait for a worker, a slot's lock or a disk.
pub trait Host: Send + Sync + 'static {
    /// These slots belong to another node now: their keys are to be dropped, soon.
    fn drop_keys(&self, slots: Box<SlotBitmap>);
    /// This node is to replicate as this role says; see [`hexad_gossip::Output::RoleChanged`].
    fn role_changed(&self, term: u64, role: Role);
    /// Clients' writes are to rest until [`Host::resume_writes`] or that time of the bus's clock;
    /// [`ClusterHandle::writes_paused`] is to be called once they do. See
    /// [`hexad_gossip::Output::PauseWrites`].
    fn pause_writes(&self, until_ms: Millis);
    /// The pause is over.
    fn resume_writes(&self);
    /// A message for subscribers of this node, published at another.
    fn published(&self, sharded: bool, channel: Bytes, message: Bytes);
    /// The pulse of each worker, always in the same order.
    fn pulses(&self) -> Vec<Pulse>;
    /// The cluster thread cannot go on (its reason is in the log), and a node without it must not
    /// serve: ends the process with status 1, as Redis does when it cannot write nodes.conf.
    fn die(&self);
}

/// Why the bus did not start. The texts are those of Redis 7.0 where it has one.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Neither `cluster-port` nor room above `port` for the bus.
    #[error(
        "Redis port number too high. Cluster communication port is 10,000 port numbers higher than \
         your Redis port. Your Redis port number must be 55535 or less."
    )]
    PortTooHigh,
    /// `bind` is empty.
    #[error("No bind address is configured, but it is required for the Cluster bus.")]
    NoBindAddress,
    /// The bus port is taken, or an address is not this machine's; the log says which.
    #[error("Failed listening on port {0} (cluster), aborting.")]
    Listen(u16),
    /// nodes.conf cannot be taken.
    #[error(transparent)]
    NodesConf(#[from] OpenError),
    /// nodes.conf cannot be understood.
    #[error("Unrecoverable error: corrupted cluster config file: {0}")]
    Corrupted(String),
}

impl From<StartError> for String {
    fn from(error: StartError) -> Self {
        error.to_string()
    }
}

/// The bus, ready to run: nodes.conf is locked and read, the bus port is bound.
pub struct Bus {
    cluster: Cluster,
    clock: Clock,
    conf: NodesConf,
    listeners: Vec<Socket>,
    settings: DriverSettings,
    shared: Arc<Shared>,
    requests: UnboundedReceiver<Request>,
}

impl Bus {
    /// Takes nodes.conf and the bus port. Nothing is sent or accepted before [`Bus::run`].
    ///
    /// # Errors
    /// If either cannot be had; the text is for the log and for an operator.
    pub fn open(config: &Config) -> Result<Self, StartError> {
        let port = config.bus_port().ok_or(StartError::PortTooHigh)?;
        if config.bind.is_empty() {
            return Err(StartError::NoBindAddress);
        }
        let path = config.dir.join(&config.cluster.config_file);
        let (conf, text) = NodesConf::open(&path)?;
        let clock = Clock::new();
        let mut cluster = load(&text, config, clock.now())?;
        let listeners =
            crate::listener::bind_tcp(&config.bind, port, config.tcp_backlog).map_err(|text| {
                tracing::warn!("{text}");
                StartError::Listen(port)
            })?;
        let (sender, requests) = unbounded_channel();
        let shared = Shared::new(cluster.view(), sender);
        let settings = DriverSettings::new(config);
        Ok(Self {
            cluster,
            clock,
            conf,
            listeners,
            settings,
            shared,
            requests,
        })
    }

    /// The handle that workers use; it works from now on, and answers once the bus runs.
    pub fn handle(&self) -> ClusterHandle {
        ClusterHandle::new(self.shared.clone())
    }

    /// Starts the thread. The dataset must be loaded: `slots_with_keys` are the slots that hold
    /// keys, of which the node takes those that nobody owns.
    ///
    /// # Errors
    /// If the system refuses a thread or what a runtime needs.
    pub fn run(self, host: impl Host, slots_with_keys: &SlotBitmap) -> io::Result<()> {
        let Self {
            mut cluster,
            clock,
            conf,
            listeners,
            settings,
            shared,
            requests,
        } = self;
        cluster.data_loaded(clock.now(), slots_with_keys);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let driver = Driver::new(cluster, clock, conf, settings, shared.clone(), host);
        let thread = std::thread::Builder::new()
            .name("hexad-cluster".to_owned())
            .spawn(move || {
                let host = driver.host();
                let run = AssertUnwindSafe(|| runtime.block_on(driver.run(listeners, requests)));
                match catch_unwind(run) {
                    Ok(Ok(())) => {}
                    Ok(Err(unsaved)) => {
                        tracing::warn!("{unsaved}");
                        tracing::warn!("Fatal: can't update cluster config file.");
                        host.die();
                    }
                    Err(_) => {
                        tracing::error!("The cluster thread has panicked");
                        host.die();
                    }
                }
            })?;
        shared.set_thread(thread);
        Ok(())
    }
}

fn load(text: &[u8], config: &Config, now: Millis) -> Result<Cluster, StartError> {
    let (config, seed) = (gossip_config(config), rand::random());
    if text.is_empty() {
        let cluster = Cluster::new(config, seed, now);
        tracing::info!("No cluster configuration found, I'm {}", cluster.id());
        return Ok(cluster);
    }
    let text = str::from_utf8(text).map_err(|error| StartError::Corrupted(error.to_string()))?;
    let cluster = Cluster::load(text, config, seed, now)
        .map_err(|error| StartError::Corrupted(error.to_string()))?;
    tracing::info!("Node configuration loaded, I'm {}", cluster.id());
    Ok(cluster)
}

/// Unix time that never goes backwards and never jumps: that of the start, plus what has passed
/// since. Steps of the system's clock would otherwise stop the timers, or fire them all at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    started_unix_ms: Millis,
    started: Instant,
}

impl Clock {
    fn new() -> Self {
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Self {
            started_unix_ms: millis(unix),
            started: Instant::now(),
        }
    }

    /// Milliseconds of Unix time.
    pub(super) fn now(&self) -> Millis {
        self.started_unix_ms + millis(self.started.elapsed())
    }

    /// The moment of this Unix time.
    pub(super) fn instant(&self, at: Millis) -> Instant {
        self.started + Duration::from_millis(at.saturating_sub(self.started_unix_ms))
    }
}

fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}
