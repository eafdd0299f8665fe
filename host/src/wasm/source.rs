//! A component seen as a [`Source`]: conversions, and the checks of what it returns.

use super::bindings::migrating::Migrating;
use super::bindings::migrating::exports::connector::plugin::migration;
use super::bindings::source::Source as World;
use super::bindings::source::connector::plugin::types as wit;
use super::bindings::source::exports::connector::plugin::source_task as task;
use super::kept::{Found, Kept};
use super::meter::Limit;
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
    migrating: Option<Migrating>,
    clock: CallClock,
    version: String,
}

impl WasmSource {
    pub(super) fn new(
        store: Store<State>,
        (world, migrating): (World, Option<Migrating>),
        clock: CallClock,
        version: &str,
    ) -> Self {
        WasmSource { store, world, migrating, clock, version: version.to_owned() }
    }

    /// Takes what the plugin keeps out of the positions, in this version's form; returns the others.
    fn open_state(&mut self, positions: &[PositionEntry]) -> Result<Vec<PositionEntry>> {
        let (found, positions) = Kept::load(positions, &self.version)?;
        let kept = match found {
            Found::Own(kept) => kept,
            Found::Of(written_by, kept) => self.migrate(&written_by, kept)?,
        };
        let state = self.store.data_mut();
        state.meter.state_bytes.set(kept.num_bytes());
        state.kept = kept;
        Ok(positions)
    }

    /// State of another version as it is, or as the component makes it.
    fn migrate(&mut self, written_by: &str, mut kept: Kept) -> Result<Kept> {
        let Some(migrating) = &self.migrating else { return Ok(kept) };
        let state = kept.values().iter();
        let state: Vec<migration::Kept> =
            state.map(|(key, value)| migration::Kept { key: key.clone(), value: value.clone() }).collect();
        self.store.data_mut().begin_call();
        let wall = self.store.data().limits.wall;
        let migration = migrating.connector_plugin_migration();
        let result = self.clock.drive(wall, migration.call_migrate(&mut self.store, written_by, &state));
        let state = settle(self.store.data(), "migrate", result)
            .map_err(|error| error.context(format!("state of version {written_by}")))?;
        kept.replace(state.into_iter().map(|migration::Kept { key, value }| (key, value)).collect());
        let (found, limit) = (kept.num_bytes(), self.store.data().limits.state_bytes);
        match found > limit {
            true => {
                let what = format!("`migrate` gives state of {found} bytes, its limit is {limit}");
                Err(self.store.data().meter.breach(Limit::State, what))
            }
            false => Ok(kept),
        }
    }

    fn label(&self) -> &str {
        &self.store.data().label
    }
}

/// Flattens the two ways a call can fail into the host's error, naming the plugin.
pub(super) fn settle<T>(
    state: &State,
    function: &'static str,
    result: wasmtime::Result<Result<T, wit::PluginError>>,
) -> Result<T> {
    let label = &state.label;
    state.meter.end_call(function);
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
    let limit = state.limits.output_bytes;
    if found > limit {
        let what = format!("returned {found} bytes in one call, its limit is {limit}");
        return Err(state.meter.breach(Limit::OutputBytes, what));
    }
    state.meter.output_bytes.increment(found as u64);
    Ok(())
}

/// Refuses more records than one call may return.
pub(super) fn check_records(state: &State, found: usize) -> Result<()> {
    let limit = state.limits.output_records;
    if found > limit {
        let what = format!("returned {found} records in one call, its limit is {limit}");
        return Err(state.meter.breach(Limit::OutputRecords, what));
    }
    state.meter.output_records.increment(found as u64);
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
        let positions: Vec<wit::Position> = self
            .open_state(positions)?
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
        let kept = self.store.data().kept.clone();
        self.store.data_mut().begin_call();
        let wall = self.store.data().limits.wall;
        let task = self.world.connector_plugin_source_task();
        let result = self.clock.drive(wall, task.call_poll(&mut self.store, asked));
        let polled = settle(self.store.data(), "poll", result);
        // What it changed goes with what it gives, and so does not where it gives nothing.
        let polled = polled.inspect_err(|_| self.store.data_mut().kept = kept)?;
        let texts = polled.rejects.reasons.iter().chain(&polled.rejects.origins).map(String::len).sum::<usize>();
        check_output(self.store.data(), polled.records.data.len() + polled.rejects.data.len() + texts)?;
        let records = from_wit_batch(self.store.data(), polled.records)?;
        let rejects = from_wit_rejects(self.label(), polled.rejects)?;
        let label = self.label();
        let found = records.len() + rejects.len();
        check_records(self.store.data(), found)?;
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
            if Kept::is_reserved(&partition) {
                return Err(Error::bug(format!(
                    "plugin `{label}` returned a position of the partition under which its state is kept"
                )));
            }
            positions.push(PositionEntry { partition, position });
        }
        positions.extend(self.store.data_mut().kept.take_entry()?);
        Ok(Polled { records, rejects, skips: from_wit_skips(polled.skips), positions })
    }

    fn passed(&mut self) {
        self.store.data_mut().kept.forget_before();
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
