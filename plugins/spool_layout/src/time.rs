//! Instants as milliseconds since 1970 UTC and as text in ISO 8601's basic form.
//!
//! Invariant: the text always has 19 characters, `20261125T023456789Z`, so instants sort as text.
//! Instants outside the years 1 to 9999 have no text.

use connector_sdk::calendar::{date, days};

/// 0001-01-01T00:00:00.000Z.
pub(crate) const FIRST_MS: i64 = -62_135_596_800_000;
/// 9999-12-31T23:59:59.999Z.
pub(crate) const LAST_MS: i64 = 253_402_300_799_999;

const MS_PER_DAY: i64 = 86_400_000;

/// An instant, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instant {
    pub(crate) year: i64,
    pub(crate) month: i64,
    pub(crate) day: i64,
    pub(crate) hour: i64,
    minute: i64,
    second: i64,
    milli: i64,
}

impl Instant {
    /// None outside the years 1 to 9999.
    pub(crate) fn try_new(ms: i64) -> Option<Self> {
        if !(FIRST_MS..=LAST_MS).contains(&ms) {
            return None;
        }
        let (year, month, day) = date(ms.div_euclid(MS_PER_DAY));
        let time = ms.rem_euclid(MS_PER_DAY);
        let (hour, minute) = (time / 3_600_000, time / 60_000 % 60);
        Some(Instant { year, month, day, hour, minute, second: time / 1000 % 60, milli: time % 1000 })
    }

    /// The text.
    pub(crate) fn text(&self) -> String {
        let Instant { year, month, day, hour, minute, second, milli } = self;
        format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}{milli:03}Z")
    }
}

/// Milliseconds of a text of this form. Days and hours that do not exist are read as the instant
/// they would be, so the caller compares what comes out with the text.
pub(crate) fn read(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let ([year, month, day], "") = numbers(date, [4, 2, 2])? else { return None };
    let ([hour, minute, second, milli], "") = numbers(time, [2, 2, 2, 3])? else { return None };
    Some(days(year, month, day) * MS_PER_DAY + ((hour * 60 + minute) * 60 + second) * 1000 + milli)
}

/// Numbers of these many digits, and the rest of the text.
fn numbers<const N: usize>(mut text: &str, lens: [usize; N]) -> Option<([i64; N], &str)> {
    let mut numbers = [0; N];
    for (number, len) in numbers.iter_mut().zip(lens) {
        let (digits, rest) = text.split_at_checked(len)?;
        let add = |sum: i64, digit: u8| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0'));
        *number = digits.bytes().try_fold(0, add)?;
        text = rest;
    }
    Some((numbers, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(ms: i64) -> Option<String> {
        Instant::try_new(ms).map(|instant| instant.text())
    }

    #[test]
    fn known_instants_are_written_and_read() {
        for (ms, expected) in [
            (0, "19700101T000000000Z"),
            (-1, "19691231T235959999Z"),
            (1_442_018_818_771, "20150912T004658771Z"),
            (951_782_400_000, "20000229T000000000Z"),
            (1_795_574_096_789, "20261125T023456789Z"),
            (FIRST_MS, "00010101T000000000Z"),
            (LAST_MS, "99991231T235959999Z"),
        ] {
            assert_eq!(text(ms).as_deref(), Some(expected));
            assert_eq!(read(expected), Some(ms));
        }
        for ms in [FIRST_MS - 1, LAST_MS + 1, i64::MIN, i64::MAX] {
            assert_eq!(text(ms), None, "{ms}");
        }
    }

    #[test]
    fn other_text_is_refused_or_does_not_come_back() {
        for other in [
            "",
            "Z",
            "TZ",
            "20261125T023456789",
            "20261125T023456789z",
            "20261125t023456789Z",
            "20261125T02345678Z",
            "20261125T0234567890Z",
            "2026112T023456789Z",
            "+2026125T023456789Z",
            "2026-1-5T023456789Z",
            "２0261125T023456789Z",
            "20261125T02345678٩Z",
            "20260230T000000000Z",
            "20261301T000000000Z",
            "20260001T000000000Z",
            "20260100T000000000Z",
            "20260101T240000000Z",
            "20260101T006000000Z",
            "20161231T235960000Z",
            "00001231T235959999Z",
            "99999999T999999999Z",
        ] {
            assert_ne!(read(other).and_then(text).as_deref(), Some(other));
        }
    }

    proptest! {
        #[test]
        fn any_instant_comes_back_and_sorts(one in FIRST_MS..=LAST_MS, other in FIRST_MS..=LAST_MS) {
            let texts = (text(one).unwrap_or_default(), text(other).unwrap_or_default());
            prop_assert_eq!(read(&texts.0), Some(one));
            prop_assert_eq!(one.cmp(&other), texts.0.cmp(&texts.1));
        }

        #[test]
        fn any_text_is_read_or_refused(any in any::<String>(), near in "[0-9TZ+-]{17,21}") {
            for text in [any, near] {
                let _ = read(&text);
            }
        }
    }
}
