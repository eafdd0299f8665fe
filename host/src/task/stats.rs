//! What a task counts. Read at any time by whoever shows it.

use crate::record::now_ms;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

/// Reasons are a plugin's constants; one that makes them up shares a counter after this many.
const MAX_REASONS: usize = 100;
const MAX_REASON_BYTES: usize = 200;
/// Changes of versions that are remembered.
const MAX_SWAPS: usize = 20;
const OTHER_REASONS: &str = "(other reasons)";

/// Counts under a reason, in bounded room.
pub(super) fn count_reason(counts: &mut BTreeMap<String, u64>, reason: &str, count: u64) {
    let reason = reason.get(..reason.floor_char_boundary(MAX_REASON_BYTES)).unwrap_or_default();
    let room = counts.len() < MAX_REASONS || counts.contains_key(reason);
    *counts.entry(if room { reason } else { OTHER_REASONS }.to_owned()).or_default() += count;
}

/// Counters of one task, over all its lives.
#[derive(Debug, Default)]
pub struct TaskStats {
    records: AtomicU64,
    bytes: AtomicU64,
    rejected: AtomicU64,
    commits: AtomicU64,
    retries: AtomicU64,
    in_hand: AtomicU64,
    backlog: Mutex<Option<u64>>,
    skips: Mutex<BTreeMap<String, u64>>,
    trouble: Mutex<Option<String>>,
    plugin: Mutex<Option<String>>,
    swaps: Mutex<VecDeque<(i64, String)>>,
    first_commit: OnceLock<Instant>,
}

/// The counters at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records committed to the topic.
    pub records: u64,
    /// Bytes of them, keys and values as stored.
    pub bytes: u64,
    /// Inputs committed to the dead-letter topic.
    pub rejected: u64,
    /// Commits made.
    pub commits: u64,
    /// Tries that failed and were made again.
    pub retries: u64,
    /// Records taken and not yet committed.
    pub in_hand: u64,
    /// How much input waits, in units of its own; none: it does not know.
    pub backlog: Option<u64>,
    /// Inputs left out, by reason.
    pub skips: BTreeMap<String, u64>,
    /// What is being tried again, if something is.
    pub trouble: Option<String>,
    /// Plugin name and version of the version that runs; none: that of the start.
    pub plugin: Option<String>,
    /// The latest changes of versions: when, milliseconds since 1970 UTC, and from which to which.
    pub swaps: Vec<(i64, String)>,
}

impl TaskStats {
    /// Notes a commit.
    pub fn add_commit(&self, records: u64, bytes: u64, rejected: u64, skips: &BTreeMap<String, u64>) {
        if records > 0 {
            self.first_commit.get_or_init(Instant::now);
        }
        self.records.fetch_add(records, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
        self.rejected.fetch_add(rejected, Relaxed);
        self.commits.fetch_add(1, Relaxed);
        self.in_hand.store(0, Relaxed);
        self.add_skips(skips);
    }

    /// Notes inputs that are left out, by reason.
    pub fn add_skips(&self, skips: &BTreeMap<String, u64>) {
        let mut all = self.skips.lock().unwrap_or_else(PoisonError::into_inner);
        skips.iter().for_each(|(reason, count)| count_reason(&mut all, reason, *count));
    }

    /// Notes a try that failed and is made again.
    pub fn add_retry(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    /// Notes how many records were taken and are not yet committed.
    pub fn set_in_hand(&self, records: u64) {
        self.in_hand.store(records, Relaxed);
    }

    /// Notes how much input waits.
    pub fn set_backlog(&self, backlog: Option<u64>) {
        *self.backlog.lock().unwrap_or_else(PoisonError::into_inner) = backlog;
    }

    /// Notes what is being tried again; none: nothing.
    pub fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// Notes which version runs.
    pub fn set_plugin(&self, label: String) {
        *self.plugin.lock().unwrap_or_else(PoisonError::into_inner) = Some(label);
    }

    /// Notes a change of versions.
    pub fn add_swap(&self, what: String) {
        let mut swaps = self.swaps.lock().unwrap_or_else(PoisonError::into_inner);
        swaps.push_back((now_ms(), what));
        if swaps.len() > MAX_SWAPS {
            swaps.pop_front();
        }
    }

    /// Records committed so far.
    pub fn records(&self) -> u64 {
        self.records.load(Relaxed)
    }

    /// Commits made so far.
    pub fn commits(&self) -> u64 {
        self.commits.load(Relaxed)
    }

    /// When the first records were committed.
    pub fn first_commit(&self) -> Option<Instant> {
        self.first_commit.get().copied()
    }

    /// All counters now.
    pub fn counts(&self) -> Counts {
        Counts {
            records: self.records.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            commits: self.commits.load(Relaxed),
            retries: self.retries.load(Relaxed),
            in_hand: self.in_hand.load(Relaxed),
            backlog: *self.backlog.lock().unwrap_or_else(PoisonError::into_inner),
            skips: self.skips.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            trouble: self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            plugin: self.plugin.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            swaps: self.swaps.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect(),
        }
    }
}
