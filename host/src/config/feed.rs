//! The feed that a source is lent.

use super::lookup::Lookup;
use crate::error::{Error, Result};
use crate::ports::feed::{FeedAddress, FeedSettings, IrcSettings, Overflow, SseSettings};
use std::path::Path;

pub(super) fn check_feed(keys: &Lookup<'_>, folder: &Path) -> Result<FeedSettings> {
    let kind = keys.need("feed")?;
    let (address, usual) = match kind {
        "irc" => (FeedAddress::Irc(check_irc(keys, folder)?), Overflow::Drop),
        "eventstreams" => (FeedAddress::Sse(check_sse(keys, folder)?), Overflow::Block),
        other => return Err(Error::config(format!("option `feed` is `{other}`, expected `irc` or `eventstreams`"))),
    };
    let overflow = match keys.text("feed.overflow") {
        None => usual,
        Some("drop") => Overflow::Drop,
        Some("block") => Overflow::Block,
        Some(other) => {
            return Err(Error::config(format!("option `feed.overflow` is `{other}`, expected `drop` or `block`")));
        }
    };
    let buffer_bytes = keys.number("feed.buffer.bytes", 64 << 10, 16 << 30)?;
    Ok(FeedSettings { address, overflow, buffer_bytes })
}

fn check_irc(keys: &Lookup<'_>, folder: &Path) -> Result<IrcSettings> {
    let channels = keys.list("irc.channels");
    if channels.is_empty() {
        return Err(Error::config("option `irc.channels` names no channel, expected for instance `#en.wikipedia`"));
    }
    for channel in &channels {
        let legal = |c: char| !c.is_control() && !c.is_whitespace();
        if !channel.starts_with('#') || channel.len() > 200 || !channel.chars().all(legal) {
            let found = channel.escape_debug();
            return Err(Error::config(format!(
                "option `irc.channels` names `{found}`, expected `#` and up to 199 characters"
            )));
        }
    }
    let nick = keys.word("irc.nick")?.unwrap_or_default();
    if nick.len() > 20 || nick.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == ':') {
        return Err(Error::config(format!(
            "option `irc.nick` is `{nick}`, expected up to 20 characters, the first a letter"
        )));
    }
    keys.need("irc.host")?;
    Ok(IrcSettings {
        host: keys.word("irc.host")?.unwrap_or_default(),
        port: keys.number("irc.port", 1, u16::MAX)?,
        tls: keys.flag("irc.tls")?,
        tls_ca: keys.text("irc.tls.ca.file").map(|path| folder.join(path)),
        channels,
        nick,
        sender: keys.word("irc.sender")?,
    })
}

fn check_sse(keys: &Lookup<'_>, folder: &Path) -> Result<SseSettings> {
    let url = keys.need("sse.url")?;
    if !(url.starts_with("http://") || url.starts_with("https://")) || url.chars().any(|c| c.is_control() || c == ' ') {
        let found = url.split(['?', '#']).next().unwrap_or_default().escape_debug();
        return Err(Error::config(format!("option `sse.url` is `{found}`, expected an `http` or `https` URL")));
    }
    let user_agent = keys.need("sse.user.agent")?;
    if user_agent.chars().any(char::is_control) {
        return Err(Error::config("option `sse.user.agent` holds a control character, expected one line of text"));
    }
    Ok(SseSettings {
        url: url.to_owned(),
        user_agent: user_agent.to_owned(),
        tls_ca: keys.text("sse.tls.ca.file").map(|path| folder.join(path)),
    })
}
