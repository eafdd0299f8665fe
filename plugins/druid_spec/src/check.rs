//! Refuses what Druid would refuse, or take for something else. All errors are of class Config and
//! say what was found and what is expected.

use crate::options::Options;
use connector_sdk::Error;
use connector_sdk::ingest::{Batch, ColumnType, DataSource, Dialect, Granularity, Mode, Span, Stream, Task};
use std::collections::BTreeSet;

/// Batches of one task: the whole text is kept in Druid's metadata store and handed to workers.
const MAX_BATCHES: usize = 1000;
const MAX_ID_BYTES: usize = 200;
/// The time of a stored row; rows cannot have a column of that name.
pub(crate) const STORED_TIME: &str = "__time";

fn refused(text: String) -> Result<(), Error> {
    Err(Error::Config(text))
}

/// A task's identifier. Druid refuses a dot in front.
pub(crate) fn id(id: &str) -> Result<(), Error> {
    let is_known = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'.' | b'-');
    if (1..=MAX_ID_BYTES).contains(&id.len()) && id.bytes().all(is_known) && !id.starts_with('.') {
        return Ok(());
    }
    let expected = "expected 1 to 200 letters, digits, `_`, `.` or `-`, the first not `.`";
    refused(format!("task is called `{}`, {expected}", id.escape_debug()))
}

/// Name, time and columns.
pub(crate) fn data_source(of: &DataSource) -> Result<(), Error> {
    let name = of.name.escape_debug();
    let is_unsound = |c: char| c == '/' || c.is_control() || (c.is_whitespace() && c != ' ');
    if of.name.trim().is_empty() || of.name.starts_with('.') || of.name.contains(is_unsound) {
        let expected = "expected a name without `/`, line breaks and tabs, the first character not `.`";
        return refused(format!("data source is called `{name}`, {expected}"));
    }
    if of.time_column.is_empty() {
        return refused(format!("data source `{name}` has an empty time column, expected a name"));
    }
    if of.time_format.is_empty() {
        let expected = "expected `iso`, `millis`, `posix`, `auto` or a pattern";
        return refused(format!("data source `{name}` has an empty time format, {expected}"));
    }
    if of.columns.is_empty() {
        return refused(format!("data source `{name}` has no columns, expected at least one beside the time"));
    }
    let mut names = BTreeSet::new();
    for column in &of.columns {
        let shown = column.name.escape_debug();
        if column.name.is_empty() {
            return refused(format!("data source `{name}` has a column without a name, expected a name"));
        }
        if column.name == of.time_column {
            return refused(format!("column `{shown}` of data source `{name}` is its time column, expected another"));
        }
        if column.name == STORED_TIME {
            let expected = "expected another name: rows are stored with their time under this one";
            return refused(format!("data source `{name}` has a column `{shown}`, {expected}"));
        }
        if !names.insert(column.name.as_str()) {
            return refused(format!("column `{shown}` is twice in data source `{name}`, expected it once"));
        }
    }
    Ok(())
}

/// Times cut down to more than a segment holds would leave it.
pub(crate) fn granularity(options: &Options, of: &DataSource) -> Result<(), Error> {
    if of.segments == Granularity::Hour && options.query_granularity_ms > 3_600_000 {
        let found = format!("option `query.granularity` is `{}`", options.query_granularity);
        return refused(format!(
            "{found} and segments of data source `{}` are of an hour, expected `hour` or less",
            of.name
        ));
    }
    Ok(())
}

/// Batches are what the mode needs, each once.
pub(crate) fn batches(of: &Task) -> Result<(), Error> {
    let (id, found) = (&of.id, of.batches.len());
    match (of.mode, found) {
        (Mode::Reindex, 1..) => {
            return refused(format!("task `{id}` re-indexes and has {found} batches, expected none"));
        }
        (Mode::Append | Mode::Replace, 0) => {
            return refused(format!("task `{id}` has no batches, expected at least one to load"));
        }
        _ => {}
    }
    if found > MAX_BATCHES {
        return refused(format!("task `{id}` has {found} batches, expected at most {MAX_BATCHES}"));
    }
    let mut uris = BTreeSet::new();
    for Batch { uri, .. } in &of.batches {
        let shown = uri.escape_debug();
        let has_place = ["http://", "https://"]
            .iter()
            .any(|scheme| uri.strip_prefix(scheme).is_some_and(|place| !place.is_empty() && !place.starts_with('/')));
        // Druid refuses the whole task for a letter that an address must have encoded.
        if !has_place || !uri.bytes().all(|c| c.is_ascii_graphic() && !br#""<>\^`{|}"#.contains(&c)) {
            return refused(format!("task `{id}` has a batch at `{shown}`, expected an address of http or https"));
        }
        // Its rows would be loaded twice.
        if !uris.insert(uri.as_str()) {
            return refused(format!("task `{id}` has the batch `{shown}` twice, expected it once"));
        }
    }
    Ok(())
}

/// Intervals are sound, and there where the task depends on them. Without them an appending task
/// finds its chunks itself, and so does a legacy one that replaces, as the demonstration's did.
pub(crate) fn intervals(of: &Task) -> Result<(), Error> {
    let needs = match (of.mode, of.dialect) {
        (Mode::Append, _) | (Mode::Replace, Dialect::Legacy) => false,
        (Mode::Replace, Dialect::Current) | (Mode::Reindex, _) => true,
    };
    if needs && of.intervals.is_empty() {
        let does = if of.mode == Mode::Replace { "replaces" } else { "re-indexes" };
        return refused(format!("task `{}` {does} no interval, expected at least one", of.id));
    }
    spans(&of.intervals)
}

/// Spans are not empty, in order, and do not overlap; one may begin where another ends.
pub(crate) fn spans(spans: &[Span]) -> Result<(), Error> {
    let mut before: Option<i64> = None;
    for Span { start, end } in spans {
        if end <= start {
            return refused(format!("interval from {start} to {end} ms since 1970, expected an end above the start"));
        }
        if let Some(before) = before.filter(|before| start < before) {
            let expected = "expected intervals in order and apart from each other";
            return refused(format!("interval from {start} ms since 1970 comes after one to {before}, {expected}"));
        }
        before = Some(*end);
    }
    Ok(())
}

/// Types that came after the legacy dialect.
pub(crate) fn legacy_columns(of: &DataSource) -> Result<(), Error> {
    let Some(column) = of.columns.iter().find(|column| column.kind == ColumnType::Json) else { return Ok(()) };
    let expected = "expected `text`, `long`, `float` or `double` in the legacy dialect";
    refused(format!("column `{}` is of type `json`, {expected}", column.name.escape_debug()))
}

/// A topic and brokers.
pub(crate) fn stream(of: &Stream) -> Result<(), Error> {
    let is_topic = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'.' | b'-');
    if !(1..=249).contains(&of.topic.len()) || !of.topic.bytes().all(is_topic) {
        let expected = "expected 1 to 249 letters, digits, `_`, `.` or `-`";
        return refused(format!("topic is `{}`, {expected}", of.topic.escape_debug()));
    }
    let is_broker = |broker: &str| {
        let parts = broker.trim().rsplit_once(':');
        let is_host = |host: &str| !host.is_empty() && !host.contains(|c: char| c.is_control() || c.is_whitespace());
        parts.is_some_and(|(host, port)| is_host(host) && port.parse::<u16>().is_ok_and(|port| port > 0))
    };
    if !of.bootstrap_servers.split(',').all(is_broker) {
        let found = of.bootstrap_servers.escape_debug();
        return refused(format!("brokers are `{found}`, expected `host:port`, several joined by `,`"));
    }
    Ok(())
}
