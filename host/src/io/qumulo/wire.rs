//! The shapes of the API: paths in addresses, attributes, pages. Lenient about what is not needed:
//! unknown fields come with every release. What is needed and missing is an error that names it.

use crate::error::{Error, OrError, Result};
use crate::ports::files::{FileInfo, FileKind, FilePath};
use serde::de::{DeserializeOwned, Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Write};
use std::time::SystemTime;

/// A whole number that the API writes as a text of decimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Digits(pub(super) u64);

impl<'de> Deserialize<'de> for Digits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = Digits;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text of decimal digits")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Digits, E> {
                text.parse().map(Digits).map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Digits, E> {
                Ok(Digits(number))
            }
        }
        deserializer.deserialize_any(Read)
    }
}

/// What the cluster says of a file or directory.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Attributes {
    pub(super) id: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(rename = "type")]
    kind: String,
    pub(super) size: Digits,
    pub(super) modification_time: String,
}

impl Attributes {
    /// As the port has it; `path` is where it was asked for.
    pub(super) fn at(&self, path: &FilePath) -> Result<FileInfo> {
        let kind = match self.kind.as_str() {
            "FS_FILE_TYPE_FILE" => FileKind::File,
            "FS_FILE_TYPE_DIRECTORY" => FileKind::Directory,
            _ => FileKind::Other,
        };
        let time = humantime::parse_rfc3339(&self.modification_time).map_err(|error| {
            let text = self.modification_time.escape_debug();
            Error::retry(format!("attributes of `{path}`: `modification_time` is `{text}`: {error}"))
        })?;
        let modified_ms = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let modified_ms = i64::try_from(modified_ms).unwrap_or(i64::MAX);
        Ok(FileInfo { path: path.clone(), id: self.id.clone(), kind, bytes: self.size.0, modified_ms })
    }
}

/// A page of a listing.
#[derive(Deserialize)]
pub(super) struct Page {
    pub(super) id: String,
    pub(super) files: Vec<Attributes>,
    #[serde(default)]
    paging: Paging,
}

#[derive(Deserialize, Default)]
struct Paging {
    #[serde(default)]
    next: Option<String>,
}

impl Page {
    /// The key after which the next page begins; none: this was the last. Of the address that the
    /// cluster gives only this is used: it must not lead elsewhere.
    pub(super) fn after(&self) -> Result<Option<String>> {
        let Some(next) = self.paging.next.as_deref().filter(|next| !next.is_empty()) else { return Ok(None) };
        let wrong = || format!("`paging.next` is `{}`, expected an address with `after`", next.escape_debug());
        let base = reqwest::Url::parse("http://cluster").or_bug("reading an address")?;
        let address = base.join(next).map_err(|_| Error::retry(wrong()))?;
        let after = address.query_pairs().find(|(name, _)| name == "after").map(|(_, key)| key.into_owned());
        after.filter(|key| !key.is_empty()).map(Some).ok_or_else(|| Error::retry(wrong()))
    }
}

/// What `POST entries/` is asked to do.
#[derive(Serialize)]
#[serde(tag = "action", rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Entry<'a> {
    CreateFile { name: &'a str },
    CreateDirectory { name: &'a str },
    Rename { name: &'a str, old_path: &'a str, clobber: bool },
}

/// Reads an answer.
///
/// # Errors
/// Class Retry, naming the field that is missing or odd.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body)
        .map_err(|error| Error::retry(format!("the cluster's answer of {} bytes is odd: {error}", body.len())))
}

/// A request's body.
pub(super) fn json(body: &impl Serialize) -> Result<bytes::Bytes> {
    Ok(serde_json::to_vec(body).or_bug("writing a request")?.into())
}

/// Percent-encodes a text so that it is one part of a path or a query, as the official client does:
/// everything but `A-Z a-z 0-9 _ . - ~`.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'~') {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_part_of_the_address() {
        assert_eq!(encode("/spool/a b#é+%"), "%2Fspool%2Fa%20b%23%C3%A9%2B%25");
        assert_eq!(encode("aZ0_.-~"), "aZ0_.-~");
    }

    #[test]
    fn only_the_key_of_the_next_page_is_used() {
        let check = |next: &str, expected: Option<&str>| {
            let page: Page =
                parse(format!(r#"{{"id": "2", "files": [], "paging": {{"next": {next}}}}}"#).as_bytes()).unwrap();
            assert_eq!(page.after().unwrap().as_deref(), expected, "{next}");
        };
        check(r#""/v1/files/2/entries/?after=17&limit=2""#, Some("17"));
        check(r#""http://elsewhere/x?limit=2&after=a%20b%2B""#, Some("a b+"));
        check(r#""""#, None);
        check("null", None);
        let page: Page = parse(br#"{"id": "2", "files": []}"#).unwrap();
        assert_eq!(page.after().unwrap(), None);
        let page: Page = parse(br#"{"id": "2", "files": [], "paging": {"next": "/v1/x?limit=2"}}"#).unwrap();
        assert!(page.after().unwrap_err().to_string().contains("`paging.next`"));
    }

    #[test]
    fn attributes_are_read_without_what_is_not_needed() {
        let text = r#"{"id": "7", "name": "x", "type": "FS_FILE_TYPE_SYMLINK", "size": "12", "new": [],
            "modification_time": "2024-05-17T13:23:40.283585722Z", "data_revision": null}"#;
        let info = parse::<Attributes>(text.as_bytes()).unwrap().at(&FilePath::new("a/x").unwrap()).unwrap();
        assert_eq!((info.kind, info.bytes, info.modified_ms), (FileKind::Other, 12, 1_715_952_220_283));
        let without = text.replace("\"size\"", "\"sighs\"");
        assert!(parse::<Attributes>(without.as_bytes()).unwrap_err().to_string().contains("`size`"));
        let odd = text.replace("2024-", "never-");
        let error = parse::<Attributes>(odd.as_bytes()).unwrap().at(&FilePath::root()).unwrap_err();
        assert!(error.to_string().contains("`modification_time`"), "{error}");
    }
}
