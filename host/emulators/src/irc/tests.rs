//! The IRC emulator as a client sees it, over plain TCP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::net::SocketAddr;
use std::time::Duration;

use irc_proto::{Command, Message, Prefix};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;
use crate::Fault;

const SOON: Duration = Duration::from_secs(10);

/// A client by hand. Every read has a deadline.
struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    async fn connect(addr: SocketAddr) -> Self {
        Self { stream: BufReader::new(TcpStream::connect(addr).await.unwrap()) }
    }

    /// Connects, registers and joins.
    async fn join(addr: SocketAddr, channels: &str) -> Self {
        let mut client = Self::connect(addr).await;
        client.send("NICK spooler\r\nUSER spooler 0 * :A test").await;
        client.until(" 376 ").await;
        client.send(&format!("JOIN {channels}")).await;
        let last = channels.rsplit(',').next().unwrap();
        client.until(&format!(" 366 spooler {last} ")).await;
        client
    }

    async fn send(&mut self, lines: &str) {
        self.stream.write_all(format!("{lines}\r\n").as_bytes()).await.unwrap();
    }

    /// The next line as bytes, with its end; empty at the end of the connection.
    async fn bytes(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        let read = timeout(SOON, self.stream.read_until(b'\n', &mut line)).await.expect("a line in time");
        // A reset is an end too: it comes when the server closes with input unread.
        read.map(|_| line).unwrap_or_default()
    }

    async fn line(&mut self) -> String {
        let line = String::from_utf8(self.bytes().await).unwrap();
        line.strip_suffix("\r\n").unwrap_or_else(|| panic!("an end of line after {line:?}")).to_owned()
    }

    async fn lines(&mut self, num: usize) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.len() < num {
            lines.push(self.line().await);
        }
        lines
    }

    async fn until(&mut self, what: &str) -> String {
        loop {
            let line = self.line().await;
            if line.contains(what) {
                return line;
            }
        }
    }

    /// The next text of the feed and its channel.
    async fn text(&mut self) -> (String, String) {
        loop {
            let line = self.line().await;
            if let Some(rest) = line.strip_prefix(":rc-pmtpa!rc-pmtpa@irc.wikimedia.org PRIVMSG ") {
                let (channel, text) = rest.split_once(" :").unwrap();
                return (channel.to_owned(), text.to_owned());
            }
        }
    }

    async fn texts(&mut self, num: usize) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.len() < num {
            texts.push(self.text().await.1);
        }
        texts
    }
}

async fn emulator(options: Options) -> Handle {
    start(TcpListener::bind("127.0.0.1:0").await.unwrap(), options).await.unwrap()
}

fn numbered(num: usize, pad: usize) -> (tempfile::NamedTempFile, Lines) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text: String = (0..num).map(|at| format!("#a\tline {at} {}\n", "x".repeat(pad))).collect();
    std::fs::write(file.path(), text).unwrap();
    let lines = Lines::read(file.path()).unwrap();
    (file, lines)
}

