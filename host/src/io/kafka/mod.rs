//! Kafka as the log: the only room that knows librdkafka.
//!
//! Invariants:
//! - a commit is one Kafka transaction of the connector task's own transactional id, so records
//!   and positions become visible together, and a newer writer fences an older one; a commit whose
//!   end was not told is looked for before it is made again (`writer.rs`); without transactions records come
//!   before positions, and may come again (`plain.rs`);
//! - a sink's task commits offsets as a member of its group, which refuses them once it is none (`member.rs`);
//! - positions are kept as Kafka Connect keeps source offsets: topic `connect-offsets`, key
//!   `["connector",{partition}]`, value `{position}`;
//! - readers see committed records only;
//! - every call to a broker has a time limit.

mod marks;
mod member;
mod offsets;
mod plain;
mod produce;
mod reader;
mod settled;
mod writer;

use crate::error::{Error, OrError, Result};
use crate::ports::group::{GroupMember, Membership};
use crate::ports::log::{
    GroupOffset, KafkaSettings, Log, LogReader, LogWriter, PositionEntry, TopicInfo, TopicSpec, Watermarks, WriterId,
};
use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::Offset;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// One answer of a broker; Kafka's own `request.timeout.ms` is 30 s, and a start that hangs longer
/// than this helps nobody.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// Readers are in no group, and librdkafka wants a name all the same.
const READERS: &str = "connector-host-reader";

fn client(settings: &KafkaSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &settings.bootstrap_servers).set("client.id", "connector-host");
    for (key, value) in &settings.properties {
        config.set(key, value);
    }
    for (key, value) in &settings.secrets {
        config.set(key, value.expose());
    }
    config
}

fn consumer_config(settings: &KafkaSettings, group: &str) -> ClientConfig {
    let mut config = client(settings);
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        // The end of a partition is told after this wait, Kafka's 500 ms a partition otherwise.
        .set("fetch.wait.max.ms", "50");
    config
}

/// A consumer; it joins its group only to commit.
fn consumer(settings: &KafkaSettings, group: &str) -> Result<BaseConsumer<Quiet>> {
    let attempt = || format!("Kafka consumer for `{}`", settings.bootstrap_servers);
    consumer_config(settings, group).create_with_context(Quiet).or_config(attempt())
}

/// What librdkafka says by itself repeats our errors, or is none, as the end of a partition; it is
/// for those who ask.
struct Quiet;

impl ClientContext for Quiet {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
    }
}

impl ConsumerContext for Quiet {}

/// A Kafka cluster as the log.
pub struct KafkaLog {
    settings: KafkaSettings,
    admin: AdminClient<Quiet>,
    // Asks about topics and offsets. Not the administrator, which librdkafka takes for a producer:
    // what a producer asks about is made by clusters that make topics by themselves.
    queries: BaseConsumer<Quiet>,
}

impl KafkaLog {
    /// Connects, and asks the cluster for its brokers to see that it answers.
    ///
    /// # Errors
    /// Class Config for properties librdkafka refuses; class Retry when no broker answers.
    pub fn connect(settings: KafkaSettings) -> Result<Self> {
        let at = &settings.bootstrap_servers;
        let admin: AdminClient<_> =
            client(&settings).create_with_context(Quiet).or_config(format!("Kafka client for `{at}`"))?;
        let queries = consumer(&settings, READERS)?;
        let log = KafkaLog { admin, queries, settings };
        log.metadata(None).map_err(|error| {
            error.with_hint("is the broker running, and is `bootstrap.servers` its address as seen from here?")
        })?;
        Ok(log)
    }

    fn at(&self) -> &str {
        &self.settings.bootstrap_servers
    }

    /// Topic names with their partition counts; one topic or all.
    fn metadata(&self, topic: Option<&str>) -> Result<BTreeMap<String, i32>> {
        let metadata = self.queries.fetch_metadata(topic, TIMEOUT).map_err(|error| {
            let seconds = TIMEOUT.as_secs();
            Error::retry(format!("Kafka at `{}` gave no metadata within {seconds} s: {error}", self.at()))
        })?;
        let known = metadata.topics().iter().filter(|topic| topic.error().is_none());
        Ok(known.map(|t| (t.name().to_owned(), i32::try_from(t.partitions().len()).unwrap_or(i32::MAX))).collect())
    }

