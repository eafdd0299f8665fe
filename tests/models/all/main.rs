//! All models are checked here, and what of the real code can be is held against the same properties.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod claims;
mod ledger;
mod publish;
mod real_ledger;
mod real_sink_task;
