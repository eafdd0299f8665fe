//! Keys as values: what kinds there are, how they are written as text, which are held for opening.
//!
//! A key is named by its kid, derived from the key itself, so that two hosts never call different
//! keys the same. Private and symmetric bytes are wiped when dropped and never shown: `Debug` gives
//! kind and kid.

use super::{hex, random, sign};
use crate::error::{Error, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem, Serializable as _};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use zeroize::{Zeroize as _, Zeroizing};

/// The first word of a key's text; another version of the text would have another.
const TEXT_MAGIC: &str = "host-key-1";
/// Bytes of every kind of key.
const KEY_BYTES: usize = 32;

type Private = <X25519HkdfSha256 as Kem>::PrivateKey;
type Public = <X25519HkdfSha256 as Kem>::PublicKey;

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// Seals; may be known to anyone. `x25519-public` in text.
    Public,
    /// Opens what was sealed for its public half. `x25519-private` in text.
    Private,
    /// Seals and opens. `aes-256` in text.
    Symmetric,
    /// Tells what its private half signed; may be known to anyone. `ed25519-public` in text.
    Verifying,
    /// Signs. `ed25519-private` in text.
    Signing,
}

impl KeyKind {
    /// The word for it in a key's text.
    pub fn name(self) -> &'static str {
        match self {
            KeyKind::Public => "x25519-public",
            KeyKind::Private => "x25519-private",
            KeyKind::Symmetric => "aes-256",
            KeyKind::Verifying => "ed25519-public",
            KeyKind::Signing => "ed25519-private",
        }
    }

    /// Whether whoever has it can open or sign.
    pub fn is_secret(self) -> bool {
        !matches!(self, KeyKind::Public | KeyKind::Verifying)
    }
}

/// What may be told of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its name, 16 hex digits; a private key and its public half share it.
    pub kid: String,
    /// What it is for.
    pub kind: KeyKind,
    /// Where it was read from: `file:PATH`, `env:NAME` or `command:PROGRAM …`; none: made in memory.
    pub origin: Option<String>,
}

/// One key. Private and symmetric bytes are wiped when it is dropped.
#[derive(Clone)]
pub struct Key {
    kind: KeyKind,
    bytes: Zeroizing<[u8; KEY_BYTES]>,
    kid: String,
    pub(super) origin: Option<String>,
}

impl Key {
    /// Draws a secret key.
    ///
    /// # Errors
    /// Class Bug for a public kind, which comes from [`Key::public`]; class Retry when the
    /// operating system gives no random bytes.
    pub fn generate(kind: KeyKind) -> Result<Self> {
        if !kind.is_secret() {
            return Err(Error::bug("a public key is derived from a private one, not drawn"));
        }
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        random(bytes.as_mut_slice())?;
        Self::try_new(kind, bytes)
    }

    fn try_new(kind: KeyKind, bytes: Zeroizing<[u8; KEY_BYTES]>) -> Result<Self> {
        let kid = match kind {
            KeyKind::Private => kid(kind, &public_half(bytes.as_slice())?),
            KeyKind::Signing => kid(kind, &sign::public_half(&bytes)?),
            KeyKind::Public | KeyKind::Verifying | KeyKind::Symmetric => kid(kind, bytes.as_slice()),
        };
        Ok(Key { kind, bytes, kid, origin: None })
    }

    /// Reads a key's text: `host-key-1 KIND BASE64`, one line.
    ///
    /// # Errors
    /// Class Config, saying which of the three words is wrong; the text is never repeated.
    pub fn parse(text: &str) -> Result<Self> {
        let mut words = text.split_ascii_whitespace();
        let (magic, kind, data, more) = (words.next(), words.next(), words.next(), words.next());
        let expected = "expected one line `host-key-1 KIND BASE64`";
        if magic != Some(TEXT_MAGIC) {
            return Err(Error::config(format!("not a key: {expected}")));
        }
        let kinds = [KeyKind::Public, KeyKind::Private, KeyKind::Symmetric, KeyKind::Verifying, KeyKind::Signing];
        let Some(kind) = kinds.into_iter().find(|known| kind == Some(known.name())) else {
            let names = kinds.map(KeyKind::name).join("`, `");
            return Err(Error::config(format!("key of an unknown kind, expected one of `{names}`")));
        };
        let (Some(data), None) = (data, more) else {
            return Err(Error::config(format!("key has the wrong number of words: {expected}")));
        };
        // The decoder asks for room by the length of the text, so a little more than a key.
        let mut room = Zeroizing::new([0; 2 * KEY_BYTES]);
        let len = STANDARD.decode_slice(data, room.as_mut_slice()).unwrap_or(0);
        let bytes = room.get(..len).and_then(|bytes| bytes.as_array::<KEY_BYTES>());
        let bytes = bytes.ok_or_else(|| Error::config(format!("key is not {KEY_BYTES} bytes in base64")))?;
        Self::try_new(kind, Zeroizing::new(*bytes))
    }

