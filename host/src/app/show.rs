//! The page that shows a pipeline.

use super::Started;
use crate::config::{Config, ConnectorConfig, ConnectorKind};
use crate::error::Result;
use crate::ports::log::Log;
use crate::record::now_ms;
use crate::serve::{Board, EditCounter, Hop, Server, ServerSettings, board, metrics, swaps};
use std::sync::Arc;
use tokio::runtime::Handle;

/// Serves the page where it is configured; connectors that `order` names come first, in its order.
///
/// # Errors
/// Class Config: an address that cannot be had.
pub fn show(
    config: &Config,
    started: &Started,
    log: &Arc<dyn Log>,
    runtime: &Handle,
    order: &[String],
) -> Result<Option<Server>> {
    let Some(listen) = config.listener else { return Ok(None) };
    let mut hops: Vec<&ConnectorConfig> = config.connectors.iter().collect();
    hops.sort_by_key(|connector| order.iter().position(|name| *name == connector.name).unwrap_or(order.len()));
    let shown = Board {
        hops: hops.into_iter().map(|connector| hop(connector, &log.describe())).collect(),
        watch: started.worker.watch(),
        ingest: started.served.first().map(|served| (served.data_source.clone(), Arc::clone(&served.catalog))),
        edits: config.edits_topic.as_ref().map(|topic| EditCounter::start(Arc::clone(log), topic)),
        started_ms: now_ms(),
    };
    let settings = ServerSettings { any_port: config.any_port, ..ServerSettings::plain(listen) };
    let swap = started.swaps.clone();
    let swap = swaps(Arc::new(move |connector: &str, plugin: &str| swap.swap(connector, plugin)));
    let server = Server::start(runtime, &settings, board(shown).merge(swap).merge(metrics()));
    server.map(Some).map_err(|error| error.context("option `listeners`"))
}

fn hop(connector: &ConnectorConfig, log: &str) -> Hop {
    let (kind, from, to) = match &connector.kind {
        ConnectorKind::Source(source) => {
            ("source", "feed".to_owned(), format!("topic `{}` in {log}", source.output.topic))
        }
        ConnectorKind::SpoolSink(sink) => {
            ("spool-sink", format!("topic `{}`", sink.topics.join("`, `")), format!("files in {}", sink.spool.store))
        }
        ConnectorKind::SpoolSource(source) => {
            ("spool-source", format!("files in {}", source.spool.store), format!("topic `{}`", source.output.topic))
        }
        ConnectorKind::Ingest(ingest) => {
            let druid = ingest.load.as_ref().and_then(|load| load.druid.as_ref());
            let to =
                druid.map_or("whoever fetches".to_owned(), |druid| format!("`{}` at {}", ingest.into.name, druid.url));
            ("ingest", format!("files in {}", ingest.data_set.store), to)
        }
    };
    Hop { name: connector.name.clone(), kind, from, to }
}
