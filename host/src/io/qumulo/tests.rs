//! The client against a scripted server: what must go right when an answer is lost, cut, odd or
//! wrong. The contract suite and an emulator of the API test the rest.

mod data;
mod script;
mod sessions;
mod watching;

use super::QumuloFiles;
use crate::error::{Error, ErrorClass, Result};
use crate::ports::files::{FileInfo, FileKind, FilePath, Files};
use crate::ports::qumulo::{Credentials, QumuloSettings, Tls};
use crate::secret::Secret;
use script::{Asked, Reply, Script};
use std::time::Duration;

const PASSWORD: &str = "hunter2-never-shown";

fn secret(value: &str) -> Secret {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    std::fs::write(&path, value).unwrap();
    Secret::resolve("test", &format!("file:{}", path.display())).unwrap()
}

fn settings(script: &Script) -> QumuloSettings {
    let credentials = Credentials::Password { user: "admin".to_owned(), password: secret(PASSWORD) };
    QumuloSettings {
        port: script.address.port(),
        tls: Tls::None,
        page_size: 2,
        piece_bytes: 8,
        call_timeout: Duration::from_secs(5),
        retry_for: Duration::from_secs(5),
        read_idle: Duration::from_secs(5),
        poll_interval: Duration::from_millis(20),
        ..QumuloSettings::new("127.0.0.1", credentials, "/spool/")
    }
}

fn connect(script: &Script) -> QumuloFiles {
    QumuloFiles::new(settings(script), script.runtime.handle().clone()).unwrap()
}

fn path(text: &str) -> FilePath {
    FilePath::new(text).unwrap()
}

fn file(name: &str, id: &str, bytes: u64) -> FileInfo {
    FileInfo { path: path(name), id: id.to_owned(), kind: FileKind::File, bytes, modified_ms: 0 }
}

/// Attributes as a cluster gives them.
fn attributes(name: &str, id: &str, bytes: u64) -> String {
    format!(
        r#"{{"path": "/spool/{name}", "name": "{name}", "id": "{id}", "type": "FS_FILE_TYPE_FILE", "size": "{bytes}",
            "modification_time": "2024-05-17T13:23:40.283585722Z", "num_links": 1, "from_the_future": {{}}}}"#
    )
}

fn page(names: &[&str], next: &str) -> Reply {
    let files: Vec<String> = names.iter().map(|name| attributes(name, &format!("1{name}"), 1)).collect();
    Reply::json(format!(r#"{{"id": "7", "files": [{}], "paging": {{"next": "{next}"}}}}"#, files.join(",")))
}

fn names(files: &QumuloFiles) -> Result<Vec<String>> {
    let mut all = Vec::new();
    let mut each = |info: FileInfo| {
        all.push(info.path.as_str().to_owned());
        Ok(())
    };
    files.list(&FilePath::root(), &mut each).map(|_| all)
}

fn failed<T>(result: Result<T>, class: ErrorClass) -> Error {
    let error = result.err().expect("an error");
    assert_eq!(error.class(), class, "{error}");
    let text = format!("{error:?}");
    assert!(!text.contains(PASSWORD) && !text.contains("http://"), "{text}");
    error
}