    /// First and last offsets of a topic's partitions; none once it is gone. One that is being made
    /// or deleted is waited for.
    fn describe_topic(&self, name: &str, partitions: i32) -> Result<Option<TopicInfo>> {
        let ask = |which| settled::offsets(&self.queries, name, 0..partitions, which);
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let error = match (ask(Offset::Beginning), ask(Offset::End)) {
                (Ok(low), Ok(high)) => {
                    let marks =
                        low.values().zip(high.values()).map(|(low, high)| Watermarks { low: *low, high: *high });
                    return Ok(Some(TopicInfo { name: name.to_owned(), partitions: marks.collect() }));
                }
                (Err(error), _) | (_, Err(error)) => error,
            };
            if Instant::now() >= deadline {
                return Err(Error::retry(format!("Kafka at `{}`: offsets of topic `{name}`: {error}", self.at())));
            }
            if !self.metadata(None)?.contains_key(name) {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Makes a topic unless it is there, which needs no right to make topics, and waits until the
    /// broker answers for it.
    fn make_topic(&self, topic: &NewTopic<'_>) -> Result<bool> {
        let made = !self.metadata(None)?.contains_key(topic.name) && self.ask_for_topic(topic)?;
        // Brokers hear of a topic a moment after the controller has made it.
        let deadline = Instant::now() + TIMEOUT;
        loop {
            if let Some(partitions) = self.metadata(None)?.get(topic.name)
                && self.describe_topic(topic.name, *partitions)?.is_some()
            {
                return Ok(made);
            }
            if Instant::now() >= deadline {
                let (name, seconds) = (topic.name, TIMEOUT.as_secs());
                return Err(Error::retry(format!(
                    "Kafka at `{}`: topic `{name}` is not listed {seconds} s after it was made",
                    self.at()
                )));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn ask_for_topic(&self, topic: &NewTopic<'_>) -> Result<bool> {
        let attempt = || format!("Kafka at `{}`: creating topic `{}`", self.at(), topic.name);
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT));
        let results = futures_executor::block_on(self.admin.create_topics([topic], &options)).or_retry(attempt())?;
        match results.into_iter().next() {
            Some(Ok(_)) => Ok(true),
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(false),
            Some(Err((_, code @ (RDKafkaErrorCode::InvalidTopic | RDKafkaErrorCode::InvalidReplicationFactor)))) => {
                Err(Error::config(format!("{}: {code}", attempt())))
            }
            Some(Err((_, code))) => Err(Error::retry(format!("{}: {code}", attempt()))),
            None => Err(Error::retry(format!("{}: no answer", attempt()))),
        }
    }

    fn make_offsets_topic(&self) -> Result<()> {
        // 25 is Kafka Connect's `offset.storage.partitions`.
        let topic =
            NewTopic::new(&self.settings.offsets_topic, 25, TopicReplication::Fixed(self.settings.replication_factor))
                .set("cleanup.policy", "compact")
                // All of it is read at each start, and compaction leaves the newest segment alone.
                // Kafka's usual 1 GB would be millions of positions, written every 100 ms.
                .set("segment.bytes", "16777216");
        self.make_topic(&topic).map(drop)
    }

    fn watermarks(&self, topic: &str, partition: i32) -> Result<Watermarks> {
        let asked = self.queries.fetch_watermarks(topic, partition, TIMEOUT);
        let (low, high) = asked.map_err(|error| {
            let attempt = format!("Kafka at `{}`: watermarks of topic `{topic}` partition {partition}", self.at());
            match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownPartition) => {
                    Error::config(format!("{attempt}: no such topic or partition"))
                }
                _ => Error::retry(format!("{attempt}: {error}")),
            }
        })?;
        Ok(Watermarks { low, high })
    }
}

impl Log for KafkaLog {
    fn describe(&self) -> String {
        format!("Kafka at `{}`", self.at())
    }

    fn id(&self) -> Result<String> {
        let id = self.queries.client().fetch_cluster_id(TIMEOUT);
        id.ok_or_else(|| Error::retry(format!("Kafka at `{}`: no answer to what its cluster's id is", self.at())))
    }

    fn topics(&self) -> Result<Vec<TopicInfo>> {
        let topics = self.metadata(None)?.into_iter();
        topics.filter_map(|(name, partitions)| self.describe_topic(&name, partitions).transpose()).collect()
    }

    fn topic(&self, name: &str) -> Result<Option<TopicInfo>> {
        match self.metadata(None)?.get(name) {
            Some(partitions) => self.describe_topic(name, *partitions),
            None => Ok(None),
        }
    }

