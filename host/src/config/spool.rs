//! The two built-in kinds of a spool: topics to files, files to a topic.

use super::checked::{OutputConfig, check_output};
use super::keys::{COMMON_KEYS, OUTPUT_KEYS, SPOOL_KEYS, SPOOL_SINK_KEYS, SPOOL_SOURCE_KEYS};
use super::lookup::Lookup;
use super::plugins::{self, PluginUse};
use super::raw::RawConnector;
use crate::connector::Place;
use crate::error::{Error, Result};
use crate::plugin::Package;
use crate::ports::log::check_topic_name;
use crate::ports::qumulo::{Credentials, QumuloSettings, Tls};
use crate::secret::Secret;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Where a spool is and how it is laid out.
#[derive(Debug, Clone)]
pub struct SpoolConfig {
    /// The layout plugin.
    pub layout: PluginUse,
    /// Where its directory is.
    pub store: StoreChoice,
    /// How long a host may say nothing before it is taken over.
    pub lease: Duration,
}

/// Where a spool's directory is.
#[derive(Debug, Clone)]
pub enum StoreChoice {
    /// On a Qumulo cluster, or what speaks its API.
    Qumulo(Box<QumuloSettings>),
    /// A folder of this machine.
    Local(PathBuf),
}

impl fmt::Display for StoreChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreChoice::Qumulo(settings) => write!(f, "`{}:{}{}`", settings.host, settings.port, settings.directory),
            StoreChoice::Local(folder) => write!(f, "`{}`", folder.display()),
        }
    }
}

/// Topics to files.
#[derive(Debug, Clone)]
pub struct SpoolSinkConfig {
    /// Where to.
    pub spool: SpoolConfig,
    /// Topics it reads.
    pub topics: Vec<String>,
    /// Topic of rejected records; none: `TOPIC-dlq` of each.
    pub dead_letter_topic: Option<String>,
    /// Inbox or data set.
    pub place: Place,
    /// Names of public keys; none: records came sealed.
    pub recipients: Option<Vec<String>>,
    /// Plain bytes sealed as one.
    pub member_bytes: usize,
}

/// Files to a topic.
#[derive(Debug, Clone)]
pub struct SpoolSourceConfig {
    /// Where from.
    pub spool: SpoolConfig,
    /// Where its records go.
    pub output: OutputConfig,
    /// Largest record.
    pub chunk_bytes: usize,
    /// How long a snapshot made before files are deleted is kept; none: none is made.
    pub snapshot_keep: Option<Duration>,
}

pub(super) fn sink_lookup(raw: &RawConnector) -> Lookup<'_> {
    Lookup { keys: &raw.keys, defaults: None, known: &[COMMON_KEYS, SPOOL_KEYS, SPOOL_SINK_KEYS] }
}

pub(super) fn source_lookup(raw: &RawConnector) -> Lookup<'_> {
    Lookup { keys: &raw.keys, defaults: None, known: &[COMMON_KEYS, OUTPUT_KEYS, SPOOL_KEYS, SPOOL_SOURCE_KEYS] }
}

/// Where the data set is that a spool sink writes.
pub(super) fn check_data_set(name: &str, raw: &RawConnector) -> Result<SpoolConfig> {
    let keys = sink_lookup(raw);
    let is_sink = raw.keys.get("connector.class").is_some_and(|class| class == "spool-sink");
    match is_sink && keys.choice("spool.place", &["inbox", "target"])? == "target" {
        true => check_layout(name, raw, &keys),
        false => Err(Error::config(format!("connector `{name}` is no `spool-sink` with `spool.place` = `target`"))),
    }
}

pub(super) fn check_spool_sink(name: &str, raw: &RawConnector) -> Result<SpoolSinkConfig> {
    let keys = sink_lookup(raw);
    let spool = check_layout(name, raw, &keys)?;
    let topics = keys.list("topics");
    if topics.is_empty() {
        return Err(Error::config("option `topics` is missing (topics to read)"));
    }
    topics.iter().try_for_each(|topic| check_topic_name(topic))?;
    let dead_letter_topic = keys.text("errors.deadletterqueue.topic.name").map(str::to_owned);
    dead_letter_topic.iter().try_for_each(|topic| check_topic_name(topic))?;
    // A record that is rejected would come round and be rejected again.
    let letters_of = |topic: &String| dead_letter_topic.clone().unwrap_or_else(|| format!("{topic}-dlq"));
    if let Some(topic) = topics.iter().map(letters_of).find(|letters| topics.contains(letters)) {
        return Err(Error::config(format!(
            "option `topics` names `{topic}`, where rejected records go, expected two topics"
        ))
        .with_hint("set `errors.deadletterqueue.topic.name` to another topic"));
    }
    let place = match keys.choice("spool.place", &["inbox", "target"])? {
        "inbox" => Place::Inbox,
        _ => Place::Target,
    };
    let recipients: Vec<String> =
        keys.list("seal.recipients").iter().map(|name| Secret::name_from(name, &raw.folder)).collect();
    let recipients = match (keys.choice("spool.content", &["records", "members"])?, recipients.is_empty()) {
        ("records", true) => {
            return Err(Error::config("option `seal.recipients` is missing (public keys that records are sealed for)")
                .with_hint("make a key pair with `host keys generate NAME`, and name its public file here"));
        }
        ("records", false) => Some(recipients),
        (_, true) => None,
        (_, false) => {
            return Err(Error::config(
                "option `seal.recipients` is set, and with `spool.content` = `members` nothing is sealed here",
            ));
        }
    };
    let member_bytes = keys.number("member.max.bytes", 1024, 64 << 20)?;
    Ok(SpoolSinkConfig { spool, topics, dead_letter_topic, place, recipients, member_bytes })
}

