//! Configuration raised to what it means: keys known, types right, paths joined, limits complete,
//! plugins read. Nothing is connected to.

use super::keys::{CONNECTOR_KEYS, Key, WORKER_KEYS, find, nearest};
use super::raw::{RawConfig, RawConnector};
use crate::connector::Settings;
use crate::dotted::Keys;
use crate::error::{Error, Result};
use crate::plugin::{Manifest, OptionSpec, Package};
use crate::ports::feed::{FeedAddress, FeedSettings, IrcSettings, Overflow, SseSettings};
use crate::ports::log::{KafkaSettings, check_topic_name};
use crate::secret::Secret;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// Where records go.
#[derive(Debug, Clone)]
pub enum LogChoice {
    /// The embedded log in a folder.
    Embedded {
        /// The folder.
        dir: PathBuf,
        /// Largest size of its file.
        max_bytes: Option<u64>,
    },
    /// A Kafka cluster.
    Kafka(KafkaSettings),
}

/// All configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where records go.
    pub log: LogChoice,
    /// Connectors in the order of their names.
    pub connectors: Vec<ConnectorConfig>,
}

/// A plugin with its options and grants.
#[derive(Debug, Clone)]
pub struct PluginUse {
    /// The plugin file.
    pub package: Package,
    /// Its options, complete.
    pub settings: Settings,
    /// Capabilities granted to it.
    pub grants: Vec<String>,
}

/// A connector, checked.
#[derive(Debug, Clone)]
pub struct ConnectorConfig {
    /// Name; positions are kept under it.
    pub name: String,
    /// The source.
    pub source: PluginUse,
    /// Transforms in order.
    pub transforms: Vec<PluginUse>,
    /// No CPU limit.
    pub trusted: bool,
    /// Topic of records.
    pub topic: String,
    /// Topic of rejected inputs.
    pub dead_letter_topic: String,
    /// Partitions of topics that are made.
    pub partitions: i32,
    /// Keys in Connect's envelope.
    pub key_schemas: bool,
    /// Values in Connect's envelope.
    pub value_schemas: bool,
    /// Records a poll may give.
    pub batch_records: u32,
    /// Bytes a poll may give, about.
    pub batch_bytes: u32,
    /// How long records wait for their commit.
    pub commit_interval: Duration,
    /// Bytes that make a commit at once.
    pub commit_bytes: usize,
    /// Longest wait between tries.
    pub retry_delay_max: Duration,
    /// How long the task may take to stop.
    pub stop_timeout: Duration,
    /// Restarts in a row.
    pub restart_max: u32,
    /// Linear memory of an instance.
    pub memory_bytes: usize,
    /// CPU time of a call.
    pub cpu: Duration,
    /// Wall time of a call.
    pub wall: Duration,
    /// GeoIP database, where one is lent.
    pub geoip_database: Option<PathBuf>,
    /// The feed, where one is lent.
    pub feed: Option<FeedSettings>,
}

impl Config {
    /// Checks configuration; reads plugin files, connects to nothing.
    ///
    /// # Errors
    /// Class Config (class Deny for plugins that import what they do not ask for), naming file,
    /// connector, key, what was found and what was expected.
    pub fn check(raw: &RawConfig) -> Result<Self> {
        let log = check_log(&raw.worker).map_err(|error| error.context(&raw.worker_origin))?;
        let check = |(name, raw): (&String, &RawConnector)| {
            check_connector(name, raw).map_err(|error| error.context(&raw.origin))
        };
        let connectors = raw.connectors.iter().map(check).collect::<Result<Vec<_>>>()?;
        if connectors.is_empty() {
            return Err(Error::config("no connector is configured")
                .with_hint("give a config file with `[connectors.NAME]`, or `--plugin FILE`"));
        }
        Ok(Config { log, connectors })
    }
}

/// Keys of one table, looked up by name with type, default and origin in the message.
struct Lookup<'a> {
    keys: &'a Keys,
    defaults: Option<&'a Manifest>,
    known: &'static [Key],
}

