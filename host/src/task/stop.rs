//! The signal that ends a task: seen between steps, and wakes whoever waits.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Asked to stop, and until when.
#[derive(Debug, Default)]
pub struct Stop {
    deadline: Mutex<Option<Instant>>,
    changed: Condvar,
}

impl Stop {
    /// Asks to stop; what is in hand may still be committed until `within` is over. The first
    /// deadline stands.
    pub fn ask(&self, within: Duration) {
        let mut deadline = self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        deadline.get_or_insert_with(|| Instant::now() + within);
        self.changed.notify_all();
    }

    /// Whether someone asked.
    pub fn is_asked(&self) -> bool {
        self.deadline.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Whether the time to finish is over too.
    pub fn is_over(&self) -> bool {
        self.deadline.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Waits, at most until someone asks; true if someone did.
    pub fn wait(&self, time: Duration) -> bool {
        let guard = self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(guard, time, |deadline| deadline.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.is_some()
    }

    /// Waits between two tries: returns early when someone asks, or, once asked, when the time to
    /// finish is over. False: do not try again.
    pub fn wait_to_retry(&self, time: Duration) -> bool {
        let guard = self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        match *guard {
            None => {
                let waited = self.changed.wait_timeout_while(guard, time, |deadline| deadline.is_none());
                drop(waited);
                true
            }
            Some(deadline) => {
                drop(guard);
                let left = deadline.saturating_duration_since(Instant::now());
                std::thread::sleep(time.min(left));
                !left.is_zero()
            }
        }
    }
}
