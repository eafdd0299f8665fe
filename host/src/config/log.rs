//! Where records go: the worker's keys.

use super::checked::LogChoice;
use super::keys::WORKER_KEYS;
use super::lookup::Lookup;
use crate::dotted::Keys;
use crate::error::Result;
use crate::ports::log::KafkaSettings;
use crate::secret::Secret;
use std::path::PathBuf;

pub(super) fn check_log(worker: &Keys) -> Result<LogChoice> {
    let keys = Lookup { keys: worker, defaults: None, known: &[WORKER_KEYS] };
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
    settings.worker_id = keys.text("worker.id").map(str::to_owned);
    let compressions = ["none", "gzip", "snappy", "lz4", "zstd"];
    settings.compression = keys.choice("producer.compression.type", &compressions)?.to_owned();
    settings.replication_factor = keys.number("topic.creation.default.replication.factor", -1, 100)?;
    Ok(LogChoice::Kafka(settings))
}
