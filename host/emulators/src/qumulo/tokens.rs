//! Access tokens: long-lived, kept over restarts. Only their digests are kept, so the text of one is
//! told once.

use axum::body::Body;
use axum::http::{Method, Response, StatusCode};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::answer::{Class, Refusal, empty, json_ok};
use super::api::Server;
use super::call::{Call, Failure, Fields};
use super::session::{USER_ID, random_text};
use super::store::{Store, rfc3339_ms};
use crate::clock::{now_ms, parse};

/// At most so many for a user, `qumulo-api.md` section 2.
const MAX_TOKENS: i64 = 2;

struct Token {
    id: String,
    creation_ms: i64,
    expiration_ms: Option<i64>,
    enabled: bool,
}

impl Token {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { id: row.get(0)?, creation_ms: row.get(1)?, expiration_ms: row.get(2)?, enabled: row.get(3)? })
    }

    fn tell(&self, server: &Server) -> Value {
        json!({
            "id": self.id, "user": server.sessions.identity(), "creator": server.sessions.identity(),
            "creation_time": rfc3339_ms(self.creation_ms), "expiration_time": self.expiration_ms.map(rfc3339_ms),
            "enabled": self.enabled,
        })
    }
}

/// Whether this is an access token that may be used.
pub(super) fn is_valid(store: &Store, token: &str) -> Result<bool, Refusal> {
    let sql = "SELECT 1 FROM access_tokens \
               WHERE digest = ?1 AND enabled AND (expiration_ms IS NULL OR expiration_ms > ?2)";
    store.with_db(|db| db.prepare_cached(sql)?.exists(params![digest(token), now_ms()]))
}

/// `/v1/auth/access-tokens/`.
pub(super) async fn tokens(server: &Server, call: &mut Call) -> Result<Response<Body>, Failure> {
    match call.method {
        Method::GET => {
            // With two at most, there is one page.
            let user = call.query.get("user");
            let is_own =
                user.is_none_or(|user| [USER_ID, server.sessions.user()].contains(&user) || user.contains(USER_ID));
            let all = if is_own { server.run(|store| all(store)).await? } else { Vec::new() };
            let after = call.query.get("after").unwrap_or_default();
            let entries: Vec<Value> =
                all.iter().filter(|token| token.id.as_str() > after).map(|token| token.tell(server)).collect();
            Ok(json_ok(&json!({ "entries": entries, "paging": { "next": "" } })))
        }
        Method::POST => {
            let fields = call.object().await?;
            let user = fields.0.get("user").filter(|user| user.is_object());
            let user = user.ok_or_else(|| Refusal::new(Class::Decode, "expected a field `user`"))?;
            if !server.sessions.is_user(user) {
                return Err(Refusal::new(Class::NotFound, "there is no such user").into());
            }
            let expiration_ms = expiration(&fields)?.flatten();
            let id = format!("{:016x}", rand::random::<u64>());
            let token = format!("access-v1:{}", random_text());
            let sql = "INSERT INTO access_tokens (id, digest, creation_ms, expiration_ms, enabled) \
                       SELECT ?1, ?2, ?3, ?4, 1 WHERE (SELECT COUNT(*) FROM access_tokens) < ?5";
            let (own, digest) = (id.clone(), digest(&token));
            let insert =
                move |db: &Connection| db.execute(sql, params![own, digest, now_ms(), expiration_ms, MAX_TOKENS]);
            if server.run(|store| store.with_db(insert)).await? == 0 {
                let text = format!("a user has at most {MAX_TOKENS} access tokens");
                return Err(Refusal::new(Class::TokenLimit, text).into());
            }
            Ok(json_ok(&json!({ "id": id, "bearer_token": token })))
        }
        _ => Err(call.no_method()),
    }
}

/// `/v1/auth/access-tokens/{id}`.
pub(super) async fn token(server: &Server, call: &mut Call, id: &str) -> Result<Response<Body>, Failure> {
    let id = id.to_owned();
    let mut token = server.run(move |store| one(store, &id)).await?;
    let id = token.id.clone();
    match call.method {
        Method::GET => {}
        Method::PATCH => {
            let fields = call.object().await?;
            if let Some(at) = expiration(&fields)? {
                token.expiration_ms = at;
            }
            token.enabled = fields.flag("enabled")?.unwrap_or(token.enabled);
            let sql = "UPDATE access_tokens SET expiration_ms = ?2, enabled = ?3 WHERE id = ?1";
            let (at, enabled) = (token.expiration_ms, token.enabled);
            server.run(move |store| store.with_db(|db| db.execute(sql, params![id, at, enabled]))).await?;
        }
        Method::DELETE => {
            let sql = "DELETE FROM access_tokens WHERE id = ?1";
            server.run(move |store| store.with_db(|db| db.execute(sql, [id]))).await?;
            return Ok(empty(StatusCode::OK));
        }
        _ => return Err(call.no_method()),
    }
    Ok(json_ok(&token.tell(server)))
}

/// The expiration time in a body: absent, `null` or empty for never, or milliseconds.
fn expiration(fields: &Fields) -> Result<Option<Option<i64>>, Refusal> {
    if !fields.0.contains_key("expiration_time") {
        return Ok(None);
    }
    let text = fields.maybe_text("expiration_time")?.unwrap_or_default();
    if text.is_empty() {
        return Ok(Some(None));
    }
    let at = parse(text).ok_or_else(|| Refusal::new(Class::Decode, "field `expiration_time` is not a time"))?;
    Ok(Some(Some(at)))
}

fn all(store: &Store) -> Result<Vec<Token>, Refusal> {
    let sql = "SELECT id, creation_ms, expiration_ms, enabled FROM access_tokens ORDER BY id";
    store.with_db(|db| db.prepare_cached(sql)?.query_map([], Token::read)?.collect())
}

fn one(store: &Store, id: &str) -> Result<Token, Refusal> {
    let sql = "SELECT id, creation_ms, expiration_ms, enabled FROM access_tokens WHERE id = ?1";
    let found = store.with_db(|db| db.prepare_cached(sql)?.query_row([id], Token::read).optional())?;
    found.ok_or_else(|| Refusal::new(Class::NotFound, "there is no such access token"))
}

fn digest(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}
