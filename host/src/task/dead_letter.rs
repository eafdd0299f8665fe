//! Dead letters: inputs that can never become a record, kept with their bytes and why, under the
//! header names of Kafka Connect (`DeadLetterQueueReporter`).

use crate::connector::Rejected;
use crate::record::BatchBuilder;

/// Where in the pipeline an input was given up; Connect's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    TaskPoll,
    Transformation,
    ValueConverter,
    TaskPut,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Stage::TaskPoll => "TASK_POLL",
            Stage::Transformation => "TRANSFORMATION",
            Stage::ValueConverter => "VALUE_CONVERTER",
            Stage::TaskPut => "TASK_PUT",
        }
    }
}

/// Who gave it up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) connector: &'a str,
    pub(super) task: u32,
    pub(super) topic: &'a str,
    /// Plugin name and version.
    pub(super) plugin: &'a str,
    pub(super) stage: Stage,
}

/// Appends a rejected input to the dead-letter batch.
pub(super) fn append(letters: &mut BatchBuilder, rejected: &Rejected, context: Context<'_>) {
    let task = context.task.to_string();
    let headers = [
        ("__connect.errors.topic", context.topic),
        ("__connect.errors.connector.name", context.connector),
        ("__connect.errors.task.id", task.as_str()),
        ("__connect.errors.stage", context.stage.name()),
        ("__connect.errors.class.name", context.plugin),
        ("__connect.errors.exception.class.name", "rejected"),
        ("__connect.errors.exception.message", &rejected.reason),
        ("host.origin", &rejected.origin),
    ];
    let known = headers.iter().filter(|(_, value)| !value.is_empty());
    let headers: Vec<_> = known.map(|(name, value)| (*name, Some(value.as_bytes()))).collect();
    letters.push(rejected.key.as_deref(), Some(&rejected.raw), &headers, rejected.timestamp);
}
