//! `host demo` as a whole: into a Druid of its own or another's, and with something lost on the way, which is
//! seen. What it leaves behind is in `spool_cli.rs`.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use tempfile::tempdir;
use tests::ingest::Druid;
use tests::program::{self, Finished};
use tests::spool::files_below;

fn demo(dir: &Path, more: &str) -> Finished {
    let line = format!("demo --records 300 --rate 0 --output json --data-dir d{more}");
    program::host(dir, line.split(' '))
}

fn hops(demo: &Value) -> BTreeMap<&str, u64> {
    let hops = demo["hops"].as_array().unwrap().iter();
    hops.map(|hop| (hop["name"].as_str().unwrap(), hop["count"].as_u64().unwrap())).collect()
}

#[test]
fn another_druid_takes_the_rows_and_the_next_run_goes_on() {
    let dir = tempdir().unwrap();
    let druid = Druid::start(|_| {});
    for run in 1..=2 {
        let shown = demo(dir.path(), &format!(" --druid {}", druid.url())).expect(0).json();
        assert_eq!(shown["equal"], true, "{shown}");
        let hops = hops(&shown);
        assert!(hops.len() == 5 && hops.values().all(|count| *count == 300 * run), "{hops:?}");
        assert_eq!(druid.stats().rows["wikipedia"], 300 * run);
    }
    assert!(!dir.path().join("d/druid").exists(), "no emulator was needed");
}

#[test]
fn a_hop_that_lost_something_is_seen() {
    let dir = tempdir().unwrap();
    demo(dir.path(), "").expect(0);
    let set = dir.path().join("d/qumulo2/qf2/demo/kafka/sink/wikipedia");
    let own = set.join("var");
    let lost = files_below(&set).into_iter().find(|path| !path.starts_with(&own)).unwrap();
    std::fs::remove_file(lost).unwrap();
    let run = demo(dir.path(), "").expect(1);
    let shown = run.json();
    assert_eq!(shown["equal"], false, "{shown}");
    let hops = hops(&shown);
    assert!(hops["log"] == 600 && hops["sealed files"] < 600, "{hops:?}");
    assert!(run.stderr.contains("not all records arrived at all places"), "{}", run.stderr);
}
