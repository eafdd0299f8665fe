//! A version tried on inputs that another has had already, before it may take over; nothing of it is kept.

use super::source_task::Chain;
use crate::connector::PollLimits;
use crate::error::{Error, Result};
use std::time::Duration;

const LIMITS: PollLimits = PollLimits { max_records: 1024, max_bytes: 4 << 20, wait: Duration::ZERO };
/// A source that is at the end of what it is lent says so by giving nothing.
const MAX_POLLS: usize = 1000;

/// What a version made of the inputs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rehearsed {
    /// Inputs, those left out included.
    pub inputs: u64,
    /// Inputs that it rejected.
    pub rejected: u64,
}

/// Opens an instance at the beginning and polls it until it gives nothing.
///
/// # Errors
/// What ended it.
pub fn rehearse(chain: &mut Chain) -> Result<Rehearsed> {
    chain.open(&[])?;
    let mut all = Rehearsed::default();
    for _ in 0..MAX_POLLS {
        let polled = chain.source.0.poll(LIMITS)?;
        let skipped: u64 = polled.skips.iter().map(|(_, count)| count).sum();
        let (mut records, mut rejected) = (polled.records, polled.rejects.len() as u64);
        let inputs = records.len() as u64 + rejected + skipped;
        if inputs == 0 {
            chain.source.0.close();
            return Ok(all);
        }
        for (transform, ..) in &mut chain.transforms {
            if !records.is_empty() {
                let out = transform.transform(&records)?;
                rejected += out.rejects.len() as u64;
                records = out.records;
            }
        }
        all = Rehearsed { inputs: all.inputs + inputs, rejected: all.rejected + rejected };
    }
    Err(Error::bug(format!("gives inputs without an end: {} in {MAX_POLLS} polls", all.inputs)))
}
