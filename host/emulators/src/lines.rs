//! Recorded lines: a file that an emulator sends instead of invented edits.
//!
//! The file is read once and kept; its lines are slices of it. Which form a line has is decided by
//! how it starts, so a file needs no declaration. Texts stay bytes: old feeds are not always UTF-8.
//!
//! Refuses, with the file and the line: an empty file, a line over [`MAX_LINE_BYTES`], a file over
//! [`MAX_FILE_BYTES`], JSON that does not parse or lacks what is sent, a channel no client could
//! join.

use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::Value;

use crate::Error;

/// The longest line. A message has at most 65,507 bytes, the largest datagram MediaWiki sends.
pub const MAX_LINE_BYTES: usize = 1 << 20;
/// The largest file, since it is kept in memory: half a gibibyte, some hours of the real feed.
pub const MAX_FILE_BYTES: u64 = 512 << 20;
/// The longest channel name on the real server (`CHANNELLEN`).
const MAX_CHANNEL_CHARS: usize = 50;

/// A file of recorded lines, not yet read as the lines of one protocol.
#[derive(Debug, Clone)]
pub struct Lines {
    path: PathBuf,
    text: Bytes,
}

/// A recorded message of the IRC feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The channel with its `#`.
    pub channel: String,
    /// The text, as it was recorded; a line break or NUL within has become a blank, since IRC
    /// cannot carry it.
    pub text: Bytes,
}

/// A recorded event of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The event's name, `message` where the file gives none.
    pub name: String,
    /// One line of data, usually JSON.
    pub data: Bytes,
}

