//! What a task bears: rejected inputs, failures that may pass, a new version of its plugin.

use std::time::Duration;

/// What is done about inputs that are rejected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tolerance {
    /// The first one ends the task.
    None,
    /// Each becomes a dead letter, as long as they are few.
    All {
        /// Share of the last inputs that may be rejected, 0 to 1, and how many inputs that are; none: any.
        max_ratio: Option<(f64, u64)>,
    },
}

/// How work that failed and may pass later is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Longest wait between two tries.
    pub delay_max: Duration,
    /// When the task is given up, counted from the first of the failures in a row; none: never.
    pub timeout: Option<Duration>,
}

/// What is asked of a new version.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrialSettings {
    /// Batches that the trial lasts; 0: there is none.
    pub batches: u64,
    /// Share of inputs that it may reject more than the version before, 0 to 1.
    pub reject_increase: f64,
    /// How many times as much CPU time an input may take.
    pub cpu_factor: f64,
}
