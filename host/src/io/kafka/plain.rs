//! Commits without transactions: at least once, in an order that loses nothing. Records first; when the broker
//! has all of them, positions; then offsets of groups. What fails in the middle is made again from the start.
//!
//! Nobody is fenced: two living writers of one identity both write.

use super::produce::{Deliveries, Producing, drain, producer_config};
use super::{TIMEOUT, consumer};
use crate::crash::CrashPoint;
use crate::error::{OrError, Result};
use crate::ports::log::{Commit, KafkaSettings, LogWriter, WriterId};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, Producer, PurgeConfig};
use rdkafka::topic_partition_list::Offset;

/// Writes commits that may be there more than once.
pub(super) struct PlainWriter {
    out: Producing,
    producer: BaseProducer<Deliveries>,
}

impl PlainWriter {
    pub(super) fn open(settings: KafkaSettings, id: &WriterId) -> Result<Self> {
        let config = producer_config(&settings);
        let out = Producing::new(settings, id);
        let made = config.create_with_context(Deliveries::default());
        Ok(PlainWriter { producer: made.or_config(out.attempt("making a producer"))?, out })
    }

    /// Waits until the broker has all that was sent.
    fn settle(&self, what: &str) -> Result<()> {
        let sent = drain(&self.producer, TIMEOUT);
        if let Err(error) = &sent {
            // What is still queued would come after what is sent in its place.
            self.producer.purge(PurgeConfig::default().queue().inflight());
            drain(&self.producer, TIMEOUT).map_err(|_| self.out.fail(what, error))?;
        }
        match (sent, self.producer.context().failure()) {
            (Ok(()), None) => Ok(()),
            (Err(error), _) => Err(self.out.fail(what, &error)),
            (Ok(()), Some((_, error))) => Err(self.out.explain(&self.producer, what, &error)),
        }
    }

    fn send_records(&self, commit: &Commit) -> Result<()> {
        self.producer.context().begin();
        let mut appends = commit.appends.iter();
        let queued = appends.try_for_each(|(topic, batch)| self.out.send_batch(&self.producer, topic, batch));
        // Those before one that could not be queued are on their way all the same.
        self.settle("producing").and(queued)
    }
}

impl LogWriter for PlainWriter {
    fn commit(&mut self, commit: &Commit) -> Result<()> {
        self.out.expect_topics(&self.producer, commit)?;
        self.send_records(commit)?;
        CrashPoint::LogBeforeCommit.pass();
        self.producer.context().begin();
        let queued = self.out.send_positions(&self.producer, &commit.positions);
        self.settle("producing positions").and(queued)?;
        for offset in &commit.group_offsets {
            let mut list = TopicPartitionList::new();
            let next = Offset::Offset(offset.next);
            list.add_partition_offset(&offset.topic, offset.partition, next).or_bug("offset list")?;
            let consumer = consumer(&self.out.settings, &offset.group)?;
            let committed = consumer.commit(&list, CommitMode::Sync);
            committed.map_err(|error| self.out.fail("committing offsets of a group", &error))?;
        }
        CrashPoint::LogAfterCommit.pass();
        Ok(())
    }
}