impl Lines {
    /// Reads the file `path`. Blocks while it reads.
    ///
    /// # Errors
    /// [`Error::Read`] when the system refuses or the file is over [`MAX_FILE_BYTES`],
    /// [`Error::Empty`] when there is no line in it, [`Error::Line`] for a line over
    /// [`MAX_LINE_BYTES`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref().to_owned();
        let failed = |source| Error::Read { path: path.clone(), source };
        let mut text = Vec::new();
        let file = std::fs::File::open(&path).map_err(failed)?;
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut text).map_err(failed)?;
        if text.len() as u64 > MAX_FILE_BYTES {
            let found = format!("the file has more than {MAX_FILE_BYTES} bytes");
            return Err(failed(std::io::Error::new(std::io::ErrorKind::FileTooLarge, found)));
        }
        let lines = Self { path, text: Bytes::from(text) };
        let mut num_lines = 0;
        for (number, line) in lines.numbered() {
            num_lines += 1;
            if line.len() > MAX_LINE_BYTES {
                return Err(lines.refuse(number, format!("{} bytes", line.len()), "at most 1,048,576"));
            }
        }
        match num_lines {
            0 => Err(Error::Empty { path: lines.path }),
            _ => Ok(lines),
        }
    }

    /// The lines as messages of the IRC feed, in the order of the file, at least one.
    ///
    /// A line is `#channel<TAB>text` (the datagram MediaWiki sends), or a JSON object with `raw` or
    /// `text` and with `channel`, or a bare text, which goes to `default_channel`.
    ///
    /// # Errors
    /// [`Error::Line`] for the first line that is none of these.
    pub fn messages(&self, default_channel: &str) -> Result<Vec<Message>, Error> {
        self.numbered().map(|(number, line)| self.message(number, line, default_channel)).collect()
    }

    /// The lines as events, in the order of the file, at least one.
    ///
    /// The file is either newline-delimited JSON (it starts with `{`) or the text of an event
    /// stream, blocks of `event:`, `id:` and `data:` that end with an empty line. Recorded ids are
    /// not kept: an emulator counts time anew.
    ///
    /// # Errors
    /// [`Error::Line`] for the first line that is neither JSON nor a field of an event stream;
    /// [`Error::Empty`] when no event has data.
    pub fn events(&self) -> Result<Vec<Event>, Error> {
        let is_json = self.numbered().next().is_some_and(|(_, line)| line.starts_with(b"{"));
        let events = if is_json { self.json_events()? } else { self.stream_events()? };
        match events.is_empty() {
            true => Err(Error::Empty { path: self.path.clone() }),
            false => Ok(events),
        }
    }

    /// The lines that are not blank, with their numbers from 1, without line ends and a byte-order
    /// mark.
    fn numbered(&self) -> impl Iterator<Item = (usize, Bytes)> {
        self.all().filter(|(_, line)| !line.trim_ascii().is_empty())
    }

    fn all(&self) -> impl Iterator<Item = (usize, Bytes)> {
        let text = self.text.strip_prefix(b"\xef\xbb\xbf".as_slice()).unwrap_or(&self.text);
        text.split(|byte| *byte == b'\n').enumerate().map(|(at, line)| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            (at + 1, self.text.slice_ref(line))
        })
    }

    fn message(&self, number: usize, line: Bytes, default_channel: &str) -> Result<Message, Error> {
        if line.starts_with(b"{") {
            return self.json_message(number, &line);
        }
        if line.starts_with(b"#")
            && let Some(tab) = line.iter().position(|byte| *byte == b'\t')
        {
            let channel = String::from_utf8_lossy(line.get(..tab).unwrap_or_default()).into_owned();
            if !is_channel(&channel) {
                return Err(self.refuse(number, format!("channel `{channel}`"), "a name that a client can join"));
            }
            return Ok(Message { channel, text: one_line(line.slice(tab + 1..)) });
        }
        Ok(Message { channel: default_channel.to_owned(), text: one_line(line) })
    }

    fn json_message(&self, number: usize, line: &Bytes) -> Result<Message, Error> {
        const EXPECTED: &str = "a JSON object with `channel` and with `raw` or `text`";
        let value: Value =
            serde_json::from_slice(line).map_err(|error| self.refuse(number, not_json(&error), EXPECTED))?;
        let field = |name| value.get(name).and_then(Value::as_str);
        match (field("channel"), field("raw").or_else(|| field("text"))) {
            (Some(channel), Some(text)) if is_channel(channel) => {
                Ok(Message { channel: channel.to_owned(), text: one_line(Bytes::copy_from_slice(text.as_bytes())) })
            }
            (Some(channel), Some(_)) => {
                Err(self.refuse(number, format!("channel `{channel}`"), "a name that a client can join"))
            }
            _ => Err(self.refuse(number, "JSON without them".to_owned(), EXPECTED)),
        }
    }

    fn json_events(&self) -> Result<Vec<Event>, Error> {
        self.numbered()
            .map(|(number, line)| match serde_json::from_slice::<Value>(&line) {
                Ok(Value::Object(_)) => Ok(Event { name: "message".to_owned(), data: line }),
                Ok(_) => Err(self.refuse(number, "JSON that is no object".to_owned(), "one JSON object")),
                Err(error) => Err(self.refuse(number, not_json(&error), "one JSON object")),
            })
            .collect()
    }

    fn stream_events(&self) -> Result<Vec<Event>, Error> {
        let mut events = Vec::new();
        let mut name = String::new();
        let mut data: Option<Bytes> = None;
        // The empty line that a cut recording lacks.
        let end = std::iter::once((0, Bytes::new()));
        for (number, line) in self.all().chain(end) {
            if line.is_empty() {
                let name = std::mem::take(&mut name);
                events.extend(
                    data.take()
                        .map(|data| Event { name: if name.is_empty() { "message".to_owned() } else { name }, data }),
                );
                continue;
            }
            let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
            let value = line.slice((colon + 1).min(line.len())..);
            let value = if value.starts_with(b" ") { value.slice(1..) } else { value };
            match line.get(..colon).unwrap_or_default() {
                b"event" => name = String::from_utf8_lossy(&value).into_owned(),
                // The standard joins lines with a line feed, which in JSON is a blank like any
                // other.
                b"data" => data = Some(data.map_or(value.clone(), |first| [first, value].join(&b' ').into())),
                b"" | b"id" | b"retry" => {}
                other => {
                    let found = format!("field `{}`", String::from_utf8_lossy(other.get(..40).unwrap_or(other)));
                    return Err(self.refuse(number, found, "JSON, or `event:`, `id:`, `data:` and empty lines"));
                }
            }
        }
        Ok(events)
    }

    fn refuse(&self, line: usize, found: String, expected: &'static str) -> Error {
        Error::Line { path: self.path.clone(), line, found, expected }
    }
}

/// Whether a client could join a channel of that name on the real server.
pub(crate) fn is_channel(name: &str) -> bool {
    let is_letter = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '.' | '-');
    name.strip_prefix('#').is_some_and(|rest| !rest.is_empty() && rest.chars().all(is_letter))
        && name.chars().count() <= MAX_CHANNEL_CHARS
}

fn not_json(error: &serde_json::Error) -> String {
    format!("no JSON ({error})")
}

