//! Which events have been seen lately, so that those a feed gives twice become one record.
//!
//! EventStreams resumes by time: after a reconnect, events of the last millisecond come again.
//! Invariants: the window holds the newest [`WINDOW`] hashes of event ids; [`hash`] is part of the
//! stored position, so a change of it lets repeated events through once. Two ids with one hash
//! lose an event; within the window that is one chance in some 10^15.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

/// Events remembered: about two minutes of all wikis.
const WINDOW: usize = 4096;
/// Events remembered over a restart, in the stored position: some seconds of all wikis.
const STORED: usize = 128;

/// The newest event ids.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    order: VecDeque<u64>,
    hashes: HashSet<u64, HashOnce>,
}

impl Seen {
    /// Remembers an id; false when it was there already.
    pub(crate) fn insert(&mut self, hash: u64) -> bool {
        if !self.hashes.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        if self.order.len() > WINDOW {
            if let Some(oldest) = self.order.pop_front() {
                self.hashes.remove(&oldest);
            }
        }
        true
    }

    /// The newest hashes to store, oldest first.
    pub(crate) fn newest(&self) -> impl Iterator<Item = u64> + '_ {
        self.order.iter().skip(self.order.len().saturating_sub(STORED)).copied()
    }
}

/// A number for an event id, eight bytes at a time; the same in every version.
pub(crate) fn hash(id: &[u8]) -> u64 {
    let mut hasher = Words(0);
    hasher.write(id);
    hasher.finish()
}

/// Hashes for tables whose keys nobody chooses in order to slow them down.
pub(crate) type HashOnce = BuildHasherDefault<Words>;

/// A multiplicative hash of 64-bit words with MurmurHash3's finalizer.
#[derive(Debug, Default)]
pub(crate) struct Words(u64);

impl Words {
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(29) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for Words {
    fn write(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((chunk, tail)) = rest.split_first_chunk::<8>() {
            self.add(u64::from_le_bytes(*chunk));
            rest = tail;
        }
        let mut last = [0; 8];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        // The length keeps a text and the same text with zero bytes behind it apart.
        self.add(u64::from_le_bytes(last));
        self.add(bytes.len() as u64);
    }

    fn write_u64(&mut self, word: u64) {
        self.add(word);
    }

    fn finish(&self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        mixed ^ (mixed >> 33)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_forgets_the_oldest_first() {
        let mut seen = Seen::default();
        let ids = 0..WINDOW as u64;
        assert!(ids.clone().all(|id| seen.insert(id)));
        assert!(!ids.clone().any(|id| seen.insert(id)));
        assert!(seen.insert(WINDOW as u64));
        assert!(seen.insert(0), "the oldest has left");
        assert!(!seen.insert(2));
        assert_eq!(seen.hashes.len(), WINDOW);
        let newest: Vec<_> = seen.newest().collect();
        assert_eq!((newest.len(), newest.last()), (STORED, Some(&0)));
    }

    #[test]
    fn hashes_stay_the_same_and_differ() {
        // A changed number here lets duplicates through once after an upgrade.
        assert_eq!(hash(b"00000000-0000-4000-8000-0000000000aa"), 0x7481_d74c_46e1_10b9);
        let ids = (0..10_000).map(|n| format!("00000000-0000-4000-8000-{n:012x}"));
        let hashes: HashSet<_> = ids.map(|id| hash(id.as_bytes())).collect();
        assert_eq!(hashes.len(), 10_000);
        assert_ne!(hash(b"a"), hash(b"a\0"));
    }
}
