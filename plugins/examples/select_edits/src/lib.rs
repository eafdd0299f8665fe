//! A worked example of a transform: keeps some edits of Wikipedia and leaves out others.
//!
//! [`SelectEdits::open`] reads the options once, `SelectEdits::judge` decides about one record
//! and touches nothing, [`SelectEdits::transform`] does what was decided. Records that are kept
//! are not changed, so neither are the schemas. A record that cannot be judged is rejected, never
//! kept or dropped by guess; what an option does not ask for need not be there.

use connector_sdk::{Error, Record, Schemas, Settings, Transform, Transformed};
use serde::Deserialize;

/// The options, ready for use.
#[derive(Debug)]
pub struct SelectEdits {
    robots: Robots,
    min_delta: u64,
    /// Empty for all.
    namespaces: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Robots {
    Keep,
    Drop,
    Only,
}

/// What becomes of one record.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Keep,
    /// Understood and not wanted; the text is a constant that the host counts under.
    Skip(&'static str),
    /// Can never be judged; the text says why, and the host keeps the record as a dead letter.
    Reject(String),
}

/// The columns that options ask for. Others are not read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Edit {
    is_robot: Option<bool>,
    delta: Option<i64>,
    namespace: Option<String>,
}

impl Transform for SelectEdits {
    fn open(settings: &Settings, input: Schemas) -> Result<(Self, Schemas), Error> {
        let robots = match settings.text("robots")? {
            "keep" => Robots::Keep,
            "drop" => Robots::Drop,
            "only" => Robots::Only,
            other => {
                let expected = "expected `keep`, `drop` or `only`";
                return Err(Error::Config(format!("option `robots` is `{other}`, {expected}")));
            }
        };
        let min_delta = settings.parse("min.delta")?;
        let names = settings.text("namespaces")?.split(',').map(str::trim);
        let namespaces = names.filter(|name| !name.is_empty()).map(str::to_owned).collect();
        Ok((SelectEdits { robots, min_delta, namespaces }, input))
    }

    fn transform(&mut self, record: &Record<'_>, out: &mut Transformed) -> Result<(), Error> {
        match self.judge(record.value) {
            Verdict::Keep => out.records.push_record(record),
            Verdict::Skip(reason) => out.skip(reason),
            Verdict::Reject(reason) => out.reject(reason),
        }
        Ok(())
    }
}

impl SelectEdits {
    fn judge(&self, value: Option<&[u8]>) -> Verdict {
        let edit = match parse(value) {
            Ok(edit) => edit,
            Err(reason) => return Verdict::Reject(reason),
        };
        self.judge_edit(&edit).unwrap_or_else(|(column, option)| {
            Verdict::Reject(format!("record has no column `{column}`, which option `{option}` needs"))
        })
    }

    /// The error is the column that is missing and the option that needs it.
    fn judge_edit(&self, edit: &Edit) -> Result<Verdict, (&'static str, &'static str)> {
        if self.robots != Robots::Keep {
            match (edit.is_robot.ok_or(("isRobot", "robots"))?, self.robots) {
                (true, Robots::Drop) => return Ok(Verdict::Skip("robot")),
                (false, Robots::Only) => return Ok(Verdict::Skip("no robot")),
                _ => {}
            }
        }
        if self.min_delta > 0 && edit.delta.ok_or(("delta", "min.delta"))?.unsigned_abs() < self.min_delta {
            return Ok(Verdict::Skip("small change"));
        }
        if !self.namespaces.is_empty() {
            let namespace = edit.namespace.as_ref().ok_or(("namespace", "namespaces"))?;
            if !self.namespaces.contains(namespace) {
                return Ok(Verdict::Skip("other namespace"));
            }
        }
        Ok(Verdict::Keep)
    }
}

fn parse(value: Option<&[u8]>) -> Result<Edit, String> {
    let value = value.ok_or("record has no value, expected a json object")?;
    // Serde would read an array as the columns in order.
    if !value.trim_ascii_start().starts_with(b"{") {
        return Err("value is not a json object".to_owned());
    }
    // The texts of serde_json can quote the value, and a reason is no place for it.
    serde_json::from_slice(value).map_err(|e| {
        let what = if e.is_data() { "holds a column of another type" } else { "is not json" };
        format!("value {what} at line {} column {}", e.line(), e.column())
    })
}

connector_sdk::export_transform!(SelectEdits);

#[cfg(test)]
mod tests;
