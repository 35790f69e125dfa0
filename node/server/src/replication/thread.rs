//! The replication thread: everything of replication that has a socket, and what happens by time.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use hexad_gossip::{PrimaryLink, ReplicationState, Role};
use hexad_replication::{FailoverEvent, FailoverTarget, Millis};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, LocalSet};

use super::feeder::{self, HandOver};
use super::fullsync::{self, Syncs};
use super::role::Following;
use super::{LinkState, Standing, link, new_id, write_log};
use crate::gate::{self, World};
use crate::pause::{Cause, Paused};
use crate::server::Server;
use crate::worker::{self, unix_ms};

/// How often the thread looks after what happens by time.
const TICK: Duration = Duration::from_millis(100);
/// How long writes rest for FAILOVER at most, where nothing else is said: until it ends.
const FAILOVER_PAUSE_MS: i64 = i64::MAX / 4;

/// What others give the thread to do.
pub(crate) enum Order {
    /// This connection is a replica's from now on.
    Attach(Box<HandOver>),
    /// REPLICAOF, or the start with it. `done` hears when the role has changed.
    Follow {
        /// Whom.
        primary: Following,
        /// Who waits for it.
        done: Option<oneshot::Sender<()>>,
    },
    /// REPLICAOF NO ONE, and PSYNC FAILOVER.
    Promote {
        /// Who waits for it.
        done: Option<oneshot::Sender<()>>,
    },
    /// The cluster gives this node a role.
    ClusterRole {
        /// Its number.
        term: u64,
        /// The role.
        role: Role,
    },
    /// The cluster wants clients' writes to rest until then, and to know where the stream ends.
    PauseWrites {
        /// The bus's time, milliseconds of Unix time.
        until_ms: Millis,
    },
    /// FAILOVER has begun or was aborted.
    Failover(Option<FailoverEvent>),
    /// Look after snapshots, WAIT and FAILOVER now.
    Look,
}

/// The thread's own state.
pub(super) struct Thread {
    pub(super) server: &'static Server,
    /// Snapshots for replicas.
    pub(super) syncs: Syncs,
    /// The task that follows the primary.
    link: RefCell<Option<AbortHandle>>,
    /// The number of the role that the cluster has given.
    term: Cell<u64>,
}

/// Starts the thread.
pub(crate) fn spawn(
    server: &'static Server,
    orders: UnboundedReceiver<Order>,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("hexad-replication".to_owned())
        .spawn(move || {
            worker::install(server.replication_worker(), server);
            let thread = Rc::new(Thread {
                server,
                syncs: Syncs::default(),
                link: RefCell::default(),
                term: Cell::new(0),
            });
            LocalSet::new().block_on(&runtime, thread.run(orders));
        })?;
    Ok(())
}

