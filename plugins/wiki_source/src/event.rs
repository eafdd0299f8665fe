//! Events of EventStreams' stream `recentchange` (schema /mediawiki/recentchange/1.0.0).
//!
//! Only the needed fields are read, and borrowed where the JSON has no escapes. The schema
//! requires `meta` alone, so everything else may be missing. Canary events, by which a silent
//! stream is told from a broken one, are told apart before anything else is looked at; then what
//! is no edit. What is left must have what a row cannot do without: type, title, user, the wiki's
//! server and a time.

use crate::json::Text;
use crate::row::Marks;
use crate::text::excerpt;
use crate::time;
use connector_sdk::Outcome;
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;
use std::str::from_utf8;

/// Longest piece of a foreign error text that goes into a reason.
const MAX_REASON_CHARS: usize = 300;

/// An edit or a new page.
#[derive(Debug)]
pub(crate) struct Change<'a> {
    pub(crate) is_new: bool,
    pub(crate) title: Str<'a>,
    pub(crate) user: Str<'a>,
    /// The wiki's host, `en.wikipedia.org`.
    pub(crate) server_name: Str<'a>,
    pub(crate) time_ms: i64,
    event: Event<'a>,
}

/// Text that is borrowed from the JSON where it stands there without escapes.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct Str<'a>(#[serde(borrow)] Cow<'a, str>);

impl Str<'_> {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn text(&self) -> Text<'_> {
        // JSON without escapes has nothing that needs one.
        Text { bytes: self.0.as_bytes(), is_clean: matches!(self.0, Cow::Borrowed(_)) }
    }
}

#[derive(Debug, Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    meta: Option<Meta<'a>>,
    #[serde(borrow, rename = "type")]
    kind: Option<Str<'a>>,
    id: Option<i64>,
    namespace: Option<i64>,
    #[serde(borrow)]
    title: Option<Str<'a>>,
    #[serde(borrow)]
    comment: Option<Str<'a>>,
    timestamp: Option<i64>,
    #[serde(borrow)]
    user: Option<Str<'a>>,
    bot: Option<bool>,
    minor: Option<bool>,
    patrolled: Option<bool>,
    length: Option<Pair>,
    revision: Option<Pair>,
    #[serde(borrow)]
    notify_url: Option<Str<'a>>,
    #[serde(borrow)]
    server_url: Option<Str<'a>>,
    #[serde(borrow)]
    server_name: Option<Str<'a>>,
    #[serde(borrow)]
    server_script_path: Option<Str<'a>>,
    #[serde(borrow)]
    wiki: Option<Str<'a>>,
}

#[derive(Debug, Deserialize)]
struct Meta<'a> {
    #[serde(borrow)]
    id: Option<Str<'a>>,
    #[serde(borrow)]
    dt: Option<Str<'a>>,
    #[serde(borrow)]
    domain: Option<Str<'a>>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Pair {
    old: Option<i64>,
    new: Option<i64>,
}

/// As little of an event as decides whether it is wanted, whatever the rest is.
#[derive(Deserialize)]
struct Envelope {
    meta: Option<EnvelopeMeta>,
    #[serde(rename = "type")]
    kind: Option<Value>,
}

#[derive(Deserialize)]
struct EnvelopeMeta {
    domain: Option<Value>,
}

/// Reads one event.
///
/// # Errors
/// What becomes of an event that gives no row: skipped with a constant, or rejected with what is
/// wrong and where.
pub(crate) fn parse(data: &[u8]) -> Result<Change<'_>, Outcome> {
    let json = from_utf8(data)
        .map_err(|e| Outcome::Reject(format!("event is not utf-8 at byte {}, expected json", e.valid_up_to())))?;
    let mut event: Event = serde_json::from_str(json).map_err(|e| unreadable(json, &e))?;
    let domain = event.meta.as_ref().and_then(|meta| meta.domain.as_ref());
    check_kind(domain.map(Str::as_str), event.kind.as_ref().map(Str::as_str))?;
    let is_new = event.kind.as_ref().is_some_and(|kind| kind.as_str() == "new");
    let missing = |field| Outcome::Reject(format!("event of a change has no {field}"));
    let time_ms = event.time_ms().ok_or_else(|| missing("`meta.dt` and no `timestamp` that is a time"))?;
    Ok(Change {
        is_new,
        title: event.title.take().ok_or_else(|| missing("`title`"))?,
        user: event.user.take().ok_or_else(|| missing("`user`"))?,
        server_name: event.server_name.take().ok_or_else(|| missing("`server_name`"))?,
        time_ms,
        event,
    })
}

