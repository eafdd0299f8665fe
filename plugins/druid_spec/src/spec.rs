//! What both dialects say in the same words: time, columns, granularity, passwords.

use crate::check::STORED_TIME;
use crate::time;
use connector_sdk::Error;
use connector_sdk::ingest::{Access, Batch, ColumnType, DataSource, Granularity, Mode, Secret, Span, Task};
use serde::Serialize;

/// The one text of a spec.
pub(crate) fn text(spec: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(spec).map_err(|error| Error::Bug(format!("failed to write the text of a task: {error}")))
}

/// Where a row's time is.
#[derive(Serialize)]
pub(crate) struct TimestampSpec<'a> {
    column: &'a str,
    format: &'a str,
}

impl<'a> TimestampSpec<'a> {
    /// In rows of a batch or a topic.
    pub(crate) fn of_rows(of: &'a DataSource) -> Self {
        TimestampSpec { column: &of.time_column, format: &of.time_format }
    }

    /// In what a task of this mode reads: stored rows have their time under Druid's own name.
    pub(crate) fn of_task(of: &'a Task) -> Self {
        match of.mode {
            Mode::Append | Mode::Replace => TimestampSpec::of_rows(&of.into),
            Mode::Reindex => TimestampSpec { column: STORED_TIME, format: "millis" },
        }
    }
}

/// All columns beside the time, which are stored and sorted in this order.
#[derive(Serialize)]
pub(crate) struct DimensionsSpec<T> {
    dimensions: Vec<T>,
}

impl<T> DimensionsSpec<T> {
    /// `write` is given a column's name, and its type unless it is text.
    pub(crate) fn new<'a>(of: &'a DataSource, write: impl Fn(&'a str, Option<&'static str>) -> T) -> Self {
        let dimensions = of.columns.iter().map(|column| {
            let kind = match column.kind {
                ColumnType::Text => None,
                ColumnType::Long => Some("long"),
                ColumnType::Float => Some("float"),
                ColumnType::Double => Some("double"),
                ColumnType::Json => Some("json"),
            };
            write(&column.name, kind)
        });
        DimensionsSpec { dimensions: dimensions.collect() }
    }
}

/// Metrics, of which there are none: all columns are dimensions.
#[derive(Serialize)]
pub(crate) struct NoMetrics([(); 0]);

impl NoMetrics {
    pub(crate) const fn new() -> Self {
        NoMetrics([])
    }
}

/// Length of a segment's time.
pub(crate) fn segments(of: &DataSource) -> &'static str {
    match of.segments {
        Granularity::Hour => "hour",
        Granularity::Day => "day",
        Granularity::Month => "month",
        Granularity::Year => "year",
    }
}

/// Intervals as texts.
pub(crate) fn intervals(of: &Task) -> Result<Vec<String>, Error> {
    of.intervals.iter().map(|span| time::interval(*span)).collect()
}

/// What a task that re-indexes reads: a source has one interval, so it is the one around all. Rows
/// between them are read too, and left out, as the granularity has the exact intervals.
///
/// (Druid's `combining` source would read less, but cannot be read by a task without sub-tasks.)
pub(crate) fn reindexed(of: &Task) -> Result<String, Error> {
    let ends = of.intervals.first().zip(of.intervals.last());
    let around = ends.map(|(first, last)| Span { start: first.start, end: last.end });
    time::interval(around.ok_or_else(|| Error::Bug("re-indexes no interval".to_owned()))?)
}

/// Addresses of all batches, in order.
pub(crate) fn uris(batches: &[Batch]) -> Vec<&str> {
    batches.iter().map(|batch| batch.uri.as_str()).collect()
}

/// Druid's `PasswordProvider`.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum Password<'a> {
    /// In the environment of Druid's processes.
    Environment { variable: &'a str },
    /// In the text itself: the host puts it in.
    Default { password: &'a str },
}

/// User and password of HTTP Basic.
pub(crate) fn basic(access: &Access) -> Result<Option<(&str, Password<'_>)>, Error> {
    let Some((user, secret)) = &access.basic else { return Ok(None) };
    // Whatever is after a colon would be taken for the password.
    if user.is_empty() || user.contains(':') {
        let expected = "expected a name without `:`";
        return Err(Error::Config(format!("user of basic access is `{}`, {expected}", user.escape_debug())));
    }
    let password = match secret {
        Secret::Environment(variable) => Password::Environment { variable },
        Secret::Placeholder(password) => Password::Default { password },
        Secret::Other(found) => return Err(unknown_secret("the password of basic access", found)),
    };
    Ok(Some((user, password)))
}

/// A way of keeping secrets that this version does not know.
pub(crate) fn unknown_secret(what: &str, found: &str) -> Error {
    let expected = "expected an environment variable or a placeholder";
    Error::Config(format!("{what} is kept in another way (`{}`), {expected}", found.escape_debug()))
}