    fn create_topic(&self, name: &str, spec: TopicSpec) -> Result<bool> {
        let retention = spec.retention.map_or("-1".to_owned(), |age| age.as_millis().to_string());
        let replication = TopicReplication::Fixed(self.settings.replication_factor);
        let topic = NewTopic::new(name, spec.partitions.max(1), replication).set("retention.ms", &retention);
        self.make_topic(&topic)
    }

    fn delete_topic(&self, name: &str) -> Result<bool> {
        let attempt = || format!("Kafka at `{}`: deleting topic `{name}`", self.at());
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT));
        let results = futures_executor::block_on(self.admin.delete_topics(&[name], &options)).or_retry(attempt())?;
        match results.into_iter().next() {
            Some(Ok(_)) => Ok(true),
            Some(Err((_, RDKafkaErrorCode::UnknownTopicOrPartition))) => Ok(false),
            Some(Err((_, code))) => Err(Error::retry(format!("{}: {code}", attempt()))),
            None => Err(Error::retry(format!("{}: no answer", attempt()))),
        }
    }

    fn writer(&self, id: &WriterId) -> Result<Box<dyn LogWriter>> {
        self.make_offsets_topic()?;
        let topic = &self.settings.offsets_topic;
        let partitions = self.metadata(None)?.get(topic).copied();
        let partitions =
            partitions.ok_or_else(|| Error::retry(format!("Kafka at `{}`: no topic `{topic}`", self.at())))?;
        Ok(Box::new(writer::KafkaWriter::open(self.settings.clone(), id, partitions)?))
    }

    fn repeating_writer(&self, id: &WriterId) -> Result<Box<dyn LogWriter>> {
        self.make_offsets_topic()?;
        Ok(Box::new(plain::PlainWriter::open(self.settings.clone(), id)?))
    }

    fn join(&self, membership: &Membership) -> Result<Option<Box<dyn GroupMember>>> {
        let writer = self.writer(&member::writer_id(&self.settings, membership))?;
        Ok(Some(Box::new(member::KafkaMember::join(&self.settings, membership, writer)?)))
    }

    fn reader(&self, topic: &str, partition: i32, offset: i64) -> Result<Box<dyn LogReader>> {
        let marks = self.watermarks(topic, partition)?;
        Ok(Box::new(reader::KafkaReader::open(&self.settings, topic, partition, offset, marks)?))
    }

    fn group_offsets(&self, group: &str, topic: &str) -> Result<Vec<GroupOffset>> {
        let attempt = || format!("Kafka at `{}`: offsets of group `{group}`", self.at());
        let consumer = consumer(&self.settings, group)?;
        let count = self.metadata(Some(topic))?.get(topic).copied().unwrap_or(0);
        let mut asked = TopicPartitionList::new();
        (0..count).for_each(|partition| {
            asked.add_partition(topic, partition);
        });
        let found = consumer.committed_offsets(asked, TIMEOUT).or_retry(attempt())?;
        let offsets: Vec<GroupOffset> = found
            .elements()
            .iter()
            .filter_map(|element| match element.offset() {
                Offset::Offset(next) => {
                    let (group, topic) = (group.to_owned(), topic.to_owned());
                    Some(GroupOffset { group, topic, partition: element.partition(), next })
                }
                _ => None,
            })
            .collect();
        // A consumer that ends while such a list lives hangs for ever.
        drop(found);
        Ok(offsets)
    }

    fn positions(&self, connector: &str) -> Result<Vec<PositionEntry>> {
        let topic = &self.settings.offsets_topic;
        let known = self.metadata(None)?;
        let Some(partitions) = known.get(topic) else { return Ok(Vec::new()) };
        offsets::read_positions(self, topic, *partitions, connector)
    }

    fn trim(&self, topic: &str, partition: i32, offset: i64) -> Result<()> {
        let marks = self.watermarks(topic, partition)?;
        let attempt = || format!("Kafka at `{}`: trimming topic `{topic}` partition {partition}", self.at());
        let mut before = TopicPartitionList::new();
        let offset = Offset::Offset(offset.clamp(marks.low, marks.high));
        before.add_partition_offset(topic, partition, offset).or_bug(attempt())?;
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT));
        let trimmed = futures_executor::block_on(self.admin.delete_records(&before, &options)).or_retry(attempt())?;
        let failed = trimmed.elements().iter().find_map(|element| element.error().err());
        failed.map_or(Ok(()), |error: KafkaError| Err(Error::retry(format!("{}: {error}", attempt()))))
    }
}
