//! The bytes of a frame as text: what they hold at large, repairs, lengths, chat codes.
//!
//! Invariant: what leaves [`repair`] is UTF-8, and the other functions keep UTF-8 whole when they
//! are given it. Nothing here knows what a frame means.

use std::str::from_utf8;

/// The byte that begins a colour code in chat.
pub(crate) const COLOUR: u8 = 0x03;
/// The byte that switches bold on and off in chat.
pub(crate) const BOLD: u8 = 0x02;

const LANES: usize = 16;
/// Rounds after which a lane that counts could overflow.
const ROUNDS: usize = 255;

/// What one pass over a text tells about all its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scan {
    /// No byte is above 0x7f.
    pub(crate) is_ascii: bool,
    /// A quotation mark or a backslash is somewhere.
    pub(crate) has_quotes: bool,
    /// Bytes below 0x20.
    pub(crate) num_controls: usize,
}

/// Looks at every byte once, 16 at a time and without branches, so that compilers make vector
/// code of it. It saves a search for characters to escape in each field.
pub(crate) fn scan(text: &[u8]) -> Scan {
    let mut scan = Scan { is_ascii: true, has_quotes: false, num_controls: 0 };
    for block in text.chunks(LANES * ROUNDS) {
        let mut lanes = Lanes::default();
        let mut rest = block;
        while let Some((chunk, tail)) = rest.split_first_chunk::<LANES>() {
            lanes.add(chunk);
            rest = tail;
        }
        // The tail is filled up with blanks: one round more instead of up to 15 single steps.
        let mut last = [b' '; LANES];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        lanes.add(&last);
        scan.is_ascii &= lanes.all.iter().all(u8::is_ascii);
        scan.has_quotes |= lanes.quotes.iter().any(|lane| *lane != 0);
        scan.num_controls += lanes.controls.iter().map(|lane| usize::from(*lane)).sum::<usize>();
    }
    scan
}

#[derive(Default)]
struct Lanes {
    all: [u8; LANES],
    quotes: [u8; LANES],
    controls: [u8; LANES],
}

impl Lanes {
    #[inline(always)]
    fn add(&mut self, chunk: &[u8; LANES]) {
        let lanes = self.all.iter_mut().zip(&mut self.quotes).zip(&mut self.controls);
        for (((all, quotes), controls), byte) in lanes.zip(chunk) {
            *all |= *byte;
            *quotes |= u8::from(*byte == b'"') | u8::from(*byte == b'\\');
            *controls = controls.wrapping_add(u8::from(*byte < 0x20));
        }
    }
}

/// A text's length in UTF-16 code units, which is the JVM's string length.
pub(crate) fn utf16_len(text: &[u8]) -> usize {
    // A character counts at its first byte, and twice where it takes four bytes. A chunk of 64
    // keeps the sum within a byte, so that 16 of them are added at once.
    let units = |byte: &u8| u8::from(byte & 0xc0 != 0x80) + u8::from(*byte >= 0xf0);
    text.chunks(64).map(|chunk| usize::from(chunk.iter().map(units).sum::<u8>())).sum()
}

/// Makes UTF-8 of bytes that are not: a character cut off by the end is dropped (older IRC
/// servers cut lines after a number of bytes), each other invalid sequence becomes U+FFFD.
pub(crate) fn repair(data: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(data.len() + 8);
    let mut num_read = 0;
    for chunk in data.utf8_chunks() {
        let invalid = chunk.invalid();
        num_read += chunk.valid().len() + invalid.len();
        text.extend_from_slice(chunk.valid().as_bytes());
        let is_cut = num_read == data.len() && from_utf8(invalid).is_err_and(|e| e.error_len().is_none());
        if !invalid.is_empty() && !is_cut {
            text.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    text
}

/// Appends `text` without chat codes: colours with their digits, bold, italic, underline,
/// reverse and reset. Other control characters stay.
pub(crate) fn strip_codes(text: &[u8], out: &mut Vec<u8>) {
    let is_code = |byte: &u8| matches!(*byte, BOLD | COLOUR | 0x0f | 0x16 | 0x1d | 0x1f);
    let mut rest = text;
    loop {
        let end = rest.iter().position(is_code).unwrap_or(rest.len());
        let (plain, tail) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        out.extend_from_slice(plain);
        let Some((code, tail)) = tail.split_first() else { return };
        rest = if *code == COLOUR { skip_colour(tail) } else { tail };
    }
}

/// What follows the digits of a colour code: up to two for the text and, after a comma, up to
/// two for the background. A third digit and a comma without a digit are text.
fn skip_colour(text: &[u8]) -> &[u8] {
    let text_colour = skip_digits(text);
    match text_colour.strip_prefix(b",") {
        Some(after) if text_colour.len() < text.len() && skip_digits(after).len() < after.len() => skip_digits(after),
        _ => text_colour,
    }
}

fn skip_digits(text: &[u8]) -> &[u8] {
    let num_digits = text.iter().take(2).take_while(|byte| byte.is_ascii_digit()).count();
    text.get(num_digits..).unwrap_or_default()
}

/// At most `max_chars` characters of something odd, for an error text.
pub(crate) fn excerpt(bytes: &[u8], max_chars: usize) -> String {
    let visible = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    String::from_utf8_lossy(bytes).chars().map(visible).take(max_chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        strip_codes(text, &mut out);
        out
    }

    #[test]
    fn a_scan_counts_over_the_borders_of_chunks_and_blocks() {
        for len in [0, 1, 15, 16, 17, 4079, 4080, 4081, 9000] {
            let plain = vec![b'a'; len];
            assert_eq!(scan(&plain), Scan { is_ascii: true, has_quotes: false, num_controls: 0 }, "{len}");
            let controls = vec![3; len];
            assert_eq!(scan(&controls).num_controls, len);
            for odd in [b'"', b'\\', 0x80] {
                let text = [plain.as_slice(), &[odd]].concat();
                let expected = Scan { is_ascii: odd < 0x80, has_quotes: odd < 0x80, num_controls: 0 };
                assert_eq!(scan(&text), expected, "{len} {odd}");
            }
        }
    }

    #[test]
    fn lengths_are_those_of_the_jvm() {
        for text in ["", "abc", "Gruß", "修正しました", "add 😀 here", "é 👩‍🚀", &"😀a".repeat(100)]
        {
            assert_eq!(utf16_len(text.as_bytes()), text.encode_utf16().count(), "{text}");
        }
    }

    #[test]
    fn only_a_tail_that_is_cut_off_is_dropped() {
        assert_eq!(repair(b"a\xe9\x95\xb7\xe9\x95"), "a長".as_bytes());
        assert_eq!(repair(b"a\xe9\x95b"), "a\u{fffd}b".as_bytes());
        assert_eq!(repair(b"a\xff"), "a\u{fffd}".as_bytes());
        assert_eq!(repair(b""), b"");
    }

    #[test]
    fn codes_go_and_their_neighbours_stay() {
        assert_eq!(stripped(b"a\x03b\x02c\x0f\x16\x1d\x1fd"), b"abcd");
        assert_eq!(stripped(b"\x0303192.0.2.1"), b"192.0.2.1");
        assert_eq!(stripped(b"\x0303,04x \x033,x \x03,4x"), b"x ,x ,4x");
        assert_eq!(stripped(b"tab\tstays\x03"), b"tab\tstays");
    }
}
