//! `host ingest spec`: tasks in Druid's words, as they would be handed in, and as a person asks for them.

use crate::bad_input::refused;
use crate::ingest_cli::{host, published};
use serde_json::{Value, json};
use tests::feeds;
use tests::ingest::Ingestion;
use tests::spool::write_secret;

#[test]
fn the_task_that_is_next_is_printed_as_it_will_be_handed_in() {
    let (ingestion, config) = published(|ingest| {
        ingest.set("listen", format!("127.0.0.1:{}", feeds::free_port())).set("access.username", "druid")
    });
    write_secret(&ingestion.dir.path().join("password"), "zebra-81");
    let dir = ingestion.dir.path();
    let config = format!("{config} --set access.password=file:{}", dir.join("password").display());
    let text = host(dir, &format!("ingest spec --config {config}")).expect(0);
    let line = host(dir, &format!("ingest spec --config {config} --output json")).expect(0);
    assert!(text.stdout.lines().count() > 20 && line.stdout.lines().count() == 1);
    let next = line.json();
    assert_eq!(text.json(), next);
    let password = "/spec/ioConfig/inputSource/httpAuthenticationPassword/password";
    assert_eq!(next.pointer(password), Some(&json!("${secret:0}")));
    let plan = host(dir, &format!("ingest plan --config {config} --output json")).expect(0).json();
    assert_eq!(plan["tasks"][0]["id"], next["id"]);
    let run = host(dir, &format!("ingest submit --config {config}")).expect(0);
    let mut handed_in = ingestion.druid.task(next["id"].as_str().unwrap());
    assert_eq!(handed_in.pointer(password), Some(&json!("zebra-81")));
    *handed_in.pointer_mut(password).unwrap() = json!("${secret:0}");
    assert_eq!(handed_in, next);
    // Now it is the last one.
    let last = host(dir, &format!("ingest spec --config {config} --output json")).expect(0);
    assert!(last.stderr.contains("this is the last task that was handed in"), "{}", last.stderr);
    assert_eq!(last.json(), next);
    let status = host(dir, &format!("ingest status --config {config}")).expect(0);
    for said in [&text, &line, &run, &last, &status] {
        assert!(!said.stdout.contains("zebra-81") && !said.stderr.contains("zebra-81"), "{said:?}");
    }
}

/// The columns of the original demonstration, and its task.
const SEED_COLUMNS: &str = "diffUrl,isRobot,added:long,delta:long,flags,channel,isUnpatrolled,isNew,deltaBucket:long,isMinor,isAnonymous,deleted:long,namespace,comment,page,commentLength:long,user,countryIsoCode,countryName,regionName,cityName,regionIsoCode";
const SEED_TASK: &str = r#"{"type":"index",
 "spec":{
  "dataSchema":{"dataSource":"Wikipedia",
   "parser":{"type":"string","parseSpec":{"format":"json",
     "timestampSpec":{"column":"timestamp","format":"iso"},
     "dimensionsSpec":{"dimensions":["diffUrl","isRobot",{"name":"added","type":"long"},{"name":"delta","type":"long"},"flags","channel","isUnpatrolled","isNew",{"name":"deltaBucket","type":"long"},"isMinor","isAnonymous",{"name":"deleted","type":"long"},"namespace","comment","page",{"name":"commentLength","type":"long"},"user","countryIsoCode","countryName","regionName","cityName","regionIsoCode"]}}},
   "granularitySpec":{"type":"uniform","segmentGranularity":"DAY","rollup":false,"queryGranularity":"none"},
   "metricsSpec":[]},
  "ioConfig":{"type":"index","firehose":{"type":"http","fetchTimeout":300000,"uris":["http://host:9500/"]},"appendToExisting":false},
  "tuningConfig":{"type":"index","forceExtendableShardSpecs":true,"maxRowsInMemory":75000,"reportParseExceptions":false}}}"#;

#[test]
fn the_demonstrations_task_is_written_field_for_field() {
    let ingestion = Ingestion::default();
    let ingest = ingestion.served().set("data.source", "Wikipedia").set("columns", SEED_COLUMNS);
    let config = ingestion.config(&ingest.set("max.rows.in.memory", 75_000)).display().to_string();
    let arguments = format!("ingest spec --config {config} --dialect legacy --mode replace --uri http://host:9500/");
    let mut found = host(ingestion.dir.path(), &arguments).expect(0).json();
    assert_eq!(found.as_object_mut().unwrap().remove("id"), Some(json!("host_Wikipedia_replace_by-hand")));
    assert_eq!(found, serde_json::from_str::<Value>(SEED_TASK).unwrap());
    // In the words of today the same is said otherwise.
    let today = host(
        ingestion.dir.path(),
        &format!("{arguments} --interval 2026-02-03/2026-02-04 --id seed").replace("legacy", "current"),
    )
    .expect(0)
    .json();
    assert_eq!((&today["type"], &today["id"]), (&json!("index_parallel"), &json!("seed")));
    let io = &today["spec"]["ioConfig"];
    assert_eq!((&io["inputSource"]["uris"], &io["dropExisting"]), (&json!(["http://host:9500/"]), &json!(true)));
}

