//! What a source is lent: state, requests, files. Each frame of its feed is a command, and becomes a record that says what
//! came of it (`tests/fixtures/components/lent_source`).

use host::worker::TaskState;
use host_emulators::{Handle, irc};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tempfile::{TempDir, tempdir};
use tests::feeds::{self, lines};
use tests::plugins::{Plugin, version};
use tests::records::{read_topic, text};
use tests::worker::{Connector, Running, start, try_start};

const WITHIN: std::time::Duration = tests::spool::WITHIN;

/// A feed of commands, and a connector that is told them.
fn told(dir: &Path, commands: &[&str], rate: f64) -> (Handle, Connector) {
    let commands = commands.iter().map(|command| format!("#en.wikipedia\t{command}"));
    let options = irc::Options { rate, lines: Some(lines(dir, commands)), ..Default::default() };
    let emulator = feeds::irc(options);
    let connector = Connector::new("lent", Plugin::LentSource).irc(&emulator).set("topic", "lent");
    let connector = connector.set("transaction.boundary.interval.ms", 5).set("irc.channels", "#en.wikipedia");
    (emulator, connector)
}

/// What came of all commands so far.
fn answers(running: &Running) -> Vec<String> {
    let answer = |record| text(record).split_once(" => ").unwrap().1.to_owned();
    read_topic(running.log(), "lent").iter().map(answer).collect()
}

/// Runs a connector until every command is answered.
fn run(dir: &TempDir, commands: &[&str], set_up: impl FnOnce(Connector) -> Connector) -> Vec<String> {
    let (_emulator, connector) = told(dir.path(), commands, 0.0);
    let running = start(&dir.path().join("data"), &[set_up(connector)], None);
    running.wait("lent", "answers", WITHIN, |status| status.counts.records >= commands.len() as u64);
    answers(&running)
}

#[test]
fn state_is_kept_within_its_bound() {
    let dir = tempdir().unwrap();
    let commands =
        ["get a", "set a 1", "get a", "set b 2", "names", "forget a", "forget a", "names", "fill c 2000", "names"];
    let found = run(&dir, &commands, |connector| connector.set("grants", "feed,state").set("state.max.bytes", 1024));
    assert_eq!(found[..8], ["none", "set", "1", "set", "a,b", "true", "false", "b"]);
    assert!(found[8].contains("names and values would have 2003 bytes, the limit is 1024"), "{found:?}");
    assert_eq!(found[9], "b");
}

#[test]
fn state_is_committed_with_the_records_it_goes_with() {
    let dir = tempdir().unwrap();
    let commands: Vec<String> = (0..300).map(|_| "count n".to_owned()).collect();
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    let (_emulator, connector) = told(dir.path(), &commands, 400.0);
    let connector = connector.set("grants", "feed,state").set("plugin.trial.batches", 0);
    let running = start(&dir.path().join("data"), &[connector], None);
    let other = version(Plugin::LentSource, dir.path(), "other", |manifest| manifest + "\n");
    // The same version of other bytes: state goes on, whichever instance counts.
    for swap in 1..=4 {
        running.wait("lent", "records", WITHIN, |status| status.counts.records >= swap * 50);
        running.swap("lent", if swap % 2 == 1 { &other } else { Plugin::LentSource.path() }).unwrap();
    }
    running.wait("lent", "answers", WITHIN, |status| status.counts.records >= 300);
    let expected: Vec<String> = (1..=300).map(|n| n.to_string()).collect();
    assert_eq!(answers(&running), expected);
}

/// The source under another version number.
fn lent(dir: &Path, number: &str, more: &str) -> PathBuf {
    let change = |manifest: String| manifest.replace("version = \"0.1.0\"", &format!("version = \"{number}\"")) + more;
    version(Plugin::LentSource, dir, &format!("lent-{number}"), change)
}

#[test]
fn state_of_another_version_is_migrated_in_a_swap() {
    let dir = tempdir().unwrap();
    let commands = ["set a 1"].into_iter().chain(std::iter::repeat_n("get a", 600)).collect::<Vec<_>>();
    let (_emulator, connector) = told(dir.path(), &commands, 200.0);
    let connector = connector.set("grants", "feed,state").set("plugin.trial.batches", 3);
    let running = start(&dir.path().join("data"), &[connector], None);
    let wait = |expected: &str, times: usize| {
        let found = || answers(&running).iter().filter(|answer| *answer == expected).count();
        running.wait("lent", expected, WITHIN, |_| found() >= times);
    };
    wait("1", 1);
    running.swap("lent", &lent(dir.path(), "0.2.0", "")).unwrap();
    // Well beyond its trial: the next one migrates what it kept, not what the first one had.
    wait("1-of-0.1.0", 50);
    running.swap("lent", &lent(dir.path(), "0.3.0", "")).unwrap();
    wait("1-of-0.1.0-of-0.2.0", 1);
}

