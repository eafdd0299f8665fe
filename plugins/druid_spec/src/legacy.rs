//! The legacy dialect: Druid up to 25, and the demonstration's. Members stand in the order of the
//! demonstration's task, and nothing is there that it had not unless it must be.

use crate::check;
use crate::options::Options;
use crate::spec::{self, DimensionsSpec, NoMetrics, Password, TimestampSpec};
use connector_sdk::Error;
use connector_sdk::ingest::{Granularity, Mode, Task as Of};
use serde::Serialize;

const INDEX: &str = "index";
/// Druid's own priority of such tasks, which needs no saying.
const OWN_PRIORITY: i32 = 50;

/// A task.
#[derive(Serialize)]
pub(crate) struct Task<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    spec: Spec<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Context>,
}

#[derive(Serialize)]
struct Context {
    priority: i32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    data_schema: DataSchema<'a>,
    io_config: IoConfig<'a>,
    tuning_config: TuningConfig,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DataSchema<'a> {
    data_source: &'a str,
    parser: Parser<'a>,
    granularity_spec: GranularitySpec,
    metrics_spec: NoMetrics,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Parser<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    parse_spec: ParseSpec<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ParseSpec<'a> {
    format: &'static str,
    timestamp_spec: TimestampSpec<'a>,
    dimensions_spec: DimensionsSpec<Dimension<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Dimension<'a> {
    Text(&'a str),
    Typed {
        name: &'a str,
        #[serde(rename = "type")]
        kind: &'static str,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GranularitySpec {
    #[serde(rename = "type")]
    kind: &'static str,
    segment_granularity: &'static str,
    rollup: bool,
    query_granularity: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    intervals: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IoConfig<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    firehose: Firehose<'a>,
    append_to_existing: bool,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Firehose<'a> {
    Http {
        fetch_timeout: i64,
        uris: Vec<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        http_authentication_username: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        http_authentication_password: Option<Password<'a>>,
    },
    IngestSegment {
        data_source: &'a str,
        interval: String,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TuningConfig {
    #[serde(rename = "type")]
    kind: &'static str,
    /// Without it, segments of such old versions cannot be added to. Later ones pass it over.
    force_extendable_shard_specs: bool,
    max_rows_in_memory: i32,
    report_parse_exceptions: bool,
}

/// A task; the rules of `check` hold for it.
///
/// # Errors
/// [`Error::Config`] for what came after this dialect: columns of type `json`, headers; for secrets
/// and times that have no form here.
pub(crate) fn task<'a>(options: &Options, of: &'a Of) -> Result<Task<'a>, Error> {
    check::legacy_columns(&of.into)?;
    let dimension = |name, kind: Option<_>| kind.map_or(Dimension::Text(name), |kind| Dimension::Typed { name, kind });
    let parse_spec = ParseSpec {
        format: "json",
        timestamp_spec: TimestampSpec::of_task(of),
        dimensions_spec: DimensionsSpec::new(&of.into, dimension),
    };
    let granularity_spec = GranularitySpec {
        kind: "uniform",
        segment_granularity: segments(of.into.segments),
        rollup: options.rollup,
        query_granularity: options.query_granularity,
        intervals: spec::intervals(of)?,
    };
    let spec = Spec {
        data_schema: DataSchema {
            data_source: &of.into.name,
            parser: Parser { kind: "string", parse_spec },
            granularity_spec,
            metrics_spec: NoMetrics::new(),
        },
        io_config: IoConfig {
            kind: INDEX,
            firehose: firehose(options, of)?,
            append_to_existing: of.mode == Mode::Append,
        },
        tuning_config: TuningConfig {
            kind: INDEX,
            force_extendable_shard_specs: true,
            max_rows_in_memory: options.max_rows_in_memory,
            report_parse_exceptions: options.report_parse_exceptions,
        },
    };
    let priority = Some(options.priority).filter(|priority| *priority != OWN_PRIORITY);
    Ok(Task { kind: INDEX, id: &of.id, spec, context: priority.map(|priority| Context { priority }) })
}

fn firehose<'a>(options: &Options, of: &'a Of) -> Result<Firehose<'a>, Error> {
    if of.mode == Mode::Reindex {
        return Ok(Firehose::IngestSegment { data_source: &of.into.name, interval: spec::reindexed(of)? });
    }
    if let Some((name, _)) = of.access.headers.first() {
        let expected = "expected basic access or none: the legacy dialect cannot send headers";
        return Err(Error::Config(format!("batches need header `{}`, {expected}", name.escape_debug())));
    }
    let (user, password) = spec::basic(&of.access)?.unzip();
    Ok(Firehose::Http {
        fetch_timeout: options.fetch_timeout_ms,
        uris: spec::uris(&of.batches),
        http_authentication_username: user,
        http_authentication_password: password,
    })
}

/// In capitals, as the demonstration has it.
fn segments(granularity: Granularity) -> &'static str {
    match granularity {
        Granularity::Hour => "HOUR",
        Granularity::Day => "DAY",
        Granularity::Month => "MONTH",
        Granularity::Year => "YEAR",
    }
}
