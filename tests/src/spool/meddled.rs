//! A folder in which things happen at the worst moment, and a layout as plain as can be, for driving the
//! sides of a spool directly.

use bytes::Bytes;
use host::connector::{Assigned, Identity, Layout, Place, Plan, Rotation, Settings, Sink, TopicPartition, Tree};
use host::crypto::{Key, KeyKind};
use host::error::{Error, Result};
use host::io::local::LocalFiles;
use host::ports::files::{FileInfo, FilePath, FileReader, FileWriter, Files, Moved, Snapshots, Watch};
use host::ports::log::StoredRecord;
use host::spool::{Content, SpoolSink, SpoolSinkSettings};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Is told each rename; true: that one is meant.
pub type IsMeant = Box<dyn FnMut(&FileInfo, &FilePath) -> bool + Send>;
/// Says why a listing is refused.
pub type Refusal = Box<dyn Fn() -> Error + Send>;
/// Happens once.
pub type Once = Box<dyn FnOnce() + Send>;

/// A folder, and what happens in it.
pub struct Meddled {
    files: LocalFiles,
    /// After a directory of this name was listed.
    listed: Mutex<Option<(String, Once)>>,
    /// A rename fails once, and was done all the same where true.
    rename: Mutex<Option<(IsMeant, bool)>>,
    /// A directory of this name is not listed, ever; and whether it was asked for.
    refused: Mutex<Option<(String, Refusal, bool)>>,
}

impl Meddled {
    /// A folder in which nothing happens yet.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub fn new(root: &Path) -> Self {
        let files = LocalFiles::open(root, true).unwrap();
        Meddled { files, listed: Mutex::new(None), rename: Mutex::new(None), refused: Mutex::new(None) }
    }

    /// Lets something happen when a directory of this name was listed.
    pub fn after_listing(self, name: &str, meddle: impl FnOnce() + Send + 'static) -> Self {
        *self.listed.lock().unwrap_or_else(PoisonError::into_inner) = Some((name.to_owned(), Box::new(meddle)));
        self
    }

    /// Lets the rename that is meant fail for now, though it was done where `done`.
    pub fn failing(self, is_meant: impl FnMut(&FileInfo, &FilePath) -> bool + Send + 'static, done: bool) -> Self {
        *self.rename.lock().unwrap_or_else(PoisonError::into_inner) = Some((Box::new(is_meant), done));
        self
    }

    /// Refuses to list directories of this name.
    pub fn refusing(self, name: &str, why: impl Fn() -> Error + Send + 'static) -> Self {
        let refused = (name.to_owned(), Box::new(why) as Refusal, false);
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(refused);
        self
    }

    /// Whether what was to happen has.
    pub fn has_happened(&self) -> bool {
        let listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let renamed = self.rename.lock().unwrap_or_else(PoisonError::into_inner).is_none();
        listed.is_none() && renamed && refused.as_ref().is_none_or(|(_, _, was_asked)| *was_asked)
    }
}

impl Files for Meddled {
    fn describe(&self) -> String {
        self.files.describe()
    }

    fn stat(&self, path: &FilePath) -> Result<Option<FileInfo>> {
        self.files.stat(path)
    }

    fn list(&self, directory: &FilePath, each: &mut dyn FnMut(FileInfo) -> Result<()>) -> Result<bool> {
        if let Some((name, why, was_asked)) = &mut *self.refused.lock().unwrap_or_else(PoisonError::into_inner)
            && name == directory.name()
        {
            *was_asked = true;
            return Err(why());
        }
        let listed = self.files.list(directory, each);
        let meddle = {
            let mut waiting = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.take_if(|(name, _)| name == directory.name())
        };
        if let Some((_, meddle)) = meddle {
            meddle();
        }
        listed
    }

    fn make_directories(&self, directory: &FilePath) -> Result<FileInfo> {
        self.files.make_directories(directory)
    }

    fn create(&self, path: &FilePath) -> Result<Option<Box<dyn FileWriter>>> {
        self.files.create(path)
    }

    fn append(&self, path: &FilePath, bytes: Bytes) -> Result<FileInfo> {
        self.files.append(path, bytes)
    }

    fn read(&self, file: &FileInfo, offset: u64, length: Option<u64>) -> Result<Box<dyn FileReader>> {
        self.files.read(file, offset, length)
    }

