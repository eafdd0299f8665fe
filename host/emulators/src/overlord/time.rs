//! Times of rows, intervals, and the chunks that segments stand for.
//!
//! Invariant: every time here is within the years 1 to 9999, so it can be written and its chunk has
//! an end.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::{civil, days, iso_ms, parse};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 86_400_000;
/// 0001-01-01 and the last millisecond of 9999.
const FIRST_MS: i64 = -62_135_596_800_000;
const LAST_MS: i64 = 253_402_300_799_999;

/// From `start` up to, not including, `end`, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Interval {
    pub(super) start: i64,
    pub(super) end: i64,
}

impl Interval {
    /// Reads `2026-02-03/2026-02-04`: two ISO times with a slash. `None` for anything else, periods
    /// (`P1D`) among it, and for an end not after its start.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (start, end) = text.split_once('/')?;
        let interval = Self { start: iso(start)?, end: iso(end)? };
        (interval.start < interval.end).then_some(interval)
    }

    pub(super) fn has(&self, at: i64) -> bool {
        self.start <= at && at < self.end
    }

    /// Whether `other` is wholly inside.
    pub(super) fn contains(&self, other: &Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end
    }
}

impl std::fmt::Display for Interval {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}/{}", iso_ms(self.start), iso_ms(self.end))
    }
}

/// What a segment's interval is, or what a row's time is cut to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Granularity {
    None,
    Second,
    Minute,
    Hour,
    Day,
    Month,
    Year,
}

impl Granularity {
    /// Reads a name in either letter case, a period, or an object with a period. `None` for what is
    /// not emulated.
    pub(super) fn read(value: &Value) -> Option<Self> {
        let text = match value {
            Value::String(text) => text,
            Value::Object(fields) => fields.get("period").or_else(|| fields.get("type"))?.as_str()?,
            _ => return None,
        };
        Some(match text.to_ascii_lowercase().as_str() {
            "none" => Self::None,
            "second" | "pt1s" => Self::Second,
            "minute" | "pt1m" => Self::Minute,
            "hour" | "pt1h" => Self::Hour,
            "day" | "p1d" => Self::Day,
            "month" | "p1m" => Self::Month,
            "year" | "p1y" => Self::Year,
            _ => return None,
        })
    }

    /// Whether segments may have it: not the ones that would make a segment of a moment.
    pub(super) fn is_for_segments(self) -> bool {
        matches!(self, Self::Hour | Self::Day | Self::Month | Self::Year)
    }

    /// The stretch of this granularity that has `at` in it.
    pub(super) fn chunk(self, at: i64) -> Interval {
        let even = |width: i64| {
            let start = at.div_euclid(width) * width;
            Interval { start, end: start + width }
        };
        let (year, month, _) = civil(at.div_euclid(DAY_MS));
        let dates = |from: (i64, i64), to: (i64, i64)| Interval {
            start: days(from.0, from.1, 1) * DAY_MS,
            end: days(to.0, to.1, 1) * DAY_MS,
        };
        match self {
            Self::None => even(1),
            Self::Second => even(1000),
            Self::Minute => even(60_000),
            Self::Hour => even(HOUR_MS),
            Self::Day => even(DAY_MS),
            Self::Month if month == 12 => dates((year, 12), (year + 1, 1)),
            Self::Month => dates((year, month), (year, month + 1)),
            Self::Year => dates((year, 1), (year + 1, 1)),
        }
    }
}

/// How a row's time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeForm {
    Iso,
    Millis,
    Posix,
    Auto,
}

impl TimeForm {
    /// `None` for a form that is not emulated, a Joda pattern among them.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "iso" => Self::Iso,
            "millis" => Self::Millis,
            "posix" => Self::Posix,
            "auto" => Self::Auto,
            _ => return None,
        })
    }

    /// The milliseconds since 1970 that a column means; `None` for what is no time in this form.
    pub(super) fn read(self, value: &Value) -> Option<i64> {
        let number = match value {
            // Fractions are dropped, as Java's `longValue` does.
            Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|float| float as i64)),
            Value::String(text) => text.trim().parse().ok(),
            _ => return None,
        };
        let text = value.as_str().map(|text| text.trim().trim_matches('"'));
        let at = match self {
            Self::Millis => number?,
            Self::Posix => number?.checked_mul(1000)?,
            Self::Iso => iso(text?)?,
            Self::Auto => match number {
                Some(number) => number,
                None => parse(text?)?,
            },
        };
        (FIRST_MS..=LAST_MS).contains(&at).then_some(at)
    }
}

