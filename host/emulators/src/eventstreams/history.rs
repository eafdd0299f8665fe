//! The events of a stream, the newest kept for those who come back, and where each reader is.
//!
//! Each reader goes through the history at its own pace, as each client of the real service has its
//! own Kafka consumer. With a rate, a reader that falls out of the history goes on at its oldest
//! event, and the loss is counted; without one the feed waits for the slowest.
//!
//! Invariants: the times of events never fall, whatever the clock does, so that a time names a
//! place; an event is rendered once; garbage is seen once and never again by a reader who resumes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use tokio::sync::{Notify, watch};

use super::request::{Form, From};
use crate::clock::now_ms;
use crate::edits::{Edit, OFFSET_BASE, TOPIC, canary};
use crate::feed::Outlet;
use crate::handle::Shared;
use crate::lines::Event;
use crate::lock;
use crate::pace::FREE_BATCH;
use crate::stats::Counters;

/// How far the feed may be ahead of the slowest reader when there is no rate.
const MAX_AHEAD: usize = 1000;
/// How much a reader takes at a time.
const READ_BYTES: usize = 64 * 1024;

/// An event before it has a time and a place.
#[derive(Debug, Clone)]
pub(super) enum Draft {
    Edit(Box<Edit>),
    /// With a number of its own.
    Canary(u64),
    Recorded(Event),
}

#[derive(Debug)]
pub(super) struct History {
    inner: Mutex<Inner>,
    /// The place after the newest event.
    head: watch::Sender<u64>,
    /// Told when a reader comes, goes or has read. Only the feed waits.
    changed: Notify,
    max_kept: usize,
    is_lossless: bool,
    seed: u64,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: VecDeque<Entry>,
    /// The place of the oldest entry; places start at 0.
    first: u64,
    last_ms: i64,
    readers: BTreeMap<u64, u64>,
    next_reader: u64,
    /// Garbage that found no reader.
    garbage: u64,
}

/// One event as it goes over the wire.
#[derive(Debug)]
struct Entry {
    at_ms: i64,
    wire: Bytes,
    /// Where the data begins; it ends before the empty line.
    data_at: usize,
    is_garbage: bool,
}

/// One client's place in the history. Dropping it says that the client left.
#[derive(Debug)]
pub(super) struct Reader {
    history: Arc<History>,
    number: u64,
    place: u64,
    /// Garbage before this place was for others.
    live_from: u64,
    head: watch::Receiver<u64>,
}

impl History {
    pub(super) fn new(max_kept: usize, is_lossless: bool, seed: u64, shared: Arc<Shared>) -> Self {
        Self {
            inner: Mutex::default(),
            head: watch::Sender::new(0),
            changed: Notify::new(),
            max_kept,
            is_lossless,
            seed,
            shared,
        }
    }

    /// A reader who begins at `from`; before the history's oldest event means at that event.
    pub(super) fn read_from(self: &Arc<Self>, from: From) -> Reader {
        let mut inner = lock(&self.inner);
        let end = inner.end();
        let place = match from {
            From::Now => end,
            From::Time(ms) => inner.first + inner.entries.partition_point(|entry| entry.at_ms < ms) as u64,
            From::Offset(offset) => offset.saturating_sub(OFFSET_BASE).clamp(inner.first, end),
        };
        let number = inner.next_reader;
        inner.next_reader += 1;
        inner.readers.insert(number, place);
        let waiting = std::mem::take(&mut inner.garbage);
        drop(inner);
        self.garbage(waiting);
        self.changed.notify_one();
        Reader { history: self.clone(), number, place, live_from: end, head: self.head.subscribe() }
    }

    /// Puts `num` lines of garbage in front of every reader there is; where there is none, of the
    /// next.
    pub(super) fn garbage(&self, num: u64) {
        let mut inner = lock(&self.inner);
        if inner.readers.is_empty() {
            inner.garbage = inner.garbage.saturating_add(num).min(crate::MAX_GARBAGE);
            return;
        }
        for number in 0..num {
            let (wire, data_at) = garbage(number);
            let at_ms = inner.last_ms;
            inner.entries.push_back(Entry { at_ms, wire, data_at, is_garbage: true });
        }
        self.trim(&mut inner);
        self.head.send_replace(inner.end());
    }

    fn is_ready(&self) -> (bool, bool) {
        let inner = lock(&self.inner);
        let slowest = inner.readers.values().min().copied();
        // The place after which a batch still fits.
        let least = inner.end().saturating_sub((MAX_AHEAD - FREE_BATCH) as u64);
        (slowest.is_some(), slowest.is_some_and(|place| place >= least))
    }
}

