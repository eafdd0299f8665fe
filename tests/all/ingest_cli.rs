//! `host ingest` and `host emulate overlord`, for people and for programs: what is shown, what is done, exit
//! codes, and what is refused with which words. Tasks that are printed are in `ingest_print.rs`.

use crate::bad_input::refused;
use host::ingest::{BatchState, Book, TaskStage};
use host_emulators::overlord::OverlordFault;
use serde_json::{Value, json};
use std::path::Path;
use tests::ingest::{Client, INGEST, Ingestion, change_file, row, rows_in, write_edits};
use tests::program::{self, Finished, Program};
use tests::spool::WITHIN;
use tests::worker::Connector;
use tests::{feeds, wait_for, wait_until};

pub(crate) fn host(dir: &Path, line: &str) -> Finished {
    program::host(dir, line.split(' '))
}

/// A published data set of three batches, and the configuration of an ingestion of it.
pub(crate) fn published(change: impl FnOnce(Connector) -> Connector) -> (Ingestion, String) {
    let ingestion = Ingestion::with_edits(0..150);
    ingestion.publish(ingestion.to_data_set());
    let config = ingestion.config(&change(ingestion.ingest())).display().to_string();
    (ingestion, config)
}

fn book(ingestion: &Ingestion) -> Book {
    Book::read(&ingestion.log(), INGEST).unwrap()
}

/// Loads what is there.
fn submit(ingestion: &Ingestion, config: &str) -> Value {
    host(ingestion.dir.path(), &format!("ingest submit --config {config} --output json")).expect(0).json()
}

#[test]
fn a_plan_says_what_would_be_done_and_does_nothing() {
    let (ingestion, config) = published(|ingest| ingest.set("task.max.batches", 2));
    std::fs::write(ingestion.folder().join("notes.txt"), "a stranger").unwrap();
    let dir = ingestion.dir.path();
    let plan = host(dir, &format!("ingest plan --config {config} --dry-run --output json")).expect(0).json();
    let rows = rows_in(&ingestion.log()).0.len() as u64;
    let tasks = plan["tasks"].as_array().unwrap();
    assert_eq!(tasks.iter().map(|task| task["rows"].as_u64().unwrap()).sum::<u64>(), rows);
    let batches: Vec<usize> = tasks.iter().map(|task| task["batches"].as_array().unwrap().len()).collect();
    assert_eq!((batches, &tasks[0]["mode"], &tasks[0]["attempt"]), (vec![2, 1], &json!("append"), &json!(1)));
    let span = &tasks[0]["intervals_ms"][0];
    assert!(span[0].as_i64().unwrap() % 86_400_000 == 0 && span[1].as_i64() > span[0].as_i64(), "{span}");
    assert_eq!(plan["refused"], json!([{ "name": "notes.txt", "reason": "its name is none of the layout's" }]));
    let text = host(dir, &format!("ingest plan --config {config}")).expect(0);
    for task in tasks {
        assert!(text.stdout.contains(task["id"].as_str().unwrap()), "{}", text.stdout);
    }
    assert!(text.stdout.contains("no batch: `notes.txt`: its name is none"), "{}", text.stdout);
    assert_eq!((book(&ingestion).batches.len(), ingestion.druid.stats().requests), (0, 0), "nothing was done");
    // What was planned is what is done.
    submit(&ingestion, &config);
    let done = book(&ingestion);
    assert_eq!(
        done.tasks.keys().map(String::as_str).collect::<std::collections::BTreeSet<_>>(),
        tasks.iter().map(|task| task["id"].as_str().unwrap()).collect()
    );
    let none = host(dir, &format!("ingest plan --config {config}")).expect(0).stdout;
    assert!(none.contains("nothing waits to be loaded"), "{none}");
    let none = host(dir, &format!("ingest plan --config {config} --output json")).expect(0).json();
    assert_eq!(none["tasks"], json!([]));
}

