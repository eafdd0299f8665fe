//! When something is done again and again: after a time, or when a calendar says so.

use crate::error::{Error, OrError, Result};
use chrono::{DateTime, Utc};
use croner::Cron;
use std::str::FromStr;
use std::time::Duration;

/// A schedule.
#[derive(Debug, Clone)]
pub enum Schedule {
    /// This long after the last time.
    Every(Duration),
    /// By a cron pattern, in UTC.
    Cron(Box<Cron>),
}

impl FromStr for Schedule {
    type Err = Error;

    /// `10s`, `5m 30s`, or a cron pattern of five or six fields, or one of its names such as `@daily`.
    fn from_str(text: &str) -> Result<Self> {
        if let Ok(every) = humantime::parse_duration(text) {
            return match every.is_zero() {
                true => Err(Error::config(format!("`{text}` is no time between two rounds"))),
                false => Ok(Schedule::Every(every)),
            };
        }
        let cron = Cron::from_str(text).or_config(format!(
            "`{}` is neither a time such as `30s` nor a cron pattern such as `*/5 * * * *`",
            text.escape_debug()
        ))?;
        Ok(Schedule::Cron(Box::new(cron)))
    }
}

/// A schedule that is being kept.
#[derive(Debug)]
pub struct Timer {
    schedule: Schedule,
    /// Milliseconds since 1970 UTC; of a cron pattern.
    next: Option<i64>,
    /// The wall clock at the last look.
    seen: i64,
    /// For times: when it was last due. None: never, so it is due at once.
    last: Option<std::time::Instant>,
}

impl Timer {
    /// Begins now: a time is due at once, a cron pattern when it says so.
    pub fn new(schedule: Schedule) -> Self {
        Timer { schedule, next: None, seen: i64::MIN, last: None }
    }

    /// Whether it is due, at `now_ms` by the wall clock. Stays due until [`Timer::done`].
    ///
    /// A wall clock that jumps forth makes a pattern due once, not once for each time that was passed
    /// over; one that jumps back does not keep it waiting for the time that comes again.
    pub fn is_due(&mut self, now_ms: i64) -> bool {
        match &self.schedule {
            Schedule::Every(every) => self.last.is_none_or(|last| last.elapsed() >= *every),
            Schedule::Cron(cron) => {
                let was_due = self.next.is_some_and(|next| next <= self.seen);
                let went_back = now_ms < self.seen;
                self.seen = now_ms;
                if was_due {
                    return true;
                }
                if went_back || self.next.is_none() {
                    self.next = next_of(cron, now_ms);
                }
                self.next.is_some_and(|next| next <= now_ms)
            }
        }
    }

    /// What was due was done.
    pub fn done(&mut self) {
        self.last = Some(std::time::Instant::now());
        self.next = None;
    }
}

fn next_of(cron: &Cron, now_ms: i64) -> Option<i64> {
    let now: DateTime<Utc> = DateTime::from_timestamp_millis(now_ms)?;
    cron.find_next_occurrence(&now, false).ok().map(|next| next.timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_patterns_are_read() {
        assert!(matches!("90s".parse(), Ok(Schedule::Every(every)) if every == Duration::from_secs(90)));
        assert!(matches!("*/5 * * * *".parse(), Ok(Schedule::Cron(_))));
        assert!(matches!("@daily".parse(), Ok(Schedule::Cron(_))));
        for bad in ["", "0s", "often", "61 * * * *"] {
            let error = bad.parse::<Schedule>().unwrap_err().to_string();
            assert!(error.contains(bad), "{error}");
        }
    }

    #[test]
    fn a_pattern_is_due_once_however_the_clock_jumps() {
        let minute = 60_000;
        let start = 1_795_574_000_000 / minute * minute;
        let mut timer = Timer::new("0 * * * *".parse().unwrap());
        let hour = (start / 3_600_000 + 1) * 3_600_000;
        assert!(!timer.is_due(start.min(hour - minute)));
        assert!(!timer.is_due(hour - 1));
        assert!(timer.is_due(hour));
        assert!(timer.is_due(hour + 1), "until it is done");
        assert!(timer.is_due(hour - 5), "also when the clock steps back meanwhile");
        timer.done();
        assert!(!timer.is_due(hour + 2));
        // Ten hours forth: due once.
        assert!(timer.is_due(hour + 36_000_000));
        timer.done();
        assert!(!timer.is_due(hour + 36_000_001));
        // A day back: the next full hour of then.
        assert!(!timer.is_due(hour - 86_400_000 + 1));
        assert!(timer.is_due(hour - 86_400_000 + 3_600_000));
    }

    #[test]
    fn a_time_is_due_at_once_and_after_itself() {
        let mut timer = Timer::new(Schedule::Every(Duration::from_secs(3600)));
        assert!(timer.is_due(0));
        timer.done();
        assert!(!timer.is_due(i64::MAX));
    }
}
