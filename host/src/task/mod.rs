//! Moving records: one task is one life of a source from `open` to its end. What happens between
//! lives is the supervisor's.

mod converter;
mod dead_letter;
mod pending;
mod retry;
mod source_task;
mod stats;
mod stop;

pub use retry::Backoff;
pub use source_task::{Chain, SourceTask, TaskSettings};
pub use stats::{Counts, TaskStats};
pub use stop::Stop;
