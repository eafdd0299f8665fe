//! `host plugin`: `build` and `inspect`; the catalog's commands are in `catalog`.

use super::args::{Output, PluginCommand};
use super::output::{bytes, error_line, line};
use super::{Failure, catalog};
use crate::plugin::Package;
use crate::toolchain;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::json;
use std::path::Path;

/// Long texts are wrapped to this many columns.
const TABLE_WIDTH: u16 = 110;

pub(super) fn plugin(command: &PluginCommand) -> Result<(), Failure> {
    match command {
        PluginCommand::Build { dir, output } => {
            // A crate that does not compile is a failure of the work, not a refusal to begin.
            let built = toolchain::build(dir, output.as_deref(), &error_line).map_err(Failure::Failed)?;
            let package = Package::read(&built)?;
            let size = bytes(package.bytes.len() as u64);
            error_line(&format!("built {} ({size})", package.label()));
            line(&built.display().to_string())?;
        }
        PluginCommand::Inspect { file, output } => inspect(file, *output)?,
        PluginCommand::Add { from, catalog, registry } => catalog::add(from, catalog, registry)?,
        PluginCommand::Ls { catalog, output } => catalog::list(catalog, *output)?,
        PluginCommand::Versions { name, catalog, url, output } => {
            catalog::versions(name, catalog, url.as_deref(), *output)?;
        }
        PluginCommand::Rm { plugin, catalog } => catalog::remove(plugin, catalog)?,
        PluginCommand::Verify { plugin, trust, catalog, output } => {
            catalog::verify(plugin.as_deref(), trust, catalog, *output)?;
        }
        PluginCommand::Sign { file, key, out } => catalog::sign(file, key, out.as_deref())?,
        PluginCommand::Push { plugin, to, catalog, registry } => catalog::push(plugin, to, catalog, registry)?,
    }
    Ok(())
}

fn inspect(file: &Path, output: Output) -> Result<(), Failure> {
    let package = Package::read(file)?;
    let manifest = &package.manifest;
    let text = match output {
        Output::Json => json!({
            "file": file,
            "name": manifest.plugin.name,
            "version": manifest.plugin.version,
            "world": manifest.plugin.world,
            "description": manifest.plugin.description,
            "imports": package.imports,
            "exports": package.exports,
            "defaults": manifest.defaults,
            "wants": manifest.wants,
            "options": manifest.options,
            "bytes": package.bytes.len(),
            "sha256": package.digest,
            "signed_by": package.signed_by(),
        })
        .to_string(),
        Output::Text => as_text(&package),
    };
    line(&text)?;
    Ok(())
}

/// By whom, not checked.
fn signed(by: &[&str]) -> String {
    if by.is_empty() {
        "by nobody".to_owned()
    } else {
        format!("by {} (`host plugin verify` checks it)", by.join(", "))
    }
}

fn as_text(package: &Package) -> String {
    let manifest = &package.manifest;
    let interfaces = |names: &[String]| {
        let ours: Vec<&str> = names.iter().map(String::as_str).filter(|name| name.starts_with("connector:")).collect();
        ours.join(", ")
    };
    let mut text = format!(
        "{}  {}\nworld    {}\nexports  {}\nimports  {}\nsize     {}\nsha256   {}\nsigned   {}\n",
        package.label(),
        manifest.plugin.description,
        manifest.plugin.world,
        interfaces(&package.exports),
        interfaces(&package.imports),
        bytes(package.bytes.len() as u64),
        package.digest,
        signed(&package.signed_by())
    );
    let mut section = |title: &str, header: &[&str], rows: Vec<Vec<String>>| {
        if !rows.is_empty() {
            let mut table = Table::new();
            table.load_style(presets::UTF8_FULL_CONDENSED).set_header(header.to_vec()).add_rows(rows);
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(TABLE_WIDTH);
            text.push_str(&format!("\n{title}\n{table}\n"));
        }
    };
    let wants = manifest.wants.iter().map(|want| {
        let need = if want.optional { "optional" } else { "needed" };
        vec![want.capability.clone(), need.to_owned(), want.why.clone()]
    });
    section("wants lent", &["capability", "", "why"], wants.collect());
    let options = manifest.options.iter().map(|option| {
        let default = option.default.clone().unwrap_or_else(|| "(must be set)".to_owned());
        let doc = match option.values.is_empty() {
            true => option.doc.clone(),
            false => format!("{} ({})", option.doc, option.values.join(", ")),
        };
        vec![option.name.clone(), option.kind.name().to_owned(), default, doc]
    });
    section("options", &["option", "type", "default", "what it does"], options.collect());
    let defaults = manifest.defaults.iter().map(|(key, value)| vec![key.clone(), value.clone()]);
    section("defaults for the host's keys", &["key", "value"], defaults.collect());
    text.trim_end().to_owned()
}
