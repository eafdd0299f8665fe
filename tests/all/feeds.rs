//! Feeds against their emulators: what happens to a connection when the other side fails, and that
//! what was promised arrives all the same.

use crate::script::{self, Answer};
use crate::tls::Authority;
use host::io::feed::OpenFeed;
use host::ports::feed::{Feed, FeedAddress, FeedSettings, FeedState, Frames, IrcSettings, Overflow, SseSettings};
use host_emulators::edits::{Edit, Generator};
use host_emulators::{Fault, Handle, eventstreams, irc};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::tempdir;
use tests::feeds::{self, runtime, wait_for_stats};
use tests::{wait_for, wait_until};

/// Covers the longest wait there is here, a registration that is never answered.
const WITHIN: Duration = Duration::from_secs(60);
const ENGLISH: &str = "#en.wikipedia";

fn irc_settings(address: SocketAddr) -> IrcSettings {
    IrcSettings {
        host: address.ip().to_string(),
        port: address.port(),
        tls: false,
        tls_ca: None,
        channels: vec![ENGLISH.to_owned()],
        nick: "tester".to_owned(),
        sender: Some("rc-pmtpa".to_owned()),
    }
}

fn irc_feed(settings: IrcSettings) -> OpenFeed {
    open(FeedAddress::Irc(settings), Overflow::Block, FeedSettings::BUFFER_BYTES)
}

fn sse_settings(url: String) -> SseSettings {
    SseSettings { url, user_agent: "tests (nobody@example.org)".to_owned(), tls_ca: None }
}

fn sse_feed(url: String) -> OpenFeed {
    open(FeedAddress::Sse(sse_settings(url)), Overflow::Block, FeedSettings::BUFFER_BYTES)
}

fn open(address: FeedAddress, overflow: Overflow, buffer_bytes: usize) -> OpenFeed {
    OpenFeed::new(FeedSettings { address, overflow, buffer_bytes }, runtime().handle().clone())
}

/// Reads and commits at least `count` frames, each with its bytes and origin.
fn read(feed: &OpenFeed, count: usize) -> Vec<(Vec<u8>, String)> {
    let mut found = Vec::new();
    wait_until(&format!("{count} frames"), WITHIN, || {
        let frames = feed.read(1000, 1 << 20, Duration::from_millis(100)).unwrap().expect("an open feed");
        found.extend(split(&frames));
        feed.commit();
        found.len() >= count
    });
    found
}

fn split(frames: &Frames) -> Vec<(Vec<u8>, String)> {
    let mut rest = frames.data.as_slice();
    let frames = frames.lens.iter().zip(&frames.origins).map(|(len, origin)| {
        let (frame, tail) = rest.split_at(*len as usize);
        rest = tail;
        (frame.to_vec(), frames.origin_names[*origin as usize].clone())
    });
    frames.collect()
}

/// Waits until the feed says that it cannot connect, and why.
fn wait_for_trouble(feed: &OpenFeed) -> String {
    wait_for("the feed to say what is wrong", WITHIN, || match feed.status().state {
        FeedState::Connecting(Some(error)) => Some(error),
        _ => None,
    })
}

fn emulated_irc(options: irc::Options) -> (Handle, OpenFeed) {
    let emulator = feeds::irc(options);
    let feed = irc_feed(irc_settings(emulator.addr()));
    (emulator, feed)
}

fn emulated_stream(options: eventstreams::Options) -> (Handle, OpenFeed) {
    let emulator = feeds::eventstreams(options);
    let feed = sse_feed(feeds::stream_url(&emulator));
    (emulator, feed)
}

