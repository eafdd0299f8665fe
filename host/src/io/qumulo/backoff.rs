//! How long to wait before something is tried again, and when it is enough.

use rand::RngExt;
use std::time::{Duration, Instant};

/// First wait of a call that is repeated: a busy cluster is free again within a second.
const FIRST: Duration = Duration::from_millis(100);
/// A task that waits longer in a call no longer says what it is doing.
const LONGEST: Duration = Duration::from_secs(5);
/// A cluster may ask us to wait, but not in the middle of a call for ever.
const LONGEST_ASKED: Duration = Duration::from_secs(10);
/// Tries of one call, however fast each fails.
const MAX_TRIES: u32 = 12;

/// Doubling waits with jitter, so that many hosts do not come back at once.
#[derive(Debug, Clone)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Backoff { first, longest, failures: 0 }
    }

    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Between half and all of `first * 2^failures`, at most `longest`.
    pub(super) fn next_wait(&mut self) -> Duration {
        let longest = self.first.saturating_mul(1 << self.failures.min(16)).min(self.longest);
        self.failures += 1;
        longest.mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}

/// The tries of one call, bounded in number and time.
#[derive(Debug)]
pub(super) struct Tries {
    backoff: Backoff,
    until: Instant,
}

impl Tries {
    pub(super) fn new(within: Duration) -> Self {
        Tries { backoff: Backoff::new(FIRST, LONGEST), until: Instant::now() + within }
    }

    /// The wait before the next try; none: it was enough. `asked` is what the cluster asked for.
    pub(super) fn next_wait(&mut self, asked: Option<Duration>) -> Option<Duration> {
        if self.backoff.failures + 1 >= MAX_TRIES {
            return None;
        }
        let wait = self.backoff.next_wait();
        let wait = asked.map_or(wait, |asked| asked.clamp(wait, LONGEST_ASKED));
        (Instant::now() + wait < self.until).then_some(wait)
    }

    /// Something went well: what comes now is another failure.
    pub(super) fn progress(&mut self, within: Duration) {
        self.backoff.reset();
        self.until = Instant::now() + within;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_tries_end() {
        let mut tries = Tries::new(Duration::from_secs(3600));
        let waits: Vec<Duration> = std::iter::from_fn(|| tries.next_wait(None)).collect();
        assert_eq!(waits.len(), 11);
        assert!(waits.iter().all(|wait| *wait <= LONGEST) && waits[10] >= LONGEST / 2, "{waits:?}");
        assert!(waits[0] <= FIRST, "{waits:?}");
        assert_eq!(Tries::new(Duration::ZERO).next_wait(None), None);
    }

    #[test]
    fn what_the_cluster_asks_for_is_kept_within_bounds() {
        let mut tries = Tries::new(Duration::from_secs(3600));
        assert_eq!(tries.next_wait(Some(Duration::from_secs(2))), Some(Duration::from_secs(2)));
        assert_eq!(tries.next_wait(Some(Duration::from_secs(3600))), Some(LONGEST_ASKED));
        assert!(tries.next_wait(Some(Duration::ZERO)) > Some(Duration::ZERO));
    }
}
