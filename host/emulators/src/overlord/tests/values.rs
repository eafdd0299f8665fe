//! Rows: their times, their numbers, and what is wrong with them.

use serde_json::{Value, json};

use super::{appending, inline, rows, setup, task, with};

/// A task for rows of any time, where bad rows are counted only.
fn lenient(id: &str, text: &str) -> Value {
    let task = with(task(id, "wiki", &inline(text)), "/spec/tuningConfig", json!({ "maxSavedParseExceptions": 2 }));
    with(task, "/spec/dataSchema/granularitySpec/intervals", Value::Null)
}

#[tokio::test]
async fn bad_rows_cost_themselves_and_are_counted() {
    let setup = setup().await;
    let text = [
        "{\"timestamp\":\"2026-02-03\",\"added\":1}\r\n",
        "not json\n",
        "\n",
        "[1]\n",
        "{\"added\":1}\n",
        "{\"timestamp\":\"soon\",\"added\":1}\n",
        "{\"timestamp\":null,\"added\":1}\n",
        "{\"timestamp\":\"2026-02-03\",\"added\":\"many\"}\n",
        "{\"timestamp\":\"2026-02-03\",\"added\":2}",
    ]
    .concat();
    let counts = setup.succeed(&lenient("a", &text)).await;
    let expected = json!({
        "processed": 2, "processedBytes": text.len(), "processedWithError": 1, "thrownAway": 0, "unparseable": 6,
    });
    assert_eq!(counts, expected);
    // A row with a bad column is kept without it.
    assert_eq!(setup.loaded("wiki").await, json!([3, 3]));
    let saved = setup.report("a").await["unparseableEvents"]["buildSegments"].take();
    assert_eq!((saved.as_array().unwrap().len(), &saved[0]["input"]), (2, &json!("not json")));
}

#[tokio::test]
async fn too_many_bad_rows_fail_the_task_and_nothing_is_published() {
    let setup = setup().await;
    setup.succeed(&task("good", "wiki", &inline(&rows(0..5)))).await;
    let text = rows(0..10) + "\nnot json\n" + &rows(10..20);
    for (id, tuning, expected) in [
        ("none", json!({ "maxParseExceptions": 0 }), Some("Max parse exceptions[0] exceeded")),
        ("one", json!({ "maxParseExceptions": 1 }), Some("Max parse exceptions[1] exceeded")),
        ("strict", json!({ "reportParseExceptions": true }), Some("Max parse exceptions[0] exceeded")),
        ("two", json!({ "maxParseExceptions": 2 }), None),
    ] {
        let task = with(task(id, "wiki", &inline(&text)), "/spec/tuningConfig", tuning);
        match expected {
            Some(error) => {
                assert_eq!(setup.fail(&task).await, error);
                assert_eq!(setup.loaded("wiki").await, json!([5, 10]));
                let report = setup.report(id).await;
                assert_eq!((&report["errorMsg"], &report["ingestionState"]), (&json!(error), &json!("BUILD_SEGMENTS")));
            }
            None => assert_eq!(setup.succeed(&task).await["unparseable"], 2),
        }
    }
    assert_eq!(setup.loaded("wiki").await, json!([20, 190]));
}

#[tokio::test]
async fn rows_outside_the_intervals_are_thrown_away() {
    let setup = setup().await;
    let text = rows(0..10)
        + "{\"timestamp\":\"2026-02-04\",\"added\":5}\n{\"timestamp\":\"2026-02-02T23:59:59.999Z\",\"added\":5}\n";
    let counts = setup.succeed(&task("a", "wiki", &inline(&text))).await;
    assert_eq!((&counts["processed"], &counts["thrownAway"]), (&json!(10), &json!(2)));
    assert_eq!(setup.loaded("wiki").await, json!([10, 45]));
}

