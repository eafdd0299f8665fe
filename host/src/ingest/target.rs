//! What all tasks of a ledger have in common: it is true of one data source, whose rows were read in one way.

use crate::connector::DataSource;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Into what, and how rows were read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    data_source: String,
    time_column: String,
    time_format: String,
    granularity: String,
    /// Every column that was ever loaded.
    columns: BTreeSet<String>,
}

impl Target {
    /// Of a data source.
    pub fn new(into: &DataSource) -> Self {
        Target {
            data_source: into.name.clone(),
            time_column: into.time_column.clone(),
            time_format: into.time_format.clone(),
            granularity: into.segments.name().to_owned(),
            columns: into.columns.iter().map(|column| column.name.clone()).collect(),
        }
    }

    /// What the ledger is of from now on, when it was of `before`.
    ///
    /// # Errors
    /// Class Config: it would not be true any more; or merges would store fewer columns than were loaded.
    pub(super) fn after(self, before: Option<&Target>, merges: bool) -> Result<Target> {
        let Some(before) = before else { return Ok(self) };
        let same = [
            ("data.source", &self.data_source, &before.data_source),
            ("time.column", &self.time_column, &before.time_column),
            ("time.format", &self.time_format, &before.time_format),
            ("segment.granularity", &self.granularity, &before.granularity),
        ];
        if let Some((option, now, before)) = same.into_iter().find(|(_, now, before)| now != before) {
            return Err(Error::config(format!("option `{option}` is `{now}`, and the ledger is of `{before}`"))
                .with_hint("a connector of another name has a ledger of its own, and loads the whole data set anew"));
        }
        if let Some(lost) = before.columns.difference(&self.columns).next().filter(|_| merges) {
            return Err(Error::config(format!(
                "option `columns` lacks `{lost}`, which was loaded before: a merge would delete its values"
            ))
            .with_hint("name it again, or unset `merge.schedule`"));
        }
        let columns = before.columns.union(&self.columns).cloned().collect();
        Ok(Target { columns, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::{Column, ColumnType, Granularity};

    fn source(name: &str, columns: &[&str]) -> DataSource {
        let column = |name: &&str| Column { name: (*name).to_owned(), kind: ColumnType::Text };
        DataSource {
            name: name.to_owned(),
            time_column: "timestamp".to_owned(),
            time_format: "iso".to_owned(),
            columns: columns.iter().map(column).collect(),
            segments: Granularity::Day,
        }
    }

    #[test]
    fn a_ledger_stays_true() {
        let before = Target::new(&source("wikipedia", &["a", "b"]));
        let after = |source: &DataSource, merges| Target::new(source).after(Some(&before), merges);
        assert_eq!(after(&source("wikipedia", &["a", "b"]), true).unwrap(), before);
        let error = after(&source("Wikipedia", &["a", "b"]), false).unwrap_err().to_string();
        assert_eq!(error, "option `data.source` is `Wikipedia`, and the ledger is of `wikipedia`");
        let hourly = DataSource { segments: Granularity::Hour, ..source("wikipedia", &["a", "b"]) };
        assert!(after(&hourly, false).unwrap_err().to_string().starts_with("option `segment.granularity` is `hour`"));
        // A column less is fine as long as nothing is merged, and is not forgotten.
        let fewer = source("wikipedia", &["a", "c"]);
        assert!(after(&fewer, true).unwrap_err().to_string().contains("lacks `b`"));
        let grown = after(&fewer, false).unwrap();
        assert_eq!(grown, Target::new(&source("wikipedia", &["a", "b", "c"])));
    }
}
