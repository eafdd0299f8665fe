//! The lines of messages, cut as the server cuts them.
//!
//! Invariant: a line ends CR LF and holds no other; what stands before that is at most 510
//! characters or bytes, whatever the text. A cut line lacks the text's last colour code, which is
//! how clients see that it was cut.

use bytes::{Bytes, BytesMut};

use super::Options;

/// The longest line without CR LF (RFC 2813 section 3.3).
const MAX_LINE: usize = 510;
/// Room for a few hundred lines at a time, so that most lines cost no allocation of their own.
const BLOCK_BYTES: usize = 64 * 1024;

/// How the server cuts a line that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cut {
    /// At 510 characters (code points), as IRCStream does: a line may have up to 2,042 bytes and
    /// ends within no character.
    #[default]
    Characters,
    /// At 510 bytes, as other IRC servers do, perhaps within a character.
    Bytes,
}

/// Makes lines.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    /// `:prefix PRIVMSG `.
    head: String,
    cut: Cut,
}

impl Wire {
    pub(super) fn new(options: &Options) -> Self {
        Self { head: format!(":{} PRIVMSG ", options.prefix), cut: options.cut }
    }

    /// The line that brings `text` to `channel`. `block` is where lines are made, empty
    /// between calls.
    pub(super) fn privmsg(&self, block: &mut BytesMut, channel: &str, text: &[u8]) -> Bytes {
        // No text of more bytes than this survives the cut.
        let text = text.get(..MAX_LINE * 4).unwrap_or(text);
        let needed = self.head.len() + channel.len() + text.len() + 4;
        if block.capacity() < needed {
            block.reserve(BLOCK_BYTES.max(needed));
        }
        for part in [self.head.as_bytes(), channel.as_bytes(), b" :", text] {
            block.extend_from_slice(part);
        }
        block.truncate(kept(block, self.cut));
        block.extend_from_slice(b"\r\n");
        block.split().freeze()
    }

    /// A line that is not the protocol; `number` chooses which.
    pub(super) fn garbage(&self, number: u64) -> Bytes {
        let head = self.head.as_bytes();
        let line: Vec<u8> = match number % 6 {
            0 => b"\xff\xfe\x80 this is no line of irc \xc3\x28\r\n".to_vec(),
            1 => [head, b"#en.wikipedia :\x0314[[\x0307\xf0\x28\x8c\x28 torn \xe3\x81\r\n"].concat(),
            2 => b":::  :\r\n".to_vec(),
            3 => [head, b"\r\n"].concat(),
            4 => b"HTTP/1.1 400 Bad Request\r\n".to_vec(),
            _ => b"\x00\x01\x02\x1b[31m\r\n".to_vec(),
        };
        line.into()
    }

    /// The first half of a line, for a connection that ends in the middle of one.
    pub(super) fn torn(&self) -> Bytes {
        [self.head.as_bytes(), b"#en.wikipedia :\x0314[[\x0307Torn li"].concat().into()
    }
}

/// How many bytes of `line` stay.
fn kept(line: &[u8], cut: Cut) -> usize {
    if line.len() <= MAX_LINE || cut == Cut::Bytes {
        return line.len().min(MAX_LINE);
    }
    let (mut kept, mut left) = (0, MAX_LINE);
    for chunk in line.utf8_chunks() {
        // What is no UTF-8 counts as one character a run, as a decoder would replace it.
        let invalid = (!chunk.invalid().is_empty()).then_some(chunk.invalid().len());
        for bytes in chunk.valid().chars().map(char::len_utf8).chain(invalid) {
            if left == 0 {
                return kept;
            }
            left -= 1;
            kept += bytes;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    fn line(cut: Cut, text: &[u8]) -> Bytes {
        let wire = Wire::new(&Options { cut, ..Options::default() });
        let line = wire.privmsg(&mut BytesMut::new(), "#en.wikipedia", text);
        line.strip_suffix(b"\r\n").map(|line| line.to_vec().into()).unwrap()
    }

    #[test]
    fn a_line_is_cut_at_510_characters() {
        let room = 510 - ":rc-pmtpa!rc-pmtpa@irc.wikimedia.org PRIVMSG #en.wikipedia :".len();
        assert_eq!(room, 450);
        for letter in ["x", "é", "長", "\u{1f600}"] {
            for (num, expected) in [(449, 449), (450, 450), (451, 450), (5000, 450)] {
                let line = line(Cut::Characters, letter.repeat(num).as_bytes());
                let text = std::str::from_utf8(&line).unwrap();
                assert_eq!(text.chars().count(), 60 + expected, "{letter}");
                assert!(text.ends_with(letter));
            }
        }
    }

    #[test]
    fn other_servers_cut_at_510_bytes() {
        let line = line(Cut::Bytes, "長".repeat(300).as_bytes());
        assert_eq!(line.len(), 510);
        assert!(line.ends_with("長".as_bytes()));
        let line = super::tests::line(Cut::Bytes, format!("x{}", "長".repeat(300)).as_bytes());
        assert!(std::str::from_utf8(&line).is_err(), "the cut falls within a character");
    }

    #[test]
    fn bytes_that_are_no_text_are_cut_too() {
        let line = line(Cut::Characters, &[0xff; 10_000]);
        assert_eq!(line.len(), 510);
    }

    #[test]
    fn lines_made_in_one_block_do_not_mix() {
        let wire = Wire::new(&Options::default());
        let mut block = BytesMut::new();
        let lines: Vec<Bytes> =
            (0..5000).map(|at: i32| wire.privmsg(&mut block, "#a", at.to_string().as_bytes())).collect();
        for (at, line) in lines.iter().enumerate() {
            assert!(line.ends_with(format!(" #a :{at}\r\n").as_bytes()));
        }
    }
}
