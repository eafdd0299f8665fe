//! An emulator of Qumulo Core's REST API over a folder of this machine.
//!
//! What a client sees is `qumulo-api.md`: logins and access tokens, files by id and by path, pages,
//! renames that are atomic, data with tags, tree deletes, snapshots, change notification. The files
//! are real ones in [`Options::dir`], and what others put there is served too; ids and everything
//! else that must outlive a restart is in `.qumulo-emulator` inside it, which clients do not see.
//!
//! Not emulated: named streams, ACLs, quotas, locks, user metadata, devices; a call on one of these
//! is 404 like any unknown call. One user, who may everything.
//!
//! - `qumulo/serve.rs` and `tls.rs` are connections, `api.rs` is a request's way through the rest;
//! - `route.rs`, `query.rs` and `call.rs` read requests, `answer.rs` writes answers;
//! - `session.rs` and `tokens.rs` know who is there;
//! - `files.rs`, `data.rs`, `notify.rs`, `snapshots.rs` and `jobs.rs` are the calls;
//! - `store.rs` is the folder, `watchers.rs` who watches it;
//! - `faults.rs` is what goes wrong, `log.rs` and `handle.rs` are for who asks.

mod answer;
mod api;
mod call;
mod data;
mod faults;
mod files;
mod handle;
mod jobs;
mod log;
mod notify;
mod query;
mod route;
mod serve;
mod session;
mod snapshots;
mod store;
#[cfg(test)]
mod tests;
mod tls;
mod tokens;
mod watchers;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::Error;
use api::Server;
pub use faults::{FaultKind, FaultRate, QumuloFault};
pub use handle::QumuloHandle;
pub use log::{QumuloRequest, QumuloStats};
pub(crate) use query::decode;
use session::Sessions;
use store::{Settings, Store};
use watchers::Watchers;

/// What a Qumulo emulator does.
#[derive(Clone)]
pub struct Options {
    /// The folder to serve, made where it is missing. One emulator at a time serves it.
    pub dir: PathBuf,
    /// The user's name. Default `admin`.
    pub user: String,
    /// The user's password; `None` for a random one, which the handle tells. Default `None`.
    pub password: Option<String>,
    /// Whether to speak TLS, as a cluster always does, with a certificate made at the start. Default
    /// yes.
    pub tls: bool,
    /// Faults that happen at a rate. Default none.
    pub faults: Vec<FaultRate>,
    /// Decides when those happen. Default 1.
    pub seed: u64,
    /// How long an event stream is silent before a comment is sent. The vendor's client gives up
    /// after 60 s. Default 10 s.
    pub keep_alive: Duration,
    /// How many batches of events wait for a slow watcher before its stream ends. Default 1024.
    pub watch_queue: usize,
    /// How long a session token lasts. Default 10 h.
    pub token_life: Duration,
    /// Whether everything that writes is refused. Default no.
    pub read_only: bool,
    /// How many bytes all files may have together. Default no bound.
    pub max_bytes: Option<u64>,
    /// Whether changes are on the disk, rather than with the system, before they are answered. Makes
    /// them safe against a power failure, not only against the end of the process; costs a flush of
    /// the disk for each. Default no.
    pub durable: bool,
}

impl Options {
    /// Serves a folder, with the defaults for the rest.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            user: "admin".to_owned(),
            password: None,
            tls: true,
            faults: Vec::new(),
            seed: 1,
            keep_alive: Duration::from_secs(10),
            watch_queue: 1024,
            token_life: Duration::from_secs(10 * 3600),
            read_only: false,
            max_bytes: None,
            durable: false,
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the password.
        let Self { dir, user, tls, .. } = self;
        let mut out = out.debug_struct("Options");
        out.field("dir", dir).field("user", user).field("tls", tls).finish_non_exhaustive()
    }
}

/// Starts a Qumulo emulator on `listener`. Call it within a tokio runtime with I/O and time.
///
/// # Errors
/// [`Error::Folder`] and [`Error::Bookkeeping`] for a folder that cannot be served (another emulator
/// serves it, for one), [`Error::Certificate`], and [`Error::Listener`] when the listener does not
/// know its address.
pub async fn start(listener: TcpListener, options: Options) -> Result<QumuloHandle, Error> {
    let addr = listener.local_addr().map_err(|source| Error::Listener { source })?;
    let (tls, certificate_pem) =
        if options.tls { tls::make().map(|(tls, pem)| (Some(tls), Some(pem)))? } else { (None, None) };
    let watchers = Arc::new(Watchers::default());
    let settings = Settings { max_bytes: options.max_bytes, durable: options.durable, read_only: options.read_only };
    let store = Store::open(&options.dir, &settings, watchers.clone())?;
    let password = options.password.unwrap_or_else(session::random_text);
    let server = Arc::new(Server {
        store: Arc::new(store),
        watchers,
        sessions: Sessions::new(options.user, password, options.token_life),
        faults: faults::Faults::new(options.faults, options.seed),
        jobs: jobs::Jobs::default(),
        log: log::Log::default(),
        // Without a pause the comments would be all there is.
        keep_alive: options.keep_alive.max(Duration::from_millis(1)),
        watch_queue: options.watch_queue,
        is_stopping: watch::Sender::new(false),
    });
    tracing::info!(%addr, "qumulo emulator listens");
    let task = tokio::spawn(serve::accept(listener, tls, server.clone()));
    Ok(QumuloHandle { addr, certificate_pem, server, task: Some(task) })
}
