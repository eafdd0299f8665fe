//! From a request to an answer: which call it is, whether it may, what is to go wrong with it, and
//! what happened, for whoever asks.
//!
//! Everything that touches the folder runs on blocking threads, so a slow disk holds up no other
//! connection.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, Request, Response, StatusCode};
use futures_util::StreamExt;
use futures_util::stream::unfold;
use hyper::body::{Body as _, Incoming};
use serde_json::json;
use tokio::sync::watch;

use super::answer::{Class, Refusal, json_ok};
use super::call::{Call, Cut, Failure};
use super::faults::Faults;
use super::jobs::Jobs;
use super::log::Log;
use super::query::Query;
use super::route::{Part, Route};
use super::session::{Sessions, bearer};
use super::store::Store;
use super::watchers::Watchers;
use super::{data, files, jobs, notify, snapshots, tokens};

/// What all connections share.
pub(super) struct Server {
    pub(super) store: Arc<Store>,
    pub(super) watchers: Arc<Watchers>,
    pub(super) sessions: Sessions,
    pub(super) faults: Faults,
    pub(super) jobs: Jobs,
    pub(super) log: Log,
    pub(super) keep_alive: Duration,
    pub(super) watch_queue: usize,
    pub(super) is_stopping: watch::Sender<bool>,
}

impl Server {
    /// Completes when the emulator is to end.
    pub(super) async fn stopped(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.is_stopping.subscribe().wait_for(|is_stopping| *is_stopping).await;
    }

    /// A setting that was kept, or the default.
    pub(super) async fn setting(&self, key: &'static str, default: &'static str) -> Result<String, Refusal> {
        self.run(move |store| store.setting(key, default)).await
    }

    pub(super) async fn keep_setting(&self, key: &'static str, value: String) -> Result<(), Refusal> {
        self.run(move |store| store.keep_setting(key, &value)).await
    }

    /// Runs something that blocks.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        what: impl FnOnce(&Arc<Store>) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let store = self.store.clone();
        let done = tokio::task::spawn_blocking(move || what(&store)).await;
        done.unwrap_or_else(|_| Err(Refusal::new(Class::Internal, "the emulator is ending")))
    }
}

