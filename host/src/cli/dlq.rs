//! `host log dlq ls|replay`: what was rejected, why, and once more.

use super::Failure;
use super::args::{DlqCommand, LogPlace, Output};
use super::log::{BATCH, choice, find, open};
use super::output::{error_line, line, number, table};
use crate::app::open_log;
use crate::error::{Error, Result};
use crate::ports::log::{
    Commit, Log, PositionEntry, StoredRecord, TopicInfo, TopicSpec, Watermarks, WriterId, check_topic_name,
};
use crate::record::BatchBuilder;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Under this name replays keep how far they are.
const REPLAY: &str = "host-dlq-replay";
const CONNECTOR: &str = "__connect.errors.connector.name";
const TOPIC: &str = "__connect.errors.topic";
/// What all headers of a dead letter begin with, but for one.
const HEADERS: &str = "__connect.errors.";
const ORIGIN: &str = "host.origin";
const STAGE: &str = "__connect.errors.stage";
const MESSAGE: &str = "__connect.errors.exception.message";
/// The stage of records that a sink rejected: only these were records of a topic.
const OF_A_SINK: &str = "TASK_PUT";
/// Reasons that are told apart; texts of a plugin may have no end.
const MAX_KINDS: usize = 1000;
const OTHER_REASONS: &str = "(other reasons)";

pub(super) fn dlq(command: &DlqCommand) -> std::result::Result<(), Failure> {
    match command {
        DlqCommand::Ls { place, output } => list(&*open(place)?, *output),
        DlqCommand::Replay { topic, place, to, max } => replay(place, topic, to.as_deref(), *max),
    }
}

fn header(record: &StoredRecord, name: &str) -> Option<String> {
    let (_, value) = record.headers.iter().find(|(known, _)| known == name)?;
    value.as_deref().map(|value| String::from_utf8_lossy(value).into_owned())
}

/// The headers that the record had before it was rejected.
fn own_headers(record: &StoredRecord) -> Vec<(&str, Option<&[u8]>)> {
    let is_own = |name: &str| !name.starts_with(HEADERS) && name != ORIGIN;
    let headers = record.headers.iter().filter(|(name, _)| is_own(name));
    headers.map(|(name, value)| (name.as_str(), value.as_deref())).collect()
}

/// Gives the records of a topic as it is now.
fn each(log: &dyn Log, info: &TopicInfo, give: &mut dyn FnMut(&StoredRecord) -> bool) -> Result<()> {
    for (partition, marks) in (0..).zip(&info.partitions) {
        let mut reader = log.reader(&info.name, partition, marks.low)?;
        while !reader.is_past(marks.high) {
            for record in reader.next(BATCH)? {
                if !give(&record) {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

fn list(log: &dyn Log, output: Output) -> std::result::Result<(), Failure> {
    // By topic, connector, stage and reason: how many, and when the last one was.
    let mut kinds: BTreeMap<[String; 4], (u64, i64)> = BTreeMap::new();
    for info in log.topics()? {
        let has_records = info.partitions.iter().any(|Watermarks { low, high }| high > low);
        if !has_records {
            continue;
        }
        each(log, &info, &mut |record| {
            // A topic is one of dead letters where its first record is one.
            let Some(connector) = header(record, CONNECTOR) else { return false };
            let of = |name| header(record, name).unwrap_or_default();
            let mut kind = [info.name.clone(), connector, of(STAGE), of(MESSAGE)];
            if kinds.len() >= MAX_KINDS && !kinds.contains_key(&kind) {
                OTHER_REASONS.clone_into(&mut kind[3]);
            }
            let (count, last) = kinds.entry(kind).or_insert((0, i64::MIN));
            (*count, *last) = (*count + 1, (*last).max(record.timestamp));
            true
        })?;
    }
    if output == Output::Json {
        for ([topic, connector, stage, reason], (count, last)) in &kinds {
            let shown = json!({
                "topic": topic, "connector": connector, "stage": stage, "reason": reason, "count": count,
                "last_ms": last,
            });
            line(&shown.to_string())?;
        }
        return Ok(());
    }
    let mut shown = table(&["topic", "connector", "stage", "reason", "count"], 4..5);
    for ([topic, connector, stage, reason], (count, _)) in &kinds {
        let reason = reason.chars().filter(|c| !c.is_control()).collect();
        shown.add_row([topic.clone(), connector.clone(), stage.clone(), reason, number(*count)]);
    }
    line(&if kinds.is_empty() { "there are no dead letters".to_owned() } else { shown.to_string() })?;
    Ok(())
}

fn replay(place: &LogPlace, topic: &str, to: Option<&str>, max: Option<u64>) -> std::result::Result<(), Failure> {
    let refused = Failure::Refused;
    if let Some(to) = to {
        check_topic_name(to).map_err(refused)?;
    }
    let log = open_log(&choice(place)).map_err(refused)?;
    let info = find(&*log, topic).map_err(refused)?;
    if to == Some(topic) {
        return Err(Failure::Refused(Error::config(format!("`--to` is `{topic}` itself, expected another topic"))));
    }
    let mut writer = log.writer(&WriterId { connector: REPLAY.to_owned(), task: 0 })?;
    let done = log.positions(REPLAY)?;
    let (mut left, mut replayed, mut others) = (max.unwrap_or(u64::MAX), 0_u64, 0_u64);
    for (number, marks) in (0..).zip(&info.partitions) {
        let partition = json!({ "partition": number, "topic": topic }).to_string().into_bytes();
        let position = done.iter().find(|entry| entry.partition == partition);
        let position = position.and_then(|entry| serde_json::from_slice::<Value>(&entry.position).ok());
        let next = position.and_then(|position| position.get("next")?.as_i64()).unwrap_or(marks.low);
        let mut reader = log.reader(topic, number, next)?;
        while left > 0 && !reader.is_past(marks.high) {
            let mut records = reader.next(BATCH)?;
            records.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            let Some(last) = records.last() else { break };
            let position = json!({ "next": last.offset + 1 }).to_string().into_bytes();
            let mut batches: BTreeMap<String, BatchBuilder> = BTreeMap::new();
            for record in &records {
                left -= 1;
                let origin = header(record, TOPIC).filter(|_| header(record, STAGE).as_deref() == Some(OF_A_SINK));
                let Some(target) = origin.map(|origin| to.map_or(origin, str::to_owned)) else {
                    others += 1;
                    continue;
                };
                replayed += 1;
                let batch = batches.entry(target).or_default();
                batch.push(record.key.as_deref(), record.value.as_deref(), &own_headers(record), record.timestamp);
            }
            for target in batches.keys() {
                check_topic_name(target)?;
                log.create_topic(target, TopicSpec::default())?;
            }
            // Records and place in one commit: a replay that is cut off goes on where it was.
            writer.commit(&Commit {
                appends: batches.into_iter().map(|(target, batch)| (target, batch.build())).collect(),
                positions: vec![PositionEntry { partition: partition.clone(), position }],
                group_offsets: Vec::new(),
            })?;
        }
    }
    error_line(&format!("{} records of `{topic}` replayed", number(replayed)));
    if others > 0 {
        error_line(&format!(
            "{} dead letters left: inputs of sources, which never were records of a topic",
            number(others)
        ));
    }
    Ok(())
}
