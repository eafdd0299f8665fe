//! A sink reads the names of all files to know where it goes on, while tasks move files along. Here a
//! file moves at the worst moment: right after the directory it was in, or before, was listed.

use host::connector::{Assigned, Sink};
use host::ports::files::Files;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::tempdir;
use tests::spool::meddled::{Meddled, at, publish, sink};
use tests::spool::names;

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
    publish(root, 10);
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
    let folder = dir.path();
    let (root, name) = (folder.to_owned(), publish_two(folder, from));
    let files = Meddled::new(folder).after_listing(listed, move || meddle(&root, &name));
    let files = Arc::new(files);
    let mut sink = sink(Arc::clone(&files) as Arc<dyn Files>, Duration::from_secs(60));
    let assigned = sink.assign(&[(at(), None)]).unwrap();
    assert!(files.has_happened(), "nothing happened after `{listed}`");
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
