//! What is kept: tasks, segments, supervisors. In memory, and in a file where there is a folder.
//!
//! Invariants: a change is on the disk before anybody sees it, and is seen whole; the file is written
//! aside and renamed, so it is whole at every moment; one emulator has the folder. A task that had not
//! ended when the emulator did is FAILED when it starts again. A change that was begun is finished,
//! whoever asked for it and went away.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answer::Refusal;
use super::segments::{Publication, Segment, publish};
use crate::clock::now_ms;
use crate::{Error, lock};

const FILE: &str = "overlord.json";
const ASIDE: &str = "overlord.json.new";
const LOCK: &str = "overlord.lock";
/// The most tasks that are remembered; the oldest that have ended are forgotten first.
const MAX_TASKS: usize = 10_000;
/// How much of their specs is remembered; again the oldest are forgotten first.
const MAX_PAYLOAD_BYTES: usize = 64 * 1024 * 1024;

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct End {
    pub(super) is_success: bool,
    pub(super) error: Option<String>,
    pub(super) duration_ms: i64,
    pub(super) report: Option<Value>,
}

impl End {
    pub(super) fn failed(error: impl Into<String>) -> Self {
        Self { is_success: false, error: Some(error.into()), duration_ms: 0, report: None }
    }
}

/// A task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) number: u64,
    pub(super) kind: String,
    pub(super) datasource: String,
    pub(super) created_ms: i64,
    /// As it was submitted; `None` when it has been forgotten.
    pub(super) payload: Option<Arc<Value>>,
    payload_bytes: usize,
    /// `None` while it has not ended.
    pub(super) end: Option<End>,
}

/// All that is kept.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Counts tasks and publications.
    pub(super) number: u64,
    pub(super) tasks: BTreeMap<String, Arc<Record>>,
    pub(super) datasources: BTreeMap<String, Arc<Vec<Segment>>>,
    pub(super) supervisors: BTreeMap<String, Arc<Value>>,
}

impl Kept {
    /// Takes a task. Returns its number, which no other ever has.
    ///
    /// # Errors
    /// 400 for an id that is known, 429 when `max_queue` tasks have not ended.
    pub(super) fn insert(
        &mut self,
        id: &str,
        kind: &str,
        datasource: &str,
        payload: Value,
        max_queue: usize,
    ) -> Result<u64, Refusal> {
        if self.tasks.contains_key(id) {
            return Err(Refusal::exists(id));
        }
        let num_active = self.tasks.values().filter(|task| task.end.is_none()).count();
        if num_active >= max_queue {
            return Err(Refusal::queue_full(num_active));
        }
        self.number += 1;
        let record = Record {
            number: self.number,
            kind: kind.to_owned(),
            datasource: datasource.to_owned(),
            created_ms: now_ms(),
            payload_bytes: payload.to_string().len(),
            payload: Some(Arc::new(payload)),
            end: None,
        };
        self.tasks.insert(id.to_owned(), Arc::new(record));
        self.trim();
        Ok(self.number)
    }

    fn trim(&mut self) {
        if self.tasks.len() > MAX_TASKS {
            let ended = self.tasks.iter().filter(|(_, task)| task.end.is_some());
            let oldest = ended.min_by_key(|(_, task)| task.number).map(|(id, _)| id.clone());
            oldest.map(|oldest| self.tasks.remove(&oldest));
        }
        let mut num_bytes: usize = self.tasks.values().map(|task| task.payload_bytes).sum();
        if num_bytes <= MAX_PAYLOAD_BYTES {
            return;
        }
        let has_ended = |task: &&mut Arc<Record>| task.payload.is_some() && task.end.is_some();
        let mut ended: Vec<&mut Arc<Record>> = self.tasks.values_mut().filter(has_ended).collect();
        ended.sort_by_key(|task| task.number);
        for oldest in ended {
            let oldest = Arc::make_mut(oldest);
            num_bytes -= oldest.payload_bytes;
            (oldest.payload, oldest.payload_bytes) = (None, 0);
            if num_bytes <= MAX_PAYLOAD_BYTES {
                return;
            }
        }
    }

