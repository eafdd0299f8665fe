//! Files of the one directory that is lent.

use super::super::bindings::source::connector::host::files::{self, Entry, FilesError, Kind};
use super::super::state::{LentFiles, State};
use crate::error::{Error, ErrorClass};
use crate::ports::files::{FileInfo, FileKind, FilePath, Moved};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Entries of one listing.
const MAX_ENTRIES: u32 = 10_000;
/// Bytes of one read or write.
const MAX_BYTES: usize = 16 << 20;
/// A file being written is called so, before its final name; the host makes the rest of the name.
const ASIDE: &str = ".host-writing-";

type Answer<T> = Result<T, FilesError>;

impl files::Host for State {
    fn list(&mut self, path: String, after: Option<String>, max: u32) -> wasmtime::Result<Answer<Vec<Entry>>> {
        self.host_call()?;
        Ok(self.lent_files(false).and_then(|lent| list(lent, &path, after, max)))
    }

    fn read(&mut self, path: String, offset: u64, max: u32) -> wasmtime::Result<Answer<Vec<u8>>> {
        self.host_call()?;
        Ok(self.lent_files(false).and_then(|lent| read(lent, &path, offset, max)))
    }

    fn write(&mut self, path: String, data: Vec<u8>) -> wasmtime::Result<Answer<()>> {
        self.host_call()?;
        Ok(self.lent_files(true).and_then(|lent| write(lent, &path, data)))
    }

    fn remove(&mut self, path: String) -> wasmtime::Result<Answer<bool>> {
        self.host_call()?;
        Ok(self.lent_files(true).and_then(|lent| remove(lent, &path)))
    }
}

impl State {
    fn lent_files(&self, to_write: bool) -> Answer<&LentFiles> {
        let denied = |text: &str| FilesError::Denied(text.to_owned());
        let lent = self.lent.files.as_ref();
        let lent = lent.ok_or_else(|| denied("capability `files` is not granted to this connector"))?;
        match to_write && !lent.can_write {
            true => Err(denied("the directory is lent for reading; `files.write = true` lends it for writing")),
            false => Ok(lent),
        }
    }
}

fn list(lent: &LentFiles, path: &str, after: Option<String>, max: u32) -> Answer<Vec<Entry>> {
    let directory = place(path)?;
    let most = max.min(MAX_ENTRIES) as usize;
    // The first names of all: a store lists in an order of its own.
    let mut first: BTreeMap<String, FileInfo> = BTreeMap::new();
    let found = lent.store.list(&directory, &mut |info| {
        let name = info.path.name();
        if !name.starts_with(ASIDE) && after.as_deref().is_none_or(|after| name > after) {
            first.insert(name.to_owned(), info);
            if first.len() > most {
                first.pop_last();
            }
        }
        Ok(())
    });
    if !found.map_err(explain)? {
        return Err(not_found(&directory));
    }
    let entry = |(name, info): (String, FileInfo)| {
        let (kind, size) = match info.kind {
            FileKind::File => (Kind::File, info.bytes),
            FileKind::Directory => (Kind::Directory, 0),
            FileKind::Other => (Kind::Other, 0),
        };
        Entry { name, kind, size, modified_ms: info.modified_ms }
    };
    Ok(first.into_iter().map(entry).collect())
}

fn read(lent: &LentFiles, path: &str, offset: u64, max: u32) -> Answer<Vec<u8>> {
    let path = place(path)?;
    let file = file_at(lent, &path)?.ok_or_else(|| not_found(&path))?;
    let most = (max as usize).min(MAX_BYTES);
    let mut data = Vec::new();
    if offset >= file.bytes || most == 0 {
        return Ok(data);
    }
    let mut reader = lent.store.read(&file, offset, Some(most as u64)).map_err(explain)?;
    while data.len() < most {
        let Some(piece) = reader.next().map_err(explain)? else { break };
        let room = most - data.len();
        data.extend_from_slice(piece.get(..room).unwrap_or(&piece));
    }
    Ok(data)
}

fn write(lent: &LentFiles, path: &str, data: Vec<u8>) -> Answer<()> {
    let path = place(path)?;
    if path.is_root() || path.name().starts_with(ASIDE) {
        return Err(FilesError::Invalid(format!("`{path}` cannot be a file's name here")));
    }
    if data.len() > MAX_BYTES {
        let found = data.len();
        return Err(FilesError::TooLarge(format!("{found} bytes for `{path}`, expected at most {MAX_BYTES}")));
    }
    // Whether something other than a file is there is known before anything is written.
    file_at(lent, &path)?;
    let put = || {
        if !path.parent().is_root() {
            lent.store.make_directories(&path.parent())?;
        }
        let aside = path.parent().join(&format!("{ASIDE}{}", std::process::id()))?;
        if let Some(left) = lent.store.stat(&aside)? {
            lent.store.delete(&left)?;
        }
        let writer = lent.store.create(&aside)?;
        let mut writer = writer.ok_or_else(|| Error::retry(format!("`{aside}` is being written by another")))?;
        writer.write(Bytes::from(data))?;
        let written = writer.finish()?;
        lent.store.replace(&written, &path)
    };
    match put().map_err(explain)? {
        Moved::Done(_) => Ok(()),
        Moved::Gone | Moved::Taken => {
            Err(FilesError::Other(format!("`{path}` was taken by another while it was written")))
        }
    }
}

fn remove(lent: &LentFiles, path: &str) -> Answer<bool> {
    match file_at(lent, &place(path)?)? {
        Some(file) => lent.store.delete(&file).map_err(explain),
        None => Ok(false),
    }
}

/// The file under a name, if anything is there.
fn file_at(lent: &LentFiles, path: &FilePath) -> Answer<Option<FileInfo>> {
    match lent.store.stat(path).map_err(explain)? {
        Some(found) if found.kind != FileKind::File => Err(FilesError::Invalid(format!("`{path}` is no file"))),
        found => Ok(found),
    }
}

fn place(path: &str) -> Answer<FilePath> {
    if path.starts_with('/') {
        return Err(FilesError::Invalid(
            "a path begins with `/`, expected one below the directory that is lent".to_owned(),
        ));
    }
    FilePath::new(path).map_err(|error| FilesError::Invalid(error.to_string()))
}

fn not_found(path: &FilePath) -> FilesError {
    FilesError::NotFound(format!("`{path}` is not there"))
}

fn explain(error: Error) -> FilesError {
    match error.class() {
        ErrorClass::Config | ErrorClass::Deny => FilesError::Denied(error.to_string()),
        _ => FilesError::Other(error.to_string()),
    }
}