#[tokio::test]
async fn a_session_follows_the_script_of_the_real_server() {
    let emulator = emulator(Options { limit: Some(0), ..Options::default() }).await;
    let mut client = Client::connect(emulator.addr()).await;
    client
        .send("CAP LS 302\r\nJOIN #en.wikipedia\r\nPING early\r\nNICK this-nick-has-thirty-one-letters\r\nNICK tester")
        .await;
    let s = ":irc.wikimedia.org";
    assert_eq!(client.line().await, format!("{s} 451 * :You have not registered"));
    assert_eq!(client.line().await, format!("{s} PONG irc.wikimedia.org early"));
    assert_eq!(client.line().await, format!("{s} 432 * this-nick-has-thirty-one-letters :Erroneous nickname"));
    client.send("USER tester 0 * :A test").await;
    let mut burst = Vec::new();
    while burst.last().is_none_or(|line: &String| !line.contains(" 376 ")) {
        burst.push(client.line().await);
    }
    let numbers: Vec<&str> = burst.iter().map(|line| line.split(' ').nth(1).unwrap()).collect();
    assert_eq!(numbers, ["001", "002", "003", "004", "005", "221", "375", "372", "376"]);
    assert!(burst.iter().all(|line| line.split(' ').nth(2) == Some("tester")), "{burst:?}");
    assert!(burst[4].contains("NICKLEN=30 CHANNELLEN=50 CHANTYPES=#"));

    client.send("JOIN #en.wikipedia,#xx.wikipedia,#wikidata.wikipedia key").await;
    let lines = client.lines(11).await;
    let me = ":tester!tester@irc.wikimedia.org";
    assert_eq!(
        lines[..6],
        [
            format!("{me} JOIN #en.wikipedia"),
            format!("{s} 332 tester #en.wikipedia :Stream for topic #en.wikipedia"),
            format!("{s} 333 tester #en.wikipedia rc-pmtpa!rc-pmtpa@irc.wikimedia.org 1729468800"),
            format!("{s} 353 tester = #en.wikipedia :tester @rc-pmtpa"),
            format!("{s} 366 tester #en.wikipedia :End of /NAMES list"),
            format!("{s} 403 tester #xx.wikipedia :No such channel"),
        ]
    );
    assert_eq!(lines[6], format!("{me} JOIN #wikidata.wikipedia"));
    assert_eq!(emulator.stats().joins, 2);

    client.send("LIST\r\nPART #en.wikipedia\r\nPART #en.wikipedia\r\nPRIVMSG #en.wikipedia :hello\r\nFROB x\r\nPING :a b\r\nQUIT :done").await;
    let listed = client.lines(WIKIS.len() + 1).await;
    assert!(listed.contains(&format!("{s} 322 tester #de.wikipedia 1 :Stream for topic #de.wikipedia")));
    assert_eq!(listed[WIKIS.len()], format!("{s} 323 tester :End of /LIST"));
    assert_eq!(
        client.lines(6).await,
        [
            format!("{me} PART #en.wikipedia"),
            format!("{s} 442 tester #en.wikipedia :You're not on that channel"),
            format!("{s} 404 tester #en.wikipedia :Cannot send to channel"),
            format!("{s} 421 tester FROB :Unknown command"),
            format!("{s} PONG irc.wikimedia.org :a b"),
            "ERROR :Closing Link: (Quit: done)".to_owned(),
        ]
    );
    assert_eq!(client.bytes().await, b"");
    assert!(emulator.wait_for(|stats| stats.clients_now == 0, SOON).await);
    assert_eq!((emulator.stats().clients_ever, emulator.stats().nicks), (1, vec!["tester".to_owned()]));
    emulator.stop().await;
}

#[tokio::test]
async fn every_line_is_read_by_another_implementation() {
    let emulator = emulator(Options { rate: 0.0, limit: Some(500), ..Options::default() }).await;
    let mut client = Client::connect(emulator.addr()).await;
    client.send("NICK a2\r\nUSER a 0 * :b\r\nJOIN #en.wikipedia").await;
    let mut num = 0;
    while num < 50 {
        let line = client.line().await;
        let message: Message = line.parse().unwrap();
        if let Command::PRIVMSG(channel, text) = message.command {
            assert_eq!(channel, "#en.wikipedia");
            assert!(text.starts_with("\u{3}14[[\u{3}07"), "{text:?}");
            assert!(matches!(message.prefix, Some(Prefix::Nickname(nick, ..)) if nick == "rc-pmtpa"));
            num += 1;
        }
    }
    emulator.stop().await;
}

