//! What was taken and is not yet committed.

use super::dead_letter::{self, Context};
use super::stats::count_reason;
use crate::connector::Rejected;
use crate::ports::log::{Commit, PositionEntry};
use crate::record::{Batch, BatchBuilder};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Polls gathered for one commit.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) batches: Vec<Batch>,
    letters: BatchBuilder,
    pub(super) rejected: u64,
    pub(super) skips: BTreeMap<String, u64>,
    positions: BTreeMap<Vec<u8>, Vec<u8>>,
    since: Option<Instant>,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.since.is_none()
    }

    pub(super) fn num_records(&self) -> u64 {
        self.batches.iter().map(|batch| batch.len() as u64).sum()
    }

    pub(super) fn num_bytes(&self) -> usize {
        self.batches.iter().map(Batch::num_bytes).sum()
    }

    /// Notes that there is something to commit.
    pub(super) fn begin(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    /// Keeps rejected inputs as dead letters.
    pub(super) fn reject(&mut self, rejects: &[Rejected], context: Context<'_>) {
        self.rejected += rejects.len() as u64;
        for rejected in rejects {
            tracing::debug!(connector = context.connector, reason = rejected.reason, "input rejected");
            dead_letter::append(&mut self.letters, rejected, context);
        }
    }

    /// How much longer it may wait for more.
    pub(super) fn time_left(&self, interval: Duration) -> Option<Duration> {
        self.since.map(|since| interval.saturating_sub(since.elapsed()))
    }

    pub(super) fn add_skips(&mut self, skips: Vec<(String, u64)>) {
        skips.into_iter().for_each(|(reason, count)| count_reason(&mut self.skips, &reason, count));
    }

    /// A later position of a partition replaces an earlier one.
    pub(super) fn add_positions(&mut self, positions: Vec<PositionEntry>) {
        self.positions.extend(positions.into_iter().map(|entry| (entry.partition, entry.position)));
    }

    /// The commit of it all.
    pub(super) fn commit(&mut self, topic: &str, dead_letter_topic: &str) -> Commit {
        let mut appends: Vec<(String, Batch)> = self
            .batches
            .iter()
            .filter(|batch| !batch.is_empty())
            .map(|batch| (topic.to_owned(), batch.clone()))
            .collect();
        let letters = std::mem::take(&mut self.letters);
        if !letters.is_empty() {
            appends.push((dead_letter_topic.to_owned(), letters.build()));
        }
        let positions = std::mem::take(&mut self.positions).into_iter();
        let positions = positions.map(|(partition, position)| PositionEntry { partition, position }).collect();
        Commit { appends, positions, group_offsets: Vec::new() }
    }
}
