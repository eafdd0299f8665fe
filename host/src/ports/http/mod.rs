//! The HTTP port: requests that a guest may make, to the servers that its connector's configuration names.
//!
//! Everything is denied until it is granted, at three gates: a rule for method and URL ([`Rule`]), the range of the
//! address that is dialled ([`Network`]), and the headers that are the host's. A credential ([`Credential`]) is put on
//! behind them, where the guest does not see it.

mod network;
mod rule;

pub use network::{Network, Refused, refused};
pub use rule::{Rule, Target};

use crate::error::{Error, Result};
use crate::secret::Secret;
use std::path::PathBuf;
use std::time::Duration;

/// One request of a guest.
#[derive(Debug, Clone)]
pub struct HttpRequest {
    /// `GET`, `POST` and so on; case counts.
    pub method: String,
    /// Absolute, `http` or `https`, without user and password.
    pub url: String,
    /// Names and values in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body, if there is one.
    pub body: Option<Vec<u8>>,
    /// For all of it: redirects, and the answer's body.
    pub timeout: Duration,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpResponse {
    /// 200, 404 and so on.
    pub status: u16,
    /// Names in lower case and values, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body as it was sent, whole; what a server has compressed still is.
    pub body: Vec<u8>,
}

/// Why there is no answer. No text holds a credential, a query or a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpFailure {
    /// Not granted; the text says what would have to be.
    Denied(String),
    /// No such request can be: a URL, method or header that is none.
    Invalid(String),
    /// The time is over; whether the server did it is not known.
    Timeout(String),
    /// No answer came: name, connection, TLS, reset.
    Unreachable(String),
    /// Request or answer are larger than the limits.
    TooLarge(String),
    /// Anything else.
    Other(String),
}

/// Makes requests.
pub trait Http: Send + Sync {
    /// Sends a request and waits for the answer, whatever its status; follows redirects that are granted too. Blocks
    /// the thread, for the request's time and no more than two seconds longer. May be called from many at once.
    ///
    /// # Errors
    /// Why there is no answer.
    fn send(&self, request: HttpRequest) -> std::result::Result<HttpResponse, HttpFailure>;
}

/// What a connector may ask of whom.
#[derive(Debug, Clone)]
pub struct HttpGrant {
    /// Requests that may be made; none: none.
    pub allow: Vec<Rule>,
    /// Networks that may be reached although they are not public.
    pub networks: Vec<Network>,
    /// What the host puts on requests. Of several for one header, the first whose rule matches.
    pub credentials: Vec<Credential>,
    /// Bytes of an answer's body at most.
    pub max_response_bytes: usize,
    /// Bytes of a request's body at most.
    pub max_request_bytes: usize,
    /// Longest time of a request; longer ones are cut to it.
    pub max_timeout: Duration,
    /// PEM file of certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// A credential and the requests it is put on.
#[derive(Debug, Clone)]
pub struct Credential {
    /// Which requests.
    pub rule: Rule,
    /// What is put on.
    pub kind: CredentialKind,
}

/// What a credential is.
#[derive(Debug, Clone)]
pub enum CredentialKind {
    /// `Authorization: Bearer SECRET`.
    Bearer(Secret),
    /// `Authorization: Basic …` of this user.
    Basic(String, Secret),
    /// A header of this name, in lower case.
    Header(String, Secret),
}

impl Credential {
    /// A bearer token.
    pub fn bearer(rule: Rule, token: Secret) -> Self {
        Credential { rule, kind: CredentialKind::Bearer(token) }
    }

    /// A user's password.
    pub fn basic(rule: Rule, user: &str, password: Secret) -> Self {
        Credential { rule, kind: CredentialKind::Basic(user.to_owned(), password) }
    }

    /// A header of its own, such as `X-Api-Key`.
    ///
    /// # Errors
    /// Class Config: a name that cannot be a header's, or belongs to the connection.
    pub fn header(rule: Rule, name: &str, value: Secret) -> Result<Self> {
        let name = name.to_ascii_lowercase();
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if name.is_empty() || !name.chars().all(is_token) || belongs_to_connection(&name) {
            let found = name.escape_debug();
            let expected = "expected one that a request can carry, as in `x-api-key`";
            return Err(Error::config(format!("header `{found}`: {expected}")));
        }
        Ok(Credential { rule, kind: CredentialKind::Header(name, value) })
    }

    /// The header that it is in, in lower case.
    pub fn header_name(&self) -> &str {
        match &self.kind {
            CredentialKind::Bearer(_) | CredentialKind::Basic(..) => "authorization",
            CredentialKind::Header(name, _) => name,
        }
    }
}

/// Whether a header, in lower case, is the connection's and nobody else's to set: with these a request says where it
/// ends, or that what comes after it is another protocol.
pub fn belongs_to_connection(name: &str) -> bool {
    const OURS: &[&str] = &[
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    OURS.contains(&name) || name.starts_with("proxy-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credentials_header_is_one_that_a_request_can_carry() {
        let check = |name: &str, is_taken: bool| {
            let rule = Rule::parse("* https://example.org").unwrap();
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("secret");
            std::fs::write(&path, "hunter2").unwrap();
            let secret = Secret::resolve("test", &format!("file:{}", path.display())).unwrap();
            let credential = Credential::header(rule, name, secret);
            assert_eq!(credential.is_ok(), is_taken, "{name}");
            credential.is_ok_and(|credential| credential.header_name() == name.to_ascii_lowercase())
        };
        assert!(check("X-Api-Key", true) && check("cookie", true));
        for name in ["", "a b", "a:b", "é", "Host", "content-length", "Proxy-Authorization", "TE", "Expect"] {
            check(name, false);
        }
    }
}
