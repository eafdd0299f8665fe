//! The host's credentials as headers, and keeping them from the guest.
//!
//! A server may send back what it was sent: in a redirect's address, in an error's text, in a page that lists a
//! request's headers. Such echoes are masked in headers and body alike: a body is in memory anyway and gone through once
//! for each secret, and it is the body that a guest makes records of. A body with a secret in it is changed by that;
//! one without never is. It is no defence against a server that wants to give a secret away and writes it backwards:
//! whom a credential is sent to has it.

use crate::error::{Error, Result};
use crate::ports::http::{Credential, CredentialKind, Rule, Target};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{HeaderName, HeaderValue};

/// What is shorter is found by chance in what has nothing to do with it.
const MIN_MASKED: usize = 6;
/// RFC 3986's unreserved characters stand for themselves.
const IN_URL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const MASK: &[u8] = b"***";

/// A credential as it is sent.
pub(super) struct Prepared {
    rule: Rule,
    pub(super) name: HeaderName,
    pub(super) value: HeaderValue,
    /// What must not be shown.
    secrets: Vec<Vec<u8>>,
}

impl Prepared {
    fn new(credential: &Credential) -> Result<Self> {
        let (secret, value, encoded) = match &credential.kind {
            CredentialKind::Bearer(token) => (token, format!("Bearer {}", token.expose()), None),
            CredentialKind::Header(_, value) => (value, value.expose().to_owned(), None),
            CredentialKind::Basic(user, password) => {
                let encoded = STANDARD.encode(format!("{user}:{}", password.expose()));
                (password, format!("Basic {encoded}"), Some(encoded))
            }
        };
        let wrong = || {
            let name = credential.header_name();
            let text = format!("the secret for header `{name}` of `{}` cannot be sent in a header", credential.rule);
            Error::config(text).with_hint("is there a line break in it?")
        };
        let name = HeaderName::from_bytes(credential.header_name().as_bytes()).map_err(|_| wrong())?;
        let mut value = HeaderValue::from_str(&value).map_err(|_| wrong())?;
        // Kept out of logs, and out of HTTP/2's tables of headers.
        value.set_sensitive(true);
        let in_url = utf8_percent_encode(secret.expose(), IN_URL).to_string();
        let secrets = [Some(secret.expose().to_owned()), Some(in_url), encoded].into_iter().flatten();
        let secrets = secrets.filter(|secret| secret.len() >= MIN_MASKED).map(String::into_bytes).collect();
        Ok(Prepared { rule: credential.rule.clone(), name, value, secrets })
    }
}

/// A connector's credentials.
pub(super) struct Credentials(Vec<Prepared>);

impl Credentials {
    /// # Errors
    /// Class Config: a secret that cannot be sent.
    pub(super) fn new(credentials: &[Credential]) -> Result<Self> {
        Ok(Credentials(credentials.iter().map(Prepared::new).collect::<Result<_>>()?))
    }

    /// Those for a request, one for each header.
    pub(super) fn of(&self, target: &Target<'_>) -> Vec<&Prepared> {
        let mut chosen: Vec<&Prepared> = Vec::new();
        for credential in self.0.iter().filter(|credential| credential.rule.matches(target)) {
            if !chosen.iter().any(|other| other.name == credential.name) {
                chosen.push(credential);
            }
        }
        chosen
    }
}

/// The secrets that went with a request and those before it: a server that got one may hand it to the next.
#[derive(Default)]
pub(super) struct Masks(Vec<Vec<u8>>);

impl Masks {
    pub(super) fn add(&mut self, credential: &Prepared) {
        for secret in &credential.secrets {
            if !self.0.contains(secret) {
                self.0.push(secret.clone());
            }
        }
        // One may be within another, of which no rest must remain.
        self.0.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    }

    /// A text without the secrets. Takes time in proportion to its length, however often they are in it.
    pub(super) fn over(&self, text: Vec<u8>) -> Vec<u8> {
        self.0.iter().fold(text, |text, secret| replaced(text, secret))
    }

    /// [`Masks::over`] for what people read.
    pub(super) fn over_text(&self, text: String) -> String {
        // Only ever a part of UTF-8 is replaced that is UTF-8 itself.
        String::from_utf8_lossy(&self.over(text.into_bytes())).into_owned()
    }
}

fn replaced(text: Vec<u8>, secret: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut end = 0;
    for at in memmem::find_iter(&text, secret) {
        kept.extend_from_slice(text.get(end..at).unwrap_or_default());
        kept.extend_from_slice(MASK);
        end = at + secret.len();
    }
    if end == 0 {
        return text;
    }
    kept.extend_from_slice(text.get(end..).unwrap_or_default());
    kept
}
