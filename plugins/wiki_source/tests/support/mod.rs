//! What the integration tests share: frames in, parsed rows out.
#![allow(dead_code, unreachable_pub)]

use connector_sdk::{BatchBuilder, Decoder, Frame, Outcome, Settings};
use serde_json::Value;
use wiki_source::WikiSource;

pub const RECEIVED_MS: i64 = 1_442_018_818_771;
pub const RECEIVED: &str = "2015-09-12T00:46:58.771Z";

pub fn open(protocol: &str, options: &[(&str, &str)]) -> WikiSource {
    let settings: Settings = options.iter().copied().collect();
    WikiSource::open(&settings, protocol, &[]).unwrap()
}

/// What one frame became, its value parsed.
#[derive(Debug, PartialEq)]
pub enum Decoded {
    Row { key: i64, timestamp: i64, value: Value },
    Skip(&'static str),
    Reject(String),
}

impl Decoded {
    pub fn value(&self) -> &Value {
        match self {
            Decoded::Row { value, .. } => value,
            other => panic!("{other:?}"),
        }
    }
}

/// Decodes one frame and checks that there is exactly one outcome.
pub fn decode(source: &mut WikiSource, origin: &str, data: &[u8]) -> Decoded {
    let mut records = BatchBuilder::default();
    let outcome = source.decode(&Frame { data, origin, received_ms: RECEIVED_MS }, &mut records);
    let mut records = records.into_records().into_iter();
    let decoded = match (outcome, records.next()) {
        (Outcome::Record, Some((Some(key), Some(value), timestamp))) => {
            let key = serde_json::from_slice(&key).unwrap();
            Decoded::Row { key, timestamp, value: serde_json::from_slice(&value).unwrap() }
        }
        (Outcome::Skip(reason), None) => Decoded::Skip(reason),
        (Outcome::Reject(reason), None) => Decoded::Reject(reason),
        other => panic!("{other:?}"),
    };
    assert!(records.next().is_none());
    decoded
}

/// A line of the IRC feed.
pub struct Line<'a> {
    pub title: &'a str,
    pub flags: &'a str,
    pub url: &'a str,
    pub user: &'a str,
    pub size: &'a str,
    pub comment: &'a str,
}

impl Line<'_> {
    pub fn coloured(&self) -> String {
        let Line { title, flags, url, user, size, comment } = self;
        format!(
            "\x0314[[\x0307{title}\x0314]]\x034 {flags}\x0310 \x0302{url}\x03 \x035*\x03 \x0303{user}\x03 \x035*\x03 {size} \x0310{comment}\x03"
        )
    }

    pub fn plain(&self) -> String {
        let Line { title, flags, url, user, size, comment } = self;
        format!("[[{title}]] {flags} {url} * {user} * {size} {comment}")
    }
}
