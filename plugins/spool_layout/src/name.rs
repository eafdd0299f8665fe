//! File names: everything that an identity holds, in one name that sorts.
//!
//! `topic+partition+sequence+first-next+first time-last time.spool`. The separator `+` sorts before
//! every character of a topic and is none of them, so names sort by topic, then partition, then
//! sequence, as long as the numbers fit their padding. Larger numbers take more digits.

use crate::time::{self, Instant};
use connector_sdk::{Error, Identity};

/// What every file's name ends with.
pub(crate) const EXTENSION: &str = ".spool";
/// Kafka's limit for topic names.
const MAX_TOPIC_BYTES: usize = 249;

/// Digits at least: 99,999 partitions.
const PARTITION_DIGITS: usize = 5;
/// Digits at least: a file a millisecond for 31 years.
const SEQUENCE_DIGITS: usize = 12;
/// Digits at least, the same so that columns of a listing stay below each other; the sequence
/// decides the order.
const OFFSET_DIGITS: usize = 12;

/// The name of a file, without directories; its length is not limited here.
///
/// # Errors
/// [`Error::Config`] for a topic or time that no name can hold; [`Error::Bug`] for ranges that are
/// empty or backwards, which no host hands over.
pub(crate) fn write(identity: &Identity) -> Result<String, Error> {
    let Identity { topic, partition, first, next, first_ms, last_ms, sequence } = identity;
    let is_topic = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
    if topic.is_empty() || topic.len() > MAX_TOPIC_BYTES || !topic.bytes().all(is_topic) {
        let expected = "expected 1 to 249 letters, digits, `.`, `_` and `-`";
        return Err(Error::Config(format!("topic of a file is `{}`, {expected}", topic.escape_debug())));
    }
    if first >= next {
        return Err(Error::Bug(format!("first offset of a file is {first}, expected one below the next, {next}")));
    }
    if first_ms > last_ms {
        let found = format!("earliest record time of a file is {first_ms} ms");
        return Err(Error::Bug(format!("{found}, expected one not above the latest, {last_ms} ms")));
    }
    let (earliest, latest) = (instant(*first_ms)?.text(), instant(*last_ms)?.text());
    Ok(format!(
        "{topic}+{partition:0PARTITION_DIGITS$}+{sequence:0SEQUENCE_DIGITS$}\
         +{first:0OFFSET_DIGITS$}-{next:0OFFSET_DIGITS$}+{earliest}-{latest}{EXTENSION}"
    ))
}

/// The instant of a record time.
///
/// # Errors
/// [`Error::Config`] outside the years 1 to 9999.
pub(crate) fn instant(ms: i64) -> Result<Instant, Error> {
    let expected = "expected one in the years 1 to 9999";
    Instant::try_new(ms).ok_or_else(|| Error::Config(format!("record time of a file is {ms} ms, {expected}")))
}

/// What a name says. Forgiving: the caller writes the identity again and compares, which is all
/// that makes a name canonical.
pub(crate) fn read(name: &str) -> Option<Identity> {
    let mut parts = name.strip_suffix(EXTENSION)?.split('+');
    let (topic, partition, sequence) = (parts.next()?, parts.next()?, parts.next()?);
    let (first, next) = parts.next()?.split_once('-')?;
    let (earliest, latest) = parts.next()?.split_once('-')?;
    Some(Identity {
        topic: topic.to_owned(),
        partition: partition.parse().ok()?,
        first: first.parse().ok()?,
        next: next.parse().ok()?,
        first_ms: time::read(earliest)?,
        last_ms: time::read(latest)?,
        sequence: sequence.parse().ok()?,
    })
}
