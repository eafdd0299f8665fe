//! What happened, for whoever asks: counters, the last requests that came, and the last that went out
//! for rows.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{Method, StatusCode, Uri};

use crate::lock;

/// How many requests are remembered, and how much of each.
const MAX_SEEN: usize = 1000;
const MAX_TARGET_CHARS: usize = 512;

/// A request that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverlordRequest {
    /// Its method.
    pub method: String,
    /// Its path and query as they came, at most 512 characters.
    pub target: String,
    /// The status of the answer; `None` where none was sent, or not yet.
    pub status: Option<u16>,
}

/// A request that a task made for rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverlordFetch {
    /// The task.
    pub task: String,
    /// The path of the URI, at most 512 characters; redirects are not shown.
    pub path: String,
    /// The `Range` header, such as `bytes=0-`.
    pub range: String,
    /// The status of the answer; `None` where none came, or not yet.
    pub status: Option<u16>,
    /// Bytes of its body, packed where they are packed.
    pub bytes: u64,
}

/// A look at an Overlord emulator. Counters only rise; the numbers of tasks are those that it knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OverlordStats {
    /// Requests that came.
    pub requests: u64,
    /// Requests that were answered with 400 or above.
    pub refused: u64,
    /// Requests that got no answer: their answer lost.
    pub unanswered: u64,
    /// Requests and tasks that something was made to go wrong with.
    pub faulted: u64,
    /// Tasks that were taken.
    pub submitted: u64,
    /// Tasks that wait for a lock.
    pub waiting: u64,
    /// Tasks that wait for a slot.
    pub pending: u64,
    /// Tasks that run.
    pub running: u64,
    /// Tasks that ended well.
    pub succeeded: u64,
    /// Tasks that failed.
    pub failed: u64,
    /// Requests that tasks made for rows.
    pub fetches: u64,
    /// Bytes of the answers to those, packed where they are packed.
    pub fetched_bytes: u64,
    /// Rows that queries see, by data source.
    pub rows: BTreeMap<String, u64>,
    /// Segments that queries see, by data source.
    pub segments: BTreeMap<String, u64>,
}

#[derive(Debug, Default)]
pub(super) struct Log {
    requests: AtomicU64,
    refused: AtomicU64,
    unanswered: AtomicU64,
    faulted: AtomicU64,
    submitted: AtomicU64,
    fetches: AtomicU64,
    fetched_bytes: AtomicU64,
    seen: Mutex<Last<OverlordRequest>>,
    fetched: Mutex<Last<OverlordFetch>>,
}

/// The last things of a kind, each with a number.
#[derive(Debug)]
struct Last<T> {
    first: u64,
    all: VecDeque<T>,
}

impl<T> Default for Last<T> {
    fn default() -> Self {
        Self { first: 0, all: VecDeque::new() }
    }
}

impl<T> Last<T> {
    fn push(&mut self, one: T) -> u64 {
        self.all.push_back(one);
        if self.all.len() > MAX_SEEN {
            self.all.pop_front();
            self.first += 1;
        }
        self.first + self.all.len() as u64 - 1
    }

    fn get(&mut self, number: u64) -> Option<&mut T> {
        let at = number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.all.get_mut(at))
    }
}

/// Counters guard nothing, so their order among each other does not matter.
fn add(counter: &AtomicU64, num: u64) {
    counter.fetch_add(num, Ordering::Relaxed);
}

impl Log {
    /// Notes a request. Returns its number, for [`Log::answered`].
    pub(super) fn saw(&self, method: &Method, uri: &Uri) -> u64 {
        add(&self.requests, 1);
        let target = uri.path_and_query().map_or("", |target| target.as_str());
        let target: String = target.chars().take(MAX_TARGET_CHARS).collect();
        let method = method.as_str().chars().take(MAX_TARGET_CHARS).collect();
        lock(&self.seen).push(OverlordRequest { method, target, status: None })
    }

    /// Notes what a request was answered with; `None` for nothing.
    pub(super) fn answered(&self, number: u64, status: Option<StatusCode>) {
        match status {
            None => add(&self.unanswered, 1),
            Some(status) => add(&self.refused, u64::from(status.as_u16() >= 400)),
        }
        if let Some(request) = lock(&self.seen).get(number) {
            request.status = status.map(|status| status.as_u16());
        }
    }

    pub(super) fn faulted(&self) {
        add(&self.faulted, 1);
    }

    pub(super) fn submitted(&self) {
        add(&self.submitted, 1);
    }

    /// Notes a request for rows. Returns its number, for [`Log::fetched`] and [`Log::got`].
    pub(super) fn fetches(&self, task: &str, uri: &Uri, offset: u64) -> u64 {
        add(&self.fetches, 1);
        let path: String = uri.path().chars().take(MAX_TARGET_CHARS).collect();
        let range = format!("bytes={offset}-");
        lock(&self.fetched).push(OverlordFetch { task: task.to_owned(), path, range, status: None, bytes: 0 })
    }

    pub(super) fn fetched(&self, number: u64, status: u16) {
        if let Some(fetch) = lock(&self.fetched).get(number) {
            fetch.status = Some(status);
        }
    }

    pub(super) fn got(&self, number: u64, bytes: u64) {
        add(&self.fetched_bytes, bytes);
        if let Some(fetch) = lock(&self.fetched).get(number) {
            fetch.bytes += bytes;
        }
    }

    pub(super) fn requests(&self) -> Vec<OverlordRequest> {
        lock(&self.seen).all.iter().cloned().collect()
    }

    pub(super) fn last_fetches(&self) -> Vec<OverlordFetch> {
        lock(&self.fetched).all.iter().cloned().collect()
    }

    /// The counters; the rest is left empty.
    pub(super) fn look(&self) -> OverlordStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        OverlordStats {
            requests: get(&self.requests),
            refused: get(&self.refused),
            unanswered: get(&self.unanswered),
            faulted: get(&self.faulted),
            submitted: get(&self.submitted),
            fetches: get(&self.fetches),
            fetched_bytes: get(&self.fetched_bytes),
            ..OverlordStats::default()
        }
    }
}
