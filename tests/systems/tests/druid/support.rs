//! Tasks, as the tests give them to Druid.

use serde_json::{Value, json};
use std::time::Duration;
use systems::druid::Druid;

/// Longest wait for a small task, or for its rows to be seen: each takes a second or two.
pub(crate) const WITHIN: Duration = Duration::from_secs(90);

/// The day of all rows.
pub(crate) const DAY: &str = "2026-02-03/2026-02-04";

/// A task that replaces a datasource's [`DAY`] with the rows of `source`, none of which may be bad.
pub(crate) fn task(id: &str, datasource: &str, source: Value) -> Value {
    json!({
        "type": "index_parallel",
        "id": id,
        "spec": {
            "dataSchema": {
                "dataSource": datasource,
                "timestampSpec": { "column": "timestamp", "format": "iso" },
                "dimensionsSpec": { "dimensions": ["page", { "type": "long", "name": "added" }] },
                "granularitySpec": { "segmentGranularity": "day", "rollup": false, "intervals": [DAY] },
            },
            "ioConfig": { "type": "index_parallel", "inputSource": source, "inputFormat": { "type": "json" } },
            "tuningConfig": { "type": "index_parallel", "maxParseExceptions": 0 },
        },
    })
}

/// A line of JSON for each of the numbers, all different: number `n` is page `p<n>` with `n` added.
pub(crate) fn rows(numbers: std::ops::Range<u32>) -> String {
    numbers
        .map(|n| {
            format!(
                "{{\"timestamp\":\"2026-02-03T{:02}:{:02}:00Z\",\"page\":\"p{n}\",\"added\":{n}}}\n",
                n / 60 % 24,
                n % 60
            )
        })
        .collect()
}

/// Gives Druid a task and waits for its end, which must be good; the rows it has read.
#[track_caller]
pub(crate) fn succeed(druid: &Druid, task: &Value) -> Value {
    let id = task["id"].as_str().unwrap();
    let answer = druid.submit(task).unwrap();
    assert_eq!((answer.status, answer.body), (200, json!({ "task": id }).to_string()));
    let status = druid.ended(id, WITHIN).unwrap();
    assert_eq!(status["status"], "SUCCESS", "{status}");
    druid.report(id).unwrap()["rowStats"]["buildSegments"].take()
}
