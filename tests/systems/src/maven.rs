//! Jars from Maven, fetched once into the user's cache folder.
//!
//! Invariants: a folder with its final name is complete, because it is filled under another name
//! and renamed; one process fetches at a time; a changed pom is fetched anew.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version that a pom names in its property `jars.version`.
pub(crate) fn version(pom: &str) -> &str {
    let after = pom.split_once("<jars.version>").map_or("", |(_, after)| after);
    after.split_once('<').map_or("", |(version, _)| version)
}

/// The folder with the jars of a pom and all they need, `name` in the cache folder.
pub(crate) fn jars(name: &str, pom: &str) -> Result<PathBuf, String> {
    let cache = cache()?;
    let failed = |what: &str, error: std::io::Error| format!("{what} `{}`: {error}", cache.join(name).display());
    fs::create_dir_all(&cache).map_err(|error| failed("making the cache for", error))?;
    // Held until the function returns; the kernel lets go of it when the process dies.
    let lock = File::create(cache.join(format!("{name}.lock"))).map_err(|error| failed("lock of", error))?;
    lock.lock().map_err(|error| failed("lock of", error))?;
    let folder = cache.join(name);
    if fs::read_to_string(folder.join("pom.xml")).is_ok_and(|kept| kept == pom) {
        return Ok(folder);
    }
    let filling = tempfile::Builder::new().prefix(&format!("{name}.")).tempdir_in(&cache);
    let filling = filling.map_err(|error| failed("filling", error))?;
    fs::write(filling.path().join("pom.xml"), pom).map_err(|error| failed("filling", error))?;
    eprintln!("fetching {name} with Maven into {}", cache.display());
    copy_dependencies(filling.path())?;
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| failed("replacing", error))?;
    }
    fs::rename(filling.keep(), &folder).map_err(|error| failed("filling", error))?;
    Ok(folder)
}

fn copy_dependencies(folder: &Path) -> Result<(), String> {
    let mut maven = Command::new("mvn");
    maven.args(["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime"]);
    let output = maven.arg(format!("-DoutputDirectory={}", folder.display())).current_dir(folder).output();
    let output = output.map_err(|error| format!("starting `mvn`: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Err(format!("Maven cannot fetch the artifacts ({}): {}", output.status, last_lines(&text, 5)))
}

/// The folder that fetched things are kept in.
pub(crate) fn cache() -> Result<PathBuf, String> {
    let named = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let usual = || std::env::home_dir().map(|home| home.join(".cache"));
    let cache = named.or_else(usual).ok_or("no cache folder: neither XDG_CACHE_HOME nor a home folder")?;
    Ok(cache.join("connector-host"))
}

/// The last lines of a text that are not empty.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