#[test]
fn an_irc_feed_gives_every_line_of_its_channels() {
    let (emulator, feed) = emulated_irc(irc::Options { rate: 0.0, seed: 9, limit: Some(2000), ..Default::default() });
    assert_eq!(feed.status().state, FeedState::Idle);
    assert!(feed.read(1, 1, Duration::ZERO).is_err(), "read before it was started");
    feed.start(None).unwrap();
    feed.start(None).unwrap();
    let on_irc = Generator::new(9).filter(Edit::is_on_irc).take(2000);
    let expected: Vec<Edit> = on_irc.filter(|edit| edit.wiki.channel == ENGLISH).collect();
    let found = read(&feed, expected.len());
    assert_eq!(found.len(), expected.len());
    for ((frame, origin), edit) in found.iter().zip(&expected) {
        // The server cuts long lines.
        assert!(edit.irc_text().unwrap().as_bytes().starts_with(frame), "{}", String::from_utf8_lossy(frame));
        assert_eq!(origin, ENGLISH);
    }
    let status = feed.status();
    assert_eq!((status.state, status.note, status.reconnects), (FeedState::Connected, None, 0));
    assert_eq!((status.received, status.overflowed, status.buffered), (expected.len() as u64, 0, 0));
    assert_eq!(emulator.stats().clients_ever, 1, "started twice, connected once");
    feed.close();
    assert_eq!(feed.status().state, FeedState::Closed);
    assert_eq!(feed.read(1, 1, WITHIN).unwrap(), None);
    wait_for_stats(&emulator, "the client to leave", WITHIN, |stats| stats.clients_now == 0);
}

#[test]
fn an_irc_feed_comes_back_after_its_connection_was_cut() {
    let (emulator, feed) = emulated_irc(irc::Options { rate: 200.0, ..Default::default() });
    feed.start(None).unwrap();
    for cut in 1..=2 {
        read(&feed, 10);
        emulator.fault(Fault::CutAll);
        wait_until("the feed to be back", WITHIN, || feed.status().reconnects == cut);
    }
    read(&feed, 10);
    assert_eq!(feed.status().state, FeedState::Connected);
}

#[test]
fn an_irc_feed_comes_back_after_it_was_refused() {
    let (emulator, feed) = emulated_irc(irc::Options { rate: 200.0, ..Default::default() });
    emulator.fault(Fault::RefuseNext(2));
    feed.start(None).unwrap();
    wait_for_trouble(&feed);
    read(&feed, 10);
    assert_eq!(emulator.stats().refused, 2);
    assert_eq!(feed.status().reconnects, 0, "a connection that never came up is none");
}

#[test]
fn an_irc_server_that_is_not_there_is_told_and_dialled_again() {
    let port = feeds::free_port();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let feed = irc_feed(irc_settings(address));
    feed.start(None).unwrap();
    let trouble = wait_for_trouble(&feed);
    assert!(trouble.starts_with(&format!("connecting to `{address}`: ")), "{trouble}");
    // A server that comes up on that port is found.
    let listener = runtime().block_on(tokio::net::TcpListener::bind(address)).unwrap();
    let _emulator = runtime().block_on(irc::start(listener, irc::Options { rate: 200.0, ..Default::default() }));
    read(&feed, 1);
}

#[test]
fn an_irc_server_that_never_answers_is_told_and_left() {
    let (emulator, feed) = emulated_irc(irc::Options { rate: 200.0, ..Default::default() });
    emulator.fault(Fault::Silence(true));
    feed.start(None).unwrap();
    let trouble = wait_for_trouble(&feed);
    assert_eq!(trouble, "registering: the server did not answer within 30 s");
    emulator.fault(Fault::Silence(false));
    read(&feed, 1);
    assert_eq!(feed.status().state, FeedState::Connected);
}

#[test]
fn a_channel_that_does_not_exist_is_told_and_the_others_flow() {
    let emulator = feeds::irc(irc::Options { rate: 200.0, ..Default::default() });
    let channels = [ENGLISH, "#nowhere.wikipedia", "#de.wikipedia"].map(str::to_owned).to_vec();
    let feed = irc_feed(IrcSettings { channels, ..irc_settings(emulator.addr()) });
    feed.start(None).unwrap();
    let origins = || read(&feed, 20).into_iter().map(|(_, origin)| origin).collect::<HashSet<_>>();
    wait_until("both other channels", WITHIN, || origins().len() == 2);
    let note = wait_for("a note", WITHIN, || feed.status().note);
    assert!(note.contains("has no channel `#nowhere.wikipedia`"), "{note}");
    assert_eq!(feed.status().state, FeedState::Connected);
}

