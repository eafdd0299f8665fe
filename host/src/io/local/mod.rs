//! A folder of this machine as a store of files, with the same promises as a cluster.
//!
//! Invariants:
//! - nothing outside of the folder is reached, and no link is followed: names are opened one by one
//!   from the folder on, and a link is [`FileKind::Other`](crate::ports::files::FileKind::Other);
//! - a rename that must not replace anything is one call to the kernel that fails if the name is
//!   taken (`renameat2`); a file system that has none is refused with an error that says so;
//! - whoever renames a directory ends everything below its old name: see `fence`;
//! - what is finished, appended, created or renamed is on the disk.
//!
//! An id is device, inode and time of birth: the same after a rename, and not another file's.

mod fence;
mod place;
mod read;
mod watch;
mod write;

#[cfg(test)]
mod tests;

use crate::error::{Error, Result};
use crate::ports::files::{FileInfo, FileKind, FilePath, FileReader, FileWriter, Files, Moved, Snapshots, Watch};
use bytes::Bytes;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use fence::Fence;
use place::{explain, id, info, metadata_in, open_directory};
use rustix::fs::RenameFlags;
use rustix::io::Errno;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Times that a directory's deletion begins again because others put something into it.
const MAX_DELETIONS: u32 = 8;

/// A folder.
pub struct LocalFiles {
    root: Arc<Dir>,
    shown: PathBuf,
}

impl LocalFiles {
    /// Opens a folder; with `create` it is made, with what is missing above it.
    ///
    /// # Errors
    /// Class Config: the folder is not there, is none, or may not be used.
    pub fn open(folder: &Path, create: bool) -> Result<Self> {
        let attempt = format!("folder `{}`", folder.display());
        let failed = |error: io::Error| Error::config(format!("{attempt}: {error}"));
        if create {
            Dir::create_ambient_dir_all(folder, ambient_authority()).map_err(failed)?;
        }
        let root = Dir::open_ambient_dir(folder, ambient_authority()).map_err(failed)?;
        Ok(LocalFiles { root: Arc::new(root), shown: folder.to_owned() })
    }

    /// The directory that a name is in.
    fn parent(&self, path: &FilePath) -> io::Result<Option<Dir>> {
        open_directory(&self.root, &path.parent())
    }

    fn moved(&self, from: &FileInfo, to: &FilePath, over: bool) -> Result<Moved> {
        let attempt = format!("renaming `{}` to `{to}`", from.path);
        let failed = |error: io::Error| explain(error, &attempt);
        if from.path.is_root() || to.is_root() {
            return Err(Error::bug(format!("{attempt}: the root cannot be moved or replaced")));
        }
        let fence = match from.kind {
            FileKind::Directory => Fence::alone(&self.root)?,
            _ => Fence::shared(&self.root)?,
        };
        let Some(old) = self.parent(&from.path).map_err(failed)? else { return Ok(Moved::Gone) };
        let Some(before) = metadata_in(&old, from.path.name()).map_err(failed)? else { return Ok(Moved::Gone) };
        if before.is_dir() && from.kind != FileKind::Directory {
            return Err(Error::retry(format!("{attempt}: a directory is there now")));
        }
        let Some(new) = self.parent(to).map_err(failed)? else {
            return Err(Error::retry(format!("{attempt}: directory `{}` is not there", to.parent())));
        };
        let flags = if over { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
        match rustix::fs::renameat_with(&old, from.path.name(), &new, to.name(), flags) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(Moved::Gone),
            Err(Errno::EXIST) if !over => return Ok(Moved::Taken),
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) if !over && !is_below(to, &from.path) => {
                return Err(Error::config(format!("{attempt}: the file system cannot rename without replacing"))
                    .with_hint("use a folder on a file system that can, such as ext4, XFS or Btrfs"));
            }
            Err(error) => return Err(failed(error.into())),
        }
        drop(fence);
        write::sync_directory(&new, &attempt)?;
        if from.path.parent() != to.parent() {
            write::sync_directory(&old, &attempt)?;
        }
        // Others may have moved it on by now; then it was here all the same.
        let now = metadata_in(&new, to.name()).map_err(failed)?.filter(|now| id(now) == id(&before));
        Ok(Moved::Done(info(to, &now.unwrap_or(before))))
    }
}

