//! From paths to open directories, name by name, following no link; and what the kernel says of a
//! file as the port has it.

use crate::error::{Error, ErrorClass, Result};
use crate::ports::files::{FileInfo, FileKind, FilePath};
use cap_std::fs::{Dir, Metadata, MetadataExt};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fmt::Display;
use std::io;
use std::os::fd::OwnedFd;
use std::time::UNIX_EPOCH;

/// The names of a directory that cannot be opened because it is not there, or is none.
fn is_absent(error: Errno) -> bool {
    // A link is no directory either: with `NOFOLLOW` it is one of the last two.
    matches!(error, Errno::NOENT | Errno::NOTDIR | Errno::LOOP)
}

/// Opens a directory below the root; none: there is no such directory.
pub(super) fn open_directory(root: &Dir, path: &FilePath) -> io::Result<Option<Dir>> {
    let mut directory = root.try_clone()?;
    for name in path.names() {
        match open_at(&directory, name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()) {
            Ok(inner) => directory = Dir::from_std_file(inner.into()),
            Err(error) if is_absent(error) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Some(directory))
}

/// Opens one name of a directory, never through a link and never waiting for a pipe's other end.
pub(super) fn open_at(directory: &Dir, name: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    loop {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        match rustix::fs::openat(directory, name, flags, mode) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// What is at a path; none: nothing, or something above it is no directory.
pub(super) fn metadata(root: &Dir, path: &FilePath) -> io::Result<Option<Metadata>> {
    if path.is_root() {
        return root.dir_metadata().map(Some);
    }
    match open_directory(root, &path.parent())? {
        Some(parent) => metadata_in(&parent, path.name()),
        None => Ok(None),
    }
}

/// What has a name in a directory, the link itself where it is one.
pub(super) fn metadata_in(directory: &Dir, name: &str) -> io::Result<Option<Metadata>> {
    match directory.symlink_metadata(name) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Device and inode, and the time of birth where the file system keeps it: inodes are used again as
/// soon as they are free, and what took the place of a file must not be taken for it.
pub(super) fn id(metadata: &Metadata) -> String {
    let born = metadata.created().ok().map(|born| born.into_std());
    let born = born.and_then(|born| born.duration_since(UNIX_EPOCH).ok()).map_or(0, |born| born.as_nanos());
    format!("{}:{}:{born:x}", metadata.dev(), metadata.ino())
}

/// As the port has it.
pub(super) fn info(path: &FilePath, metadata: &Metadata) -> FileInfo {
    let kind = match metadata.file_type() {
        kind if kind.is_file() => FileKind::File,
        kind if kind.is_dir() => FileKind::Directory,
        _ => FileKind::Other,
    };
    let modified_ms = metadata.mtime().saturating_mul(1000).saturating_add(metadata.mtime_nsec() / 1_000_000);
    FileInfo { path: path.clone(), id: id(metadata), kind, bytes: metadata.len(), modified_ms }
}

/// The host's error for one of the kernel's.
pub(super) fn explain(error: io::Error, attempt: impl Display) -> Error {
    use io::ErrorKind as Kind;
    let class = match error.kind() {
        Kind::PermissionDenied | Kind::InvalidInput | Kind::InvalidFilename | Kind::Unsupported => ErrorClass::Config,
        // Full, read-only, busy, out of descriptors, gone: for now.
        _ => ErrorClass::Retry,
    };
    let found = Error::new(class, format!("{attempt}: {error}"));
    match error.kind() {
        Kind::PermissionDenied => found.with_hint("give the host's user the rights on the folder"),
        Kind::StorageFull | Kind::QuotaExceeded => found.with_hint("make room on the disk"),
        _ => found,
    }
}
