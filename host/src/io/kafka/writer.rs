//! One connector task's commits as Kafka transactions.

use super::{TIMEOUT, client, consumer, offsets};
use crate::error::{Error, OrError, Result};
use crate::ports::log::{Commit, GroupOffset, KafkaSettings, LogWriter, WriterId};
use crate::record::{Batch, now_ms};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::Offset;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A commit whose outcome is open is asked for this long, the broker's own transaction limit.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(60);
/// Making room in the producer's queue.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) struct KafkaWriter {
    settings: KafkaSettings,
    id: WriterId,
    // None after a failure that a producer does not outlive.
    producer: Option<BaseProducer>,
}

impl KafkaWriter {
    pub(super) fn open(settings: KafkaSettings, id: &WriterId) -> Result<Self> {
        let producer = make_producer(&settings, id)?;
        Ok(KafkaWriter { settings, id: id.clone(), producer: Some(producer) })
    }

    fn fail(&self, what: &str, error: &KafkaError) -> Error {
        let WriterId { connector, task } = &self.id;
        let at = &self.settings.bootstrap_servers;
        let attempt = format!("Kafka at `{at}`: connector `{connector}` task {task}: {what}");
        if is_fenced(error) {
            return Error::bug(format!("{attempt}: a newer writer has taken over"));
        }
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                Error::config(format!("{attempt}: {error}"))
            }
            _ => Error::retry(format!("{attempt}: {error}")),
        }
    }

    fn write(&self, producer: &BaseProducer, commit: &Commit) -> Result<()> {
        producer.begin_transaction().map_err(|error| self.fail("beginning a transaction", &error))?;
        for (topic, batch) in &commit.appends {
            self.send_batch(producer, topic, batch)?;
        }
        for entry in &commit.positions {
            let (key, value) = offsets::encode(&self.id.connector, entry);
            let record = BaseRecord::to(&self.settings.offsets_topic).key(&key).payload(&value).timestamp(now_ms());
            self.send(producer, record)?;
        }
        self.send_group_offsets(producer, &commit.group_offsets)?;
        let deadline = Instant::now() + COMMIT_TIMEOUT;
        loop {
            match producer.commit_transaction(TIMEOUT) {
                Ok(()) => return Ok(()),
                // The commit is under way: asking again continues it.
                Err(error) if is_retriable(&error) && Instant::now() < deadline => {
                    tracing::warn!(connector = self.id.connector, %error, "commit is taking long");
                }
                Err(error) => return Err(self.fail("committing a transaction", &error)),
            }
        }
    }

    fn send_batch(&self, producer: &BaseProducer, topic: &str, batch: &Batch) -> Result<()> {
        for record in batch.records() {
            let mut out: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).timestamp(record.timestamp);
            if let Some(key) = record.key {
                out = out.key(key);
            }
            if let Some(value) = record.value {
                out = out.payload(value);
            }
            let headers = record.headers();
            if !headers.is_empty() {
                let list = OwnedHeaders::new_with_capacity(headers.len());
                let insert = |list: OwnedHeaders, (key, value)| list.insert(Header { key, value });
                out = out.headers(headers.into_iter().fold(list, insert));
            }
            self.send(producer, out)?;
        }
        Ok(())
    }

    fn send<K: rdkafka::message::ToBytes + ?Sized, P: rdkafka::message::ToBytes + ?Sized>(
        &self,
        producer: &BaseProducer,
        record: BaseRecord<'_, K, P>,
    ) -> Result<()> {
        let deadline = Instant::now() + QUEUE_TIMEOUT;
        let mut record = record;
        loop {
            match producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                    if Instant::now() < deadline =>
                {
                    record = back;
                    producer.poll(Duration::from_millis(10));
                }
                Err((error, _)) => return Err(self.fail("producing", &error)),
            }
        }
    }

    fn send_group_offsets(&self, producer: &BaseProducer, offsets: &[GroupOffset]) -> Result<()> {
        let mut groups: BTreeMap<&str, Vec<&GroupOffset>> = BTreeMap::new();
        offsets.iter().for_each(|offset| groups.entry(&offset.group).or_default().push(offset));
        for (group, offsets) in groups {
            let consumer: BaseConsumer = consumer(&self.settings, group).create().or_config("Kafka consumer")?;
            let Some(metadata) = consumer.group_metadata() else {
                return Err(Error::bug(format!("Kafka gave no metadata for group `{group}`")));
            };
            let mut list = TopicPartitionList::new();
            for offset in offsets {
                let next = Offset::Offset(offset.next);
                list.add_partition_offset(&offset.topic, offset.partition, next).or_bug("offset list")?;
            }
            let sent = producer.send_offsets_to_transaction(&list, &metadata, TIMEOUT);
            sent.map_err(|error| self.fail("adding offsets to a transaction", &error))?;
        }
        Ok(())
    }
}

impl LogWriter for KafkaWriter {
    fn commit(&mut self, commit: &Commit) -> Result<()> {
        let producer = match self.producer.take() {
            Some(producer) => producer,
            None => make_producer(&self.settings, &self.id)?,
        };
        let written = self.write(&producer, commit);
        match &written {
            Ok(()) => self.producer = Some(producer),
            // A producer that cannot even take back its transaction is given up; the next one's
            // start takes it back.
            Err(_) => match producer.abort_transaction(TIMEOUT) {
                Ok(()) => self.producer = Some(producer),
                Err(error) => tracing::debug!(%error, "cannot abort, making a new producer"),
            },
        }
        written
    }
}

fn make_producer(settings: &KafkaSettings, id: &WriterId) -> Result<BaseProducer> {
    let WriterId { connector, task } = id;
    let attempt = format!("Kafka at `{}`: producer of connector `{connector}` task {task}", settings.bootstrap_servers);
    let mut config = client(settings);
    config
        // Kafka Connect's form, with our group in place of the cluster's.
        .set("transactional.id", format!("connector-host-{connector}-{task}"))
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("partitioner", "murmur2_random")
        // A commit flushes at once; while it is being filled, larger requests are cheaper.
        .set("linger.ms", "5")
        .set("batch.size", "1000000")
        .set("queue.buffering.max.messages", "200000")
        .set("queue.buffering.max.kbytes", "262144");
    let producer: BaseProducer = config.create().or_config(&attempt)?;
    producer.init_transactions(TIMEOUT).or_retry(format!("{attempt}: starting transactions"))?;
    Ok(producer)
}

fn is_fenced(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{Fenced, InvalidProducerEpoch, ProducerFenced};
    matches!(error.rdkafka_error_code(), Some(ProducerFenced | Fenced | InvalidProducerEpoch))
}

fn is_retriable(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(inner) if inner.is_retriable() && !inner.txn_requires_abort())
}
