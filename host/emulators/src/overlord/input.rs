//! Where a task's rows come from: HTTP, the spec itself, or a data source that is here already.
//!
//! Invariant: a password is never in the text of an error, nor in `Debug`.

use std::collections::BTreeMap;

use axum::http::{HeaderName, HeaderValue, Uri};
use serde_json::Value;

use super::answer::Refusal;
use super::time::Interval;

/// The most URIs of a task. A real Druid's own bounds, section 6, are some hundreds.
const MAX_URIS: usize = 10_000;

/// An input source.
#[derive(Debug)]
pub(super) enum Input {
    Http(Http),
    Inline(String),
    /// Rows of a data source within an interval; `None` for all.
    Own {
        datasource: String,
        interval: Option<Interval>,
    },
}

/// An HTTP input source.
#[derive(Debug)]
pub(super) struct Http {
    pub(super) uris: Vec<Uri>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    login: Option<(String, Password)>,
}

enum Password {
    Plain(String),
    Environment(String),
}

impl std::fmt::Debug for Password {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plain(_) => out.write_str("***"),
            Self::Environment(variable) => write!(out, "environment variable `{variable}`"),
        }
    }
}

impl Http {
    /// User and password, looked up in `environment` and then in that of the process. `None` for a
    /// source without.
    pub(super) fn login(&self, environment: &BTreeMap<String, String>) -> Option<(&str, String)> {
        let (user, password) = self.login.as_ref()?;
        let password = match password {
            Password::Plain(password) => password.clone(),
            Password::Environment(variable) => {
                let found = environment.get(variable).cloned().or_else(|| std::env::var(variable).ok());
                found.unwrap_or_else(|| {
                    tracing::warn!(variable, "a task's password is in an environment variable that is not set");
                    // What Java makes of it, and the server will refuse.
                    "null".to_owned()
                })
            }
        };
        Some((user, password))
    }
}

impl Input {
    /// Reads an `inputSource`.
    ///
    /// # Errors
    /// 400 for what Druid refuses, and for what is not emulated.
    pub(super) fn read(source: &Value, allowed_headers: &[String]) -> Result<Self, Refusal> {
        let text = |key: &str| source.get(key).and_then(Value::as_str);
        match text("type") {
            Some("http") => Ok(Self::Http(http(source, allowed_headers)?)),
            Some("inline") => {
                let data =
                    text("data").ok_or_else(|| Refusal::invalid("inputSource.data of type inline is missing"))?;
                Ok(Self::Inline(data.to_owned()))
            }
            Some("druid") => {
                let missing = || Refusal::invalid("inputSource of type druid needs dataSource and interval");
                let interval = text("interval").and_then(Interval::parse).ok_or_else(missing)?;
                let datasource = text("dataSource").ok_or_else(missing)?.to_owned();
                Ok(Self::Own { datasource, interval: Some(interval) })
            }
            Some(other) => Err(Refusal::invalid(format!(
                "Could not resolve type id '{other}' as an input source: the emulator has [http, inline, druid]"
            ))),
            None => Err(Refusal::invalid("ioConfig.inputSource needs a type")),
        }
    }

    /// Reads a `firehose`, whose fields have the same names.
    ///
    /// # Errors
    /// As [`Input::read`].
    pub(super) fn read_firehose(firehose: &Value) -> Result<Self, Refusal> {
        match firehose.get("type").and_then(Value::as_str) {
            Some("http") => Ok(Self::Http(http(firehose, &[])?)),
            Some("inline") => Self::read(firehose, &[]),
            other => Err(Refusal::invalid(format!("firehose type {other:?} is not emulated"))),
        }
    }
}

fn http(source: &Value, allowed_headers: &[String]) -> Result<Http, Refusal> {
    let uris = match source.get("uris") {
        Some(Value::Array(uris)) if !uris.is_empty() && uris.len() <= MAX_URIS => uris,
        Some(Value::Array(uris)) if !uris.is_empty() => {
            return Err(Refusal::invalid(format!("the emulator takes at most {MAX_URIS} uris")));
        }
        _ => return Err(Refusal::invalid("Empty URIs")),
    };
    Ok(Http {
        uris: uris.iter().map(uri).collect::<Result<_, _>>()?,
        headers: headers(source.get("requestHeaders"), allowed_headers)?,
        login: login(source)?,
    })
}

fn uri(value: &Value) -> Result<Uri, Refusal> {
    // Without the URI in the text: its path may be a capability.
    let uri: Option<Uri> = value.as_str().and_then(|text| text.parse().ok());
    let uri = uri.ok_or_else(|| Refusal::invalid("a URI of the input source cannot be read"))?;
    if uri.scheme_str() != Some("http") {
        return Err(Refusal::invalid("Only [http] protocols are allowed"));
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err(Refusal::invalid("a URI of the input source has no host"));
    }
    Ok(uri)
}

fn headers(given: Option<&Value>, allowed: &[String]) -> Result<Vec<(HeaderName, HeaderValue)>, Refusal> {
    let given = match given {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Object(given)) => given,
        Some(_) => return Err(Refusal::invalid("requestHeaders is no object")),
    };
    let mut headers = Vec::with_capacity(given.len());
    for (name, value) in given {
        let lower = name.to_ascii_lowercase();
        if !allowed.contains(&lower) {
            let list = allowed.join(", ");
            let text = format!(
                "Got forbidden header [{name}], allowed headers are only [{list}]. You can control the allowed headers by updating druid.ingestion.http.allowedHeaders"
            );
            return Err(Refusal::invalid(text));
        }
        let name = HeaderName::from_bytes(lower.as_bytes());
        let value = HeaderValue::from_str(value.as_str().unwrap_or_default());
        match (name, value) {
            (Ok(name), Ok(mut value)) => {
                value.set_sensitive(true);
                headers.push((name, value));
            }
            _ => return Err(Refusal::invalid(format!("requestHeaders [{lower}] cannot be sent"))),
        }
    }
    Ok(headers)
}

fn login(source: &Value) -> Result<Option<(String, Password)>, Refusal> {
    let get = |key: &str| source.get(key).filter(|value| !value.is_null());
    let Some(user) = get("httpAuthenticationUsername") else { return Ok(None) };
    let user = user.as_str().ok_or_else(|| Refusal::invalid("httpAuthenticationUsername is no text"))?;
    let Some(password) = get("httpAuthenticationPassword") else { return Ok(None) };
    let text = |key: &str| password.get(key).and_then(Value::as_str).map(str::to_owned);
    let password = match password {
        Value::String(password) => Some(Password::Plain(password.clone())),
        provider => match provider.get("type").and_then(Value::as_str) {
            Some("default") => text("password").map(Password::Plain),
            Some("environment") => text("variable").map(Password::Environment),
            _ => None,
        },
    };
    let wrong = "httpAuthenticationPassword is neither a text nor a provider of type default or environment";
    let password = password.ok_or_else(|| Refusal::invalid(wrong))?;
    // As Druid: a user without a name is no user.
    Ok((!user.is_empty()).then(|| (user.to_owned(), password)))
}
