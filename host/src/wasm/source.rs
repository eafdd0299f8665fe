//! A component seen as a [`Source`]: conversions, and the checks of what it returns.

use super::bindings::source::Source as World;
use super::bindings::source::connector::plugin::types as wit;
use super::bindings::source::exports::connector::plugin::source_task as task;
use super::state::{CallClock, State};
use crate::connector::{PollLimits, Polled, Rejected, Schemas, Settings, Source};
use crate::error::{Error, Result};
use crate::ports::log::PositionEntry;
use crate::record::{Batch, Columns, now_ms};
use wasmtime::Store;

/// Bounds of positions, as `wit/plugin/types.wit` states them.
const MAX_PARTITION_BYTES: usize = 1 << 10;
const MAX_POSITION_BYTES: usize = 64 << 10;

/// One source instance.
pub struct WasmSource {
    store: Store<State>,
    world: World,
    clock: CallClock,
}

impl WasmSource {
    pub(super) fn new(store: Store<State>, world: World, clock: CallClock) -> Self {
        WasmSource { store, world, clock }
    }

    fn label(&self) -> &str {
        &self.store.data().label
    }
}

/// Flattens the two ways a call can fail into the host's error, naming the plugin.
pub(super) fn settle<T>(
    state: &State,
    function: &str,
    result: wasmtime::Result<Result<T, wit::PluginError>>,
) -> Result<T> {
    let label = &state.label;
    match result {
        Err(trap) => Err(state.explain(function, &trap)),
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(match error {
            wit::PluginError::Retry(m) | wit::PluginError::Other(m) => Error::retry(m),
            wit::PluginError::Deny(m) => Error::deny(m),
            wit::PluginError::Config(m) => Error::config(m),
            wit::PluginError::Bug(m) => Error::bug(m),
        }
        .context(format!("plugin `{label}`"))),
    }
}

pub(super) fn to_wit_settings(settings: &Settings) -> Vec<wit::Setting> {
    settings.iter().map(|(key, value)| wit::Setting { key: key.clone(), value: value.clone() }).collect()
}

/// Refuses more bytes than one call may return.
pub(super) fn check_output(state: &State, found: usize) -> Result<()> {
    let (label, limit) = (&state.label, state.limits.output_bytes);
    if found > limit {
        return Err(Error::bug(format!("plugin `{label}` returned {found} bytes in one call, its limit is {limit}")));
    }
    Ok(())
}

pub(super) fn from_wit_batch(state: &State, batch: wit::Batch) -> Result<Batch> {
    check_output(state, batch.data.len())?;
    let label = &state.label;
    let columns = Columns {
        data: batch.data,
        key_lens: batch.key_lens,
        value_lens: batch.value_lens,
        headers_lens: batch.headers_lens,
        timestamps: batch.timestamps,
    };
    Batch::try_new(columns, now_ms()).map_err(|error| error.context(format!("plugin `{label}`")))
}

pub(super) fn from_wit_skips(skips: Vec<wit::Skip>) -> Vec<(String, u64)> {
    skips.into_iter().map(|skip| (skip.reason, skip.count.into())).collect()
}

/// Cuts the rejects' columns into inputs.
fn from_wit_rejects(label: &str, rejects: wit::Rejects) -> Result<Vec<Rejected>> {
    let count = rejects.lens.len();
    let columns = [rejects.origins.len(), rejects.reasons.len(), rejects.timestamps.len()];
    let sum: usize = rejects.lens.iter().map(|len| *len as usize).sum();
    if columns.iter().any(|len| *len != count) || sum != rejects.data.len() {
        let found = rejects.data.len();
        return Err(Error::bug(format!(
            "plugin `{label}`: rejects of {count} inputs have columns of {columns:?} entries and {found} bytes, expected {sum}"
        )));
    }
    let mut rest = rejects.data.as_slice();
    let parts = rejects.origins.into_iter().zip(rejects.reasons).zip(rejects.timestamps).zip(rejects.lens);
    let rejected = parts.map(|(((origin, reason), timestamp), len)| {
        let (raw, tail) = rest.split_at_checked(len as usize).unwrap_or((rest, &[]));
        rest = tail;
        Rejected { raw: Some(raw.to_vec()), origin, reason, timestamp, ..Rejected::default() }
    });
    Ok(rejected.collect())
}

impl Source for WasmSource {
    fn open(&mut self, settings: &Settings, positions: &[PositionEntry]) -> Result<Schemas> {
        let settings = to_wit_settings(settings);
        let positions: Vec<wit::Position> = positions
            .iter()
            .map(|entry| wit::Position { partition: entry.partition.clone(), position: entry.position.clone() })
            .collect();
        self.store.data_mut().begin_call();
        let task = self.world.connector_plugin_source_task();
        let wall = self.store.data().limits.wall;
        let result = self.clock.drive(wall, task.call_open(&mut self.store, &settings, &positions));
        let schemas = settle(self.store.data(), "open", result)?;
        Ok(Schemas { key: schemas.key, value: schemas.value })
    }

    fn poll(&mut self, limits: PollLimits) -> Result<Polled> {
        let asked = task::PollLimits {
            max_records: limits.max_records,
            max_bytes: limits.max_bytes,
            wait_ms: u32::try_from(limits.wait.as_millis()).unwrap_or(u32::MAX),
        };
        self.store.data_mut().begin_call();
        let wall = self.store.data().limits.wall;
        let task = self.world.connector_plugin_source_task();
        let result = self.clock.drive(wall, task.call_poll(&mut self.store, asked));
        let polled = settle(self.store.data(), "poll", result)?;
        let texts = polled.rejects.reasons.iter().chain(&polled.rejects.origins).map(String::len).sum::<usize>();
        check_output(self.store.data(), polled.records.data.len() + polled.rejects.data.len() + texts)?;
        let records = from_wit_batch(self.store.data(), polled.records)?;
        let rejects = from_wit_rejects(self.label(), polled.rejects)?;
        let label = self.label();
        let found = records.len() + rejects.len();
        if found > limits.max_records as usize {
            let limit = limits.max_records;
            return Err(Error::bug(format!(
                "plugin `{label}` returned {found} records, was asked for at most {limit}"
            )));
        }
        let mut positions = Vec::with_capacity(polled.positions.len());
        for wit::Position { partition, position } in polled.positions {
            if partition.len() > MAX_PARTITION_BYTES || position.len() > MAX_POSITION_BYTES {
                let (found, other) = (partition.len(), position.len());
                return Err(Error::bug(format!(
                    "plugin `{label}` returned a position of {found} and {other} bytes, \
                     expected at most {MAX_PARTITION_BYTES} and {MAX_POSITION_BYTES}"
                )));
            }
            positions.push(PositionEntry { partition, position });
        }
        Ok(Polled { records, rejects, skips: from_wit_skips(polled.skips), positions })
    }

    fn close(&mut self) {
        self.store.data_mut().begin_call();
        let wall = self.store.data().limits.wall;
        let task = self.world.connector_plugin_source_task();
        if let Err(trap) = self.clock.drive(wall, task.call_close(&mut self.store)) {
            let error = self.store.data().explain("close", &trap);
            tracing::warn!(%error, "plugin did not close cleanly");
        }
    }
}
