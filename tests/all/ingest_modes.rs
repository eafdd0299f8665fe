//! Ways of loading beside appending once: intervals that are replaced as a whole, chunks that are merged,
//! batches that are retired, batches that hold what others hold, rows that Druid stores less of.

use host::ingest::{BatchState, Book, TaskStage};
use std::collections::BTreeSet;
use std::path::PathBuf;
use tests::ingest::{
    COLUMNS, Client, DATA_SOURCE, DAY, INGEST, Ingestion, at, iso, row, rows_in, tasks, totals, write_edits,
    write_values,
};
use tests::spool::WITHIN;
use tests::wait_until;
use tests::worker::{Connector, Running};

fn book(running: &Running) -> Book {
    Book::read(running.log(), INGEST).unwrap()
}

/// Days that rows of the topic lie in.
fn days(running: &Running) -> BTreeSet<i64> {
    rows_in(running.log()).0.iter().map(|row| row.at.div_euclid(DAY)).collect()
}

#[test]
fn a_day_is_replaced_as_a_whole() {
    let ingestion = Ingestion::with_edits(0..230);
    ingestion.publish(ingestion.to_data_set());
    let running = ingestion.start(ingestion.ingest().set("ingest.mode", "replace"));
    let before = ingestion.check_loaded(running.log());
    let first = tasks(&before).remove(0).0;
    assert!(first.contains("_replace_"), "{first}");
    let io = ingestion.druid.task(&first)["spec"]["ioConfig"].clone();
    assert_eq!((&io["appendToExisting"], &io["dropExisting"]), (&false.into(), &true.into()));
    // 26 days later numbers come round to the same days: rows that are late.
    write_edits(running.log(), 1300..1310);
    let late: BTreeSet<i64> = (1300..1310).map(|number| at(number).div_euclid(DAY)).collect();
    assert_eq!(late.len(), 1);
    let after = ingestion.check_loaded(running.log());
    let (_, task) = tasks(&after).pop().unwrap();
    let within = |at: i64| task.intervals.iter().any(|(start, end)| (*start..*end).contains(&at));
    assert!(late.iter().all(|day| within(day * DAY)), "{task:?}");
    // With the late batch come those that share its days, and the days of those: all that touch.
    let touched: Vec<&String> = after
        .in_order()
        .into_iter()
        .filter(|(_, batch)| batch.facts.times.is_some_and(|(first, last)| within(first) || within(last)))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(task.batches.iter().collect::<Vec<_>>(), touched);
    assert!(task.batches.len() > 1);
}

#[test]
fn days_apart_from_each_other_are_replaced_apart() {
    // Edits of a day only: files that share no day with another.
    let ingestion = Ingestion::default();
    let of_a_day = |day: u64| day * 50 + 25..day * 50 + 75;
    for day in [0, 3, 6] {
        ingestion.fill(of_a_day(day));
        ingestion.publish(ingestion.to_data_set());
    }
    let running = ingestion.start(ingestion.ingest().set("ingest.mode", "replace").set("task.max.batches", 1));
    let loaded = ingestion.check_loaded(running.log());
    assert_eq!(loaded.tasks.len(), 3);
    write_edits(running.log(), 1300 + 3 * 50 + 25..1300 + 3 * 50 + 40);
    // One batch is the most, and the day has two: an operator has to say what is to be.
    let status = running.wait(INGEST, "the end", WITHIN, |status| status.state.is_over());
    let trace = status.state.trace().unwrap();
    assert!(trace.contains("its rows are in 2 batches, expected at most 1"), "{trace}");
    running.end();
    let running = ingestion.start(ingestion.ingest().set("ingest.mode", "replace"));
    let after = ingestion.check_loaded(running.log());
    let (_, task) = tasks(&after).pop().unwrap();
    assert_eq!((task.batches.len(), task.intervals.len()), (2, 1));
    assert_eq!(ingestion.druid.stats().segments[DATA_SOURCE], 3);
}