fn is_below(path: &FilePath, above: &FilePath) -> bool {
    path.as_str().strip_prefix(above.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Files for LocalFiles {
    fn describe(&self) -> String {
        format!("folder `{}`", self.shown.display())
    }

    fn stat(&self, path: &FilePath) -> Result<Option<FileInfo>> {
        let found =
            place::metadata(&self.root, path).map_err(|error| explain(error, format!("looking at `{path}`")))?;
        Ok(found.map(|found| info(path, &found)))
    }

    fn list(&self, directory: &FilePath, each: &mut dyn FnMut(FileInfo) -> Result<()>) -> Result<bool> {
        let failed = |error: io::Error| explain(error, format!("listing `{directory}`"));
        let Some(open) = open_directory(&self.root, directory).map_err(failed)? else { return Ok(false) };
        for entry in open.entries().map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let path = name.to_str().and_then(|name| directory.join(name).ok());
            let Some(path) = path.filter(|path| path.parent() == *directory) else {
                let (directory, name) = (directory.to_string(), name.to_string_lossy().escape_debug().to_string());
                tracing::warn!(directory, name, "a name that cannot be used is left out of a listing");
                continue;
            };
            // Gone since: names that go meanwhile may be left out.
            if let Some(found) = metadata_in(&open, path.name()).map_err(failed)? {
                each(info(&path, &found))?;
            }
        }
        Ok(true)
    }

    fn make_directories(&self, directory: &FilePath) -> Result<FileInfo> {
        let attempt = format!("making directory `{directory}`");
        let failed = |error: io::Error| explain(error, &attempt);
        let fence = Fence::shared(&self.root)?;
        let mut above = self.root.try_clone().map_err(failed)?;
        let mut place = FilePath::root();
        let mut changed = Vec::new();
        for name in directory.names() {
            place = place.join(name)?;
            match above.create_dir(name) {
                Ok(()) => changed.push(above.try_clone().map_err(failed)?),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(error)),
            }
            let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY;
            above = match place::open_at(&above, name, flags, rustix::fs::Mode::empty()) {
                Ok(made) => Dir::from_std_file(made.into()),
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    return Err(Error::config(format!("{attempt}: `{place}` is no directory"))
                        .with_hint("a file is in the way: move it"));
                }
                Err(error) => return Err(failed(error.into())),
            };
        }
        drop(fence);
        for above in &changed {
            write::sync_directory(above, &attempt)?;
        }
        Ok(info(directory, &above.dir_metadata().map_err(failed)?))
    }

    fn create(&self, path: &FilePath) -> Result<Option<Box<dyn FileWriter>>> {
        Ok(write::create(&self.root, path)?.map(|writer| Box::new(writer) as Box<dyn FileWriter>))
    }

    fn append(&self, path: &FilePath, bytes: Bytes) -> Result<FileInfo> {
        write::append(&self.root, path, &bytes)
    }

    fn read(&self, file: &FileInfo, offset: u64, length: Option<u64>) -> Result<Box<dyn FileReader>> {
        Ok(Box::new(read::open(&self.root, file, offset, length)?))
    }

    fn rename(&self, from: &FileInfo, to: &FilePath) -> Result<Moved> {
        self.moved(from, to, false)
    }

    fn replace(&self, from: &FileInfo, to: &FilePath) -> Result<Moved> {
        self.moved(from, to, true)
    }

    fn delete(&self, file: &FileInfo) -> Result<bool> {
        let attempt = format!("deleting `{}`", file.path);
        let failed = |error: io::Error| explain(error, &attempt);
        let fence = Fence::shared(&self.root)?;
        let Some(parent) = self.parent(&file.path).map_err(failed)? else { return Ok(false) };
        let name = file.path.name();
        match metadata_in(&parent, name).map_err(failed)? {
            Some(found) if id(&found) == file.id => {}
            _ => return Ok(false),
        }
        let deleted = match file.kind {
            FileKind::Directory => parent.remove_dir(name),
            _ => parent.remove_file(name),
        };
        drop(fence);
        match deleted {
            Ok(()) => write::sync_directory(&parent, &attempt).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    fn delete_tree(&self, directory: &FileInfo) -> Result<bool> {
        let attempt = format!("deleting directory `{}`", directory.path);
        let failed = |error: io::Error| explain(error, &attempt);
        if directory.kind != FileKind::Directory || directory.path.is_root() {
            return Err(Error::bug(format!("{attempt}: expected a directory below the root")));
        }
        let fence = Fence::shared(&self.root)?;
        let Some(parent) = self.parent(&directory.path).map_err(failed)? else { return Ok(false) };
        let name = directory.path.name();
        match metadata_in(&parent, name).map_err(failed)? {
            Some(found) if id(&found) == directory.id => {}
            _ => return Ok(false),
        }
        // It was where it was expected; the deletion itself takes as long as it takes.
        drop(fence);
        let mut tries = 0;
        loop {
            tries += 1;
            match parent.remove_dir_all(name) {
                Ok(()) => break,
                // Another deletes it too, or puts something into it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if metadata_in(&parent, name).map_err(failed)?.is_none() {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && tries < MAX_DELETIONS => {}
                Err(error) => return Err(failed(error)),
            }
        }
        write::sync_directory(&parent, &attempt).map(|()| true)
    }

    fn free_bytes(&self) -> Result<Option<u64>> {
        let found = rustix::fs::fstatvfs(&self.root).map_err(|error| explain(error.into(), "asking for free space"))?;
        Ok(Some(found.f_bavail.saturating_mul(found.f_frsize)))
    }

    fn watch(&self, directory: &FilePath) -> Result<Box<dyn Watch>> {
        Ok(Box::new(watch::LocalWatch::new(Arc::clone(&self.root), directory.clone())))
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        None
    }
}
