//! Dead letters: inputs that can never become a record, kept with their bytes and why, under the
//! header names of Kafka Connect (`DeadLetterQueueReporter`).

use crate::connector::Rejected;
use crate::record::BatchBuilder;

/// What Connect has the exception's class for.
const REJECTED: &str = "rejected";

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

/// Appends a rejected input to the dead-letter batch: its own headers first, then ours.
pub(super) fn append(letters: &mut BatchBuilder, rejected: &Rejected, context: Context<'_>) {
    let (task, stage) = (context.task.to_string(), context.stage.name());
    let (partition, offset) = rejected.place.map(|(p, o)| (p.to_string(), o.to_string())).unwrap_or_default();
    // As the first lines of a Java trace.
    let trace = format!("{REJECTED}: {}\n\tat {} ({stage})", rejected.reason, context.plugin);
    let ours = [
        ("__connect.errors.topic", context.topic),
        ("__connect.errors.partition", &partition),
        ("__connect.errors.offset", &offset),
        ("__connect.errors.connector.name", context.connector),
        ("__connect.errors.task.id", &task),
        ("__connect.errors.stage", stage),
        ("__connect.errors.class.name", context.plugin),
        ("__connect.errors.exception.class.name", REJECTED),
        ("__connect.errors.exception.message", &rejected.reason),
        ("__connect.errors.exception.stacktrace", &trace),
        ("host.origin", &rejected.origin),
    ];
    let known = ours.into_iter().filter(|(_, value)| !value.is_empty());
    let known = known.map(|(name, value)| (name, Some(value.as_bytes())));
    let own = rejected.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
    let headers: Vec<_> = own.chain(known).collect();
    letters.push(rejected.key.as_deref(), rejected.raw.as_deref(), &headers, rejected.timestamp);
}