#[test]
fn a_stored_batch_is_retired_where_that_is_asked_for() {
    let ingestion = Ingestion::with_edits(0..130);
    let running = ingestion.start(ingestion.ingest().set("retire", "ingested"));
    ingestion.check_loaded(running.log());
    let all_retired = || {
        let book = book(&running);
        book.batches.values().all(|batch| batch.state == BatchState::Retired).then_some(book)
    };
    let retired = tests::wait_for("every batch retired", WITHIN, all_retired);
    let client = Client::new(&running.endpoint());
    for name in retired.batches.keys() {
        for path in [format!("/batches/{name}"), format!("/batches/{name}.gz")] {
            let gone = client.get(&path).expect(410);
            assert!(gone.text().contains("is retired"), "{}", gone.text());
        }
    }
    assert_eq!(client.get("/").expect(200).text(), "");
    let listed = client.get("/batches").expect(200).json();
    let listed = listed["batches"].as_array().unwrap();
    assert_eq!(listed.len(), retired.batches.len());
    assert!(listed.iter().all(|batch| batch["state"] == "retired" && batch["served"] == false), "{listed:?}");
    // What comes then is served until it is stored, and no more.
    write_edits(running.log(), 130..160);
    ingestion.check_loaded(running.log());
    wait_until("the new batch retired too", WITHIN, || {
        all_retired().is_some_and(|book| book.batches.len() > retired.batches.len())
    });
    // A new life remembers.
    running.end();
    let running = ingestion.start(ingestion.ingest().set("retire", "ingested"));
    running.wait(INGEST, "a look", WITHIN, |status| status.counts.backlog == Some(0));
    let client = Client::new(&running.endpoint());
    client.get(&format!("/batches/{}", retired.batches.keys().next().unwrap())).expect(410);
    assert_eq!(ingestion.druid.stats().submitted, book(&running).tasks.len() as u64);
}

#[test]
fn a_stored_batch_stays_as_long_as_it_is_to() {
    let ingestion = Ingestion::with_edits(0..130);
    let ingest = ingestion.ingest().set("retire", "ingested").set("retire.after.ms", 3_600_000);
    let running = ingestion.start(ingest);
    let book = ingestion.check_loaded(running.log());
    let client = Client::new(&running.endpoint());
    book.batches.keys().for_each(|name| drop(client.get(&format!("/batches/{name}")).expect(200)));
}

#[test]
fn many_small_segments_become_one_a_day() {
    let ingestion = Ingestion::with_edits(0..400);
    ingestion.publish(ingestion.to_data_set().set("rotation.max.records", 20));
    let merging = ingestion.ingest().set("task.max.batches", 1);
    let running = ingestion.start(merging.clone());
    ingestion.check_loaded(running.log());
    let (segments, days_of_rows) = (ingestion.druid.stats().segments[DATA_SOURCE], days(&running).len() as u64);
    assert!(segments > days_of_rows + 5, "{segments} segments of {days_of_rows} days");
    running.end();
    let merging = merging.set("merge.schedule", "100ms").set("merge.min.tasks", 2);
    let running = ingestion.start(merging);
    ingestion.druid.wait("one segment a day", |stats| stats.segments[DATA_SOURCE] == days_of_rows);
    wait_until("the merge in the ledger", WITHIN, || book(&running).open_task().is_none());
    let merged = ingestion.check_loaded(running.log());
    let merges = || tasks(&merged).into_iter().filter(|(_, task)| task.mode == "reindex");
    assert!(merges().all(|(id, task)| task.stage == TaskStage::Success && id.contains("_reindex_")), "{merged:#?}");
    let (id, _) = merges().next().unwrap();
    let source = &ingestion.druid.task(&id)["spec"]["ioConfig"]["inputSource"];
    assert_eq!((&source["type"], &source["dataSource"]), (&"druid".into(), &DATA_SOURCE.into()));
    // More of the same days is merged again, and nothing is without more.
    let done = merges().count();
    write_edits(running.log(), 1300..1340);
    wait_until("two more tasks of these days", WITHIN, || book(&running).tasks.len() > merged.tasks.len());
    ingestion.check_loaded(running.log());
    write_edits(running.log(), 1340..1360);
    ingestion.check_loaded(running.log());
    let of_rows = days(&running).len() as u64;
    ingestion.druid.wait("few segments again", |stats| stats.segments[DATA_SOURCE] <= of_rows + 2);
    wait_until("the merge in the ledger", WITHIN, || book(&running).open_task().is_none());
    let after = ingestion.check_loaded(running.log());
    let again = after.tasks.values().filter(|task| task.mode == "reindex").count();
    assert!(again >= done, "{again} merges after {done}");
}

