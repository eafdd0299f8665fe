//! What is told of a failure: never a query, a user or a credential, and of an address only which kind it is.

use super::credentials::Masks;
use super::names::Forbidden;
use crate::error::innermost;
use crate::ports::http::{HttpFailure, Refused};
use reqwest::{Method, Url};

/// A path may be as long as a URL, and a text is read by people.
const MAX_SHOWN: usize = 200;

/// A URL without user, query and fragment, which may hold anything.
pub(super) fn shown(url: &Url) -> String {
    let (scheme, host) = (url.scheme(), url.host_str().unwrap_or_default());
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let text = format!("{scheme}://{host}{port}{}", url.path());
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// No rule allows it.
pub(super) fn not_granted(method: &Method, url: &Url) -> HttpFailure {
    let at = shown(url);
    HttpFailure::Denied(format!(
        "`{method} {at}` is not granted; to grant it, add a rule for it, such as `{method} {at}`, to the connector's \
         `http.allow`"
    ))
}

/// Its address may not be reached.
pub(super) fn not_reached(at: &str, refused: Refused) -> HttpFailure {
    let Refused { class, network } = refused;
    HttpFailure::Denied(format!(
        "the address of `{at}` is {class}; to reach it, add its network, `{network}`, to the connector's `http.networks`"
    ))
}

/// A failure of the client library.
pub(super) fn explain(at: &str, error: &reqwest::Error) -> HttpFailure {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(found) = cause {
        if let Some(Forbidden(refused)) = found.downcast_ref() {
            return not_reached(at, *refused);
        }
        cause = found.source();
    }
    let why = innermost(error, error.is_timeout());
    let text = format!("{at}: {why}");
    match () {
        () if error.is_timeout() => HttpFailure::Timeout(text),
        () if error.is_builder() => HttpFailure::Invalid(text),
        // HTTP/1's limits; the library has no other sign of it. A test holds the words.
        () if why.contains("head is too large") => HttpFailure::TooLarge(text),
        () => HttpFailure::Unreachable(text),
    }
}

/// A failure whose text may say what a server said.
pub(super) fn masked(failure: HttpFailure, masks: &Masks) -> HttpFailure {
    let (make, text): (fn(String) -> HttpFailure, String) = match failure {
        HttpFailure::Denied(text) => (HttpFailure::Denied, text),
        HttpFailure::Invalid(text) => (HttpFailure::Invalid, text),
        HttpFailure::Timeout(text) => (HttpFailure::Timeout, text),
        HttpFailure::Unreachable(text) => (HttpFailure::Unreachable, text),
        HttpFailure::TooLarge(text) => (HttpFailure::TooLarge, text),
        HttpFailure::Other(text) => (HttpFailure::Other, text),
    };
    make(masks.over_text(text))
}
