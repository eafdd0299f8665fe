//! Sending records to a broker, with or without a transaction around them: what both kinds of writers share.

use super::{Quiet, TIMEOUT, client, offsets};
use crate::error::{Error, Result};
use crate::ports::log::{Commit, KafkaSettings, PositionEntry, WriterId};
use crate::record::{Batch, now_ms};
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message, OwnedHeaders, ToBytes};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Making room in the producer's queue.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(30);

/// Who sends, and where to.
pub(super) struct Producing {
    pub(super) settings: KafkaSettings,
    pub(super) id: WriterId,
    // Topics that were there when last asked.
    topics: BTreeSet<String>,
}

impl Producing {
    pub(super) fn new(settings: KafkaSettings, id: &WriterId) -> Self {
        Producing { settings, id: id.clone(), topics: BTreeSet::new() }
    }

    pub(super) fn attempt(&self, what: &str) -> String {
        let WriterId { connector, task } = &self.id;
        format!("Kafka at `{}`: connector `{connector}` task {task}: {what}", self.settings.bootstrap_servers)
    }

    pub(super) fn fail(&self, what: &str, error: &KafkaError) -> Error {
        let attempt = self.attempt(what);
        match error.rdkafka_error_code() {
            Some(code) if is_for_operator(code) => Error::config(format!("{attempt}: {error}")),
            _ => Error::retry(format!("{attempt}: {error}")),
        }
    }

    /// Why something failed: the first record that did, or else `error`, which may only say that one has.
    pub(super) fn explain(&self, producer: &BaseProducer<Deliveries>, what: &str, error: &KafkaError) -> Error {
        match producer.context().failure() {
            Some((topic, cause)) => self.fail(&format!("producing to topic `{topic}`"), &cause),
            None => self.fail(what, error),
        }
    }

    /// Refuses topics that are not there; sending to them fails only after half a minute.
    pub(super) fn expect_topics(&mut self, producer: &BaseProducer<Deliveries>, commit: &Commit) -> Result<()> {
        let missing = |topics: &BTreeSet<String>| {
            let mut wanted = commit.appends.iter().map(|(topic, _)| topic);
            wanted.find(|topic| !topics.contains(*topic)).cloned()
        };
        if missing(&self.topics).is_none() {
            return Ok(());
        }
        let asked = producer.client().fetch_metadata(None, TIMEOUT);
        let metadata = asked.map_err(|error| self.fail("asking for topics", &error))?;
        let known = metadata.topics().iter().filter(|topic| topic.error().is_none());
        self.topics = known.map(|topic| topic.name().to_owned()).collect();
        match missing(&self.topics) {
            None => Ok(()),
            Some(topic) => Err(Error::config(self.attempt(&format!("topic `{topic}` is not there")))),
        }
    }

    pub(super) fn send_batch(&self, producer: &BaseProducer<Deliveries>, topic: &str, batch: &Batch) -> Result<()> {
        for batched in batch.records() {
            let mut out = record(topic, Kind::Other).timestamp(batched.timestamp);
            if let Some(key) = batched.key {
                out = out.key(key);
            }
            if let Some(value) = batched.value {
                out = out.payload(value);
            }
            let headers = batched.headers();
            if !headers.is_empty() {
                let list = OwnedHeaders::new_with_capacity(headers.len());
                let insert = |list: OwnedHeaders, (key, value)| list.insert(Header { key, value });
                out = out.headers(headers.into_iter().fold(list, insert));
            }
            self.send(producer, out)?;
        }
        Ok(())
    }

    pub(super) fn send<K: ToBytes + ?Sized, P: ToBytes + ?Sized>(
        &self,
        producer: &BaseProducer<Deliveries>,
        record: BaseRecord<'_, K, P, usize>,
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
                    producer.poll(Duration::from_millis(1));
                }
                Err((error, back)) => return Err(self.fail(&format!("producing to topic `{}`", back.topic), &error)),
            }
        }
    }

    pub(super) fn send_positions(
        &self,
        producer: &BaseProducer<Deliveries>,
        positions: &[PositionEntry],
    ) -> Result<()> {
        for entry in positions {
            let (key, value) = offsets::encode(&self.id.connector, entry);
            let to = record(&self.settings.offsets_topic, Kind::Other).timestamp(now_ms());
            self.send(producer, to.key(&key).payload(&value))?;
        }
        Ok(())
    }
}

/// Settings of a producer, but for a transactional id.
pub(super) fn producer_config(settings: &KafkaSettings) -> ClientConfig {
    let mut config = client(settings);
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("partitioner", "murmur2_random")
        .set("compression.type", &settings.compression)
        // A commit flushes at once; while it is being filled, larger requests are cheaper.
        .set("linger.ms", "5")
        .set("batch.size", "1000000")
        .set("queue.buffering.max.messages", "200000")
        .set("queue.buffering.max.kbytes", "262144");
    config
}

/// Sends what is queued, and takes the delivery reports. The library's own `flush` takes them every
/// 100 ms, and a commit would take no less.
pub(super) fn drain(producer: &BaseProducer<Deliveries>, within: Duration) -> Result<(), KafkaError> {
    let deadline = Instant::now() + within;
    while producer.in_flight_count() > 0 {
        if Instant::now() >= deadline {
            return Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut));
        }
        producer.poll(Duration::from_millis(1));
    }
    Ok(())
}

/// Failures that do not pass by themselves.
pub(super) fn is_for_operator(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{
        ClusterAuthorizationFailed, GroupAuthorizationFailed, InvalidTopic, MessageSizeTooLarge,
        TopicAuthorizationFailed, TransactionalIdAuthorizationFailed, UnknownPartition, UnknownTopic,
        UnknownTopicOrPartition,
    };
    matches!(
        code,
        ClusterAuthorizationFailed
            | GroupAuthorizationFailed
            | InvalidTopic
            | MessageSizeTooLarge
            | TopicAuthorizationFailed
            | TransactionalIdAuthorizationFailed
            | UnknownPartition
            | UnknownTopic
            | UnknownTopicOrPartition
    )
}

/// What a delivery report is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Other,
    Mark,
}

pub(super) fn record<'a, K: ToBytes + ?Sized, P: ToBytes + ?Sized>(
    topic: &'a str,
    kind: Kind,
) -> BaseRecord<'a, K, P, usize> {
    BaseRecord::with_opaque_to(topic, kind as usize)
}

/// Takes the delivery reports of one transaction.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    state: Mutex<Delivered>,
}

#[derive(Debug, Default)]
struct Delivered {
    failure: Option<(String, KafkaError)>,
    mark_offset: i64,
}

impl Deliveries {
    pub(super) fn begin(&self) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = Delivered::default();
    }

    /// The first record that failed: its topic and why.
    pub(super) fn failure(&self) -> Option<(String, KafkaError)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).failure.clone()
    }

    pub(super) fn mark_offset(&self) -> i64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).mark_offset
    }
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        Quiet.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, kind: usize) {
        match result {
            Ok(message) if kind == Kind::Mark as usize => {
                self.state.lock().unwrap_or_else(PoisonError::into_inner).mark_offset = message.offset();
            }
            Ok(_) => {}
            Err((error, message)) => {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.failure.get_or_insert_with(|| (message.topic().to_owned(), error.clone()));
            }
        }
    }
}
