//! What Druid answered, and what it means.

use crate::error::Error;
use crate::ports::indexer::TaskRows;
use serde_json::Value;

/// Letters of a message that are kept.
const MESSAGE_LETTERS: usize = 1000;

/// An answer; what is no JSON has its text alone.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) json: Value,
    plain: String,
}

impl Answer {
    pub(super) fn new(status: u16, body: &[u8]) -> Self {
        let plain = bounded(&String::from_utf8_lossy(body));
        Answer { status, json: serde_json::from_slice(body).unwrap_or(Value::Null), plain }
    }

    pub(super) fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.json.get(name).and_then(Value::as_str)
    }

    /// The service's own words: `error` is only a tag where `errorMessage` is given too.
    pub(super) fn message(&self) -> String {
        let text = self.text("errorMessage").or_else(|| self.text("error"));
        match text.unwrap_or(&self.plain) {
            "" => format!("status {} without a word", self.status),
            text => bounded(text),
        }
    }

    pub(super) fn is_duplicate(&self) -> bool {
        self.text("errorCode") == Some("entryAlreadyExists")
            || (!self.is_ok() && self.message().starts_with("Task") && self.message().contains("already exists"))
    }

    /// Whether the same request never will be answered otherwise. Druid says 500 where it cannot read a
    /// task, so the words decide.
    pub(super) fn is_refusal(&self) -> bool {
        match self.status {
            400 | 413 | 415 | 422 => true,
            500 => {
                let is_of_user = matches!(self.text("category"), Some("INVALID_INPUT" | "UNSUPPORTED"));
                let message = self.message();
                let is_unreadable =
                    ["Cannot construct instance", "Could not resolve type id", "Unrecognized", "Cannot deserialize"];
                is_of_user || is_unreadable.iter().any(|words| message.contains(words))
            }
            _ => false,
        }
    }

    /// Whether the service says that it has no task of this name; a proxy's 404 does not say it.
    pub(super) fn is_unknown_task(&self, id: &str) -> bool {
        let is_named = self.text("task") == Some(id) || self.message().contains(&format!("[{id}]"));
        let has_none = self.json.get("status").is_none_or(Value::is_null);
        is_named && has_none && self.status == 404
    }

    /// What the report says of the rows.
    pub(super) fn rows(&self) -> Option<TaskRows> {
        let stats = self.json.pointer("/ingestionStatsAndErrors/payload/rowStats")?;
        let counts = stats.get("buildSegments").or_else(|| stats.pointer("/totals/buildSegments"))?;
        let count = |name| counts.get(name).and_then(Value::as_u64).unwrap_or(0);
        counts.get("processed")?;
        Some(TaskRows {
            stored: count("processed") + count("processedWithError"),
            left_out: count("thrownAway"),
            unparseable: count("unparseable"),
        })
    }

    /// The answer as an error.
    pub(super) fn error(&self) -> Error {
        let found = format!("status {}: {}", self.status, self.message());
        match self.status {
            401 | 403 => Error::config(found).with_hint("`druid.username` and `druid.password` name who asks"),
            404 => Error::config(found)
                .with_hint("`druid.url` is the Overlord's address, or a Router's with its management proxy on"),
            _ => Error::retry(found),
        }
    }
}

pub(super) fn bounded(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(MESSAGE_LETTERS) {
        Some((end, _)) => format!("{} …", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorClass;

    fn answer(status: u16, body: &str) -> Answer {
        Answer::new(status, body.as_bytes())
    }

    #[test]
    fn the_words_are_found_wherever_they_are() {
        let check = |body: &str, expected: &str| assert_eq!(answer(400, body).message(), expected);
        check(r#"{"error":"Missing type"}"#, "Missing type");
        check(r#"{"error":"druidException","errorCode":"x","errorMessage":"Task[a] is odd"}"#, "Task[a] is odd");
        check("<html>no</html>", "<html>no</html>");
        check(" \n", "status 400 without a word");
        check(&"ä".repeat(2000), &format!("{} …", "ä".repeat(1000)));
    }

    #[test]
    fn answers_to_a_task_are_told_apart() {
        let kind = |status, body: &str| {
            let answer = answer(status, body);
            (answer.is_duplicate(), answer.is_refusal(), answer.error().class())
        };
        let current =
            r#"{"error":"druidException","errorCode":"entryAlreadyExists","errorMessage":"Task[a] already exists"}"#;
        assert!(kind(400, current).0);
        assert!(kind(400, r#"{"error":"Task [a] already exists!"}"#).0);
        assert_eq!(kind(400, r#"{"error":"no such type"}"#), (false, true, ErrorClass::Retry));
        assert!(kind(500, r#"{"error":"Could not resolve type id 'x' as a subtype"}"#).1);
        assert_eq!(kind(500, "out of memory"), (false, false, ErrorClass::Retry));
        assert_eq!(
            kind(429, r#"{"error":"druidException","errorMessage":"Task queue already contains [1] tasks."}"#),
            (false, false, ErrorClass::Retry)
        );
        assert_eq!(kind(503, ""), (false, false, ErrorClass::Retry));
        assert_eq!(kind(401, ""), (false, false, ErrorClass::Config));
        assert_eq!(kind(404, "<html>nginx</html>"), (false, false, ErrorClass::Config));
    }

    #[test]
    fn only_the_service_itself_can_say_that_it_knows_no_task() {
        let check =
            |status, body: &str, expected| assert_eq!(answer(status, body).is_unknown_task("a"), expected, "{body}");
        check(404, "Cannot find any task with id: [a]", true);
        check(404, r#"{"task":"a","status":null}"#, true);
        check(404, r#"{"task":"a"}"#, true);
        check(404, "not found", false);
        check(404, "Cannot find any task with id: [ab]", false);
        check(200, r#"{"task":"a","status":{"statusCode":"RUNNING"}}"#, false);
    }

    #[test]
    fn rows_are_read_from_both_forms_of_a_report() {
        let counts = r#"{"processed":8,"processedWithError":1,"thrownAway":2,"unparseable":3}"#;
        let report = |stats: &str| format!(r#"{{"ingestionStatsAndErrors":{{"payload":{{"rowStats":{stats}}}}}}}"#);
        let expected = Some(TaskRows { stored: 9, left_out: 2, unparseable: 3 });
        assert_eq!(answer(200, &report(&format!(r#"{{"buildSegments":{counts}}}"#))).rows(), expected);
        assert_eq!(answer(200, &report(&format!(r#"{{"totals":{{"buildSegments":{counts}}}}}"#))).rows(), expected);
        assert_eq!(answer(200, &report("{}")).rows(), None);
        assert_eq!(answer(200, "[]").rows(), None);
    }
}
