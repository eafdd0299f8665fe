//! What a component wrote is what it was asked for: the identifier, the data source, the addresses, and
//! nothing that reads from elsewhere or shows a secret.
//!
//! Members of an input are allowed by name, because the ways to name another source have no end.

use super::chunks::read_interval;
use super::spec::placeholder;
use crate::connector::{Dialect, IngestMode, Span, TaskOf};
use crate::error::{Error, Result};
use serde_json::{Map, Value};

/// Members that hold an input, in the current dialect and in the legacy one.
const INPUTS: [&str; 2] = ["inputSource", "firehose"];
/// What an input that fetches may hold.
const FETCHING: [&str; 10] = [
    "type",
    "uris",
    "httpAuthenticationUsername",
    "httpAuthenticationPassword",
    "requestHeaders",
    "fetchTimeout",
    "maxCacheCapacityBytes",
    "maxFetchCapacityBytes",
    "prefetchTriggerBytes",
    "maxFetchRetry",
];
/// What an input that reads from the service itself may hold.
const OWN: [&str; 5] = ["type", "dataSource", "interval", "dimensions", "metrics"];
/// The only members with a secret.
const SECRET_MEMBERS: [&str; 2] = ["httpAuthenticationPassword", "requestHeaders"];

/// What was looked at, of which nothing else is in the text: members that are there twice count as they were read.
pub(super) fn task(text: &str, task: &TaskOf, num_secrets: usize) -> Result<Value> {
    let value = parse(text)?;
    has_id(&value, &task.id)?;
    is_into(&value, &task.into.name)?;
    let (kind, input_name) = match task.dialect {
        Dialect::Current => ("index_parallel", "inputSource"),
        Dialect::Legacy => ("index", "firehose"),
    };
    is_of_type(&value, kind)?;
    let mut inputs = 0;
    INPUTS.iter().for_each(|name| each_member(&value, name, &mut |_| inputs += 1));
    if inputs != 1 {
        return Err(wrong(format!("with {inputs} inputs, expected 1")));
    }
    let io = value.pointer("/spec/ioConfig").and_then(Value::as_object);
    let input = io.and_then(|io| io.get(input_name)).and_then(Value::as_object);
    let (io, input) = io.zip(input).ok_or_else(|| wrong(format!("without a `{input_name}` in its `ioConfig`")))?;
    reads_what_was_given(input, task)?;
    let flag = |name: &str| io.get(name).and_then(Value::as_bool).unwrap_or(false);
    let (appends, drops) = (flag("appendToExisting"), flag("dropExisting"));
    if appends != (task.mode == IngestMode::Append) || (drops && task.mode != IngestMode::Replace) {
        let mode = task.mode.name();
        return Err(wrong(format!("that does not {mode}: `appendToExisting` is {appends}, `dropExisting` {drops}")));
    }
    writes_to(&value, &task.intervals)?;
    let has_secrets = if task.batches.is_empty() { 0 } else { num_secrets };
    secrets_are_in_their_places(&value, has_secrets)?;
    Ok(value)
}

fn reads_what_was_given(input: &Map<String, Value>, task: &TaskOf) -> Result<()> {
    let expected: Vec<&str> = task.batches.iter().map(|batch| batch.uri.as_str()).collect();
    match (input.get("type").and_then(Value::as_str), expected.is_empty()) {
        (Some("http"), false) => {
            holds_only(input, &FETCHING)?;
            let uris = input.get("uris").and_then(Value::as_array);
            let uris: Option<Vec<&str>> = uris.and_then(|uris| uris.iter().map(Value::as_str).collect());
            match uris.as_ref() == Some(&expected) {
                true => Ok(()),
                false => {
                    let found = uris.map_or("no list of".to_owned(), |uris| uris.len().to_string());
                    Err(wrong(format!("that fetches {found} addresses, expected the {} given", expected.len())))
                }
            }
        }
        (Some("druid" | "ingestSegment"), true) => holds_only(input, &OWN),
        (kind, _) => {
            let found = kind.unwrap_or("none").escape_debug();
            Err(wrong(format!("with an input of type `{found}`, which is not what it was to read")))
        }
    }
}

/// The intervals of a task are those given; none where none were.
fn writes_to(value: &Value, expected: &[Span]) -> Result<()> {
    let intervals = value.pointer("/spec/dataSchema/granularitySpec/intervals");
    let found = match intervals {
        None => Some(Vec::new()),
        Some(intervals) => intervals.as_array().and_then(|intervals| {
            intervals.iter().map(|interval| read_interval(interval.as_str()?)).collect::<Option<Vec<Span>>>()
        }),
    };
    match found.as_deref() == Some(expected) {
        true => Ok(()),
        false => {
            let found = found.map_or("unreadable".to_owned(), |found| found.len().to_string());
            Err(wrong(format!("of {found} intervals, expected the {} given", expected.len())))
        }
    }
}

