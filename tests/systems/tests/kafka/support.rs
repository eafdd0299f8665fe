//! The shared broker, and looking into a broker without the host.

use host::io::kafka::KafkaLog;
use host::ports::log::{Commit, KafkaSettings, LogWriter, PositionEntry, WriterId};
use host::record::{Batch, BatchBuilder, now_ms};
use host_emulators::Handle;
use host_emulators::edits::{Edit, Generator, Kind};
use rdkafka::Message;
use rdkafka::TopicPartitionList;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Headers;
use rdkafka::topic_partition_list::Offset;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use systems::kafka::Kafka;
use systems::or_skip;
use tests::plugins::Plugin;

/// Longest wait for anything the host does once its broker answers.
pub(crate) const WITHIN: Duration = Duration::from_secs(60);

/// The broker that tests share; none where there is no Kafka to be had.
pub(crate) fn kafka() -> Option<&'static Kafka> {
    static KAFKA: OnceLock<Result<Kafka, String>> = OnceLock::new();
    or_skip(KAFKA.get_or_init(Kafka::start).as_ref().map_err(Clone::clone))
}

pub(crate) fn connect(bootstrap: &str) -> KafkaLog {
    KafkaLog::connect(KafkaSettings::new(bootstrap)).unwrap()
}

pub(crate) fn id(connector: &str) -> WriterId {
    WriterId { connector: connector.to_owned(), task: 0 }
}

/// One record of these texts, and a position that names the last.
pub(crate) fn commit_of(topic: &str, values: &[&str]) -> Commit {
    let position = PositionEntry {
        partition: br#"{"input":1}"#.to_vec(),
        position: format!(r#"{{"last":"{}"}}"#, values.last().unwrap()).into_bytes(),
    };
    Commit { appends: vec![(topic.to_owned(), texts(values))], positions: vec![position], ..Commit::default() }
}

pub(crate) fn texts(values: &[&str]) -> Batch {
    let mut batch = BatchBuilder::default();
    values.iter().for_each(|value| batch.push(None, Some(value.as_bytes()), &[], now_ms()));
    batch.build()
}

/// How many members the broker knows of a group that is not being rebalanced.
pub(crate) fn num_members(bootstrap: &str, group: &str) -> usize {
    let asking: BaseConsumer = client(bootstrap).create().unwrap();
    let asked = asking.client().fetch_group_list(Some(group), WITHIN).unwrap();
    asked.groups().iter().filter(|found| found.state() == "Stable").map(|found| found.members().len()).sum()
}

/// Gives a commit as the host's task does: again, until it is made.
pub(crate) fn commit_until_made(writer: &mut dyn LogWriter, commit: &Commit) {
    tests::wait_until("the commit to be made", WITHIN, || match writer.commit(commit) {
        Ok(()) => true,
        Err(error) if error.class() == host::error::ErrorClass::Retry => false,
        Err(error) => panic!("{error}"),
    });
}

/// A record as it is in Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Option<String>,
    pub(crate) value: Option<String>,
    pub(crate) headers: Vec<String>,
}

impl Stored {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(self.value.as_deref().unwrap()).unwrap()
    }
}

/// A client of this suite's own.
pub(crate) fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("group.id", "systems-suite").set("fetch.wait.max.ms", "20");
    config.set("enable.partition.eof", "true").set("auto.offset.reset", "earliest").set("enable.auto.commit", "false");
    config.set("isolation.level", "read_committed").set("log_level", "0");
    config
}

/// All committed records of a topic, partition by partition; none when it is not there. What is
/// still being decided is waited for.
pub(crate) fn read(bootstrap: &str, topic: &str) -> Vec<Stored> {
    read_until(bootstrap, topic, "read_uncommitted")
}

/// The same without waiting for transactions that are open.
pub(crate) fn read_now(bootstrap: &str, topic: &str) -> Vec<Stored> {
    read_until(bootstrap, topic, "read_committed")
}

