//! Engines: one with interruption points for plugins nobody vouches for, one without for
//! connectors that the operator marked `trusted`. And the cache of compiled components.

use crate::connector::Limits;
use crate::error::{Error, OrError, Result};
use crate::plugin::Package;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use wasmtime::component::Component;
use wasmtime::{Config, Engine, Inlining};

/// How far the operator trusts a connector's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trust {
    /// CPU time is limited; costs 22 to 39 % of guest time on parsing code.
    Limited,
    /// No CPU limit; memory, output and grants stay limited.
    Trusted,
}

/// Both engines, made when first needed. Clones share them.
#[derive(Debug, Clone)]
pub struct Engines {
    limited: Arc<OnceLock<Engine>>,
    trusted: Arc<OnceLock<Engine>>,
    cache: Option<PathBuf>,
}

impl Engines {
    /// Engines that keep compiled components below the user's cache folder, where there is one.
    pub fn new() -> Self {
        let cache = dirs::cache_dir().map(|dir| dir.join("connector-host").join("components"));
        Engines { limited: Arc::default(), trusted: Arc::default(), cache }
    }

    /// Engines that keep nothing.
    pub fn without_cache() -> Self {
        Engines { cache: None, ..Self::new() }
    }

    pub(super) fn get(&self, trust: Trust) -> Result<&Engine> {
        let cell = match trust {
            Trust::Limited => &self.limited,
            Trust::Trusted => &self.trusted,
        };
        if let Some(engine) = cell.get() {
            return Ok(engine);
        }
        let engine = Engine::new(&settings(trust)).or_bug("making the WebAssembly engine")?;
        let engine = cell.get_or_init(|| {
            if trust == Trust::Limited {
                start_ticker(&engine);
            }
            engine
        });
        Ok(engine)
    }

    /// The component of a package, from the cache or compiled now.
    pub(super) fn component(&self, package: &Package, trust: Trust) -> Result<Component> {
        let engine = self.get(trust)?;
        let cached = self.cache.as_ref().map(|cache| cache.join(cache_name(engine, package)));
        if let Some(component) = cached.as_deref().and_then(|path| load_cached(engine, path)) {
            return Ok(component);
        }
        tracing::info!(plugin = package.label(), bytes = package.bytes.len(), "compiling component");
        let component = Component::new(engine, &package.bytes)
            .map_err(|error| Error::config(format!("plugin `{}`: compiling: {error:#}", package.path.display())))?;
        if let Some(path) = cached {
            // Without the cache the next start takes a second longer, and nothing else.
            if let Err(error) = store_cached(&component, &path) {
                tracing::warn!(%error, "cannot keep the compiled component");
            }
        }
        Ok(component)
    }
}

impl Default for Engines {
    fn default() -> Self {
        Self::new()
    }
}

fn settings(trust: Trust) -> Config {
    let mut config = Config::new();
    // No streams or WASI 0.3 here; with it on, each call costs three times as much.
    config.concurrency_support(false);
    config.compiler_inlining(Inlining::Yes);
    config.epoch_interruption(trust == Trust::Limited);
    config
}

/// Counts the engine's epoch up until the engine is gone.
fn start_ticker(engine: &Engine) {
    let weak = engine.weak();
    let ticker = std::thread::Builder::new().name("epoch-ticker".to_owned()).spawn(move || {
        while let Some(engine) = weak.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(Limits::TICK);
        }
    });
    if let Err(error) = ticker {
        tracing::error!(%error, "cannot start the epoch ticker: CPU limits are not enforced");
    }
}

/// Digest of the component and everything the compiled form depends on.
fn cache_name(engine: &Engine, package: &Package) -> String {
    let mut hasher = std::hash::DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{}-{:016x}.cwasm", package.digest, hasher.finish())
}

/// Loads a compiled component that this user's host wrote; anything odd is compiled anew.
#[allow(unsafe_code)]
fn load_cached(engine: &Engine, path: &Path) -> Option<Component> {
    use std::os::unix::fs::MetadataExt;
    let folder = std::fs::metadata(path.parent()?).ok()?;
    let file = std::fs::symlink_metadata(path).ok()?;
    let home = std::fs::metadata(dirs::home_dir()?).ok()?;
    let private = |meta: &std::fs::Metadata| meta.uid() == home.uid() && meta.mode() & 0o022 == 0;
    if !private(&folder) || !private(&file) || !file.is_file() {
        return None;
    }
    // SAFETY: the file's name holds the digest of its source and of the engine's settings, it was
    // written whole and renamed, and only this user can write it or its folder.
    unsafe { Component::deserialize_file(engine, path) }.ok()
}

fn store_cached(component: &Component, path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let attempt = format!("compiled component `{}`", path.display());
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).or_retry(&attempt)?;
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o700)).or_retry(&attempt)?;
    let bytes = component.serialize().or_retry(&attempt)?;
    let aside = path.with_extension(format!("{}.tmp", std::process::id()));
    std::fs::write(&aside, bytes).or_retry(&attempt)?;
    std::fs::set_permissions(&aside, PermissionsExt::from_mode(0o600)).or_retry(&attempt)?;
    std::fs::rename(&aside, path).or_retry(&attempt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// The smallest component there is.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }

    #[test]
    fn compiled_code_is_loaded_only_from_files_that_nobody_else_can_write() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, engines) = (dir.path().join("components"), Engines::without_cache());
        let (path, engine) = (folder.join("x.cwasm"), engines.get(Trust::Limited).unwrap());
        let compiled = Component::new(engine, EMPTY).unwrap();
        store_cached(&compiled, &path).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&path)), (0o700, 0o600));
        assert!(load_cached(engine, &path).is_some());
        for (open, private) in [(&path, 0o600), (&folder, 0o700)] {
            for mode in [private | 0o020, private | 0o002] {
                set_mode(open, mode);
                assert!(load_cached(engine, &path).is_none(), "{} {mode:o}", open.display());
            }
            set_mode(open, private);
        }
        assert!(load_cached(engine, &path).is_some());
        let link = folder.join("link.cwasm");
        symlink(&path, &link).unwrap();
        assert!(load_cached(engine, &link).is_none(), "a link may lead to anybody's file");
        // Another engine's settings are another name, and another file.
        assert!(load_cached(engines.get(Trust::Trusted).unwrap(), &path).is_none());
        std::fs::write(&path, b"no machine code").unwrap();
        assert!(load_cached(engine, &path).is_none());
    }
}