impl Lookup<'_> {
    /// Refuses keys nobody knows.
    fn check_known(&self, options: &[OptionSpec]) -> Result<()> {
        for name in self.keys.keys() {
            let ours = find(self.known, name).is_some();
            if !ours && !options.iter().any(|option| option.name == *name) {
                let names = self.known.iter().map(|key| key.name).chain(options.iter().map(|o| o.name.as_str()));
                let mut error = Error::config(format!("unknown key `{name}`"));
                if let Some(near) = nearest(name, names) {
                    error = error.with_hint(format!("did you mean `{near}`?"));
                }
                return Err(error);
            }
        }
        Ok(())
    }

    fn text(&self, name: &str) -> Option<&str> {
        let by_plugin = || self.defaults.and_then(|manifest| manifest.defaults.get(name));
        let set = self.keys.get(name).or_else(by_plugin).map(String::as_str);
        set.or_else(|| find(self.known, name).and_then(|key| key.default)).filter(|text| !text.is_empty())
    }

    fn need(&self, name: &str) -> Result<&str> {
        let doc = find(self.known, name).map_or("", |key| key.doc);
        self.text(name).ok_or_else(|| Error::config(format!("option `{name}` is missing ({doc})")))
    }

    fn parse<T: FromStr>(&self, name: &str) -> Result<Option<T>> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let kind = find(self.known, name).map_or("string", |key| key.kind.name());
        let found = || Error::config(format!("option `{name}` is `{text}`, expected a value of type {kind}"));
        text.parse().map(Some).map_err(|_| found())
    }

    fn number<T: FromStr + PartialOrd + std::fmt::Display>(&self, name: &str, least: T, most: T) -> Result<T> {
        let number: T = self.parse(name)?.ok_or_else(|| Error::config(format!("option `{name}` is missing")))?;
        if number < least || number > most {
            return Err(Error::config(format!("option `{name}` is `{number}`, expected {least} to {most}")));
        }
        Ok(number)
    }

    fn millis(&self, name: &str, least: u64) -> Result<Duration> {
        self.number(name, least, 24 * 3600 * 1000).map(Duration::from_millis)
    }

    fn flag(&self, name: &str) -> Result<bool> {
        Ok(self.parse(name)?.unwrap_or(false))
    }

    fn list(&self, name: &str) -> Vec<String> {
        let text = self.text(name).unwrap_or_default();
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    /// Text that goes into a line protocol: no blanks, no control characters.
    fn word(&self, name: &str) -> Result<Option<String>> {
        let Some(text) = self.text(name) else { return Ok(None) };
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            let found = text.escape_debug();
            return Err(Error::config(format!(
                "option `{name}` is `{found}`, expected no blanks or control characters"
            )));
        }
        Ok(Some(text.to_owned()))
    }
}

fn check_log(worker: &Keys) -> Result<LogChoice> {
    let keys = Lookup { keys: worker, defaults: None, known: WORKER_KEYS };
    keys.check_known(&[])?;
    let Some(servers) = keys.text("bootstrap.servers") else {
        let max_bytes = keys.parse("embedded.max.bytes")?;
        return Ok(LogChoice::Embedded { dir: PathBuf::from(keys.need("data.dir")?), max_bytes });
    };
    let mut settings = KafkaSettings::new(servers);
    for name in [
        "security.protocol",
        "sasl.mechanism",
        "sasl.username",
        "ssl.ca.location",
        "ssl.certificate.location",
        "ssl.key.location",
    ] {
        if let Some(value) = keys.text(name) {
            settings.properties.push((name.to_owned(), value.to_owned()));
        }
    }
    for name in ["sasl.password", "ssl.key.password"] {
        if let Some(value) = keys.text(name) {
            settings.secrets.push((name.to_owned(), Secret::resolve(name, value)?));
        }
    }
    settings.offsets_topic = keys.need("offset.storage.topic")?.to_owned();
    settings.compression = keys.need("producer.compression.type")?.to_owned();
    let known = ["none", "gzip", "snappy", "lz4", "zstd"];
    if !known.contains(&settings.compression.as_str()) {
        let (found, expected) = (&settings.compression, known.join("`, `"));
        return Err(Error::config(format!(
            "option `producer.compression.type` is `{found}`, expected one of `{expected}`"
        )));
    }
    settings.replication_factor = keys.number("topic.creation.default.replication.factor", -1, 100)?;
    Ok(LogChoice::Kafka(settings))
}

