//! An IRC client that only listens: registers, joins, answers PING, and hands over what the feed's
//! sender says in the channels.
//!
//! Wikimedia's server (IRCStream) sends PING every 45 s, cuts lines at 510 characters and not
//! bytes, and answers 403 for a channel in which nothing was said since it started.

use super::Shared;
use super::backoff::Backoff;
use super::buffer::Frame;
use crate::error::{Error, OrError, Result};
use crate::ports::feed::{FeedState, IrcSettings};
use crate::record::now_ms;
use bytes::Bytes;
use futures_util::StreamExt;
use irc_proto::{Command, Message, Response};
use rand::RngExt;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_util::codec::{AnyDelimiterCodec, FramedRead};

/// Four times what IRCStream can send.
const MAX_LINE_BYTES: usize = 8 * 1024;
const DIAL_TIMEOUT: Duration = Duration::from_secs(15);
const REGISTER_TIMEOUT: Duration = Duration::from_secs(30);
const WRITE_TIMEOUT: Duration = Duration::from_secs(15);
/// After this long without a line we ask, and after as long again without an answer we dial anew.
const QUIET: Duration = Duration::from_secs(90);
/// How often a channel that does not exist is tried again.
const REJOIN: Duration = Duration::from_secs(60);
/// A session this long was a good one: the next failure starts the back-off from the beginning.
const GOOD_SESSION: Duration = Duration::from_secs(30);

/// Connects again and again until the feed is closed.
pub(super) async fn run(settings: &IrcSettings, shared: &Shared) {
    let mut backoff = Backoff::default();
    let endpoint = format!("{}:{}", settings.host, settings.port);
    while !shared.closed.is_cancelled() {
        shared.set_state(FeedState::Connecting(None));
        let began = Instant::now();
        let ended = tokio::select! {
            ended = connect(settings, shared) => ended,
            () = shared.closed.cancelled() => break,
        };
        if began.elapsed() >= GOOD_SESSION {
            backoff.reset();
        }
        let wait = backoff.next_wait();
        let error = ended.err().map_or_else(|| "closed by the server".to_owned(), |error| error.to_string());
        tracing::warn!(endpoint, error, retry_ms = u64::try_from(wait.as_millis()).unwrap_or(0), "IRC feed lost");
        shared.set_state(FeedState::Connecting(Some(error)));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shared.closed.cancelled() => {}
        }
    }
}

async fn connect(settings: &IrcSettings, shared: &Shared) -> Result<()> {
    let IrcSettings { host, port, .. } = settings;
    let attempt = format!("connecting to `{host}:{port}`");
    let dialled = timeout(DIAL_TIMEOUT, TcpStream::connect((host.as_str(), *port))).await;
    let stream = dialled
        .map_err(|_| Error::retry(format!("{attempt}: no answer within {} s", DIAL_TIMEOUT.as_secs())))?
        .or_retry(&attempt)?;
    if !settings.tls {
        return Session::new(settings, shared).run(stream).await;
    }
    let connector = TlsConnector::from(Arc::new(tls_config(settings)?));
    let name = ServerName::try_from(host.clone()).or_config(&attempt)?;
    let secured = timeout(DIAL_TIMEOUT, connector.connect(name, stream)).await;
    let secured = secured.map_err(|_| Error::retry(format!("{attempt}: TLS did not come up in time")))?;
    Session::new(settings, shared).run(secured.or_retry(format!("{attempt}: TLS"))?).await
}

fn tls_config(settings: &IrcSettings) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match &settings.tls_ca {
        Some(path) => {
            let attempt = format!("option `irc.tls.ca.file`: `{}`", path.display());
            for certificate in CertificateDer::pem_file_iter(path).or_config(&attempt)? {
                roots.add(certificate.or_config(&attempt)?).or_config(&attempt)?;
            }
        }
        None => {
            let system = rustls_native_certs::load_native_certs();
            // Odd certificates in the system's store are the system's business.
            roots.add_parsable_certificates(system.certs);
        }
    }
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

/// One connection from registration to its end.
struct Session<'a> {
    settings: &'a IrcSettings,
    shared: &'a Shared,
    origins: HashMap<Vec<u8>, Arc<str>>,
    missing: BTreeSet<String>,
    registered: bool,
    rejoin_at: Instant,
}

