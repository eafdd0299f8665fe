//! What the integration suites share: waiting, plugins, emulated feeds, filers and Druids, a worker in this
//! process, the host as a program, reading topics and data sets back, and the log's contract.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr)]

pub mod campaign;
pub mod dice;
pub mod feeds;
pub mod files_contract;
pub mod ingest;
pub mod log_contract;
pub mod mmdb;
pub mod plugins;
pub mod program;
pub mod records;
pub mod spool;
pub mod worker;

use std::time::{Duration, Instant};

/// How often [`wait_until`] looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not hold `within` the time, naming `what`.
pub fn wait_until(what: &str, within: Duration, mut condition: impl FnMut() -> bool) {
    wait_for(what, within, || condition().then_some(()));
}

/// Waits until `look` finds something, and returns it.
///
/// # Panics
/// When nothing was found `within` the time, naming `what`.
pub fn wait_for<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {within:?} in vain: {what}");
        std::thread::sleep(LOOK_EVERY);
    }
}
