//! When a task runs: in the order in which tasks came, when nobody before it has its lock and a slot
//! is free.
//!
//! Invariant: a task that waits for a lock holds up those behind it that want the same, so none is
//! overtaken for ever.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};

use super::api::Server;
use super::run;
use super::spec::Job;
use crate::lock;

/// Where a task that has not ended is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// For a lock.
    Waiting,
    /// For a slot.
    Pending,
    Running,
}

impl Phase {
    /// As `runnerStatusCode` says it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Waiting => "WAITING",
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
        }
    }
}

/// The tasks that have not ended.
#[derive(Default)]
pub(super) struct Schedule {
    queue: Mutex<Queue>,
    wake: Notify,
}

#[derive(Default)]
struct Queue {
    /// By the number of the task, which is the order in which they came.
    entries: BTreeMap<u64, Entry>,
}

struct Entry {
    job: Arc<Job>,
    phase: Phase,
    runner: Option<AbortHandle>,
}

impl Schedule {
    /// Takes a task.
    pub(super) fn push(&self, number: u64, job: Arc<Job>) {
        lock(&self.queue).entries.insert(number, Entry { job, phase: Phase::Waiting, runner: None });
        self.wake.notify_one();
    }

    /// A task has ended, or is not to run: stops it, if it runs.
    pub(super) fn leave(&self, number: u64) {
        let entry = lock(&self.queue).entries.remove(&number);
        if let Some(runner) = entry.and_then(|entry| entry.runner) {
            runner.abort();
        }
        self.wake.notify_one();
    }

    /// Where the tasks are, by number.
    pub(super) fn phases(&self) -> BTreeMap<u64, Phase> {
        lock(&self.queue).entries.iter().map(|(number, entry)| (*number, entry.phase)).collect()
    }

    /// Where a task is. One that has just been taken waits.
    pub(super) fn phase(&self, number: u64) -> Phase {
        lock(&self.queue).entries.get(&number).map_or(Phase::Waiting, |entry| entry.phase)
    }

    /// Starts what can start.
    fn start(&self, slots: usize, mut start: impl FnMut(u64, Arc<Job>) -> AbortHandle) {
        let mut queue = lock(&self.queue);
        let mut free = slots.saturating_sub(queue.entries.values().filter(|entry| entry.runner.is_some()).count());
        let mut before: Vec<Arc<Job>> = Vec::new();
        // First those that run, as they have their locks.
        before.extend(queue.entries.values().filter(|entry| entry.runner.is_some()).map(|entry| entry.job.clone()));
        for (number, entry) in queue.entries.iter_mut().filter(|(_, entry)| entry.runner.is_none()) {
            let excludes =
                |job: &Arc<Job>| job.datasource == entry.job.datasource && job.lock.excludes(&entry.job.lock);
            entry.phase = match (before.iter().any(excludes), free) {
                (true, _) => Phase::Waiting,
                (false, 0) => Phase::Pending,
                (false, _) => {
                    free -= 1;
                    entry.runner = Some(start(*number, entry.job.clone()));
                    Phase::Running
                }
            };
            before.push(entry.job.clone());
        }
    }
}

/// Runs tasks until the emulator is to end, and then until none runs.
pub(super) async fn run(server: Arc<Server>) {
    let slots = server.options.slots.max(1);
    let mut runners = JoinSet::new();
    loop {
        server.schedule.start(slots, |number, job| runners.spawn(run::run(server.clone(), job, number)));
        tokio::select! {
            () = server.stopped() => break,
            () = server.schedule.wake.notified() => {}
            Some(_) = runners.join_next(), if !runners.is_empty() => {}
        }
    }
    runners.shutdown().await;
}
