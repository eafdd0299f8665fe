//! Requests and answers: sessions, the pool of connections, time-outs, and repeating what may be
//! repeated.
//!
//! Invariants: nothing is sent before the first call, which logs in; a 401 leads to one new login
//! and one repeat of the request, whoever else has logged in meanwhile; an answer is never longer in
//! memory than [`MAX_ANSWER_BYTES`]; redirects are not followed and no proxy is used, because the
//! token would go with the request; without TLS only this machine is talked to.

use super::backoff::Tries;
use super::failure::{Failure, Refusal};
use super::{tls, wire};
use crate::error::{Error, OrError, Result, innermost};
use crate::ports::qumulo::{Credentials, QumuloSettings, Tls};
use bytes::{Bytes, BytesMut};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, IF_MATCH, RETRY_AFTER};
use reqwest::{Method, Response};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// A page of 1000 attributes is some 1.5 MB.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// A node on the same network answers a dial at once or is not there.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Clusters keep idle connections for minutes; a connection must not be found closed too often.
const IDLE_CONNECTION: Duration = Duration::from_secs(60);
/// Connections that stay open; a node serves 1000 in all.
const IDLE_CONNECTIONS: usize = 16;
/// Time granted for a body on top of the call's, per byte: 256 KiB/s is a cluster in trouble.
const SLOWEST_BYTES_PER_SECOND: u64 = 256 << 10;

/// What a request carries.
#[derive(Clone)]
pub(super) enum Payload {
    Nothing,
    Json(Bytes),
    Data(Bytes),
}

/// One request.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) method: Method,
    /// Path and query, encoded.
    pub(super) target: String,
    pub(super) payload: Payload,
    /// The state of the file that the request is for.
    pub(super) if_match: Option<String>,
}

impl Request {
    pub(super) fn new(method: Method, target: String) -> Self {
        Request { method, target, payload: Payload::Nothing, if_match: None }
    }

    pub(super) fn get(target: String) -> Self {
        Request::new(Method::GET, target)
    }

    pub(super) fn post(target: String, body: &impl Serialize) -> Result<Self> {
        Ok(Request { payload: Payload::Json(wire::json(body)?), ..Request::new(Method::POST, target) })
    }

    fn data_bytes(&self) -> usize {
        match &self.payload {
            Payload::Data(bytes) => bytes.len(),
            _ => 0,
        }
    }
}

/// A whole answer.
pub(super) struct Answer {
    pub(super) etag: Option<String>,
    pub(super) body: Bytes,
}

#[derive(Serialize)]
struct Login<'a> {
    username: &'a str,
    password: &'a str,
}

#[derive(Deserialize)]
struct LoggedIn {
    bearer_token: String,
}

/// A cluster as one user.
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    credentials: Credentials,
    tls: Tls,
    call_timeout: Duration,
    retry_for: Duration,
    token: Mutex<Option<Arc<str>>>,
}

