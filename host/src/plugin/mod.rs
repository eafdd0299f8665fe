//! Plugins on disk: the manifest, and the component file that carries it.

mod manifest;
mod package;

pub use manifest::{Manifest, OptionSpec, OptionType, PluginInfo, WORLDS, Want};
pub use package::{Package, embed_manifest};
