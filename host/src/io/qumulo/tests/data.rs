//! Reading, writing and appending when answers are cut, lost or about another state.

use super::*;
use crate::ports::files::FileReader;
use bytes::Bytes;

fn drain(mut reader: Box<dyn FileReader>) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(bytes) = reader.next()? {
        all.extend_from_slice(&bytes);
    }
    Ok(all)
}

fn data(body: &str, etag: &str) -> Reply {
    Reply::json(body).with("etag", etag)
}

fn cut(body: &str, promised: usize, etag: &str) -> Reply {
    Reply::Cut { status: 200, headers: vec![("etag", etag.to_owned())], body: body.into(), promised }
}

/// Reads the file `1` of ten bytes to its end.
fn read(answer: impl FnMut(&Asked) -> Reply + Send + 'static) -> (Result<Vec<u8>>, Script) {
    let script = Script::start(answer);
    let outcome = connect(&script).read(&file("f", "1", 10), 0, None).and_then(drain);
    (outcome, script)
}

#[test]
fn a_read_that_breaks_goes_on_where_it_broke() {
    let (outcome, script) = read(|asked| match asked.target.as_str() {
        "/v1/files/1/data" => cut("0123", 10, "\"a\""),
        "/v1/files/1/data?offset=4" => cut("", 6, "\"a\""),
        _ => Reply::missing(),
    });
    // The second break is at the same place, again and again: it ends.
    let error = failed(outcome, ErrorClass::Retry);
    assert!(error.to_string().contains("reading `f`") && error.to_string().contains("byte 4 of 10"), "{error}");
    assert!(script.lines().len() > 3);

    let mut breaks = 0;
    let (outcome, script) = read(move |asked| match asked.target.as_str() {
        "/v1/files/1/data" => cut("0123", 10, "\"a\""),
        "/v1/files/1/data?offset=4" if breaks < 2 => {
            breaks += 1;
            if breaks == 1 { Reply::Close } else { Reply::error(503, "") }
        }
        "/v1/files/1/data?offset=4" => data("456789", "\"a\""),
        _ => Reply::missing(),
    });
    assert_eq!(outcome.unwrap(), b"0123456789");
    assert_eq!(script.lines().len(), 4);
}

#[test]
fn a_file_that_changed_while_it_was_read_is_an_error() {
    let (outcome, _) = read(|asked| match asked.target.as_str() {
        "/v1/files/1/data" => cut("0123", 10, "\"a\""),
        "/v1/files/1/data?offset=4" => data("456789", "\"b\""),
        _ => Reply::missing(),
    });
    let error = failed(outcome, ErrorClass::Retry);
    assert!(error.to_string().contains("changed after 4 bytes"), "{error}");
    for body in ["01234", "0123456789abc"] {
        let (outcome, _) = read(move |asked| match asked.method.as_str() {
            "GET" => data(body, "\"a\""),
            _ => Reply::missing(),
        });
        let error = failed(outcome, ErrorClass::Retry);
        assert!(error.to_string().contains(&format!("{} bytes", body.len())), "{error}");
    }
}

#[test]
fn a_stream_without_a_length_is_counted() {
    let stream = |body: &str| {
        let body = body.to_owned();
        move |asked: &Asked| match asked.is("GET", "") {
            true => Reply::Stream { kind: "application/octet-stream", parts: vec![(Duration::ZERO, body.clone())] },
            false => Reply::missing(),
        }
    };
    assert_eq!(read(stream("0123456789")).0.unwrap(), b"0123456789");
    failed(read(stream("0123456789a")).0, ErrorClass::Retry);
    failed(read(stream("")).0, ErrorClass::Retry);
}

/// A file on the scripted cluster, which executes what it is asked and may lose the answer.
#[derive(Default)]
struct Stored {
    bytes: Vec<u8>,
    version: u32,
    /// Writes whose answer is lost, by number, and how many of their bytes are kept.
    lost: Vec<(usize, usize)>,
    /// Writes before which somebody else appends.
    raced: Vec<usize>,
    writes: usize,
}

