//! What is to be loaded next, worked out from the ledger alone. Pure.

use super::chunks::{chunks, joined};
use super::ledger::{BatchEntry, BatchState, Book, TaskEntry, TaskStage};
use crate::connector::{Granularity, IngestMode, Span};
use crate::error::{Error, Result};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Chunks that one task merges; the rest follows in the next.
const MERGED_CHUNKS: usize = 100;
/// Letters of the data source's name that go into identifiers.
const NAME_LETTERS: usize = 100;

/// How loading is planned.
#[derive(Debug, Clone)]
pub struct PlanSettings {
    /// Data source.
    pub data_source: String,
    /// `append` or `replace`.
    pub mode: IngestMode,
    /// Chunks of time.
    pub granularity: Granularity,
    /// Batches of one task at most.
    pub max_batches: usize,
    /// Tasks that appended to a chunk before it is worth merging.
    pub merge_min_tasks: usize,
}

/// A task that is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its identifier: the same batches and attempt give the same one.
    pub id: String,
    /// What it does.
    pub mode: IngestMode,
    /// Its number among tasks of the same batches, from 1.
    pub attempt: u32,
    /// Names of its batches, in the order in which they were found.
    pub batches: Vec<String>,
    /// Whole chunks, in order, apart from each other.
    pub intervals: Vec<Span>,
    /// Rows in the batches; none: it reads from the service.
    pub rows: Option<u64>,
}

/// The next task that loads batches; none: nothing waits. `is_there` says which batches can be fetched;
/// one that cannot waits.
///
/// # Errors
/// Class Config: an interval that cannot be replaced, because not all of its rows are at hand.
pub fn next_load(book: &Book, settings: &PlanSettings, is_there: &dyn Fn(&str) -> bool) -> Result<Option<Job>> {
    let all = book.in_order();
    let waiting: Vec<_> =
        all.iter().filter(|(name, batch)| batch.state == BatchState::Waiting && is_there(name)).copied().collect();
    if waiting.is_empty() {
        return Ok(None);
    }
    let first: Vec<_> = waiting.iter().take(settings.max_batches).copied().collect();
    let chosen = match settings.mode {
        IngestMode::Replace => closed_or_one(&all, &first, settings, is_there)?,
        _ => first,
    };
    if chosen.is_empty() {
        return Ok(None);
    }
    let intervals = joined(chosen.iter().flat_map(|(_, batch)| batch.facts.spans()));
    let mut digest = Sha256::new();
    for (name, batch) in &chosen {
        digest.update(name.as_bytes());
        digest.update([0]);
        digest.update(batch.facts.sha256.as_bytes());
        digest.update([0]);
    }
    let (id, attempt) = identifier(book, settings, settings.mode, digest);
    let rows = Some(chosen.iter().map(|(_, batch)| batch.facts.records).sum());
    let batches = chosen.into_iter().map(|(name, _)| name.clone()).collect();
    Ok(Some(Job { id, mode: settings.mode, attempt, batches, intervals, rows }))
}

type Named<'a> = (&'a String, &'a BatchEntry);

/// All rows of the chunks of `begun`, or of those of one of them; nothing: not all are at hand now.
fn closed_or_one<'a>(
    all: &[Named<'a>],
    begun: &[Named<'a>],
    settings: &PlanSettings,
    is_there: &dyn Fn(&str) -> bool,
) -> Result<Vec<Named<'a>>> {
    let mut wrong = None;
    for begun in std::iter::once(begun).chain(begun.chunks(1)) {
        match closed(all, begun, settings, is_there) {
            Ok(Some(chosen)) => return Ok(chosen),
            Ok(None) => {}
            Err(error) => wrong = Some(error),
        }
    }
    wrong.map_or(Ok(Vec::new()), Err)
}