pub(super) fn check_spool_source(name: &str, raw: &RawConnector) -> Result<SpoolSourceConfig> {
    let keys = source_lookup(raw);
    let spool = check_layout(name, raw, &keys)?;
    let output = check_output(&keys)?;
    let chunk_bytes = keys.number("chunk.max.bytes", 1024, 64 << 20)?;
    let keep = keys.millis("trash.snapshot.keep.ms", 0)?;
    Ok(SpoolSourceConfig { spool, output, chunk_bytes, snapshot_keep: (!keep.is_zero()).then_some(keep) })
}

/// A spool whose layout is the connector's plugin.
fn check_layout(name: &str, raw: &RawConnector, keys: &Lookup<'_>) -> Result<SpoolConfig> {
    let package = plugins::read(raw, "layout")?;
    keys.check_known(&package.manifest.options)?;
    check_spool(name, raw, keys, package)
}

pub(super) fn check_spool(name: &str, raw: &RawConnector, keys: &Lookup<'_>, package: Package) -> Result<SpoolConfig> {
    // It is part of directory names.
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > 60 || !name.chars().all(legal) {
        let found = name.escape_debug();
        return Err(Error::config(format!(
            "a spool's connector is named `{found}`, expected 1 to 60 letters, digits, `.`, `_` and `-`"
        )));
    }
    if !raw.transforms.is_empty() {
        return Err(Error::config("`transforms` are set, and a spool's connector takes records as they are"));
    }
    let settings = plugins::settings(&package.manifest, &raw.keys)?;
    let dir = keys.need("dir")?;
    let store = match keys.choice("files", &["qumulo", "local"])? {
        "local" => StoreChoice::Local(raw.folder.join(dir)),
        _ => StoreChoice::Qumulo(Box::new(check_qumulo(raw, keys, dir)?)),
    };
    let lease = keys.millis("spool.lease.ms", 1000)?;
    Ok(SpoolConfig { layout: PluginUse { package, settings, grants: Vec::new() }, store, lease })
}

fn check_qumulo(raw: &RawConnector, keys: &Lookup<'_>, dir: &str) -> Result<QumuloSettings> {
    if !dir.starts_with('/') {
        return Err(Error::config(format!("option `dir` is `{dir}`, expected a path on the cluster, from `/` on")));
    }
    let secret = |option: &str, name: &str| Secret::resolve(option, &Secret::name_from(name, &raw.folder));
    let token = keys.text("qq.access.token").map(|name| secret("qq.access.token", name)).transpose()?;
    let credentials = match token {
        Some(token) => Credentials::AccessToken(token),
        None => Credentials::Password {
            user: keys.need("qq.username")?.to_owned(),
            password: secret("qq.password", keys.need("qq.password")?)?,
        },
    };
    let ca = keys.path("qq.tls.ca.file", &raw.folder);
    let tls = match (keys.need("qq.tls")?, ca) {
        ("verify", None) => Tls::System,
        ("verify", Some(ca)) => Tls::Ca(ca),
        (_, Some(_)) => return Err(Error::config("option `qq.tls.ca.file` is set, and `qq.tls` is not `verify`")),
        ("accept-any", None) => Tls::AcceptAny,
        (other, None) => match other.strip_prefix("sha256:") {
            Some(fingerprint) => Tls::pinned(fingerprint).map_err(|error| error.context("option `qq.tls`"))?,
            None => {
                return Err(Error::config(format!(
                    "option `qq.tls` is `{other}`, expected `verify`, `sha256:HEX` or `accept-any`"
                )));
            }
        },
    };
    let host =
        keys.word("qq.hostname")?.ok_or_else(|| Error::config("option `qq.hostname` is missing (the cluster)"))?;
    let timeout = keys.millis("qq.timeout.ms", 100)?;
    Ok(QumuloSettings {
        port: keys.number("qq.port", 1, u16::MAX)?,
        page_size: keys.number("qq.pagesize", 1, 100_000)?,
        tls,
        call_timeout: timeout,
        read_idle: timeout,
        ..QumuloSettings::new(host, credentials, dir)
    })
}
