//! A record as a row: one JSON object on one line, with a time that can be read.

use chrono::DateTime;
use memchr::memchr2;
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

/// Finds the rows of one file's records. Envelopes mostly begin with the same schema, which is read once.
pub struct RowReader<'f> {
    format: &'f RowFormat,
    /// What is before the payload in the last envelope that was read as a whole; its schema is in it.
    prefix: Vec<u8>,
    /// Every record is a row: they were all looked at before.
    is_trusted: bool,
}

impl RowFormat {
    /// For records that were not looked at yet.
    pub fn reader(&self) -> RowReader<'_> {
        RowReader { format: self, prefix: Vec::new(), is_trusted: false }
    }

    /// For records of which `num_skipped` were no rows when they were looked at.
    pub fn reader_again(&self, num_skipped: u64) -> RowReader<'_> {
        RowReader { is_trusted: num_skipped == 0, ..self.reader() }
    }
}

impl RowReader<'_> {
    /// The row of a record's value: the value itself, or what is in Kafka Connect's envelope.
    ///
    /// # Errors
    /// Why it is none, as a constant: it is counted under it, and left out.
    pub fn row<'a>(&mut self, value: Option<&'a [u8]>) -> Result<Row<'a>, &'static str> {
        let json = self.payload(value.ok_or("no value")?)?;
        if !json.starts_with(b"{") {
            return Err("not a JSON object");
        }
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let time = Member(&self.format.time_column).deserialize(&mut deserializer);
        let time = time.ok().flatten().ok_or("no time")?;
        let time_ms = self.format.time_format.read(time).ok_or("a time that cannot be read")?;
        if !TIMES_MS.contains(&time_ms) {
            return Err("a time outside of the years 1 to 9998");
        }
        Ok(Row { json: one_line(json), time_ms })
    }

    /// The row of a record that was looked at before, on one line; none: it is no row.
    pub fn row_again<'a>(&mut self, value: Option<&'a [u8]>) -> Option<Cow<'a, [u8]>> {
        if self.is_trusted
            && !self.prefix.is_empty()
            && let Some(rest) = value?.strip_prefix(self.prefix.as_slice())
            // The schema was before it: nothing but the end can follow the payload.
            && let Some(json) = rest.trim_ascii_end().strip_suffix(b"}")
        {
            return Some(one_line(json.trim_ascii()));
        }
        self.row(value).ok().map(|row| row.json)
    }

    fn payload<'a>(&mut self, value: &'a [u8]) -> Result<&'a [u8], &'static str> {
        if !self.prefix.is_empty()
            && let Some(rest) = value.strip_prefix(self.prefix.as_slice())
        {
            let mut payloads = serde_json::Deserializer::from_slice(rest).into_iter::<&RawValue>();
            if let Some(Ok(payload)) = payloads.next()
                && rest.get(payloads.byte_offset()..).map(<[u8]>::trim_ascii) == Some(b"}")
            {
                return Ok(payload.get().as_bytes());
            }
        }
        if let Ok(envelope) = serde_json::from_slice::<Envelope<'_>>(value) {
            let payload = envelope.payload.get().as_bytes();
            let begin = (payload.as_ptr() as usize).saturating_sub(value.as_ptr() as usize);
            let (before, after) = (value.get(..begin), value.get(begin + payload.len()..));
            if let Some(before) = before
                && after.map(<[u8]>::trim_ascii) == Some(b"}")
            {
                before.clone_into(&mut self.prefix);
            }
            return Ok(payload);
        }
        serde_json::from_slice(value).map(|raw: &RawValue| raw.get().as_bytes()).map_err(|_| "not JSON")
    }
}

/// JSON has line breaks between its parts only; in texts they are escaped.
fn one_line(json: &[u8]) -> Cow<'_, [u8]> {
    match memchr2(b'\n', b'\r', json).is_some() {
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
            let format = format(TimeFormat::Iso);
            let row = format.reader().row(Some(value.as_bytes()));
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
        assert_eq!(format(TimeFormat::Iso).reader().row(None), Err("no value"));
    }

    /// Whatever came before, a record is the row that it is alone.
    #[test]
    fn a_schema_that_is_known_changes_no_row() {
        let format = format(TimeFormat::Iso);
        let schema = r#"{"schema":{"type":"struct","name":"payload"},"payload":"#;
        let row = |n: u32| format!(r#"{{"n":{n},"timestamp":"1970-01-01T00:00:0{n}Z"}}"#);
        let values = [
            format!("{schema}{}}}", row(1)),
            format!("{schema}{}}}", row(2)),
            format!("{schema} \n{}\t}} ", row(3)),
            row(4),
            format!(r#"{{"payload":{},"schema":null}}"#, row(5)),
            format!(r#"{{"payload":{},"schema":{{}}}}"#, row(6)),
            format!("{schema}{}}}", row(7)),
            format!(r#"{{"schema":null,"payload":{}}}"#, row(8)),
            format!("{schema}{}}}", row(9)),
        ];
        let (mut first, mut again) = (format.reader(), format.reader_again(0));
        for value in &values {
            let value = Some(value.as_bytes());
            let alone = format.reader().row(value).unwrap();
            assert_eq!(again.row_again(value).as_ref(), Some(&alone.json));
            assert_eq!(first.row(value), Ok(alone));
        }
        // None of these is a row, and none is made one by what is known.
        let no_rows = [
            format!(r#"{schema}{},"schema":null}}"#, row(1)),
            format!("{schema}{}", row(1)),
            format!("{schema}{}}}}}", row(1)),
            format!("{schema}[{}]}}", row(1)),
            format!("{schema}null}}"),
            schema.to_owned(),
        ];
        let mut wary = format.reader_again(1);
        for value in &no_rows {
            let value = Some(value.as_bytes());
            let alone = format.reader().row(value).unwrap_err();
            assert_eq!((first.row(value), wary.row_again(value)), (Err(alone), None));
        }
    }

    #[test]
    fn times_are_read_in_each_format() {
        let check = |time_format: TimeFormat, time: &str, expected: Option<i64>| {
            let value = format!(r#"{{"timestamp":{time}}}"#);
            let format = format(time_format);
            let row = format.reader().row(Some(value.as_bytes()));
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
