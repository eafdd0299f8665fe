//! The handle of a running Overlord emulator.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::api::Server;
use super::faults::OverlordFault;
use super::log::{OverlordFetch, OverlordRequest, OverlordStats};
use super::schedule::Phase;
use crate::clock::later;

/// How long [`OverlordHandle::stop`] waits before it ends what is left by force.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// How often [`OverlordHandle::wait_for`] looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A running emulator. Dropping it ends the emulator too, without waiting.
pub struct OverlordHandle {
    pub(super) addr: SocketAddr,
    pub(super) server: Arc<Server>,
    pub(super) task: Option<JoinHandle<()>>,
}

impl OverlordHandle {
    /// Returns the address the emulator listens on, with the port it really got.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns the address as clients are configured with it: `http://127.0.0.1:8090`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Returns the counters, tasks and rows as they are now.
    pub fn stats(&self) -> OverlordStats {
        let mut stats = self.server.log.look();
        let kept = self.server.store.look();
        let phases = self.server.schedule.phases();
        for task in kept.tasks.values() {
            let counter = match &task.end {
                Some(end) if end.is_success => &mut stats.succeeded,
                Some(_) => &mut stats.failed,
                None => match phases.get(&task.number) {
                    Some(Phase::Running) => &mut stats.running,
                    Some(Phase::Pending) => &mut stats.pending,
                    Some(Phase::Waiting) | None => &mut stats.waiting,
                },
            };
            *counter += 1;
        }
        for (name, segments) in &kept.datasources {
            stats.rows.insert(name.clone(), segments.iter().map(|segment| segment.rows.num).sum());
            stats.segments.insert(name.clone(), segments.len() as u64);
        }
        stats
    }

    /// Returns the last 1000 requests that came, oldest first.
    pub fn requests(&self) -> Vec<OverlordRequest> {
        self.server.log.requests()
    }

    /// Returns the last 1000 requests that tasks made for rows, oldest first.
    pub fn fetches(&self) -> Vec<OverlordFetch> {
        self.server.log.last_fetches()
    }

    /// Makes the emulator fail. Returns when that holds. A fault that waits takes the place of one of
    /// its kind.
    pub async fn fault(&self, fault: OverlordFault) {
        tracing::debug!(?fault, "fault asked for");
        match fault {
            OverlordFault::Release => self.server.faults.release(),
            OverlordFault::ForgetTasks => self.server.forget().await,
            fault => self.server.faults.arm(fault),
        }
    }

    /// Waits until the emulator is as `what` asks, at most `within`. Returns whether it got there.
    pub async fn wait_for(&self, what: impl Fn(&OverlordStats) -> bool, within: Duration) -> bool {
        let deadline = later(Instant::now(), within);
        while !what(&self.stats()) {
            if Instant::now() >= deadline {
                return false;
            }
            sleep(LOOK_EVERY).await;
        }
        true
    }

    /// Ends the emulator and waits until its port is closed and its connections and tasks are gone, at
    /// most some 5 seconds. The data folder may be used anew then.
    pub async fn stop(mut self) {
        self.server.is_stopping.send_replace(true);
        if let Some(mut task) = self.task.take()
            && timeout(STOP_WITHIN, &mut task).await.is_err()
        {
            task.abort();
            tracing::warn!(addr = %self.addr, "emulator did not stop in time and was aborted");
        }
        // A change that is being written may hold the folder a moment longer.
        let deadline = later(Instant::now(), STOP_WITHIN);
        while Arc::strong_count(&self.server) > 1 || Arc::strong_count(&self.server.store) > 1 {
            if Instant::now() >= deadline {
                return;
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

impl Drop for OverlordHandle {
    fn drop(&mut self) {
        self.server.is_stopping.send_replace(true);
    }
}

impl std::fmt::Debug for OverlordHandle {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("OverlordHandle").field("addr", &self.addr).finish_non_exhaustive()
    }
}
