//! Which requests a rule allows: `GET|POST https://api.example.org:8443/v1/**`.
//!
//! | Part | Forms |
//! | --- | --- |
//! | methods | `GET`, `GET\|POST`, `*` |
//! | scheme | `http`, `https` |
//! | host | `api.example.org`; `*.example.org` (names below it, not itself); an address, `[::1]`. Never `*` |
//! | port | none: the scheme's; `:8443`; `:*` |
//! | path | none: any; `/v1/items`; `*` for one whole segment; `**` at the end for any rest |
//!
//! A path with an encoded slash or backslash matches nothing: what a server makes of it is the server's secret.

use crate::error::{Error, Result};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A request as far as rules look at it: the URL in the form in which it is sent.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The method.
    pub method: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host in lower case; an IPv6 address in brackets.
    pub host: &'a str,
    /// Port, the scheme's where the URL has none.
    pub port: u16,
    /// Path, percent-encoded, without query.
    pub path: &'a str,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    text: String,
    /// Empty: all.
    methods: Vec<String>,
    scheme: String,
    /// Without the `*.`.
    host: String,
    is_below: bool,
    /// None: any.
    port: Option<u16>,
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    This(String),
    One,
    Rest,
}

impl Rule {
    /// Reads a rule.
    ///
    /// # Errors
    /// Class Config: the part that is none, and what was expected.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let wrong = |part: &str, expected: &str| {
            let found = text.escape_debug();
            let hint = "for instance `GET|POST https://api.example.org/v1/**`";
            Error::config(format!("rule `{found}`: {part}, expected {expected}")).with_hint(hint)
        };
        let (methods, url) =
            text.split_once(' ').ok_or_else(|| wrong("it is one word", "methods, a blank and a URL"))?;
        let is_method = |method: &&str| !method.is_empty() && method.chars().all(|c| c.is_ascii_uppercase());
        let methods: Vec<&str> = if methods == "*" { Vec::new() } else { methods.split('|').collect() };
        if !methods.iter().all(is_method) {
            return Err(wrong("its methods are none", "`GET`, `GET|POST` or `*`"));
        }
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("it has no URL", "`http://` or `https://`"))?;
        let usual = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return Err(wrong("its scheme is neither", "`http` or `https`")),
        };
        let (authority, path) = rest.split_once('/').map_or((rest, "**"), |(authority, path)| (authority, path));
        // The colons of an IPv6 address are within brackets.
        let (host, port) = match authority.rsplit_once(':').filter(|(_, port)| !port.contains(']')) {
            None => (authority, Some(usual)),
            Some((host, "*")) => (host, None),
            Some((host, port)) => (host, Some(port.parse().map_err(|_| wrong("its port is none", "a number or `*`"))?)),
        };
        let (is_below, host) = host.strip_prefix("*.").map_or((false, host), |host| (true, host));
        let host =
            host_form(host).ok_or_else(|| wrong("its host is none", "a name, `*.` and a name, or an address"))?;
        if is_below && !host.contains('.') {
            return Err(wrong("its host is too wide", "`*.` and a name of two labels or more"));
        }
        let mut segments = Vec::new();
        for segment in path.split('/') {
            if segments.last() == Some(&Segment::Rest) {
                return Err(wrong("something comes after `**`", "`**` at the end"));
            }
            segments.push(match segment {
                "**" => Segment::Rest,
                "*" => Segment::One,
                _ if segment.contains(['*', '?', '#', '\\', ' '])
                    || matches!(segment, "." | "..")
                    || is_cloaked(segment) =>
                {
                    return Err(wrong("a segment of its path is none", "text as it is sent, `*` or `**`"));
                }
                _ => Segment::This(segment.to_owned()),
            });
        }
        Ok(Rule {
            text: text.to_owned(),
            methods: methods.into_iter().map(str::to_owned).collect(),
            scheme: scheme.to_owned(),
            host,
            is_below,
            port,
            segments,
        })
    }

    /// Whether it is about a request.
    pub fn matches(&self, target: &Target<'_>) -> bool {
        // An IPv6 address has more than one spelling.
        let Some(found) = host_form(target.host) else { return false };
        let host = match self.is_below {
            false => found == self.host,
            true => found.strip_suffix(&self.host).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
        };
        host && target.scheme == self.scheme
            && self.port.is_none_or(|port| port == target.port)
            && (self.methods.is_empty() || self.methods.iter().any(|method| method == target.method))
            && self.matches_path(target.path)
    }

    fn matches_path(&self, path: &str) -> bool {
        let Some(path) = path.strip_prefix('/') else { return false };
        if is_cloaked(path) {
            return false;
        }
        let mut found = path.split('/');
        for segment in &self.segments {
            let is_met = match segment {
                // What is before it ended in a slash: `/v1/**` is not `/v1`.
                Segment::Rest => return found.next().is_some(),
                Segment::One => found.next().is_some_and(|found| !found.is_empty()),
                Segment::This(text) => found.next() == Some(text),
            };
            if !is_met {
                return false;
            }
        }
        found.next().is_none()
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether a path holds what some servers take for a slash, or for the end of a text.
fn is_cloaked(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    ["%2f", "%5c", "%00", "\\"].iter().any(|cloaked| path.contains(cloaked))
}

/// A host as URLs are sent with it; none: it cannot be one.
fn host_form(host: &str) -> Option<String> {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().ok().map(|address| format!("[{address}]"));
    }
    let host = host.to_ascii_lowercase();
    let is_label = |label: &str| {
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !label.is_empty() && label.len() <= 63 && label.chars().all(legal)
    };
    let is_number = host.rsplit('.').next().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_digit()));
    let is_sound = host.len() <= 253 && host.split('.').all(is_label);
    // A last label that begins as a number is an address in some form; only the usual one is taken.
    (is_sound && (!is_number || host.parse::<Ipv4Addr>().is_ok())).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target<'a>(method: &'a str, scheme: &'a str, host: &'a str, port: u16, path: &'a str) -> Target<'a> {
        Target { method, scheme, host, port, path }
    }

    #[test]
    fn a_rule_allows_what_it_says_and_nothing_else() {
        let check = |rule: &str, expected: bool, to: Target<'_>| {
            assert_eq!(Rule::parse(rule).unwrap().matches(&to), expected, "{rule}: {to:?}");
        };
        let host = "api.example.org";
        let to = |path| target("GET", "https", host, 443, path);
        let rule = "GET|POST https://api.example.org/v1/**";
        for (path, expected) in [
            ("/v1/", true),
            ("/v1/items", true),
            ("/v1/a/b/c", true),
            ("/v1", false),
            ("/v2/items", false),
            ("/", false),
            ("/v1x/items", false),
            ("/v1/a%2Fb", false),
            ("/v1/..%5cadmin", false),
            ("/V1/items", false),
        ] {
            check(rule, expected, to(path));
        }
        check(rule, false, target("PUT", "https", host, 443, "/v1/items"));
        check(rule, false, target("GET", "http", host, 80, "/v1/items"));
        check(rule, false, target("GET", "https", host, 8443, "/v1/items"));
        check(rule, false, target("GET", "https", "api.example.org.evil.example", 443, "/v1/items"));
        check(rule, false, target("GET", "https", "xapi.example.org", 443, "/v1/items"));
        check(rule, false, target("GET", "https", "api.example.org.", 443, "/v1/items"));
        check("* https://api.example.org", true, to("/anything/at/all"));
        check("* https://api.example.org/", true, to("/"));
        check("* https://api.example.org/", false, to("/x"));
        check("GET https://api.example.org/a/*/c", true, to("/a/b/c"));
        for path in ["/a//c", "/a/b/x/c", "/a/b%2fx/c", "/a/b/c/", "/a/b"] {
            check("GET https://api.example.org/a/*/c", false, to(path));
        }
        check("GET https://*.example.org/**", true, to("/"));
        check("GET https://*.example.org/**", true, target("GET", "https", "a.b.example.org", 443, "/"));
        for other in ["example.org", ".example.org", "badexample.org", "example.org.evil"] {
            check("GET https://*.example.org/**", false, target("GET", "https", other, 443, "/"));
        }
        check("GET http://[::1]:8080/**", true, target("GET", "http", "[::1]", 8080, "/"));
        check("GET http://[0:0::1]:*/**", true, target("GET", "http", "[::1]", 7, "/"));
        check("GET http://127.0.0.1:*", true, target("GET", "http", "127.0.0.1", 7, "/x"));
    }

    #[test]
    fn what_is_no_rule_is_told_which_part_is_wrong() {
        let check = |text: &str, expected: &str| {
            let error = Rule::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        };
        check("https://example.org", "it is one word");
        check("get https://example.org", "its methods are none");
        check("GET,POST https://example.org", "its methods are none");
        check("GET example.org", "it has no URL");
        check("GET ftp://example.org", "its scheme is neither");
        for host in [
            "*",
            "*.org",
            "",
            "exa mple.org",
            "user@example.org",
            "example.org.",
            "0x7f.1",
            "2130706433",
            "127.1",
            "[::z]",
        ] {
            check(&format!("GET https://{host}/"), "its host is");
        }
        check("GET https://example.org:99999/", "its port is none");
        check("GET https://example.org/**/x", "something comes after `**`");
        for path in ["a*", "a/../b", "a?b", "a%2fb", "a\\b"] {
            check(&format!("GET https://example.org/{path}"), "a segment of its path is none");
        }
    }
}