#[tokio::test]
async fn clients_of_one_seed_get_the_generators_texts_from_the_first() {
    let emulator = emulator(Options { rate: 0.0, seed: 42, limit: Some(3000), ..Options::default() }).await;
    let mut client = Client::join(emulator.addr(), "#de.wikipedia,#fr.wikipedia").await;
    let expected: Vec<(String, String)> = crate::edits::Generator::new(42)
        .filter(crate::edits::Edit::is_on_irc)
        .take(3000)
        .filter(|edit| matches!(edit.wiki.name, "dewiki" | "frwiki"))
        .map(|edit| (edit.wiki.channel.to_owned(), edit.irc_text().unwrap()))
        .collect();
    assert!(expected.len() > 300);
    for (channel, text) in expected {
        let found = client.text().await;
        assert_eq!(found.0, channel);
        assert!(text == found.1 || (text.starts_with(&found.1) && text.chars().count() > 440), "{text:?}");
    }
    assert!(emulator.wait_for(|stats| stats.produced == 3000, SOON).await);
    // The feed is idle now, the connection is not gone.
    client.send("PING still").await;
    assert_eq!(client.line().await, ":irc.wikimedia.org PONG irc.wikimedia.org still");
    emulator.stop().await;
}

#[tokio::test]
async fn nothing_flows_before_the_first_join_and_all_clients_share_one_feed() {
    let (_file, lines) = numbered(400, 0);
    let emulator = emulator(Options { rate: 200.0, lines: Some(lines), ..Options::default() }).await;
    let mut idle = Client::connect(emulator.addr()).await;
    idle.send("NICK idle\r\nUSER idle 0 * :x").await;
    idle.until(" 376 ").await;
    assert_eq!(emulator.stats().produced, 0);
    let mut first = Client::join(emulator.addr(), "#a").await;
    assert_eq!(first.text().await.1, "line 0 ");
    first.texts(10).await;
    let mut late = Client::join(emulator.addr(), "#a").await;
    let text = late.text().await.1;
    let number: u32 = text.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(number > 10, "{text}");
    assert_eq!(first.texts(389).await.last().unwrap(), "line 399 ");
    assert_eq!(emulator.stats().joins, 2);
    emulator.stop().await;
}

#[tokio::test]
async fn recorded_lines_make_the_channels_and_repeat_on_demand() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), b"#b.c\tM\xfchle\nbare\n").unwrap();
    let lines = Lines::read(file.path()).unwrap();
    let options = Options {
        rate: 0.0,
        lines: Some(lines),
        repeat: true,
        default_channel: "#z".to_owned(),
        limit: Some(5),
        ..Options::default()
    };
    let emulator = emulator(options).await;
    let mut client = Client::join(emulator.addr(), "#en.wikipedia,#b.c,#z").await;
    let head = b":rc-pmtpa!rc-pmtpa@irc.wikimedia.org PRIVMSG ".as_slice();
    for at in 0..5 {
        let rest: &[u8] = if at % 2 == 0 { b"#b.c :M\xfchle\r\n" } else { b"#z :bare\r\n" };
        assert_eq!(client.bytes().await, [head, rest].concat());
    }
    emulator.stop().await;
}

#[tokio::test]
async fn options_that_cannot_be_served_are_refused_at_the_start() {
    let refused = |options| async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        start(listener, options).await.unwrap_err().to_string()
    };
    assert!(refused(Options { rate: f64::NAN, ..Options::default() }).await.contains("found NaN edits a second"));
    assert!(refused(Options { default_channel: "en".into(), ..Options::default() }).await.contains("channel `en`"));
}