#[tokio::test]
async fn numbers_are_read_as_druid_reads_them() {
    let setup = setup().await;
    let columns = json!([{ "type": "long", "name": "l" }, { "type": "double", "name": "d" }, "s"]);
    let values = [
        (json!(true), Some((1, 1.0))),
        (json!(3.9), Some((3, 3.9))),
        (json!(-3.9), Some((-3, -3.9))),
        (json!("12"), Some((12, 12.0))),
        (json!("12.0"), Some((12, 12.0))),
        (json!(null), None),
        (json!(i64::MAX), Some((i64::MAX, i64::MAX as f64))),
    ];
    for (number, (value, expected)) in values.into_iter().enumerate() {
        let row = json!({ "timestamp": "2026-02-03", "l": value, "d": value, "s": value }).to_string();
        let task = with(
            task(&format!("t{number}"), "wiki", &inline(&row)),
            "/spec/dataSchema/dimensionsSpec/dimensions",
            columns.clone(),
        );
        assert_eq!(setup.succeed(&task).await["processed"], 1, "{value}");
        let sums = setup.sql("SELECT SUM(l), SUM(d) FROM wiki").await;
        let expected = expected.map_or(json!([[null, null]]), |(long, double)| json!([[long, double]]));
        assert_eq!(sums, expected, "{value}");
    }
    for bad in [json!("3.9"), json!("x"), json!([1]), json!({})] {
        let row = json!({ "timestamp": "2026-02-03", "l": bad }).to_string();
        let id = format!("bad{}", setup.emulator.stats().submitted);
        let task =
            with(task(&id, "wiki", &inline(&row)), "/spec/dataSchema/dimensionsSpec/dimensions", columns.clone());
        assert!(setup.fail(&task).await.contains("Max parse"), "{bad}");
    }
}

#[tokio::test]
async fn columns_that_are_not_listed_are_found_and_metrics_added() {
    let setup = setup().await;
    let text = "{\"timestamp\":\"2026-02-03\",\"a\":1,\"b\":1.5,\"c\":\"x\"}\n{\"timestamp\":\"2026-02-03\",\"a\":2,\"b\":1}\n";
    let found = with(
        task("a", "wiki", &inline(text)),
        "/spec/dataSchema/dimensionsSpec",
        json!({ "useSchemaDiscovery": true }),
    );
    let metrics = json!([
        { "type": "count", "name": "n" }, { "type": "longSum", "name": "sum", "fieldName": "a" },
    ]);
    setup.succeed(&with(found, "/spec/dataSchema/metricsSpec", metrics)).await;
    assert_eq!(setup.sql("SELECT SUM(a), SUM(b), SUM(n), SUM(\"sum\") FROM wiki").await, json!([[3, 2.5, 2, 3]]));
}

#[tokio::test]
async fn a_line_has_a_bound_and_pieces_do_not_tear_it() {
    let setup = setup().await;
    // Longer than the pieces in which text is read.
    let long = json!({ "timestamp": "2026-02-03", "added": 7, "page": "ä".repeat(300_000) }).to_string() + "\n";
    setup.succeed(&task("long", "wiki", &inline(&(rows(0..10) + &long + &rows(10..20))))).await;
    assert_eq!(setup.loaded("wiki").await, json!([21, 190 + 7]));
    let endless = "x".repeat(super::super::rows::MAX_LINE_BYTES + 1);
    let error = setup.fail(&lenient("endless", &endless)).await;
    assert!(error.contains("more than 4194304 bytes"), "{error}");
}

#[tokio::test]
async fn a_missing_time_may_have_a_value_and_times_be_cut() {
    let setup = setup().await;
    let spec = json!({ "column": "at", "format": "posix", "missingValue": "2026-02-03T01:00:00Z" });
    let text = "{\"added\":1}\n{\"at\":1770091506,\"added\":2}\n";
    let task = with(task("a", "wiki", &inline(text)), "/spec/dataSchema/timestampSpec", spec);
    setup.succeed(&with(task, "/spec/dataSchema/granularitySpec/queryGranularity", json!("HOUR"))).await;
    let ends = setup.sql("SELECT MIN(__time), MAX(__time) FROM wiki").await;
    assert_eq!(ends, json!([["2026-02-03T01:00:00.000Z", "2026-02-03T04:00:00.000Z"]]));
}

#[tokio::test]
async fn segments_are_split_by_their_most_rows() {
    let setup = setup().await;
    let task = task("a", "wiki", &inline(&rows(0..25)));
    setup
        .succeed(&appending(with(
            task,
            "/spec/tuningConfig/partitionsSpec",
            json!({ "type": "dynamic", "maxRowsPerSegment": 10 }),
        )))
        .await;
    assert_eq!(setup.emulator.stats().segments["wiki"], 3);
    assert_eq!(setup.loaded("wiki").await, json!([25, 300]));
}
