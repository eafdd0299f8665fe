//! What the server says to a command. No I/O: lines in, reply bytes out, joins noted with the
//! members.
//!
//! The numbers, their parameters and the cases are IRCStream's. Two of its habits matter to
//! clients: a channel name is compared letter by letter in spite of `CASEMAPPING`, and a join of
//! several channels is answered channel by channel.
//!
//! Refuses: commands before registration but for those that make it (451), channels that do not
//! exist (403), texts to channels (404), what it does not know (421).

use std::sync::Arc;

use super::Server;
use super::members::Member;
use crate::stats::Counters;

/// The longest nick, `NICKLEN`.
const MAX_NICK_CHARS: usize = 30;

/// One client's side of the conversation.
#[derive(Debug)]
pub(super) struct Dialogue {
    server: Arc<Server>,
    member: Arc<Member>,
    nick: String,
    user: String,
}

/// What follows from a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// Nothing more than the reply.
    Go,
    /// The client has shown that it lives: PONG.
    Alive,
    /// The connection ends when the reply is written.
    Close,
}

impl Dialogue {
    pub(super) fn new(server: Arc<Server>, member: Arc<Member>) -> Self {
        Self { server, member, nick: String::new(), user: String::new() }
    }

    pub(super) fn is_registered(&self) -> bool {
        !self.nick.is_empty() && !self.user.is_empty()
    }

    /// Answers one line, which has no line end. Appends the reply to `out`.
    pub(super) fn answer(&mut self, line: &str, out: &mut String) -> Then {
        let (command, params) = split(line);
        let param = |at: usize| params.get(at).copied();
        let is_allowed = matches!(command.as_str(), "CAP" | "PASS" | "USER" | "NICK" | "QUIT" | "PING" | "PONG");
        if !self.is_registered() && !is_allowed && !command.is_empty() {
            self.reply(out, 451, ":You have not registered");
            return Then::Go;
        }
        match (command.as_str(), param(0)) {
            ("PONG", _) => return Then::Alive,
            ("QUIT", reason) => {
                out.push_str(&format!("ERROR :Closing Link: (Quit: {})\r\n", reason.unwrap_or("No reason")));
                return Then::Close;
            }
            // CAP is passed over in silence, so that clients do without capabilities.
            ("" | "CAP" | "NOTICE", _) => {}
            ("PASS", _) if !self.is_registered() => {}
            ("PASS", _) => self.reply(out, 462, ":You may not reregister"),
            ("NICK", nick) => self.nick(nick, out),
            ("USER", _) => self.user(&params, out),
            ("PING", Some(token)) => {
                let destination = param(1).unwrap_or(&self.server.options.server_name);
                let colon = if token.is_empty() || token.contains(' ') || token.starts_with(':') { ":" } else { "" };
                out.push_str(&format!(":{} PONG {destination} {colon}{token}\r\n", self.server.options.server_name));
            }
            ("PING", None) => self.reply(out, 409, ":No origin specified"),
            ("JOIN", Some(channels)) => self.join(channels, out),
            ("PART", Some(channels)) => self.part(channels, out),
            ("LIST", wanted) => self.list(wanted, out),
            ("NAMES", Some(channel)) => self.names(channel, out),
            ("NAMES", None) => self.reply(out, 366, "* :End of /NAMES list"),
            ("TOPIC", Some(channel)) => self.topic(channel, params.len() > 1, out),
            ("MODE", Some(target)) => self.mode(target, param(1), out),
            ("WHO", mask) => self.reply(out, 315, &format!("{} :End of /WHO list.", mask.unwrap_or("*"))),
            ("MOTD", _) => self.motd(out),
            ("PRIVMSG", Some(targets)) if params.len() > 1 => self.privmsg(targets, out),
            ("JOIN" | "PART" | "TOPIC" | "MODE" | "PRIVMSG", _) => self.lacks(&command, out),
            _ => self.reply(out, 421, &format!("{command} :Unknown command")),
        }
        Then::Go
    }