#[tokio::test]
async fn a_client_without_pong_is_pinged_and_then_closed() {
    let options = Options {
        limit: Some(0),
        ping_interval: Duration::from_millis(100),
        ping_timeout: Duration::from_millis(1000),
        ..Options::default()
    };
    let emulator = emulator(options).await;
    let mut silent = Client::join(emulator.addr(), "#en.wikipedia").await;
    let mut alive = Client::join(emulator.addr(), "#en.wikipedia").await;
    let mut unregistered = Client::connect(emulator.addr()).await;
    // Answering PING for longer than the time-out keeps a connection; the client's own PING would
    // not.
    let begin = std::time::Instant::now();
    while begin.elapsed() < Duration::from_millis(1500) {
        assert_eq!(alive.line().await, "PING :irc.wikimedia.org");
        alive.send("PONG :irc.wikimedia.org").await;
    }
    let mut num_pings = 0;
    let last = loop {
        let line = silent.line().await;
        if line != "PING :irc.wikimedia.org" {
            break line;
        }
        num_pings += 1;
    };
    assert_eq!(last, "ERROR :Closing Link: (Ping timeout)");
    assert!(num_pings >= 3, "{num_pings}");
    assert_eq!(silent.bytes().await, b"");
    assert_eq!(unregistered.line().await, "ERROR :Closing Link: (Ping timeout)");
    assert_eq!(alive.line().await, "PING :irc.wikimedia.org");
    emulator.stop().await;
}

#[tokio::test]
async fn a_slow_reader_loses_what_its_queue_cannot_hold_and_others_nothing() {
    const MANY: usize = 100_000;
    let (_file, lines) = numbered(MANY, 380);
    let emulator = emulator(Options { rate: 40_000.0, lines: Some(lines), ..Options::default() }).await;
    let mut slow = Client::join(emulator.addr(), "#a").await;
    // It does not read: the kernel's buffers fill, then the session's, then the queue.
    assert!(emulator.wait_for(|stats| stats.dropped > 0, SOON * 3).await, "{:?}", emulator.stats());
    assert!(emulator.wait_for(|stats| stats.produced == MANY as u64, SOON * 3).await);
    let stats = emulator.stats();
    let expected = MANY as u64 - stats.dropped;
    let mut last = None;
    for _ in 0..expected {
        let text = slow.text().await.1;
        let number: usize = text.split(' ').nth(1).unwrap().parse().unwrap();
        assert!(last < Some(number), "{last:?} before {number}");
        last = Some(number);
    }
    slow.send("PING end").await;
    assert_eq!(slow.line().await, ":irc.wikimedia.org PONG irc.wikimedia.org end");
    emulator.stop().await;
}

