//! The bounded buffer between a connection and its reader.
//!
//! Frames that were read stay until they are committed, so that an instance that dies half-way
//! loses none: the next one reads them again. They count towards the bound.

use crate::ports::feed::Frames;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// What a frame costs beside its bytes.
const OVERHEAD: usize = std::mem::size_of::<Frame>();
/// How much of what was committed is kept for rehearsals.
const RECENT_FRAMES: usize = 256;
const RECENT_BYTES: usize = 256 << 10;

/// One frame as received.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) data: Bytes,
    pub(super) origin: Arc<str>,
    pub(super) resume: Option<Arc<str>>,
    pub(super) received_ms: i64,
}

impl Frame {
    fn cost(&self) -> usize {
        self.data.len() + self.resume.as_ref().map_or(0, |resume| resume.len()) + OVERHEAD
    }
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Frame>,
    // Frames at the front that were read and not committed.
    taken: usize,
    bytes: usize,
    // The latest ones that were committed.
    recent: VecDeque<Frame>,
    received: u64,
    overflowed: u64,
    closed: bool,
}

/// What a buffer counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counts {
    pub(super) received: u64,
    pub(super) overflowed: u64,
    pub(super) waiting: usize,
}

pub(super) struct Buffer {
    state: Mutex<State>,
    filled: Condvar,
    room: Notify,
    max_bytes: usize,
}

impl Buffer {
    pub(super) fn new(max_bytes: usize) -> Self {
        Buffer { state: Mutex::default(), filled: Condvar::new(), room: Notify::new(), max_bytes }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a frame, or counts it as lost.
    pub(super) fn push_or_drop(&self, frame: Frame) {
        let mut state = self.lock();
        state.received += 1;
        if state.bytes + frame.cost() > self.max_bytes && !state.frames.is_empty() {
            state.overflowed += 1;
            // Loud at the first and then ever more rarely: the counter tells the rest.
            if state.overflowed.is_power_of_two() {
                let (dropped, limit) = (state.overflowed, self.max_bytes);
                tracing::warn!(dropped, limit, "feed buffer is full, frames are dropped");
            }
            return;
        }
        self.append(state, frame);
    }

    /// Takes a frame when there is room.
    pub(super) async fn push(&self, frame: Frame) {
        loop {
            // Made before looking, so that room made in between is not missed.
            let room = self.room.notified();
            {
                let mut state = self.lock();
                // One frame larger than the buffer still gets through, alone.
                if state.bytes + frame.cost() <= self.max_bytes || state.frames.is_empty() || state.closed {
                    state.received += 1;
                    self.append(state, frame);
                    return;
                }
            }
            room.await;
        }
    }

    fn append(&self, mut state: MutexGuard<'_, State>, frame: Frame) {
        state.bytes += frame.cost();
        state.frames.push_back(frame);
        drop(state);
        self.filled.notify_one();
    }

    /// The next frames; none at all once closed and empty.
    pub(super) fn read(&self, max_frames: usize, max_bytes: usize, wait: Duration) -> Option<Frames> {
        let waited = self
            .filled
            .wait_timeout_while(self.lock(), wait, |state| state.taken == state.frames.len() && !state.closed);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        if state.closed && state.taken == state.frames.len() {
            return None;
        }
        let mut out = Frames::default();
        let mut origins: Vec<&Arc<str>> = Vec::new();
        for frame in state.frames.iter().skip(state.taken).take(max_frames.max(1)) {
            if !out.lens.is_empty() && out.data.len() + frame.data.len() > max_bytes {
                break;
            }
            let known = origins.iter().position(|origin| *origin == &frame.origin);
            let origin = known.unwrap_or_else(|| {
                origins.push(&frame.origin);
                origins.len() - 1
            });
            out.data.extend_from_slice(&frame.data);
            out.lens.push(u32::try_from(frame.data.len()).unwrap_or(u32::MAX));
            out.received_ms.push(frame.received_ms);
            out.origins.push(u32::try_from(origin).unwrap_or(u32::MAX));
        }
        out.origin_names = origins.into_iter().map(|origin| origin.to_string()).collect();
        let taken = state.taken + out.lens.len();
        let last = state.frames.get(taken.wrapping_sub(1)).filter(|_| !out.lens.is_empty());
        out.resume = last.and_then(|frame| frame.resume.as_ref().map(|resume| resume.to_string()));
        state.taken = taken;
        Some(out)
    }

    /// Forgets what was read.
    pub(super) fn commit(&self) {
        let mut state = self.lock();
        let taken = std::mem::take(&mut state.taken);
        let State { frames, recent, bytes, .. } = &mut *state;
        for frame in frames.drain(..taken) {
            *bytes = bytes.saturating_sub(frame.cost());
            recent.push_back(frame);
            if recent.len() > RECENT_FRAMES {
                recent.pop_front();
            }
        }
        drop(state);
        self.room.notify_waiters();
    }

    /// A buffer that holds the latest committed frames and no others, ever.
    pub(super) fn rehearsal(&self) -> Self {
        let state = self.lock();
        let mut bytes = 0;
        let fits = |frame: &&Frame| {
            bytes += frame.cost();
            bytes <= RECENT_BYTES
        };
        let mut frames: VecDeque<Frame> = state.recent.iter().rev().take_while(fits).cloned().collect();
        frames.make_contiguous().reverse();
        let state = State { received: frames.len() as u64, frames, closed: true, ..State::default() };
        Buffer { state: Mutex::new(state), filled: Condvar::new(), room: Notify::new(), max_bytes: RECENT_BYTES }
    }

    /// Gives what was read once more; how many frames that is.
    pub(super) fn rewind(&self) -> usize {
        std::mem::take(&mut self.lock().taken)
    }

    pub(super) fn counts(&self) -> Counts {
        let state = self.lock();
        let waiting = state.frames.len() - state.taken;
        Counts { received: state.received, overflowed: state.overflowed, waiting }
    }

    /// Wakes everyone; what is in the buffer can still be read.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
        self.room.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &str) -> Frame {
        let resume = Some(Arc::from(format!("after {text}")));
        Frame { data: Bytes::copy_from_slice(text.as_bytes()), origin: Arc::from("#c"), resume, received_ms: 7 }
    }

