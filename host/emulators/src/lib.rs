//! Servers that speak the real protocols of the systems the host connects to.
//!
//! Two emulators of one feed, Wikipedia's recent changes: [`irc`] is `irc.wikimedia.org`,
//! [`eventstreams`] is `stream.wikimedia.org`. They serve any client, ship in the binary (`host
//! emulate`, `host demo`) and are what integration tests connect to. What they send is invented
//! ([`edits`]) or recorded ([`lines`]); the same seed gives the same edits over both.
//!
//! [`qumulo`] is a Qumulo cluster's REST API over a folder of this machine. [`overlord`] is a Druid
//! that takes ingestion tasks, fetches what they name, and counts the rows.
//!
//! All start the same way: a listener and options in, a handle out ([`Handle`],
//! [`qumulo::QumuloHandle`], [`overlord::OverlordHandle`]). Through the handle a test asks what
//! happened ([`Stats`], [`qumulo::QumuloStats`], [`overlord::OverlordStats`]), makes the emulator fail
//! ([`Fault`], [`qumulo::QumuloFault`], [`overlord::OverlordFault`]) and ends it.
//!
//! Invariants: an emulator that nobody reads costs bounded memory; ending the handle ends every
//! task; nothing here knows the host, a plugin or Kafka.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use host_emulators::irc;
//!
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let options = irc::Options { rate: 100.0, seed: 7, ..irc::Options::default() };
//! let emulator = irc::start(listener, options).await?;
//! assert_eq!(emulator.stats().clients_now, 0);
//! emulator.stop().await;
//! # Ok(())
//! # }
//! ```

mod clock;
mod dice;
pub mod edits;
mod error;
pub mod eventstreams;
mod fault_rate;
mod feed;
mod handle;
pub mod irc;
mod json;
pub mod lines;
pub mod overlord;
mod pace;
pub mod qumulo;
mod stats;
mod words;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use error::Error;
pub use fault_rate::{FaultNames, FaultRate, FaultRateError};
pub use handle::{Fault, Handle, MAX_CONNECTIONS, MAX_GARBAGE};
pub use lines::Lines;
pub use pace::MAX_RATE;
pub use stats::Stats;

/// Locks without a case for poisoning: nothing here panics while it holds a lock, and the data are
/// whole at every step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