#[tokio::test]
async fn without_a_rate_nothing_is_lost_however_slow_the_reader() {
    const MANY: usize = 60_000;
    let (_file, lines) = numbered(MANY, 380);
    let emulator = emulator(Options { rate: 0.0, lines: Some(lines), ..Options::default() }).await;
    let mut slow = Client::join(emulator.addr(), "#a").await;
    // The feed stands still once the buffers between are full.
    let mut before = 0;
    let stands = || {
        let now = emulator.stats().produced;
        std::mem::replace(&mut before, now) == now && now > 0
    };
    let mut stands = stands;
    let deadline = std::time::Instant::now() + SOON;
    while !stands() {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(emulator.stats().produced < MANY as u64);
    for at in 0..MANY {
        assert!(slow.text().await.1.starts_with(&format!("line {at} ")), "{at}");
    }
    assert_eq!(emulator.stats().dropped, 0);
    emulator.stop().await;
}

#[tokio::test]
async fn a_cut_ends_every_connection_in_the_middle_of_a_line() {
    let emulator = emulator(Options { limit: Some(0), ..Options::default() }).await;
    let mut joined = Client::join(emulator.addr(), "#en.wikipedia").await;
    let mut idle = Client::connect(emulator.addr()).await;
    assert!(emulator.wait_for(|stats| stats.clients_now == 2, SOON).await);
    emulator.fault(Fault::CutAll);
    let rest = joined.bytes().await;
    assert!(rest.starts_with(b":rc-pmtpa") && !rest.ends_with(b"\n"), "{:?}", String::from_utf8_lossy(&rest));
    assert_eq!(idle.bytes().await, b"");
    assert!(emulator.wait_for(|stats| stats.clients_now == 0, SOON).await);
    // The next one is served.
    Client::join(emulator.addr(), "#en.wikipedia").await;
    emulator.stop().await;
}

#[tokio::test]
async fn connections_can_be_refused_a_number_of_times() {
    let emulator = emulator(Options { limit: Some(0), ..Options::default() }).await;
    emulator.fault(Fault::RefuseNext(2));
    for _ in 0..2 {
        let mut client = Client::connect(emulator.addr()).await;
        assert_eq!(client.bytes().await, b"");
    }
    Client::join(emulator.addr(), "#en.wikipedia").await;
    assert_eq!((emulator.stats().refused, emulator.stats().clients_ever), (2, 1));
    emulator.stop().await;
}

#[tokio::test]
async fn a_silent_host_keeps_connections_and_answers_nothing_until_it_wakes() {
    let options = Options { rate: 100.0, ping_timeout: Duration::from_millis(1500), ..Options::default() };
    let emulator = emulator(options).await;
    let mut client = Client::join(emulator.addr(), "#en.wikipedia").await;
    client.text().await;
    emulator.fault(Fault::Silence(true));
    client.send("PING anyone").await;
    let mut late = Client::connect(emulator.addr()).await;
    late.send("PING hello").await;
    // Longer than the ping time-out, which does not run meanwhile. What was under way may still
    // come.
    let silence = timeout(Duration::from_millis(1800), async {
        loop {
            let line = client.line().await;
            assert!(!line.contains("PONG"), "{line}");
        }
    });
    assert!(silence.await.is_err());
    let mut byte = [0];
    assert!(timeout(Duration::from_millis(50), late.stream.read(&mut byte)).await.is_err());
    emulator.fault(Fault::Silence(false));
    client.until("PONG irc.wikimedia.org anyone").await;
    late.until("PONG irc.wikimedia.org hello").await;
    emulator.stop().await;
}

#[tokio::test]
async fn garbage_reaches_each_listener_and_waits_for_the_first() {
    let emulator = emulator(Options { limit: Some(0), ..Options::default() }).await;
    emulator.fault(Fault::GarbageNext(2));
    let mut first = Client::join(emulator.addr(), "#en.wikipedia").await;
    assert!(String::from_utf8(first.bytes().await).is_err());
    assert!(String::from_utf8(first.bytes().await).is_err());
    let mut second = Client::join(emulator.addr(), "#en.wikipedia").await;
    emulator.fault(Fault::GarbageNext(7));
    for client in [&mut first, &mut second] {
        for _ in 0..7 {
            assert!(client.bytes().await.ends_with(b"\r\n"));
        }
        client.send("PING fine").await;
        assert_eq!(client.line().await, ":irc.wikimedia.org PONG irc.wikimedia.org fine");
    }
    assert_eq!(emulator.stats().produced, 0);
    emulator.stop().await;
}

#[tokio::test]
async fn a_line_that_is_too_long_ends_the_connection() {
    let emulator = emulator(Options { limit: Some(0), ..Options::default() }).await;
    for end in ["", "\r\n"] {
        let mut client = Client::connect(emulator.addr()).await;
        client.send(&format!("NICK ok{end}\nUSER {}", "x".repeat(9000))).await;
        assert_eq!(client.line().await, "ERROR :Closing Link: (Line over 8192 bytes)");
        assert_eq!(client.bytes().await, b"");
    }
    emulator.stop().await;
}

#[tokio::test]
async fn stopping_says_so_and_frees_the_port_and_dropping_does_too() {
    let emulator = emulator(Options::default()).await;
    let addr = emulator.addr();
    let mut client = Client::join(addr, "#en.wikipedia").await;
    let (_, last) = tokio::join!(emulator.stop(), client.until("ERROR"));
    assert_eq!(last, "ERROR :Closing Link: (Server shutdown)");
    assert_eq!(client.bytes().await, b"");
    TcpListener::bind(addr).await.expect("the port is free");

    let emulator = super::tests::emulator(Options::default()).await;
    let mut client = Client::join(emulator.addr(), "#en.wikipedia").await;
    drop(emulator);
    client.until("(Server shutdown)").await;
}
