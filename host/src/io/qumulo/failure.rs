//! What can become of a request, and what that is for the task: the one place that knows which
//! status and which class of the cluster's errors means what.

use crate::error::{Error, ErrorClass, innermost};
use crate::ports::qumulo::Tls;
use serde::Deserialize;
use std::time::Duration;
use tokio_rustls::rustls;

/// The cluster's own words are shown up to this length, bytes.
const MAX_DESCRIPTION_BYTES: usize = 300;

/// Why a request has no answer that can be used.
#[derive(Debug)]
pub(super) enum Failure {
    /// No connection, or not logged in: nothing was done.
    NotSent(String),
    /// Sent, and no whole answer came: it may have been done.
    Lost(String),
    /// The cluster's error.
    Refused(Refusal),
    /// Nothing that repeating could change.
    Final(Error),
}

/// An error as the cluster tells it.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// The cluster's `error_class`; empty when it gave none.
    pub(super) class: String,
    description: String,
    /// `Retry-After`.
    pub(super) wait: Option<Duration>,
}

#[derive(Deserialize, Default)]
struct ErrorBody {
    #[serde(default)]
    error_class: Option<String>,
    #[serde(default)]
    description: Option<String>,
}

impl Refusal {
    /// From a status and whatever came with it, which may be empty or no JSON.
    pub(super) fn new(status: u16, body: &[u8], wait: Option<Duration>) -> Self {
        let body: ErrorBody = serde_json::from_slice(body).unwrap_or_default();
        let plain = |text: Option<String>| -> String {
            let text = text.unwrap_or_default().escape_debug().to_string();
            text.get(..text.floor_char_boundary(MAX_DESCRIPTION_BYTES)).unwrap_or_default().to_owned()
        };
        Refusal { status, class: plain(body.error_class), description: plain(body.description), wait }
    }

    /// Full or over quota: whatever the status, which nobody published.
    fn is_full(&self) -> bool {
        matches!(self.class.as_str(), "fs_no_space_error" | "fs_quota_no_space_error")
    }

    fn into_error(self) -> Error {
        let class = match self.status {
            _ if self.is_full() => ErrorClass::Retry,
            403 if self.class == "fs_read_only_error" => ErrorClass::Retry,
            400 if self.class == "decode_error" => ErrorClass::Bug,
            // A directory into itself: no time will make that work.
            _ if self.class == "fs_directory_cycle_error" => ErrorClass::Config,
            401 | 404 | 408 | 409 | 412 | 423 | 425 | 429 | 500.. => ErrorClass::Retry,
            _ => ErrorClass::Config,
        };
        let mut message = format!("status {}", self.status);
        for (open, text, close) in [(" `", &self.class, "`"), (": ", &self.description, "")] {
            if !text.is_empty() {
                message.push_str(open);
                message.push_str(text);
                message.push_str(close);
            }
        }
        let error = Error::new(class, message);
        match self.status {
            403 if class == ErrorClass::Config => {
                error.with_hint("give the user the privilege, or the rights on the directory, that this call needs")
            }
            300..400 => error.with_hint("a cluster never redirects: check host and port"),
            405 => error.with_hint("is there a Qumulo cluster, and is its version 6.0.2 or later?"),
            _ => error,
        }
    }
}

