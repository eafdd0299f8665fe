//! Signatures of plugins: Ed25519 over a word for the use and what is signed.

use super::keys::{Key, KeyKind};
use crate::error::{Error, Result};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;
/// What a signature of this kind cannot be taken for anything else by.
const USE: &[u8] = b"host-plugin/1 signature\0";

impl Key {
    /// Signs `bytes`.
    ///
    /// # Errors
    /// Class Config for a key that is not [`KeyKind::Signing`].
    pub fn sign(&self, bytes: &[u8]) -> Result<[u8; SIGNATURE_BYTES]> {
        self.expect(KeyKind::Signing)?;
        let pair = pair(self.bytes())?;
        let signature = pair.sign(&[USE, bytes].concat());
        let found = signature.as_ref().as_array::<SIGNATURE_BYTES>().copied();
        found.ok_or_else(|| Error::bug("a signature is not 64 bytes"))
    }

    /// Whether `signature` is one of `bytes` by the other half of this key.
    ///
    /// # Errors
    /// Class Config for a key that is not [`KeyKind::Verifying`].
    pub fn verify(&self, bytes: &[u8], signature: &[u8]) -> Result<bool> {
        self.expect(KeyKind::Verifying)?;
        Ok(UnparsedPublicKey::new(&ED25519, self.bytes()).verify(&[USE, bytes].concat(), signature).is_ok())
    }

    fn expect(&self, kind: KeyKind) -> Result<()> {
        let (found, expected, kid) = (self.kind().name(), kind.name(), self.kid());
        match self.kind() == kind {
            true => Ok(()),
            false => Err(Error::config(format!("key `{kid}` is `{found}`, expected `{expected}`"))
                .with_hint("`host keys generate NAME --signing` makes a pair: NAME.key signs, NAME.pub verifies")),
        }
    }
}

/// The half of a signing key that may be known to anyone.
pub(super) fn public_half(seed: &[u8; 32]) -> Result<[u8; 32]> {
    let found = pair(seed)?.public_key().as_ref().as_array::<32>().copied();
    found.ok_or_else(|| Error::bug("a public key is not 32 bytes"))
}

fn pair(seed: &[u8; 32]) -> Result<Ed25519KeyPair> {
    Ed25519KeyPair::from_seed_unchecked(seed).map_err(|error| Error::bug(format!("a signing key: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_these_bytes_and_by_this_key() {
        let key = Key::generate(KeyKind::Signing).unwrap();
        let (public, other) = (key.public().unwrap(), Key::generate(KeyKind::Signing).unwrap().public().unwrap());
        assert_eq!(public.info().kid, key.info().kid);
        let mut signature = key.sign(b"plugin").unwrap();
        assert!(public.verify(b"plugin", &signature).unwrap());
        assert!(!public.verify(b"plugim", &signature).unwrap() && !other.verify(b"plugin", &signature).unwrap());
        signature[7] ^= 1;
        assert!(!public.verify(b"plugin", &signature).unwrap() && !public.verify(b"plugin", b"").unwrap());
    }

    #[test]
    fn a_key_of_another_kind_neither_signs_nor_verifies() {
        let private = Key::generate(KeyKind::Private).unwrap();
        let error = private.sign(b"x").unwrap_err().to_string();
        assert!(error.contains("is `x25519-private`, expected `ed25519-private`"), "{error}");
        assert!(private.verify(b"x", &[0; 64]).is_err());
    }
}
