//! The summary at the end of a run: a table for people, one JSON object for programs.

use super::Failure;
use super::args::Output;
use super::output::{bytes, line, number};
use super::run::Finished;
use crate::worker::TaskStatus;
use comfy_table::{Table, presets};
use serde_json::{Value, json};
use std::time::Duration;

/// A place that records pass on their way.
pub(super) struct Hop {
    /// The place.
    pub(super) name: &'static str,
    /// Records there.
    pub(super) count: u64,
    /// More about it.
    pub(super) detail: String,
}

/// What arrived where.
pub(super) struct Hops {
    /// The places, in the order of the way.
    pub(super) places: Vec<Hop>,
    /// Inputs that are no records.
    pub(super) rejected: u64,
}

impl Hops {
    /// Whether all places have the same records.
    pub(super) fn is_equal(&self) -> bool {
        self.places.windows(2).all(|pair| matches!(pair, [one, other] if one.count == other.count))
    }
}

/// Prints what was done.
pub(super) fn print(finished: &Finished, hops: Option<&Hops>, output: Output) -> Result<(), Failure> {
    let Finished { statuses, log, took } = finished;
    match output {
        Output::Json => {
            let mut summary = as_json(statuses, log, *took);
            if let (Some(hops), Value::Object(fields)) = (hops, &mut summary) {
                let places =
                    hops.places.iter().map(|hop| json!({ "name": hop.name, "count": hop.count, "detail": hop.detail }));
                fields.insert("hops".to_owned(), Value::from_iter(places));
                fields.insert("rejected".to_owned(), json!(hops.rejected));
                fields.insert("equal".to_owned(), json!(hops.is_equal()));
            }
            line(&summary.to_string())?
        }
        Output::Text => {
            let mut text = as_text(statuses, log, *took);
            if let Some(hops) = hops {
                let mut table = Table::new();
                table.load_style(presets::UTF8_FULL_CONDENSED).set_header(["hop", "records", ""]);
                for (index, hop) in hops.places.iter().enumerate() {
                    table.add_row([hop.name.to_owned(), number(hop.count), hop.detail.clone()]);
                    if index == 0 {
                        let detail = "inputs that are no records, in the dead-letter topic".to_owned();
                        table.add_row(["rejected".to_owned(), number(hops.rejected), detail]);
                    }
                }
                if let Some(column) = table.column_mut(1) {
                    column.set_cell_alignment(comfy_table::CellAlignment::Right);
                }
                let verdict = if hops.is_equal() { "equal" } else { "NOT equal" };
                text.push_str(&format!("\n{table}\nrecords at all hops: {verdict}"));
            }
            line(&text)?
        }
    };
    Ok(())
}

/// The connector's name, with the task's number where it has several.
fn label(statuses: &[TaskStatus], status: &TaskStatus) -> String {
    match statuses.iter().filter(|other| other.name == status.name).count() {
        1 => status.name.clone(),
        _ => format!("{} task {}", status.name, status.task),
    }
}

fn per_second(records: u64, took: Duration) -> u64 {
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
    records.saturating_mul(1000) / millis
}

fn as_json(statuses: &[TaskStatus], log: &str, took: Duration) -> Value {
    let connectors = statuses.iter().map(|status| {
        let counts = &status.counts;
        json!({
            "name": status.name,
            "task": status.task,
            "plugin": status.plugin,
            "topic": status.topic,
            "state": status.state.name(),
            "trace": status.state.trace(),
            "records": counts.records,
            "records_per_second": per_second(counts.records, took),
            "bytes": counts.bytes,
            "rejected": counts.rejected,
            "skipped": counts.skips,
            "commits": counts.commits,
            "retries": counts.retries,
            "restarts": status.restarts,
            "not_written": counts.in_hand,
            "first_commit_ms": status.first_commit_ms,
            "feed": status.feed.as_ref().map(|feed| json!({
                "endpoint": feed.endpoint,
                "frames": feed.received,
                "dropped": feed.overflowed,
                "reconnects": feed.reconnects,
            })),
        })
    });
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    json!({ "duration_ms": millis, "log": log, "connectors": connectors.collect::<Vec<_>>() })
}

fn as_text(statuses: &[TaskStatus], log: &str, took: Duration) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(["connector", "state", "topic", "records", "per second", "bytes", "rejected", "skipped", "feed"]);
    for status in statuses {
        let counts = &status.counts;
        let skipped: u64 = counts.skips.values().sum();
        let feed = status.feed.as_ref().map_or("none".to_owned(), |feed| {
            let (frames, dropped) = (number(feed.received), number(feed.overflowed));
            format!("{frames} frames, {dropped} dropped, {} reconnects", feed.reconnects)
        });
        table.add_row([
            label(statuses, status),
            status.state.name().to_owned(),
            status.topic.clone(),
            number(counts.records),
            number(per_second(counts.records, took)),
            bytes(counts.bytes),
            number(counts.rejected),
            number(skipped),
            feed,
        ]);
    }
    for index in 3..8 {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(comfy_table::CellAlignment::Right);
        }
    }
    let mut text = format!("{table}\nran {:.1} s, log: {log}", took.as_secs_f64());
    for status in statuses {
        for (reason, count) in &status.counts.skips {
            text.push_str(&format!("\n{}: skipped {} as `{reason}`", status.name, number(*count)));
        }
        if status.counts.in_hand > 0 {
            text.push_str(&format!(
                "\n{}: {} records were taken and not written",
                status.name,
                number(status.counts.in_hand)
            ));
        }
        if let Some(trace) = status.state.trace() {
            text.push_str(&format!("\n{}: {}: {trace}", status.name, status.state.name()));
        }
    }
    text
}
