//! Intervals of time as ISO 8601 texts, all of UTC.

use connector_sdk::ingest::Span;
use connector_sdk::{Error, calendar};

const DAY_MS: i64 = 86_400_000;

/// `2026-02-03/2026-02-04` when both ends are midnights, else with times to the millisecond.
///
/// # Errors
/// [`Error::Config`] outside the years 1 to 9999, where texts no longer sort as times do; Druid's
/// metadata store sorts texts.
pub(crate) fn interval(span: Span) -> Result<String, Error> {
    let is_of_days = span.start.rem_euclid(DAY_MS) == 0 && span.end.rem_euclid(DAY_MS) == 0;
    let ends = instant(span.start, is_of_days).zip(instant(span.end, is_of_days));
    ends.map(|(start, end)| format!("{start}/{end}")).ok_or_else(|| {
        let Span { start, end } = span;
        Error::Config(format!("interval from {start} to {end} ms since 1970, expected one of the years 1 to 9999"))
    })
}

fn instant(at_ms: i64, is_of_days: bool) -> Option<String> {
    let (year, month, day) = calendar::date(at_ms.div_euclid(DAY_MS));
    let date = (1..=9999).contains(&year).then(|| format!("{year:04}-{month:02}-{day:02}"))?;
    if is_of_days {
        return Some(date);
    }
    let of_day = at_ms.rem_euclid(DAY_MS);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, milli) = (of_day / 1000 % 60, of_day % 1000);
    Some(format!("{date}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z"))
}
