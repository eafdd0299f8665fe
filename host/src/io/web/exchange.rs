//! One request with its redirects: each hop is checked, sent, and its answer read within bounds.

use super::credentials::{Credentials, Masks};
use super::failure::{explain, masked, not_granted, not_reached, shown};
use super::hop::{Hop, MAX_HEADER_BYTES, MAX_HEADERS, leads_on};
use crate::ports::http::{HttpFailure, HttpGrant, HttpRequest, HttpResponse, Target, refused};
use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Response, StatusCode, Url};

/// As many as a server that means well needs.
const MAX_REDIRECTS: usize = 5;

type Answer<T> = Result<T, HttpFailure>;

/// A client, and what it may be used for.
pub(super) struct Exchange {
    pub(super) client: reqwest::Client,
    pub(super) grant: HttpGrant,
    pub(super) credentials: Credentials,
}

impl Exchange {
    /// Sends a request, and after it where its answers lead.
    pub(super) async fn follow(&self, request: HttpRequest) -> Answer<HttpResponse> {
        let mut hop = Hop::first(request, self.grant.max_request_bytes)?;
        let mut masks = Masks::default();
        for _ in 0..=MAX_REDIRECTS {
            match self.ask(&hop, &mut masks).await.map_err(|failure| masked(failure, &masks))? {
                Outcome::Answered(answer) => return Ok(answer),
                Outcome::LedOn(status, url) => hop = hop.led_to(status, url),
            }
        }
        let text = format!("{}: led on more than {MAX_REDIRECTS} times", shown(&hop.url));
        Err(masked(HttpFailure::Other(text), &masks))
    }

    /// One hop.
    async fn ask(&self, hop: &Hop, masks: &mut Masks) -> Answer<Outcome> {
        let headers = self.check(hop, masks)?;
        let at = shown(&hop.url);
        let mut request = self.client.request(hop.method.clone(), hop.url.clone()).headers(headers);
        if let Some(body) = &hop.body {
            request = request.body(body.clone());
        }
        let answer = request.send().await.map_err(|error| explain(&at, &error))?;
        let status = answer.status();
        let location = answer.headers().get(LOCATION).filter(|_| leads_on(status));
        // What leads nowhere is an answer as any other.
        let next = location.and_then(|to| hop.url.join(to.to_str().ok()?).ok());
        match next {
            Some(url) => Ok(Outcome::LedOn(status, url)),
            None => Ok(Outcome::Answered(self.read(&at, answer, masks).await?)),
        }
    }

    /// Checks a hop against what is granted; its headers, with the host's.
    fn check(&self, hop: &Hop, masks: &mut Masks) -> Answer<HeaderMap> {
        let (url, denied) = (&hop.url, |text: String| HttpFailure::Denied(text));
        let (true, Some(host), Some(port)) =
            (matches!(url.scheme(), "http" | "https"), url.host_str(), url.port_or_known_default())
        else {
            return Err(denied(format!("scheme `{}`, expected `http` or `https`", url.scheme())));
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(denied("a user or password in the URL, expected none: credentials are the host's".to_owned()));
        }
        let target = Target { method: hop.method.as_str(), scheme: url.scheme(), host, port, path: url.path() };
        if !self.grant.allow.iter().any(|rule| rule.matches(&target)) {
            return Err(not_granted(&hop.method, url));
        }
        // Only names are resolved, and checked there.
        if let Some(refused) = target.address().and_then(|address| refused(address, &self.grant.networks)) {
            return Err(not_reached(&shown(url), refused));
        }
        let mut headers = hop.headers.clone();
        for credential in self.credentials.of(&target) {
            let name = &credential.name;
            if headers.contains_key(name) {
                return Err(denied(format!("header `{name}` of `{}` is the host's to set", shown(url))));
            }
            masks.add(credential);
            headers.insert(name, credential.value.clone());
        }
        Ok(headers)
    }

    async fn read(&self, at: &str, mut answer: Response, masks: &Masks) -> Answer<HttpResponse> {
        let sizes = answer.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
        let (found, bytes) = (answer.headers().len(), sizes.sum::<usize>());
        if found > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
            return Err(HttpFailure::TooLarge(format!(
                "the answer of {at} has {found} headers of {bytes} bytes, the limits are {MAX_HEADERS} and \
                 {MAX_HEADER_BYTES}"
            )));
        }
        let mut headers = Vec::with_capacity(found);
        for (name, value) in answer.headers() {
            headers.push((name.as_str().to_owned(), masks.over(value.as_bytes().to_vec())));
        }
        let most = self.grant.max_response_bytes;
        let too_large = || HttpFailure::TooLarge(format!("the answer of {at} has more than {most} bytes"));
        if answer.content_length().is_some_and(|length| length > u64::try_from(most).unwrap_or(u64::MAX)) {
            return Err(too_large());
        }
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| explain(at, &error))? {
            if piece.len() > most.saturating_sub(body.len()) {
                return Err(too_large());
            }
            body.extend_from_slice(&piece);
        }
        Ok(HttpResponse { status: answer.status().as_u16(), headers, body: masks.over(body) })
    }
}

/// What comes of a hop.
enum Outcome {
    Answered(HttpResponse),
    LedOn(StatusCode, Url),
}
