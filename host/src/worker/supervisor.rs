//! Runs tasks on threads of their own, and starts them again.

use super::status::{TaskState, TaskStatus};
use crate::error::{Error, ErrorClass, OrError, Result};
use crate::ports::feed::Feed;
use crate::task::{Backoff, Retries, Stop, Task, TaskStats};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A task to run.
pub struct TaskSpec {
    /// Connector name.
    pub connector: String,
    /// Its number among the connector's tasks.
    pub number: u32,
    /// Topic it writes, or topics it reads, for people.
    pub topic: String,
    /// The task.
    pub task: Box<dyn Task>,
    /// The connector's feed, if it has one.
    pub feed: Option<Arc<dyn Feed>>,
    /// Plugin name and version, for people.
    pub plugin: String,
    /// Restarts in a row without a commit in between, after which it is given up.
    pub restart_max: u32,
    /// How long it waits before a restart, and for how long it is restarted without a commit in between.
    pub retries: Retries,
    /// How long it may take to stop.
    pub stop_timeout: Duration,
}

struct Running {
    name: String,
    number: u32,
    topic: String,
    plugin: String,
    feed: Option<Arc<dyn Feed>>,
    stats: TaskStats,
    state: Mutex<TaskState>,
    restarts: AtomicU64,
    stop: Stop,
    stop_timeout: Duration,
    restart_max: u32,
    retries: Retries,
    began: Instant,
}

/// The tasks of this process.
pub struct Worker {
    tasks: Vec<(Arc<Running>, Option<JoinHandle<()>>)>,
}

impl Worker {
    /// Starts every task on a thread of its own.
    ///
    /// # Errors
    /// Class Retry when a thread cannot be made.
    pub fn start(specs: Vec<TaskSpec>) -> Result<Self> {
        let mut tasks = Vec::with_capacity(specs.len());
        for spec in specs {
            let running = Arc::new(Running {
                name: spec.connector,
                number: spec.number,
                topic: spec.topic,
                plugin: spec.plugin,
                feed: spec.feed,
                stats: TaskStats::default(),
                state: Mutex::new(TaskState::Unassigned),
                restarts: AtomicU64::new(0),
                stop: Stop::default(),
                stop_timeout: spec.stop_timeout,
                restart_max: spec.restart_max,
                retries: spec.retries,
                began: Instant::now(),
            });
            let (shared, task) = (Arc::clone(&running), spec.task);
            let thread = std::thread::Builder::new()
                .name(format!("task-{}-{}", running.name, running.number))
                .spawn(move || supervise(&shared, task.as_ref()))
                .or_retry("starting a task's thread")?;
            tasks.push((running, Some(thread)));
        }
        Ok(Worker { tasks })
    }

    /// Every task now, in the order they were given.
    pub fn statuses(&self) -> Vec<TaskStatus> {
        self.tasks.iter().map(|(running, _)| running.status()).collect()
    }

    /// The tasks, for others to look at, also when they are over.
    pub fn watch(&self) -> Watch {
        Watch(self.tasks.iter().map(|(running, _)| Arc::clone(running)).collect())
    }

    /// Whether every task has ended for good.
    pub fn is_over(&self) -> bool {
        self.tasks.iter().all(|(running, _)| running.state().is_over())
    }

    /// Asks the tasks of one connector to stop, and does not wait.
    pub fn ask_to_stop(&self, connector: &str) {
        let of_it = self.tasks.iter().filter(|(running, _)| running.name == connector);
        of_it.for_each(|(running, _)| running.stop.ask(running.stop_timeout));
    }

    /// Asks every task to stop, waits for each within its own limit, and closes the feeds. A task
    /// that does not stop in time is left behind as failed; what it had not committed was never
    /// acknowledged.
    pub fn stop(&mut self) -> Vec<TaskStatus> {
        self.tasks.iter().for_each(|(running, _)| running.stop.ask(running.stop_timeout));
        for (running, thread) in &mut self.tasks {
            let Some(thread) = thread.take() else { continue };
            // The task ends by itself within its limit; the grace is for its last step.
            let deadline = Instant::now() + running.stop_timeout + Duration::from_secs(2);
            while !thread.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
            if !thread.is_finished() {
                let limit = running.stop_timeout.as_millis();
                running.set_state(TaskState::Failed(format!("did not stop within {limit} ms")));
            }
            if let Some(feed) = &running.feed {
                feed.close();
            }
        }
        self.statuses()
    }
}

/// Looks at the tasks of a worker.
#[derive(Clone)]
pub struct Watch(Vec<Arc<Running>>);

impl Watch {
    /// Every task now, in the order they were given.
    pub fn statuses(&self) -> Vec<TaskStatus> {
        self.0.iter().map(|running| running.status()).collect()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Running {
    fn state(&self) -> TaskState {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_state(&self, state: TaskState) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    fn status(&self) -> TaskStatus {
        let counts = self.stats.counts();
        let first = self.stats.first_commit().map(|at| at.duration_since(self.began).as_millis());
        TaskStatus {
            name: self.name.clone(),
            task: self.number,
            topic: self.topic.clone(),
            plugin: counts.plugin.clone().unwrap_or_else(|| self.plugin.clone()),
            state: self.state(),
            counts,
            restarts: self.restarts.load(Relaxed),
            feed: self.feed.as_ref().map(|feed| feed.status()),
            first_commit_ms: first.and_then(|millis| u64::try_from(millis).ok()),
        }
    }
}

fn supervise(running: &Running, task: &dyn Task) {
    let connector = running.name.as_str();
    let mut backoff = Backoff::new(running.retries);
    let mut in_a_row = 0;
    let mut suspect = false;
    loop {
        running.set_state(TaskState::Running);
        let commits = running.stats.commits();
        let life = catch_unwind(AssertUnwindSafe(|| task.run(&running.stop, &running.stats, suspect)));
        let Err(error) = life.unwrap_or_else(|panic| Err(panicked(&panic))) else {
            return running.set_state(TaskState::Stopped);
        };
        if running.stats.commits() > commits {
            in_a_row = 0;
            backoff = Backoff::new(running.retries);
        }
        suspect = error.class() == ErrorClass::Bug;
        let final_class = matches!(error.class(), ErrorClass::Config | ErrorClass::Deny);
        // A log or a feed out of reach is waited for; only defects use up the budget.
        in_a_row += u32::from(suspect);
        if final_class || in_a_row > running.restart_max || running.stop.is_asked() {
            tracing::error!(connector, %error, hint = error.hint(), "task failed");
            return running.set_state(TaskState::Failed(error.to_string()));
        }
        let wait = match backoff.next_wait(&error) {
            Ok(wait) => wait,
            Err(error) => {
                tracing::error!(connector, %error, hint = error.hint(), "task failed");
                return running.set_state(TaskState::Failed(error.to_string()));
            }
        };
        let restart_ms = u64::try_from(wait.as_millis()).unwrap_or(0);
        tracing::warn!(connector, %error, hint = error.hint(), restart_ms, "task is restarted");
        running.set_state(TaskState::Restarting(error.to_string()));
        running.restarts.fetch_add(1, Relaxed);
        if running.stop.wait(wait) {
            return running.set_state(TaskState::Stopped);
        }
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Error {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    Error::bug(format!("the task panicked: {}", text.unwrap_or("no message")))
}
