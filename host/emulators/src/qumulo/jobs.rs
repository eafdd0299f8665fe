//! Tree deletes: jobs that remove a directory and all below it, some at a time, so that other
//! requests have their turn in between. A job that is done is gone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::answer::{Class, Refusal, empty, json_ok};
use super::api::{Server, accepted};
use super::call::{Call, Failure};
use super::route::read_ref;
use super::store::{Id, ROOT, Ref, Store, Totals, rfc3339_ms};
use crate::clock::now_ms;
use crate::lock;

/// How many objects go in one step.
const STEP: usize = 256;

/// The jobs there are, by the directory they remove.
#[derive(Debug, Default)]
pub(super) struct Jobs(Mutex<BTreeMap<Id, Job>>);

#[derive(Debug, Clone)]
struct Job {
    created_ms: i64,
    path: String,
    initial: Totals,
    files_gone: u64,
    dirs_gone: u64,
    is_cancelled: bool,
    /// Why it stands still, if it does.
    error: Option<String>,
}

impl Job {
    fn tell(&self, id: Id) -> Value {
        let Totals { files, directories, symlinks, others, data, meta, .. } = self.initial;
        let (all_files, all_dirs) = (files + symlinks + others, directories + 1);
        let files = all_files.saturating_sub(self.files_gone);
        let dirs = all_dirs.saturating_sub(self.dirs_gone);
        let capacity = data + meta;
        // The size of what went is not looked at: in proportion is near enough for a display.
        let part = (files + dirs) as f64 / (all_files + all_dirs) as f64;
        let remaining = (capacity as f64 * part) as u64;
        json!({
            "id": id.to_string(), "create_time": rfc3339_ms(self.created_ms),
            "mode": "IN_PLACE", "initial_path": self.path, "initial_capacity": capacity.to_string(),
            "initial_directories": all_dirs.to_string(), "initial_files": all_files.to_string(),
            "remaining_capacity": remaining.to_string(), "remaining_directories": dirs.to_string(),
            "remaining_files": files.to_string(), "last_error_message": self.error,
        })
    }
}

/// `/v1/tree-delete/jobs/`.
pub(super) async fn all(server: &Arc<Server>, call: &mut Call) -> Result<Response<Body>, Failure> {
    match call.method {
        Method::GET => {
            let jobs: Vec<Value> = lock(&server.jobs.0).iter().map(|(id, job)| job.tell(*id)).collect();
            Ok(json_ok(&json!({ "jobs": jobs })))
        }
        Method::POST => {
            let fields = call.object().await?;
            start(server, read_ref(fields.text("id")?)?).await
        }
        _ => Err(call.no_method()),
    }
}

/// `/v1/tree-delete/jobs/{id}`.
pub(super) fn one(server: &Arc<Server>, call: &Call, id: Id) -> Result<Response<Body>, Failure> {
    let mut jobs = lock(&server.jobs.0);
    let job = jobs.get_mut(&id).ok_or_else(no_job)?;
    match call.method {
        Method::GET => Ok(json_ok(&job.tell(id))),
        Method::DELETE => {
            job.is_cancelled = true;
            // One that stands still has nobody to see that.
            if job.error.is_some() {
                jobs.remove(&id);
            }
            Ok(empty(StatusCode::OK))
        }
        _ => Err(call.no_method()),
    }
}

/// `POST /v1/tree-delete/jobs/restart/{id}`.
pub(super) fn restart(server: &Arc<Server>, id: Id) -> Result<Response<Body>, Failure> {
    let was_still = lock(&server.jobs.0).get_mut(&id).ok_or_else(no_job)?.error.take().is_some();
    if was_still {
        tokio::spawn(work(server.clone(), id));
    }
    Ok(accepted())
}

fn no_job() -> Refusal {
    Refusal::new(Class::NotFound, "there is no such job, or it is done")
}

/// Starts to remove a directory.
///
/// # Errors
/// Classes `NoSuchEntry`, `NotADirectory`, `AccessDenied` for the root, `AlreadyStarted`.
pub(super) async fn start(server: &Arc<Server>, dir: Ref) -> Result<Response<Body>, Failure> {
    let (id, path, initial) = server
        .run(move |store: &Arc<Store>| {
            let (id, path, total, _) = store.aggregates(&dir)?;
            store.check_writable()?;
            Ok((id, path, total))
        })
        .await?;
    if id == ROOT {
        return Err(Refusal::new(Class::AccessDenied, "the root stays").into());
    }
    {
        let mut jobs = lock(&server.jobs.0);
        if jobs.contains_key(&id) {
            return Err(Refusal::new(Class::AlreadyStarted, "this directory is being deleted").into());
        }
        let job = Job {
            created_ms: now_ms(),
            path: format!("/{path}/"),
            initial,
            files_gone: 0,
            dirs_gone: 0,
            is_cancelled: false,
            error: None,
        };
        jobs.insert(id, job);
    }
    tokio::spawn(work(server.clone(), id));
    Ok(accepted())
}

/// Removes until all is gone, somebody cancels, or it cannot go on.
async fn work(server: Arc<Server>, id: Id) {
    loop {
        let step = server.run(move |store| store.remove_some(&Ref::Id(id), STEP)).await;
        let mut jobs = lock(&server.jobs.0);
        let Some(job) = jobs.get_mut(&id) else { return };
        let is_over = match step {
            Ok((files, dirs, is_gone)) => {
                job.files_gone += files;
                job.dirs_gone += dirs;
                is_gone
            }
            Err(refusal) => {
                job.error = Some(refusal.to_string());
                return;
            }
        };
        if is_over || job.is_cancelled || *server.is_stopping.borrow() {
            jobs.remove(&id);
            return;
        }
    }
}
