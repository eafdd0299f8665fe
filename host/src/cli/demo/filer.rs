//! An embedded filer: the emulator over a folder, with TLS and a password of its own, so that the demo
//! goes the same way as to a cluster.

use crate::cli::output::error_line;
use crate::error::{OrError, Result};
use host_emulators::qumulo::{self, QumuloHandle};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// A running filer.
pub(super) struct Filer {
    handle: QumuloHandle,
    certificate: PathBuf,
    password: PathBuf,
}

impl Filer {
    /// Starts one over `DIR/NAME`; its password is drawn once and kept for its owner alone.
    pub(super) fn start(runtime: &Runtime, dir: &Path, name: &str) -> Result<Self> {
        let (password, text) = kept_password(dir, name)?;
        let options = qumulo::Options { password: Some(text), ..qumulo::Options::new(dir.join(name)) };
        let attempt = format!("embedded filer `{name}`");
        let handle = runtime.block_on(async {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.or_config(&attempt)?;
            qumulo::start(listener, options).await.or_config(&attempt)
        })?;
        let certificate = password.with_extension("pem");
        std::fs::write(&certificate, handle.certificate_pem().unwrap_or_default()).or_config(&attempt)?;
        error_line(&format!(
            "{attempt}: Qumulo API on https://{}, files in `{}`",
            handle.addr(),
            dir.join(name).display()
        ));
        Ok(Filer { handle, certificate, password })
    }

    /// The keys that a connector reaches it with.
    pub(super) fn keys(&self) -> [(&'static str, String); 5] {
        [
            ("qq.hostname", self.handle.addr().ip().to_string()),
            ("qq.port", self.handle.addr().port().to_string()),
            ("qq.username", self.handle.user().to_owned()),
            ("qq.password", format!("file:{}", self.password.display())),
            ("qq.tls.ca.file", self.certificate.display().to_string()),
        ]
    }

    pub(super) fn stop(self, runtime: &Runtime) {
        runtime.block_on(self.handle.stop());
    }
}

/// The password of a part of the demo, drawn once and kept for its owner alone: its file and its text.
pub(super) fn kept_password(dir: &Path, name: &str) -> Result<(PathBuf, String)> {
    let secrets = dir.join("secrets");
    std::fs::create_dir_all(&secrets).or_config(format!("folder `{}`", secrets.display()))?;
    let path = secrets.join(format!("{name}.password"));
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(_) => draw_password(&path)?,
    };
    Ok((path, text))
}

fn draw_password(path: &Path) -> Result<String> {
    let attempt = format!("password file `{}`", path.display());
    let text = format!("{:032x}", rand::random::<u128>());
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).or_config(&attempt)?;
    file.write_all(text.as_bytes()).or_config(&attempt)?;
    Ok(text)
}