#[test]
fn rows_that_a_batch_shares_with_another_are_not_loaded_twice() {
    let ingestion = Ingestion::with_edits(0..100);
    ingestion.publish(ingestion.to_data_set());
    let running = ingestion.start(ingestion.ingest());
    ingestion.check_loaded(running.log());
    running.end();
    // The sink forgets what it published, and publishes it again in other files.
    let aside = ingestion.dir.path().join("aside");
    std::fs::create_dir(&aside).unwrap();
    let moved = |path: &PathBuf| aside.join(path.file_name().unwrap());
    let first = ingestion.files();
    first.iter().for_each(|path| std::fs::rename(path, moved(path)).unwrap());
    let log = rusqlite::Connection::open(ingestion.data_dir().join("log.db")).unwrap();
    assert!(log.execute("DELETE FROM group_offsets", []).unwrap() > 0, "nothing to forget");
    drop(log);
    ingestion.publish(ingestion.to_data_set().set("rotation.max.records", 30));
    let second = ingestion.files();
    assert_eq!((first.len(), second.len()), (2, 4));
    first.iter().for_each(|path| std::fs::rename(moved(path), path).unwrap());

    let running = ingestion.start(ingestion.ingest());
    let client = Client::new(&running.endpoint());
    let refused = tests::wait_for("four files that are no batches", WITHIN, || {
        let answer = client.get("/batches");
        let refused = (answer.status == 200).then(|| answer.json()["refused"].as_array().unwrap().clone())?;
        (refused.len() == 4).then_some(refused)
    });
    for file in &refused {
        let reason = file["reason"].as_str().unwrap();
        assert!(reason.contains("it holds records that batch `wikipedia+"), "{reason}");
        let answer = client.get(&format!("/batches/{}", file["name"].as_str().unwrap())).expect(500);
        assert!(answer.text().contains(reason), "{}", answer.text());
    }
    write_edits(running.log(), 100..130);
    let book = ingestion.check_loaded(running.log());
    assert_eq!(ingestion.druid.stats().submitted, book.tasks.len() as u64);
}

