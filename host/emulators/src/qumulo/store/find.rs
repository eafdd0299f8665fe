//! From references to objects. What stands in the folder is right: an entry whose object is gone or
//! was replaced is dropped, and an object without an entry gets one on first sight.
//!
//! Links are objects, never followed: a path through one names nothing.

use std::io;

use cap_std::fs::Dir;

use super::attributes::Meta;
use super::index::{Index, Node, Row};
use super::{HIDDEN, Id, ROOT, Ref, Store};
use crate::qumulo::answer::{Class, Refusal};

/// How many directories deep the way to an object may be; more is a cycle that somebody made.
const MAX_DEPTH: usize = 4096;
/// A directory that changed so shortly before it was looked at may have changed again within the
/// same tick of the file system's clock.
const TICK_NS: i64 = 100_000_000;

/// How far behind the number of a directory's entries may be.
const COUNT_AGAIN_NS: i64 = 1_000_000_000;

/// An object that is there.
#[derive(Debug, Clone)]
pub(in super::super) struct Found {
    /// The ids from the root to the object.
    pub(in super::super) spine: Vec<Id>,
    /// Its names from the root, joined; empty for the root.
    pub(in super::super) path: String,
    pub(super) meta: Meta,
    pub(super) node: Node,
}

impl Found {
    pub(in super::super) fn id(&self) -> Id {
        self.node.id
    }

    pub(in super::super) fn name(&self) -> &str {
        self.path.rsplit_once('/').map_or(self.path.as_str(), |(_, name)| name)
    }

    pub(in super::super) fn is_dir(&self) -> bool {
        self.meta.is_dir()
    }

    /// The directory it is in; `None` for the root.
    pub(super) fn parent(&self) -> Option<Id> {
        self.spine.iter().rev().nth(1).copied()
    }

    /// The path of an entry of this directory.
    pub(super) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}/{name}", self.path) }
    }

    /// # Errors
    /// Class `NotADirectory`.
    pub(super) fn directory(self) -> Result<Self, Refusal> {
        match self.is_dir() {
            true => Ok(self),
            false => Err(Refusal::new(Class::NotADirectory, format!("`/{}` is not a directory", self.path))),
        }
    }

    /// An entry of this directory.
    pub(super) fn below(&self, name: &str, meta: Meta, node: Node) -> Self {
        let mut spine = self.spine.clone();
        spine.push(node.id);
        Self { spine, path: self.path_of(name), meta, node }
    }
}

impl Store {
    /// The object that a reference names.
    ///
    /// # Errors
    /// Class `NoSuchEntry`, for whatever part is missing.
    pub(super) fn find(&self, index: &Index, what: &Ref) -> Result<Found, Refusal> {
        let missing = || Refusal::no_entry(what);
        let names = match what {
            Ref::Id(ROOT) => return self.root(index),
            Ref::Path(names) => names.clone(),
            Ref::Id(id) => return self.find_id(index, *id)?.ok_or_else(missing),
        };
        let mut found = self.root(index)?;
        for name in names {
            found = self.child(index, &found, &name)?.ok_or_else(missing)?;
        }
        Ok(found)
    }

    /// The directory that a reference names.
    ///
    /// # Errors
    /// Classes `NoSuchEntry` and `NotADirectory`.
    pub(super) fn find_dir(&self, index: &Index, what: &Ref) -> Result<Found, Refusal> {
        self.find(index, what)?.directory()
    }

    /// The entry of a directory with this name, if there is one.
    pub(super) fn child(&self, index: &Index, dir: &Found, name: &str) -> Result<Option<Found>, Refusal> {
        if !dir.is_dir() || !can_exist(dir.id(), name) {
            return Ok(None);
        }
        let Some(meta) = look(&self.dir, &dir.path_of(name))? else {
            index.forget(dir.id(), name)?;
            return Ok(None);
        };
        let row = self.known(index, dir.id(), name, &meta, index.row(dir.id(), name)?)?;
        Ok(Some(dir.below(name, meta, row.node)))
    }

    /// The entry for an object that is there under this name, when `row` is what the index had.
    pub(super) fn known(
        &self,
        index: &Index,
        parent: Id,
        name: &str,
        meta: &Meta,
        row: Option<Row>,
    ) -> Result<Row, Refusal> {
        match row {
            Some(row) if row.node.is(meta) => return Ok(row),
            Some(_) => index.forget(parent, name)?,
            None => {}
        }
        Ok(index.adopt(parent, name, meta)?)
    }

