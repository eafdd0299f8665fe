//! Server-sent events over HTTP, resumed by event id.
//!
//! Wikimedia's EventStreams cuts every connection after 15 minutes: a stream that ends is normal
//! life and is opened again at once. An event that is unfinished then is discarded by the standard,
//! and comes again after the resume.

use super::Shared;
use super::backoff::Backoff;
use super::buffer::Frame;
use crate::error::{Error, OrError, Result, innermost};
use crate::ports::feed::{FeedState, SseSettings};
use crate::record::now_ms;
use bytes::Bytes;
use eventsource_stream::Eventsource;
use futures_util::StreamExt;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// An event may be this long; recentchange events are 1 to 3 KiB.
const MAX_EVENT_BYTES: usize = 4 << 20;
const DIAL_TIMEOUT: Duration = Duration::from_secs(15);
/// Servers send keep-alives; a stream silent for this long is dead.
const READ_TIMEOUT: Duration = Duration::from_secs(120);
const GOOD_SESSION: Duration = Duration::from_secs(30);
/// A server may ask us to wait, but not for ever.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(15 * 60);

/// Why a session ended, and how long the server wants to be left alone.
struct Ended {
    error: Option<Error>,
    wait: Option<Duration>,
}

/// Connects again and again until the feed is closed.
pub(super) async fn run(settings: &SseSettings, shared: &Shared, resume: Option<String>) {
    let client = match client(settings) {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(%error, "SSE feed cannot start");
            return shared.set_state(FeedState::Connecting(Some(error.to_string())));
        }
    };
    let endpoint = settings.endpoint();
    let mut last_id = resume;
    let mut backoff = Backoff::default();
    while !shared.closed.is_cancelled() {
        shared.set_state(FeedState::Connecting(None));
        let began = Instant::now();
        let ended = tokio::select! {
            ended = session(settings, shared, &client, &mut last_id) => ended,
            () = shared.closed.cancelled() => break,
        };
        if ended.error.is_none() || began.elapsed() >= GOOD_SESSION {
            backoff.reset();
        }
        let wait = ended.wait.unwrap_or_else(|| backoff.next_wait());
        let retry_ms = u64::try_from(wait.as_millis()).unwrap_or(0);
        match &ended.error {
            Some(error) => tracing::warn!(endpoint, %error, retry_ms, "SSE feed lost"),
            None => tracing::debug!(endpoint, retry_ms, "SSE stream ended, resuming"),
        }
        shared.set_state(FeedState::Connecting(ended.error.map(|error| error.to_string())));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shared.closed.cancelled() => {}
        }
    }
}

fn client(settings: &SseSettings) -> Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .user_agent(&settings.user_agent)
        .connect_timeout(DIAL_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .redirect(reqwest::redirect::Policy::limited(3));
    if let Some(path) = &settings.tls_ca {
        let attempt = format!("option `sse.tls.ca.file`: `{}`", path.display());
        let pem = std::fs::read(path).or_config(&attempt)?;
        builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(&pem).or_config(&attempt)?);
    }
    builder.build().or_config("option `sse.user.agent` or the TLS settings")
}

async fn session(
    settings: &SseSettings,
    shared: &Shared,
    client: &reqwest::Client,
    last_id: &mut Option<String>,
) -> Ended {
    let mut retry = None;
    let error = match request(settings, client, last_id.as_deref()).await {
        Ok(Ok(response)) => {
            shared.connected();
            tracing::info!(endpoint = settings.endpoint(), resumed = last_id.is_some(), "SSE feed connected");
            read_events(shared, response, last_id, &mut retry).await.err()
        }
        Ok(Err((error, wait))) => {
            retry = wait;
            Some(error)
        }
        Err(error) => Some(error),
    };
    Ended { error, wait: retry }
}

/// The open stream, or the server's refusal with the wait it asks for.
async fn request(
    settings: &SseSettings,
    client: &reqwest::Client,
    last_id: Option<&str>,
) -> Result<Result<reqwest::Response, (Error, Option<Duration>)>> {
    let endpoint = settings.endpoint();
    let attempt = format!("opening `{endpoint}`");
    let mut request =
        client.get(&settings.url).header("Accept", "text/event-stream").header("Cache-Control", "no-store");
    if let Some(id) = last_id {
        request = request.header("Last-Event-ID", id);
    }
    let response = request
        .send()
        .await
        .map_err(|error| Error::retry(format!("{attempt}: {}", innermost(&error, error.is_timeout()))))?;
    let status = response.status();
    let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or("none").to_owned();
    if status.is_success() && kind.starts_with("text/event-stream") {
        return Ok(Ok(response));
    }
    let after = response.headers().get("retry-after").and_then(|after| after.to_str().ok()?.parse::<u64>().ok());
    let wait = after.map(|seconds| Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER));
    let mut error = Error::retry(format!(
        "{attempt}: found status {status} and content type `{kind}`, expected 200 and `text/event-stream`"
    ));
    if status.as_u16() == 403 {
        error = error.with_hint("Wikimedia wants a User-Agent that names a contact: set `sse.user.agent`");
    }
    Ok(Err((error, wait)))
}

async fn read_events(
    shared: &Shared,
    response: reqwest::Response,
    last_id: &mut Option<String>,
    retry: &mut Option<Duration>,
) -> Result<()> {
    // Bytes since the last whole event: the parser itself would buffer without end.
    let pending = AtomicUsize::new(0);
    let bounded = response.bytes_stream().map(|chunk: reqwest::Result<Bytes>| {
        let chunk = chunk
            .map_err(|error| Error::retry(format!("reading events: {}", innermost(&error, error.is_timeout()))))?;
        if pending.fetch_add(chunk.len(), Ordering::Relaxed) > MAX_EVENT_BYTES {
            return Err(Error::retry(format!("reading events: one of more than {MAX_EVENT_BYTES} bytes")));
        }
        Ok(chunk)
    });
    let mut events = Box::pin(bounded.eventsource());
    let mut origins: HashMap<String, Arc<str>> = HashMap::new();
    while let Some(event) = events.next().await {
        let event = event.or_retry("event stream")?;
        pending.store(0, Ordering::Relaxed);
        if event.retry.is_some() {
            *retry = event.retry.map(|wait| wait.min(LONGEST_RETRY_AFTER));
        }
        let origin = match origins.get(&event.event) {
            Some(origin) => Arc::clone(origin),
            None => {
                let origin: Arc<str> = Arc::from(event.event.as_str());
                // Event types are few; a server that invents them does not fill our memory.
                if origins.len() < 64 {
                    origins.insert(event.event, Arc::clone(&origin));
                }
                origin
            }
        };
        if !event.id.is_empty() {
            *last_id = Some(event.id);
        }
        let resume = last_id.as_deref().map(Arc::from);
        shared.take(Frame { data: Bytes::from(event.data), origin, resume, received_ms: now_ms() }).await;
    }
    Ok(())
}
