//! The state that a source's plugin keeps, and how it is committed: as one position of the connector, so that it is in
//! the same transaction as the records and positions of the poll that changed it.
//!
//! The entry holds the version that wrote it, and, until a version is there to stay, the state of the one before it as
//! that one left it: a version that is taken back finds its own.

use crate::error::{Error, OrError, Result};
use crate::ports::log::PositionEntry;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The partition under which it is kept; a JSON object, as Kafka Connect's tools expect.
const PARTITION: &[u8] = br#"{"host.state":"plugin"}"#;

/// Names and values.
pub(super) type Values = BTreeMap<String, Vec<u8>>;

/// The entry as it is written: values in base64.
#[derive(Serialize, Deserialize)]
struct Written {
    version: String,
    values: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<Box<Written>>,
}

/// State of one instance.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept {
    version: String,
    values: Arc<Values>,
    before: Option<(String, Arc<Values>)>,
    is_changed: bool,
}

/// State as the log has it.
pub(super) enum Found {
    /// This version's own, or none at all.
    Own(Kept),
    /// Another version's, which may have to be brought into this one's form.
    Of(String, Kept),
}

impl Kept {
    /// Takes the state out of a connector's positions, for an instance of `version`.
    pub(super) fn load(positions: &[PositionEntry], version: &str) -> Result<(Found, Vec<PositionEntry>)> {
        let (state, others): (Vec<_>, Vec<_>) =
            positions.iter().cloned().partition(|entry| Self::is_reserved(&entry.partition));
        let Some(entry) = state.into_iter().next() else {
            return Ok((Found::Own(Kept { version: version.to_owned(), ..Kept::default() }), others));
        };
        let attempt = "the kept state of the plugin";
        let written: Written = serde_json::from_slice(&entry.position).or_config(attempt)?;
        let mut kept = Kept { values: values(&written)?, version: written.version, ..Kept::default() };
        if let Some(before) = &written.before {
            kept.before = Some((before.version.clone(), values(before)?));
        }
        if kept.version == version {
            return Ok((Found::Own(kept), others));
        }
        match kept.before.take_if(|(of, _)| of == version) {
            // Taken back: as it was left.
            Some((version, values)) => {
                Ok((Found::Own(Kept { version, values, before: None, is_changed: true }), others))
            }
            None => {
                let from = kept.version.clone();
                let before = Some((from.clone(), Arc::clone(&kept.values)));
                let kept = Kept { version: version.to_owned(), before, is_changed: true, ..kept };
                Ok((Found::Of(from, kept), others))
            }
        }
    }

    /// Whether a partition is the one under which state is kept.
    pub(super) fn is_reserved(partition: &[u8]) -> bool {
        partition == PARTITION
    }

    pub(super) fn values(&self) -> &Values {
        &self.values
    }

    /// All of it anew.
    pub(super) fn replace(&mut self, values: Values) {
        self.values = Arc::new(values);
    }

    /// Bytes of names and values.
    pub(super) fn num_bytes(&self) -> usize {
        self.values.iter().map(|(key, value)| key.len() + value.len()).sum()
    }

    /// Sets a value, if all then has `most` bytes at most; else how many it would have.
    pub(super) fn set(&mut self, key: String, value: Vec<u8>, most: usize) -> Result<(), usize> {
        let old = self.values.get(&key).map_or(0, |old| key.len() + old.len());
        let all = self.num_bytes() - old + key.len() + value.len();
        if all > most {
            return Err(all);
        }
        if self.values.get(&key) != Some(&value) {
            Arc::make_mut(&mut self.values).insert(key, value);
            self.is_changed = true;
        }
        Ok(())
    }

    /// Forgets a value.
    pub(super) fn remove(&mut self, key: &str) -> bool {
        let had = self.values.contains_key(key) && Arc::make_mut(&mut self.values).remove(key).is_some();
        self.is_changed |= had;
        had
    }

