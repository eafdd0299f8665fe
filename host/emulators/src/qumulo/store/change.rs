//! Creates, renames, links and deletes. Each is one step under the lock: it looks, does it in the
//! folder, keeps it in the index and tells the watchers, so nobody sees half of it and events come
//! in the order of what happened.

use std::io;

use serde_json::Value;

use super::attributes::{Kind, Meta};
use super::find::{Found, can_exist, look};
use super::index::Index;
use super::{Ref, Store};
use crate::qumulo::answer::{Class, Refusal};
use crate::qumulo::watchers::Event;

/// The longest name, in characters, `qumulo-api.md` section 16.
const MAX_NAME_CHARS: usize = 255;

/// What is to be made in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum New {
    File,
    Directory,
    /// With the text it leads to, which is kept as it is.
    Symlink(String),
    /// Another name of the file at this path.
    Link(Ref),
    /// The object at this path, moved; in the place of what is there when `clobber` is set.
    Rename {
        old: Ref,
        clobber: bool,
    },
}

/// An object's attributes and its tag.
pub(in super::super) type Tagged = (Value, String);

impl Store {
    /// Makes something in the directory `parent` under `name`.
    ///
    /// # Errors
    /// Classes `NoSuchEntry`, `NotADirectory`, `InvalidName`, `NameSize`, `Exists`, `Cycle`,
    /// `ReadOnly`, `NoSpace` and what the system says.
    pub(in super::super) fn make(&self, parent: &Ref, name: &str, new: &New) -> Result<Tagged, Refusal> {
        let index = &*self.index();
        self.check_writable()?;
        let dir = self.find_dir(index, parent)?;
        check_name(&dir, name)?;
        if let New::Rename { old, clobber } = new {
            let source = self.find(index, old)?;
            return self.rename(index, &source, &dir, name, *clobber);
        }
        if self.child(index, &dir, name)?.is_some() {
            return Err(exists(&dir, name));
        }
        self.check_space()?;
        let path = dir.path_of(name);
        let source = match new {
            New::File => {
                let mut options = cap_std::fs::OpenOptions::new();
                self.dir.open_with(&path, options.write(true).create_new(true))?;
                None
            }
            New::Directory => {
                self.dir.create_dir(&path)?;
                None
            }
            New::Symlink(target) => {
                self.dir.symlink_contents(target, &path)?;
                None
            }
            New::Link(old) => {
                let source = self.find(index, old)?;
                if source.is_dir() {
                    return Err(Refusal::new(Class::NotAFile, "a directory has one name only"));
                }
                self.dir.hard_link(&source.path, &self.dir, &path)?;
                Some(source)
            }
            New::Rename { .. } => None,
        };
        if let Some(source) = source {
            index.link(dir.id(), name, source.id())?;
            index.bump(source.id())?;
        }
        self.sync_dir(&dir)?;
        let found = self.child(index, &dir, name)?.ok_or_else(|| Refusal::no_entry(format!("path `/{path}`")))?;
        let kind = if found.is_dir() { "child_dir_added" } else { "child_file_added" };
        self.watchers.emit(&[Event::of(kind, &found)]);
        Ok((self.describe(index, &found)?, found.etag()))
    }

    /// Deletes a file, a link or an empty directory.
    ///
    /// # Errors
    /// Classes `NoSuchEntry`, `NotEmpty`, `AccessDenied` for the root, `ReadOnly`.
    pub(in super::super) fn remove(&self, what: &Ref) -> Result<(), Refusal> {
        let index = self.index();
        self.check_writable()?;
        let found = self.find(&index, what)?;
        self.remove_in_step(&index, &found)
    }

    /// Deletes one name of an object.
    ///
    /// # Errors
    /// As [`Store::remove`].
    pub(in super::super) fn remove_entry(&self, parent: &Ref, name: &str) -> Result<(), Refusal> {
        let index = self.index();
        self.check_writable()?;
        let dir = self.find_dir(&index, parent)?;
        let found = self.child(&index, &dir, name)?;
        let found = found.ok_or_else(|| Refusal::no_entry(format!("path `/{}`", dir.path_of(name))))?;
        self.remove_in_step(&index, &found)
    }

    fn remove_in_step(&self, index: &Index, found: &Found) -> Result<(), Refusal> {
        let transaction = index.transaction()?;
        self.remove_found(index, found)?;
        Ok(transaction.commit()?)
    }

    fn remove_found(&self, index: &Index, found: &Found) -> Result<(), Refusal> {
        let Some(parent) = found.parent() else {
            return Err(Refusal::new(Class::AccessDenied, "the root stays"));
        };
        match found.is_dir() {
            true => self.dir.remove_dir(&found.path)?,
            false => self.dir.remove_file(&found.path)?,
        }
        index.forget(parent, found.name())?;
        index.scanned.borrow_mut().remove(&found.id());
        self.freed(&found.meta);
        let above = found.path.rsplit_once('/').map_or("", |(above, _)| above);
        self.sync_path(above)?;
        self.tell_removed(found);
        Ok(())
    }

