//! What a task says of the rows it has read, section 3.

use serde_json::{Value, json};

/// How much of a bad line is shown.
const MAX_SHOWN_CHARS: usize = 200;

/// Counts of one reading.
#[derive(Debug, Default, Clone)]
pub(super) struct Counts {
    pub(super) processed: u64,
    pub(super) processed_bytes: u64,
    pub(super) with_error: u64,
    pub(super) thrown_away: u64,
    pub(super) unparseable: u64,
}

impl Counts {
    fn value(&self) -> Value {
        json!({
            "processed": self.processed, "processedBytes": self.processed_bytes,
            "processedWithError": self.with_error, "thrownAway": self.thrown_away,
            "unparseable": self.unparseable,
        })
    }
}

/// The report as it grows.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Of the first reading, where there are two.
    pub(super) determine: Counts,
    pub(super) build: Counts,
    /// Whether the reading that builds has begun.
    pub(super) builds: bool,
    saved: Vec<Value>,
    saved_determine: Vec<Value>,
}

impl Report {
    pub(super) fn new(builds: bool) -> Self {
        Self { builds, ..Self::default() }
    }

    /// The counts of the reading that goes on.
    pub(super) fn counts(&mut self) -> &mut Counts {
        if self.builds { &mut self.build } else { &mut self.determine }
    }

    /// Keeps what was wrong with a line, `most` of them at most.
    pub(super) fn save(&mut self, most: usize, line: &str, what: &str, is_partial: bool) {
        let saved = if self.builds { &mut self.saved } else { &mut self.saved_determine };
        if saved.len() < most {
            let input: String = line.chars().take(MAX_SHOWN_CHARS).collect();
            let kind = if is_partial { "processedWithError" } else { "unparseable" };
            saved.push(json!({ "errorType": kind, "input": input, "details": [what] }));
        }
    }

    /// What `/reports` answers once the task has ended.
    pub(super) fn value(&self, id: &str, error: Option<&str>) -> Value {
        let state = match (error, self.builds) {
            (None, _) => "COMPLETED",
            (Some(_), true) => "BUILD_SEGMENTS",
            (Some(_), false) => "DETERMINE_PARTITIONS",
        };
        let mut unparseable = serde_json::Map::new();
        for (key, saved) in [("determinePartitions", &self.saved_determine), ("buildSegments", &self.saved)] {
            if !saved.is_empty() {
                unparseable.insert(key.to_owned(), Value::Array(saved.clone()));
            }
        }
        json!({ "ingestionStatsAndErrors": {
            "taskId": id, "type": "ingestionStatsAndErrors",
            "payload": {
                "ingestionState": state, "unparseableEvents": unparseable,
                "rowStats": { "determinePartitions": self.determine.value(), "buildSegments": self.build.value() },
                "errorMsg": error, "segmentAvailabilityConfirmed": false, "segmentAvailabilityWaitTimeMs": 0,
            },
        } })
    }
}