    /// Takes up all names of a directory, and drops those that are gone. Costs nothing when the
    /// directory has not changed since it was last done.
    pub(super) fn scan(&self, index: &Index, dir: &Found) -> Result<(), Refusal> {
        let (id, changed) = (dir.id(), dir.meta.modified);
        if let Some((then, looked)) = index.scanned.borrow().get(&id)
            && *then == changed
            && looked - then > TICK_NS
        {
            return Ok(());
        }
        let looked = crate::clock::now_ms().saturating_mul(1_000_000);
        let handle = self.open_dir(&dir.path)?;
        let mut gone = index.names(id)?;
        let transaction = index.transaction()?;
        for entry in handle.entries()? {
            let name = entry?.file_name();
            // A name that is not UTF-8 cannot be told in JSON, so it is left out.
            let Some(name) = name.to_str().filter(|name| can_exist(id, name)) else { continue };
            if gone.remove(name) {
                continue;
            }
            if let Some(meta) = look(&handle, name)? {
                index.adopt(id, name, &meta)?;
            }
        }
        for name in gone {
            index.forget(id, &name)?;
        }
        transaction.commit()?;
        index.scanned.borrow_mut().insert(id, (changed, looked));
        Ok(())
    }

    /// A directory as a file, for what needs one: the handles of [`Store::open_dir`] are for names
    /// only.
    pub(super) fn open_dir_file(&self, path: &str) -> io::Result<std::fs::File> {
        Ok(self.open_dir(path)?.open(".")?.into_std())
    }

    pub(super) fn open_dir(&self, path: &str) -> io::Result<Dir> {
        if path.is_empty() { self.dir.try_clone() } else { self.dir.open_dir(path) }
    }

    /// The attributes of an object and its tag, with the number of a directory's entries.
    pub(super) fn describe(&self, index: &Index, found: &Found) -> Result<serde_json::Value, Refusal> {
        if !found.is_dir() {
            return Ok(found.attributes(0));
        }
        let now = crate::clock::now_ms().saturating_mul(1_000_000);
        let looked = index.scanned.borrow().get(&found.id()).map(|(_, looked)| *looked);
        // The number of entries alone is not worth reading a large directory at every request: of
        // what others do it may be behind, of what clients do it never is.
        if looked.is_none_or(|looked| now - looked > COUNT_AGAIN_NS) {
            self.scan(index, found)?;
        }
        Ok(found.attributes(index.count(found.id())?))
    }

    fn root(&self, index: &Index) -> Result<Found, Refusal> {
        let meta = Meta::new(&self.dir.dir_metadata()?);
        Ok(Found { spine: vec![ROOT], path: String::new(), meta, node: index.root()? })
    }

    fn find_id(&self, index: &Index, id: Id) -> Result<Option<Found>, Refusal> {
        for (parent, name) in index.places(id)? {
            let mut names = vec![name];
            let mut at = parent;
            while at != ROOT && names.len() < MAX_DEPTH {
                let Some((parent, name)) = index.places(at)?.into_iter().next() else { break };
                names.push(name);
                at = parent;
            }
            if at != ROOT {
                continue;
            }
            names.reverse();
            // Looking at every part notices what others have renamed or replaced.
            match self.find(index, &Ref::Path(names)) {
                Ok(found) if found.id() == id => return Ok(Some(found)),
                Ok(_) => {}
                Err(refusal) if refusal.class == Class::NoSuchEntry => {}
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(None)
    }
}

/// What is under a path, links not followed; `None` for nothing.
pub(super) fn look(dir: &Dir, path: &str) -> Result<Option<Meta>, Refusal> {
    match dir.symlink_metadata(path) {
        Ok(metadata) => Ok(Some(Meta::new(&metadata))),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        // Too long to be there.
        Err(error) if error.kind() == io::ErrorKind::InvalidFilename => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether an entry may have this name: one part of a path, and not the bookkeeping.
pub(super) fn can_exist(parent: Id, name: &str) -> bool {
    let is_hidden = parent == ROOT && name == HIDDEN;
    !is_hidden && !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0'])
}
