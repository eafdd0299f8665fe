//! One registry as one user, over the library `oci-client`. Its errors are given the host's class here.

use super::reference::Reference;
use super::{Access, Patience};
use crate::error::{Error, OrError, Result, innermost};
use bytes::Bytes;
use futures_util::StreamExt;
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::{DigestError, OciDistributionError, OciErrorCode};
use oci_client::manifest::{
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE,
    OciDescriptor,
};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, RegistryOperation};
use std::path::Path;
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};

/// All kinds of manifest are asked for, so that the wrong one can be named.
const ACCEPTED: &[&str] =
    &[OCI_IMAGE_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, IMAGE_MANIFEST_LIST_MEDIA_TYPE];
/// Of a text that a registry sent, in characters.
const MAX_SHOWN: usize = 200;

/// A registry, for the one artifact that a reference names.
pub(super) struct Registry {
    client: Client,
    auth: RegistryAuth,
    reference: Reference,
}

impl Registry {
    /// For the registry of `reference`; asks it nothing yet.
    ///
    /// # Errors
    /// Class Config: half of the credentials, or a certificate file that cannot be used.
    pub(super) fn new(reference: &Reference, access: &Access, patience: &Patience) -> Result<Self> {
        let auth = match (&access.username, &access.password) {
            (None, None) => RegistryAuth::Anonymous,
            (Some(name), Some(password)) => RegistryAuth::Basic(name.clone(), password.expose().to_owned()),
            (Some(_), None) => return Err(Error::config("a user name without a password, expected both or neither")),
            (None, Some(_)) => return Err(Error::config("a password without a user name, expected both or neither")),
        };
        let is_plain = access.plain_http || (access.ca_file.is_none() && reference.is_loopback());
        let config = ClientConfig {
            protocol: if is_plain { ClientProtocol::Http } else { ClientProtocol::Https },
            tls_certs_only: access.ca_file.as_deref().map(certificates).transpose()?.unwrap_or_default(),
            connect_timeout: Some(patience.dial),
            read_timeout: Some(patience.silence),
            // Images for several platforms are refused, not chosen from.
            platform_resolver: None,
            ..ClientConfig::default()
        };
        let client = Client::try_from(config).or_config("client for a registry")?;
        Ok(Registry { client, auth, reference: reference.clone() })
    }

    /// Gets what the registry wants from its user, a token for instance. The library would do so by itself, but
    /// take a refusal for the wish to go on as nobody.
    ///
    /// # Errors
    /// As [`Registry::failed`].
    pub(super) async fn sign_in(&self, to: RegistryOperation) -> Result<()> {
        let signed_in = self.client.auth(self.reference.inner(), &self.auth, to).await;
        signed_in.map(drop).map_err(|error| self.failed(&error))
    }

