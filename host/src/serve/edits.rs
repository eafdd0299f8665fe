//! Counts of the edits in a topic, for the page: per minute and wiki, robots and people, pages.
//! Approximate by design: it begins with the latest records, and pages that are rarely edited are forgotten
//! when there are too many. Nothing but the page reads it.

use crate::error::Result;
use crate::ports::log::{Log, LogReader, ReadLimits, StoredRecord};
use crate::record::now_ms;
use serde::Deserialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// Records before the end that are counted at the start.
const BEGIN_BEFORE_END: i64 = 100_000;
/// Minutes that are kept and shown.
const MINUTES: i64 = 30;
/// Wikis with a line of their own; the others are one.
const WIKIS: usize = 8;
/// Wikis that are counted at all.
const MAX_WIKIS: usize = 1000;
/// Pages that are counted; above it the rarer ones are forgotten.
const MAX_PAGES: usize = 20_000;
const TOP_PAGES: usize = 10;
/// Letters of a name that are kept.
const NAME_LETTERS: usize = 200;
const LIMITS: ReadLimits = ReadLimits { max_records: 1000, max_bytes: 4 << 20, wait: Duration::from_millis(250) };
const LOOK_AGAIN: Duration = Duration::from_secs(1);
const MINUTE_MS: i64 = 60_000;

#[derive(Deserialize)]
struct Edit<'a> {
    #[serde(borrow)]
    channel: Option<Cow<'a, str>>,
    #[serde(borrow)]
    page: Option<Cow<'a, str>>,
    #[serde(rename = "isRobot")]
    is_robot: Option<bool>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    payload: Edit<'a>,
}

#[derive(Default)]
struct Counted {
    edits: u64,
    robots: u64,
    people: u64,
    /// Minute since 1970, then wiki.
    minutes: BTreeMap<i64, HashMap<String, u64>>,
    wikis: HashMap<String, u64>,
    pages: HashMap<(String, String), u64>,
}

/// Counts the edits of a topic as long as it is kept.
pub struct EditCounter {
    topic: String,
    counted: Mutex<Counted>,
}

impl EditCounter {
    /// Begins to count on a thread of its own.
    pub fn start(log: Arc<dyn Log>, topic: &str) -> Arc<Self> {
        let counter = Arc::new(EditCounter { topic: topic.to_owned(), counted: Mutex::default() });
        let weak = Arc::downgrade(&counter);
        let topic = topic.to_owned();
        let spawned = std::thread::Builder::new()
            .name("edit-counter".to_owned())
            .spawn(move || follow(&weak, log.as_ref(), &topic));
        if let Err(error) = spawned {
            tracing::warn!(%error, "edits are not counted");
        }
        counter
    }

    fn count(&self, record: &StoredRecord) {
        let Some(value) = &record.value else { return };
        let edit = serde_json::from_slice::<Envelope<'_>>(value).map(|envelope| envelope.payload);
        let Ok(edit) = edit.or_else(|_| serde_json::from_slice::<Edit<'_>>(value)) else { return };
        let (Some(channel), Some(page)) = (edit.channel, edit.page) else { return };
        let wiki: String = channel.trim_start_matches('#').chars().take(NAME_LETTERS).collect();
        let page: String = page.chars().take(NAME_LETTERS).collect();
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.edits += 1;
        match edit.is_robot {
            Some(true) => counted.robots += 1,
            _ => counted.people += 1,
        }
        let minute = record.timestamp.div_euclid(MINUTE_MS);
        // A clock elsewhere that is ahead must not push out what is shown now.
        let is_shown = minute <= now_ms().div_euclid(MINUTE_MS) + 1;
        if counted.wikis.len() < MAX_WIKIS || counted.wikis.contains_key(&wiki) {
            *counted.wikis.entry(wiki.clone()).or_default() += 1;
            if is_shown {
                *counted.minutes.entry(minute).or_default().entry(wiki.clone()).or_default() += 1;
            }
        }
        while counted.minutes.len() > usize::try_from(MINUTES).unwrap_or(1) {
            counted.minutes.pop_first();
        }
        *counted.pages.entry((wiki, page)).or_default() += 1;
        if counted.pages.len() > MAX_PAGES {
            let mut counts: Vec<u64> = counted.pages.values().copied().collect();
            let (_, median, _) = counts.select_nth_unstable(MAX_PAGES / 2);
            let median = *median;
            counted.pages.retain(|_, count| *count > median);
        }
    }

    /// What was counted, as the page reads it.
    pub(super) fn shown(&self, now_ms: i64) -> Value {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let first = now_ms.div_euclid(MINUTE_MS) - MINUTES + 1;
        let mut wikis: Vec<(&String, u64)> = counted.wikis.iter().map(|(wiki, count)| (wiki, *count)).collect();
        wikis.sort_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(other.0)));
        let others: Vec<&String> = wikis.iter().skip(WIKIS).map(|(wiki, _)| *wiki).collect();
        let counts = |of: &dyn Fn(&String) -> bool| -> Vec<u64> {
            let sum = |minute: i64| {
                let minute = counted.minutes.get(&minute);
                minute.map_or(0, |wikis| wikis.iter().filter(|(wiki, _)| of(wiki)).map(|(_, count)| count).sum())
            };
            (first..first + MINUTES).map(sum).collect()
        };
        let mut lines: Vec<Value> = Vec::new();
        for (wiki, _) in wikis.iter().take(WIKIS) {
            lines.push(json!({ "name": wiki, "counts": counts(&|other| other == *wiki) }));
        }
        if !others.is_empty() {
            lines.push(json!({ "name": "others", "counts": counts(&|other| others.contains(&other)) }));
        }
        let mut pages: Vec<_> = counted.pages.iter().collect();
        pages.sort_by(|one, other| other.1.cmp(one.1).then(one.0.cmp(other.0)));
        let pages = pages.into_iter().take(TOP_PAGES);
        let pages = pages.map(|((wiki, page), edits)| json!({ "wiki": wiki, "page": page, "edits": edits }));
        json!({
            "topic": self.topic, "counted": counted.edits, "robots": counted.robots, "people": counted.people,
            "per_minute": { "start_ms": first * MINUTE_MS, "wikis": lines }, "pages": Value::from_iter(pages),
        })
    }
}

