//! Why a call fails, by what the host does next.

use crate::bindings::source::connector::plugin::types::PluginError;
use std::fmt;

/// A failed call. Texts are lower case and say what was attempted, found and expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A later call may succeed: the host waits and calls again.
    Retry(String),
    /// Something is not granted: the task fails.
    Deny(String),
    /// The operator must change an option: the task fails.
    Config(String),
    /// A defect in the plugin: the host starts a new instance from the last commit.
    Bug(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Retry(m) | Error::Deny(m) | Error::Config(m) | Error::Bug(m) => f.write_str(m),
        }
    }
}

impl std::error::Error for Error {}

impl From<Error> for PluginError {
    fn from(error: Error) -> Self {
        match error {
            Error::Retry(m) => PluginError::Retry(m),
            Error::Deny(m) => PluginError::Deny(m),
            Error::Config(m) => PluginError::Config(m),
            Error::Bug(m) => PluginError::Bug(m),
        }
    }
}