    /// The manifest's bytes; those that the reference is pinned to, if it is.
    ///
    /// # Errors
    /// As [`Registry::failed`].
    pub(super) async fn manifest(&self) -> Result<Bytes> {
        let pulled = self.client.pull_manifest_raw(self.reference.inner(), &self.auth, ACCEPTED).await;
        match pulled {
            Ok((bytes, _)) => Ok(bytes),
            Err(error) if is_not_found(&error) => {
                Err(self.explain_missing().await.unwrap_or_else(|| self.failed(&error)))
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// What the tag is now, when the manifest that it is pinned to is not there.
    async fn explain_missing(&self) -> Option<Error> {
        let (tag, digest) = (self.reference.tag()?, self.reference.digest()?);
        let unpinned = self.reference.unpinned()?;
        let now = self.client.fetch_manifest_digest(unpinned.inner(), &self.auth).await.ok()?;
        let error = Error::config(format!("the registry has no `{digest}`, its tag `{tag}` is `{}`", shown(&now)));
        Some(error.with_hint("if you trust what is there now, pin the reference to it"))
    }

    /// A layer's bytes, checked against its digest. Never asked for elsewhere than in the registry: a manifest
    /// may name other addresses, which are not followed.
    ///
    /// # Errors
    /// Class Config when it is longer than its manifest says; else as [`Registry::failed`].
    pub(super) async fn layer(&self, layer: &OciDescriptor, size: usize) -> Result<Vec<u8>> {
        let blob = self.client.pull_blob_stream(self.reference.inner(), layer.digest.as_str()).await;
        let mut chunks = blob.map_err(|error| self.failed(&error))?.stream;
        let mut bytes = Vec::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| broken(&error))?;
            if bytes.len() + chunk.len() > size {
                return Err(Error::config(format!("more than {size} bytes, which is its size in the manifest")));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// Stores bytes under their digest.
    ///
    /// # Errors
    /// As [`Registry::failed`].
    pub(super) async fn store(&self, bytes: Bytes, digest: &str) -> Result<()> {
        let stored = self.client.push_blob(self.reference.inner(), bytes, digest).await;
        stored.map(drop).map_err(|error| self.failed(&error))
    }

    /// Gives the reference's tag to a manifest.
    ///
    /// # Errors
    /// As [`Registry::failed`].
    pub(super) async fn tag(&self, manifest: Bytes) -> Result<()> {
        let kind = reqwest::header::HeaderValue::from_static(OCI_IMAGE_MEDIA_TYPE);
        let tagged = self.client.push_manifest_raw(self.reference.inner(), manifest, kind).await;
        tagged.map(drop).map_err(|error| self.failed(&error))
    }

    /// A library's error as the host's: class Retry for what is not reached, does not answer in time or is too
    /// busy; class Config for the rest.
    fn failed(&self, error: &OciDistributionError) -> Error {
        if is_not_found(error) {
            return Error::config("not found").with_hint("was it pushed, and may this user see it?");
        }
        match error {
            OciDistributionError::AuthenticationFailure(_) | OciDistributionError::UnauthorizedError { .. } => {
                self.refused()
            }
            OciDistributionError::ServerError { code: 401 | 403, .. } => self.refused(),
            OciDistributionError::ServerError { code: code @ (408 | 429 | 500..), .. } => {
                Error::retry(format!("the registry answers with status {code}"))
            }
            OciDistributionError::ServerError { code, .. } => {
                Error::config(format!("the registry answers with status {code}"))
            }
            OciDistributionError::RegistryError { envelope, .. } => match envelope.errors.first() {
                Some(first) if matches!(first.code, OciErrorCode::Unauthorized | OciErrorCode::Denied) => {
                    self.refused()
                }
                Some(first) => {
                    let message = format!("the registry refuses: {}", shown(&first.to_string()));
                    if first.code == OciErrorCode::Toomanyrequests {
                        Error::retry(message)
                    } else {
                        Error::config(message)
                    }
                }
                None => Error::config("the registry refuses without a reason"),
            },
            OciDistributionError::DigestError(error) => altered(error),
            OciDistributionError::RequestError(error) => unreached(error),
            OciDistributionError::IoError(error) => broken(error),
            // Only texts of the library are left, without addresses.
            other => Error::config(format!("not the answer of a registry: {}", shown(&other.to_string()))),
        }
    }

    fn refused(&self) -> Error {
        match &self.auth {
            RegistryAuth::Anonymous => Error::config("the registry wants a user name and a password"),
            _ => Error::config("the registry refuses this user name and password")
                .with_hint("are they right, and may this user do so?"),
        }
    }
}

/// The certificates of a file.
fn certificates(path: &Path) -> Result<Vec<Certificate>> {
    let attempt = format!("certificates `{}`", path.display());
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_file_iter(path).or_config(&attempt)? {
        let data = certificate.or_config(&attempt)?.to_vec();
        found.push(Certificate { encoding: CertificateEncoding::Der, data });
    }
    // With none, the library would trust those of the system.
    if found.is_empty() {
        return Err(Error::config(format!("{attempt}: none in it, expected PEM")));
    }
    Ok(found)
}

fn is_not_found(error: &OciDistributionError) -> bool {
    use OciErrorCode::{BlobUnknown, ManifestBlobUnknown, ManifestUnknown, NameUnknown, NotFound};
    match error {
        OciDistributionError::ServerError { code, .. } => *code == 404,
        OciDistributionError::RegistryError { envelope, .. } => envelope.errors.first().is_some_and(|first| {
            matches!(first.code, BlobUnknown | ManifestBlobUnknown | ManifestUnknown | NameUnknown | NotFound)
        }),
        _ => false,
    }
}

/// What went wrong in the midst of an answer.
fn broken(error: &std::io::Error) -> Error {
    let inner = error.get_ref();
    if let Some(error) = inner.and_then(|inner| inner.downcast_ref::<DigestError>()) {
        return altered(error);
    }
    match inner.and_then(|inner| inner.downcast_ref::<reqwest::Error>()) {
        Some(error) => unreached(error),
        None => Error::retry(format!("the answer breaks off: {error}")),
    }
}

fn altered(error: &DigestError) -> Error {
    match error {
        DigestError::VerificationError { expected, actual } => {
            Error::config(format!("what the registry sends is `{}`, expected `{}`", shown(actual), shown(expected)))
        }
        other => Error::config(format!("the registry names no digest: {}", shown(&other.to_string()))),
    }
}

fn unreached(error: &reqwest::Error) -> Error {
    let reason = innermost(error, error.is_timeout());
    // An address that the registry sent, not one that the operator could reach later.
    if error.is_builder() || error.is_redirect() {
        return Error::config(format!("the registry sends to an address that cannot be used: {reason}"));
    }
    let unreached = Error::retry(reason);
    if !error.is_connect() {
        return unreached;
    }
    unreached.with_hint(
        "does it run there, with TLS unless it is asked for without, and with a certificate that is trusted?",
    )
}

/// A text that a registry sent, in one line and not too long.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(MAX_SHOWN).flat_map(char::escape_debug).collect()
}
