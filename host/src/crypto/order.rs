//! Which members may follow each other in a file. A member alone proves only itself: that none was
//! left out, put in, repeated or swapped is seen from the offsets that their heads are bound to.

use super::{Identity, MemberInfo, reject};
use crate::error::Result;
use std::collections::BTreeMap;

/// Separate stretches of offsets in one file that are kept apart; members that join are one.
const MAX_STRETCHES: usize = 1 << 20;

/// Checks the members of one file against its name and each other, in order.
///
/// Members of the file's own topic must fill its interval without a gap. Members that travelled
/// through it are of another topic and may come in any order, because several tasks bring them: for
/// each partition there, offsets must never overlap.
#[derive(Debug)]
pub struct MemberOrder {
    file: Identity,
    source: Option<String>,
    end: i64,
    /// Of members that travelled: start and end of what was seen, by partition.
    stretches: BTreeMap<(i32, i64), i64>,
    members: u64,
}

impl MemberOrder {
    /// For the file published as `file`, with members of topic `source`. Without a source the first
    /// member decides it, and a file whose members were all replaced by those of another topic passes.
    pub fn new(file: Identity, source: Option<String>) -> Self {
        let end = file.first;
        MemberOrder { file, source, end, stretches: BTreeMap::new(), members: 0 }
    }

    /// Takes the next member, whose data key has been opened.
    ///
    /// # Errors
    /// Class Reject: not of this file, or not in this place of it.
    pub fn add(&mut self, info: &MemberInfo) -> Result<()> {
        let (id, found) = (&info.id, &info.identity);
        let place = format!("member `{id}`, number {} of its file,", self.members);
        let source = self.source.get_or_insert_with(|| found.topic.clone());
        if found.topic != *source {
            return Err(reject(format!("{place} is {found}, expected topic `{source}`")));
        }
        let is_own = found.topic == self.file.topic;
        if is_own {
            let end = self.end;
            let fits = found.partition == self.file.partition && found.first == end && found.next <= self.file.next;
            if !fits {
                return Err(reject(format!("{place} is {found}, expected it to begin at {end} in {}", self.file)));
            }
            self.end = found.next;
        } else {
            self.add_stretch(found).map_err(|what| reject(format!("{place} is {found}, {what}")))?;
        }
        self.members += 1;
        Ok(())
    }

    fn add_stretch(&mut self, found: &Identity) -> std::result::Result<(), String> {
        let (partition, mut first, mut next) = (found.partition, found.first, found.next);
        let before = self.stretches.range(..(partition, next)).next_back();
        let before = before.map(|((of, start), end)| (*of, *start, *end)).filter(|(of, ..)| *of == partition);
        if let Some((_, start, end)) = before {
            if end > first {
                return Err(format!("which overlaps [{start},{end}), seen before"));
            }
            if end == first {
                self.stretches.remove(&(partition, start));
                first = start;
            }
        }
        if let Some(end) = self.stretches.remove(&(partition, next)) {
            next = end;
        }
        self.stretches.insert((partition, first), next);
        match self.stretches.len() <= MAX_STRETCHES {
            true => Ok(()),
            false => Err(format!("one more than {MAX_STRETCHES} stretches of offsets that do not join")),
        }
    }

    /// How many members were taken.
    pub fn members(&self) -> u64 {
        self.members
    }

    /// To be asked after the last member.
    ///
    /// # Errors
    /// Class Reject: the end of the file's own interval is missing.
    pub fn finish(&self) -> Result<()> {
        // Without a member nothing travelled that could be written down; see `host/SPOOL_FORMAT.md`.
        let is_own = self.source.as_ref().is_some_and(|source| *source == self.file.topic);
        let end = self.end;
        match !is_own || end == self.file.next {
            true => Ok(()),
            false => Err(reject(format!("file of {} has members up to {end} only", self.file))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(topic: &str, partition: i32, first: i64, next: i64) -> MemberInfo {
        let identity = Identity { topic: topic.to_owned(), partition, first, next };
        let (id, content) = ("0".repeat(32), "records-1".to_owned());
        MemberInfo { id, identity, first_ms: 0, last_ms: 0, records: 0, block_bytes: 1, content, nonce: [0; 7] }
    }

    fn check(source: Option<&str>, members: &[MemberInfo], expected: &str) {
        let file = Identity { topic: "a".to_owned(), partition: 0, first: 10, next: 30 };
        let mut order = MemberOrder::new(file, source.map(str::to_owned));
        let result = members.iter().try_for_each(|member| order.add(member)).and_then(|()| order.finish());
        match result {
            Ok(()) => assert_eq!(expected, ""),
            Err(error) => assert!(!expected.is_empty() && error.to_string().contains(expected), "{error}"),
        }
    }

    #[test]
    fn members_of_the_own_topic_fill_the_interval() {
        let [one, two] = [member("a", 0, 10, 20), member("a", 0, 20, 30)];
        check(None, &[one.clone(), two.clone()], "");
        check(None, &[two.clone(), one.clone()], "expected it to begin at 10");
        check(None, &[one.clone(), one.clone()], "expected it to begin at 20");
        check(None, std::slice::from_ref(&one), "has members up to 20 only");
        check(None, &[], "");
        check(Some("a"), &[], "has members up to 10 only");
        check(None, &[one.clone(), member("a", 0, 20, 31)], "expected it to begin at 20");
        check(None, &[one.clone(), member("a", 1, 20, 30)], "number 1 of its file, is `a` partition 1");
        check(None, &[one, member("b", 0, 20, 30)], "expected topic `a`");
        check(Some("a"), &[member("b", 0, 10, 30)], "expected topic `a`");
    }

    #[test]
    fn members_that_travelled_never_overlap() {
        let [one, two, other] = [member("b", 0, 100, 200), member("b", 0, 250, 300), member("b", 1, 7, 9)];
        let between = member("b", 0, 200, 250);
        check(Some("b"), &[one.clone(), other.clone(), two.clone()], "");
        check(Some("b"), &[other.clone(), two.clone(), one.clone(), between.clone()], "");
        check(Some("b"), &[one.clone(), other.clone(), one.clone()], "which overlaps [100,200)");
        check(Some("b"), &[two.clone(), between.clone(), one.clone(), member("b", 0, 299, 301)], "overlaps [100,300)");
        check(Some("b"), &[two.clone(), member("b", 0, 99, 251)], "which overlaps [250,300)");
        check(Some("b"), &[other, member("b", 0, 0, 8)], "");
        check(Some("c"), &[two], "expected topic `c`");
    }
}