#[test]
fn lines_that_are_no_irc_do_not_end_a_connection() {
    let (emulator, feed) = emulated_irc(irc::Options { rate: 200.0, ..Default::default() });
    emulator.fault(Fault::GarbageNext(60));
    feed.start(None).unwrap();
    let found = read(&feed, 50);
    let torn = found.iter().filter(|(frame, _)| std::str::from_utf8(frame).is_err()).count();
    assert_eq!(torn, 10, "what is said in a channel is a frame, whatever its bytes");
    emulator.fault(Fault::GarbageNext(1000));
    read(&feed, 300);
    assert_eq!((feed.status().reconnects, emulator.stats().clients_ever), (0, 1));
}

#[test]
fn only_the_wanted_sender_makes_frames() {
    let emulator = feeds::irc(irc::Options { rate: 0.0, limit: Some(100), ..Default::default() });
    let sender = Some("somebody-else".to_owned());
    let feed = irc_feed(IrcSettings { sender, ..irc_settings(emulator.addr()) });
    feed.start(None).unwrap();
    wait_for_stats(&emulator, "all to be sent", WITHIN, |stats| stats.produced == 100 && stats.frames_sent > 0);
    let frames = feed.read(10, 1 << 20, Duration::from_millis(200)).unwrap().unwrap();
    assert_eq!((frames.lens.len(), feed.status().received), (0, 0));
}

#[test]
fn a_server_that_asks_for_life_signs_gets_them() {
    let (ping_interval, ping_timeout) = (Duration::from_millis(50), Duration::from_millis(500));
    let options = irc::Options { rate: 100.0, ping_interval, ping_timeout, ..Default::default() };
    let (emulator, feed) = emulated_irc(options);
    feed.start(None).unwrap();
    wait_for_stats(&emulator, "two seconds of edits", WITHIN, |stats| stats.produced >= 200);
    read(&feed, 1);
    assert_eq!((emulator.stats().clients_ever, feed.status().reconnects), (1, 0));
}

#[test]
fn a_full_buffer_drops_and_counts_or_blocks_and_loses_nothing() {
    let small = 4000;
    let emulator = feeds::irc(irc::Options { rate: 0.0, limit: Some(1000), ..Default::default() });
    let on_irc = Generator::new(1).filter(Edit::is_on_irc).take(1000);
    let all = on_irc.filter(|edit| edit.wiki.channel == ENGLISH).count() as u64;
    let feed = open(FeedAddress::Irc(irc_settings(emulator.addr())), Overflow::Drop, small);
    feed.start(None).unwrap();
    wait_until("all frames to have come", WITHIN, || feed.status().received == all);
    let status = feed.status();
    assert!(status.overflowed > 0 && status.buffered > 0, "{status:?}");
    assert_eq!(status.overflowed + status.buffered as u64, all);
    assert_eq!(read(&feed, status.buffered).len(), status.buffered);

    let options = eventstreams::Options { rate: 0.0, limit: Some(1000), canary_every: 0, ..Default::default() };
    let emulator = feeds::eventstreams(options);
    let address = FeedAddress::Sse(sse_settings(feeds::stream_url(&emulator)));
    let feed = open(address, Overflow::Block, small);
    feed.start(None).unwrap();
    wait_until("the buffer to be full", WITHIN, || feed.status().buffered > 0);
    let found: HashSet<Vec<u8>> = read(&feed, 1000).into_iter().map(|(frame, _)| frame).collect();
    assert_eq!((found.len(), feed.status().received, feed.status().overflowed), (1000, 1000, 0));
}

#[test]
fn what_was_not_committed_is_read_again() {
    let (_emulator, feed) = emulated_irc(irc::Options { rate: 0.0, ..Default::default() });
    feed.start(None).unwrap();
    let next = |count| split(&feed.read(count, 1 << 20, WITHIN).unwrap().unwrap());
    wait_until("frames to be there", WITHIN, || feed.status().buffered >= 10);
    let first = next(4);
    feed.commit();
    let second = next(4);
    assert_eq!(feed.rewind(), 4);
    assert_eq!(next(4), second);
    assert_ne!(first, second);
}

