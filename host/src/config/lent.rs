//! What a source is lent: granted in configuration, and set up there.

use super::feed::check_feed;
use super::lookup::Lookup;
use super::raw::RawConnector;
use crate::error::{Error, Result};
use crate::plugin::{CAPABILITIES, Package};
use crate::ports::feed::FeedSettings;
use crate::ports::http::{Credential, HttpGrant, Network, Rule};
use crate::secret::Secret;
use std::path::PathBuf;

/// What is lent, checked.
#[derive(Debug, Clone)]
pub struct LentConfig {
    /// The feed.
    pub feed: Option<FeedSettings>,
    /// GeoIP database.
    pub geoip_database: Option<PathBuf>,
    /// Requests that may be made.
    pub http: Option<HttpGrant>,
    /// A folder, and whether it may be written to.
    pub files: Option<(PathBuf, bool)>,
    /// Whether the plugin may keep state.
    pub state: bool,
}

/// For each capability that needs to be set up, the option that says what is lent.
const SET_UP_BY: &[(&str, &str)] = &[("geoip", "geoip.database"), ("http", "http.allow"), ("files", "files.dir")];

/// The capabilities that are granted.
pub(super) fn check_grants(keys: &Lookup<'_>, raw: &RawConnector, package: &Package) -> Result<Vec<String>> {
    let is_set_up = |capability: &str| {
        SET_UP_BY.iter().find(|(known, _)| *known == capability).is_none_or(|(_, option)| keys.text(option).is_some())
    };
    let grants: Vec<String> = match raw.grant_all {
        true => {
            let wants = package.manifest.wants.iter();
            let wants = wants.filter(|want| !want.optional || is_set_up(&want.capability));
            wants.map(|want| want.capability.clone()).collect()
        }
        false => keys.list("grants"),
    };
    for grant in &grants {
        if !CAPABILITIES.contains(&grant.as_str()) {
            let known = CAPABILITIES.join("`, `");
            return Err(Error::config(format!("option `grants` names `{grant}`, this host lends `{known}`")));
        }
    }
    for (capability, option) in SET_UP_BY {
        let is_granted = grants.iter().any(|grant| grant == capability);
        match (is_granted, is_set_up(capability)) {
            (false, true) => {
                return Err(Error::deny(format!(
                    "option `{option}` is set, and capability `{capability}` is not granted"
                ))
                .with_hint(format!("add \"{capability}\" to the connector's `grants`")));
            }
            // Without a database nothing is found, which is no reason to fail.
            (true, false) if *capability != "geoip" => {
                return Err(Error::config(format!(
                    "capability `{capability}` is granted, and option `{option}` is missing"
                ))
                .with_hint("what is lent is said there; nothing is by default"));
            }
            _ => {}
        }
    }
    Ok(grants)
}

/// What the grants come to.
pub(super) fn check_lent(keys: &Lookup<'_>, raw: &RawConnector, grants: &[String]) -> Result<LentConfig> {
    let has = |capability: &str| grants.iter().any(|grant| grant == capability);
    let files = match has("files") {
        true => keys.path("files.dir", &raw.folder).map(|dir| Ok::<_, Error>((dir, keys.flag("files.write")?))),
        false => None,
    };
    Ok(LentConfig {
        feed: has("feed").then(|| check_feed(keys, &raw.folder)).transpose()?,
        geoip_database: keys.path("geoip.database", &raw.folder),
        http: has("http").then(|| check_http(keys, raw)).transpose()?,
        files: files.transpose()?,
        state: has("state"),
    })
}

fn check_http(keys: &Lookup<'_>, raw: &RawConnector) -> Result<HttpGrant> {
    let named = |option: &'static str| move |error: Error| error.context(format!("option `{option}`"));
    let allow = keys.list("http.allow").iter().map(|rule| Rule::parse(rule)).collect::<Result<Vec<_>>>();
    let networks = keys.list("http.networks").iter().map(|network| Network::parse(network)).collect::<Result<Vec<_>>>();
    let credentials =
        keys.list("http.credentials").iter().map(|text| credential(text, raw)).collect::<Result<Vec<_>>>();
    Ok(HttpGrant {
        allow: allow.map_err(named("http.allow"))?,
        networks: networks.map_err(named("http.networks"))?,
        credentials: credentials.map_err(named("http.credentials"))?,
        max_response_bytes: keys.number("http.response.max.bytes", 0, 1 << 30)?,
        max_request_bytes: keys.number("http.request.max.bytes", 0, 1 << 30)?,
        max_timeout: keys.millis("http.timeout.ms", 1)?,
        ca_file: keys.path("http.tls.ca.file", &raw.folder),
    })
}

/// `METHODS URL = bearer SECRET`, `… = basic USER SECRET` or `… = header NAME SECRET`.
fn credential(text: &str, raw: &RawConnector) -> Result<Credential> {
    // What was found is not repeated: somebody may have written the secret itself.
    let wrong = || {
        Error::config(
            "a credential is not of the form `METHODS URL = bearer SECRET`, `METHODS URL = basic USER SECRET` or \
                       `METHODS URL = header NAME SECRET`",
        )
        .with_hint("SECRET names it: `env:NAME` or `file:PATH`")
    };
    let (rule, rest) = text.split_once(" = ").ok_or_else(wrong)?;
    let rule = Rule::parse(rule)?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    let secret = |name: &str| Secret::resolve("http.credentials", &Secret::name_from(name, &raw.folder));
    match words.as_slice() {
        ["bearer", name] => Ok(Credential::bearer(rule, secret(name)?)),
        ["basic", user, name] => Ok(Credential::basic(rule, user, secret(name)?)),
        ["header", header, name] => Credential::header(rule, header, secret(name)?),
        _ => Err(wrong()),
    }
}
