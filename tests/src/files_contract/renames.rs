//! Renames: exactly one wins, nothing is replaced, and a directory takes all with it.

use super::{Trial, done, refused};
use host::error::ErrorClass;
use host::ports::files::{FileInfo, Moved};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

const ROUNDS: usize = 30;

pub(super) fn a_rename_keeps_the_file(t: &Trial<'_>) {
    t.directory("a");
    t.directory("b/c");
    let file = t.write("a/f", "text");
    let moved = done(t.rename(&file, "b/c/g"));
    assert_eq!((&moved.id, moved.bytes, &moved.path), (&file.id, 4, &t.path("b/c/g")));
    assert_eq!(t.info("b/c/g"), Some(moved.clone()));
    assert_eq!(t.info("a/f"), None);
    assert_eq!(t.read(&moved), b"text");
    assert_eq!((t.names("a"), t.names("b/c")), (Vec::new(), vec!["g".to_owned()]));
}

/// Lets several threads begin at the same moment.
fn at_once<T: Send>(count: usize, act: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(count);
    let run = |number| {
        barrier.wait();
        act(number)
    };
    let run = &run;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|number| scope.spawn(move || run(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn winners(outcomes: &[Moved]) -> Vec<&FileInfo> {
    let mut winners = Vec::new();
    for outcome in outcomes {
        if let Moved::Done(info) = outcome {
            winners.push(info);
        }
    }
    winners
}

pub(super) fn of_two_renames_of_one_file_exactly_one_is_done(t: &Trial<'_>) {
    t.directory("inbox");
    t.directory("taken");
    for round in 0..ROUNDS {
        let file = t.write(&format!("inbox/{round}"), "x");
        // To places of their own, or to the same.
        let same = round % 3 == 0;
        let target = |number| if same { format!("taken/{round}") } else { format!("taken/{round}-{number}") };
        let outcomes = at_once(2, |number| t.rename(&file, &target(number)));
        let winners = winners(&outcomes);
        assert_eq!(winners.len(), 1, "round {round}: {outcomes:?}");
        assert_eq!(winners[0].id, file.id);
        let lost = outcomes.iter().find(|moved| !matches!(moved, Moved::Done(_))).unwrap();
        assert!(*lost == Moved::Gone || (same && *lost == Moved::Taken), "{lost:?}");
        assert_eq!(t.files.stat(&winners[0].path).unwrap().map(|info| info.id).as_ref(), Some(&file.id));
    }
    assert_eq!(t.names("inbox"), [""; 0]);
    assert_eq!(t.names("taken").len(), ROUNDS);
}

pub(super) fn of_two_renames_to_one_name_exactly_one_is_done(t: &Trial<'_>) {
    t.directory("out");
    for round in 0..ROUNDS {
        let files = [t.write(&format!("a{round}"), "a"), t.write(&format!("b{round}"), "b")];
        let outcomes = at_once(2, |number| t.rename(&files[number], &format!("out/{round}")));
        let winners = winners(&outcomes);
        assert_eq!(winners.len(), 1, "round {round}: {outcomes:?}");
        assert!(outcomes.contains(&Moved::Taken), "{outcomes:?}");
        let loser = outcomes.iter().position(|moved| *moved == Moved::Taken).unwrap();
        assert_eq!(t.files.stat(&files[loser].path).unwrap().as_ref(), Some(&files[loser]), "the loser's file");
    }
    assert_eq!(t.names("out").len(), ROUNDS);
}

pub(super) fn a_renamed_directory_takes_all_with_it(t: &Trial<'_>) {
    let directory = t.directory("old/d");
    t.directory("old/d/deep");
    t.directory("new");
    let file = t.write("old/d/deep/f", "x");
    let moved = done(t.rename(&directory, "new/e"));
    assert_eq!((&moved.id, &moved.path), (&directory.id, &t.path("new/e")));
    assert_eq!(t.info("new/e/deep/f").unwrap().id, file.id);
    assert_eq!(t.text("new/e/deep/f"), "x");
    assert_eq!((t.names("old"), t.names("new")), (Vec::new(), vec!["e".to_owned()]));
    assert_eq!(t.info("old/d/deep/f"), None);
    // Of many that take a directory one gets it.
    let outcomes = at_once(3, |number| t.rename(&moved, &format!("old/{number}")));
    assert_eq!(winners(&outcomes).len(), 1, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|moved| **moved == Moved::Gone).count(), 2, "{outcomes:?}");
}

pub(super) fn a_renamed_directory_ends_what_others_wanted_below_its_old_name(t: &Trial<'_>) {
    let work = t.directory("work");
    t.directory("done");
    let claimed = t.write("work/claimed", "1");
    let half = t.write("work/half", "2");
    // Whatever a store may remember of the directory, it has been used.
    t.names("work");
    t.files.append(&half.path, "2".into()).unwrap();
    let half = t.info("work/half").unwrap();
    done(t.rename(&work, "taken"));

    assert_eq!(t.rename(&claimed, "done/claimed"), Moved::Gone);
    assert_eq!(t.files.replace(&claimed, &t.path("done/claimed")).unwrap(), Moved::Gone);
    assert!(!t.files.delete(&claimed).unwrap(), "deleted what another has taken over");
    refused(t.files.append(&half.path, "3".into()), ErrorClass::Retry);
    refused(t.files.create(&t.path("work/new")).map(|_| ()), ErrorClass::Retry);
    assert_eq!((t.info("work/claimed"), t.listed("work")), (None, None));
    let outside = t.write("outside", "3");
    refused(t.files.rename(&outside, &t.path("work/outside")), ErrorClass::Retry);
    assert!(!t.files.delete_tree(&work).unwrap());

    assert_eq!(t.names("taken"), ["claimed", "half"]);
    assert_eq!((t.text("taken/claimed"), t.text("taken/half")), ("1".to_owned(), "22".to_owned()));
    // Also when there is a directory of that name again.
    t.directory("work");
    assert_eq!(t.rename(&claimed, "done/claimed"), Moved::Gone);
    assert_eq!(t.names("done"), [""; 0]);
}

pub(super) fn one_of_many_takes_a_directory_from_a_busy_one(t: &Trial<'_>) {
    for round in 0..8 {
        let home = format!("busy{round}");
        let work = t.directory(&home);
        t.directory(&format!("out{round}"));
        let files: Vec<FileInfo> = (0..40).map(|number| t.write(&format!("{home}/{number}"), "x")).collect();
        let begun = AtomicBool::new(false);
        let (published, taken) = std::thread::scope(|scope| {
            let publishing = scope.spawn(|| {
                let mut published = 0;
                for file in &files {
                    begun.store(true, Ordering::SeqCst);
                    match t.rename(file, &format!("out{round}/{}", file.path.name())) {
                        Moved::Done(_) => published += 1,
                        Moved::Gone => break,
                        Moved::Taken => panic!("taken"),
                    }
                }
                published
            });
            while !begun.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            let taken = done(t.rename(&work, &format!("took{round}")));
            // From here on nothing leaves it: what is listed now is what stays.
            let names = t.names(taken.path.name());
            (publishing.join().unwrap(), names)
        });
        assert_eq!(t.names(&format!("took{round}")), taken, "round {round}: something left after the take-over");
        assert_eq!(t.names(&format!("out{round}")).len(), published, "round {round}");
        assert_eq!(published + taken.len(), files.len(), "round {round}");
    }
}

pub(super) fn a_rename_never_replaces(t: &Trial<'_>) {
    let from = t.directory("from");
    t.write("from/f", "x");
    t.directory("full");
    t.write("full/g", "y");
    t.directory("empty");
    let file = t.write("file", "z");
    assert_eq!(t.rename(&from, "full"), Moved::Taken);
    assert_eq!(t.rename(&from, "empty"), Moved::Taken, "not even an empty directory is replaced");
    assert_eq!(t.rename(&from, "file"), Moved::Taken);
    assert_eq!(t.rename(&file, "empty"), Moved::Taken);
    assert_eq!(t.names(""), ["empty", "file", "from", "full"]);
}

pub(super) fn a_rename_to_where_nothing_can_be_leaves_all_as_it_was(t: &Trial<'_>) {
    let directory = t.directory("d");
    t.directory("d/e");
    let file = t.write("f", "x");
    refused(t.files.rename(&file, &t.path("nothing/f")), ErrorClass::Retry);
    refused(t.files.rename(&file, &t.path("f/f")), ErrorClass::Retry);
    refused(t.files.rename(&directory, &t.path("d/e/d")), ErrorClass::Config);
    assert_eq!(t.names(""), ["d", "f"]);
    assert_eq!(t.names("d"), ["e"]);
}

pub(super) fn a_replaced_file_is_the_other_one(t: &Trial<'_>) {
    t.directory("new");
    let old = t.write("f", "old");
    let new = t.write("new/f", "new one");
    let moved = done(t.files.replace(&new, &t.path("f")).unwrap());
    assert_eq!((&moved.id, moved.bytes), (&new.id, 7));
    assert_eq!((t.text("f"), t.names("new")), ("new one".to_owned(), Vec::new()));
    refused(t.files.read(&old, 0, None).map(|_| ()), ErrorClass::Retry);
    assert!(!t.files.delete(&old).unwrap(), "deleted what took its place");
    // Where nothing is yet, it is a rename.
    let moved = done(t.files.replace(&moved, &t.path("g")).unwrap());
    assert_eq!(moved.path, t.path("g"));
    assert_eq!(t.files.replace(&new, &t.path("g")).unwrap(), Moved::Gone);
    assert_eq!(t.names(""), ["g", "new"]);
}
