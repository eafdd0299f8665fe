//! Real recorded data, where it lies beside the project; it is never copied into it. Each test
//! prints what it counted (`cargo test -- --nocapture`) and passes where the data is not there.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use support::{Decoded, decode, open};

/// The text of a recorded file, unpacked; none, with a line that says so, where it is missing.
fn recorded(name: &str) -> Option<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    if !path.exists() {
        println!("not checked: {} is not there", path.display());
        return None;
    }
    if !name.ends_with(".gz") {
        return Some(std::fs::read_to_string(path).unwrap());
    }
    let output = Command::new("gzip").arg("-dc").arg(path).output().unwrap();
    Some(String::from_utf8(output.stdout).unwrap())
}

fn count(counts: &mut BTreeMap<String, u32>, decoded: &Decoded) {
    let name = match decoded {
        Decoded::Row { .. } => "decoded".to_owned(),
        Decoded::Skip(reason) => format!("skipped: {reason}"),
        Decoded::Reject(reason) => format!("rejected: {reason}"),
    };
    *counts.entry(name).or_default() += 1;
}

#[test]
fn recorded_irc_lines_are_edits_and_log_entries() {
    let Some(lines) = recorded("irc-plain-2014-04-enwiki-500.jsonl.gz") else { return };
    let mut source = open("irc", &[]);
    let mut counts = BTreeMap::new();
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let raw = line["raw"].as_str().unwrap();
        let decoded = decode(&mut source, line["channel"].as_str().unwrap(), raw.as_bytes());
        count(&mut counts, &decoded);
        if let Decoded::Row { value, .. } = decoded {
            let [page, flags, url, user] = ["page", "flags", "diffUrl", "user"].map(|key| value[key].as_str().unwrap());
            let (delta, comment) = (value["delta"].as_i64().unwrap(), value["comment"].as_str().unwrap());
            assert_eq!(format!("[[{page}]] {flags} {url} * {user} * ({delta:+}) {comment}"), raw);
        }
    }
    println!("recorded irc lines: {counts:?}");
    assert_eq!(counts["decoded"] + counts["skipped: log entry"], 500, "{counts:?}");
}

#[test]
fn recorded_events_are_read() {
    let mut counts = BTreeMap::new();
    let mut source = open("sse", &[]);
    if let Some(stream) = recorded("eventstreams-2022-12-11-sse-raw.txt") {
        for data in stream.lines().filter_map(|line| line.strip_prefix("data: ")) {
            count(&mut counts, &decode(&mut source, "message", data.as_bytes()));
        }
    }
    if let Some(events) = recorded("eventstreams-misc-real-events.ndjson") {
        for data in events.lines() {
            let event: Value = serde_json::from_str(data).unwrap();
            let decoded = decode(&mut source, "message", data.as_bytes());
            count(&mut counts, &decoded);
            if let (Decoded::Row { value, .. }, Some(url)) = (&decoded, event["notify_url"].as_str()) {
                assert_eq!(value["diffUrl"], url);
                // The address that would be built is the one the event has.
                let mut event = event.clone();
                event["meta"]["id"] = Value::Null;
                event["notify_url"] = Value::Null;
                let built = decode(&mut source, "message", event.to_string().as_bytes());
                assert_eq!(built.value()["diffUrl"], url);
            }
        }
    }
    println!("recorded events: {counts:?}");
    assert!(!counts.keys().any(|name| name.starts_with("rejected")), "{counts:?}");
}

/// The data set's rows are made into lines again; the columns that follow from a line must come
/// back. Sizes beyond -500 were lost when it was made, and its addresses are IPv4 only.
#[test]
fn rows_of_the_data_set_come_back() {
    let Some(rows) = recorded("wikipedia-2016-06-27-full-columns-500.json.gz") else { return };
    let mut source = open("irc", &[]);
    let (mut num_rows, mut other_namespaces, mut addresses) = (0, Vec::new(), 0);
    for row in rows.lines() {
        let row: Value = serde_json::from_str(row).unwrap();
        let text = |key: &str| row[key].as_str().unwrap();
        let size = format!("({:+})", row["delta"].as_i64().unwrap());
        let line = support::Line {
            title: text("page"),
            flags: text("flags"),
            url: text("diffUrl"),
            user: text("user"),
            size: &size,
            comment: text("comment"),
        };
        for line in [line.coloured(), line.plain()] {
            let decoded = decode(&mut source, text("channel"), line.as_bytes());
            let value = decoded.value();
            for key in [
                "isRobot",
                "channel",
                "flags",
                "isUnpatrolled",
                "page",
                "diffUrl",
                "added",
                "comment",
                "commentLength",
                "isNew",
                "isMinor",
                "delta",
                "user",
                "deltaBucket",
                "deleted",
            ] {
                assert_eq!(value[key], row[key], "{key} of {row}");
            }
            if value["isAnonymous"] != row["isAnonymous"] {
                assert!(text("user").contains(':'), "{row}");
                addresses += 1;
            }
            if value["namespace"] != row["namespace"] {
                assert_eq!(value["namespace"], "Main", "{row}");
                other_namespaces.push(format!("{} {}", text("channel"), text("namespace")));
            }
        }
        num_rows += 1;
    }
    println!(
        "rows of the data set: {num_rows} compared, {} with IPv6 users, other namespaces: {other_namespaces:?}",
        addresses / 2
    );
    assert!(other_namespaces.is_empty());
}
