//! Feeds: connections that stay open, and the bounded buffer between them and whoever reads.
//!
//! - IRC cannot be resumed and its server drops what a slow client does not read, so the socket is
//!   never blocked: when the buffer is full the newest frame is dropped and counted.
//! - SSE resumes by event id, so nothing needs to be dropped: when the buffer is full the
//!   connection is not read until there is room.
//!
//! `feed.overflow` changes either.

mod backoff;
mod buffer;
mod irc;
mod sse;

use crate::error::{Error, Result};
use crate::ports::feed::{Feed, FeedAddress, FeedSettings, FeedState, FeedStatus, Frames, Overflow};
use buffer::Buffer;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// What a connection task and its reader share.
struct Shared {
    buffer: Buffer,
    overflow: Overflow,
    status: Mutex<(FeedState, Option<String>)>,
    connects: std::sync::atomic::AtomicU64,
    closed: CancellationToken,
}

impl Shared {
    fn new(buffer: Buffer, overflow: Overflow) -> Self {
        let status = Mutex::new((FeedState::Idle, None));
        let (connects, closed) = (std::sync::atomic::AtomicU64::new(0), CancellationToken::new());
        Shared { buffer, overflow, status, connects, closed }
    }

    fn set_state(&self, state: FeedState) {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).0 = state;
    }

    /// What people should know about the connection although it works; none takes it back.
    fn set_note(&self, note: Option<String>) {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).1 = note;
    }

    fn connected(&self) {
        self.connects.fetch_add(1, Ordering::Relaxed);
        self.set_state(FeedState::Connected);
    }

    /// Takes a frame in, or waits, or drops it, as the policy says.
    async fn take(&self, frame: buffer::Frame) {
        match self.overflow {
            Overflow::Drop => self.buffer.push_or_drop(frame),
            Overflow::Block => {
                tokio::select! {
                    () = self.buffer.push(frame) => {}
                    () = self.closed.cancelled() => {}
                }
            }
        }
    }
}

/// A feed that connects when it is started.
pub struct OpenFeed {
    settings: FeedSettings,
    shared: Arc<Shared>,
    runtime: Handle,
    started: AtomicBool,
}

impl OpenFeed {
    /// A feed whose connection will run on `runtime`.
    pub fn new(settings: FeedSettings, runtime: Handle) -> Self {
        let shared = Arc::new(Shared::new(Buffer::new(settings.buffer_bytes), settings.overflow));
        OpenFeed { settings, shared, runtime, started: AtomicBool::new(false) }
    }
}

impl Feed for OpenFeed {
    fn protocol(&self) -> &'static str {
        match self.settings.address {
            FeedAddress::Irc(_) => "irc",
            FeedAddress::Sse(_) => "sse",
        }
    }

    fn start(&self, resume: Option<&str>) -> Result<()> {
        if let Some(token) = resume.filter(|token| token.chars().any(char::is_control)) {
            let length = token.len();
            return Err(Error::bug(format!(
                "resume token of {length} bytes holds a control character, expected one line of text"
            )));
        }
        if self.started.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let (shared, resume) = (Arc::clone(&self.shared), resume.map(str::to_owned));
        match self.settings.address.clone() {
            FeedAddress::Irc(settings) => self.runtime.spawn(async move { irc::run(&settings, &shared).await }),
            FeedAddress::Sse(settings) => self.runtime.spawn(async move { sse::run(&settings, &shared, resume).await }),
        };
        Ok(())
    }

    fn read(&self, max_frames: usize, max_bytes: usize, wait: Duration) -> Result<Option<Frames>> {
        if !self.started.load(Ordering::SeqCst) {
            return Err(Error::bug("the feed was read before it was started"));
        }
        Ok(self.shared.buffer.read(max_frames, max_bytes, wait))
    }

    fn commit(&self) {
        self.shared.buffer.commit();
    }

    fn rewind(&self) -> usize {
        self.shared.buffer.rewind()
    }

    fn rehearsal(&self) -> Option<Arc<dyn Feed>> {
        let shared = Shared::new(self.shared.buffer.rehearsal(), self.shared.overflow);
        let (settings, runtime) = (self.settings.clone(), self.runtime.clone());
        // As if it were started: it never connects.
        Some(Arc::new(OpenFeed { settings, shared: Arc::new(shared), runtime, started: AtomicBool::new(true) }))
    }

    fn status(&self) -> FeedStatus {
        let (state, note) = self.shared.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let counts = self.shared.buffer.counts();
        FeedStatus {
            state,
            note,
            endpoint: match &self.settings.address {
                FeedAddress::Irc(irc) => irc.endpoint(),
                FeedAddress::Sse(sse) => sse.endpoint(),
            },
            received: counts.received,
            overflowed: counts.overflowed,
            buffered: counts.waiting,
            reconnects: self.shared.connects.load(Ordering::Relaxed).saturating_sub(1),
        }
    }

    fn close(&self) {
        self.shared.closed.cancel();
        self.shared.buffer.close();
        self.shared.set_state(FeedState::Closed);
    }
}

impl Drop for OpenFeed {
    fn drop(&mut self) {
        self.close();
    }
}
