//! The state that a source's plugin keeps.

use super::super::bindings::source::connector::host::state::{self, StateError};
use super::super::state::State;

impl state::Host for State {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        self.host_call()?;
        Ok(self.kept.values().get(&key).cloned())
    }

    fn keys(&mut self) -> wasmtime::Result<Vec<String>> {
        self.host_call()?;
        Ok(self.kept.values().keys().cloned().collect())
    }

    fn set(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), StateError>> {
        self.host_call()?;
        if !self.lent.state {
            return Ok(Err(denied()));
        }
        let most = self.limits.state_bytes;
        let set = self.kept.set(key, value, most);
        self.meter.state_bytes.set(self.kept.num_bytes());
        Ok(set.map_err(|found| {
            let told = self.meter.breach(super::super::meter::Limit::State, format!("state of {found} bytes"));
            tracing::warn!(connector = self.lent.connector, limit = most, "{told} is not taken");
            StateError::TooLarge(format!("names and values would have {found} bytes, the limit is {most}"))
        }))
    }

    fn remove(&mut self, key: String) -> wasmtime::Result<Result<bool, StateError>> {
        self.host_call()?;
        match self.lent.state {
            true => Ok(Ok(self.kept.remove(&key))),
            false => Ok(Err(denied())),
        }
    }
}

fn denied() -> StateError {
    StateError::Denied("capability `state` is not granted to this connector".to_owned())
}
