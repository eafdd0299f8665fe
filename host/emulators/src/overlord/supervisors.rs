//! The calls on supervisors. A spec is kept and shown; nothing is consumed.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Response;
use serde_json::{Value, json};

use super::answer::{Refusal, json_ok};
use super::api::{Call, Failure, Server};
use super::spec::datasource;
use crate::clock::{iso_ms, now_ms};

/// The most supervisors.
const MAX_SUPERVISORS: usize = 1000;

/// `POST /druid/indexer/v1/supervisor`: creates or replaces the one of the data source.
///
/// # Errors
/// 400 for what is no Kafka supervisor, 415.
pub(super) async fn put(server: &Server, call: &mut Call) -> Result<Response<Body>, Failure> {
    let spec = call.json().await?;
    match spec.get("type").and_then(Value::as_str) {
        Some("kafka") => {}
        Some(other) => {
            return Err(Refusal::invalid(format!("Could not resolve type id '{other}' as a supervisor")).into());
        }
        None => return Err(Refusal::invalid("missing type id property 'type'").into()),
    }
    // Older specs have no `spec` around it.
    let inner = spec.get("spec").unwrap_or(&spec);
    let data = inner.get("dataSchema").ok_or_else(|| Refusal::invalid("missing required field 'dataSchema'"))?;
    let id = datasource(data)?;
    if inner.pointer("/ioConfig/topic").and_then(Value::as_str).is_none_or(str::is_empty) {
        return Err(Refusal::invalid("ioConfig needs a topic").into());
    }
    let answer = json_ok(&json!({ "id": id }));
    server
        .store
        .change(move |kept| {
            if kept.supervisors.len() >= MAX_SUPERVISORS && !kept.supervisors.contains_key(&id) {
                return Err(Refusal::invalid(format!("the emulator keeps at most {MAX_SUPERVISORS} supervisors")));
            }
            kept.supervisors.insert(id, Arc::new(spec));
            Ok(())
        })
        .await?;
    Ok(answer)
}

/// `GET /druid/indexer/v1/supervisor`: their ids.
pub(super) fn list(server: &Server) -> Response<Body> {
    json_ok(&server.store.look().supervisors.keys().cloned().collect())
}

/// `GET /druid/indexer/v1/supervisor/{id}`: its spec.
///
/// # Errors
/// 404.
pub(super) fn get(server: &Server, id: &str) -> Result<Response<Body>, Refusal> {
    Ok(json_ok(find(server, id)?.as_ref()))
}

/// `GET /druid/indexer/v1/supervisor/{id}/status`.
///
/// # Errors
/// 404.
pub(super) fn status(server: &Server, id: &str) -> Result<Response<Body>, Refusal> {
    let spec = find(server, id)?;
    let is_suspended = spec.get("suspended").and_then(Value::as_bool).unwrap_or(false);
    let state = if is_suspended { "SUSPENDED" } else { "RUNNING" };
    Ok(json_ok(&json!({
        "id": id, "generationTime": iso_ms(now_ms()),
        "payload": {
            "dataSource": id, "state": state, "detailedState": state, "healthy": true,
            "suspended": is_suspended, "activeTasks": [], "publishingTasks": [], "recentErrors": [],
        },
    })))
}

/// `POST …/suspend` and `…/resume`. Answers with the spec as it is then.
///
/// # Errors
/// 404.
pub(super) async fn suspend(server: &Server, id: &str, is_suspended: bool) -> Result<Response<Body>, Refusal> {
    let id = id.to_owned();
    let changed = server.store.change(move |kept| {
        let spec = kept.supervisors.get_mut(&id).ok_or_else(|| unknown(&id))?;
        if let Value::Object(fields) = Arc::make_mut(spec) {
            fields.insert("suspended".to_owned(), is_suspended.into());
        }
        Ok(spec.clone())
    });
    Ok(json_ok(changed.await?.as_ref()))
}

/// `POST …/terminate`.
///
/// # Errors
/// 404.
pub(super) async fn terminate(server: &Server, id: &str) -> Result<Response<Body>, Refusal> {
    let gone = id.to_owned();
    let removed = server.store.change(move |kept| kept.supervisors.remove(&gone).ok_or_else(|| unknown(&gone)));
    removed.await?;
    Ok(json_ok(&json!({ "id": id })))
}

fn find(server: &Server, id: &str) -> Result<Arc<Value>, Refusal> {
    server.store.look().supervisors.get(id).cloned().ok_or_else(|| unknown(id))
}

fn unknown(id: &str) -> Refusal {
    Refusal::plain(404, format!("[{id}] does not exist"))
}
