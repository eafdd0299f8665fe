//! One error type for every room: what the loops react to is the class, what people read is the
//! message. Rooms do not have error types of their own, because nobody branches on them; the
//! class is chosen where the failure is understood.

use std::fmt;

/// What is done about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// Later may work: back off and do it again.
    Retry,
    /// This input never will: dead-letter it and go on.
    Reject,
    /// Not granted: fail, and say what to grant.
    Deny,
    /// The operator must change something: refuse to start, or fail.
    Config,
    /// A defect, in a plugin or in the host: end the instance, start another.
    Bug,
}

/// A failure: class, message, and a hint when one is known.
///
/// Messages are lower case without a full stop and say what was attempted, on what, what was
/// found and what was expected, values in backticks. They never hold a secret or a payload.
#[derive(Debug, Clone)]
pub struct Error {
    class: ErrorClass,
    message: String,
    hint: Option<String>,
}

/// A result with the host's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of any class.
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Error { class, message: message.into(), hint: None }
    }

    /// Later may work.
    pub fn retry(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Retry, message)
    }

    /// Not granted.
    pub fn deny(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Deny, message)
    }

    /// The operator must change something.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Config, message)
    }

    /// A defect.
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Bug, message)
    }

    /// Adds one sentence about what to do.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Puts the attempted action before the message: `attempt: message`.
    pub fn context(mut self, attempt: impl fmt::Display) -> Self {
        self.message = format!("{attempt}: {}", self.message);
        self
    }

    /// What is to be done about it.
    pub fn class(&self) -> ErrorClass {
        self.class
    }

    /// The hint, if one is known.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// What went wrong with a request: the innermost cause. The outer texts of HTTP clients name the URL, whose
/// query may hold a token, and not the reason.
pub fn innermost(error: &dyn std::error::Error, is_timeout: bool) -> String {
    let mut innermost = None;
    let mut cause = error.source();
    while let Some(inner) = cause {
        innermost = Some(inner.to_string());
        cause = inner.source();
    }
    let without = if is_timeout { "timed out" } else { "request failed" };
    innermost.filter(|text| !text.is_empty()).unwrap_or_else(|| without.to_owned())
}

/// Gives a foreign error the host's class and the attempted action.
pub trait OrError<T> {
    /// Later may work.
    fn or_retry(self, attempt: impl fmt::Display) -> Result<T>;
    /// The operator must change something.
    fn or_config(self, attempt: impl fmt::Display) -> Result<T>;
    /// A defect.
    fn or_bug(self, attempt: impl fmt::Display) -> Result<T>;
}

impl<T, E: fmt::Display> OrError<T> for std::result::Result<T, E> {
    fn or_retry(self, attempt: impl fmt::Display) -> Result<T> {
        self.map_err(|error| Error::retry(format!("{attempt}: {error}")))
    }

    fn or_config(self, attempt: impl fmt::Display) -> Result<T> {
        self.map_err(|error| Error::config(format!("{attempt}: {error}")))
    }

    fn or_bug(self, attempt: impl fmt::Display) -> Result<T> {
        self.map_err(|error| Error::bug(format!("{attempt}: {error}")))
    }
}
