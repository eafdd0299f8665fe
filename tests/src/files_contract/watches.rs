//! Watches, free space, snapshots.

use super::{Trial, WITHIN, done, wait_until};
use host::ports::files::{FilePath, Seen, Watch};
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(200);

/// Waits until the watch says its first listing is due.
fn begin(t: &Trial<'_>, directory: &FilePath) -> Box<dyn Watch> {
    let mut watch = t.files.watch(directory).unwrap();
    wait_until("the watch to begin", WITHIN, || match watch.next(SHORT).unwrap() {
        Seen::List => true,
        Seen::Nothing => false,
        other => panic!("the first answer is {other:?}"),
    });
    watch
}

/// Waits until the watch has told of a name, or has the directory listed while it is there.
fn see(t: &Trial<'_>, watch: &mut dyn Watch, path: &FilePath) {
    wait_until(&format!("`{path}` to be seen"), WITHIN, || match watch.next(SHORT).unwrap() {
        Seen::Appeared(names) => names.iter().any(|name| name == path.name()),
        Seen::List => t.files.stat(path).unwrap().is_some(),
        Seen::Nothing => false,
        Seen::Gone => panic!("the directory is gone"),
    });
}

/// Takes what is still to be told of what has been seen.
fn settle(watch: &mut dyn Watch) {
    wait_until("the watch to be quiet", WITHIN, || watch.next(2 * SHORT).unwrap() == Seen::Nothing);
}

pub(super) fn a_watch_begins_with_a_listing(t: &Trial<'_>) {
    t.directory("d");
    t.write("d/before", "x");
    begin(t, &t.path("d"));
    // As often as one is begun.
    begin(t, &t.path("d"));
}

pub(super) fn a_watch_sees_what_appears(t: &Trial<'_>) {
    t.directory("inbox");
    t.directory("staging");
    let mut watch = begin(t, &t.path("inbox"));
    settle(&mut *watch);
    for round in 0..5 {
        let name = format!("naïve %2F #{round}+");
        let file = t.write(&format!("staging/{round}"), "x");
        let file = done(t.rename(&file, &format!("inbox/{name}")));
        see(t, &mut *watch, &file.path);
        settle(&mut *watch);
    }
    // While nobody asks, it is not forgotten.
    let file = t.write("staging/last", "x");
    let file = done(t.rename(&file, "inbox/last"));
    std::thread::sleep(SHORT);
    see(t, &mut *watch, &file.path);
    // Two watches see it both.
    let mut other = begin(t, &t.path("inbox"));
    settle(&mut *other);
    settle(&mut *watch);
    let file = t.write("inbox/direct", "x");
    see(t, &mut *watch, &file.path);
    see(t, &mut *other, &file.path);
}

pub(super) fn a_watch_waits_no_longer_than_it_may(t: &Trial<'_>) {
    t.directory("d");
    let mut watch = begin(t, &t.path("d"));
    settle(&mut *watch);
    for wait in [Duration::ZERO, Duration::from_millis(30), Duration::from_millis(400)] {
        let began = Instant::now();
        assert_eq!(watch.next(wait).unwrap(), Seen::Nothing);
        let took = began.elapsed();
        assert!(took + Duration::from_millis(5) >= wait, "{took:?} instead of {wait:?}");
        // Of no use to a caller if it were longer; no measure of speed.
        assert!(took < WITHIN, "{took:?} instead of {wait:?}");
    }
}

pub(super) fn a_watch_sees_its_directory_go(t: &Trial<'_>) {
    let directory = t.directory("d");
    let mut watch = begin(t, &t.path("d"));
    assert!(t.files.delete(&directory).unwrap());
    wait_until("the directory to be gone", WITHIN, || watch.next(SHORT).unwrap() == Seen::Gone);
    assert_eq!(watch.next(SHORT).unwrap(), Seen::Gone, "it stays gone");
    let mut never = t.files.watch(&t.path("nothing")).unwrap();
    wait_until("a directory that never was to be gone", WITHIN, || never.next(SHORT).unwrap() == Seen::Gone);
}

pub(super) fn free_space_is_something_or_unknown(t: &Trial<'_>) {
    assert!(t.files.free_bytes().unwrap().is_none_or(|bytes| bytes > 0));
}

pub(super) fn snapshots_are_made_listed_and_deleted(t: &Trial<'_>) {
    let Some(snapshots) = t.files.snapshots() else { return };
    for keep in [None, Some(Duration::from_secs(3600))] {
        let made = snapshots.create(&t.root, "contract", keep).unwrap();
        assert!(made.name.contains("contract"), "{made:?}");
        assert!(snapshots.list().unwrap().contains(&made), "{made:?}");
        assert!(snapshots.delete(made.id).unwrap());
        assert!(!snapshots.list().unwrap().contains(&made), "{made:?}");
    }
    assert!(!snapshots.delete(u64::from(u32::MAX)).unwrap());
}
