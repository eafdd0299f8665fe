//! Files that are not what they should be: kept, out of the way, with the reason beside them.

use super::owner::token;
use super::read_all;
use crate::error::{Error, Result};
use crate::ports::files::{FileInfo, FilePath, Files, Moved};
use bytes::Bytes;

/// What is put behind the name of a file for its reason.
const REASON: &str = ".reason.txt";
/// What is put behind a name that is perhaps not the file's own.
const UNPROVED: &str = ".unproved";
/// What is read of a reason.
const MAX_REASON_BYTES: u64 = 4096;
/// Leaves room, of 255 bytes, for all that is put behind it.
const MAX_NAME_BYTES: usize = 200;

/// Moves a file to the quarantine. False: it was gone. A name that was not proved to be the file's own
/// is changed so that nobody takes it for a published one.
///
/// # Errors
/// What the files give.
pub(super) fn put(
    files: &dyn Files,
    quarantine: &FilePath,
    file: &FileInfo,
    name: &str,
    is_proved: bool,
    reason: &Error,
) -> Result<bool> {
    let name = name.get(..name.floor_char_boundary(MAX_NAME_BYTES)).unwrap_or_default();
    let name = &if is_proved { name.to_owned() } else { format!("{name}{UNPROVED}") };
    files.make_directories(quarantine)?;
    let mut to = quarantine.join(name)?;
    let mut moved = files.rename(file, &to)?;
    if moved == Moved::Taken {
        to = quarantine.join(&format!("{name}.{}", token()))?;
        moved = files.rename(file, &to)?;
    }
    match moved {
        // Put here by a try that did not learn of it: only the reason is missing.
        Moved::Gone if files.stat(&to)?.is_some_and(|found| found.id == file.id) => {}
        Moved::Gone => return Ok(false),
        Moved::Taken => return Err(Error::retry(format!("quarantine `{quarantine}`: name `{name}` is taken"))),
        Moved::Done(_) => {}
    }
    tracing::warn!(file = name, quarantine = to.as_str(), reason = %reason, "file is not what it should be");
    // The file is safe; without the note only its reason is missing.
    if let Err(error) = note(files, quarantine, to.name(), reason) {
        tracing::warn!(%error, file = name, "reason not written beside the file");
    }
    Ok(true)
}

fn note(files: &dyn Files, quarantine: &FilePath, name: &str, reason: &Error) -> Result<()> {
    if let Some(mut writer) = files.create(&quarantine.join(&format!("{name}{REASON}"))?)? {
        let hint = reason.hint().map_or(String::new(), |hint| format!("hint: {hint}\n"));
        writer.write(Bytes::from(format!("{reason}\n{hint}")))?;
        writer.finish()?;
    }
    Ok(())
}

/// Whether a name in the quarantine is a reason, not a file.
pub(super) fn is_reason(name: &str) -> bool {
    name.ends_with(REASON)
}

/// The reason beside a file; none: it was not written.
///
/// # Errors
/// What the files give.
pub(super) fn reason(files: &dyn Files, file: &FilePath) -> Result<Option<String>> {
    let path = file.parent().join(&format!("{}{REASON}", file.name()))?;
    let Some(note) = files.stat(&path)? else { return Ok(None) };
    let text = read_all(files.read(&note, 0, Some(MAX_REASON_BYTES))?.as_mut())?;
    Ok(String::from_utf8_lossy(&text).lines().next().map(str::to_owned))
}
