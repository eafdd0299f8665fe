//! `host log ls|cat|tail|export`: what Kafka's own tools do for Kafka, for both logs.

use super::args::{LogCommand, LogPlace, Output};
use super::output::{error_line, line, number};
use super::{Failure, on_interrupt, runtime};
use crate::app::open_log_to_read;
use crate::config::LogChoice;
use crate::error::{Error, Result};
use crate::ports::log::{
    Commit, KafkaSettings, Log, LogReader, PositionEntry, ReadLimits, StoredRecord, TopicInfo, TopicSpec, WriterId,
};
use crate::record::BatchBuilder;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

pub(super) const BATCH: ReadLimits =
    ReadLimits { max_records: 1024, max_bytes: 4 << 20, wait: Duration::from_millis(500) };
/// Under this name exports keep how far they are, in the log they export to.
const EXPORT: &str = "host-log-export";

pub(super) fn log(command: &LogCommand) -> std::result::Result<(), Failure> {
    match command {
        LogCommand::Ls { place, output } => list(&*open(place)?, *output),
        LogCommand::Cat { topic, place, from, max, output } => {
            let log = open(place)?;
            let info = find(&*log, topic)?;
            let mut printer = Printer { topic, output: *output, left: *max };
            for (partition, marks) in (0..).zip(&info.partitions) {
                let mut reader = log.reader(topic, partition, *from)?;
                while !reader.is_past(marks.high) {
                    if !printer.print(&reader.next(BATCH)?)? {
                        return Ok(());
                    }
                }
            }
            Ok(())
        }
        LogCommand::Tail { topic, place, last, max, output } => {
            let log = open(place)?;
            tail(&*log, topic, *last, Printer { topic, output: *output, left: *max })
        }
        LogCommand::Dlq { command } => super::dlq::dlq(command),
        LogCommand::Export { topics, data_dir, bootstrap } => {
            let from = open_log_to_read(&LogChoice::Embedded { dir: data_dir.clone(), max_bytes: None })?;
            let to = open_log_to_read(&LogChoice::Kafka(KafkaSettings::new(bootstrap)))?;
            export(&*from, &*to, topics)
        }
    }
}

/// The log that is meant.
pub(super) fn choice(place: &LogPlace) -> LogChoice {
    match &place.bootstrap {
        Some(servers) => LogChoice::Kafka(KafkaSettings::new(servers)),
        None => LogChoice::Embedded { dir: place.data_dir.clone(), max_bytes: None },
    }
}

pub(super) fn open(place: &LogPlace) -> std::result::Result<Arc<dyn Log>, Failure> {
    open_log_to_read(&choice(place)).map_err(Failure::Refused)
}

pub(super) fn find(log: &dyn Log, topic: &str) -> Result<TopicInfo> {
    let topics = log.topics()?;
    let names: Vec<&str> = topics.iter().map(|info| info.name.as_str()).collect();
    let hint = format!("there are: {}", names.join(", "));
    let missing = || Error::config(format!("{} has no topic `{topic}`", log.describe())).with_hint(&hint);
    topics.iter().find(|info| info.name == topic).cloned().ok_or_else(missing)
}

