//! What is said: JSON, plain text, and refusals in the shapes that a Druid has for them.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Map, Value, json};

/// A request that was not carried out.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    status: u16,
    // Boxes, as this is half of many results.
    shape: Box<Shape>,
    header: Option<Box<(HeaderName, String)>>,
}

#[derive(Debug, Clone)]
enum Shape {
    /// The current shape: code, persona, category, message, context.
    Druid(&'static str, &'static str, &'static str, String, Map<String, Value>),
    /// `{"error":…}`, of older versions and of some calls to this day.
    Plain(String),
    Text(String),
}

impl Refusal {
    fn new(status: u16, shape: Shape) -> Self {
        Self { status, shape: Box::new(shape), header: None }
    }

    fn user(code: &'static str, message: String) -> Self {
        Self::new(400, Shape::Druid(code, "USER", "INVALID_INPUT", message, Map::new()))
    }

    /// 400, for what the client must write differently.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::user("invalidInput", message.into())
    }

    /// 400 for a query that means a place in its text.
    pub(super) fn invalid_sql(message: impl Into<String>, context: Map<String, Value>) -> Self {
        Self::new(400, Shape::Druid("invalidInput", "USER", "INVALID_INPUT", message.into(), context))
    }

    /// 400, as a real Druid 33 answers an id that it knows.
    pub(super) fn exists(id: &str) -> Self {
        Self::user("entryAlreadyExists", format!("Task[{id}] already exists"))
    }

    pub(super) fn queue_full(num: usize) -> Self {
        let message = format!(
            "Task queue already contains [{num}] tasks. Retry later or increase 'druid.indexer.queue.maxSize'."
        );
        Self::new(429, Shape::Druid("capacityExceeded", "OPERATOR", "CAPACITY_EXCEEDED", message, Map::new()))
    }

    /// 404 in plain text, as a real Druid 33 answers.
    pub(super) fn no_task(id: &str) -> Self {
        Self::text(404, format!("Cannot find any task with id: [{id}]"))
    }

    pub(super) fn text(status: u16, text: impl Into<String>) -> Self {
        Self::new(status, Shape::Text(text.into()))
    }

    pub(super) fn plain(status: u16, error: impl Into<String>) -> Self {
        Self::new(status, Shape::Plain(error.into()))
    }

    pub(super) fn unauthorized() -> Self {
        let header = Some(Box::new((WWW_AUTHENTICATE, "Basic realm=\"druid\"".to_owned())));
        Self { header, ..Self::plain(401, "Unauthorized") }
    }

    /// An answer that a fault asks for. A status that is none counts as 500.
    pub(super) fn injected(status: u16, retry_after: Option<u32>) -> Self {
        let header = retry_after.map(|seconds| Box::new((RETRY_AFTER, seconds.to_string())));
        Self { header, ..Self::plain(status, "the emulator was told to fail") }
    }

    /// Another Overlord leads, at `to`.
    pub(super) fn redirect(to: &str) -> Self {
        Self { header: Some(Box::new((LOCATION, to.to_owned()))), ..Self::text(307, "") }
    }

    pub(super) fn internal(what: impl Into<String>) -> Self {
        Self::new(500, Shape::Druid("general", "OPERATOR", "RUNTIME_FAILURE", what.into(), Map::new()))
    }

    pub(super) fn message(&self) -> &str {
        match self.shape.as_ref() {
            Shape::Druid(_, _, _, message, _) | Shape::Plain(message) | Shape::Text(message) => message,
        }
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = match *self.shape {
            Shape::Druid(code, persona, category, message, context) => json_with(
                status,
                &json!({
                    "error": "druidException", "errorCode": code, "persona": persona, "category": category,
                    "errorMessage": message, "context": context,
                }),
            ),
            Shape::Plain(error) => json_with(status, &json!({ "error": error })),
            Shape::Text(text) => text_with(status, text),
        };
        if let Some((name, value)) = self.header.map(|header| *header)
            && let Ok(value) = HeaderValue::from_str(&value)
        {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// 200 and this JSON.
pub(super) fn json_ok(value: &Value) -> Response<Body> {
    json_with(StatusCode::OK, value)
}

/// 200 and this text.
pub(super) fn text_ok(text: impl Into<String>) -> Response<Body> {
    text_with(StatusCode::OK, text.into())
}

pub(super) fn json_with(status: StatusCode, value: &Value) -> Response<Body> {
    with(status, "application/json", value.to_string())
}

fn text_with(status: StatusCode, text: String) -> Response<Body> {
    with(status, "text/plain", text)
}

fn with(status: StatusCode, kind: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
