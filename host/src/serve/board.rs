//! The page that shows a pipeline, and its numbers. Read-only, for this machine: a browser that was led here
//! under another name is refused.

use super::access;
use super::edits::EditCounter;
use crate::ingest::{BatchState, Catalog};
use crate::record::now_ms;
use crate::worker::{TaskState, TaskStatus, Watch};
use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use std::sync::Arc;

const PAGE: &str = include_str!("dashboard.html");
/// The page is one file; nothing from elsewhere is loaded or asked.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
/// Tasks of an indexing service that are shown.
const TASKS: usize = 12;

/// A connector on the page.
pub struct Hop {
    /// Connector name.
    pub name: String,
    /// `source`, `spool-sink`, `spool-source` or `ingest`.
    pub kind: &'static str,
    /// Where its records come from.
    pub from: String,
    /// Where they go.
    pub to: String,
}

/// What the page shows.
pub struct Board {
    /// Connectors in the order in which records flow.
    pub hops: Vec<Hop>,
    /// Their tasks.
    pub watch: Watch,
    /// The first ingestion: its data source, and its batches.
    pub ingest: Option<(String, Arc<Catalog>)>,
    /// Counts of edits.
    pub edits: Option<Arc<EditCounter>>,
    /// When the host began, milliseconds since 1970 UTC.
    pub started_ms: i64,
}

/// Answers for the page.
pub fn board(board: Board) -> Router {
    Router::new()
        .route("/", get(root))
        .route("/v1/pipeline", get(pipeline))
        .layer(axum::middleware::from_fn(access::check_host))
        .with_state(Arc::new(board))
}

/// The page for browsers, what the host is for programs.
async fn root(headers: HeaderMap) -> Response {
    let is_browser =
        headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|accept| accept.contains("text/html"));
    if !is_browser {
        let info = json!({ "version": env!("CARGO_PKG_VERSION"), "commit": "unknown", "kafka_cluster_id": null });
        return ([(CONTENT_TYPE, "application/json")], info.to_string()).into_response();
    }
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, PAGE).into_response()
}

async fn pipeline(State(board): State<Arc<Board>>) -> Response {
    let now = now_ms();
    let statuses = board.watch.statuses();
    let hops = board.hops.iter().map(|hop| shown(hop, &statuses));
    let shown = json!({
        "now_ms": now, "started_ms": board.started_ms, "version": env!("CARGO_PKG_VERSION"),
        "hops": Value::from_iter(hops),
        "ingest": board.ingest.as_ref().map(|(data_source, catalog)| shown_ingest(data_source, catalog)),
        "edits": board.edits.as_ref().map(|edits| edits.shown(now)),
    });
    ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], shown.to_string()).into_response()
}

/// A connector, its tasks taken together.
fn shown(hop: &Hop, statuses: &[TaskStatus]) -> Value {
    let of_it: Vec<&TaskStatus> = statuses.iter().filter(|status| status.name == hop.name).collect();
    let sum = |count: &dyn Fn(&TaskStatus) -> u64| of_it.iter().map(|status| count(status)).sum::<u64>();
    let lags: Vec<u64> = of_it.iter().filter_map(|status| status.counts.backlog).collect();
    let trouble = of_it.iter().find_map(|status| status.counts.trouble.clone());
    let trace = of_it.iter().find_map(|status| status.state.trace().map(str::to_owned));
    let feed = of_it.iter().find_map(|status| status.feed.as_ref()).map(|feed| feed.endpoint.clone());
    let swaps = of_it.iter().flat_map(|status| &status.counts.swaps);
    let swaps = swaps.map(|(at_ms, what)| json!({ "at_ms": at_ms, "what": what }));
    let tasks = of_it.iter().map(|status| json!({ "id": status.task, "state": status.state.name() }));
    json!({
        "name": hop.name, "kind": hop.kind, "from": hop.from, "to": hop.to,
        "plugin": of_it.first().map(|status| &status.plugin),
        "state": state(&of_it), "tasks": Value::from_iter(tasks),
        "records": sum(&|status| status.counts.records), "bytes": sum(&|status| status.counts.bytes),
        "rejected": sum(&|status| status.counts.rejected), "skipped": sum(&|status| status.counts.skips.values().sum()),
        "lag": (!lags.is_empty()).then(|| lags.iter().sum::<u64>()),
        "trouble": trouble, "trace": trace, "feed": feed, "swaps": Value::from_iter(swaps),
    })
}

