//! The clients that listen, each with its queue.
//!
//! With a rate a full queue loses what comes on top, as in IRCStream (`MESSAGE_QUEUE_SIZE`), and
//! the loss is counted. Without one the feed waits for room instead, and nothing is lost. A session
//! empties its own queue; it takes the frames as they are, since a message is the same for every
//! client.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

use super::wire::Wire;
use crate::feed::Outlet;
use crate::handle::Shared;
use crate::lock;
use crate::pace::FREE_BATCH;
use crate::stats::Counters;

/// A message as it goes over the wire, and the number of its channel.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) channel: usize,
    pub(super) wire: Bytes,
}

/// All clients of a server.
#[derive(Debug)]
pub(super) struct Members {
    all: Mutex<Vec<Arc<Member>>>,
    /// Garbage that found no listener.
    garbage: Mutex<u64>,
    /// Told when a client joins, leaves or empties its queue. Only the feed waits.
    changed: Arc<Notify>,
    max_queued: usize,
    is_lossless: bool,
    wire: Wire,
    shared: Arc<Shared>,
}

/// One client, from its connection to its end.
#[derive(Debug)]
pub(super) struct Member {
    queue: Mutex<Queue>,
    /// Told when the queue got something. Only the session waits.
    pub(super) ready: Notify,
    changed: Arc<Notify>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Queue {
    channels: BTreeSet<usize>,
    frames: VecDeque<Bytes>,
}

impl Members {
    pub(super) fn new(max_queued: usize, is_lossless: bool, wire: Wire, shared: Arc<Shared>) -> Self {
        Self {
            all: Mutex::default(),
            garbage: Mutex::default(),
            changed: Arc::default(),
            max_queued: max_queued.max(1),
            is_lossless,
            wire,
            shared,
        }
    }

    /// A client that has joined nothing yet. It stays until [`Members::leave`].
    pub(super) fn enter(&self) -> Arc<Member> {
        let member = Arc::new(Member {
            queue: Mutex::default(),
            ready: Notify::new(),
            changed: self.changed.clone(),
            shared: self.shared.clone(),
        });
        lock(&self.all).push(member.clone());
        member
    }

    pub(super) fn leave(&self, member: &Arc<Member>) {
        lock(&self.all).retain(|other| !Arc::ptr_eq(other, member));
        self.changed.notify_one();
    }

    /// Adds channels to those that `member` listens to, all at once, so that none is ahead of the
    /// others.
    pub(super) fn join(&self, member: &Member, channels: impl IntoIterator<Item = usize>) {
        lock(&member.queue).channels.extend(channels);
        let num = std::mem::take(&mut *lock(&self.garbage));
        self.garbage(num);
        self.changed.notify_one();
    }

    /// Queues `num` lines of garbage for every client that listens; none listening, for the next
    /// one.
    pub(super) fn garbage(&self, num: u64) {
        if num == 0 {
            return;
        }
        let mut has_listener = false;
        for member in lock(&self.all).iter() {
            let mut queue = lock(&member.queue);
            if !queue.channels.is_empty() {
                has_listener = true;
                queue.frames.extend((0..num).map(|number| self.wire.garbage(number)));
                member.ready.notify_one();
            }
        }
        if !has_listener {
            let mut waiting = lock(&self.garbage);
            *waiting = waiting.saturating_add(num).min(crate::MAX_GARBAGE);
        }
    }

    /// The first half of a line, for a connection that ends in the middle of one.
    pub(super) fn torn(&self) -> Bytes {
        self.wire.torn()
    }

    /// Whether someone listens, and whether everyone who does has room for a batch.
    fn look(&self) -> (bool, bool) {
        let most = self.max_queued.saturating_sub(FREE_BATCH);
        let (mut is_heard, mut has_room) = (false, true);
        for member in lock(&self.all).iter() {
            let queue = lock(&member.queue);
            is_heard |= !queue.channels.is_empty();
            has_room &= queue.frames.len() <= most;
        }
        (is_heard, has_room)
    }
}

impl Outlet<Frame> for Members {
    async fn opened(&self) {
        while !self.look().0 {
            self.changed.notified().await;
        }
    }

    async fn room(&self) {
        while self.look() != (true, true) {
            self.changed.notified().await;
        }
    }

    fn push(&self, batch: &mut Vec<Frame>) {
        Counters::add(&self.shared.counters.produced, batch.len() as u64);
        let mut num_dropped = 0;
        for member in lock(&self.all).iter() {
            let mut queue = lock(&member.queue);
            let Queue { channels, frames } = &mut *queue;
            for frame in batch.iter().filter(|frame| channels.contains(&frame.channel)) {
                if self.is_lossless || frames.len() < self.max_queued {
                    frames.push_back(frame.wire.clone());
                } else {
                    num_dropped += 1;
                }
            }
            if !frames.is_empty() {
                member.ready.notify_one();
            }
        }
        Counters::add(&self.shared.counters.dropped, num_dropped);
        batch.clear();
    }
}

impl Member {
    pub(super) fn part(&self, channel: usize) {
        lock(&self.queue).channels.remove(&channel);
        self.changed.notify_one();
    }

    pub(super) fn has_joined(&self, channel: usize) -> bool {
        lock(&self.queue).channels.contains(&channel)
    }

    pub(super) fn is_listening(&self) -> bool {
        !lock(&self.queue).channels.is_empty()
    }

    /// Moves queued lines to `out` until it has `most` bytes.
    pub(super) fn drain(&self, out: &mut BytesMut, most: usize) {
        let mut num = 0;
        let mut queue = lock(&self.queue);
        while out.len() < most
            && let Some(frame) = queue.frames.pop_front()
        {
            out.extend_from_slice(&frame);
            num += 1;
        }
        drop(queue);
        if num > 0 {
            Counters::add(&self.shared.counters.frames_sent, num);
            self.changed.notify_one();
        }
    }
}
