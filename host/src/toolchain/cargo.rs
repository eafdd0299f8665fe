//! Running cargo and rustup: finding what is installed, compiling one crate for wasm32-wasip2.

use super::TARGET;
use crate::error::{Error, OrError, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A compile of a plugin workspace from nothing takes some minutes on a slow machine.
const COMPILE_TIMEOUT: Duration = Duration::from_secs(30 * 60);
const QUERY_TIMEOUT: Duration = Duration::from_secs(120);

/// How to compile for the target.
#[derive(Debug)]
pub(super) enum Compiler {
    /// The machine's own cargo and rustc.
    Installed,
    /// The machine's cargo, Debian 13's rustc, the linker of the machine's rustc.
    Debian { rustc: PathBuf, linker_dir: PathBuf },
}

impl Compiler {
    pub(super) fn describe(&self) -> &'static str {
        match self {
            Compiler::Installed => "the installed toolchain",
            Compiler::Debian { .. } => "Debian 13's compiler",
        }
    }
}

/// A command without what an outer `cargo run` put into the environment.
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let inherited =
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_BIN_") || name.starts_with("CARGO_CFG_");
        let decisive = [
            "CARGO",
            "CARGO_MANIFEST_DIR",
            "CARGO_MANIFEST_PATH",
            "CARGO_PRIMARY_PACKAGE",
            "CARGO_CRATE_NAME",
            "CARGO_TARGET_DIR",
            "CARGO_BUILD_TARGET",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_MAKEFLAGS",
            "RUSTUP_TOOLCHAIN",
            "RUSTC",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTFLAGS",
            "LD_LIBRARY_PATH",
        ];
        if inherited || decisive.contains(&name.as_ref()) {
            command.env_remove(name.as_ref());
        }
    }
    command
}

/// Runs to the end and returns standard output; the end of standard error goes into the error.
pub(super) fn run(mut command: Command, within: Duration) -> Result<String> {
    let shown = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().or_config(format!("running `{shown}`"))?;
    let read = |pipe: Option<Box<dyn std::io::Read + Send>>| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            // The output of a build tool: bounded by what it says, and by the time limit.
            pipe.map(|mut pipe| std::io::Read::read_to_end(&mut pipe, &mut text));
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let stdout = read(child.stdout.take().map(|pipe| Box::new(pipe) as _));
    let stderr = read(child.stderr.take().map(|pipe| Box::new(pipe) as _));
    let deadline = std::time::Instant::now() + within;
    let status = loop {
        if let Some(status) = child.try_wait().or_config(format!("waiting for `{shown}`"))? {
            break status;
        }
        if std::time::Instant::now() > deadline {
            // Already ending with an error; a child that cannot be killed changes nothing.
            let _ = child.kill();
            return Err(Error::config(format!("`{shown}` did not end within {} s", within.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let (stdout, stderr) = (stdout.join().unwrap_or_default(), stderr.join().unwrap_or_default());
    if status.success() {
        return Ok(stdout);
    }
    let lines: Vec<&str> = stderr.lines().filter(|line| !line.trim().is_empty()).collect();
    let end = lines.get(lines.len().saturating_sub(40)..).unwrap_or_default().join("\n");
    Err(Error::config(format!("`{shown}` failed ({status}):\n{end}")))
}

fn query(program: &str, arguments: &[&str]) -> Result<String> {
    let mut command = command(program);
    command.args(arguments);
    run(command, QUERY_TIMEOUT).map(|text| text.trim().to_owned())
}

/// Whether the machine's rustc has the target's standard library.
pub(super) fn target_installed() -> bool {
    query("rustc", &["--print", "target-libdir", "--target", TARGET]).is_ok_and(|dir| Path::new(&dir).is_dir())
}

/// The folder of `wasm-component-ld`, which every rustc since 1.82 brings along.
pub(super) fn linker_dir() -> Result<PathBuf> {
    let hint = "install Rust by rustup to build plugins; running them needs no compiler";
    let sysroot = query("rustc", &["--print", "sysroot"]).map_err(|error| error.with_hint(hint))?;
    let version = query("rustc", &["-vV"])?;
    let native = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or("x86_64-unknown-linux-gnu");
    Ok(Path::new(&sysroot).join("lib/rustlib").join(native).join("bin"))
}

/// # Errors
/// The last line of what rustup said.
pub(super) fn rustup_target_add() -> Result<(), String> {
    let mut command = command("rustup");
    command.args(["target", "add", TARGET]);
    run(command, QUERY_TIMEOUT).map(drop).map_err(|error| {
        let text = error.to_string();
        text.lines().last().unwrap_or_default().trim().to_owned()
    })
}

/// The folder of the workspace that `dir` belongs to, or `dir` itself.
pub(super) fn workspace_root(dir: &Path) -> PathBuf {
    let mut command = command("cargo");
    command.current_dir(dir).args(["locate-project", "--workspace", "--message-format", "plain"]);
    let root = run(command, QUERY_TIMEOUT).ok();
    root.and_then(|path| Path::new(path.trim()).parent().map(Path::to_owned)).unwrap_or_else(|| dir.to_owned())
}

/// Compiles the crate in `dir`; returns the component that cargo says it wrote.
pub(super) fn compile(dir: &Path, compiler: &Compiler) -> Result<PathBuf> {
    let mut command = command("cargo");
    command.current_dir(dir).args(["build", "--release", "--lib", "--target", TARGET]);
    command.args(["--message-format", "json-render-diagnostics"]);
    // A locked workspace stays as it was tested; a fresh one gets its lock file now.
    if workspace_root(dir).join("Cargo.lock").exists() {
        command.arg("--locked");
    }
    if let Compiler::Debian { rustc, linker_dir } = compiler {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::iter::once(linker_dir.join("gcc-ld")).chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(paths).or_config("search path")?);
        command.env("RUSTC", rustc);
        command.env("CARGO_TARGET_WASM32_WASIP2_LINKER", linker_dir.join("wasm-component-ld"));
        // Objects of two compilers do not mix.
        command.env("CARGO_TARGET_DIR", workspace_root(dir).join("target/debian"));
    }
    let attempt = || format!("compiling plugin `{}`", dir.display());
    let messages = run(command, COMPILE_TIMEOUT).map_err(|error| error.context(attempt()))?;
    messages.lines().rev().find_map(component_of).ok_or_else(|| {
        Error::config(format!("{}: cargo wrote no component", attempt()))
            .with_hint("Cargo.toml needs `[lib]` with `crate-type = [\"cdylib\", \"rlib\"]`")
    })
}

fn component_of(message: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let files = message.get("filenames")?.as_array()?;
    files.iter().filter_map(|file| file.as_str()).find(|file| file.ends_with(".wasm")).map(PathBuf::from)
}