    fn rename(&self, index: &Index, source: &Found, dir: &Found, name: &str, clobber: bool) -> Result<Tagged, Refusal> {
        let Some(from) = source.parent() else {
            return Err(Refusal::new(Class::AccessDenied, "the root stays"));
        };
        if source.is_dir() && dir.spine.contains(&source.id()) {
            return Err(Refusal::new(Class::Cycle, format!("`/{}` would be below itself", source.path)));
        }
        let replaced = self.child(index, dir, name)?;
        if let Some(replaced) = &replaced {
            if !clobber {
                return Err(exists(dir, name));
            }
            if replaced.path == source.path {
                return Ok((self.describe(index, source)?, source.etag()));
            }
            if replaced.id() == source.id() {
                // The system would do nothing and leave both names.
                return Err(Refusal::new(Class::SameInode, "both names are of one file"));
            }
        }
        self.dir.rename(&source.path, &self.dir, dir.path_of(name))?;
        let transaction = index.transaction()?;
        if replaced.is_some() {
            index.forget(dir.id(), name)?;
        }
        index.unlink(from, source.name())?;
        index.link(dir.id(), name, source.id())?;
        index.bump(source.id())?;
        transaction.commit()?;
        let above = source.path.rsplit_once('/').map_or("", |(above, _)| above);
        self.sync_path(above)?;
        self.sync_dir(dir)?;
        let path = dir.path_of(name);
        let found = self.child(index, dir, name)?.ok_or_else(|| Refusal::no_entry(format!("path `/{path}`")))?;
        if let Some(replaced) = &replaced {
            index.scanned.borrow_mut().remove(&replaced.id());
            self.freed(&replaced.meta);
            self.tell_removed(replaced);
        }
        let (left, came) = match found.is_dir() {
            true => ("child_dir_moved_from", "child_dir_moved_to"),
            false => ("child_file_moved_from", "child_file_moved_to"),
        };
        self.watchers.emit(&[Event::of(left, source), Event::of(came, &found)]);
        Ok((self.describe(index, &found)?, found.etag()))
    }

    fn tell_removed(&self, found: &Found) {
        let kind = if found.is_dir() { "child_dir_removed" } else { "child_file_removed" };
        self.watchers.emit(&[Event::of(kind, found)]);
        if found.is_dir() {
            self.watchers.removed(found);
        }
    }

    fn freed(&self, meta: &Meta) {
        if meta.kind == Kind::File && meta.num_links <= 1 {
            self.release(meta.size);
        }
    }

    /// Deletes up to `most` objects of the tree at `what`, deepest first, in one step. Returns how
    /// many files and directories went, and whether the tree is gone.
    ///
    /// # Errors
    /// As [`Store::remove`].
    pub(in super::super) fn remove_some(&self, what: &Ref, most: usize) -> Result<(u64, u64, bool), Refusal> {
        let index = self.index();
        self.check_writable()?;
        let (mut files, mut dirs) = (0, 0);
        let top = match self.find(&index, what) {
            Ok(top) => top,
            Err(refusal) if refusal.class == Class::NoSuchEntry => return Ok((0, 0, true)),
            Err(refusal) => return Err(refusal),
        };
        // Broken off by an error, the rows that stay are of objects that are gone, and go when
        // somebody looks.
        let transaction = index.transaction()?;
        let mut stack = vec![top];
        let mut left = most;
        while let Some(dir) = stack.last().cloned() {
            let mut is_empty = true;
            // Only this store takes entries away while it holds the lock, so reading on is safe.
            for entry in self.open_dir(&dir.path)?.entries()? {
                if left == 0 {
                    transaction.commit()?;
                    return Ok((files, dirs, false));
                }
                let name = entry?.file_name();
                let Some(name) = name.to_str() else {
                    return Err(io::Error::from(io::ErrorKind::DirectoryNotEmpty).into());
                };
                let Some(child) = self.child(&index, &dir, name)? else { continue };
                if child.is_dir() {
                    stack.push(child);
                    is_empty = false;
                    break;
                }
                self.remove_found(&index, &child)?;
                files += 1;
                left -= 1;
            }
            if is_empty {
                self.remove_found(&index, &dir)?;
                dirs += 1;
                left = left.saturating_sub(1);
                stack.pop();
            }
        }
        transaction.commit()?;
        Ok((files, dirs, true))
    }

    /// Makes what happened in a directory durable, where that was asked for.
    fn sync_dir(&self, dir: &Found) -> io::Result<()> {
        self.sync_path(&dir.path)
    }

    fn sync_path(&self, path: &str) -> io::Result<()> {
        if self.durable { self.open_dir_file(path)?.sync_all() } else { Ok(()) }
    }

    /// Whether an object is there, for those that only need to know.
    pub(in super::super) fn locate(&self, what: &Ref) -> Result<Found, Refusal> {
        self.find(&self.index(), what)
    }

    /// The attributes of an object and its tag, now or in a snapshot.
    ///
    /// # Errors
    /// Class `NoSuchEntry`.
    pub(in super::super) fn attributes(&self, what: &Ref, snapshot: Option<i64>) -> Result<Tagged, Refusal> {
        let index = self.index();
        if let Some(snapshot) = snapshot {
            let kept = self.find_in_snapshot(&index, snapshot, what)?;
            return Ok((kept.attributes, kept.etag));
        }
        let found = self.find(&index, what)?;
        Ok((self.describe(&index, &found)?, found.etag()))
    }
}

fn exists(dir: &Found, name: &str) -> Refusal {
    Refusal::new(Class::Exists, format!("`/{}` exists", dir.path_of(name)))
}

/// # Errors
/// Classes `InvalidName` and `NameSize`.
fn check_name(dir: &Found, name: &str) -> Result<(), Refusal> {
    if name.chars().count() > MAX_NAME_CHARS {
        return Err(Refusal::new(Class::NameSize, format!("expected at most {MAX_NAME_CHARS} characters in a name")));
    }
    match can_exist(dir.id(), name) {
        true => Ok(()),
        false => Err(Refusal::new(Class::InvalidName, "expected one name, not empty, `.` or `..`")),
    }
}

impl Store {
    /// Whether an object can be looked at under this path; for walks without the lock.
    pub(super) fn peek(&self, path: &str) -> Result<Option<Meta>, Refusal> {
        look(&self.dir, path)
    }
}
