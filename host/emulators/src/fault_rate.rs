//! A fault with how often it happens, as people write it: `KIND=RATE`.

use std::fmt;
use std::str::FromStr;

/// Kinds of faults that can happen at a rate, by name.
pub trait FaultNames: Copy + Send + Sync + 'static {
    /// Every kind.
    const KINDS: &'static [(&'static str, Self)];
}

/// A fault with how often it happens, written `KIND=RATE`: `lose-answer=0.01`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FaultRate<K> {
    /// What happens.
    pub kind: K,
    /// To what part of what it fits, 0 to 1.
    pub rate: f64,
}

/// Why a text is no [`FaultRate`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultRateError {
    found: String,
    wrong: String,
}

impl fmt::Display for FaultRateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no fault: {}", self.found, self.wrong)
    }
}

impl std::error::Error for FaultRateError {}

impl<K: FaultNames> FromStr for FaultRate<K> {
    type Err = FaultRateError;

    fn from_str(text: &str) -> Result<Self, FaultRateError> {
        let error = |wrong: String| FaultRateError { found: text.to_owned(), wrong };
        let (name, rate) =
            text.split_once('=').ok_or_else(|| error("expected KIND=RATE, such as `lose-answer=0.01`".to_owned()))?;
        let Some((_, kind)) = K::KINDS.iter().find(|(known, _)| *known == name) else {
            let known: Vec<String> = K::KINDS.iter().map(|(known, _)| format!("`{known}`")).collect();
            return Err(error(format!("expected one of {}", known.join(", "))));
        };
        let number = rate.parse::<f64>().ok().filter(|rate| (0.0..=1.0).contains(rate));
        let rate = number.ok_or_else(|| error(format!("found rate `{rate}`, expected 0 to 1")))?;
        Ok(Self { kind: *kind, rate })
    }
}
