//! Transforms: the trait, and the glue to the world `transform`.

use crate::bindings::source::connector::plugin::types as wit;
use crate::bindings::transform::exports::connector::plugin::transformation as world;
use crate::source::count_skip;
use crate::{BatchBuilder, Error, Record, Records, Schemas, Settings};

/// What became of a batch; filled record by record.
#[derive(Debug, Default)]
pub struct Transformed {
    /// Records, in order.
    pub records: BatchBuilder,
    current: u32,
    reject_indexes: Vec<u32>,
    reject_reasons: Vec<String>,
    skips: Vec<wit::Skip>,
}

impl Transformed {
    /// Hands back the current record as one that can never be transformed: the host keeps it as
    /// a dead letter. Append nothing for it.
    pub fn reject(&mut self, reason: String) {
        self.reject_indexes.push(self.current);
        self.reject_reasons.push(reason);
    }

    /// Counts the current record as left out on purpose.
    pub fn skip(&mut self, reason: &'static str) {
        count_skip(&mut self.skips, reason);
    }
}

/// Changes records one after another.
pub trait Transform: Sized {
    /// Prepares an instance; returns it with what its output will be, given its input's schemas.
    ///
    /// # Errors
    /// Mostly [`Error::Config`].
    fn open(settings: &Settings, input: Schemas) -> Result<(Self, Schemas), Error>;

    /// Appends what `record` becomes to `out.records`, or rejects or skips it.
    ///
    /// # Errors
    /// An error takes back the whole batch; the host gives it again.
    fn transform(&mut self, record: &Record<'_>, out: &mut Transformed) -> Result<(), Error>;
}

/// Holds the one instance of a component; made by [`export_transform!`](crate::export_transform).
#[derive(Debug)]
pub struct TransformGlue<T>(Option<T>);

impl<T: Transform> TransformGlue<T> {
    /// No instance yet.
    pub const fn new() -> Self {
        TransformGlue(None)
    }

    /// The world's `open`.
    ///
    /// # Errors
    /// What [`Transform::open`] gives.
    pub fn open(&mut self, settings: Vec<wit::Setting>, input: Schemas) -> Result<Schemas, wit::PluginError> {
        let (transform, schemas) = T::open(&Settings::from(settings), input)?;
        self.0 = Some(transform);
        Ok(schemas)
    }

    /// The world's `transform`.
    ///
    /// # Errors
    /// What [`Transform::transform`] gives; a defect when not opened or the batch is not sound.
    pub fn transform(&mut self, input: &wit::Batch) -> Result<world::Transformed, wit::PluginError> {
        let transform = self.0.as_mut().ok_or_else(|| Error::Bug("transform before open".to_owned()))?;
        let records = BatchBuilder::with_capacity(input.value_lens.len(), input.data.len());
        let mut out = Transformed { records, ..Transformed::default() };
        for record in Records::try_new(input)? {
            transform.transform(&record, &mut out)?;
            out.current += 1;
        }
        Ok(world::Transformed {
            records: out.records.take(),
            reject_indexes: out.reject_indexes,
            reject_reasons: out.reject_reasons,
            skips: out.skips,
        })
    }
}

impl<T: Transform> Default for TransformGlue<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Exports a type that implements [`Transform`] as this component's transform.
#[macro_export]
macro_rules! export_transform {
    ($transform:ty) => {
        // A native linker refuses the names that a component exports.
        #[cfg(target_arch = "wasm32")]
        mod __component {
            use super::*;
            use $crate::bindings::source::connector::plugin::types::{Batch, PluginError, Schemas, Setting};
            use $crate::bindings::transform::exports::connector::plugin::transformation::{Guest, Transformed};
            ::std::thread_local! {
                static INSTANCE: ::std::cell::RefCell<$crate::TransformGlue<$transform>> =
                    const { ::std::cell::RefCell::new($crate::TransformGlue::new()) };
            }
            struct Component;
            impl Guest for Component {
                fn open(settings: Vec<Setting>, input: Schemas) -> Result<Schemas, PluginError> {
                    INSTANCE.with_borrow_mut(|instance| instance.open(settings, input))
                }
                fn transform(input: Batch) -> Result<Transformed, PluginError> {
                    INSTANCE.with_borrow_mut(|instance| instance.transform(&input))
                }
            }
            $crate::bindings::transform::export_transform_world!(Component with_types_in $crate::bindings::transform);
        }
    };
}
