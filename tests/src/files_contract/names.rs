//! Names: odd ones, taken ones, missing ones; directories.

use super::{Trial, done, refused};
use host::error::ErrorClass;
use host::ports::files::{FileKind, Moved};

const ODD: &[&str] = &[
    "plain.txt",
    "two words",
    " lead and trail ",
    "50%",
    "%2F",
    "%2e%2e",
    "a#b?c&d=e",
    "a+b",
    "Grüße, 世界 🦀",
    "e\u{301}",
    "back\\slash",
    "quote\"'`",
    "...",
    "-rf",
    "semi;colon:star*",
    "~",
];

pub(super) fn odd_names_come_back_as_they_were_given(t: &Trial<'_>) {
    for (at, name) in ODD.iter().enumerate() {
        // As a directory, as a file in it, and as the name of a rename.
        let directory = t.directory(name);
        assert_eq!((directory.path.name(), directory.kind), (*name, FileKind::Directory));
        let file = t.write(&format!("{name}/{name}"), name);
        assert_eq!(t.names(name), [*name]);
        assert_eq!(t.info(&format!("{name}/{name}")).as_ref(), Some(&file), "{name}");
        assert_eq!(t.text(&format!("{name}/{name}")), *name);
        let moved = done(t.rename(&file, &format!("{name}/{name}{at}")));
        assert_eq!((moved.path.name(), &moved.id), (&*format!("{name}{at}"), &file.id));
        assert_eq!(t.names(name), [format!("{name}{at}")]);
        t.files.append(&moved.path, "!".into()).unwrap();
        let moved = t.files.stat(&moved.path).unwrap().unwrap();
        assert_eq!(t.read(&moved), format!("{name}!").as_bytes());
        assert!(t.files.delete(&moved).unwrap(), "{name}");
        assert_eq!(t.names(name), [""; 0]);
    }
    let mut expected: Vec<String> = ODD.iter().map(|name| (*name).to_owned()).collect();
    expected.sort();
    assert_eq!(t.names(""), expected);
    let long = "ä".repeat(127) + "x";
    t.write(&long, "long");
    assert_eq!(t.text(&long), "long");
}

pub(super) fn a_name_is_taken_once(t: &Trial<'_>) {
    let first = t.write("f", "first");
    assert!(t.files.create(&t.path("f")).unwrap().is_none(), "made twice");
    t.directory("d");
    assert!(t.files.create(&t.path("d")).unwrap().is_none(), "a file over a directory");
    let second = t.write("g", "second");
    assert_eq!(t.rename(&second, "f"), Moved::Taken);
    assert_eq!(t.rename(&second, "d"), Moved::Taken);
    assert_eq!((t.text("f"), t.text("g")), ("first".to_owned(), "second".to_owned()));
    // As soon as it is gone, it is free.
    assert!(t.files.delete(&first).unwrap());
    assert_eq!(done(t.rename(&second, "f")).id, second.id);
    t.write("g", "third");
}

pub(super) fn directories_are_made_with_what_is_missing_above(t: &Trial<'_>) {
    let made = t.directory("a/b/c");
    assert_eq!((made.kind, &made.path), (FileKind::Directory, &t.path("a/b/c")));
    assert_eq!(t.directory("a/b/c").id, made.id, "made twice");
    let deeper = t.directory("a/b/c/d/e");
    assert_eq!(t.info("a/b/c/d/e").unwrap().id, deeper.id);
    assert_eq!(t.names("a"), ["b"]);
    // Many that make the same one all get it.
    let ids: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| t.directory("x/y/z").id)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

pub(super) fn a_file_in_the_way_of_a_directory_is_refused(t: &Trial<'_>) {
    t.write("f", "1");
    refused(t.files.make_directories(&t.path("f")), ErrorClass::Config);
    refused(t.files.make_directories(&t.path("f/d")), ErrorClass::Config);
    assert_eq!(t.text("f"), "1");
}

pub(super) fn what_is_not_there_is_no_error(t: &Trial<'_>) {
    assert_eq!(t.info("nothing"), None);
    assert_eq!(t.info("nothing/below"), None);
    assert_eq!(t.listed("nothing"), None);
    assert_eq!(t.listed(""), Some(Vec::new()));
    let file = t.write("f", "1");
    assert_eq!(t.listed("f"), None, "a listing of a file");
    assert_eq!(t.info("f/below"), None);
    refused(t.files.create(&t.path("nothing/f")).map(|_| ()), ErrorClass::Retry);
    assert!(t.files.delete(&file).unwrap());
    assert!(!t.files.delete(&file).unwrap());
    assert_eq!(t.rename(&file, "g"), Moved::Gone);
}
