//! One request with its redirects.

use super::resolver::Forbidden;
use crate::error::innermost;
use crate::ports::http::{
    Credential, CredentialKind, HttpFailure, HttpGrant, HttpRequest, HttpResponse, Target, belongs_to_connection,
    refused_range,
};
use crate::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode, Url};
use std::net::IpAddr;

/// As many as a server that means well needs.
const MAX_REDIRECTS: usize = 5;
const MAX_URL_BYTES: usize = 8 << 10;
const MAX_HEADERS: usize = 100;
const MAX_HEADER_BYTES: usize = 64 << 10;
/// Secrets shorter than this are too likely to be in an answer by chance to be masked there.
const MIN_MASKED: usize = 8;
const MASK: &[u8] = b"***";

type Answer<T> = Result<T, HttpFailure>;

/// A client, and what it may be used for.
pub(super) struct Exchange {
    pub(super) client: reqwest::Client,
    pub(super) grant: HttpGrant,
}

/// A request on its way.
struct Hop {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Option<Vec<u8>>,
}

impl Exchange {
    /// Sends a request, and after it where its answers lead.
    pub(super) async fn follow(&self, request: HttpRequest) -> Answer<HttpResponse> {
        let mut hop = self.first(request)?;
        // Of this hop and those before: a server that was given one may hand it to the next.
        let mut secrets = Vec::new();
        for _ in 0..=MAX_REDIRECTS {
            let (answer, next) = self.ask(&hop, &mut secrets).await?;
            match next {
                None => return Ok(answer),
                Some((status, url)) => hop = hop.led_to(status, url),
            }
        }
        Err(HttpFailure::Other(format!("{} leads on more than {MAX_REDIRECTS} times", shown(&hop.url))))
    }

    fn first(&self, request: HttpRequest) -> Answer<Hop> {
        let invalid = |text: String| HttpFailure::Invalid(text);
        if request.url.len() > MAX_URL_BYTES {
            return Err(invalid(format!("a URL of {} bytes, expected at most {MAX_URL_BYTES}", request.url.len())));
        }
        let url = Url::parse(&request.url).map_err(|error| invalid(format!("no URL: {error}")))?;
        let method = Method::from_bytes(request.method.as_bytes());
        let method = method.map_err(|_| invalid("no method, expected for instance `GET`".to_owned()))?;
        let (found, most) = (request.body.as_ref().map_or(0, Vec::len), self.grant.max_request_bytes);
        if found > most {
            return Err(HttpFailure::TooLarge(format!("a body of {found} bytes, the limit is {most}")));
        }
        let bytes: usize = request.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if request.headers.len() > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
            let found = request.headers.len();
            return Err(HttpFailure::TooLarge(format!(
                "{found} headers of {bytes} bytes, expected at most {MAX_HEADERS} of {MAX_HEADER_BYTES}"
            )));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in request.headers {
            let shown = name.escape_debug();
            let no_header = |_| invalid(format!("`{shown}` and its value are no header"));
            let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| no_header(()))?;
            if belongs_to_connection(header.as_str()) {
                return Err(HttpFailure::Denied(format!("header `{header}` is the host's to set")));
            }
            headers.append(header, HeaderValue::from_bytes(&value).map_err(|_| no_header(()))?);
        }
        Ok(Hop { method, url, headers, body: request.body })
    }

    /// One hop: the answer, and where it leads.
    async fn ask(&self, hop: &Hop, secrets: &mut Vec<Vec<u8>>) -> Answer<(HttpResponse, Option<(StatusCode, Url)>)> {
        let headers = self.allowed(hop, secrets)?;
        let mut request = self.client.request(hop.method.clone(), hop.url.clone()).headers(headers);
        if let Some(body) = &hop.body {
            request = request.body(body.clone());
        }
        let at = shown(&hop.url);
        let mut answer = request.send().await.map_err(|error| explain(&at, &error))?;
        let status = answer.status();
        let location = answer.headers().get(LOCATION).filter(|_| leads_on(status));
        let next = location.and_then(|to| hop.url.join(to.to_str().ok()?).ok()).map(|url| (status, url));
        let mut headers = Vec::new();
        for (name, value) in answer.headers() {
            headers.push((name.as_str().to_owned(), masked(value.as_bytes().to_vec(), secrets)));
        }
        let mut body = Vec::new();
        let most = self.grant.max_response_bytes;
        let too_large = || HttpFailure::TooLarge(format!("the answer of {at} has more than {most} bytes"));
        if next.is_none() {
            if answer.content_length().is_some_and(|length| length > most as u64) {
                return Err(too_large());
            }
            while let Some(piece) = answer.chunk().await.map_err(|error| explain(&at, &error))? {
                if body.len() + piece.len() > most {
                    return Err(too_large());
                }
                body.extend_from_slice(&piece);
            }
        }
        Ok((HttpResponse { status: status.as_u16(), headers, body: masked(body, secrets) }, next))
    }

    /// Checks a hop against what is granted; its headers, with the host's.
    fn allowed(&self, hop: &Hop, secrets: &mut Vec<Vec<u8>>) -> Answer<HeaderMap> {
        let (url, denied) = (&hop.url, |text: String| HttpFailure::Denied(text));
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(denied(format!("scheme `{}`, expected `http` or `https`", url.scheme())));
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(denied("a user in the URL: credentials are the host's to set".to_owned()));
        }
        let target = Target { method: hop.method.as_str(), scheme: url.scheme(), host, port, path: url.path() };
        if !self.grant.allow.iter().any(|rule| rule.matches(&target)) {
            let method = &hop.method;
            return Err(denied(format!(
                "`{method} {}` is not granted; to grant it, add `{method} {}` to the connector's `http.allow`",
                shown(url),
                shown(url)
            )));
        }
        // Only names are resolved; an address is dialled as it stands.
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        if let Some(range) = address.and_then(|address| refused_range(address, &self.grant.networks)) {
            return Err(forbidden(&shown(url), range));
        }
        let mut headers = hop.headers.clone();
        for credential in self.grant.credentials.iter().filter(|credential| credential.rule.matches(&target)) {
            let name = credential.header_name();
            if headers.contains_key(name) {
                return Err(denied(format!("header `{name}` of `{}` is the host's to set", shown(url))));
            }
        }
        for credential in self.grant.credentials.iter().filter(|credential| credential.rule.matches(&target)) {
            let (name, value) = header_of(credential, secrets);
            let (Ok(name), Ok(mut value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value))
            else {
                return Err(HttpFailure::Other("a credential of the configuration cannot be a header".to_owned()));
            };
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(headers)
    }
}