#[test]
fn a_swap_that_is_taken_back_leaves_the_state_as_the_version_before_left_it() {
    let dir = tempdir().unwrap();
    let gets = |times| std::iter::repeat_n("get a", times);
    let commands: Vec<&str> =
        ["set a 1"].into_iter().chain(gets(200)).chain(["trap a 1-of-0.1.0"]).chain(gets(5)).collect();
    let (_emulator, connector) = told(dir.path(), &commands, 100.0);
    let connector = connector.set("grants", "feed,state").set("plugin.trial.batches", 10_000);
    let running = start(&dir.path().join("data"), &[connector], None);
    running.wait("lent", "the first answer", WITHIN, |_| answers(&running).last().is_some_and(|answer| answer == "1"));
    running.swap("lent", &lent(dir.path(), "0.2.0", "")).unwrap();
    let status = running.wait("lent", "all answers", WITHIN, |status| status.counts.records >= commands.len() as u64);
    let found = answers(&running);
    assert!(found.iter().any(|answer| answer == "1-of-0.1.0"), "the new version committed something: {found:?}");
    assert_eq!(found[found.len() - 6..], ["nothing", "1", "1", "1", "1", "1"]);
    assert_eq!((status.plugin.as_str(), status.restarts), ("lent_source@0.1.0", 0));
}

#[test]
fn a_swap_to_a_version_that_cannot_read_the_state_is_refused() {
    let dir = tempdir().unwrap();
    let commands = ["set unreadable 1"].into_iter().chain(std::iter::repeat_n("names", 400)).collect::<Vec<_>>();
    let (_emulator, connector) = told(dir.path(), &commands, 200.0);
    let running = start(&dir.path().join("data"), &[connector.set("grants", "feed,state")], None);
    running.wait("lent", "state", WITHIN, |_| answers(&running).last().is_some_and(|answer| answer == "unreadable"));
    let error = running.swap("lent", &lent(dir.path(), "0.2.0", "")).unwrap_err().to_string();
    assert!(error.contains("state of version 0.1.0") && error.contains("which this version cannot read"), "{error}");
    let before = running.status("lent").counts.records;
    let status = running.wait("lent", "more records", WITHIN, |status| status.counts.records > before);
    assert_eq!((status.plugin.as_str(), status.restarts), ("lent_source@0.1.0", 0));
}

/// Answers every request alike, and keeps what it was asked.
fn server(status: &'static str, body: &'static str) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let seen = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut request, mut room) = (Vec::new(), [0; 4096]);
            while !request.windows(4).any(|part| part == b"\r\n\r\n") {
                match stream.read(&mut room).unwrap() {
                    0 => break,
                    read => request.extend_from_slice(&room[..read]),
                }
            }
            seen.lock().unwrap().push(String::from_utf8_lossy(&request).into_owned());
            let length = body.len();
            let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        }
    });
    (address, asked)
}

#[test]
fn requests_go_where_they_are_granted_with_credentials_that_the_guest_never_sees() {
    let dir = tempdir().unwrap();
    let (address, asked) = server("200 OK", "hello");
    // The folder's name is drawn: what it is found in, it got into.
    let secret = format!("token{}", dir.path().file_name().unwrap().to_str().unwrap().replace('.', "-"));
    std::fs::write(dir.path().join("token"), &secret).unwrap();
    let url = format!("http://{address}");
    let commands = [
        format!("http GET {url}/v1/items"),
        format!("http POST {url}/v1/items body x-mine:1"),
        format!("http GET {url}/other"),
        format!("http GET {url}/v1/items authorization:mine"),
        "http GET http://127.0.0.1:1/v1/items".to_owned(),
        "http GET file:///etc/passwd".to_owned(),
    ];
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    let token = dir.path().join("token").display().to_string();
    let found = run(&dir, &commands, |connector| {
        connector
            .set("grants", "feed,http")
            .set("http.allow", format!("GET|POST {url}/v1/**"))
            .set("http.networks", "127.0.0.0/8")
            .set("http.credentials", format!("* {url}/v1/** = bearer file:{token}"))
    });
    assert_eq!(found[..2], ["200 hello", "200 hello"]);
    for (answer, word) in found[2..].iter().zip(["Deny", "Deny", "Deny", ""]) {
        assert!(answer.starts_with(word) && !answer.starts_with("200"), "{found:?}");
    }
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked.iter().all(|request| request.contains(&format!("earer {secret}\r\n"))));
    assert!(asked[1].starts_with("POST /v1/items ") && asked[1].to_lowercase().contains("x-mine: 1\r\n"), "{asked:?}");
    assert!(!found.iter().any(|answer| answer.contains(&secret)), "{found:?}");
}

