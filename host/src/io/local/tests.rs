//! What the contract suite cannot see from outside: links, other folders, the lock of the root.

use super::fence::Fence;
use super::*;
use crate::error::ErrorClass;
use crate::ports::files::Seen;
use std::os::unix::fs::symlink;
use std::time::Duration;

fn path(text: &str) -> FilePath {
    FilePath::new(text).unwrap()
}

fn write(files: &LocalFiles, name: &str, bytes: &'static [u8]) -> FileInfo {
    let mut writer = files.create(&path(name)).unwrap().unwrap();
    writer.write(Bytes::from_static(bytes)).unwrap();
    writer.finish().unwrap()
}

fn listed(files: &LocalFiles) -> Vec<FileInfo> {
    let mut all = Vec::new();
    let mut each = |info| {
        all.push(info);
        Ok(())
    };
    assert!(files.list(&FilePath::root(), &mut each).unwrap());
    all
}

fn class<T>(result: Result<T>) -> ErrorClass {
    result.err().expect("an error").class()
}

#[test]
fn a_folder_is_made_only_when_it_may_be() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("a/b");
    let error = LocalFiles::open(&folder, false).err().unwrap();
    assert_eq!(error.class(), ErrorClass::Config);
    assert!(error.to_string().contains("a/b"), "{error}");
    LocalFiles::open(&folder, true).unwrap();
    LocalFiles::open(&folder, false).unwrap();
}

#[test]
fn no_link_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let outside = dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), "x").unwrap();
    let root = dir.path().join("root");
    let files = LocalFiles::open(&root, true).unwrap();
    files.make_directories(&path("inside")).unwrap();
    write(&files, "inside/f", b"1");
    symlink(&outside, root.join("out")).unwrap();
    symlink("inside", root.join("in")).unwrap();
    symlink(outside.join("secret"), root.join("file")).unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();

    for link in ["out", "in", "file", "dangling"] {
        let info = files.stat(&path(link)).unwrap().unwrap();
        assert_eq!(info.kind, FileKind::Other, "{link}");
        assert!(files.read(&info, 0, None).is_err(), "{link}");
        assert!(!files.list(&path(link), &mut |_| Ok(())).unwrap(), "{link}");
        assert_eq!(class(files.append(&path(link), Bytes::from_static(b"x"))), ErrorClass::Config, "{link}");
        assert!(files.create(&path(link)).unwrap().is_none(), "{link}");
        assert_eq!(class(files.make_directories(&path(&format!("{link}/d")))), ErrorClass::Config, "{link}");
        for below in ["secret", "f"] {
            let below = path(&format!("{link}/{below}"));
            assert_eq!(files.stat(&below).unwrap(), None, "{below}");
            assert_eq!(class(files.create(&below)), ErrorClass::Retry, "{below}");
            let stale = FileInfo { path: below, ..info.clone() };
            assert_eq!(files.rename(&stale, &path("stolen")).unwrap(), Moved::Gone);
            assert!(!files.delete(&stale).unwrap());
        }
    }
    let kinds: Vec<FileKind> = listed(&files).into_iter().map(|info| info.kind).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == FileKind::Other).count(), 4, "{kinds:?}");
    // A link is deleted and moved as what it is.
    let link = files.stat(&path("in")).unwrap().unwrap();
    let Moved::Done(moved) = files.rename(&link, &path("inside/link")).unwrap() else { panic!("not moved") };
    assert!(files.delete(&moved).unwrap());
    let tree = files.stat(&path("inside")).unwrap().unwrap();
    symlink(&outside, root.join("inside/out")).unwrap();
    assert!(files.delete_tree(&tree).unwrap());
    assert!(outside.join("secret").exists(), "a link was followed by a deletion");
}

#[test]
fn a_pipe_is_neither_read_nor_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let files = LocalFiles::open(dir.path(), false).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    let root: &Dir = &files.root;
    rustix::fs::mknodat(root, "pipe", rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let info = files.stat(&path("pipe")).unwrap().unwrap();
    assert_eq!(info.kind, FileKind::Other);
    assert_eq!(class(files.read(&info, 0, None)), ErrorClass::Config);
    assert_eq!(class(files.append(&path("pipe"), Bytes::from_static(b"x"))), ErrorClass::Config);
}

#[test]
fn a_file_that_changes_while_it_is_read_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let files = LocalFiles::open(dir.path(), false).unwrap();
    let info = write(&files, "f", b"abc");
    let mut reader = files.read(&info, 0, None).unwrap();
    assert_eq!(reader.next().unwrap().unwrap(), "abc");
    // Later than the clock of the file system can tell apart.
    std::thread::sleep(Duration::from_millis(20));
    files.append(&path("f"), Bytes::from_static(b"d")).unwrap();
    assert_eq!(class(reader.next()), ErrorClass::Retry);
    assert_eq!(class(files.read(&info, 0, None)), ErrorClass::Retry);
    let mut part = files.read(&info, 1, Some(2)).unwrap();
    assert_eq!((part.next().unwrap().unwrap(), part.next().unwrap()), (Bytes::from_static(b"bc"), None));
}

#[test]
fn a_file_is_not_taken_for_the_one_whose_inode_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let files = LocalFiles::open(dir.path(), false).unwrap();
    let old = write(&files, "f", b"abc");
    // Later than the clock of the file system can tell apart.
    std::thread::sleep(Duration::from_millis(20));
    assert!(files.delete(&old).unwrap());
    let new = write(&files, "f", b"abc");
    assert_ne!(new.id, old.id);
    assert_eq!(class(files.read(&old, 0, None)), ErrorClass::Retry);
    assert!(!files.delete(&old).unwrap());
}

#[test]
fn a_directory_is_moved_only_while_nobody_acts_below() {
    let dir = tempfile::tempdir().unwrap();
    let files = LocalFiles::open(dir.path(), false).unwrap();
    let work = files.make_directories(&path("work")).unwrap();
    let fence = Fence::shared(&files.root).unwrap();
    std::thread::scope(|scope| {
        let moving = scope.spawn(|| files.rename(&work, &path("taken")).unwrap());
        std::thread::sleep(Duration::from_millis(50));
        assert!(!moving.is_finished(), "moved while somebody acted below");
        write(&files, "work/f", b"1");
        drop(fence);
        assert!(matches!(moving.join().unwrap(), Moved::Done(_)));
    });
    assert!(files.stat(&path("taken/f")).unwrap().is_some());
}

#[test]
fn names_that_no_path_can_hold_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let files = LocalFiles::open(dir.path(), false).unwrap();
    let odd: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"b\xff");
    std::fs::write(dir.path().join(odd), "").unwrap();
    std::fs::write(dir.path().join("a\nb"), "").unwrap();
    std::fs::write(dir.path().join("c"), "").unwrap();
    let names: Vec<String> = listed(&files).into_iter().map(|info| info.path.to_string()).collect();
    assert_eq!(names, ["c"]);
}

#[test]
fn each_change_is_told_once_more() {
    let dir = tempfile::tempdir().unwrap();
    let files = LocalFiles::open(dir.path(), false).unwrap();
    let mut watch = files.watch(&FilePath::root()).unwrap();
    let mut next = || watch.next(Duration::from_millis(400)).unwrap();
    // A file of the same tick as the change before it leaves no trace of its own.
    assert_eq!([next(), next(), next()], [Seen::List, Seen::List, Seen::Nothing]);
    write(&files, "f", b"1");
    assert_eq!([next(), next(), next()], [Seen::List, Seen::List, Seen::Nothing]);
}
