//! The demo's configuration: the pipeline's own file, with other addresses.

use super::filer::{Filer, kept_password};
use crate::app;
use crate::cli::keys;
use crate::cli::spool::{LEFT_CONFIG, LEFT_KEY};
use crate::config::{Config, ConnectorKind, RawConfig, RawConnector};
use crate::crypto::KeyKind;
use crate::error::{Error, OrError, Result};
use crate::spool::Survey;
use crate::wasm::Engines;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tokio::runtime::Runtime;

const PIPELINE: &str = include_str!("../../../../config/pipelines/wikipedia.toml");
pub(super) const SOURCE: &str = "local-irc-source";
const TO_SPOOL: &str = "wikipedia-consumer";
const FROM_SPOOL: &str = "local-qf2-source";
const TO_DATA_SET: &str = "local-qf2-sink";
/// The ingestion.
pub(super) const INGEST: &str = "ingest";
/// The connectors in the order in which records flow.
pub(super) const FLOW: [&str; 5] = [SOURCE, TO_SPOOL, FROM_SPOOL, TO_DATA_SET, INGEST];
/// Topic of the records in the clear.
pub(super) const RECORDS_TOPIC: &str = "wikipedia";
/// Files of the demo are closed after this time, so that one sees them move.
const FILE_AGE_MS: &str = "1000";
/// Few files in few directories for a demo that runs long.
const BATCH_AGE_MS: &str = "5000";
/// The endpoint and the page, where their ports are free.
const INGEST_PORT: u16 = 9500;
const PAGE_PORT: u16 = 8083;
/// Batches are loaded this often.
const SCHEDULE: &str = "2s";

/// What the demo is made of.
pub(super) struct Parts {
    /// The data folder.
    pub(super) dir: PathBuf,
    /// Component of the source.
    pub(super) source: PathBuf,
    /// Component of the layout.
    pub(super) layout: PathBuf,
    /// Component that writes tasks.
    pub(super) spec: PathBuf,
}

/// What the pipeline reaches.
pub(super) struct Addresses<'a> {
    /// The filers of the spool and of the data set.
    pub(super) filers: [&'a Filer; 2],
    /// The feed emulator; none: the real feed.
    pub(super) feed: Option<SocketAddr>,
    /// Druid, or the emulator of its task API.
    pub(super) druid: String,
}

impl Parts {
    /// Makes the demo's key pair, once.
    pub(super) fn make_keys(&self) -> Result<()> {
        let key = self.dir.join(LEFT_KEY);
        if key.is_file() {
            return Ok(());
        }
        let name = key.file_stem().and_then(|stem| stem.to_str()).unwrap_or("demo");
        keys::generate(key.parent().unwrap_or(&self.dir), name, KeyKind::Private).map(drop)
    }

    /// Name of the key that opens what the demo seals.
    pub(super) fn private_key(&self) -> String {
        format!("file:{}", self.dir.join(LEFT_KEY).display())
    }

    /// The pipeline with the demo's addresses.
    pub(super) fn pipeline(&self, at: &Addresses<'_>) -> Result<RawConfig> {
        let [first, second] = at.filers;
        let mut raw = RawConfig::default();
        raw.add(Path::new("config/pipelines/wikipedia.toml"), PIPELINE)?;
        raw.worker.insert("data.dir".to_owned(), self.dir.display().to_string());
        raw.worker.insert("listeners".to_owned(), format!("http://127.0.0.1:{PAGE_PORT}"));
        let source = connector(&mut raw, SOURCE)?;
        set(source, [("plugin", self.source.display().to_string())]);
        if let Some(feed) = at.feed {
            // The emulator can wait, so at full speed nothing has to be dropped.
            let keys = [("irc.host", feed.ip().to_string()), ("irc.port", feed.port().to_string())];
            set(source, keys);
            set(source, [("feed.overflow", "block".to_owned())]);
        }
        for (name, filer, age) in
            [(TO_SPOOL, first, FILE_AGE_MS), (FROM_SPOOL, first, FILE_AGE_MS), (TO_DATA_SET, second, BATCH_AGE_MS)]
        {
            let spool = connector(&mut raw, name)?;
            set(spool, [("plugin", self.layout.display().to_string()), ("rotation.max.age.ms", age.to_owned())]);
            set(spool, filer.keys());
        }
        let public = self.dir.join(LEFT_KEY).with_extension("pub");
        set(connector(&mut raw, TO_SPOOL)?, [("seal.recipients", format!("file:{}", public.display()))]);
        let (password, _) = kept_password(&self.dir, "fetch")?;
        let ingest = connector(&mut raw, INGEST)?;
        ingest.keys.remove("advertised.url");
        set(
            ingest,
            [
                ("plugin", self.spec.display().to_string()),
                ("open.keys", self.private_key()),
                ("listen", format!("127.0.0.1:{INGEST_PORT}")),
                ("access.password", format!("file:{}", password.display())),
                ("druid.url", at.druid.clone()),
                ("schedule", SCHEDULE.to_owned()),
            ],
        );
        Ok(raw)
    }

