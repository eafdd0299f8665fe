//! The file port: one directory tree on a filer or a local disk. Two implementations, Qumulo's REST
//! API and a local folder, and one contract suite for both (`tests/src/files_contract.rs`).
//!
//! Everything the spool relies on is here: a file appears under its final name by one rename, of two
//! renames of the same thing exactly one wins, and a rename names its source by path, so that whoever
//! renames a directory ends everything that others still wanted to do below its old name.

use crate::error::{Error, Result};
use bytes::Bytes;
use std::fmt;
use std::time::Duration;

/// Longest name of a file or directory, bytes.
pub const MAX_NAME_BYTES: usize = 255;

/// A place below a store's root: names joined by `/`; the root itself is empty. Never `.`, `..`, an
/// empty name, a control character, or a name of more than [`MAX_NAME_BYTES`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FilePath(String);

impl FilePath {
    /// The root.
    pub fn root() -> Self {
        FilePath::default()
    }

    /// Checks a relative path; slashes at either end are left out.
    ///
    /// # Errors
    /// Class Config, with the name that cannot be.
    pub fn new(text: &str) -> Result<Self> {
        let trimmed = text.trim_matches('/');
        if trimmed.is_empty() {
            return Ok(FilePath::root());
        }
        for name in trimmed.split('/') {
            let bad = name.is_empty() || name == "." || name == ".." || name.len() > MAX_NAME_BYTES;
            if bad || name.chars().any(char::is_control) {
                let (path, name) = (text.escape_debug(), name.escape_debug());
                return Err(Error::config(format!(
                    "path `{path}` holds the name `{name}`, expected names of 1 to {MAX_NAME_BYTES} bytes without \
                     control characters, and neither `.` nor `..`"
                )));
            }
        }
        Ok(FilePath(trimmed.to_owned()))
    }

    /// This path with one or more names after it.
    ///
    /// # Errors
    /// As for [`FilePath::new`].
    pub fn join(&self, names: &str) -> Result<Self> {
        let tail = FilePath::new(names)?;
        Ok(match (self.is_root(), tail.is_root()) {
            (true, _) => tail,
            (_, true) => self.clone(),
            _ => FilePath(format!("{}/{}", self.0, tail.0)),
        })
    }

    /// The last name; empty for the root.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The path without its last name; the root's parent is the root.
    pub fn parent(&self) -> Self {
        FilePath(self.0.rsplit_once('/').map_or(String::new(), |(parent, _)| parent.to_owned()))
    }

    /// All names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|name| !name.is_empty())
    }

    /// Whether it is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Its text, without a slash at either end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_root() { "." } else { &self.0 })
    }
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A link, a pipe, a device: never followed, never read.
    Other,
}

/// A file or directory as it was when asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileInfo {
    /// Where it was then.
    pub path: FilePath,
    /// The store's own name for it, the same after a rename; never reused while it exists.
    pub id: String,
    /// What it is.
    pub kind: FileKind,
    /// Size in bytes; of a directory, whatever the store says.
    pub bytes: u64,
    /// Last change of its content, milliseconds since 1970 UTC by the store's clock. For a directory:
    /// changes whenever a name appears in it or goes.
    pub modified_ms: i64,
}

/// What became of a rename.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moved {
    /// It is at the new place; what it is there.
    Done(FileInfo),
    /// Nothing is at the old place any more: somebody else took it.
    Gone,
    /// The new name is taken.
    Taken,
}

/// What a watch saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Nothing in this time.
    Nothing,
    /// These names appeared in the directory; some may be gone again.
    Appeared(Vec<String>),
    /// Something may have been missed: list the directory. Always the first answer of a watch.
    List,
    /// The directory itself is gone.
    Gone,
}

/// A snapshot of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its number.
    pub id: u64,
    /// Its name, as the store made it.
    pub name: String,
}

/// One tree of files. May be called from any thread, but not from within an async task: calls block.
///
/// Errors are of class Retry when the store cannot be reached, is full, busy or read-only for now;
/// class Config when it cannot work as configured (address, certificate, user, rights). Transient
/// failures of calls that may be repeated are repeated inside, within a bound; what comes out is for
/// the task to wait out.
pub trait Files: Send + Sync {
    /// What and where it is, for people; never a password.
    fn describe(&self) -> String;

    /// What is at a path; none: nothing.
    ///
    /// # Errors
    /// See [`Files`].
    fn stat(&self, path: &FilePath) -> Result<Option<FileInfo>>;

    /// Gives everything directly in a directory to `each`, in no order, page by page; names that
    /// come or go meanwhile may be given or not, all others are given exactly once. False: there
    /// is no such directory.
    ///
    /// # Errors
    /// See [`Files`], and what `each` gives, which ends the listing.
    fn list(&self, directory: &FilePath, each: &mut dyn FnMut(FileInfo) -> Result<()>) -> Result<bool>;

    /// Makes a directory and what is missing above it.
    ///
    /// # Errors
    /// See [`Files`]; class Config when a file is in the way.
    fn make_directories(&self, directory: &FilePath) -> Result<FileInfo>;