/// Events that are not wanted may have any shape, so one that cannot be read is looked at once
/// more before it is rejected.
fn unreadable(json: &str, error: &serde_json::Error) -> Outcome {
    if let Ok(envelope) = serde_json::from_str::<Envelope>(json) {
        let domain = envelope.meta.as_ref().and_then(|meta| meta.domain.as_ref()?.as_str());
        if let Err(skip @ Outcome::Skip(_)) = check_kind(domain, envelope.kind.as_ref().and_then(Value::as_str)) {
            return skip;
        }
    }
    // The texts of serde_json quote what they found, which can be long; line and column come last.
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let found = excerpt(text.strip_suffix(&place).unwrap_or(&text).as_bytes(), MAX_REASON_CHARS);
    Outcome::Reject(format!("event cannot be read: {found}{place}"))
}

fn check_kind(domain: Option<&str>, kind: Option<&str>) -> Result<(), Outcome> {
    if domain == Some("canary") {
        return Err(Outcome::Skip("canary"));
    }
    match kind {
        Some("edit" | "new") => Ok(()),
        Some("log") => Err(Outcome::Skip("log entry")),
        Some("categorize") => Err(Outcome::Skip("categorize")),
        Some("external") => Err(Outcome::Skip("external")),
        Some(_) => Err(Outcome::Skip("other type")),
        None => Err(Outcome::Reject("event has no `type`, expected `edit` or `new`".to_owned())),
    }
}

impl Event<'_> {
    /// `meta.dt`, which has milliseconds since 2025; else the time of the change in seconds.
    fn time_ms(&self) -> Option<i64> {
        let dt = self.meta.as_ref().and_then(|meta| meta.dt.as_ref());
        let seconds = || self.timestamp.and_then(|seconds| seconds.checked_mul(1000));
        let dt_ms = dt.and_then(|dt| time::parse(dt.as_str())).filter(|ms| time::is_sound(*ms));
        dt_ms.or_else(seconds).filter(|ms| time::is_sound(*ms))
    }
}