fn one_line(text: Bytes) -> Bytes {
    let is_break = |byte: &u8| matches!(byte, b'\r' | b'\n' | b'\0');
    if !text.iter().any(is_break) {
        return text;
    }
    text.iter().map(|byte| if is_break(byte) { b' ' } else { *byte }).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    fn file(text: &[u8]) -> (tempfile::NamedTempFile, Result<Lines, Error>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let lines = Lines::read(file.path());
        (file, lines)
    }

    fn messages(text: &[u8]) -> Result<Vec<(String, Vec<u8>)>, String> {
        let lines = file(text).1.map_err(|error| error.to_string())?;
        let messages = lines.messages("#en.wikipedia").map_err(|error| error.to_string())?;
        Ok(messages.into_iter().map(|message| (message.channel, message.text.to_vec())).collect())
    }

    fn events(text: &[u8]) -> Result<Vec<(String, String)>, String> {
        let lines = file(text).1.map_err(|error| error.to_string())?;
        let events = lines.events().map_err(|error| error.to_string())?;
        Ok(events.into_iter().map(|event| (event.name, String::from_utf8(event.data.to_vec()).unwrap())).collect())
    }

    #[test]
    fn messages_come_in_three_forms() {
        let text = b"#de.wikipedia\t\x0314[[\x0307M\xfchle\ttab\r\n\n{\"raw\":\"one\\ntwo\",\"time\":1,\"channel\":\"#fr.wikipedia\"}\n{\"text\":\"t\",\"channel\":\"#a\"}\n#no tab here\nbare";
        let expected: Vec<(String, Vec<u8>)> = [
            ("#de.wikipedia", b"\x0314[[\x0307M\xfchle\ttab".to_vec()),
            ("#fr.wikipedia", b"one two".to_vec()),
            ("#a", b"t".to_vec()),
            ("#en.wikipedia", b"#no tab here".to_vec()),
            ("#en.wikipedia", b"bare".to_vec()),
        ]
        .map(|(channel, text)| (channel.to_owned(), text))
        .to_vec();
        assert_eq!(messages(text), Ok(expected));
    }

    #[test]
    fn events_come_in_two_forms() {
        let json = ("message".to_owned(), "{\"a\":1}".to_owned());
        assert_eq!(events(b"\xef\xbb\xbf{\"a\":1}\r\n\n{\"a\":1}\n"), Ok(vec![json.clone(), json.clone()]));
        let stream = b":ok\n\nevent: message\nid: [{}]\ndata: {\"a\":1}\n\nretry: 5\n\nevent: error\ndata: {\ndata:}\n\ndata: {\"a\":1}";
        assert_eq!(events(stream), Ok(vec![json.clone(), ("error".to_owned(), "{ }".to_owned()), json]));
    }

    #[test]
    fn refusals_name_the_line() {
        let cases: [(Result<usize, String>, &str); 9] = [
            (messages(b"").map(|all| all.len()), "found no lines"),
            (messages(b"\n \r\n").map(|all| all.len()), "found no lines"),
            (messages(b"x\n{\"raw\":1}\n").map(|all| all.len()), "line 2 holds JSON without them"),
            (messages(b"x\n\n{\"raw\"\n").map(|all| all.len()), "line 3 holds no JSON"),
            (messages(b"#a b\tx\n").map(|all| all.len()), "line 1 holds channel `#a b`"),
            (events(b"{}\n{\n").map(|all| all.len()), "line 2 holds no JSON"),
            (events(b"{}\n[]\n").map(|all| all.len()), "line 2 holds JSON that is no object"),
            (events(b"data: 1\n\nhello world\n").map(|all| all.len()), "line 3 holds field `hello world`"),
            (events(b"event: message\n\n").map(|all| all.len()), "found no lines"),
        ];
        for (found, expected) in cases {
            let error = found.unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_line_over_the_limit_is_refused() {
        let mut text = b"short\n".to_vec();
        text.extend(std::iter::repeat_n(b'x', MAX_LINE_BYTES + 1));
        assert!(messages(&text).unwrap_err().contains("line 2 holds 1048577 bytes"));
        text.pop();
        assert_eq!(messages(&text).unwrap().len(), 2);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Lines::read("/nowhere/at/all").unwrap_err().to_string();
        assert_eq!(error, "failed to read recorded lines from `/nowhere/at/all`");
    }

    #[test]
    fn channel_names_are_those_of_the_server() {
        for name in ["#en.wikipedia", "#zh-min-nan.wikipedia", "#a_b"] {
            assert!(is_channel(name), "{name}");
        }
        let long = format!("#{}", "a".repeat(50));
        for name in ["#", "en", "#a b", "#a,b", "#a\u{7}", long.as_str(), ""] {
            assert!(!is_channel(name), "{name}");
        }
    }
}
