//! Real systems for tests and benchmarks, fetched and started on this machine.
//!
//! Nothing here outlives the process that started it ([`Watched`]). Where a system is not to be had,
//! starting it gives the reason, and a suite says so and passes ([`or_skip`]), unless the environment
//! variable [`REQUIRE`] is `1`.

#![allow(clippy::panic, clippy::print_stderr, clippy::indexing_slicing)]

pub mod druid;
mod go;
mod http;
pub mod kafka;
mod maven;
mod port;
pub mod registry;
pub mod venv;
mod watched;

pub use http::Answer;
pub use watched::Watched;

/// Environment variable that makes a missing system a failure: `1`.
pub const REQUIRE: &str = "HOST_REQUIRE_SYSTEMS";

/// The system, or one line on standard error that says why there is none.
///
/// # Panics
/// When there is none and [`REQUIRE`] is set.
pub fn or_skip<T>(started: Result<T, String>) -> Option<T> {
    match started {
        Ok(system) => Some(system),
        Err(reason) if std::env::var(REQUIRE).is_ok_and(|value| value == "1") => panic!("{REQUIRE} is set: {reason}"),
        Err(reason) => {
            eprintln!("skipped: {}", reason.replace('\n', "; "));
            None
        }
    }
}
