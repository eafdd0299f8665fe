//! The integration tests: one module a behaviour. `tests/README.md` says what is where.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)]
#![allow(clippy::print_stderr, missing_docs)]

mod bad_input;
mod campaign;
mod cli;
mod data_folder;
mod dead_letters;
mod delivery;
mod demo;
mod disk;
mod feeds;
mod guests;
mod imports;
mod ingest_access;
mod ingest_cli;
mod ingest_clients;
mod ingest_config;
mod ingest_damage;
mod ingest_endpoint;
mod ingest_faults;
mod ingest_kills;
mod ingest_load;
mod ingest_modes;
mod ingest_print;
mod ingest_spec;
mod kills;
mod log_contract;
mod script;
mod sink_task;
mod source_task;
mod spool;
mod spool_cli;
mod spool_config;
mod spool_damage;
mod spool_deleted;
mod spool_doubt;
mod spool_faults;
mod spool_kills;
mod spool_layouts;
mod spool_owners;
mod spool_races;
mod stores;
mod tls;
mod toolchain;
mod trouble;