fn read_until(bootstrap: &str, topic: &str, level: &str) -> Vec<Stored> {
    let consumer: BaseConsumer = client(bootstrap).create().unwrap();
    let metadata = consumer.fetch_metadata(None, WITHIN).unwrap();
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Vec::new() };
    let asking: BaseConsumer = client(bootstrap).set("isolation.level", level).create().unwrap();
    let mut list = TopicPartitionList::new();
    let mut left = std::collections::BTreeMap::new();
    for partition in found.partitions() {
        list.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
        let (low, high) = asking.fetch_watermarks(topic, partition.id(), WITHIN).unwrap();
        if high > low {
            left.insert(partition.id(), high);
        }
    }
    consumer.assign(&list).unwrap();
    let mut records = Vec::new();
    let deadline = Instant::now() + WITHIN;
    while !left.is_empty() {
        assert!(Instant::now() < deadline, "partitions of `{topic}` without an end within {WITHIN:?}: {left:?}");
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
                let headers = headers.map(|h| format!("{}={}", h.key, text(h.value.unwrap_or_default())));
                records.push(Stored {
                    partition: message.partition(),
                    offset: message.offset(),
                    key: message.key().map(text),
                    value: message.payload().map(text),
                    headers: headers.collect(),
                });
                continue;
            }
            Some(Err(KafkaError::PartitionEOF(_))) | None => {}
            Some(Err(error)) => panic!("{error}"),
        }
        let positions = consumer.position().unwrap();
        left.retain(|partition, high| {
            let element = positions.find_partition(topic, *partition).unwrap();
            !matches!(element.offset(), Offset::Offset(offset) if offset >= *high)
        });
    }
    drop(list);
    records.sort_by_key(|record| (record.partition, record.offset));
    records
}

/// The values of a topic as text.
pub(crate) fn values(bootstrap: &str, topic: &str) -> Vec<String> {
    read(bootstrap, topic).into_iter().map(|record| record.value.unwrap()).collect()
}

/// How many records a topic shows now, found without reading it: markers of transactions count
/// too, so this is only good for seeing that it grows.
pub(crate) fn end(bootstrap: &str, topic: &str) -> i64 {
    let consumer: BaseConsumer = client(bootstrap).create().unwrap();
    consumer.fetch_watermarks(topic, 0, Duration::from_secs(5)).map_or(0, |(_, high)| high)
}

/// A configuration file with one connector that reads an EventStreams emulator into `topic`.
pub(crate) fn eventstreams_config(dir: &Path, bootstrap: &str, connector: &str, emulator: &Handle) -> PathBuf {
    let feed = format!("feed = \"eventstreams\"\nsse.url = \"{}\"\n", tests::feeds::stream_url(emulator));
    config(dir, bootstrap, connector, &feed)
}

/// A configuration file with one connector that reads an IRC emulator into a topic of its name.
pub(crate) fn irc_config(dir: &Path, bootstrap: &str, connector: &str, emulator: &Handle) -> PathBuf {
    let port = emulator.addr().port();
    config(
        dir,
        bootstrap,
        connector,
        &format!("feed = \"irc\"\nirc.host = \"127.0.0.1\"\nirc.port = {port}\n\"feed.overflow\" = \"block\"\n"),
    )
}

fn config(dir: &Path, bootstrap: &str, connector: &str, feed: &str) -> PathBuf {
    let plugin = Plugin::WikiSource.path().display();
    let text = format!(
        "[worker]\nbootstrap.servers = \"{bootstrap}\"\n\n[connectors.{connector}]\nplugin = \"{plugin}\"\n\
         grants = [\"feed\"]\ntopic = \"{connector}\"\nextra.columns = true\n\
         value.converter.schemas.enable = false\nerrors.retry.delay.max.ms = 1000\n{feed}"
    );
    let path = dir.join(format!("{connector}.toml"));
    std::fs::write(&path, text).unwrap();
    path
}

/// The edits that become records out of the first `limit` that an emulator produces.
pub(crate) fn edits(seed: u64, limit: usize, is_there: impl Fn(&Edit) -> bool) -> Vec<Edit> {
    let is_record = |edit: &Edit| matches!(edit.kind, Kind::Edit | Kind::New);
    Generator::new(seed).filter(is_there).take(limit).filter(is_record).collect()
}

/// Checks that a column of a topic holds each of these once and nothing else.
pub(crate) fn assert_each_once(records: &[Stored], column: &str, expected: impl IntoIterator<Item = String>) {
    let mut found: Vec<String> = records.iter().map(|r| r.json()[column].as_str().unwrap().to_owned()).collect();
    let mut expected: Vec<String> = expected.into_iter().collect();
    found.sort();
    expected.sort();
    let doubled = found.windows(2).filter(|pair| pair[0] == pair[1]).count();
    let missing = expected.iter().filter(|id| found.binary_search(id).is_err()).count();
    let (have, want) = (found.len(), expected.len());
    assert!(found == expected, "{have} records for {want} inputs: {missing} missing, {doubled} doubled");
}
