//! Measures the emulators: edits rendered a second, and edits a second through a socket. Run with
//! `--release`.
//!
//! `cargo run --release -p host-emulators --example rate [-- show]` (`show` prints some messages instead).

use std::error::Error;
use std::io::Write;
use std::time::Instant;

use host_emulators::edits::Generator;
use host_emulators::{Handle, eventstreams, irc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const NUM_EDITS: u64 = 1_000_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout();
    if std::env::args().nth(1).as_deref() == Some("show") {
        for edit in Generator::new(1).take(60) {
            writeln!(out, "{} {}", edit.wiki.channel, edit.irc_text().unwrap_or_default().escape_debug())?;
            writeln!(out, "    {}", edit.recentchange(0, &edit.uuid(), edit.sequence))?;
        }
        return Ok(());
    }
    let mut bytes = 0;
    let begin = Instant::now();
    let mut text = String::new();
    for edit in Generator::new(1).take(NUM_EDITS as usize) {
        text.clear();
        edit.write_irc_text(&mut text);
        bytes += text.len();
    }
    say(&mut out, "rendered as text of irc", begin, NUM_EDITS, bytes)?;

    bytes = 0;
    let begin = Instant::now();
    for edit in Generator::new(1).take(NUM_EDITS as usize) {
        bytes += edit.recentchange(1_770_091_506_789, &edit.uuid(), edit.sequence).len();
    }
    say(&mut out, "rendered as events", begin, NUM_EDITS, bytes)?;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let options = irc::Options { rate: 0.0, limit: Some(NUM_EDITS), ..irc::Options::default() };
    let emulator = irc::start(listener, options).await?;
    let channels: Vec<&str> = host_emulators::edits::WIKIS.iter().map(|wiki| wiki.channel).collect();
    let request = format!("NICK rate\r\nUSER rate 0 * :rate\r\nJOIN {}\r\n", channels.join(","));
    let begin = Instant::now();
    let bytes = read(&emulator, &request, NUM_EDITS * 100).await?;
    say(&mut out, "through irc, one client", begin, emulator.stats().frames_sent, bytes)?;
    emulator.stop().await;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let options = eventstreams::Options { rate: 0.0, limit: Some(NUM_EDITS), ..eventstreams::Options::default() };
    let emulator = eventstreams::start(listener, options).await?;
    let request = "GET /v2/stream/recentchange HTTP/1.1\r\nHost: x\r\nUser-Agent: rate/1.0 (x@example.org)\r\n\r\n";
    let begin = Instant::now();
    let bytes = read(&emulator, request, NUM_EDITS * 100).await?;
    say(&mut out, "through eventstreams, one client", begin, emulator.stats().frames_sent, bytes)?;
    emulator.stop().await;
    Ok(())
}

/// Sends `request` and reads until all edits have been sent and at least `least` bytes have come.
async fn read(emulator: &Handle, request: &str, least: u64) -> Result<usize, Box<dyn Error>> {
    let mut stream = TcpStream::connect(emulator.addr()).await?;
    stream.write_all(request.as_bytes()).await?;
    let (mut buffer, mut bytes) = (vec![0; 256 * 1024], 0);
    while emulator.stats().frames_sent < NUM_EDITS || (bytes as u64) < least {
        let num = stream.read(&mut buffer).await?;
        if num == 0 {
            return Err("the connection ended early".into());
        }
        bytes += num;
    }
    Ok(bytes)
}

fn say(out: &mut impl Write, what: &str, begin: Instant, num: u64, bytes: usize) -> std::io::Result<()> {
    let seconds = begin.elapsed().as_secs_f64();
    let (rate, mb) = (num as f64 / seconds, bytes as f64 / seconds / 1e6);
    writeln!(out, "{what}: {num} edits in {seconds:.2} s, {rate:.0} a second, {mb:.0} MB/s")
}