    /// The text that [`Key::parse`] reads, with a line break.
    pub fn to_text(&self) -> Zeroizing<String> {
        // Room for all of it at once: a string that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(128));
        text.push_str(TEXT_MAGIC);
        text.push(' ');
        text.push_str(self.kind.name());
        text.push(' ');
        STANDARD.encode_string(self.bytes.as_slice(), &mut text);
        text.push('\n');
        text
    }

    /// The public half of a private key or of one that signs, or a public key itself.
    ///
    /// # Errors
    /// Class Config for a symmetric key, which has none.
    pub fn public(&self) -> Result<Self> {
        match self.kind {
            KeyKind::Public | KeyKind::Verifying => Ok(self.clone()),
            KeyKind::Signing => Self::try_new(KeyKind::Verifying, Zeroizing::new(sign::public_half(&self.bytes)?)),
            KeyKind::Private => Self::try_new(KeyKind::Public, Zeroizing::new(public_half(self.bytes.as_slice())?)),
            KeyKind::Symmetric => Err(Error::config(format!("key `{}` is symmetric and has no public half", self.kid))),
        }
    }

    /// The key as one that members are sealed for.
    ///
    /// # Errors
    /// Class Config for a private key: who seals has no business with it; and for one of a pair that signs.
    pub fn recipient(&self) -> Result<Recipient> {
        self.refuse_signing()?;
        if self.kind == KeyKind::Private {
            let error = Error::config(format!("key `{}` is private, sealing takes the public half", self.kid));
            return Err(error.with_hint("leave the private key where data is read, and give the public key here"));
        }
        Ok(Recipient(self.clone()))
    }

    /// A key that signs seals nothing, and opens nothing.
    fn refuse_signing(&self) -> Result<()> {
        match self.kind {
            KeyKind::Signing | KeyKind::Verifying => {
                let (kid, kind) = (&self.kid, self.kind.name());
                Err(Error::config(format!("key `{kid}` is `{kind}`, which is for signatures, expected one that seals")))
            }
            _ => Ok(()),
        }
    }

    /// What may be told of it.
    pub fn info(&self) -> KeyInfo {
        KeyInfo { kid: self.kid.clone(), kind: self.kind, origin: self.origin.clone() }
    }

    pub(super) fn kid(&self) -> &str {
        &self.kid
    }

    pub(super) fn kind(&self) -> KeyKind {
        self.kind
    }

    pub(super) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.bytes
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} {})", self.kind.name(), self.kid)
    }
}

/// A key that members are sealed for: public, or symmetric.
#[derive(Clone)]
pub struct Recipient(Key);

impl Recipient {
    /// The key's name.
    pub fn kid(&self) -> &str {
        &self.0.kid
    }

