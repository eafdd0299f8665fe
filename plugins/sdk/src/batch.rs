//! The column shape of batches, hidden behind a record builder and a record iterator.

use crate::Error;
use crate::bindings::source::connector::plugin::types::Batch;

/// Key, value and timestamp of a record; for tests.
pub type OwnedRecord = (Option<Vec<u8>>, Option<Vec<u8>>, i64);

/// Collects records into one batch.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    data: Vec<u8>,
    key_lens: Vec<i32>,
    value_lens: Vec<i32>,
    headers_lens: Vec<u32>,
    timestamps: Vec<i64>,
    headers: Vec<u8>,
}

impl BatchBuilder {
    /// Room for `records` records of `bytes` bytes in all.
    pub fn with_capacity(records: usize, bytes: usize) -> Self {
        BatchBuilder {
            data: Vec::with_capacity(bytes),
            value_lens: Vec::with_capacity(records),
            timestamps: Vec::with_capacity(records),
            ..BatchBuilder::default()
        }
    }

    /// Records finished so far.
    pub fn len(&self) -> usize {
        self.value_lens.len()
    }

    /// Whether there is no record yet.
    pub fn is_empty(&self) -> bool {
        self.value_lens.is_empty()
    }

    /// Bytes of all records so far.
    pub fn num_bytes(&self) -> usize {
        self.data.len()
    }

    /// Appends a whole record; `timestamp` in milliseconds since 1970 UTC.
    pub fn push(&mut self, key: Option<&[u8]>, value: Option<&[u8]>, timestamp: i64) {
        let mut record = self.begin(timestamp, key);
        match value {
            Some(value) => record.value().extend_from_slice(value),
            None => record.tombstone(),
        }
        record.finish();
    }

    /// Appends a record as it stands in another batch.
    pub fn push_record(&mut self, record: &Record<'_>) {
        let mut copy = self.begin(record.timestamp, record.key);
        match record.value {
            Some(value) => copy.value().extend_from_slice(value),
            None => copy.tombstone(),
        }
        copy.batch.headers.extend_from_slice(record.headers);
        copy.finish();
    }

    /// Begins a record whose value is written piece by piece. Dropping the builder without
    /// [`RecordBuilder::finish`] takes the record back.
    pub fn begin(&mut self, timestamp: i64, key: Option<&[u8]>) -> RecordBuilder<'_> {
        let start = self.data.len();
        self.headers.clear();
        if let Some(key) = key {
            self.data.extend_from_slice(key);
        }
        let value_start = self.data.len();
        let key_len = key.map_or(-1, |key| key.len() as i32);
        RecordBuilder { batch: self, start, value_start, key_len, timestamp, tombstone: false, finished: false }
    }

    pub(crate) fn take(&mut self) -> Batch {
        Batch {
            data: std::mem::take(&mut self.data),
            key_lens: std::mem::take(&mut self.key_lens),
            value_lens: std::mem::take(&mut self.value_lens),
            headers_lens: std::mem::take(&mut self.headers_lens),
            timestamps: std::mem::take(&mut self.timestamps),
        }
    }

    /// What was collected, record by record; for tests.
    pub fn into_records(mut self) -> Vec<OwnedRecord> {
        let batch = self.take();
        Records::try_new(&batch)
            .map(|records| {
                records.map(|r| (r.key.map(<[u8]>::to_vec), r.value.map(<[u8]>::to_vec), r.timestamp)).collect()
            })
            .unwrap_or_default()
    }
}

/// One record being written; see [`BatchBuilder::begin`].
#[derive(Debug)]
pub struct RecordBuilder<'a> {
    batch: &'a mut BatchBuilder,
    start: usize,
    value_start: usize,
    key_len: i32,
    timestamp: i64,
    tombstone: bool,
    finished: bool,
}

impl RecordBuilder<'_> {
    /// The buffer to append the value to. What was in it before is not this record's.
    pub fn value(&mut self) -> &mut Vec<u8> {
        &mut self.batch.data
    }

    /// Makes the value null.
    pub fn tombstone(&mut self) {
        self.batch.data.truncate(self.value_start);
        self.tombstone = true;
    }

    /// Adds a header.
    pub fn header(&mut self, name: &str, value: &[u8]) {
        let headers = &mut self.batch.headers;
        headers.extend_from_slice(&(name.len() as u32).to_le_bytes());
        headers.extend_from_slice(name.as_bytes());
        headers.extend_from_slice(&(value.len() as u32).to_le_bytes());
        headers.extend_from_slice(value);
    }

    /// Keeps the record.
    pub fn finish(mut self) {
        self.finished = true;
        let batch = &mut *self.batch;
        let index = batch.value_lens.len();
        let value_len = if self.tombstone { -1 } else { (batch.data.len() - self.value_start) as i32 };
        batch.value_lens.push(value_len);
        batch.timestamps.push(self.timestamp);
        // The columns of keys and headers appear with the first record that has one.
        if self.key_len >= 0 || !batch.key_lens.is_empty() {
            batch.key_lens.resize(index, -1);
            batch.key_lens.push(self.key_len);
        }
        if !batch.headers.is_empty() || !batch.headers_lens.is_empty() {
            batch.headers_lens.resize(index, 0);
            batch.headers_lens.push(batch.headers.len() as u32);
            batch.data.extend_from_slice(&batch.headers);
        }
    }
}

