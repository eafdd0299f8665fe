//! One connector task's commits as Kafka transactions, each of them once, whatever happens to the
//! connection.
//!
//! Recovery has one way only. A producer that cannot finish a transaction, nor take it back at once,
//! is given up. Starting the next one makes the broker end that transaction, one way or the other;
//! which way, and whether this is still the task's writer, the protocol does not tell. The marks
//! (`marks.rs`) do: the last one in the topic is
//! - this writer's last known one: the transaction was taken back, and the commit is written again;
//! - that of the transaction in question: the commit is there, and is not written again;
//! - another writer's: a newer one has taken over, and this one is at its end.
//!
//! The last needs every writer to begin with a transaction that holds nothing but its mark. Without
//! it, an older host that comes back after an outage would take the transactional id from a newer
//! one, and write again what that one had already read; and a broker that ended a transaction by its
//! time limit could not be told from a newer writer, because librdkafka calls both fenced.
//!
//! Marks are records of their own and not headers of position records, because a commit need not have
//! positions and theirs are spread over partitions. One small record a transaction is the price.

use super::marks::{Mark, Place, transactional_id};
use super::produce::{Deliveries, Kind, Producing, drain, producer_config, record};
use super::settled::Until;
use super::{TIMEOUT, consumer};
use crate::crash::CrashPoint;
use crate::error::{Error, OrError, Result};
use crate::ports::log::{Commit, GroupOffset, KafkaSettings, LogWriter, WriterId};
use crate::record::now_ms;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::topic_partition_list::Offset;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

/// Taking back a transaction: a broker that is there answers at once, and otherwise it ends anyway.
const ABORT_TIMEOUT: Duration = Duration::from_secs(1);

/// From the moment a newer writer fences this one until its first mark can be read.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) struct KafkaWriter {
    out: Producing,
    place: Place,
    // This writer's name and the number of its last transaction begun.
    mark: Mark,
    // Number and mark's offset of the last transaction known to be committed.
    committed: (u64, i64),
    // Number of a transaction with unknown end, and the print of what it held.
    open: Option<(u64, u64)>,
    // Print of a commit that was found committed after its caller had been told otherwise.
    found: Option<u64>,
    // None after a failure that a producer does not outlive.
    producer: Option<BaseProducer<Deliveries>>,
}

impl KafkaWriter {
    /// Takes over from any older writer. `partitions` are those of the offsets topic.
    pub(super) fn open(settings: KafkaSettings, id: &WriterId, partitions: i32) -> Result<Self> {
        let producer = make_producer(&settings, id)?;
        let mark = Mark { writer: format!("{:016x}", rand::random::<u64>()), number: 0 };
        let mut writer = KafkaWriter {
            place: Place::new(id, partitions),
            out: Producing::new(settings, id),
            mark,
            committed: (0, 0),
            open: None,
            found: None,
            producer: None,
        };
        writer.write(&producer, &Commit::default())?;
        writer.producer = Some(producer);
        Ok(writer)
    }

    fn taken_over(&self) -> Error {
        // Not a defect: starting again would only take it back, and so on for ever.
        let error = Error::config(self.out.attempt("a newer writer has taken over"));
        error.with_hint("another host runs a connector of this name: stop one of them, or rename it")
    }

    /// Refuses to go on when the last mark is another writer's.
    fn last_own_mark(&self, until: Until) -> Result<Option<(u64, i64)>> {
        match self.place.last(&self.out.settings, self.committed.1, until)? {
            Some((mark, _)) if mark.writer != self.mark.writer => Err(self.taken_over()),
            last => Ok(last.map(|(mark, offset)| (mark.number, offset))),
        }
    }

