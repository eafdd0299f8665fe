//! `host plugin add|ls|versions|rm|verify|sign|push`: the catalog of plugins.

use super::args::{CatalogArgs, Output, RegistryArgs};
use super::output::{ago, bytes, error_line, line, table};
use super::{Failure, runtime};
use crate::crypto::load_key;
use crate::error::{Error, OrError, Result};
use crate::io::oci::{self, Access, Description, Reference};
use crate::io::rest;
use crate::plugin::{Catalog, Entry, Kept, Package, PluginRef, Signers};
use crate::record::now_ms;
use crate::secret::Secret;
use serde_json::{Value, json};
use std::path::Path;

/// A component larger than this is not fetched; a Python one has some 20 MB.
const MAX_BYTES: usize = 256 << 20;

type Done = std::result::Result<(), Failure>;

fn open(arguments: &CatalogArgs) -> Catalog {
    Catalog::new(&arguments.plugin_path)
}

impl RegistryArgs {
    fn access(&self) -> Result<Access> {
        let password = self.registry_password.as_deref();
        Ok(Access {
            username: self.registry_user.clone(),
            password: password.map(|name| Secret::resolve("--registry-password", name)).transpose()?,
            plain_http: self.registry_plain_http,
            ca_file: self.registry_ca.clone(),
        })
    }
}

pub(super) fn add(from: &str, catalog: &CatalogArgs, registry: &RegistryArgs) -> Done {
    let (package, origin) = match from.starts_with("oci://") {
        false => {
            let path = std::fs::canonicalize(from).or_config(format!("plugin `{from}`"))?;
            (Package::read(&path)?, path.display().to_string())
        }
        true => {
            let (reference, runtime) = (Reference::parse(from)?, runtime()?);
            error_line(&format!("pulling `{reference}`"));
            let pulled = oci::pull(runtime.handle(), &reference, &registry.access()?, MAX_BYTES)?;
            let pinned = reference.pinned(&pulled.manifest_digest).to_string();
            let package = Package::from_bytes(Path::new(from), pulled.bytes);
            (package.map_err(|error| error.context(format!("plugin `{pinned}`")))?, pinned)
        }
    };
    let (entry, kept) = open(catalog).add(&package, &origin)?;
    let what = if kept == Kept::Added { "added" } else { "was there already" };
    let (label, size) = (package.label(), bytes(package.bytes.len() as u64));
    error_line(&format!("{label} {what} ({size}, sha256 {}, from {origin})", entry.sha256));
    line(&label)?;
    Ok(())
}

pub(super) fn list(catalog: &CatalogArgs, output: Output) -> Done {
    let catalog = open(catalog);
    show(&catalog.entries(None)?, &[], output, &catalog)
}

pub(super) fn versions(name: &str, catalog: &CatalogArgs, url: Option<&str>, output: Output) -> Done {
    let catalog = open(catalog);
    let entries = catalog.entries(Some(name))?;
    let running = match url {
        None => Vec::new(),
        Some(url) => running(url)?,
    };
    if entries.is_empty() {
        // Says where it was looked for.
        catalog.find(&PluginRef::parse(name)?)?;
    }
    show(&entries, &running, output, &catalog)
}

/// Plugin and connector, of a host that runs.
fn running(url: &str) -> Result<Vec<(String, String)>> {
    let runtime = runtime()?;
    let shown = rest::get(runtime.handle(), url, &["v1", "pipeline"])?;
    let hops = shown.get("hops").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let pair = |hop: &Value| {
        let text = |key: &str| hop.get(key).and_then(Value::as_str).map(str::to_owned);
        Some((text("plugin")?, text("name")?))
    };
    Ok(hops.iter().filter_map(pair).collect())
}

fn show(entries: &[Entry], running: &[(String, String)], output: Output, catalog: &Catalog) -> Done {
    let mut shown = Vec::new();
    for entry in entries {
        let label = format!("{}@{}", entry.name, entry.version);
        let read = Catalog::read_entry(entry);
        let users: Vec<&str> =
            running.iter().filter(|(plugin, _)| *plugin == label).map(|(_, connector)| connector.as_str()).collect();
        shown.push((entry, read, users));
    }
    match output {
        Output::Json => {
            let rows = shown.iter().map(|(entry, read, users)| {
                let package = read.as_ref().ok();
                json!({
                    "name": entry.name, "version": entry.version.to_string(), "sha256": entry.sha256,
                    "added_ms": entry.added_ms, "from": entry.from, "path": entry.path,
                    "world": package.map(|package| package.manifest.plugin.world.clone()),
                    "bytes": package.map(|package| package.bytes.len()),
                    "signed_by": package.map(Package::signed_by).unwrap_or_default(),
                    "connectors": users,
                    "error": read.as_ref().err().map(ToString::to_string),
                })
            });
            line(&Value::from_iter(rows).to_string())?;
        }
        Output::Text if shown.is_empty() => {
            error_line(&format!("no plugins in `{}`; `host plugin add FILE` adds one", catalog.folder().display()));
        }
        Output::Text => {
            let mut table =
                table(&["plugin", "version", "world", "size", "sha256", "added", "signed by", "runs in"], 3..4);
            for (entry, read, users) in &shown {
                let package = read.as_ref().ok();
                let world = package.map_or("damaged", |package| package.manifest.plugin.world.as_str());
                let size = package.map_or(String::new(), |package| bytes(package.bytes.len() as u64));
                let signed = package.map(Package::signed_by).unwrap_or_default().join(", ");
                let digest = entry.sha256.get(..12).unwrap_or_default();
                let (version, added) = (entry.version.to_string(), ago(now_ms() - entry.added_ms));
                let (name, users) = (entry.name.as_str(), users.join(", "));
                table.add_row([name, &version, world, &size, digest, &format!("{added} ago"), &signed, &users]);
            }
            line(&table.to_string())?;
            for error in shown.iter().filter_map(|(_, read, _)| read.as_ref().err()) {
                error_line(&format!("damaged: {error}"));
            }
        }
    }
    Ok(())
}

