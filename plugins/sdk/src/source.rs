//! Sources: the trait, and the glue to the world `source`.

use crate::bindings::source::connector::plugin::types as wit;
use crate::bindings::source::exports::connector::plugin::source_task as world;
use crate::{BatchBuilder, Error, Position, Schemas, Settings};
use std::time::Duration;

/// Bounds of one poll.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// At most this many records, rejected ones included.
    pub max_records: u32,
    /// About this many bytes of output.
    pub max_bytes: u32,
    /// How long to wait for input when there is none.
    pub wait: Duration,
}

/// What one poll gives; filled in place.
#[derive(Debug, Default)]
pub struct Polled {
    /// Records, in order.
    pub records: BatchBuilder,
    /// Positions after the last input taken, one for each partition that moved.
    pub positions: Vec<Position>,
    rejects: Rejects,
    skips: Vec<wit::Skip>,
}

#[derive(Debug, Default)]
struct Rejects {
    data: Vec<u8>,
    lens: Vec<u32>,
    origins: Vec<String>,
    reasons: Vec<String>,
    timestamps: Vec<i64>,
}

impl Polled {
    /// Hands over an input that can never become a record: it is counted, and kept with its
    /// bytes in the dead-letter topic.
    pub fn reject(&mut self, raw: &[u8], origin: &str, reason: String, timestamp: i64) {
        let rejects = &mut self.rejects;
        rejects.data.extend_from_slice(raw);
        rejects.lens.push(raw.len() as u32);
        rejects.origins.push(origin.to_owned());
        rejects.reasons.push(reason);
        rejects.timestamps.push(timestamp);
    }

    /// Counts an input that is left out on purpose.
    pub fn skip(&mut self, reason: &'static str) {
        count_skip(&mut self.skips, reason);
    }
}

pub(crate) fn count_skip(skips: &mut Vec<wit::Skip>, reason: &str) {
    match skips.iter_mut().find(|skip| skip.reason == reason) {
        Some(skip) => skip.count += 1,
        None => skips.push(wit::Skip { reason: reason.to_owned(), count: 1 }),
    }
}

/// A source of records. One instance, one caller, calls never overlap.
pub trait Source: Sized {
    /// Prepares an instance that resumes after `positions` (empty the first time). Reads no input.
    ///
    /// # Errors
    /// By what the host should do; mostly [`Error::Config`].
    fn open(settings: &Settings, positions: &[Position]) -> Result<(Self, Schemas), Error>;

    /// Gives the next records; nothing to give within `limits.wait` is no error.
    ///
    /// # Errors
    /// After an error, the input that this call took must be given again by the next.
    fn poll(&mut self, limits: Limits, out: &mut Polled) -> Result<(), Error>;
}

/// Holds the one instance of a component; made by [`export_source!`](crate::export_source).
#[derive(Debug)]
pub struct SourceGlue<S>(Option<S>);

impl<S: Source> SourceGlue<S> {
    /// No instance yet.
    pub const fn new() -> Self {
        SourceGlue(None)
    }

    /// The world's `open`.
    ///
    /// # Errors
    /// What [`Source::open`] gives.
    pub fn open(&mut self, settings: Vec<wit::Setting>, positions: Vec<Position>) -> Result<Schemas, wit::PluginError> {
        let (source, schemas) = S::open(&Settings::from(settings), &positions)?;
        self.0 = Some(source);
        Ok(schemas)
    }

    /// The world's `poll`.
    ///
    /// # Errors
    /// What [`Source::poll`] gives; a defect when the instance was not opened.
    pub fn poll(&mut self, limits: world::PollLimits) -> Result<world::Polled, wit::PluginError> {
        let source = self.0.as_mut().ok_or_else(|| Error::Bug("poll before open".to_owned()))?;
        let mut out = Polled::default();
        let limits = Limits {
            max_records: limits.max_records,
            max_bytes: limits.max_bytes,
            wait: Duration::from_millis(limits.wait_ms.into()),
        };
        source.poll(limits, &mut out)?;
        let rejects = out.rejects;
        Ok(world::Polled {
            records: out.records.take(),
            rejects: wit::Rejects {
                data: rejects.data,
                lens: rejects.lens,
                origins: rejects.origins,
                reasons: rejects.reasons,
                timestamps: rejects.timestamps,
            },
            skips: out.skips,
            positions: out.positions,
        })
    }

    /// The world's `close`.
    pub fn close(&mut self) {
        self.0 = None;
    }
}

impl<S: Source> Default for SourceGlue<S> {
    fn default() -> Self {
        Self::new()
    }
}

/// Exports a type that implements [`Source`] as this component's source.
#[macro_export]
macro_rules! export_source {
    ($source:ty) => {
        // A native linker refuses the names that a component exports.
        #[cfg(target_arch = "wasm32")]
        mod __component {
            use super::*;
            use $crate::bindings::source::connector::plugin::types::{PluginError, Position, Schemas, Setting};
            use $crate::bindings::source::exports::connector::plugin::source_task::{Guest, PollLimits, Polled};
            ::std::thread_local! {
                static INSTANCE: ::std::cell::RefCell<$crate::SourceGlue<$source>> =
                    const { ::std::cell::RefCell::new($crate::SourceGlue::new()) };
            }
            struct Component;
            impl Guest for Component {
                fn open(settings: Vec<Setting>, positions: Vec<Position>) -> Result<Schemas, PluginError> {
                    INSTANCE.with_borrow_mut(|instance| instance.open(settings, positions))
                }
                fn poll(limits: PollLimits) -> Result<Polled, PluginError> {
                    INSTANCE.with_borrow_mut(|instance| instance.poll(limits))
                }
                fn close() {
                    INSTANCE.with_borrow_mut(|instance| instance.close())
                }
            }
            $crate::bindings::source::export_source_world!(Component with_types_in $crate::bindings::source);
        }
    };
}

/// What brings state that another version of a source kept into this one's form. Any type of the crate will do.
pub trait Migrate {
    /// The state in this version's form. `written_by` is the version that wrote it, older or newer.
    ///
    /// # Errors
    /// [`Error::Config`]: it cannot be read, and this version does not start.
    fn migrate(written_by: &str, state: Vec<(String, Vec<u8>)>) -> Result<Vec<(String, Vec<u8>)>, Error>;
}

/// Exports a [`Migrate`] beside [`export_source!`](crate::export_source) or [`export_decoder!`](crate::export_decoder).
#[macro_export]
macro_rules! export_migration {
    ($migrate:ty) => {
        #[cfg(target_arch = "wasm32")]
        mod __migration {
            use super::*;
            use $crate::bindings::migrating::exports::connector::plugin::migration::{Guest, Kept};
            use $crate::bindings::source::connector::plugin::types::PluginError;
            struct Migration;
            impl Guest for Migration {
                fn migrate(written_by: String, state: Vec<Kept>) -> Result<Vec<Kept>, PluginError> {
                    let state = state.into_iter().map(|kept| (kept.key, kept.value)).collect();
                    let state = <$migrate as $crate::Migrate>::migrate(&written_by, state)?;
                    Ok(state.into_iter().map(|(key, value)| Kept { key, value }).collect())
                }
            }
            $crate::bindings::migrating::export_migrating_world!(Migration with_types_in $crate::bindings::migrating);
        }
    };
}
