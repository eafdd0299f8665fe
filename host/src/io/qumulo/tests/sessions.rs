//! Logging in, being refused, being slow; listings; renames.

use super::*;
use crate::ports::files::Moved;
use std::time::Instant;

#[test]
fn nothing_is_sent_before_the_first_call_and_one_login_is_for_all() {
    let script = Script::start(|_| Reply::missing());
    let files = connect(&script);
    assert_eq!(files.describe(), format!("Qumulo `127.0.0.1:{}` directory `/spool/`", script.address.port()));
    assert!(script.asked().is_empty());
    std::thread::scope(|scope| {
        (0..4).for_each(|_| drop(scope.spawn(|| files.stat(&path("a b/é#%")).unwrap())));
    });
    assert_eq!((script.logins(), script.lines().len()), (1, 4));
    assert_eq!(script.lines()[0], "GET /v1/files/%2Fspool%2Fa%20b%2F%C3%A9%23%25/info/attributes");
    let login = &script.asked()[0];
    assert_eq!(login.text(), format!(r#"{{"username":"admin","password":"{PASSWORD}"}}"#));
    assert_eq!(login.header("authorization"), None);
    assert_eq!(script.asked()[1].header("authorization"), Some("Bearer t1"));
}

#[test]
fn a_session_that_ends_in_the_middle_of_a_listing_is_begun_anew() {
    let script = Script::start(|asked| match asked {
        asked if asked.is("GET", "after=5") && asked.header("authorization") == Some("Bearer t1") => {
            Reply::Answer { status: 401, headers: Vec::new(), body: Vec::new() }
        }
        asked if asked.is("GET", "after=5") => page(&["c"], ""),
        asked if asked.is("GET", "entries/") => page(&["a", "b"], "/v1/files/7/entries/?after=5&limit=2"),
        _ => Reply::missing(),
    });
    assert_eq!(names(&connect(&script)).unwrap(), ["a", "b", "c"]);
    assert_eq!(script.logins(), 2);
    assert_eq!(script.lines()[0], "GET /v1/files/%2Fspool/entries/?limit=2");
    assert_eq!(script.lines()[2], "GET /v1/files/7/entries/?limit=2&after=5", "further pages by id");
}

#[test]
fn a_cluster_that_refuses_a_new_session_too_is_not_asked_for_ever() {
    let script = Script::start(|asked| match asked.is("GET", "") {
        true => Reply::error(401, ""),
        false => Reply::missing(),
    });
    let error = failed(connect(&script).stat(&path("f")), ErrorClass::Retry);
    assert!(error.to_string().contains("401") && error.to_string().contains("looking at `f`"), "{error}");
    assert_eq!((script.logins(), script.lines().len()), (2, 2));
}

#[test]
fn a_wrong_password_or_token_is_for_the_operator() {
    let script = Script::start(|_| Reply::error(401, "cred_invalid_local_user_error"));
    let error = failed(connect(&script).stat(&path("f")), ErrorClass::Config);
    assert!(error.to_string().contains("logging in as `admin`"), "{error}");
    assert_eq!(error.hint(), Some("check user and password"));
    assert_eq!(script.asked().len(), 1, "a wrong password is not tried again: users are locked out");

    let mut settings = settings(&script);
    settings.credentials = Credentials::AccessToken(secret("access-v1:abc=="));
    let files = QumuloFiles::new(settings, script.runtime.handle().clone()).unwrap();
    let error = failed(files.stat(&path("f")), ErrorClass::Config);
    assert!(!format!("{error:?}").contains("access-v1"), "{error:?}");
    assert_eq!(script.asked().last().unwrap().header("authorization"), Some("Bearer access-v1:abc=="));
    assert_eq!(script.logins(), 1);
}

#[test]
fn a_login_that_is_busy_is_waited_for() {
    let mut busy = 2;
    let script = Script::start(move |asked| match asked.is("POST", "login") && busy > 0 {
        true => {
            busy -= 1;
            Reply::error(503, "").with("retry-after", "0")
        }
        false => Reply::missing(),
    });
    assert_eq!(connect(&script).stat(&path("f")).unwrap(), None);
    assert_eq!(script.logins(), 3);
}

#[test]
fn answers_that_are_odd_are_told_by_call_and_field() {
    let check = |answer: &'static str, expected: &str| {
        let script = Script::start(move |asked| match asked.is("GET", "") {
            true => Reply::json(answer),
            false => Reply::missing(),
        });
        let error = failed(connect(&script).stat(&path("f")), ErrorClass::Retry);
        assert!(error.to_string().contains(expected) && error.to_string().contains("looking at `f`"), "{error}");
    };
    check("<html>", "expected value");
    check("", "0 bytes");
    check(r#"{"id": "1", "type": "x", "modification_time": ""}"#, "`size`");
    check(r#"{"id": "1", "type": "x", "size": "-1", "modification_time": ""}"#, "decimal digits");
    check(r#"{"id": "1", "type": "x", "size": "1", "modification_time": ""}"#, "`modification_time`");
    let script = Script::start(|_| Reply::json("<html>"));
    let error = failed(connect(&script).stat(&path("f")), ErrorClass::Config);
    assert!(error.hint().unwrap().contains("Qumulo"), "{error:?}");
}

#[test]
fn a_cluster_that_is_busy_full_or_forbids_is_told_apart() {
    let script = Script::start(|asked| match asked {
        asked if asked.is("GET", "busy") => Reply::error(503, "").with("retry-after", "1"),
        asked if asked.is("GET", "full") => Reply::error(507, "fs_no_space_error"),
        asked if asked.is("GET", "forbidden") => Reply::error(403, "fs_access_denied_error"),
        _ => Reply::missing(),
    });
    let mut settings = settings(&script);
    settings.retry_for = Duration::from_millis(2500);
    let files = QumuloFiles::new(settings, script.runtime.handle().clone()).unwrap();
    let began = Instant::now();
    failed(files.stat(&path("busy")), ErrorClass::Retry);
    assert_eq!(script.lines().len(), 3, "once, and twice a second later");
    assert!((Duration::from_secs(2)..Duration::from_secs(4)).contains(&began.elapsed()), "{:?}", began.elapsed());
    failed(files.stat(&path("full")), ErrorClass::Retry);
    let error = failed(files.stat(&path("forbidden")), ErrorClass::Config);
    assert!(error.hint().unwrap().contains("rights"), "{error:?}");
    assert_eq!(script.lines().len(), 5, "neither is repeated");
}

#[test]
fn a_cluster_that_is_silent_or_away_is_given_up() {
    let script = Script::start(|_| Reply::Silence);
    let mut settings = settings(&script);
    (settings.call_timeout, settings.retry_for) = (Duration::from_millis(200), Duration::from_millis(400));
    let files = QumuloFiles::new(settings.clone(), script.runtime.handle().clone()).unwrap();
    let began = Instant::now();
    let error = failed(files.stat(&path("f")), ErrorClass::Retry);
    assert!(error.to_string().contains("200 ms"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    // A port that nobody listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    settings.port = free.port();
    let files = QumuloFiles::new(settings, script.runtime.handle().clone()).unwrap();
    failed(files.stat(&path("f")), ErrorClass::Retry);
}

#[test]
fn an_address_or_directory_that_cannot_be_is_refused_at_once() {
    let script = Script::start(|_| Reply::Silence);
    let check = |host: &str, directory: &str, part: &str| {
        let (host, directory) = (host.to_owned(), directory.to_owned());
        let tls = if part == "TLS" { Tls::None } else { Tls::AcceptAny };
        let settings = QumuloSettings { host, directory, tls, ..settings(&script) };
        let error = failed(QumuloFiles::new(settings, script.runtime.handle().clone()), ErrorClass::Config);
        assert!(error.to_string().contains(part), "{error}");
    };
    check("host name", "/", "host name");
    check("user@host", "/", "user@host");
    check("host/path", "/", "host/path");
    check("filer.example", "/", "TLS");
    check("host", "spool", "`spool`");
    check("host", "/a/../b", "`..`");
    let missing = std::path::PathBuf::from("/nowhere/ca.pem");
    let settings = QumuloSettings { tls: Tls::Ca(missing), ..settings(&script) };
    let error = failed(QumuloFiles::new(settings, script.runtime.handle().clone()), ErrorClass::Config);
    assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
}

#[test]
fn a_listing_whose_pages_go_in_a_circle_is_an_error() {
    let script = Script::start(|asked| match asked {
        asked if asked.is("GET", "after=5") => page(&["b"], "/x?after=6"),
        asked if asked.is("GET", "after=6") => page(&[], "/x?after=5"),
        asked if asked.is("GET", "entries/") => page(&["a"], "/x?after=5"),
        _ => Reply::missing(),
    });
    let error = failed(names(&connect(&script)), ErrorClass::Retry);
    assert!(error.to_string().contains("`5`") && error.to_string().contains("listing `.`"), "{error}");
}

#[test]
fn a_listing_goes_on_after_an_outage_and_leaves_out_what_no_path_can_hold() {
    let mut outages = 2;
    let script = Script::start(move |asked| match asked {
        asked if asked.is("GET", "after=5") && outages > 0 => {
            outages -= 1;
            if outages == 0 { Reply::error(503, "") } else { Reply::Close }
        }
        asked if asked.is("GET", "after=5") => page(&["b", "x/y", "..", "", "a\\nb"], ""),
        asked if asked.is("GET", "entries/") => page(&["a"], "http://elsewhere.example/?after=5"),
        _ => Reply::missing(),
    });
    assert_eq!(names(&connect(&script)).unwrap(), ["a", "b"]);
}

/// Renames of `old` with id `1` to `new`: the first answers are lost; what is found afterwards.
fn rename_lost(lost: usize, then: fn() -> Reply, at_target: Option<&'static str>, at_source: bool) -> Script {
    let mut left = lost;
    Script::start(move |asked| match asked {
        asked if asked.is("POST", "entries/") && left > 0 => {
            left -= 1;
            Reply::Close
        }
        asked if asked.is("POST", "entries/") => then(),
        asked if asked.is("GET", "new/info") => match at_target {
            Some(id) => Reply::json(attributes("new", id, 3)),
            None => Reply::missing(),
        },
        asked if asked.is("GET", "old/info") && at_source => Reply::json(attributes("old", "1", 3)),
        _ => Reply::missing(),
    })
}

#[test]
fn a_rename_whose_answer_was_lost_is_found_out() {
    let taken: fn() -> Reply = || Reply::error(409, "fs_entry_exists_error");
    let check = |lost, then: fn() -> Reply, at_target, expected: fn(&Moved) -> bool| {
        let script = rename_lost(lost, then, at_target, false);
        let moved = connect(&script).rename(&file("old", "1", 3), &path("new")).unwrap();
        assert!(expected(&moved), "{moved:?}");
        script
    };
    let done: fn(&Moved) -> bool = |moved| matches!(moved, Moved::Done(info) if info.id == "1" && info.bytes == 3);
    check(1, Reply::missing, Some("1"), done);
    check(2, taken, Some("1"), done);
    check(1, Reply::missing, Some("2"), |moved| *moved == Moved::Gone);
    check(1, taken, Some("2"), |moved| *moved == Moved::Taken);
    check(1, Reply::missing, None, |moved| *moved == Moved::Gone);
    // Nothing was lost: another made it, though the same file is there.
    let script = check(0, Reply::missing, Some("1"), |moved| *moved == Moved::Gone);
    let request = script.asked().into_iter().find(|asked| asked.is("POST", "entries/")).unwrap();
    assert_eq!(request.target, "/v1/files/%2Fspool/entries/");
    assert_eq!(request.text(), r#"{"action":"RENAME","name":"new","old_path":"/spool/old","clobber":false}"#);
}

#[test]
fn a_rename_that_was_given_up_is_found_out_when_the_task_repeats_it() {
    let script = rename_lost(1, Reply::missing, Some("1"), false);
    let mut settings = settings(&script);
    settings.retry_for = Duration::ZERO;
    let files = QumuloFiles::new(settings, script.runtime.handle().clone()).unwrap();
    failed(files.rename(&file("old", "1", 3), &path("new")), ErrorClass::Retry);
    let moved = files.rename(&file("old", "1", 3), &path("new")).unwrap();
    assert!(matches!(moved, Moved::Done(_)), "{moved:?}");
    // And not once more.
    assert_eq!(files.rename(&file("old", "1", 3), &path("new")).unwrap(), Moved::Gone);
}

#[test]
fn a_target_directory_that_is_missing_is_not_a_source_that_is_gone() {
    let script = rename_lost(0, Reply::missing, None, true);
    let error = failed(connect(&script).rename(&file("old", "1", 3), &path("d/new")), ErrorClass::Retry);
    assert!(error.to_string().contains("directory `d`"), "{error}");
}

#[test]
fn a_deletion_whose_answer_was_lost_counts() {
    let mut lost = true;
    let script = Script::start(move |asked| match asked {
        asked if asked.is("DELETE", "") && std::mem::take(&mut lost) => Reply::Close,
        asked if asked.is("GET", "info") => Reply::json(attributes("f", "1", 3)),
        _ => Reply::missing(),
    });
    let files = connect(&script);
    assert!(files.delete(&file("f", "1", 3)).unwrap());
    assert!(!files.delete(&file("f", "1", 3)).unwrap(), "gone without our doing");
    assert!(!files.delete(&file("f", "2", 3)).unwrap(), "another file has the name");
    assert_eq!(script.lines().iter().filter(|line| line.starts_with("DELETE")).count(), 3);
}
