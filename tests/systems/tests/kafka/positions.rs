//! Positions in Kafka Connect's form.

use crate::support::{Stored, client, connect, id, kafka, read};
use host::ports::log::{Commit, Log, PositionEntry, partition_of};
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::sync::mpsc::channel;
use std::time::Duration;
use tests::feeds::runtime;

const TOPIC: &str = "connect-offsets";

fn entry(partition: &str, position: &str) -> PositionEntry {
    PositionEntry { partition: partition.as_bytes().to_vec(), position: position.as_bytes().to_vec() }
}

fn positions(entries: &[(&str, &str)]) -> Commit {
    Commit { positions: entries.iter().map(|(at, position)| entry(at, position)).collect(), ..Commit::default() }
}

#[test]
fn positions_are_stored_as_kafka_connect_stores_source_offsets() {
    let Some(kafka) = kafka() else { return };
    let log = connect(kafka.bootstrap());
    let mut writer = log.writer(&id("stored")).unwrap();
    let second = r#"{"z":"keys in this order","a":2}"#;
    writer.commit(&positions(&[(r##"{"channel":"#en"}"##, r#"{"timestamp":1}"#), (second, "{}")])).unwrap();
    writer.commit(&positions(&[(r##"{"channel":"#en"}"##, r#"{"timestamp":2}"#)])).unwrap();
    let all = read(kafka.bootstrap(), TOPIC);
    let ours = |record: &&Stored| record.key.as_deref().is_some_and(|key| key.starts_with(r#"["stored","#));
    let mut found: Vec<_> = all.iter().filter(ours).collect();
    found.sort_by_key(|record| (record.key.clone(), record.offset));
    let texts: Vec<_> = found.iter().map(|r| (r.key.as_deref().unwrap(), r.value.as_deref().unwrap())).collect();
    let expected = [
        (r##"["stored",{"channel":"#en"}]"##, r#"{"timestamp":1}"#),
        (r##"["stored",{"channel":"#en"}]"##, r#"{"timestamp":2}"#),
        (r#"["stored",{"z":"keys in this order","a":2}]"#, "{}"),
    ];
    assert_eq!(texts, expected);
    for record in &found {
        let key = record.key.as_deref().map(str::as_bytes);
        assert_eq!(record.partition, partition_of(key, 25), "not where Connect's producer puts it: {record:?}");
    }
    // What else this writer keeps there has a key of Connect's form too, or Connect would complain.
    let others: Vec<_> = all.iter().filter(|record| record.key.as_deref().unwrap().contains("-stored-")).collect();
    assert_eq!(others.len(), 3, "one for the writer's beginning and one for each commit: {others:?}");
    for record in others {
        let key: serde_json::Value = serde_json::from_str(record.key.as_deref().unwrap()).unwrap();
        assert!(key[0].is_string() && key[1].is_object() && key.as_array().unwrap().len() == 2, "{key}");
    }
}

#[test]
fn the_topic_of_positions_is_compacted_and_kept_small() {
    let Some(kafka) = kafka() else { return };
    drop(connect(kafka.bootstrap()).writer(&id("compacted")).unwrap());
    let admin: AdminClient<DefaultClientContext> = client(kafka.bootstrap()).create().unwrap();
    let asked = admin.describe_configs(&[ResourceSpecifier::Topic(TOPIC)], &AdminOptions::new());
    let answers = runtime().block_on(asked).unwrap();
    let config = answers[0].as_ref().unwrap();
    let value = |name| config.get(name).and_then(|entry| entry.value.clone());
    assert_eq!(value("cleanup.policy").as_deref(), Some("compact"));
    // Compaction leaves the newest segment alone, and Kafka's usual one has a gigabyte.
    assert_eq!(value("segment.bytes").as_deref(), Some("16777216"));
}

#[test]
fn positions_that_kafka_connect_wrote_are_read() {
    let Some(kafka) = kafka() else { return };
    let log = connect(kafka.bootstrap());
    drop(log.writer(&id("makes the topic")).unwrap());
    // As Connect's JsonConverter with `schemas.enable=false` writes them: no blanks, any order.
    let producer: BaseProducer = client(kafka.bootstrap()).set("partitioner", "murmur2_random").create().unwrap();
    let send = |key: &str, value: Option<&str>| {
        let mut record = BaseRecord::to(TOPIC).key(key);
        record.payload = value;
        producer.send(record).map_err(|(error, _)| error).unwrap();
    };
    send(r#"["connect",{"filename":"/tmp/a"}]"#, Some(r#"{"position":1}"#));
    send(r#"["connect",{"filename":"/tmp/a"}]"#, Some(r#"{"position":12345678901}"#));
    send(r#"["connect",{"topic":"t","protocol":1}]"#, Some(r#"{"zeta":1.0,"alpha":null}"#));
    send(r#"["connect",{"filename":"/tmp/deleted"}]"#, Some(r#"{"position":1}"#));
    send(r#"["connect",{"filename":"/tmp/deleted"}]"#, None);
    send(r#"["connected",{"filename":"/tmp/a"}]"#, Some(r#"{"position":99}"#));
    send(r#"session-key"#, Some("not Connect's"));
    producer.flush(Duration::from_secs(10)).unwrap();
    let expected = [
        entry(r#"{"filename":"/tmp/a"}"#, r#"{"position":12345678901}"#),
        entry(r#"{"topic":"t","protocol":1}"#, r#"{"zeta":1.0,"alpha":null}"#),
    ];
    assert_eq!(log.positions("connect").unwrap(), expected);
}

#[test]
fn a_position_behind_a_transaction_that_is_still_open_is_waited_for() {
    let Some(kafka) = kafka() else { return };
    let log = connect(kafka.bootstrap());
    let mut writer = log.writer(&id("behind")).unwrap();
    let key = r#"["behind",{"input":1}]"#;
    writer.commit(&positions(&[(r#"{"input":1}"#, r#"{"at":1}"#)])).unwrap();
    assert_eq!(log.positions("behind").unwrap(), [entry(r#"{"input":1}"#, r#"{"at":1}"#)]);
    // Somebody else's transaction, before ours in the same partition.
    let other: BaseProducer = client(kafka.bootstrap()).set("transactional.id", "other").create().unwrap();
    other.init_transactions(Duration::from_secs(10)).unwrap();
    other.begin_transaction().unwrap();
    let partition = partition_of(Some(key.as_bytes()), 25);
    let record = BaseRecord::to(TOPIC).key(r#"["other",{}]"#).payload("{}").partition(partition);
    other.send(record).map_err(|(error, _)| error).unwrap();
    other.flush(Duration::from_secs(10)).unwrap();
    writer.commit(&positions(&[(r#"{"input":1}"#, r#"{"at":2}"#)])).unwrap();
    std::thread::scope(|scope| {
        let ((began, beginning), log) = (channel(), &log);
        let asking = scope.spawn(move || {
            began.send(()).unwrap();
            log.positions("behind").unwrap()
        });
        beginning.recv().unwrap();
        // Long enough to give a wrong answer, short enough not to be given up.
        std::thread::sleep(Duration::from_secs(2));
        other.abort_transaction(Duration::from_secs(10)).unwrap();
        assert_eq!(asking.join().unwrap(), [entry(r#"{"input":1}"#, r#"{"at":2}"#)]);
    });
}
