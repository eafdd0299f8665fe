//! The Overlord emulator as its clients see it: one that submits over HTTP/1.1 by hand, and a server
//! of rows that is asked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod client;
mod faults;
mod fetch;
mod source;
mod state;
mod submit;
mod table;
mod values;

use std::ops::Range;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{Options, OverlordHandle};
use client::{Client, Reply};

pub(super) const SOON: Duration = Duration::from_secs(20);
pub(super) const DAY: &str = "2026-02-03/2026-02-04";

/// An emulator and a client.
struct Setup {
    emulator: OverlordHandle,
    client: Client,
}

async fn setup() -> Setup {
    setup_with(|_| {}).await
}

async fn setup_with(change: impl FnOnce(&mut Options)) -> Setup {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = Options { retry_base: Duration::from_millis(1), ..Options::default() };
    change(&mut options);
    let emulator = super::start(listener, options).await.unwrap();
    let client = Client::new(emulator.addr());
    Setup { emulator, client }
}

impl Setup {
    async fn submit(&self, task: &Value) -> Reply {
        self.client.post("/druid/indexer/v1/task", task).await
    }

    /// Submits a task, which must be taken, and waits for its end. Returns its status.
    async fn run(&self, task: &Value) -> Value {
        let id = self.submit(task).await.ok().json()["task"].as_str().unwrap().to_owned();
        self.ended(&id).await
    }

    /// The status of a task when it has ended.
    async fn ended(&self, id: &str) -> Value {
        let done = |kept: &super::store::Kept| kept.tasks.get(id).is_some_and(|task| task.end.is_some());
        let is_done = self.emulator.wait_for(|_| done(&self.emulator.server.store.look()), SOON).await;
        assert!(is_done, "{:?}", self.emulator.stats());
        self.status(id).await
    }

    async fn status(&self, id: &str) -> Value {
        self.client.get(&format!("/druid/indexer/v1/task/{id}/status")).await.ok().json()["status"].take()
    }

    /// Runs a task, which must end well.
    async fn succeed(&self, task: &Value) -> Value {
        let status = self.run(task).await;
        assert_eq!((&status["status"], &status["errorMsg"]), (&json!("SUCCESS"), &Value::Null), "{status}");
        self.report(status["id"].as_str().unwrap()).await["rowStats"]["buildSegments"].take()
    }

    /// Runs a task, which must fail. Returns why.
    async fn fail(&self, task: &Value) -> String {
        let status = self.run(task).await;
        assert_eq!(status["status"], "FAILED", "{status}");
        status["errorMsg"].as_str().unwrap().to_owned()
    }

    async fn report(&self, id: &str) -> Value {
        let mut report = self.client.get(&format!("/druid/indexer/v1/task/{id}/reports")).await.ok().json();
        report["ingestionStatsAndErrors"]["payload"].take()
    }

    async fn sql(&self, query: &str) -> Value {
        self.client.post("/druid/v2/sql", &json!({ "query": query, "resultFormat": "array" })).await.ok().json()
    }

    /// Count of rows and sum of `added`.
    async fn loaded(&self, datasource: &str) -> Value {
        self.sql(&format!("SELECT COUNT(*), SUM(added) FROM \"{datasource}\"")).await[0].take()
    }
}

/// A task that replaces a data source's [`DAY`] with the rows of `source`.
fn task(id: &str, datasource: &str, source: &Value) -> Value {
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

/// The same with something changed.
fn with(mut task: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    task.pointer_mut(parent).unwrap()[key] = value;
    task
}

fn appending(task: Value) -> Value {
    with(task, "/spec/ioConfig/appendToExisting", json!(true))
}

fn inline(rows: &str) -> Value {
    json!({ "type": "inline", "data": rows })
}

/// A line of JSON for each of the numbers: number `n` is page `p<n>` with `n` added, all on [`DAY`].
fn rows(numbers: Range<u32>) -> String {
    numbers
        .map(|n| {
            let (hour, minute) = (n / 60 % 24, n % 60);
            format!("{{\"timestamp\":\"2026-02-03T{hour:02}:{minute:02}:00Z\",\"page\":\"p{n}\",\"added\":{n}}}\n")
        })
        .collect()
}
