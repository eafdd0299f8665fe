//! A rename whose answer was lost for good: the caller knows nothing, the file is at the new place or at
//! the old one. Every kind of rename of both sides fails once, in each place of the way and with each
//! outcome, and at the end the host is started again: every member comes once, every file is where it belongs.

use host::connector::{Assigned, PollLimits, Settings, Sink, Source};
use host::error::ErrorClass;
use host::ports::files::{FileInfo, FileKind, FilePath, Files};
use host::ports::log::PositionEntry;
use host::spool::{SpoolSource, SpoolSourceSettings};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::tempdir;
use tests::spool::meddled::{Meddled, Plain, at, publish, records, sink};
use tests::spool::{files_below, names};

const LEASE: Duration = Duration::from_millis(60);

/// What a log holds: how often each member, and the positions of each connector.
#[derive(Default)]
struct Log {
    members: BTreeMap<String, u32>,
    positions: BTreeMap<String, Vec<PositionEntry>>,
}

/// A source as its task drives it, on a log of its own.
struct Life<'a> {
    files: Arc<dyn Files>,
    connector: &'a str,
    log: Arc<Mutex<Log>>,
}

impl Life<'_> {
    fn open(&self) -> Option<SpoolSource> {
        self.open_with(LEASE)
    }

    fn open_with(&self, lease: Duration) -> Option<SpoolSource> {
        let settings = SpoolSourceSettings {
            connector: self.connector.to_owned(),
            task: 0,
            num_tasks: 1,
            log_id: "00aabbccddee".to_owned(),
            layout: Settings::new(),
            chunk_bytes: 100_000,
            lease,
            snapshot_keep: None,
        };
        let log = Arc::clone(&self.log);
        let fence = Box::new(move |connector: &str, _: u32| {
            Ok(log.lock().unwrap().positions.get(connector).cloned().unwrap_or_default())
        });
        let mut source = SpoolSource::new(Arc::clone(&self.files), Box::new(Plain), settings, fence).unwrap();
        let positions = self.log.lock().unwrap().positions.get(self.connector).cloned().unwrap_or_default();
        source.open(&Settings::new(), &positions).ok().map(|_| source)
    }

    /// Polls until `enough`, commits what comes, and starts anew after an error that is not for waiting;
    /// in the end the source is gone without a good-bye.
    fn run(&self, max_records: u32, enough: impl Fn(&Log) -> bool) -> bool {
        let limits = PollLimits { max_records, max_bytes: 1 << 20, wait: Duration::from_millis(2) };
        let until = Instant::now() + Duration::from_secs(10);
        let mut source = None;
        while Instant::now() < until {
            if enough(&self.log.lock().unwrap()) {
                return true;
            }
            let Some(open) = &mut source else {
                source = self.open();
                continue;
            };
            match open.poll(limits) {
                Ok(polled) => {
                    let mut log = self.log.lock().unwrap();
                    for record in polled.records.records() {
                        let id = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
                        *log.members.entry(id).or_default() += 1;
                    }
                    let committed = log.positions.entry(self.connector.to_owned()).or_default();
                    for entry in polled.positions {
                        committed.retain(|known| known.partition != entry.partition);
                        committed.push(entry);
                    }
                    drop(log);
                    // What is left over is for the next poll.
                    let _ = open.committed();
                }
                Err(error) if error.class() == ErrorClass::Retry => {}
                Err(_) => source = None,
            }
        }
        false
    }
}

/// Which rename fails.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Claim,
    Adopt,
    Settle,
    Quarantine,
    Renew,
}

impl Kind {
    fn is(self, from: &FileInfo, to: &FilePath) -> bool {
        let goes = |out: &str, into: &str| from.path.as_str().starts_with(out) && to.as_str().starts_with(into);
        match (self, from.kind) {
            (Kind::Renew, kind) => kind == FileKind::Directory,
            (_, FileKind::Directory) => false,
            (Kind::Claim, _) => goes("inbox/", "tmp/"),
            (Kind::Adopt, _) => goes("tmp/", "tmp/"),
            (Kind::Settle, _) => goes("tmp/", "outbox/"),
            (Kind::Quarantine, _) => goes("tmp/", "quarantine/"),
        }
    }
}

/// Names in a stage, those in its directories included.
fn all(root: &Path, stage: &str) -> usize {
    files_below(&root.join(stage)).len()
}

