//! A record as a row: one JSON object on one line, with a time that can be read.

use chrono::DateTime;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Times of rows: from year 1 up to 9999, whose texts sort as they do.
const TIMES_MS: std::ops::Range<i64> = -62_135_596_800_000..253_370_764_800_000;

/// How times are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeFormat {
    /// ISO 8601 with a zone.
    Iso,
    /// Milliseconds since 1970 UTC.
    Millis,
    /// Seconds since 1970 UTC.
    Posix,
    /// ISO or milliseconds.
    Auto,
}

impl TimeFormat {
    /// The formats by the words of the service.
    pub const NAMES: [(&'static str, TimeFormat); 4] = [
        ("iso", TimeFormat::Iso),
        ("millis", TimeFormat::Millis),
        ("posix", TimeFormat::Posix),
        ("auto", TimeFormat::Auto),
    ];
}

/// What rows look like.
#[derive(Debug, Clone)]
pub struct RowFormat {
    /// The column with the row's time.
    pub time_column: String,
    /// How it is written.
    pub time_format: TimeFormat,
}

/// A row.
#[derive(Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// One JSON object without a line break.
    pub json: Cow<'a, [u8]>,
    /// Its time, milliseconds since 1970 UTC.
    pub time_ms: i64,
}

/// Kafka Connect's form of a value.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    #[serde(rename = "schema")]
    _schema: IgnoredAny,
    #[serde(borrow)]
    payload: &'a RawValue,
}

impl RowFormat {
    /// The row of a record's value: the value itself, or what is in Kafka Connect's envelope.
    ///
    /// # Errors
    /// Why it is none, as a constant: it is counted under it, and left out.
    pub fn row<'a>(&self, value: Option<&'a [u8]>) -> Result<Row<'a>, &'static str> {
        let value = value.ok_or("no value")?;
        let payload: &RawValue = match serde_json::from_slice::<Envelope<'_>>(value) {
            Ok(envelope) => envelope.payload,
            Err(_) => serde_json::from_slice(value).map_err(|_| "not JSON")?,
        };
        let text = payload.get();
        if !text.starts_with('{') {
            return Err("not a JSON object");
        }
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let time = Member(&self.time_column).deserialize(&mut deserializer).ok().flatten().ok_or("no time")?;
        let time_ms = self.time_format.read(time).ok_or("a time that cannot be read")?;
        if !TIMES_MS.contains(&time_ms) {
            return Err("a time outside of the years 1 to 9998");
        }
        Ok(Row { json: one_line(text.as_bytes()), time_ms })
    }
}

/// JSON has line breaks between its parts only; in texts they are escaped.
fn one_line(json: &[u8]) -> Cow<'_, [u8]> {
    match json.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        false => Cow::Borrowed(json),
        true => Cow::Owned(json.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect()),
    }
}

impl TimeFormat {
    fn read(self, raw: &RawValue) -> Option<i64> {
        let text: Cow<'_, str> = match raw.get().starts_with('"') {
            true => serde_json::from_str(raw.get()).ok()?,
            false => Cow::Borrowed(raw.get()),
        };
        let iso = || DateTime::parse_from_rfc3339(&text).ok().map(|time| time.timestamp_millis());
        match self {
            TimeFormat::Iso => iso(),
            TimeFormat::Millis => text.parse().ok(),
            TimeFormat::Posix => text.parse::<i64>().ok()?.checked_mul(1000),
            TimeFormat::Auto => text.parse().ok().or_else(iso),
        }
    }
}

/// One member of an object, everything else passed over.
struct Member<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            match name == self.0 {
                true => found = Some(map.next_value()?),
                false => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(time_format: TimeFormat) -> RowFormat {
        RowFormat { time_column: "timestamp".to_owned(), time_format }
    }

    #[test]
    fn rows_come_bare_or_in_an_envelope() {
        let check = |value: &str, expected: Result<(&str, i64), &'static str>| {
            let row = format(TimeFormat::Iso).row(Some(value.as_bytes()));
            let expected = expected.map(|(json, time_ms)| Row { json: Cow::Borrowed(json.as_bytes()), time_ms });
            assert_eq!(row, expected, "{value}");
        };
        let bare = r#"{"page":"A {b}","timestamp":"2026-02-03T04:05:06.789Z","n":1.50}"#;
        check(bare, Ok((bare, 1_770_091_506_789)));
        check(&format!(r#"{{"schema":{{"type":"struct"}},"payload":{bare}}}"#), Ok((bare, 1_770_091_506_789)));
        check(&format!(r#"{{"payload":{bare},"schema":null}}"#), Ok((bare, 1_770_091_506_789)));
        // A member called `payload` beside others is a column.
        check(
            r#"{"payload":1,"timestamp":"1970-01-01T00:00:00Z"}"#,
            Ok((r#"{"payload":1,"timestamp":"1970-01-01T00:00:00Z"}"#, 0)),
        );
        check(
            "{\n \"timestamp\":\r\n\"1970-01-01T01:00:00+01:00\"}",
            Ok(("{  \"timestamp\":  \"1970-01-01T01:00:00+01:00\"}", 0)),
        );
        check(r#"{"timestamp":"9999-01-01T00:00:00Z"}"#, Err("a time outside of the years 1 to 9998"));
        check(r#"{"timestamp":"soon"}"#, Err("a time that cannot be read"));
        check(r#"{"page":"x"}"#, Err("no time"));
        check("[1]", Err("not a JSON object"));
        check(r#"{"schema":null,"payload":null}"#, Err("not a JSON object"));
        check("{\"timestamp\":\"1970-01-01T00:00:00Z\"} x", Err("not JSON"));
        check("{", Err("not JSON"));
        assert_eq!(format(TimeFormat::Iso).row(None), Err("no value"));
    }

    #[test]
    fn times_are_read_in_each_format() {
        let check = |time_format: TimeFormat, time: &str, expected: Option<i64>| {
            let value = format!(r#"{{"timestamp":{time}}}"#);
            let row = format(time_format).row(Some(value.as_bytes()));
            assert_eq!(row.ok().map(|row| row.time_ms), expected, "{time_format:?} {time}");
        };
        check(TimeFormat::Millis, "1500", Some(1500));
        check(TimeFormat::Millis, "\"1500\"", Some(1500));
        check(TimeFormat::Millis, "\"1970-01-01T00:00:01Z\"", None);
        check(TimeFormat::Posix, "15", Some(15_000));
        check(TimeFormat::Auto, "15", Some(15));
        check(TimeFormat::Auto, "\"1970-01-01T00:00:01Z\"", Some(1000));
        check(TimeFormat::Iso, "15", None);
        check(TimeFormat::Posix, "9223372036854775807", None);
    }
}
