//! Somebody tidies up by hand: directories of a spool that are gone are made again, and a trash that
//! cannot be emptied stops nothing.

use host::connector::{PollLimits, Settings, Source};
use host::error::Error;
use host::ports::files::Files;
use host::spool::{SpoolSource, SpoolSourceSettings};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::tempdir;
use tests::spool::meddled::{Meddled, Plain, publish};
use tests::spool::{Pipeline, RECORDS, files_below, names, write_records};
use tests::wait_until;
use tests::worker::start;

fn check_deleted(pipeline: &Pipeline) {
    let mut running = start(&pipeline.data_dir(), &pipeline.connectors(), None);
    write_records(running.log(), RECORDS, 1, 0..100);
    pipeline.check(running.log());
    // The dated directories of the data set, with what is in them; it comes back at the end.
    let (data_set, aside) = (pipeline.second.folder(), pipeline.dir.path().join("aside"));
    std::fs::create_dir(&aside).unwrap();
    let dated: Vec<String> = names(&data_set).into_iter().filter(|name| name != "var").collect();
    assert!(!dated.is_empty());
    dated.iter().for_each(|name| std::fs::rename(data_set.join(name), aside.join(name)).unwrap());
    for stage in ["inbox", "outbox", "quarantine"] {
        std::fs::remove_dir_all(pipeline.stage(stage)).unwrap();
    }
    write_records(running.log(), RECORDS, 1, 100..200);
    wait_until("the rest", tests::spool::WITHIN, || pipeline.data_set().look() >= 100);
    for file in files_below(&aside) {
        let back = data_set.join(file.strip_prefix(&aside).unwrap());
        std::fs::create_dir_all(back.parent().unwrap()).unwrap();
        std::fs::rename(&file, back).unwrap();
    }
    pipeline.check(running.log());
    running.stop();
    pipeline.check(running.log());
}

#[test]
fn directories_that_somebody_deletes_are_made_again_on_a_filer() {
    check_deleted(&Pipeline::on_filers());
}

#[test]
fn directories_that_somebody_deletes_are_made_again_in_a_folder() {
    check_deleted(&Pipeline::on_folders());
}

/// Polls and commits until a directory holds so many files.
fn poll_until(source: &mut SpoolSource, root: &Path, stage: &str, files: usize) {
    let limits = PollLimits { max_records: 10, max_bytes: 1 << 20, wait: Duration::from_millis(20) };
    wait_until(&format!("{files} files in `{stage}`"), tests::spool::WITHIN, || {
        source.poll(limits).unwrap();
        source.committed().unwrap();
        names(&root.join(stage)).len() == files
    });
}

#[test]
fn a_trash_that_may_not_be_looked_at_stops_nothing() {
    let dir = tempdir().unwrap();
    let root = dir.path();
    let denied = || Error::config("told to deny");
    let files = Arc::new(Meddled::new(root).refusing("washd", denied));
    let settings = SpoolSourceSettings {
        connector: "source".to_owned(),
        task: 0,
        num_tasks: 1,
        log_id: "00aabbccddee".to_owned(),
        layout: Settings::new(),
        chunk_bytes: 100_000,
        lease: Duration::from_secs(60),
        snapshot_keep: None,
    };
    let fence = Box::new(|_: &str, _: u32| Ok(Vec::new()));
    let mut source = SpoolSource::new(Arc::clone(&files) as Arc<dyn Files>, Box::new(Plain), settings, fence).unwrap();
    source.open(&Settings::new(), &[]).unwrap();
    publish(root, 5);
    // What is done goes to the trash, and only then is the trash looked at.
    poll_until(&mut source, root, "wash", 1);
    assert!(files.has_happened(), "nothing was denied");
    publish(root, 10);
    poll_until(&mut source, root, "outbox", 1);
}
