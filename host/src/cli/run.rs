//! `host run`: connectors until stopped.

use super::args::{Output, RunArgs};
use super::output::error_line;
use super::progress::Progress;
use super::{Failure, on_interrupt, runtime, summary};
use crate::app::{self, Ends};
use crate::config::{Config, ConnectorConfig, ConnectorKind, Overrides, RawConfig};
use crate::error::{Error, Result};
use crate::plugin::{Package, PluginRef};
use crate::wasm::Engines;
use crate::worker::{TaskState, TaskStatus, Worker};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// How often the progress is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Longest time for everything in flight to arrive, when a pipeline is stopped.
const DRAIN_WITHIN: Duration = Duration::from_secs(60);
/// A connector with nothing to do for so long has seen all there is: files are looked for every second.
const QUIET_FOR: Duration = Duration::from_millis(1500);

/// When a run ends by itself.
#[derive(Debug, Clone)]
pub(super) struct Until {
    pub(super) duration: Option<Duration>,
    pub(super) records: Option<u64>,
    pub(super) output: Output,
    /// Connectors in the order in which records flow: each is stopped when it has nothing left to do.
    /// Others are stopped at once.
    pub(super) drain: Vec<String>,
    /// Ingestions end when nothing waits to be loaded.
    pub(super) once: bool,
}

pub(super) fn run(arguments: &RunArgs) -> std::result::Result<(), Failure> {
    let config = read_config(arguments).map_err(Failure::Refused)?;
    let until = Until {
        duration: arguments.duration,
        records: arguments.max_records,
        output: arguments.output,
        drain: Vec::new(),
        once: false,
    };
    let runtime = runtime()?;
    let finished = run_config(&config, &runtime, &until)?;
    summary::print(&finished, None, until.output)?;
    finished.verdict()
}

/// A run that is over.
pub(super) struct Finished {
    /// Every task.
    pub(super) statuses: Vec<TaskStatus>,
    /// Where records went.
    pub(super) log: String,
    /// How long it ran.
    pub(super) took: Duration,
}

impl Finished {
    /// Whether every connector ended well.
    pub(super) fn verdict(&self) -> std::result::Result<(), Failure> {
        let failed = self.statuses.iter().filter(|status| matches!(status.state, TaskState::Failed(_)));
        let failed: Vec<&str> = failed.map(|status| status.name.as_str()).collect();
        match failed.is_empty() {
            true => Ok(()),
            false => Err(Failure::Failed(Error::bug(format!("connectors failed: `{}`", failed.join("`, `"))))),
        }
    }
}

fn read_config(arguments: &RunArgs) -> Result<Config> {
    let files: Vec<_> = arguments.configs.iter().chain(&arguments.more_configs).cloned().collect();
    let mut raw = RawConfig::read(&files)?;
    // A connector on the command line is named after its plugin.
    let name = match &arguments.plugin {
        Some(named) => Some(match named.to_string_lossy() {
            text if PluginRef::is_file(&text) => Package::read(named)?.manifest.plugin.name,
            text => PluginRef::parse(&text)?.name,
        }),
        None => None,
    };
    let overrides = Overrides {
        plugin: arguments.plugin.clone(),
        transforms: arguments.transform.clone(),
        topic: arguments.topic.clone(),
        data_dir: arguments.data_dir.clone(),
        settings: arguments.settings.clone(),
    };
    raw.apply(&overrides, name.as_deref())?;
    if arguments.watch {
        raw.watch_plugins();
    }
    Config::check(&raw)
}

/// One line about a connector.
fn describe(connector: &ConnectorConfig, log: &str) -> String {
    let name = &connector.name;
    match &connector.kind {
        ConnectorKind::Source(source) => {
            let (label, topic, lent) =
                (source.source.package.label(), &source.output.topic, source.source.grants.join(", "));
            format!("connector `{name}`: plugin {label}, lent: {lent}; topic `{topic}` in {log}")
        }
        ConnectorKind::SpoolSink(sink) => {
            let (label, topics) = (sink.spool.layout.package.label(), sink.topics.join("`, `"));
            format!("connector `{name}`: topic `{topics}` to files in {}, layout {label}", sink.spool.store)
        }
        ConnectorKind::SpoolSource(source) => {
            let (label, topic) = (source.spool.layout.package.label(), &source.output.topic);
            format!("connector `{name}`: files in {} to topic `{topic}`, layout {label}", source.spool.store)
        }
        ConnectorKind::Ingest(ingest) => {
            let druid = ingest.load.as_ref().and_then(|load| load.druid.as_ref());
            let to = druid.map_or("served only".to_owned(), |druid| {
                format!("to `{}` at Druid `{}`", ingest.into.name, druid.url)
            });
            format!("connector `{name}`: batches of {}, {to}", ingest.data_set.store)
        }
    }
}

