//! The handle of a running Qumulo emulator.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::api::Server;
use super::faults::QumuloFault;
use super::log::{QumuloRequest, QumuloStats};
use crate::clock::later;

/// How long [`QumuloHandle::stop`] waits before it ends what is left by force.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// How often [`QumuloHandle::wait_for`] looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A running emulator. Dropping it ends the emulator too, without waiting.
pub struct QumuloHandle {
    pub(super) addr: SocketAddr,
    pub(super) certificate_pem: Option<String>,
    pub(super) server: Arc<Server>,
    pub(super) task: Option<JoinHandle<()>>,
}

impl QumuloHandle {
    /// Returns the address the emulator listens on, with the port it really got.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns the certificate the emulator made for itself, as PEM; `None` for plain HTTP.
    pub fn certificate_pem(&self) -> Option<&str> {
        self.certificate_pem.as_deref()
    }

    /// Returns the name of the one user.
    pub fn user(&self) -> &str {
        self.server.sessions.user()
    }

    /// Returns the user's password: the one that was given, or a random one.
    pub fn password(&self) -> &str {
        self.server.sessions.password()
    }

    /// Returns the counters as they are now.
    pub fn stats(&self) -> QumuloStats {
        self.server.log.look(self.server.watchers.len())
    }

    /// Returns the last 1000 requests, oldest first.
    pub fn requests(&self) -> Vec<QumuloRequest> {
        self.server.log.requests()
    }

    /// Makes the emulator fail. Returns at once. A fault that waits for requests takes the place of
    /// one of its kind.
    pub fn fault(&self, fault: QumuloFault) {
        tracing::debug!(?fault, "fault asked for");
        match fault {
            QumuloFault::ExpireTokens => self.server.sessions.end_all(),
            QumuloFault::DropWatchers => self.server.watchers.drop_all(),
            QumuloFault::DiskFull(is_full) => self.server.store.set_full(is_full),
            QumuloFault::ReadOnly(is_read_only) => self.server.store.set_read_only(is_read_only),
            fault => self.server.faults.arm(fault),
        }
    }

    /// Waits until the counters are as `what` asks, at most `within`. Returns whether they got
    /// there.
    pub async fn wait_for(&self, what: impl Fn(&QumuloStats) -> bool, within: Duration) -> bool {
        let deadline = later(Instant::now(), within);
        while !what(&self.stats()) {
            if Instant::now() >= deadline {
                return false;
            }
            sleep(LOOK_EVERY).await;
        }
        true
    }

    /// Ends the emulator and waits until its port is closed and its connections are gone, at most
    /// some 5 seconds. The folder may be served anew then.
    pub async fn stop(mut self) {
        self.server.is_stopping.send_replace(true);
        if let Some(mut task) = self.task.take()
            && timeout(STOP_WITHIN, &mut task).await.is_err()
        {
            task.abort();
            tracing::warn!(addr = %self.addr, "emulator did not stop in time and was aborted");
        }
        // A tree delete in its last step, or a blocking read, may hold the folder a moment longer.
        let deadline = later(Instant::now(), STOP_WITHIN);
        while Arc::strong_count(&self.server) > 1 || Arc::strong_count(&self.server.store) > 1 {
            if Instant::now() >= deadline {
                return;
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

impl Drop for QumuloHandle {
    fn drop(&mut self) {
        self.server.is_stopping.send_replace(true);
    }
}

impl std::fmt::Debug for QumuloHandle {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("QumuloHandle").field("addr", &self.addr).finish_non_exhaustive()
    }
}
