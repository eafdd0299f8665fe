//! The plugin's options, read from their texts into the plan they mean.
//!
//! Invariants: defaults are those of `plugin.toml`, which the host fills in. A tree whose
//! directories overlap, or leave the spool's own, is refused.

use connector_sdk::{Error, Plan, Rotation, Settings, Tree};

/// What stands for the connector's name in `staging.directory`.
const CONNECTOR: &str = "{connector}";
/// Longest name of a file or directory that file systems and filers take, bytes.
const MAX_NAME_BYTES: usize = 255;
const LIMITS: [&str; 3] = ["rotation.max.bytes", "rotation.max.records", "rotation.max.age.ms"];

/// Directories of the data set, below its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Directories {
    /// None.
    Flat,
    /// `2026/11/25`.
    Day,
    /// `2026/11/25/02`.
    Hour,
}

/// Reads all options.
///
/// # Errors
/// [`Error::Config`] naming the option, or the connector when its name cannot be a directory's.
pub(crate) fn read(connector: &str, settings: &Settings) -> Result<(Directories, Plan), Error> {
    let [max_bytes, max_records, max_age_ms] = LIMITS.map(|key| number(settings, key));
    let rotation = Rotation { max_bytes: max_bytes?, max_records: max_records?, max_age_ms: max_age_ms? };
    if (rotation.max_bytes, rotation.max_records, rotation.max_age_ms) == (0, 0, 0) {
        let [bytes, records, age] = LIMITS;
        let found = format!("options `{bytes}`, `{records}` and `{age}` are all `0`");
        return Err(Error::Config(format!("{found}, expected at least one above 0: files would never be closed")));
    }
    let directories = match settings.text("target.directories")? {
        "flat" => Directories::Flat,
        "day" => Directories::Day,
        "hour" => Directories::Hour,
        other => {
            let expected = "expected `flat`, `day` or `hour`";
            return Err(Error::Config(format!(
                "option `target.directories` is `{}`, {expected}",
                other.escape_debug()
            )));
        }
    };
    let tree = tree(connector, settings)?;
    Ok((directories, Plan { tree, rotation, trash_retention_ms: number(settings, "trash.retention.ms")? }))
}

fn number(settings: &Settings, key: &str) -> Result<u64, Error> {
    let text = settings.text(key)?;
    // The manifest's type is long, so the host gives nothing above.
    let number = text.parse::<i64>().ok().and_then(|number| u64::try_from(number).ok());
    number.ok_or_else(|| {
        let expected = format!("expected a whole number from 0 to {}", i64::MAX);
        Error::Config(format!("option `{key}` is `{}`, {expected}", text.escape_debug()))
    })
}

fn tree(connector: &str, settings: &Settings) -> Result<Tree, Error> {
    let staging = settings.text("staging.directory")?;
    if staging.contains(CONNECTOR) && !is_name(connector) {
        let found = format!("connector is called `{}`", connector.escape_debug());
        let needs = format!("and option `staging.directory` is `{}`", staging.escape_debug());
        return Err(Error::Config(format!("{found}, {needs}: expected a name that a directory can have")));
    }
    // Checked before the name is put in, so that braces in it are not taken for a placeholder.
    path("staging.directory", staging, &staging.replace(CONNECTOR, "c"))?;
    let target = settings.text("target.directory")?;
    if !target.is_empty() {
        path("target.directory", target, target)?;
    }
    let below = |name: &str| format!("var/spool/{name}");
    let tree = Tree {
        staging: staging.replace(CONNECTOR, connector),
        inbox: below(".inbox"),
        tmp: below(".tmp"),
        outbox: below(".outbox"),
        wash: below(".wash"),
        washd: below(".washd"),
        quarantine: below(".quarantine"),
        target: target.to_owned(),
    };
    check_apart(&tree)?;
    Ok(tree)
}

/// Checks the directories that options set against the others. Only the target may lie above any:
/// it is the spool's own directory by default.
fn check_apart(tree: &Tree) -> Result<(), Error> {
    for directory in [&tree.inbox, &tree.tmp, &tree.outbox, &tree.wash, &tree.washd, &tree.quarantine] {
        if is_in(directory, &tree.staging) || is_in(&tree.staging, directory) {
            let expected = format!("expected one that is neither above, in nor at `{directory}`");
            return Err(Error::Config(format!("option `staging.directory` means `{}`, {expected}", tree.staging)));
        }
    }
    let others = [&tree.staging, &tree.inbox, &tree.tmp, &tree.outbox, &tree.wash, &tree.washd, &tree.quarantine];
    for directory in others {
        if is_in(&tree.target, directory) {
            let expected = format!("expected one that is neither in nor at `{directory}`");
            return Err(Error::Config(format!("option `target.directory` is `{}`, {expected}", tree.target)));
        }
    }
    Ok(())
}

/// Whether a path is the other one, or lies below it.
fn is_in(path: &str, other: &str) -> bool {
    path.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Checks that a path stays below the spool's directory; `text` is what the option holds.
fn path(key: &str, text: &str, path: &str) -> Result<(), Error> {
    if path.split('/').all(is_name) && !path.contains(['{', '}']) {
        return Ok(());
    }
    let expected = "expected names joined by `/`, each of 1 to 255 bytes without control characters, none `.` or `..`";
    let braces = if key == "staging.directory" { "braces only as `{connector}`" } else { "no braces" };
    Err(Error::Config(format!("option `{key}` is `{}`, {expected}, {braces}", text.escape_debug())))
}

fn is_name(name: &str) -> bool {
    let has_length = (1..=MAX_NAME_BYTES).contains(&name.len());
    has_length && name != "." && name != ".." && !name.contains('/') && !name.contains(char::is_control)
}
