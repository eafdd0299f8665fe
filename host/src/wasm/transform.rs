//! A component seen as a [`Transform`].

use super::bindings::source::connector::plugin::types as wit;
use super::bindings::transform::Transform as World;
use super::source::{check_records, from_wit_batch, from_wit_skips, settle, to_wit_settings};
use super::state::{CallClock, State};
use crate::connector::{Rejected, Schemas, Settings, Transform, Transformed};
use crate::error::{Error, Result};
use crate::record::Batch;
use wasmtime::Store;

/// One transform instance.
pub struct WasmTransform {
    store: Store<State>,
    world: World,
    clock: CallClock,
}

impl WasmTransform {
    pub(super) fn new(store: Store<State>, world: World, clock: CallClock) -> Self {
        WasmTransform { store, world, clock }
    }
}

impl Transform for WasmTransform {
    fn open(&mut self, settings: &Settings, input: Schemas) -> Result<Schemas> {
        let settings = to_wit_settings(settings);
        let input = wit::Schemas { key: input.key, value: input.value };
        self.store.data_mut().begin_call();
        let wall = self.store.data().limits.wall;
        let transformation = self.world.connector_plugin_transformation();
        let result = self.clock.drive(wall, transformation.call_open(&mut self.store, &settings, &input));
        let schemas = settle(self.store.data(), "open", result)?;
        Ok(Schemas { key: schemas.key, value: schemas.value })
    }

    fn transform(&mut self, input: &Batch) -> Result<Transformed> {
        let columns = input.to_columns();
        let batch = wit::Batch {
            data: columns.data,
            key_lens: columns.key_lens,
            value_lens: columns.value_lens,
            headers_lens: columns.headers_lens,
            timestamps: columns.timestamps,
        };
        self.store.data_mut().begin_call();
        let wall = self.store.data().limits.wall;
        let transformation = self.world.connector_plugin_transformation();
        let result = self.clock.drive(wall, transformation.call_transform(&mut self.store, &batch));
        let out = settle(self.store.data(), "transform", result)?;
        let records = from_wit_batch(self.store.data(), out.records)?;
        check_records(self.store.data(), records.len() + out.reject_indexes.len())?;
        let rejects = match out.reject_indexes.is_empty() {
            true => Vec::new(),
            false => rejects(&self.store.data().label, input, &out.reject_indexes, out.reject_reasons)?,
        };
        Ok(Transformed { records, rejects, skips: from_wit_skips(out.skips) })
    }
}

/// Finds the rejected records in the input.
fn rejects(label: &str, input: &Batch, indexes: &[u32], reasons: Vec<String>) -> Result<Vec<Rejected>> {
    let ascending = indexes.is_sorted_by(|a, b| a < b);
    let inside = indexes.last().is_none_or(|last| (*last as usize) < input.len());
    if !ascending || !inside || reasons.len() != indexes.len() {
        let (found, records) = (indexes.len(), input.len());
        return Err(Error::bug(format!(
            "plugin `{label}`: {found} reject indexes and {} reasons for {records} records, \
             expected as many reasons as ascending indexes below {records}",
            reasons.len()
        )));
    }
    let mut records = input.records().enumerate();
    let found = indexes.iter().zip(reasons).filter_map(|(index, reason)| {
        let (_, record) = records.find(|(at, _)| *at == *index as usize)?;
        let (raw, key) = (record.value.map(<[u8]>::to_vec), record.key.map(<[u8]>::to_vec));
        Some(Rejected { raw, key, reason, timestamp: record.timestamp, ..Rejected::default() })
    });
    Ok(found.collect())
}
