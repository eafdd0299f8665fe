//! How a member's data key travels: wrapped once for each recipient.
//!
//! Public recipients by HPKE (RFC 9180, base mode, single shot): DHKEM(X25519, HKDF-SHA256),
//! HKDF-SHA256, AES-256-GCM, `info` = `host-spool/1`. Symmetric ones by AES-256-GCM with a random
//! nonce. Both bind the member's `fixed` bytes and the kid as associated data, so that a wrapped key
//! opens only under the head it was made for and under the name it carries.

use super::head::MemberInfo;
use super::keys::{Key, KeyKind, KeyRing, Recipient, hpke_private, hpke_public};
use super::{random, reject};
use crate::error::{Error, Result};
use aes_gcm::aead::AeadInOut as _;
use aes_gcm::{Aes256Gcm, KeyInit as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem, OpModeR, OpModeS, Serializable as _};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The HPKE `info`: another format would have another.
const INFO: &[u8] = b"host-spool/1";
const DATA_KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
const WRAPPED_BYTES: usize = DATA_KEY_BYTES + TAG_BYTES;
const NONCE_BYTES: usize = 12;

/// More recipients than that are taken for an attack on the reader.
pub(super) const MAX_KEYS: usize = 64;

pub(super) type DataKey = Zeroizing<[u8; DATA_KEY_BYTES]>;

/// One entry of `keys`, as it stands in a head. An entry of a type that a later host writes is passed
/// over, as one for somebody else.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type")]
pub(super) enum WrappedKey {
    #[serde(rename = "hpke-x25519")]
    Hpke { kid: String, enc: String, key: String },
    #[serde(rename = "aes-256-gcm")]
    Symmetric { kid: String, nonce: String, key: String },
    #[serde(untagged)]
    Unknown {
        #[serde(rename = "type")]
        kind: String,
        kid: String,
    },
}

impl WrappedKey {
    pub(super) fn kid(&self) -> &str {
        match self {
            WrappedKey::Hpke { kid, .. } | WrappedKey::Symmetric { kid, .. } | WrappedKey::Unknown { kid, .. } => kid,
        }
    }
}

pub(super) fn draw_data_key() -> Result<DataKey> {
    let mut key = DataKey::default();
    random(key.as_mut_slice())?;
    Ok(key)
}

/// Wraps `data_key` for each recipient, in their order.
///
/// # Errors
/// Class Config: no recipient, more than [`MAX_KEYS`], one given twice, or a public key that is not a
/// point HPKE takes.
pub(super) fn wrap(data_key: &DataKey, fixed: &[u8], recipients: &[Recipient]) -> Result<Vec<WrappedKey>> {
    if recipients.is_empty() || recipients.len() > MAX_KEYS {
        let found = recipients.len();
        return Err(Error::config(format!("sealing for {found} recipients, expected 1 to {MAX_KEYS}")));
    }
    let mut wrapped: Vec<WrappedKey> = Vec::with_capacity(recipients.len());
    for recipient in recipients {
        if wrapped.iter().any(|earlier| earlier.kid() == recipient.kid()) {
            return Err(Error::config(format!("recipient `{}` is given twice", recipient.kid())));
        }
        wrapped.push(wrap_one(data_key, fixed, recipient.key())?);
    }
    Ok(wrapped)
}

fn wrap_one(data_key: &DataKey, fixed: &[u8], key: &Key) -> Result<WrappedKey> {
    let kid = key.kid().to_owned();
    let aad = associated(fixed, &kid);
    if key.kind() == KeyKind::Symmetric {
        let mut nonce = [0; NONCE_BYTES];
        random(&mut nonce)?;
        let mut sealed = Zeroizing::new(**data_key);
        let tag = Aes256Gcm::new(key.bytes().into())
            .encrypt_inout_detached(&nonce.into(), &aad, sealed.as_mut_slice().into())
            .map_err(|_| Error::bug(format!("data key is not wrapped for `{kid}`")))?;
        let key = STANDARD.encode([sealed.as_slice(), tag.as_slice()].concat());
        return Ok(WrappedKey::Symmetric { kid, nonce: STANDARD.encode(nonce), key });
    }
    // HPKE draws its own randomness and has no way to say that there was none; that cannot happen
    // any more here, because the data key was drawn, with an error, from the same place before.
    let public = hpke_public(key.bytes())?;
    let (enc, sealed) = hpke::single_shot_seal::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
        &OpModeS::Base,
        &public,
        INFO,
        data_key.as_slice(),
        &aad,
    )
    .map_err(|error| Error::config(format!("data key is not wrapped for `{kid}`: {error}")))?;
    Ok(WrappedKey::Hpke { kid, enc: STANDARD.encode(enc.to_bytes()), key: STANDARD.encode(sealed) })
}