impl<'a> Session<'a> {
    fn new(settings: &'a IrcSettings, shared: &'a Shared) -> Self {
        Session {
            settings,
            shared,
            origins: HashMap::new(),
            missing: BTreeSet::new(),
            registered: false,
            rejoin_at: Instant::now(),
        }
    }

    async fn run(mut self, stream: impl AsyncRead + AsyncWrite) -> Result<()> {
        let (reading, writing) = tokio::io::split(stream);
        let mut writing = Box::pin(writing);
        let codec = AnyDelimiterCodec::new_with_max_length(b"\n".to_vec(), b"\r\n".to_vec(), MAX_LINE_BYTES);
        let mut lines = Box::pin(FramedRead::new(reading, codec));
        send(&mut writing, &register(&self.settings.nick)).await?;
        let register_by = Instant::now() + REGISTER_TIMEOUT;
        let (mut heard, mut asked) = (Instant::now(), false);
        loop {
            let wake = match (self.registered, asked) {
                (false, _) => register_by,
                (true, false) => heard + QUIET,
                (true, true) => heard + 2 * QUIET,
            };
            let wake = if self.missing.is_empty() { wake } else { wake.min(self.rejoin_at) };
            let wait = wake.saturating_duration_since(Instant::now());
            let line = match timeout(wait, lines.next()).await {
                Ok(Some(line)) => Some(line.or_retry("reading a line")?),
                Ok(None) => return Ok(()),
                Err(_) => None,
            };
            if line.is_some() {
                (heard, asked) = (Instant::now(), false);
            } else if !self.registered && Instant::now() >= register_by {
                let seconds = REGISTER_TIMEOUT.as_secs();
                return Err(Error::retry(format!("registering: the server did not answer within {seconds} s")));
            } else if heard.elapsed() >= 2 * QUIET {
                return Err(Error::retry(format!("no line for {} s, PING unanswered", 2 * QUIET.as_secs())));
            } else if heard.elapsed() >= QUIET && !asked {
                asked = true;
                send(&mut writing, "PING :alive\r\n").await?;
            }
            if let Some(line) = line {
                let line = line.strip_suffix(b"\r").map_or_else(|| line.clone(), |cut| line.slice_ref(cut));
                if let Some(answer) = self.take_line(line).await? {
                    send(&mut writing, &answer).await?;
                }
            }
            if !self.missing.is_empty() && Instant::now() >= self.rejoin_at {
                self.rejoin_at = Instant::now() + REJOIN;
                let join = join(self.missing.iter().map(String::as_str));
                send(&mut writing, &join).await?;
            }
        }
    }

