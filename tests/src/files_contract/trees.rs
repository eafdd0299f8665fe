//! Directories: listed while others change them, and deleted.

use super::{Trial, refused};
use host::error::{Error, ErrorClass};
use host::ports::files::FileKind;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

/// More than a few pages of any store that the suite runs against.
const MANY: usize = 120;

fn fill(t: &Trial<'_>, directory: &str) -> Vec<String> {
    t.directory(directory);
    let mut names: Vec<String> = (0..MANY).map(|number| format!("n{number}")).collect();
    for name in &names {
        t.write(&format!("{directory}/{name}"), name);
    }
    names.sort();
    names
}

pub(super) fn a_listing_gives_everything_once(t: &Trial<'_>) {
    let mut expected = fill(t, "d");
    t.directory("d/sub");
    t.write("d/sub/below", "x");
    expected.push("sub".to_owned());
    expected.sort();
    assert_eq!(t.names("d"), expected);
    for info in t.listed("d").unwrap() {
        assert_eq!(info.path.parent(), t.path("d"));
        let there = t.files.stat(&info.path).unwrap().unwrap();
        assert_eq!(info, there);
        let is_sub = info.path.name() == "sub";
        assert_eq!(info.kind, if is_sub { FileKind::Directory } else { FileKind::File });
        assert!(is_sub || info.bytes == u64::try_from(info.path.name().len()).unwrap());
    }
}

pub(super) fn a_listing_survives_the_deletion_of_what_it_gives(t: &Trial<'_>) {
    let expected = fill(t, "d");
    let mut given = Vec::new();
    let mut each = |info: host::ports::files::FileInfo| {
        assert!(t.files.delete(&info)?, "`{}` was not there", info.path);
        given.push(info.path.name().to_owned());
        Ok(())
    };
    assert!(t.files.list(&t.path("d"), &mut each).unwrap());
    given.sort();
    assert_eq!(given, expected);
    assert_eq!(t.names("d"), [""; 0]);
}

pub(super) fn a_listing_survives_others_that_come_and_go(t: &Trial<'_>) {
    let stable = fill(t, "d");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while !over.load(Ordering::SeqCst) {
                let coming = t.write(&format!("d/coming{number}"), "x");
                assert!(t.files.delete(&coming).unwrap());
                number += 1;
            }
        });
        // Ends the other thread, whatever becomes of this one.
        struct End<'a>(&'a AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let _end = End(&over);
        for _ in 0..5 {
            let mut seen: BTreeMap<String, usize> = BTreeMap::new();
            for info in t.listed("d").unwrap() {
                *seen.entry(info.path.name().to_owned()).or_default() += 1;
            }
            seen.retain(|name, _| !name.starts_with("coming"));
            assert!(seen.values().all(|count| *count == 1), "given twice: {seen:?}");
            assert_eq!(seen.into_keys().collect::<Vec<_>>(), stable);
        }
    });
}

pub(super) fn a_listing_ends_with_an_error_of_its_reader(t: &Trial<'_>) {
    fill(t, "d");
    let mut given = 0;
    let mut each = |_| {
        given += 1;
        if given == 3 { Err(Error::bug("enough")) } else { Ok(()) }
    };
    let error = refused(t.files.list(&t.path("d"), &mut each), ErrorClass::Bug);
    assert!(error.to_string().contains("enough"), "{error}");
    assert_eq!(given, 3);
}

pub(super) fn what_is_deleted_is_gone(t: &Trial<'_>) {
    let file = t.write("f", "x");
    let directory = t.directory("d");
    for info in [file, directory] {
        assert!(t.files.delete(&info).unwrap());
        assert_eq!(t.files.stat(&info.path).unwrap(), None);
        assert!(!t.files.delete(&info).unwrap(), "deleted twice");
    }
    // Many that delete the same file: one at most did.
    let file = t.write("f", "x");
    let deleted: Vec<bool> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| t.files.delete(&file).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(deleted.iter().filter(|deleted| **deleted).count(), 1, "{deleted:?}");
}

pub(super) fn a_directory_with_something_in_it_is_only_deleted_as_a_tree(t: &Trial<'_>) {
    let top = t.directory("top");
    for directory in ["top/a/b/c", "top/a/d", "top/e"] {
        t.directory(directory);
        for number in 0..5 {
            t.write(&format!("{directory}/{number}"), "x");
        }
    }
    refused(t.files.delete(&top), ErrorClass::Retry);
    assert_eq!(t.names("top"), ["a", "e"]);
    assert!(t.files.delete_tree(&top).unwrap());
    assert_eq!(t.info("top"), None);
    assert_eq!(t.info("top/a/b/c/0"), None);
    assert!(!t.files.delete_tree(&top).unwrap(), "deleted twice");
    assert_eq!(t.names(""), [""; 0]);
}

pub(super) fn a_deletion_spares_what_took_the_place(t: &Trial<'_>) {
    let (file, directory) = (t.write("f", "old"), t.directory("d"));
    super::done(t.rename(&file, "g"));
    super::done(t.rename(&directory, "e"));
    t.write("f", "new");
    t.directory("d");
    t.write("d/inside", "x");
    assert!(!t.files.delete(&file).unwrap());
    assert!(!t.files.delete_tree(&directory).unwrap());
    assert_eq!((t.text("f"), t.text("g"), t.text("d/inside")), ("new".to_owned(), "old".to_owned(), "x".to_owned()));
    assert_eq!(t.names(""), ["d", "e", "f", "g"]);
}
