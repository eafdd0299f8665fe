//! The ingestion endpoint: batches of rows to whoever loads them.
//!
//! | path | answer |
//! | --- | --- |
//! | `/` | the rows of all batches that are served, one after the other |
//! | `/batches` | what there is, as JSON |
//! | `/batches/NAME` | the rows of a batch; `NAME.gz`: compressed |
//! | `/health` | whether the data set was read; for anyone |
//!
//! A name gives the same bytes each time it is asked for, from any byte on.

use super::access::{self, Access};
use super::body::{Rows, Turns};
use super::range::Asked;
use crate::error::{Error, ErrorClass};
use crate::ingest::{Batch, BatchState, Catalog, Found, Piece, RowFormat};
use crate::spool::DataSet;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE, RANGE, RETRY_AFTER,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chrono::DateTime;
use serde_json::{Value, json};
use std::sync::Arc;

/// What the endpoint gives out, and to whom.
pub struct Endpoint {
    /// The data set.
    pub set: DataSet,
    /// What rows look like.
    pub format: RowFormat,
    /// Batches.
    pub catalog: Arc<Catalog>,
    /// Who may ask.
    pub access: Access,
}

struct Shared {
    rows: Rows,
    turns: Arc<Turns>,
}

/// Answers for the endpoint.
pub fn endpoint(endpoint: Endpoint) -> Router {
    let Endpoint { set, format, catalog, access } = endpoint;
    let is_open = access.is_open();
    let shared = Arc::new(Shared { rows: Rows { set, format, catalog }, turns: Turns::new() });
    let router = Router::new()
        .route("/", get(all))
        .route("/batches", get(list))
        .route("/batches/{*name}", get(one))
        .layer(axum::middleware::from_fn_with_state(Arc::new(access), access::check))
        .route("/health", get(health))
        .with_state(shared);
    match is_open {
        // Nobody is asked who they are: a page elsewhere must not be able to read it.
        true => router.layer(axum::middleware::from_fn(access::check_host)),
        false => router,
    }
}

type Answer = Result<Response, Refusal>;

/// An answer without what was asked for.
struct Refusal {
    status: StatusCode,
    text: String,
}

impl Refusal {
    fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Refusal { status, text: text.into() }
    }

    fn later(text: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, text)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error.class() {
            ErrorClass::Retry => Self::later(&error.to_string()),
            _ => Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, format!("{}\n", self.text)).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}

impl Shared {
    fn check_filled(&self) -> Result<(), Refusal> {
        match self.rows.catalog.is_filled() {
            true => Ok(()),
            false => Err(Refusal::later("the data set is being read")),
        }
    }
}

async fn health(State(shared): State<Arc<Shared>>) -> Answer {
    shared.check_filled()?;
    Ok("ok\n".into_response())
}

/// All rows that are served: the list is that of this moment, so it has no ranges and no ETag.
async fn all(State(shared): State<Arc<Shared>>, method: Method) -> Answer {
    shared.check_filled()?;
    let served: Vec<Arc<Batch>> = shared.rows.catalog.batches().into_iter().filter(|batch| batch.is_served()).collect();
    let total: u64 = served.iter().map(|batch| batch.facts.bytes).sum();
    let body = match method == Method::HEAD {
        true => Body::empty(),
        false => {
            let parts = served.into_iter().map(|batch| (batch, Piece::whole(false))).collect();
            shared.rows.body(parts, shared.turns.next().await?).await?
        }
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(total));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("none"));
    Ok(response)
}

async fn list(State(shared): State<Arc<Shared>>) -> Answer {
    shared.check_filled()?;
    // The list is made for each who asks: not for all at a time.
    let _turn = shared.turns.next().await?;
    let time = |millis| {
        DateTime::from_timestamp_millis(millis).map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
    };
    let batches = shared.rows.catalog.batches().into_iter().map(|batch| {
        let facts = &batch.facts;
        let interval =
            facts.times.and_then(|(first, last)| Some(format!("{}/{}", time(first)?, time(last.checked_add(1)?)?)));
        json!({
            "name": batch.name, "state": batch.state, "served": batch.is_served(), "records": facts.records,
            "bytes": facts.bytes, "sha256": facts.sha256, "interval": interval, "skipped": facts.skipped,
        })
    });
    let refused = shared.rows.catalog.refused();
    let refused = refused.iter().map(|(name, reason)| json!({ "name": name, "reason": reason }));
    let shown = json!({ "batches": Value::from_iter(batches), "refused": Value::from_iter(refused) });
    Ok(([(CONTENT_TYPE, "application/json")], shown.to_string()).into_response())
}

