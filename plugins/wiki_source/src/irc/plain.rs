//! Lines whose colour and bold codes were removed by the client that recorded them.
//!
//! ```text
//! [[TITLE]] FLAGS URL * USER * SIZE COMMENT
//! ```
//!
//! Titles cannot hold `]`, URLs no blank, so both ends are sure. A name can hold ` * `: it ends at
//! the first one that a size or two blanks (no size) follow. What is left is the comment. A cut
//! line cannot be told from a whole one, so [`Edit::is_truncated`] is always false.

use super::{BOLD, Broken, Edit, LOG, Line, Log, parse_size};
use memchr::{memchr, memmem};

pub(super) const BEGIN: &[u8] = b"[[";
const AFTER_TITLE: &[u8] = b"]] ";
const STAR: &[u8] = b" * ";

pub(super) fn parse(text: &[u8]) -> Result<Line<'_>, Broken> {
    let at = |rest: &[u8]| text.len() - rest.len();
    let broken = |rest: &[u8], part, expected| Broken { at: at(rest), part, expected, is_cut: rest.is_empty() };

    let rest = text.get(BEGIN.len()..).unwrap_or_default();
    let (page, rest) = split(rest, memchr(b']', rest));
    let rest = rest.strip_prefix(AFTER_TITLE).ok_or_else(|| broken(rest, "after the title", "`]] `"))?;
    let (flags, rest) = split(rest, memchr(b' ', rest));
    let after_flags = rest.get(1..).unwrap_or_default();
    let has_url = after_flags.starts_with(b"http://") || after_flags.starts_with(b"https://");
    if !has_url && memmem::find(page, LOG).is_some() {
        return Ok(Line::Log(Log { page, action: flags, rest: &[] }));
    }
    if !has_url || !flags.iter().all(|flag| b"!NMB".contains(flag)) {
        return Err(broken(after_flags, "after the title", "flags, a blank and a url"));
    }
    let (url, rest) = split(after_flags, memchr(b' ', after_flags));
    let rest = rest.strip_prefix(STAR).ok_or_else(|| broken(rest, "after the url", "` * `"))?;
    for star in memmem::find_iter(rest, STAR) {
        let (user, after) = split(rest, Some(star));
        let after = after.get(STAR.len()..).unwrap_or_default();
        let Some((size, comment)) = split_size(after) else { continue };
        let (size, num_codes) = parse_size(size, at(after))?;
        let edit = Edit { interwiki: None, page, flags, url, user, size, comment, is_truncated: false, num_codes };
        return Ok(Line::Edit(edit));
    }
    Err(Broken { is_cut: true, ..broken(rest, "in the user or the size", "` * `, a size and a comment") })
}

/// Size and comment where the text begins with a size and a blank, or with the blank alone; a
/// client may have trimmed the blank before an empty comment.
fn split_size(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if let Some(comment) = text.strip_prefix(b" ") {
        return Some((&[], comment));
    }
    let end = memchr(b')', text)? + 1;
    let (size, rest) = split(text, Some(end));
    let mut inner = size.iter().filter(|byte| **byte != BOLD);
    let has_sign = inner.next() == Some(&b'(') && matches!(inner.next(), Some(b'+' | b'-'));
    let has_number = size.len() > 3 && inner.all(|byte| byte.is_ascii_digit() || *byte == b')');
    let comment = if rest.is_empty() { Some(rest) } else { rest.strip_prefix(b" ") };
    comment.filter(|_| has_sign && has_number).map(|comment| (size, comment))
}

fn split(text: &[u8], at: Option<usize>) -> (&[u8], &[u8]) {
    text.split_at_checked(at.unwrap_or(text.len())).unwrap_or((text, &[]))
}
