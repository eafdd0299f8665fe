//! Values that are named in configuration and never written, printed or lent to a plugin.

use crate::error::{Error, OrError, Result};
use std::fmt;
use std::path::Path;

/// A secret value. `Debug` and `Display` hide it; [`Secret::expose`] is for the client library
/// that needs it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Reads the secret that `name` points to: `env:NAME` or `file:PATH` (one trailing line break
    /// is not part of it).
    ///
    /// # Errors
    /// Class Config: a value that is not such a name, or a name that leads nowhere. The text
    /// given is never repeated in the message: it may be the secret itself.
    pub fn resolve(option: &str, name: &str) -> Result<Self> {
        if let Some(variable) = name.strip_prefix("env:") {
            let attempt = format!("option `{option}`: environment variable `{variable}`");
            return std::env::var(variable).map(Secret).or_config(attempt);
        }
        if let Some(path) = name.strip_prefix("file:") {
            let text = std::fs::read_to_string(path).or_config(format!("option `{option}`: file `{path}`"))?;
            return Ok(Secret(text.trim_end_matches(['\r', '\n']).to_owned()));
        }
        let error = Error::config(format!("option `{option}` holds a value, expected the name of a secret"));
        Err(error.with_hint(format!("write `{option} = \"env:NAME\"` or `\"file:PATH\"`")))
    }

    /// The name of a secret with the path in it, if there is one, starting from `folder`.
    pub fn name_from(name: &str, folder: &Path) -> String {
        match name.strip_prefix("file:") {
            Some(path) => format!("file:{}", folder.join(path).display()),
            None => name.to_owned(),
        }
    }

    /// The secret behind a text: `Bearer `, for instance.
    pub fn with_prefix(&self, prefix: &str) -> Self {
        Secret(format!("{prefix}{}", self.0))
    }

    /// The value itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_named_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, "hunter2\n").unwrap();
        let secret = Secret::resolve("sasl.password", &format!("file:{}", path.display())).unwrap();
        assert_eq!(secret.expose(), "hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
        let error = Secret::resolve("sasl.password", "hunter2").unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}