/// ISO 8601 as Druid's `iso` takes it: no blank between date and time, and digits are a year.
fn iso(text: &str) -> Option<i64> {
    let text = text.trim();
    let is_year = text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_year {
        return parse(&format!("{text}-01-01"));
    }
    let is_date = text.contains('-') && !text.contains(' ');
    parse(text).filter(|at| is_date && (FIRST_MS..=LAST_MS).contains(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const AT: i64 = 1_770_091_506_789;

    #[test]
    fn times_are_read_in_the_form_that_was_named() {
        let iso = json!("2026-02-03T04:05:06.789Z");
        let cases = [
            (TimeForm::Iso, iso.clone(), Some(AT)),
            (TimeForm::Iso, json!("2026-02-03"), Some(1_770_076_800_000)),
            (TimeForm::Iso, json!("2026"), Some(1_767_225_600_000)),
            (TimeForm::Iso, json!("2026-02-03 04:05:06"), None),
            (TimeForm::Iso, json!(AT), None),
            (TimeForm::Iso, json!(AT.to_string()), None),
            (TimeForm::Iso, json!(null), None),
            (TimeForm::Iso, json!("0000-02-03"), None),
            (TimeForm::Millis, json!(AT), Some(AT)),
            (TimeForm::Millis, json!(AT.to_string()), Some(AT)),
            (TimeForm::Millis, iso.clone(), None),
            (TimeForm::Millis, json!(i64::MAX), None),
            (TimeForm::Posix, json!(1_770_091_506), Some(1_770_091_506_000)),
            (TimeForm::Posix, json!(1_770_091_506.9), Some(1_770_091_506_000)),
            (TimeForm::Posix, json!(i64::MAX), None),
            (TimeForm::Auto, iso, Some(AT)),
            (TimeForm::Auto, json!(AT), Some(AT)),
            (TimeForm::Auto, json!("soon"), None),
            (TimeForm::Auto, json!(true), None),
        ];
        for (form, value, expected) in cases {
            assert_eq!(form.read(&value), expected, "{form:?} {value}");
        }
    }

    #[test]
    fn chunks_are_those_of_the_calendar() {
        let chunk = |name: &str| Granularity::read(&json!(name)).unwrap().chunk(AT).to_string();
        assert_eq!(chunk("hour"), "2026-02-03T04:00:00.000Z/2026-02-03T05:00:00.000Z");
        assert_eq!(chunk("DAY"), "2026-02-03T00:00:00.000Z/2026-02-04T00:00:00.000Z");
        assert_eq!(chunk("P1M"), "2026-02-01T00:00:00.000Z/2026-03-01T00:00:00.000Z");
        assert_eq!(chunk("Year"), "2026-01-01T00:00:00.000Z/2027-01-01T00:00:00.000Z");
        let december = Granularity::Month.chunk(AT - 40 * DAY_MS);
        assert_eq!(december.to_string(), "2025-12-01T00:00:00.000Z/2026-01-01T00:00:00.000Z");
        assert_eq!(Granularity::read(&json!({ "type": "period", "period": "PT1H" })), Some(Granularity::Hour));
        assert_eq!(Granularity::read(&json!("fortnight")), None);
        assert!(!Granularity::None.is_for_segments());
    }

    #[test]
    fn intervals_end_after_they_start() {
        let day = Interval::parse("2026-02-03/2026-02-04").unwrap();
        assert!(day.has(AT) && !day.has(day.end) && day.has(day.start));
        assert!(day.contains(&Granularity::Hour.chunk(AT)) && day.overlaps(&Granularity::Year.chunk(AT)));
        assert!(!day.overlaps(&Granularity::Day.chunk(day.end)));
        for bad in ["", "2026-02-03", "2026-02-04/2026-02-03", "2026-02-03/2026-02-03", "2026-02-03/P1D"] {
            assert_eq!(Interval::parse(bad), None, "{bad}");
        }
    }
}
