//! Python packages, fetched once by pip into the user's cache folder.
//!
//! Invariants: a folder with its final name is complete, because it is filled under another name
//! and renamed; one process fetches at a time; changed requirements are fetched anew. Scripts in it
//! name a Python that has moved, so they are run with [`Venv::python`].

use crate::maven::{cache, last_lines};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The kept requirements, which show what the folder was made of.
const MARK: &str = "requirements.txt";

/// A Python with packages.
pub struct Venv(PathBuf);

impl Venv {
    /// Fetches the one package that `requirements` pins, where that was not done before.
    ///
    /// # Errors
    /// Why there is none: no Python 3, or what pip said last.
    pub fn fetch(requirements: &str) -> Result<Self, String> {
        let cache = cache()?;
        let name = requirements.trim().replace("==", "-");
        let failed = |error: std::io::Error| format!("`{}`: {error}", cache.join(&name).display());
        fs::create_dir_all(&cache).map_err(failed)?;
        // Held until the function returns; the kernel lets go of it when the process dies.
        let lock = File::create(cache.join(format!("{name}.lock"))).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let folder = cache.join(&name);
        if fs::read_to_string(folder.join(MARK)).is_ok_and(|kept| kept == requirements) {
            return Ok(Self(folder));
        }
        let filling = tempfile::Builder::new().prefix(&format!("{name}.")).tempdir_in(&cache).map_err(failed)?;
        eprintln!("fetching {name} with pip into {}", cache.display());
        run(Command::new("python3").args(["-m", "venv"]).arg(filling.path()))?;
        let pinned = filling.path().join(MARK);
        fs::write(&pinned, requirements).map_err(failed)?;
        let mut pip = Command::new(filling.path().join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1", "-r"]);
        run(pip.arg(&pinned))?;
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(failed)?;
        }
        fs::rename(filling.keep(), &folder).map_err(failed)?;
        Ok(Self(folder))
    }

    /// A command that runs this Python.
    pub fn python(&self) -> Command {
        Command::new(self.0.join("bin/python"))
    }

    /// A script that came with the packages.
    pub fn script(&self, name: &str) -> PathBuf {
        self.0.join("bin").join(name)
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = Path::new(command.get_program()).display().to_string();
    let output = command.output().map_err(|error| format!("starting `{program}`: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Err(format!("Python packages cannot be fetched ({}): {}", output.status, last_lines(&text, 3)))
}
