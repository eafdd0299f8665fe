//! `host spool ls|stat|cat|verify`.

use super::args::{Output, SpoolCommand, SpoolPlace};
use super::output::{ago, bytes, error_line, line, number, table};
use super::progress::Steps;
use super::{Failure, runtime};
use crate::app;
use crate::config::{Config, ConnectorKind, RawConfig, SpoolConfig};
use crate::crypto::{KeyRing, Record};
use crate::error::{Error, ErrorClass, Result};
use crate::record::now_ms;
use crate::spool::{FileReport, SpoolFile, Survey};
use crate::wasm::Engines;
use comfy_table::ContentArrangement;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Runtime;

/// What a demo leaves in its data folder, so that its spools can be looked at when it is over.
pub(super) const LEFT_CONFIG: &str = "spools.toml";
/// The demo's key.
pub(super) const LEFT_KEY: &str = "keys/demo.key";

/// A spool, under the name of the first connector that has it.
pub(super) struct Spool {
    pub(super) connector: String,
    pub(super) place: String,
    pub(super) survey: Survey,
}

/// The spools that were asked for.
pub(super) struct Spools(pub(super) Vec<Spool>);

impl Spools {
    pub(super) fn open(place: &SpoolPlace, runtime: &Runtime) -> std::result::Result<Self, Failure> {
        let configs = config_files(&place.config, place.data_dir.as_deref())?;
        let config = Config::check(&RawConfig::read(&configs)?).map_err(Failure::Refused)?;
        let engines = Engines::new();
        let (mut spools, mut seen) = (Vec::new(), BTreeSet::new());
        // A data set is shown under who writes it.
        let (readers, writers): (Vec<_>, Vec<_>) =
            config.connectors.iter().partition(|connector| matches!(connector.kind, ConnectorKind::Ingest(_)));
        for connector in writers.into_iter().chain(readers) {
            let spool: &SpoolConfig = match &connector.kind {
                ConnectorKind::SpoolSink(sink) => &sink.spool,
                ConnectorKind::SpoolSource(source) => &source.spool,
                ConnectorKind::Ingest(ingest) => &ingest.data_set,
                ConnectorKind::Source(_) => continue,
            };
            let at = spool.store.to_string();
            let is_asked = place.connector.as_ref().is_none_or(|name| *name == connector.name);
            if !is_asked || !seen.insert(at.clone()) {
                continue;
            }
            let survey = app::survey(&connector.name, spool, &engines, runtime.handle())?;
            spools.push(Spool { connector: connector.name.clone(), place: at, survey });
        }
        if spools.is_empty() {
            let asked = place.connector.as_ref().map_or(String::new(), |name| format!(" named `{name}`"));
            return Err(Failure::Refused(Error::config(format!("no connector{asked} with a spool is configured"))));
        }
        Ok(Spools(spools))
    }
}

/// The configuration that is meant: the files named, else what a demo left in a folder.
pub(super) fn config_files(named: &[PathBuf], data_dir: Option<&Path>) -> Result<Vec<PathBuf>> {
    match named.is_empty() {
        false => Ok(named.to_vec()),
        true => Ok(vec![left(data_dir.unwrap_or(Path::new("./host-data")))?]),
    }
}

fn left(dir: &Path) -> Result<PathBuf> {
    let path = dir.join(LEFT_CONFIG);
    match path.is_file() {
        true => Ok(path),
        false => Err(Error::config(format!("no `{}`: no demo was run with this data folder", path.display()))
            .with_hint("`--config FILE` names the configuration of spools elsewhere")),
    }
}

/// The keys to open files with: those named, else the demo's.
pub(super) fn open_ring(place: &SpoolPlace, keys: &[String]) -> Result<KeyRing> {
    if !keys.is_empty() {
        return app::open_keys("--key", keys);
    }
    let dir = place.data_dir.clone().unwrap_or_else(|| PathBuf::from("./host-data"));
    let key = dir.join(LEFT_KEY);
    if !place.config.is_empty() || !key.is_file() {
        return Err(Error::config("no key is given, expected `--key file:PATH`, `env:NAME` or `command:PROGRAM`"));
    }
    app::open_keys("--key", &[format!("file:{}", key.display())])
}

pub(super) fn spool(command: &SpoolCommand) -> std::result::Result<(), Failure> {
    let runtime = runtime()?;
    match command {
        SpoolCommand::Ls { place, files, output } => ls(Spools::open(place, &runtime)?, *files, *output),
        SpoolCommand::Stat { names, place, output } => stat(Spools::open(place, &runtime)?, names, *output),
        SpoolCommand::Cat { names, place, keys, max, output } => {
            let ring = open_ring(place, keys)?;
            cat(Spools::open(place, &runtime)?, names, ring, *max, *output)
        }
        SpoolCommand::Verify { place, keys, output } => {
            let ring = open_ring(place, keys)?;
            verify(Spools::open(place, &runtime)?, ring, *output)
        }
    }
}

