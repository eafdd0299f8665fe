//! Reads and writes data, a piece at a time: nothing here holds a whole file.
//!
//! A conditional write wins or loses when it begins: the tag is compared and changed in one step
//! under the lock, so of two writers with one tag exactly one goes on. A write that breaks off leaves
//! what had come, as a broken connection to a cluster may.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use cap_std::fs::OpenOptions;

use super::attributes::{Kind, etag_matches};
use super::change::Tagged;
use super::find::Found;
use super::{Id, Ref, Store};
use crate::lock;
use crate::qumulo::answer::{Class, Refusal};
use crate::qumulo::watchers::Event;

/// How much of a source is held at a time while it is copied.
const PIECE_BYTES: usize = 1024 * 1024;

/// What a write does to what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum How {
    /// Takes its place.
    Replace,
    /// Goes over it from this byte on.
    At(u64),
}

/// A write that has begun. Dropped before [`Writer::finish`], it has broken off.
pub(in super::super) struct Writer {
    store: Arc<Store>,
    id: Id,
    file: File,
    at: u64,
}

/// Data to read: a range of a file, in pieces.
pub(in super::super) struct Reader {
    source: Source,
    at: u64,
    end: u64,
    /// The tag of the whole file.
    pub(in super::super) etag: String,
}

enum Source {
    File(File),
    /// Where a link leads.
    Text(Vec<u8>),
}

impl Store {
    /// Begins to write to a file that is there, if its tag is the one expected.
    ///
    /// # Errors
    /// Classes `NoSuchEntry`, `NotAFile`, `Revision`, `InvalidOffset`, `NoSpace`, `ReadOnly`.
    pub(in super::super) fn write(
        self: &Arc<Self>,
        what: &Ref,
        if_match: Option<&str>,
        how: How,
    ) -> Result<Writer, Refusal> {
        let index = self.index();
        self.check_writable()?;
        let found = self.find(&index, what)?;
        let file = self.open_to_write(&found)?;
        self.check_tag(&found, if_match)?;
        let at = match how {
            How::At(at) if i64::try_from(at).is_err() => {
                return Err(Refusal::new(Class::InvalidOffset, format!("`{at}` is no offset in a file")));
            }
            How::At(at) => at,
            How::Replace => {
                file.set_len(0)?;
                self.release(found.meta.size);
                0
            }
        };
        index.bump(found.id())?;
        *lock(&self.writing).entry(found.id()).or_default() += 1;
        Ok(Writer { store: self.clone(), id: found.id(), file, at })
    }

    /// Opens data to read, now or in a snapshot. `length` is what is wanted, and less comes where
    /// the file ends before.
    ///
    /// # Errors
    /// Classes `NoSuchEntry` and `NotAFile`.
    pub(in super::super) fn read(
        &self,
        what: &Ref,
        snapshot: Option<i64>,
        offset: u64,
        length: Option<u64>,
    ) -> Result<Reader, Refusal> {
        let index = self.index();
        let (source, etag) = match snapshot {
            Some(snapshot) => self.read_snapshot(&index, snapshot, what)?,
            None => {
                let found = self.find(&index, what)?;
                let source = match found.meta.kind {
                    Kind::File => Source::File(self.dir.open(&found.path)?.into_std()),
                    Kind::Symlink => {
                        let target = self.dir.read_link_contents(&found.path)?;
                        Source::Text(target.into_os_string().into_encoded_bytes())
                    }
                    _ => return Err(not_a_file(&found.path)),
                };
                (source, found.etag())
            }
        };
        let size = match &source {
            Source::File(file) => file.metadata()?.len(),
            Source::Text(text) => text.len() as u64,
        };
        let end = length.map_or(size, |length| offset.saturating_add(length).min(size));
        Ok(Reader { source, at: offset.min(end), end, etag })
    }

    pub(super) fn open_to_write(&self, found: &Found) -> Result<File, Refusal> {
        if found.meta.kind != Kind::File {
            return Err(not_a_file(&found.path));
        }
        let mut options = OpenOptions::new();
        Ok(self.dir.open_with(&found.path, options.write(true))?.into_std())
    }

    fn read_snapshot(
        &self,
        index: &super::index::Index,
        snapshot: i64,
        what: &Ref,
    ) -> Result<(Source, String), Refusal> {
        let kept = self.find_in_snapshot(index, snapshot, what)?;
        match kept.attributes.get("type").and_then(serde_json::Value::as_str) {
            Some(kind) if kind == Kind::File.name() || kind == Kind::Symlink.name() => {}
            _ => return Err(not_a_file(&kept.path)),
        }
        Ok((Source::File(self.open_kept(snapshot, kept.id)?), kept.etag))
    }
}

fn not_a_file(path: &str) -> Refusal {
    Refusal::new(Class::NotAFile, format!("`/{path}` is not a file"))
}

