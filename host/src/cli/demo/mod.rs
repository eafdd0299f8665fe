//! `host demo`: the whole demonstration on this machine, with nothing installed. It runs
//! `config/pipelines/wikipedia.toml` with emulators in the place of the addresses.

mod filer;
mod pipeline;

use super::args::DemoArgs;
use super::output::error_line;
use super::run::{Until, run_config};
use super::summary::{self, Hops};
use super::{Failure, runtime};
use crate::app;
use crate::config::Config;
use crate::error::{Error, OrError, Result};
use crate::toolchain;
use filer::Filer;
use host_emulators::{Handle, irc};
use pipeline::{DATA_TOPIC, FLOW, Parts, RECORDS_TOPIC};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

pub(super) fn demo(arguments: &DemoArgs) -> std::result::Result<(), Failure> {
    let runtime = runtime()?;
    let refused = |error| Failure::Refused(error);
    let source = plugin("wiki_source").map_err(refused)?;
    let layout = plugin("spool_layout").map_err(refused)?;
    std::fs::create_dir_all(&arguments.data_dir)
        .and_then(|()| std::fs::canonicalize(&arguments.data_dir))
        .or_config(format!("data folder `{}`", arguments.data_dir.display()))
        .map_err(refused)
        .and_then(|dir| run(arguments, &runtime, &Parts { dir, source, layout }))
}

fn run(arguments: &DemoArgs, runtime: &Runtime, parts: &Parts) -> std::result::Result<(), Failure> {
    let refused = |error| Failure::Refused(error);
    parts.make_keys().map_err(refused)?;
    let filers = [Filer::start(runtime, &parts.dir, "qumulo1"), Filer::start(runtime, &parts.dir, "qumulo2")];
    let [first, second] = filers;
    let (first, second) = (first.map_err(refused)?, second.map_err(refused)?);
    let feed = match arguments.live {
        true => {
            error_line("taking Wikipedia's real feed at irc.wikimedia.org");
            None
        }
        false => Some(start_feed(runtime, arguments.rate).map_err(refused)?),
    };
    let raw = parts.pipeline(&first, &second, feed.as_ref().map(Handle::addr)).map_err(refused)?;
    let config = Config::check(&raw).map_err(refused)?;
    parts.leave_spools().map_err(refused)?;
    let until = Until {
        duration: arguments.duration,
        records: arguments.records,
        output: arguments.output,
        drain: FLOW.iter().map(|name| (*name).to_owned()).collect(),
    };
    let finished = run_config(&config, runtime, &until)?;
    let hops = count(&config, parts, runtime)?;
    if let Some(feed) = feed {
        runtime.block_on(feed.stop());
    }
    first.stop(runtime);
    second.stop(runtime);
    summary::print(&finished, Some(&hops), until.output)?;
    let dir = arguments.data_dir.display();
    error_line(&format!("look at the records: host log cat {RECORDS_TOPIC} --data-dir {dir} --max 3"));
    error_line(&format!("look at the files:   host spool ls --data-dir {dir}"));
    finished.verdict()?;
    match hops.is_equal() {
        true => Ok(()),
        false => Err(Failure::Failed(Error::bug("not all records arrived at all places"))),
    }
}

fn start_feed(runtime: &Runtime, rate: f64) -> Result<Handle> {
    let emulator = runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.or_config("feed emulator")?;
        irc::start(listener, irc::Options { rate, ..irc::Options::default() }).await.or_config("feed emulator")
    })?;
    error_line(&format!("feed emulator: IRC on {}, {rate} edits/s", emulator.addr()));
    Ok(emulator)
}

/// Counts the records at each place: in the topic, and in the data set, opened with the private key.
fn count(config: &Config, parts: &Parts, runtime: &Runtime) -> std::result::Result<Hops, Failure> {
    let topic = app::open_log_to_read(&config.log)?.topic(RECORDS_TOPIC)?;
    let records = topic.map_or(0, |topic| topic.partitions.iter().map(|marks| marks.high).sum::<i64>());
    let mut places = vec![(format!("topic `{RECORDS_TOPIC}`"), u64::try_from(records).unwrap_or(0))];
    let ring = Arc::new(app::open_keys("demo key", &[parts.private_key()])?);
    let mut survey = parts.data_set(config, runtime)?;
    let mut opened = 0;
    for file in survey.list()?.into_iter().filter(|file| file.stage == "target") {
        let report = survey.open(&file, &ring, &mut |_| Ok(()))?;
        opened += report.records;
        if let Some(problem) = report.problem {
            error_line(&format!("file `{}`: {problem}", file.name));
        }
    }
    places.push((format!("data set of `{DATA_TOPIC}` on cluster 2, opened"), opened));
    Ok(Hops { places })
}

/// The component of a plugin, built from the sources of this checkout when they changed.
fn plugin(name: &str) -> Result<PathBuf> {
    let plugins = plugin_sources()?;
    let output = plugins.join("target").join("components").join(format!("{name}.wasm"));
    toolchain::build_if_needed(&plugins.join(name), &output, &error_line)
}

/// `plugins/` of the checkout we stand in, or of the one this binary was built from.
fn plugin_sources() -> Result<PathBuf> {
    let here = std::env::current_dir().or_config("current folder")?;
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("")).to_owned();
    let candidates = here.ancestors().map(Path::to_owned).chain([built_from]).map(|root| root.join("plugins"));
    candidates.into_iter().find(|plugins| plugins.join("wiki_source").join("plugin.toml").is_file()).ok_or_else(|| {
        Error::config(format!("no `plugins/wiki_source` in `{}` or above it", here.display()))
            .with_hint("run the demo in a checkout of the project: its plugins are built from source")
    })
}