    /// The state of the version before is of no more use.
    pub(super) fn forget_before(&mut self) {
        self.is_changed |= self.before.take().is_some();
    }

    /// What is to be committed, if something changed since this was last asked.
    pub(super) fn take_entry(&mut self) -> Result<Option<PositionEntry>> {
        if !std::mem::take(&mut self.is_changed) {
            return Ok(None);
        }
        let write = |version: &str, values: &Values| Written {
            version: version.to_owned(),
            values: values.iter().map(|(key, value)| (key.clone(), STANDARD.encode(value))).collect(),
            before: None,
        };
        let before = self.before.as_ref().map(|(version, values)| Box::new(write(version, values)));
        let written = Written { before, ..write(&self.version, &self.values) };
        let position = serde_json::to_vec(&written).or_bug("the kept state of the plugin")?;
        Ok(Some(PositionEntry { partition: PARTITION.to_vec(), position }))
    }
}

fn values(written: &Written) -> Result<Arc<Values>> {
    let decode = |(key, value): (&String, &String)| {
        let value = STANDARD.decode(value);
        Ok((key.clone(), value.map_err(|error| Error::config(format!("the kept state under `{key}`: {error}")))?))
    };
    written.values.iter().map(decode).collect::<Result<Values>>().map(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(entry: Option<&PositionEntry>, version: &str) -> Found {
        Kept::load(&Vec::from_iter(entry.cloned()), version).unwrap().0
    }

    fn own(found: Found) -> Kept {
        match found {
            Found::Own(kept) => kept,
            Found::Of(from, _) => panic!("state of {from}"),
        }
    }

    fn get(kept: &Kept) -> Option<&[u8]> {
        kept.values().get("n").map(Vec::as_slice)
    }

    #[test]
    fn a_version_that_is_taken_back_finds_its_own_state() {
        let mut first = own(load(None, "0.1.0"));
        first.set("n".to_owned(), b"1".to_vec(), 100).unwrap();
        let entry = first.take_entry().unwrap().unwrap();
        assert!(first.take_entry().unwrap().is_none(), "nothing new");
        let Found::Of(from, mut second) = load(Some(&entry), "0.2.0") else { panic!("another version's") };
        assert_eq!((from.as_str(), get(&second)), ("0.1.0", Some(&b"1"[..])));
        second.set("n".to_owned(), b"two".to_vec(), 100).unwrap();
        let entry = second.take_entry().unwrap().unwrap();
        // The same version again, and a third one before the second has passed.
        assert_eq!(get(&own(load(Some(&entry), "0.2.0"))), Some(&b"two"[..]));
        let mut back = own(load(Some(&entry), "0.1.0"));
        assert_eq!(get(&back), Some(&b"1"[..]));
        let entry = back.take_entry().unwrap().expect("what the other wrote is replaced");
        assert!(matches!(load(Some(&entry), "0.2.0"), Found::Of(from, _) if from == "0.1.0"));
        second.forget_before();
        let entry = second.take_entry().unwrap().unwrap();
        assert!(matches!(load(Some(&entry), "0.1.0"), Found::Of(from, _) if from == "0.2.0"));
    }

    #[test]
    fn state_has_a_bound_and_is_apart_from_positions() {
        let mut kept = own(load(None, "1.0.0"));
        assert_eq!(kept.set("key".to_owned(), vec![0; 8], 10), Err(11));
        kept.set("key".to_owned(), vec![0; 7], 10).unwrap();
        kept.set("key".to_owned(), vec![1; 7], 10).unwrap();
        assert!(kept.remove("key") && !kept.remove("key") && kept.num_bytes() == 0);
        let entry = kept.take_entry().unwrap().unwrap();
        let position = PositionEntry { partition: b"{}".to_vec(), position: b"1".to_vec() };
        let (_, others) = Kept::load(&[entry, position.clone()], "1.0.0").unwrap();
        assert_eq!(others, [position]);
    }
}
