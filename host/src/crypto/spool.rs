//! A whole spool file from pieces: members in their order, then the footer, with every check of
//! `host/SPOOL_FORMAT.md`. Holds one block.

use super::footer::{FOOTER_MAGIC, Footer, footer_len};
use super::head::HeadCollector;
use super::open::fill;
use super::{Identity, KeyRing, MemberInfo, MemberOrder, Opener, reject};
use crate::error::Result;
use std::sync::Arc;

/// What a [`SpoolReader`] gives, in the order of the file.
#[derive(Debug)]
pub enum Event<'a> {
    /// A member begins; what it says is authentic, and it is in its place of the file.
    Member(&'a MemberInfo),
    /// Plaintext of it, authentic; more may follow.
    Plain(&'a [u8]),
    /// All of its plaintext was given.
    MemberEnd(&'a MemberInfo),
}

/// Opens a spool file from pieces of any size.
pub struct SpoolReader {
    ring: Arc<KeyRing>,
    file: Identity,
    order: MemberOrder,
    state: State,
    /// Of all members so far.
    bytes: u64,
}

enum State {
    /// The first bytes of a member or of the footer.
    Magic(Vec<u8>),
    Head(HeadCollector),
    Blocks(Box<Opener>),
    Footer(Vec<u8>),
    Done(Footer),
}

impl SpoolReader {
    /// For the file that is named `file`, with members of topic `source`; see [`MemberOrder::new`].
    pub fn new(ring: Arc<KeyRing>, file: Identity, source: Option<String>) -> Self {
        let order = MemberOrder::new(file.clone(), source);
        SpoolReader { ring, file, order, state: State::Magic(Vec::new()), bytes: 0 }
    }

    /// Takes the next piece of the file. After an error it is of no use: what was given before it is
    /// authentic, and the rest of the file is not read.
    ///
    /// # Errors
    /// As [`Opener::try_new`], [`Opener::push`], [`MemberOrder::add`] and [`Footer::parse`]; class Reject
    /// for a footer that does not fit the members or the name. What `give` returns is passed on.
    pub fn push(&mut self, chunk: &[u8], give: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        let mut rest = chunk;
        while !rest.is_empty() {
            let before = rest.len();
            match &mut self.state {
                State::Magic(kept) => {
                    let Some(magic) = fill::<4>(kept, &mut rest) else { break };
                    if magic == *FOOTER_MAGIC {
                        self.state = State::Footer(magic.to_vec());
                        continue;
                    }
                    let mut collector = HeadCollector::default();
                    collector.push(&mut magic.as_slice())?;
                    self.bytes += magic.len() as u64;
                    self.state = State::Head(collector);
                }
                State::Head(collector) => {
                    let head = collector.push(&mut rest)?;
                    self.bytes += (before - rest.len()) as u64;
                    let Some(head) = head else { break };
                    let opener = Opener::try_new(&head, &self.ring)?;
                    self.order.add(opener.info())?;
                    give(Event::Member(opener.info()))?;
                    self.state = State::Blocks(Box::new(opener));
                }
                State::Blocks(opener) => {
                    let taken = opener.push(rest, &mut |plain| give(Event::Plain(plain)))?;
                    self.bytes += taken as u64;
                    rest = rest.get(taken..).unwrap_or_default();
                    if opener.is_done() {
                        give(Event::MemberEnd(opener.info()))?;
                        self.state = State::Magic(Vec::new());
                    }
                }
                State::Footer(bytes) => {
                    // Eight bytes tell how many there are in all.
                    let needed = footer_len(bytes)?.unwrap_or(8);
                    let (part, tail) = rest.split_at_checked(needed - bytes.len()).unwrap_or((rest, &[]));
                    bytes.extend_from_slice(part);
                    rest = tail;
                    if footer_len(bytes)? == Some(bytes.len()) {
                        let footer = Footer::parse(bytes)?;
                        self.check(&footer)?;
                        self.state = State::Done(footer);
                    }
                }
                State::Done(_) => return Err(reject(format!("{} bytes after the footer", rest.len()))),
            }
        }
        Ok(())
    }

    fn check(&self, footer: &Footer) -> Result<()> {
        footer.identity.check(&self.file, "file, by its footer,")?;
        self.order.finish()?;
        let (members, bytes) = (self.order.members(), self.bytes);
        match footer.members == members && footer.bytes == bytes {
            true => Ok(()),
            false => Err(reject(format!(
                "file of {members} members in {bytes} bytes, its footer says {} in {}",
                footer.members, footer.bytes
            ))),
        }
    }

    /// The footer, when no more bytes come.
    ///
    /// # Errors
    /// Class Reject: the file is cut, and where.
    pub fn finish(self) -> Result<Footer> {
        let what = match self.state {
            State::Done(footer) => return Ok(footer),
            State::Blocks(opener) => return Err(opener.finish().err().unwrap_or_else(|| reject("file is cut"))),
            State::Head(collector) => return Err(collector.cut()),
            State::Magic(_) => "before its footer",
            State::Footer(_) => "in its footer",
        };
        Err(reject(format!("file is cut {what}, after {} members in {} bytes", self.order.members(), self.bytes)))
    }
}
