//! The only room that knows Wasmtime: compiling components, running instances, lending what is
//! granted. To the rest of the host an instance is a [`Source`](crate::connector::Source), a
//! [`Transform`](crate::connector::Transform), a [`Layout`](crate::connector::Layout) or an
//! [`Ingestion`](crate::connector::Ingestion).
//!
//! One instance, one thread: a call blocks that thread, and so do host functions; only the clock that
//! ends a call is asynchronous. An instance is dropped after a trap; it is never called again.

#[allow(missing_docs, clippy::all, clippy::indexing_slicing, unreachable_pub)]
mod bindings;
mod engine;
mod imports;
mod ingest;
mod kept;
mod layout;
mod meter;
mod plugin;
mod sandbox;
mod source;
mod state;
mod transform;

pub use engine::{Engines, Trust};
pub use ingest::WasmIngestion;
pub use layout::WasmLayout;
pub use plugin::LoadedPlugin;
pub use source::WasmSource;
pub use state::{Lent, LentFiles};
pub use transform::WasmTransform;