#[test]
fn requests_beyond_their_number_a_second_wait_and_reach_no_private_address_by_default() {
    let dir = tempdir().unwrap();
    let (address, asked) = server("200 OK", "hello");
    let command = format!("http GET http://{address}/");
    let commands: Vec<&str> = std::iter::repeat_n(command.as_str(), 7).collect();
    let set =
        |connector: Connector| connector.set("grants", "feed,http").set("http.allow", format!("GET http://{address}/"));
    let found = run(&dir, &commands, |connector| {
        set(connector).set("http.networks", "127.0.0.0/8").set("http.requests.max.per.second", 3)
    });
    assert!(found.iter().all(|answer| answer == "200 hello"), "{found:?}");
    assert_eq!(asked.lock().unwrap().len(), 7);
    let found = run(&tempdir().unwrap(), &commands[..1], set);
    assert!(found[0].starts_with("Deny") && found[0].contains("loopback"), "{found:?}");
    assert_eq!(asked.lock().unwrap().len(), 7, "nobody was asked");
}

#[test]
fn files_are_those_of_the_directory_that_is_lent() {
    let dir = tempdir().unwrap();
    let folder = dir.path().join("lent");
    std::fs::create_dir_all(folder.join("sub")).unwrap();
    std::fs::write(folder.join("a.txt"), "hello").unwrap();
    std::fs::write(dir.path().join("outside"), "not lent").unwrap();
    std::os::unix::fs::symlink(dir.path().join("outside"), folder.join("link")).unwrap();
    let commands = [
        "list .",
        "read a.txt",
        "read none",
        "read ../outside",
        "read /etc/passwd",
        "read link",
        "write sub/b.txt data",
        "read sub/b.txt",
        "write a.txt new",
        "read a.txt",
        "remove sub/b.txt",
        "remove sub/b.txt",
        "list sub",
    ];
    let lend = |connector: Connector| connector.set("grants", "feed,files").set("files.dir", folder.display());
    let found = run(&dir, &commands, |connector| lend(connector).set("files.write", true));
    let expected = [
        "a.txt 5,link 0,sub 0",
        "hello",
        "none",
        "Bug",
        "Bug",
        "Bug",
        "written",
        "data",
        "written",
        "new",
        "true",
        "false",
        "",
    ];
    for (found, expected) in found.iter().zip(expected) {
        assert!(found == expected || (expected == "Bug" && found.starts_with("Bug")), "{found}, expected {expected}");
    }
    let found = run(&tempdir().unwrap(), &["read a.txt", "write a.txt x", "remove a.txt"], lend);
    assert_eq!(found[0], "new");
    assert!(found[1..].iter().all(|answer| answer.starts_with("Deny") && answer.contains("files.write")), "{found:?}");
}

#[test]
fn what_is_not_granted_is_not_lent_and_a_grant_without_a_want_is_nothing() {
    let dir = tempdir().unwrap();
    let commands = ["set a 1", "get a", "http GET http://127.0.0.1:1/", "read a.txt", "write a x"];
    let found = run(&dir, &commands, |connector| connector);
    for (answer, expected) in found.iter().zip(["state", "none", "http", "files", "files"]) {
        assert!(answer == expected || answer.contains(&format!("capability `{expected}` is not granted")), "{found:?}");
    }
    // Each half alone.
    let dir = tempdir().unwrap();
    let (_emulator, connector) = told(dir.path(), &["nothing"], 0.0);
    let refused = |connector: Connector, words: &[&str]| {
        let error = try_start(&dir.path().join("data"), &[connector], None).err().unwrap();
        let text = format!("{error}; {}", error.hint().unwrap_or_default());
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    };
    let needs = lent(dir.path(), "0.2.0", "").with_file_name("needs.wasm");
    let change =
        |manifest: String| manifest.replace("why = \"keeps values\"\noptional = true", "why = \"keeps values\"");
    version(Plugin::LentSource, dir.path(), "needs", change);
    refused(
        connector.clone().plugin_file(&needs),
        &["wants `state` (keeps values)", "add `grants = [\"feed\", \"state\"]`"],
    );
    let change = |manifest: String| manifest.split("[[wants]]\ncapability = \"files\"").next().unwrap().to_owned();
    let silent = version(Plugin::LentSource, dir.path(), "silent", change);
    let granted = connector.clone().set("grants", "feed,files").set("files.dir", dir.path().display());
    refused(
        granted.plugin_file(&silent),
        &["it imports `connector:host/files@0.1.1`, which its manifest does not ask for"],
    );
    refused(
        connector.clone().set("grants", "feed,http"),
        &["capability `http` is granted, and option `http.allow` is missing"],
    );
    refused(
        connector.clone().set("files.dir", "."),
        &["`files.dir` is set, and capability `files` is not granted", "\"files\""],
    );
    refused(connector.set("grants", "feed,sockets"), &["names `sockets`, this host lends `clock`, `feed`"]);
}

#[test]
fn a_connector_that_floods_its_state_leaves_others_alone() {
    let dir = tempdir().unwrap();
    let (_emulator, connector) = told(dir.path(), &["fill a 100000000"; 20], 0.0);
    let running = start(&dir.path().join("data"), &[connector.set("grants", "feed,state")], None);
    let status = running.wait("lent", "answers", WITHIN, |status| status.counts.records >= 20);
    assert_eq!(status.state, TaskState::Running);
    assert!(answers(&running).iter().all(|answer| answer.contains("the limit is 262144")));
}
