//! The lines of a change notification: comments that say that it lives, and events as JSON arrays.
//!
//! Own lines and not a library for server-sent events: what tells that the watch is registered is a
//! comment, which such libraries leave out.

use crate::error::{Error, OrError, Result};
use bytes::{Buf, Bytes, BytesMut};
use serde::Deserialize;

/// An event may be this long: thousands of names at once.
const MAX_EVENT_BYTES: usize = 4 << 20;

/// What a chunk of the stream told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// The watch is registered: from here on nothing is missed.
    pub(super) watching: bool,
    /// Names that appeared.
    pub(super) names: Vec<String>,
    /// The directory is gone.
    pub(super) gone: bool,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    stream_name: Option<String>,
}

/// What is not yet a whole line or a whole event.
#[derive(Default)]
pub(super) struct Events {
    line: BytesMut,
    data: Vec<u8>,
}

impl Events {
    /// Takes in a chunk.
    ///
    /// # Errors
    /// Class Retry for an event that is too long or no JSON: the watch must begin anew.
    pub(super) fn hear(&mut self, chunk: &Bytes) -> Result<Heard> {
        let mut heard = Heard::default();
        self.line.extend_from_slice(chunk);
        while let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
            let line = self.line.split_to(end);
            self.line.advance(1);
            self.hear_line(line.strip_suffix(b"\r").unwrap_or(&line), &mut heard)?;
        }
        if self.line.len() + self.data.len() > MAX_EVENT_BYTES {
            return Err(Error::retry(format!("an event of more than {MAX_EVENT_BYTES} bytes")));
        }
        Ok(heard)
    }

    fn hear_line(&mut self, line: &[u8], heard: &mut Heard) -> Result<()> {
        if let Some(comment) = line.strip_prefix(b":") {
            heard.watching |= comment.trim_ascii_start().starts_with(b"watching");
        } else if let Some(data) = line.strip_prefix(b"data:") {
            self.data.extend_from_slice(data);
        } else if line.is_empty() && !self.data.is_empty() {
            let data = std::mem::take(&mut self.data);
            let events: Vec<Event> = serde_json::from_slice(&data).or_retry("event of the notification")?;
            events.into_iter().for_each(|event| note(event, heard));
        }
        Ok(())
    }
}

fn note(event: Event, heard: &mut Heard) {
    let name = event.path.trim_matches('/');
    match event.kind.as_str() {
        // Alternate streams are not files of their own; only direct children were asked for.
        "child_file_moved_to" | "child_file_added"
            if event.stream_name.is_none() && !name.is_empty() && !name.contains('/') =>
        {
            heard.names.push(name.to_owned());
        }
        "self_removed" => heard.gone = true,
        // Kinds that are not asked for, or that a later release has.
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_heard_however_they_are_cut() {
        let text = ": watching 205\r\n\n: keepalive\ndata: [{\"type\":\"child_file_moved_to\",\"path\":\"a é.txt\",\
            \"spine\":[\"2\",\"101\"],\"stream_name\":null},{\"type\":\"child_file_added\",\"path\":\"b\"}]\n\n\
            event: odd\nid: 7\ndata: [{\"type\":\"from_the_future\",\"x\":1},\ndata: {\"type\":\"child_file_added\",\
            \"path\":\"c\",\"stream_name\":\"s\"}]\n\ndata: [{\"type\":\"self_removed\",\"path\":\"\"}]\n\n";
        for size in [1, 2, 7, 64, text.len()] {
            let mut events = Events::default();
            let mut all = Heard::default();
            for chunk in text.as_bytes().chunks(size) {
                let heard = events.hear(&Bytes::copy_from_slice(chunk)).unwrap();
                all.watching |= heard.watching;
                all.gone |= heard.gone;
                all.names.extend(heard.names);
            }
            let names = vec!["a é.txt".to_owned(), "b".to_owned()];
            assert_eq!(all, Heard { watching: true, names, gone: true }, "chunks of {size}");
        }
    }

    #[test]
    fn an_event_that_is_odd_or_too_long_ends_the_watch() {
        let mut events = Events::default();
        events.hear(&Bytes::from_static(b"data: {\"type\"\n")).unwrap();
        events.hear(&Bytes::from_static(b"\n")).unwrap_err();
        let mut events = Events::default();
        let long = Bytes::from(vec![b'x'; 1 << 20]);
        let outcome: Result<Vec<Heard>> = (0..5).map(|_| events.hear(&long)).collect();
        outcome.unwrap_err();
    }
}
