//! From a request to an answer: whether it may, which call it is, what is to go wrong with it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{Method, Request, Response, StatusCode, Uri};
use futures_util::StreamExt;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;

use super::answer::{Refusal, json_ok, json_with, text_ok};
use super::faults::{Asked, CallPlan, Faults};
use super::log::Log;
use super::schedule::Schedule;
use super::store::Store;
use super::{Options, sql, supervisors, tasks};
use crate::qumulo::decode;

/// The longest body. A spec of section 6's some hundreds of URIs is a hundredth of it.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// How much of an unwanted body is read away, and for how long.
const MAX_DRAIN_BYTES: usize = 64 * 1024 * 1024;
const DRAIN_WITHIN: Duration = Duration::from_secs(10);

/// What all connections and tasks share.
pub(super) struct Server {
    pub(super) addr: SocketAddr,
    pub(super) options: Options,
    pub(super) store: Arc<Store>,
    pub(super) schedule: Schedule,
    pub(super) faults: Faults,
    pub(super) log: Log,
    /// What `Authorization` must be.
    pub(super) login: Option<String>,
    pub(super) is_stopping: watch::Sender<bool>,
}

/// The connection is to end without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the emulator cuts the connection")]
pub(super) struct Cut;

/// Why a call has no answer of its own.
pub(super) enum Failure {
    Refused(Refusal),
    Cut,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// A call as the rooms see it.
pub(super) struct Call {
    pub(super) head: Parts,
    pub(super) plan: CallPlan,
    body: BodyDataStream,
}

impl Server {
    /// Completes when the emulator is to end.
    pub(super) async fn stopped(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.is_stopping.subscribe().wait_for(|is_stopping| *is_stopping).await;
    }

    /// Forgets the tasks that have not ended.
    pub(super) async fn forget(&self) {
        let forgotten = self.store.change(|kept| {
            let active = kept.tasks.values().filter(|task| task.end.is_none());
            let active: Vec<u64> = active.map(|task| task.number).collect();
            kept.tasks.retain(|_, task| task.end.is_some());
            Ok(active)
        });
        // Forgotten first, so that a task which ends meanwhile publishes nothing.
        for number in forgotten.await.unwrap_or_default() {
            self.schedule.leave(number);
        }
    }

    fn allows(&self, head: &Parts) -> bool {
        let Some(login) = &self.login else { return true };
        let given = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (scheme, rest) = given.split_once(' ').unwrap_or_default();
        scheme.eq_ignore_ascii_case("basic") && login.strip_prefix("Basic ") == Some(rest.trim())
    }
}

impl Call {
    /// The body as JSON.
    ///
    /// # Errors
    /// 415 without `application/json`, 413 for too much of it, 400 for what cannot be read.
    pub(super) async fn json(&mut self) -> Result<Value, Failure> {
        let kind = self.head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            return Err(Refusal::text(415, "HTTP 415 Unsupported Media Type").into());
        }
        let mut bytes = Vec::new();
        while let Some(piece) = self.body.next().await {
            let piece = piece.map_err(|_| Failure::Cut)?;
            if bytes.len() + piece.len() > MAX_BODY_BYTES {
                return Err(Refusal::plain(413, format!("expected at most {MAX_BODY_BYTES} bytes")).into());
            }
            bytes.extend_from_slice(&piece);
        }
        let read = serde_json::from_slice(&bytes);
        // The error has a place, not the text: there may be a password in it.
        Ok(read.map_err(|error| Refusal::invalid(format!("the body is not JSON: {error}")))?)
    }

    /// Reads away what is left of the body, so that a client which sends first and reads then gets its
    /// answer.
    async fn drain(&mut self) {
        let drained = async {
            let mut left = MAX_DRAIN_BYTES;
            while let Some(Ok(piece)) = self.body.next().await {
                let Some(rest) = left.checked_sub(piece.len()) else { return };
                left = rest;
            }
        };
        // Too slow, the connection ends with the answer.
        let _ = timeout(DRAIN_WITHIN, drained).await;
    }

    /// A parameter of the query; where it is given twice the first counts.
    pub(super) fn query(&self, key: &str) -> Option<String> {
        let pairs = self.head.uri.query().unwrap_or_default().split('&');
        let mut pairs = pairs.filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.find(|(name, _)| *name == key)?;
        decode(&value.replace('+', "%20"))
    }
}

