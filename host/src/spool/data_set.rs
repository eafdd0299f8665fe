//! The data set at the end of a spool, for those who read it: files that appear whole and never change.

use super::contents::{self, Content};
use super::layout::CheckedLayout;
use super::names;
use crate::connector::{Identity, Layout, Settings};
use crate::crypto::KeyRing;
use crate::error::Result;
use crate::ports::files::{FileInfo, Files};
use std::sync::Arc;

/// A file of a data set.
#[derive(Debug, Clone)]
pub struct DataFile {
    /// Its name, with dated directories.
    pub name: String,
    /// What it holds.
    pub identity: Identity,
    /// Where it is.
    pub info: FileInfo,
}

/// A data set that is read, by any number of readers at a time.
#[derive(Clone)]
pub struct DataSet {
    files: Arc<dyn Files>,
    ring: Arc<KeyRing>,
}

impl DataSet {
    /// For files that `ring` opens.
    pub fn new(files: Arc<dyn Files>, ring: Arc<KeyRing>) -> Self {
        DataSet { files, ring }
    }

    /// Opens a file and gives what is in it.
    ///
    /// # Errors
    /// Class Reject: it is not what its name says, and where; what was given before is authentic. Class
    /// Config: no key for it. Class Retry: it is gone, or the store is out of reach. What `give` gives.
    pub fn open(&self, file: &DataFile, give: &mut dyn FnMut(Content<'_>) -> Result<()>) -> Result<()> {
        contents::open(self.files.as_ref(), &file.info, &file.identity, &self.ring, give)
    }

    /// What and where it is, for people.
    pub fn describe(&self) -> String {
        self.files.describe()
    }
}

/// Lists a data set.
pub struct DataList {
    files: Arc<dyn Files>,
    layout: CheckedLayout,
}

/// What is in a data set now.
#[derive(Debug, Default)]
pub struct DataListing {
    /// Its files, by name.
    pub files: Vec<DataFile>,
    /// Names that are no name of the layout.
    pub strangers: Vec<String>,
}

impl DataList {
    /// Opens the layout; touches no file yet.
    ///
    /// # Errors
    /// What the layout gives.
    pub fn open(set: &DataSet, layout: Box<dyn Layout>, connector: &str, settings: &Settings) -> Result<Self> {
        Ok(DataList { files: Arc::clone(&set.files), layout: CheckedLayout::open(layout, connector, settings)? })
    }

    /// Everything that is published now.
    ///
    /// # Errors
    /// What files and layout give.
    pub fn list(&mut self) -> Result<DataListing> {
        let mut found = Vec::new();
        names::target(self.files.as_ref(), &self.layout, &mut |name, info| {
            found.push((name.to_owned(), info));
            Ok(())
        })?;
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        let all: Vec<String> = found.iter().map(|(name, _)| name.clone()).collect();
        let mut listing = DataListing::default();
        for ((name, info), identity) in found.into_iter().zip(self.layout.parse(&all)?) {
            match identity {
                Some(identity) => listing.files.push(DataFile { name, identity, info }),
                None => listing.strangers.push(name),
            }
        }
        Ok(listing)
    }
}
