//! What a task says of its rows: their time, their columns, and what of them is kept.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answer::Refusal;
use super::time::{Granularity, Interval, TimeForm};

/// The most columns a data source has here; what is found beyond is not kept.
pub(super) const MAX_COLUMNS: usize = 2000;
/// The most intervals of a task.
const MAX_INTERVALS: usize = 10_000;

/// What a column holds, as far as adding goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Long,
    Double,
    /// Anything that is not added.
    Text,
}

/// A column that is kept.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    /// The field of the row; `None` for a count of rows.
    pub(super) field: Option<String>,
    pub(super) kind: Kind,
}

/// The schema of a task.
#[derive(Debug)]
pub(super) struct Schema {
    pub(super) time_column: String,
    pub(super) time_form: TimeForm,
    /// What a row without a time gets.
    pub(super) missing_time: Option<i64>,
    pub(super) columns: Vec<Column>,
    /// Whether columns that are not listed are kept too, numbers as numbers.
    pub(super) discovers: bool,
    pub(super) segment: Granularity,
    pub(super) query: Granularity,
    /// Empty: any time.
    pub(super) intervals: Vec<Interval>,
}

impl Schema {
    /// Reads a `dataSchema`, in the current form or, where `legacy`, with a `parser`.
    ///
    /// # Errors
    /// 400 for what Druid refuses, and for what is not emulated.
    pub(super) fn read(data: &Value, legacy: bool) -> Result<Self, Refusal> {
        let parse = match data.pointer("/parser/parseSpec") {
            Some(_) if !legacy => {
                return Err(Refusal::invalid("dataSchema.parser needs a Druid of version 25 or older"));
            }
            Some(parse) => parse,
            None => data,
        };
        let is_legacy = parse.pointer("/format").is_some();
        if is_legacy && parse.get("format").and_then(Value::as_str) != Some("json") {
            return Err(Refusal::invalid("the emulator reads format [json] only"));
        }
        let time = parse.get("timestampSpec").unwrap_or(&Value::Null);
        let form = time.get("format").and_then(Value::as_str).unwrap_or("auto");
        let time_form = TimeForm::named(form)
            .ok_or_else(|| Refusal::invalid(format!("the emulator reads no times of format [{form}]")))?;
        let missing = time.get("missingValue").filter(|value| !value.is_null());
        let missing_time = match missing {
            None => None,
            Some(value) => {
                let read = TimeForm::Auto.read(value);
                Some(read.ok_or_else(|| Refusal::invalid("timestampSpec.missingValue is no time"))?)
            }
        };
        let dimensions = parse.get("dimensionsSpec").unwrap_or(&Value::Null);
        let (columns, discovers) = columns(dimensions, data.get("metricsSpec"))?;
        let granularity = data.get("granularitySpec").unwrap_or(&Value::Null);
        let segment = self::granularity(granularity, "segmentGranularity", Granularity::Day)?;
        if !segment.is_for_segments() {
            return Err(Refusal::invalid("the emulator makes segments of an hour, a day, a month or a year"));
        }
        Ok(Self {
            time_column: time.get("column").and_then(Value::as_str).unwrap_or("timestamp").to_owned(),
            time_form,
            missing_time,
            columns,
            discovers,
            segment,
            query: self::granularity(granularity, "queryGranularity", Granularity::None)?,
            intervals: intervals(granularity.get("intervals"))?,
        })
    }

    /// Whether a row of this time is for this task.
    pub(super) fn has(&self, at: i64) -> bool {
        self.intervals.is_empty() || self.intervals.iter().any(|interval| interval.has(at))
    }
}

/// Reads the granularity under `key`.
///
/// # Errors
/// 400 for one that is not emulated.
pub(super) fn granularity(spec: &Value, key: &str, default: Granularity) -> Result<Granularity, Refusal> {
    match spec.get(key).filter(|value| !value.is_null()) {
        None => Ok(default),
        Some(value) => Granularity::read(value)
            .ok_or_else(|| Refusal::invalid(format!("granularitySpec.{key} [{value}] is not emulated"))),
    }
}

fn intervals(value: Option<&Value>) -> Result<Vec<Interval>, Refusal> {
    let given = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(given)) if given.len() <= MAX_INTERVALS => given,
        Some(_) => return Err(Refusal::invalid(format!("expected an array of at most {MAX_INTERVALS} intervals"))),
    };
    let read = |value: &Value| {
        let interval = value.as_str().and_then(Interval::parse);
        interval.ok_or_else(|| Refusal::invalid(format!("Bad Interval[{value}]: expected two ISO times with a slash")))
    };
    given.iter().map(read).collect()
}

fn columns(dimensions: &Value, metrics: Option<&Value>) -> Result<(Vec<Column>, bool), Refusal> {
    let listed = dimensions.get("dimensions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let metrics = metrics.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if listed.len() + metrics.len() > MAX_COLUMNS {
        return Err(Refusal::invalid(format!("the emulator keeps at most {MAX_COLUMNS} columns")));
    }
    let mut columns: Vec<Column> = Vec::with_capacity(listed.len() + metrics.len());
    for dimension in listed {
        let name = dimension.as_str().or_else(|| dimension.get("name")?.as_str());
        let name = name.ok_or_else(|| Refusal::invalid(format!("a dimension needs a name, found [{dimension}]")))?;
        let kind = match dimension.get("type").and_then(Value::as_str).unwrap_or("string") {
            "long" => Kind::Long,
            "float" | "double" => Kind::Double,
            "string" | "json" | "auto" => Kind::Text,
            other => return Err(Refusal::invalid(format!("Could not resolve type id '{other}' as a dimension"))),
        };
        columns.push(Column { name: name.to_owned(), field: Some(name.to_owned()), kind });
    }
    for metric in metrics {
        let text = |key: &str| metric.get(key).and_then(Value::as_str);
        let missing = || Refusal::invalid(format!("a metric needs type, name and fieldName, found [{metric}]"));
        let (kind, has_field) = match text("type").ok_or_else(missing)? {
            "count" => (Kind::Long, false),
            "longSum" => (Kind::Long, true),
            "doubleSum" | "floatSum" => (Kind::Double, true),
            other => return Err(Refusal::invalid(format!("metric type [{other}] is not emulated"))),
        };
        let field = if has_field { Some(text("fieldName").ok_or_else(missing)?.to_owned()) } else { None };
        columns.push(Column { name: text("name").ok_or_else(missing)?.to_owned(), field, kind });
    }
    let mut names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find_map(|pair| pair.first().filter(|first| pair.last() == Some(first))) {
        return Err(Refusal::invalid(format!("Cannot have duplicate column [{twice}]")));
    }
    let discovers = dimensions.get("useSchemaDiscovery").and_then(Value::as_bool).unwrap_or(false);
    Ok((columns, discovers))
}