impl Drop for RecordBuilder<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.batch.data.truncate(self.start);
        }
    }
}

/// One record of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// The key, if it has one.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers as they travel: (u32 n, name, u32 m, value)*.
    pub headers: &'a [u8],
    /// Milliseconds since 1970 UTC; 0 when the batch has no timestamps.
    pub timestamp: i64,
}

/// Iterates over the records of a batch, in order.
#[derive(Debug)]
pub struct Records<'a> {
    batch: &'a Batch,
    rest: &'a [u8],
    index: usize,
}

impl<'a> Records<'a> {
    /// # Errors
    /// [`Error::Bug`] when the columns do not fit each other or the data.
    pub fn try_new(batch: &'a Batch) -> Result<Self, Error> {
        let records = batch.value_lens.len();
        let fits = |len: usize| len == 0 || len == records;
        let sum = batch.key_lens.iter().chain(&batch.value_lens).map(|n| i64::from((*n).max(0))).sum::<i64>()
            + batch.headers_lens.iter().map(|n| i64::from(*n)).sum::<i64>();
        if !fits(batch.key_lens.len()) || !fits(batch.headers_lens.len()) || !fits(batch.timestamps.len()) {
            return Err(Error::Bug(format!("columns of a batch of {records} records differ in length")));
        }
        if sum != batch.data.len() as i64 {
            let found = batch.data.len();
            return Err(Error::Bug(format!("a batch has {found} bytes, its lengths add up to {sum}")));
        }
        Ok(Records { batch, rest: &batch.data, index: 0 })
    }

    fn part(&mut self, len: usize) -> &'a [u8] {
        let (part, rest) = self.rest.split_at_checked(len).unwrap_or((self.rest, &[]));
        self.rest = rest;
        part
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let index = self.index;
        let value_len = *self.batch.value_lens.get(index)?;
        let key_len = self.batch.key_lens.get(index).copied().unwrap_or(-1);
        let headers_len = self.batch.headers_lens.get(index).copied().unwrap_or(0);
        self.index += 1;
        let key = (key_len >= 0).then(|| self.part(key_len as usize));
        let value = (value_len >= 0).then(|| self.part(value_len as usize));
        let headers = self.part(headers_len as usize);
        let timestamp = self.batch.timestamps.get(index).copied().unwrap_or(0);
        Some(Record { key, value, headers, timestamp })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn records_come_back_as_they_were_built() {
        let mut builder = BatchBuilder::default();
        builder.push(None, Some(b"first"), 1);
        builder.push(Some(b"k"), None, 2);
        let mut third = builder.begin(3, None);
        third.value().extend_from_slice(b"third");
        third.header("why", b"because");
        third.finish();
        let mut dropped = builder.begin(4, Some(b"gone"));
        dropped.value().extend_from_slice(b"half");
        drop(dropped);
        builder.push(Some(b""), Some(b""), 5);
        let batch = builder.take();
        let records: Vec<_> = Records::try_new(&batch).unwrap().collect();
        let expect = |key, value, timestamp| (key, value, timestamp);
        let seen: Vec<_> = records.iter().map(|r| (r.key, r.value, r.timestamp)).collect();
        assert_eq!(
            seen,
            [
                expect(None, Some(&b"first"[..]), 1),
                expect(Some(&b"k"[..]), None, 2),
                expect(None, Some(&b"third"[..]), 3),
                expect(Some(&b""[..]), Some(&b""[..]), 5),
            ]
        );
        assert_eq!(records.get(2).map(|r| r.headers.len()), Some(4 + 3 + 4 + 7));
    }

    #[test]
    fn a_batch_whose_columns_do_not_fit_is_refused() {
        let batch = Batch { value_lens: vec![3], data: b"four".to_vec(), ..empty() };
        assert_eq!(
            Records::try_new(&batch).err().map(|e| e.to_string()).as_deref(),
            Some("a batch has 4 bytes, its lengths add up to 3")
        );
    }

    fn empty() -> Batch {
        BatchBuilder::default().take()
    }
}
