//! The calls on tasks.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Response;
use serde_json::{Value, json};

use super::answer::{Refusal, json_ok};
use super::api::{Call, Failure, Server};
use super::schedule::Phase;
use super::spec::Job;
use super::store::{End, Record};
use crate::clock::iso_ms;

/// The most ids in a question after statuses.
const MAX_IDS: usize = 10_000;

/// `POST /druid/indexer/v1/task`.
///
/// # Errors
/// 400 for what is no task or has a known id, 415, 429.
pub(super) async fn submit(server: &Arc<Server>, call: &mut Call) -> Result<Response<Body>, Failure> {
    let task = call.json().await?;
    if let Some(message) = &call.plan.refuse {
        return Err(Refusal::invalid(message).into());
    }
    let job = Job::read(&task, &server.options)?;
    let (id, kind, datasource) = (job.id.clone(), job.kind, job.datasource.clone());
    if call.plan.forgets {
        return Ok(json_ok(&json!({ "task": id })));
    }
    let max_queue = server.options.max_queue;
    // Apart from this connection, whose end must not part the two steps.
    let taken = tokio::spawn({
        let (server, id) = (server.clone(), id.clone());
        async move {
            let insert = move |kept: &mut super::store::Kept| kept.insert(&id, kind, &datasource, task, max_queue);
            let number = server.store.change(insert).await?;
            server.log.submitted();
            server.schedule.push(number, Arc::new(job));
            Ok::<(), Refusal>(())
        }
    });
    taken.await.unwrap_or_else(|_| Err(Refusal::internal("the emulator is ending")))?;
    Ok(json_ok(&json!({ "task": id })))
}

/// `GET /druid/indexer/v1/task/{id}`: as it was submitted.
///
/// # Errors
/// 404.
pub(super) fn payload(server: &Server, id: &str) -> Result<Response<Body>, Refusal> {
    let task = find(server, id)?;
    let payload = task.payload.as_deref().ok_or_else(|| Refusal::no_task(id))?;
    let mut payload = payload.clone();
    if let Value::Object(fields) = &mut payload {
        fields.insert("id".to_owned(), id.into());
    }
    Ok(json_ok(&json!({ "task": id, "payload": payload })))
}

/// `GET /druid/indexer/v1/task/{id}/status`.
///
/// # Errors
/// 404.
pub(super) fn status(server: &Server, call: &Call, id: &str) -> Result<Response<Body>, Refusal> {
    if call.plan.hides {
        return Err(Refusal::no_task(id));
    }
    let task = find(server, id)?;
    Ok(json_ok(&json!({ "task": id, "status": shown(id, &task, server.schedule.phase(task.number)) })))
}

/// `GET /druid/indexer/v1/task/{id}/reports`, once the task has ended.
///
/// # Errors
/// 404.
pub(super) fn report(server: &Server, call: &Call, id: &str) -> Result<Response<Body>, Refusal> {
    let task = find(server, id)?;
    let report = task.end.as_ref().and_then(|end| end.report.as_ref()).filter(|_| !call.plan.hides);
    let report = report.ok_or_else(|| Refusal::text(404, format!("No task reports were found for this task: [{id}]. The task may not exist, or it may not have completed yet.")))?;
    Ok(json_ok(report))
}

/// `POST /druid/indexer/v1/task/{id}/shutdown`, which is said to be done for any id.
///
/// # Errors
/// 500 when the end cannot be kept.
pub(super) async fn shutdown(server: &Server, id: &str) -> Result<Response<Body>, Refusal> {
    end(server, vec![id.to_owned()]).await?;
    Ok(json_ok(&json!({ "task": id })))
}

/// `POST /druid/indexer/v1/datasources/{name}/shutdownAllTasks`.
///
/// # Errors
/// 404 when there are none, 500 when the end cannot be kept.
pub(super) async fn shutdown_all(server: &Server, name: &str) -> Result<Response<Body>, Refusal> {
    let kept = server.store.look();
    let active = kept.tasks.iter().filter(|(_, task)| task.end.is_none() && task.datasource == name);
    let ids: Vec<String> = active.map(|(id, _)| id.clone()).collect();
    if ids.is_empty() {
        return Err(Refusal::plain(404, format!("no tasks of datasource [{name}]")));
    }
    end(server, ids).await?;
    Ok(json_ok(&json!({ "dataSource": name })))
}

