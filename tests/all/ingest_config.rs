//! What is wrong with an ingestion's configuration is refused before anything runs, in words that say what to
//! write instead.

use crate::bad_input::refused;
use crate::ingest_access::{certificate, secret, with_basic};
use host::config::{Config, ConnectorKind, RawConfig};
use std::path::{Path, PathBuf};
use tests::ingest::Ingestion;
use tests::plugins::Plugin;
use tests::spool::{make_keys, public_key};
use tests::worker::{Connector, try_start};

/// Checks that the program refuses to start with this ingestion, in all these words.
fn check(ingestion: &Ingestion, connector: &Connector, expected: &[&str]) {
    let config = ingestion.config(connector);
    refused(ingestion.dir.path(), &["run", config.to_str().unwrap()], expected);
}

#[test]
fn an_address_that_others_reach_needs_to_know_who_asks() {
    let ingestion = Ingestion::default();
    let served = || ingestion.served();
    for open in ["0.0.0.0:0", "[::]:0", "192.0.2.1:9500"] {
        let found = format!("option `listen` is `{open}`, where others can reach it");
        check(
            &ingestion,
            &served().set("listen", open),
            &[&found, "hint: set `access.username` and `access.password`, or `access.token`"],
        );
    }
    check(
        &ingestion,
        &served().set("listen", "nowhere"),
        &["option `listen` is `nowhere`, expected for instance `127.0.0.1:9500`"],
    );
    check(&ingestion, &served().set("listen", "127.0.0.1"), &["option `listen` is `127.0.0.1`"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    check(&ingestion, &served().set("listen", &at), &["connector `ingest`", "option `listen`", &at, "in use"]);
    let running = try_start(
        &ingestion.data_dir(),
        &[ingestion.to_data_set(), with_basic(&ingestion).set("listen", "0.0.0.0:0")],
        None,
    );
    running.unwrap().end();
}

#[test]
fn only_this_machine_reaches_what_is_not_told_otherwise() {
    let ingestion = Ingestion::default();
    let config = ingestion.config(&ingestion.served().unset("listen"));
    let config = Config::check(&RawConfig::read(&[config]).unwrap()).unwrap();
    let listen = config.connectors.iter().find_map(|connector| match &connector.kind {
        ConnectorKind::Ingest(ingest) => Some(ingest.listen.to_string()),
        _ => None,
    });
    assert_eq!(listen.as_deref(), Some("127.0.0.1:9500"));
}

#[test]
fn secrets_and_certificates_are_whole() {
    let ingestion = Ingestion::default();
    let (served, dir) = (|| ingestion.served(), ingestion.dir.path());
    let pair = "`access.username` without a `:` and `access.password` are set together, or neither";
    check(&ingestion, &served().set("access.username", "druid"), &[pair]);
    check(&ingestion, &served().set("access.password", secret(&ingestion, "p", "x")), &[pair]);
    check(&ingestion, &with_basic(&ingestion).set("access.username", "a:b"), &[pair]);
    check(
        &ingestion,
        &with_basic(&ingestion).set("access.password", "hunter2"),
        &["option `access.password` holds a value"],
    );
    check(
        &ingestion,
        &with_basic(&ingestion).set("access.password", "file:nowhere"),
        &["option `access.password`", "nowhere"],
    );
    let token = served().set("access.token", secret(&ingestion, "t", "two words"));
    check(&ingestion, &token, &["option `access.token`: expected letters, digits and signs of ASCII without blanks"]);
    let druid = "`druid.username` and `druid.password` are set together, or neither";
    check(&ingestion, &ingestion.ingest().set("druid.username", "x"), &[druid]);
    let (pem, key) = certificate(dir, "tls");
    let half = "`tls.certificate.file` and `tls.key.file` are set together, or neither";
    check(&ingestion, &served().set("tls.certificate.file", pem.display()), &[half]);
    check(&ingestion, &served().set("tls.key.file", key.display()), &[half]);
    let tls =
        |pem: &Path, key: &Path| served().set("tls.certificate.file", pem.display()).set("tls.key.file", key.display());
    check(&ingestion, &tls(&dir.join("nowhere.pem"), &key), &["certificate file `", "nowhere.pem`"]);
    check(&ingestion, &tls(&key, &key), &["tls.key.pem`", "certificate"]);
    check(&ingestion, &tls(&pem, &pem), &["key file `", "tls.pem`"]);
    let (_, other) = certificate(dir, "other");
    check(&ingestion, &tls(&pem, &other), &["certificate file `", "tls.pem`"]);
}

#[test]
fn a_data_set_is_named_once_and_can_be_opened() {
    let ingestion = Ingestion::default();
    let served = || ingestion.served();
    check(
        &ingestion,
        &served().unset("data.set"),
        &["option `data.set` is missing (the spool sink whose data set is loaded)"],
    );
    check(&ingestion, &served().set("data.set", "nobody"), &["option `data.set`: no connector `nobody`"]);
    check(
        &ingestion,
        &served().set("data.set", "ingest"),
        &["option `data.set`", "connector `ingest` is no `spool-sink` with `spool.place` = `target`"],
    );
    let layout = Plugin::SpoolLayout.path().display().to_string();
    check(
        &ingestion,
        &served().set("layout.plugin", &layout),
        &["options `data.set` and `layout.plugin` are set, expected one"],
    );
    let inbox = [ingestion.to_data_set().set("spool.place", "inbox"), served()];
    let error = try_start(&ingestion.data_dir(), &inbox, None).err().unwrap().to_string();
    assert!(error.contains("is no `spool-sink` with `spool.place` = `target`"), "{error}");
    // By its folder alone it has to be there; beside its sink the sink makes it.
    let by_folder = served().unset("data.set").set("layout.plugin", layout).set("files", "local");
    let nowhere = ingestion.dir.path().join("nowhere");
    let error =
        try_start(&ingestion.data_dir(), &[by_folder.set("dir", nowhere.display())], None).err().unwrap().to_string();
    assert!(error.contains(&format!("folder `{}`: No such file", nowhere.display())), "{error}");
    check(
        &ingestion,
        &served().unset("open.keys"),
        &["option `open.keys` is missing (private keys that the data set was sealed for)"],
    );
    check(&ingestion, &served().set("open.keys", "file:nowhere.key"), &["option `open.keys`", "nowhere.key"]);
    make_keys(ingestion.dir.path(), "half");
    check(
        &ingestion,
        &served().set("open.keys", public_key(ingestion.dir.path(), "half")),
        &["open.keys", "is public"],
    );
}

#[test]
fn columns_and_names_are_those_that_druid_takes() {
    let ingestion = Ingestion::default();
    let served = || ingestion.served();
    let of = |columns: &str| served().set("columns", columns);
    let types = "expected `string`, `long`, `float`, `double` or `json`";
    check(&ingestion, &of("page,added:integer"), &["option `columns`: `added` is of type `integer`", types]);
    check(&ingestion, &of("page,:long"), &["option `columns`: `:long` has no name"]);
    check(
        &ingestion,
        &of("page,added:long,page"),
        &["option `columns` names `page` twice, or it is the `time.column`"],
    );
    check(&ingestion, &of("page,timestamp"), &["option `columns` names `timestamp` twice, or it is the `time.column`"]);
    check(&ingestion, &of(" , "), &["option `columns`"]);
    check(&ingestion, &served().unset("columns"), &["option `columns` names 0 columns, expected 1 to 10000"]);
    check(&ingestion, &served().unset("data.source"), &["option `data.source` is missing"]);
    for name in ["a b", ".a", "a/b", "a\tb"] {
        let found = format!("option `data.source` is `{}`", name.escape_debug());
        check(
            &ingestion,
            &served().set("data.source", name),
            &[&found, "expected no blanks, no `/`, and no `.` at its beginning"],
        );
    }
    check(
        &ingestion,
        &served().set("time.format", "yyyy"),
        &["option `time.format` is `yyyy`, expected one of `iso`, `millis`, `posix`, `auto`"],
    );
    let week = served().set("segment.granularity", "week");
    check(
        &ingestion,
        &week,
        &["option `segment.granularity` is `week`, expected one of `hour`, `day`, `month`, `year`"],
    );
}

#[test]
fn what_is_loaded_when_and_where_to_is_told_in_full() {
    let ingestion = Ingestion::default();
    let ingest = || ingestion.ingest();
    let replaced = ingest().set("ingest.mode", "replace").set("retire", "ingested");
    check(&ingestion, &replaced, &["`ingest.mode` = `replace` loads batches again, expected `retire` = `never`"]);
    check(
        &ingestion,
        &ingest().set("ingest.mode", "reindex"),
        &["option `ingest.mode` is `reindex`, expected one of `append`, `replace`"],
    );
    check(
        &ingestion,
        &ingest().set("retire", "always"),
        &["option `retire` is `always`, expected one of `never`, `ingested`"],
    );
    check(
        &ingestion,
        &ingest().set("dialect", "sql"),
        &["option `dialect` is `sql`, expected one of `current`, `legacy`"],
    );
    for (option, bad) in
        [("schedule", "often"), ("schedule", "0s"), ("schedule", "61 * * * *"), ("merge.schedule", "nightly")]
    {
        check(&ingestion, &ingest().set(option, bad), &[&format!("option `{option}`"), &format!("`{bad}`")]);
    }
    let often = ["option `schedule`: `often` is neither a time such as `30s` nor a cron pattern such as `*/5 * * * *`"];
    check(&ingestion, &ingest().set("schedule", "often"), &often);
    for bad in ["ftp://druid:8090", "druid:8090", "http://", "http://u:p@druid:8090", "http://druid/?x=1"] {
        let url = ingest().set("druid.url", bad);
        check(&ingestion, &url, &["option `druid.url`"]);
    }
    let secret = ingest().set("druid.url", "http://u:zebra-71@druid:8090");
    let run = refused(
        ingestion.dir.path(),
        &["run", ingestion.config(&secret).to_str().unwrap()],
        &["hint: user and password are `druid.username` and `druid.password`"],
    );
    assert!(!run.stderr.contains("zebra-71"), "{}", run.stderr);
    check(
        &ingestion,
        &ingest().set("druid.tls.ca.file", "nowhere.pem"),
        &["option `druid.tls.ca.file`", "nowhere.pem"],
    );
    let reached = ingest().set("advertised.url", "ingest:9500");
    check(&ingestion, &reached, &["option `advertised.url` is `ingest:9500`, expected an `http` or `https` URL"]);
    for (option, bad) in [
        ("task.max.attempts", "0"),
        ("task.max.batches", "0"),
        ("merge.min.tasks", "1"),
        ("scan.interval.ms", "10"),
        ("task.poll.interval.ms", "1"),
    ] {
        check(&ingestion, &ingest().set(option, bad), &[&format!("option `{option}` is `{bad}`, expected ")]);
    }
    check(&ingestion, &ingest().unset("plugin"), &["option `plugin` is missing (the component that writes tasks)"]);
    check(
        &ingestion,
        &ingest().set("plugin", Plugin::SpoolLayout.path().display()),
        &["is of world `layout`, expected `ingest`"],
    );
    check(&ingestion, &ingest().set("task.priority", "high"), &["task.priority"]);
    check(&ingestion, &ingest().set("shedule", "1s"), &["unknown key `shedule`", "hint: did you mean `schedule`?"]);
    check(&ingestion, &ingest().set("topics", "x"), &["unknown key `topics`"]);
    check(
        &ingestion,
        &ingest().transform(Plugin::SelectEdits, &[]),
        &["`transforms` are set, and an ingestion takes records as they are"],
    );
    assert_eq!(ingestion.druid.stats().requests, 0, "nothing was asked");
    assert_eq!(ingestion.files(), Vec::<PathBuf>::new(), "nothing was begun");
}
