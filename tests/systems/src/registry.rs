//! A real OCI registry on this machine: Distribution, the one that most others are made of or measured by.
//!
//! Needs Go. The program is built once, which takes two to three minutes; a start takes some 100 ms and 40 MB.
//! What the registry logs is in a file whose end is part of every error.

use crate::go::program;
use crate::maven::last_lines;
use crate::port::free_port;
use crate::watched::Watched;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const PACKAGE: &str = "github.com/distribution/distribution/v3/cmd/registry";
const VERSION: &str = "v3.1.2";

/// A start takes some 100 ms, several times that when everything else builds on the same cores.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long to wait before asking again.
const PAUSE: Duration = Duration::from_millis(20);

/// What a registry asks of its users.
#[derive(Default)]
pub struct Terms<'a> {
    /// Line of an htpasswd file, of the one user that is let in: `name:` and a bcrypt hash. Else anybody is.
    pub user: Option<&'a str>,
    /// Certificate and key, as PEM. Else it speaks without TLS.
    pub tls: Option<(&'a str, &'a str)>,
}

/// A running registry with nothing in it. Dropping it ends it and removes what it stored.
pub struct Registry {
    server: SocketAddr,
    folder: PathBuf,
    _watched: Watched,
}

impl Registry {
    /// Builds and starts a registry, and waits until it listens.
    ///
    /// # Errors
    /// Why there is none: no Go, a program that cannot be built, or what the registry said last.
    pub fn start(terms: &Terms<'_>) -> Result<Self, String> {
        let program = program("distribution", PACKAGE, VERSION)?;
        let made = tempfile::Builder::new().prefix("registry-").tempdir();
        let folder = made.map_err(|error| format!("folder of a registry: {error}"))?;
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let mut settings = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: ./data\nhttp:\n  addr: {server}\n"
        );
        let mut files = Vec::new();
        if let Some((certificate, key)) = terms.tls {
            settings += "  tls:\n    certificate: ./certificate.pem\n    key: ./key.pem\n";
            files.extend([("certificate.pem", certificate), ("key.pem", key)]);
        }
        if let Some(user) = terms.user {
            settings += "auth:\n  htpasswd:\n    realm: tests\n    path: ./htpasswd\n";
            files.push(("htpasswd", user));
        }
        files.push(("config.yml", &settings));
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text)
                .map_err(|error| format!("`{name}` of a registry: {error}"))?;
        }
        // Else it sends traces to a port where nobody listens, and logs that.
        let words = ["env", "OTEL_TRACES_EXPORTER=none"].map(OsString::from).into_iter();
        let words: Vec<_> = words.chain([program.into(), "serve".into(), "config.yml".into()]).collect();
        // From here on the watching shell removes the folder.
        let folder = folder.keep();
        let mut watched = Watched::new(&folder, &folder.join("registry.log"), &words)?;
        watched.start()?;
        let registry = Registry { server, folder, _watched: watched };
        registry.wait_until_ready()?;
        Ok(registry)
    }

    /// Where it is, as references name it: `localhost:port`.
    pub fn name(&self) -> String {
        format!("localhost:{}", self.server.port())
    }

    /// Where it listens.
    pub fn server(&self) -> SocketAddr {
        self.server
    }

    /// The file that holds the bytes with a digest, `sha256:…`.
    pub fn blob(&self, digest: &str) -> PathBuf {
        let digits = digest.trim_start_matches("sha256:");
        let first: String = digits.chars().take(2).collect();
        self.folder.join("data/docker/registry/v2/blobs/sha256").join(first).join(digits).join("data")
    }

    fn wait_until_ready(&self) -> Result<(), String> {
        let deadline = Instant::now() + READY_WITHIN;
        while TcpStream::connect_timeout(&self.server, Duration::from_secs(1)).is_err() {
            if Instant::now() >= deadline {
                return Err(format!(
                    "the registry at `{}` does not become ready:\n{}",
                    self.server,
                    log_tail(&self.folder)
                ));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }
}

fn log_tail(folder: &Path) -> String {
    last_lines(&std::fs::read_to_string(folder.join("registry.log")).unwrap_or_default(), 20)
}
