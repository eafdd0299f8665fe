//! Any task gives one JSON object that holds what it was given, or an error of class Config.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use connector_sdk::ingest::{Batch, Column, ColumnType, DataSource, Dialect, Granularity, Mode, Span, Task};
use connector_sdk::{Error, Ingestion};
use proptest::prelude::*;
use serde_json::Value;
use support::{open, task, wikipedia};

fn kind() -> impl Strategy<Value = ColumnType> {
    use ColumnType::{Double, Float, Long, Text};
    proptest::sample::select(vec![Text, Long, Float, Double])
}

/// Names with everything that JSON has to escape.
fn into() -> impl Strategy<Value = DataSource> {
    let columns = proptest::collection::btree_map("[a-z\"\\\\\n\u{1}ä😀 {}]{1,8}", kind(), 1..12);
    let segments = proptest::sample::select(vec![Granularity::Hour, Granularity::Month, Granularity::Year]);
    ("[a-z][a-z\"\\\\ä {}]{0,8}", columns, segments).prop_map(|(name, columns, segments)| DataSource {
        name,
        columns: columns.into_iter().map(|(name, kind)| Column { name, kind }).collect(),
        segments,
        ..wikipedia()
    })
}

fn mode() -> impl Strategy<Value = Mode> {
    proptest::sample::select(vec![Mode::Append, Mode::Replace, Mode::Reindex])
}

fn dialect() -> impl Strategy<Value = Dialect> {
    proptest::sample::select(vec![Dialect::Current, Dialect::Legacy])
}

proptest! {
    #[test]
    fn a_task_says_what_it_was_given(
        id in "[a-zA-Z0-9_-][a-zA-Z0-9_.-]{0,199}", into in into(), mode in mode(), dialect in dialect(), count in 1..9,
    ) {
        let uris: Vec<_> = (0..count).map(|at| format!("https://h:1/{at}?a=%22'[~]&b=%20")).collect();
        let batches = uris.iter().map(|uri| Batch { uri: uri.clone(), records: 0, bytes: 0 });
        let batches = if mode == Mode::Reindex { Vec::new() } else { batches.collect() };
        let of = Task { id, into, batches, ..task(mode, dialect) };
        let spec = open(&[]).unwrap();
        let text = spec.task(&of).unwrap();
        prop_assert_eq!(&text, &spec.task(&of).unwrap());
        let made: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(made["id"].as_str(), Some(of.id.as_str()));
        let schema = &made["spec"]["dataSchema"];
        prop_assert_eq!(schema["dataSource"].as_str(), Some(of.into.name.as_str()));
        let is_current = dialect == Dialect::Current;
        let dimensions = if is_current { schema } else { &schema["parser"]["parseSpec"] };
        let dimensions = dimensions["dimensionsSpec"]["dimensions"].as_array().unwrap();
        let names: Vec<_> = dimensions.iter().map(|column| column.as_str().or(column["name"].as_str())).collect();
        let expected: Vec<_> = of.into.columns.iter().map(|column| Some(column.name.as_str())).collect();
        prop_assert_eq!(names, expected);
        let source = &made["spec"]["ioConfig"][if is_current { "inputSource" } else { "firehose" }];
        if mode == Mode::Reindex {
            prop_assert_eq!(&source["dataSource"], &schema["dataSource"]);
            prop_assert!(!text.contains("http"));
        } else {
            prop_assert_eq!(&source["uris"], &Value::from(uris));
        }
    }

    #[test]
    fn whatever_it_is_given_it_fails_as_config(
        id in any::<String>(), name in any::<String>(), column in any::<String>(), uri in any::<String>(),
        ends in proptest::collection::vec(any::<(i64, i64)>(), 0..4), mode in mode(), dialect in dialect(),
    ) {
        let kind = ColumnType::Text;
        let of = Task {
            into: DataSource { name, columns: vec![Column { name: column, kind }], ..wikipedia() },
            batches: vec![Batch { uri, records: u64::MAX, bytes: u64::MAX }],
            intervals: ends.into_iter().map(|(start, end)| Span { start, end }).collect(),
            id: id.clone(),
            ..task(mode, dialect)
        };
        let spec = open(&[]).unwrap();
        for sound in [false, true] {
            let id = if sound { "t".to_owned() } else { id.clone() };
            let into = if sound { wikipedia() } else { of.into.clone() };
            let answer = spec.task(&Task { id, into, ..of.clone() });
            prop_assert!(matches!(answer, Ok(_) | Err(Error::Config(_))), "{answer:?}");
        }
        for span in of.intervals {
            let answer = spec.compaction("c", &wikipedia(), span);
            prop_assert!(matches!(answer, Ok(_) | Err(Error::Config(_))), "{answer:?}");
        }
    }
}
