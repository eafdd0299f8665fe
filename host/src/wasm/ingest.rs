//! A component seen as an [`Ingestion`].

use super::bindings::ingest::Ingest as World;
use super::bindings::ingest::exports::connector::plugin::ingestion as wit;
use super::source::{check_output, settle, to_wit_settings};
use super::state::{CallClock, State};
use crate::connector::{
    ColumnType, DataSource, Dialect, Granularity, IngestMode, Ingestion, SecretPlace, Settings, Span, TaskOf,
};
use crate::error::Result;
use wasmtime::Store;

/// One ingestion instance.
pub struct WasmIngestion {
    store: Store<State>,
    world: World,
    clock: CallClock,
}

/// Makes one call of the exported interface, and holds its answer to the limits.
macro_rules! call {
    ($this:ident, $name:literal, $method:ident ( $($argument:expr),* )) => {{
        $this.store.data_mut().begin_call();
        let wall = $this.store.data().limits.wall;
        let exported = $this.world.connector_plugin_ingestion();
        let result = $this.clock.drive(wall, exported.$method(&mut $this.store, $($argument),*));
        settle($this.store.data(), $name, result)
    }};
}

impl WasmIngestion {
    pub(super) fn new(store: Store<State>, world: World, clock: CallClock) -> Self {
        WasmIngestion { store, world, clock }
    }

    fn bounded(&self, text: String) -> Result<String> {
        check_output(self.store.data(), text.len())?;
        Ok(text)
    }
}

impl Ingestion for WasmIngestion {
    fn open(&mut self, settings: &Settings) -> Result<()> {
        let settings = to_wit_settings(settings);
        call!(self, "open", call_open(&settings))
    }

    fn task(&mut self, of: &TaskOf) -> Result<String> {
        let task = wit::Task {
            id: of.id.clone(),
            into: to_wit_source(&of.into),
            mode: match of.mode {
                IngestMode::Append => wit::Mode::Append,
                IngestMode::Replace => wit::Mode::Replace,
                IngestMode::Reindex => wit::Mode::Reindex,
            },
            batches: of
                .batches
                .iter()
                .map(|batch| wit::Batch { uri: batch.uri.clone(), records: batch.records, bytes: batch.bytes })
                .collect(),
            intervals: of.intervals.iter().map(|span| wit::Span { start: span.start, end: span.end }).collect(),
            access: wit::Access {
                basic: of.access.basic.as_ref().map(|(user, secret)| (user.clone(), to_wit_secret(secret))),
                headers: of.access.headers.iter().map(|(name, secret)| (name.clone(), to_wit_secret(secret))).collect(),
            },
            dialect: match of.dialect {
                Dialect::Current => wit::Dialect::Current,
                Dialect::Legacy => wit::Dialect::Legacy,
            },
        };
        let text = call!(self, "write-task", call_write_task(&task))?;
        self.bounded(text)
    }

    fn compaction(&mut self, id: &str, of: &DataSource, interval: Span) -> Result<String> {
        let (source, span) = (to_wit_source(of), wit::Span { start: interval.start, end: interval.end });
        let text = call!(self, "write-compaction", call_write_compaction(id, &source, span))?;
        self.bounded(text)
    }

    fn supervisor(&mut self, into: &DataSource, topic: &str, bootstrap_servers: &str) -> Result<String> {
        let source = to_wit_source(into);
        let from = wit::Stream { topic: topic.to_owned(), bootstrap_servers: bootstrap_servers.to_owned() };
        let text = call!(self, "write-supervisor", call_write_supervisor(&source, &from))?;
        self.bounded(text)
    }
}

fn to_wit_source(source: &DataSource) -> wit::DataSource {
    let kind = |kind| match kind {
        ColumnType::Text => wit::ColumnType::Text,
        ColumnType::Long => wit::ColumnType::Long,
        ColumnType::Float => wit::ColumnType::Float,
        ColumnType::Double => wit::ColumnType::Double,
        ColumnType::Json => wit::ColumnType::Json,
    };
    wit::DataSource {
        name: source.name.clone(),
        time_column: source.time_column.clone(),
        time_format: source.time_format.clone(),
        columns: source
            .columns
            .iter()
            .map(|column| wit::Column { name: column.name.clone(), kind: kind(column.kind) })
            .collect(),
        segments: match source.segments {
            Granularity::Hour => wit::Granularity::Hour,
            Granularity::Day => wit::Granularity::Day,
            Granularity::Month => wit::Granularity::Month,
            Granularity::Year => wit::Granularity::Year,
        },
    }
}

fn to_wit_secret(secret: &SecretPlace) -> wit::Secret {
    match secret {
        SecretPlace::Environment(name) => wit::Secret::Environment(name.clone()),
        SecretPlace::Placeholder(text) => wit::Secret::Placeholder(text.clone()),
    }
}