pub(super) fn compaction(text: &str, id: &str, data_source: &str, interval: Span) -> Result<()> {
    let value = parse(text)?;
    has_id(&value, id)?;
    is_into(&value, data_source)?;
    is_of_type(&value, "compact")?;
    let mut found = Vec::new();
    each_member(&value, "interval", &mut |member| found.push(member.as_str().and_then(read_interval)));
    if found.is_empty() || found.iter().any(|found| *found != Some(interval)) {
        let Span { start, end } = interval;
        return Err(wrong(format!("of another interval than the one from {start} to {end} ms since 1970")));
    }
    secrets_are_in_their_places(&value, 0)
}

pub(super) fn supervisor(text: &str, data_source: &str, topic: &str, bootstrap_servers: &str) -> Result<()> {
    let value = parse(text)?;
    is_into(&value, data_source)?;
    is_of_type(&value, "kafka")?;
    for (name, what, expected) in
        [("topic", "topic", topic), ("bootstrap.servers", "list of brokers", bootstrap_servers)]
    {
        let mut found = Vec::new();
        each_member(&value, name, &mut |member| found.push(member.clone()));
        if found.is_empty() || found.iter().any(|found| found.as_str() != Some(expected)) {
            return Err(wrong(format!("for another {what} than `{expected}`")));
        }
    }
    secrets_are_in_their_places(&value, 0)
}

fn is_of_type(value: &Value, expected: &str) -> Result<()> {
    let kind = value.get("type").and_then(Value::as_str).unwrap_or("none");
    match kind == expected {
        true => Ok(()),
        false => Err(wrong(format!("of type `{}`, expected `{expected}`", kind.escape_debug()))),
    }
}

fn wrong(what: impl std::fmt::Display) -> Error {
    Error::bug(format!("the component wrote a task {what}"))
}

fn parse(text: &str) -> Result<Value> {
    let value: Value = serde_json::from_str(text).map_err(|error| wrong(format!("that is no JSON: {error}")))?;
    match value.is_object() {
        true => Ok(value),
        false => Err(wrong("that is no JSON object")),
    }
}

fn has_id(value: &Value, expected: &str) -> Result<()> {
    let id = value.get("id").and_then(Value::as_str);
    match id == Some(expected) {
        true => Ok(()),
        false => {
            let found = id.map_or("none".to_owned(), |id| format!("`{}`", id.escape_debug()));
            Err(wrong(format!("with identifier {found}, expected `{expected}`")))
        }
    }
}

fn is_into(value: &Value, name: &str) -> Result<()> {
    let mut found = Vec::new();
    each_member(value, "dataSource", &mut |member| found.push(member.clone()));
    match !found.is_empty() && found.iter().all(|member| member.as_str() == Some(name)) {
        true => Ok(()),
        false => Err(wrong(format!("for another data source than `{name}`"))),
    }
}

fn holds_only(input: &Map<String, Value>, allowed: &[&str]) -> Result<()> {
    match input.keys().find(|name| !allowed.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(wrong(format!("whose input has member `{}`, which no input needs", name.escape_debug()))),
    }
}

/// Each placeholder there is a secret for stands once, where the service reads a secret.
fn secrets_are_in_their_places(value: &Value, num_secrets: usize) -> Result<()> {
    let (mut found, mut outside) = (Vec::new(), 0);
    each_placeholder(value, false, &mut |placeholder, is_in_place| match is_in_place {
        true => found.push(placeholder.to_owned()),
        false => outside += 1,
    });
    let mut expected: Vec<String> = (0..num_secrets).map(placeholder).collect();
    expected.sort();
    found.sort();
    if outside > 0 || found != expected {
        let (found, expected) = (found.len() + outside, expected.len());
        return Err(wrong(format!(
            "with {found} places for secrets, {outside} where none belongs, expected the {expected} given"
        )));
    }
    Ok(())
}

fn each_placeholder(value: &Value, is_in_place: bool, give: &mut dyn FnMut(&str, bool)) {
    match value {
        Value::String(text) if text.contains("${secret:") => give(text, is_in_place),
        Value::Array(members) => members.iter().for_each(|member| each_placeholder(member, is_in_place, give)),
        Value::Object(members) => {
            for (name, member) in members {
                if name.contains("${secret:") {
                    give(name, false);
                }
                each_placeholder(member, is_in_place || SECRET_MEMBERS.contains(&name.as_str()), give);
            }
        }
        _ => {}
    }
}

/// Every member of this name, wherever it is.
fn each_member(value: &Value, name: &str, give: &mut dyn FnMut(&Value)) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                if key == name {
                    give(member);
                }
                each_member(member, name, give);
            }
        }
        Value::Array(members) => members.iter().for_each(|member| each_member(member, name, give)),
        _ => {}
    }
}
