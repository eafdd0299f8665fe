//! Reads what a URI says: percent-encoding and queries.
//!
//! Invariant: nothing here panics on any input; text that is not UTF-8 once decoded is refused, so
//! that no two spellings name one file.

use super::answer::{Class, Refusal};

/// Decodes `%XX` in either letter case. `None` for a broken escape or text that is not UTF-8.
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
        bytes.push(high << 4 | low);
    }
    String::from_utf8(bytes).ok()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// The parameters of a query; where one is given twice the first counts.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// # Errors
    /// Class Query for text that cannot be decoded.
    pub(super) fn parse(text: Option<&str>) -> Result<Self, Refusal> {
        let pairs = text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let decoded = pairs.map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(key)?, decode(&value.replace('+', "%20"))?))
        });
        let pairs: Option<Vec<_>> = decoded.collect();
        pairs.map(Self).ok_or_else(|| Refusal::new(Class::Query, "the query is not percent-encoded UTF-8"))
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// A number that is not negative.
    ///
    /// # Errors
    /// Class Query for anything else.
    pub(super) fn number(&self, key: &str) -> Result<Option<i64>, Refusal> {
        self.get(key).map(|text| number(text).ok_or_else(|| bad(key, text, "decimal digits"))).transpose()
    }

    /// `true` or `false` in any letter case, as the Python client writes `True`.
    ///
    /// # Errors
    /// Class Query for anything else.
    pub(super) fn flag(&self, key: &str) -> Result<bool, Refusal> {
        match self.get(key) {
            None => Ok(false),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(text) => Err(bad(key, text, "`true` or `false`")),
        }
    }

    /// `skip-atime-update`, which a cluster takes as the literal `true` only.
    ///
    /// # Errors
    /// Class Query for `1` and its like.
    pub(super) fn check_skip_atime(&self) -> Result<(), Refusal> {
        match self.get("skip-atime-update") {
            None | Some("true" | "false") => Ok(()),
            Some(text) => Err(bad("skip-atime-update", text, "`true`")),
        }
    }
}

/// Decimal digits that fit.
pub(super) fn number(text: &str) -> Option<i64> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_digits)
}

fn bad(key: &str, found: &str, expected: &str) -> Refusal {
    let found: String = found.chars().take(100).collect();
    Refusal::new(Class::Query, format!("parameter `{key}` is `{found}`, expected {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_read_in_either_case_and_broken_ones_refused() {
        assert_eq!(decode("%2Fspool%2fa%20b%23%C3%a9").as_deref(), Some("/spool/a b#é"));
        assert_eq!(decode("plain+text").as_deref(), Some("plain+text"));
        for broken in ["%", "%2", "%zz", "%ff", "a%C3"] {
            assert_eq!(decode(broken), None, "{broken}");
        }
    }

    #[test]
    fn queries_are_read_and_bad_values_refused() {
        let query = Query::parse(Some("limit=7&after=&filter=a%2Cb&recursive=True&skip-atime-update=1&x")).unwrap();
        assert_eq!(query.number("limit").unwrap(), Some(7));
        assert!(query.number("after").is_err());
        assert_eq!(query.number("missing").unwrap(), None);
        assert_eq!(query.get("filter"), Some("a,b"));
        assert!(query.flag("recursive").unwrap());
        assert!(query.flag("limit").is_err());
        assert!(query.check_skip_atime().is_err());
        assert_eq!(query.get("x"), Some(""));
        assert!(Query::parse(Some("a=%ff")).is_err());
        assert!(number("-1").is_none() && number("+1").is_none() && number("99999999999999999999").is_none());
    }
}
