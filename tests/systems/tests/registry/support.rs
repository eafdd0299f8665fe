//! What the tests share: one registry, a host that pushes and pulls, requests made by hand.

use host::error::Result;
use host::io::oci::{Access, Description, Pulled, Pushed, Reference, pull, push};
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::OnceLock;
use std::time::Duration;
use systems::or_skip;
use systems::registry::{Registry, Terms};
use tokio::runtime::Runtime;

pub const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const SILENCE: Duration = Duration::from_secs(60);

/// The registry that all tests share which do not need one with terms.
pub fn registry() -> Option<&'static Registry> {
    static REGISTRY: OnceLock<std::result::Result<Registry, String>> = OnceLock::new();
    or_skip(REGISTRY.get_or_init(|| Registry::start(&Terms::default())).as_ref().map_err(Clone::clone))
}

/// A password that nobody had before.
pub fn drawn() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A host's commands, as one user.
pub struct Host {
    runtime: Runtime,
    access: Access,
}

impl Host {
    pub fn new() -> Self {
        Self::with(Access::default())
    }

    pub fn with(access: Access) -> Self {
        let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
        Host { runtime: Runtime::new().unwrap(), access }
    }

    pub fn push(&self, reference: &Reference, component: &[u8]) -> Result<Pushed> {
        let exports = ["connector:plugin/source-task@0.1.0".to_owned()];
        let description =
            Description { title: "wiki_source", version: "0.1.0", exports: &exports, ..Description::default() };
        push(self.runtime.handle(), reference, &self.access, component.to_vec(), &description)
    }

    pub fn pull(&self, reference: &Reference) -> Result<Pulled> {
        self.pull_at_most(reference, 64 << 20)
    }

    pub fn pull_at_most(&self, reference: &Reference, max_bytes: usize) -> Result<Pulled> {
        pull(self.runtime.handle(), reference, &self.access, max_bytes)
    }
}

/// Bytes that begin as a component does, other ones for each size.
pub fn component(size: usize) -> Vec<u8> {
    let numbers = (0..size).map(|at| u8::try_from((at * 31 + at / 251) % 256).unwrap());
    b"\0asm\x0d\0\x01\0".iter().copied().chain(numbers).collect()
}

pub fn digest(bytes: &[u8]) -> String {
    let digits: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

/// A certificate for `localhost` that signs itself, and its key.
pub fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// An index with one manifest in it.
pub fn index(kind: &str, digest: &str, size: usize) -> String {
    let manifest = serde_json::json!({ "mediaType": MANIFEST_TYPE, "digest": digest, "size": size,
        "platform": { "architecture": "amd64", "os": "linux" } });
    serde_json::json!({ "schemaVersion": 2, "mediaType": kind, "manifests": [manifest] }).to_string()
}

/// A manifest, word for word.
pub fn get_manifest(registry: &Registry, name: &str, tag: &str) -> String {
    let head = format!("GET /v2/{name}/manifests/{tag} HTTP/1.0\r\nAccept: {MANIFEST_TYPE}\r\n");
    exchange(registry, &head, "", "200")
}

/// Puts a manifest under a tag.
pub fn put_manifest(registry: &Registry, name: &str, tag: &str, kind: &str, manifest: &str) {
    let length = manifest.len();
    let head =
        format!("PUT /v2/{name}/manifests/{tag} HTTP/1.0\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n");
    exchange(registry, &head, manifest, "201");
}

/// In HTTP/1.0: the answer ends with the connection.
fn exchange(registry: &Registry, head: &str, body: &str, expected: &str) -> String {
    let mut stream = TcpStream::connect(registry.server()).unwrap();
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    stream.write_all(format!("{head}Host: {}\r\n\r\n{body}", registry.name()).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(head.split_ascii_whitespace().nth(1), Some(expected), "{answer}");
    body.to_owned()
}
