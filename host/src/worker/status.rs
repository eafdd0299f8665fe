//! What the worker says of its tasks; the states are Kafka Connect's.

use crate::ports::feed::FeedStatus;
use crate::task::Counts;

/// Where a task is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskState {
    /// Its thread has not begun.
    Unassigned,
    /// Working.
    Running,
    /// Waiting to be started again, after this.
    Restarting(String),
    /// Given up, for this reason.
    Failed(String),
    /// Ended because it was to.
    Stopped,
}

impl TaskState {
    /// Kafka Connect's word.
    pub fn name(&self) -> &'static str {
        match self {
            TaskState::Unassigned => "UNASSIGNED",
            TaskState::Running => "RUNNING",
            TaskState::Restarting(_) => "RESTARTING",
            TaskState::Failed(_) => "FAILED",
            TaskState::Stopped => "STOPPED",
        }
    }

    /// Whether it will not run again by itself.
    pub fn is_over(&self) -> bool {
        matches!(self, TaskState::Failed(_) | TaskState::Stopped)
    }

    /// Why, where there is a why.
    pub fn trace(&self) -> Option<&str> {
        match self {
            TaskState::Restarting(trace) | TaskState::Failed(trace) => Some(trace),
            _ => None,
        }
    }
}

/// A task of a connector, at one moment.
#[derive(Debug, Clone)]
pub struct TaskStatus {
    /// Connector name.
    pub name: String,
    /// Task number.
    pub task: u32,
    /// Topic it writes, or topics it reads.
    pub topic: String,
    /// Plugin name and version.
    pub plugin: String,
    /// Where its task is.
    pub state: TaskState,
    /// What it counted.
    pub counts: Counts,
    /// Restarts so far.
    pub restarts: u64,
    /// Its feed, if it has one.
    pub feed: Option<FeedStatus>,
    /// Time from the worker's start to its first commit, milliseconds.
    pub first_commit_ms: Option<u64>,
}