async fn end(server: &Server, ids: Vec<String>) -> Result<(), Refusal> {
    let ended = server.store.change(move |kept| {
        let end = || End::failed("Shutdown request from user");
        Ok(ids.iter().filter_map(|id| kept.end(id, None, end(), None)).collect::<Vec<_>>())
    });
    // Ended first: what a task wants to publish after that is not taken.
    for number in ended.await? {
        server.schedule.leave(number);
    }
    Ok(())
}

/// `POST /druid/indexer/v1/taskStatus`: of the ids that are known.
///
/// # Errors
/// 400 for no ids.
pub(super) async fn statuses(server: &Server, call: &mut Call) -> Result<Response<Body>, Failure> {
    let ids = call.json().await?;
    let ids = ids.as_array().filter(|ids| !ids.is_empty() && ids.len() <= MAX_IDS);
    let ids = ids.ok_or_else(|| Refusal::text(400, "No TaskIds provided."))?;
    let kept = server.store.look();
    let mut found = serde_json::Map::new();
    for id in ids.iter().filter_map(Value::as_str) {
        if let Some(task) = kept.tasks.get(id) {
            let end = task.end.as_ref();
            found.insert(
                id.to_owned(),
                json!({
                    "id": id, "status": state(task), "duration": end.map_or(-1, |end| end.duration_ms),
                    "errorMsg": end.and_then(|end| end.error.as_deref()), "location": location(),
                }),
            );
        }
    }
    Ok(json_ok(&Value::Object(found)))
}

/// `GET /druid/indexer/v1/tasks` and its short forms: the newest first. `max` is for those that have
/// ended.
///
/// # Errors
/// 400 for a state that is none.
pub(super) fn list(server: &Server, call: &Call, state: Option<&str>) -> Result<Response<Body>, Refusal> {
    let phase = match state {
        None | Some("complete") => None,
        Some("waiting") => Some(Phase::Waiting),
        Some("pending") => Some(Phase::Pending),
        Some("running") => Some(Phase::Running),
        Some(other) => {
            let text = format!("Invalid task state: {other}. Must be one of: [pending, waiting, running, complete]");
            return Err(Refusal::text(400, text));
        }
    };
    let (datasource, kind) = (call.query("datasource"), call.query("type"));
    let max = call.query("max").and_then(|max| max.parse::<usize>().ok()).unwrap_or(usize::MAX);
    let kept = server.store.look();
    let phases = server.schedule.phases();
    let mut tasks: Vec<(&String, &Arc<Record>, Phase)> = Vec::new();
    for (id, task) in &kept.tasks {
        let fits = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        let now = phases.get(&task.number).copied().unwrap_or(Phase::Waiting);
        let is_wanted = match (&task.end, phase) {
            (Some(_), None) => true,
            (None, None) => state.is_none(),
            (None, Some(phase)) => now == phase,
            (Some(_), Some(_)) => false,
        };
        if is_wanted && fits(&datasource, &task.datasource) && fits(&kind, &task.kind) {
            tasks.push((id, task, now));
        }
    }
    tasks.sort_by_key(|(_, task, _)| std::cmp::Reverse(task.number));
    let mut left = max;
    tasks.retain(|(_, task, _)| {
        let is_kept = task.end.is_none() || left > 0;
        left = left.saturating_sub(usize::from(task.end.is_some()));
        is_kept
    });
    let all = tasks.into_iter().map(|(id, task, phase)| shown(id, task, phase)).collect();
    Ok(json_ok(&Value::Array(all)))
}

fn find(server: &Server, id: &str) -> Result<Arc<Record>, Refusal> {
    server.store.look().tasks.get(id).cloned().ok_or_else(|| Refusal::no_task(id))
}

fn state(task: &Record) -> &'static str {
    match &task.end {
        None => "RUNNING",
        Some(end) if end.is_success => "SUCCESS",
        Some(_) => "FAILED",
    }
}

fn location() -> Value {
    json!({ "host": null, "port": -1, "tlsPort": -1 })
}

fn shown(id: &str, task: &Record, phase: Phase) -> Value {
    let end = task.end.as_ref();
    json!({
        "id": id, "groupId": id, "type": task.kind, "createdTime": iso_ms(task.created_ms),
        "queueInsertionTime": "1970-01-01T00:00:00.000Z", "statusCode": state(task), "status": state(task),
        "runnerStatusCode": if end.is_some() { "NONE" } else { phase.name() },
        "duration": end.map_or(-1, |end| end.duration_ms), "location": location(),
        "dataSource": task.datasource, "errorMsg": end.and_then(|end| end.error.as_deref()),
    })
}
