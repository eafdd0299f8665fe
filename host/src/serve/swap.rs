//! `POST /v1/connectors/NAME/swap`: another version of a connector's plugin, from a file of this machine or from its
//! catalog.

use super::access;
use crate::error::{Error, ErrorClass};
use crate::worker::Swapped;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::Deserialize;
use serde_json::json;
use std::path::Path as FilePath;
use std::sync::Arc;

/// A request names a file.
const MAX_BODY_BYTES: usize = 16 << 10;

/// Swaps the plugin of a connector for another: an absolute path, or `NAME@VERSION`. Blocks until it runs or is refused.
pub type Swap = dyn Fn(&str, &str) -> crate::error::Result<Swapped> + Send + Sync;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    plugin: String,
}

/// Answers for swaps.
pub fn swaps(swap: Arc<Swap>) -> Router {
    Router::new()
        .route("/v1/connectors/{name}/swap", post(answer))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(axum::middleware::from_fn(access::check_host))
        .with_state(swap)
}

async fn answer(State(swap): State<Arc<Swap>>, Path(name): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    // What a page elsewhere can have a browser send without asking first is not JSON.
    let is_json = headers.get(CONTENT_TYPE).is_some_and(|found| found.as_bytes().starts_with(b"application/json"));
    if !is_json {
        return refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, "expected a body of `application/json`", None);
    }
    let request: Request = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => {
            let expected = r#"expected {"plugin": "/path/of/component.wasm"} or {"plugin": "NAME@VERSION"}"#;
            return refusal(StatusCode::BAD_REQUEST, &format!("{expected}: {error}"), None);
        }
    };
    if request.plugin.contains(['/', '\\']) && !FilePath::new(&request.plugin).is_absolute() {
        let found = &request.plugin;
        return refusal(StatusCode::BAD_REQUEST, &format!("`plugin` is `{found}`, expected an absolute path"), None);
    }
    let asked = name.clone();
    // Compiling takes a while, and the task answers between two batches.
    let swapped = tokio::task::spawn_blocking(move || swap(&asked, &request.plugin)).await;
    match swapped.unwrap_or_else(|panic| Err(Error::bug(format!("swapping panicked: {panic}")))) {
        Ok(Swapped { from, to, pause }) => {
            let shown = json!({ "connector": name, "from": from, "to": to, "pause_us": pause.as_micros() });
            ([(CONTENT_TYPE, "application/json")], shown.to_string()).into_response()
        }
        Err(error) => {
            let status = match error.class() {
                ErrorClass::Config | ErrorClass::Deny | ErrorClass::Reject => StatusCode::BAD_REQUEST,
                ErrorClass::Retry => StatusCode::SERVICE_UNAVAILABLE,
                ErrorClass::Bug => StatusCode::UNPROCESSABLE_ENTITY,
            };
            refusal(status, &error.to_string(), error.hint())
        }
    }
}

/// Kafka Connect's form of an error.
fn refusal(status: StatusCode, message: &str, hint: Option<&str>) -> Response {
    let shown = json!({ "error_code": status.as_u16(), "message": message, "hint": hint });
    (status, [(CONTENT_TYPE, "application/json")], shown.to_string()).into_response()
}
