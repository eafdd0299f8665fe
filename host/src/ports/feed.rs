//! The one outside feed of a connector: frames that arrive whether or not anyone reads.

use crate::error::Result;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Where to listen.
#[derive(Debug, Clone)]
pub struct IrcSettings {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// With TLS from the first byte.
    pub tls: bool,
    /// A PEM file of certificates to trust instead of the system's.
    pub tls_ca: Option<PathBuf>,
    /// Channels to join, with `#`.
    pub channels: Vec<String>,
    /// Nick; random digits are appended.
    pub nick: String,
    /// Only what this nick says is a frame; none: everything.
    pub sender: Option<String>,
}

impl IrcSettings {
    /// `host:port`.
    pub fn endpoint(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// Where to read events.
#[derive(Debug, Clone)]
pub struct SseSettings {
    /// `http` or `https` URL.
    pub url: String,
    /// Whom to contact about this client; Wikimedia refuses clients that do not say.
    pub user_agent: String,
    /// A PEM file of certificates to trust instead of the system's.
    pub tls_ca: Option<PathBuf>,
}

impl SseSettings {
    /// The address without user, password and query, which may hold a secret.
    pub fn endpoint(&self) -> String {
        let plain = self.url.split(['?', '#']).next().unwrap_or_default();
        let Some((scheme, rest)) = plain.split_once("://") else { return plain.to_owned() };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let host = authority.rsplit('@').next().unwrap_or_default();
        format!("{scheme}://{host}{path}")
    }
}

/// What is done with a frame for which there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// Drop it and count it; the connection is read on.
    Drop,
    /// Stop reading the connection until there is room.
    Block,
}

/// A feed's protocol and address.
#[derive(Debug, Clone)]
pub enum FeedAddress {
    /// IRC channels.
    Irc(IrcSettings),
    /// A stream of server-sent events.
    Sse(SseSettings),
}

/// A feed as configured.
#[derive(Debug, Clone)]
pub struct FeedSettings {
    /// Where from.
    pub address: FeedAddress,
    /// When the buffer is full.
    pub overflow: Overflow,
    /// Bytes the buffer holds at most, those not yet committed included.
    pub buffer_bytes: usize,
}

impl FeedSettings {
    /// 64 MiB: some 150,000 edits, an hour of Wikipedia's feed.
    pub const BUFFER_BYTES: usize = 64 << 20;
}

/// A run of frames in column shape, see `wit/host/feed.wit`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frames {
    /// All frames' bytes, one after another.
    pub data: Vec<u8>,
    /// Bytes of each frame.
    pub lens: Vec<u32>,
    /// When each was received, milliseconds since 1970 UTC.
    pub received_ms: Vec<i64>,
    /// Distinct origins in this run.
    pub origin_names: Vec<String>,
    /// Index of each frame's origin in `origin_names`.
    pub origins: Vec<u32>,
    /// The resume token after the last frame.
    pub resume: Option<String>,
}

/// Where the connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedState {
    /// Not started.
    Idle,
    /// Dialling, or waiting to dial again; why, if there was a failure.
    Connecting(Option<String>),
    /// Registered and reading.
    Connected,
    /// Closed for good.
    Closed,
}

/// What a feed says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedStatus {
    /// Where the connection is.
    pub state: FeedState,
    /// What is wrong although it is connected: a channel that does not exist.
    pub note: Option<String>,
    /// The address, without credentials.
    pub endpoint: String,
    /// Frames received, those dropped included.
    pub received: u64,
    /// Frames dropped because the buffer was full.
    pub overflowed: u64,
    /// Frames waiting in the buffer.
    pub buffered: usize,
    /// Connections made after the first.
    pub reconnects: u64,
}

/// The connection, its buffer, and what was read of it since the last commit.
///
/// It belongs to the connector and outlives instances: frames given since the last [`Feed::commit`]
/// are kept, and [`Feed::rewind`] gives them again to whoever reads next.
pub trait Feed: Send + Sync {
    /// `irc` or `sse`.
    fn protocol(&self) -> &'static str;

    /// Begins to connect and read after `resume`. Idempotent.
    ///
    /// # Errors
    /// Class Bug for a token the protocol cannot carry.
    fn start(&self, resume: Option<&str>) -> Result<()>;

    /// Takes the next frames, waiting up to `wait` for the first. `Ok(None)` when closed and empty.
    ///
    /// # Errors
    /// Class Bug when it was not started.
    fn read(&self, max_frames: usize, max_bytes: usize, wait: Duration) -> Result<Option<Frames>>;

    /// All frames given so far are safe; forgets them.
    fn commit(&self);

    /// Gives again what was read since the last commit; returns how many frames that are.
    fn rewind(&self) -> usize;

    /// A feed of its own that gives the latest committed frames once and is closed then: to try a plugin on them.
    /// None: it keeps none.
    fn rehearsal(&self) -> Option<Arc<dyn Feed>> {
        None
    }

    /// What it says of itself.
    fn status(&self) -> FeedStatus;

    /// Closes the connection for good and wakes a waiting reader. Idempotent.
    fn close(&self);
}
