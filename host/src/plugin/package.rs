//! A component file: what its bytes say about themselves, read without compiling or running them.
//!
//! `host plugin build` appends `plugin.toml` to the component as a custom section, so that one file
//! is the whole plugin in any language.

use super::contract;
use super::manifest::Manifest;
use super::signature::{self, Signature};
use crate::error::{Error, OrError, Result};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use wasm_encoder::{Encode, Section};
use wasmparser::{Encoding, Parser, Payload};

/// Name of the custom section that holds `plugin.toml`.
const SECTION: &str = "connector:plugin.toml";
/// A component larger than this is refused before it is read: a JavaScript engine is 12 MB.
const MAX_BYTES: u64 = 256 << 20;

/// A plugin file, read and checked.
#[derive(Debug, Clone)]
pub struct Package {
    /// Where it was read from.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// SHA-256 of them, lower case hexadecimal.
    pub digest: String,
    /// Its manifest.
    pub manifest: Manifest,
    /// Interfaces it imports, with versions.
    pub imports: Vec<String>,
    /// Interfaces it exports, with versions.
    pub exports: Vec<String>,
    /// Who signed it, each what was before the signature; nobody has checked them yet.
    pub(super) signatures: Vec<Signature>,
}

impl Package {
    /// Reads a plugin file and checks that this host can serve it: a component, of a known world
    /// and version, with a manifest that asks for what it imports.
    ///
    /// # Errors
    /// Class Config, naming the file, what was found and what was expected; class Deny when it
    /// imports what its manifest does not ask for.
    pub fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let attempt = format!("plugin `{shown}`");
        let size = std::fs::metadata(path).or_config(&attempt)?.len();
        if size > MAX_BYTES {
            return Err(Error::config(format!("{attempt} has {size} bytes, expected at most {MAX_BYTES}")));
        }
        let bytes = std::fs::read(path).or_config(&attempt)?;
        Self::from_bytes(path, bytes).map_err(|error| error.context(attempt))
    }

    /// Checks the bytes of a plugin file that came from `path`.
    ///
    /// # Errors
    /// As for [`Package::read`].
    pub fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        let package = Self::unchecked(path, bytes)?;
        contract::check(&package.manifest, &package.imports, &package.exports)?;
        Ok(package)
    }

    /// What is in a file, whether this host can serve it or not.
    pub(super) fn unchecked(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        let mut parts = scan(&bytes)?;
        let text = parts.manifest.take().ok_or_else(|| {
            Error::config(format!("the component has no section `{SECTION}`"))
                .with_hint("build it with `host plugin build DIR`, which puts plugin.toml into it")
        })?;
        let manifest = Manifest::parse(&text, "plugin.toml")?;
        let digest = hex(&Sha256::digest(&bytes));
        let (path, Parts { imports, exports, signatures, .. }) = (path.to_owned(), parts);
        Ok(Package { path, bytes, digest, manifest, imports, exports, signatures })
    }

    /// Whether it brings kept state from another version's form into its own.
    pub fn migrates(&self) -> bool {
        contract::migrates(&self.exports)
    }

    /// `name@version`.
    pub fn label(&self) -> String {
        format!("{}@{}", self.manifest.plugin.name, self.manifest.plugin.version)
    }
}

/// Appends the manifest to a component that has none.
///
/// # Errors
/// Class Config when the bytes are no component, or hold a manifest already.
pub fn embed_manifest(mut component: Vec<u8>, manifest: &str) -> Result<Vec<u8>> {
    if scan(&component)?.manifest.is_some() {
        return Err(Error::config(format!("the component has a section `{SECTION}` already")));
    }
    append(&mut component, SECTION, manifest.as_bytes());
    Ok(component)
}

/// Appends a custom section.
pub(super) fn append(component: &mut Vec<u8>, name: &str, data: &[u8]) {
    let section = wasm_encoder::CustomSection { name: name.into(), data: data.into() };
    component.push(section.id());
    section.encode(component);
}

#[derive(Default)]
struct Parts {
    manifest: Option<String>,
    imports: Vec<String>,
    exports: Vec<String>,
    signatures: Vec<Signature>,
}

fn scan(bytes: &[u8]) -> Result<Parts> {
    let mut parts = Parts::default();
    let mut depth = 0usize;
    if !bytes.starts_with(b"\0asm") {
        let found = String::from_utf8_lossy(bytes.get(..4).unwrap_or(bytes)).escape_debug().to_string();
        return Err(Error::config(format!("no WebAssembly: the file begins with `{found}`, expected `\\0asm`")));
    }
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.or_config("not a sound component")? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                return Err(Error::config("a core module, expected a component")
                    .with_hint("build it for wasm32-wasip2, or with `host plugin build DIR`"));
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CustomSection(section) if depth == 0 && section.name() == SECTION => {
                if parts.manifest.is_some() {
                    return Err(Error::config(format!("the component has two sections `{SECTION}`, expected one")));
                }
                parts.manifest = Some(String::from_utf8_lossy(section.data()).into_owned());
            }
            Payload::CustomSection(section) if depth == 0 && section.name() == signature::SECTION => {
                parts.signatures.push(Signature::parse(section.data(), section.range())?);
            }
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    parts.imports.push(import.or_config("not a sound component")?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    parts.exports.push(export.or_config("not a sound component")?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(parts)
}

/// Lower case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(bytes: &[u8]) -> String {
        Package::from_bytes(Path::new("x.wasm"), bytes.to_vec()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_plugin_is_told_what_it_is() {
        assert!(error_of(b"#!/bin/sh").contains("begins with `#!/b`, expected `\\0asm`"));
        let module = wasm_encoder::Module::new().finish();
        assert_eq!(error_of(&module), "a core module, expected a component");
        let component = wasm_encoder::Component::new().finish();
        assert_eq!(error_of(&component), format!("the component has no section `{SECTION}`"));
        let mut cut = component.clone();
        cut.extend([0, 200]);
        assert!(error_of(&cut).starts_with("not a sound component: "), "{}", error_of(&cut));
    }

    #[test]
    fn a_component_of_another_world_is_refused() {
        let manifest = "[plugin]\nname = \"x\"\nversion = \"1.0.0\"\nworld = \"source\"\n";
        let bytes = embed_manifest(wasm_encoder::Component::new().finish(), manifest).unwrap();
        let expected = "the component exports `nothing`, expected `connector:plugin/source-task@0.1.1`";
        assert_eq!(error_of(&bytes), expected);
        assert!(embed_manifest(bytes, manifest).is_err());
    }
}
