//! An edit as an event of the stream `mediawiki.recentchange`, schema 1.0.0, and the canary events
//! between them.
//!
//! Invariant: the keys are those of `wikipedia-feeds.md` section 4.3 in the order of recorded
//! events, and a key stands only where the real stream has it: `patrolled` where the wiki patrols,
//! `length` without `old` for a new page, neither for log and category entries.

use std::borrow::Cow;

use super::{Edit, Kind};
use crate::clock::iso_ms;
use crate::dice::uuid;
use crate::json::Json;

/// The Kafka topic of the busy data centre; the idle one has `codfw` for `eqiad`.
pub(crate) const TOPIC: &str = "eqiad.mediawiki.recentchange";
/// Where `meta.offset` starts, near to what the real topic has.
pub(crate) const OFFSET_BASE: u64 = 6_000_000_000;

const SCHEMA: &str = "/mediawiki/recentchange/1.0.0";
const STREAM: &str = "mediawiki.recentchange";
/// Mixed into the seed, so that `meta.request_id` and `meta.id` differ.
const REQUEST: u64 = 0x7265_7175_6573_7400;
const CANARY: u64 = 0x6361_6e61_7279_0000;

impl Edit {
    /// The event as one line of JSON without a line end.
    ///
    /// `at_ms` is the event time in milliseconds since 1970 (`meta.dt`; `timestamp` has its
    /// seconds), `id` the identifier that consumers de-duplicate on (usually [`Edit::uuid`]),
    /// `offset` the place in the topic.
    pub fn recentchange(&self, at_ms: i64, id: &str, offset: u64) -> String {
        let mut uri = format!("https://{}/wiki/", self.wiki.server_name);
        push_encoded(&mut uri, &self.title);
        let mut json = Json::new();
        json.text("$schema", SCHEMA).open("meta").text("uri", &uri);
        push_meta(&mut json, self.seed, self.sequence, self.wiki.server_name, at_ms, id, offset);
        json.close();
        // Abuse-filter hits are in no list of recent changes, so they have no id there.
        if !matches!(&self.kind, Kind::Log(log) if log.id == 0) {
            json.number("id", self.rcid);
        }
        json.text("type", self.kind.name()).number("namespace", self.namespace).text("title", &self.title);
        json.text("title_url", &uri).text("comment", &self.comment).number("timestamp", at_ms.div_euclid(1000));
        json.text("user", &self.user).flag("bot", self.bot);
        if let Kind::Log(log) = &self.kind {
            json.number("log_id", log.id).text("log_type", log.kind).text("log_action", log.action);
            json.raw("log_params", &log.params).text("log_action_comment", &log.message());
        } else {
            let mut url = String::with_capacity(96);
            self.push_url(&mut url);
            json.text("notify_url", &url);
        }
        if matches!(self.kind, Kind::Edit | Kind::New) {
            self.push_revision(&mut json);
        }
        json.text("server_url", &format!("https://{}", self.wiki.server_name));
        json.text("server_name", self.wiki.server_name).text("server_script_path", "/w").text("wiki", self.wiki.name);
        json.text("parsedcomment", &html(&self.comment)).finish()
    }

    fn push_revision(&self, json: &mut Json) {
        json.flag("minor", self.minor);
        if let Some(patrolled) = self.patrolled {
            json.flag("patrolled", patrolled);
        }
        if let Some(length) = self.length {
            json.open("length");
            if let Some(old) = length.old {
                json.number("old", old);
            }
            json.number("new", length.new).close();
        }
        json.open("revision");
        if self.revision.old != 0 {
            json.number("old", self.revision.old);
        }
        json.number("new", self.revision.new).close();
    }
}

impl Kind {
    /// The value of `type`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Edit => "edit",
            Self::New => "new",
            Self::Log(_) => "log",
            Self::Categorize => "categorize",
        }
    }
}

/// A canary event: what Wikimedia puts into each stream to tell a silent stream from a broken one.
/// Every second one has nothing but `$schema` and `meta`, the others a copy of the schema's
/// example.
pub(crate) fn canary(seed: u64, number: u64, at_ms: i64, offset: u64) -> String {
    let id = uuid(seed ^ CANARY, number);
    let mut json = Json::new();
    json.text("$schema", SCHEMA).open("meta");
    push_meta(&mut json, seed ^ CANARY, number, "canary", at_ms, &id, offset);
    json.close();
    if number.is_multiple_of(2) {
        json.number("id", 1).text("type", "edit").number("namespace", 0).text("title", "TestPage");
        json.text("comment", "test comment").number("timestamp", at_ms.div_euclid(1000)).text("user", "example");
        json.flag("bot", false).flag("minor", false).open("length").number("old", 1).number("new", 2).close();
        json.open("revision").number("old", 1).number("new", 2).close();
        json.text("server_name", "canary").text("wiki", "canarywiki");
    }
    json.finish()
}