/// Whether every connector that a wanted number of records ends has ended; the others never do.
fn sources_are_over(config: &Config, statuses: &[TaskStatus]) -> bool {
    let is_source = |connector: &&ConnectorConfig| matches!(connector.kind, ConnectorKind::Source(_));
    let mut sources = config.connectors.iter().filter(is_source).peekable();
    let is_over =
        |name: &str| statuses.iter().filter(|status| status.name == name).all(|status| status.state.is_over());
    sources.peek().is_some() && sources.all(|source| is_over(&source.name))
}

/// As records flow.
fn in_order(mut statuses: Vec<TaskStatus>, order: &[String]) -> Vec<TaskStatus> {
    statuses.sort_by_key(|status| order.iter().position(|name| *name == status.name).unwrap_or(usize::MAX));
    statuses
}

/// Stops connectors one after another, each when it has seen all that the one before it left.
fn drain(worker: &Worker, order: &[String], progress: &mut Progress) {
    let deadline = Instant::now() + DRAIN_WITHIN;
    for name in order {
        let mut quiet_since = None;
        while Instant::now() < deadline {
            let statuses = worker.statuses();
            progress.show(&in_order(statuses.clone(), order));
            let of_it = || statuses.iter().filter(|status| status.name == *name);
            if of_it().all(|status| status.state.is_over()) {
                break;
            }
            let is_quiet = of_it().all(|status| status.counts.backlog == Some(0) && status.counts.trouble.is_none());
            // A source that cannot know what waits has nothing to wait for.
            let is_blind = of_it().all(|status| status.feed.is_some());
            match is_quiet || is_blind {
                false => quiet_since = None,
                true if is_blind || quiet_since.get_or_insert_with(Instant::now).elapsed() >= QUIET_FOR => break,
                true => {}
            }
            std::thread::sleep(LOOK_EVERY);
        }
        worker.ask_to_stop(name);
        while Instant::now() < deadline && !worker.statuses().iter().all(|s| s.name != *name || s.state.is_over()) {
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// Runs a checked configuration to its end.
pub(super) fn run_config(config: &Config, runtime: &Runtime, until: &Until) -> std::result::Result<Finished, Failure> {
    let interrupted = on_interrupt(runtime);
    let log = app::open_log(&config.log).map_err(Failure::Refused)?;
    let engines = Engines::new();
    let began = Instant::now();
    let ends = Ends { max_records: until.records, once: until.once };
    let started = app::start(config, &log, &engines, runtime.handle(), ends).map_err(Failure::Refused)?;
    let page = app::show(config, &started, &log, runtime.handle(), &until.drain).map_err(Failure::Refused)?;
    let (mut worker, served) = (started.worker, started.served);
    let at = log.describe();
    config.connectors.iter().for_each(|connector| error_line(&describe(connector, &at)));
    served
        .iter()
        .for_each(|served| error_line(&format!("connector `{}`: batches at {}", served.name, served.server.url())));
    page.iter().for_each(|page| error_line(&format!("look at the pipeline: {}", page.url())));
    let mut progress = Progress::new();
    loop {
        progress.show(&in_order(worker.statuses(), &until.drain));
        let is_late = until.duration.is_some_and(|duration| began.elapsed() >= duration);
        let is_enough = until.records.is_some() && sources_are_over(config, &worker.statuses());
        if is_late || is_enough || worker.is_over() {
            break;
        }
        match interrupted.recv_timeout(LOOK_EVERY) {
            Ok(()) => {
                error_line("stopping: what is in hand is committed first; once more to stop at once");
                break;
            }
            Err(RecvTimeoutError::Timeout) => {}
            // Without signals the process is stopped in other ways.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(LOOK_EVERY),
        }
    }
    drain(&worker, &until.drain, &mut progress);
    let statuses = in_order(worker.stop(), &until.drain);
    Ok(Finished { statuses, log: log.describe(), took: began.elapsed() })
}
