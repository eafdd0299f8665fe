//! Tasks beside known ones: the files in `golden/` are what a person would compare with.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use connector_sdk::Ingestion;
use connector_sdk::ingest::{Access, ColumnType, DataSource, Dialect, Granularity, Mode, Secret, Task};
use serde_json::Value;
use std::collections::BTreeSet;
use support::{batch, columns, days, open, stream, task, wikipedia};

/// A golden text without its white space: none of its strings has any.
fn compact(golden: &str) -> String {
    golden.split_whitespace().collect()
}

/// Members that `made` has and `known` has not, and the other way round, and those that differ.
fn differences(known: &Value, made: &Value, at: &str, found: &mut BTreeSet<String>) {
    match (known, made) {
        (Value::Object(known), Value::Object(made)) => {
            for (key, value) in made {
                match known.get(key) {
                    Some(other) => differences(other, value, &format!("{at}/{key}"), found),
                    None => drop(found.insert(format!("adds {at}/{key}"))),
                }
            }
            for key in known.keys().filter(|key| !made.contains_key(*key)) {
                found.insert(format!("lacks {at}/{key}"));
            }
        }
        (known, made) if known != made => drop(found.insert(format!("changes {at} from {known} to {made}"))),
        _ => {}
    }
}

/// How the demonstration's task differs from this one.
fn from_demonstration(options: &[(&str, &str)], task: &Task) -> Vec<String> {
    let known = serde_json::from_str(include_str!("golden/demonstration.json")).unwrap();
    let made = serde_json::from_str(&open(options).unwrap().task(task).unwrap()).unwrap();
    let mut found = BTreeSet::new();
    differences(&known, &made, "", &mut found);
    found.into_iter().collect()
}

/// What the demonstration loads, in its columns.
fn demonstration() -> Task {
    let long = ["added", "delta", "deltaBucket", "deleted", "commentLength"];
    let names = "diffUrl isRobot added delta flags channel isUnpatrolled isNew deltaBucket isMinor isAnonymous deleted \
                 namespace comment page commentLength user countryIsoCode countryName regionName cityName regionIsoCode";
    let kind = |name: &str| if long.contains(&name) { ColumnType::Long } else { ColumnType::Text };
    let typed: Vec<_> = names.split_whitespace().map(|name| (name, kind(name))).collect();
    Task {
        id: "demonstration".to_owned(),
        into: DataSource { name: "Wikipedia".to_owned(), columns: columns(&typed), ..wikipedia() },
        batches: vec![batch("http://ingest.qq.demo.local:9500/")],
        intervals: Vec::new(),
        ..task(Mode::Replace, Dialect::Legacy)
    }
}

#[test]
fn a_legacy_task_is_the_demonstrations_and_a_name() {
    let options = [("max.rows.in.memory", "75000")];
    assert_eq!(from_demonstration(&options, &demonstration()), ["adds /id"]);
    let dated = Task { intervals: vec![days(0, 1)], ..demonstration() };
    let intervals = "adds /spec/dataSchema/granularitySpec/intervals";
    assert_eq!(from_demonstration(&options, &dated), ["adds /id", intervals]);
    let appending = Task { mode: Mode::Append, ..dated };
    let append = "changes /spec/ioConfig/appendToExisting from false to true";
    assert_eq!(from_demonstration(&options, &appending), ["adds /id", intervals, append]);
}

#[test]
fn with_default_options_a_legacy_task_has_more_rows_in_memory() {
    let memory = "changes /spec/tuningConfig/maxRowsInMemory from 75000 to 150000";
    assert_eq!(from_demonstration(&[], &demonstration()), ["adds /id", memory]);
}

