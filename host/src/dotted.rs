//! Dotted keys with text values, the one shape of options: Kafka Connect's properties and JSON, our TOML
//! and command line all become this.

use crate::error::{Error, Result};
use std::collections::BTreeMap;

/// Options by dotted name.
pub type Keys = BTreeMap<String, String>;

/// Turns nested tables back into dotted keys with text values, as Kafka Connect has them: TOML
/// reads `irc.host = "x"` as a table. Lists of scalars become comma-separated text.
///
/// # Errors
/// Class Config, naming the key whose value is neither.
pub(crate) fn flatten(prefix: &str, table: &toml::Table, flat: &mut Keys) -> Result<()> {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            toml::Value::Table(inner) => flatten(&key, inner, flat)?,
            toml::Value::Array(items) => {
                let texts: Option<Vec<String>> = items.iter().map(scalar).collect();
                let texts = texts
                    .ok_or_else(|| Error::config(format!("`{key}` is a list of tables, expected a list of values")))?;
                flat.insert(key, texts.join(","));
            }
            other => {
                let text =
                    scalar(other).ok_or_else(|| Error::config(format!("`{key}` has a value of no known type")))?;
                flat.insert(key, text);
            }
        }
    }
    Ok(())
}

/// The text of a value that is one value; none for lists and tables.
pub(crate) fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        toml::Value::Datetime(time) => Some(time.to_string()),
        toml::Value::Array(_) | toml::Value::Table(_) => None,
    }
}