#[test]
fn what_waits_is_loaded_and_then_shown() {
    let (ingestion, config) = published(|ingest| ingest);
    let dir = ingestion.dir.path();
    let before = host(dir, &format!("ingest status --config {config} --output json")).expect(0).json();
    let states = ["waiting", "taken", "ingested", "retired"];
    assert!(states.iter().all(|state| before["batches"][state] == json!({ "batches": 0, "rows": 0 })), "{before}");
    assert_eq!(
        (&before["connector"], &before["data_source"], &before["tasks"]),
        (&json!(INGEST), &json!("wikipedia"), &json!([]))
    );
    let text = host(dir, &format!("ingest status --config {config}")).expect(0).stdout;
    assert!(text.contains("no task was handed in yet"), "{text}");

    let summary = submit(&ingestion, &config);
    let rows = rows_in(&ingestion.log()).0.len() as u64;
    let connectors = summary["connectors"].as_array().unwrap();
    assert_eq!(connectors.len(), 1, "the sink is left alone: {summary}");
    let found = (&connectors[0]["name"], &connectors[0]["state"], &connectors[0]["records"]);
    assert_eq!(found, (&json!(INGEST), &json!("STOPPED"), &json!(rows)));
    let done = ingestion.check_loaded(&ingestion.log());
    let after = host(dir, &format!("ingest status --config {config} --output json")).expect(0).json();
    assert_eq!(after["batches"]["ingested"], json!({ "batches": done.batches.len(), "rows": rows }));
    let task = &after["tasks"][0];
    assert_eq!((&task["stage"], &task["rows"], &task["stored"]), (&json!("success"), &json!(rows), &json!(rows)));
    assert_eq!((&task["attempt"], &task["error"], &task["mode"]), (&json!(1), &Value::Null, &json!("append")));
    assert!(task["ended_ms"].as_i64() >= task["recorded_ms"].as_i64());
    let text = host(dir, &format!("ingest status --config {config}")).expect(0).stdout;
    for words in
        ["ingestion `ingest` into data source `wikipedia`", task["id"].as_str().unwrap(), "success", "ingested"]
    {
        assert!(text.contains(words), "`{words}` is not in: {text}");
    }
    // Once more there is nothing to do.
    let again = submit(&ingestion, &config);
    assert_eq!((&again["connectors"][0]["records"], ingestion.druid.stats().submitted), (&json!(0), 1));
    // Only the newest are shown.
    ingestion.fill(150..170);
    ingestion.publish(ingestion.to_data_set());
    submit(&ingestion, &config);
    let one = host(dir, &format!("ingest status --config {config} --tasks 1 --output json")).expect(0).json();
    assert!(one["tasks"].as_array().unwrap().len() == 1 && one["tasks"][0]["id"] != task["id"], "{one}");
}

#[test]
fn a_task_that_is_refused_or_fails_ends_a_submission_with_exit_code_1() {
    let check = |fault: OverlordFault, words: &str| {
        let (ingestion, config) = published(|ingest| ingest.set("task.max.attempts", 2));
        ingestion.druid.fault(fault);
        let run = host(ingestion.dir.path(), &format!("ingest submit --config {config}")).expect(1);
        assert!(run.stderr.contains("connectors failed: `ingest`") && run.stderr.contains(words), "{}", run.stderr);
        assert!(run.stdout.contains("FAILED"), "{}", run.stdout);
        assert!(book(&ingestion).batches.values().all(|batch| batch.state == BatchState::Waiting));
        let status = host(ingestion.dir.path(), &format!("ingest status --config {config}")).expect(0).stdout;
        assert!(status.contains(words) && status.contains("failed"), "{status}");
        assert_eq!(ingestion.druid.totals(), (0, 0));
    };
    let message = "No column is right".to_owned();
    check(OverlordFault::RefuseSpec { message: message.clone(), times: 1 }, &message);
    check(OverlordFault::FailTask { message: message.clone(), times: 9 }, &message);
}

