//! Programs in Go, built once by the `go` command into the user's cache folder.
//!
//! Invariants: a folder with its final name is complete, because it is filled under another name
//! and renamed; one process builds at a time; every version has a folder of its own.

use crate::maven::{cache, last_lines};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

/// The program that `package` is at `version`, in the folder `name` of the cache, built where that was not done before.
pub(crate) fn program(name: &str, package: &str, version: &str) -> Result<PathBuf, String> {
    let cache = cache()?;
    let name = format!("{name}-{}", version.trim_start_matches('v'));
    let failed = |error: std::io::Error| format!("`{}`: {error}", cache.join(&name).display());
    fs::create_dir_all(&cache).map_err(failed)?;
    // Held until the function returns; the kernel lets go of it when the process dies.
    let lock = File::create(cache.join(format!("{name}.lock"))).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let folder = cache.join(&name);
    let file = package.rsplit('/').next().unwrap_or(package);
    if !folder.exists() {
        let filling = tempfile::Builder::new().prefix(&format!("{name}.")).tempdir_in(&cache).map_err(failed)?;
        eprintln!("building {name} with Go into {}", cache.display());
        install(Command::new("go").arg("install").arg(format!("{package}@{version}")).env("GOBIN", filling.path()))?;
        fs::rename(filling.keep(), &folder).map_err(failed)?;
    }
    Ok(folder.join(file))
}

fn install(go: &mut Command) -> Result<(), String> {
    let output = go.output().map_err(|error| format!("starting `go`: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Err(format!("Go cannot build the program ({}): {}", output.status, last_lines(&text, 5)))
}
