//! Configuration: text as written (`raw`), then raised to what it means (`checked`). Only checked
//! types leave this room. Keys are Kafka Connect's where it has them; `keys` lists them all.

mod checked;
mod feed;
mod ingest;
mod keys;
mod lent;
mod listener;
mod log;
mod lookup;
mod plugins;
mod raw;
mod source;
mod spool;

pub use checked::{Config, ConnectorConfig, ConnectorKind, LogChoice, OutputConfig};
pub use ingest::{IngestConfig, LoadConfig};
pub use keys::{CONNECTOR_KEYS, Key, WORKER_KEYS};
pub use lent::LentConfig;
pub use plugins::{PluginUse, Plugins};
pub use raw::{Overrides, RawConfig, RawConnector};
pub use source::SourceConfig;
pub use spool::{SpoolConfig, SpoolSinkConfig, SpoolSourceConfig, StoreChoice};