    /// Begins a new, empty file. None: the name is taken. The directory exists.
    ///
    /// # Errors
    /// See [`Files`]; class Retry when the directory is not there (it may have been taken over).
    fn create(&self, path: &FilePath) -> Result<Option<Box<dyn FileWriter>>>;

    /// Adds bytes at the end of an existing file, all or nothing with regard to other appenders.
    ///
    /// # Errors
    /// See [`Files`]; class Retry when others appended at the same time too often.
    fn append(&self, path: &FilePath, bytes: Bytes) -> Result<FileInfo>;

    /// Reads `length` bytes from `offset` on (none: to the end), by id where the store has ids.
    ///
    /// # Errors
    /// See [`Files`]; class Retry when the file is gone.
    fn read(&self, file: &FileInfo, offset: u64, length: Option<u64>) -> Result<Box<dyn FileReader>>;

    /// Moves a file or a whole directory, never over something else, in one step that everybody
    /// sees whole. The new place's directory exists. An answer that was lost is found out.
    ///
    /// # Errors
    /// See [`Files`].
    fn rename(&self, from: &FileInfo, to: &FilePath) -> Result<Moved>;

    /// Puts a file in the place of another, in one step; the other is gone.
    ///
    /// # Errors
    /// See [`Files`].
    fn replace(&self, from: &FileInfo, to: &FilePath) -> Result<Moved>;

    /// Deletes a file or an empty directory; false: it was gone.
    ///
    /// # Errors
    /// See [`Files`]; class Retry for a directory that is not empty.
    fn delete(&self, file: &FileInfo) -> Result<bool>;

    /// Deletes a directory with all in it, waiting for the end within a bound; false: it was gone.
    ///
    /// # Errors
    /// See [`Files`]; class Retry when it takes longer, and goes on.
    fn delete_tree(&self, directory: &FileInfo) -> Result<bool>;

    /// Free bytes of the store; none: it does not say.
    ///
    /// # Errors
    /// See [`Files`].
    fn free_bytes(&self) -> Result<Option<u64>>;

    /// Watches a directory for names that appear in it. The connection, its reconnects and the
    /// fall-back to looking at the directory now and then are the watch's.
    ///
    /// # Errors
    /// See [`Files`].
    fn watch(&self, directory: &FilePath) -> Result<Box<dyn Watch>>;

    /// Snapshots, where the store has them.
    fn snapshots(&self) -> Option<&dyn Snapshots>;
}

/// Writes one new file from its beginning. Memory is bounded whatever the file's size. Dropped
/// without [`FileWriter::finish`], the file stays as it is, for the spool's recovery to delete.
pub trait FileWriter: Send {
    /// Adds bytes; may return before they are written.
    ///
    /// # Errors
    /// See [`Files`]; after one the writer is over, and the file is to be begun anew.
    fn write(&mut self, bytes: Bytes) -> Result<()>;

    /// Returns when everything is durable; what the file is now.
    ///
    /// # Errors
    /// See [`Files`]; class Retry when the size is not what was written.
    fn finish(self: Box<Self>) -> Result<FileInfo>;
}

/// Reads one file in order.
pub trait FileReader: Send {
    /// The next bytes, at most some MiB; none at the end. A read that breaks off is taken up where
    /// it broke, as long as the file has not changed.
    ///
    /// # Errors
    /// See [`Files`]; class Retry when fewer bytes came than the file has, or it changed.
    fn next(&mut self) -> Result<Option<Bytes>>;
}

/// Watches one directory.
pub trait Watch: Send {
    /// Waits up to `wait` for something to appear.
    ///
    /// # Errors
    /// Class Config when the directory can never be watched; transient trouble is [`Seen::List`]
    /// after the watch works again, and [`Seen::Nothing`] until then.
    fn next(&mut self, wait: Duration) -> Result<Seen>;
}

/// Snapshots of a store.
pub trait Snapshots: Send + Sync {
    /// Makes one of a directory, which the store deletes by itself after `keep`.
    ///
    /// # Errors
    /// See [`Files`].
    fn create(&self, directory: &FilePath, name: &str, keep: Option<Duration>) -> Result<Snapshot>;

    /// All there are.
    ///
    /// # Errors
    /// See [`Files`].
    fn list(&self) -> Result<Vec<Snapshot>>;

    /// Deletes one; false: it was gone.
    ///
    /// # Errors
    /// See [`Files`].
    fn delete(&self, id: u64) -> Result<bool>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_never_leave_the_root() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(FilePath::new(text).ok().as_ref().map(FilePath::as_str), expected, "{text}");
        };
        check("", Some(""));
        check("/", Some(""));
        check("/a/b/", Some("a/b"));
        check("a b/é", Some("a b/é"));
        for bad in ["a//b", "..", "a/../b", "./a", "a/\u{0}", "a\nb", &"x".repeat(256)] {
            check(bad, None);
        }
        let path = FilePath::root().join("a").unwrap().join("b/c").unwrap();
        assert_eq!((path.name(), path.parent().as_str(), path.as_str()), ("c", "a/b", "a/b/c"));
        assert!(path.join("../x").is_err());
    }
}
