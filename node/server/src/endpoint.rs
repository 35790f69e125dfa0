//! The TCP endpoint while the process runs: CONFIG SET may move it to other addresses or a port.
//!
//! The main thread owns the listening sockets. A worker that executes CONFIG SET asks it to move
//! and waits for the outcome; the main thread never waits for a worker.

use std::sync::mpsc::{SyncSender, sync_channel};

use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use crate::config::{BindAddress, Settings};
use crate::listener::{self, Listener};
use crate::server::Server;

/// Where to listen.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    bind: Vec<BindAddress>,
    port: u16,
    backlog: i32,
}

impl Address {
    /// What a configuration says.
    pub(crate) fn of(settings: &Settings) -> Self {
        Self {
            bind: settings.bind.clone(),
            port: settings.port,
            backlog: settings.tcp_backlog,
        }
    }

    /// Opens the sockets; none for port 0.
    fn open(&self) -> Result<Vec<Listener>, String> {
        if self.port == 0 {
            return Ok(Vec::new());
        }
        let sockets = listener::bind_tcp(&self.bind, self.port, self.backlog)?;
        Ok(sockets.into_iter().map(Listener::Tcp).collect())
    }
}

/// A wish to move, and where to tell whether it worked.
type Move = (Address, SyncSender<bool>);

/// The workers' side.
#[derive(Debug)]
pub(crate) struct Mover {
    sender: UnboundedSender<Move>,
    receiver: Mutex<Option<UnboundedReceiver<Move>>>,
}

impl Default for Mover {
    fn default() -> Self {
        let (sender, receiver) = unbounded_channel();
        Self {
            sender,
            receiver: Mutex::new(Some(receiver)),
        }
    }
}

impl Mover {
    /// Moves the endpoint; returns whether that was possible. If not, the old one is kept.
    pub(crate) fn move_to(&self, address: Address) -> bool {
        let (sender, answer) = sync_channel(1);
        self.sender.send((address, sender)).is_ok() && answer.recv().unwrap_or(false)
    }
}

/// Accepts clients at `address`, already opened as `listeners`, and moves when asked to.
pub(crate) async fn serve(mut address: Address, listeners: Vec<Listener>, server: &'static Server) {
    let Some(mut moves) = server.mover.receiver.lock().take() else {
        return;
    };
    let mut tasks = start(listeners, server);
    while let Some((wanted, answer)) = moves.recv().await {
        // The old sockets go first: the new addresses may overlap with the old ones.
        for task in tasks.drain(..) {
            task.abort();
            // Its end is what closes the socket; that it was cancelled is no news.
            let _ = task.await;
        }
        let opened = wanted.open();
        // Whoever asked may have given up; the move stands all the same.
        let _ = answer.send(opened.is_ok());
        tasks = match opened {
            Ok(listeners) => {
                address = wanted;
                start(listeners, server)
            }
            Err(text) => {
                tracing::warn!("{text}");
                start(address.open().unwrap_or_default(), server)
            }
        };
    }
}

fn start(listeners: Vec<Listener>, server: &'static Server) -> Vec<JoinHandle<()>> {
    listeners
        .into_iter()
        .map(|listener| tokio::spawn(accept(listener, server)))
        .collect()
}

/// Accepts clients from one socket.
pub(crate) async fn accept(listener: Listener, server: &'static Server) {
    if let Err(error) = listener::accept(listener, server).await {
        tracing::error!("A listening socket is lost: {error}");
    }
}