/// Opens the first entry that a held key opens.
///
/// # Errors
/// Class Config when no held key is asked for, naming both sides; class Reject when one is, and does
/// not open its entry.
pub(super) fn unwrap(info: &MemberInfo, fixed: &[u8], wrapped: &[WrappedKey], ring: &KeyRing) -> Result<DataKey> {
    let mut broken = None;
    for entry in wrapped {
        let Some(key) = ring.get(entry.kid()) else { continue };
        match unwrap_one(fixed, entry, key) {
            Some(data_key) => return Ok(data_key),
            None => broken = broken.or(Some(entry.kid())),
        }
    }
    let id = &info.id;
    if let Some(kid) = broken {
        return Err(reject(format!(
            "member `{id}`: the data key wrapped for `{kid}` fails authentication: the head was altered"
        )));
    }
    let list = |kids: Vec<&str>| match kids.is_empty() {
        true => "none".to_owned(),
        false => format!("`{}`", kids.join("`, `")),
    };
    let wanted = list(wrapped.iter().map(WrappedKey::kid).collect());
    let held = list(ring.kids().collect());
    Err(Error::config(format!("member `{id}`: no key opens it: sealed for {wanted}, held {held}")))
}

fn unwrap_one(fixed: &[u8], entry: &WrappedKey, key: &Key) -> Option<DataKey> {
    let aad = associated(fixed, entry.kid());
    match (entry, key.kind()) {
        (WrappedKey::Hpke { enc, key: sealed, .. }, KeyKind::Private) => {
            let enc = decode::<32>(enc)?;
            let sealed = decode::<WRAPPED_BYTES>(sealed)?;
            let plain = hpke::single_shot_open::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
                &OpModeR::Base,
                &hpke_private(key.bytes()).ok()?,
                &<X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(&enc).ok()?,
                INFO,
                &sealed,
                &aad,
            );
            let plain = Zeroizing::new(plain.ok()?);
            plain.as_array::<DATA_KEY_BYTES>().map(|bytes| Zeroizing::new(*bytes))
        }
        (WrappedKey::Symmetric { nonce, key: sealed, .. }, KeyKind::Symmetric) => {
            let nonce = decode::<NONCE_BYTES>(nonce)?;
            let sealed = decode::<WRAPPED_BYTES>(sealed)?;
            let (body, tag) = sealed.split_first_chunk::<DATA_KEY_BYTES>()?;
            let tag = tag.as_array::<TAG_BYTES>()?;
            let mut plain = Zeroizing::new(*body);
            Aes256Gcm::new(key.bytes().into())
                .decrypt_inout_detached(&nonce.into(), &aad, plain.as_mut_slice().into(), tag.into())
                .ok()?;
            Some(plain)
        }
        _ => None,
    }
}

fn associated(fixed: &[u8], kid: &str) -> Vec<u8> {
    [fixed, kid.as_bytes()].concat()
}

/// Exactly `N` bytes in base64 with padding, its unused bits zero.
fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    STANDARD.decode(text).ok()?.as_array::<N>().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::unhex;
    use hpke::aead::AesGcm128;

    /// RFC 9180, A.1.1: KEM and KDF are ours, the AEAD of the appendix is AES-128-GCM; the whole
    /// suite is tested against another implementation by `tests/readers/open_spool.py`.
    #[test]
    fn hpke_opens_what_the_rfc_sealed() {
        let seed: [u8; 32] = unhex("6db9df30aa07dd42ee5e8181afdb977e538f5e1fec8a06223f33f7013e525037").unwrap();
        let enc: [u8; 32] = unhex("37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431").unwrap();
        let sealed: [u8; 45] =
            unhex("f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a")
                .unwrap();
        let (private, _) = X25519HkdfSha256::derive_keypair(&seed);
        let plain = hpke::single_shot_open::<AesGcm128, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &private,
            &<X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(&enc).unwrap(),
            b"Ode on a Grecian Urn",
            &sealed,
            b"Count-0",
        );
        assert_eq!(plain.unwrap(), b"Beauty is truth, truth beauty");
    }

    #[test]
    fn a_wrapped_key_is_bound_to_head_and_kid() {
        for kind in [KeyKind::Private, KeyKind::Symmetric] {
            let key = Key::generate(kind).unwrap();
            let recipient = key.public().unwrap_or_else(|_| key.clone()).recipient().unwrap();
            let data_key = draw_data_key().unwrap();
            let [entry] = wrap(&data_key, b"fixed", &[recipient]).unwrap().try_into().unwrap();
            assert_eq!(unwrap_one(b"fixed", &entry, &key).as_deref(), Some(&*data_key));
            assert_eq!(unwrap_one(b"fixes", &entry, &key), None);
            let mut renamed = entry.clone();
            match &mut renamed {
                WrappedKey::Hpke { kid, .. } | WrappedKey::Symmetric { kid, .. } => kid.push('0'),
                WrappedKey::Unknown { .. } => unreachable!(),
            }
            assert_eq!(unwrap_one(b"fixed", &renamed, &key), None);
            let other = Key::generate(kind).unwrap();
            assert_eq!(unwrap_one(b"fixed", &entry, &other), None);
        }
    }

    #[test]
    fn base64_has_one_spelling() {
        assert_eq!(decode::<1>("AA=="), Some([0]));
        for other in ["AB==", "AA", "AA=", "AA==\n", "AAA=", ""] {
            assert_eq!(decode::<1>(other), None, "{other}");
        }
    }
}
