//! Who may ask: HTTP Basic or a bearer token, whichever is configured.

use crate::secret::Secret;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::sync::Arc;

/// Who may ask; nobody is named: everyone.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// User and password.
    pub basic: Option<(String, Secret)>,
    /// Bearer token.
    pub token: Option<Secret>,
}

impl Access {
    /// Whether everyone may.
    pub fn is_open(&self) -> bool {
        self.basic.is_none() && self.token.is_none()
    }

    fn lets_in(&self, headers: &HeaderMap) -> bool {
        let Some(given) = headers.get(AUTHORIZATION) else { return self.is_open() };
        let Some((scheme, given)) = given.to_str().ok().and_then(|given| given.split_once(' ')) else { return false };
        let given = given.trim();
        let is_basic = scheme.eq_ignore_ascii_case("basic")
            && self.basic.as_ref().is_some_and(|(user, password)| {
                let expected = format!("{user}:{}", password.expose());
                BASE64_STANDARD.decode(given).is_ok_and(|given| is_same(&given, expected.as_bytes()))
            });
        let is_token = scheme.eq_ignore_ascii_case("bearer")
            && self.token.as_ref().is_some_and(|token| is_same(given.as_bytes(), token.expose().as_bytes()));
        self.is_open() || is_basic || is_token
    }
}

/// Digests are compared, so that the time says nothing about how much was right.
fn is_same(given: &[u8], expected: &[u8]) -> bool {
    Sha256::digest(given) == Sha256::digest(expected)
}

/// Answers 401 to who may not.
pub(super) async fn check(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    if access.lets_in(request.headers()) {
        return next.run(request).await;
    }
    let mut response =
        (StatusCode::UNAUTHORIZED, "not allowed: expected `Authorization` with what is configured\n").into_response();
    response
        .headers_mut()
        .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"batches\", charset=\"UTF-8\""));
    response
}

/// A page elsewhere can have its own name lead here; it is not what a person typed to come here.
pub(super) async fn check_host(request: Request, next: Next) -> Response {
    let named = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = named.rsplit_once(':').map_or(named, |(name, port)| if port.ends_with(']') { named } else { name });
    let name = name.trim_start_matches('[').trim_end_matches(']');
    match name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok() {
        true => next.run(request).await,
        false => (StatusCode::MISDIRECTED_REQUEST, "expected this machine's address or `localhost`\n").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, text).unwrap();
        Secret::resolve("test", &format!("file:{}", path.display())).unwrap()
    }

    #[test]
    fn only_what_is_configured_lets_in() {
        let both = Access { basic: Some(("druid".to_owned(), secret("p:w"))), token: Some(secret("abc")) };
        let check = |access: &Access, given: Option<&str>, expected: bool| {
            let mut headers = HeaderMap::new();
            if let Some(given) = given {
                headers.insert(AUTHORIZATION, given.parse().unwrap());
            }
            assert_eq!(access.lets_in(&headers), expected, "{given:?}");
        };
        let basic = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
        check(&both, Some(&basic("druid:p:w")), true);
        check(&both, Some(&basic("druid:p:w").replace("Basic", "basic")), true);
        check(&both, Some("Bearer abc"), true);
        for wrong in
            ["Bearer abd", "Bearer", "Bearer ", "Basic abc", "abc", "Basic !", &basic("druid:pw"), &basic("root:p:w")]
        {
            check(&both, Some(wrong), false);
        }
        check(&both, None, false);
        let token = Access { basic: None, token: Some(secret("abc")) };
        check(&token, Some(&basic("druid:p:w")), false);
        check(&Access::default(), None, true);
        check(&Access::default(), Some("Bearer x"), true);
    }
}