impl Hop {
    /// The request that an answer leads to, in the way of browsers.
    fn led_to(mut self, status: StatusCode, url: Url) -> Self {
        let is_post = self.method == Method::POST;
        let becomes_get = match status {
            StatusCode::SEE_OTHER => self.method != Method::HEAD,
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => is_post,
            _ => false,
        };
        if becomes_get {
            (self.method, self.body) = (Method::GET, None);
            let of_body = ["content-type", "content-encoding", "content-language", "content-location"];
            of_body.iter().for_each(|name| drop(self.headers.remove(*name)));
        }
        if url.origin() != self.url.origin() {
            ["authorization", "cookie"].iter().for_each(|name| drop(self.headers.remove(*name)));
        }
        Hop { url, ..self }
    }
}

fn leads_on(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// The header of a credential; what of it is secret is kept, to be masked in answers.
fn header_of(credential: &Credential, secrets: &mut Vec<Vec<u8>>) -> (String, String) {
    let mut keep = |secret: &str| secrets.push(secret.as_bytes().to_vec());
    let value = match &credential.kind {
        CredentialKind::Bearer(token) => {
            keep(token.expose());
            format!("Bearer {}", token.expose())
        }
        CredentialKind::Header(_, value) => {
            keep(value.expose());
            value.expose().to_owned()
        }
        CredentialKind::Basic(user, password) => {
            let encoded = STANDARD.encode(format!("{user}:{}", Secret::expose(password)));
            keep(password.expose());
            keep(&encoded);
            format!("Basic {encoded}")
        }
    };
    (credential.header_name().to_owned(), value)
}

/// Without the secrets in it: a server that sends back what it was sent must not show them to the guest.
fn masked(mut text: Vec<u8>, secrets: &[Vec<u8>]) -> Vec<u8> {
    for secret in secrets.iter().filter(|secret| secret.len() >= MIN_MASKED) {
        while let Some(at) = memmem::find(&text, secret) {
            text.splice(at..at + secret.len(), MASK.iter().copied());
        }
    }
    text
}

/// A URL without its query, which may hold anything.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // A URL that has no user is as it was.
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    url.to_string()
}

fn forbidden(at: &str, range: &str) -> HttpFailure {
    HttpFailure::Denied(format!(
        "the address of `{at}` is {range}; to reach it, name its network in the connector's `http.networks`"
    ))
}

fn explain(at: &str, error: &reqwest::Error) -> HttpFailure {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(found) = cause {
        if let Some(Forbidden { range }) = found.downcast_ref() {
            return forbidden(at, range);
        }
        cause = found.source();
    }
    let text = format!("{at}: {}", innermost(error, error.is_timeout()));
    match error.is_timeout() {
        true => HttpFailure::Timeout(text),
        false => HttpFailure::Unreachable(text),
    }
}