fn check_connector(name: &str, raw: &RawConnector) -> Result<ConnectorConfig> {
    let plugin =
        raw.keys.get("plugin").ok_or_else(|| Error::config("option `plugin` is missing (the component file)"))?;
    let package = Package::read(&raw.folder.join(plugin))?;
    expect_world(&package, "source")?;
    let keys = Lookup { keys: &raw.keys, defaults: Some(&package.manifest), known: CONNECTOR_KEYS };
    keys.check_known(&package.manifest.options)?;
    let geoip_database = keys.text("geoip.database").map(|path| raw.folder.join(path));
    let grants = match raw.grant_all {
        true => {
            let wants = package.manifest.wants.iter().map(|want| want.capability.clone());
            wants.filter(|capability| capability != "geoip" || geoip_database.is_some()).collect()
        }
        false => keys.list("grants"),
    };
    if let Some(unknown) = grants.iter().find(|grant| !["feed", "geoip"].contains(&grant.as_str())) {
        return Err(Error::config(format!("option `grants` names `{unknown}`, this host lends `feed` and `geoip`")));
    }
    if geoip_database.is_some() && !grants.iter().any(|grant| grant == "geoip") {
        return Err(Error::deny("option `geoip.database` is set, and capability `geoip` is not granted")
            .with_hint("add \"geoip\" to the connector's `grants`"));
    }
    let feed = grants.iter().any(|grant| grant == "feed").then(|| check_feed(&keys, &raw.folder)).transpose()?;
    let topic = keys.need("topic")?.to_owned();
    let dead_letter_topic = keys.text("errors.deadletterqueue.topic.name").map(str::to_owned);
    let dead_letter_topic = dead_letter_topic.unwrap_or_else(|| format!("{topic}-dlq"));
    check_topic_name(&topic)?;
    check_topic_name(&dead_letter_topic)?;
    if dead_letter_topic == topic {
        return Err(Error::config(format!(
            "topic `{topic}` is also `errors.deadletterqueue.topic.name`, expected two"
        )));
    }
    // One task reads a feed; the key is Connect's, and any larger number means as many as make sense.
    keys.number("tasks.max", 1, 10_000)?;
    let settings = plugin_settings(&package.manifest, &raw.keys)?;
    let transforms = raw.transforms.iter().enumerate().map(|(index, keys)| {
        check_transform(&raw.folder, keys).map_err(|error| error.context(format!("transform {}", index + 1)))
    });
    Ok(ConnectorConfig {
        name: name.to_owned(),
        transforms: transforms.collect::<Result<_>>()?,
        trusted: keys.flag("trusted")?,
        topic,
        dead_letter_topic,
        partitions: keys.number("topic.creation.default.partitions", 1, 10_000)?,
        key_schemas: keys.flag("key.converter.schemas.enable")?,
        value_schemas: keys.flag("value.converter.schemas.enable")?,
        batch_records: keys.number("batch.max.records", 1, 100_000)?,
        batch_bytes: keys.number("batch.max.bytes", 1024, 64 << 20)?,
        commit_interval: keys.millis("transaction.boundary.interval.ms", 0)?,
        commit_bytes: keys.number("transaction.boundary.max.bytes", 1, 256 << 20)?,
        retry_delay_max: keys.millis("errors.retry.delay.max.ms", 1)?,
        stop_timeout: keys.millis("task.shutdown.graceful.timeout.ms", 1)?,
        restart_max: keys.number("restart.max", 0, 1_000_000)?,
        memory_bytes: keys.number("memory.max.bytes", 1 << 20, 4 << 30)?,
        cpu: keys.millis("cpu.max.ms", 10)?,
        wall: keys.millis("call.timeout.ms", 2000)?,
        geoip_database,
        feed,
        source: PluginUse { package, settings, grants },
    })
}

fn expect_world(package: &Package, expected: &str) -> Result<()> {
    let found = &package.manifest.plugin.world;
    if found != expected {
        let path = package.path.display();
        return Err(Error::config(format!("plugin `{path}` is of world `{found}`, expected `{expected}`")));
    }
    Ok(())
}