/// Answers one request.
///
/// # Errors
/// [`Cut`], to end the connection without an answer.
pub(super) async fn answer(server: Arc<Server>, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
    let (head, body) = request.into_parts();
    let seen = server.log.saw(&head.method, &head.uri);
    let segments: Option<Vec<String>> = segments(&head.uri);
    let segments: Option<Vec<&str>> = segments.as_ref().map(|all| all.iter().map(String::as_str).collect());
    let plan = server.faults.plan_call(asked(&head.method, segments.as_deref()));
    if plan.is_any() {
        server.log.faulted();
    }
    if let Some(delay) = plan.delay {
        tokio::time::sleep(delay).await;
    }
    let mut call = Call { head, plan, body: Body::new(body).into_data_stream() };
    let done = async {
        if let Some((status, retry_after)) = call.plan.answer {
            return Err(Refusal::injected(status, retry_after).into());
        }
        let path = segments.as_deref().ok_or_else(|| Refusal::plain(400, "the path is not percent-encoded UTF-8"))?;
        if path != ["status", "health"] && !server.allows(&call.head) {
            return Err(Refusal::unauthorized().into());
        }
        if let Some(to) = &call.plan.redirect {
            let target = call.head.uri.path_and_query().map_or("/", |target| target.as_str());
            return Err(Refusal::redirect(&format!("{}{target}", to.trim_end_matches('/'))).into());
        }
        dispatch(&server, &mut call, path).await
    };
    let response = match done.await {
        Ok(response) if !call.plan.loses_answer => response,
        Ok(_) | Err(Failure::Cut) => {
            server.log.answered(seen, None);
            return Err(Cut);
        }
        Err(Failure::Refused(refusal)) => {
            call.drain().await;
            refusal.into_response()
        }
    };
    server.log.answered(seen, Some(response.status()));
    Ok(response)
}

/// The parts of the path, decoded each by itself.
fn segments(uri: &Uri) -> Option<Vec<String>> {
    let path = uri.path().trim_matches('/');
    path.split('/').map(decode).collect()
}

fn asked(method: &Method, path: Option<&[&str]>) -> Asked {
    match path {
        Some(["druid", "indexer", "v1", "task"]) if method == Method::POST => Asked::Submission,
        Some(["druid", "indexer", "v1", "task", _, "status"]) => Asked::Status,
        Some(["druid", "indexer", "v1", "task", _, "reports"]) => Asked::Report,
        _ => Asked::Other,
    }
}

async fn dispatch(server: &Arc<Server>, call: &mut Call, path: &[&str]) -> Result<Response<Body>, Failure> {
    let method = call.head.method.clone();
    let is_post = match method {
        Method::GET => false,
        Method::POST => true,
        _ => return Err(Refusal::text(405, "HTTP 405 Method Not Allowed").into()),
    };
    Ok(match (is_post, path) {
        (false, ["status", "health"]) => json_ok(&json!(true)),
        (false, ["status"]) => {
            let version = if server.options.legacy { "25.0.0" } else { "33.0.0" };
            json_ok(&json!({ "version": version, "modules": [], "memory": {} }))
        }
        (true, ["druid", "v2", "sql"]) => sql::answer(server, call).await?,
        (false, ["druid", "coordinator", "v1", "datasources", name, "loadstatus"]) => {
            match server.store.look().datasources.contains_key(*name) {
                true => json_ok(&json!({ *name: 100.0 })),
                // As a real Druid says of what it has nothing of.
                false => json_with(StatusCode::NO_CONTENT, &Value::Null),
            }
        }
        (_, ["druid", "indexer", "v1", rest @ ..]) => match (is_post, rest) {
            (true, ["task"]) => tasks::submit(server, call).await?,
            (true, ["taskStatus"]) => tasks::statuses(server, call).await?,
            (false, ["task", id]) => tasks::payload(server, id)?,
            (false, ["task", id, "status"]) => tasks::status(server, call, id)?,
            (false, ["task", id, "reports"]) => tasks::report(server, call, id)?,
            (true, ["task", id, "shutdown"]) => tasks::shutdown(server, id).await?,
            (true, ["datasources", name, "shutdownAllTasks"]) => tasks::shutdown_all(server, name).await?,
            (false, ["tasks"]) => tasks::list(server, call, call.query("state").as_deref())?,
            (false, ["waitingTasks"]) => tasks::list(server, call, Some("waiting"))?,
            (false, ["pendingTasks"]) => tasks::list(server, call, Some("pending"))?,
            (false, ["runningTasks"]) => tasks::list(server, call, Some("running"))?,
            (false, ["completeTasks"]) => tasks::list(server, call, Some("complete"))?,
            (false, ["leader"]) => text_ok(format!("http://{}", server.addr)),
            (false, ["isLeader"]) => json_ok(&json!({ "leader": true })),
            (true, ["supervisor"]) => supervisors::put(server, call).await?,
            (false, ["supervisor"]) => supervisors::list(server),
            (false, ["supervisor", id]) => supervisors::get(server, id)?,
            (false, ["supervisor", id, "status"]) => supervisors::status(server, id)?,
            (true, ["supervisor", id, "suspend"]) => supervisors::suspend(server, id, true).await?,
            (true, ["supervisor", id, "resume"]) => supervisors::suspend(server, id, false).await?,
            (true, ["supervisor", id, "terminate" | "shutdown"]) => supervisors::terminate(server, id).await?,
            _ => return Err(no_call(call)),
        },
        _ => return Err(no_call(call)),
    })
}

fn no_call(call: &Call) -> Failure {
    Refusal::text(404, format!("the emulator has no {} {}", call.head.method, call.head.uri.path())).into()
}
