//! Who is there: logins, session tokens, and what the signed-in user is told of himself.
//!
//! Invariants: session tokens end with the process, as a restart of a node may end them; their
//! number is bounded; a login never looks at a token.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Response};
use serde_json::{Value, json};

use super::answer::{Class, Refusal, json_ok};
use super::call::{Call, Failure};
use crate::clock::now_ms;
use crate::lock;

/// How many sessions there are at a time; the oldest give way.
const MAX_SESSIONS: usize = 10_000;
/// The one user there is.
pub(super) const USER_ID: &str = "500";
const SID: &str = "S-1-5-21-1427233373-3085120446-2867429417-500";

/// The user and those who have logged in as him.
pub(super) struct Sessions {
    user: String,
    password: String,
    life: Duration,
    /// Tokens with the millisecond at which they end.
    tokens: Mutex<HashMap<String, i64>>,
}

impl Sessions {
    pub(super) fn new(user: String, password: String, life: Duration) -> Self {
        Self { user, password, life, tokens: Mutex::default() }
    }

    pub(super) fn user(&self) -> &str {
        &self.user
    }

    pub(super) fn password(&self) -> &str {
        &self.password
    }

    /// `POST /v1/session/login`.
    ///
    /// # Errors
    /// Class `NotSignedIn` for another user or password.
    pub(super) async fn login(&self, call: &mut Call) -> Result<Response<Body>, Failure> {
        let fields = call.object().await?;
        let (user, password) = (fields.text("username")?, fields.text("password")?);
        if user != self.user || password != self.password {
            return Err(Refusal::new(Class::NotSignedIn, "another user or password").into());
        }
        let token = format!("1:{}", random_text());
        let now = now_ms();
        let mut tokens = lock(&self.tokens);
        tokens.retain(|_, end| *end > now);
        if tokens.len() >= MAX_SESSIONS {
            let oldest = tokens.iter().min_by_key(|(_, end)| **end).map(|(token, _)| token.clone());
            oldest.map(|oldest| tokens.remove(&oldest));
        }
        let life = i64::try_from(self.life.as_millis()).unwrap_or(i64::MAX);
        tokens.insert(token.clone(), now.saturating_add(life));
        drop(tokens);
        Ok(json_ok(&json!({ "bearer_token": token })))
    }

    /// Whether this is the token of a session that has not ended.
    pub(super) fn knows(&self, token: &str) -> bool {
        lock(&self.tokens).get(token).is_some_and(|end| *end > now_ms())
    }

    /// Ends all sessions.
    pub(super) fn end_all(&self) {
        lock(&self.tokens).clear();
    }

    /// `GET /v1/session/who-am-i`.
    pub(super) fn who_am_i(&self) -> Response<Body> {
        json_ok(&json!({
            "id": USER_ID, "name": self.user, "primary_group": "513", "sid": SID, "uid": "0",
            "home_directory": null, "can_change_password": true,
            "privileges": [
                "PRIVILEGE_FILE_FULL_ACCESS", "PRIVILEGE_FS_ATTRIBUTES_READ", "PRIVILEGE_FS_DELETE_TREE_READ",
                "PRIVILEGE_FS_DELETE_TREE_WRITE", "PRIVILEGE_ACCESS_TOKENS_READ", "PRIVILEGE_ACCESS_TOKENS_WRITE",
                "PRIVILEGE_SNAPSHOT_READ", "PRIVILEGE_SNAPSHOT_WRITE", "PRIVILEGE_FS_SETTINGS_READ",
                "PRIVILEGE_FS_SETTINGS_WRITE",
            ],
        }))
    }

    /// The user as tokens name him.
    pub(super) fn identity(&self) -> Value {
        json!({
            "domain": "LOCAL", "auth_id": USER_ID, "uid": null, "gid": null, "sid": SID, "name": self.user,
        })
    }

    /// Whether a request means the user by this identity, of which any part is enough.
    pub(super) fn is_user(&self, identity: &Value) -> bool {
        let own = self.identity();
        let parts = ["auth_id", "sid", "name"];
        let given = parts.iter().filter(|part| identity.get(**part).is_some_and(|value| !value.is_null()));
        let mut given = given.peekable();
        given.peek().is_some() && given.all(|part| identity.get(*part) == own.get(*part))
    }
}

/// The bearer token of a request.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// 256 random bits as a text, which nobody guesses.
pub(super) fn random_text() -> String {
    rand::random::<[u8; 32]>().iter().map(|byte| format!("{byte:02x}")).collect()
}
