//! The plugin's own words in the host's log. Never a secret, never a payload.

pub use crate::bindings::source::connector::host::log::Level;

/// Writes one line; natively it goes to standard error.
pub fn log(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::bindings::source::connector::host::log::log(level, message);
    #[cfg(not(target_arch = "wasm32"))]
    crate::fake::log(level, message);
}
