//! What happened, for whoever asks: counters, and the last requests.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{Method, StatusCode};

use crate::lock;

/// How many requests are remembered, and how much of each.
const MAX_SEEN: usize = 1000;
const MAX_TARGET_CHARS: usize = 512;

/// A request that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QumuloRequest {
    /// Its method.
    pub method: String,
    /// Its path and query as they came, at most 512 characters.
    pub target: String,
    /// The status of the answer; `None` where none was sent, or not yet.
    pub status: Option<u16>,
}

/// A look at the counters of a Qumulo emulator. They only rise, but for those that say `now`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QumuloStats {
    /// Connections there are now.
    pub connections_now: u64,
    /// Connections there have ever been.
    pub connections_ever: u64,
    /// Requests that came.
    pub requests: u64,
    /// Requests that were answered with 400 or above.
    pub refused: u64,
    /// Requests that got no answer: cut, or their answer lost.
    pub unanswered: u64,
    /// Requests that something was made to go wrong with.
    pub faulted: u64,
    /// Logins that succeeded.
    pub logins: u64,
    /// Bytes of file data that were read.
    pub bytes_read: u64,
    /// Bytes of file data that were written.
    pub bytes_written: u64,
    /// Event streams there are now.
    pub watchers_now: u64,
}

#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) connections_now: AtomicU64,
    connections_ever: AtomicU64,
    requests: AtomicU64,
    refused: AtomicU64,
    unanswered: AtomicU64,
    faulted: AtomicU64,
    logins: AtomicU64,
    pub(super) bytes_read: AtomicU64,
    pub(super) bytes_written: AtomicU64,
    /// The last requests, and the number of the first of them.
    seen: Mutex<(u64, VecDeque<QumuloRequest>)>,
}

/// Counters guard nothing, so their order among each other does not matter.
pub(super) fn add(counter: &AtomicU64, num: u64) {
    counter.fetch_add(num, Ordering::Relaxed);
}

impl Log {
    /// Notes a request. Returns its number, for [`Log::answered`].
    pub(super) fn saw(&self, method: &Method, path: &str, query: Option<&str>) -> u64 {
        add(&self.requests, 1);
        let whole = path.chars().chain(query.map(|_| '?')).chain(query.unwrap_or_default().chars());
        let target: String = whole.take(MAX_TARGET_CHARS).collect();
        let method = method.as_str().chars().take(MAX_TARGET_CHARS).collect();
        let mut seen = lock(&self.seen);
        let (first, requests) = &mut *seen;
        requests.push_back(QumuloRequest { method, target, status: None });
        if requests.len() > MAX_SEEN {
            requests.pop_front();
            *first += 1;
        }
        *first + requests.len() as u64 - 1
    }

    /// Notes what a request was answered with; `None` for nothing.
    pub(super) fn answered(&self, number: u64, status: Option<StatusCode>) {
        match status {
            None => add(&self.unanswered, 1),
            Some(status) => add(&self.refused, u64::from(status.as_u16() >= 400)),
        }
        let mut seen = lock(&self.seen);
        let (first, requests) = &mut *seen;
        let at = number.checked_sub(*first).and_then(|at| usize::try_from(at).ok());
        if let Some(request) = at.and_then(|at| requests.get_mut(at)) {
            request.status = status.map(|status| status.as_u16());
        }
    }

    pub(super) fn faulted(&self) {
        add(&self.faulted, 1);
    }

    pub(super) fn logged_in(&self) {
        add(&self.logins, 1);
    }

    pub(super) fn connected(&self) {
        add(&self.connections_now, 1);
        add(&self.connections_ever, 1);
    }

    pub(super) fn disconnected(&self) {
        self.connections_now.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn requests(&self) -> Vec<QumuloRequest> {
        lock(&self.seen).1.iter().cloned().collect()
    }

    pub(super) fn look(&self, watchers_now: usize) -> QumuloStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        QumuloStats {
            connections_now: get(&self.connections_now),
            connections_ever: get(&self.connections_ever),
            requests: get(&self.requests),
            refused: get(&self.refused),
            unanswered: get(&self.unanswered),
            faulted: get(&self.faulted),
            logins: get(&self.logins),
            bytes_read: get(&self.bytes_read),
            bytes_written: get(&self.bytes_written),
            watchers_now: watchers_now as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_requests_are_remembered_with_their_answers() {
        let log = Log::default();
        let first = log.saw(&Method::GET, "/first", None);
        for _ in 0..MAX_SEEN {
            log.saw(&Method::GET, &"x".repeat(10_000), Some("a=b"));
        }
        let last = log.saw(&Method::PUT, "/last", Some("a=b"));
        log.answered(first, Some(StatusCode::OK));
        log.answered(last, Some(StatusCode::NOT_FOUND));
        let seen = log.requests();
        assert_eq!(seen.len(), MAX_SEEN);
        assert!(seen.iter().all(|request| request.target.len() <= MAX_TARGET_CHARS));
        let expected = QumuloRequest { method: "PUT".to_owned(), target: "/last?a=b".to_owned(), status: Some(404) };
        assert_eq!(seen.last(), Some(&expected));
        assert_eq!(log.look(0).refused, 1);
    }
}
