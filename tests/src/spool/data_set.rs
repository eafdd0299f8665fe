//! A data set read from its files, by name and by format.

use super::{RECORDS, WITHIN, files_below, private_key};
use crate::wait_for;
use host::crypto::{self, Event, KeyRing, RecordDecoder, SpoolReader};
use host::ports::log::StoredRecord;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a published file's name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Number of the file.
    pub sequence: u64,
    /// First offset.
    pub first: i64,
    /// Offset after the last.
    pub next: i64,
}

/// Reads a name as `plugins/spool_layout/README.md` has it; none: not such a name.
pub fn read_name(name: &str) -> Option<FileName> {
    let parts: Vec<&str> = name.strip_suffix(".spool")?.split('+').collect();
    let [topic, partition, sequence, offsets, _times] = parts.as_slice() else { return None };
    let (first, next) = offsets.split_once('-')?;
    Some(FileName {
        topic: (*topic).to_owned(),
        partition: partition.parse().ok()?,
        sequence: sequence.parse().ok()?,
        first: first.parse().ok()?,
        next: next.parse().ok()?,
    })
}

/// A data set, read file by file as files appear.
pub struct DataSet {
    folder: PathBuf,
    ring: Arc<KeyRing>,
    files: BTreeMap<PathBuf, FileName>,
    records: Vec<(String, StoredRecord)>,
}

impl DataSet {
    /// In `folder`, opened with the private key `name` in `keys`.
    ///
    /// # Panics
    /// When there is no such key.
    pub fn new(folder: &Path, keys: &Path, name: &str) -> Self {
        let key = crypto::load_key("test", &private_key(keys, name)).unwrap();
        let ring = Arc::new(KeyRing::try_new([key]).unwrap());
        DataSet { folder: folder.to_owned(), ring, files: BTreeMap::new(), records: Vec::new() }
    }

    /// Opens the files that appeared. A file is whole from its first moment on, or this fails.
    ///
    /// # Panics
    /// When a file is not what it should be.
    pub fn look(&mut self) -> usize {
        for path in self.folder_files() {
            if self.files.contains_key(&path) {
                continue;
            }
            let shown = path.display();
            let name = path.file_name().and_then(|name| read_name(name.to_str()?));
            let name = name.unwrap_or_else(|| panic!("`{shown}` is no name of a published file"));
            let bytes = std::fs::read(&path).unwrap();
            let records = open_file(&bytes, &name, &self.ring).unwrap_or_else(|error| panic!("`{shown}`: {error}"));
            self.records.extend(records);
            self.files.insert(path, name);
        }
        self.records.len()
    }

    /// Every file that is there now, opened or not.
    pub fn folder_files(&self) -> impl Iterator<Item = PathBuf> + use<> {
        let own = self.folder.join("var");
        files_below(&self.folder).into_iter().filter(move |path| !path.starts_with(&own))
    }

    /// Waits until it holds this many records; more are found by [`DataSet::assert_holds`].
    ///
    /// # Panics
    /// When `WITHIN` is over, with the number it has.
    pub fn wait(&mut self, records: usize) {
        let what = format!("{records} records in `{}`", self.folder.display());
        let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for(&what, WITHIN, || (self.look() >= records).then_some(()));
        }));
        if let Err(panic) = waited {
            eprintln!("found {} records", self.records.len());
            std::panic::resume_unwind(panic);
        }
    }

    /// Every record that was found.
    pub fn records(&self) -> impl Iterator<Item = &StoredRecord> {
        self.records.iter().map(|(_, record)| record)
    }

    /// Number of files.
    pub fn num_files(&self) -> usize {
        self.files.len()
    }

    /// Paths of its files.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.keys().map(PathBuf::as_path)
    }

    /// Checks that it holds exactly these records of topic [`RECORDS`], each once and byte for byte, and
    /// that the files of each partition join.
    ///
    /// # Panics
    /// Naming the first that is missing, twice or different.
    pub fn assert_holds(&mut self, sent: &[StoredRecord]) {
        self.look();
        let mut found: Vec<&StoredRecord> = self.records.iter().map(|(_, record)| record).collect();
        assert!(self.records.iter().all(|(topic, _)| topic == RECORDS), "members of another topic");
        found.sort_by_key(|record| (record.partition, record.offset));
        let mut sent: Vec<&StoredRecord> = sent.iter().collect();
        sent.sort_by_key(|record| (record.partition, record.offset));
        for (found, sent) in found.iter().zip(&sent) {
            let at = |record: &StoredRecord| (record.partition, record.offset);
            assert_eq!(at(found), at(sent), "missing or twice, of {} sent", self.records.len());
            assert!(found == sent, "found {found:?}, sent {sent:?}");
        }
        assert_eq!(found.len(), sent.len());
        self.assert_joined();
    }

    fn assert_joined(&self) {
        let mut parts: BTreeMap<(&str, i32), Vec<&FileName>> = BTreeMap::new();
        self.files.values().for_each(|name| parts.entry((&name.topic, name.partition)).or_default().push(name));
        for (at, mut files) in parts {
            files.sort_by_key(|name| name.first);
            for pair in files.windows(2) {
                assert_eq!(pair[0].next, pair[1].first, "files of {at:?} join");
                assert!(pair[0].sequence < pair[1].sequence, "{at:?}: {pair:?}");
            }
        }
    }
}

/// Opens one file of a spool: its records, each with the topic of its member.
///
/// # Errors
/// What is wrong with it.
pub fn open_file(
    bytes: &[u8],
    name: &FileName,
    ring: &Arc<KeyRing>,
) -> host::error::Result<Vec<(String, StoredRecord)>> {
    let FileName { topic, partition, first, next, .. } = name.clone();
    let mut reader = SpoolReader::new(Arc::clone(ring), crypto::Identity { topic, partition, first, next }, None);
    let mut member = None;
    let mut records = Vec::new();
    reader.push(bytes, &mut |event| {
        match event {
            Event::Member(info) => member = Some((info.identity.clone(), RecordDecoder::try_new(info)?)),
            Event::Plain(plain) => {
                let (identity, decoder) = member.as_mut().unwrap();
                decoder.push(plain);
                while let Some(record) = decoder.next_record()? {
                    let headers = record.headers()?.into_iter();
                    let headers = headers.map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec))).collect();
                    let (key, value) = (record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec));
                    let (partition, offset, timestamp) = (identity.partition, record.offset, record.timestamp);
                    let record = StoredRecord { partition, offset, timestamp, key, value, headers };
                    records.push((identity.topic.clone(), record));
                }
            }
            Event::MemberEnd(_) => member.take().unwrap().1.finish()?,
        }
        Ok(())
    })?;
    reader.finish()?;
    Ok(records)
}
