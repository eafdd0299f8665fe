//! A plugin made ready: compiled, linked to what is granted, checked. Instances of it are cheap.

use super::bindings::{ingest, layout, migrating, source, transform};
use super::engine::{Engines, Trust};
use super::ingest::WasmIngestion;
use super::layout::WasmLayout;
use super::source::WasmSource;
use super::state::{CallClock, Lent, State};
use super::transform::WasmTransform;
use crate::connector::Limits;
use crate::error::{Error, Result};
use crate::plugin::Package;
use std::sync::Arc;
use wasmtime::Store;
use wasmtime::component::{HasSelf, InstancePre, Linker};

/// A plugin from which instances are made. Clones share the compiled code.
#[derive(Clone)]
pub struct LoadedPlugin {
    pre: InstancePre<State>,
    limits: Limits,
    label: String,
    version: String,
    migrates: bool,
    grants: Arc<[String]>,
}

impl LoadedPlugin {
    /// Compiles a package (or takes it from the cache) and links it to what `grants` names.
    ///
    /// # Errors
    /// Class Deny when it imports what is not granted, with the line to add; class Config when it
    /// does not fit its world.
    pub fn load(engines: &Engines, package: &Package, trust: Trust, limits: Limits, grants: &[String]) -> Result<Self> {
        let label = package.label();
        for want in package.manifest.wants.iter().filter(|want| !want.optional) {
            if !grants.contains(&want.capability) {
                let (capability, why) = (&want.capability, &want.why);
                let granted: Vec<String> =
                    grants.iter().chain([capability]).map(|grant| format!("\"{grant}\"")).collect();
                return Err(Error::deny(format!(
                    "plugin `{label}` wants `{capability}` ({why}), which the connector's configuration does not grant"
                ))
                .with_hint(format!("to grant it, add `grants = [{}]` to the connector", granted.join(", "))));
            }
        }
        let component = engines.component(package, trust)?;
        let engine = engines.get(trust)?;
        let link = || -> wasmtime::Result<InstancePre<State>> {
            let mut linker = Linker::new(engine);
            wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
            source::connector::host::log::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
            if package.manifest.plugin.world == "source" {
                // All are linked: what is wanted as optional and not granted is not lent, and says so when it is called.
                source::connector::host::feed::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
                source::connector::host::files::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
                source::connector::host::geoip::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
                source::connector::host::http::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
                source::connector::host::state::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
            }
            linker.instantiate_pre(&component)
        };
        let pre = link().map_err(|error| Error::config(format!("plugin `{label}`: linking: {error:#}")))?;
        let version = package.manifest.plugin.version.clone();
        Ok(LoadedPlugin { pre, limits, label, version, migrates: package.migrates(), grants: grants.into() })
    }

    /// A new source instance.
    ///
    /// # Errors
    /// Class Bug when it cannot be instantiated; class Config when it is no source.
    pub fn source(&self, lent: Lent) -> Result<WasmSource> {
        let misfit = |error| self.misfit("source", &error);
        let world = source::SourceIndices::new(&self.pre).map_err(misfit)?;
        let migrating =
            self.migrates.then(|| migrating::MigratingIndices::new(&self.pre)).transpose().map_err(misfit)?;
        let (mut store, instance, clock) =
            self.instance(lent, async |store| self.pre.instantiate_async(store).await)?;
        let world = world.load(&mut store, &instance).map_err(misfit)?;
        let migrating = migrating.map(|indices| indices.load(&mut store, &instance)).transpose().map_err(misfit)?;
        Ok(WasmSource::new(store, (world, migrating), clock, &self.version))
    }

    /// A new transform instance.
    ///
    /// # Errors
    /// As for [`LoadedPlugin::source`].
    pub fn transform(&self, lent: Lent) -> Result<WasmTransform> {
        let pre = transform::TransformPre::new(self.pre.clone()).map_err(|error| self.misfit("transform", &error))?;
        let (store, instance, clock) = self.instance(lent, async |store| pre.instantiate_async(store).await)?;
        Ok(WasmTransform::new(store, instance, clock))
    }

    /// A new layout instance.
    ///
    /// # Errors
    /// As for [`LoadedPlugin::source`].
    pub fn layout(&self, lent: Lent) -> Result<WasmLayout> {
        let pre = layout::LayoutPre::new(self.pre.clone()).map_err(|error| self.misfit("layout", &error))?;
        let (store, instance, clock) = self.instance(lent, async |store| pre.instantiate_async(store).await)?;
        Ok(WasmLayout::new(store, instance, clock))
    }

    /// A new ingestion instance.
    ///
    /// # Errors
    /// As for [`LoadedPlugin::source`].
    pub fn ingestion(&self, lent: Lent) -> Result<WasmIngestion> {
        let pre = ingest::IngestPre::new(self.pre.clone()).map_err(|error| self.misfit("ingest", &error))?;
        let (store, instance, clock) = self.instance(lent, async |store| pre.instantiate_async(store).await)?;
        Ok(WasmIngestion::new(store, instance, clock))
    }

    fn instance<T>(
        &self,
        lent: Lent,
        instantiate: impl AsyncFnOnce(&mut Store<State>) -> wasmtime::Result<T>,
    ) -> Result<(Store<State>, T, CallClock)> {
        let mut store = State::store(self.pre.engine(), lent, self.limits, &self.label, &self.grants);
        let clock = CallClock::new()?;
        store.data_mut().begin_call();
        match clock.drive(self.limits.wall, instantiate(&mut store)) {
            Ok(instance) => Ok((store, instance, clock)),
            Err(error) => Err(store.data().explain("instantiate", &error)),
        }
    }

    fn misfit(&self, world: &str, error: &wasmtime::Error) -> Error {
        Error::config(format!("plugin `{}` does not fit world `{world}`: {error:#}", self.label))
    }
}
