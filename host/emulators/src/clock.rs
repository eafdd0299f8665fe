//! Wall-clock time as the feeds write it: milliseconds since 1970 and ISO 8601 in UTC.
//!
//! Refuses what the two protocols never send: years outside 1 to 9999, leap seconds, week and
//! ordinal dates.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// A hundred years.
const FAR: Duration = Duration::from_secs(100 * 365 * 86_400);
const DAY_MS: i64 = 86_400_000;

/// Milliseconds since 1970; 0 for a clock set before it.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The instant `delay` after `from`; for a delay without end a time nobody lives to see, rather
/// than an overflow.
pub(crate) fn later(from: Instant, delay: Duration) -> Instant {
    from.checked_add(delay).or_else(|| from.checked_add(FAR)).unwrap_or(from)
}

/// `2026-02-03T04:05:06.789Z`, the form of `meta.dt` since mid-2025.
pub(crate) fn iso_ms(at_ms: i64) -> String {
    let (days, of_day) = (at_ms.div_euclid(DAY_MS), at_ms.rem_euclid(DAY_MS));
    let (year, month, day) = civil(days);
    let (seconds, ms) = (of_day / 1000, of_day % 1000);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{ms:03}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Reads `since=`: milliseconds, or ISO 8601 as `2026-02-03`, `2026-02-03T04:05Z`,
/// `2026-02-03T04:05:06.789+01:00`. A time without a zone is UTC. `None` for anything else.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && text.len() != 4 {
        return text.parse().ok();
    }
    let Some((date, time)) = text.split_once(['T', 't', ' ']) else {
        return day(text).map(|days| days * DAY_MS);
    };
    // A `+` that nobody escaped arrives as a blank.
    let time = time.replace(' ', "+");
    let (time, zone_minutes) = match time.strip_suffix(['Z', 'z']) {
        Some(time) => (time, 0),
        None => match time.rsplit_once(['+', '-']) {
            Some((rest, zone)) => {
                let (hours, minutes) = zone.split_once(':').unwrap_or((zone, "0"));
                let minutes = number(hours, 14)? * 60 + number(minutes, 59)?;
                (rest, if time.contains('-') { -minutes } else { minutes })
            }
            None => (time.as_str(), 0),
        },
    };
    let mut parts = time.split(':');
    let (hours, minutes) = (number(parts.next()?, 23)?, number(parts.next()?, 59)?);
    let (seconds, fraction) = match parts.next() {
        Some(text) => text.split_once('.').unwrap_or((text, "0")),
        None => ("0", "0"),
    };
    if parts.next().is_some() || fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths: String = fraction.chars().chain("000".chars()).take(3).collect();
    let of_day = ((hours * 60 + minutes - zone_minutes) * 60 + number(seconds, 59)?) * 1000;
    Some(day(date)? * DAY_MS + of_day + thousandths.parse::<i64>().ok()?)
}

fn number(text: &str, most: i64) -> Option<i64> {
    let fits = !text.is_empty() && text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| fits && *number <= most)
}

fn day(date: &str) -> Option<i64> {
    let mut parts = date.splitn(3, '-');
    let (year, month, day) = (number(parts.next()?, 9999)?, number(parts.next()?, 12)?, number(parts.next()?, 31)?);
    let days = days(year, month, day);
    // 30 February turns into March and so does not come back as itself.
    (civil(days) == (year, month, day)).then_some(days)
}

/// Days since 1970-01-01 of a date in the Gregorian calendar (H. Hinnant, `days_from_civil`).
pub(crate) fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month and day of a number of days since 1970-01-01 (H. Hinnant, `civil_from_days`).
pub(crate) fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read_back() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_770_091_506_789, "2026-02-03T04:05:06.789Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_735_689_599_999, "2024-12-31T23:59:59.999Z"),
        ];
        for (ms, text) in cases {
            assert_eq!(iso_ms(ms), text);
            assert_eq!(parse(text), Some(ms), "{text}");
            assert_eq!(parse(&ms.to_string()), Some(ms));
        }
    }

    #[test]
    fn since_takes_the_usual_spellings() {
        let at = Some(1_770_091_506_000);
        for text in [
            "2026-02-03T04:05:06Z",
            "2026-02-03T04:05:06",
            "2026-02-03 04:05:06",
            "2026-02-03T05:05:06+01:00",
            "2026-02-03T05:05:06 01:00",
            "2026-02-02T23:05:06-05:00",
            "2026-02-03T04:05:06.0000000Z",
        ] {
            assert_eq!(parse(text), at, "{text}");
        }
        assert_eq!(parse("2026-02-03"), Some(1_770_076_800_000));
        assert_eq!(parse("2026-02-03T04:05Z"), Some(1_770_091_500_000));
    }

    #[test]
    fn since_refuses_what_is_no_time() {
        for text in
            ["", "yesterday", "2026", "2026-02-30", "2026-13-01", "2026-02-03T25:00Z", "2026-02-03T1:2:3:4", "T"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
