//! A sink reads the names of all files to know where it goes on, while tasks move files along. Here a
//! file moves at the worst moment: right after the directory it was in, or before, was listed.

use bytes::Bytes;
use host::connector::{Assigned, Identity, Layout, Place, Plan, Rotation, Settings, Sink, TopicPartition, Tree};
use host::crypto::{Key, KeyKind};
use host::error::Result;
use host::io::local::LocalFiles;
use host::ports::files::{FileInfo, FilePath, FileReader, FileWriter, Files, Moved, Snapshots, Watch};
use host::ports::log::StoredRecord;
use host::spool::{Content, SpoolSink, SpoolSinkSettings};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tempfile::tempdir;
use tests::spool::names;

/// A folder; when a directory of this name was listed, something happens, once.
struct Meddled {
    files: LocalFiles,
    after: String,
    meddle: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Files for Meddled {
    fn describe(&self) -> String {
        self.files.describe()
    }

    fn stat(&self, path: &FilePath) -> Result<Option<FileInfo>> {
        self.files.stat(path)
    }

    fn list(&self, directory: &FilePath, each: &mut dyn FnMut(FileInfo) -> Result<()>) -> Result<bool> {
        let listed = self.files.list(directory, each);
        if directory.name() == self.after
            && let Some(meddle) = self.meddle.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
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
        self.files.rename(from, to)
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
struct Plain;

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

fn at() -> TopicPartition {
    TopicPartition { topic: "t".to_owned(), partition: 0 }
}

fn open(files: Arc<dyn Files>) -> SpoolSink {
    let key = Key::generate(KeyKind::Symmetric).unwrap();
    let settings = SpoolSinkSettings {
        connector: "sink".to_owned(),
        task: 0,
        layout: Settings::new(),
        place: Place::Inbox,
        content: Content::Records { recipients: vec![key.recipient().unwrap()], member_bytes: 1000 },
        lease: Duration::from_secs(60),
    };
    SpoolSink::open(files, Box::new(Plain), settings).unwrap()
}

/// The lane of a source in `tmp`.
const LANE: &str = "source+0+00aabbccddee+1+99999999999999+source~0~0123456789abcdef";
/// The same lane a moment later.
const RENEWED: &str = "source+0+00aabbccddee+1+99999999999998+source~0~0123456789abcdef";
const OTHER_LANE: &str = "other+0+00aabbccddee+1+99999999999999+other~0~fedcba9876543210";
/// What a claim puts before a name.
const CLAIM: &str = "0123456789abcdef+3+0+";

/// A folder with two published files, the newer of which is moved to `place`, under a claim's name where
/// `place` is one of the lanes. Returns its own name.
fn publish_two(root: &Path, place: &str) -> String {
    let mut sink = open(Arc::new(LocalFiles::open(root, true).unwrap()));
    assert_eq!(sink.assign(&[(at(), None)]).unwrap(), [Assigned::From(None)]);
    let record = |offset| StoredRecord {
        partition: 0,
        offset,
        timestamp: 1000 + offset,
        key: None,
        value: Some(b"value".to_vec()),
        headers: Vec::new(),
    };
    sink.put(&at(), &(0..10).map(record).collect::<Vec<_>>()).unwrap();
    sink.flush(true).unwrap();
    assert_eq!(sink.safe_offset(&at()), Some(10));
    sink.close();
    let name = names(&root.join("inbox")).pop().unwrap();
    assert!(name.starts_with("t=0=5=10="), "{name}");
    for directory in ["outbox", "wash", "washd", "quarantine"] {
        std::fs::create_dir_all(root.join(directory)).unwrap();
    }
    for lane in [LANE, OTHER_LANE] {
        std::fs::create_dir_all(root.join("tmp").join(lane)).unwrap();
    }
    if place != "inbox" {
        std::fs::rename(root.join("inbox").join(&name), path(root, place, &name)).unwrap();
    }
    name
}

fn path(root: &Path, place: &str, name: &str) -> PathBuf {
    match place {
        "lane" => root.join("tmp").join(LANE).join(format!("{CLAIM}{name}")),
        "other lane" => root.join("tmp").join(OTHER_LANE).join(format!("{CLAIM}{name}")),
        place => root.join(place).join(name),
    }
}

/// What a new sink goes on at when, after `listed` was listed, the newest file moves.
fn goes_on_at(listed: &str, from: &str, meddle: impl FnOnce(&Path, &str) + Send + 'static) -> Option<i64> {
    let dir = tempdir().unwrap();
    let root = dir.path().to_owned();
    let name = publish_two(&root, from);
    let files = Meddled {
        files: LocalFiles::open(&root, false).unwrap(),
        after: listed.to_owned(),
        meddle: Mutex::new(Some(Box::new(move || meddle(&root, &name)))),
    };
    let files = Arc::new(files);
    let mut sink = open(Arc::clone(&files) as Arc<dyn Files>);
    let assigned = sink.assign(&[(at(), None)]).unwrap();
    assert!(files.meddle.lock().unwrap().is_none(), "nothing happened after `{listed}`");
    match assigned.as_slice() {
        [Assigned::From(start)] => *start,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_that_moves_while_names_are_read_is_not_overlooked() {
    let ways = [
        ("inbox", "lane"),
        ("lane", "outbox"),
        ("outbox", "wash"),
        // A source that stops puts back what it has not begun, and a source adopts what another left.
        ("lane", "inbox"),
        ("lane", "other lane"),
        ("other lane", "lane"),
        ("lane", "quarantine"),
        ("inbox", "quarantine"),
    ];
    for (from, to) in ways {
        for listed in ["inbox", "tmp", LANE, OTHER_LANE, "outbox", "wash", "quarantine", "washd"] {
            let start = goes_on_at(listed, from, move |root, name| {
                std::fs::rename(path(root, from, name), path(root, to, name)).unwrap();
            });
            assert_eq!(start, Some(10), "from {from} to {to} after {listed} was listed");
        }
    }
}

#[test]
fn claims_whose_lane_is_renewed_while_names_are_read_are_not_overlooked() {
    for listed in ["inbox", "tmp", LANE, OTHER_LANE, "outbox", "wash"] {
        let start = goes_on_at(listed, "lane", |root, _| {
            std::fs::rename(root.join("tmp").join(LANE), root.join("tmp").join(RENEWED)).unwrap();
        });
        assert_eq!(start, Some(10), "after {listed} was listed");
    }
}
