//! What a task bears: rejected inputs, and failures that may pass.

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
