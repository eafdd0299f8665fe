//! Write plugins for the connector host in Rust.
//!
//! A plugin is a crate with `crate-type = ["cdylib", "rlib"]`, a `plugin.toml` beside its
//! `Cargo.toml`, and one of these:
//!
//! - [`Decoder`] and [`export_decoder!`]: a source that turns frames of a feed into records;
//! - [`Source`] and [`export_source!`]: a source with its own way of getting input;
//! - [`Transform`] and [`export_transform!`]: records in, records out;
//! - [`Layout`] and [`export_layout!`]: where a spool keeps its files and what they are called;
//! - [`Ingestion`] and [`export_ingestion!`]: the words in which an indexing service is told what
//!   to load, with the types in [`ingest`].
//!
//! `host plugin build DIR` makes the component. The same crate compiles natively, where the
//! host's lent interfaces are answered by [`fake`], so that logic is tested with `cargo test`.

mod batch;
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::indexing_slicing)]
pub mod bindings;
pub mod calendar;
mod decoder;
mod error;
pub mod fake;
pub mod files;
pub mod geoip;
pub mod http;
pub mod ingest;
mod layout;
pub mod log;
mod settings;
mod source;
pub mod state;
mod transform;

pub use batch::{BatchBuilder, OwnedRecord, Record, RecordBuilder, Records};
pub use bindings::layout::exports::connector::plugin::spool_layout::{Identity, Place, Plan, Rotation, Tree};
pub use bindings::source::connector::plugin::types::{Position, Schemas};
pub use decoder::{DecodedSource, Decoder, Frame, Outcome};
pub use error::Error;
pub use ingest::{Ingestion, IngestionGlue};
pub use layout::{Layout, LayoutGlue};
pub use settings::Settings;
pub use source::Migrate;
pub use source::{Limits, Polled, Source, SourceGlue};
pub use transform::{Transform, TransformGlue, Transformed};
