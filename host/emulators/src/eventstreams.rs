//! An emulator of `stream.wikimedia.org`: EventStreams, the recent-changes feed as server-sent
//! events.
//!
//! What a client sees is `wikipedia-feeds.md` section 4: `/v2/stream/recentchange` without end, ids
//! that name a time, resumption by `Last-Event-ID` inclusive of that millisecond (so at least
//! once), canary events, a cut every 15 minutes. What it refuses: a missing `User-Agent` (403),
//! streams it does not have (404), ids and times it cannot read (400), too many readers (429).
//!
//! - `eventstreams/request.rs` reads what a client asks for and says no;
//! - `eventstreams/history.rs` keeps the events and where each reader is;
//! - `eventstreams/body.rs` is one stream of one client;
//! - `eventstreams/socket.rs` ends and silences connections that HTTP would keep.

mod body;
mod history;
mod request;
mod socket;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Path, RawQuery, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::clock::later;
use crate::edits::Generator;
use crate::feed::{Source, drive};
use crate::handle::Shared;
use crate::lines::Lines;
use crate::pace::Pace;
use crate::stats::Counters;
use crate::{Error, Handle};
use history::{Draft, History};
use request::{Refusal, Wanted};
use socket::{Doors, Line};

/// What an EventStreams emulator does. The default is the real service's behaviour at the rate of
/// the real feed.
#[derive(Debug, Clone)]
pub struct Options {
    /// Events a second, 0 to [`MAX_RATE`](crate::MAX_RATE). With 0 the slowest reader sets the pace
    /// and none loses an event. Default 30.
    pub rate: f64,
    /// Decides the invented edits, the same as over IRC. Default 1.
    pub seed: u64,
    /// Stops producing after so many events, canaries not counted; connections stay open. Default
    /// none.
    pub limit: Option<u64>,
    /// Sends these events, once, instead of invented ones. Ids are made anew. Default none.
    pub lines: Option<Lines>,
    /// Starts over at the end of [`lines`](Self::lines). Default no.
    pub repeat: bool,
    /// Puts a canary event after so many invented events; 0 for never. Default 500.
    pub canary_every: u64,
    /// How many events are kept for clients that come back; an event has some 1.3 kB. Default
    /// 100,000.
    pub history: usize,
    /// How long a stream, or a connection that asks for none, lasts before it is cut. Default 15
    /// min.
    pub cut_after: Duration,
    /// How long a stream is silent before a comment is sent. Default 15 s.
    pub keep_alive: Duration,
    /// Whether a request must have a `User-Agent`. Default yes.
    pub require_user_agent: bool,
    /// With so many streams open, further requests get 429. Default none.
    pub max_clients: Option<u64>,
    /// What `Retry-After` says with that 429, in whole seconds. Default 5 s.
    pub retry_after: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rate: 30.0,
            seed: 1,
            limit: None,
            lines: None,
            repeat: false,
            canary_every: 500,
            history: 100_000,
            cut_after: Duration::from_secs(15 * 60),
            keep_alive: Duration::from_secs(15),
            require_user_agent: true,
            max_clients: None,
            retry_after: Duration::from_secs(5),
        }
    }
}

#[derive(Debug)]
struct Server {
    options: Options,
    history: Arc<History>,
    shared: Arc<Shared>,
}

/// Starts an EventStreams emulator on `listener`. Call it within a tokio runtime with I/O and time.
///
/// # Errors
/// [`Error::Rate`], [`Error::Line`] and [`Error::Empty`] for options that cannot be served,
/// [`Error::Listener`] when the listener does not know its address.
pub async fn start(listener: TcpListener, options: Options) -> Result<Handle, Error> {
    let addr = listener.local_addr().map_err(|source| Error::Listener { source })?;
    let pace = Pace::try_new(options.rate)?;
    let source = source(&options)?;
    let shared = Shared::new();
    let history = Arc::new(History::new(options.history, pace.is_free(), options.seed, shared.clone()));
    let server = Arc::new(Server { options, history, shared: shared.clone() });
    let routes = Router::new()
        .route("/v2/stream/{names}", get(stream))
        .fallback(async |uri: Uri| Refusal::NotFound { what: "path", name: uri.path().to_owned() })
        .with_state(server.clone())
        .into_make_service_with_connect_info::<Line>();
    let garbage = {
        let history = server.history.clone();
        move |num| history.garbage(num)
    };
    tracing::info!(%addr, "eventstreams emulator listens");
    let task = tokio::spawn(async move {
        let stopped = {
            let shared = server.shared.clone();
            async move { shared.stopped().await }
        };
        let doors = Doors::new(listener, server.shared.clone(), server.options.cut_after);
        let serve = axum::serve(doors, routes).with_graceful_shutdown(stopped);
        let produce = async {
            tokio::select! {
                () = drive(source, pace, server.history.as_ref()) => {}
                () = server.shared.stopped() => {}
            }
        };
        let (served, ()) = tokio::join!(async { serve.await }, produce);
        if let Err(error) = served {
            tracing::warn!(%error, "eventstreams emulator ended early");
        }
    });
    Ok(Handle::new(addr, shared, garbage, task))
}

async fn stream(
    State(server): State<Arc<Server>>,
    ConnectInfo(line): ConnectInfo<Line>,
    Path(names): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let counters = &server.shared.counters;
    let refuse = |refusal| {
        Counters::add(&counters.refused, 1);
        refusal
    };
    if let Some(answer) = server.shared.answer() {
        return Err(refuse(Refusal::Armed(answer)));
    }
    let wanted = Wanted::read(&names, query.as_deref(), &headers, counters, server.options.require_user_agent);
    let wanted = wanted.map_err(refuse)?;
    if server.options.max_clients.is_some_and(|most| counters.clients_now.load(Ordering::Relaxed) >= most) {
        return Err(refuse(Refusal::TooMany { retry_after: server.options.retry_after.as_secs() }));
    }
    line.end_at(later(Instant::now(), server.options.cut_after));
    let reader = server.history.read_from(wanted.from);
    Ok(body::respond(reader, wanted.form, server.options.keep_alive, &server.shared))
}

/// The events to send.
fn source(options: &Options) -> Result<Source<Draft>, Error> {
    let limit = usize::try_from(options.limit.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    let Some(lines) = &options.lines else {
        let every = options.canary_every;
        let edits = Generator::new(options.seed).take(limit);
        let with_canaries = (1_u64..).zip(edits).flat_map(move |(number, edit)| {
            let canary = (every > 0 && number.is_multiple_of(every)).then_some(Draft::Canary(number));
            std::iter::once(Draft::Edit(Box::new(edit))).chain(canary)
        });
        return Ok(Box::new(with_canaries));
    };
    let events = lines.events()?.into_iter().map(Draft::Recorded).collect::<Vec<_>>().into_iter();
    Ok(match options.repeat {
        true => Box::new(events.cycle().take(limit)),
        false => Box::new(events.take(limit)),
    })
}
