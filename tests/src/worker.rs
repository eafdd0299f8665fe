//! A host in this process: configuration as an operator writes it, a worker, its log.

use crate::feeds::{self, runtime};
use crate::plugins::Plugin;
use crate::wait_for;
use host::app;
use host::config::{Config, RawConfig};
use host::error::Result;
use host::ports::log::Log;
use host::wasm::Engines;
use host::worker::{Swapped, TaskStatus, Worker};
use host_emulators::Handle;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Keys of one table, in order.
type Keys = Vec<(String, String)>;

/// A connector as it will stand in the configuration file.
#[derive(Debug, Clone)]
pub struct Connector {
    name: String,
    keys: Keys,
    transforms: Vec<Keys>,
}

impl Connector {
    /// A connector that is lent a feed; topic and channels are the plugin's unless set.
    pub fn new(name: &str, plugin: Plugin) -> Self {
        let keys = vec![("plugin".to_owned(), path(plugin)), ("grants".to_owned(), "feed".to_owned())];
        Connector { name: name.to_owned(), keys, transforms: Vec::new() }
    }

    /// A connector of a kind that the host has itself, with its layout.
    pub fn spool(name: &str, class: &str, layout: Plugin) -> Self {
        let keys = vec![("plugin".to_owned(), path(layout)), ("connector.class".to_owned(), class.to_owned())];
        Connector { name: name.to_owned(), keys, transforms: Vec::new() }
    }

    /// Sets a key; the last setting holds.
    pub fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.keys.retain(|(known, _)| known != key);
        self.keys.push((key.to_owned(), value.to_string()));
        self
    }

    /// Runs another file of its plugin.
    pub fn plugin_file(self, path: &Path) -> Self {
        self.set("plugin", path.display())
    }

    /// Takes a key away.
    pub fn unset(mut self, key: &str) -> Self {
        self.keys.retain(|(known, _)| known != key);
        self
    }

    /// The same under another name.
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Reads an IRC emulator, and waits for room rather than to drop a frame.
    pub fn irc(self, emulator: &Handle) -> Self {
        let address = emulator.addr();
        let this = self.set("feed", "irc").set("irc.host", address.ip()).set("irc.port", address.port());
        this.set("feed.overflow", "block")
    }

    /// Reads an EventStreams emulator.
    pub fn eventstreams(self, emulator: &Handle) -> Self {
        self.set("feed", "eventstreams").set("sse.url", feeds::stream_url(emulator))
    }

    /// Appends a transform with its options.
    pub fn transform(mut self, plugin: Plugin, options: &[(&str, &str)]) -> Self {
        let mut keys = vec![("plugin".to_owned(), path(plugin))];
        keys.extend(options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        self.transforms.push(keys);
        self
    }

    /// Its part of a configuration file.
    pub fn to_toml(&self) -> String {
        let mut text = format!("[connectors.{}]\n", self.name);
        put_keys(&mut text, &self.keys);
        for transform in &self.transforms {
            let _ = writeln!(text, "[[connectors.{}.transforms]]", self.name);
            put_keys(&mut text, transform);
        }
        text
    }
}

fn path(plugin: Plugin) -> String {
    plugin.path().display().to_string()
}

fn put_keys(text: &mut String, keys: &Keys) {
    // The key in quotes, since `topic` and `topic.creation…` cannot both be bare ones; the value a
    // literal string, in which nothing is an escape.
    keys.iter().for_each(|(key, value)| {
        let _ = writeln!(text, "\"{key}\" = '''{value}'''");
    });
}

/// A running worker and its log.
pub struct Running {
    worker: Worker,
    log: Arc<dyn Log>,
    served: Vec<app::Served>,
    swaps: app::Swaps,
}

/// Starts connectors on the embedded log in `data_dir`, as `host run` does.
///
/// # Panics
/// When the host refuses.
pub fn start(data_dir: &Path, connectors: &[Connector], max_records: Option<u64>) -> Running {
    wait_unlocked(data_dir);
    try_start(data_dir, connectors, max_records).unwrap_or_else(|error| panic!("the host refused: {error}"))
}

