//! The plugin's options, read from their texts.
//!
//! Defaults are those of `plugin.toml`, which the host fills in. Bounds are Druid's own, so that a
//! value is refused here and not by a cluster, tasks later.

use connector_sdk::{Error, Settings};
use std::fmt::Display;
use std::str::FromStr;

/// What `query.granularity` may be, and how long it is in milliseconds.
const QUERY_GRANULARITIES: [(&str, i64); 7] = [
    ("none", 0),
    ("second", 1000),
    ("minute", 60_000),
    ("fifteen_minute", 900_000),
    ("thirty_minute", 1_800_000),
    ("hour", 3_600_000),
    ("day", 86_400_000),
];

/// All options.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) priority: i32,
    pub(crate) concurrent_locks: bool,
    pub(crate) max_rows_per_segment: i32,
    pub(crate) max_rows_in_memory: i32,
    pub(crate) max_parse_exceptions: i32,
    pub(crate) report_parse_exceptions: bool,
    pub(crate) max_concurrent_subtasks: i32,
    pub(crate) fetch_timeout_ms: i64,
    pub(crate) query_granularity: &'static str,
    pub(crate) query_granularity_ms: i64,
    pub(crate) rollup: bool,
    pub(crate) await_availability_ms: i64,
}

impl Options {
    /// Reads all options.
    ///
    /// # Errors
    /// [`Error::Config`] naming the option, what was found and what is expected.
    pub(crate) fn read(settings: &Settings) -> Result<Self, Error> {
        let (query_granularity, query_granularity_ms) = query_granularity(settings)?;
        let options = Options {
            priority: number(settings, "task.priority", 0, i32::MAX)?,
            concurrent_locks: boolean(settings, "concurrent.locks")?,
            max_rows_per_segment: number(settings, "max.rows.per.segment", 1, i32::MAX)?,
            max_rows_in_memory: number(settings, "max.rows.in.memory", 1, i32::MAX)?,
            max_parse_exceptions: number(settings, "max.parse.exceptions", 0, i32::MAX)?,
            report_parse_exceptions: boolean(settings, "report.parse.exceptions")?,
            // A task has no more batches than this.
            max_concurrent_subtasks: number(settings, "max.concurrent.subtasks", 1, 1000)?,
            fetch_timeout_ms: number(settings, "fetch.timeout.ms", 1, i64::MAX)?,
            query_granularity,
            query_granularity_ms,
            rollup: boolean(settings, "rollup")?,
            await_availability_ms: number(settings, "await.segment.availability.ms", 0, i64::MAX)?,
        };
        // Druid would take the number for 0 without a word.
        if options.report_parse_exceptions && options.max_parse_exceptions > 0 {
            return Err(Error::Config(format!(
                "option `report.parse.exceptions` is `true` and `max.parse.exceptions` is `{}`, expected `0`: the first \
                 unreadable row fails the task",
                options.max_parse_exceptions
            )));
        }
        Ok(options)
    }
}

fn number<T: FromStr + PartialOrd + Display>(settings: &Settings, key: &str, least: T, most: T) -> Result<T, Error> {
    let text = settings.text(key)?;
    text.parse().ok().filter(|number| (&least..=&most).contains(&number)).ok_or_else(|| {
        let expected = format!("expected a whole number from {least} to {most}");
        Error::Config(format!("option `{key}` is `{}`, {expected}", text.escape_debug()))
    })
}

fn boolean(settings: &Settings, key: &str) -> Result<bool, Error> {
    let text = settings.text(key)?;
    text.parse()
        .map_err(|_| Error::Config(format!("option `{key}` is `{}`, expected `true` or `false`", text.escape_debug())))
}

fn query_granularity(settings: &Settings) -> Result<(&'static str, i64), Error> {
    let key = "query.granularity";
    let text = settings.text(key)?;
    QUERY_GRANULARITIES.into_iter().find(|(name, _)| *name == text).ok_or_else(|| {
        let names = QUERY_GRANULARITIES.map(|(name, _)| format!("`{name}`")).join(", ");
        Error::Config(format!("option `{key}` is `{}`, expected one of {names}", text.escape_debug()))
    })
}