fn push_meta(json: &mut Json, seed: u64, number: u64, domain: &str, at_ms: i64, id: &str, offset: u64) {
    json.text("request_id", &uuid(seed ^ REQUEST, number)).text("id", id).text("domain", domain);
    json.text("stream", STREAM).text("dt", &iso_ms(at_ms)).text("topic", TOPIC);
    json.number("partition", 0).number("offset", offset);
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Percent-encodes a title as MediaWiki's `wfUrlencode` does, with underscores for spaces.
fn push_encoded(out: &mut String, title: &str) {
    for byte in title.bytes() {
        match byte {
            b' ' => out.push('_'),
            b'-' | b'_' | b'.' | b'~' | b';' | b'@' | b'$' | b'!' | b'*' | b'(' | b')' | b',' | b'/' | b':' => {
                out.push(char::from(byte));
            }
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => {
                out.push('%');
                out.extend(
                    [byte >> 4, byte & 15].map(|half| HEX.get(usize::from(half)).map_or('0', |hex| char::from(*hex))),
                );
            }
        }
    }
}

fn html(comment: &str) -> Cow<'_, str> {
    if !comment.contains(['&', '<', '>', '"', '\'']) {
        return Cow::Borrowed(comment);
    }
    let mut out = String::with_capacity(comment.len() + 16);
    for character in comment.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#039;"),
            other => out.push(other),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::super::{Generator, Patrol};
    use super::*;

    const AT: i64 = 1_770_091_506_789;

    #[test]
    fn every_event_has_the_keys_of_its_type() {
        for edit in Generator::new(3).take(20_000) {
            let line = edit.recentchange(AT, &edit.uuid(), 42);
            assert!(!line.contains('\n'));
            let event: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(event["$schema"], SCHEMA);
            assert_eq!(event["meta"]["id"], edit.uuid());
            assert_eq!(event["meta"]["dt"], "2026-02-03T04:05:06.789Z");
            assert_eq!(event["meta"]["domain"], edit.wiki.server_name);
            assert_eq!((&event["meta"]["topic"], &event["meta"]["offset"]), (&TOPIC.into(), &42.into()));
            assert_eq!(event["timestamp"], 1_770_091_506);
            assert_eq!(event["title"], edit.title);
            assert_eq!(event["comment"], edit.comment);
            assert_eq!(event["wiki"], edit.wiki.name);
            let is_page = matches!(edit.kind, Kind::Edit | Kind::New);
            assert_eq!(event["revision"].is_object(), is_page);
            assert_eq!(event["minor"].is_boolean(), is_page);
            assert_eq!(event["length"].is_object(), edit.length.is_some());
            assert_eq!(event["length"]["old"].is_number(), edit.length.is_some_and(|length| length.old.is_some()));
            assert_eq!(event["log_type"].is_string(), matches!(edit.kind, Kind::Log(_)));
            let patrols = match edit.wiki.patrol {
                Patrol::All => is_page,
                Patrol::NewPages => edit.kind == Kind::New,
                Patrol::Never => false,
            };
            assert_eq!(event.get("patrolled").is_some(), patrols, "{line}");
            if is_page {
                assert_eq!(event["notify_url"].as_str().unwrap().contains("&rcid="), patrols);
            }
        }
    }

    #[test]
    fn canaries_are_known_by_their_domain() {
        for number in 0..4 {
            let event: serde_json::Value = serde_json::from_str(&canary(1, number, AT, 9)).unwrap();
            assert_eq!(event["meta"]["domain"], "canary");
            assert_eq!(event.get("title").is_some(), number % 2 == 0);
        }
    }

    #[test]
    fn titles_are_encoded_as_mediawiki_does() {
        let mut out = String::new();
        push_encoded(&mut out, "Fähre (Muster) / 50 %");
        assert_eq!(out, "F%C3%A4hre_(Muster)_/_50_%25");
    }
}
