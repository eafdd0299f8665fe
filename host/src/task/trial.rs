//! The trial of a new version: for its first batches it is held against the one before.

use crate::connector::TrialSettings;
use crate::error::{Error, Result};
use std::time::Duration;

/// A latency is compared only over so many inputs, since the first ones warm up caches.
const MIN_INPUTS: u64 = 200;

/// What a version did.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    inputs: u64,
    rejected: u64,
    cpu: Duration,
}

impl Pace {
    pub(super) fn add(&mut self, inputs: u64, rejected: u64, cpu: Duration) {
        self.inputs += inputs;
        self.rejected += rejected;
        self.cpu += cpu;
    }

    #[allow(clippy::cast_precision_loss)] // Counts of inputs.
    fn reject_share(&self) -> f64 {
        self.rejected as f64 / self.inputs.max(1) as f64
    }

    #[allow(clippy::cast_precision_loss)]
    fn cpu_of_an_input(&self) -> f64 {
        self.cpu.as_secs_f64() / self.inputs.max(1) as f64
    }
}

/// A version on trial.
pub(super) struct Trial {
    settings: TrialSettings,
    before: Pace,
    now: Pace,
    left: u64,
}

impl Trial {
    /// None: there is to be none.
    pub(super) fn begin(settings: TrialSettings, before: Pace) -> Option<Self> {
        (settings.batches > 0).then(|| Trial { settings, before, now: Pace::default(), left: settings.batches })
    }

    /// Judges a batch; true: the trial is over, and passed.
    ///
    /// # Errors
    /// What the version does worse than the one before. Nothing of the batch may be committed then.
    pub(super) fn judge(&mut self, inputs: u64, rejected: u64, cpu: Duration) -> Result<bool> {
        self.now.add(inputs, rejected, cpu);
        let (old, new) = (self.before.reject_share(), self.now.reject_share());
        if self.before.inputs > 0 && new > old + self.settings.reject_increase {
            let (rejected, inputs) = (self.now.rejected, self.now.inputs);
            return Err(Error::bug(format!(
                "rejects {rejected} of {inputs} inputs, the version before rejected a share of {old:.3}"
            )));
        }
        let (old, new) = (self.before.cpu_of_an_input(), self.now.cpu_of_an_input());
        let is_enough = self.before.inputs >= MIN_INPUTS && self.now.inputs >= MIN_INPUTS;
        if is_enough && new > old * self.settings.cpu_factor {
            let (old, new) = (old * 1e6, new * 1e6);
            return Err(Error::bug(format!(
                "takes {new:.1} µs of CPU time for an input, the version before took {old:.1} µs"
            )));
        }
        self.left -= 1;
        Ok(self.left == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: TrialSettings = TrialSettings { batches: 3, reject_increase: 0.1, cpu_factor: 3.0 };

    fn before() -> Pace {
        Pace { inputs: 1000, rejected: 100, cpu: Duration::from_millis(10) }
    }

    #[test]
    fn a_version_that_is_as_good_passes() {
        let mut trial = Trial::begin(SETTINGS, before()).unwrap();
        let cpu = Duration::from_millis(1);
        assert!(!trial.judge(100, 15, cpu).unwrap());
        assert!(!trial.judge(100, 20, cpu).unwrap());
        assert!(trial.judge(100, 20, cpu * 4).unwrap());
        assert!(Trial::begin(TrialSettings { batches: 0, ..SETTINGS }, before()).is_none());
    }

    #[test]
    fn a_version_that_is_worse_is_told_what_is_worse() {
        let judge = |inputs, rejected, cpu| {
            let mut trial = Trial::begin(SETTINGS, before()).unwrap();
            trial.judge(inputs, rejected, cpu).map_err(|error| error.to_string())
        };
        let error = judge(100, 21, Duration::ZERO).unwrap_err();
        assert_eq!(error, "rejects 21 of 100 inputs, the version before rejected a share of 0.100");
        let error = judge(1000, 0, Duration::from_millis(31)).unwrap_err();
        assert_eq!(error, "takes 31.0 µs of CPU time for an input, the version before took 10.0 µs");
        assert!(judge(50, 0, Duration::from_millis(31)).is_ok(), "too few to say");
    }
}
