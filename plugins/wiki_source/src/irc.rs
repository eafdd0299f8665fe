//! Lines of the IRC feed, as MediaWiki's colourful formatter writes them.
//!
//! ```text
//! \x0314[[\x0307TITLE\x0314]]\x034 FLAGS\x0310 \x0302URL\x03 \x035*\x03 \x0303USER\x03 \x035*\x03 SIZE \x0310COMMENT\x03
//! ```
//!
//! Fields end where a colour code stands, never where the visible text seems to say so: titles
//! and names cannot hold control characters, and the comment, which can imitate anything, comes
//! last. A feed with an interwiki prefix has `\x0303PREFIX:` before the title's own colour. Log
//! entries have a title `…:Log/TYPE`, no URL and no size. Lines whose codes were removed before
//! they were recorded are read by `plain`; nothing else is guessed at.
//!
//! Everything here is a pure function of the bytes. Fields are not copied, and the comment still
//! holds its chat codes.

mod plain;

use crate::text::{BOLD, COLOUR};
use memchr::{memchr, memmem};
use std::fmt;

const BEGIN: &[u8] = b"\x0314[[";
const AFTER_TITLE: &[u8] = b"\x0314]]\x034 ";
const AFTER_FLAGS: &[u8] = b"\x0310 \x0302";
const AFTER_URL: &[u8] = b"\x03 \x035*\x03 \x0303";
const AFTER_USER: &[u8] = b"\x03 \x035*\x03 ";
const AFTER_SIZE: &[u8] = b"\x0310";
/// Control characters of the anchors above, with the one of the title's colour.
const NUM_ANCHOR_CODES: usize = 14;
/// What makes a title that of a log entry; only the word before it is in the wiki's language.
const LOG: &[u8] = b":Log/";

/// What a line tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// An edit or a new page.
    Edit(Edit<'a>),
    /// A log entry.
    Log(Log<'a>),
}

/// An edit or a new page; the fields are bytes of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edit<'a> {
    /// The interwiki prefix without its colon, on feeds that have one.
    pub interwiki: Option<&'a [u8]>,
    /// The title with its namespace.
    pub page: &'a [u8],
    /// Any of `!` `N` `M` `B`.
    pub flags: &'a [u8],
    /// Where the change can be seen.
    pub url: &'a [u8],
    /// A name or an IP address.
    pub user: &'a [u8],
    /// Bytes that the page grew by; none where the feed does not say.
    pub size: Option<i32>,
    /// With chat codes, without the closing one.
    pub comment: &'a [u8],
    /// The line ends before the closing code: the comment is the beginning of the real one.
    pub is_truncated: bool,
    /// Control characters that belong to the line's form; more than these are in a field.
    pub num_codes: usize,
}

/// A log entry; the fields are bytes of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log<'a> {
    /// `Special:Log/TYPE`, with the wiki's own word for *Special*.
    pub page: &'a [u8],
    /// What was done: `create`, `move_redir`.
    pub action: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Log<'a> {
    /// User and message, the message with chat codes; none where the line is cut before them.
    pub fn details(&self) -> Option<(&'a [u8], &'a [u8])> {
        let mut cursor = Cursor { rest: self.rest, len: self.rest.len() };
        tail(&mut cursor).ok().map(|tail| (tail.user, tail.comment))
    }
}

/// Why a line cannot be read: where the reader stopped, and what it would have gone on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    at: usize,
    part: &'static str,
    expected: &'static str,
    is_cut: bool,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Broken { at, part, expected, is_cut } = self;
        let found = if *is_cut { "the end of the line" } else { "other text" };
        write!(f, "irc line stops making sense at byte {at}, {part}: found {found}, expected {expected}")
    }
}

/// Reads one line of UTF-8.
///
/// # Errors
/// [`Broken`] for lines of another form and for lines cut before the comment begins.
pub fn parse(text: &[u8]) -> Result<Line<'_>, Broken> {
    if text.starts_with(BEGIN) {
        coloured(text)
    } else if text.starts_with(plain::BEGIN) {
        plain::parse(text)
    } else {
        let expected = "`\\x0314[[` or `[[`";
        Err(Broken { at: 0, part: "where it begins", expected, is_cut: BEGIN.starts_with(text) })
    }
}

