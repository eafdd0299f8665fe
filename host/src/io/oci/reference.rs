//! Where an artifact is: `oci://registry/name:tag@digest`.

use crate::error::{Error, Result};
use std::fmt;

/// What a reference looks like, for messages.
const SHAPE: &str = "`oci://REGISTRY/NAME:TAG`, with `@sha256:DIGEST` to pin it";
/// The one kind of digest that a pin may be.
const ALGORITHM: &str = "sha256:";

/// Names an artifact in a registry by tag, by the digest of its manifest, or by both.
///
/// With a digest, the digest decides and the tag is for people. Shown as `oci://…`, which can be parsed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference(oci_client::Reference);

impl Reference {
    /// Reads a reference, with or without `oci://`. Neither a registry nor a tag is assumed where none is named.
    ///
    /// # Errors
    /// Class Config: it is not of that form. A text with a user name in it is not repeated: it may hold a password.
    pub fn parse(text: &str) -> Result<Self> {
        let name = text.strip_prefix("oci://").unwrap_or(text);
        let (registry, path) = name.split_once('/').unwrap_or(("", name));
        if name.split_once('@').is_some_and(|(_, after)| after.contains('/')) {
            return Err(Error::config(format!("a reference with a user name in it, expected {SHAPE}"))
                .with_hint("give user name and password apart from it"));
        }
        let refused = |found: &str| Error::config(format!("reference `{text}` {found}, expected {SHAPE}"));
        if name.contains("://") {
            return Err(refused("is of another scheme"));
        }
        if !registry.contains(['.', ':']) && registry != "localhost" {
            return Err(refused("names no registry"));
        }
        let parsed =
            oci_client::Reference::try_from(name).map_err(|error| refused(&format!("cannot be read ({error})")))?;
        match parsed.digest() {
            // The library takes `name` for `name:latest`, which would be another plugin tomorrow.
            None if !path.contains(':') => Err(refused("has neither tag nor digest")),
            Some(digest) if !is_sha256(digest) => Err(refused(&format!("is pinned to `{digest}`"))),
            _ => Ok(Reference(parsed)),
        }
    }

    /// The registry: `host` or `host:port`.
    pub fn registry(&self) -> &str {
        self.0.registry()
    }

    /// The tag, if one is named.
    pub fn tag(&self) -> Option<&str> {
        self.0.tag()
    }

    /// The digest of the manifest that it is pinned to, `sha256:…`, if it is.
    pub fn digest(&self) -> Option<&str> {
        self.0.digest()
    }

    /// The same artifact, pinned to a manifest.
    pub fn pinned(&self, manifest_digest: &str) -> Self {
        let (registry, name) = (self.0.registry().to_owned(), self.0.repository().to_owned());
        let digest = manifest_digest.to_owned();
        Reference(match self.0.tag() {
            Some(tag) => oci_client::Reference::with_tag_and_digest(registry, name, tag.to_owned(), digest),
            None => oci_client::Reference::with_digest(registry, name, digest),
        })
    }

    /// What the tag alone names, if there is one.
    pub(super) fn unpinned(&self) -> Option<Self> {
        let (registry, name) = (self.0.registry().to_owned(), self.0.repository().to_owned());
        self.0.tag().map(|tag| Reference(oci_client::Reference::with_tag(registry, name, tag.to_owned())))
    }

    /// Whether the registry is on this machine.
    pub(super) fn is_loopback(&self) -> bool {
        let registry = self.registry();
        let host = registry.split_once(':').map_or(registry, |(host, _)| host);
        host == "localhost" || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
    }

    /// As the library has it.
    pub(super) fn inner(&self) -> &oci_client::Reference {
        &self.0
    }
}

/// `sha256:` and 64 digits, lower case: as registries write it, so that two can be compared as texts.
fn is_sha256(digest: &str) -> bool {
    let is_digit = |digit: char| digit.is_ascii_digit() || ('a'..='f').contains(&digit);
    digest.strip_prefix(ALGORITHM).is_some_and(|digits| digits.len() == 64 && digits.chars().all(is_digit))
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "oci://{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn a_reference_is_read_and_shown() {
        for (text, registry, tag, digest) in [
            ("oci://localhost:5000/team/wiki_source:0.1.0", "localhost:5000", Some("0.1.0"), None),
            ("localhost/wiki-source:0.1.0", "localhost", Some("0.1.0"), None),
            (&format!("ghcr.io/a/b:1@{DIGEST}"), "ghcr.io", Some("1"), Some(DIGEST)),
            (&format!("oci://127.0.0.1:80/a@{DIGEST}"), "127.0.0.1:80", None, Some(DIGEST)),
        ] {
            let reference = Reference::parse(text).unwrap();
            assert_eq!((reference.registry(), reference.tag(), reference.digest()), (registry, tag, digest), "{text}");
            let shown = reference.to_string();
            assert_eq!(shown, format!("oci://{}", text.trim_start_matches("oci://")));
            assert_eq!(Reference::parse(&shown).unwrap(), reference);
        }
    }

    #[test]
    fn a_bad_reference_is_told_what_it_is() {
        let upper = DIGEST.to_uppercase().replace("SHA256", "sha256");
        for (text, found) in [
            ("", "names no registry"),
            ("wiki_source:0.1.0", "names no registry"),
            ("team/wiki_source:0.1.0", "names no registry"),
            ("oci:///team/wiki_source:0.1.0", "names no registry"),
            ("https://localhost:5000/team/x:1", "is of another scheme"),
            ("oci://oci://localhost:5000/team/x:1", "is of another scheme"),
            ("localhost:5000/team/x", "has neither tag nor digest"),
            ("localhost:5000/team/x:", "cannot be read"),
            ("localhost:5000/Team/x:1", "cannot be read"),
            ("localhost:5000/../x:1", "cannot be read"),
            ("localhost:5000/x:1?a=b", "cannot be read"),
            ("localhost:5000/x:1 ", "cannot be read"),
            ("localhost:port/x:1", "cannot be read"),
            ("[::1]:5000/x:1", "cannot be read"),
            ("localhost:5000/x:1@sha256:0123", "cannot be read"),
            (&format!("localhost:5000/x:1@{upper}"), "is pinned to `sha256:0123456789ABCDEF"),
            (&format!("localhost:5000/x@sha512:{0}{0}", "0".repeat(64)), "is pinned to `sha512:"),
        ] {
            let error = Reference::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("reference `{text}` {found}")), "{text}: {error}");
            assert!(error.ends_with(SHAPE), "{error}");
        }
    }

    #[test]
    fn a_password_in_a_reference_is_not_repeated() {
        for text in ["oci://me:hunter2@localhost:5000/x:1", "me:hunt/er2@localhost:5000/x:1"] {
            let error = Reference::parse(text).unwrap_err();
            assert!(!format!("{error:?}").contains("er2"), "{error:?}");
        }
    }

    #[test]
    fn a_registry_on_this_machine_is_known() {
        for (text, is_loopback) in [
            ("localhost:5000/x:1", true),
            ("localhost/x:1", true),
            ("127.0.0.9:5000/x:1", true),
            ("10.0.0.1:5000/x:1", false),
            ("localhost.example.org/x:1", false),
            ("127.0.0.1.example.org/x:1", false),
        ] {
            assert_eq!(Reference::parse(text).unwrap().is_loopback(), is_loopback, "{text}");
        }
    }
}