    fn nick(&mut self, nick: Option<&str>, out: &mut String) {
        let Some(nick) = nick else {
            return self.reply(out, 431, ":No nickname given");
        };
        let is_letter = |letter: char| letter.is_alphanumeric() || "-[]'`^{}_\\|".contains(letter);
        let num_chars = nick.chars().count();
        if !nick.chars().all(is_letter) || !(2..=MAX_NICK_CHARS).contains(&num_chars) {
            return self.reply(out, 432, &format!("{nick} :Erroneous nickname"));
        }
        self.server.shared.counters.saw_nick(nick);
        if self.is_registered() {
            out.push_str(&format!(":{} NICK {nick}\r\n", self.identity()));
            self.nick = nick.to_owned();
        } else {
            self.nick = nick.to_owned();
            self.welcome(out);
        }
    }

    fn user(&mut self, params: &[&str], out: &mut String) {
        let [user, _, _, _, ..] = params else {
            return self.lacks("USER", out);
        };
        if !self.user.is_empty() {
            return self.reply(out, 462, ":You may not reregister");
        }
        self.user = (*user).to_owned();
        self.welcome(out);
    }

    /// The burst that ends registration, once both nick and user are known.
    fn welcome(&self, out: &mut String) {
        if !self.is_registered() {
            return;
        }
        let server = &self.server.options.server_name;
        self.reply(out, 1, ":Welcome to IRCStream");
        self.reply(out, 2, &format!(":Your host is {server}, running version emulator"));
        self.reply(out, 3, ":This server was created when it was needed");
        self.reply(out, 4, &format!("{server} emulator i bklmtns"));
        self.reply(
            out,
            5,
            "NETWORK=Wikimedia CASEMAPPING=rfc1459 CHANLIMIT=#:2000 CHANMODES=b,k,l,mtns NICKLEN=30 CHANNELLEN=50 \
             CHANTYPES=# PREFIX=(o)@ SAFELIST :are available on this server",
        );
        self.reply(out, 221, "+i");
        self.motd(out);
    }

    fn motd(&self, out: &mut String) {
        self.reply(out, 375, ":- Message of the day -");
        self.reply(out, 372, ":- An emulator of the recent-changes feed. The edits are invented or recorded.");
        self.reply(out, 376, ":End of /MOTD command.");
    }

    fn join(&self, channels: &str, out: &mut String) {
        let mut numbers = Vec::new();
        for channel in channels.split(',').map(str::trim) {
            let Some(number) = self.server.channels.get(channel) else {
                self.reply(out, 403, &format!("{channel} :No such channel"));
                continue;
            };
            numbers.push(*number);
            out.push_str(&format!(":{} JOIN {channel}\r\n", self.identity()));
            self.describe(channel, out);
            self.names_of(channel, true, out);
        }
        Counters::add(&self.server.shared.counters.joins, numbers.len() as u64);
        // Only now: what the feed sends comes after the replies.
        self.server.members.join(&self.member, numbers);
    }

    fn part(&self, channels: &str, out: &mut String) {
        for channel in channels.split(',').map(str::trim) {
            match self.joined(channel) {
                Some(number) => {
                    self.member.part(number);
                    out.push_str(&format!(":{} PART {channel}\r\n", self.identity()));
                }
                None => self.reply(out, 442, &format!("{channel} :You're not on that channel")),
            }
        }
    }

    fn list(&self, wanted: Option<&str>, out: &mut String) {
        for channel in self.server.channels.keys() {
            if wanted.is_none_or(|wanted| wanted.split(',').any(|name| name == channel)) {
                let num = 1 + usize::from(self.joined(channel).is_some());
                self.reply(out, 322, &format!("{channel} {num} :Stream for topic {channel}"));
            }
        }
        self.reply(out, 323, ":End of /LIST");
    }

    fn names(&self, channel: &str, out: &mut String) {
        let channel = channel.split(',').next().unwrap_or_default().trim();
        self.names_of(channel, self.joined(channel).is_some(), out);
    }