async fn one(
    State(shared): State<Arc<Shared>>,
    Path(path): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Answer {
    shared.check_filled()?;
    let (name, gzip) = match path.strip_suffix(".gz") {
        Some(name) => (name, true),
        None => (path.as_str(), false),
    };
    let batch = find(&shared.rows.catalog, name)?;
    let etag = format!("\"{}{}\"", batch.facts.sha256, if gzip { "-gz" } else { "" });
    let given = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if given(IF_NONE_MATCH).is_some_and(|tags| tags.split(',').any(|tag| tag.trim() == etag || tag.trim() == "*")) {
        return Ok(with_tag(StatusCode::NOT_MODIFIED.into_response(), &etag));
    }
    let is_same = given(IF_RANGE).is_none_or(|tag| tag == etag);
    let asked = given(RANGE).filter(|_| is_same).map_or(Asked::Whole, Asked::parse);
    let mut turn = shared.turns.next().await?;
    let total = match (gzip, asked) {
        (false, _) => Some(batch.facts.bytes),
        // Where the length is not known yet and nothing is left out, it need not be.
        (true, Asked::Whole | Asked::From(0)) if method != Method::HEAD => batch.gzip_bytes.get().copied(),
        (true, _) => {
            let (total, same) = shared.rows.gzip_bytes(&batch, turn).await?;
            turn = same;
            Some(total)
        }
    };
    let (skip, end) = match total {
        None => (0, u64::MAX),
        Some(total) => match asked.of(total) {
            Some(part) => part,
            None => {
                let text = format!("batch `{}` has {total} bytes", path.escape_debug());
                let mut response = Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, text).into_response();
                insert(&mut response, CONTENT_RANGE, &format!("bytes */{total}"));
                return Ok(with_tag(response, &etag));
            }
        },
    };
    let body = match method == Method::HEAD {
        true => Body::empty(),
        false => {
            let is_inner = total.is_some_and(|total| end < total);
            let piece = Piece { gzip, skip, limit: end - skip, is_inner };
            shared.rows.body(vec![(Arc::clone(&batch), piece)], turn).await?
        }
    };
    let mut response = Response::new(body);
    if let Some(total) = total {
        insert(&mut response, CONTENT_LENGTH, &(end - skip).to_string());
        if asked != Asked::Whole {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            insert(&mut response, CONTENT_RANGE, &format!("bytes {skip}-{}/{total}", end - 1));
        }
    }
    let kind = if gzip { "application/gzip" } else { "application/x-ndjson" };
    insert(&mut response, CONTENT_TYPE, kind);
    insert(&mut response, ACCEPT_RANGES, "bytes");
    insert(&mut response, axum::http::HeaderName::from_static("x-batch-records"), &batch.facts.records.to_string());
    Ok(with_tag(response, &etag))
}

fn find(catalog: &Catalog, name: &str) -> Result<Arc<Batch>, Refusal> {
    let shown = name.escape_debug();
    let (status, text) = match catalog.find(name) {
        Found::Served(batch) => return Ok(batch),
        Found::Unserved(BatchState::Retired) => (StatusCode::GONE, format!("batch `{shown}` is retired")),
        Found::Unserved(_) => (StatusCode::NOT_FOUND, format!("batch `{shown}` is gone from the data set")),
        Found::Refused(reason) => (StatusCode::INTERNAL_SERVER_ERROR, format!("file `{shown}` is no batch: {reason}")),
        Found::Unknown => (StatusCode::NOT_FOUND, format!("no batch is named `{shown}`")),
    };
    Err(Refusal { status, text })
}

fn with_tag(mut response: Response, etag: &str) -> Response {
    insert(&mut response, ETAG, etag);
    response
}

fn insert(response: &mut Response, name: axum::http::HeaderName, value: &str) {
    // Values are digits and digests; one that were none would only be left out.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
