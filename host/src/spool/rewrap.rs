//! Other recipients for a file that is sealed already: new heads, the same blocks, one rename in place.

use super::frames::Frames;
use super::owner::token;
use super::read_footer;
use crate::crypto::{self, KeyRing, Recipient};
use crate::error::{Error, Result};
use crate::ports::files::{FileInfo, FilePath, Files, Moved};
use bytes::Bytes;

/// Rewrites a file for `recipients` and no one else; whoever reads it meanwhile has the old one or the
/// new one. Returns how many members it has.
///
/// # Errors
/// What opening the heads and the files give; the file is then as it was.
pub(super) fn rewrap(
    files: &dyn Files,
    staging: &FilePath,
    file: &FileInfo,
    ring: &KeyRing,
    recipients: &[Recipient],
) -> Result<u64> {
    let aside = files.make_directories(staging)?.path.join(&format!("rewrap-{}.open", token()))?;
    let rewrapped = rewrap_aside(files, &aside, file, ring, recipients);
    if rewrapped.is_err()
        && let Ok(Some(left)) = files.stat(&aside)
    {
        // The error is the one to tell.
        let _ = files.delete(&left);
    }
    rewrapped
}

fn rewrap_aside(
    files: &dyn Files,
    aside: &FilePath,
    file: &FileInfo,
    ring: &KeyRing,
    recipients: &[Recipient],
) -> Result<u64> {
    let mut footer = read_footer(files, file, None)?;
    let writer = files.create(aside)?;
    let mut writer = writer.ok_or_else(|| Error::retry(format!("`{aside}` is there already")))?;
    let mut frames = Frames::new(files.read(file, 0, Some(footer.bytes))?, 0, footer.bytes);
    let mut written = 0;
    while let Some(frame) = frames.next()? {
        let head = crypto::rewrap(&frame.head, ring, recipients)?;
        let blocks = frame.bytes.slice(frame.head.num_bytes()..);
        written += (head.len() + blocks.len()) as u64;
        writer.write(Bytes::from(head))?;
        writer.write(blocks)?;
    }
    footer.bytes = written;
    writer.write(Bytes::from(footer.encode()?))?;
    let made = writer.finish()?;
    match files.replace(&made, &file.path)? {
        Moved::Done(_) => Ok(footer.members),
        Moved::Gone | Moved::Taken => Err(Error::retry(format!("`{}` could not be put in its place", file.path))),
    }
}
