//! A task as it was submitted, read once: what to read, into what, and under which lock.
//!
//! Invariant: what is accepted here can be run; a spec that cannot is refused when it is submitted,
//! which a real Druid mostly does too.

use serde_json::Value;

use super::Options;
use super::answer::Refusal;
use super::input::Input;
use super::schema::{Schema, granularity};
use super::segments::Lock;
use super::time::{Granularity, Interval};
use crate::clock::{iso_ms, now_ms};

const MAX_ID_CHARS: usize = 512;
/// The most bad rows of a task that are shown in its report.
const MAX_SAVED: u64 = 20;
const DEFAULT_ROWS_PER_SEGMENT: u64 = 5_000_000;

/// A task that can be run.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: String,
    /// `index_parallel`, `index` or `compact`.
    pub(super) kind: &'static str,
    pub(super) datasource: String,
    pub(super) input: Input,
    pub(super) schema: Schema,
    pub(super) lock: Lock,
    /// Drops also what is in the intervals and gets no new rows.
    pub(super) drop_existing: bool,
    pub(super) max_rows_per_segment: u64,
    pub(super) max_parse_exceptions: u64,
    pub(super) max_saved_parse_exceptions: usize,
    /// Whether the source is read a first time to find intervals or partitions.
    pub(super) reads_twice: bool,
    /// For `compact` without a granularity of its own: chunks stay as they are.
    pub(super) keeps_chunks: bool,
}

impl Job {
    /// Reads a task.
    ///
    /// # Errors
    /// 400 for what Druid refuses, and for what is not emulated.
    pub(super) fn read(task: &Value, options: &Options) -> Result<Self, Refusal> {
        let kind = match task.get("type").and_then(Value::as_str) {
            Some("index_parallel") => "index_parallel",
            Some("index") => "index",
            Some("compact") => "compact",
            Some(other) => {
                return Err(Refusal::invalid(format!(
                    "Could not resolve type id '{other}' as a subtype of `org.apache.druid.indexing.common.task.Task`: \
                     known type ids = [compact, index, index_parallel]"
                )));
            }
            None => return Err(Refusal::invalid("missing type id property 'type'")),
        };
        let given = task.get("id").filter(|id| !id.is_null());
        let id = given.map(|id| id.as_str().ok_or_else(|| Refusal::invalid("task ID is no text"))).transpose()?;
        if let Some(id) = id {
            check_id("task ID", id)?;
        }
        if kind == "compact" {
            return Self::read_compact(task, id);
        }
        let spec = task.get("spec").ok_or_else(|| Refusal::invalid("missing required field 'spec'"))?;
        let data = spec.get("dataSchema").filter(|data| data.is_object());
        let data = data.ok_or_else(|| Refusal::invalid("missing required field 'dataSchema'"))?;
        let datasource = datasource(data)?;
        let empty = Value::Null;
        let io = spec.get("ioConfig").ok_or_else(|| Refusal::invalid("missing required field 'ioConfig'"))?;
        let tuning = spec.get("tuningConfig").unwrap_or(&empty);
        let schema = Schema::read(data, options.legacy)?;
        let firehose = io.get("firehose").filter(|firehose| !firehose.is_null());
        let input = match firehose {
            Some(_) if !options.legacy => {
                return Err(Refusal::invalid("firehose ingestion has been removed, use an inputSource instead"));
            }
            Some(firehose) => Input::read_firehose(firehose)?,
            None => {
                let source =
                    io.get("inputSource").ok_or_else(|| Refusal::invalid("missing required field 'inputSource'"))?;
                Input::read(source, &options.allowed_headers)?
            }
        };
        let format = io.pointer("/inputFormat/type").and_then(Value::as_str);
        if firehose.is_none() && !matches!(input, Input::Own { .. }) && format != Some("json") {
            return Err(Refusal::invalid(format!("inputFormat {format:?} is not emulated, expected json")));
        }
        let flag = |from: &Value, key: &str| from.get(key).and_then(Value::as_bool).unwrap_or(false);
        let appends = flag(io, "appendToExisting");
        let drop_existing = flag(io, "dropExisting");
        if drop_existing && (appends || schema.intervals.is_empty()) {
            return Err(Refusal::invalid("dropExisting needs appendToExisting false and explicit intervals"));
        }
        let partitions = tuning.pointer("/partitionsSpec/type").and_then(Value::as_str).unwrap_or("dynamic");
        let is_dynamic = partitions == "dynamic";
        if !["dynamic", "hashed", "range", "single_dim"].contains(&partitions) {
            return Err(Refusal::invalid(format!("Could not resolve type id '{partitions}' as a partitionsSpec")));
        }
        if !is_dynamic && (appends || schema.intervals.is_empty() || !flag(tuning, "forceGuaranteedRollup")) {
            let text = format!("partitionsSpec [{partitions}] needs forceGuaranteedRollup, intervals and no appending");
            return Err(Refusal::invalid(text));
        }
        // Section 4: what has no intervals is read once to find them. Section 5: so are partitions.
        let finds_intervals = firehose.is_some() && kind == "index" && schema.intervals.is_empty();
        let number = |key: &str| tuning.get(key).and_then(Value::as_u64);
        let rows = tuning.pointer("/partitionsSpec/maxRowsPerSegment").and_then(Value::as_u64);
        let max_rows_per_segment = rows.or_else(|| number("maxRowsPerSegment")).unwrap_or(DEFAULT_ROWS_PER_SEGMENT);
        let strict = flag(tuning, "reportParseExceptions");
        // A negative number is none, as in Druid.
        let bad = number("maxParseExceptions").filter(|_| !strict);
        Ok(Self {
            id: id.map_or_else(|| made_up_id(kind, &datasource), str::to_owned),
            kind,
            lock: Lock::read(task.get("context").unwrap_or(&empty), appends, &schema.intervals, schema.segment),
            datasource,
            input,
            schema,
            drop_existing,
            max_rows_per_segment: max_rows_per_segment.max(1),
            max_parse_exceptions: bad.unwrap_or(if strict { 0 } else { u64::MAX }),
            max_saved_parse_exceptions: number("maxSavedParseExceptions").unwrap_or(0).min(MAX_SAVED) as usize,
            reads_twice: finds_intervals || !is_dynamic,
            keeps_chunks: false,
        })
    }