impl Failure {
    fn refusal(&self) -> Option<&Refusal> {
        match self {
            Failure::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    pub(super) fn status(&self) -> u16 {
        self.refusal().map_or(0, |refusal| refusal.status)
    }

    /// Whether the same request may be answered a moment later. A full disk is not waited for here:
    /// it takes people.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Failure::NotSent(_) | Failure::Lost(_) => true,
            Failure::Refused(refusal) => {
                !refusal.is_full() && matches!(refusal.status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
            }
            Failure::Final(_) => false,
        }
    }

    /// Whether what was asked for may have been done all the same. A cluster that says that it is
    /// not available has not done it; to take that for unclear would let two hosts that rename the
    /// same file to the same name both believe that it was theirs.
    pub(super) fn may_have_been_done(&self) -> bool {
        match self {
            Failure::Lost(_) => true,
            Failure::Refused(refusal) => refusal.status >= 500 && refusal.status != 503 && !refusal.is_full(),
            _ => false,
        }
    }

    /// The wait that the cluster asks for.
    pub(super) fn wait(&self) -> Option<Duration> {
        self.refusal().and_then(|refusal| refusal.wait)
    }

    /// Nothing is there. Any 404 counts: which class a missing parent has is not published. So does a
    /// file where the path needs a directory.
    pub(super) fn is_missing(&self) -> bool {
        self.status() == 404 || self.has_class("fs_not_a_directory_error")
    }

    /// The name is taken.
    pub(super) fn is_taken(&self) -> bool {
        self.refusal().is_some_and(|refusal| {
            refusal.status == 409 && (refusal.class == "fs_entry_exists_error" || refusal.class.is_empty())
        })
    }

    pub(super) fn has_class(&self, class: &str) -> bool {
        self.refusal().is_some_and(|refusal| refusal.class == class)
    }

    /// For the task.
    pub(super) fn into_error(self) -> Error {
        match self {
            Failure::NotSent(text) | Failure::Lost(text) => Error::retry(text),
            Failure::Refused(refusal) => refusal.into_error(),
            Failure::Final(error) => error,
        }
    }

    /// What a failed exchange means.
    pub(super) fn of_exchange(error: &reqwest::Error, tls: &Tls) -> Self {
        if let Some(error) = certificate_error(error, tls) {
            return Failure::Final(error);
        }
        let text = innermost(error, error.is_timeout());
        if error.is_connect() || error.is_builder() { Failure::NotSent(text) } else { Failure::Lost(text) }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Final(error)
    }
}

/// A certificate that is not the one expected is nothing that passes.
fn certificate_error(error: &reqwest::Error, tls: &Tls) -> Option<Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = cause {
        match held(inner).downcast_ref() {
            Some(rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other))) => {
                return Some(Error::config(other.0.to_string()).with_hint(
                    "if the cluster was given another certificate, configure its fingerprint; if not, somebody else answers",
                ));
            }
            Some(found @ rustls::Error::InvalidCertificate(_)) => {
                let hint = match tls {
                    Tls::Ca(_) => "the file of authorities must hold the one that signed the cluster's certificate",
                    _ => "configure the authority that signed it, or the fingerprint of a self-signed one",
                };
                return Some(Error::config(found.to_string()).with_hint(hint));
            }
            Some(found @ rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)) => {
                return Some(Error::config(found.to_string()).with_hint("does the cluster speak TLS on this port?"));
            }
            _ => {}
        }
        cause = inner.source();
    }
    None
}

/// What an I/O error holds, at whatever depth: its `source()` skips that.
fn held<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(inner) => held(inner),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_and_classes_have_the_meaning_of_the_port() {
        let check = |status: u16, class: &str, expected: ErrorClass, transient: bool| {
            let body = format!(r#"{{"error_class": "{class}", "description": "d", "more": [1]}}"#);
            let failure = Failure::Refused(Refusal::new(status, body.as_bytes(), None));
            assert_eq!(failure.is_transient(), transient, "{status} {class}");
            let error = failure.into_error();
            assert_eq!(error.class(), expected, "{status} {class}");
            assert!(error.to_string().contains(&status.to_string()) && error.to_string().contains(class), "{error}");
        };
        check(403, "fs_access_denied_error", ErrorClass::Config, false);
        check(403, "fs_read_only_error", ErrorClass::Retry, false);
        check(400, "fs_invalid_name_error", ErrorClass::Config, false);
        check(400, "decode_error", ErrorClass::Bug, false);
        check(400, "fs_quota_no_space_error", ErrorClass::Retry, false);
        check(507, "fs_no_space_error", ErrorClass::Retry, false);
        check(503, "", ErrorClass::Retry, true);
        check(429, "", ErrorClass::Retry, true);
        check(412, "fs_tag_mismatch_error", ErrorClass::Retry, false);
        check(302, "", ErrorClass::Config, false);
    }

    #[test]
    fn an_error_that_is_no_json_is_told_by_its_status() {
        for body in [&b""[..], b"<html>", b"[]", b"{\"error_class\": 5}", b"\xff"] {
            let error = Failure::Refused(Refusal::new(502, body, None)).into_error();
            assert_eq!(error.to_string(), "status 502");
        }
        let long = format!(r#"{{"description": "{}"}}"#, "é\\n".repeat(1000));
        let error = Failure::Refused(Refusal::new(400, long.as_bytes(), None)).into_error();
        assert!(error.to_string().len() < 400 && !error.to_string().contains('\n'), "{error}");
    }
}
