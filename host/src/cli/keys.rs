//! `host keys generate|list|show|rewrap`.

use super::args::{KeysCommand, Output};
use super::output::{error_line, line, number};
use super::progress::Steps;
use super::spool::{Spools, open_ring};
use super::{Failure, runtime};
use crate::crypto::{Key, KeyInfo, KeyKind, KeyRing, Recipient, create_key_file, describe_key_file, load_key};
use crate::error::{Error, OrError, Result};
use comfy_table::{Table, presets};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

pub(super) fn keys(command: &KeysCommand) -> std::result::Result<(), Failure> {
    match command {
        KeysCommand::Generate { name, dir, symmetric, signing } => {
            let kind = match (symmetric, signing) {
                (true, _) => KeyKind::Symmetric,
                (_, true) => KeyKind::Signing,
                _ => KeyKind::Private,
            };
            let made = generate(dir, name, kind).map_err(Failure::Refused)?;
            made.iter().try_for_each(|path| line(&path.display().to_string()).map(drop))?;
            Ok(())
        }
        KeysCommand::List { dir, output } => list(dir, *output),
        KeysCommand::Show { file, output } => show(file, *output),
        KeysCommand::Rewrap { place, keys, recipients } => {
            let runtime = runtime()?;
            let spools = Spools::open(place, &runtime)?;
            let ring = open_ring(place, keys)?;
            let recipients = recipients.iter().map(|name| load_key("--recipient", name)?.recipient());
            let recipients = recipients.collect::<Result<Vec<_>>>()?;
            rewrap(spools, &ring, &recipients)
        }
    }
}

/// Rewraps the data set. Files on their way are left alone: somebody may be taking them just now, and a
/// file that is put back in its place would go its way twice.
fn rewrap(mut spools: Spools, ring: &KeyRing, recipients: &[Recipient]) -> std::result::Result<(), Failure> {
    let (mut files, mut members, mut failed, mut on_the_way) = (0, 0, 0u64, 0);
    for spool in &mut spools.0 {
        let (found, others): (Vec<_>, Vec<_>) =
            spool.survey.list()?.into_iter().partition(|file| file.stage == "target");
        on_the_way += others.iter().filter(|file| !matches!(file.stage, "staging" | "washd" | "quarantine")).count();
        let mut steps = Steps::new("rewrapping", found.len() as u64);
        for file in &found {
            steps.step(&file.name);
            match spool.survey.rewrap(file, ring, recipients) {
                Ok(count) => {
                    members += count;
                    files += 1;
                }
                Err(error) => {
                    failed += 1;
                    error_line(&format!("`{}` is as it was: {error}", file.name));
                }
            }
        }
    }
    error_line(&format!("{} members in {} files have new recipients", number(members), number(files)));
    if on_the_way > 0 {
        error_line(&format!("{} files on their way are left as they are", number(on_the_way as u64)));
    }
    match failed {
        0 => Ok(()),
        failed => Err(Failure::Failed(Error::config(format!("{failed} files could not be rewrapped")))),
    }
}

/// Makes a pair, or one symmetric key; returns the files.
pub(super) fn generate(dir: &Path, name: &str, kind: KeyKind) -> Result<Vec<PathBuf>> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(legal) {
        let found = name.escape_debug();
        return Err(Error::config(format!("key name `{found}`: expected letters, digits, `.`, `_` and `-`")));
    }
    std::fs::create_dir_all(dir).or_config(format!("folder `{}`", dir.display()))?;
    let secret = dir.join(format!("{name}.key"));
    let key = Key::generate(kind)?;
    create_key_file(&secret, &key)?;
    if kind == KeyKind::Symmetric {
        return Ok(vec![secret]);
    }
    let public = dir.join(format!("{name}.pub"));
    create_key_file(&public, &key.public()?)?;
    Ok(vec![secret, public])
}

fn list(dir: &Path, output: Output) -> std::result::Result<(), Failure> {
    let attempt = || format!("folder `{}`", dir.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).or_config(attempt())? {
        let path = entry.or_config(attempt())?.path();
        if path.extension().is_some_and(|extension| extension == "key" || extension == "pub") {
            paths.push(path);
        }
    }
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        match describe_key_file(&path) {
            Ok(info) => found.push((path, info)),
            Err(error) => error_line(&format!("left out: {error}")),
        }
    }
    match output {
        Output::Json => line(&Value::from_iter(found.iter().map(|(path, info)| as_json(path, info))).to_string())?,
        Output::Text => {
            let mut table = Table::new();
            table.load_style(presets::UTF8_FULL_CONDENSED).set_header(["key", "kind", "file"]);
            table.add_rows(
                found
                    .iter()
                    .map(|(path, info)| [info.kid.clone(), info.kind.name().to_owned(), path.display().to_string()]),
            );
            line(&table.to_string())?
        }
    };
    Ok(())
}

fn show(file: &Path, output: Output) -> std::result::Result<(), Failure> {
    let key = load_key("FILE", &format!("file:{}", file.display())).map_err(Failure::Refused)?;
    let info = key.info();
    let public = match info.kind {
        KeyKind::Symmetric => None,
        _ => Some(key.public()?.to_text().trim_end().to_owned()),
    };
    match output {
        Output::Json => {
            let mut shown = as_json(file, &info);
            if let Value::Object(fields) = &mut shown {
                fields.insert("public".to_owned(), json!(public));
            }
            line(&shown.to_string())?
        }
        Output::Text => {
            let public = public.map_or(String::new(), |public| format!("\npublic  {public}"));
            line(&format!("key     {}\nkind    {}\nfile    {}{public}", info.kid, info.kind.name(), file.display()))?
        }
    };
    Ok(())
}

fn as_json(path: &Path, info: &KeyInfo) -> Value {
    json!({ "key": info.kid, "kind": info.kind.name(), "file": path })
}
