//! Ingestion: files of a data set as batches of rows, served to an indexing service and loaded into it by
//! tasks, each batch once.
//!
//! `batch` and `rows` find the rows of a file, `write` gives them out, `discovery` finds new files, `ledger`
//! keeps which task loaded which batch, `target` what all of them have in common, `plan` says what is next,
//! `spec` and `spec_check` write the task, `task` and `loading` do it, `preview` looks ahead, `catalog` shows all
//! of it to those who serve and look.

mod batch;
mod catalog;
mod chunks;
mod discovery;
mod ledger;
mod loading;
mod plan;
mod preview;
mod rows;
mod spec;
mod spec_check;
mod target;
mod task;
mod write;

pub use batch::BatchFacts;
pub use catalog::{Batch, Catalog, Found};
pub use chunks::parse_interval;
pub use ledger::{BatchEntry, BatchState, Book, Change, Ledger, TaskEntry, TaskStage};
pub use plan::{Job, PlanSettings, next_load, next_merge};
pub use preview::{Preview, preview};
pub use rows::{RowFormat, TimeFormat};
pub use spec::{FetchSecret, FetchSecrets, Spec, SpecSettings, SpecWriter};
pub use target::Target;
pub use task::{BatchAddress, IngestSettings, IngestTask, Loading};
pub use write::{Piece, Taker, write_rows};
