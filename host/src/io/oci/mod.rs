//! Plugins in OCI registries: one component is one artifact, laid out as the CNCF's guide for WebAssembly says
//! and as `wkg` and its kin do: a configuration of [`CONFIG_TYPE`] and one layer of [`LAYER_TYPE`].
//!
//! What is pulled is checked: the manifest against the digest that a reference is pinned to, the layer against
//! the manifest. Whether it is a plugin is for the plugin room to say. The layer is bounded in bytes; manifests,
//! tokens and errors only in time, because the library reads them whole.
//!
//! The commands that call this wait for it, in threads outside any runtime. A crypto provider for TLS must have
//! been installed for the process. Proxies are those that the environment names.

mod client;
mod reference;
#[cfg(test)]
mod tests;

pub use reference::Reference;

use crate::error::{Error, OrError, Result};
use crate::secret::Secret;
use client::{Registry, shown};
use oci_client::RegistryOperation;
use oci_client::manifest::{OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use tokio::runtime::Handle;

/// Media type of the configuration, which makes a manifest that of a WebAssembly artifact.
pub const CONFIG_TYPE: &str = "application/vnd.wasm.config.v0+json";
/// Media type of the layer that is the component.
pub const LAYER_TYPE: &str = "application/wasm";

/// How a registry is reached.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// User name; none for registries that anybody may read. Goes with the password.
    pub username: Option<String>,
    /// Password, or a token that the registry takes for one.
    pub password: Option<Secret>,
    /// Without TLS. A registry on this machine is reached so by itself, unless a file of certificates is named.
    pub plain_http: bool,
    /// PEM file of the certificates to trust, instead of those of the system.
    pub ca_file: Option<PathBuf>,
}

/// What a registry had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The component's bytes.
    pub bytes: Vec<u8>,
    /// Digest of the manifest, `sha256:…`: what a reference can be pinned to.
    pub manifest_digest: String,
    /// Digest of the bytes, `sha256:…`.
    pub layer_digest: String,
}

/// What a registry has now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// Digest of the manifest, `sha256:…`. The same component with the same description has the same one.
    pub manifest_digest: String,
    /// What was pushed, tag and digest: whoever pulls this gets these bytes or none.
    pub reference: Reference,
}

/// What people and indexes are told about a component. An empty text is left out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Description<'a> {
    /// Its name.
    pub title: &'a str,
    /// Its version.
    pub version: &'a str,
    /// One line.
    pub description: &'a str,
    /// Interfaces it imports, with versions.
    pub imports: &'a [String],
    /// Interfaces it exports, with versions.
    pub exports: &'a [String],
}

/// How long a registry is waited for.
#[derive(Debug, Clone, Copy)]
struct Patience {
    dial: Duration,
    /// Longest silence, of which storing 4 MB is one: that is how much the library sends at once.
    silence: Duration,
    whole: Duration,
}

/// 256 MB at 4 Mbit/s take nine minutes.
const PATIENCE: Patience =
    Patience { dial: Duration::from_secs(10), silence: Duration::from_secs(60), whole: Duration::from_secs(15 * 60) };

/// Fetches the component that `reference` names, of `max_bytes` at most.
///
/// # Errors
/// Class Config: not found, not for this user, not what the reference is pinned to, no WebAssembly artifact, too
/// large, or altered on the way. Class Retry: the registry cannot be reached, breaks off, or takes too long.
pub fn pull(runtime: &Handle, reference: &Reference, access: &Access, max_bytes: usize) -> Result<Pulled> {
    pull_within(PATIENCE, runtime, reference, access, max_bytes)
}

fn pull_within(
    patience: Patience,
    runtime: &Handle,
    reference: &Reference,
    access: &Access,
    max_bytes: usize,
) -> Result<Pulled> {
    let attempt = format!("pulling `{reference}`");
    let registry = Registry::new(reference, access, &patience).map_err(|error| error.context(&attempt))?;
    let pinned = reference.digest().map(ToOwned::to_owned);
    run(runtime, &attempt, patience.whole, async move {
        registry.sign_in(RegistryOperation::Pull).await?;
        let manifest = registry.manifest().await?;
        let manifest_digest = digest(&manifest);
        // The library has compared them; a pin is what the operator relies on, so not on the library alone.
        if let Some(pinned) = pinned.filter(|pinned| *pinned != manifest_digest) {
            return Err(Error::config(format!("what the registry sends is `{manifest_digest}`, expected `{pinned}`")));
        }
        let layer =
            component_layer(&manifest).map_err(|error| error.context(format!("manifest `{manifest_digest}`")))?;
        let attempt = format!("layer `{}`", shown(&layer.digest));
        let size = usize::try_from(layer.size).ok().filter(|size| *size <= max_bytes);
        let size = size.ok_or_else(|| {
            Error::config(format!("{attempt} has {} bytes, expected at most {max_bytes}", layer.size))
        })?;
        let bytes = registry.layer(&layer, size).await.map_err(|error| error.context(attempt))?;
        Ok(Pulled { bytes, manifest_digest, layer_digest: layer.digest })
    })
}