/// Runs a source on six files, of which another has left three in its lane and the last is damaged within,
/// while the `nth` rename of a kind fails. Returns whether there was such a rename.
fn check_source(kind: Kind, nth: usize, done: bool) -> bool {
    let case = format!("{kind:?} {nth} {}", if done { "done" } else { "not done" });
    let dir = tempdir().unwrap();
    let root = dir.path();
    publish(root, 15);
    let log = Arc::new(Mutex::new(Log::default()));
    let other = Life { files: Arc::new(Meddled::new(root)), connector: "other", log: Arc::clone(&log) };
    assert!(other.run(1, |log| log.members.len() >= 3), "{case}: the other source");
    assert_eq!(all(root, "inbox"), 0, "{case}: it has taken all");
    publish(root, 30);
    let damaged = names(&root.join("inbox")).pop().unwrap();
    let path = root.join("inbox").join(&damaged);
    let mut bytes = std::fs::read(&path).unwrap();
    let second = usize::try_from(host::crypto::scan(&bytes).unwrap().unwrap().num_bytes).unwrap();
    bytes[second] ^= 1;
    std::fs::write(&path, bytes).unwrap();

    let mut seen = 0;
    let is_meant = move |from: &FileInfo, to: &FilePath| {
        seen += usize::from(kind.is(from, to));
        seen > nth
    };
    let files = Arc::new(Meddled::new(root).failing(is_meant, done));
    let life = Life { files: Arc::clone(&files) as Arc<dyn Files>, connector: "source", log: Arc::clone(&log) };
    let is_through = |_: &Log| {
        let reasons = names(&root.join("quarantine")).len();
        all(root, "inbox") + all(root, "tmp") == 0 && all(root, "outbox") == 5 && reasons == 2
    };
    let is_done = life.run(4, is_through);
    let happened = files.has_happened();
    // A host that starts again finds nothing to do, and what was left behind by the trouble.
    let again = Life { files: Arc::new(Meddled::new(root)), connector: "source", log: Arc::clone(&log) };
    let is_done_then = again.run(4, is_through);
    let log = log.lock().unwrap();
    let left: Vec<_> = ["inbox", "tmp", "outbox", "quarantine"].map(|stage| (stage, all(root, stage))).into();
    assert!(log.members.values().all(|times| *times == 1), "{case}: members came twice: {:?}", log.members);
    // Two of each whole file, and the first of the damaged one.
    assert_eq!(log.members.len(), 11, "{case}: members are lost; {left:?}");
    assert!(is_done_then, "{case}: {left:?}");
    assert!(is_done, "{case}: only a new start brought it to an end: {left:?}");
    happened
}

fn check_kind(kind: Kind, most: usize) {
    for done in [false, true] {
        let happened = (0..most).filter(|nth| check_source(kind, *nth, done)).count();
        assert!(happened > 0, "{kind:?} never happened");
    }
}

#[test]
fn claims_in_doubt_come_once() {
    check_kind(Kind::Claim, 3);
}

#[test]
fn adopted_claims_in_doubt_come_once() {
    check_kind(Kind::Adopt, 3);
}

#[test]
fn settled_files_in_doubt_are_settled() {
    check_kind(Kind::Settle, 6);
}

#[test]
fn quarantined_files_in_doubt_are_quarantined() {
    check_kind(Kind::Quarantine, 1);
}

#[test]
fn lanes_in_doubt_are_kept_or_taken_anew() {
    check_kind(Kind::Renew, 4);
}

/// Drives a sink as its task does, while the `nth` rename fails.
fn check_sink(nth: usize, done: bool) -> bool {
    let case = format!("rename {nth} {}", if done { "done" } else { "not done" });
    let dir = tempdir().unwrap();
    let root = dir.path();
    let mut seen = 0;
    let is_meant = move |_: &FileInfo, _: &FilePath| {
        seen += 1;
        seen > nth
    };
    let files = Arc::new(Meddled::new(root).failing(is_meant, done));
    let mut sink = sink(Arc::clone(&files) as Arc<dyn Files>, LEASE);
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        assert!(Instant::now() < until, "{case}: it does not come to an end");
        let Ok(assigned) = sink.assign(&[(at(), None)]) else { continue };
        let [Assigned::From(start)] = assigned.as_slice() else { continue };
        let start = start.unwrap_or(0);
        let mut put = || {
            for first in (start..20).step_by(3) {
                sink.put(&at(), &records(first..(first + 3).min(20)))?;
                sink.flush(false)?;
            }
            sink.flush(true)
        };
        if put().is_ok() {
            break;
        }
    }
    assert_eq!(sink.safe_offset(&at()), Some(20), "{case}");
    sink.close();
    let mut offsets: Vec<(i64, i64)> = names(&root.join("inbox"))
        .iter()
        .map(|name| {
            let parts: Vec<&str> = name.split('=').collect();
            (parts[2].parse().unwrap(), parts[3].parse().unwrap())
        })
        .collect();
    offsets.sort();
    assert_eq!(offsets.first().map(|file| file.0), Some(0), "{case}: {offsets:?}");
    assert_eq!(offsets.last().map(|file| file.1), Some(20), "{case}: {offsets:?}");
    assert!(offsets.windows(2).all(|pair| pair[0].1 == pair[1].0), "{case}: files join: {offsets:?}");
    files.has_happened()
}

#[test]
fn published_files_in_doubt_are_published_once() {
    for done in [false, true] {
        // The partition is taken, then there are four files.
        assert!((0..5).all(|nth| check_sink(nth, done)));
    }
}

#[test]
fn a_source_whose_lane_is_taken_before_it_saw_what_was_left_ends_and_gives_nothing() {
    let dir = tempdir().unwrap();
    let root = dir.path();
    publish(root, 15);
    let log = Arc::new(Mutex::new(Log::default()));
    let life = Life { files: Arc::new(Meddled::new(root)), connector: "source", log };
    assert!(life.run(1, |log| !log.members.is_empty()));
    assert!(all(root, "tmp") > 1, "claims are left");
    // So long that it is not renewed meanwhile, which would tell too.
    let mut source = life.open_with(Duration::from_secs(3600)).unwrap();
    let lane = root.join("tmp").join(&names(&root.join("tmp"))[0]);
    let (owner, _) = lane.to_str().unwrap().rsplit_once('~').unwrap();
    std::fs::rename(&lane, format!("{owner}~0123456789abcdef")).unwrap();
    let limits = PollLimits { max_records: 10, max_bytes: 1 << 20, wait: Duration::ZERO };
    let error = source.poll(limits).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Bug);
    assert!(error.to_string().contains("was taken over by another host or task"), "{error}");
    assert_eq!(all(root, "inbox"), 0);
}