fn list(log: &dyn Log, output: Output) -> std::result::Result<(), Failure> {
    let topics = log.topics()?;
    let records = |info: &TopicInfo| info.partitions.iter().map(|marks| marks.high - marks.low).sum::<i64>();
    if output == Output::Json {
        for info in &topics {
            let partitions = (0..).zip(&info.partitions).map(
                |(partition, marks): (i32, _)| json!({ "partition": partition, "low": marks.low, "high": marks.high }),
            );
            line(&json!({ "topic": info.name, "partitions": partitions.collect::<Vec<_>>() }).to_string())?;
        }
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(["topic", "partitions", "records"]);
    for info in &topics {
        let count = number(u64::try_from(records(info)).unwrap_or(0));
        table.add_row([info.name.clone(), info.partitions.len().to_string(), count]);
    }
    for index in [1, 2] {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    line(&table.to_string())?;
    Ok(())
}

fn tail(log: &dyn Log, topic: &str, last: i64, mut printer: Printer<'_>) -> std::result::Result<(), Failure> {
    let info = find(log, topic)?;
    let open = |(partition, marks): (i32, &crate::ports::log::Watermarks)| {
        log.reader(topic, partition, (marks.high - last.max(0)).max(marks.low))
    };
    let mut readers = (0..).zip(&info.partitions).map(open).collect::<Result<Vec<Box<dyn LogReader>>>>()?;
    let runtime = runtime()?;
    let interrupted = on_interrupt(&runtime);
    // All partitions are looked at in turn; the wait is shared between them.
    let share = u32::try_from(readers.len()).unwrap_or(1).max(1);
    let limits = ReadLimits { wait: BATCH.wait / share, ..BATCH };
    while interrupted.try_recv().is_err() {
        for reader in &mut readers {
            if !printer.print(&reader.next(limits)?)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn export(from: &dyn Log, to: &dyn Log, topics: &[String]) -> std::result::Result<(), Failure> {
    let all = from.topics()?;
    let chosen: Vec<TopicInfo> = match topics.is_empty() {
        true => all,
        false => topics.iter().map(|topic| find(from, topic)).collect::<Result<_>>()?,
    };
    let mut writer = to.writer(&WriterId { connector: EXPORT.to_owned(), task: 0 })?;
    let done = to.positions(EXPORT)?;
    for info in chosen {
        let partitions = i32::try_from(info.partitions.len()).unwrap_or(i32::MAX);
        to.create_topic(&info.name, TopicSpec { partitions, ..TopicSpec::default() })?;
        let mut copied = 0u64;
        for (number, marks) in (0..).zip(&info.partitions) {
            let partition = json!({ "partition": number, "topic": info.name }).to_string().into_bytes();
            let position = done.iter().find(|entry| entry.partition == partition);
            let position = position.and_then(|entry| serde_json::from_slice::<Value>(&entry.position).ok());
            let next = position.and_then(|position| position.get("next")?.as_i64()).unwrap_or(0);
            let mut reader = from.reader(&info.name, number, next)?;
            while !reader.is_past(marks.high) {
                let records = reader.next(BATCH)?;
                let Some(last) = records.last() else { break };
                let position = json!({ "next": last.offset + 1 }).to_string().into_bytes();
                let mut batch = BatchBuilder::default();
                for record in &records {
                    let headers: Vec<_> = record.headers.iter().map(|(n, v)| (n.as_str(), v.as_deref())).collect();
                    batch.push(record.key.as_deref(), record.value.as_deref(), &headers, record.timestamp);
                }
                copied += records.len() as u64;
                writer.commit(&Commit {
                    appends: vec![(info.name.clone(), batch.build())],
                    positions: vec![PositionEntry { partition: partition.clone(), position }],
                    group_offsets: Vec::new(),
                })?;
            }
        }
        error_line(&format!(
            "topic `{}`: {} records copied to {}",
            info.name,
            super::output::number(copied),
            to.describe()
        ));
    }
    Ok(())
}

/// Prints records until it has printed enough.
struct Printer<'a> {
    topic: &'a str,
    output: Output,
    left: Option<u64>,
}

impl Printer<'_> {
    /// False when no more are wanted.
    fn print(&mut self, records: &[StoredRecord]) -> std::result::Result<bool, Failure> {
        for record in records {
            if self.left == Some(0) {
                return Ok(false);
            }
            self.left = self.left.map(|left| left - 1);
            let text = match self.output {
                Output::Json => as_json(self.topic, record).to_string(),
                Output::Text => as_text(record),
            };
            if !line(&text)? {
                return Ok(false);
            }
        }
        Ok(self.left != Some(0))
    }
}

/// Bytes as JSON: text where they are text, else hexadecimal under a name that says so.
fn bytes_as_json(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::String(text.to_owned()),
        Err(_) => json!({ "hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() }),
    }
}

fn as_json(topic: &str, record: &StoredRecord) -> Value {
    let field = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(bytes_as_json);
    let headers = record.headers.iter().map(|(name, value)| json!({ "name": name, "value": field(value) }));
    json!({
        "topic": topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": field(&record.key),
        "value": field(&record.value),
        "headers": headers.collect::<Vec<_>>(),
    })
}

fn as_text(record: &StoredRecord) -> String {
    // Control characters could drive the terminal.
    let plain = |text: &str| -> String {
        text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
    };
    let show = |bytes: &Option<Vec<u8>>| match bytes {
        None => "(null)".to_owned(),
        Some(bytes) => plain(&String::from_utf8_lossy(bytes)),
    };
    // Any number can stand there; those outside the years 1970 to 9999 are shown as numbers.
    let millis = u64::try_from(record.timestamp).ok().filter(|millis| *millis < 253_402_300_800_000);
    let time = millis.map_or(record.timestamp.to_string(), |millis| {
        humantime::format_rfc3339_millis(std::time::UNIX_EPOCH + Duration::from_millis(millis)).to_string()
    });
    let headers: Vec<String> =
        record.headers.iter().map(|(name, value)| format!("{}={}", plain(name), show(value))).collect();
    let mut text =
        format!("{}:{}  {time}  {}  {}", record.partition, record.offset, show(&record.key), show(&record.value));
    if !headers.is_empty() {
        text.push_str(&format!("  [{}]", headers.join(", ")));
    }
    text
}
