//! Instants as milliseconds since 1970 UTC and as ISO 8601 text.
//!
//! Invariant: the text always has 24 characters, `2015-09-12T00:46:58.771Z`. Instants outside the
//! years 0 to 9999 are drawn to the nearest end of them: no clock that works gives one.

use connector_sdk::calendar::{date, days};

const FIRST_MS: i64 = -62_167_219_200_000;
const LAST_MS: i64 = 253_402_300_799_999;
const MS_PER_DAY: i64 = 86_400_000;

/// Whether an instant can be the time of an edit: Kafka has no timestamps before 1970, and the
/// text has four digits for the year.
pub(crate) fn is_sound(ms: i64) -> bool {
    (0..=LAST_MS).contains(&ms)
}

/// Writes instants as text; remembers the last second, in which most of its neighbours lie.
#[derive(Debug)]
pub(crate) struct Clock {
    second: i64,
    /// Up to and including the point before the milliseconds.
    prefix: [u8; 20],
}

impl Clock {
    pub(crate) fn new() -> Self {
        Clock { second: 0, prefix: *b"1970-01-01T00:00:00." }
    }

    /// Appends the text of an instant.
    pub(crate) fn put(&mut self, ms: i64, out: &mut Vec<u8>) {
        let ms = ms.clamp(FIRST_MS, LAST_MS);
        let second = ms.div_euclid(1000);
        if second != self.second {
            self.second = second;
            self.prefix = prefix(second);
        }
        let millis = ms.rem_euclid(1000);
        out.extend_from_slice(&self.prefix);
        out.extend_from_slice(&[digit(millis / 100), digit(millis / 10), digit(millis), b'Z']);
    }
}

fn digit(number: i64) -> u8 {
    b'0' + (number % 10) as u8
}

fn prefix(second: i64) -> [u8; 20] {
    let (year, month, day) = date(second.div_euclid(86_400));
    let time = second.rem_euclid(86_400);
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    #[rustfmt::skip]
    let prefix = [
        digit(year / 1000), digit(year / 100), digit(year / 10), digit(year), b'-',
        digit(month / 10), digit(month), b'-', digit(day / 10), digit(day), b'T',
        digit(hour / 10), digit(hour), b':', digit(minute / 10), digit(minute), b':',
        digit(second / 10), digit(second), b'.',
    ];
    prefix
}

/// The instant of an RFC 3339 text: seconds with or without a fraction (cut to milliseconds),
/// `Z` or an offset such as `+00:00`, which EventStreams wrote until 2020. None for other text.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let (year, rest) = number(text.as_bytes(), 4)?;
    let (month, rest) = number(rest.strip_prefix(b"-")?, 2)?;
    let (day, rest) = number(rest.strip_prefix(b"-")?, 2)?;
    let (hour, rest) = number(rest.strip_prefix(b"T")?, 2)?;
    let (minute, rest) = number(rest.strip_prefix(b":")?, 2)?;
    let (second, rest) = number(rest.strip_prefix(b":")?, 2)?;
    let (millis, rest) = match rest.strip_prefix(b".") {
        Some(fraction) => millis(fraction)?,
        None => (0, rest),
    };
    let offset_minutes = offset(rest)?;
    let days = days(year, month, day);
    // The day exists when it comes back; a leap second is the first of the next minute.
    if date(days) != (year, month, day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let minutes = hour * 60 + minute - offset_minutes;
    Some(days * MS_PER_DAY + (minutes * 60 + second) * 1000 + millis)
}

/// A number of exactly `len` digits, and what follows it.
fn number(text: &[u8], len: usize) -> Option<(i64, &[u8])> {
    let (digits, rest) = text.split_at_checked(len)?;
    let add = |sum: i64, digit: &u8| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0'));
    Some((digits.iter().try_fold(0, add)?, rest))
}

fn millis(fraction: &[u8]) -> Option<(i64, &[u8])> {
    let len = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = fraction.split_at_checked(len)?;
    let kept = digits.get(..3).unwrap_or(digits);
    let scale = [0, 100, 10, 1].get(kept.len()).copied().filter(|scale| *scale > 0)?;
    Some((number(kept, kept.len())?.0 * scale, rest))
}

fn offset(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text {
        b"Z" => return Some(0),
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    let (hours, rest) = number(digits, 2)?;
    let (minutes, rest) = number(rest.strip_prefix(b":").unwrap_or(rest), 2)?;
    rest.is_empty().then_some(sign * (hours * 60 + minutes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(ms: i64) -> String {
        let mut out = Vec::new();
        Clock::new().put(ms, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn known_instants_are_written_and_read() {
        for (ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_442_018_818_771, "2015-09-12T00:46:58.771Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (FIRST_MS, "0000-01-01T00:00:00.000Z"),
            (LAST_MS, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(text(ms), expected);
            assert_eq!(parse(expected), Some(ms));
        }
        assert_eq!(text(i64::MAX), text(LAST_MS));
        assert_eq!(text(i64::MIN), text(FIRST_MS));
    }

    #[test]
    fn the_forms_that_eventstreams_has_used_are_read() {
        let ms = Some(1_670_732_822_000);
        assert_eq!(parse("2022-12-11T04:27:02Z"), ms);
        assert_eq!(parse("2022-12-11T04:27:02+00:00"), ms);
        assert_eq!(parse("2022-12-11T05:27:02.0001+0100"), ms);
        assert_eq!(parse("2022-12-11T04:27:02.5Z"), ms.map(|ms| ms + 500));
        assert_eq!(parse("2016-12-31T23:59:60Z"), parse("2017-01-01T00:00:00Z"));
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "2022-12-11", "2022-12-11T04:27Z", "2022-12-11T04:27:02", "2022-02-30T04:27:02Z"] {
            assert_eq!(parse(text), None, "{text}");
        }
        for text in ["2022-13-11T04:27:02Z", "2022-12-11T24:27:02Z", "2022-12-11T04:27:02.Z", "2022-12-11T04:27:02ZZ"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_instant_comes_back(ms in FIRST_MS..=LAST_MS, next in 0..2000i64) {
            let mut clock = Clock::new();
            for ms in [ms, (ms + next).min(LAST_MS)] {
                let mut out = Vec::new();
                clock.put(ms, &mut out);
                prop_assert_eq!(parse(&String::from_utf8_lossy(&out)), Some(ms));
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            let _ = parse(&text);
        }
    }
}
