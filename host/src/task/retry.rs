//! What is done about an error, by its class, in one place.

use super::stats::TaskStats;
use super::stop::Stop;
use crate::connector::Retries;
use crate::error::{Error, ErrorClass, Result};
use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(100);

/// Waits that double up to a bound, of failures in a row.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
    retries: Retries,
    since: Option<Instant>,
}

impl Backoff {
    /// From 100 ms on.
    pub fn new(retries: Retries) -> Self {
        Backoff { next: FIRST.min(retries.delay_max), retries, since: None }
    }

    /// The wait before the next try, after `error`.
    ///
    /// # Errors
    /// Class Config: it has been tried for long enough.
    pub fn next_wait(&mut self, error: &Error) -> Result<Duration> {
        let tried = self.since.get_or_insert_with(Instant::now).elapsed();
        if let Some(timeout) = self.retries.timeout.filter(|timeout| tried >= *timeout) {
            let millis = timeout.as_millis();
            return Err(Error::config(format!("given up after {millis} ms of trying again: {error}"))
                .with_hint("`errors.retry.timeout` is the limit; -1 tries for ever"));
        }
        let wait = self.next;
        self.next = wait.saturating_mul(2).min(self.retries.delay_max);
        Ok(wait)
    }
}

/// Does `work` until it succeeds, fails for good, or the task is to stop. Errors of class Retry
/// are waited out: whatever is in hand stays in hand, and nothing is acknowledged meanwhile.
///
/// # Errors
/// What `work` gives, of class Retry only when the time to finish is over; class Config when it was tried for
/// long enough.
pub fn until_done<T>(
    stop: &Stop,
    stats: &TaskStats,
    retries: Retries,
    mut work: impl FnMut() -> Result<T>,
) -> Result<T> {
    let mut backoff = Backoff::new(retries);
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
                let wait = backoff.next_wait(&error)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_are_given_up_when_their_time_is_over() {
        let retries = Retries { delay_max: Duration::from_millis(150), timeout: Some(Duration::from_millis(30)) };
        let mut backoff = Backoff::new(retries);
        let error = Error::retry("no answer");
        assert_eq!(backoff.next_wait(&error).unwrap(), Duration::from_millis(100));
        std::thread::sleep(Duration::from_millis(30));
        let given_up = backoff.next_wait(&error).unwrap_err();
        assert_eq!(given_up.class(), ErrorClass::Config);
        assert_eq!(given_up.to_string(), "given up after 30 ms of trying again: no answer");
        let mut patient = Backoff::new(Retries { timeout: None, ..retries });
        let waits: Vec<_> = (0..3).map(|_| patient.next_wait(&error).unwrap().as_millis()).collect();
        assert_eq!(waits, [100, 150, 150]);
    }
}
