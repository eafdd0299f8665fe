//! JSON text by hand: strings and numbers appended to a buffer that the caller owns.
//!
//! Invariant: given UTF-8, what is appended is the inside of a JSON string (RFC 8259) that parses
//! back to the same text. Only what must be escaped is.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// A piece of text and what is known about it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text<'a> {
    /// UTF-8.
    pub(crate) bytes: &'a [u8],
    /// Known to hold nothing that JSON escapes, so that it is copied unread.
    pub(crate) is_clean: bool,
}

impl<'a> Text<'a> {
    pub(crate) fn clean(bytes: &'a [u8]) -> Self {
        Text { bytes, is_clean: true }
    }

    pub(crate) fn unread(bytes: &'a [u8]) -> Self {
        Text { bytes, is_clean: false }
    }
}

/// Appends a text as the inside of a JSON string.
#[inline]
pub(crate) fn put_text(out: &mut Vec<u8>, text: Text<'_>) {
    if text.is_clean { out.extend_from_slice(text.bytes) } else { put_escaped(out, text.bytes) }
}

/// Appends bytes as the inside of a JSON string, with escapes where they are needed.
pub(crate) fn put_escaped(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    loop {
        let (plain, tail) = rest.split_at_checked(plain_len(rest)).unwrap_or((rest, &[]));
        out.extend_from_slice(plain);
        let Some((special, tail)) = tail.split_first() else { return };
        put_escape(out, *special);
        rest = tail;
    }
}

/// Appends a number.
#[inline]
pub(crate) fn put_int(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// A text as a JSON string, quotes included.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = vec![b'"'];
    put_escaped(&mut out, text.as_bytes());
    out.push(b'"');
    String::from_utf8(out).unwrap_or_default()
}

/// Bytes before the first that must be escaped, eight looked at in one step.
fn plain_len(text: &[u8]) -> usize {
    let mut rest = text;
    while let Some((chunk, tail)) = rest.split_first_chunk::<8>() {
        let special = special_bits(u64::from_le_bytes(*chunk));
        if special != 0 {
            return text.len() - rest.len() + (special.trailing_zeros() / 8) as usize;
        }
        rest = tail;
    }
    let end = rest.iter().position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\'));
    text.len() - rest.len() + end.unwrap_or(rest.len())
}

/// The high bit of each byte below 0x20, `"` or `\`. A borrow may set further bits above the
/// first one; the first one is exact (Bit Twiddling Hacks, "haszero" and "hasless").
fn special_bits(word: u64) -> u64 {
    let zero_bytes = |word: u64| word.wrapping_sub(ONES) & !word;
    let below_0x20 = word.wrapping_sub(ONES * 0x20) & !word;
    let quotes = zero_bytes(word ^ (ONES * b'"' as u64)) | zero_bytes(word ^ (ONES * b'\\' as u64));
    (below_0x20 | quotes) & HIGHS
}

fn put_escape(out: &mut Vec<u8>, special: u8) {
    let hex = |digit: u8| if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
    match special {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        other => out.extend_from_slice(&[b'\\', b'u', b'0', b'0', hex(other >> 4), hex(other & 0xf)]),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_ascii_character_comes_back_at_every_place_of_a_word() {
        for byte in 0..0x80u8 {
            for place in 0..18 {
                let mut text = "abcdefghijklmnopqr\u{e9}".to_owned();
                text.replace_range(place..=place, &char::from(byte).to_string());
                assert_eq!(serde_json::from_str::<String>(&quoted(&text)).unwrap(), text);
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in any::<String>()) {
            prop_assert_eq!(serde_json::from_str::<String>(&quoted(&text)).unwrap(), text);
        }

        #[test]
        fn any_number_comes_back(number in any::<i64>()) {
            let mut out = Vec::new();
            put_int(&mut out, number);
            prop_assert_eq!(serde_json::from_slice::<i64>(&out).unwrap(), number);
        }
    }
}