    /// Ends a task, and publishes what it made; where that fails the task fails. Returns its number, or
    /// `None` where it had ended before, or is not the one of `number`: a task that was forgotten may
    /// have been submitted again while its first run went on.
    pub(super) fn end(
        &mut self,
        id: &str,
        number: Option<u64>,
        mut end: End,
        publication: Option<Publication>,
    ) -> Option<u64> {
        let is_meant =
            |task: &&mut Arc<Record>| task.end.is_none() && number.is_none_or(|number| task.number == number);
        let task = self.tasks.get_mut(id).filter(is_meant)?;
        if let Some(publication) = publication {
            self.number += 1;
            let datasource = task.datasource.clone();
            let mut segments = self.datasources.get(&datasource).map(|old| Vec::clone(old)).unwrap_or_default();
            match publish(&mut segments, publication, self.number, now_ms()) {
                Ok(()) if segments.is_empty() => drop(self.datasources.remove(&datasource)),
                Ok(()) => drop(self.datasources.insert(datasource, Arc::new(segments))),
                Err(error) => (end.is_success, end.error) = (false, Some(error)),
            }
        }
        let task = Arc::make_mut(task);
        if end.duration_ms == 0 {
            end.duration_ms = now_ms().saturating_sub(task.created_ms);
        }
        task.end = Some(end);
        Some(task.number)
    }
}

/// The place where it is kept.
pub(super) struct Store {
    kept: Mutex<Arc<Kept>>,
    /// One change at a time, as it is made from what the one before left.
    changing: tokio::sync::Mutex<()>,
    folder: Option<Folder>,
}

#[derive(Clone)]
struct Folder {
    path: PathBuf,
    /// The lock ends when the last copy is closed.
    _lock: Arc<File>,
}

impl Store {
    /// Opens a store; blocks.
    ///
    /// # Errors
    /// [`Error::Folder`] and [`Error::State`].
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = path else {
            return Ok(Self { kept: Mutex::default(), changing: tokio::sync::Mutex::default(), folder: None });
        };
        let folder = Folder::open(path)?;
        let mut kept = folder.read()?;
        let active: Vec<String> =
            kept.tasks.iter().filter(|(_, task)| task.end.is_none()).map(|(id, _)| id.clone()).collect();
        for id in &active {
            kept.end(id, None, End::failed("restarted: the overlord ended while the task ran"), None);
        }
        if !active.is_empty() {
            folder.write(&kept).map_err(|reason| Error::State { path: path.join(FILE), reason })?;
        }
        let (kept, changing) = (Mutex::new(Arc::new(kept)), tokio::sync::Mutex::default());
        Ok(Self { kept, changing, folder: Some(folder) })
    }

    /// All that is kept, as it is now.
    pub(super) fn look(&self) -> Arc<Kept> {
        lock(&self.kept).clone()
    }

    /// Changes what is kept, unless `change` fails. Dropping the future does not stop the change.
    ///
    /// # Errors
    /// Those of `change`, and 500 when the file cannot be written.
    pub(super) async fn change<T: Send + 'static>(
        self: &Arc<Self>,
        change: impl FnOnce(&mut Kept) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let store = self.clone();
        let done = tokio::spawn(async move {
            let _changing = store.changing.lock().await;
            let mut kept = Kept::clone(&store.look());
            let value = change(&mut kept)?;
            let kept = Arc::new(kept);
            if let Some(folder) = store.folder.clone() {
                let next = kept.clone();
                let written = tokio::task::spawn_blocking(move || folder.write(&next)).await;
                let written = written.unwrap_or_else(|_| Err("the runtime is ending".to_owned()));
                written.map_err(|reason| {
                    tracing::warn!(reason, "failed to write the state of the overlord emulator");
                    Refusal::internal("the state could not be written")
                })?;
            }
            *lock(&store.kept) = kept;
            Ok(value)
        });
        done.await.unwrap_or_else(|_| Err(Refusal::internal("the emulator is ending")))
    }
}

