//! Kafka Connect's JSON converter: records whose plugin named a schema are put into the envelope
//! `{"schema":…,"payload":…}`, or left bare where `schemas.enable` is false.
//!
//! A plugin gives its JSON as bytes, so the envelope is two copies and no parse; but a value that
//! is not one JSON text would break every reader, so each is checked, and a bad one is rejected.

use crate::connector::{Rejected, Schemas};
use crate::error::{Error, OrError, Result};
use crate::record::{Batch, BatchBuilder};
use serde::de::IgnoredAny;

/// Converts the keys and values of one source.
#[derive(Debug, Default)]
pub(super) struct Converter {
    key: Form,
    value: Form,
}

#[derive(Debug, Default)]
enum Form {
    /// Bytes as they are.
    #[default]
    Bytes,
    /// JSON as it is.
    Bare,
    /// JSON in an envelope that begins so.
    Envelope(Vec<u8>),
}

impl Form {
    fn new(schema: Option<&str>, envelope: bool) -> Result<Self> {
        match schema {
            None => Ok(Form::Bytes),
            Some(schema) => {
                // From a plugin: it goes into every record as it stands, so it is checked once.
                let parsed: serde_json::Value =
                    serde_json::from_str(schema).or_bug("the plugin's schema is not JSON")?;
                if !parsed.is_object() {
                    return Err(Error::bug(format!("the plugin's schema is `{parsed}`, expected a JSON object")));
                }
                Ok(if envelope {
                    Form::Envelope(format!("{{\"schema\":{schema},\"payload\":").into_bytes())
                } else {
                    Form::Bare
                })
            }
        }
    }

    fn check(&self, bytes: Option<&[u8]>) -> std::result::Result<(), serde_json::Error> {
        match (self, bytes) {
            (Form::Bytes, _) | (_, None) => Ok(()),
            (_, Some(bytes)) => serde_json::from_slice::<IgnoredAny>(bytes).map(drop),
        }
    }

    fn pieces<'a>(&'a self, bytes: &'a [u8]) -> [&'a [u8]; 3] {
        match self {
            Form::Bytes | Form::Bare => [&[], bytes, &[]],
            Form::Envelope(head) => [head, bytes, b"}"],
        }
    }

    fn added_bytes(&self) -> usize {
        if let Form::Envelope(head) = self { head.len() + 1 } else { 0 }
    }
}

impl Converter {
    pub(super) fn new(schemas: &Schemas, key_envelope: bool, value_envelope: bool) -> Result<Self> {
        let key = Form::new(schemas.key.as_deref(), key_envelope)?;
        Ok(Converter { key, value: Form::new(schemas.value.as_deref(), value_envelope)? })
    }

    /// The converted batch, and what could not be converted.
    pub(super) fn convert(&self, batch: &Batch) -> (Batch, Vec<Rejected>) {
        let added = self.key.added_bytes() + self.value.added_bytes();
        let mut out = BatchBuilder::with_capacity(batch.len(), batch.num_bytes() + batch.len() * added);
        let mut rejects = Vec::new();
        for record in batch.records() {
            let checked = self.key.check(record.key).map_err(|error| ("key", error));
            let checked = checked.and_then(|()| self.value.check(record.value).map_err(|error| ("value", error)));
            if let Err((part, error)) = checked {
                rejects.push(Rejected {
                    raw: record.value.map(<[u8]>::to_vec),
                    key: record.key.map(<[u8]>::to_vec),
                    reason: format!("the {part} is not one JSON text: {error}"),
                    timestamp: record.timestamp,
                    ..Rejected::default()
                });
                continue;
            }
            let key = record.key.map(|key| self.key.pieces(key));
            let value = record.value.map(|value| self.value.pieces(value));
            let (key, value) = (key.as_ref().map(|key| key.as_slice()), value.as_ref().map(|value| value.as_slice()));
            out.push_parts(key, value, &record.headers(), record.timestamp);
        }
        (out.build(), rejects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(value: &[u8]) -> Batch {
        let mut builder = BatchBuilder::default();
        builder.push(Some(b"1"), Some(value), &[("h", Some(b"x"))], 5);
        builder.build()
    }

    fn schemas() -> Schemas {
        let schema = |kind: &str| Some(format!(r#"{{"type":"{kind}","optional":false}}"#));
        Schemas { key: schema("int64"), value: schema("struct") }
    }

    #[test]
    fn the_envelope_is_connects() {
        let check = |key_envelope, value_envelope, key: &str, value: &str| {
            let converter = Converter::new(&schemas(), key_envelope, value_envelope).unwrap();
            let (out, rejects) = converter.convert(&batch(br#"{"a":1}"#));
            assert!(rejects.is_empty());
            let record = out.records().next().unwrap();
            assert_eq!((record.key, record.value), (Some(key.as_bytes()), Some(value.as_bytes())));
            assert_eq!(record.headers(), [("h", Some(&b"x"[..]))]);
        };
        let key = r#"{"schema":{"type":"int64","optional":false},"payload":1}"#;
        check(true, true, key, r#"{"schema":{"type":"struct","optional":false},"payload":{"a":1}}"#);
        check(false, false, "1", r#"{"a":1}"#);
    }

    #[test]
    fn what_is_not_json_is_rejected_with_its_bytes() {
        let converter = Converter::new(&schemas(), true, true).unwrap();
        for bad in [&b"{\"a\":1}}"[..], b"", b"{a}", b"\xff"] {
            let (out, rejects) = converter.convert(&batch(bad));
            let reject = rejects.first().unwrap();
            assert!(
                out.is_empty()
                    && reject.raw.as_deref() == Some(bad)
                    && reject.reason.starts_with("the value is not one JSON text")
            );
        }
        assert!(Converter::new(&Schemas { key: None, value: Some("[".to_owned()) }, true, true).is_err());
    }
}