/// Stores a component under the tag of `reference`, which it is taken from whatever had it before.
///
/// # Errors
/// Class Config: the reference has a digest or no tag, or the registry refuses. Class Retry: it cannot be reached,
/// or takes too long; the tag may have moved or not.
pub fn push(
    runtime: &Handle,
    reference: &Reference,
    access: &Access,
    component: Vec<u8>,
    description: &Description<'_>,
) -> Result<Pushed> {
    let attempt = format!("pushing `{reference}`");
    if reference.digest().is_some() {
        return Err(Error::config(format!("{attempt}: expected a tag and no digest, which is only known afterwards")));
    }
    let registry = Registry::new(reference, access, &PATIENCE).map_err(|error| error.context(&attempt))?;
    let layer = descriptor(LAYER_TYPE, &component)?;
    let config = configuration(&layer.digest, description);
    let manifest = OciImageManifest {
        media_type: Some(OCI_IMAGE_MEDIA_TYPE.to_owned()),
        config: descriptor(CONFIG_TYPE, &config)?,
        layers: vec![layer.clone()],
        annotations: annotations(description),
        ..OciImageManifest::default()
    };
    let config_digest = manifest.config.digest.clone();
    let manifest = serde_json::to_vec(&manifest).or_bug(&attempt)?;
    let manifest_digest = digest(&manifest);
    run(runtime, &attempt, PATIENCE.whole, async move {
        registry.sign_in(RegistryOperation::Push).await?;
        registry.store(component.into(), &layer.digest).await?;
        registry.store(config.into(), &config_digest).await?;
        // Last, so that whoever can see the tag can have what it names.
        registry.tag(manifest.into()).await
    })?;
    Ok(Pushed { reference: reference.pinned(&manifest_digest), manifest_digest })
}

/// Waits for `work`, in a task of its own: the library panics at some answers that no sound registry gives.
fn run<T: Send + 'static>(
    runtime: &Handle,
    attempt: &str,
    whole: Duration,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let task = runtime.spawn(async move { tokio::time::timeout(whole, work).await });
    match runtime.block_on(task) {
        Ok(Ok(done)) => done.map_err(|error| error.context(attempt)),
        Ok(Err(_)) => Err(Error::retry(format!("{attempt}: not done after {} s", whole.as_secs_f32()))),
        Err(_) => Err(Error::bug(format!("{attempt}: the client library fails at an answer of the registry"))),
    }
}

/// The one layer of a WebAssembly artifact.
fn component_layer(manifest: &[u8]) -> Result<OciDescriptor> {
    let shape: Value = serde_json::from_slice(manifest).or_config("no JSON")?;
    // What has no media type is of the one kind that need not have one.
    let kind = shape.get("mediaType").and_then(Value::as_str).unwrap_or(OCI_IMAGE_MEDIA_TYPE);
    if kind != OCI_IMAGE_MEDIA_TYPE {
        return Err(Error::config(format!("no WebAssembly artifact: a `{}`, expected one component", shown(kind))));
    }
    let manifest: OciImageManifest = serde_json::from_value(shape).or_config("no manifest")?;
    let found = &manifest.config.media_type;
    if found != CONFIG_TYPE {
        let found = shown(found);
        return Err(Error::config(format!(
            "no WebAssembly artifact: its config is `{found}`, expected `{CONFIG_TYPE}`"
        )));
    }
    match <[OciDescriptor; 1]>::try_from(manifest.layers) {
        Ok([layer]) if layer.media_type == LAYER_TYPE => Ok(layer),
        Ok([layer]) => {
            let found = shown(&layer.media_type);
            Err(Error::config(format!("its layer is `{found}`, expected `{LAYER_TYPE}`")))
        }
        Err(layers) => Err(Error::config(format!("{} layers, expected one", layers.len()))),
    }
}

/// The configuration that indexes read. It has no time of its own, so that the same component has the same digest.
fn configuration(layer_digest: &str, description: &Description<'_>) -> Vec<u8> {
    let configuration = json!({
        "created": "1970-01-01T00:00:00Z",
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [layer_digest],
        "component": { "exports": description.exports, "imports": description.imports },
    });
    configuration.to_string().into_bytes()
}

/// The annotations that the OCI image specification names.
fn annotations(description: &Description<'_>) -> Option<BTreeMap<String, String>> {
    let given =
        [("title", description.title), ("version", description.version), ("description", description.description)];
    let given = given.into_iter().filter(|(_, text)| !text.is_empty());
    let named = given.map(|(key, text)| (format!("org.opencontainers.image.{key}"), text.to_owned()));
    let all: BTreeMap<_, _> = named.collect();
    (!all.is_empty()).then_some(all)
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Result<OciDescriptor> {
    let size = i64::try_from(bytes.len()).or_config("size of a component")?;
    Ok(OciDescriptor { media_type: media_type.to_owned(), digest: digest(bytes), size, ..OciDescriptor::default() })
}

/// `sha256:` and lower case hexadecimal.
fn digest(bytes: &[u8]) -> String {
    let digits: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}