/// The state that needs most to be seen.
fn state(of_it: &[&TaskStatus]) -> &'static str {
    let weight = |state: &TaskState| match state {
        TaskState::Stopped => 0,
        TaskState::Unassigned => 1,
        TaskState::Running => 2,
        TaskState::Restarting(_) => 3,
        TaskState::Failed(_) => 4,
    };
    of_it.iter().map(|status| &status.state).max_by_key(|state| weight(state)).map_or("UNASSIGNED", TaskState::name)
}

fn shown_ingest(data_source: &str, catalog: &Catalog) -> Value {
    let batches = catalog.batches();
    let count = |states: &[BatchState]| batches.iter().filter(|batch| states.contains(&batch.state)).count();
    let stored = batches.iter().filter(|batch| matches!(batch.state, BatchState::Ingested | BatchState::Retired));
    let stored: u64 = stored.map(|batch| batch.facts.records).sum();
    let tasks = catalog.tasks().into_iter().take(TASKS).map(|(id, task)| {
        json!({
            "id": id, "mode": task.mode, "stage": task.stage, "rows": task.rows, "stored": task.stored,
            "recorded_ms": task.recorded_ms, "ended_ms": task.ended_ms, "error": task.error,
        })
    });
    json!({
        "data_source": data_source,
        "batches": {
            "known": batches.len(), "waiting": count(&[BatchState::Waiting, BatchState::Taken]),
            "ingested": count(&[BatchState::Ingested]), "retired": count(&[BatchState::Retired]),
        },
        "rows": { "served": catalog.rows_served(), "ingested": stored },
        "tasks": Value::from_iter(tasks),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::{Server, ServerSettings};
    use crate::worker::Worker;
    use std::io::{Read, Write};
    use std::net::TcpStream;

    fn get(server: &Server, path: &str, host: &str, accept: &str) -> String {
        let mut stream = TcpStream::connect(server.addr()).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn browsers_get_the_page_and_programs_numbers_by_this_machines_own_names_only() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let worker = Worker::start(Vec::new()).unwrap();
        let hop = Hop { name: "wiki".to_owned(), kind: "source", from: "feed".to_owned(), to: "topic".to_owned() };
        let shown = Board { hops: vec![hop], watch: worker.watch(), ingest: None, edits: None, started_ms: 7 };
        let listen = "127.0.0.1:0".parse().unwrap();
        let server = Server::start(runtime.handle(), &ServerSettings::plain(listen), board(shown)).unwrap();

        let page = get(&server, "/", "127.0.0.1:8083", "text/html,*/*");
        assert!(page.contains("200 OK") && page.contains("default-src 'none'") && page.ends_with(PAGE), "{page}");
        let info = get(&server, "/", "localhost:8083", "*/*");
        assert!(info.contains(&format!("\"version\":\"{}\"", env!("CARGO_PKG_VERSION"))), "{info}");
        let numbers = get(&server, "/v1/pipeline", "[::1]:8083", "*/*");
        let (_, body) = numbers.split_once("\r\n\r\n").unwrap();
        let numbers: Value = serde_json::from_str(body).unwrap();
        assert_eq!((&numbers["started_ms"], &numbers["ingest"]), (&json!(7), &Value::Null));
        assert_eq!((&numbers["hops"][0]["name"], &numbers["hops"][0]["state"]), (&json!("wiki"), &json!("UNASSIGNED")));
        for elsewhere in ["elsewhere.example", "localhost.elsewhere.example:8083", ""] {
            let refused = get(&server, "/v1/pipeline", elsewhere, "*/*");
            assert!(refused.starts_with("HTTP/1.1 421"), "{elsewhere}: {refused}");
        }
    }
}
