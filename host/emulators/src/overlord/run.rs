//! Runs one task: reads its rows, and hands over what is to be published together with its end.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::http::HeaderMap;
use tokio::time::Instant;

use super::api::Server;
use super::client;
use super::faults::TaskPlan;
use super::fetch::Fetcher;
use super::input::{Http, Input};
use super::report::Report;
use super::rows::Reader;
use super::segments::{Chunks, Publication};
use super::spec::Job;
use super::store::{End, Kept};
use super::time::Interval;
use super::unpack::Unpacker;

/// Runs a task to its end. Nothing of it is published when the future is dropped before.
pub(super) async fn run(server: Arc<Server>, job: Arc<Job>, number: u64) {
    let _leaving = Leaving { server: &server, number };
    let begun = Instant::now();
    let plan = server.faults.plan_task();
    if plan.is_any() {
        server.log.faulted();
    }
    // What is published from here on survives a replacing task that shares its lock.
    let before = server.store.look();
    let replaces_until = if job.lock.is_concurrent() { before.number } else { u64::MAX };
    let mut report = Report::new(!job.reads_twice);
    let result = chunks(&server, &job, &plan, &before, &mut report).await;
    let (publication, error) = match result {
        Ok(chunks) => {
            let drops = if job.drop_existing { job.schema.intervals.clone() } else { Vec::new() };
            (Some(Publication { chunks, appends: job.lock.appends, drops, replaces_until }), None)
        }
        Err(error) => (None, Some(error)),
    };
    tracing::debug!(task = job.id, is_success = error.is_none(), "a task has ended");
    let report = report.value(&job.id, error.as_deref());
    let duration_ms = i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX).max(1);
    let end = End { is_success: error.is_none(), error, duration_ms, report: Some(report) };
    let id = job.id.clone();
    let ended = server.store.change(move |kept| Ok(kept.end(&id, Some(number), end, publication))).await;
    if let Err(refusal) = ended {
        // Nothing was published. The task stays as it was, and has failed when the emulator starts again.
        tracing::warn!(task = job.id, reason = refusal.message(), "the end of a task could not be kept");
    }
}

/// Tells the schedule that a task is gone, however it went.
struct Leaving<'a> {
    server: &'a Server,
    number: u64,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.server.schedule.leave(self.number);
    }
}

async fn chunks(
    server: &Server,
    job: &Job,
    plan: &TaskPlan,
    before: &Kept,
    report: &mut Report,
) -> Result<Chunks, String> {
    if plan.hangs {
        server.faults.released(plan).await;
    }
    if let Some(message) = &plan.fails {
        return Err(message.clone());
    }
    let mut found = None;
    if job.reads_twice {
        let mut reader = Reader::new(job, report, None);
        read(server, job, plan, &mut reader).await?;
        found = Some(std::mem::take(&mut reader.found));
        report.builds = true;
    }
    if let Input::Own { datasource, interval } = &job.input {
        return own(before, job, datasource, interval.as_ref(), report);
    }
    let mut reader = Reader::new(job, report, found.as_ref());
    read(server, job, plan, &mut reader).await?;
    Ok(std::mem::take(&mut reader.chunks))
}

async fn read(server: &Server, job: &Job, plan: &TaskPlan, reader: &mut Reader<'_>) -> Result<(), String> {
    match &job.input {
        Input::Http(http) => {
            let headers = headers(server, http);
            let fetcher = Fetcher { server, task: &job.id, headers: &headers, plan };
            for uri in &http.uris {
                fetcher.fetch(uri, Unpacker::new(uri.path(), reader)?).await?;
            }
            Ok(())
        }
        Input::Inline(text) => {
            // In pieces, so that the parsing of much text does not hold up the other tasks.
            for piece in text.as_bytes().chunks(64 * 1024) {
                reader.feed(piece)?;
                tokio::task::yield_now().await;
            }
            reader.finish()
        }
        // There are no rows to look at, so there is nothing to find out.
        Input::Own { .. } => Ok(()),
    }
}

fn headers(server: &Server, http: &Http) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &http.headers {
        headers.insert(name.clone(), value.clone());
    }
    if let Some((user, password)) = http.login(&server.options.environment) {
        client::authorize(&mut headers, user, &password);
    }
    headers
}

/// Rows of a data source that is here, into the chunks of the task. Segments are taken whole, since
/// their rows are not known one by one.
fn own(
    before: &Kept,
    job: &Job,
    datasource: &str,
    interval: Option<&Interval>,
    report: &mut Report,
) -> Result<Chunks, String> {
    let segments = before.datasources.get(datasource).map(|segments| segments.as_slice()).unwrap_or_default();
    let mut chunks = Chunks::new();
    let mut refused = BTreeSet::new();
    for segment in segments {
        let rows = Interval { start: segment.rows.first, end: segment.rows.last + 1 };
        if interval.is_some_and(|interval| !interval.overlaps(&rows)) {
            continue;
        }
        let first = job.schema.segment.chunk(rows.start);
        let chunk = if job.keeps_chunks { segment.interval } else { first };
        let is_whole = interval.is_none_or(|interval| interval.contains(&rows));
        let within = |within: &Interval| within.contains(&rows);
        let is_within = job.schema.intervals.is_empty() || job.schema.intervals.iter().any(within);
        if !is_whole || !is_within || !chunk.contains(&rows) {
            refused.insert(segment.interval);
            continue;
        }
        report.build.processed += segment.rows.num;
        let parts = chunks.entry(chunk).or_default();
        match parts.last_mut() {
            Some(last) if last.num + segment.rows.num <= job.max_rows_per_segment => last.merge(&segment.rows),
            _ => parts.push(segment.rows.clone()),
        }
    }
    match refused.first() {
        None if chunks.is_empty() && job.kind == "compact" => Err("No segments found for compaction".to_owned()),
        Some(torn) => Err(format!("the emulator cannot read a part of the segments of [{torn}], only all of them")),
        None => Ok(chunks),
    }
}
