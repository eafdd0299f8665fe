//! The handle of a running emulator: where it is, what it has done, how to hurt it, how to end it.
//!
//! Both emulators share this. The server and its connections watch one `Control`; the handle
//! changes it. Nothing here blocks a thread, and nothing outlives the handle by more than the
//! moment a task needs to see that it has gone.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::clock::later;
use crate::lock;
use crate::stats::{Counters, Stats};

/// How long [`Handle::stop`] waits for the connections before it ends them by force.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// How often [`Handle::wait_for`] looks. The counters are bumped for every frame, too often to be
/// told each time.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A way to fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Closes every connection now, in the middle of a line or an event where the client listens.
    CutAll,
    /// Accepts the next connections, this many, and closes them at once; 0 ends that.
    RefuseNext(u64),
    /// Keeps connections open and accepts new ones, but neither reads nor sends (`true`), as a host
    /// that hangs; or goes on where it stood (`false`).
    Silence(bool),
    /// Answers the next request with an HTTP status (one below 100 or over 999 counts as 500) and,
    /// where given, `Retry-After` in seconds. Said twice, it holds for two requests. IRC has no use
    /// for it.
    AnswerNext {
        /// The status.
        status: u16,
        /// Seconds for `Retry-After`.
        retry_after: Option<u32>,
    },
    /// Sends this many lines that are not the protocol, some not UTF-8, to every client that
    /// listens now; where none does, to the next one that comes. At most [`MAX_GARBAGE`] at a time.
    GarbageNext(u64),
}

/// The most connections an emulator has at a time; further ones are closed at once. A test server
/// needs no more, and memory stays bounded.
pub const MAX_CONNECTIONS: usize = 1024;
/// The most garbage one [`Fault::GarbageNext`] makes: what a client's queue holds.
pub const MAX_GARBAGE: u64 = 1000;

/// A running emulator. Dropping it ends the emulator too, without waiting.
pub struct Handle {
    addr: SocketAddr,
    shared: Arc<Shared>,
    garbage: Box<dyn Fn(u64) + Send + Sync>,
    server: Option<JoinHandle<()>>,
}

impl Handle {
    pub(crate) fn new(
        addr: SocketAddr,
        shared: Arc<Shared>,
        garbage: impl Fn(u64) + Send + Sync + 'static,
        server: JoinHandle<()>,
    ) -> Self {
        Self { addr, shared, garbage: Box::new(garbage), server: Some(server) }
    }

    /// Returns the address the emulator listens on, with the port it really got.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns the counters as they are now.
    pub fn stats(&self) -> Stats {
        self.shared.counters.look()
    }

    /// Makes the emulator fail. Returns at once; connections see it when they are next scheduled.
    pub fn fault(&self, fault: Fault) {
        tracing::debug!(?fault, "fault asked for");
        match fault {
            Fault::CutAll => self.shared.control.send_modify(|control| control.cuts += 1),
            Fault::Silence(is_silent) => self.shared.control.send_modify(|control| control.is_silent = is_silent),
            Fault::RefuseNext(num) => lock(&self.shared.armed).refuse = num,
            Fault::AnswerNext { status, retry_after } => {
                lock(&self.shared.armed).answers.push_back(Answer { status, retry_after });
            }
            Fault::GarbageNext(num) => (self.garbage)(num.min(MAX_GARBAGE)),
        }
    }

    /// Waits until the counters are as `what` asks, at most `within`. Returns whether they got
    /// there.
    pub async fn wait_for(&self, what: impl Fn(&Stats) -> bool, within: Duration) -> bool {
        let deadline = later(Instant::now(), within);
        loop {
            if what(&self.stats()) {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Ends the emulator and waits until its port is closed and its connections are gone, at most
    /// some 5 seconds; what is left then is ended by force.
    pub async fn stop(mut self) {
        self.shared.stop();
        if let Some(mut server) = self.server.take()
            && timeout(STOP_WITHIN, &mut server).await.is_err()
        {
            server.abort();
            tracing::warn!(addr = %self.addr, "emulator did not stop in time and was aborted");
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Handle").field("addr", &self.addr).finish_non_exhaustive()
    }
}

/// What the parts of one emulator share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) counters: Counters,
    control: watch::Sender<Control>,
    armed: Mutex<Armed>,
}

/// What every connection watches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Control {
    /// Rises with each cut: a connection ends when it differs from what it began with.
    pub(crate) cuts: u64,
    pub(crate) is_silent: bool,
    pub(crate) is_stopping: bool,
}

/// An HTTP answer to give instead of the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<u32>,
}

/// Faults that wait for the next connection or request.
#[derive(Debug, Default)]
struct Armed {
    refuse: u64,
    answers: VecDeque<Answer>,
}

impl Shared {
    pub(crate) fn new() -> Arc<Self> {
        let (control, _) = watch::channel(Control::default());
        Arc::new(Self { counters: Counters::default(), control, armed: Mutex::default() })
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Control> {
        self.control.subscribe()
    }

    /// Completes when the emulator is to end.
    pub(crate) async fn stopped(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.watch().wait_for(|control| control.is_stopping).await;
    }

    /// Whether the connection just accepted is to be closed: by a fault, or because there are
    /// `num_open` already.
    pub(crate) fn refuses(&self, num_open: usize) -> bool {
        let mut armed = lock(&self.armed);
        let refuses = armed.refuse > 0 || num_open >= MAX_CONNECTIONS;
        armed.refuse = armed.refuse.saturating_sub(1);
        drop(armed);
        if refuses {
            Counters::add(&self.counters.refused, 1);
        }
        refuses
    }

    /// The answer armed for this request, if any.
    pub(crate) fn answer(&self) -> Option<Answer> {
        lock(&self.armed).answers.pop_front()
    }

    fn stop(&self) {
        self.control.send_modify(|control| control.is_stopping = true);
    }
}
