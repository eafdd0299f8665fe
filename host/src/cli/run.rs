//! `host run`: connectors until stopped.

use super::args::{Output, RunArgs};
use super::output::error_line;
use super::progress::Progress;
use super::{Failure, on_interrupt, runtime, summary};
use crate::app;
use crate::config::{Config, Overrides, RawConfig};
use crate::error::{Error, Result};
use crate::plugin::Package;
use crate::wasm::Engines;
use crate::worker::TaskState;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// How often the progress is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// When a run ends by itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Until {
    pub(super) duration: Option<Duration>,
    pub(super) records: Option<u64>,
    pub(super) output: Output,
}

pub(super) fn run(arguments: &RunArgs) -> std::result::Result<(), Failure> {
    let config = read_config(arguments).map_err(Failure::Refused)?;
    let until = Until { duration: arguments.duration, records: arguments.max_records, output: arguments.output };
    let runtime = runtime()?;
    run_config(&config, &runtime, until)
}

fn read_config(arguments: &RunArgs) -> Result<Config> {
    let files: Vec<_> = arguments.configs.iter().chain(&arguments.more_configs).cloned().collect();
    let mut raw = RawConfig::read(&files)?;
    // A connector on the command line is named after its plugin.
    let name = match &arguments.plugin {
        Some(path) => Some(Package::read(path)?.manifest.plugin.name),
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
    Config::check(&raw)
}

/// Runs a checked configuration to its end and prints the summary.
pub(super) fn run_config(config: &Config, runtime: &Runtime, until: Until) -> std::result::Result<(), Failure> {
    let interrupted = on_interrupt(runtime);
    let log = app::open_log(&config.log).map_err(Failure::Refused)?;
    let engines = Engines::new();
    let began = Instant::now();
    let mut worker = app::start(config, &log, &engines, runtime.handle(), until.records).map_err(Failure::Refused)?;
    for connector in &config.connectors {
        let (label, topic) = (connector.source.package.label(), &connector.topic);
        let lent = connector.source.grants.join(", ");
        let at = log.describe();
        error_line(&format!("connector `{}`: plugin {label}, lent: {lent}; topic `{topic}` in {at}", connector.name));
    }
    let mut progress = Progress::new();
    loop {
        progress.show(&worker.statuses());
        let over = until.duration.is_some_and(|duration| began.elapsed() >= duration);
        if over || worker.is_over() {
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
    let statuses = worker.stop();
    let took = began.elapsed();
    drop(progress);
    summary::print(&statuses, &log.describe(), took, until.output)?;
    let failed: Vec<&str> = statuses
        .iter()
        .filter(|status| matches!(status.state, TaskState::Failed(_)))
        .map(|status| status.name.as_str())
        .collect();
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Failure::Failed(Error::bug(format!("connectors failed: `{}`", failed.join("`, `"))))),
    }
}