/// Batches that hold all rows of the chunks that `begun` lie in, and of the chunks of those; none: one of them
/// cannot be fetched now.
fn closed<'a>(
    all: &[Named<'a>],
    begun: &[Named<'a>],
    settings: &PlanSettings,
    is_there: &dyn Fn(&str) -> bool,
) -> Result<Option<Vec<Named<'a>>>> {
    let mut spans = joined(begun.iter().flat_map(|(_, batch)| batch.facts.spans()));
    loop {
        let chosen: Vec<Named<'a>> = all.iter().filter(|(_, batch)| touches(batch, &spans)).copied().collect();
        if let Some((name, _)) = chosen.iter().find(|(_, batch)| batch.state == BatchState::Retired) {
            return Err(Error::config(format!(
                "an interval cannot be replaced: batch `{name}` with rows of it is retired"
            ))
            .with_hint("with `ingest.mode = \"append\"` nothing has to be loaded again"));
        }
        if chosen.iter().any(|(name, _)| !is_there(name)) {
            return Ok(None);
        }
        if chosen.len() > settings.max_batches {
            let (found, most) = (chosen.len(), settings.max_batches);
            return Err(Error::config(format!(
                "an interval cannot be replaced: its rows are in {found} batches, expected at most {most}"
            ))
            .with_hint("raise `task.max.batches`, or take `ingest.mode = \"append\"`"));
        }
        let grown = joined(chosen.iter().flat_map(|(_, batch)| batch.facts.spans()));
        if grown == spans {
            return Ok(Some(chosen));
        }
        spans = grown;
    }
}

fn touches(batch: &BatchEntry, spans: &[Span]) -> bool {
    batch.facts.spans().any(|own| spans.iter().any(|span| own.start < span.end && own.end > span.start))
}

/// The next task that merges chunks which many tasks have appended to; none: there are no such chunks.
pub fn next_merge(book: &Book, settings: &PlanSettings) -> Option<Job> {
    let done = |task: &&TaskEntry| task.stage == TaskStage::Success;
    let chunks_in = |task: &TaskEntry| {
        let spans = task.spans();
        let within = spans.into_iter().filter_map(|span| chunks(settings.granularity, span.start, span.end - 1));
        within.flatten().collect::<Vec<_>>()
    };
    // When each chunk was last written as a whole.
    let mut whole: BTreeMap<Span, i64> = BTreeMap::new();
    for task in book.tasks.values().filter(done).filter(|task| task.mode != IngestMode::Append.name()) {
        for chunk in chunks_in(task) {
            let at = whole.entry(chunk).or_insert(i64::MIN);
            *at = (*at).max(task.ended_ms.unwrap_or(i64::MIN));
        }
    }
    let mut appended: BTreeMap<Span, BTreeSet<&String>> = BTreeMap::new();
    for (id, task) in &book.tasks {
        if !done(&task) || task.mode != IngestMode::Append.name() {
            continue;
        }
        for chunk in chunks_in(task) {
            if whole.get(&chunk).is_none_or(|at| task.ended_ms.is_some_and(|ended| ended > *at)) {
                appended.entry(chunk).or_default().insert(id);
            }
        }
    }
    let many = appended.into_iter().filter(|(_, tasks)| tasks.len() >= settings.merge_min_tasks);
    let chosen: Vec<(Span, BTreeSet<&String>)> = many.take(MERGED_CHUNKS).collect();
    if chosen.is_empty() {
        return None;
    }
    let mut digest = Sha256::new();
    for (span, tasks) in &chosen {
        digest.update(span.start.to_be_bytes());
        digest.update(span.end.to_be_bytes());
        tasks.iter().for_each(|id| digest.update(id.as_bytes()));
    }
    let (id, attempt) = identifier(book, settings, IngestMode::Reindex, digest);
    let intervals = joined(chosen.into_iter().map(|(span, _)| span));
    Some(Job { id, mode: IngestMode::Reindex, attempt, batches: Vec::new(), intervals, rows: None })
}