impl Writer {
    /// Writes the next bytes.
    ///
    /// # Errors
    /// Classes `NoSpace`, `FileSize` and what the system says. What was written before stays.
    pub(in super::super) fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let end = self.at.saturating_add(bytes.len() as u64);
        if i64::try_from(end).is_err() {
            return Err(Refusal::new(Class::FileSize, "the file would be longer than a file can be"));
        }
        self.store.reserve(end.saturating_sub(self.file.metadata()?.len()))?;
        self.file.write_all_at(bytes, self.at)?;
        self.at = end;
        Ok(())
    }

    /// Ends the write: the data are with the system from now on, or durable where that was asked
    /// for, and the watchers hear of it.
    ///
    /// # Errors
    /// Class `NoSuchEntry` when the file was deleted meanwhile.
    pub(in super::super) fn finish(self) -> Result<Tagged, Refusal> {
        if self.store.durable {
            self.file.sync_data()?;
        }
        let index = self.store.index();
        index.bump(self.id)?;
        let found = self.store.find(&index, &Ref::Id(self.id))?;
        let kinds = ["child_size_changed", "child_data_written", "child_mtime_changed"];
        self.store.watchers.emit(&kinds.map(|kind| Event::of(kind, &found)));
        let attributes = self.store.describe(&index, &found)?;
        Ok((attributes, found.etag()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut writing = lock(&self.store.writing);
        if let Some(num) = writing.get_mut(&self.id) {
            *num = num.saturating_sub(1);
            if *num == 0 {
                writing.remove(&self.id);
            }
        }
    }
}

impl Reader {
    /// How many bytes are still to come.
    pub(in super::super) fn left(&self) -> u64 {
        self.end - self.at
    }

    /// Reads the next bytes, at most `most`; none at the end.
    ///
    /// # Errors
    /// When the file has been cut short since it was opened.
    pub(in super::super) fn read(&mut self, most: usize) -> std::io::Result<Vec<u8>> {
        let length = usize::try_from(self.left()).unwrap_or(usize::MAX).min(most);
        let bytes = match &self.source {
            Source::Text(text) => {
                let from = usize::try_from(self.at).unwrap_or(usize::MAX);
                text.get(from..from.saturating_add(length)).unwrap_or_default().to_vec()
            }
            Source::File(file) => {
                let mut bytes = vec![0; length];
                file.read_exact_at(&mut bytes, self.at)?;
                bytes
            }
        };
        self.at += bytes.len() as u64;
        Ok(bytes)
    }
}

/// A piece of a file to put into another, `qumulo-api.md` section 10.
#[derive(Debug, Clone)]
pub(in super::super) struct Copy {
    pub(in super::super) source: Ref,
    pub(in super::super) snapshot: Option<i64>,
    pub(in super::super) etag: Option<String>,
    pub(in super::super) source_offset: u64,
    pub(in super::super) target_offset: u64,
    /// `None` for the rest of the source.
    pub(in super::super) length: Option<u64>,
}

impl Store {
    /// Copies at most `most` bytes. Returns what is left to copy, and the target's new tag.
    ///
    /// # Errors
    /// As for [`Store::read`] and [`Store::write`]; class `Revision` also when the source has
    /// another tag than expected.
    pub(in super::super) fn copy(
        self: &Arc<Self>,
        target: &Ref,
        if_match: Option<&str>,
        copy: &Copy,
        most: u64,
    ) -> Result<(Option<Copy>, String), Refusal> {
        let mut reader = self.read(&copy.source, copy.snapshot, copy.source_offset, copy.length)?;
        if !etag_matches(copy.etag.as_deref(), &reader.etag) {
            return Err(Refusal::new(Class::Revision, format!("{} has another revision", copy.source)));
        }
        let mut writer = self.write(target, if_match, How::At(copy.target_offset))?;
        let all = reader.left();
        let now = all.min(most);
        let mut done = 0;
        while done < now {
            let piece = usize::try_from(now - done).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            let bytes = reader.read(piece)?;
            writer.write(&bytes)?;
            done += bytes.len() as u64;
        }
        let (_, etag) = writer.finish()?;
        let rest = (now < all).then(|| Copy {
            source_offset: copy.source_offset + now,
            target_offset: copy.target_offset + now,
            length: Some(all - now),
            ..copy.clone()
        });
        Ok((rest, etag))
    }

    /// Makes a range read as zeros.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub(in super::super) fn punch(
        self: &Arc<Self>,
        target: &Ref,
        if_match: Option<&str>,
        offset: u64,
        size: u64,
    ) -> Result<Tagged, Refusal> {
        let mut writer = self.write(target, if_match, How::At(offset))?;
        let end = offset.saturating_add(size).min(writer.file.metadata()?.len());
        let zeros = vec![0; PIECE_BYTES];
        while writer.at < end {
            let piece = usize::try_from(end - writer.at).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            writer.write(zeros.get(..piece).unwrap_or_default())?;
        }
        writer.finish()
    }
}
