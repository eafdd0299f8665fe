//! What a load leaves behind, by SQL.

use serde_json::{Value, json};

use super::{appending, inline, rows, setup, task, with};

fn hourly(task: Value) -> Value {
    with(task, "/spec/dataSchema/granularitySpec/segmentGranularity", json!("HOUR"))
}

#[tokio::test]
async fn replacing_replaces_what_it_writes_and_dropping_all_of_the_intervals() {
    let setup = setup().await;
    // Two hours, then one of them anew, then the same with the rest dropped.
    setup.succeed(&hourly(task("a", "wiki", &inline(&rows(0..120))))).await;
    assert_eq!(setup.emulator.stats().segments["wiki"], 2);
    setup.succeed(&hourly(task("b", "wiki", &inline(&rows(60..70))))).await;
    assert_eq!(setup.emulator.stats().rows["wiki"], 70);
    setup.succeed(&appending(hourly(task("c", "wiki", &inline(&rows(60..65)))))).await;
    assert_eq!((setup.emulator.stats().rows["wiki"], setup.emulator.stats().segments["wiki"]), (75, 3));
    let all = with(hourly(task("d", "wiki", &inline(&rows(60..70)))), "/spec/ioConfig/dropExisting", json!(true));
    setup.succeed(&all).await;
    assert_eq!(setup.loaded("wiki").await, json!([10, 645]));
    // A day takes the place of its hours; an hour cannot take the place of a part of a day.
    setup.succeed(&task("e", "wiki", &inline(&rows(0..3)))).await;
    assert_eq!(setup.loaded("wiki").await, json!([3, 3]));
    let error = setup.fail(&hourly(task("f", "wiki", &inline(&rows(0..3))))).await;
    assert!(error.contains("cannot replace a part"), "{error}");
    assert_eq!(setup.loaded("wiki").await, json!([3, 3]));
    // Appended hours go into the day.
    setup.succeed(&appending(hourly(task("g", "wiki", &inline(&rows(0..3)))))).await;
    assert_eq!(setup.loaded("wiki").await, json!([6, 6]));
    let nothing = with(task("h", "wiki", &inline("")), "/spec/ioConfig/dropExisting", json!(true));
    setup.succeed(&nothing).await;
    assert!(setup.emulator.stats().rows.is_empty());
}

#[tokio::test]
async fn versions_are_newer_with_each_replacement() {
    let setup = setup().await;
    let version = async |id: &str| {
        setup.succeed(&task(id, "wiki", &inline(&rows(0..3)))).await;
        setup.emulator.server.store.look().datasources["wiki"][0].version.clone()
    };
    let versions = [version("a").await, version("b").await, version("c").await];
    assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
    setup.succeed(&appending(task("d", "wiki", &inline(&rows(0..3))))).await;
    let kept = setup.emulator.server.store.look();
    let segments = &kept.datasources["wiki"];
    assert_eq!((&segments[1].version, segments[1].partition), (&versions[2], 1));
}

#[tokio::test]
async fn queries_are_answered_in_both_forms() {
    let setup = setup().await;
    setup.succeed(&task("a", "wiki", &inline(&rows(0..10)))).await;
    let ask = async |body: Value| setup.client.post("/druid/v2/sql", &body).await;
    let query =
        "select count(*) as \"n\", SUM(\"added\"), min(__time), MAX(\"__time\") AS last from \"druid\".\"wiki\" ;";
    let (first, last) = ("2026-02-03T00:00:00.000Z", "2026-02-03T00:09:00.000Z");
    let reply = ask(json!({ "query": query })).await.ok().json();
    assert_eq!(reply, json!([{ "n": 10, "EXPR$1": 45, "EXPR$2": first, "last": last }]));
    let reply = ask(json!({ "query": query, "resultFormat": "array", "header": true })).await.ok().json();
    assert_eq!(reply, json!([["n", "EXPR$1", "EXPR$2", "last"], [10, 45, first, last]]));
    for (query, expected) in [
        ("SELECT * FROM wiki", "emulator answers"),
        ("SELECT COUNT(*) FROM wiki WHERE added > 1", "emulator answers"),
        ("SELECT MIN(added) FROM wiki", "emulator answers"),
        ("SELECT COUNT(*) FROM \"wiki", "emulator answers"),
        ("", "emulator answers"),
        ("SELECT SUM(page) FROM wiki", "'page' is text"),
        ("SELECT SUM(nothing) FROM wiki", "Column 'nothing' not found"),
        ("SELECT COUNT(*) FROM Wiki", "Object 'Wiki' not found (line [1], column [22])"),
    ] {
        let (status, message) = ask(json!({ "query": query })).await.error();
        assert!(status == 400 && message.contains(expected), "{query}: {message}");
    }
    assert_eq!(ask(json!({ "query": "SELECT COUNT(*) FROM wiki", "resultFormat": "csv" })).await.error().0, 400);
}