    fn rename(&self, from: &FileInfo, to: &FilePath) -> Result<Moved> {
        let mut waiting = self.rename.lock().unwrap_or_else(PoisonError::into_inner);
        match waiting.take_if(|(is_meant, _)| is_meant(from, to)) {
            None => self.files.rename(from, to),
            Some((_, done)) => {
                if done {
                    self.files.rename(from, to)?;
                }
                Err(Error::retry(format!("renaming `{}` to `{to}`: told to fail", from.path)))
            }
        }
    }

    fn replace(&self, from: &FileInfo, to: &FilePath) -> Result<Moved> {
        self.files.replace(from, to)
    }

    fn delete(&self, file: &FileInfo) -> Result<bool> {
        self.files.delete(file)
    }

    fn delete_tree(&self, directory: &FileInfo) -> Result<bool> {
        self.files.delete_tree(directory)
    }

    fn free_bytes(&self) -> Result<Option<u64>> {
        self.files.free_bytes()
    }

    fn watch(&self, directory: &FilePath) -> Result<Box<dyn Watch>> {
        self.files.watch(directory)
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        self.files.snapshots()
    }
}

/// A layout as plain as can be: directories of the names they have in the contract.
pub struct Plain;

impl Layout for Plain {
    fn open(&mut self, _: &str, _: &Settings) -> Result<Plan> {
        let tree = Tree {
            staging: "staging".to_owned(),
            inbox: "inbox".to_owned(),
            tmp: "tmp".to_owned(),
            outbox: "outbox".to_owned(),
            wash: "wash".to_owned(),
            washd: "washd".to_owned(),
            quarantine: "quarantine".to_owned(),
            target: "target".to_owned(),
        };
        let rotation = Rotation { max_records: Some(5), ..Rotation::default() };
        Ok(Plan { tree, rotation, trash_retention: Duration::from_secs(60) })
    }

    fn name(&mut self, of: &Identity, _: Place) -> Result<String> {
        let Identity { topic, partition, first, next, first_ms, last_ms, sequence } = of;
        Ok(format!("{topic}={partition}={first}={next}={first_ms}={last_ms}={sequence}"))
    }

    fn parse(&mut self, names: &[String]) -> Result<Vec<Option<Identity>>> {
        let parse = |name: &String| {
            let mut parts = name.split('=');
            Some(Identity {
                topic: parts.next()?.to_owned(),
                partition: parts.next()?.parse().ok()?,
                first: parts.next()?.parse().ok()?,
                next: parts.next()?.parse().ok()?,
                first_ms: parts.next()?.parse().ok()?,
                last_ms: parts.next()?.parse().ok()?,
                sequence: parts.next()?.parse().ok()?,
            })
        };
        Ok(names.iter().map(parse).collect())
    }
}

/// The one partition.
pub fn at() -> TopicPartition {
    TopicPartition { topic: "t".to_owned(), partition: 0 }
}

/// A sink with [`Plain`] that publishes files of five records each in the inbox.
///
/// # Panics
/// When it does not open.
pub fn sink(files: Arc<dyn Files>, lease: Duration) -> SpoolSink {
    let key = Key::generate(KeyKind::Symmetric).unwrap();
    let settings = SpoolSinkSettings {
        connector: "sink".to_owned(),
        task: 0,
        layout: Settings::new(),
        place: Place::Inbox,
        content: Content::Records { recipients: vec![key.recipient().unwrap()], member_bytes: 100 },
        lease,
    };
    SpoolSink::open(files, Box::new(Plain), settings).unwrap()
}

/// Records of these offsets, some three to a member.
pub fn records(offsets: std::ops::Range<i64>) -> Vec<StoredRecord> {
    let record = |offset| StoredRecord {
        partition: 0,
        offset,
        timestamp: 1000 + offset,
        key: None,
        value: Some(b"value".to_vec()),
        headers: Vec::new(),
    };
    offsets.map(record).collect()
}

/// Publishes records up to this offset in the inbox of a folder, after those that are.
///
/// # Panics
/// When they are not published.
pub fn publish(root: &Path, num: i64) {
    let mut sink = sink(Arc::new(LocalFiles::open(root, true).unwrap()), Duration::from_secs(60));
    let assigned = sink.assign(&[(at(), None)]).unwrap();
    let [Assigned::From(start)] = assigned.as_slice() else { panic!("{assigned:?}") };
    sink.put(&at(), &records(start.unwrap_or(0)..num)).unwrap();
    sink.flush(true).unwrap();
    assert_eq!(sink.safe_offset(&at()), Some(num));
    sink.close();
}