    fn names_of(&self, channel: &str, is_member: bool, out: &mut String) {
        let bot = self.server.options.prefix.split('!').next().unwrap_or_default();
        match is_member {
            true => self.reply(out, 353, &format!("= {channel} :{} @{bot}", self.nick)),
            false => self.reply(out, 353, &format!("= {channel} @{bot}")),
        }
        self.reply(out, 366, &format!("{channel} :End of /NAMES list"));
    }

    fn topic(&self, channel: &str, is_new: bool, out: &mut String) {
        match (self.joined(channel), is_new) {
            (None, _) => self.reply(out, 442, &format!("{channel} :You're not on that channel")),
            (Some(_), true) => self.reply(out, 482, &format!("{channel} :You're not a channel operator")),
            (Some(_), false) => self.describe(channel, out),
        }
    }

    fn describe(&self, channel: &str, out: &mut String) {
        self.reply(out, 332, &format!("{channel} :Stream for topic {channel}"));
        // When the topic was set does not matter to anyone: a day of the
        // month in which the real server changed to
        // IRCStream.
        self.reply(out, 333, &format!("{channel} {} 1729468800", self.server.options.prefix));
    }

    fn mode(&self, target: &str, modes: Option<&str>, out: &mut String) {
        match (target.starts_with('#'), modes) {
            (true, None) => self.reply(out, 324, &format!("{target} +mts")),
            (true, Some("b")) => self.reply(out, 368, &format!("{target} :End of channel ban list")),
            (true, Some(_)) => self.reply(out, 482, &format!("{target} :You're not a channel operator")),
            (false, None) if target == self.nick => self.reply(out, 221, "+i"),
            (false, None) => self.reply(out, 401, &format!("{target} :No such nick/channel")),
            // Many clients set a mode when they start, and nobody wants to hear about it.
            (false, Some(_)) => {}
        }
    }

    fn privmsg(&self, targets: &str, out: &mut String) {
        let bot = self.server.options.prefix.split('!').next();
        for target in targets.split(',').map(str::trim) {
            if target.starts_with('#') {
                self.reply(out, 404, &format!("{target} :Cannot send to channel"));
            } else if Some(target) != bot {
                self.reply(out, 401, &format!("{target} :No such nick/channel"));
            }
        }
    }

    fn joined(&self, channel: &str) -> Option<usize> {
        self.server.channels.get(channel).copied().filter(|number| self.member.has_joined(*number))
    }

    fn identity(&self) -> String {
        format!("{}!{}@{}", self.nick, self.user, self.server.options.server_name)
    }

    fn lacks(&self, command: &str, out: &mut String) {
        self.reply(out, 461, &format!("{command} :Not enough parameters"));
    }

    fn reply(&self, out: &mut String, number: u16, rest: &str) {
        let nick = if self.nick.is_empty() { "*" } else { &self.nick };
        out.push_str(&format!(":{} {number:03} {nick} {rest}\r\n", self.server.options.server_name));
    }
}

/// The command in upper case and its parameters (RFC 2812 section 2.3.1). A prefix is passed over.
fn split(line: &str) -> (String, Vec<&str>) {
    let line = line.trim_start();
    let line = match line.strip_prefix(':') {
        Some(prefixed) => prefixed.split_once(' ').map_or("", |(_, rest)| rest),
        None => line,
    };
    let (words, last) = match line.split_once(" :") {
        Some((words, last)) => (words, Some(last)),
        None => (line, None),
    };
    let mut words = words.split_ascii_whitespace();
    let command = words.next().unwrap_or_default().to_ascii_uppercase();
    (command, words.chain(last).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_as_the_standard_says() {
        let check = |line: &str, command: &str, params: &[&str]| {
            assert_eq!(split(line), (command.to_owned(), params.to_vec()), "{line}");
        };
        check("ping :a b", "PING", &["a b"]);
        check(":me!x@y JOIN  #a,#b  key", "JOIN", &["#a,#b", "key"]);
        check("USER u 0 * :Real :Name", "USER", &["u", "0", "*", "Real :Name"]);
        check("PRIVMSG #a ::)", "PRIVMSG", &["#a", ":)"]);
        check("PING :", "PING", &[""]);
        check("", "", &[]);
        check(":lonely", "", &[]);
    }
}
