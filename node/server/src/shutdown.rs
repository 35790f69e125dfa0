//! How the process ends: SHUTDOWN, SIGTERM and SIGINT all come here.

use tokio::sync::Notify;

/// A request to end the process, waited for by the main thread.
#[derive(Debug, Default)]
pub(crate) struct Shutdown {
    requested: Notify,
}

impl Shutdown {
    /// Asks the main thread to end the process.
    pub(crate) fn request(&self) {
        self.requested.notify_one();
    }

    /// Waits for [`Shutdown::request`].
    pub(crate) async fn requested(&self) {
        self.requested.notified().await;
    }
}
