//! Records and batches: the nouns every room moves. No I/O.
//!
//! A batch keeps the column shape in which it crossed the component boundary (`wit/plugin/types.wit`),
//! so that a record is never copied on its own until a log takes it.

use crate::error::{Error, Result};
use bytes::Bytes;

/// Length of a null header value, as in the WIT shape.
const NULL_HEADER: u32 = u32::MAX;

/// Records in order, one data buffer and columns; sound by construction.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    data: Bytes,
    key_lens: Vec<i32>,
    value_lens: Vec<i32>,
    headers_lens: Vec<u32>,
    timestamps: Vec<i64>,
}

/// The columns of a batch, see `wit/plugin/types.wit`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Columns {
    /// All records' bytes, each key, value, headers.
    pub data: Vec<u8>,
    /// -1 is no key; empty: no record has one.
    pub key_lens: Vec<i32>,
    /// -1 is a tombstone; one entry a record.
    pub value_lens: Vec<i32>,
    /// Empty: no record has headers.
    pub headers_lens: Vec<u32>,
    /// Milliseconds since 1970 UTC; empty: the host stamps.
    pub timestamps: Vec<i64>,
}

/// One record of a [`Batch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// The key, if any.
    pub key: Option<&'a [u8]>,
    /// The value; none is a tombstone.
    pub value: Option<&'a [u8]>,
    headers: &'a [u8],
    /// Milliseconds since 1970 UTC.
    pub timestamp: i64,
}

/// One header: name and value.
pub type Header<'a> = (&'a str, Option<&'a [u8]>);

impl Batch {
    /// Checks the columns against each other and the data, and stamps records without a
    /// timestamp with `now_ms`.
    ///
    /// # Errors
    /// Class Bug, naming the column that does not fit and both numbers.
    pub fn try_new(columns: Columns, now_ms: i64) -> Result<Self> {
        let records = columns.value_lens.len();
        let check = |name: &str, len: usize| match len {
            0 => Ok(()),
            len if len == records => Ok(()),
            len => Err(Error::bug(format!(
                "batch of {records} records: column `{name}` has {len} entries, expected {records}"
            ))),
        };
        check("key-lens", columns.key_lens.len())?;
        check("headers-lens", columns.headers_lens.len())?;
        check("timestamps", columns.timestamps.len())?;
        if let Some(len) = columns.key_lens.iter().chain(&columns.value_lens).find(|len| **len < -1) {
            return Err(Error::bug(format!("batch of {records} records: length {len}, expected -1 or more")));
        }
        let signed =
            columns.key_lens.iter().chain(&columns.value_lens).map(|len| i64::from((*len).max(0))).sum::<i64>();
        let sum = signed + columns.headers_lens.iter().map(|len| i64::from(*len)).sum::<i64>();
        if sum != i64::try_from(columns.data.len()).unwrap_or(i64::MAX) {
            let found = columns.data.len();
            return Err(Error::bug(format!(
                "batch of {records} records has {found} bytes, its lengths add up to {sum}"
            )));
        }
        let mut timestamps = columns.timestamps;
        timestamps.resize(records, now_ms);
        let batch = Batch {
            data: Bytes::from(columns.data),
            key_lens: columns.key_lens,
            value_lens: columns.value_lens,
            headers_lens: columns.headers_lens,
            timestamps,
        };
        if !batch.headers_lens.is_empty() {
            for (index, record) in batch.records().enumerate() {
                parse_headers(record.headers).map_err(|e| e.context(format!("headers of record {index}")))?;
            }
        }
        Ok(batch)
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.value_lens.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.value_lens.is_empty()
    }

    /// Bytes of all keys, values and headers.
    pub fn num_bytes(&self) -> usize {
        self.data.len()
    }

