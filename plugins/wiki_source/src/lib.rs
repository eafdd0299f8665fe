//! Wikipedia's recent changes as records, from the IRC feed or from EventStreams.
//!
//! This file joins the parts to the SDK's [`Decoder`]. [`irc`] and `event` read a frame, `feed`
//! makes a row of it, `row` writes the row and its schema. The host owns the connection: nothing
//! here opens a socket, keeps time or stores anything. See `README.md` for columns and rules.

mod channel;
mod event;
mod feed;
pub mod irc;
mod json;
mod namespace;
mod options;
mod position;
mod row;
mod seen;
mod text;
mod time;
mod user;

use connector_sdk::{BatchBuilder, Decoder, Error, Frame, Outcome, Position, Schemas, Settings};
use feed::{EventFeed, IrcFeed};
use options::Options;

/// Decodes frames of the protocols `irc` and `sse`; see [`Decoder`].
#[derive(Debug)]
pub struct WikiSource(Feed);

#[derive(Debug)]
enum Feed {
    Irc(IrcFeed),
    Events(EventFeed),
}

impl Decoder for WikiSource {
    fn open(settings: &Settings, protocol: &str, positions: &[Position]) -> Result<Self, Error> {
        let options = Options::try_new(settings)?;
        let restored = position::restore(positions)?;
        match protocol {
            "irc" => Ok(WikiSource(Feed::Irc(IrcFeed::new(&options)))),
            "sse" => Ok(WikiSource(Feed::Events(EventFeed::new(&options, restored)))),
            other => Err(Error::Config(format!("feed has protocol `{other}`, this plugin reads `irc` and `sse`"))),
        }
    }

    fn schemas(&self) -> Schemas {
        match &self.0 {
            Feed::Irc(feed) => feed.schemas(),
            Feed::Events(feed) => feed.schemas(),
        }
    }

    fn resume(&self) -> Option<String> {
        match &self.0 {
            Feed::Irc(_) => None,
            Feed::Events(feed) => feed.resume(),
        }
    }

    fn decode(&mut self, frame: &Frame<'_>, records: &mut BatchBuilder) -> Outcome {
        match &mut self.0 {
            Feed::Irc(feed) => feed.decode(frame, records),
            Feed::Events(feed) => feed.decode(frame, records),
        }
    }

    fn positions(&mut self, resume: Option<&str>) -> Vec<Position> {
        match &mut self.0 {
            Feed::Irc(feed) => feed.positions(),
            Feed::Events(feed) => feed.positions(resume),
        }
    }
}

connector_sdk::export_decoder!(WikiSource);