/// `host_DATASOURCE_MODE_DIGEST_ATTEMPT`, with the attempt that comes after those in the ledger.
fn identifier(book: &Book, settings: &PlanSettings, mode: IngestMode, digest: Sha256) -> (String, u32) {
    let legal = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') { c } else { '-' };
    let name: String = settings.data_source.chars().take(NAME_LETTERS).map(legal).collect();
    let digest: String = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let stem = format!("host_{name}_{}_{digest}_", mode.name());
    let of_it = book.tasks.range(stem.clone()..).take_while(|(id, _)| id.starts_with(&stem));
    let attempt = of_it.map(|(_, task)| task.attempt).max().unwrap_or(0) + 1;
    (format!("{stem}{attempt}"), attempt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::batch::BatchFacts;

    const DAY: i64 = 86_400_000;

    fn settings(mode: IngestMode) -> PlanSettings {
        PlanSettings {
            data_source: "wiki pedia/x".to_owned(),
            mode,
            granularity: Granularity::Day,
            max_batches: 3,
            merge_min_tasks: 2,
        }
    }

    /// Batches in the order of their numbers: name, state, first and last time in days.
    fn book(batches: &[(&str, BatchState, f64, f64)]) -> Book {
        let mut book = Book::default();
        for (number, (name, state, first, last)) in (0..).zip(batches) {
            #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
            let at = |days: &f64| (days * DAY as f64) as i64;
            let facts = BatchFacts {
                number,
                records: 10,
                bytes: 100,
                sha256: format!("digest of {name}"),
                times: Some((at(first), at(last))),
                chunks: chunks(Granularity::Day, at(first), at(last))
                    .unwrap()
                    .iter()
                    .map(|span| (span.start, span.end))
                    .collect(),
                skipped: BTreeMap::new(),
                members: Vec::new(),
            };
            let entry = BatchEntry { state: *state, task: None, since_ms: 0, facts };
            book.batches.insert((*name).to_owned(), entry);
        }
        book
    }

    fn done(book: &mut Book, job: &Job, stage: TaskStage, ended_ms: i64) {
        let mut task = TaskEntry::new(job.mode, job.attempt, job.batches.clone(), &job.intervals, job.rows);
        (task.stage, task.ended_ms) = (stage, Some(ended_ms));
        book.tasks.insert(job.id.clone(), task);
    }

    fn days(spans: &[Span]) -> Vec<(i64, i64)> {
        spans.iter().map(|span| (span.start / DAY, span.end / DAY)).collect()
    }

    use BatchState::{Ingested, Retired, Taken, Waiting};

    #[test]
    fn what_waits_is_appended_in_the_order_in_which_it_was_found() {
        let book = book(&[
            ("z", Waiting, 5.0, 6.5),
            ("y", Taken, 0.0, 0.1),
            ("gone", Waiting, 0.0, 0.1),
            ("x", Waiting, 1.2, 1.3),
            ("w", Ingested, 0.0, 0.1),
            ("b", Waiting, 7.0, 7.1),
            ("a", Waiting, 9.0, 9.1),
        ]);
        let job = next_load(&book, &settings(IngestMode::Append), &|name| name != "gone").unwrap().unwrap();
        assert_eq!((job.batches.as_slice(), job.rows), (["z", "x", "b"].map(str::to_owned).as_slice(), Some(30)));
        assert_eq!(days(&job.intervals), [(1, 2), (5, 8)]);
        assert!(job.id.starts_with("host_wiki-pedia-x_append_") && job.id.ends_with("_1"), "{}", job.id);
        let nothing = next_load(&book, &settings(IngestMode::Append), &|_| false).unwrap();
        assert_eq!(nothing, None);
    }

    #[test]
    fn the_same_batches_give_the_same_identifier_with_the_next_attempt() {
        let mut book = book(&[("a", Waiting, 0.0, 0.1)]);
        let plan = |book: &Book| next_load(book, &settings(IngestMode::Append), &|_| true).unwrap().unwrap();
        let first = plan(&book);
        assert_eq!(plan(&book), first);
        for attempt in 1..=11 {
            let job = plan(&book);
            assert_eq!(
                (job.attempt, job.id.rsplit_once('_')),
                (attempt, Some((first.id.strip_suffix("_1").unwrap(), attempt.to_string().as_str())))
            );
            done(&mut book, &job, TaskStage::Failed, 0);
        }
        book.batches.get_mut("a").unwrap().facts.sha256 = "another".to_owned();
        assert_eq!(plan(&book).attempt, 1);
    }

    #[test]
    fn an_interval_is_replaced_by_all_of_its_rows_or_not_at_all() {
        let replace = settings(IngestMode::Replace);
        // The new batch lies in day 1, an old one in days 1 and 2, another in day 2, and one apart.
        let all = [
            ("old", Ingested, 1.5, 2.5),
            ("older", Ingested, 2.1, 2.2),
            ("apart", Ingested, 4.0, 4.1),
            ("new", Waiting, 1.0, 1.1),
        ];
        let job = next_load(&book(&all), &replace, &|_| true).unwrap().unwrap();
        assert_eq!(job.batches, ["old", "older", "new"]);
        assert_eq!((days(&job.intervals), job.rows), (vec![(1, 3)], Some(30)));
        let refused = |batches: &[(&str, BatchState, f64, f64)], is_there: &dyn Fn(&str) -> bool| {
            next_load(&book(batches), &replace, is_there).unwrap_err().to_string()
        };
        assert_eq!(next_load(&book(&all), &replace, &|name| name != "older").unwrap(), None, "until it is there again");
        let retired = [("old", Retired, 1.5, 1.6), ("new", Waiting, 1.0, 1.1)];
        assert!(refused(&retired, &|_| true).contains("`old` with rows of it is retired"));
        let many = ["a", "b", "c", "d"].map(|name| (name, Waiting, 1.0, 1.1));
        assert!(refused(&many, &|_| true).contains("in 4 batches, expected at most 3"));
    }

    /// Days that have nothing to do with each other are replaced one by one where all together are too many.
    #[test]
    fn many_intervals_are_replaced_one_after_the_other() {
        let all =
            [("a", Waiting, 1.0, 1.1), ("b", Ingested, 1.0, 1.1), ("c", Waiting, 3.0, 3.1), ("d", Ingested, 3.0, 3.1)];
        let job = next_load(&book(&all), &settings(IngestMode::Replace), &|_| true).unwrap().unwrap();
        assert_eq!(job.batches, ["a", "b"]);
    }

    #[test]
    fn chunks_that_were_appended_to_often_are_merged_until_they_are_again() {
        let append = settings(IngestMode::Append);
        let mut book = book(&[
            ("a", Waiting, 1.0, 1.1),
            ("b", Waiting, 1.0, 2.5),
            ("c", Waiting, 2.0, 2.1),
            ("d", Waiting, 5.0, 5.1),
        ]);
        let mut ended = 0;
        for name in ["a", "b", "c", "d"] {
            let job = next_load(&book, &append, &|other| other == name).unwrap().unwrap();
            ended += 1;
            done(&mut book, &job, TaskStage::Success, ended);
            book.batches.get_mut(name).unwrap().state = Ingested;
        }
        let merge = next_merge(&book, &append).unwrap();
        assert_eq!((merge.mode, days(&merge.intervals), merge.rows), (IngestMode::Reindex, vec![(1, 3)], None));
        assert_eq!(next_merge(&book, &append).as_ref(), Some(&merge));
        done(&mut book, &merge, TaskStage::Failed, 10);
        assert_eq!(next_merge(&book, &append).map(|again| again.attempt), Some(2));
        done(&mut book, &Job { id: "merged".to_owned(), ..merge }, TaskStage::Success, 11);
        assert_eq!(next_merge(&book, &append), None);
    }
}
