//! A component seen as a [`Layout`].

use super::bindings::layout::Layout as World;
use super::bindings::layout::exports::connector::plugin::spool_layout as wit;
use super::source::{settle, to_wit_settings};
use super::state::{CallClock, State};
use crate::connector::{Identity, Layout, Place, Plan, Rotation, Settings, Tree};
use crate::error::{Error, Result};
use std::time::Duration;
use wasmtime::Store;

/// One layout instance.
pub struct WasmLayout {
    store: Store<State>,
    world: World,
    clock: CallClock,
}

impl WasmLayout {
    pub(super) fn new(store: Store<State>, world: World, clock: CallClock) -> Self {
        WasmLayout { store, world, clock }
    }
}

impl Layout for WasmLayout {
    fn open(&mut self, connector: &str, settings: &Settings) -> Result<Plan> {
        let settings = to_wit_settings(settings);
        self.store.data_mut().begin_call();
        let wall = self.store.data().limits.wall;
        let layout = self.world.connector_plugin_spool_layout();
        let result = self.clock.drive(wall, layout.call_open(&mut self.store, connector, &settings));
        let wit::Plan { tree, rotation, trash_retention_ms } = settle(self.store.data(), "open", result)?;
        let limit = |number: u64| (number > 0).then_some(number);
        Ok(Plan {
            tree: Tree {
                staging: tree.staging,
                inbox: tree.inbox,
                tmp: tree.tmp,
                outbox: tree.outbox,
                wash: tree.wash,
                washd: tree.washd,
                quarantine: tree.quarantine,
                target: tree.target,
            },
            rotation: Rotation {
                max_bytes: limit(rotation.max_bytes),
                max_records: limit(rotation.max_records),
                max_age: limit(rotation.max_age_ms).map(Duration::from_millis),
            },
            trash_retention: Duration::from_millis(trash_retention_ms),
        })
    }

    fn name(&mut self, identity: &Identity, place: Place) -> Result<String> {
        let place = match place {
            Place::Inbox => wit::Place::Inbox,
            Place::Target => wit::Place::Target,
        };
        let identity = to_wit(identity)?;
        self.store.data_mut().begin_call();
        let wall = self.store.data().limits.wall;
        let layout = self.world.connector_plugin_spool_layout();
        let result = self.clock.drive(wall, layout.call_name(&mut self.store, &identity, place));
        settle(self.store.data(), "name", result)
    }

    fn parse(&mut self, names: &[String]) -> Result<Vec<Option<Identity>>> {
        self.store.data_mut().begin_call();
        let wall = self.store.data().limits.wall;
        let layout = self.world.connector_plugin_spool_layout();
        let result = self.clock.drive(wall, layout.call_parse(&mut self.store, names));
        let parsed = result.map_err(|trap| self.store.data().explain("parse", &trap))?;
        if parsed.len() != names.len() {
            let (label, found, expected) = (&self.store.data().label, parsed.len(), names.len());
            return Err(Error::bug(format!("plugin `{label}`: `parse` answered {found} of {expected} names")));
        }
        Ok(parsed.into_iter().map(|identity| identity.and_then(from_wit)).collect())
    }
}

fn to_wit(identity: &Identity) -> Result<wit::Identity> {
    let bad = |_| Error::bug(format!("an identity holds a negative number: {identity:?}"));
    Ok(wit::Identity {
        topic: identity.topic.clone(),
        partition: u32::try_from(identity.partition).map_err(bad)?,
        first: u64::try_from(identity.first).map_err(bad)?,
        next: u64::try_from(identity.next).map_err(bad)?,
        first_ms: identity.first_ms,
        last_ms: identity.last_ms,
        sequence: identity.sequence,
    })
}

/// None for numbers that no log has: such a name is not ours.
fn from_wit(identity: wit::Identity) -> Option<Identity> {
    Some(Identity {
        partition: i32::try_from(identity.partition).ok()?,
        first: i64::try_from(identity.first).ok()?,
        next: i64::try_from(identity.next).ok()?,
        topic: identity.topic,
        first_ms: identity.first_ms,
        last_ms: identity.last_ms,
        sequence: identity.sequence,
    })
}