/// Waits until nobody writes to the log in `data_dir`. A log that this process has just closed may be
/// held a moment longer: by a program that another test starts, between the two halves of its start.
///
/// # Panics
/// When somebody writes to it all the time.
pub fn wait_unlocked(data_dir: &Path) {
    let Ok(lock) = std::fs::File::open(data_dir.join("log.lock")) else { return };
    crate::wait_until("the log to be free", Duration::from_secs(10), || lock.try_lock().is_ok());
}

/// As [`start`].
///
/// # Errors
/// The host's refusal.
///
/// # Panics
/// When the configuration file cannot be written.
pub fn try_start(data_dir: &Path, connectors: &[Connector], max_records: Option<u64>) -> Result<Running> {
    let config = checked(data_dir, connectors)?;
    let log = app::open_log(&config.log)?;
    run(&config, log, max_records)
}

/// As [`start`], on a log that another worker of this process has open: as two hosts on one Kafka.
///
/// # Panics
/// When the host refuses.
pub fn start_beside(other: &Running, connectors: &[Connector]) -> Running {
    let config = checked(Path::new("the other's"), connectors).unwrap();
    run(&config, Arc::clone(&other.log), None).unwrap_or_else(|error| panic!("the host refused: {error}"))
}

fn checked(data_dir: &Path, connectors: &[Connector]) -> Result<Config> {
    let mut text = format!("[worker]\ndata.dir = '''{}'''\n", data_dir.display());
    connectors.iter().for_each(|connector| text.push_str(&connector.to_toml()));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("host.toml");
    std::fs::write(&file, text).unwrap();
    Config::check(&RawConfig::read(&[file])?)
}

fn run(config: &Config, log: Arc<dyn Log>, max_records: Option<u64>) -> Result<Running> {
    // Compiling is kept in a cache whose files are named for the process, so not twice at once.
    static STARTING: Mutex<()> = Mutex::new(());
    let _guard = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    let ends = app::Ends { max_records, once: false };
    let app::Started { worker, served, swaps } = app::start(config, &log, engines(), runtime().handle(), ends)?;
    Ok(Running { worker, log, served, swaps })
}

fn engines() -> &'static Engines {
    static ENGINES: OnceLock<Engines> = OnceLock::new();
    ENGINES.get_or_init(Engines::new)
}

impl Running {
    /// The log.
    pub fn log(&self) -> &dyn Log {
        &*self.log
    }

    /// The address of the ingestion's endpoint.
    ///
    /// # Panics
    /// When there is no ingestion.
    pub fn endpoint(&self) -> String {
        self.served.first().expect("no ingestion is configured").server.url()
    }

    /// A connector now.
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn status(&self, name: &str) -> TaskStatus {
        self.worker.statuses().into_iter().find(|status| status.name == name).unwrap()
    }

    /// Swaps a connector's plugin.
    ///
    /// # Errors
    /// The host's refusal.
    pub fn swap(&self, name: &str, plugin: &Path) -> Result<Swapped> {
        self.swaps.swap(name, plugin.to_str().unwrap())
    }

    /// Waits until a connector is as `condition` asks, and returns it.
    ///
    /// # Panics
    /// When it does not get there `within` the time, with its status.
    pub fn wait(
        &self,
        name: &str,
        what: &str,
        within: Duration,
        condition: impl Fn(&TaskStatus) -> bool,
    ) -> TaskStatus {
        let mut last = None;
        let looked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for(what, within, || {
                let status = self.status(name);
                let found = condition(&status).then(|| status.clone());
                last = Some(status);
                found
            })
        }));
        looked.unwrap_or_else(|_| panic!("waited {within:?} in vain: {name}: {what}: {last:#?}"))
    }

    /// Waits until every connector has ended by itself, then stops the worker.
    ///
    /// # Panics
    /// When one does not end `within` the time.
    pub fn finish(&mut self, within: Duration) -> Vec<TaskStatus> {
        crate::wait_until("every connector to end", within, || self.worker.is_over());
        self.stop()
    }

    /// Stops the worker.
    pub fn stop(&mut self) -> Vec<TaskStatus> {
        self.worker.stop()
    }

    /// Asks one connector to stop, and does not wait.
    pub fn ask_to_stop(&self, name: &str) {
        self.worker.ask_to_stop(name);
    }

    /// Stops the worker and closes its log, so that another can be started on it.
    pub fn end(mut self) -> Vec<TaskStatus> {
        self.worker.stop()
    }
}