pub(super) fn remove(plugin: &str, catalog: &CatalogArgs) -> Done {
    let (reference, catalog) = (PluginRef::parse(plugin)?, open(catalog));
    let entry = catalog.find(&reference)?;
    if reference.exact().is_none() {
        let error = Error::config(format!(
            "`{plugin}` is no single version, expected for instance `{}@{}`",
            entry.name, entry.version
        ));
        return Err(Failure::Refused(error));
    }
    catalog.remove(&entry)?;
    error_line(&format!("{plugin} is forgotten; a host that runs it goes on with it until it is restarted"));
    Ok(())
}

/// A file, or one of the catalog.
fn read(plugin: &str, catalog: &Catalog) -> Result<Package> {
    match PluginRef::is_file(plugin) {
        true => Package::read(Path::new(plugin)),
        false => catalog.read(&PluginRef::parse(plugin)?),
    }
}

pub(super) fn verify(plugin: Option<&str>, trust: &[String], catalog: &CatalogArgs, output: Output) -> Done {
    let catalog = open(catalog);
    let signers = Signers::load("--trust", trust, Path::new(""), !trust.is_empty())?;
    let found: Vec<(String, Result<Package>)> = match plugin {
        Some(plugin) => vec![(plugin.to_owned(), read(plugin, &catalog))],
        None => {
            let read = |entry: &Entry| (format!("{}@{}", entry.name, entry.version), Catalog::read_entry(entry));
            catalog.entries(None)?.iter().map(read).collect()
        }
    };
    let (mut failed, mut rows) = (Vec::new(), Vec::new());
    for (named, package) in found {
        let checked = package.and_then(|package| Ok((signers.check(&package)?, package)));
        let (verdict, signed, digest) = match &checked {
            Ok((trusted, package)) => {
                let signed = package.signed_by().into_iter();
                let signed = signed.map(|kid| match trusted.iter().any(|trusted| trusted == kid) {
                    true => format!("{kid} (trusted)"),
                    false => format!("{kid} (not checked)"),
                });
                ("sound".to_owned(), signed.collect::<Vec<_>>(), package.digest.clone())
            }
            Err(error) => {
                failed.push(named.clone());
                (error.to_string(), Vec::new(), String::new())
            }
        };
        rows.push((named, verdict, signed, digest, checked.is_ok()));
    }
    match output {
        Output::Json => {
            let rows = rows.iter().map(|(plugin, verdict, signed, digest, is_sound)| {
                json!({ "plugin": plugin, "sound": is_sound, "verdict": verdict, "signed_by": signed, "sha256": digest })
            });
            line(&Value::from_iter(rows).to_string())?;
        }
        Output::Text => {
            let mut table = table(&["plugin", "verdict", "signed by", "sha256"], 0..0);
            for (plugin, verdict, signed, digest, _) in &rows {
                table.add_row([plugin, verdict, &signed.join(", "), digest.get(..12).unwrap_or_default()]);
            }
            line(&table.to_string())?;
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Failure::Failed(Error::deny(format!("not sound: `{}`", failed.join("`, `"))))),
    }
}

pub(super) fn sign(file: &Path, key: &str, out: Option<&Path>) -> Done {
    let package = Package::read(file)?;
    let key = load_key("--key", key)?;
    let signed = package.sign(&key)?;
    let to = out.unwrap_or(file);
    // At once: a host may be reading it.
    let aside = to.with_extension("wasm.tmp");
    std::fs::write(&aside, signed)
        .and_then(|()| std::fs::rename(&aside, to))
        .or_config(format!("writing `{}`", to.display()))?;
    error_line(&format!("{} is signed by key {}", package.label(), key.info().kid));
    line(&to.display().to_string())?;
    Ok(())
}

pub(super) fn push(plugin: &str, to: &str, catalog: &CatalogArgs, registry: &RegistryArgs) -> Done {
    let (package, reference) = (read(plugin, &open(catalog))?, Reference::parse(to)?);
    let runtime = runtime()?;
    error_line(&format!("pushing {} ({}) to `{reference}`", package.label(), bytes(package.bytes.len() as u64)));
    let about = &package.manifest.plugin;
    let description = Description {
        title: &about.name,
        version: &about.version,
        description: &about.description,
        imports: &package.imports,
        exports: &package.exports,
    };
    let pushed = oci::push(runtime.handle(), &reference, &registry.access()?, package.bytes.clone(), &description)?;
    line(&pushed.reference.to_string())?;
    Ok(())
}
