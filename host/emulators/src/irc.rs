//! An emulator of `irc.wikimedia.org`: IRCStream, the read-only server of the recent-changes feed.
//!
//! What a client sees is `wikipedia-feeds.md` section 1.2, checked against the program itself
//! (`paravoid/ircstream`, `ircserver.py`): registration, the burst, joins of channels that exist,
//! PING and its time-out, messages cut at 510 characters, a queue of 1,000 messages a client. What
//! it refuses: channels nobody sends to (403), texts (404), lines over 8 KiB.
//!
//! - `irc/dialogue.rs` answers commands, without I/O;
//! - `irc/session.rs` moves the bytes of one connection;
//! - `irc/members.rs` has the queues of the clients;
//! - `irc/wire.rs` makes the lines.

mod dialogue;
mod members;
mod session;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::edits::{Generator, WIKIS};
use crate::feed::{Source, drive};
use crate::handle::Shared;
use crate::lines::{Lines, is_channel};
use crate::pace::Pace;
use crate::{Error, Handle};
use members::{Frame, Members};
pub use wire::Cut;
use wire::Wire;

/// How long connections have to end by themselves when the server stops.
const DRAIN_WITHIN: Duration = Duration::from_secs(2);
/// The wait after a failed accept, which is a shortage of file descriptors more often than not.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// What an IRC emulator does. The default is the real server's behaviour at the rate of the real
/// feed.
#[derive(Debug, Clone)]
pub struct Options {
    /// Messages a second, over all channels, 0 to [`MAX_RATE`](crate::MAX_RATE). With 0 the slowest
    /// client that has joined a channel sets the pace and none loses a message. Default 30.
    pub rate: f64,
    /// Decides the invented edits. Default 1.
    pub seed: u64,
    /// Stops producing after so many messages; connections stay open. Default none.
    pub limit: Option<u64>,
    /// Sends these lines, once, instead of invented edits. Then only their channels exist. Default
    /// none.
    pub lines: Option<Lines>,
    /// Starts over at the end of [`lines`](Self::lines). Default no.
    pub repeat: bool,
    /// Where a recorded text without a channel goes. Default `#en.wikipedia`.
    pub default_channel: String,
    /// How long lines are cut. Default [`Cut::Characters`].
    pub cut: Cut,
    /// The server's name in its own replies. Default `irc.wikimedia.org`.
    pub server_name: String,
    /// Who sends the messages. Default `rc-pmtpa!rc-pmtpa@irc.wikimedia.org`; before October 2024
    /// it was `rc-pmtpa!~rc-pmtpa@special.user`.
    pub prefix: String,
    /// Messages kept for a client that does not read; with a rate further ones are dropped for that
    /// client. Default 1,000.
    pub queue: usize,
    /// How often the server sends PING. Default 45 s.
    pub ping_interval: Duration,
    /// How long a client may go without PONG. Default 180 s.
    pub ping_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rate: 30.0,
            seed: 1,
            limit: None,
            lines: None,
            repeat: false,
            default_channel: "#en.wikipedia".to_owned(),
            cut: Cut::Characters,
            server_name: "irc.wikimedia.org".to_owned(),
            prefix: "rc-pmtpa!rc-pmtpa@irc.wikimedia.org".to_owned(),
            queue: 1000,
            ping_interval: Duration::from_secs(45),
            ping_timeout: Duration::from_secs(180),
        }
    }
}

/// What all sessions of one server share.
#[derive(Debug)]
struct Server {
    options: Options,
    /// The channels that exist, with the number that frames carry.
    channels: BTreeMap<String, usize>,
    members: Members,
    shared: Arc<Shared>,
}

/// Starts an IRC emulator on `listener`. Call it within a tokio runtime with I/O and time.
///
/// # Errors
/// [`Error::Rate`], [`Error::Channel`] and [`Error::Line`] for options that cannot be served,
/// [`Error::Listener`] when the listener does not know its address.
pub async fn start(listener: TcpListener, options: Options) -> Result<Handle, Error> {
    let addr = listener.local_addr().map_err(|source| Error::Listener { source })?;
    let pace = Pace::try_new(options.rate)?;
    if !is_channel(&options.default_channel) {
        return Err(Error::Channel { found: options.default_channel });
    }
    let (channels, source) = source(&options)?;
    let shared = Shared::new();
    let members = Members::new(options.queue, pace.is_free(), Wire::new(&options), shared.clone());
    let server = Arc::new(Server { options, channels, members, shared: shared.clone() });
    let garbage = {
        let server = server.clone();
        move |num| server.members.garbage(num)
    };
    tracing::info!(%addr, "irc emulator listens");
    let task = tokio::spawn(async move {
        let produce = async {
            tokio::select! {
                () = drive(source, pace, &server.members) => {}
                () = server.shared.stopped() => {}
            }
        };
        tokio::join!(accept(listener, &server), produce);
    });
    Ok(Handle::new(addr, shared, garbage, task))
}

async fn accept(listener: TcpListener, server: &Arc<Server>) {
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            () = server.shared.stopped() => break,
            Some(_) = sessions.join_next(), if !sessions.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    if !server.shared.refuses(sessions.len()) {
                        sessions.spawn(session::run(stream, server.clone()));
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a connection");
                    sleep(ACCEPT_AGAIN_AFTER).await;
                }
            },
        }
    }
    drop(listener);
    let drained = timeout(DRAIN_WITHIN, async { while sessions.join_next().await.is_some() {} });
    if drained.await.is_err() {
        sessions.shutdown().await;
    }
}

/// The channels that exist and the frames to send.
fn source(options: &Options) -> Result<(BTreeMap<String, usize>, Source<Frame>), Error> {
    let wire = Wire::new(options);
    let limit = usize::try_from(options.limit.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    let mut channels = BTreeMap::new();
    let Some(lines) = &options.lines else {
        channels.extend(WIKIS.iter().enumerate().map(|(number, wiki)| (wiki.channel.to_owned(), number)));
        let numbers = channels.clone();
        let (mut text, mut out) = (String::new(), BytesMut::new());
        let frames = Generator::new(options.seed).filter_map(move |edit| {
            text.clear();
            let number = numbers.get(edit.wiki.channel)?;
            edit.write_irc_text(&mut text)
                .then(|| Frame { channel: *number, wire: wire.privmsg(&mut out, edit.wiki.channel, text.as_bytes()) })
        });
        return Ok((channels, Box::new(frames.take(limit))));
    };
    let messages = lines.messages(&options.default_channel)?;
    let mut out = BytesMut::new();
    let mut frames = Vec::with_capacity(messages.len());
    for message in messages {
        let next = channels.len();
        let wire = wire.privmsg(&mut out, &message.channel, &message.text);
        frames.push(Frame { channel: *channels.entry(message.channel).or_insert(next), wire });
    }
    let source: Source<Frame> = match options.repeat {
        true => Box::new(frames.into_iter().cycle().take(limit)),
        false => Box::new(frames.into_iter().take(limit)),
    };
    Ok((channels, source))
}
