//! What arrived where: what the source said it took, what topic, data set and ledger hold, what Druid answers.

use super::pipeline::{INGEST, Parts, RECORDS_TOPIC, SOURCE};
use crate::app;
use crate::cli::Failure;
use crate::cli::output::{error_line, number};
use crate::cli::run::Finished;
use crate::cli::summary::{Hop, Hops};
use crate::config::{Config, ConnectorKind, IngestConfig, LoadConfig, LogChoice};
use crate::error::{Error, Result};
use crate::ingest::{Book, TaskStage};
use crate::ports::indexer::Indexer;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// A task that succeeded is published; its segments are loaded some seconds later.
const QUERYABLE_WITHIN: Duration = Duration::from_secs(120);
const ASK_EVERY: Duration = Duration::from_millis(500);
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Records in the first topic now.
pub(super) fn records_in_log(config: &Config) -> std::result::Result<u64, Failure> {
    if let LogChoice::Embedded { dir, .. } = &config.log
        && !dir.join("log.db").is_file()
    {
        return Ok(0);
    }
    let topic = app::open_log_to_read(&config.log)?.topic(RECORDS_TOPIC)?;
    let records = topic.map_or(0, |topic| topic.partitions.iter().map(|marks| marks.high).sum::<i64>());
    Ok(u64::try_from(records).unwrap_or(0))
}

/// Counts at each place; `before` is what was in the log when the run began.
pub(super) fn count(
    config: &Config,
    parts: &Parts,
    runtime: &Runtime,
    before: u64,
    finished: &Finished,
) -> std::result::Result<Hops, Failure> {
    let source = finished.statuses.iter().find(|status| status.name == SOURCE);
    let (taken, rejected) = source.map_or((0, 0), |status| (status.counts.records, status.counts.rejected));
    let earlier = if before > 0 { format!("{} of them in earlier runs", number(before)) } else { String::new() };
    let mut places = vec![hop("records in", before + taken, earlier)];
    places.push(hop("log", records_in_log(config)?, format!("topic `{RECORDS_TOPIC}`")));

    let ring = Arc::new(app::open_keys("demo key", &[parts.private_key()])?);
    let mut survey = parts.data_set(config, runtime)?;
    let (mut opened, mut files) = (0, 0);
    for file in survey.list()?.into_iter().filter(|file| file.stage == "target") {
        let report = survey.open(&file, &ring, &mut |_| Ok(()))?;
        (opened, files) = (opened + report.records, files + 1);
        if let Some(problem) = report.problem {
            error_line(&format!("file `{}`: {problem}", file.name));
        }
    }
    places.push(hop("sealed files", opened, format!("{} files on cluster 2, opened", number(files))));

    let book = Book::read(app::open_log_to_read(&config.log)?.as_ref(), INGEST)?;
    let served = book.batches.values().map(|batch| batch.facts.records).sum();
    places.push(hop(
        "batches served",
        served,
        format!("{} batches at the endpoint", number(book.batches.len() as u64)),
    ));
    let succeeded = book.tasks.values().filter(|task| task.stage == TaskStage::Success).count();
    let (ingest, load) = ingestion(config)?;
    let indexer = app::open_indexer(load, runtime.handle())?;
    let rows = rows(&indexer, &ingest.into.name, served)?;
    places.push(hop("rows ingested", rows, format!("by {} tasks, counted by SQL", number(succeeded as u64))));
    Ok(Hops { places, rejected })
}

fn hop(name: &'static str, count: u64, detail: String) -> Hop {
    Hop { name, count, detail }
}

fn ingestion(config: &Config) -> Result<(&IngestConfig, &LoadConfig)> {
    let found = config.connectors.iter().find_map(|connector| match &connector.kind {
        ConnectorKind::Ingest(ingest) => Some((ingest.as_ref(), ingest.load.as_ref()?)),
        _ => None,
    });
    found.ok_or_else(|| Error::bug("the demo's pipeline has no ingestion"))
}

/// Rows that can be queried; waits until all are there, or for long enough.
fn rows(indexer: &dyn Indexer, data_source: &str, expected: u64) -> Result<u64> {
    let began = Instant::now();
    let mut said = began;
    loop {
        let rows = indexer.count_rows(data_source)?.unwrap_or(0);
        if rows == expected || began.elapsed() >= QUERYABLE_WITHIN {
            return Ok(rows);
        }
        if said.elapsed() >= SAY_EVERY {
            said = Instant::now();
            error_line(&format!("{} of {} rows can be queried", number(rows), number(expected)));
        }
        std::thread::sleep(ASK_EVERY);
    }
}
