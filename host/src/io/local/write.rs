//! Writing a new file and appending to one. What is finished or appended is on the disk.

use super::fence::{Fence, lock};
use super::place::{explain, id, info, metadata_in, open_at, open_directory};
use crate::error::{Error, Result};
use crate::ports::files::{FileInfo, FilePath, FileWriter};
use bytes::Bytes;
use cap_std::fs::{Dir, File};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::time::Duration;

/// Small writes are gathered; larger ones go through.
const BUFFER_BYTES: usize = 256 << 10;
/// Read and write for everybody, less what the process's mask takes away.
const MODE: Mode = Mode::from_raw_mode(0o666);
/// An appender holds the lock for one write and one sync.
const APPEND_WITHIN: Duration = Duration::from_secs(30);

/// A new file.
pub(super) struct LocalWriter {
    path: FilePath,
    file: BufWriter<File>,
    written: u64,
    failed: bool,
}

/// Begins a new file; none: the name is taken.
pub(super) fn create(root: &Dir, path: &FilePath) -> Result<Option<LocalWriter>> {
    let attempt = format!("creating `{path}`");
    let fence = Fence::shared(root)?;
    let parent = open_directory(root, &path.parent()).map_err(|error| explain(error, &attempt))?;
    let Some(parent) = parent else {
        return Err(Error::retry(format!("{attempt}: directory `{}` is not there", path.parent())));
    };
    let opened = open_at(&parent, path.name(), OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, MODE);
    drop(fence);
    match opened {
        Ok(file) => {
            sync_directory(&parent, &attempt)?;
            let file = BufWriter::with_capacity(BUFFER_BYTES, File::from_std(file.into()));
            Ok(Some(LocalWriter { path: path.clone(), file, written: 0, failed: false }))
        }
        Err(Errno::EXIST) => Ok(None),
        Err(error) => Err(explain(error.into(), attempt)),
    }
}

/// Makes what happened to a directory's names durable.
pub(super) fn sync_directory(directory: &Dir, attempt: &str) -> Result<()> {
    match rustix::fs::fsync(directory) {
        // File systems that cannot do it for directories do it by themselves.
        Ok(()) | Err(Errno::INVAL | Errno::BADF | Errno::NOTSUP) => Ok(()),
        Err(error) => Err(explain(error.into(), format!("{attempt}: making it durable"))),
    }
}

impl FileWriter for LocalWriter {
    fn write(&mut self, bytes: Bytes) -> Result<()> {
        let attempt = format!("writing `{}`", self.path);
        if self.failed {
            return Err(Error::bug(format!("{attempt}: the writer is over after an error")));
        }
        if let Err(error) = self.file.write_all(&bytes) {
            self.failed = true;
            return Err(explain(error, attempt));
        }
        self.written += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<FileInfo> {
        let attempt = format!("writing `{}`", self.path);
        if self.failed {
            return Err(Error::bug(format!("{attempt}: the writer is over after an error")));
        }
        let outcome = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        outcome.map_err(|error| explain(error, &attempt))?;
        let found = self.file.get_ref().metadata().map_err(|error| explain(error, &attempt))?;
        let (bytes, written) = (found.len(), self.written);
        if bytes != written {
            return Err(Error::retry(format!("{attempt}: the file has {bytes} bytes, expected the {written} written")));
        }
        Ok(info(&self.path, &found))
    }
}

/// Adds to the end of a file, alone while it does.
pub(super) fn append(root: &Dir, path: &FilePath, bytes: &Bytes) -> Result<FileInfo> {
    let attempt = format!("appending to `{path}`");
    let failed = |error: std::io::Error| explain(error, &attempt);
    let gone = || Error::retry(format!("{attempt}: the file is gone"));
    let no_file = || Error::config(format!("{attempt}: it is no file"));
    let find = || -> Result<_> {
        let _fence = Fence::shared(root)?;
        let parent = open_directory(root, &path.parent()).map_err(failed)?.ok_or_else(gone)?;
        match open_at(&parent, path.name(), OFlags::WRONLY, Mode::empty()) {
            Ok(file) => Ok(file),
            Err(Errno::NOENT) => Err(gone()),
            Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO) => Err(no_file()),
            Err(error) => Err(failed(error.into())),
        }
    };
    let file = find()?;
    match lock(&file, FlockOperation::NonBlockingLockExclusive, APPEND_WITHIN) {
        Ok(true) => {}
        Ok(false) => {
            let seconds = APPEND_WITHIN.as_secs();
            return Err(Error::retry(format!("{attempt}: others held the file's lock for {seconds} s")));
        }
        Err(error) => return Err(failed(error.into())),
    }
    // The lock ends when this is closed.
    let mut file = File::from_std(std::fs::File::from(file));
    let fence = Fence::shared(root)?;
    let before = file.metadata().map_err(failed)?;
    if !before.is_file() {
        return Err(no_file());
    }
    let parent = open_directory(root, &path.parent()).map_err(failed)?.ok_or_else(gone)?;
    let here = metadata_in(&parent, path.name()).map_err(failed)?;
    if here.is_none_or(|here| id(&here) != id(&before)) {
        return Err(gone());
    }
    let end = before.len();
    let written = file.seek(SeekFrom::Start(end)).and_then(|_| file.write_all(bytes));
    drop(fence);
    if let Err(error) = written.and_then(|()| file.sync_data()) {
        // All or nothing: a disk that is full took a part of it.
        file.set_len(end).map_err(|error| explain(error, format!("{attempt}: taking a part of it back")))?;
        return Err(failed(error));
    }
    Ok(info(path, &file.metadata().map_err(failed)?))
}
