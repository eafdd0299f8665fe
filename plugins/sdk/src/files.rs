//! Files of the one directory that the operator lends. Names are relative to it.

use crate::Error;
#[cfg(target_arch = "wasm32")]
use crate::bindings::source::connector::host::files as host;
pub use crate::bindings::source::connector::host::files::{Entry, Kind};

/// At most `max` entries of a directory whose names come after `after`, ascending; the empty path is the directory
/// that is lent.
///
/// # Errors
/// [`Error::Deny`]: not granted; [`Error::Bug`]: no such directory can be, or there is none; [`Error::Retry`].
pub fn list(path: &str, after: Option<&str>, max: u32) -> Result<Vec<Entry>, Error> {
    #[cfg(target_arch = "wasm32")]
    return host::list(path, after, max).map_err(explain);
    #[cfg(not(target_arch = "wasm32"))]
    Ok(crate::fake::files_list(path, after, max))
}

/// At most `max` bytes of a file from `offset` on, fewer at its end; none: there is no such file.
///
/// # Errors
/// As for [`list`].
pub fn read(path: &str, offset: u64, max: u32) -> Result<Option<Vec<u8>>, Error> {
    #[cfg(target_arch = "wasm32")]
    return match host::read(path, offset, max) {
        Ok(data) => Ok(Some(data)),
        Err(host::FilesError::NotFound(_)) => Ok(None),
        Err(error) => Err(explain(error)),
    };
    #[cfg(not(target_arch = "wasm32"))]
    Ok(crate::fake::files_read(path, offset, max))
}

/// Puts a whole file under a name, in the place of one that is there, in one step.
///
/// # Errors
/// As for [`list`].
pub fn write(path: &str, data: &[u8]) -> Result<(), Error> {
    #[cfg(target_arch = "wasm32")]
    return host::write(path, data).map_err(explain);
    #[cfg(not(target_arch = "wasm32"))]
    {
        crate::fake::files_write(path, data);
        Ok(())
    }
}

/// Removes a file; true: it was there.
///
/// # Errors
/// As for [`list`].
pub fn remove(path: &str) -> Result<bool, Error> {
    #[cfg(target_arch = "wasm32")]
    return host::remove(path).map_err(explain);
    #[cfg(not(target_arch = "wasm32"))]
    Ok(crate::fake::files_remove(path))
}

#[cfg(target_arch = "wasm32")]
fn explain(error: host::FilesError) -> Error {
    match error {
        host::FilesError::Denied(m) => Error::Deny(m),
        host::FilesError::NotFound(m) | host::FilesError::Invalid(m) | host::FilesError::TooLarge(m) => Error::Bug(m),
        host::FilesError::Other(m) => Error::Retry(m),
    }
}