/// Edits with some rows between them that this Druid cannot read: half a character.
fn fill_with_unreadable(ingestion: &Ingestion) {
    let log = host::io::embedded::EmbeddedLog::open(&ingestion.data_dir(), None).unwrap();
    write_edits(&log, 40..45);
    let half = |number: u64| {
        let row = format!(r#"{{"timestamp":"{}","page":"\ud800","added":1}}"#, iso(at(number)));
        (format!("half {number}"), Some(row))
    };
    write_values(&log, &(45..48).map(half).collect::<Vec<_>>());
}

#[test]
fn rows_that_druid_left_out_are_told() {
    let ingestion = Ingestion::default();
    fill_with_unreadable(&ingestion);
    let running = ingestion.start(ingestion.ingest().set("max.parse.exceptions", 10).set("retire", "ingested"));
    let expected = totals(&(40..45).filter_map(|number| row(number).ok()).collect::<Vec<_>>());
    let (_, task) = tests::wait_for("a task that is over", WITHIN, || {
        tasks(&book(&running)).pop().filter(|(_, task)| !task.stage.is_open())
    });
    assert_eq!(ingestion.druid.totals(), expected);
    assert_eq!((task.rows, task.stored, task.stage), (Some(expected.0 + 3), Some(expected.0), TaskStage::Success));
    let note = task.error.unwrap();
    assert!(
        note.contains(&format!("{} of {} rows are stored", expected.0, expected.0 + 3))
            && note.contains("3 not readable"),
        "{note}"
    );
    let status = running.wait(INGEST, "the count", WITHIN, |status| status.counts.rejected == 3);
    assert_eq!((status.counts.records, status.state.name()), (expected.0, "RUNNING"));
    let is_told = |trouble: &String| trouble.contains(&note);
    running.wait(INGEST, "the note", WITHIN, |status| status.counts.trouble.as_ref().is_some_and(is_told));
    // Its source is kept, whatever else is retired.
    let kept = book(&running).batches.values().all(|batch| batch.state == BatchState::Ingested);
    assert!(kept, "{:?}", book(&running).batches);
}

#[test]
fn rows_that_druid_cannot_read_fail_the_task_unless_that_is_allowed() {
    let ingestion = Ingestion::default();
    fill_with_unreadable(&ingestion);
    let running = ingestion.start(ingestion.ingest().set("task.max.attempts", 2));
    let status = running.wait(INGEST, "the end", WITHIN, |status| status.state.is_over());
    let trace = status.state.trace().unwrap();
    assert!(trace.contains("Max parse exceptions[0] exceeded"), "{trace}");
    assert_eq!(ingestion.druid.totals(), (0, 0));
    assert!(book(&running).batches.values().all(|batch| batch.state == BatchState::Waiting));
}

#[test]
fn a_file_of_which_no_record_is_a_row_is_no_batch() {
    let ingestion = Ingestion::default();
    ingestion.fill(5..6);
    ingestion.publish(ingestion.to_data_set());
    let running = ingestion.start(ingestion.ingest());
    let status = running.wait(INGEST, "trouble", WITHIN, |status| status.counts.trouble.is_some());
    let trouble = status.counts.trouble.unwrap();
    assert!(
        trouble.contains("1 files of the data set are not loaded") && trouble.contains("none of its records is a row"),
        "{trouble}"
    );
    assert_eq!((status.counts.backlog, book(&running).batches.len()), (Some(0), 0));
    let refused = Client::new(&running.endpoint()).get("/batches").expect(200).json()["refused"].clone();
    assert_eq!(refused.as_array().unwrap().len(), 1, "{refused}");
    assert_eq!(ingestion.druid.submissions(), []);
    write_edits(running.log(), 6..7);
    ingestion.check_loaded(running.log());
}

#[test]
fn a_ledger_is_of_one_data_source() {
    let ingestion = Ingestion::with_edits(0..60);
    let running = ingestion.start(ingestion.ingest());
    ingestion.check_loaded(running.log());
    running.end();
    let check = |ingest: Connector, words: &str| {
        let before = ingestion.druid.stats().submitted;
        let running = ingestion.start(ingest);
        let status = running.wait(INGEST, "the end", WITHIN, |status| status.state.is_over());
        let trace = status.state.trace().unwrap_or_default().to_owned();
        assert!(trace.contains(words), "{trace}");
        assert_eq!(ingestion.druid.stats().submitted, before);
        running.end();
    };
    let ingest = || ingestion.ingest();
    let of = "and the ledger is of";
    check(ingest().set("data.source", "Wikipedia"), &format!("option `data.source` is `Wikipedia`, {of} `wikipedia`"));
    check(ingest().set("segment.granularity", "hour"), &format!("option `segment.granularity` is `hour`, {of} `day`"));
    check(
        ingest().set("time.column", "at").set("time.format", "millis"),
        &format!("option `time.column` is `at`, {of}"),
    );
    let fewer = ingest().set("columns", "page,added:long");
    check(fewer.clone().set("merge.schedule", "1h"), "which was loaded before: a merge would delete its values");
    // Fewer columns cost nothing that is there, and more are more.
    ingestion.fill(60..90);
    for ingest in [fewer, ingest().set("columns", format!("{COLUMNS},namespace"))] {
        let running = ingestion.start(ingest);
        ingestion.check_loaded(running.log());
        running.end();
    }
}
