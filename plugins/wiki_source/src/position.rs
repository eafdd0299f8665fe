//! Positions as they are stored: JSON objects, as Kafka Connect keeps source offsets.
//!
//! | feed | partition | position |
//! | --- | --- | --- |
//! | `irc` | `{"channel":"#en.wikipedia"}` | `{"timestamp":1442018818771}` |
//! | `sse` | `{"stream":"recentchange"}` | `{"id":"[{…}]","seen":["0123456789abcdef"]}` |
//!
//! Invariants: the resume token is kept as it came; one with control characters is never stored
//! nor given back, because it would end up in a request header. IRC cannot resume: its positions
//! say how far a channel got, and are checked and not used. Anything else is refused, not ignored.

use crate::json::{put_int, quoted};
use crate::seen::Seen;
use crate::text::excerpt;
use connector_sdk::{Error, Position};
use serde::Deserialize;

const STREAM: &str = "recentchange";

/// What stored positions tell.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    /// The feed's token to resume after.
    pub(crate) resume: Option<String>,
    /// Events seen before it was stored.
    pub(crate) seen: Seen,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
enum Partition {
    /// Which one does not matter: IRC resumes nothing.
    #[serde(rename = "channel")]
    Channel(#[expect(dead_code)] String),
    #[serde(rename = "stream")]
    Stream(String),
}

#[derive(Deserialize)]
struct ChannelPosition {
    #[serde(rename = "timestamp")]
    _timestamp: i64,
}

#[derive(Deserialize)]
struct StreamPosition {
    id: String,
    #[serde(default)]
    seen: Vec<String>,
}

/// Reads all stored positions. Both feeds' are accepted: a connector keeps those of its former
/// feed when its configuration changes.
///
/// # Errors
/// [`Error::Bug`] naming the first one that is not as this module writes it.
pub(crate) fn restore(positions: &[Position]) -> Result<Restored, Error> {
    let mut restored = Restored::default();
    for position in positions {
        restore_one(position, &mut restored).map_err(|found| {
            let (partition, text) = (excerpt(&position.partition, 200), excerpt(&position.position, 200));
            Error::Bug(format!("stored position `{text}` of partition `{partition}` cannot be read: {found}"))
        })?;
    }
    Ok(restored)
}

fn restore_one(position: &Position, restored: &mut Restored) -> Result<(), String> {
    let partition = serde_json::from_slice(&position.partition).map_err(|e| format!("its partition: {e}"))?;
    match partition {
        Partition::Channel(_) => {
            serde_json::from_slice::<ChannelPosition>(&position.position).map_err(|e| e.to_string())?;
        }
        Partition::Stream(stream) if stream == STREAM => {
            let stored: StreamPosition = serde_json::from_slice(&position.position).map_err(|e| e.to_string())?;
            if stored.id.is_empty() || stored.id.contains(char::is_control) {
                return Err("its `id` is empty or holds control characters".to_owned());
            }
            for hash in &stored.seen {
                let has_form = hash.len() == 16 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
                let number = u64::from_str_radix(hash, 16).ok().filter(|_| has_form);
                let number = number.ok_or("its `seen` holds something else than 16 hexadecimal digits")?;
                restored.seen.insert(number);
            }
            restored.resume = Some(stored.id);
        }
        Partition::Stream(_) => return Err(format!("its stream is not `{STREAM}`")),
    }
    Ok(())
}

/// The position of a channel whose last frame was received then.
pub(crate) fn of_channel(channel: &str, timestamp_ms: i64) -> Position {
    let mut position = br#"{"timestamp":"#.to_vec();
    put_int(&mut position, timestamp_ms);
    position.push(b'}');
    Position { partition: format!(r#"{{"channel":{}}}"#, quoted(channel)).into_bytes(), position }
}

/// The position after an event with this token.
///
/// # Errors
/// What is wrong with a token that must not be stored.
pub(crate) fn of_stream(resume: &str, seen: &Seen) -> Result<Position, &'static str> {
    if resume.contains(char::is_control) {
        return Err("the feed's resume token holds control characters");
    }
    let seen: Vec<_> = seen.newest().map(|hash| format!(r#""{hash:016x}""#)).collect();
    let position = format!(r#"{{"id":{},"seen":[{}]}}"#, quoted(resume), seen.join(","));
    Ok(Position { partition: format!(r#"{{"stream":"{STREAM}"}}"#).into_bytes(), position: position.into_bytes() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TOKEN: &str = r#"[{"topic":"eqiad.mediawiki.recentchange","partition":0,"timestamp":1790000000001}]"#;

    fn stored(partition: &str, position: &str) -> Result<Restored, Error> {
        restore(&[Position { partition: partition.into(), position: position.into() }])
    }

    #[test]
    fn a_stream_comes_back_with_its_token_and_what_was_seen() {
        let mut seen = Seen::default();
        (0..200).for_each(|id| assert!(seen.insert(id)));
        let position = of_stream(TOKEN, &seen).unwrap();
        assert_eq!(position.partition, br#"{"stream":"recentchange"}"#);
        let mut restored = restore(&[position]).unwrap();
        assert_eq!(restored.resume.as_deref(), Some(TOKEN));
        assert!((0..72).all(|id| restored.seen.insert(id)));
        assert!(!(72..200).any(|id| restored.seen.insert(id)));
    }

    #[test]
    fn a_channel_is_accepted_and_resumes_nothing() {
        let position = of_channel("#en.wikipedia", 1_442_018_818_771);
        assert_eq!(position.partition, br##"{"channel":"#en.wikipedia"}"##);
        assert_eq!(position.position, br#"{"timestamp":1442018818771}"#);
        assert_eq!(restore(&[position]).unwrap().resume, None);
    }

    #[test]
    fn tokens_with_control_characters_are_neither_stored_nor_given_back() {
        assert!(of_stream("a\nb", &Seen::default()).is_err());
        assert!(stored(r#"{"stream":"recentchange"}"#, r#"{"id":"a\nb","seen":[]}"#).is_err());
    }

    #[test]
    fn what_is_malformed_is_named() {
        let stream = r#"{"stream":"recentchange"}"#;
        for (partition, position) in [
            ("", "{}"),
            ("{}", "{}"),
            (r#"{"channel":"a","stream":"b"}"#, "{}"),
            (r#"{"topic":"a"}"#, "{}"),
            (r#"{"stream":"other"}"#, r#"{"id":"a"}"#),
            (stream, ""),
            (stream, "{}"),
            (stream, r#"{"id":""}"#),
            (stream, r#"{"id":"a","seen":["123"]}"#),
            (stream, r#"{"id":"a","seen":["+123456789abcdef"]}"#),
            (r##"{"channel":"#a"}"##, r#"{"timestamp":"soon"}"#),
        ] {
            let error = stored(partition, position).unwrap_err();
            let is_named = error.to_string().starts_with("stored position `") && error.to_string().contains(partition);
            assert!(is_named && matches!(error, Error::Bug(_)), "{error}");
        }
    }
}
