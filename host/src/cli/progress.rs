//! Live progress: lines that are rewritten on a terminal, one for each connector; a plain line now and then
//! elsewhere.

use super::output::{bytes, error_line, number};
use crate::ports::feed::FeedState;
use crate::worker::{TaskState, TaskStatus};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);
/// Without a terminal, a line this often.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// Does something to standard error with the progress line out of the way.
pub(super) fn suspended<T>(work: impl FnOnce() -> T) -> T {
    let bar = SHOWN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match bar {
        Some(bar) => bar.suspend(work),
        None => work(),
    }
}

/// Shows what the worker is doing until it is dropped.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    began: Instant,
    said: Instant,
    looked: Instant,
    // Records at the last look, and their rate.
    rates: BTreeMap<String, (u64, f64)>,
}

impl Progress {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
            // The template is a constant; a wrong one would only look plain.
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.clone());
            bar
        });
        Progress { bar, began: now, said: now, looked: now, rates: BTreeMap::new() }
    }

    /// Shows the state now.
    pub(super) fn show(&mut self, statuses: &[TaskStatus]) {
        let since = self.looked.elapsed();
        if since >= Duration::from_millis(500) {
            self.looked = Instant::now();
            let mut records: BTreeMap<&String, u64> = BTreeMap::new();
            for status in statuses {
                *records.entry(&status.name).or_default() += status.counts.records;
            }
            for (name, records) in records {
                let (last, rate) = self.rates.entry(name.clone()).or_default();
                #[allow(clippy::cast_precision_loss)] // A rate for people.
                let now = records.saturating_sub(*last) as f64 / since.as_secs_f64();
                *rate = if *last == 0 { now } else { 0.5 * *rate + 0.5 * now };
                *last = records;
            }
        }
        match &self.bar {
            Some(bar) => {
                bar.set_message(self.describe(statuses).join("\n  "));
                bar.tick();
            }
            None if self.said.elapsed() >= PLAIN_EVERY => {
                self.said = Instant::now();
                error_line(&self.describe(statuses).join("  "));
            }
            None => {}
        }
    }

    /// The time, then a line for each task.
    fn describe(&self, statuses: &[TaskStatus]) -> Vec<String> {
        let seconds = self.began.elapsed().as_secs();
        let mut lines = vec![format!("{:02}:{:02}", seconds / 60, seconds % 60)];
        for status in statuses {
            let counts = &status.counts;
            let (name, records, size) = (&status.name, number(counts.records), bytes(counts.bytes));
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let rate = number(self.rates.get(name).map_or(0.0, |(_, rate)| rate.max(0.0)) as u64);
            let rejected = number(counts.rejected);
            let mut text = format!("{name}: {records} records, {size}, {rate}/s, {rejected} rejected");
            if let Some(trouble) = status.state.trace().or(counts.trouble.as_deref()) {
                text.push_str(&format!(", {}: {trouble}", status.state.name()));
            } else if let Some(feed) = status.feed.as_ref().filter(|_| status.state == TaskState::Running) {
                let state = match (&feed.state, &feed.note) {
                    (FeedState::Connected, Some(note)) => format!("connected ({note})"),
                    (FeedState::Connected, None) => "connected".to_owned(),
                    (FeedState::Connecting(None), _) => format!("connecting to {}", feed.endpoint),
                    (FeedState::Connecting(Some(error)), _) => format!("reconnecting to {} ({error})", feed.endpoint),
                    (FeedState::Idle, _) => "starting".to_owned(),
                    (FeedState::Closed, _) => "closed".to_owned(),
                };
                text.push_str(&format!(", feed {state}"));
                if feed.overflowed > 0 {
                    text.push_str(&format!(", {} frames dropped", number(feed.overflowed)));
                }
            }
            lines.push(text);
        }
        lines
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = None;
            bar.finish_and_clear();
        }
    }
}

/// Shows how far a known amount of work is, until it is dropped; without a terminal a line now and then.
pub(super) struct Steps {
    bar: Option<ProgressBar>,
    what: &'static str,
    done: u64,
    all: u64,
    said: Instant,
}

impl Steps {
    pub(super) fn new(what: &'static str, all: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(all), ProgressDrawTarget::stderr_with_hz(10));
            if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} {wide_msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(what);
            *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.clone());
            bar
        });
        Steps { bar, what, done: 0, all, said: Instant::now() }
    }

    /// One more is done, or being done.
    pub(super) fn step(&mut self, name: &str) {
        self.done += 1;
        match &self.bar {
            Some(bar) => {
                bar.set_position(self.done);
                bar.set_message(name.to_owned());
            }
            None if self.said.elapsed() >= PLAIN_EVERY => {
                self.said = Instant::now();
                error_line(&format!("{} {} of {}", self.what, number(self.done), number(self.all)));
            }
            None => {}
        }
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = None;
            bar.finish_and_clear();
        }
    }
}