#[test]
fn a_file_that_cannot_be_loaded_ends_a_submission_with_exit_code_1_and_the_others_are_loaded() {
    let (ingestion, config) = published(|ingest| ingest);
    let files = ingestion.files();
    change_file(&files[1], |bytes| {
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
    });
    let dir = ingestion.dir.path();
    let run = host(dir, &format!("ingest submit --config {config}")).expect(1);
    let name = files[1].file_name().unwrap().to_str().unwrap();
    let told = "1 files of the data set are not loaded";
    assert!(run.stderr.contains(told) && run.stderr.contains(name), "{}", run.stderr);
    let kept: Vec<_> = (0..50).chain(100..150).filter_map(|number| row(number).ok()).collect();
    ingestion.check_holds(&ingestion.log(), &kept);
    let plan = host(dir, &format!("ingest plan --config {config} --output json")).expect(0).json();
    assert_eq!((&plan["tasks"], &plan["refused"][0]["name"]), (&json!([]), &json!(name)));
    // Without it nothing is amiss.
    std::fs::remove_file(&files[1]).unwrap();
    host(dir, &format!("ingest submit --config {config}")).expect(0);
}

#[test]
fn an_ingestion_runs_alone_until_it_is_stopped() {
    let (ingestion, config) = published(|ingest| ingest);
    let dir = ingestion.dir.path();
    let mut program = program::spawn(dir, ["ingest", "run", "--config", &config, "--output", "json"]);
    let said = program.wait_stderr("batches at http://");
    let url = said.split("batches at ").nth(1).unwrap().lines().next().unwrap().to_owned();
    ingestion.check_loaded(&ingestion.log());
    Client::new(&url).get("/").expect(200);
    program.signal("INT");
    let summary = program.finish().expect(0).json();
    assert_eq!(summary["connectors"].as_array().unwrap().len(), 1, "{summary}");
    assert_eq!(summary["connectors"][0]["state"], "STOPPED");
    let timed = host(dir, &format!("ingest run --config {config} --duration 1s --output json")).expect(0).json();
    assert!(timed["duration_ms"].as_u64().unwrap() >= 1000, "{timed}");
    let text = host(dir, &format!("ingest run --config {config} --duration 500ms")).expect(0).stdout;
    assert!(text.contains("ingest") && text.contains("STOPPED"), "{text}");
}

/// Lets a task of all batches be open in the ledger, and Druid forget it.
fn abandoned() -> (Ingestion, String, String) {
    let (ingestion, config) = published(|ingest| ingest.set("listen", format!("127.0.0.1:{}", feeds::free_port())));
    ingestion.druid.fault(OverlordFault::HangTask(1));
    let program = program::spawn(ingestion.dir.path(), ["ingest", "run", "--config", &config]);
    let id = wait_for("a task", WITHIN, || {
        let log = host::io::embedded::EmbeddedLog::open_read_only(&ingestion.data_dir()).ok()?;
        let book = Book::read(&log, INGEST).unwrap();
        let (id, task) = book.open_task()?;
        (task.stage == TaskStage::Submitted).then(|| id.clone())
    });
    program.signal("KILL");
    program.finish();
    ingestion.druid.fault(OverlordFault::ForgetTasks);
    (ingestion, config, id)
}