    fn read_compact(task: &Value, id: Option<&str>) -> Result<Self, Refusal> {
        let datasource = datasource(task)?;
        let interval = task.pointer("/ioConfig/inputSpec/interval").or_else(|| task.get("interval"));
        let interval = interval.and_then(Value::as_str).and_then(Interval::parse);
        let interval = interval.ok_or_else(|| Refusal::invalid("compact needs ioConfig.inputSpec with an interval"))?;
        let empty = Value::Null;
        let spec = task.get("granularitySpec").unwrap_or(&empty);
        let keeps_chunks = spec.get("segmentGranularity").is_none_or(Value::is_null);
        let segment = granularity(spec, "segmentGranularity", Granularity::Day)?;
        if !segment.is_for_segments() {
            return Err(Refusal::invalid("the emulator makes segments of an hour, a day, a month or a year"));
        }
        let mut schema = Schema::read(&empty, false)?;
        schema.intervals = vec![interval];
        schema.segment = segment;
        let rows = task.pointer("/tuningConfig/partitionsSpec/maxRowsPerSegment").and_then(Value::as_u64);
        Ok(Self {
            id: id.map_or_else(|| made_up_id("compact", &datasource), str::to_owned),
            kind: "compact",
            lock: Lock::read(task.get("context").unwrap_or(&empty), false, &schema.intervals, segment),
            input: Input::Own { datasource: datasource.clone(), interval: Some(interval) },
            datasource,
            schema,
            drop_existing: false,
            max_rows_per_segment: rows.unwrap_or(DEFAULT_ROWS_PER_SEGMENT).max(1),
            max_parse_exceptions: u64::MAX,
            max_saved_parse_exceptions: 0,
            reads_twice: false,
            keeps_chunks,
        })
    }
}

/// The name of the data source that a `dataSchema` means.
///
/// # Errors
/// 400 for none, and for a name that Druid refuses.
pub(super) fn datasource(data: &Value) -> Result<String, Refusal> {
    let name = data.get("dataSource").and_then(Value::as_str);
    let name = name.ok_or_else(|| Refusal::invalid("missing required field 'dataSource'"))?;
    check_id("dataSource", name)?;
    Ok(name.to_owned())
}

fn check_id(what: &str, id: &str) -> Result<(), Refusal> {
    let wrong = if id.is_empty() {
        "must not be empty"
    } else if id.starts_with('.') {
        "cannot start with '.'"
    } else if id.contains('/') {
        "cannot contain '/'"
    } else if id.contains(char::is_whitespace) {
        "contains illegal whitespace characters"
    } else if id.contains(char::is_control) || id.chars().count() > MAX_ID_CHARS {
        "contains illegal characters, or too many"
    } else {
        return Ok(());
    };
    let shown: String = id.chars().take(MAX_ID_CHARS).collect();
    Err(Refusal::invalid(format!("Invalid value for field [{what}]: Value [{shown}] {wrong}.")))
}

/// The form of Druid's own ids: eight letters from a to p, and the time.
fn made_up_id(kind: &str, datasource: &str) -> String {
    let mut bits = rand::random::<u32>();
    let mut letters = String::with_capacity(8);
    for _ in 0..8 {
        letters.push(char::from(b'a' + (bits & 0xf) as u8));
        bits >>= 4;
    }
    format!("{kind}_{datasource}_{letters}_{}", iso_ms(now_ms()))
}
