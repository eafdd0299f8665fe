//! `host demo`: feed emulator, wiki_source and the embedded log, with nothing installed.

use super::args::DemoArgs;
use super::output::error_line;
use super::run::{Until, run_config};
use super::{Failure, runtime};
use crate::config::{Config, Overrides, RawConfig};
use crate::error::{Error, OrError, Result};
use crate::toolchain;
use host_emulators::irc;
use std::path::{Path, PathBuf};
use tokio::net::TcpListener;

const PLUGIN: &str = "wiki_source";

pub(super) fn demo(arguments: &DemoArgs) -> std::result::Result<(), Failure> {
    let runtime = runtime()?;
    let plugin = demo_plugin().map_err(Failure::Refused)?;
    let mut settings = Vec::new();
    let emulator = match arguments.live {
        true => {
            error_line("taking Wikipedia's real feed at irc.wikimedia.org");
            None
        }
        false => {
            let options = irc::Options { rate: arguments.rate, ..irc::Options::default() };
            let started = runtime.block_on(async {
                let listener = TcpListener::bind(("127.0.0.1", 0)).await.or_config("feed emulator")?;
                irc::start(listener, options).await.or_config("feed emulator")
            });
            let emulator = started.map_err(Failure::Refused)?;
            let address = emulator.addr();
            error_line(&format!("feed emulator: IRC on {address}, {} edits/s", arguments.rate));
            settings.push(("irc.host".to_owned(), address.ip().to_string()));
            settings.push(("irc.port".to_owned(), address.port().to_string()));
            // The emulator can wait, so at full speed nothing has to be dropped.
            settings.push(("feed.overflow".to_owned(), "block".to_owned()));
            Some(emulator)
        }
    };
    let overrides = Overrides {
        plugin: Some(plugin),
        data_dir: Some(arguments.data_dir.clone()),
        settings,
        ..Overrides::default()
    };
    let mut raw = RawConfig::read(&[])?;
    raw.apply(&overrides, Some(PLUGIN))?;
    let config = Config::check(&raw).map_err(Failure::Refused)?;
    let until = Until { duration: arguments.duration, records: arguments.records, output: arguments.output };
    let done = run_config(&config, &runtime, until);
    if let Some(emulator) = emulator {
        runtime.block_on(emulator.stop());
    }
    if done.is_ok() {
        let dir = arguments.data_dir.display();
        error_line(&format!("look at the records: host log cat wikipedia --data-dir {dir} --max 3"));
    }
    done
}

/// The component of the demo's plugin, built from the sources of this checkout when they changed.
fn demo_plugin() -> Result<PathBuf> {
    let plugins = plugin_sources()?;
    let output = plugins.join("target").join("components").join(format!("{PLUGIN}.wasm"));
    toolchain::build_if_needed(&plugins.join(PLUGIN), &output, &error_line)
}

/// `plugins/` of the checkout we stand in, or of the one this binary was built from.
fn plugin_sources() -> Result<PathBuf> {
    let here = std::env::current_dir().or_config("current folder")?;
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("")).to_owned();
    let candidates = here.ancestors().map(Path::to_owned).chain([built_from]).map(|root| root.join("plugins"));
    candidates.into_iter().find(|plugins| plugins.join(PLUGIN).join("plugin.toml").is_file()).ok_or_else(|| {
        Error::config(format!("no `plugins/{PLUGIN}` in `{}` or above it", here.display()))
            .with_hint("run the demo in a checkout of the project: its plugins are built from source")
    })
}
