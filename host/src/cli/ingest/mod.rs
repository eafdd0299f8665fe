//! `host ingest run|submit|plan|spec|status|settle`: a data set on its way into an indexing service.

mod spec;
mod status;

use super::args::{IngestCommand, IngestPlace, Output};
use super::output::{line, number, table};
use super::progress::Steps;
use super::run::{Until, run_config};
use super::spool::config_files;
use super::{Failure, runtime, summary};
use crate::app;
use crate::config::{Config, ConnectorKind, IngestConfig, LoadConfig, Overrides, RawConfig};
use crate::error::{Error, Result};
use crate::ingest::{Book, Job, Preview, preview};
use crate::wasm::Engines;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::runtime::Runtime;

pub(super) fn ingest(command: &IngestCommand) -> std::result::Result<(), Failure> {
    match command {
        IngestCommand::Run { place, duration, output } => run(place, *duration, *output, false),
        IngestCommand::Submit { place, output } => run(place, None, *output, true),
        IngestCommand::Plan { place, dry_run: _, output } => plan(&Chosen::read(place)?, *output),
        IngestCommand::Spec(arguments) => spec::print(&Chosen::read(&arguments.place)?, arguments),
        IngestCommand::Status { place, tasks, output } => status::print(&Chosen::read(place)?, *tasks, *output),
        IngestCommand::Settle { task, outcome, place } => status::settle(&Chosen::read(place)?, task, *outcome),
    }
}

/// The ingestion that is meant, and the configuration it is in.
struct Chosen {
    name: String,
    config: Config,
}

impl Chosen {
    fn read(place: &IngestPlace) -> Result<Self> {
        let mut raw = RawConfig::read(&config_files(&place.config, place.data_dir.as_deref())?)?;
        let is_ingest = |keys: &crate::dotted::Keys| keys.get("connector.class").is_some_and(|class| class == "ingest");
        let mut names: Vec<String> =
            raw.connectors.iter().filter(|(_, raw)| is_ingest(&raw.keys)).map(|(name, _)| name.clone()).collect();
        if let Some(wanted) = &place.connector {
            names.retain(|name| name == wanted);
        }
        let [name] = names.as_slice() else {
            let found = if names.is_empty() { "none".to_owned() } else { format!("`{}`", names.join("`, `")) };
            return Err(Error::config(format!("the ingestions configured are {found}, expected one"))
                .with_hint("`--connector NAME` chooses one; `[ingest]` in a configuration file makes one"));
        };
        let name = name.clone();
        let overrides = Overrides { settings: place.settings.clone(), ..Overrides::default() };
        raw.apply(&overrides, Some(&name))?;
        // The page is of the whole pipeline, which may run elsewhere.
        raw.worker.remove("listeners");
        let config = Config::check_some(&raw, &|other| other == name)?;
        Ok(Chosen { name, config })
    }

    fn ingest(&self) -> Result<&IngestConfig> {
        let kinds = self.config.connectors.iter().map(|connector| &connector.kind);
        let found = kinds.into_iter().find_map(|kind| match kind {
            ConnectorKind::Ingest(ingest) => Some(ingest.as_ref()),
            _ => None,
        });
        found.ok_or_else(|| Error::bug("the ingestion that was chosen is none"))
    }

    fn load(&self) -> Result<&LoadConfig> {
        let load = self.ingest()?.load.as_ref();
        load.ok_or_else(|| Error::config("option `plugin` is missing (the component that writes tasks)"))
    }

    fn book(&self) -> Result<Book> {
        let log = app::open_log_to_read(&self.config.log)?;
        Book::read(log.as_ref(), &self.name)
    }

    /// What would be handed in next.
    fn preview(&self, load: &LoadConfig, runtime: &Runtime, engines: &Engines) -> Result<Preview> {
        let ingest = self.ingest()?;
        let set = app::data_set(ingest, runtime.handle())?;
        let list = app::data_list(ingest, &self.name, &set, engines)?;
        let mut steps = Steps::new("opening new files", 0);
        let plan = app::plan_settings(ingest, load);
        preview(set, list, app::row_format(ingest), &plan, self.book()?, &mut |name| steps.step(name))
    }
}

fn run(
    place: &IngestPlace,
    duration: Option<Duration>,
    output: Output,
    once: bool,
) -> std::result::Result<(), Failure> {
    let chosen = Chosen::read(place).map_err(Failure::Refused)?;
    if once && chosen.load().map_err(Failure::Refused)?.druid.is_none() {
        let error = Error::config("option `druid.url` is missing (where tasks are handed in)");
        return Err(Failure::Refused(error.with_hint("`--set druid.url=http://HOST:8090`")));
    }
    let runtime = runtime()?;
    let until = Until { duration, records: None, output, drain: Vec::new(), once };
    let finished = run_config(&chosen.config, &runtime, &until)?;
    summary::print(&finished, None, output)?;
    finished.verdict()
}

fn plan(chosen: &Chosen, output: Output) -> std::result::Result<(), Failure> {
    let runtime = runtime()?;
    let Preview { refused, loads, merge, .. } = chosen.preview(chosen.load()?, &runtime, &Engines::new())?;
    let jobs: Vec<&Job> = loads.iter().chain(&merge).collect();
    match output {
        Output::Json => {
            let tasks = jobs.iter().map(|job| {
                let intervals = job.intervals.iter().map(|span| json!([span.start, span.end]));
                json!({
                    "id": job.id, "mode": job.mode.name(), "attempt": job.attempt, "batches": job.batches,
                    "rows": job.rows, "intervals_ms": Value::from_iter(intervals),
                })
            });
            let refused = refused.iter().map(|(name, reason)| json!({ "name": name, "reason": reason }));
            line(&json!({ "tasks": Value::from_iter(tasks), "refused": Value::from_iter(refused) }).to_string())?;
        }
        Output::Text => {
            let mut table = table(&["task", "mode", "attempt", "batches", "rows"], 2..5);
            table.set_content_arrangement(comfy_table::ContentArrangement::Disabled);
            for job in &jobs {
                let (batches, rows) = (number(job.batches.len() as u64), job.rows.map_or("all".to_owned(), number));
                table.add_row([job.id.clone(), job.mode.name().to_owned(), job.attempt.to_string(), batches, rows]);
            }
            line(&if jobs.is_empty() { "nothing waits to be loaded".to_owned() } else { table.to_string() })?;
            for (name, reason) in &refused {
                line(&format!("no batch: `{name}`: {reason}"))?;
            }
        }
    }
    Ok(())
}
