//! The bytes of one connection: one task that reads, answers, sends the feed, pings and ends.
//!
//! Invariants: no await holds a lock; every wait ends with the server, a fault, the ping time-out
//! or the client. What waits to be written is bounded, so a client that does not read costs its
//! queue and no more, and one that only asks is not read further until it takes the answers.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::Server;
use super::dialogue::{Dialogue, Then};
use super::members::Member;
use crate::clock::later;
use crate::handle::Control;
use crate::stats::Counters;

/// The longest line a client may send. IRCStream reads 64 KiB and uses 510 bytes; nobody needs more
/// than a join of all channels.
const MAX_INPUT_BYTES: usize = 8 * 1024;
/// Lines of the feed are taken up to this many bytes before they are written.
const FEED_BYTES: usize = 64 * 1024;
/// With more than this to write, nothing is read.
const MAX_OUTPUT_BYTES: usize = 256 * 1024;
/// How long a last word may take to be written and read.
const LAST_WORD_WITHIN: Duration = Duration::from_secs(1);
/// How long a torn line may take.
const TEAR_WITHIN: Duration = Duration::from_millis(50);

/// Serves one connection to its end.
pub(super) async fn run(mut stream: TcpStream, server: Arc<Server>) {
    // Small messages at a slow rate should not wait for each other.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "failed to set nodelay");
    }
    let _present = Counters::arrive(&server.shared);
    let member = server.members.enter();
    let (reader, writer) = stream.split();
    let session = Session {
        dialogue: Dialogue::new(server.clone(), member.clone()),
        control: server.shared.watch(),
        input: BytesMut::new(),
        output: BytesMut::new(),
        reader,
        writer,
        server: &server,
        member: &member,
    };
    session.serve().await;
    server.members.leave(&member);
}

struct Session<'a> {
    dialogue: Dialogue,
    control: watch::Receiver<Control>,
    input: BytesMut,
    output: BytesMut,
    reader: ReadHalf<'a>,
    writer: WriteHalf<'a>,
    server: &'a Server,
    member: &'a Member,
}

impl Session<'_> {
    async fn serve(mut self) {
        let cuts = self.control.borrow().cuts;
        // Without a pause between pings the loop would do nothing else.
        let every = self.server.options.ping_interval.max(Duration::from_millis(1));
        let within = self.server.options.ping_timeout;
        let mut last_pong = Instant::now();
        let mut next_ping = later(last_pong, every);
        loop {
            let control = *self.control.borrow_and_update();
            if control.is_stopping {
                return self.close("ERROR :Closing Link: (Server shutdown)\r\n").await;
            }
            if control.cuts != cuts {
                return self.tear().await;
            }
            if control.is_silent {
                // The sender outlives the sessions; should it not, the session ends.
                if self.control.changed().await.is_err() {
                    return;
                }
                last_pong = Instant::now();
                next_ping = later(last_pong, every);
                continue;
            }
            match self.answer_all() {
                Then::Go => {}
                Then::Alive => last_pong = Instant::now(),
                Then::Close => return self.close("").await,
            }
            self.member.drain(&mut self.output, FEED_BYTES);
            let wants_input = self.output.len() < MAX_OUTPUT_BYTES && self.input.len() <= MAX_INPUT_BYTES;
            tokio::select! {
                // A client that leaves and a feed that flows must both be seen, so neither goes
                // first.
                _ = self.control.changed() => {}
                read = self.reader.read_buf(&mut self.input), if wants_input => {
                    if !matches!(read, Ok(num) if num > 0) {
                        return;
                    }
                }
                written = self.writer.write(&self.output), if !self.output.is_empty() => match written {
                    Ok(num) => self.output.advance(num),
                    Err(_) => return,
                },
                () = self.member.ready.notified(), if self.output.len() < FEED_BYTES => {}
                () = sleep_until(later(last_pong, within)) => {
                    return self.close("ERROR :Closing Link: (Ping timeout)\r\n").await;
                }
                () = sleep_until(next_ping) => {
                    next_ping = later(next_ping, every);
                    if self.dialogue.is_registered() && self.output.len() < MAX_OUTPUT_BYTES {
                        let ping = format!("PING :{}\r\n", self.server.options.server_name);
                        self.output.extend_from_slice(ping.as_bytes());
                    }
                }
            }
        }
    }

    /// Answers the lines that have come, as long as there is room for the answers.
    fn answer_all(&mut self) -> Then {
        let mut then = Then::Go;
        let mut reply = String::new();
        while self.output.len() < MAX_OUTPUT_BYTES {
            let end = self.input.iter().position(|byte| *byte == b'\n');
            if end.unwrap_or(self.input.len()) > MAX_INPUT_BYTES {
                self.output.extend_from_slice(b"ERROR :Closing Link: (Line over 8192 bytes)\r\n");
                return Then::Close;
            }
            let Some(end) = end else {
                break;
            };
            let line = self.input.split_to(end + 1);
            let line = String::from_utf8_lossy(&line);
            let next = self.dialogue.answer(line.trim_end_matches(['\r', '\n', '\0']), &mut reply);
            self.output.extend_from_slice(reply.as_bytes());
            reply.clear();
            match next {
                Then::Go => {}
                Then::Alive => then = Then::Alive,
                Then::Close => return Then::Close,
            }
        }
        then
    }

    /// Writes what is left and a last word, then waits a moment for the client to read it: closing
    /// with unread input makes the system throw away what the client has not read yet.
    async fn close(mut self, last_word: &str) {
        self.output.extend_from_slice(last_word.as_bytes());
        let farewell = async {
            self.writer.write_all_buf(&mut self.output).await?;
            self.writer.shutdown().await?;
            let mut sink = [0; 1024];
            while self.reader.read(&mut sink).await? > 0 {}
            std::io::Result::Ok(())
        };
        // A client that is gone already, or does not read, is no concern.
        let _ = timeout(LAST_WORD_WITHIN, farewell).await;
    }

    /// Ends in the middle of a line, where the client listens.
    async fn tear(mut self) {
        if self.member.is_listening() {
            self.output.extend_from_slice(&self.server.members.torn());
            let _ = timeout(TEAR_WITHIN, self.writer.write_all_buf(&mut self.output)).await;
        }
    }
}
