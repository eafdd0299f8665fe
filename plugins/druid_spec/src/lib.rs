//! Apache Druid's tasks, as JSON text.
//!
//! `options` reads the options, `check` refuses what Druid would refuse or misunderstand, `time`
//! writes intervals, `spec` has what both dialects share, `current` and `legacy` are the dialects:
//! structs whose members stand in the order of Druid's documentation, so that a task can be laid
//! beside a known one. This file joins them to the SDK's [`Ingestion`]. Pure functions: nothing here
//! fetches, keeps time or remembers a call.

mod check;
mod current;
mod legacy;
mod options;
mod spec;
mod time;

use connector_sdk::ingest::{DataSource, Dialect, Span, Stream, Task};
use connector_sdk::{Error, Ingestion, Settings};
use options::Options;

/// The ingestion; see [`Ingestion`].
#[derive(Debug)]
pub struct DruidSpec {
    options: Options,
}

impl Ingestion for DruidSpec {
    fn open(settings: &Settings) -> Result<Self, Error> {
        Ok(DruidSpec { options: Options::read(settings)? })
    }

    fn task(&self, of: &Task) -> Result<String, Error> {
        check::id(&of.id)?;
        check::data_source(&of.into)?;
        check::granularity(&self.options, &of.into)?;
        check::batches(of)?;
        check::intervals(of)?;
        match of.dialect {
            Dialect::Current => spec::text(&current::task(&self.options, of)?),
            Dialect::Legacy => spec::text(&legacy::task(&self.options, of)?),
        }
    }

    /// In the current dialect: the legacy one has a form of its own for each of its versions.
    fn compaction(&self, id: &str, of: &DataSource, interval: Span) -> Result<String, Error> {
        check::id(id)?;
        check::data_source(of)?;
        check::spans(&[interval])?;
        spec::text(&current::compaction(&self.options, id, of, interval)?)
    }

    fn supervisor(&self, into: &DataSource, of: &Stream) -> Result<String, Error> {
        check::data_source(into)?;
        check::granularity(&self.options, into)?;
        check::stream(of)?;
        spec::text(&current::supervisor(&self.options, into, of))
    }
}

connector_sdk::export_ingestion!(DruidSpec);
