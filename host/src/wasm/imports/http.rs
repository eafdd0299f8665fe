//! Requests, where they are granted.

use super::super::bindings::source::connector::host::http::{self, HttpError};
use super::super::state::State;
use crate::ports::http::{HttpFailure, HttpRequest, HttpResponse};
use std::time::Duration;

impl http::Host for State {
    fn send(&mut self, request: http::Request) -> wasmtime::Result<Result<http::Response, HttpError>> {
        self.host_call()?;
        let Some(http) = self.lent.http.clone() else {
            return Ok(Err(HttpError::Denied("capability `http` is not granted to this connector".to_owned())));
        };
        while let Err(wait) = self.http_requests.take() {
            self.meter.http_waits.increment(1);
            if wait >= self.time_left() {
                let limit = self.limits.http_requests_per_second;
                let text = format!("{limit} requests a second are used up, and the call's time too");
                return Ok(Err(HttpError::Timeout(text)));
            }
            std::thread::sleep(wait);
        }
        self.meter.http_requests.increment(1);
        let timeout = Duration::from_millis(request.timeout_ms.into()).min(self.time_left());
        let http::Request { method, url, headers, body, .. } = request;
        let answered = http.send(HttpRequest { method, url, headers, body, timeout });
        Ok(match answered {
            Ok(HttpResponse { status, headers, body }) => Ok(http::Response { status, headers, body }),
            Err(failure) => Err(match failure {
                HttpFailure::Denied(text) => HttpError::Denied(text),
                HttpFailure::Invalid(text) => HttpError::Invalid(text),
                HttpFailure::Timeout(text) => HttpError::Timeout(text),
                HttpFailure::Unreachable(text) => HttpError::Unreachable(text),
                HttpFailure::TooLarge(text) => HttpError::TooLarge(text),
                HttpFailure::Other(text) => HttpError::Other(text),
            }),
        })
    }
}