#[test]
fn every_kind_of_spec_is_printed_and_what_it_lacks_is_told() {
    let ingestion = Ingestion::with_edits(0..1);
    let config = ingestion.config(&ingestion.served()).display().to_string();
    let dir = ingestion.dir.path();
    let spec = |more: &str| host(dir, &format!("ingest spec --config {config} --output json {more}"));
    let compaction = spec("--kind compaction --interval 2026-02-03/2026-02-04").expect(0).json();
    assert_eq!((&compaction["type"], &compaction["dataSource"]), (&json!("compact"), &json!("wikipedia")));
    assert!(compaction["ioConfig"].to_string().contains("2026-02-03/2026-02-04"), "{compaction}");
    let supervisor = spec("--kind supervisor --topic wikipedia --bootstrap-servers broker:9092").expect(0).json();
    assert_eq!((&supervisor["type"], &supervisor["spec"]["ioConfig"]["topic"]), (&json!("kafka"), &json!("wikipedia")));
    assert_eq!(supervisor["spec"]["ioConfig"]["consumerProperties"]["bootstrap.servers"], "broker:9092");
    let reindex = spec("--mode reindex --interval 2026-02-03/2026-02-04 --interval 2026-02-05T00:00:00Z/2026-02-07")
        .expect(0)
        .json();
    assert_eq!(reindex["spec"]["ioConfig"]["inputSource"]["type"], "druid");
    let intervals = &reindex["spec"]["dataSchema"]["granularitySpec"]["intervals"];
    assert_eq!(*intervals, json!(["2026-02-03/2026-02-04", "2026-02-05/2026-02-07"]));
    let appended = spec("--uri http://h/1 --uri http://h/2.gz").expect(0).json();
    assert_eq!(appended["spec"]["ioConfig"]["inputSource"]["uris"], json!(["http://h/1", "http://h/2.gz"]));
    assert_eq!(appended["spec"]["ioConfig"]["appendToExisting"], true);

    let check = |more: &str, words: &[&str]| {
        let line = format!("ingest spec --config {config} {more}");
        refused(dir, &line.split(' ').collect::<Vec<_>>(), words);
    };
    check("--kind compaction", &["a compaction is of one interval, expected `--interval START/END`"]);
    check(
        "--kind compaction --interval 2026-02-03/2026-02-04 --interval 2026-02-05/2026-02-06",
        &["a compaction is of one interval"],
    );
    check("--kind supervisor --bootstrap-servers b:9092", &["a supervisor reads a topic, expected `--topic NAME`"]);
    check("--kind supervisor --topic t", &["a supervisor reads from Kafka, expected `--bootstrap-servers HOST:PORT`"]);
    check("--kind supervisor --topic t --bootstrap-servers b", &["brokers are `b`, expected `host:port`"]);
    check("--mode reindex", &["a re-index reads intervals from Druid, expected `--interval START/END` and no `--uri`"]);
    check("--mode reindex --interval 2026-02-03/2026-02-04 --uri http://h/1", &["and no `--uri`"]);
    check("--mode replace --uri http://h/1", &["replaces no interval, expected at least one"]);
    check("--uri ftp://h/1", &["has a batch at `ftp://h/1`, expected an address of http or https"]);
    check("--uri http://h/1 --uri http://h/1", &["has the batch `http://h/1` twice"]);
    check("--id a/b --uri http://h/1", &["task is called `a/b`"]);
    for bad in [
        "2026-02-03",
        "2026-02-04/2026-02-03",
        "2026-02-03/2026-02-03",
        "yesterday/today",
        "2026-02-03T12:00:00Z/2026-02-04",
        "2026-02-30/2026-03-01",
    ] {
        check(&format!("--interval {bad} --uri http://h/1"), &[&format!("interval `{bad}`"), "expected "]);
    }
    // Before there is a data set, and before there is something in it.
    check("--mode append", &["set`: No such file or directory"]);
    std::fs::create_dir(ingestion.folder()).unwrap();
    check(
        "--mode append",
        &["nothing waits to be loaded, and nothing was", "hint: `--uri ADDRESS` names batches that are elsewhere"],
    );
}