    /// Handles one line; what to answer, if anything.
    async fn take_line(&mut self, line: Bytes) -> Result<Option<String>> {
        if let Some((sender, channel, text)) = split_message(&line) {
            let wanted = self.settings.sender.as_ref().is_none_or(|wanted| wanted.as_bytes() == sender);
            if wanted && channel.starts_with(b"#") {
                let origin = self.origin(channel);
                let frame = Frame { data: line.slice_ref(text), origin, resume: None, received_ms: now_ms() };
                self.shared.take(frame).await;
            }
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&line);
        // A line that is no IRC is nobody's record: it came from no channel.
        let Ok(message) = text.parse::<Message>() else {
            tracing::debug!(bytes = line.len(), "line that is no IRC message");
            return Ok(None);
        };
        match message.command {
            Command::PING(token, _) => Ok(Some(format!("PONG :{token}\r\n"))),
            Command::ERROR(reason) => Err(Error::retry(format!("the server says `{}`", reason.escape_debug()))),
            Command::Response(Response::RPL_ENDOFMOTD | Response::ERR_NOMOTD, _) => {
                self.registered = true;
                self.shared.connected();
                let channels = self.settings.channels.join(",");
                tracing::info!(host = self.settings.host, channels, "IRC feed connected");
                Ok(Some(join(self.settings.channels.iter().map(String::as_str))))
            }
            Command::Response(Response::ERR_NICKNAMEINUSE | Response::ERR_ERRONEOUSNICKNAME, _) if !self.registered => {
                Ok(Some(format!("NICK {}\r\n", nick(&self.settings.nick))))
            }
            Command::Response(Response::ERR_NOSUCHCHANNEL, arguments) => {
                if let Some(channel) = arguments.into_iter().nth(1).filter(|c| self.settings.channels.contains(c)) {
                    if self.missing.is_empty() {
                        self.rejoin_at = Instant::now() + REJOIN;
                    }
                    if self.missing.insert(channel) {
                        self.note_missing();
                    }
                }
                Ok(None)
            }
            Command::Response(Response::RPL_ENDOFNAMES, arguments) => {
                if arguments.get(1).is_some_and(|channel| self.missing.remove(channel)) {
                    self.note_missing();
                }
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    fn note_missing(&self) {
        if self.missing.is_empty() {
            return self.shared.set_note(None);
        }
        let names: Vec<&str> = self.missing.iter().map(String::as_str).collect();
        let (channels, host) = (names.join("`, `"), &self.settings.host);
        let seconds = REJOIN.as_secs();
        let note = format!("`{host}` has no channel `{channels}`, trying again every {seconds} s");
        tracing::warn!("{note}");
        self.shared.set_note(Some(note));
    }

    fn origin(&mut self, channel: &[u8]) -> Arc<str> {
        if let Some(origin) = self.origins.get(channel) {
            return Arc::clone(origin);
        }
        let origin: Arc<str> = Arc::from(String::from_utf8_lossy(channel));
        self.origins.insert(channel.to_vec(), Arc::clone(&origin));
        origin
    }
}

/// Sender, target and text of a PRIVMSG, as bytes: a server may cut inside a character.
fn split_message(line: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let mut parts = line.strip_prefix(b":")?.splitn(4, |byte| *byte == b' ');
    let (prefix, command, target, text) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let sender = prefix.split(|byte| *byte == b'!').next().unwrap_or(prefix);
    (command == b"PRIVMSG").then(|| (sender, target, text.strip_prefix(b":").unwrap_or(text)))
}

fn nick(prefix: &str) -> String {
    format!("{prefix}{}", rand::rng().random_range(100_000..1_000_000))
}

fn register(prefix: &str) -> String {
    format!("NICK {}\r\nUSER {prefix} 0 * :connector host\r\n", nick(prefix))
}

/// One JOIN for many channels, in lines that any server takes.
fn join<'a>(channels: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    let mut line = 0;
    for channel in channels {
        if line == 0 || line + channel.len() > 400 {
            text.push_str(if text.is_empty() { "JOIN " } else { "\r\nJOIN " });
            line = 5;
        } else {
            text.push(',');
        }
        text.push_str(channel);
        line += channel.len() + 1;
    }
    text.push_str("\r\n");
    text
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), text: &str) -> Result<()> {
    let sent = timeout(WRITE_TIMEOUT, stream.write_all(text.as_bytes())).await;
    sent.map_err(|_| Error::retry(format!("writing took longer than {} s", WRITE_TIMEOUT.as_secs())))?
        .or_retry("writing")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_taken_apart_as_bytes() {
        let line = b":rc-pmtpa!rc@irc.example.org PRIVMSG #en.wikipedia :\x0314[[\xff a :b";
        let expected = (&b"rc-pmtpa"[..], &b"#en.wikipedia"[..], &b"\x0314[[\xff a :b"[..]);
        assert_eq!(split_message(line), Some(expected));
        assert_eq!(split_message(b":irc.example.org NOTICE #en.wikipedia :x"), None);
        assert_eq!(split_message(b"PING :x"), None);
    }

    #[test]
    fn many_channels_are_joined_in_short_lines() {
        let channels: Vec<String> = (0..40).map(|n| format!("#channel-number-{n}")).collect();
        let text = join(channels.iter().map(String::as_str));
        assert!(text.lines().all(|line| line.starts_with("JOIN #") && line.len() < 500));
        let joined: Vec<&str> = text.lines().flat_map(|line| line.trim_start_matches("JOIN ").split(',')).collect();
        assert_eq!(joined, channels);
    }
}
