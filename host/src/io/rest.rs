//! Another host's REST interface, for commands that ask a host which runs.

use crate::error::{Error, OrError, Result, innermost};
use serde_json::Value;
use std::time::Duration;
use tokio::runtime::Handle;

/// What is asked may have to be compiled first.
const TIMEOUT: Duration = Duration::from_secs(120);
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends JSON to `path` of the host at `url`, and gives its answer.
///
/// # Errors
/// Class Config: the host refuses, in its words. Class Retry: it does not answer, or not with JSON.
pub fn post(runtime: &Handle, url: &str, path: &[&str], body: &Value) -> Result<Value> {
    ask(runtime, url, path, Some(body))
}

/// Asks for what is at `path` of the host at `url`.
///
/// # Errors
/// As for [`post`].
pub fn get(runtime: &Handle, url: &str, path: &[&str]) -> Result<Value> {
    ask(runtime, url, path, None)
}

fn ask(runtime: &Handle, url: &str, path: &[&str], body: Option<&Value>) -> Result<Value> {
    let attempt = format!("host at `{url}`");
    let mut to = reqwest::Url::parse(url).or_config(&attempt)?;
    to.path_segments_mut()
        .map_err(|()| Error::config(format!("{attempt}: expected for instance `http://127.0.0.1:8083`")))?
        .pop_if_empty()
        .extend(path);
    let client = reqwest::Client::builder().connect_timeout(DIAL_TIMEOUT).timeout(TIMEOUT).no_proxy().build();
    let client = client.or_config(&attempt)?;
    let request = match body {
        Some(body) => client.post(to).header("content-type", "application/json").body(body.to_string()),
        None => client.get(to),
    };
    let answered = runtime.block_on(async {
        let answer = request.send().await?;
        let status = answer.status();
        Ok::<_, reqwest::Error>((status, answer.bytes().await?))
    });
    let (status, bytes) = answered.map_err(|error| {
        Error::retry(format!("{attempt}: {}", innermost(&error, error.is_timeout())))
            .with_hint("does it run, with `listeners` set to this address?")
    })?;
    let answer: Value = serde_json::from_slice(&bytes)
        .map_err(|_| Error::retry(format!("{attempt} answers {status} without JSON, expected a host's answer")))?;
    if status.is_success() {
        return Ok(answer);
    }
    let message = answer.get("message").and_then(Value::as_str).unwrap_or("no reason given");
    let error = Error::config(format!("{attempt}: {message}"));
    Err(match answer.get("hint").and_then(Value::as_str) {
        Some(hint) => error.with_hint(hint),
        None => error,
    })
}
