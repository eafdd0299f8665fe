//! The host against a real Apache Kafka. The tests share one broker; those that harm theirs have
//! their own. `tests/systems/README.md` says what is needed and how to run one.
//!
//! What is in Kafka is read by a consumer of this suite's own (`support.rs`), not by the host's.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod campaign;
mod console;
mod contract;
mod fencing;
mod group;
mod outage;
mod positions;
mod proxy;
mod repeating;
mod run;
mod spool;
mod support;
mod unclear;