    /// Leaves a configuration with which the spools and the ingestion can be looked at when the filers are
    /// gone: their files are ordinary ones.
    pub(super) fn leave_spools(&self) -> Result<()> {
        let mut raw = RawConfig::default();
        raw.add(Path::new("config/pipelines/wikipedia.toml"), PIPELINE)?;
        let mut text =
            "# Written by `host demo`, for `host spool --data-dir` and `host ingest --data-dir`.\n".to_owned();
        let worker = toml::Table::from_iter([("data.dir".to_owned(), self.dir.display().to_string().into())]);
        text.push_str(&format!("\n[worker]\n{worker}"));
        for (name, filer) in [(FROM_SPOOL, "qumulo1"), (TO_DATA_SET, "qumulo2")] {
            let keys = &connector(&mut raw, name)?.keys;
            let on_filer = keys.get("dir").map_or("", String::as_str).trim_start_matches('/');
            let mut kept = toml::Table::new();
            for key in ["connector.class", "topic", "topics", "spool.place", "spool.content", "staging.directory"] {
                if let Some(value) = keys.get(key) {
                    kept.insert(key.to_owned(), value.clone().into());
                }
            }
            kept.insert("files".to_owned(), "local".into());
            kept.insert("dir".to_owned(), self.dir.join(filer).join(on_filer).display().to_string().into());
            kept.insert("plugin".to_owned(), self.layout.display().to_string().into());
            text.push_str(&format!("\n[connectors.{name}]\n{kept}"));
        }
        let mut kept: toml::Table =
            connector(&mut raw, INGEST)?.keys.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
        // Where it is to be loaded is said by who loads it.
        for key in ["advertised.url", "druid.url", "access.username", "access.password", "merge.schedule"] {
            kept.remove(key);
        }
        kept.insert("plugin".to_owned(), self.spec.display().to_string().into());
        kept.insert("open.keys".to_owned(), self.private_key().into());
        kept.insert("listen".to_owned(), format!("127.0.0.1:{INGEST_PORT}").into());
        text.push_str(&format!("\n[{INGEST}]\n{kept}"));
        let path = self.dir.join(LEFT_CONFIG);
        std::fs::write(&path, text).or_config(format!("`{}`", path.display()))
    }

    /// The data set on the second filer.
    pub(super) fn data_set(&self, config: &Config, runtime: &Runtime) -> Result<Survey> {
        let sink = config.connectors.iter().find_map(|connector| match &connector.kind {
            ConnectorKind::SpoolSink(sink) if connector.name == TO_DATA_SET => Some(sink),
            _ => None,
        });
        let sink = sink.ok_or_else(|| Error::bug("the demo's pipeline has no data set"))?;
        app::survey(TO_DATA_SET, &sink.spool, &Engines::new(), runtime.handle())
    }
}

fn connector<'a>(raw: &'a mut RawConfig, name: &str) -> Result<&'a mut RawConnector> {
    raw.connectors.get_mut(name).ok_or_else(|| Error::bug(format!("the demo's pipeline has no connector `{name}`")))
}

fn set<const N: usize>(connector: &mut RawConnector, keys: [(&str, String); N]) {
    connector.keys.extend(keys.map(|(key, value)| (key.to_owned(), value)));
}
