//! An emulator of a Druid Overlord, with as much of a Router, Broker and Coordinator on the same port
//! as a client of batch ingestion asks for.
//!
//! What a client sees is what Druid documents and does: tasks taken and refused in Druid's words, run in order
//! within slots and locks, their status and reports, and counts by SQL. What an ingestion endpoint
//! sees is Druid's HTTP input source: one GET for each URI, always with a range, tried again at the
//! byte reached. Rows are read and counted, not kept: memory does not grow with them.
//!
//! Not emulated: `https` sources, rollup, sub-tasks (the task reads all URIs itself), priorities,
//! SQL-based ingestion, and what a Kafka supervisor would do; its spec is only kept.
//!
//! - `overlord/serve.rs` is connections, `api.rs` a request's way through the rest, `answer.rs` what
//!   is said;
//! - `tasks.rs`, `supervisors.rs` and `sql.rs` are the calls;
//! - `spec.rs`, `input.rs`, `schema.rs` and `time.rs` read a task;
//! - `schedule.rs` says when a task runs, `run.rs` runs it, `fetch.rs` gets the bytes, `client.rs` is one
//!   request of it, `unpack.rs` and `rows.rs` read them, `report.rs` counts;
//! - `store.rs` and `segments.rs` are what is kept;
//! - `faults.rs` is what goes wrong, `log.rs` and `handle.rs` are for who asks.

mod answer;
mod api;
mod client;
mod faults;
mod fetch;
mod handle;
mod input;
mod log;
mod report;
mod rows;
mod run;
mod schedule;
mod schema;
mod segments;
mod serve;
mod spec;
mod sql;
mod store;
mod supervisors;
mod tasks;
#[cfg(test)]
mod tests;
mod time;
mod unpack;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::Error;
use api::Server;
pub use faults::{FaultKind, FaultRate, OverlordFault};
pub use handle::OverlordHandle;
pub use log::{OverlordFetch, OverlordRequest, OverlordStats};

/// What an Overlord emulator does. The default is a current Druid without authentication that keeps
/// nothing on disk.
#[derive(Clone)]
pub struct Options {
    /// User and password that every call but `/status/health` must bring, as HTTP Basic. Default
    /// none.
    pub login: Option<(String, String)>,
    /// Whether to be a Druid of version 25 or older, which reads `firehose` specs too. Default no.
    pub legacy: bool,
    /// How many tasks run at a time; 0 counts as 1. Default 2.
    pub slots: usize,
    /// How many tasks that have not ended there may be; further ones get 429. Default 1000.
    pub max_queue: usize,
    /// Names that `requestHeaders` may have, in small letters. Default none, as Druid's.
    pub allowed_headers: Vec<String>,
    /// What `{"type":"environment"}` passwords are looked up in, before the environment of the
    /// process. Default nothing.
    pub environment: BTreeMap<String, String>,
    /// The wait before the first repetition of a fetch; doubles each time, to 60 s at most. Default
    /// 1 s, as Druid's.
    pub retry_base: Duration,
    /// How often a URI is asked for in all, 0 counting as 1. Default 10, as Druid's.
    pub max_tries: u32,
    /// How long a server may be silent while it is connected to or read from, before that counts as
    /// an error; Druid has no such bound. Default 10 min.
    pub fetch_timeout: Duration,
    /// Whether a body that ends before its `Content-Length` counts as whole, as a real Druid 33 (Java
    /// 17) takes it, `tests/systems/tests/druid/source.rs`. Default no: such a body is an error and
    /// asked for again.
    pub trust_short_bodies: bool,
    /// A folder to keep tasks and segments in, made where it is missing. One emulator at a time has
    /// it. Default none.
    pub data_dir: Option<PathBuf>,
    /// Faults that happen at a rate. Default none.
    pub faults: Vec<FaultRate>,
    /// Decides when those happen. Default 1.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            login: None,
            legacy: false,
            slots: 2,
            max_queue: 1000,
            allowed_headers: Vec::new(),
            environment: BTreeMap::new(),
            retry_base: Duration::from_secs(1),
            max_tries: 10,
            fetch_timeout: Duration::from_secs(600),
            trust_short_bodies: false,
            data_dir: None,
            faults: Vec::new(),
            seed: 1,
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the password and the environment.
        let Self { legacy, slots, data_dir, .. } = self;
        let user = self.login.as_ref().map(|(user, _)| user);
        let mut out = out.debug_struct("Options");
        out.field("user", &user).field("legacy", legacy).field("slots", slots).field("data_dir", data_dir);
        out.finish_non_exhaustive()
    }
}

/// Starts an Overlord emulator on `listener`. Call it within a tokio runtime with I/O and time.
///
/// # Errors
/// [`Error::Folder`] and [`Error::State`] for a data folder that cannot be used (another emulator has
/// it, for one), and [`Error::Listener`] when the listener does not know its address.
pub async fn start(listener: TcpListener, options: Options) -> Result<OverlordHandle, Error> {
    let addr = listener.local_addr().map_err(|source| Error::Listener { source })?;
    let data_dir = options.data_dir.clone();
    let opened = tokio::task::spawn_blocking(move || store::Store::open(data_dir.as_deref()));
    let store = opened.await.unwrap_or_else(|_| {
        let path = options.data_dir.clone().unwrap_or_default();
        Err(Error::State { path, reason: "the runtime is ending".to_owned() })
    })?;
    let server = Arc::new(Server {
        addr,
        store: Arc::new(store),
        schedule: schedule::Schedule::default(),
        faults: faults::Faults::new(options.faults.clone(), options.seed),
        log: log::Log::default(),
        login: options.login.as_ref().map(|(user, password)| client::basic(user, password)),
        options,
        is_stopping: watch::Sender::new(false),
    });
    tracing::info!(%addr, "overlord emulator listens");
    let serving = serve::accept(listener, server.clone());
    let running = schedule::run(server.clone());
    let task = tokio::spawn(async move {
        tokio::join!(serving, running);
    });
    Ok(OverlordHandle { addr, server, task: Some(task) })
}
