//! Configuration: text as written (`raw`), then raised to what it means (`checked`). Only checked
//! types leave this room. Keys are Kafka Connect's where it has them; `keys` lists them all.

mod checked;
mod keys;
mod raw;

pub use checked::{Config, ConnectorConfig, LogChoice, PluginUse};
pub use keys::{CONNECTOR_KEYS, Key, WORKER_KEYS};
pub use raw::{Overrides, RawConfig};
