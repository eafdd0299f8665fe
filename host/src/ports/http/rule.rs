//! Which requests a rule allows: `GET,POST https://api.example.org:8443/v1/**`.
//!
//! | Part | Forms |
//! | --- | --- |
//! | methods | `GET`; `GET,POST` or, in lists that are cut at commas, `GET\|POST`; `*` |
//! | scheme | `http`, `https` |
//! | host | `api.example.org`; `*.example.org` (names below it, not itself); an address, `[::1]`. Never `*` alone |
//! | port | none: the scheme's; `:8443`; `:*` |
//! | path | none: any; `/v1/items`; `*` for one whole segment; `**` at the end for any rest, an empty one too |
//!
//! What is compared is the URL as it is sent: host in lower case, in Punycode, without a dot at its end; dots in the path
//! resolved. Text is compared as it stands, percent signs included. `*` and `**` never stand for a segment that some
//! servers read as more than one or as `..`: with an encoded slash, say, or `..;x`.

use crate::error::{Error, Result};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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

impl Target<'_> {
    /// The address that its host is; none: it is a name.
    pub fn address(&self) -> Option<IpAddr> {
        match self.host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(address) => address.parse().ok().map(IpAddr::V6),
            None => self.host.parse().ok().map(IpAddr::V4),
        }
    }
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    text: String,
    /// Empty: all.
    methods: Vec<String>,
    scheme: String,
    host: Host,
    /// None: any.
    port: Option<u16>,
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Name(String),
    /// Names that end in a dot and this.
    Below(String),
    Address(IpAddr),
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
            let hint = "for instance `GET,POST https://api.example.org/v1/**`";
            Error::config(format!("rule `{found}`: {part}, expected {expected}")).with_hint(hint)
        };
        let (methods, url) =
            text.split_once(' ').ok_or_else(|| wrong("it is one word", "methods, a blank and a URL"))?;
        let is_method = |method: &&str| !method.is_empty() && method.chars().all(|c| c.is_ascii_uppercase());
        let methods: Vec<&str> = if methods == "*" { Vec::new() } else { methods.split([',', '|']).collect() };
        if !methods.iter().all(is_method) {
            return Err(wrong("its methods are none", "`GET`, `GET,POST` or `*`"));
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
            Some((host, port)) => {
                let number = port.parse().ok().filter(|_| port.chars().all(|c| c.is_ascii_digit()));
                (host, Some(number.ok_or_else(|| wrong("its port is none", "a number to 65535 or `*`"))?))
            }
        };
        let host = match host.strip_prefix("*.") {
            None => read_host(host),
            Some(domain) => match read_host(domain) {
                Some(Host::Name(domain)) if domain.contains('.') => Some(Host::Below(domain)),
                _ => return Err(wrong("its host is too wide", "`*.` and a name of two labels or more")),
            },
        };
        let host = host.ok_or_else(|| {
            wrong("its host is none", "a name in ASCII without a last dot, `*.` and a name, or an address")
        })?;
        let mut segments = Vec::new();
        for segment in path.split('/') {
            if segments.last() == Some(&Segment::Rest) {
                return Err(wrong("something comes after `**`", "`**` at the end"));
            }
            segments.push(match segment {
                "**" => Segment::Rest,
                "*" => Segment::One,
                _ if is_sent(segment) => Segment::This(segment.to_owned()),
                _ => return Err(wrong("a segment of its path is none", "text as it is sent, `*` or `**`")),
            });
        }
        let (text, scheme) = (text.to_owned(), scheme.to_owned());
        Ok(Rule { text, methods: methods.into_iter().map(str::to_owned).collect(), scheme, host, port, segments })
    }

    /// Whether it is about a request.
    pub fn matches(&self, target: &Target<'_>) -> bool {
        let is_host = match &self.host {
            Host::Name(name) => target.host == name,
            Host::Below(domain) => {
                let below = target.host.strip_suffix(domain.as_str()).and_then(|rest| rest.strip_suffix('.'));
                below.is_some_and(|below| below.split('.').all(is_label))
            }
            Host::Address(address) => target.address() == Some(*address),
        };
        is_host
            && target.scheme == self.scheme
            && self.port.is_none_or(|port| port == target.port)
            && (self.methods.is_empty() || self.methods.iter().any(|method| method == target.method))
            && self.matches_path(target.path)
    }

    fn matches_path(&self, path: &str) -> bool {
        let Some(path) = path.strip_prefix('/') else { return false };
        let is_one = |found: &str| !is_ambiguous(found);
        let mut found = path.split('/');
        for segment in &self.segments {
            let is_met = match segment {
                // The slash before it is not part of the rest: `/v1` is not below `/v1/`.
                Segment::Rest => return found.next().is_some_and(is_one) && found.all(is_one),
                Segment::One => found.next().is_some_and(|found| !found.is_empty() && is_one(found)),
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

/// Whether URLs are sent with such a segment: others would never match, or not what they seem to.
fn is_sent(segment: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_graphic() && !"*?#\\\"<>`{}^|".contains(c);
    let has_dots = || segment.to_ascii_lowercase().replace("%2e", ".");
    segment.chars().all(is_plain) && !matches!(&*has_dots(), "." | "..")
}

/// Whether some servers read a segment as several, as `..`, or only to a part of it. A server may decode it, and one
/// behind that again.
fn is_ambiguous(segment: &str) -> bool {
    let mut bytes = segment.as_bytes().to_vec();
    loop {
        let name = bytes.split(|byte| *byte == b';').next().unwrap_or_default();
        let is_split = bytes.iter().any(|byte| matches!(byte, b'/' | b'\\') || byte.is_ascii_control());
        if is_split || matches!(name, b"." | b"..") {
            return true;
        }
        let decoded = percent_encoding::percent_decode(&bytes).collect::<Vec<u8>>();
        // It gets shorter each time or stays as it is.
        if decoded == bytes {
            return false;
        }
        bytes = decoded;
    }
}

/// Whether it is one part of a name of the DNS.
fn is_label(label: &str) -> bool {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !label.is_empty() && label.len() <= 63 && label.chars().all(is_legal)
}

/// A host as URLs are sent with it; none: it cannot be one.
fn read_host(host: &str) -> Option<Host> {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().ok().map(|address| Host::Address(IpAddr::V6(address)));
    }
    let host = host.to_ascii_lowercase();
    // A last label that begins as a number is an address in some form; only the usual one is taken.
    if host.rsplit('.').next().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_digit())) {
        return host.parse::<Ipv4Addr>().ok().map(|address| Host::Address(IpAddr::V4(address)));
    }
    (host.len() <= 253 && host.split('.').all(is_label)).then_some(Host::Name(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "api.example.org";

    fn target<'a>(method: &'a str, scheme: &'a str, host: &'a str, port: u16, path: &'a str) -> Target<'a> {
        Target { method, scheme, host, port, path }
    }

    fn check(rule: &str, expected: bool, to: Target<'_>) {
        assert_eq!(Rule::parse(rule).unwrap().matches(&to), expected, "{rule}: {to:?}");
    }

    #[test]
    fn a_rule_is_about_its_methods_scheme_host_and_port() {
        for rule in ["GET,POST https://api.example.org/v1/**", "GET|POST HTTPS://x"] {
            assert_eq!(Rule::parse(rule).is_ok(), !rule.contains("HTTPS"));
        }
        for rule in ["GET,POST https://API.example.org/v1/**", "GET|POST https://api.example.org:443/v1/**"] {
            let path = "/v1/items";
            check(rule, true, target("GET", "https", HOST, 443, path));
            check(rule, true, target("POST", "https", HOST, 443, path));
            for (method, scheme, host, port) in [
                ("PUT", "https", HOST, 443),
                ("get", "https", HOST, 443),
                ("GET", "http", HOST, 443),
                ("GET", "http", HOST, 80),
                ("GET", "https", HOST, 8443),
                ("GET", "https", "api.example.org.evil.example", 443),
                ("GET", "https", "xapi.example.org", 443),
                ("GET", "https", "x.api.example.org", 443),
                ("GET", "https", "example.org", 443),
                ("GET", "https", "api.example.org.", 443),
            ] {
                check(rule, false, target(method, scheme, host, port, path));
            }
        }
        check("* http://api.example.org:*", true, target("PATCH", "http", HOST, 7, "/x"));
        check("GET https://*.example.org", true, target("GET", "https", HOST, 443, "/"));
        check("GET https://*.example.org", true, target("GET", "https", "a.b.example.org", 443, "/"));
        for other in [
            "example.org",
            ".example.org",
            "badexample.org",
            "a.example.org.evil",
            "a.example.org.",
            "a..example.org",
            "*.example.org",
        ] {
            check("GET https://*.example.org", false, target("GET", "https", other, 443, "/"));
        }
        check("GET http://[::1]:8080", true, target("GET", "http", "[::1]", 8080, "/"));
        check("GET http://[0:0::1]:*", true, target("GET", "http", "[::1]", 7, "/"));
        // Rust and URLs write such an address in different ways.
        check("GET http://[::ffff:127.0.0.1]", true, target("GET", "http", "[::ffff:7f00:1]", 80, "/"));
        check("GET http://[::ffff:127.0.0.1]", false, target("GET", "http", "127.0.0.1", 80, "/"));
        check("GET http://127.0.0.1:*", true, target("GET", "http", "127.0.0.1", 7, "/x"));
    }

    #[test]
    fn a_rule_is_about_its_path() {
        let check = |path: &str, cases: &[(&str, bool)]| {
            for (found, expected) in cases {
                check(&format!("GET https://{HOST}{path}"), *expected, target("GET", "https", HOST, 443, found));
            }
        };
        check("", &[("/", true), ("/a//b", true), ("/a%20b/%C3%A9", true), ("/a%2fb", false)]);
        check("/", &[("/", true), ("/x", false), ("//", false)]);
        check("/v1/**", &[("/v1/", true), ("/v1/items", true), ("/v1/a/b/c", true), ("/v1", false)]);
        check("/v1/**", &[("/v2/items", false), ("/", false), ("/v1x/items", false), ("/V1/items", false)]);
        check("/a/*/c", &[("/a/b/c", true), ("/a/..b/c", true), ("/a/b;x=1/c", true), ("/a/100%25/c", true)]);
        check("/a/*/c", &[("/a//c", false), ("/a/b/x/c", false), ("/a/b/c/", false), ("/a/b", false)]);
        for tricky in [
            "b%2Fx",
            "b%2fx",
            "b%252Fx",
            "b%25252fx",
            "b%5cx",
            "b\\x",
            "b%00",
            "b%0a",
            "..;",
            "..;x=1",
            "..%3bx",
            ".;",
            "%252e%252e",
            "..%2f",
            ".%25%32%65",
        ] {
            check("/a/*/c", &[(&format!("/a/{tricky}/c"), false)]);
            check("/a/**", &[(&format!("/a/{tricky}/c"), false), (&format!("/a/{tricky}"), false)]);
        }
        // An operator who knows the server may say it.
        check("/group%2Fproject/*", &[("/group%2Fproject/x", true), ("/group%2fproject/x", false)]);
    }

    #[test]
    fn what_is_no_rule_is_told_which_part_is_wrong() {
        let check = |text: &str, expected: &str| {
            let error = Rule::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("expected"), "{text}: {error}");
        };
        check("https://example.org", "it is one word");
        for methods in ["get", "GET,", ",GET", "GET,*", "GET;POST", "G-T"] {
            check(&format!("{methods} https://example.org"), "its methods are none");
        }
        check("GET example.org", "it has no URL");
        check("GET ftp://example.org", "its scheme is neither");
        for host in [
            "*",
            "*.",
            "*.org",
            "*.10.0.0.1",
            "*.*.org",
            "a.*.org",
            "",
            "exa mple.org",
            "user@example.org",
            "example.org.",
            "a..b",
            "bücher.example",
            "0x7f.1",
            "2130706433",
            "127.1",
            "0177.0.0.1",
            "::1",
            "[::z]",
            "[::1",
            "[fe80::1%25eth0]",
        ] {
            check(&format!("GET https://{host}/"), "its ");
        }
        for port in ["99999", "+80", "-1", "x", "", "*8"] {
            check(&format!("GET https://example.org:{port}/"), "its port is none");
        }
        check("GET https://example.org/**/x", "something comes after `**`");
        for path in ["a*", "***", "a/../b", "a/%2E./b", "a?b", "a#b", "a b", "a\\b", "é", "{id}"] {
            check(&format!("GET https://example.org/{path}"), "a segment of its path is none");
        }
    }
}