#[test]
fn a_person_says_how_a_forgotten_task_ended() {
    let (ingestion, config, id) = abandoned();
    let dir = ingestion.dir.path();
    let unknown = host(dir, &format!("ingest settle --config {config} host_x_1 success")).expect(2);
    assert!(unknown.stderr.contains("no task in the ledger is named `host_x_1`"), "{}", unknown.stderr);
    let settled = host(dir, &format!("ingest settle --config {config} {id} failed")).expect(0);
    assert!(
        settled.stderr.contains(&format!("task `{id}` is over: its 3 batches are to be loaded again")),
        "{}",
        settled.stderr
    );
    let after = book(&ingestion);
    assert_eq!(
        (after.tasks[&id].stage, after.tasks[&id].error.as_deref()),
        (TaskStage::Failed, Some("settled by hand"))
    );
    assert!(after.batches.values().all(|batch| batch.state == BatchState::Waiting));
    for outcome in ["failed", "success"] {
        let again = host(dir, &format!("ingest settle --config {config} {id} {outcome}")).expect(2);
        assert!(again.stderr.contains(&format!("task `{id}` is over already: `failed`")), "{}", again.stderr);
    }
    submit(&ingestion, &config);
    let loaded = ingestion.check_loaded(&ingestion.log());
    assert!(loaded.tasks.keys().any(|task| *task == id.replace("_1", "_2")), "{:?}", loaded.tasks.keys());

    let (ingestion, config, id) = abandoned();
    let settled = host(ingestion.dir.path(), &format!("ingest settle --config {config} {id} success")).expect(0);
    assert!(settled.stderr.contains("its 3 batches are stored"), "{}", settled.stderr);
    assert!(book(&ingestion).batches.values().all(|batch| batch.state == BatchState::Ingested));
    submit(&ingestion, &config);
    assert_eq!(ingestion.druid.totals(), (0, 0), "what is said to be stored is not loaded");
    let odd = host(ingestion.dir.path(), &format!("ingest settle --config {config} {id} perhaps")).expect(2);
    assert!(odd.stderr.contains("success") && odd.stderr.contains("failed"), "{}", odd.stderr);
}

#[test]
fn which_ingestion_is_meant_has_to_be_clear() {
    let (ingestion, config) = published(|ingest| ingest);
    let dir = ingestion.dir.path();
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(dir.join("none.toml"), text.split("[connectors.ingest]").next().unwrap()).unwrap();
    let second = text.split("[connectors.ingest]").nth(1).unwrap();
    std::fs::write(dir.join("two.toml"), format!("{text}[connectors.second]{second}")).unwrap();
    // The table of its own, as the pipeline's configuration has it.
    let own = text.replace("[connectors.ingest]", "[ingest]").replace("\"connector.class\" = '''ingest'''\n", "");
    std::fs::write(dir.join("own.toml"), own).unwrap();
    let spec = "ingest spec --uri http://h/x --output json --config";
    for (file, words) in [
        ("none.toml", "the ingestions configured are none, expected one"),
        ("two.toml", "the ingestions configured are `ingest`, `second`, expected one"),
    ] {
        for command in ["plan", "status", "submit", "run", "spec"] {
            refused(
                dir,
                &["ingest", command, "--config", file],
                &[words, "hint: `--connector NAME` chooses one; `[ingest]` in a configuration file makes one"],
            );
        }
    }
    let nobody = ["ingest", "plan", "--config", "two.toml", "--connector", "nobody"];
    refused(dir, &nobody, &["the ingestions configured are none"]);
    let chosen = host(dir, &format!("{spec} two.toml --connector second")).expect(0).json();
    let own = host(dir, &format!("{spec} own.toml")).expect(0).json();
    let first = host(dir, &format!("{spec} {config}")).expect(0).json();
    assert_eq!((&chosen["spec"], &own["spec"]), (&first["spec"], &first["spec"]));
    let status = host(dir, "ingest status --config two.toml --connector second --output json").expect(0).json();
    assert_eq!(status["connector"], "second");
    refused(dir, &["ingest", "plan", "--config", "nowhere.toml"], &["nowhere.toml"]);
    refused(dir, &["ingest", "plan", "--data-dir", "nowhere"], &["no demo was run with this data folder"]);
    refused(dir, &["ingest", "plan", "--set", "shedule=1s", "--config", &config], &["unknown key `shedule`"]);
}

