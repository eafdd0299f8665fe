//! A connector host: what a Kafka Connect worker does, with connectors as sandboxed WebAssembly
//! components. `host/ARCHITECTURE.md` maps the rooms; `tests/all/imports.rs` holds them apart.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod app;
pub mod cli;
pub mod config;
pub mod connector;
pub mod crash;
pub mod crypto;
pub mod dotted;
pub mod error;
pub mod ingest;
pub mod io;
pub mod plugin;
pub mod ports;
pub mod record;
pub mod schedule;
pub mod secret;
pub mod serve;
pub mod spool;
pub mod task;
pub mod toolchain;
pub mod wasm;
pub mod worker;
