//! The current dialect: Druid 0.17 and later. Members stand in the order of its documentation.

use crate::options::Options;
use crate::spec::{self, DimensionsSpec, NoMetrics, Password, TimestampSpec};
use crate::time;
use connector_sdk::Error;
use connector_sdk::ingest::{Access, DataSource, Mode, Secret, Span, Stream, Task as Of};
use serde::Serialize;
use std::collections::BTreeMap;

const PARALLEL: &str = "index_parallel";
/// Tries of a sub-task.
const MAX_RETRY: u32 = 3;
/// Unreadable rows that a task's report shows.
const MAX_SAVED_PARSE_EXCEPTIONS: u32 = 10;

/// A task.
#[derive(Serialize)]
pub(crate) struct Task<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    spec: Spec<'a, IoConfig<'a>, TuningConfig>,
    context: Context,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a, Io, Tuning> {
    data_schema: DataSchema<'a>,
    io_config: Io,
    tuning_config: Tuning,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DataSchema<'a> {
    data_source: &'a str,
    timestamp_spec: TimestampSpec<'a>,
    dimensions_spec: DimensionsSpec<Dimension<'a>>,
    metrics_spec: NoMetrics,
    granularity_spec: GranularitySpec,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Dimension<'a> {
    Text(&'a str),
    Typed {
        #[serde(rename = "type")]
        kind: &'static str,
        name: &'a str,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GranularitySpec {
    #[serde(rename = "type")]
    kind: &'static str,
    segment_granularity: &'static str,
    query_granularity: &'static str,
    rollup: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    intervals: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IoConfig<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    input_source: InputSource<'a>,
    /// Of batches; stored rows have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    input_format: Option<InputFormat>,
    append_to_existing: bool,
    drop_existing: bool,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum InputSource<'a> {
    Http {
        uris: Vec<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        http_authentication_username: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        http_authentication_password: Option<Password<'a>>,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        request_headers: BTreeMap<&'a str, &'a str>,
    },
    Druid {
        data_source: &'a str,
        interval: String,
    },
}

/// One JSON object a line.
#[derive(Serialize)]
struct InputFormat {
    #[serde(rename = "type")]
    kind: &'static str,
}

const JSON: InputFormat = InputFormat { kind: "json" };

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TuningConfig {
    #[serde(rename = "type")]
    kind: &'static str,
    partitions_spec: PartitionsSpec,
    max_rows_in_memory: i32,
    max_num_concurrent_sub_tasks: i32,
    max_retry: u32,
    #[serde(flatten)]
    parse: ParseExceptions,
    await_segment_availability_timeout_millis: i64,
}

/// The one kind of partitions that rows can be added to.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PartitionsSpec {
    #[serde(rename = "type")]
    kind: &'static str,
    max_rows_per_segment: i32,
}

/// Unreadable rows.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ParseExceptions {
    report_parse_exceptions: bool,
    log_parse_exceptions: bool,
    max_parse_exceptions: i32,
    max_saved_parse_exceptions: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Context {
    use_concurrent_locks: bool,
    /// None: Druid's own of that kind of task.
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<i32>,
}

/// A task; the rules of `check` hold for it.
///
/// # Errors
/// [`Error::Config`] for secrets and times that have no form here.
pub(crate) fn task<'a>(options: &Options, of: &'a Of) -> Result<Task<'a>, Error> {
    let data_schema = data_schema(options, &of.into, TimestampSpec::of_task(of), spec::intervals(of)?);
    let reads_batches = of.mode != Mode::Reindex;
    let io_config = IoConfig {
        kind: PARALLEL,
        input_source: input_source(of)?,
        input_format: reads_batches.then_some(JSON),
        append_to_existing: of.mode == Mode::Append,
        // Not when re-indexing: what it does not find in the interval it must not remove.
        drop_existing: of.mode == Mode::Replace,
    };
    let tuning_config = TuningConfig {
        kind: PARALLEL,
        partitions_spec: partitions(options),
        max_rows_in_memory: options.max_rows_in_memory,
        max_num_concurrent_sub_tasks: options.max_concurrent_subtasks,
        max_retry: MAX_RETRY,
        parse: parse(options),
        await_segment_availability_timeout_millis: options.await_availability_ms,
    };
    let context = Context { use_concurrent_locks: options.concurrent_locks, priority: Some(options.priority) };
    Ok(Task { kind: PARALLEL, id: &of.id, spec: Spec { data_schema, io_config, tuning_config }, context })
}

fn data_schema<'a>(
    options: &Options,
    of: &'a DataSource,
    timestamp_spec: TimestampSpec<'a>,
    intervals: Vec<String>,
) -> DataSchema<'a> {
    let dimension = |name, kind: Option<_>| kind.map_or(Dimension::Text(name), |kind| Dimension::Typed { kind, name });
    DataSchema {
        data_source: &of.name,
        timestamp_spec,
        dimensions_spec: DimensionsSpec::new(of, dimension),
        metrics_spec: NoMetrics::new(),
        granularity_spec: GranularitySpec {
            kind: "uniform",
            segment_granularity: spec::segments(of),
            query_granularity: options.query_granularity,
            rollup: options.rollup,
            intervals,
        },
    }
}

fn input_source(of: &Of) -> Result<InputSource<'_>, Error> {
    if of.mode == Mode::Reindex {
        return Ok(InputSource::Druid { data_source: &of.into.name, interval: spec::reindexed(of)? });
    }
    let (user, password) = spec::basic(&of.access)?.unzip();
    Ok(InputSource::Http {
        uris: spec::uris(&of.batches),
        http_authentication_username: user,
        http_authentication_password: password,
        request_headers: headers(&of.access)?,
    })
}