#[test]
fn what_has_nowhere_to_go_is_refused() {
    let (ingestion, config) = published(|ingest| ingest.unset("druid.url"));
    let dir = ingestion.dir.path();
    let words =
        ["option `druid.url` is missing (where tasks are handed in)", "hint: `--set druid.url=http://HOST:8090`"];
    refused(dir, &["ingest", "submit", "--config", &config], &words);
    // It can be said here, and planned without.
    host(dir, &format!("ingest plan --config {config}")).expect(0);
    let url = ingestion.druid.url();
    host(dir, &format!("ingest submit --config {config} --set druid.url={url}")).expect(0);
    ingestion.check_loaded(&ingestion.log());
    let bare = ingestion.config(&ingestion.served().unset("plugin")).display().to_string();
    for command in ["submit", "plan", "spec"] {
        refused(
            dir,
            &["ingest", command, "--config", &bare],
            &["option `plugin` is missing (the component that writes tasks)"],
        );
    }
    // Served it can be.
    host(dir, &format!("ingest run --config {bare} --duration 500ms")).expect(0);
}

/// The emulator as a program, and its address.
fn emulator(dir: &Path, more: &str) -> (Program, String) {
    let line = format!("emulate overlord --listen 127.0.0.1:0 --dir druid{more}");
    let mut program = program::spawn(dir, line.split(' '));
    let said = program.wait_stderr("Ctrl-C stops it");
    let url = said.split("task API on ").nth(1).and_then(|rest| rest.split(',').next()).unwrap().to_owned();
    (program, url)
}

#[test]
fn an_emulated_druid_keeps_what_was_loaded() {
    let (ingestion, config) = published(|ingest| ingest);
    let dir = ingestion.dir.path();
    let rows = rows_in(&ingestion.log()).0.len() as u64;
    let count = |url: &str| {
        let query = json!({ "query": "SELECT COUNT(*) AS \"rows\" FROM \"wikipedia\"" });
        Client::new(url).post("/druid/v2/sql", &query).expect(200).json()[0]["rows"].as_u64().unwrap()
    };
    let (program, url) = emulator(dir, "");
    host(dir, &format!("ingest submit --config {config} --set druid.url={url}")).expect(0);
    assert_eq!(count(&url), rows);
    program.signal("INT");
    let ended = program.finish().expect(0);
    assert!(ended.stderr.contains(&format!("1 succeeded, 0 failed; {rows} rows in `wikipedia`")), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
    let (program, url) = emulator(dir, "");
    assert_eq!(count(&url), rows);
    program.signal("INT");
    program.finish().expect(0);
}

#[test]
fn an_emulated_druid_fails_where_it_is_told_to() {
    let (ingestion, config) = published(|ingest| ingest);
    let dir = ingestion.dir.path();
    let (program, url) = emulator(dir, " --fault refuse-spec=1 --seed 3");
    host(dir, &format!("ingest submit --config {config} --set druid.url={url}")).expect(1);
    drop(program);
    let bad = |line: &str, words: &str| {
        let run = host(dir, line).expect(2);
        assert!(run.stderr.contains(words) && run.stdout.is_empty(), "{run:?}");
    };
    bad("emulate overlord --fault never=1", "expected one of `no-leader`");
    bad("emulate overlord --fault no-leader=2", "expected 0 to 1");
    bad("emulate overlord --listen nowhere", "nowhere");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    bad(&format!("emulate overlord --listen {at}"), &format!("listening on `{at}`"));
}

#[test]
fn a_submission_waits_for_no_host_that_has_the_log() {
    let (ingestion, config) = published(|ingest| ingest);
    let running = ingestion.start(ingestion.ingest());
    ingestion.check_loaded(running.log());
    let busy = host(ingestion.dir.path(), &format!("ingest submit --config {config}")).expect(2);
    assert!(busy.stderr.contains("another host writes to it"), "{}", busy.stderr);
    // Looking is possible meanwhile.
    host(ingestion.dir.path(), &format!("ingest status --config {config}")).expect(0);
    host(ingestion.dir.path(), &format!("ingest plan --config {config}")).expect(0);
    write_edits(running.log(), 150..200);
    wait_until("more to be loaded", WITHIN, || book(&ingestion).batches.len() >= 4);
    running.end();
    submit(&ingestion, &config);
    ingestion.check_loaded(&ingestion.log());
}