fn check_transform(folder: &Path, keys: &Keys) -> Result<PluginUse> {
    const KNOWN: &[Key] =
        &[Key { name: "plugin", kind: crate::plugin::OptionType::String, default: None, doc: "component file" }];
    let lookup = Lookup { keys, defaults: None, known: KNOWN };
    let package = Package::read(&folder.join(lookup.need("plugin")?))?;
    expect_world(&package, "transform")?;
    lookup.check_known(&package.manifest.options)?;
    let settings = plugin_settings(&package.manifest, keys)?;
    Ok(PluginUse { package, settings, grants: Vec::new() })
}

/// The plugin's options: as set, or by default; each checked.
fn plugin_settings(manifest: &Manifest, keys: &Keys) -> Result<Settings> {
    let mut settings = Settings::new();
    for option in &manifest.options {
        let value = keys.get(&option.name).or(option.default.as_ref()).ok_or_else(|| {
            let (plugin, name, doc) = (&manifest.plugin.name, &option.name, &option.doc);
            Error::config(format!("option `{name}` of plugin `{plugin}` is missing ({doc})"))
        })?;
        option.check(value)?;
        settings.push((option.name.clone(), value.clone()));
    }
    Ok(settings)
}

fn check_feed(keys: &Lookup<'_>, folder: &Path) -> Result<FeedSettings> {
    let kind = keys.need("feed")?;
    let (address, usual) = match kind {
        "irc" => (FeedAddress::Irc(check_irc(keys, folder)?), Overflow::Drop),
        "eventstreams" => (FeedAddress::Sse(check_sse(keys, folder)?), Overflow::Block),
        other => return Err(Error::config(format!("option `feed` is `{other}`, expected `irc` or `eventstreams`"))),
    };
    let overflow = match keys.text("feed.overflow") {
        None => usual,
        Some("drop") => Overflow::Drop,
        Some("block") => Overflow::Block,
        Some(other) => {
            return Err(Error::config(format!("option `feed.overflow` is `{other}`, expected `drop` or `block`")));
        }
    };
    let buffer_bytes = keys.number("feed.buffer.bytes", 64 << 10, 16 << 30)?;
    Ok(FeedSettings { address, overflow, buffer_bytes })
}

fn check_irc(keys: &Lookup<'_>, folder: &Path) -> Result<IrcSettings> {
    let channels = keys.list("irc.channels");
    if channels.is_empty() {
        return Err(Error::config("option `irc.channels` names no channel, expected for instance `#en.wikipedia`"));
    }
    for channel in &channels {
        let legal = |c: char| !c.is_control() && !c.is_whitespace();
        if !channel.starts_with('#') || channel.len() > 200 || !channel.chars().all(legal) {
            let found = channel.escape_debug();
            return Err(Error::config(format!(
                "option `irc.channels` names `{found}`, expected `#` and up to 199 characters"
            )));
        }
    }
    let nick = keys.word("irc.nick")?.unwrap_or_default();
    if nick.len() > 20 || nick.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == ':') {
        return Err(Error::config(format!(
            "option `irc.nick` is `{nick}`, expected up to 20 characters, the first a letter"
        )));
    }
    keys.need("irc.host")?;
    Ok(IrcSettings {
        host: keys.word("irc.host")?.unwrap_or_default(),
        port: keys.number("irc.port", 1, u16::MAX)?,
        tls: keys.flag("irc.tls")?,
        tls_ca: keys.text("irc.tls.ca.file").map(|path| folder.join(path)),
        channels,
        nick,
        sender: keys.word("irc.sender")?,
    })
}

fn check_sse(keys: &Lookup<'_>, folder: &Path) -> Result<SseSettings> {
    let url = keys.need("sse.url")?;
    if !(url.starts_with("http://") || url.starts_with("https://")) || url.chars().any(|c| c.is_control() || c == ' ') {
        let found = url.split(['?', '#']).next().unwrap_or_default().escape_debug();
        return Err(Error::config(format!("option `sse.url` is `{found}`, expected an `http` or `https` URL")));
    }
    let user_agent = keys.need("sse.user.agent")?;
    if user_agent.chars().any(char::is_control) {
        return Err(Error::config("option `sse.user.agent` holds a control character, expected one line of text"));
    }
    Ok(SseSettings {
        url: url.to_owned(),
        user_agent: user_agent.to_owned(),
        tls_ca: keys.text("sse.tls.ca.file").map(|path| folder.join(path)),
    })
}