impl Stored {
    fn etag(&self) -> String {
        format!("\"{}\"", self.version)
    }

    fn attributes(&self) -> Reply {
        let bytes = u64::try_from(self.bytes.len()).unwrap();
        Reply::json(attributes("f", "1", bytes)).with("etag", &self.etag())
    }

    fn answer(&mut self, asked: &Asked) -> Reply {
        match asked.method.as_str() {
            "POST" if asked.target.contains("entries/") => self.attributes(),
            "GET" if asked.target.contains("/info/attributes") => self.attributes(),
            "GET" => {
                let number = |name: &str| -> Option<usize> {
                    let (_, rest) = asked.target.split_once(&format!("{name}="))?;
                    rest.split('&').next()?.parse().ok()
                };
                let offset = number("offset").unwrap();
                let end = offset + number("length").unwrap();
                Reply::Answer { status: 200, headers: Vec::new(), body: self.bytes[offset..end].to_vec() }
            }
            "PUT" | "PATCH" => self.write(asked),
            _ => Reply::missing(),
        }
    }

    fn write(&mut self, asked: &Asked) -> Reply {
        assert_eq!(asked.header("content-type"), Some("application/octet-stream"));
        let number = self.writes;
        self.writes += 1;
        if self.raced.contains(&number) {
            self.bytes.extend_from_slice(b"<other>");
            self.version += 1;
        }
        if asked.header("if-match").expect("a state") != self.etag() {
            return Reply::error(412, "fs_tag_mismatch_error");
        }
        self.version += 1;
        let offset = match asked.target.split_once("offset=") {
            Some((_, offset)) => offset.parse().unwrap(),
            None => {
                self.bytes.clear();
                0
            }
        };
        let lost = self.lost.iter().find(|(lost, _)| *lost == number).map(|(_, kept)| *kept);
        let kept = &asked.body[..lost.unwrap_or(usize::MAX).min(asked.body.len())];
        let end = (offset + kept.len()).max(self.bytes.len());
        self.bytes.resize(end, 0);
        self.bytes[offset..offset + kept.len()].copy_from_slice(kept);
        if lost.is_some() { Reply::Close } else { self.attributes() }
    }
}

fn stored(stored: Stored) -> (Script, std::sync::Arc<std::sync::Mutex<Stored>>) {
    let stored = std::sync::Arc::new(std::sync::Mutex::new(stored));
    let shared = std::sync::Arc::clone(&stored);
    (Script::start(move |asked| shared.lock().unwrap().answer(asked)), stored)
}

/// Writes ten times three bytes, in pieces of eight.
fn write(lost: Vec<(usize, usize)>, raced: Vec<usize>) -> (Result<FileInfo>, Vec<u8>, Script) {
    let (script, stored) = stored(Stored { lost, raced, ..Stored::default() });
    let write = || {
        let mut writer = connect(&script).create(&path("f"))?.unwrap();
        for number in 0..10 {
            writer.write(Bytes::from(format!("{number}ab")))?;
        }
        writer.finish()
    };
    let outcome = write();
    let bytes = stored.lock().unwrap().bytes.clone();
    (outcome, bytes, script)
}

const WRITTEN: &[u8] = b"0ab1ab2ab3ab4ab5ab6ab7ab8ab9ab";

