//! Configuration as written: TOML files and command-line settings, brought to dotted keys with
//! text values. Nothing is interpreted here.

use super::keys::{WORKER_KEYS, find};
use super::plugins::Plugins;
use crate::dotted::{Keys, flatten};
use crate::error::{Error, OrError, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A connector as written.
#[derive(Debug, Clone, Default)]
pub struct RawConnector {
    /// Where it stands, for messages.
    pub origin: String,
    /// Folder that relative paths start from.
    pub folder: PathBuf,
    /// All its keys.
    pub keys: Keys,
    /// Its transforms, in order.
    pub transforms: Vec<Keys>,
    /// Given on the command line: naming the plugin there grants what it wants.
    pub grant_all: bool,
    /// Where plugins are found by name, and whose signatures count.
    pub plugins: Plugins,
}

/// All configuration as written.
#[derive(Debug, Clone, Default)]
pub struct RawConfig {
    /// Keys of the worker.
    pub worker: Keys,
    /// Where the worker's keys stand.
    pub worker_origin: String,
    /// Folder that relative paths of the worker start from.
    pub worker_folder: PathBuf,
    /// Connectors by name.
    pub connectors: BTreeMap<String, RawConnector>,
}

/// What the command line sets over the files.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--plugin`: one more connector.
    pub plugin: Option<PathBuf>,
    /// `--transform`, in order: transforms of that connector.
    pub transforms: Vec<PathBuf>,
    /// `--topic`.
    pub topic: Option<String>,
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--set KEY=VALUE`, in order.
    pub settings: Vec<(String, String)>,
}

impl RawConfig {
    /// Reads files in order; later ones add connectors.
    ///
    /// # Errors
    /// Class Config with file, key and what was expected.
    pub fn read(files: &[PathBuf]) -> Result<Self> {
        let mut config = RawConfig { worker_origin: "command line".to_owned(), ..RawConfig::default() };
        for file in files {
            let shown = file.display();
            let text = std::fs::read_to_string(file).or_config(format!("config `{shown}`"))?;
            config.add(file, &text)?;
        }
        Ok(config)
    }

    /// Adds the text of one file; paths in it start from the file's folder.
    ///
    /// # Errors
    /// As for [`RawConfig::read`].
    pub fn add(&mut self, file: &Path, text: &str) -> Result<()> {
        self.add_text(file, text).map_err(|error| error.context(format!("config `{}`", file.display())))
    }

    fn add_text(&mut self, file: &Path, text: &str) -> Result<()> {
        // The TOML error names line and column and shows the place.
        let table: toml::Table = text.parse().or_config("not valid TOML").map_err(|error| {
            let extends = error.to_string().contains("cannot extend value");
            let hint = "a key that goes on after one with a value is quoted: `\"feed.overflow\" = …`";
            if extends { error.with_hint(hint) } else { error }
        })?;
        for (name, value) in &table {
            match (name.as_str(), value) {
                ("worker", toml::Value::Table(worker)) => {
                    if !self.worker.is_empty() {
                        return Err(Error::config(format!("`[worker]` is also in {}", self.worker_origin)));
                    }
                    flatten("", worker, &mut self.worker)?;
                    self.worker_origin = format!("config `{}`", file.display());
                    self.worker_folder = file.parent().unwrap_or(Path::new("")).to_owned();
                }
                ("connectors", toml::Value::Table(connectors)) => {
                    for (name, value) in connectors {
                        self.add_connector(file, name, value)?;
                    }
                }
                // The one ingestion of a pipeline, as a connector of that name.
                ("ingest", value) => {
                    self.add_connector(file, name, value)?;
                    if let Some(connector) = self.connectors.get_mut(name) {
                        connector.keys.entry("connector.class".to_owned()).or_insert_with(|| name.clone());
                    }
                }
                ("worker" | "connectors", other) => {
                    return Err(Error::config(format!("`{name}` is a {}, expected a table", other.type_str())));
                }
                (other, _) => {
                    return Err(Error::config(format!(
                        "unknown table `{other}`, expected `worker`, `connectors` or `ingest`"
                    )));
                }
            }
        }
        Ok(())
    }

    fn add_connector(&mut self, file: &Path, name: &str, value: &toml::Value) -> Result<()> {
        let toml::Value::Table(table) = value else {
            let found = value.type_str();
            return Err(Error::config(format!("connector `{name}` is a {found}, expected a table")));
        };
        if let Some(other) = self.connectors.get(name) {
            return Err(Error::config(format!("connector `{name}` is also in {}", other.origin)));
        }
        let mut table = table.clone();
        let mut connector = RawConnector {
            origin: format!("config `{}`: connector `{name}`", file.display()),
            folder: file.parent().unwrap_or(Path::new("")).to_owned(),
            ..RawConnector::default()
        };
        match table.remove("transforms") {
            None => {}
            Some(toml::Value::Array(transforms)) => {
                for transform in transforms {
                    let toml::Value::Table(transform) = transform else {
                        return Err(Error::config(format!(
                            "`connectors.{name}.transforms` holds a value that is no table"
                        )));
                    };
                    let mut keys = Keys::new();
                    flatten("", &transform, &mut keys)?;
                    connector.transforms.push(keys);
                }
            }
            Some(other) => {
                let found = other.type_str();
                return Err(Error::config(format!(
                    "`connectors.{name}.transforms` is a {found}, expected `[[…]]` tables"
                )));
            }
        }
        flatten("", &table, &mut connector.keys)?;
        self.connectors.insert(name.to_owned(), connector);
        Ok(())
    }

    /// Puts the command line over what the files say. `--set` goes to the worker where the key is
    /// the worker's, else to the connector of `--plugin`, else to the only connector there is.
    ///
    /// # Errors
    /// Class Config when there is no one connector a setting can be for.
    pub fn apply(&mut self, overrides: &Overrides, plugin_name: Option<&str>) -> Result<()> {
        if let (Some(plugin), Some(name)) = (&overrides.plugin, plugin_name) {
            if self.connectors.contains_key(name) {
                return Err(Error::config(format!("connector `{name}` is in a config file and given by `--plugin`")));
            }
            let transforms = overrides
                .transforms
                .iter()
                .map(|path| Keys::from([("plugin".to_owned(), path.to_string_lossy().into_owned())]));
            let connector = RawConnector {
                origin: format!("command line: connector `{name}`"),
                folder: PathBuf::new(),
                keys: Keys::from([("plugin".to_owned(), plugin.to_string_lossy().into_owned())]),
                transforms: transforms.collect(),
                grant_all: true,
                plugins: Plugins::default(),
            };
            self.connectors.insert(name.to_owned(), connector);
        } else if !overrides.transforms.is_empty() {
            return Err(Error::config("`--transform` needs `--plugin`")
                .with_hint("in a config file, write a `[[connectors.NAME.transforms]]` table"));
        }
        if let Some(dir) = &overrides.data_dir {
            self.worker.insert("data.dir".to_owned(), dir.to_string_lossy().into_owned());
        }
        let topic = overrides.topic.iter().map(|topic| ("topic".to_owned(), topic.clone()));
        for (key, value) in topic.chain(overrides.settings.iter().cloned()) {
            let target = match find(&[WORKER_KEYS], &key) {
                Some(_) => &mut self.worker,
                None => &mut self.target(plugin_name, &key)?.keys,
            };
            target.insert(key, value);
        }
        Ok(())
    }

    /// `--watch`: every source plugin is.
    pub fn watch_plugins(&mut self) {
        let is_source =
            |connector: &&mut RawConnector| connector.keys.get("connector.class").is_none_or(|class| class == "plugin");
        for connector in self.connectors.values_mut().filter(is_source) {
            connector.keys.insert("plugin.watch".to_owned(), "true".to_owned());
        }
    }

    fn target(&mut self, plugin_name: Option<&str>, key: &str) -> Result<&mut RawConnector> {
        let count = self.connectors.len();
        let named = plugin_name.map(str::to_owned);
        let only = (count == 1).then(|| self.connectors.keys().next().cloned()).flatten();
        let name = named.or(only).ok_or_else(|| {
            Error::config(format!(
                "cannot set `{key}`: there are {count} connectors, expected `--plugin` or exactly one"
            ))
        })?;
        self.connectors.get_mut(&name).ok_or_else(|| Error::config(format!("no connector `{name}`")))
    }
}