impl Outlet<Draft> for History {
    async fn opened(&self) {
        while !self.is_ready().0 {
            self.changed.notified().await;
        }
    }

    async fn room(&self) {
        while !self.is_ready().1 {
            self.changed.notified().await;
        }
    }

    fn push(&self, batch: &mut Vec<Draft>) {
        let mut num_produced = 0;
        let mut out = BytesMut::with_capacity(batch.len() * 1600);
        let mut inner = lock(&self.inner);
        for draft in batch.drain(..) {
            // A clock set back must not make a time name two places.
            let at_ms = now_ms().max(inner.last_ms);
            inner.last_ms = at_ms;
            num_produced += u64::from(!matches!(draft, Draft::Canary(_)));
            let (wire, data_at) = self.render(&mut out, draft, at_ms, OFFSET_BASE + inner.end());
            inner.entries.push_back(Entry { at_ms, wire, data_at, is_garbage: false });
        }
        self.trim(&mut inner);
        self.head.send_replace(inner.end());
        drop(inner);
        Counters::add(&self.shared.counters.produced, num_produced);
    }
}

impl History {
    /// Forgets the oldest events over the bound; without a rate only those that every reader has,
    /// so the history may be [`MAX_AHEAD`] over it.
    fn trim(&self, inner: &mut Inner) {
        let surplus = inner.entries.len().saturating_sub(self.max_kept);
        let unread_from = inner.readers.values().min().copied().filter(|_| self.is_lossless).unwrap_or(u64::MAX);
        let num = surplus.min(usize::try_from(unread_from - inner.first.min(unread_from)).unwrap_or(usize::MAX));
        inner.entries.drain(..num);
        inner.first += num as u64;
    }

    /// An event in the framing of section 4.2, and where its data begins.
    fn render(&self, out: &mut BytesMut, draft: Draft, at_ms: i64, offset: u64) -> (Bytes, usize) {
        let (name, data) = match draft {
            Draft::Edit(edit) => ("message".to_owned(), edit.recentchange(at_ms, &edit.uuid(), offset).into()),
            Draft::Canary(number) => ("message".to_owned(), canary(self.seed, number, at_ms, offset).into()),
            Draft::Recorded(event) => (event.name, event.data),
        };
        let head = format!(
            "event: {name}\nid: [{{\"topic\":\"{TOPIC}\",\"partition\":0,\"timestamp\":{at_ms}}},\
             {{\"topic\":\"codfw.mediawiki.recentchange\",\"partition\":0,\"offset\":-1}}]\ndata: "
        );
        for part in [head.as_bytes(), &data, b"\n\n"] {
            out.extend_from_slice(part);
        }
        (out.split().freeze(), head.len())
    }
}

impl Inner {
    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }
}

impl Reader {
    /// The next events in the form the client asked for, some 64 KiB, and how many. `None` when the
    /// reader has caught up; then [`Reader::grown`] says when to come back.
    pub(super) fn next(&mut self, form: Form) -> Option<(Bytes, u64)> {
        let mut inner = lock(&self.history.inner);
        if self.place < inner.first {
            Counters::add(&self.history.shared.counters.dropped, inner.first - self.place);
            self.place = inner.first;
        }
        let (mut out, mut num) = (BytesMut::new(), 0);
        let skipped = usize::try_from(self.place - inner.first).unwrap_or(usize::MAX);
        for entry in inner.entries.range(skipped.min(inner.entries.len())..) {
            if out.len() >= READ_BYTES {
                break;
            }
            self.place += 1;
            if entry.is_garbage && self.place <= self.live_from {
                continue;
            }
            out.extend_from_slice(&entry.in_form(form));
            num += 1;
        }
        inner.readers.insert(self.number, self.place);
        self.history.trim(&mut inner);
        drop(inner);
        self.history.changed.notify_one();
        (num > 0).then(|| (out.freeze(), num))
    }

    /// Completes when there are events this reader has not seen.
    pub(super) async fn grown(&mut self) {
        let place = self.place;
        // The sender lives in the history, which this reader keeps.
        let _ = self.head.wait_for(|head| *head > place).await;
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        lock(&self.history.inner).readers.remove(&self.number);
        self.history.changed.notify_one();
    }
}

impl Entry {
    fn in_form(&self, form: Form) -> Bytes {
        match form {
            Form::Events => self.wire.clone(),
            // The data and the first of the two line ends.
            Form::Lines => self.wire.slice(self.data_at.min(self.wire.len())..self.wire.len().saturating_sub(1)),
        }
    }
}

