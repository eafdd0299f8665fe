//! `host ingest status`, and `settle` for a task whose end nobody knows any more.

use super::Chosen;
use crate::app;
use crate::cli::Failure;
use crate::cli::args::{Outcome, Output};
use crate::cli::output::{ago, error_line, line, number, table};
use crate::error::{Error, Result};
use crate::ingest::{BatchState, Book, Ledger, TaskEntry, TaskStage};
use crate::record::now_ms;
use serde_json::{Value, json};

const STATES: [(&str, BatchState); 4] = [
    ("waiting", BatchState::Waiting),
    ("taken", BatchState::Taken),
    ("ingested", BatchState::Ingested),
    ("retired", BatchState::Retired),
];

pub(super) fn print(chosen: &Chosen, num_tasks: usize, output: Output) -> std::result::Result<(), Failure> {
    let book = chosen.book()?;
    let data_source = &chosen.ingest()?.into.name;
    let mut tasks: Vec<(&String, &TaskEntry)> = book.tasks.iter().collect();
    tasks.sort_by_key(|(_, task)| std::cmp::Reverse(task.recorded_ms));
    tasks.truncate(num_tasks);
    let states = STATES.map(|(name, state)| {
        let of_it = book.batches.values().filter(|batch| batch.state == state);
        let (batches, rows) = of_it.fold((0, 0), |(batches, rows), batch| (batches + 1u64, rows + batch.facts.records));
        (name, batches, rows)
    });
    let skipped: u64 = book.batches.values().map(|batch| batch.facts.num_skipped()).sum();
    match output {
        Output::Json => {
            let states = states
                .iter()
                .map(|(name, batches, rows)| ((*name).to_owned(), json!({ "batches": batches, "rows": rows })));
            let tasks = tasks.iter().map(|(id, task)| {
                json!({
                    "id": id, "mode": task.mode, "stage": task.stage, "attempt": task.attempt, "batches": task.batches,
                    "rows": task.rows, "stored": task.stored, "recorded_ms": task.recorded_ms,
                    "ended_ms": task.ended_ms, "error": task.error,
                })
            });
            let shown = json!({
                "connector": chosen.name, "data_source": data_source,
                "batches": Value::Object(states.collect()), "skipped": skipped, "tasks": Value::from_iter(tasks),
            });
            line(&shown.to_string())?;
        }
        Output::Text => {
            let mut batches = table(&["batches", "count", "rows"], 1..3);
            batches
                .add_rows(states.iter().map(|(name, count, rows)| [(*name).to_owned(), number(*count), number(*rows)]));
            line(&format!("ingestion `{}` into data source `{data_source}`\n{batches}", chosen.name))?;
            if skipped > 0 {
                line(&format!("{} records are no rows; the endpoint's `/batches` says why", number(skipped)))?;
            }
            let mut shown = table(&["task", "stage", "batches", "rows", "stored", "took", "handed in", "error"], 2..7);
            shown.set_content_arrangement(comfy_table::ContentArrangement::Disabled);
            for (id, task) in &tasks {
                let took = task.ended_ms.map_or(String::new(), |ended| ago(ended.saturating_sub(task.recorded_ms)));
                shown.add_row([
                    (*id).clone(),
                    task.stage.name().to_owned(),
                    number(task.batches.len() as u64),
                    task.rows.map_or(String::new(), number),
                    task.stored.map_or(String::new(), number),
                    took,
                    format!("{} ago", ago(now_ms().saturating_sub(task.recorded_ms).max(0))),
                    task.error.clone().unwrap_or_default(),
                ]);
            }
            line(&if tasks.is_empty() { "no task was handed in yet".to_owned() } else { shown.to_string() })?;
        }
    }
    Ok(())
}

pub(super) fn settle(chosen: &Chosen, id: &str, outcome: Outcome) -> std::result::Result<(), Failure> {
    settle_in(chosen, id, outcome).map_err(Failure::Refused)
}

fn settle_in(chosen: &Chosen, id: &str, outcome: Outcome) -> Result<()> {
    let log = app::open_log(&chosen.config.log)?;
    let mut ledger = Ledger::open(log.as_ref(), &chosen.name)?;
    let (stage, word) = match outcome {
        Outcome::Success => (TaskStage::Success, "stored"),
        Outcome::Failed => (TaskStage::Failed, "to be loaded again"),
    };
    let mut task = open_task(ledger.book(), id)?;
    let change = ledger.book().end(id, &mut task, stage, Some("settled by hand".to_owned()));
    let batches = change.batches.len();
    ledger.write(change)?;
    error_line(&format!("task `{id}` is over: its {batches} batches are {word}"));
    Ok(())
}

fn open_task(book: &Book, id: &str) -> Result<TaskEntry> {
    match book.tasks.get(id) {
        Some(task) if task.stage.is_open() => Ok(task.clone()),
        Some(task) => Err(Error::config(format!("task `{id}` is over already: `{}`", task.stage.name()))),
        None => Err(Error::config(format!("no task in the ledger is named `{}`", id.escape_debug()))),
    }
}