/// Stops the world from a thread that is in no gate.
pub(super) async fn stop_world(server: &'static Server) -> World<'static> {
    loop {
        if let Some(world) = server.gates.try_stop() {
            return world;
        }
        tokio::time::sleep(gate::RETRY).await;
    }
}

impl Thread {
    /// Milliseconds of a clock that never goes backwards.
    pub(super) fn now(&self) -> Millis {
        self.server.replication.now()
    }

    async fn run(self: Rc<Self>, mut orders: UnboundedReceiver<Order>) {
        tokio::task::spawn_local(Rc::clone(&self).tick());
        while let Some(order) = orders.recv().await {
            match order {
                Order::Attach(hand_over) => {
                    tokio::task::spawn_local(feeder::run(Rc::clone(&self), *hand_over));
                    tokio::task::yield_now().await;
                    fullsync::schedule(&self);
                    self.note_replicas();
                }
                Order::Follow { primary, done } => {
                    self.follow(Some(primary)).await;
                    answer(done);
                }
                Order::Promote { done } => {
                    self.promote().await;
                    answer(done);
                }
                Order::ClusterRole { term, role } => self.take_cluster_role(term, role).await,
                Order::PauseWrites { until_ms } => self.pause_for_cluster(until_ms).await,
                Order::Failover(event) => self.on_failover(event).await,
                Order::Look => {
                    self.look();
                    self.on_failover(None).await;
                }
            }
        }
    }

    // ---- roles -----------------------------------------------------------------------------------

    /// Becomes a replica, of `primary` if there is one to connect to.
    async fn follow(self: &Rc<Self>, primary: Option<Following>) {
        self.stop_following().await;
        let world = stop_world(self.server).await;
        self.demote(&world, primary.clone());
        drop(world);
        self.report();
        if let Some(primary) = primary {
            let task = tokio::task::spawn_local(link::run(Rc::clone(self), primary, false));
            *self.link.borrow_mut() = Some(task.abort_handle());
        }
    }

    fn demote(&self, world: &World<'_>, primary: Option<Following>) {
        let server = self.server;
        server.replication.demote(world, &server.keyspace, primary);
    }

    async fn promote(self: &Rc<Self>) {
        if !self.is_replica() {
            return;
        }
        self.stop_following().await;
        let world = stop_world(self.server).await;
        tracing::warn!("MASTER MODE enabled");
        self.server.replication.promote(&world);
        drop(world);
        self.server.note_primary(None);
        self.report();
    }

    /// Ends the link to the primary. Data that are loaded in part are dropped.
    async fn stop_following(&self) {
        let task = self.link.borrow_mut().take();
        if let Some(task) = task {
            task.abort();
            // The task is gone once the others have had their turn.
            while !task.is_finished() {
                tokio::task::yield_now().await;
            }
        }
        super::loading::give_up(self.server).await;
    }

    fn is_replica(&self) -> bool {
        let standing = self.server.replication.standing();
        standing.contains(Standing::REPLICA)
    }

    async fn take_cluster_role(self: &Rc<Self>, term: u64, role: Role) {
        self.term.set(term);
        match role {
            Role::Primary => self.promote().await,
            Role::Replica { of } => {
                let primary = of.map(|of| Following {
                    host: of.ip.to_string(),
                    port: of.port,
                });
                let known = self.server.replication.status().primary == primary;
                if !self.is_replica() || !known {
                    self.follow(primary).await;
                }
            }
        }
        self.report();
    }

    async fn pause_for_cluster(&self, until_ms: Millis) {
        let world = stop_world(self.server).await;
        let pause = &self.server.pause;
        pause.start(Cause::Failover, until_ms as i64, false, unix_ms());
        drop(world);
        let offset = self.server.replication.stream().offset();
        self.report();
        if let Some(cluster) = &self.server.cluster {
            cluster.writes_paused(until_ms, offset);
        }
    }

    /// Tells the cluster thread how far replication has got.
    pub(super) fn report(&self) {
        let Some(cluster) = &self.server.cluster else {
            return;
        };
        let replication = &self.server.replication;
        let (link, syncs) = {
            let status = replication.status();
            let link = match (status.state, status.was_up) {
                _ if status.emptied => PrimaryLink::Emptied,
                (LinkState::Connected, _) => PrimaryLink::Up {
                    heard_ms: status.in_sync_ms as Millis,
                },
                (_, true) => PrimaryLink::Down {
                    heard_ms: status.in_sync_ms as Millis,
                },
                _ => PrimaryLink::Never,
            };
            (link, status.state == LinkState::Sync)
        };
        // A replica without data yet is at offset 0: so the others do not send clients to it.
        let offset = match syncs {
            true => 0,
            false => replication.stream().offset(),
        };
        cluster.set_replication(ReplicationState {
            term: self.term.get(),
            offset,
            link,
        });
    }

    // ---- by time ---------------------------------------------------------------------------------

    async fn tick(self: Rc<Self>) {
        let mut last_second = 0;
        let mut last_ping = 0;
        loop {
            tokio::time::sleep(TICK).await;
            self.look();
            self.on_failover(None).await;
            self.check_limits();
            self.report();
            let second = self.now() / 1000;
            if second == last_second {
                continue;
            }
            last_second = second;
            self.each_second(&mut last_ping, second);
            fullsync::schedule(&self);
        }
    }

    /// Asks replicas for acknowledgements if somebody waits for them, and ends what is satisfied.
    fn look(self: &Rc<Self>) {
        fullsync::schedule(self);
        let replication = &self.server.replication;
        let paused = self.server.pause.state(unix_ms()) != Paused::Nothing;
        let ask = {
            let mut hub = replication.hub();
            hub.end_waits(self.now());
            !paused && hub.acks.take_ask()
        };
        if ask {
            replication.stream().append_getack();
            replication.notify();
        }
    }

    fn each_second(&self, last_ping: &mut u64, second: u64) {
        let replication = &self.server.replication;
        let config = self.server.config.load();
        let settings = &config.replication;
        let replicas = replication.hub().len();
        let is_replica = self.is_replica();
        let paused = self.server.pause.state(unix_ms()) != Paused::Nothing;
        if !is_replica && replicas > 0 && !paused && second >= *last_ping + settings.ping_period_s {
            *last_ping = second;
            replication.stream().append_ping();
            replication.notify();
        }
        let timed_out = {
            let hub = replication.hub();
            hub.acks.timed_out(settings.timeout_s * 1000, self.now())
        };
        if !timed_out.is_empty() {
            let hub = replication.hub();
            hub.disconnect(&timed_out, "timedout replica (streaming sync)");
        }
        if !is_replica {
            self.free_backlog(replicas, settings.backlog_ttl_s);
        }
        self.note_replicas();
    }

    /// Frees the backlog of a primary that has had no replicas for long.
    fn free_backlog(&self, replicas: usize, ttl_s: u64) {
        // The append of a worker in between would find no backlog and do nothing, as it should.
        let replication = &self.server.replication;
        let (line, active) = {
            let mut stream = replication.stream();
            let ttl_ms = ttl_s.saturating_mul(1000);
            let line = stream.tick_primary(self.now(), replicas, ttl_ms, new_id());
            (line, stream.is_active())
        };
        if let Some(line) = line {
            write_log([line]);
            replication.standing.set(Standing::REPLICATES, active);
        }
    }

    /// Closes replicas whose output piles up, and frees what those that are gone have not read.
    fn check_limits(&self) {
        let replication = &self.server.replication;
        // The lock is let go of in between.
        while replication.stream().trim() {}
        let over = replication.stream().check_limits(self.now());
        if !over.is_empty() {
            // Their feeders find their readers gone.
            tracing::warn!(
                "{} replica(s) scheduled to be closed ASAP for overcoming of output buffer limits.",
                over.len()
            );
            self.server.output_limit_disconnections.increment();
            let mut stream = replication.stream();
            for reader in over {
                stream.detach(reader);
            }
            drop(stream);
            replication.notify();
        }
    }

    /// Looks whether enough replicas are near enough for writes.
    pub(super) fn note_replicas(&self) {
        let config = self.server.config.load();
        self.server.replication.note_replicas(&config);
    }

    // ---- FAILOVER --------------------------------------------------------------------------------

    /// An acknowledgement has come: it may be the one that FAILOVER waits for.
    pub(super) fn poll_failover(&self) {
        if self.server.replication.hub().failover.is_on() {
            self.server.replication.order(Order::Look);
        }
    }

    async fn on_failover(self: &Rc<Self>, event: Option<FailoverEvent>) {
        let event = event.or_else(|| {
            let end = self.server.replication.stream().offset();
            let mut hub = self.server.replication.hub();
            if !hub.failover.is_on() {
                return None;
            }
            let replicas = hub.listed();
            let (event, line) = hub.failover.poll(end, &replicas, self.now())?;
            write_log([line]);
            Some(event)
        });
        match event {
            None => {}
            Some(FailoverEvent::Demote(target)) => self.hand_over_to(target).await,
            Some(FailoverEvent::Aborted { was_replica }) => {
                if was_replica {
                    self.promote().await;
                }
                self.server.pause.end(Cause::Failover);
            }
            Some(FailoverEvent::Done) => self.server.pause.end(Cause::Failover),
        }
    }

    /// Becomes a replica of the target, and tells it with the handshake to take over.
    async fn hand_over_to(self: &Rc<Self>, target: FailoverTarget) {
        let primary = Following {
            host: String::from_utf8_lossy(&target.host).into_owned(),
            port: u16::try_from(target.port).unwrap_or_default(),
        };
        self.stop_following().await;
        let world = stop_world(self.server).await;
        self.demote(&world, Some(primary.clone()));
        drop(world);
        self.server.note_primary(Some(&primary));
        let task = tokio::task::spawn_local(link::run(Rc::clone(self), primary, true));
        *self.link.borrow_mut() = Some(task.abort_handle());
    }

    /// The failover's handshake has ended: well, or as the reason says.
    pub(super) fn failover_ended(&self, refused: Option<&str>) {
        let event = {
            let mut hub = self.server.replication.hub();
            match refused {
                None => hub.failover.taken_over(),
                Some(reason) => hub.failover.abort(reason).map(|(event, line)| {
                    write_log([line]);
                    event
                }),
            }
        };
        if let Some(event) = event {
            self.server.replication.order(Order::Failover(Some(event)));
        }
    }

    /// Whether the link that is being made is FAILOVER's.
    pub(super) fn is_failing_over(&self) -> bool {
        self.server.replication.hub().failover.is_on()
    }
}

/// FAILOVER begins: writes rest until it ends. The world is stopped.
pub(crate) fn pause_for_failover(server: &Server) {
    let now_ms = unix_ms();
    let until_ms = now_ms.saturating_add(FAILOVER_PAUSE_MS);
    server.pause.start(Cause::Failover, until_ms, false, now_ms);
}

fn answer(done: Option<oneshot::Sender<()>>) {
    if let Some(done) = done {
        // Who waited may be gone.
        let _ = done.send(());
    }
}