fn coloured(text: &[u8]) -> Result<Line<'_>, Broken> {
    let mut cursor = Cursor { rest: text.get(BEGIN.len()..).unwrap_or_default(), len: text.len() };
    let mut num_codes = NUM_ANCHOR_CODES;
    let mut interwiki = None;
    if cursor.skip(b"\x0303") {
        let prefix = cursor.until(b"\x0307", "after an interwiki prefix", "`\\x0307`")?;
        interwiki = Some(prefix.strip_suffix(b":").unwrap_or(prefix));
        num_codes += 1;
    } else if !cursor.skip(b"\x0307") {
        return Err(cursor.broken(b"\x0307", "before the title", "`\\x0307` or `\\x0303`"));
    }
    let page = cursor.until(AFTER_TITLE, "after the title", "`\\x0314]]\\x034 `")?;
    let flags = cursor.until(AFTER_FLAGS, "after the flags", "`\\x0310 \\x0302`")?;
    if cursor.rest.first() == Some(&COLOUR) {
        if memmem::find(page, LOG).is_some() {
            return Ok(Line::Log(Log { page, action: flags.trim_ascii(), rest: cursor.rest }));
        }
        let part = "after the flags of a line that is no log entry";
        return Err(Broken { at: cursor.at(), part, expected: "a url", is_cut: false });
    }
    let Tail { url, user, size, comment, is_truncated } = tail(&mut cursor)?;
    let (size, num_bold) = parse_size(size, cursor.at())?;
    num_codes += num_bold + usize::from(!is_truncated);
    let flags = flags.trim_ascii();
    Ok(Line::Edit(Edit { interwiki, page, flags, url, user, size, comment, is_truncated, num_codes }))
}

struct Tail<'a> {
    url: &'a [u8],
    user: &'a [u8],
    size: &'a [u8],
    comment: &'a [u8],
    is_truncated: bool,
}

/// What edits and log entries have in common, from the URL on.
fn tail<'a>(cursor: &mut Cursor<'a>) -> Result<Tail<'a>, Broken> {
    let url = cursor.until(AFTER_URL, "after the url", "`\\x03 \\x035*\\x03 \\x0303`")?;
    let user = cursor.until(AFTER_USER, "after the user", "`\\x03 \\x035*\\x03 `")?;
    let size = cursor.until(AFTER_SIZE, "after the size", "` \\x0310`")?;
    let Some(size) = size.strip_suffix(b" ") else {
        let part = "before the comment";
        return Err(Broken { at: cursor.at(), part, expected: "a blank before `\\x0310`", is_cut: false });
    };
    let closed = cursor.rest.strip_suffix(&[COLOUR]);
    let comment = closed.unwrap_or(cursor.rest);
    Ok(Tail { url, user, size, comment, is_truncated: closed.is_none() })
}

/// The number in `(+5)`, `(-5)`, `(\x02-501\x02)`, none for no text, and how many codes for bold
/// it had. `at` is where to say that it is wrong.
fn parse_size(text: &[u8], at: usize) -> Result<(Option<i32>, usize), Broken> {
    let part = "before the comment";
    if text.is_empty() {
        return Ok((None, 0));
    }
    let broken = |expected| Broken { at, part, expected, is_cut: false };
    let inner = text.strip_prefix(b"(").and_then(|text| text.strip_suffix(b")"));
    let inner = inner.ok_or_else(|| broken("a size such as `(+5)`"))?;
    let bold = inner.strip_prefix(&[BOLD]).and_then(|text| text.strip_suffix(&[BOLD]));
    let (sign, digits) = match bold.unwrap_or(inner) {
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return Err(broken("a size such as `(+5)`")),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(broken("a size such as `(+5)`"));
    }
    // Held at a value that is too large, whatever follows.
    let add = |sum: i64, digit: &u8| (sum * 10 + i64::from(digit - b'0')).min(i64::from(u32::MAX));
    let size = i32::try_from(sign * digits.iter().fold(0, add)).ok().filter(|size| *size != i32::MIN);
    let size = size.ok_or_else(|| broken("a size of at most 2147483647 bytes"))?;
    Ok((Some(size), if bold.is_some() { 2 } else { 0 }))
}

/// The unread rest of a line.
struct Cursor<'a> {
    rest: &'a [u8],
    /// Of the whole line.
    len: usize,
}

impl<'a> Cursor<'a> {
    fn at(&self) -> usize {
        self.len - self.rest.len()
    }

    fn skip(&mut self, anchor: &[u8]) -> bool {
        let tail = self.rest.strip_prefix(anchor);
        self.rest = tail.unwrap_or(self.rest);
        tail.is_some()
    }

    /// The text up to the next code, which must begin `anchor`; goes on after the anchor.
    #[inline]
    fn until(&mut self, anchor: &[u8], part: &'static str, expected: &'static str) -> Result<&'a [u8], Broken> {
        let end = memchr(COLOUR, self.rest).unwrap_or(self.rest.len());
        let (field, tail) = self.rest.split_at_checked(end).unwrap_or((self.rest, &[]));
        self.rest = tail;
        if self.skip(anchor) { Ok(field) } else { Err(self.broken(anchor, part, expected)) }
    }

    fn broken(&self, anchor: &[u8], part: &'static str, expected: &'static str) -> Broken {
        Broken { at: self.at(), part, expected, is_cut: anchor.starts_with(self.rest) }
    }
}

#[cfg(test)]
mod tests;