    /// The columns, for crossing into a component; copies the data.
    pub fn to_columns(&self) -> Columns {
        Columns {
            data: self.data.to_vec(),
            key_lens: self.key_lens.clone(),
            value_lens: self.value_lens.clone(),
            headers_lens: self.headers_lens.clone(),
            timestamps: self.timestamps.clone(),
        }
    }

    /// The records in order.
    pub fn records(&self) -> impl Iterator<Item = RecordRef<'_>> {
        let mut rest: &[u8] = &self.data;
        let mut part = move |len: usize| {
            // The constructor has checked the sum, so nothing is cut short here.
            let (part, tail) = rest.split_at_checked(len).unwrap_or((rest, &[]));
            rest = tail;
            part
        };
        self.value_lens.iter().zip(&self.timestamps).enumerate().map(move |(index, (value_len, timestamp))| {
            let key_len = self.key_lens.get(index).copied().unwrap_or(-1);
            let headers_len = self.headers_lens.get(index).copied().unwrap_or(0);
            let key = usize::try_from(key_len).ok().map(&mut part);
            let value = usize::try_from(*value_len).ok().map(&mut part);
            let headers = part(headers_len as usize);
            RecordRef { key, value, headers, timestamp: *timestamp }
        })
    }
}

impl<'a> RecordRef<'a> {
    /// The headers in order.
    pub fn headers(&self) -> Vec<Header<'a>> {
        parse_headers(self.headers).unwrap_or_default()
    }
}

/// Collects records into a [`Batch`].
#[derive(Debug, Default)]
pub struct BatchBuilder {
    columns: Columns,
}

impl BatchBuilder {
    /// Room for `records` records of `bytes` bytes in all.
    pub fn with_capacity(records: usize, bytes: usize) -> Self {
        let columns = Columns {
            data: Vec::with_capacity(bytes),
            key_lens: Vec::with_capacity(records),
            value_lens: Vec::with_capacity(records),
            headers_lens: Vec::new(),
            timestamps: Vec::with_capacity(records),
        };
        BatchBuilder { columns }
    }

    /// Appends a record whose key and value are each given in pieces.
    pub fn push_parts(
        &mut self,
        key: Option<&[&[u8]]>,
        value: Option<&[&[u8]]>,
        headers: &[Header<'_>],
        timestamp: i64,
    ) {
        let columns = &mut self.columns;
        let mut append = |parts: Option<&[&[u8]]>| match parts {
            None => -1,
            Some(parts) => {
                let start = columns.data.len();
                parts.iter().for_each(|part| columns.data.extend_from_slice(part));
                i32::try_from(columns.data.len() - start).unwrap_or(i32::MAX)
            }
        };
        let (key_len, value_len) = (append(key), append(value));
        columns.key_lens.push(key_len);
        columns.value_lens.push(value_len);
        columns.timestamps.push(timestamp);
        if !headers.is_empty() || !columns.headers_lens.is_empty() {
            let start = columns.data.len();
            for (name, value) in headers {
                put_header(&mut columns.data, name, *value);
            }
            columns.headers_lens.resize(columns.value_lens.len() - 1, 0);
            columns.headers_lens.push(u32::try_from(columns.data.len() - start).unwrap_or(u32::MAX));
        }
    }

    /// Appends a record.
    pub fn push(&mut self, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header<'_>], timestamp: i64) {
        let key = key.map(|key| [key]);
        let value = value.map(|value| [value]);
        self.push_parts(key.as_ref().map(|k| k.as_slice()), value.as_ref().map(|v| v.as_slice()), headers, timestamp);
    }

    /// Whether nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.columns.value_lens.is_empty()
    }

    /// The batch.
    pub fn build(self) -> Batch {
        let columns = self.columns;
        Batch {
            data: Bytes::from(columns.data),
            key_lens: columns.key_lens,
            value_lens: columns.value_lens,
            headers_lens: columns.headers_lens,
            timestamps: columns.timestamps,
        }
    }
}

