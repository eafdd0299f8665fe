//! Building plugins: a crate in, a component with its manifest out.
//!
//! Three ways to a compiler for wasm32-wasip2, tried in this order, each said aloud:
//! 1. the target that rustup has installed;
//! 2. `rustup target add`;
//! 3. a private Debian 13 toolchain in the user's cache folder (Debian machines only).
//!
//! Nothing outside that cache folder and the crate's target folder is written.

mod cargo;
mod debian;

use crate::error::{Error, OrError, Result};
use crate::plugin::{Manifest, Package, embed_manifest};
use cargo::Compiler;
use std::path::{Path, PathBuf};

/// The target of components.
pub const TARGET: &str = "wasm32-wasip2";

/// Where a build says what it is doing; one line a step.
pub type Progress<'a> = &'a (dyn Fn(&str) + Sync);

/// Compiles the plugin crate in `dir` and writes the component to `output`, or beside the crate as
/// `NAME.wasm` when none is given. Returns the path written.
///
/// # Errors
/// Class Config: no crate, no or a wrong manifest, the compiler's own errors, or none of the three
/// ways to a compiler works (all three are named).
pub fn build(dir: &Path, output: Option<&Path>, progress: Progress<'_>) -> Result<PathBuf> {
    let shown = dir.display();
    let manifest_path = dir.join("plugin.toml");
    let manifest_text = std::fs::read_to_string(&manifest_path)
        .or_config(format!("plugin folder `{shown}`: `plugin.toml`"))
        .map_err(|e| e.with_hint("a plugin folder holds Cargo.toml and plugin.toml; see plugins/README.md"))?;
    let manifest = Manifest::parse(&manifest_text, &manifest_path.display().to_string())?;
    let compiler = find_compiler(progress)?;
    progress(&format!("compiling `{}` with {}", manifest.plugin.name, compiler.describe()));
    let component = cargo::compile(dir, &compiler)?;
    let bytes = std::fs::read(&component).or_config(format!("component `{}`", component.display()))?;
    let bytes = embed_manifest(bytes, &manifest_text)?;
    let output = output.map_or_else(|| dir.join(format!("{}.wasm", manifest.plugin.name)), Path::to_owned);
    write_whole(&output, &bytes)?;
    Package::read(&output)?;
    Ok(output)
}

/// Builds a plugin unless its component is newer than every source it was made from.
///
/// # Errors
/// As [`build`].
pub fn build_if_needed(dir: &Path, output: &Path, progress: Progress<'_>) -> Result<PathBuf> {
    let root = cargo::workspace_root(dir);
    let wit = root.parent().map(|parent| parent.join("wit"));
    let built = std::fs::metadata(output).and_then(|meta| meta.modified()).ok();
    let newest = [Some(root), wit].into_iter().flatten().filter_map(|path| newest_source(&path)).max();
    match (built, newest) {
        (Some(built), Some(newest)) if built > newest && Package::read(output).is_ok() => Ok(output.to_owned()),
        _ => build(dir, Some(output), progress),
    }
}

/// When the newest source below `dir` was changed; build output is not a source.
fn newest_source(dir: &Path) -> Option<std::time::SystemTime> {
    let entries = std::fs::read_dir(dir).ok()?;
    let times = entries.flatten().filter_map(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let kind = entry.file_type().ok()?;
        if kind.is_dir() {
            (name != "target" && name != "tests").then(|| newest_source(&entry.path())).flatten()
        } else {
            let is_source = [".rs", ".toml", ".wit", ".lock"].iter().any(|ending| name.ends_with(ending));
            is_source.then(|| entry.metadata().and_then(|meta| meta.modified()).ok()).flatten()
        }
    });
    times.max()
}

fn find_compiler(progress: Progress<'_>) -> Result<Compiler> {
    let linker_dir = cargo::linker_dir()?;
    if cargo::target_installed() {
        return Ok(Compiler::Installed);
    }
    progress(&format!("target {TARGET} is not installed, trying `rustup target add {TARGET}`"));
    let by_rustup = match cargo::rustup_target_add() {
        Ok(()) => return Ok(Compiler::Installed),
        Err(reason) => reason,
    };
    progress(&format!("rustup cannot ({by_rustup}), trying Debian 13's compiler in a cache folder"));
    match debian::toolchain(progress) {
        Ok(rustc) => Ok(Compiler::Debian { rustc, linker_dir }),
        Err(by_debian) => Err(Error::config(format!(
            "no compiler for {TARGET}: (1) the target is not installed; (2) `rustup target add {TARGET}`: {by_rustup}; \
             (3) Debian 13 toolchain: {by_debian}"
        ))
        .with_hint(format!("with access to Rust's download server, `rustup target add {TARGET}` is all it takes"))),
    }
}

/// Writes beside the target and renames, so that nobody sees half a component.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let attempt = format!("component `{}`", path.display());
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).or_config(&attempt)?;
    }
    let aside = path.with_extension(format!("{}.tmp", std::process::id()));
    std::fs::write(&aside, bytes).or_config(&attempt)?;
    std::fs::rename(&aside, path).or_config(&attempt)
}
