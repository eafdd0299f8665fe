//! What a client asks for, and the answers that say no.
//!
//! Refusals are one type, each with its status and a JSON body in the form of the real service (RFC
//! 7807 fields). The order of the checks is the service's: who asks, for what, from where.

use axum::extract::Query;
use axum::http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::clock;
use crate::edits::TOPIC;
use crate::handle::Answer;
use crate::stats::Counters;

/// The streams there are; both names mean the same one.
const STREAMS: [&str; 2] = ["recentchange", "mediawiki.recentchange"];
const IDLE_TOPIC: &str = "codfw.mediawiki.recentchange";
const POLICY: &str = "requests must set a User-Agent that names the client and a contact, see \
                      https://foundation.wikimedia.org/wiki/Policy:Wikimedia_Foundation_User-Agent_Policy";

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Server-sent events.
    Events,
    /// Newline-delimited JSON, without ids.
    Lines,
}

/// Where a stream begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// With the next event.
    Now,
    /// With the first event of this millisecond or after.
    Time(i64),
    /// With this offset of the topic.
    Offset(u64),
}

/// A request that can be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) form: Form,
    pub(super) from: From,
}

/// A request that cannot, or must not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// 403: the client does not say who it is.
    NoAgent,
    /// 404: there is no such path or stream.
    NotFound { what: &'static str, name: String },
    /// 400: a header or parameter cannot be read.
    Malformed { what: &'static str, found: String, expected: &'static str },
    /// 429: enough clients are served.
    TooMany { retry_after: u64 },
    /// What a fault asked for.
    Armed(Answer),
}

impl Wanted {
    /// Reads a request and notes with the counters what the client says about itself.
    pub(super) fn read(
        names: &str,
        query: Option<&str>,
        headers: &HeaderMap,
        counters: &Counters,
        requires_agent: bool,
    ) -> Result<Self, Refusal> {
        let agent = text(headers.get(USER_AGENT));
        match agent.trim() {
            "" if requires_agent => return Err(Refusal::NoAgent),
            "" => {}
            agent => counters.saw_agent(agent),
        }
        if let Some(name) = names.split(',').find(|name| !STREAMS.contains(name)) {
            return Err(Refusal::NotFound { what: "stream", name: name.to_owned() });
        }
        let accept = text(headers.get(ACCEPT));
        let wants_lines = accept.contains("json") && !accept.contains("text/event-stream");
        let form = if wants_lines { Form::Lines } else { Form::Events };
        // An id says exactly where a client was, so it goes before a time.
        let from = match headers.get("last-event-id") {
            Some(id) => {
                let id = text(Some(id));
                counters.saw_last_event_id(&id);
                resume(&id)?
            }
            None => since(query)?,
        };
        Ok(Self { form, from })
    }
}

fn text(header: Option<&HeaderValue>) -> String {
    header.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default()
}

/// Reads a `Last-Event-ID`: a JSON array with an object for each topic.
fn resume(id: &str) -> Result<From, Refusal> {
    let refuse =
        |expected| Refusal::Malformed { what: "Last-Event-ID", found: id.chars().take(200).collect(), expected };
    let Ok(Value::Array(places)) = serde_json::from_str(id) else {
        return Err(refuse("a JSON array"));
    };
    let mut from = From::Now;
    for place in &places {
        let topic = place.get("topic").and_then(Value::as_str).ok_or_else(|| refuse("a `topic` in each object"))?;
        if topic != TOPIC && topic != IDLE_TOPIC {
            return Err(refuse("a topic of this stream"));
        }
        if place.get("partition").and_then(Value::as_u64).is_none() {
            return Err(refuse("a `partition` in each object"));
        }
        let number = |key| place.get(key).and_then(Value::as_i64);
        // With both an offset and a time the offset counts. The idle data centre's says nothing.
        match (number("offset"), number("timestamp")) {
            (Some(offset), _) if topic == TOPIC => from = u64::try_from(offset).map_or(From::Now, From::Offset),
            (None, Some(ms)) if topic == TOPIC => from = From::Time(ms),
            (None, None) => return Err(refuse("an `offset` or a `timestamp` in each object")),
            _ => {}
        }
    }
    Ok(from)
}

