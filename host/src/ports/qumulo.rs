//! What is to be known of a Qumulo cluster before it is asked anything.

use crate::error::{Error, Result};
use crate::secret::Secret;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Port of the REST API on a cluster.
pub const DEFAULT_PORT: u16 = 8000;

/// Names in one page of a listing when nothing else is asked for; what the demo's `qq.pagesize` has.
pub const DEFAULT_PAGE_SIZE: u32 = 256;

/// How the host proves who it is.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// A user's name and password; the session lasts hours and is begun anew when it ends.
    Password {
        /// The user.
        user: String,
        /// Its password.
        password: Secret,
    },
    /// A long-lived access token, which is better: it can be ended without changing a password.
    AccessToken(Secret),
}

/// How the cluster proves who it is.
#[derive(Clone, PartialEq, Eq)]
pub enum Tls {
    /// By a certificate that one of the system's authorities signed.
    System,
    /// By a certificate that an authority in this PEM file signed, or that is in it.
    Ca(PathBuf),
    /// By the one certificate with this SHA-256 fingerprint, whatever names it has: for a cluster
    /// that still has the self-signed one it was delivered with.
    Pinned([u8; 32]),
    /// Not at all: whoever is in between can read and change everything. Each start warns of it.
    AcceptAny,
    /// No TLS: only for the embedded filer on this machine.
    None,
}

impl Tls {
    /// A pinned certificate, from the 64 hexadecimal digits of its SHA-256 fingerprint, with or
    /// without colons between the bytes.
    ///
    /// # Errors
    /// Class Config for any other text.
    pub fn pinned(fingerprint: &str) -> Result<Self> {
        let wrong = || {
            Error::config(format!("fingerprint `{fingerprint}`: expected 64 hexadecimal digits of a SHA-256 sum"))
                .with_hint("`openssl x509 -noout -fingerprint -sha256` prints it")
        };
        let digits: Vec<u8> = fingerprint
            .trim()
            .chars()
            .filter(|c| *c != ':')
            .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or_else(wrong))
            .collect::<Result<_>>()?;
        let bytes: Vec<u8> = digits
            .chunks(2)
            .map(|pair| match pair {
                [high, low] => Ok(high << 4 | low),
                _ => Err(wrong()),
            })
            .collect::<Result<_>>()?;
        bytes.try_into().map(Tls::Pinned).map_err(|_| wrong())
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tls::System => f.write_str("System"),
            Tls::Ca(path) => write!(f, "Ca({})", path.display()),
            Tls::Pinned(fingerprint) => write!(f, "Pinned({})", colons(fingerprint)),
            Tls::AcceptAny => f.write_str("AcceptAny"),
            Tls::None => f.write_str("None"),
        }
    }
}

/// A fingerprint as `openssl` prints it.
pub(crate) fn colons(fingerprint: &[u8]) -> String {
    let bytes: Vec<String> = fingerprint.iter().map(|byte| format!("{byte:02X}")).collect();
    bytes.join(":")
}

/// A cluster, a user and the directory that is the store's root.
#[derive(Debug, Clone)]
pub struct QumuloSettings {
    /// Name or address of the cluster.
    pub host: String,
    /// Port of its REST API.
    pub port: u16,
    /// Who the host is there.
    pub credentials: Credentials,
    /// The store's root: an absolute path on the cluster; made by
    /// [`make_directories`](crate::ports::files::Files::make_directories) when it is missing.
    pub directory: String,
    /// Names in one page of a listing; the cluster may give fewer.
    pub page_size: u32,
    /// How the cluster is known to be the one that is meant.
    pub tls: Tls,
    /// Longest wait for the answer of one small request.
    pub call_timeout: Duration,
    /// How long a call that may be repeated is repeated before its error comes out.
    pub retry_for: Duration,
    /// Bytes of one write request; a writer holds up to two of them.
    pub piece_bytes: usize,
    /// Longest time without a byte of a file that is being read.
    pub read_idle: Duration,
    /// How often a directory is looked at where the cluster has no change notification.
    pub poll_interval: Duration,
    /// Longest wait for the end of a tree's deletion.
    pub delete_tree_within: Duration,
}

impl QumuloSettings {
    /// Settings with the usual times and sizes, the system's certificates and the usual port.
    pub fn new(host: impl Into<String>, credentials: Credentials, directory: impl Into<String>) -> Self {
        QumuloSettings {
            host: host.into(),
            port: DEFAULT_PORT,
            credentials,
            directory: directory.into(),
            page_size: DEFAULT_PAGE_SIZE,
            tls: Tls::System,
            // A node that fails over answers within some tens of seconds.
            call_timeout: Duration::from_secs(30),
            retry_for: Duration::from_secs(30),
            // Over loopback, sizes of 1 to 16 MiB differ by less than the noise of the measurement; on a
            // network the larger ones hide the round trip between two pieces.
            piece_bytes: 8 << 20,
            read_idle: Duration::from_secs(30),
            poll_interval: Duration::from_secs(1),
            delete_tree_within: Duration::from_secs(60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_with_and_without_colons() {
        let plain = "00ff".repeat(16);
        let expected: [u8; 32] = std::array::from_fn(|at| if at % 2 == 0 { 0 } else { 255 });
        assert_eq!(Tls::pinned(&plain).unwrap(), Tls::Pinned(expected));
        assert_eq!(Tls::pinned(&format!(" {}\n", colons(&expected))).unwrap(), Tls::Pinned(expected));
        for wrong in ["", "00", &"0".repeat(63), &format!("{plain}0"), &"zz".repeat(32), &"é".repeat(64)] {
            Tls::pinned(wrong).unwrap_err();
        }
    }
}
