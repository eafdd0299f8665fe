//! How many inputs may be rejected.

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