fn put_header(data: &mut Vec<u8>, name: &str, value: Option<&[u8]>) {
    data.extend_from_slice(&u32::try_from(name.len()).unwrap_or(0).to_le_bytes());
    data.extend_from_slice(name.as_bytes());
    let len = value.map_or(NULL_HEADER, |value| u32::try_from(value.len()).unwrap_or(NULL_HEADER));
    data.extend_from_slice(&len.to_le_bytes());
    data.extend_from_slice(value.unwrap_or_default());
}

/// Writes headers in the form the batch columns and the embedded log share; see `wit/plugin/types.wit`.
pub fn encode_headers(headers: &[Header<'_>]) -> Vec<u8> {
    let mut data = Vec::new();
    headers.iter().for_each(|(name, value)| put_header(&mut data, name, *value));
    data
}

/// Reads what [`encode_headers`] writes.
///
/// # Errors
/// Class Bug, naming the byte at which the form breaks.
pub fn parse_headers(bytes: &[u8]) -> Result<Vec<Header<'_>>> {
    let mut rest = bytes;
    let mut headers = Vec::new();
    let broken = |rest: &[u8]| Error::bug(format!("header bytes break off at byte {}", bytes.len() - rest.len()));
    while !rest.is_empty() {
        let (name_len, tail) = rest.split_first_chunk::<4>().ok_or_else(|| broken(rest))?;
        let (name, tail) = tail.split_at_checked(u32::from_le_bytes(*name_len) as usize).ok_or_else(|| broken(rest))?;
        let name = std::str::from_utf8(name).map_err(|_| Error::bug("header name is not UTF-8"))?;
        let (value_len, tail) = tail.split_first_chunk::<4>().ok_or_else(|| broken(rest))?;
        let value_len = u32::from_le_bytes(*value_len);
        let (value, tail) = match value_len {
            NULL_HEADER => (None, tail),
            len => {
                let (value, tail) = tail.split_at_checked(len as usize).ok_or_else(|| broken(rest))?;
                (Some(value), tail)
            }
        };
        headers.push((name, value));
        rest = tail;
    }
    Ok(headers)
}

/// Milliseconds since 1970 UTC, now.
pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_as_pushed() {
        let mut builder = BatchBuilder::default();
        builder.push(None, Some(b"one"), &[], 1);
        builder.push(Some(b"k"), None, &[("a", Some(b"1")), ("b", None)], 2);
        builder.push_parts(Some(&[b"k", b"2"]), Some(&[b"{", b"}"]), &[], 3);
        let batch = Batch::try_new(builder.build().to_columns(), 0).unwrap();
        let seen: Vec<_> = batch.records().map(|r| (r.key, r.value, r.headers(), r.timestamp)).collect();
        assert_eq!(
            seen,
            [
                (None, Some(&b"one"[..]), vec![], 1),
                (Some(&b"k"[..]), None, vec![("a", Some(&b"1"[..])), ("b", None)], 2),
                (Some(&b"k2"[..]), Some(&b"{}"[..]), vec![], 3),
            ]
        );
    }

    #[test]
    fn unsound_columns_are_refused_with_both_numbers() {
        let check = |columns: Columns, expected: &str| {
            assert_eq!(Batch::try_new(columns, 0).unwrap_err().to_string(), expected);
        };
        let two = || Columns { value_lens: vec![1, 1], data: vec![0; 2], ..Columns::default() };
        check(
            Columns { key_lens: vec![0], ..two() },
            "batch of 2 records: column `key-lens` has 1 entries, expected 2",
        );
        check(Columns { data: vec![0; 3], ..two() }, "batch of 2 records has 3 bytes, its lengths add up to 2");
        check(Columns { value_lens: vec![-2, 4], ..two() }, "batch of 2 records: length -2, expected -1 or more");
        let headers = Columns { headers_lens: vec![0, 3], data: vec![0; 5], ..two() };
        check(headers, "headers of record 1: header bytes break off at byte 0");
    }
}
