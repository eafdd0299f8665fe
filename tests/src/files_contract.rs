//! The contract of `host::ports::files::Files` as cases that any store must pass: a local folder, and
//! a directory of a Qumulo cluster.
//!
//! Every case works in a directory of its own, `<prefix>/<case>`, so that a suite may run against a
//! store that others use, and cases may run at the same time.

mod contents;
mod names;
mod renames;
mod trees;
mod watches;

use crate::wait_until;
use host::error::{Error, ErrorClass};
use host::ports::files::{FileInfo, FilePath, FileReader, Files, Moved};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

/// Longest wait for anything to be seen; a store's slowest answer is far below.
const WITHIN: Duration = Duration::from_secs(60);

/// One promise of the contract.
pub struct Case {
    /// The promise, as a sentence.
    pub name: &'static str,
    run: fn(&Trial<'_>),
}

impl Case {
    /// Runs the case in a directory of its own.
    ///
    /// # Panics
    /// When the store breaks the promise.
    pub fn run(&self, files: &dyn Files, prefix: &str) {
        let root = FilePath::new(prefix).unwrap().join(self.name).unwrap();
        files.make_directories(&root).unwrap();
        (self.run)(&Trial { files, root });
    }
}

/// All promises.
pub fn cases() -> Vec<Case> {
    macro_rules! cases {
        ($($room:ident::$name:ident),* $(,)?) => { vec![$(Case { name: stringify!($name), run: $room::$name }),*] };
    }
    cases![
        names::odd_names_come_back_as_they_were_given,
        names::a_name_is_taken_once,
        names::directories_are_made_with_what_is_missing_above,
        names::a_file_in_the_way_of_a_directory_is_refused,
        names::what_is_not_there_is_no_error,
        contents::files_of_any_size_come_back,
        contents::any_range_of_a_file_can_be_read,
        contents::a_file_that_was_not_finished_stays_for_others_to_delete,
        contents::a_file_that_is_gone_or_changed_is_not_read_to_its_end,
        contents::appenders_of_several_threads_lose_nothing,
        contents::only_files_that_are_there_are_appended_to,
        renames::a_rename_keeps_the_file,
        renames::of_two_renames_of_one_file_exactly_one_is_done,
        renames::of_two_renames_to_one_name_exactly_one_is_done,
        renames::a_renamed_directory_takes_all_with_it,
        renames::a_renamed_directory_ends_what_others_wanted_below_its_old_name,
        renames::one_of_many_takes_a_directory_from_a_busy_one,
        renames::a_rename_never_replaces,
        renames::a_rename_to_where_nothing_can_be_leaves_all_as_it_was,
        renames::a_replaced_file_is_the_other_one,
        trees::a_listing_gives_everything_once,
        trees::a_listing_survives_the_deletion_of_what_it_gives,
        trees::a_listing_survives_others_that_come_and_go,
        trees::a_listing_ends_with_an_error_of_its_reader,
        trees::what_is_deleted_is_gone,
        trees::a_directory_with_something_in_it_is_only_deleted_as_a_tree,
        trees::a_deletion_spares_what_took_the_place,
        watches::a_watch_begins_with_a_listing,
        watches::a_watch_sees_what_appears,
        watches::a_watch_waits_no_longer_than_it_may,
        watches::a_watch_sees_its_directory_go,
        watches::free_space_is_something_or_unknown,
        watches::snapshots_are_made_listed_and_deleted,
    ]
}

/// Runs every case and says on standard error which; all run, whatever fails.
///
/// # Panics
/// When a case failed, naming all that did.
pub fn run(files: &dyn Files, prefix: &str) {
    let mut failed = Vec::new();
    for case in cases() {
        eprintln!("files contract: {}", case.name);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| case.run(files, prefix))) {
            failed.push((case.name, panic));
        }
    }
    let names: Vec<_> = failed.iter().map(|(name, _)| *name).collect();
    if names.len() == 1
        && let Some((_, panic)) = failed.pop()
    {
        eprintln!("files contract: failed: {names:?}");
        resume_unwind(panic);
    }
    assert!(names.is_empty(), "{}: {} cases failed: {names:#?}", files.describe(), names.len());
}

struct Trial<'a> {
    files: &'a dyn Files,
    root: FilePath,
}

impl Trial<'_> {
    fn path(&self, names: &str) -> FilePath {
        self.root.join(names).unwrap()
    }

    fn directory(&self, names: &str) -> FileInfo {
        self.files.make_directories(&self.path(names)).unwrap()
    }

    /// Writes a file whose directory is there.
    fn write(&self, names: &str, bytes: impl AsRef<[u8]>) -> FileInfo {
        let path = self.path(names);
        let mut writer = self.files.create(&path).unwrap().unwrap_or_else(|| panic!("`{path}` is taken"));
        writer.write(bytes.as_ref().to_vec().into()).unwrap();
        writer.finish().unwrap()
    }

    fn info(&self, names: &str) -> Option<FileInfo> {
        self.files.stat(&self.path(names)).unwrap()
    }

    fn read(&self, info: &FileInfo) -> Vec<u8> {
        drain(self.files.read(info, 0, None).unwrap())
    }

    fn text(&self, names: &str) -> String {
        let info = self.info(names).unwrap_or_else(|| panic!("`{names}` is not there"));
        String::from_utf8(self.read(&info)).unwrap()
    }

    fn listed(&self, names: &str) -> Option<Vec<FileInfo>> {
        let mut all = Vec::new();
        let mut each = |info| {
            all.push(info);
            Ok(())
        };
        self.files.list(&self.path(names), &mut each).unwrap().then_some(all)
    }

    /// Names in a directory, sorted.
    fn names(&self, names: &str) -> Vec<String> {
        let listed = self.listed(names).unwrap_or_else(|| panic!("`{names}` is not there"));
        let mut names: Vec<String> = listed.iter().map(|info| info.path.name().to_owned()).collect();
        names.sort();
        names
    }

    fn rename(&self, from: &FileInfo, to: &str) -> Moved {
        self.files.rename(from, &self.path(to)).unwrap()
    }
}

fn drain(mut reader: Box<dyn FileReader>) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(bytes) = reader.next().unwrap() {
        assert!(!bytes.is_empty(), "an empty piece before the end");
        all.extend_from_slice(&bytes);
    }
    assert!(reader.next().unwrap().is_none(), "something after the end");
    all
}

fn done(moved: Moved) -> FileInfo {
    match moved {
        Moved::Done(info) => info,
        other => panic!("expected a rename that is done, found {other:?}"),
    }
}

/// Bytes that are not the same anywhere.
fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn refused<T>(result: host::error::Result<T>, class: ErrorClass) -> Error {
    let error = result.err().expect("an error");
    assert_eq!(error.class(), class, "{error}");
    error
}
