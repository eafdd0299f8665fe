//! What a source remembers besides its positions: small values under names, committed by the host together with the
//! records and positions of the poll that set them.

use crate::Error;
#[cfg(target_arch = "wasm32")]
use crate::bindings::source::connector::host::state as host;

/// The value under a name, if there is one.
pub fn get(key: &str) -> Option<Vec<u8>> {
    #[cfg(target_arch = "wasm32")]
    return host::get(key);
    #[cfg(not(target_arch = "wasm32"))]
    crate::fake::state_get(key)
}

/// All names, ascending.
pub fn keys() -> Vec<String> {
    #[cfg(target_arch = "wasm32")]
    return host::keys();
    #[cfg(not(target_arch = "wasm32"))]
    crate::fake::state_keys()
}

/// Sets a value.
///
/// # Errors
/// [`Error::Deny`] where `state` is not granted; [`Error::Bug`] where all would be larger than the connector's
/// `state.max.bytes`, and nothing was changed.
pub fn set(key: &str, value: &[u8]) -> Result<(), Error> {
    #[cfg(target_arch = "wasm32")]
    return host::set(key, value).map_err(explain);
    #[cfg(not(target_arch = "wasm32"))]
    {
        crate::fake::state_set(key, value);
        Ok(())
    }
}

/// Forgets a value; true: there was one.
///
/// # Errors
/// [`Error::Deny`] where `state` is not granted.
pub fn remove(key: &str) -> Result<bool, Error> {
    #[cfg(target_arch = "wasm32")]
    return host::remove(key).map_err(explain);
    #[cfg(not(target_arch = "wasm32"))]
    Ok(crate::fake::state_remove(key))
}

#[cfg(target_arch = "wasm32")]
fn explain(error: host::StateError) -> Error {
    match error {
        host::StateError::Denied(m) => Error::Deny(m),
        host::StateError::TooLarge(m) => Error::Bug(m),
        host::StateError::Other(m) => Error::Retry(m),
    }
}