impl Client {
    pub(super) fn new(settings: &QumuloSettings) -> Result<Self> {
        let (host, port) = (&settings.host, settings.port);
        let scheme = if settings.tls == Tls::None { "http" } else { "https" };
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let base = format!("{scheme}://{host}:{port}");
        let address = reqwest::Url::parse(&base).or_config(format!("Qumulo address `{host}`"))?;
        if address.path() != "/" || !address.username().is_empty() || address.query().is_some() {
            return Err(Error::config(format!("Qumulo address `{host}`: expected the name of a host alone")));
        }
        if settings.tls == Tls::None && !is_this_machine(&settings.host) {
            return Err(Error::config(format!(
                "Qumulo address `{host}`: expected TLS for everything but this machine"
            ))
            .with_hint("without TLS the password can be read on the way"));
        }
        if settings.tls == Tls::AcceptAny {
            tracing::warn!(host, port, "any certificate is accepted: who is in between can read and change all files");
        }
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::client_config(&settings.tls)?)
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(DIAL_TIMEOUT.min(settings.call_timeout))
            .pool_idle_timeout(IDLE_CONNECTION)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .tcp_keepalive(Duration::from_secs(30))
            .build()
            .or_config(format!("Qumulo address `{host}`"))?;
        let (credentials, tls) = (settings.credentials.clone(), settings.tls.clone());
        let (call_timeout, retry_for) = (settings.call_timeout, settings.retry_for);
        Ok(Client { http, base, credentials, tls, call_timeout, retry_for, token: Mutex::new(None) })
    }

    /// The tries of one call.
    pub(super) fn tries(&self) -> Tries {
        Tries::new(self.retry_for)
    }

    /// Sends a request again until it is answered or enough is enough. Only for what may be done
    /// twice.
    pub(super) async fn repeat(&self, request: &Request) -> Result<Answer, Failure> {
        let mut tries = self.tries();
        loop {
            match self.call(request).await {
                Err(failure) if failure.is_transient() => self.pause(&mut tries, request, failure).await?,
                other => return other,
            }
        }
    }

    /// Waits before the next try of a request.
    ///
    /// # Errors
    /// The failure itself when there are no more.
    pub(super) async fn pause(&self, tries: &mut Tries, request: &Request, failure: Failure) -> Result<(), Failure> {
        let Some(wait) = tries.next_wait(failure.wait()) else { return Err(failure) };
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let error = failure.into_error();
        tracing::debug!(method = %request.method, %error, wait_ms, "request to the Qumulo cluster is repeated");
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Sends a request once and reads the whole answer.
    pub(super) async fn call(&self, request: &Request) -> Result<Answer, Failure> {
        let body_bytes = u64::try_from(request.data_bytes()).unwrap_or(u64::MAX);
        let within = self.call_timeout + Duration::from_secs(body_bytes / SLOWEST_BYTES_PER_SECOND);
        let exchange = async {
            let mut response = self.open(request).await?;
            let etag = etag(&response);
            let body = self.body(&mut response).await?;
            Ok(Answer { etag, body })
        };
        let late = |_| Failure::Lost(format!("no answer within {} ms", within.as_millis()));
        timeout(within, exchange).await.map_err(late)?
    }

    /// Sends a request and gives the answer whose body is still to come; errors are read to the end.
    pub(super) async fn open(&self, request: &Request) -> Result<Response, Failure> {
        let token = self.token(None).await?;
        match self.send(request, Some(&token)).await {
            Err(failure) if failure.status() == 401 => {
                let token = self.token(Some(&token)).await?;
                self.send(request, Some(&token)).await
            }
            other => other,
        }
    }

    /// As [`Client::open`], with an answer within the time of a call.
    pub(super) async fn open_in_time(&self, request: &Request) -> Result<Response, Failure> {
        let late = |_| Failure::Lost(format!("no answer within {} ms", self.call_timeout.as_millis()));
        timeout(self.call_timeout, self.open(request)).await.map_err(late)?
    }

    /// The token to go with a request; `refused` is the one that the cluster no longer takes.
    async fn token(&self, refused: Option<&str>) -> Result<Arc<str>, Failure> {
        let (user, password) = match &self.credentials {
            Credentials::AccessToken(token) if refused.is_none() => return Ok(Arc::from(token.expose())),
            Credentials::AccessToken(_) => {
                let error = Error::config("the cluster does not take the access token: status 401");
                return Err(error.with_hint("it may have expired, or been disabled or deleted").into());
            }
            Credentials::Password { user, password } => (user, password),
        };
        // Held over the login, so that many calls log in once.
        let mut held = self.token.lock().await;
        if let Some(token) = held.as_ref().filter(|token| Some(&***token) != refused) {
            return Ok(Arc::clone(token));
        }
        *held = None;
        let token: Arc<str> = Arc::from(self.login(user, password.expose()).await?);
        tracing::debug!(user, again = refused.is_some(), "logged in to the Qumulo cluster");
        *held = Some(Arc::clone(&token));
        Ok(token)
    }

    async fn login(&self, user: &str, password: &str) -> Result<String, Failure> {
        let request = Request::post("/v1/session/login".to_owned(), &Login { username: user, password })?;
        let exchange = async {
            let mut response = self.send(&request, None).await?;
            self.body(&mut response).await
        };
        let attempt = format!("logging in as `{user}`");
        let body = match timeout(self.call_timeout, exchange).await {
            Err(_) => {
                let within = self.call_timeout.as_millis();
                return Err(Failure::NotSent(format!("{attempt}: no answer within {within} ms")));
            }
            Ok(Ok(body)) => body,
            Ok(Err(failure)) => return Err(login_failure(failure, &attempt)),
        };
        let answer: LoggedIn = serde_json::from_slice(&body).map_err(|error| {
            let error = Error::config(format!("{attempt}: the answer of {} bytes is odd: {error}", body.len()));
            error.with_hint("is there a Qumulo cluster on this host and port?")
        })?;
        Ok(answer.bearer_token)
    }

    async fn send(&self, request: &Request, token: Option<&str>) -> Result<Response, Failure> {
        let mut builder = self.http.request(request.method.clone(), format!("{}{}", self.base, request.target));
        if let Some(token) = token {
            let mut value = reqwest::header::HeaderValue::from_str(&format!("Bearer {token}"))
                .or_config("the token holds a character that cannot be sent")?;
            value.set_sensitive(true);
            builder = builder.header(AUTHORIZATION, value);
        }
        if let Some(etag) = &request.if_match {
            builder = builder.header(IF_MATCH, etag);
        }
        builder = match &request.payload {
            Payload::Nothing => builder.header(CONTENT_TYPE, "application/json"),
            Payload::Json(body) => builder.header(CONTENT_TYPE, "application/json").body(body.clone()),
            Payload::Data(body) => builder.header(CONTENT_TYPE, "application/octet-stream").body(body.clone()),
        };
        let sent = builder.send().await;
        let mut response = sent.map_err(|error| Failure::of_exchange(&error, &self.tls))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let after = response.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.trim().parse().ok());
        let wait = after.map(Duration::from_secs);
        // The status says enough when the rest does not come.
        let body = self.body(&mut response).await.unwrap_or_default();
        Err(Failure::Refused(Refusal::new(status.as_u16(), &body, wait)))
    }

    async fn body(&self, response: &mut Response) -> Result<Bytes, Failure> {
        let mut body = BytesMut::new();
        loop {
            let chunk = response.chunk().await.map_err(|error| Failure::Lost(innermost(&error, error.is_timeout())))?;
            let Some(chunk) = chunk else { return Ok(body.freeze()) };
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(Error::retry(format!("answer of more than {MAX_ANSWER_BYTES} bytes")).into());
            }
            body.extend_from_slice(&chunk);
        }
    }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A login that did not succeed means that nothing of the call was done.
fn login_failure(failure: Failure, attempt: &str) -> Failure {
    match failure {
        Failure::Refused(refusal) if matches!(refusal.status, 400..500) && refusal.status != 429 => {
            let (status, sso) = (refusal.status, refusal.class == "auth_sso_required_error");
            let error = Failure::Refused(refusal).into_error();
            let hint = match status {
                _ if sso => "this cluster wants single sign-on: use an access token",
                400 | 401 | 403 => "check user and password",
                _ => "is there a Qumulo cluster on this host and port?",
            };
            Error::config(error.context(attempt).to_string()).with_hint(hint).into()
        }
        Failure::Refused(refusal) if refusal.status < 500 && refusal.status != 429 => {
            Failure::Refused(refusal).into_error().context(attempt).into()
        }
        Failure::Final(error) => error.context(attempt).into(),
        other => Failure::NotSent(other.into_error().context(attempt).to_string()),
    }
}

/// The state of the file that an answer is about, to be given back unchanged.
pub(super) fn etag(response: &Response) -> Option<String> {
    response.headers().get(ETAG).and_then(|etag| etag.to_str().ok()).map(str::to_owned)
}
