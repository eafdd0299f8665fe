//! Plugins on disk: the manifest, the component file that carries it, who signed it, and the catalog of versions.

mod catalog;
mod contract;
mod manifest;
mod package;
mod reference;
mod signature;

pub use catalog::{Catalog, Entry, Kept};
pub use manifest::{CAPABILITIES, Manifest, OptionSpec, OptionType, PluginInfo, WORLDS, Want};
pub use package::{Package, embed_manifest};
pub use reference::PluginRef;
pub use signature::Signers;
