//! `host demo`: the whole demonstration on this machine, with nothing installed. It runs
//! `config/pipelines/wikipedia.toml` with emulators in the place of the addresses.

mod filer;
mod hops;
mod pipeline;

use super::args::DemoArgs;
use super::output::error_line;
use super::run::{Until, run_config};
use super::summary;
use super::{Failure, runtime};
use crate::config::Config;
use crate::error::{Error, OrError, Result};
use crate::toolchain;
use filer::Filer;
use hops::records_in_log;
use host_emulators::overlord::{self, OverlordHandle};
use host_emulators::{Handle, irc};
use pipeline::{Addresses, FLOW, Parts, RECORDS_TOPIC};
use std::path::{Path, PathBuf};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

pub(super) fn demo(arguments: &DemoArgs) -> std::result::Result<(), Failure> {
    let runtime = runtime()?;
    let refused = |error| Failure::Refused(error);
    let source = plugin("wiki_source").map_err(refused)?;
    let layout = plugin("spool_layout").map_err(refused)?;
    let spec = plugin("druid_spec").map_err(refused)?;
    std::fs::create_dir_all(&arguments.data_dir)
        .and_then(|()| std::fs::canonicalize(&arguments.data_dir))
        .or_config(format!("data folder `{}`", arguments.data_dir.display()))
        .map_err(refused)
        .and_then(|dir| run(arguments, &runtime, &Parts { dir, source, layout, spec }))
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
    let druid = match &arguments.druid {
        Some(_) => None,
        None => Some(start_druid(runtime, parts).map_err(refused)?),
    };
    let addresses = Addresses {
        filers: [&first, &second],
        feed: feed.as_ref().map(Handle::addr),
        druid: druid.as_ref().map_or_else(|| arguments.druid.clone().unwrap_or_default(), OverlordHandle::url),
    };
    let raw = parts.pipeline(&addresses).map_err(refused)?;
    // A second demo beside this one has the usual ports.
    let config = Config { any_port: true, ..Config::check(&raw).map_err(refused)? };
    parts.leave_spools().map_err(refused)?;
    let until = Until {
        duration: arguments.duration,
        records: arguments.records,
        output: arguments.output,
        drain: FLOW.iter().map(|name| (*name).to_owned()).collect(),
        once: false,
    };
    let before = records_in_log(&config)?;
    let finished = run_config(&config, runtime, &until)?;
    let hops = hops::count(&config, parts, runtime, before, &finished)?;
    if let Some(feed) = feed {
        runtime.block_on(feed.stop());
    }
    if let Some(druid) = druid {
        runtime.block_on(druid.stop());
    }
    first.stop(runtime);
    second.stop(runtime);
    summary::print(&finished, Some(&hops), until.output)?;
    let dir = arguments.data_dir.display();
    error_line(&format!("look at the records: host log cat {RECORDS_TOPIC} --data-dir {dir} --max 3"));
    error_line(&format!("look at the files:   host spool ls --data-dir {dir}"));
    error_line(&format!("look at the tasks:   host ingest status --data-dir {dir}"));
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

fn start_druid(runtime: &Runtime, parts: &Parts) -> Result<OverlordHandle> {
    let options = overlord::Options { data_dir: Some(parts.dir.join("druid")), ..overlord::Options::default() };
    let emulator = runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.or_config("Druid emulator")?;
        overlord::start(listener, options).await.or_config("Druid emulator")
    })?;
    error_line(&format!("Druid emulator: tasks and SQL on {}", emulator.url()));
    Ok(emulator)
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
