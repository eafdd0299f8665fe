//! Writes JSON text without a tree in between: an event is rendered for every edit, so this is on
//! the hot path.
//!
//! Invariant: what is written is one line; control characters are escaped. The caller closes what
//! it opens.

use std::fmt::Write;

/// A JSON text as it grows.
#[derive(Debug)]
pub(crate) struct Json {
    text: String,
}

impl Json {
    /// An object that has just been opened.
    pub(crate) fn new() -> Self {
        let mut text = String::with_capacity(1536);
        text.push('{');
        Self { text }
    }

    pub(crate) fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.key(key);
        self.text.push('"');
        escape(&mut self.text, value);
        self.text.push('"');
        self
    }

    pub(crate) fn number<N: Integer>(&mut self, key: &str, value: N) -> &mut Self {
        self.key(key);
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{value}");
        self
    }

    pub(crate) fn flag(&mut self, key: &str, value: bool) -> &mut Self {
        self.raw(key, if value { "true" } else { "false" })
    }

    /// A value that is JSON already.
    pub(crate) fn raw(&mut self, key: &str, value: &str) -> &mut Self {
        self.key(key);
        self.text.push_str(value);
        self
    }

    pub(crate) fn open(&mut self, key: &str) -> &mut Self {
        self.raw(key, "{")
    }

    pub(crate) fn close(&mut self) -> &mut Self {
        self.text.push('}');
        self
    }

    /// Closes the object of [`Json::new`] and gives the text away.
    pub(crate) fn finish(&mut self) -> String {
        self.close();
        std::mem::take(&mut self.text)
    }

    fn key(&mut self, key: &str) {
        if !self.text.ends_with('{') {
            self.text.push(',');
        }
        self.text.push('"');
        self.text.push_str(key);
        self.text.push_str("\":");
    }
}

/// What may stand as a number: no floats, which have values that JSON has not.
pub(crate) trait Integer: std::fmt::Display {}

impl Integer for i32 {}
impl Integer for i64 {}
impl Integer for u32 {}
impl Integer for u64 {}

/// Appends the inside of a JSON string, RFC 8259 section 7.
pub(crate) fn escape(out: &mut String, value: &str) {
    if !value.bytes().any(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)) {
        return out.push_str(value);
    }
    for character in value.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let odd = "\"\\\u{1}\u{1f}\t\r\n\u{7f}\u{2028}\u{1f600}é";
        let mut json = Json::new();
        json.text("a", odd).number("b", -7_i64).open("c").flag("d", true).close().raw("e", "[]");
        let text = json.finish();
        assert!(!text.contains('\n'));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["a"], odd);
        assert_eq!(value, serde_json::json!({"a": odd, "b": -7, "c": {"d": true}, "e": []}));
    }
}
