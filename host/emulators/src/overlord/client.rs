//! One GET as Java's URLConnection does it: its headers, its redirects.
//!
//! Invariant: every wait has a bound, and the connection ends with its answer.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{ACCEPT, AUTHORIZATION, CONNECTION, HOST, LOCATION, RANGE, USER_AGENT};
use axum::http::{HeaderMap, HeaderValue, Request, Response, Uri};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Java's `http.maxRedirects`.
const MAX_REDIRECTS: usize = 20;

/// The value of an `Authorization` header.
pub(super) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// An answer whose body is still to come.
pub(super) struct Answer {
    pub(super) response: Response<Incoming>,
    /// Drives the connection.
    _connection: JoinSet<()>,
}

impl Answer {
    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// When the connection broke, or was silent for `silence`.
    pub(super) async fn piece(&mut self, silence: Duration) -> Result<Option<bytes::Bytes>, Broken> {
        let body = self.response.body_mut();
        loop {
            let next = std::future::poll_fn(|context| std::pin::Pin::new(&mut *body).poll_frame(context));
            match timeout(silence, next).await {
                Err(_) => return Err(Broken::Other("Read timed out".to_owned())),
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) => return Ok(Some(bytes)),
                    Err(_trailers) => {}
                },
                Ok(Some(Err(error))) => return Err(Broken::new(error)),
            }
        }
    }
}

/// Why a body broke off.
pub(super) enum Broken {
    /// The connection was closed in order before the body had its length.
    Short(String),
    Other(String),
}

impl Broken {
    fn new(error: hyper::Error) -> Self {
        let mut cause = std::error::Error::source(&error);
        let is_short = loop {
            match cause {
                None => break false,
                Some(inner) => match inner.downcast_ref::<std::io::Error>() {
                    Some(io) => break io.kind() == std::io::ErrorKind::UnexpectedEof,
                    None => cause = inner.source(),
                },
            }
        };
        let text = format!("Premature EOF: {error}");
        if is_short { Self::Short(text) } else { Self::Other(text) }
    }
}

/// Asks for `uri` from `offset`, following redirects within http. `headers` go along everywhere.
///
/// # Errors
/// When there is no answer.
pub(super) async fn get(uri: &Uri, headers: &HeaderMap, offset: u64, silence: Duration) -> Result<Answer, String> {
    let mut uri = uri.clone();
    for _ in 0..=MAX_REDIRECTS {
        let answer = get_once(&uri, headers, offset, silence).await?;
        // Those that Java 17 follows, so not 308.
        if !matches!(answer.response.status().as_u16(), 300..=303 | 307) {
            return Ok(answer);
        }
        let Some(next) = redirected(&uri, answer.response.headers()) else {
            return Ok(answer);
        };
        uri = next;
    }
    Err(format!("Server redirected too many times ({MAX_REDIRECTS})"))
}

/// Where to go; `None` for nowhere, or out of http, where Java does not follow.
fn redirected(from: &Uri, headers: &HeaderMap) -> Option<Uri> {
    let location = headers.get(LOCATION)?.to_str().ok()?;
    let next: Uri = match location.strip_prefix('/') {
        Some(path) => format!("http://{}/{path}", from.authority()?).parse().ok()?,
        None => location.parse().ok()?,
    };
    (next.scheme_str() == Some("http")).then_some(next)
}

async fn get_once(uri: &Uri, headers: &HeaderMap, offset: u64, silence: Duration) -> Result<Answer, String> {
    let host = uri.host().unwrap_or_default();
    let port = uri.port_u16().unwrap_or(80);
    let connect = async {
        let stream = TcpStream::connect((host.trim_start_matches('[').trim_end_matches(']'), port)).await;
        let stream = stream.map_err(|error| format!("Connection to {host}:{port} failed: {error}"))?;
        let mut builder = http1::Builder::new();
        let shaken = builder.title_case_headers(true).handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.map_err(|error| error.to_string())?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a source of rows ended early");
            }
        });
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::get(path).body(Body::empty()).map_err(|error| error.to_string())?;
        *request.headers_mut() = with_javas(headers, host, port, offset);
        let response = sender.send_request(request).await.map_err(|error| format!("no answer: {error}"))?;
        Ok(Answer { response, _connection: driver })
    };
    timeout(silence, connect).await.unwrap_or_else(|_| Err("Read timed out".to_owned()))
}

/// The headers in the order in which a real Druid 33 sends them.
fn with_javas(own: &HeaderMap, host: &str, port: u16, offset: u64) -> HeaderMap {
    let mut headers = own.clone();
    let mut put = |name, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    };
    put(RANGE, &format!("bytes={offset}-"));
    put(USER_AGENT, "Java/17.0.0");
    put(HOST, &if port == 80 { host.to_owned() } else { format!("{host}:{port}") });
    put(ACCEPT, "text/html, image/gif, image/jpeg, */*; q=0.2");
    put(CONNECTION, "keep-alive");
    headers
}

/// Adds an `Authorization` header, which `Debug` hides.
pub(super) fn authorize(headers: &mut HeaderMap, user: &str, password: &str) {
    if let Ok(mut value) = HeaderValue::from_str(&basic(user, password)) {
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
}
