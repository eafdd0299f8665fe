//! What is known of a wiki, computed once and kept: the beginnings of its rows, how its titles
//! are read, and when it was last heard of.
//!
//! Invariant: at most [`MAX_CHANNELS`] are kept; past that, all are forgotten and computed anew.
//! Wikimedia has about a thousand wikis, so this bounds what a feed gone mad can take.

use crate::json::put_escaped;
use crate::namespace::Namespaces;
use crate::seen::HashOnce;
use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

const MAX_CHANNELS: usize = 4096;

/// One wiki.
#[derive(Debug)]
pub(crate) struct Channel {
    /// The IRC channel, `#en.wikipedia`.
    pub(crate) name: String,
    pub(crate) namespaces: Namespaces,
    person: Vec<u8>,
    robot: Vec<u8>,
    /// Receipt of its last frame in milliseconds; none when that has been reported.
    last_ms: Cell<Option<i64>>,
}

impl Channel {
    fn new(name: String) -> Rc<Self> {
        let beginning = |is_robot: &str| {
            let mut text = format!(r#"{{"isRobot":{is_robot},"channel":""#).into_bytes();
            put_escaped(&mut text, name.as_bytes());
            text.extend_from_slice(br#"","timestamp":""#);
            text
        };
        let (person, robot) = (beginning("false"), beginning("true"));
        let namespaces = Namespaces::of_channel(&name);
        Rc::new(Channel { name, namespaces, person, robot, last_ms: Cell::new(None) })
    }

    /// A row up to the text of its time.
    pub(crate) fn beginning(&self, is_robot: bool) -> &[u8] {
        if is_robot { &self.robot } else { &self.person }
    }
}

/// The wikis seen so far, by the name that the feed has for them.
#[derive(Debug)]
pub(crate) struct Channels {
    map: HashMap<String, Rc<Channel>, HashOnce>,
    /// The one used last, with its key: frames of a wiki often follow each other.
    last: (String, Rc<Channel>),
    moved: Vec<Rc<Channel>>,
}

impl Channels {
    pub(crate) fn new() -> Self {
        let last = (String::new(), Channel::new(String::new()));
        Channels { map: HashMap::default(), last, moved: Vec::new() }
    }

    /// The wiki that the feed calls `key`; `name` makes its channel's name of it the first time.
    pub(crate) fn get(&mut self, key: &str, name: impl FnOnce(&str) -> String) -> Rc<Channel> {
        if self.last.0 == key {
            return Rc::clone(&self.last.1);
        }
        let channel = match self.map.get(key) {
            Some(channel) => Rc::clone(channel),
            None => {
                if self.map.len() >= MAX_CHANNELS {
                    self.map.clear();
                }
                let channel = Channel::new(name(key));
                self.map.insert(key.to_owned(), Rc::clone(&channel));
                channel
            }
        };
        self.last.0.clear();
        self.last.0.push_str(key);
        self.last.1 = Rc::clone(&channel);
        channel
    }

    /// Notes that a frame of the wiki was received.
    pub(crate) fn heard(&mut self, channel: &Rc<Channel>, received_ms: i64) {
        if channel.last_ms.replace(Some(received_ms)).is_none() {
            self.moved.push(Rc::clone(channel));
        }
    }

    /// Name and last receipt of each wiki heard of since the last call, in the order of the
    /// first frame of each.
    pub(crate) fn take_moved(&mut self) -> impl Iterator<Item = (String, i64)> {
        let report = |channel: Rc<Channel>| channel.last_ms.take().map(|ms| (channel.name.clone(), ms));
        std::mem::take(&mut self.moved).into_iter().filter_map(report)
    }
}

/// The IRC channel of a wiki's server name: without `www.` and `.org`; two wikis have channels
/// that their names do not tell.
pub(crate) fn of_server(server_name: &str) -> String {
    match server_name {
        "www.wikidata.org" => "#wikidata.wikipedia".to_owned(),
        "www.mediawiki.org" => "#mediawiki.wikipedia".to_owned(),
        other => {
            let name = other.strip_prefix("www.").unwrap_or(other);
            format!("#{}", name.strip_suffix(".org").unwrap_or(name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_have_the_channels_of_the_irc_feed() {
        for (server_name, channel) in [
            ("en.wikipedia.org", "#en.wikipedia"),
            ("simple.wikipedia.org", "#simple.wikipedia"),
            ("commons.wikimedia.org", "#commons.wikimedia"),
            ("www.wikidata.org", "#wikidata.wikipedia"),
            ("www.mediawiki.org", "#mediawiki.wikipedia"),
            ("test.wikidata.org", "#test.wikidata"),
            ("www.wikifunctions.org", "#wikifunctions"),
            ("wiki.example", "#wiki.example"),
        ] {
            assert_eq!(of_server(server_name), channel);
        }
    }

    #[test]
    fn each_channel_is_reported_once_with_its_last_frame() {
        let mut channels = Channels::new();
        for (key, ms) in [("#b", 1), ("#a", 2), ("#b", 3)] {
            let channel = channels.get(key, str::to_owned);
            channels.heard(&channel, ms);
        }
        let moved: Vec<_> = channels.take_moved().collect();
        assert_eq!(moved, [("#b".to_owned(), 3), ("#a".to_owned(), 2)]);
        assert_eq!(channels.take_moved().count(), 0);
        let channel = channels.get("#a", str::to_owned);
        channels.heard(&channel, 4);
        assert_eq!(channels.take_moved().collect::<Vec<_>>(), [("#a".to_owned(), 4)]);
    }

    #[test]
    fn a_feed_gone_mad_is_bounded() {
        let mut channels = Channels::new();
        for number in 0..3 * MAX_CHANNELS {
            channels.get(&number.to_string(), str::to_owned);
            assert!(channels.map.len() <= MAX_CHANNELS);
        }
    }
}