/// Bytes that are no event a client can use; `number` chooses which. None of them can be taken for
/// JSON.
fn garbage(number: u64) -> (Bytes, usize) {
    let head: &[u8] = match number % 5 {
        0 => b"data: ",
        1 => b"event: message\nid: \xff\xfe\ndata: ",
        2 => b"\xc3\x28\x80 no field ",
        3 => b"event: message\ndata: ",
        _ => b"id: [\nretry: soon\nevent: error\ndata: ",
    };
    let data: &[u8] = match number % 5 {
        0 => b"{\"$schema\":\"/mediawiki/recentchange/1.0.0\",\"meta\":{\"id\":\"torn",
        1 => b"\xf0\x28\x8c\x28 {]",
        2 => b"\xff\xff",
        3 => b"<html>502 Bad Gateway</html>",
        _ => b"{\"error\":",
    };
    ([head, data, b"\n\n"].concat().into(), head.len())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    fn history(max_kept: usize, is_lossless: bool) -> Arc<History> {
        Arc::new(History::new(max_kept, is_lossless, 1, Shared::new()))
    }

    fn push(history: &History, names: std::ops::Range<u32>) {
        let data = |number: u32| Bytes::from(number.to_string());
        let draft = |number| Draft::Recorded(Event { name: "message".to_owned(), data: data(number) });
        history.push(&mut names.map(draft).collect());
    }

    fn read(reader: &mut Reader) -> Vec<u32> {
        let mut all = Vec::new();
        while let Some((lines, _)) = reader.next(Form::Lines) {
            all.extend(std::str::from_utf8(&lines).unwrap().lines().map(|line| line.parse::<u32>().unwrap()));
        }
        all
    }

    #[test]
    fn the_history_keeps_the_newest_and_no_more() {
        let history = history(10, false);
        let mut slow = history.read_from(From::Now);
        push(&history, 0..25);
        assert_eq!(lock(&history.inner).entries.len(), 10);
        assert_eq!(read(&mut history.read_from(From::Time(0))), (15..25).collect::<Vec<_>>());
        assert_eq!(read(&mut history.read_from(From::Now)), Vec::<u32>::new());
        assert_eq!(read(&mut history.read_from(From::Offset(OFFSET_BASE + 20))), (20..25).collect::<Vec<_>>());
        assert_eq!(history.shared.counters.look().dropped, 0);
        assert_eq!(read(&mut slow), (15..25).collect::<Vec<_>>());
        assert_eq!(history.shared.counters.look().dropped, 15);
    }

    #[test]
    fn a_time_names_its_first_event_inclusive() {
        let history = history(100, false);
        push(&history, 0..5);
        lock(&history.inner).last_ms += 10;
        push(&history, 5..10);
        let at = lock(&history.inner).last_ms;
        assert_eq!(read(&mut history.read_from(From::Time(at))), (5..10).collect::<Vec<_>>());
        assert_eq!(read(&mut history.read_from(From::Time(at + 1))), Vec::<u32>::new());
        assert_eq!(read(&mut history.read_from(From::Time(at - 5))), (5..10).collect::<Vec<_>>());
    }

    #[test]
    fn garbage_is_seen_once_and_never_resumed() {
        let history = history(100, false);
        history.garbage(3);
        push(&history, 0..2);
        let mut first = history.read_from(From::Now);
        assert_eq!(first.next(Form::Events).unwrap().1, 3);
        push(&history, 2..4);
        assert_eq!(read(&mut first), [2, 3]);
        assert_eq!(read(&mut history.read_from(From::Time(0))), [0, 1, 2, 3]);
        assert!((0..10).all(|number| { serde_json::from_slice::<serde_json::Value>(&garbage(number).0).is_err() }));
    }

    #[test]
    fn without_a_rate_the_slowest_reader_decides() {
        let history = history(5, true);
        assert_eq!(history.is_ready(), (false, false));
        let (mut fast, mut slow) = (history.read_from(From::Now), history.read_from(From::Now));
        push(&history, 0..750);
        assert_eq!(history.is_ready(), (true, true));
        push(&history, 750..751);
        assert_eq!(history.is_ready(), (true, false));
        assert_eq!(read(&mut fast).len(), 751);
        assert_eq!(history.is_ready(), (true, false));
        assert_eq!(read(&mut slow).len(), 751);
        assert_eq!(history.is_ready(), (true, true));
        assert_eq!(lock(&history.inner).entries.len(), 5);
    }
}
