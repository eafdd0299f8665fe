//! `GET /metrics`: what instances of plugins use, in Prometheus' text form.

use super::access;
use axum::Router;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;

/// The process has one recorder, since metrics are counted wherever they arise.
static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Begins to record; before it metrics cost nothing and are lost. Calling it again changes nothing.
pub fn record_metrics() {
    RECORDER.get_or_init(|| {
        let installed = PrometheusBuilder::new().install_recorder();
        installed.inspect_err(|error| tracing::error!(%error, "metrics are not recorded")).ok()
    });
}

/// Answers for metrics.
pub fn metrics() -> Router {
    Router::new().route("/metrics", get(answer)).layer(axum::middleware::from_fn(access::check_host))
}

async fn answer() -> Response {
    match RECORDER.get().and_then(Option::as_ref) {
        Some(recorder) => {
            let headers = [(CONTENT_TYPE, "text/plain; version=0.0.4"), (CACHE_CONTROL, "no-store")];
            (headers, recorder.render()).into_response()
        }
        None => (StatusCode::SERVICE_UNAVAILABLE, "metrics are not recorded").into_response(),
    }
}