#[test]
fn irc_over_tls_works_with_a_trusted_certificate_only() {
    let dir = tempdir().unwrap();
    let emulator = feeds::irc(irc::Options { rate: 200.0, ..Default::default() });
    let authority = Authority::new(dir.path());
    let address = authority.proxy(emulator.addr());
    let feed = |host: &str, tls_ca: Option<PathBuf>| {
        let feed = irc_feed(IrcSettings { host: host.to_owned(), tls: true, tls_ca, ..irc_settings(address) });
        feed.start(None).unwrap();
        feed
    };
    for host in ["localhost", "127.0.0.1"] {
        read(&feed(host, Some(authority.pem.clone())), 5);
    }
    let trouble = wait_for_trouble(&feed("localhost", None));
    assert!(trouble.contains("TLS") && trouble.to_lowercase().contains("certificate"), "{trouble}");
    let other = tempdir().unwrap();
    let trouble = wait_for_trouble(&feed("localhost", Some(Authority::new(other.path()).pem)));
    assert!(trouble.to_lowercase().contains("certificate"), "{trouble}");
    let missing = dir.path().join("missing.pem");
    let trouble = wait_for_trouble(&feed("localhost", Some(missing)));
    assert!(trouble.contains("`irc.tls.ca.file`"), "{trouble}");
}

#[test]
fn event_streams_over_tls_work_with_a_trusted_certificate_only() {
    let dir = tempdir().unwrap();
    let emulator = feeds::eventstreams(eventstreams::Options { rate: 200.0, ..Default::default() });
    let authority = Authority::new(dir.path());
    let address = authority.proxy(emulator.addr());
    let url = format!("https://localhost:{}/v2/stream/recentchange", address.port());
    let feed = |tls_ca: Option<PathBuf>| {
        let address = FeedAddress::Sse(SseSettings { tls_ca, ..sse_settings(url.clone()) });
        let feed = open(address, Overflow::Block, FeedSettings::BUFFER_BYTES);
        feed.start(None).unwrap();
        feed
    };
    read(&feed(Some(authority.pem.clone())), 5);
    let trouble = wait_for_trouble(&feed(None));
    assert!(trouble.to_lowercase().contains("certificate"), "{trouble}");
}

#[test]
fn a_stream_that_refuses_is_told_and_asked_again() {
    let check = |status: u16, expected: &str| {
        let (emulator, feed) = emulated_stream(eventstreams::Options { rate: 200.0, ..Default::default() });
        emulator.fault(Fault::AnswerNext { status, retry_after: None });
        feed.start(None).unwrap();
        let trouble = wait_for_trouble(&feed);
        assert!(trouble.contains(expected), "{trouble}");
        assert!(trouble.contains(&feeds::stream_url(&emulator)), "{trouble}");
        read(&feed, 5);
        assert_eq!(feed.status().state, FeedState::Connected);
    };
    check(403, "found status 403 Forbidden");
    check(404, "found status 404 Not Found");
    check(500, "found status 500 Internal Server Error");
    check(503, "expected 200 and `text/event-stream`");
}

#[test]
fn a_stream_that_asks_for_patience_gets_it() {
    let (emulator, feed) = emulated_stream(eventstreams::Options { rate: 200.0, ..Default::default() });
    emulator.fault(Fault::AnswerNext { status: 429, retry_after: Some(3) });
    feed.start(None).unwrap();
    let trouble = wait_for_trouble(&feed);
    let refused = Instant::now();
    assert!(trouble.contains("429"), "{trouble}");
    read(&feed, 1);
    // Its own back-off would have been half a second.
    assert!(refused.elapsed() >= Duration::from_millis(2500), "came back after {:?}", refused.elapsed());
}