fn since(query: Option<&str>) -> Result<From, Refusal> {
    let refuse = |found: &str| Refusal::Malformed {
        what: "since",
        found: found.chars().take(200).collect(),
        expected: "milliseconds or ISO 8601",
    };
    let Some(query) = query else {
        return Ok(From::Now);
    };
    let uri: Uri = format!("/?{query}").parse().map_err(|_| refuse(query))?;
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&uri).map_err(|_| refuse(query))?;
    match pairs.iter().find(|(key, _)| key == "since") {
        None => Ok(From::Now),
        Some((_, value)) => clock::parse(value).map(From::Time).ok_or_else(|| refuse(value)),
    }
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoAgent => StatusCode::FORBIDDEN,
            Self::NotFound { .. } => StatusCode::NOT_FOUND,
            Self::Malformed { .. } => StatusCode::BAD_REQUEST,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Armed(answer) => StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::NoAgent => POLICY.to_owned(),
            Self::NotFound { what: "stream", name } => {
                format!("found stream `{name}`, expected one or more of {} with commas between", STREAMS.join(", "))
            }
            Self::NotFound { what, name } => format!("there is no {what} `{name}`"),
            Self::Malformed { what, found, expected } => {
                format!("failed to read {what}: found `{found}`, expected {expected}")
            }
            Self::TooMany { retry_after } => {
                format!("too many streams are open, try again in {retry_after} s")
            }
            Self::Armed(_) => "the emulator was told to answer so".to_owned(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = json!({
            "status": status.as_u16(),
            "type": "https://mediawiki.org/wiki/HyperSwitch/errors",
            "title": status.canonical_reason().unwrap_or("Unknown"),
            "method": "get",
            "detail": self.detail(),
        });
        let mut response = (status, [(CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response();
        let wait = match self {
            Self::TooMany { retry_after } => Some(retry_after),
            Self::Armed(answer) => answer.retry_after.map(u64::from),
            _ => None,
        };
        if let Some(seconds) = wait {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_the_service_writes_them() {
        let real = |time: &str| {
            format!(
                r#"[{{"topic":"{TOPIC}","partition":0,{time}}},{{"topic":"{IDLE_TOPIC}","partition":0,"offset":-1}}]"#
            )
        };
        assert_eq!(resume(&real(r#""timestamp":1790000000001"#)), Ok(From::Time(1_790_000_000_001)));
        assert_eq!(resume(&real(r#""offset":6000000007"#)), Ok(From::Offset(6_000_000_007)));
        assert_eq!(resume(&real(r#""offset":7,"timestamp":5"#)), Ok(From::Offset(7)));
        assert_eq!(resume(&real(r#""offset":-1"#)), Ok(From::Now));
        assert_eq!(resume("[]"), Ok(From::Now));
    }

    #[test]
    fn ids_that_are_none_are_refused() {
        let part = format!(r#"[{{"topic":"{TOPIC}","partition":0}}]"#);
        let foreign = r#"[{"topic":"other","partition":0,"timestamp":1}]"#;
        let bare = format!(r#"[{{"topic":"{TOPIC}","timestamp":1}}]"#);
        for id in ["", "7", "{}", "[", "[1]", r#"[{"partition":0,"timestamp":1}]"#, &part, foreign, &bare] {
            assert!(matches!(resume(id), Err(Refusal::Malformed { .. })), "{id}");
        }
    }

    #[test]
    fn since_is_found_in_the_query() {
        assert_eq!(since(Some("a=b&since=2026-02-03T04%3A05%3A06Z")), Ok(From::Time(1_770_091_506_000)));
        assert_eq!(since(Some("since=1770091506000")), Ok(From::Time(1_770_091_506_000)));
        assert_eq!(since(Some("a=b")), Ok(From::Now));
        assert!(since(Some("since=tomorrow")).is_err());
        assert!(since(Some("since=")).is_err());
    }
}