/// Reads until nobody keeps the counter any more; what goes wrong is tried again from where it was.
fn follow(counter: &Weak<EditCounter>, log: &dyn Log, topic: &str) {
    let mut next = BTreeMap::new();
    while counter.strong_count() > 0 {
        if let Err(error) = read(counter, log, topic, &mut next) {
            tracing::debug!(topic, %error, "edits cannot be counted now");
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Counts records as they come; `next` is the offset after the last one, by partition. Ends where there is no
/// such topic yet.
fn read(counter: &Weak<EditCounter>, log: &dyn Log, topic: &str, next: &mut BTreeMap<i32, i64>) -> Result<()> {
    let Some(info) = log.topic(topic)? else { return Ok(()) };
    let mut readers: Vec<(i32, Box<dyn LogReader>)> = Vec::new();
    for (partition, marks) in (0..).zip(info.partitions) {
        let from = *next.entry(partition).or_insert(marks.low.max(marks.high.saturating_sub(BEGIN_BEFORE_END)));
        readers.push((partition, log.reader(topic, partition, from)?));
    }
    loop {
        for (partition, reader) in &mut readers {
            let Some(counter) = counter.upgrade() else { return Ok(()) };
            for record in reader.next(LIMITS)? {
                counter.count(&record);
                next.insert(*partition, record.offset + 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(minute: i64, value: &str) -> StoredRecord {
        StoredRecord {
            partition: 0,
            offset: 0,
            timestamp: minute * MINUTE_MS,
            key: None,
            value: Some(value.as_bytes().to_vec()),
            headers: Vec::new(),
        }
    }

    #[test]
    fn edits_are_counted_by_minute_wiki_and_page() {
        let counter = EditCounter { topic: "t".to_owned(), counted: Mutex::default() };
        let edit = |wiki: &str, page: &str, robot| {
            format!(
                r##"{{"schema":null,"payload":{{"channel":"#{wiki}","page":"{page}","isRobot":{robot},"added":1}}}}"##
            )
        };
        for _ in 0..3 {
            counter.count(&record(100, &edit("en.wikipedia", "A \\\"b\\\"", true)));
        }
        counter.count(&record(101, r##"{"channel":"#fr.wikipedia","page":"B"}"##));
        for noise in ["{}", "no JSON", "[]", r#"{"payload":1}"#] {
            counter.count(&record(101, noise));
        }
        let shown = counter.shown(101 * MINUTE_MS + 5);
        assert_eq!(shown["counted"], 4);
        assert_eq!((&shown["robots"], &shown["people"]), (&json!(3), &json!(1)));
        assert_eq!(shown["pages"][0], json!({ "wiki": "en.wikipedia", "page": "A \"b\"", "edits": 3 }));
        let english = &shown["per_minute"]["wikis"][0];
        assert_eq!(
            (&english["name"], &english["counts"][28], &english["counts"][29]),
            (&json!("en.wikipedia"), &json!(3), &json!(0))
        );
        assert_eq!(shown["per_minute"]["wikis"][1]["counts"][29], 1);
        assert_eq!(shown["per_minute"]["start_ms"], 72 * MINUTE_MS);
    }

    #[test]
    fn room_is_bounded() {
        let counter = EditCounter { topic: "t".to_owned(), counted: Mutex::default() };
        for _ in 0..2 {
            counter.count(&record(0, r##"{"channel":"#often","page":"often"}"##));
        }
        for number in 0..30_000 {
            let edit = format!(r##"{{"channel":"#{number}","page":"{number}"}}"##);
            counter.count(&record(number, &edit));
        }
        let counted = counter.counted.lock().unwrap();
        assert!(counted.pages.len() <= MAX_PAGES && counted.wikis.len() <= MAX_WIKIS && counted.minutes.len() <= 30);
        assert_eq!(counted.pages.get(&("often".to_owned(), "often".to_owned())), Some(&2));
        drop(counted);
        assert_eq!(counter.shown(0)["per_minute"]["wikis"].as_array().unwrap().len(), WIKIS + 1);
    }
}
