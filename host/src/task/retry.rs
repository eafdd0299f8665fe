//! What is done about an error, by its class, in one place.

use super::stats::TaskStats;
use super::stop::Stop;
use crate::error::{ErrorClass, Result};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);

/// Waits that double up to a bound.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    /// From 100 ms to `longest`.
    pub fn new(longest: Duration) -> Self {
        Backoff { next: FIRST.min(longest), longest }
    }

    /// The wait before the next try.
    pub fn next_wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = wait.saturating_mul(2).min(self.longest);
        wait
    }
}

/// Does `work` until it succeeds, fails for good, or the task is to stop. Errors of class Retry
/// are waited out: whatever is in hand stays in hand, and nothing is acknowledged meanwhile.
///
/// # Errors
/// What `work` gives, of class Retry only when the time to finish is over.
pub fn until_done<T>(
    stop: &Stop,
    stats: &TaskStats,
    longest: Duration,
    mut work: impl FnMut() -> Result<T>,
) -> Result<T> {
    let mut backoff = Backoff::new(longest);
    let mut failed = false;
    loop {
        match work() {
            Ok(value) => {
                if failed {
                    tracing::info!("works again");
                    stats.set_trouble(None);
                }
                return Ok(value);
            }
            Err(error) if error.class() == ErrorClass::Retry => {
                let wait = backoff.next_wait();
                let retry_ms = u64::try_from(wait.as_millis()).unwrap_or(0);
                tracing::warn!(%error, hint = error.hint(), retry_ms, "trying again");
                stats.add_retry();
                stats.set_trouble(Some(error.to_string()));
                failed = true;
                // Once asked to stop there is still time for what is in hand.
                if !stop.wait_to_retry(wait) {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
}
