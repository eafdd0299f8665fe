//! A real Apache Druid: what it does with tasks (`tasks.rs`), what it asks of a server that it reads
//! rows from (`source.rs`), and the whole pipeline into it (`pipeline.rs`). The tests share one;
//! `tests/systems/README.md` says what is needed.
//!
//! In the first two only Druid is asked, so that what the host relies on is written down where it is
//! checked.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod pipeline;
mod source;
mod support;
mod tasks;
