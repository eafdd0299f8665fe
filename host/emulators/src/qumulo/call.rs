//! One request as the rooms see it: what it asks for, and its body piece by piece.
//!
//! Invariants: a JSON body is bounded; a body that nobody wanted is read away, within bounds, so that
//! a client which sends first and reads then gets its answer.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::header::{CONTENT_TYPE, IF_MATCH};
use axum::http::{HeaderMap, Method};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::{Map, Value};
use tokio::time::timeout;

use super::answer::{Class, Refusal};
use super::faults::Plan;
use super::query::{Query, number};

/// The longest JSON body. A resolve of 1000 ids is a tenth of it.
const MAX_JSON_BYTES: usize = 1024 * 1024;
/// How much of an unwanted body is read away, and for how long.
const MAX_DRAIN_BYTES: usize = 64 * 1024 * 1024;
const DRAIN_WITHIN: Duration = Duration::from_secs(10);

/// A request.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) query: Query,
    pub(super) if_match: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) plan: Plan,
    body: BodyDataStream,
}

/// The connection is to end without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the emulator cuts the connection")]
pub(super) struct Cut;

/// Why a request has no answer of its own.
pub(super) enum Failure {
    Refused(Refusal),
    Cut,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Call {
    pub(super) fn new(method: Method, query: Query, headers: &HeaderMap, plan: Plan, body: Body) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (if_match, content_type) = (text(IF_MATCH), text(CONTENT_TYPE));
        Self { method, query, if_match, content_type, plan, body: body.into_data_stream() }
    }

    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// When the client's connection broke within it.
    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>, Failure> {
        self.body.next().await.transpose().map_err(|_| Failure::Cut)
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// Classes `TooLarge` and `Decode`.
    pub(super) async fn json(&mut self) -> Result<Value, Failure> {
        let mut bytes = Vec::new();
        while let Some(piece) = self.piece().await? {
            if bytes.len() + piece.len() > MAX_JSON_BYTES {
                let text = format!("expected at most {MAX_JSON_BYTES} bytes of JSON");
                return Err(Refusal::new(Class::TooLarge, text).into());
            }
            bytes.extend_from_slice(&piece);
        }
        let parsed = serde_json::from_slice(&bytes);
        Ok(parsed.map_err(|error| Refusal::new(Class::Decode, format!("the body is not JSON: {error}")))?)
    }

    /// The body as a JSON object.
    ///
    /// # Errors
    /// As [`Call::json`].
    pub(super) async fn object(&mut self) -> Result<Fields, Failure> {
        match self.json().await? {
            Value::Object(fields) => Ok(Fields(fields)),
            _ => Err(Refusal::new(Class::Decode, "expected an object").into()),
        }
    }

    /// Reads away what is left of the body.
    pub(super) async fn drain(&mut self) {
        let drained = async {
            let mut left = MAX_DRAIN_BYTES;
            while let Ok(Some(piece)) = self.piece().await {
                let Some(rest) = left.checked_sub(piece.len()) else { return };
                left = rest;
            }
        };
        // Too slow, the connection ends with the answer.
        let _ = timeout(DRAIN_WITHIN, drained).await;
    }

    /// Another method than those the call has.
    pub(super) fn no_method(&self) -> Failure {
        Refusal::new(Class::Method, format!("there is no {} here", self.method)).into()
    }

    pub(super) fn snapshot(&self) -> Result<Option<i64>, Refusal> {
        self.query.number("snapshot")
    }
}

/// The fields of a JSON body. A field that is `null` counts as absent.
#[derive(Debug)]
pub(super) struct Fields(pub(super) Map<String, Value>);

impl Fields {
    fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// # Errors
    /// Class `Decode` when it is absent or no text.
    pub(super) fn text(&self, key: &str) -> Result<&str, Refusal> {
        self.maybe_text(key)?.ok_or_else(|| Refusal::new(Class::Decode, format!("expected a field `{key}`")))
    }

    /// # Errors
    /// Class `Decode` when it is no text.
    pub(super) fn maybe_text(&self, key: &str) -> Result<Option<&str>, Refusal> {
        self.get(key).map(|value| value.as_str().ok_or_else(|| wrong(key, "a text"))).transpose()
    }

    /// # Errors
    /// Class `Decode` when it is neither `true` nor `false`.
    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, Refusal> {
        self.get(key).map(|value| value.as_bool().ok_or_else(|| wrong(key, "`true` or `false`"))).transpose()
    }

    /// A number written as a text of digits, as 64-bit quantities are; a plain number is taken too.
    ///
    /// # Errors
    /// Class `Decode` for anything else.
    pub(super) fn number(&self, key: &str) -> Result<Option<i64>, Refusal> {
        let read = |value: &Value| match value {
            Value::String(text) => number(text),
            value => value.as_i64().filter(|number| *number >= 0),
        };
        self.get(key).map(|value| read(value).ok_or_else(|| wrong(key, "decimal digits"))).transpose()
    }
}

fn wrong(key: &str, expected: &str) -> Refusal {
    Refusal::new(Class::Decode, format!("field `{key}` is not {expected}"))
}
