//! Parts of an answer (RFC 9110, 14): the one range that clients of batches ask for.

/// What of an answer is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// All of it: no range, several, or one that cannot be read.
    Whole,
    /// From a byte on.
    From(u64),
    /// From a byte to another, which is in it.
    FromTo(u64, u64),
    /// As many bytes at the end.
    Last(u64),
}

impl Asked {
    pub(super) fn parse(header: &str) -> Self {
        let Some(range) = header.trim().strip_prefix("bytes=") else { return Asked::Whole };
        let Some((first, last)) = range.split_once('-') else { return Asked::Whole };
        let number = |text: &str| text.trim().parse::<u64>().ok();
        match (first.trim(), last.trim()) {
            ("", last) => number(last).map_or(Asked::Whole, Asked::Last),
            (first, "") => number(first).map_or(Asked::Whole, Asked::From),
            (first, last) => match (number(first), number(last)) {
                (Some(first), Some(last)) if first <= last => Asked::FromTo(first, last),
                _ => Asked::Whole,
            },
        }
    }

    /// First byte and the one after the last, of `total`; none: there is no such part.
    pub(super) fn of(self, total: u64) -> Option<(u64, u64)> {
        let (first, end) = match self {
            Asked::Whole => return Some((0, total)),
            Asked::From(first) => (first, total),
            Asked::FromTo(first, last) => (first, last.saturating_add(1).min(total)),
            Asked::Last(bytes) => (total.saturating_sub(bytes), total),
        };
        (first < end).then_some((first, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_cut_to_what_there_is() {
        let check = |header: &str, expected: Option<(u64, u64)>| {
            assert_eq!(Asked::parse(header).of(10), expected, "{header}");
        };
        check("bytes=0-", Some((0, 10)));
        check("bytes=9-", Some((9, 10)));
        check("bytes=10-", None);
        check("bytes=2-4", Some((2, 5)));
        check("bytes=2-40", Some((2, 10)));
        check("bytes=-3", Some((7, 10)));
        check("bytes=-30", Some((0, 10)));
        check("bytes=-0", None);
        for whole in ["", "bytes", "bytes=", "bytes=a-", "bytes=4-2", "bytes=0-1,3-4", "lines=0-", "bytes=--1"] {
            assert_eq!(Asked::parse(whole), Asked::Whole, "{whole}");
        }
    }
}
