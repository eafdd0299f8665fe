//! Chunks of time of the UTC calendar.

use crate::connector::{Granularity, Span};
use crate::error::{Error, Result};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike};
use std::collections::BTreeSet;

/// Chunks that one batch's rows may lie in; more are the sign of times that are no times.
pub(super) const MAX_CHUNKS: usize = 1000;

/// The chunk that a moment is in; none: outside of the calendar's years.
pub(super) fn chunk(granularity: Granularity, at_ms: i64) -> Option<Span> {
    let at = DateTime::from_timestamp_millis(at_ms)?.naive_utc();
    let first = |date: NaiveDate| NaiveDateTime::new(date, NaiveTime::MIN);
    let (start, end) = match granularity {
        Granularity::Hour => {
            let start = first(at.date()) + TimeDelta::hours(at.hour().into());
            (start, start.checked_add_signed(TimeDelta::hours(1))?)
        }
        Granularity::Day => (first(at.date()), first(at.date().succ_opt()?)),
        Granularity::Month => {
            let (year, month) = (at.year(), at.month());
            let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
            (first(NaiveDate::from_ymd_opt(year, month, 1)?), first(NaiveDate::from_ymd_opt(next_year, next_month, 1)?))
        }
        Granularity::Year => {
            let year = at.year();
            (first(NaiveDate::from_ymd_opt(year, 1, 1)?), first(NaiveDate::from_ymd_opt(year + 1, 1, 1)?))
        }
    };
    Some(Span { start: start.and_utc().timestamp_millis(), end: end.and_utc().timestamp_millis() })
}

/// The chunks that times from `first` to `last` lie in; none: too many, or outside of the calendar.
pub(super) fn chunks(granularity: Granularity, first: i64, last: i64) -> Option<Vec<Span>> {
    let mut spans = vec![chunk(granularity, first)?];
    while let Some(end) = spans.last().map(|span| span.end).filter(|end| *end <= last) {
        if spans.len() >= MAX_CHUNKS {
            return None;
        }
        spans.push(chunk(granularity, end)?);
    }
    Some(spans)
}

/// Spans in order; those that touch are one.
pub(super) fn joined(spans: impl IntoIterator<Item = Span>) -> Vec<Span> {
    let sorted: BTreeSet<Span> = spans.into_iter().collect();
    let mut joined: Vec<Span> = Vec::new();
    for span in sorted {
        match joined.last_mut().filter(|last| span.start <= last.end) {
            Some(last) => last.end = last.end.max(span.end),
            None => joined.push(span),
        }
    }
    joined
}

/// `START/END`, each a date or a time with a zone.
pub(super) fn read_interval(text: &str) -> Option<Span> {
    let instant = |text: &str| match text.parse::<NaiveDate>() {
        Ok(date) => Some(date.and_time(NaiveTime::MIN).and_utc().timestamp_millis()),
        Err(_) => DateTime::parse_from_rfc3339(text).ok().map(|at| at.timestamp_millis()),
    };
    let (start, end) = text.split_once('/')?;
    Some(Span { start: instant(start)?, end: instant(end)? })
}

/// The interval that a person names: `START/END`, whole chunks.
///
/// # Errors
/// Class Config: what cannot be read, or is no span of whole chunks.
pub fn parse_interval(text: &str, granularity: Granularity) -> Result<Span> {
    let found = text.escape_debug();
    let span = read_interval(text)
        .ok_or_else(|| Error::config(format!("interval `{found}`, expected for instance `2026-02-03/2026-02-04`")))?;
    let is_edge = |at| chunk(granularity, at).is_some_and(|chunk| chunk.start == at);
    match span.start < span.end && is_edge(span.start) && is_edge(span.end) {
        true => Ok(span),
        false => Err(Error::config(format!("interval `{found}`, expected whole chunks of `segment.granularity`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()
    }

    #[test]
    fn chunks_are_of_the_calendar() {
        let check = |granularity, at: &str, start: &str, end: &str| {
            assert_eq!(
                chunk(granularity, ms(at)),
                Some(Span { start: ms(start), end: ms(end) }),
                "{granularity:?} {at}"
            );
        };
        check(Granularity::Hour, "2026-02-03T04:59:59.999Z", "2026-02-03T04:00:00Z", "2026-02-03T05:00:00Z");
        check(Granularity::Day, "2026-02-28T00:00:00Z", "2026-02-28T00:00:00Z", "2026-03-01T00:00:00Z");
        check(Granularity::Day, "1969-12-31T23:59:59Z", "1969-12-31T00:00:00Z", "1970-01-01T00:00:00Z");
        check(Granularity::Month, "2024-12-31T23:00:00Z", "2024-12-01T00:00:00Z", "2025-01-01T00:00:00Z");
        check(Granularity::Year, "2024-02-29T00:00:00Z", "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z");
        assert_eq!(chunk(Granularity::Day, i64::MAX), None);
    }

    #[test]
    fn a_span_of_times_lies_in_all_chunks_it_touches() {
        let days = chunks(Granularity::Day, ms("2026-02-27T23:59:59.999Z"), ms("2026-03-01T00:00:00Z")).unwrap();
        assert_eq!(days.len(), 3);
        assert!(days.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert_eq!(chunks(Granularity::Hour, 0, 0).unwrap().len(), 1);
        assert_eq!(chunks(Granularity::Hour, 0, ms("2026-01-01T00:00:00Z")), None);
    }
}
