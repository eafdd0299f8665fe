//! Watching a directory: the stream of its events, and whether whole trees may be watched.
//!
//! Invariants, all for the vendor's client (`qumulo-api.md` section 11): the headers are flushed
//! before the first line, and each line before the next; the content type is exactly
//! [`CONTENT_KIND`]; a batch is one line; lines are of the three kinds there are and no others.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, Response};
use bytes::Bytes;
use futures_util::stream::unfold;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::answer::{Class, Refusal, json_ok};
use super::api::Server;
use super::call::{Call, Cut, Failure};
use super::store::Ref;
use super::watchers::{Seat, Wish};

/// Not the standard's `text/event-stream`: the vendor's client compares it as it stands.
pub(super) const CONTENT_KIND: &str = "text/event-source";
const SETTING: &str = "notify_recursive_mode";
const MODES: [&str; 3] = ["ENABLED", "DISABLED_ERROR", "DISABLED_IGNORE"];

/// `GET .../notify`.
pub(super) async fn watch(server: &Arc<Server>, call: &mut Call, dir: Ref) -> Result<Response<Body>, Failure> {
    let mut is_recursive = call.query.flag("recursive")?;
    let types = Wish::read_types(call.query.get("filter"))?;
    if is_recursive {
        match server.setting(SETTING, "ENABLED").await?.as_str() {
            "DISABLED_ERROR" => {
                return Err(Refusal::new(Class::Privilege, "recursive watching is turned off").into());
            }
            "DISABLED_IGNORE" => is_recursive = false,
            _ => {}
        }
    }
    let found = server.run(move |store| store.locate(&dir)).await?;
    if !found.is_dir() {
        return Err(Refusal::new(Class::NotADirectory, "only directories can be watched").into());
    }
    let wish = Wish { dir: found.id(), is_recursive, types };
    let stream = Stream {
        seat: server.watchers.sit(wish, server.watch_queue),
        has_begun: false,
        is_stopping: server.is_stopping.subscribe(),
        keep_alive: server.keep_alive,
    };
    let body = unfold(stream, |mut stream| async move { stream.next().await.map(|line| (Ok::<_, Cut>(line), stream)) });
    let mut response = Response::new(Body::from_stream(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(CONTENT_KIND));
    Ok(response)
}

struct Stream {
    seat: Seat,
    has_begun: bool,
    is_stopping: watch::Receiver<bool>,
    keep_alive: std::time::Duration,
}

impl Stream {
    async fn next(&mut self) -> Option<Bytes> {
        // HTTP flushes what it has when the body has nothing for it: here the headers, later the
        // line before. Without it they share a TLS record, and the client sees one late.
        tokio::task::yield_now().await;
        if !self.has_begun {
            self.has_begun = true;
            return Some(format!(": watching {}\n", self.seat.number).into());
        }
        tokio::select! {
            biased;
            _ = self.is_stopping.wait_for(|is_stopping| *is_stopping) => None,
            batch = self.seat.next() => {
                batch.map(|events| format!("data: {}\n\n", Value::Array(events)).into())
            }
            () = tokio::time::sleep(self.keep_alive) => Some(Bytes::from_static(b": keepalive\n")),
        }
    }
}

/// `GET|PUT /v1/file-system/settings/notify`.
pub(super) async fn settings(server: &Server, call: &mut Call) -> Result<Response<Body>, Failure> {
    let mode = match call.method {
        Method::GET => server.setting(SETTING, "ENABLED").await?,
        Method::PUT => {
            let fields = call.object().await?;
            let mode = fields.text("recursive_mode")?;
            if !MODES.contains(&mode) {
                return Err(Refusal::new(Class::Decode, "field `recursive_mode` is none that there is").into());
            }
            server.keep_setting(SETTING, mode.to_owned()).await?;
            mode.to_owned()
        }
        _ => return Err(call.no_method()),
    };
    Ok(json_ok(&json!({ "recursive_mode": mode })))
}