impl Folder {
    fn open(path: &Path) -> Result<Self, Error> {
        fs::create_dir_all(path).map_err(|source| Error::Folder { path: path.to_owned(), source })?;
        let at = path.join(LOCK);
        let error = |reason: String| Error::State { path: at.clone(), reason };
        let lock = File::create(&at).map_err(|source| error(source.to_string()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: Arc::new(lock) }),
            Err(TryLockError::WouldBlock) => Err(error("another emulator has this folder".to_owned())),
            Err(TryLockError::Error(source)) => Err(error(source.to_string())),
        }
    }

    fn read(&self) -> Result<Kept, Error> {
        let path = self.path.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(Kept::default()),
            Err(source) => return Err(Error::State { path, reason: source.to_string() }),
        };
        serde_json::from_slice(&text).map_err(|error| Error::State { path, reason: error.to_string() })
    }

    fn write(&self, kept: &Kept) -> Result<(), String> {
        let text = serde_json::to_vec(kept).map_err(|error| error.to_string())?;
        let aside = self.path.join(ASIDE);
        let write = || {
            let mut options = OpenOptions::new();
            options.create(true).truncate(true).write(true);
            // Specs may have passwords in them.
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut file = options.open(&aside)?;
            file.write_all(&text)?;
            file.sync_data()?;
            fs::rename(&aside, self.path.join(FILE))
        };
        write().map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_of_tasks_is_bounded_and_what_runs_is_not_forgotten() {
        let mut kept = Kept::default();
        let insert = |kept: &mut Kept, id: String, payload: Value, ends: bool| {
            assert!(kept.insert(&id, "index", "wiki", payload, usize::MAX).is_ok());
            if ends {
                kept.end(&id, None, End::failed("x"), None);
            }
        };
        // The first goes on.
        insert(&mut kept, "0".to_owned(), Value::Null, false);
        insert(&mut kept, "1".to_owned(), Value::Null, true);
        let ended = kept.tasks["1"].clone();
        for number in 2..MAX_TASKS {
            let record = Record { number: number as u64 + 1, ..Record::clone(&ended) };
            kept.tasks.insert(number.to_string(), Arc::new(record));
        }
        kept.number = MAX_TASKS as u64;
        insert(&mut kept, "last".to_owned(), Value::Null, true);
        assert_eq!(kept.tasks.len(), MAX_TASKS);
        assert!(kept.tasks.contains_key("0") && !kept.tasks.contains_key("1"));
        for number in 0..6 {
            let id = format!("large{number}");
            insert(&mut kept, id.clone(), Value::Null, true);
            // As if it were so long.
            kept.tasks.entry(id).and_modify(|task| Arc::make_mut(task).payload_bytes = MAX_PAYLOAD_BYTES / 4);
        }
        insert(&mut kept, "small".to_owned(), Value::Null, true);
        let has = |id: &str| kept.tasks.get(id).is_some_and(|task| task.payload.is_some());
        assert!(has("0") && !has("large0") && !has("large2") && has("large3") && has("large5"));
    }

    #[test]
    fn the_first_run_of_a_forgotten_task_does_not_end_its_successor() {
        let mut kept = Kept::default();
        let first = kept.insert("a", "index", "wiki", Value::Null, 1).unwrap();
        kept.tasks.clear();
        let second = kept.insert("a", "index", "wiki", Value::Null, 1).unwrap();
        assert_eq!(kept.end("a", Some(first), End::failed("x"), None), None);
        assert_eq!(kept.end("a", Some(second), End::failed("x"), None), Some(second));
        assert_eq!(kept.end("a", None, End::failed("x"), None), None);
    }
}
