//! Options as the host gives them, and tasks to change. Each test file takes what it needs.
#![allow(dead_code, clippy::unwrap_used, missing_docs)]

use connector_sdk::ingest::{
    Access, Batch, Column, ColumnType, DataSource, Dialect, Granularity, Mode, Span, Stream, Task,
};
use connector_sdk::{Error, Ingestion};
use druid_spec::DruidSpec;

pub(crate) const DAY_MS: i64 = 86_400_000;
/// 2026-02-03.
pub(crate) const DAY: i64 = 20_487 * DAY_MS;

/// Option names and defaults as they stand in `plugin.toml`.
fn defaults() -> Vec<(String, String)> {
    let value = |option: &str, key: &str| {
        let line = option.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = ")).unwrap();
        line.trim_matches('"').to_owned()
    };
    let options = include_str!("../../plugin.toml").split("[[options]]").skip(1);
    options.map(|option| (value(option, "name"), value(option, "default"))).collect()
}

/// Opens with the defaults, which the host fills in, and these on top.
pub(crate) fn open(options: &[(&str, &str)]) -> Result<DruidSpec, Error> {
    let options = options.iter().map(|(key, value)| (key.to_string(), value.to_string()));
    DruidSpec::open(&defaults().into_iter().chain(options).collect())
}

pub(crate) fn columns(columns: &[(&str, ColumnType)]) -> Vec<Column> {
    columns.iter().map(|(name, kind)| Column { name: name.to_string(), kind: *kind }).collect()
}

pub(crate) fn wikipedia() -> DataSource {
    DataSource {
        name: "wikipedia".to_owned(),
        time_column: "timestamp".to_owned(),
        time_format: "iso".to_owned(),
        columns: columns(&[("page", ColumnType::Text), ("added", ColumnType::Long)]),
        segments: Granularity::Day,
    }
}

pub(crate) fn batch(uri: &str) -> Batch {
    Batch { uri: uri.to_owned(), records: 10, bytes: 1000 }
}

pub(crate) fn days(first: i64, after: i64) -> Span {
    Span { start: DAY + first * DAY_MS, end: DAY + after * DAY_MS }
}

/// A task with one batch, unless it re-indexes, and one day.
pub(crate) fn task(mode: Mode, dialect: Dialect) -> Task {
    let has_batch = mode != Mode::Reindex;
    Task {
        id: "wikipedia_0001".to_owned(),
        into: wikipedia(),
        mode,
        batches: has_batch.then(|| batch("http://ingest.example:9500/v1/batches/0001.json.gz")).into_iter().collect(),
        intervals: vec![days(0, 1)],
        access: Access { basic: None, headers: Vec::new() },
        dialect,
    }
}

pub(crate) fn stream() -> Stream {
    Stream { topic: "wikipedia".to_owned(), bootstrap_servers: "broker-1:9092,broker-2:9092".to_owned() }
}