impl Change<'_> {
    pub(crate) fn comment(&self) -> Text<'_> {
        self.event.comment.as_ref().map_or(Text::clean(b""), Str::text)
    }

    /// The event's own id, by which repeated events are known.
    pub(crate) fn id(&self) -> Option<&Str<'_>> {
        self.event.meta.as_ref()?.id.as_ref()
    }

    pub(crate) fn wiki(&self) -> Option<&Str<'_>> {
        self.event.wiki.as_ref()
    }

    pub(crate) fn revision(&self) -> Option<i64> {
        self.event.revision?.new
    }

    /// The namespace's number; none when the event does not say.
    pub(crate) fn namespace(&self) -> Option<i64> {
        self.event.namespace
    }

    /// The flags that the IRC feed would show.
    pub(crate) fn marks(&self) -> Marks {
        Marks {
            is_unpatrolled: self.event.patrolled == Some(false),
            is_new: self.is_new,
            is_minor: self.event.minor == Some(true),
            is_robot: self.event.bot == Some(true),
        }
    }

    /// Bytes that the page grew by: 0 where the lengths are not known, a new page grows from 0.
    ///
    /// # Errors
    /// A rejection for a change that does not fit 32 bits.
    pub(crate) fn delta(&self) -> Result<i32, Outcome> {
        let Some(Pair { old, new: Some(new) }) = self.event.length else { return Ok(0) };
        let Some(old) = old.or(self.is_new.then_some(0)) else { return Ok(0) };
        let delta = new.checked_sub(old).and_then(|delta| i32::try_from(delta).ok());
        delta.filter(|delta| *delta != i32::MIN).ok_or_else(|| {
            let expected = "expected a change of at most 2147483647 bytes";
            Outcome::Reject(format!("event has the lengths {old} (old) and {new} (new), {expected}"))
        })
    }

    /// Where the change can be seen; the address is built where the event does not have it, and
    /// empty where it cannot be built.
    pub(crate) fn url<'b>(&'b self, built: &'b mut String) -> Text<'b> {
        if let Some(url) = &self.event.notify_url {
            return url.text();
        }
        *built = self.built_url().unwrap_or_default();
        Text::unread(built.as_bytes())
    }

    fn built_url(&self) -> Option<String> {
        let event = &self.event;
        let revision = event.revision?;
        let new = revision.new?;
        let mut url = match &event.server_url {
            Some(server) => server.as_str().to_owned(),
            None => format!("https://{}", self.server_name.as_str()),
        };
        url.push_str(event.server_script_path.as_ref().map_or("/w", Str::as_str));
        url.push_str("/index.php?");
        match revision.old.filter(|_| !self.is_new) {
            Some(old) => url.push_str(&format!("diff={new}&oldid={old}")),
            None => url.push_str(&format!("oldid={new}")),
        }
        // The IRC feed names the recent change only on wikis that patrol changes.
        if let (Some(id), true) = (event.id, event.patrolled.is_some()) {
            url.push_str(&format!("&rcid={id}"));
        }
        Some(url)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, clippy::unwrap_used)]
    use super::*;

    const WHOLE: &str = r#"{"meta":{"dt":"2026-02-03T04:05:06.789Z","domain":"a.org"},"type":"new","title":"A",
        "user":"B","server_name":"a.org","revision":{"new":7},"length":{"new":5}}"#;

    fn outcome(json: &str) -> Outcome {
        parse(json.as_bytes()).err().unwrap()
    }

    #[test]
    fn text_without_escapes_is_borrowed() {
        let json = WHOLE.replace(r#""B""#, r#""\u0042\n""#);
        let change = parse(json.as_bytes()).unwrap();
        assert!(change.title.text().is_clean);
        assert!(!change.user.text().is_clean);
        assert_eq!(change.user.as_str(), "B\n");
    }

    #[test]
    fn canaries_are_known_whatever_else_they_hold() {
        for rest in ["", r#","type":"log""#, r#","type":7"#, r#","namespace":"x","title":null"#] {
            let json = format!(r#"{{"$schema":"/mediawiki/recentchange/1.0.0","meta":{{"domain":"canary"}}{rest}}}"#);
            assert_eq!(outcome(&json), Outcome::Skip("canary"), "{json}");
        }
    }

    #[test]
    fn unwanted_events_may_have_odd_fields() {
        assert_eq!(outcome(r#"{"type":"log","title":5}"#), Outcome::Skip("log entry"));
        let Outcome::Reject(reason) = outcome(r#"{"type":"edit","title":5}"#) else { panic!() };
        assert!(reason.contains("invalid type: integer `5`") && reason.contains("line 1 column 24"), "{reason}");
    }

    #[test]
    fn reasons_are_bounded_and_say_where() {
        let long = format!(r#"{{"type":"edit","namespace":"{}"}}"#, "x".repeat(5000));
        let Outcome::Reject(reason) = outcome(&long) else { panic!() };
        assert!(reason.ends_with(" at line 1 column 5029"), "{reason}");
        assert!(reason.chars().count() < MAX_REASON_CHARS + 60);
        let utf8 = parse(b"{\"a\":\"\xff\"}").err().unwrap();
        assert_eq!(utf8, Outcome::Reject("event is not utf-8 at byte 6, expected json".to_owned()));
    }
}