    pub(super) fn key(&self) -> &Key {
        &self.0
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The keys held for opening, by kid: private and symmetric ones.
#[derive(Debug, Clone, Default)]
pub struct KeyRing {
    keys: BTreeMap<String, Key>,
}

impl KeyRing {
    /// A ring of these keys.
    ///
    /// # Errors
    /// As [`KeyRing::add`].
    pub fn try_new(keys: impl IntoIterator<Item = Key>) -> Result<Self> {
        let mut ring = Self::default();
        for key in keys {
            ring.add(key)?;
        }
        Ok(ring)
    }

    /// Adds a key; one that is there already is replaced by itself.
    ///
    /// # Errors
    /// Class Config for a public key and for one of a pair that signs: they open nothing.
    pub fn add(&mut self, key: Key) -> Result<()> {
        key.refuse_signing()?;
        if key.kind == KeyKind::Public {
            return Err(Error::config(format!("key `{}` is public, opening takes the private half", key.kid)));
        }
        self.keys.insert(key.kid.clone(), key);
        Ok(())
    }

    /// The names of all keys, in order.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    pub(super) fn get(&self, kid: &str) -> Option<&Key> {
        self.keys.get(kid)
    }
}

/// First half of a SHA-256 in hex, over a word for the use and the key. One word for each kind, so
/// that a public key taken for a symmetric one would not be found under the same name.
fn kid(kind: KeyKind, bytes: &[u8]) -> String {
    let use_of_it: &[u8] = match kind {
        KeyKind::Symmetric => b"host-spool/1 kid aes-256",
        KeyKind::Public | KeyKind::Private => b"host-spool/1 kid x25519",
        KeyKind::Verifying | KeyKind::Signing => b"host-plugin/1 kid ed25519",
    };
    let digest = Sha256::new().chain_update(use_of_it).chain_update(bytes).finalize();
    let mut kid = hex(&digest);
    kid.truncate(16);
    kid
}

fn public_half(private: &[u8]) -> Result<[u8; KEY_BYTES]> {
    Ok(X25519HkdfSha256::sk_to_pk(&hpke_private(private)?).to_bytes().into())
}

pub(super) fn hpke_private(bytes: &[u8]) -> Result<Private> {
    Private::from_bytes(bytes).map_err(|_| Error::bug("a private key is not 32 bytes"))
}

pub(super) fn hpke_public(bytes: &[u8]) -> Result<Public> {
    Public::from_bytes(bytes).map_err(|_| Error::bug("a public key is not 32 bytes"))
}

impl Drop for Key {
    fn drop(&mut self) {
        // `Zeroizing` wipes the bytes; the kid of a symmetric key is a digest of it and goes too.
        self.kid.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorClass;

    #[test]
    fn a_key_comes_back_from_its_text_and_is_never_shown() {
        for kind in [KeyKind::Private, KeyKind::Symmetric, KeyKind::Signing] {
            let key = Key::generate(kind).unwrap();
            let text = key.to_text();
            let back = Key::parse(&text).unwrap();
            assert_eq!((back.info(), back.bytes()), (key.info(), key.bytes()));
            let secret = text.split_whitespace().last().unwrap();
            let ring = KeyRing::try_new([key.clone()]).map_err(|error| error.to_string());
            assert_eq!(ring.is_err(), kind == KeyKind::Signing);
            let shown = format!("{key:?} {ring:?} {:?}", key.recipient());
            assert!(!shown.contains(secret) && !shown.contains(&hex(key.bytes())), "{shown}");
        }
    }

    #[test]
    fn the_two_halves_have_one_name_and_each_its_place() {
        let private = Key::generate(KeyKind::Private).unwrap();
        let public = Key::parse(&private.public().unwrap().to_text()).unwrap();
        assert_eq!(public.info().kid, private.info().kid);
        let refused = [private.recipient().map(|_| ()), KeyRing::default().add(public)];
        for (result, word) in refused.into_iter().zip(["is private", "is public"]) {
            let error = result.unwrap_err();
            assert_eq!(error.class(), ErrorClass::Config);
            assert!(error.to_string().contains(word), "{error}");
        }
    }

    #[test]
    fn a_text_that_is_no_key_is_refused_without_repeating_it() {
        let good = Key::generate(KeyKind::Symmetric).unwrap().to_text();
        let data = good.split_whitespace().last().unwrap();
        let check = |text: &str, expected: &str| {
            let error = Key::parse(text).unwrap_err();
            assert_eq!(error.class(), ErrorClass::Config);
            assert!(error.to_string().contains(expected), "{error}");
            assert!(!error.to_string().contains(data), "{error}");
        };
        check(data, "not a key");
        check(&format!("host-key-2 aes-256 {data}"), "not a key");
        check(&format!("host-key-1 rsa {data}"), "unknown kind");
        check("host-key-1 aes-256", "wrong number of words");
        check(&format!("host-key-1 aes-256 {data} {data}"), "wrong number of words");
        check(&format!("host-key-1 aes-256 {data}{data}{data}"), "not 32 bytes in base64");
        check("host-key-1 aes-256 AAAA", "not 32 bytes in base64");
        check("host-key-1 aes-256 ****", "not 32 bytes in base64");
    }
}
