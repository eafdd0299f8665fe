//! Reading a file in order, with the same checks as the other store has: that it is the file that
//! was meant, and that it did not change before its end.

use super::fence::Fence;
use super::place::{explain, id, open_at, open_directory};
use crate::error::{Error, Result};
use crate::ports::files::{FileInfo, FileReader};
use bytes::{Bytes, BytesMut};
use cap_std::fs::{Dir, File, Metadata, MetadataExt};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::io::{Read, Seek, SeekFrom};

/// Bytes of one answer: large enough that calls to the kernel do not count.
const CHUNK_BYTES: u64 = 1 << 20;

/// A file that is being read.
pub(super) struct LocalReader {
    shown: String,
    file: File,
    left: u64,
    /// State of the file when a read to its end began.
    whole: Option<Metadata>,
}

/// Opens a file at an offset.
pub(super) fn open(root: &Dir, file: &FileInfo, offset: u64, length: Option<u64>) -> Result<LocalReader> {
    let attempt = format!("reading `{}`", file.path);
    let failed = |error: std::io::Error| explain(error, &attempt);
    let gone = || Error::retry(format!("{attempt}: the file is gone"));
    let fence = Fence::shared(root)?;
    let parent = open_directory(root, &file.path.parent()).map_err(failed)?.ok_or_else(gone)?;
    let opened = match open_at(&parent, file.path.name(), OFlags::RDONLY, Mode::empty()) {
        Ok(opened) => opened,
        Err(Errno::NOENT | Errno::LOOP) => return Err(gone()),
        Err(error) => return Err(failed(error.into())),
    };
    drop(fence);
    let mut opened = File::from_std(opened.into());
    let found = opened.metadata().map_err(failed)?;
    if id(&found) != file.id {
        return Err(gone());
    }
    if !found.is_file() {
        return Err(Error::config(format!("{attempt}: it is no file")));
    }
    if length.is_none() && found.len() != file.bytes {
        let (now, expected) = (found.len(), file.bytes);
        return Err(Error::retry(format!("{attempt}: the file changed: {now} bytes, expected {expected}")));
    }
    let end = length.map_or(file.bytes, |length| offset.saturating_add(length).min(file.bytes));
    opened.seek(SeekFrom::Start(offset)).map_err(failed)?;
    let whole = length.is_none().then_some(found);
    Ok(LocalReader { shown: attempt, file: opened, left: end.saturating_sub(offset), whole })
}

impl FileReader for LocalReader {
    fn next(&mut self) -> Result<Option<Bytes>> {
        let attempt = &self.shown;
        if self.left == 0 {
            if let Some(before) = self.whole.take() {
                let now = self.file.metadata().map_err(|error| explain(error, attempt))?;
                let state = |of: &Metadata| (of.len(), of.mtime(), of.mtime_nsec());
                if state(&before) != state(&now) {
                    return Err(Error::retry(format!("{attempt}: the file changed while it was read")));
                }
            }
            return Ok(None);
        }
        let mut chunk = BytesMut::zeroed(usize::try_from(self.left.min(CHUNK_BYTES)).unwrap_or(usize::MAX));
        let read = loop {
            match self.file.read(&mut chunk) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                other => break other.map_err(|error| explain(error, attempt))?,
            }
        };
        if read == 0 {
            let left = self.left;
            return Err(Error::retry(format!("{attempt}: the file changed: {left} more bytes expected at its end")));
        }
        chunk.truncate(read);
        self.left -= u64::try_from(read).unwrap_or(self.left);
        Ok(Some(chunk.freeze()))
    }
}