#[test]
fn a_page_in_place_of_a_stream_is_told() {
    let (address, _) = script::serve(|_| Answer::new("200 OK", "text/html", "<html>a portal wants money</html>"));
    let feed = sse_feed(format!("http://{address}/stream?token=hunter2"));
    feed.start(None).unwrap();
    let trouble = wait_for_trouble(&feed);
    assert!(trouble.contains("found status 200 OK and content type `text/html`"), "{trouble}");
    assert!(!format!("{trouble}{:?}", feed.status()).contains("hunter2"), "a token is told: {trouble}");
    assert_eq!(feed.status().received, 0);
}

#[test]
fn an_event_without_end_is_refused_and_those_before_it_are_kept() {
    let (address, _) = script::serve(|_| {
        let endless = [b"data: first\n\ndata: ".to_vec(), vec![b'x'; 6 << 20]].concat();
        Answer::stream(endless).held()
    });
    let feed = sse_feed(format!("http://{address}/"));
    feed.start(None).unwrap();
    assert_eq!(read(&feed, 1)[0].0, b"first");
    let trouble = wait_for_trouble(&feed);
    assert!(trouble.contains("one of more than 4194304 bytes"), "{trouble}");
}

#[test]
fn a_stream_is_resumed_by_the_last_id_and_as_told_at_the_start() {
    let (address, requests) = script::serve(|number| match number {
        0 => Answer::stream("id: one\ndata: 1\n\nid: two\nevent: named\ndata: 2\ndata: more\n\nid: half\ndata: lost"),
        1 => Answer::stream("data: no id\n\n"),
        _ => Answer::stream(": quiet\n\n").held(),
    });
    let feed = sse_feed(format!("http://{address}/v2/stream"));
    feed.start(Some("zero")).unwrap();
    let mut frames = Vec::new();
    let mut resumes = Vec::new();
    wait_until("three events", WITHIN, || {
        let read = feed.read(1, 1 << 20, Duration::from_millis(50)).unwrap().unwrap();
        resumes.extend(read.resume.clone());
        frames.extend(split(&read));
        frames.len() == 3
    });
    let frame = |text: &str, origin: &str| (text.as_bytes().to_vec(), origin.to_owned());
    assert_eq!(frames, [frame("1", "message"), frame("2\nmore", "named"), frame("no id", "message")]);
    assert_eq!(resumes, ["one", "two", "two"], "an event without an id leaves the place where it was");
    let heads: Vec<String> = (0..3).map(|_| requests.recv_timeout(WITHIN).unwrap().to_lowercase()).collect();
    for (head, id) in heads.iter().zip(["zero", "two", "two"]) {
        assert!(head.contains(&format!("last-event-id: {id}\r\n")), "{head}");
        assert!(head.contains("accept: text/event-stream\r\n"), "{head}");
        assert!(head.contains("user-agent: tests (nobody@example.org)\r\n"), "{head}");
    }
    assert_eq!(feed.status().received, 3, "an unfinished event is none");
}

#[test]
fn a_resume_token_that_could_forge_a_header_is_refused() {
    let feed = sse_feed("http://127.0.0.1:9/".to_owned());
    for token in ["a\nb", "a\r\nX-Evil: 1", "\0"] {
        assert!(feed.start(Some(token)).is_err(), "{token:?}");
    }
    assert_eq!(feed.status().state, FeedState::Idle);
}

#[test]
fn garbage_in_a_stream_does_not_stop_it() {
    let (emulator, feed) =
        emulated_stream(eventstreams::Options { rate: 300.0, canary_every: 0, ..Default::default() });
    feed.start(None).unwrap();
    read(&feed, 20);
    emulator.fault(Fault::GarbageNext(5));
    let before = emulator.stats().produced;
    wait_for_stats(&emulator, "edits to go on", WITHIN, |stats| stats.produced >= before + 300);
    let sound = |frame: &[u8]| serde_json::from_slice::<serde_json::Value>(frame).is_ok();
    let mut seen = 0;
    wait_until("sound events after the garbage", WITHIN, || {
        seen += read(&feed, 1).iter().filter(|(frame, _)| sound(frame)).count();
        seen >= 400
    });
}
