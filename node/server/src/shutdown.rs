//! How the process ends: SHUTDOWN, SIGTERM and SIGINT all come here.
//!
//! A primary does not go before its replicas have all it has acknowledged, or `shutdown-timeout`
//! is over. Writes rest meanwhile, and SHUTDOWN ABORT goes back to work.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use hexad_replication::ReplicaState;
use tokio::sync::Notify;

use crate::pause::Cause;
use crate::replication::Standing;
use crate::server::Server;
use crate::worker::unix_ms;

/// How often the replicas' acknowledgements are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A request to end the process, waited for by the main thread.
#[derive(Debug, Default)]
pub(crate) struct Shutdown {
    requested: Notify,
    /// The request said NOW: replicas are not waited for.
    now: AtomicBool,
    /// Replicas are waited for.
    waiting: AtomicBool,
    aborted: Notify,
}

impl Shutdown {
    /// Asks the main thread to end the process; `now`: without waiting for replicas.
    pub(crate) fn request(&self, now: bool) {
        self.now.store(now, Relaxed);
        self.requested.notify_one();
        if now {
            // A second request ends the wait of the first.
            self.aborted.notify_waiters();
        }
    }

    /// Waits for [`Shutdown::request`].
    pub(crate) async fn requested(&self) {
        self.requested.notified().await;
    }

    /// The answer to SHUTDOWN, which comes only if it was aborted.
    pub(crate) fn outcome(&'static self) -> impl Future<Output = Vec<u8>> + Send + 'static {
        let aborted = self.aborted.notified();
        async move {
            aborted.await;
            b"-ERR Errors trying to SHUTDOWN. Check logs.\r\n".to_vec()
        }
    }

    /// SHUTDOWN ABORT; false if there is nothing to abort.
    pub(crate) fn abort(&self) -> bool {
        let waiting = self.waiting.swap(false, Relaxed);
        if waiting {
            tracing::info!("Shutdown manually aborted.");
            self.aborted.notify_waiters();
        }
        waiting
    }
}

/// Waits until the replicas have all that was written. False: the shutdown was aborted.
pub(crate) async fn wait_for_replicas(server: &'static Server) -> bool {
    let shutdown = &server.shutdown;
    let limit = Duration::from_secs(server.config.load().replication.shutdown_timeout_s);
    if shutdown.now.load(Relaxed) || limit.is_zero() || lagging(server).is_empty() {
        return true;
    }
    tracing::info!("Waiting for replicas before shutting down.");
    shutdown.waiting.store(true, Relaxed);
    let now_ms = unix_ms();
    let until_ms = now_ms.saturating_add(limit.as_millis() as i64);
    while server.gates.try_stop().map(|world| {
        let pause = &server.pause;
        pause.start(Cause::Shutdown, until_ms, false, now_ms);
        drop(world);
    }) != Some(())
    {
        tokio::time::sleep(crate::gate::RETRY).await;
    }
    let caught_up = async {
        while !lagging(server).is_empty() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        () = caught_up => {}
        () = tokio::time::sleep(limit) => {}
        () = shutdown.aborted.notified() => {}
    }
    let goes_on = shutdown.waiting.swap(false, Relaxed);
    if !goes_on && !shutdown.now.load(Relaxed) {
        server.pause.end(Cause::Shutdown);
        return false;
    }
    let lagging = lagging(server);
    for line in &lagging {
        tracing::info!("{line}");
    }
    let all = server.replication.hub().len();
    tracing::info!(
        "{} of {all} replicas are in sync when shutting down.",
        all - lagging.len().min(all)
    );
    true
}

/// The replicas that do not have all of the stream, as log lines.
fn lagging(server: &Server) -> Vec<String> {
    let replication = &server.replication;
    if replication.standing().contains(Standing::REPLICA) {
        return Vec::new();
    }
    let (end, now) = (replication.stream().offset(), replication.now());
    let hub = replication.hub();
    hub.replicas()
        .filter(|(_, ack)| ack.state == ReplicaState::Online && ack.offset < end)
        .map(|(replica, ack)| {
            format!(
                "Lagging replica {} reported offset {} behind master, lag={}, state={}.",
                replica.name(),
                end - ack.offset,
                ack.lag(now),
                ack.state.as_str()
            )
        })
        .collect()
}
