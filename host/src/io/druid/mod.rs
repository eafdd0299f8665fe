//! Apache Druid's Overlord, or a Router before it, as an [`Indexer`]. The shapes of its answers are of the
//! versions 0.12 to 33; an error's text is in one of three places, and its status says little.

mod answer;

use crate::error::{Error, OrError, Result, innermost};
use crate::ports::indexer::{Indexer, IndexerSettings, Submitted, TaskRows, TaskStanding};
use answer::Answer;
use bytes::BytesMut;
use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Method, StatusCode, Url};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::runtime::Handle;

const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// A report with saved parse exceptions is some 10 KB.
const MAX_ANSWER_BYTES: usize = 4 << 20;
/// One that does not lead sends on to the leader, who may just have changed.
const MAX_REDIRECTS: u32 = 3;

/// An Overlord or Router.
pub struct DruidIndexer {
    http: reqwest::Client,
    base: Url,
    settings: IndexerSettings,
    runtime: Handle,
}

impl DruidIndexer {
    /// For the service at the settings' address; asks it nothing yet.
    ///
    /// # Errors
    /// Class Config: an address or a certificate that cannot be used.
    pub fn new(settings: IndexerSettings, runtime: Handle) -> Result<Self> {
        let base = Url::parse(&settings.url).or_config("option `druid.url`")?;
        let is_http = matches!(base.scheme(), "http" | "https") && base.has_host();
        if !is_http || !base.username().is_empty() || base.password().is_some() || base.query().is_some() {
            return Err(Error::config("option `druid.url`: expected `http://HOST:PORT` or `https://HOST:PORT`")
                .with_hint("user and password are `druid.username` and `druid.password`"));
        }
        let mut builder = reqwest::Client::builder()
            .connect_timeout(DIAL_TIMEOUT.min(settings.timeout))
            .timeout(settings.timeout)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none());
        if let Some(path) = &settings.tls_ca {
            let attempt = format!("option `druid.tls.ca.file`: `{}`", path.display());
            let pem = std::fs::read(path).or_config(&attempt)?;
            builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(&pem).or_config(&attempt)?);
        }
        let http = builder.build().or_config("option `druid.url`")?;
        Ok(DruidIndexer { http, base, settings, runtime })
    }

    fn call(&self, method: &Method, path: &[&str], body: Option<String>, attempt: &str) -> Result<Answer> {
        let exchange = async {
            let mut url = self.base.clone();
            // Addresses of `http` always have a path.
            if let Ok(mut segments) = url.path_segments_mut() {
                segments.pop_if_empty().extend(path);
            }
            for _ in 0..=MAX_REDIRECTS {
                match self.exchange(method, url.clone(), body.clone()).await? {
                    Ok(answer) => return Ok(answer),
                    Err(next) => url = next,
                }
            }
            Err(Error::retry(format!("sent on more than {MAX_REDIRECTS} times: there may be no leader now")))
        };
        self.runtime.block_on(exchange).map_err(|error| error.context(format!("{attempt} at {}", self.describe())))
    }

    /// One request; the address it was sent on to, where it was.
    async fn exchange(
        &self,
        method: &Method,
        url: Url,
        body: Option<String>,
    ) -> Result<std::result::Result<Answer, Url>> {
        let mut request = self.http.request(method.clone(), url.clone());
        if let Some((user, password)) = &self.settings.login {
            request = request.basic_auth(user, Some(password.expose()));
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let mut response = request.send().await.map_err(|error| Error::retry(innermost(&error, error.is_timeout())))?;
        let status = response.status();
        if matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT) {
            let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
            let to = to.and_then(|to| url.join(to).ok()).ok_or_else(|| Error::retry("sent on to no address"))?;
            // The password goes with the request: only to where the same is asked in the same way.
            if to.scheme() != url.scheme() || to.path() != url.path() {
                return Err(Error::retry("sent on to another resource, expected the leader's same one"));
            }
            return Ok(Err(to));
        }
        let mut body = BytesMut::new();
        while let Some(chunk) =
            response.chunk().await.map_err(|error| Error::retry(innermost(&error, error.is_timeout())))?
        {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(Error::retry(format!("an answer of more than {MAX_ANSWER_BYTES} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Ok(Answer::new(status.as_u16(), &body)))
    }

    fn task(&self, id: &str, leaf: &str, attempt: &str) -> Result<Answer> {
        self.call(&Method::GET, &["druid", "indexer", "v1", "task", id, leaf], None, attempt)
    }

    fn failed(&self, attempt: &str, answer: &Answer) -> Error {
        answer.error().context(format!("{attempt} at {}", self.describe()))
    }
}

impl Indexer for DruidIndexer {
    fn describe(&self) -> String {
        format!("Druid `{}`", self.base.as_str().trim_end_matches('/'))
    }

    fn submit(&self, task: &str) -> Result<Submitted> {
        let attempt = "handing in a task";
        let answer = self.call(&Method::POST, &["druid", "indexer", "v1", "task"], Some(task.to_owned()), attempt)?;
        match answer.is_ok() {
            true if answer.text("task").is_some() => Ok(Submitted::Accepted),
            true => Err(self.failed(attempt, &answer)),
            false if answer.is_duplicate() => Ok(Submitted::Already),
            false if answer.is_refusal() => Ok(Submitted::Refused(answer.message())),
            false => Err(self.failed(attempt, &answer)),
        }
    }

    fn standing(&self, id: &str) -> Result<TaskStanding> {
        let attempt = "asking after a task";
        let answer = self.task(id, "status", attempt)?;
        if answer.is_unknown_task(id) {
            return Ok(TaskStanding::Unknown);
        }
        let status = answer.json.get("status").filter(|_| answer.is_ok());
        let text = |name| status.and_then(|status| status.get(name)).and_then(Value::as_str);
        match text("statusCode").or_else(|| text("status")) {
            Some("SUCCESS") => Ok(TaskStanding::Success),
            Some("FAILED") => {
                let why = text("errorMsg").unwrap_or("no reason is given; the task's log has it");
                Ok(TaskStanding::Failed(answer::bounded(why)))
            }
            Some("RUNNING") => Ok(TaskStanding::Running(text("runnerStatusCode").unwrap_or("RUNNING").to_owned())),
            _ => Err(self.failed(attempt, &answer)),
        }
    }

    fn rows(&self, id: &str) -> Result<Option<TaskRows>> {
        let attempt = "asking for a task's report";
        let answer = self.task(id, "reports", attempt)?;
        match answer.status {
            200 => Ok(answer.rows()),
            404 => Ok(None),
            _ => Err(self.failed(attempt, &answer)),
        }
    }

    fn count_rows(&self, data_source: &str) -> Result<Option<u64>> {
        let attempt = "counting rows";
        let query = format!("SELECT COUNT(*) AS \"rows\" FROM \"{}\"", data_source.replace('"', "\"\""));
        let body = json!({ "query": query, "resultFormat": "object" }).to_string();
        let answer = self.call(&Method::POST, &["druid", "v2", "sql"], Some(body), attempt)?;
        let rows = answer.json.get(0).and_then(|row| row.get("rows")).and_then(Value::as_u64);
        match rows {
            Some(rows) if answer.is_ok() => Ok(Some(rows)),
            _ if answer.status == 400 && answer.message().contains("not found") => Ok(None),
            _ => Err(self.failed(attempt, &answer)),
        }
    }
}
