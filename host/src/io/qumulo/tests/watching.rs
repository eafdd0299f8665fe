//! Watches: what a stream tells, what its end means, and what there is where there is none.

use super::*;
use crate::ports::files::{Seen, Watch};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

const WAIT: Duration = Duration::from_secs(10);

fn directory(second: u32) -> String {
    attributes("in", "7", 0)
        .replace("FS_FILE_TYPE_FILE", "FS_FILE_TYPE_DIRECTORY")
        .replace("13:23:40", &format!("13:23:{:02}", second % 60))
}

fn event(kind: &str, name: &str) -> String {
    format!("data: [{{\"type\":\"{kind}\",\"path\":\"{name}\",\"spine\":[\"2\"],\"stream_name\":null}}]\n\n")
}

fn next(watch: &mut Box<dyn Watch>) -> Seen {
    watch.next(WAIT).unwrap()
}

#[test]
fn a_watch_begins_anew_when_its_stream_ends() {
    let mut streams = 0;
    let script = Script::start(move |asked| match asked {
        asked if asked.is("GET", "notify") => {
            streams += 1;
            let (soon, late) = (Duration::from_millis(50), Duration::from_secs(3600));
            match streams {
                // A stream that never says that it watches, one that breaks, one that stays.
                1 => Reply::Stream { kind: "text/event-source", parts: vec![(soon, ": hello\n".to_owned())] },
                2 => Reply::Stream {
                    kind: "text/event-source",
                    parts: vec![
                        (soon, ": watching 7\n".to_owned()),
                        (soon * 4, event("child_file_moved_to", "a")),
                        (soon, ": keepalive\n".to_owned()),
                    ],
                },
                _ => Reply::Stream {
                    kind: "text/event-stream; charset=utf-8",
                    parts: vec![
                        (soon, ": watching 7\n".to_owned()),
                        (soon * 4, event("child_file_added", "b")),
                        (soon * 4, event("self_removed", "")),
                        (late, String::new()),
                    ],
                },
            }
        }
        asked if asked.is("GET", "info") => Reply::json(directory(0)),
        _ => Reply::missing(),
    });
    let files = connect(&script);
    let mut watch = files.watch(&path("in")).unwrap();
    assert_eq!(next(&mut watch), Seen::List);
    assert_eq!(next(&mut watch), Seen::Appeared(vec!["a".to_owned()]));
    assert_eq!(next(&mut watch), Seen::List, "after the break");
    assert_eq!(next(&mut watch), Seen::Appeared(vec!["b".to_owned()]));
    assert_eq!(next(&mut watch), Seen::Gone);
    assert_eq!(next(&mut watch), Seen::Gone);
    let target = "GET /v1/files/%2Fspool%2Fin/notify?recursive=false\
                  &filter=child_file_moved_to%2Cchild_file_added%2Cself_removed";
    assert!(script.lines().iter().any(|line| line == target), "{:?}", script.lines());
}

#[test]
fn a_directory_is_looked_at_where_there_is_no_notification() {
    for status in [400, 403, 404, 405] {
        let second = Arc::new(AtomicU32::new(0));
        let now = Arc::clone(&second);
        let script = Script::start(move |asked| match asked {
            asked if asked.is("GET", "notify") => Reply::error(status, ""),
            asked if asked.is("GET", "info") && now.load(Ordering::SeqCst) == 2 => Reply::missing(),
            asked if asked.is("GET", "info") => Reply::json(directory(now.load(Ordering::SeqCst))),
            _ => Reply::missing(),
        });
        let mut watch = connect(&script).watch(&path("in")).unwrap();
        assert_eq!(next(&mut watch), Seen::List, "{status}");
        assert_eq!(watch.next(Duration::from_millis(200)).unwrap(), Seen::Nothing);
        second.store(1, Ordering::SeqCst);
        assert_eq!(next(&mut watch), Seen::List);
        second.store(2, Ordering::SeqCst);
        assert_eq!(next(&mut watch), Seen::Gone);
        assert_eq!(script.lines().iter().filter(|line| line.contains("notify")).count(), 1, "asked again too soon");
    }
}

#[test]
fn a_watch_of_a_cluster_that_refuses_the_user_fails() {
    let script = Script::start(|_| Reply::error(401, ""));
    let mut watch = connect(&script).watch(&path("in")).unwrap();
    let error = failed(watch.next(WAIT), ErrorClass::Config);
    assert!(error.to_string().contains("watching `in`"), "{error}");
    failed(watch.next(WAIT), ErrorClass::Config);
}

#[test]
fn a_session_that_ends_is_no_end_of_a_watch() {
    let script = Script::start(|asked| match asked {
        asked if asked.is("GET", "notify") && asked.header("authorization") == Some("Bearer t1") => {
            Reply::Answer { status: 401, headers: Vec::new(), body: Vec::new() }
        }
        asked if asked.is("GET", "notify") => Reply::Stream {
            kind: "text/event-source",
            parts: vec![(Duration::ZERO, ": watching\n".to_owned()), (WAIT, String::new())],
        },
        asked if asked.is("GET", "info") => Reply::json(directory(0)),
        _ => Reply::missing(),
    });
    let mut watch = connect(&script).watch(&path("in")).unwrap();
    assert_eq!(next(&mut watch), Seen::List);
    assert_eq!(script.logins(), 2);
}

#[test]
fn too_many_names_become_a_listing_and_the_end_does_not_wait() {
    let many: Vec<String> =
        (0..5000).map(|number| format!(r#"{{"type":"child_file_added","path":"{number}"}}"#)).collect();
    let data = format!("data: [{}]\n\n", many.join(","));
    let script = Script::start(move |asked| match asked {
        asked if asked.is("GET", "notify") => Reply::Stream {
            kind: "text/event-source",
            parts: vec![
                (Duration::ZERO, ": watching\n".to_owned()),
                (Duration::from_millis(100), data.clone()),
                (Duration::from_secs(3600), String::new()),
            ],
        },
        asked if asked.is("GET", "info") => Reply::json(directory(0)),
        _ => Reply::missing(),
    });
    let files = connect(&script);
    let mut watch = files.watch(&path("in")).unwrap();
    assert_eq!((next(&mut watch), next(&mut watch)), (Seen::List, Seen::List));
    let began = Instant::now();
    drop(watch);
    drop(files);
    assert!(began.elapsed() < Duration::from_secs(1));
}
