//! Deciding what runs: one thread a task, restarts within a budget, a stop within a limit.
//! One task's failure, its panic included, is that task's alone.

mod status;
mod supervisor;

pub use crate::task::Swapped;
pub use status::{TaskState, TaskStatus};
pub use supervisor::{TaskSpec, Watch, Worker};
