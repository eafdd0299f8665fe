//! `host ingest spec`: a task in Druid's words.

use super::Chosen;
use crate::app;
use crate::cli::args::{Output, SpecArgs, SpecDialect, SpecKind, SpecMode};
use crate::cli::output::{error_line, line};
use crate::cli::{Failure, runtime};
use crate::config::LogChoice;
use crate::connector::{BatchRef, Dialect, IngestMode, Span};
use crate::error::{Error, OrError, Result};
use crate::ingest::{Book, Job, Preview, SpecWriter, parse_interval};
use crate::wasm::Engines;

pub(super) fn print(chosen: &Chosen, arguments: &SpecArgs) -> std::result::Result<(), Failure> {
    let engines = Engines::new();
    let mut ingest = chosen.ingest()?.clone();
    if let Some(load) = &mut ingest.load {
        match arguments.dialect {
            Some(SpecDialect::Current) => load.dialect = Dialect::Current,
            Some(SpecDialect::Legacy) => load.dialect = Dialect::Legacy,
            None => {}
        }
    }
    let mut writer = app::spec_writer(&ingest, &chosen.name, &engines)?;
    let intervals = arguments.interval.iter().map(|text| parse_interval(text, ingest.into.segments));
    let intervals = intervals.collect::<Result<Vec<Span>>>()?;
    let data_source = &ingest.into.name;
    let text = match arguments.kind {
        SpecKind::Task => task(chosen, arguments, &engines, &mut writer, &intervals)?,
        SpecKind::Compaction => {
            let [interval] = intervals.as_slice() else {
                return Err(Failure::Refused(Error::config(
                    "a compaction is of one interval, expected `--interval START/END`",
                )));
            };
            let id = arguments.id.clone().unwrap_or_else(|| format!("host_{data_source}_compact_{}", interval.start));
            writer.compaction(&id, *interval)?
        }
        SpecKind::Supervisor => {
            let topic = arguments.topic.as_deref();
            let topic = topic.ok_or_else(|| Error::config("a supervisor reads a topic, expected `--topic NAME`"))?;
            let configured = match &chosen.config.log {
                LogChoice::Kafka(kafka) => Some(kafka.bootstrap_servers.clone()),
                LogChoice::Embedded { .. } => None,
            };
            let servers = arguments.bootstrap_servers.clone().or(configured);
            let servers = servers.ok_or_else(|| {
                Error::config("a supervisor reads from Kafka, expected `--bootstrap-servers HOST:PORT`")
            })?;
            writer.supervisor(topic, &servers)?
        }
    };
    line(&match arguments.output {
        Output::Json => text,
        Output::Text => indented(&text)?,
    })?;
    Ok(())
}

fn task(
    chosen: &Chosen,
    arguments: &SpecArgs,
    engines: &Engines,
    writer: &mut SpecWriter,
    intervals: &[Span],
) -> Result<String> {
    let mut load = chosen.load()?.clone();
    let mode = match arguments.mode {
        Some(SpecMode::Append) => IngestMode::Append,
        Some(SpecMode::Replace) => IngestMode::Replace,
        Some(SpecMode::Reindex) => IngestMode::Reindex,
        None => load.mode,
    };
    let data_source = &chosen.ingest()?.into.name;
    let given = |mode: IngestMode| {
        arguments.id.clone().unwrap_or_else(|| format!("host_{data_source}_{}_by-hand", mode.name()))
    };
    if mode == IngestMode::Reindex {
        if intervals.is_empty() || !arguments.uri.is_empty() {
            return Err(Error::config(
                "a re-index reads intervals from Druid, expected `--interval START/END` and no `--uri`",
            ));
        }
        return Ok(writer.task(&given(mode), mode, &[], intervals)?.text);
    }
    if !arguments.uri.is_empty() {
        let batches: Vec<BatchRef> =
            arguments.uri.iter().map(|uri| BatchRef { uri: uri.clone(), records: 0, bytes: 0 }).collect();
        return Ok(writer.task(&given(mode), mode, &batches, intervals)?.text);
    }
    let runtime = runtime()?;
    load.mode = mode;
    let Preview { book, loads, .. } = chosen.preview(&load, &runtime, engines)?;
    let Job { id, mode, batches, intervals, .. } = match loads.into_iter().next() {
        Some(job) => job,
        None => last(&book)?,
    };
    let scheme = if chosen.ingest()?.tls.is_some() { "https" } else { "http" };
    let address = app::address(&load, &format!("{scheme}://{}", chosen.ingest()?.listen));
    let batches = batches.iter().filter_map(|name| {
        let facts = &book.batches.get(name)?.facts;
        Some(BatchRef { uri: address.of(name), records: facts.records, bytes: facts.bytes })
    });
    let batches = batches.collect::<Vec<_>>();
    Ok(writer.task(arguments.id.as_ref().unwrap_or(&id), mode, &batches, &intervals)?.text)
}

/// The newest task with batches.
fn last(book: &Book) -> Result<Job> {
    let tasks = book.tasks.iter().filter(|(_, task)| !task.batches.is_empty());
    let (id, task) = tasks.max_by_key(|(_, task)| task.recorded_ms).ok_or_else(|| {
        Error::config("nothing waits to be loaded, and nothing was")
            .with_hint("`--uri ADDRESS` names batches that are elsewhere")
    })?;
    error_line("nothing waits to be loaded; this is the last task that was handed in");
    Ok(Job {
        id: id.clone(),
        mode: task.mode()?,
        attempt: task.attempt,
        batches: task.batches.clone(),
        intervals: task.spans(),
        rows: task.rows,
    })
}

/// The same JSON, members in their order, over several lines.
fn indented(text: &str) -> Result<String> {
    let mut out = Vec::new();
    let mut reader = serde_json::Deserializer::from_str(text);
    serde_transcode::transcode(&mut reader, &mut serde_json::Serializer::pretty(&mut out)).or_bug("a task as JSON")?;
    String::from_utf8(out).or_bug("a task as JSON")
}