#[test]
fn a_legacy_tasks_members_stand_as_they_always_did() {
    let text = open(&[("max.rows.in.memory", "75000")]).unwrap().task(&demonstration()).unwrap();
    let known = compact(include_str!("golden/demonstration.json"))
        .replacen(r#"{"type":"index","#, r#"{"type":"index","id":"demonstration","#, 1)
        // The one place where the type is not first.
        .replace(r#""fetchTimeout":300000,"type":"http","#, r#""type":"http","fetchTimeout":300000,"#);
    assert_eq!(text, known);
}

fn append() -> Task {
    let typed = [
        ("channel", ColumnType::Text),
        ("page", ColumnType::Text),
        ("added", ColumnType::Long),
        ("score", ColumnType::Float),
        ("deltaBucket", ColumnType::Double),
        ("geo", ColumnType::Json),
        ("cityName", ColumnType::Text),
    ];
    Task {
        id: "wikipedia_append_0001".to_owned(),
        into: DataSource { columns: columns(&typed), ..wikipedia() },
        batches: ["0001", "0002"]
            .map(|name| batch(&format!("http://ingest.example:9500/v1/batches/{name}.json.gz")))
            .to_vec(),
        access: Access {
            basic: Some(("druid".to_owned(), Secret::Environment("SPOOL_PW".to_owned()))),
            headers: Vec::new(),
        },
        ..task(Mode::Append, Dialect::Current)
    }
}

#[test]
fn a_current_task_appends() {
    let text = open(&[]).unwrap().task(&append()).unwrap();
    assert_eq!(text, compact(include_str!("golden/current_append.json")));
}

#[test]
fn a_current_task_that_replaces_drops_what_was_there() {
    let replacing = Task { mode: Mode::Replace, ..append() };
    let known = compact(include_str!("golden/current_append.json"))
        .replace(r#""appendToExisting":true,"dropExisting":false"#, r#""appendToExisting":false,"dropExisting":true"#);
    assert_eq!(open(&[]).unwrap().task(&replacing).unwrap(), known);
}

#[test]
fn stored_rows_are_stored_anew() {
    for (dialect, known) in [
        (Dialect::Current, include_str!("golden/current_reindex.json")),
        (Dialect::Legacy, include_str!("golden/legacy_reindex.json")),
    ] {
        let of = Task {
            id: "wikipedia_reindex_0001".to_owned(),
            intervals: vec![days(0, 1), days(3, 4)],
            ..task(Mode::Reindex, dialect)
        };
        assert_eq!(open(&[]).unwrap().task(&of).unwrap(), compact(known), "{dialect:?}");
    }
}

#[test]
fn compaction_and_supervisor_have_their_own_forms() {
    let spec = open(&[]).unwrap();
    let text = spec.compaction("wikipedia_compact_0001", &wikipedia(), days(0, 1)).unwrap();
    assert_eq!(text, compact(include_str!("golden/compaction.json")));
    let text = spec.supervisor(&wikipedia(), &stream()).unwrap();
    assert_eq!(text, compact(include_str!("golden/supervisor.json")));
}

#[test]
fn options_are_where_druid_looks_for_them() {
    let options = [
        ("task.priority", "75"),
        ("concurrent.locks", "false"),
        ("max.rows.per.segment", "1000"),
        ("max.rows.in.memory", "2000"),
        ("max.parse.exceptions", "7"),
        ("max.concurrent.subtasks", "4"),
        ("fetch.timeout.ms", "60000"),
        ("query.granularity", "minute"),
        ("rollup", "true"),
        ("await.segment.availability.ms", "30000"),
    ];
    let spec = open(&options).unwrap();
    let read = |text: String| serde_json::from_str::<Value>(&text).unwrap();
    let current = read(spec.task(&task(Mode::Append, Dialect::Current)).unwrap());
    let tuning = &current["spec"]["tuningConfig"];
    assert_eq!(tuning["partitionsSpec"]["maxRowsPerSegment"], 1000);
    assert_eq!(tuning["maxRowsInMemory"], 2000);
    assert_eq!(tuning["maxParseExceptions"], 7);
    assert_eq!(tuning["maxNumConcurrentSubTasks"], 4);
    assert_eq!(tuning["awaitSegmentAvailabilityTimeoutMillis"], 30000);
    let granularity = &current["spec"]["dataSchema"]["granularitySpec"];
    assert_eq!((&granularity["queryGranularity"], &granularity["rollup"]), (&"minute".into(), &true.into()));
    assert_eq!(current["context"].to_string(), r#"{"priority":75,"useConcurrentLocks":false}"#);

    let legacy = read(spec.task(&task(Mode::Append, Dialect::Legacy)).unwrap());
    assert_eq!(legacy["spec"]["ioConfig"]["firehose"]["fetchTimeout"], 60000);
    assert_eq!(legacy["spec"]["dataSchema"]["granularitySpec"]["rollup"], true);
    assert_eq!(legacy["context"].to_string(), r#"{"priority":75}"#, "only what is not Druid's own");

    let strict = open(&[("report.parse.exceptions", "true")]).unwrap();
    for dialect in [Dialect::Current, Dialect::Legacy] {
        let made = read(strict.task(&task(Mode::Append, dialect)).unwrap());
        assert_eq!(made["spec"]["tuningConfig"]["reportParseExceptions"], true, "{dialect:?}");
    }
}

#[test]
fn secrets_are_named_and_not_known() {
    let spec = open(&[]).unwrap();
    let with = |dialect, basic: Option<Secret>, headers: &[(&str, &str)]| {
        let headers = headers.iter().map(|(name, text)| (name.to_string(), Secret::Placeholder(text.to_string())));
        let access = Access { basic: basic.map(|secret| ("druid".to_owned(), secret)), headers: headers.collect() };
        let text = spec.task(&Task { access, ..task(Mode::Append, dialect) }).unwrap();
        let io = serde_json::from_str::<Value>(&text).unwrap()["spec"]["ioConfig"].clone();
        if dialect == Dialect::Current { io["inputSource"].clone() } else { io["firehose"].clone() }
    };
    for dialect in [Dialect::Current, Dialect::Legacy] {
        let source = with(dialect, Some(Secret::Placeholder("{{1}}".to_owned())), &[]);
        assert_eq!(source["httpAuthenticationUsername"], "druid");
        assert_eq!(source["httpAuthenticationPassword"].to_string(), r#"{"password":"{{1}}","type":"default"}"#);
        let source = with(dialect, Some(Secret::Environment("PW".to_owned())), &[]);
        assert_eq!(source["httpAuthenticationPassword"].to_string(), r#"{"type":"environment","variable":"PW"}"#);
        let open_to_all = with(dialect, None, &[]);
        let members: Vec<_> = open_to_all.as_object().unwrap().keys().collect();
        assert!(members.iter().all(|member| !member.starts_with("http") && *member != "requestHeaders"));
    }
    let source = with(Dialect::Current, None, &[("x-spool-token", "{{2}}"), ("Authorization", "{{1}}")]);
    assert_eq!(source["requestHeaders"].to_string(), r#"{"Authorization":"{{1}}","x-spool-token":"{{2}}"}"#);
}

#[test]
fn intervals_of_days_are_short_and_others_have_times() {
    let spec = open(&[]).unwrap();
    let interval = |start, end| {
        let span = connector_sdk::ingest::Span { start, end };
        let hours = DataSource { segments: Granularity::Hour, ..wikipedia() };
        let text = spec.compaction("c", &hours, span).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["ioConfig"]["inputSpec"]["interval"].as_str().unwrap().to_owned()
    };
    let day = support::DAY;
    assert_eq!(interval(day, day + 3_600_000), "2026-02-03T00:00:00.000Z/2026-02-03T01:00:00.000Z");
    assert_eq!(interval(day + 82_800_000, day + support::DAY_MS), "2026-02-03T23:00:00.000Z/2026-02-04T00:00:00.000Z");
    assert_eq!(interval(-support::DAY_MS, 0), "1969-12-31/1970-01-01");
    assert_eq!(interval(-1, 61_001), "1969-12-31T23:59:59.999Z/1970-01-01T00:01:01.001Z");
}
