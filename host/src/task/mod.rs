//! Moving records: one task is one life of a source or a sink, from opening it to its end. What happens
//! between lives is the supervisor's.

mod change_over;
mod converter;
mod dead_letter;
mod dealt;
mod pending;
mod rehearsal;
mod rejections;
mod retry;
mod sink_task;
mod source_task;
mod stats;
mod stop;
mod trial;
mod versions;

pub use crate::connector::{Retries, TrialSettings};
pub use rehearsal::{Rehearsed, rehearse};
pub use retry::{Backoff, until_done};
pub use sink_task::{SinkSettings, SinkTask};
pub use source_task::{Chain, SourceTask, TaskSettings};
pub use stats::{Counts, TaskStats};
pub use stop::Stop;
pub use versions::{MakeChain, Swapped, Version, Versions};

use crate::error::Result;

/// Something that runs until it is to stop, and can be run again after it failed.
pub trait Task: Send {
    /// Runs one life. `suspect` says that the life before was ended by a defect.
    ///
    /// # Errors
    /// What ended it, never of class Reject.
    fn run(&self, stop: &Stop, stats: &TaskStats, suspect: bool) -> Result<()>;
}