fn ls(spools: Spools, with_files: bool, output: Output) -> std::result::Result<(), Failure> {
    let now = now_ms();
    let age = |at: Option<i64>| at.map(|at| now.saturating_sub(at).max(0));
    let mut shown = Vec::new();
    for Spool { connector, place, mut survey } in spools.0 {
        let files = survey.list()?;
        let stages = survey.stages(&files);
        let free = survey.free_bytes()?;
        if output == Output::Json {
            let stages = stages.iter().map(|stage| {
                json!({
                    "stage": stage.name, "directory": stage.directory.as_str(), "files": stage.files,
                    "bytes": stage.bytes, "oldest_ms": stage.oldest_ms, "newest_ms": stage.newest_ms,
                })
            });
            let stages = Value::from_iter(stages);
            let mut spool = json!({ "connector": connector, "place": place, "free_bytes": free, "stages": stages });
            if with_files && let Value::Object(fields) = &mut spool {
                fields.insert("files".to_owned(), Value::from_iter(files.iter().map(file_json)));
            }
            shown.push(spool);
            continue;
        }
        let free = free.map_or(String::new(), |free| format!(", {} free", bytes(free)));
        line(&format!("{place} ({connector}{free})"))?;
        let mut table = table(&["stage", "directory", "files", "bytes", "newest", "oldest"], 2..6);
        for stage in &stages {
            table.add_row([
                stage.name.to_owned(),
                stage.directory.to_string(),
                number(stage.files),
                bytes(stage.bytes),
                age(stage.newest_ms).map_or(String::new(), ago),
                age(stage.oldest_ms).map_or(String::new(), ago),
            ]);
        }
        line(&table.to_string())?;
        if with_files {
            let mut table = self::table(&["stage", "file", "bytes", "age"], 2..4);
            table.set_content_arrangement(ContentArrangement::Disabled);
            for file in &files {
                let age = age(Some(file.info.modified_ms)).map_or(String::new(), ago);
                table.add_row([file.stage.to_owned(), file.name.clone(), number(file.info.bytes), age]);
            }
            line(&table.to_string())?;
        }
    }
    if output == Output::Json {
        line(&Value::Array(shown).to_string())?;
    }
    Ok(())
}

fn stat(spools: Spools, names: &[String], output: Output) -> std::result::Result<(), Failure> {
    let mut table = table(&["file", "stage", "records", "members", "bytes", "sealed for", "says"], 2..5);
    // Names are to be copied.
    table.set_content_arrangement(ContentArrangement::Disabled);
    for Spool { mut survey, .. } in spools.0 {
        for file in chosen(survey.list()?, names) {
            let described = match survey.describe(&file) {
                Err(error) if error.class() == ErrorClass::Retry => return Err(error.into()),
                described => described,
            };
            let reason = if file.stage == "quarantine" { survey.reason(&file)? } else { None };
            let (records, members, kids, says) = match &described {
                Ok((footer, heads)) => {
                    let kids: BTreeSet<&str> = heads.iter().flat_map(|head| head.kids()).collect();
                    let records: u64 = heads.iter().map(|head| head.info().records).sum();
                    (records, heads.len() as u64, kids.into_iter().collect::<Vec<_>>(), footer.identity.to_string())
                }
                Err(error) => (0, 0, Vec::new(), error.to_string()),
            };
            let says = reason.map_or(says, |reason| format!("quarantined: {reason}"));
            if output == Output::Json {
                let mut shown = file_json(&file);
                if let Value::Object(fields) = &mut shown {
                    fields.extend([
                        ("records".to_owned(), json!(records)),
                        ("members".to_owned(), json!(members)),
                        ("sealed_for".to_owned(), json!(kids)),
                        ("says".to_owned(), json!(says)),
                    ]);
                }
                line(&shown.to_string())?;
                continue;
            }
            let (records, members, size) = (number(records), number(members), number(file.info.bytes));
            table.add_row([file.name, file.stage.to_owned(), records, members, size, kids.join("\n"), says]);
        }
    }
    if output == Output::Text {
        line(&table.to_string())?;
    }
    Ok(())
}

