//! How fast edits are produced: a steady rate, or as fast as the clients read.
//!
//! Invariant: over any stretch the number produced follows the rate, without bursts to catch up for
//! more than a second that the process did not run.

use std::time::Duration;

use tokio::time::Instant;

use crate::Error;
use crate::clock::later;

/// The highest rate. Far over what one machine renders, but it keeps batches small.
pub const MAX_RATE: f64 = 1_000_000.0;
/// Edits in one go without a rate: enough to make hand-over cheap, few enough for a queue of 1,000.
pub(crate) const FREE_BATCH: usize = 250;
/// Edits in one go at any rate.
const MAX_BATCH: u64 = 20_000;
/// The longest stretch between two batches when edits are closer to each other than this.
const TICK: Duration = Duration::from_millis(10);
/// The shortest; timers are no finer.
const MIN_TICK: Duration = Duration::from_millis(1);
/// How much of a pause is made up for.
const MAX_CATCH_UP: Duration = Duration::from_secs(1);

/// Says when how many edits are due.
#[derive(Debug)]
pub(crate) struct Pace {
    rate: f64,
    from: Instant,
    produced: u64,
}

impl Pace {
    /// Counts from now. A `rate` of 0 is no rate.
    ///
    /// # Errors
    /// [`Error::Rate`] when `rate` is no number from 0 to [`MAX_RATE`].
    pub(crate) fn try_new(rate: f64) -> Result<Self, Error> {
        // A rate that is not a number is in no range.
        if !(0.0..=MAX_RATE).contains(&rate) {
            return Err(Error::Rate { found: rate, most: MAX_RATE });
        }
        Ok(Self { rate, from: Instant::now(), produced: 0 })
    }

    /// Whether clients decide the pace.
    pub(crate) fn is_free(&self) -> bool {
        self.rate == 0.0
    }

    /// Forgets the time until now.
    pub(crate) fn restart(&mut self) {
        self.from = Instant::now();
        self.produced = 0;
    }

    /// Waits until edits are due and returns how many, at least one. Without a rate that is
    /// [`FREE_BATCH`] at once.
    pub(crate) async fn due(&mut self) -> usize {
        if self.is_free() {
            return FREE_BATCH;
        }
        // Batches small enough not to overrun a client's queue of 1,000 by themselves.
        let tick = time_for(FREE_BATCH as f64, self.rate).clamp(MIN_TICK, TICK);
        let next = time_for((self.produced + 1) as f64, self.rate);
        let earliest = self.from.elapsed().saturating_add(tick);
        let is_dense = next < earliest && self.rate * TICK.as_secs_f64() > 1.0;
        tokio::time::sleep_until(later(self.from, if is_dense { earliest } else { next })).await;
        let (num, is_behind) = due(self.rate, self.from.elapsed(), self.produced);
        if is_behind {
            self.restart();
        } else {
            self.produced += num;
        }
        usize::try_from(num).unwrap_or(usize::MAX)
    }
}

/// How long `num` edits take; without end for the smallest rates.
fn time_for(num: f64, rate: f64) -> Duration {
    Duration::try_from_secs_f64(num / rate).unwrap_or(Duration::MAX)
}

/// How many edits are due `elapsed` after the start when `produced` have been made, and whether so
/// much time was lost that counting must start anew.
fn due(rate: f64, elapsed: Duration, produced: u64) -> (u64, bool) {
    let missing = ((elapsed.as_secs_f64() * rate) as u64).saturating_sub(produced);
    let most = ((rate * MAX_CATCH_UP.as_secs_f64()) as u64).clamp(1, MAX_BATCH);
    (missing.clamp(1, most), missing > most)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_number_due_follows_the_rate() {
        let at = |ms| Duration::from_millis(ms);
        assert_eq!(due(30.0, at(34), 0), (1, false));
        assert_eq!(due(30.0, at(1000), 29), (1, false));
        assert_eq!(due(5000.0, at(10), 0), (50, false));
        assert_eq!(due(5000.0, at(20), 50), (50, false));
        assert_eq!(due(0.1, at(10_000), 0), (1, false));
        assert_eq!(due(100.0, at(60_000), 0), (100, true));
        assert_eq!(due(1e6, at(60_000), 0), (MAX_BATCH, true));
    }

    #[test]
    fn rates_that_cannot_be_kept_are_refused() {
        for rate in [-1.0, f64::NAN, f64::INFINITY, 2e6] {
            assert!(Pace::try_new(rate).unwrap_err().to_string().contains("expected 0 to 1000000"));
        }
    }

    #[tokio::test]
    async fn the_smallest_rate_waits_and_does_not_overflow() {
        let mut pace = Pace::try_new(1e-300).unwrap();
        let waited = tokio::time::timeout(Duration::from_millis(20), pace.due()).await;
        assert!(waited.is_err());
    }

    #[tokio::test]
    async fn edits_come_at_the_rate_asked_for() {
        let mut pace = Pace::try_new(2000.0).unwrap();
        let begin = Instant::now();
        let mut num = 0;
        while num < 400 {
            num += pace.due().await;
        }
        let elapsed = begin.elapsed().as_secs_f64();
        // Never early; late only by what the machine adds.
        assert!(num as f64 <= elapsed * 2000.0 + 1.0, "{num} in {elapsed} s");
        assert!(elapsed < 2.0, "{elapsed} s for 400 edits at 2,000 a second");
    }
}