/// Druid takes plain text for headers, so only what the host puts in can be secret. A cluster must
/// allow each name (`druid.ingestion.http.allowedHeaders`).
fn headers(access: &Access) -> Result<BTreeMap<&str, &str>, Error> {
    let mut headers: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, secret) in &access.headers {
        let shown = name.escape_debug();
        let is_token = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(Error::Config(format!("header is called `{shown}`, expected a name that HTTP allows")));
        }
        if headers.keys().any(|other| other.eq_ignore_ascii_case(name)) {
            return Err(Error::Config(format!("header `{shown}` is there twice, expected it once")));
        }
        // Druid writes its own over it.
        if access.basic.is_some() && name.eq_ignore_ascii_case("authorization") {
            return Err(Error::Config(format!("header `{shown}` comes with basic access, expected one of the two")));
        }
        let value = match secret {
            Secret::Placeholder(text) => text,
            Secret::Environment(variable) => {
                let expected = "expected a placeholder: Druid reads only passwords from its environment";
                let found = variable.escape_debug();
                return Err(Error::Config(format!(
                    "header `{shown}` is in environment variable `{found}`, {expected}"
                )));
            }
            Secret::Other(found) => return Err(spec::unknown_secret(&format!("header `{shown}`"), found)),
        };
        headers.insert(name, value);
    }
    Ok(headers)
}

fn partitions(options: &Options) -> PartitionsSpec {
    PartitionsSpec { kind: "dynamic", max_rows_per_segment: options.max_rows_per_segment }
}

fn parse(options: &Options) -> ParseExceptions {
    ParseExceptions {
        report_parse_exceptions: options.report_parse_exceptions,
        log_parse_exceptions: true,
        max_parse_exceptions: options.max_parse_exceptions,
        max_saved_parse_exceptions: MAX_SAVED_PARSE_EXCEPTIONS,
    }
}

/// A task that compacts.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Compaction<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    data_source: &'a str,
    io_config: CompactionIo,
    granularity_spec: CompactionGranularity,
    tuning_config: CompactionTuning,
    context: Context,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CompactionIo {
    #[serde(rename = "type")]
    kind: &'static str,
    input_spec: CompactionInput,
}

#[derive(Serialize)]
struct CompactionInput {
    #[serde(rename = "type")]
    kind: &'static str,
    interval: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CompactionGranularity {
    segment_granularity: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CompactionTuning {
    #[serde(rename = "type")]
    kind: &'static str,
    partitions_spec: PartitionsSpec,
    max_rows_in_memory: i32,
    max_num_concurrent_sub_tasks: i32,
}

/// A task that merges the segments of one interval. It has Druid's own priority, which gives way to
/// tasks that load, and waits for no availability, which Druid refuses here.
///
/// # Errors
/// As for [`task`].
pub(crate) fn compaction<'a>(
    options: &Options,
    id: &'a str,
    of: &'a DataSource,
    interval: Span,
) -> Result<Compaction<'a>, Error> {
    Ok(Compaction {
        kind: "compact",
        id,
        data_source: &of.name,
        io_config: CompactionIo {
            kind: "compact",
            input_spec: CompactionInput { kind: "interval", interval: time::interval(interval)? },
        },
        granularity_spec: CompactionGranularity { segment_granularity: spec::segments(of) },
        tuning_config: CompactionTuning {
            kind: PARALLEL,
            partitions_spec: partitions(options),
            max_rows_in_memory: options.max_rows_in_memory,
            max_num_concurrent_sub_tasks: options.max_concurrent_subtasks,
        },
        context: Context { use_concurrent_locks: options.concurrent_locks, priority: None },
    })
}

/// A supervisor.
#[derive(Serialize)]
pub(crate) struct Supervisor<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    spec: Spec<'a, StreamIo<'a>, StreamTuning>,
    context: Context,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StreamIo<'a> {
    topic: &'a str,
    input_format: InputFormat,
    consumer_properties: BTreeMap<&'static str, &'a str>,
    use_earliest_offset: bool,
    task_count: u32,
    replicas: u32,
    task_duration: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StreamTuning {
    #[serde(rename = "type")]
    kind: &'static str,
    max_rows_per_segment: i32,
    max_rows_in_memory: i32,
    #[serde(flatten)]
    parse: ParseExceptions,
}

/// A supervisor that loads a topic from its beginning, with one task at a time.
pub(crate) fn supervisor<'a>(options: &Options, into: &'a DataSource, of: &'a Stream) -> Supervisor<'a> {
    let spec = Spec {
        data_schema: data_schema(options, into, TimestampSpec::of_rows(into), Vec::new()),
        io_config: StreamIo {
            topic: &of.topic,
            input_format: JSON,
            consumer_properties: BTreeMap::from([("bootstrap.servers", of.bootstrap_servers.as_str())]),
            use_earliest_offset: true,
            task_count: 1,
            replicas: 1,
            task_duration: "PT1H",
        },
        tuning_config: StreamTuning {
            kind: "kafka",
            max_rows_per_segment: options.max_rows_per_segment,
            max_rows_in_memory: options.max_rows_in_memory,
            parse: parse(options),
        },
    };
    let context = Context { use_concurrent_locks: options.concurrent_locks, priority: None };
    Supervisor { kind: "kafka", spec, context }
}
