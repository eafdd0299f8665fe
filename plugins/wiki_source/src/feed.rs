//! The two feeds: frames in, rows out.
//!
//! Invariants: each frame has exactly one outcome, and at most one record; nothing is written
//! for a frame that is skipped or rejected. IRC rows carry the time of receipt, because the feed
//! has no other; rows of EventStreams carry the event's own.

use crate::channel::{Channels, of_server};
use crate::event::{self, Str};
use crate::irc::{self, Line};
use crate::json::Text;
use crate::namespace::{MAIN, of_numbered_title};
use crate::options::{Options, Wikis};
use crate::position::{self, Restored};
use crate::row::{EventColumns, Marks, Row, Rows};
use crate::seen::{Seen, hash};
use crate::text::{Scan, excerpt, repair, scan, strip_codes, utf16_len};
use connector_sdk::log::{Level, log};
use connector_sdk::{BatchBuilder, Frame, Outcome, Position, Schemas};
use std::str::from_utf8;

/// The IRC feed.
#[derive(Debug)]
pub(crate) struct IrcFeed {
    rows: Rows,
    channels: Channels,
    /// A comment without its codes; kept for its memory.
    comment: Vec<u8>,
}

impl IrcFeed {
    pub(crate) fn new(options: &Options) -> Self {
        IrcFeed { rows: Rows::new(options), channels: Channels::new(), comment: Vec::new() }
    }

    pub(crate) fn schemas(&self) -> Schemas {
        self.rows.schemas(false)
    }

    pub(crate) fn decode(&mut self, frame: &Frame<'_>, records: &mut BatchBuilder) -> Outcome {
        let scan = scan(frame.data);
        if scan.is_ascii || from_utf8(frame.data).is_ok() {
            return self.decode_text(frame, frame.data, scan, records);
        }
        let repaired = repair(frame.data);
        self.decode_text(frame, &repaired, scan, records)
    }

    fn decode_text(&mut self, frame: &Frame<'_>, text: &[u8], scan: Scan, records: &mut BatchBuilder) -> Outcome {
        let channel = self.channels.get(frame.origin, str::to_owned);
        self.channels.heard(&channel, frame.received_ms);
        let edit = match irc::parse(text) {
            Ok(Line::Edit(edit)) => edit,
            Ok(Line::Log(_)) => return Outcome::Skip("log entry"),
            Err(broken) => return Outcome::Reject(broken.to_string()),
        };
        // Every control character is one of the line's own: no field can hold one.
        let is_clean = !scan.has_quotes && scan.num_controls == edit.num_codes;
        let field = |bytes| Text { bytes, is_clean };
        let mut comment = edit.comment;
        if scan.num_controls != edit.num_codes {
            self.comment.clear();
            strip_codes(edit.comment, &mut self.comment);
            comment = &self.comment;
        }
        let page = field(edit.page);
        let row = Row {
            channel: &channel,
            time_ms: frame.received_ms,
            received_ms: frame.received_ms,
            marks: marks(edit.flags),
            flags: field(edit.flags),
            page,
            url: field(edit.url),
            delta: edit.size.unwrap_or(0),
            comment: field(comment),
            comment_len: if scan.is_ascii { comment.len() } else { utf16_len(comment) },
            user: field(edit.user),
            namespace: channel.namespaces.of_title(page),
            is_truncated: edit.is_truncated,
            event: None,
        };
        self.rows.put(&row, records);
        Outcome::Record
    }

    /// One position for each channel heard of since the last call.
    pub(crate) fn positions(&mut self) -> Vec<Position> {
        self.channels.take_moved().map(|(name, ms)| position::of_channel(&name, ms)).collect()
    }
}

fn marks(flags: &[u8]) -> Marks {
    let mut marks = Marks::default();
    for flag in flags {
        match flag {
            b'!' => marks.is_unpatrolled = true,
            b'N' => marks.is_new = true,
            b'M' => marks.is_minor = true,
            b'B' => marks.is_robot = true,
            _ => {}
        }
    }
    marks
}

/// EventStreams.
#[derive(Debug)]
pub(crate) struct EventFeed {
    rows: Rows,
    channels: Channels,
    wikis: Wikis,
    resume: Option<String>,
    seen: Seen,
}

impl EventFeed {
    pub(crate) fn new(options: &Options, restored: Restored) -> Self {
        let Restored { resume, seen } = restored;
        EventFeed { rows: Rows::new(options), channels: Channels::new(), wikis: options.wikis.clone(), resume, seen }
    }

    pub(crate) fn schemas(&self) -> Schemas {
        self.rows.schemas(true)
    }

    pub(crate) fn resume(&self) -> Option<String> {
        self.resume.clone()
    }

    pub(crate) fn decode(&mut self, frame: &Frame<'_>, records: &mut BatchBuilder) -> Outcome {
        if frame.origin != "message" {
            let origin = excerpt(frame.origin.as_bytes(), 60);
            return Outcome::Reject(format!("event stream sent an event of type `{origin}`, expected `message`"));
        }
        let change = match event::parse(frame.data) {
            Ok(change) => change,
            Err(outcome) => return outcome,
        };
        let channel = self.channels.get(change.server_name.as_str(), of_server);
        if !self.wikis.want(change.wiki().map(Str::as_str), &channel.name) {
            return Outcome::Skip("other wiki");
        }
        if change.id().is_some_and(|id| !self.seen.insert(hash(id.as_str().as_bytes()))) {
            return Outcome::Skip("duplicate");
        }
        let delta = match change.delta() {
            Ok(delta) => delta,
            Err(outcome) => return outcome,
        };
        let marks = change.marks();
        let mut flags = [0; 4];
        let mut url = String::new();
        let (page, comment) = (change.title.text(), change.comment());
        let row = Row {
            channel: &channel,
            time_ms: change.time_ms,
            received_ms: frame.received_ms,
            marks,
            flags: Text::clean(flags_of(marks, &mut flags)),
            page,
            url: change.url(&mut url),
            delta,
            comment,
            comment_len: utf16_len(comment.bytes),
            user: change.user.text(),
            namespace: match change.namespace() {
                Some(0) => Text::clean(MAIN.as_bytes()),
                Some(_) => of_numbered_title(page),
                None => channel.namespaces.of_title(page),
            },
            is_truncated: false,
            event: Some(EventColumns {
                id: change.id().map(Str::text),
                wiki: change.wiki().map(Str::text),
                revision: change.revision(),
            }),
        };
        self.rows.put(&row, records);
        Outcome::Record
    }

    /// The position after the event with this token; none without a token.
    pub(crate) fn positions(&mut self, resume: Option<&str>) -> Vec<Position> {
        let Some(resume) = resume.filter(|resume| !resume.is_empty()) else { return Vec::new() };
        match position::of_stream(resume, &self.seen) {
            Ok(position) => vec![position],
            Err(found) => {
                log(Level::Error, &format!("{found}: the stream's position stays where it was"));
                Vec::new()
            }
        }
    }
}

/// The flags in the order of the IRC feed.
fn flags_of(marks: Marks, buffer: &mut [u8; 4]) -> &[u8] {
    let Marks { is_unpatrolled, is_new, is_minor, is_robot } = marks;
    let set = [(is_unpatrolled, b'!'), (is_new, b'N'), (is_minor, b'M'), (is_robot, b'B')];
    let set = set.into_iter().filter_map(|(is_set, flag)| is_set.then_some(flag));
    let len = buffer.iter_mut().zip(set).map(|(to, flag)| *to = flag).count();
    buffer.get(..len).unwrap_or_default()
}