fn cat(
    spools: Spools,
    names: &[String],
    ring: KeyRing,
    max: Option<u64>,
    output: Output,
) -> std::result::Result<(), Failure> {
    let ring = Arc::new(ring);
    let mut left = max.unwrap_or(u64::MAX);
    let mut failed = Ok(true);
    let mut wrong = 0u64;
    for Spool { mut survey, .. } in spools.0 {
        for file in chosen(survey.list()?, names) {
            if left == 0 {
                return Ok(());
            }
            // Ends the reading of this file; nothing is wrong with it.
            let enough = || Error::config("enough");
            let report = survey.open(&file, &ring, &mut |record| {
                if left == 0 {
                    return Err(enough());
                }
                left -= 1;
                match print_record(&file, record, output) {
                    Ok(true) => Ok(()),
                    ended => {
                        failed = ended;
                        left = 0;
                        Err(enough())
                    }
                }
            });
            match report {
                _ if left == 0 => return std::mem::replace(&mut failed, Ok(true)).map(drop),
                Err(error) => return Err(error.into()),
                Ok(FileReport { problem: Some(problem), .. }) => {
                    error_line(&format!("`{}`: {problem}", file.name));
                    wrong += 1;
                }
                Ok(_) => {}
            }
        }
    }
    match wrong {
        0 => Ok(()),
        wrong => Err(Failure::Failed(Error::config(format!("{wrong} files are not what they should be")))),
    }
}

fn print_record(file: &SpoolFile, record: &Record<'_>, output: Output) -> std::result::Result<bool, Failure> {
    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let (key, value) = (text(record.key), text(record.value));
    match output {
        Output::Json => line(
            &json!({
                "file": file.name, "offset": record.offset, "timestamp": record.timestamp, "key": key, "value": value,
            })
            .to_string(),
        ),
        Output::Text => {
            let (key, value) = (key.unwrap_or_default(), value.unwrap_or_else(|| "(tombstone)".to_owned()));
            line(&format!("{} {} {key} {value}", record.offset, record.timestamp))
        }
    }
}

fn verify(spools: Spools, ring: KeyRing, output: Output) -> std::result::Result<(), Failure> {
    let ring = Arc::new(ring);
    let mut all = FileReport::default();
    let (mut num_files, mut problems) = (0u64, Vec::new());
    for Spool { place, mut survey, .. } in spools.0 {
        let files = survey.list()?;
        let mut steps = Steps::new("verifying", files.len() as u64);
        for file in &files {
            steps.step(&file.name);
            let problem = match file.stage {
                // Being written: nobody takes it for whole.
                "staging" | "washd" => continue,
                "quarantine" => {
                    let reason = survey.reason(file)?.unwrap_or_else(|| "without a reason".to_owned());
                    Some(format!("quarantined: {reason}"))
                }
                _ => {
                    let report = survey.open(file, &ring, &mut |_| Ok(()))?;
                    all.members += report.members;
                    all.blocks += report.blocks;
                    all.records += report.records;
                    all.plain_bytes += report.plain_bytes;
                    report.problem
                }
            };
            num_files += 1;
            if let Some(problem) = problem {
                problems.push((place.clone(), file.stage, file.name.clone(), problem));
            }
        }
    }
    match output {
        Output::Json => {
            let problems = problems.iter().map(|(place, stage, file, problem)| {
                json!({ "place": place, "stage": stage, "file": file, "problem": problem })
            });
            let shown = json!({
                "files": num_files, "members": all.members, "blocks": all.blocks, "records": all.records,
                "plain_bytes": all.plain_bytes, "problems": Value::from_iter(problems),
            });
            line(&shown.to_string())?;
        }
        Output::Text => {
            if !problems.is_empty() {
                let mut table = table(&["stage", "file", "problem"], 0..0);
                let rows = problems.iter().map(|(_, stage, file, problem)| [*stage, file.as_str(), problem.as_str()]);
                table.add_rows(rows);
                line(&table.to_string())?;
            }
            let (records, members, blocks) = (number(all.records), number(all.members), number(all.blocks));
            let (files, size, wrong) = (number(num_files), bytes(all.plain_bytes), number(problems.len() as u64));
            line(&format!(
                "{files} files, {members} members, {blocks} blocks, {records} records, {size}: {wrong} wrong"
            ))?;
        }
    }
    match problems.len() {
        0 => Ok(()),
        wrong => Err(Failure::Failed(Error::config(format!("{wrong} files are not what they should be")))),
    }
}

fn chosen(files: Vec<SpoolFile>, names: &[String]) -> Vec<SpoolFile> {
    let is_chosen = |file: &SpoolFile| match names.is_empty() {
        true => !matches!(file.stage, "staging" | "washd"),
        false => names.contains(&file.name),
    };
    let (chosen, _): (Vec<_>, Vec<_>) = files.into_iter().partition(is_chosen);
    for name in names.iter().filter(|name| !chosen.iter().any(|file| file.name == **name)) {
        error_line(&format!("no file `{name}`"));
    }
    chosen
}

fn file_json(file: &SpoolFile) -> Value {
    json!({
        "file": file.name, "stage": file.stage, "path": file.info.path.as_str(), "bytes": file.info.bytes,
        "modified_ms": file.info.modified_ms,
        "identity": file.identity.as_ref().map(|identity| json!({
            "topic": identity.topic, "partition": identity.partition, "first": identity.first,
            "next": identity.next, "first_ms": identity.first_ms, "last_ms": identity.last_ms,
            "sequence": identity.sequence,
        })),
    })
}