/// Answers one request.
///
/// # Errors
/// [`Cut`], to end the connection without an answer.
pub(super) async fn answer(server: Arc<Server>, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
    let (parts, body) = request.into_parts();
    let (path, query) = (parts.uri.path().to_owned(), parts.uri.query().map(str::to_owned));
    let seen = server.log.saw(&parts.method, &path, query.as_deref());
    let route = Route::parse(&path);
    let plan = route.as_ref().map(|route| server.faults.plan(&parts.method, route)).unwrap_or_default();
    if plan.is_any() {
        server.log.faulted();
    }
    if plan.drops_watchers {
        server.watchers.drop_all();
    }
    if let Some(delay) = plan.delay {
        tokio::time::sleep(delay).await;
    }
    let mut call = Call::new(parts.method, Query::default(), &parts.headers, plan, Body::new(body));
    let done = async {
        if let Some((status, retry_after)) = call.plan.answer {
            return Err(Refusal::injected(status, retry_after).into());
        }
        if !route.as_ref().is_ok_and(Route::is_public) {
            check_token(&server, bearer(&parts.headers)).await?;
        }
        let route = route?;
        call.query = Query::parse(query.as_deref())?;
        if call.plan.is_full {
            return Err(Refusal::no_space().into());
        }
        dispatch(&server, &mut call, route).await
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
    Ok(if call.plan.cuts_answer { cut(response) } else { response })
}

async fn check_token(server: &Server, token: Option<&str>) -> Result<(), Refusal> {
    let refuse = || Refusal::new(Class::NotSignedIn, "no token, or not a good one");
    let token = token.ok_or_else(refuse)?;
    if server.sessions.knows(token) {
        return Ok(());
    }
    let token = token.to_owned();
    match server.run(move |store| tokens::is_valid(store, &token)).await? {
        true => Ok(()),
        false => Err(refuse()),
    }
}

async fn dispatch(server: &Arc<Server>, call: &mut Call, route: Route) -> Result<Response<Body>, Failure> {
    let method = call.method.clone();
    match (route, method) {
        (Route::Version, Method::GET) => Ok(json_ok(&json!({
            "revision_id": "Qumulo Core 7.10.2.1", "build_id": "emulator", "flavor": "release",
            "build_date": "2026-01-01T00:00:00Z",
        }))),
        (Route::NodeState, Method::GET) => Ok(json_ok(&json!({
            "node_id": 1, "state": "ACTIVE", "cluster_id": "b9a3c7e2-5d41-4f0e-8c66-2f1d7a90e453",
        }))),
        (Route::Login, Method::POST) => {
            let response = server.sessions.login(call).await?;
            server.log.logged_in();
            Ok(response)
        }
        (Route::WhoAmI, Method::GET) => Ok(server.sessions.who_am_i()),
        (Route::Roles, Method::GET) => Ok(json_ok(&json!(["Administrators"]))),
        (Route::Tokens, _) => tokens::tokens(server, call).await,
        (Route::Token(id), _) => tokens::token(server, call, &id).await,
        (Route::FileSystem, Method::GET) => files::space(server).await,
        (Route::AtimeSettings, _) => files::atime(server, call).await,
        (Route::NotifySettings, _) => notify::settings(server, call).await,
        (Route::Resolve, Method::POST) => files::resolve(server, call).await,
        (Route::Snapshots(version), _) => snapshots::all(server, call, version).await,
        (Route::Snapshot(version, id), _) => snapshots::one(server, call, version, id).await,
        (Route::SnapshotStatuses, Method::GET) => snapshots::statuses(server, call).await,
        (Route::SnapshotStatus(id), Method::GET) => snapshots::status(server, id).await,
        (Route::SnapshotDiff { newer, older }, Method::GET) => snapshots::changes(server, call, newer, older).await,
        (Route::Jobs, _) => jobs::all(server, call).await,
        (Route::Job(id), _) => jobs::one(server, call, id),
        (Route::JobRestart(id), Method::POST) => jobs::restart(server, id),
        (Route::File(file, part), method) => match (part, method) {
            (Part::Whole, Method::DELETE) => files::delete(server, file).await,
            (Part::Attributes, _) => files::attributes(server, call, file).await,
            (Part::Entries, Method::GET) => files::list(server, call, file).await,
            (Part::Entries, Method::POST) => files::make(server, call, file).await,
            (Part::Entry(name), Method::DELETE) => files::delete_entry(server, file, name).await,
            (Part::Data, Method::GET) => data::get(server, call, file).await,
            (Part::Data, Method::PUT | Method::PATCH) => data::write(server, call, file).await,
            (Part::CopyChunk, Method::POST) => data::copy(server, call, file).await,
            (Part::PunchHole, Method::POST) => data::punch(server, call, file).await,
            (Part::Notify, Method::GET) => notify::watch(server, call, file).await,
            (Part::Aggregates, Method::GET) => files::aggregates(server, call, file).await,
            (Part::RecursiveAggregates, Method::GET) => files::recursive_aggregates(server, call, file).await,
            (Part::DeleteTree, Method::POST) => jobs::start(server, file).await,
            _ => Err(call.no_method()),
        },
        _ => Err(call.no_method()),
    }
}

/// The same answer, whose connection ends in the middle of its body.
fn cut(response: Response<Body>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    let size = body.size_hint().exact().or_else(|| parts.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok());
    if let Some(size) = size {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(size.max(1)));
    }
    let left = size.map_or(usize::MAX, |size| usize::try_from(size / 2).unwrap_or(usize::MAX));
    let is_stream = parts.headers.get(CONTENT_TYPE).is_some_and(|kind| kind == notify::CONTENT_KIND);
    // Of a stream that has no end, the first line only.
    let state = (body.into_data_stream(), left, false);
    let torn = unfold(state, move |(mut pieces, left, is_over)| async move {
        if is_over || left == 0 {
            // HTTP flushes when the body has nothing, so the first half is out before the end.
            tokio::task::yield_now().await;
            return Some((Err(Cut), (pieces, 0, true)));
        }
        let mut piece = match pieces.next().await {
            Some(Ok(piece)) => piece,
            _ => return Some((Err(Cut), (pieces, 0, true))),
        };
        piece.truncate(left);
        let left = left - piece.len();
        Some((Ok(piece), (pieces, left, is_stream)))
    });
    Response::from_parts(parts, Body::from_stream(torn))
}

/// 202 without a body.
pub(super) fn accepted() -> Response<Body> {
    super::answer::empty(StatusCode::ACCEPTED)
}