    /// What to say of having been fenced; fails when a newer writer did it.
    fn ask_who_fenced(&self) -> Result<Error> {
        let deadline = Instant::now() + CLAIM_TIMEOUT;
        while Instant::now() < deadline {
            self.last_own_mark(Until::Shown)?;
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(Error::retry(self.out.attempt("the broker has ended the transaction, and no newer writer is there")))
    }

    /// A new producer, and what became of the transaction that the one before left open.
    fn reopen(&mut self) -> Result<BaseProducer<Deliveries>> {
        // A newer writer is not disturbed where it can be seen without taking the id from it.
        self.last_own_mark(Until::Shown)?;
        let producer = make_producer(&self.out.settings, &self.out.id)?;
        let last = self.last_own_mark(Until::Settled)?;
        if let Some((number, print)) = self.open.take()
            && let Some((found, offset)) = last
            && found == number
        {
            tracing::info!(connector = self.out.id.connector, "the last commit was made after all");
            (self.committed, self.found) = ((number, offset), Some(print));
        }
        Ok(producer)
    }

    fn write(&mut self, producer: &BaseProducer<Deliveries>, commit: &Commit) -> Result<()> {
        self.mark.number += 1;
        producer.context().begin();
        producer.begin_transaction().map_err(|error| self.out.fail("beginning a transaction", &error))?;
        for (topic, batch) in &commit.appends {
            self.out.send_batch(producer, topic, batch)?;
        }
        self.out.send_positions(producer, &commit.positions)?;
        let topic = &self.out.settings.offsets_topic;
        let (key, value) = (&self.place.key, self.mark.encode());
        let mark = record(topic, Kind::Mark).partition(self.place.partition).timestamp(now_ms());
        self.out.send(producer, mark.key(key).payload(&value))?;
        self.send_group_offsets(producer, &commit.group_offsets)?;
        let sent = drain(producer, TIMEOUT);
        CrashPoint::LogBeforeCommit.pass();
        let made = sent.and_then(|()| producer.commit_transaction(TIMEOUT));
        CrashPoint::LogAfterCommit.pass();
        made.map_err(|error| self.out.explain(producer, "committing a transaction", &error))?;
        self.committed = (self.mark.number, producer.context().mark_offset());
        Ok(())
    }

    fn send_group_offsets(&self, producer: &BaseProducer<Deliveries>, offsets: &[GroupOffset]) -> Result<()> {
        let mut groups: BTreeMap<&str, Vec<&GroupOffset>> = BTreeMap::new();
        offsets.iter().for_each(|offset| groups.entry(&offset.group).or_default().push(offset));
        for (group, offsets) in groups {
            let consumer = consumer(&self.out.settings, group)?;
            let Some(metadata) = consumer.group_metadata() else {
                return Err(Error::bug(format!("Kafka gave no metadata for group `{group}`")));
            };
            let mut list = TopicPartitionList::new();
            for offset in offsets {
                let next = Offset::Offset(offset.next);
                list.add_partition_offset(&offset.topic, offset.partition, next).or_bug("offset list")?;
            }
            let sent = producer.send_offsets_to_transaction(&list, &metadata, TIMEOUT);
            sent.map_err(|error| self.out.fail("adding offsets to a transaction", &error))?;
        }
        Ok(())
    }
}

impl LogWriter for KafkaWriter {
    /// Whether a commit that fails with class Retry was made after all shows when the same commit
    /// is given again: then it is not made twice.
    fn commit(&mut self, commit: &Commit) -> Result<()> {
        let producer = match self.producer.take() {
            Some(producer) => producer,
            None => self.reopen()?,
        };
        if let Some(found) = self.found.take()
            && found == print(commit)
        {
            self.producer = Some(producer);
            return Ok(());
        }
        if let Err(error) = self.out.expect_topics(&producer, commit) {
            self.producer = Some(producer);
            return Err(error);
        }
        let Err(error) = self.write(&producer, commit) else {
            self.producer = Some(producer);
            return Ok(());
        };
        if let Err(abort) = take_back(&producer) {
            tracing::debug!(connector = self.out.id.connector, %abort, "giving up a producer");
            self.open = Some((self.mark.number, print(commit)));
            let fenced = producer.client().fatal_error().is_some();
            drop(producer);
            return Err(if fenced { self.ask_who_fenced()? } else { error });
        }
        self.producer = Some(producer);
        Err(error)
    }
}

fn take_back(producer: &BaseProducer<Deliveries>) -> Result<(), KafkaError> {
    // Aborting throws away what is still queued, but waits for delivery reports and does not take
    // them; and what a producer sends after it has thrown something away may be thrown away too.
    drain(producer, ABORT_TIMEOUT)?;
    producer.abort_transaction(ABORT_TIMEOUT)
}

/// What a commit holds, in a number.
fn print(commit: &Commit) -> u64 {
    let mut print = DefaultHasher::new();
    for (topic, batch) in &commit.appends {
        topic.hash(&mut print);
        for record in batch.records() {
            (record.key, record.value, record.headers(), record.timestamp).hash(&mut print);
        }
    }
    for entry in &commit.positions {
        (&entry.partition, &entry.position).hash(&mut print);
    }
    for offset in &commit.group_offsets {
        (&offset.group, &offset.topic, offset.partition, offset.next).hash(&mut print);
    }
    print.finish()
}

fn make_producer(settings: &KafkaSettings, id: &WriterId) -> Result<BaseProducer<Deliveries>> {
    let attempt = Producing::new(settings.clone(), id).attempt("making a producer");
    let mut config = producer_config(settings);
    config.set("transactional.id", transactional_id(id));
    let producer: BaseProducer<_> = config.create_with_context(Deliveries::default()).or_config(&attempt)?;
    producer.init_transactions(TIMEOUT).or_retry(format!("{attempt}: starting transactions"))?;
    Ok(producer)
}