    fn read(buffer: &Buffer, frames: usize) -> String {
        let frames = buffer.read(frames, 1 << 20, Duration::ZERO).unwrap();
        String::from_utf8(frames.data).unwrap()
    }

    #[test]
    fn what_is_not_committed_is_read_again() {
        let buffer = Buffer::new(1 << 20);
        ["a", "b", "c"].iter().for_each(|text| buffer.push_or_drop(frame(text)));
        assert_eq!(read(&buffer, 2), "ab");
        assert_eq!(buffer.rewind(), 2);
        assert_eq!(read(&buffer, 2), "ab");
        buffer.commit();
        assert_eq!(buffer.rewind(), 0);
        let rest = buffer.read(9, 1 << 20, Duration::ZERO).unwrap();
        assert_eq!((rest.data.as_slice(), rest.resume.as_deref()), (&b"c"[..], Some("after c")));
        assert_eq!((rest.origin_names, rest.origins), (vec!["#c".to_owned()], vec![0]));
    }

    #[test]
    fn a_full_buffer_drops_the_newest_and_counts_it() {
        let buffer = Buffer::new(2 * frame("x").cost());
        ["a", "b", "c"].iter().for_each(|text| buffer.push_or_drop(frame(text)));
        assert_eq!(read(&buffer, 9), "ab");
        let counts = buffer.counts();
        assert_eq!((counts.received, counts.overflowed), (3, 1));
        // Frames in flight count too.
        buffer.push_or_drop(frame("d"));
        buffer.commit();
        buffer.push_or_drop(frame("e"));
        assert_eq!(read(&buffer, 9), "e");
    }

    #[tokio::test]
    async fn a_blocked_push_goes_on_when_there_is_room() {
        let buffer = Arc::new(Buffer::new(frame("x").cost()));
        buffer.push(frame("a")).await;
        let pushing = tokio::spawn({
            let buffer = Arc::clone(&buffer);
            async move { buffer.push(frame("b")).await }
        });
        assert_eq!(read(&buffer, 9), "a");
        tokio::task::yield_now().await;
        assert!(!pushing.is_finished());
        buffer.commit();
        tokio::time::timeout(Duration::from_secs(5), pushing).await.unwrap().unwrap();
        assert_eq!(read(&buffer, 9), "b");
        assert_eq!(buffer.counts().overflowed, 0);
    }

    #[test]
    fn a_rehearsal_has_the_latest_frames_that_were_committed() {
        let buffer = Buffer::new(1 << 20);
        (0..RECENT_FRAMES + 2).for_each(|number| buffer.push_or_drop(frame(&format!("{number} "))));
        buffer.read(RECENT_FRAMES + 1, 1 << 20, Duration::ZERO).unwrap();
        assert_eq!(buffer.rehearsal().read(9, 9, Duration::ZERO), None, "nothing is committed");
        buffer.commit();
        let rehearsal = buffer.rehearsal();
        assert_eq!((read(&rehearsal, 2), rehearsal.counts().waiting), ("1 2 ".to_owned(), RECENT_FRAMES - 2));
        rehearsal.read(RECENT_FRAMES, 1 << 20, Duration::ZERO).unwrap();
        assert_eq!(rehearsal.read(9, 9, Duration::from_secs(60)), None);
        assert_eq!(read(&buffer, 9), format!("{} ", RECENT_FRAMES + 1), "the buffer itself goes on");
    }

    #[test]
    fn a_closed_buffer_is_read_to_its_end() {
        let buffer = Buffer::new(1 << 20);
        buffer.push_or_drop(frame("a"));
        buffer.close();
        assert_eq!(read(&buffer, 9), "a");
        assert_eq!(buffer.read(9, 9, Duration::from_secs(60)), None);
    }
}
