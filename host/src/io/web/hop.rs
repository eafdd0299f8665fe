//! A request on its way: what the guest may say in it, and what becomes of it where an answer leads on.

use crate::ports::http::{HttpFailure, HttpRequest, belongs_to_connection};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url};

/// Most servers take no longer one.
const MAX_URL_BYTES: usize = 8 << 10;
/// Of a request, and of an answer.
pub(super) const MAX_HEADERS: usize = 100;
/// Of a request, and of an answer: all names and values.
pub(super) const MAX_HEADER_BYTES: usize = 64 << 10;

/// A request on its way.
pub(super) struct Hop {
    pub(super) method: Method,
    pub(super) url: Url,
    /// The guest's.
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Vec<u8>>,
}

impl Hop {
    /// A guest's request, not yet checked against what is granted.
    ///
    /// # Errors
    /// No request can be made of it, or it is larger than `max_body` and the limits here.
    pub(super) fn first(request: HttpRequest, max_body: usize) -> Result<Self, HttpFailure> {
        let found = request.url.len();
        if found > MAX_URL_BYTES {
            let text = format!("a URL of {found} bytes, expected at most {MAX_URL_BYTES}");
            return Err(HttpFailure::TooLarge(text));
        }
        let url = Url::parse(&request.url).map_err(|error| HttpFailure::Invalid(format!("no URL: {error}")))?;
        let method = read_method(&request.method)?;
        let found = request.body.as_ref().map_or(0, Vec::len);
        if found > max_body {
            return Err(HttpFailure::TooLarge(format!("a body of {found} bytes, the limit is {max_body}")));
        }
        let sizes = request.headers.iter().map(|(name, value)| name.len() + value.len());
        let (found, bytes) = (sizes.len(), sizes.sum::<usize>());
        if found > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
            return Err(HttpFailure::TooLarge(format!(
                "{found} headers of {bytes} bytes, expected at most {MAX_HEADERS} of {MAX_HEADER_BYTES}"
            )));
        }
        Ok(Hop { method, url, headers: read_headers(&request.headers)?, body: request.body })
    }

    /// The request that an answer leads to, in the way of browsers.
    pub(super) fn led_to(mut self, status: StatusCode, url: Url) -> Self {
        let becomes_get = match status {
            StatusCode::SEE_OTHER => self.method != Method::HEAD,
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => self.method == Method::POST,
            _ => false,
        };
        if becomes_get {
            (self.method, self.body) = (Method::GET, None);
            for name in ["content-type", "content-encoding", "content-language", "content-location"] {
                self.headers.remove(name);
            }
        }
        // The guest's own credentials are for whom it sent them to.
        if url.origin() != self.url.origin() {
            for name in ["authorization", "cookie"] {
                self.headers.remove(name);
            }
        }
        Hop { url, ..self }
    }
}

/// Whether an answer of this status leads on.
pub(super) fn leads_on(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn read_method(text: &str) -> Result<Method, HttpFailure> {
    let no_method = |_| HttpFailure::Invalid("no method, expected for instance `GET`".to_owned());
    let method = Method::from_bytes(text.as_bytes()).map_err(no_method)?;
    // The first makes a tunnel of the connection, the others send a request's headers back, ours among them.
    if ["CONNECT", "TRACE", "TRACK"].iter().any(|refused| method.as_str().eq_ignore_ascii_case(refused)) {
        return Err(HttpFailure::Denied(format!("method `{method}` is never granted")));
    }
    Ok(method)
}

fn read_headers(given: &[(String, Vec<u8>)]) -> Result<HeaderMap, HttpFailure> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
            let found: String = name.chars().take(64).flat_map(char::escape_debug).collect();
            return Err(HttpFailure::Invalid(format!("`{found}` is no name of a header")));
        };
        if belongs_to_connection(header.as_str()) {
            return Err(HttpFailure::Denied(format!("header `{header}` is the host's to set")));
        }
        let no_value = |_| HttpFailure::Invalid(format!("the value of header `{header}` holds what no header can"));
        headers.append(header.clone(), HeaderValue::from_bytes(value).map_err(no_value)?);
    }
    Ok(headers)
}
