//! Rejected inputs, held against what is tolerated: a plugin or a feed that went wrong ends its task, before it
//! has drained everything into the dead-letter topic.

use crate::connector::Tolerance;
use crate::error::{Error, Result};
use std::collections::VecDeque;

/// The latest inputs of one life of a task.
pub(super) struct Rejections {
    tolerance: Tolerance,
    /// Inputs, and how many of them were rejected, of each batch.
    recent: VecDeque<(u64, u64)>,
    inputs: u64,
    rejected: u64,
}

impl Rejections {
    pub(super) fn new(tolerance: Tolerance) -> Self {
        Rejections { tolerance, recent: VecDeque::new(), inputs: 0, rejected: 0 }
    }

    /// Counts a batch, of whose rejected inputs one was for `reason`.
    ///
    /// # Errors
    /// Class Config: more than is tolerated. Nothing of the batch may be committed then.
    pub(super) fn add(&mut self, inputs: u64, rejected: u64, reason: Option<&str>) -> Result<()> {
        let reason = reason.unwrap_or("no reason");
        let (most, window) = match self.tolerance {
            Tolerance::None if rejected > 0 => {
                return Err(Error::config(format!("{rejected} of {inputs} inputs are rejected, one for `{reason}`"))
                    .with_hint("`errors.tolerance` = `all` makes dead letters of them and goes on"));
            }
            Tolerance::None | Tolerance::All { max_ratio: None } => return Ok(()),
            Tolerance::All { max_ratio: Some(limit) } => limit,
        };
        self.recent.push_back((inputs, rejected));
        (self.inputs, self.rejected) = (self.inputs + inputs, self.rejected + rejected);
        // The last whole batches that hold the window.
        while let Some((oldest, bad)) = self.recent.front().copied()
            && self.inputs - oldest >= window
        {
            self.recent.pop_front();
            (self.inputs, self.rejected) = (self.inputs - oldest, self.rejected - bad);
        }
        #[allow(clippy::cast_precision_loss)] // Counts of a window.
        let is_above = self.rejected as f64 > most * self.inputs as f64;
        if self.inputs < window || !is_above {
            return Ok(());
        }
        let (found, of) = (self.rejected, self.inputs);
        Err(Error::config(format!(
            "{found} of the last {of} inputs are rejected, expected a share of {most} at most; one for `{reason}`"
        ))
        .with_hint("nothing of them was committed; `errors.deadletter.max.ratio` is the limit"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_tolerated_and_many_are_not() {
        let mut rejections = Rejections::new(Tolerance::All { max_ratio: Some((0.5, 100)) });
        // Too few to judge by.
        rejections.add(60, 60, Some("odd")).unwrap();
        rejections.add(60, 0, None).unwrap();
        rejections.add(60, 30, None).unwrap();
        rejections.add(60, 30, None).unwrap();
        let error = rejections.add(60, 31, Some("odd")).unwrap_err().to_string();
        assert_eq!(error, "61 of the last 120 inputs are rejected, expected a share of 0.5 at most; one for `odd`");
    }

    #[test]
    fn what_is_long_ago_does_not_count() {
        let mut rejections = Rejections::new(Tolerance::All { max_ratio: Some((0.1, 10)) });
        rejections.add(9, 9, None).unwrap();
        rejections.add(1000, 0, None).unwrap();
        rejections.add(10, 1, None).unwrap();
        assert!(rejections.add(10, 2, None).is_err());
        assert_eq!(rejections.recent.len(), 1, "room is bounded");
    }

    #[test]
    fn none_is_none() {
        let mut none = Rejections::new(Tolerance::None);
        none.add(10, 0, None).unwrap();
        assert_eq!(none.add(3, 1, Some("odd")).unwrap_err().to_string(), "1 of 3 inputs are rejected, one for `odd`");
        Rejections::new(Tolerance::All { max_ratio: None }).add(10, 10, None).unwrap();
    }
}
