//! The private Debian 13 toolchain, for machines that reach Debian's packages but not Rust's own
//! download server.
//!
//! apt fetches the packages and checks their signatures, with its state in our folder and the
//! mirror that the machine itself is set up with; `dpkg -x` unpacks them into a private root; the
//! rustc in it runs through its own loader, because it needs a newer libc than Debian 12 has.
//! Nothing on the system is touched. Each step can be cut: packages already fetched are kept, and
//! the root gets its final name only when it is complete.

use super::Progress;
use super::cargo::run;
use crate::error::{Error, OrError, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A stable release: its packages stay.
const SUITE: &str = "trixie";
/// rustc, its standard libraries, and what they link, some 200 MB.
const PACKAGES: [&str; 20] = [
    "rustc",
    "libstd-rust-1.85",
    "libstd-rust-dev",
    "libstd-rust-dev-wasm32",
    "libllvm19",
    "libc6",
    "libgcc-s1",
    "libstdc++6",
    "libxml2",
    "libz3-4",
    "libzstd1",
    "zlib1g",
    "libedit2",
    "libffi8",
    "libtinfo6",
    "libbsd0",
    "libmd0",
    "liblzma5",
    "libicu76",
    "gcc-14-base",
];
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const FETCH_TIMEOUT: Duration = Duration::from_secs(20 * 60);
const UNPACK_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// The wrapper that runs Debian 13's rustc; installs it first where it is not.
pub(super) fn toolchain(progress: Progress<'_>) -> Result<PathBuf> {
    let cache = cache_dir()?;
    let root = cache.join("root");
    if root.is_dir() {
        return write_wrapper(&cache, &root);
    }
    if !Path::new("/etc/debian_version").exists() || std::env::consts::ARCH != "x86_64" {
        return Err(Error::config("this machine is not Debian on x86-64"));
    }
    std::fs::create_dir_all(&cache).or_config(format!("cache folder `{}`", cache.display()))?;
    // One installer at a time: tests and a demo may start together.
    let lock_path = cache.join("lock");
    let lock = std::fs::File::create(&lock_path).or_config(format!("lock file `{}`", lock_path.display()))?;
    lock.lock().or_config(format!("lock file `{}`", lock_path.display()))?;
    if !root.is_dir() {
        let packages = fetch(&cache, progress)?;
        unpack(&cache, &packages, &root, progress)?;
    }
    write_wrapper(&cache, &root)
}

fn cache_dir() -> Result<PathBuf> {
    let cache = dirs::cache_dir().ok_or_else(|| Error::config("the user has no cache folder"))?;
    Ok(cache.join("connector-host").join(format!("rust-{SUITE}-1.85")))
}

/// The mirror the machine is set up with; written nowhere but in our private sources file.
fn mirror() -> Result<String> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = std::fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let found = text.lines().map(str::trim).find_map(|line| {
            let is_source = line.starts_with("deb ") || line.starts_with("URIs:");
            let uri = line.split_whitespace().find(|word| word.starts_with("http"))?;
            // Security updates and other vendors' archives are other trees.
            (is_source && uri.trim_end_matches('/').ends_with("/debian")).then(|| uri.to_owned())
        });
        if let Some(uri) = found {
            return Ok(uri);
        }
    }
    Err(Error::config("no mirror in `/etc/apt/sources.list` or `/etc/apt/sources.list.d`"))
}

fn fetch(cache: &Path, progress: Progress<'_>) -> Result<PathBuf> {
    let attempt = "Debian 13 toolchain";
    for folder in ["lists/partial", "cache/archives/partial", "packages"] {
        std::fs::create_dir_all(cache.join(folder)).or_config(attempt)?;
    }
    let sources = format!(
        "Types: deb\nURIs: {}\nSuites: {SUITE}\nComponents: main\nArchitectures: amd64\nSigned-By: {KEYRING}\n",
        mirror()?
    );
    std::fs::write(cache.join("debian.sources"), sources).or_config(attempt)?;
    std::fs::write(cache.join("status"), "").or_config(attempt)?;
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        let option = |name: &str, path: &str| format!("{name}={}", cache.join(path).display());
        command.current_dir(cache.join("packages")).env("LC_ALL", "C");
        command.args(["-q", "-o", "Dir::Etc::sourceparts=-", "-o", "APT::Architecture=amd64"]);
        // As root, apt would fetch as another user, who may not read our cache folder.
        command.args(["-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=3"]);
        // Otherwise a list that cannot be fetched is a warning.
        command.args(["-o", "APT::Update::Error-Mode=any"]);
        command.args(["-o", &option("Dir::Etc::sourcelist", "debian.sources"), "-o", &option("Dir::State", ".")]);
        command.args(["-o", &option("Dir::State::Lists", "lists"), "-o", &option("Dir::State::status", "status")]);
        command.args(["-o", &option("Dir::Cache", "cache")]).args(arguments);
        run(command, FETCH_TIMEOUT)
    };
    progress("fetching the package list of Debian 13 (signatures checked by apt)");
    apt(&["update"])?;
    progress("fetching 200 MB of packages: rustc 1.85 and the standard library for wasm32");
    let download: Vec<&str> = std::iter::once("download").chain(PACKAGES).collect();
    apt(&download)?;
    Ok(cache.join("packages"))
}

fn unpack(cache: &Path, packages: &Path, root: &Path, progress: Progress<'_>) -> Result<()> {
    progress("unpacking the toolchain");
    let aside = cache.join("root.partial");
    if aside.exists() {
        std::fs::remove_dir_all(&aside).or_config(format!("folder `{}`", aside.display()))?;
    }
    let entries = std::fs::read_dir(packages).or_config(format!("folder `{}`", packages.display()))?;
    for entry in entries.flatten().filter(|entry| entry.path().extension().is_some_and(|ending| ending == "deb")) {
        let mut command = Command::new("dpkg");
        command.arg("-x").arg(entry.path()).arg(&aside);
        run(command, UNPACK_TIMEOUT)?;
    }
    std::fs::rename(&aside, root).or_config(format!("folder `{}`", root.display()))?;
    // The unpacked root is all that is needed; a failure to tidy up costs only space.
    let _ = std::fs::remove_dir_all(packages);
    let _ = std::fs::remove_dir_all(cache.join("lists"));
    let _ = std::fs::remove_dir_all(cache.join("cache"));
    Ok(())
}

fn write_wrapper(cache: &Path, root: &Path) -> Result<PathBuf> {
    let root = root.display();
    let lib = format!("{root}/usr/lib/x86_64-linux-gnu");
    let script = format!(
        "#!/bin/sh\nexec '{lib}/ld-linux-x86-64.so.2' --library-path '{lib}' --argv0 rustc '{root}/usr/bin/rustc' \
         --sysroot '{root}/usr' \"$@\"\n"
    );
    let path = cache.join("rustc");
    if std::fs::read_to_string(&path).is_ok_and(|found| found == script) {
        return Ok(path);
    }
    let aside = cache.join(format!("rustc.{}", std::process::id()));
    let attempt = format!("compiler wrapper `{}`", path.display());
    std::fs::write(&aside, script).or_config(&attempt)?;
    std::fs::set_permissions(&aside, std::os::unix::fs::PermissionsExt::from_mode(0o755)).or_config(&attempt)?;
    std::fs::rename(&aside, &path).or_config(&attempt)?;
    Ok(path)
}
