//! Requests to the HTTP servers that the operator granted. Credentials are put on by the host, and never seen here.

use crate::Error;
pub use crate::bindings::source::connector::host::http::{Request, Response};
use std::time::Duration;

/// Sends a request and waits for the answer, whatever its status; redirects are followed by the host.
///
/// # Errors
/// [`Error::Deny`]: the request is not granted. [`Error::Retry`]: no answer, or not in time. [`Error::Bug`]: no such
/// request can be, or it or its answer is too large.
pub fn send(request: &Request) -> Result<Response, Error> {
    #[cfg(target_arch = "wasm32")]
    {
        use crate::bindings::source::connector::host::http::{HttpError, send};
        send(request).map_err(|error| match error {
            HttpError::Denied(m) => Error::Deny(m),
            HttpError::Invalid(m) | HttpError::TooLarge(m) => Error::Bug(m),
            HttpError::Timeout(m) | HttpError::Unreachable(m) | HttpError::Other(m) => Error::Retry(m),
        })
    }
    #[cfg(not(target_arch = "wasm32"))]
    crate::fake::http_send(request)
}

/// A `GET` request of `url`, without headers.
pub fn get(url: &str, timeout: Duration) -> Request {
    Request {
        method: "GET".to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        body: None,
        timeout_ms: u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX),
    }
}