#[test]
fn pieces_whose_answers_are_lost_are_written_once() {
    let (outcome, bytes, script) = write(Vec::new(), Vec::new());
    assert_eq!((outcome.unwrap().bytes, &*bytes), (30, WRITTEN));
    let offsets = ["0", "8", "16", "24"].map(|offset| format!("PATCH /v1/files/1/data?offset={offset}"));
    assert_eq!(script.lines()[1..], offsets);
    // What arrived is not sent again, and what did not is.
    for (kept, sent) in [(8, 4), (7, 5)] {
        let (outcome, _, script) = write(vec![(1, kept)], Vec::new());
        outcome.unwrap();
        assert_eq!(script.lines().iter().filter(|line| line.starts_with("PATCH")).count(), sent, "{kept} bytes kept");
    }
    // Wholly done, not begun, half done; the last one; two in a row.
    for lost in [vec![(1, 8)], vec![(1, 0)], vec![(1, 5)], vec![(0, 3)], vec![(3, 6)], vec![(0, 2), (1, 4), (2, 8)]] {
        let shown = format!("{lost:?}");
        let (outcome, bytes, _) = write(lost, Vec::new());
        assert_eq!((outcome.unwrap().bytes, &*bytes), (30, WRITTEN), "{shown}");
    }
}

#[test]
fn a_file_that_somebody_else_writes_to_is_given_up() {
    for lost in [Vec::new(), vec![(0, 8)]] {
        let (outcome, _, _) = write(lost, vec![1]);
        let error = failed(outcome, ErrorClass::Retry);
        assert!(error.to_string().contains("somebody else"), "{error}");
    }
}

#[test]
fn a_small_file_is_one_request_and_an_empty_one_none() {
    for lost in [Vec::new(), vec![(0, 0)], vec![(0, 2)], vec![(0, 5)]] {
        let (script, stored) = stored(Stored { lost, ..Stored::default() });
        let mut writer = connect(&script).create(&path("f")).unwrap().unwrap();
        writer.write(Bytes::from_static(b"small")).unwrap();
        assert_eq!(writer.finish().unwrap().bytes, 5);
        assert_eq!(stored.lock().unwrap().bytes, b"small");
        assert_eq!(script.lines()[1], "PUT /v1/files/1/data");
    }
    let (script, _) = stored(Stored::default());
    assert_eq!(connect(&script).create(&path("f")).unwrap().unwrap().finish().unwrap().bytes, 0);
    assert_eq!(script.lines().len(), 1);
}

#[test]
fn what_is_appended_is_there_once() {
    let check = |lost: Vec<(usize, usize)>, raced: Vec<usize>, expected: &str| {
        let shown = format!("{lost:?} {raced:?}");
        let (script, stored) = stored(Stored { bytes: b"old".to_vec(), lost, raced, ..Stored::default() });
        let info = connect(&script).append(&path("f"), Bytes::from_static(b"new")).unwrap();
        let bytes = stored.lock().unwrap().bytes.clone();
        assert_eq!(std::str::from_utf8(&bytes).unwrap(), expected, "{shown}");
        assert_eq!(info.bytes, u64::try_from(bytes.len()).unwrap(), "{shown}");
        assert!(script.lines().iter().all(|line| line.contains("%2Fspool%2Ff")), "appended by id");
    };
    check(vec![], vec![], "oldnew");
    check(vec![], vec![0, 1, 2], "old<other><other><other>new");
    check(vec![(0, 3)], vec![], "oldnew");
    check(vec![(0, 0)], vec![], "oldnew");
    check(vec![(0, 1)], vec![], "oldnew");
    check(vec![(0, 0)], vec![1], "old<other>new");
}

#[test]
fn a_name_that_is_taken_or_a_directory_that_is_missing_is_told() {
    let script = Script::start(|asked| match asked {
        asked if asked.is("POST", "taken/entries") => Reply::error(409, "fs_entry_exists_error"),
        asked if asked.is("POST", "odd/entries") => Reply::error(409, "fs_sharing_violation_error"),
        _ => Reply::missing(),
    });
    let files = connect(&script);
    assert!(files.create(&path("taken/f")).unwrap().is_none());
    let error = failed(files.create(&path("missing/f")).map(|_| ()), ErrorClass::Retry);
    assert!(error.to_string().contains("directory `missing`"), "{error}");
    failed(files.create(&path("odd/f")).map(|_| ()), ErrorClass::Retry);
}
