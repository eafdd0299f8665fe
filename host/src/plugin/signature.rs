//! Signatures of a component file: custom sections at its end, each over everything before the first of them, so that
//! any number of people sign the same bytes, in any order.

use super::package::{Package, append};
use crate::crypto::{Key, KeyKind, SIGNATURE_BYTES, load_key};
use crate::error::{Error, Result};
use crate::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

/// Name of a section that holds one signature: `1 KEY-ID BASE64`.
pub(super) const SECTION: &str = "connector:signature";
/// A file that was signed more often is something else.
const MAX_SIGNATURES: usize = 32;

/// A signature as it stands in a file.
#[derive(Debug, Clone)]
pub(super) struct Signature {
    kid: String,
    bytes: [u8; SIGNATURE_BYTES],
    /// The section.
    range: Range<usize>,
}

impl Signature {
    /// `contents` is where the section's name and data are.
    pub(super) fn parse(data: &[u8], contents: Range<usize>) -> Result<Self> {
        let wrong = || Error::config(format!("a section `{SECTION}` that is no signature, expected `1 KEY-ID BASE64`"));
        let text = std::str::from_utf8(data).map_err(|_| wrong())?;
        let words: Vec<&str> = text.split(' ').collect();
        let ["1", kid, signature] = words.as_slice() else { return Err(wrong()) };
        let bytes = STANDARD.decode(signature).map_err(|_| wrong())?;
        let bytes = *bytes.as_array::<SIGNATURE_BYTES>().ok_or_else(wrong)?;
        // An id of one byte and the length in LEB128, as short as it can be.
        let bits = usize::BITS - contents.len().leading_zeros();
        let head = 1 + bits.div_ceil(7) as usize;
        let start = contents.start.checked_sub(head).ok_or_else(wrong)?;
        Ok(Signature { kid: (*kid).to_owned(), bytes, range: start..contents.end })
    }
}

impl Package {
    /// What is signed: the file without its signatures.
    fn content(&self) -> Result<&[u8]> {
        let mut end = self.bytes.len();
        for signature in self.signatures.iter().rev() {
            if signature.range.end != end {
                return Err(Error::deny("something was appended to the plugin behind a signature")
                    .with_hint("get the file anew from who signed it"));
            }
            end = signature.range.start;
        }
        self.bytes.get(..end).ok_or_else(|| Error::bug("a signature lies beyond its file"))
    }

    /// The ids of the keys that it is said to be signed by; see [`Signers::check`] for whether it is.
    pub fn signed_by(&self) -> Vec<&str> {
        self.signatures.iter().map(|signature| signature.kid.as_str()).collect()
    }

    /// Its bytes with a signature by `key`; as they are where the key has signed them already.
    ///
    /// # Errors
    /// Class Config: not a key that signs, or too many signatures. Class Deny: the file was changed behind its
    /// signatures.
    pub fn sign(&self, key: &Key) -> Result<Vec<u8>> {
        let content = self.content()?;
        let signature = key.sign(content)?;
        let kid = key.info().kid;
        let mut bytes = self.bytes.clone();
        if self.signatures.iter().any(|found| found.kid == kid && found.bytes == signature) {
            return Ok(bytes);
        }
        if self.signatures.len() >= MAX_SIGNATURES {
            return Err(Error::config(format!("the plugin has {MAX_SIGNATURES} signatures already")));
        }
        append(&mut bytes, SECTION, format!("1 {kid} {}", STANDARD.encode(signature)).as_bytes());
        Ok(bytes)
    }
}

/// Whose signatures count, and whether a plugin needs one.
#[derive(Debug, Clone, Default)]
pub struct Signers {
    keys: BTreeMap<String, Key>,
    required: bool,
}

impl Signers {
    /// Reads the public keys that `names` point to (`file:PATH` from `folder`, `env:NAME`, `command:PROGRAM`).
    ///
    /// # Errors
    /// Class Config: one that is no public key of a pair that signs; none, where a signature is required.
    pub fn load(option: &str, names: &[String], folder: &Path, required: bool) -> Result<Self> {
        let mut keys = BTreeMap::new();
        for name in names {
            let key = load_key(option, &Secret::name_from(name, folder))?;
            let info = key.info();
            if info.kind != KeyKind::Verifying {
                let (kid, found, expected) = (&info.kid, info.kind.name(), KeyKind::Verifying.name());
                return Err(Error::config(format!(
                    "option `{option}`: key `{kid}` is `{found}`, expected `{expected}`"
                ))
                .with_hint("the .key of a pair stays with who signs; name its .pub here"));
            }
            keys.insert(info.kid, key);
        }
        if required && keys.is_empty() {
            return Err(Error::config(format!("option `require.signatures` is set, and `{option}` names no key"))
                .with_hint("name the .pub file of whoever signs your plugins, or no plugin can run"));
        }
        Ok(Signers { keys, required })
    }

    /// The ids of the trusted keys that signed a package, each signature checked.
    ///
    /// # Errors
    /// Class Deny: a trusted key's signature that is not of these bytes; none, where one is required.
    pub fn check(&self, package: &Package) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for signature in &package.signatures {
            let Some(key) = self.keys.get(&signature.kid) else { continue };
            if !key.verify(package.content()?, &signature.bytes)? {
                let kid = &signature.kid;
                return Err(Error::deny(format!(
                    "the signature by key `{kid}` is not of this file: it was changed since"
                ))
                .with_hint("get the file anew from who signed it"));
            }
            found.push(signature.kid.clone());
        }
        if self.required && found.is_empty() {
            let signers = package.signed_by();
            let by = match signers.is_empty() {
                true => "it has no signature".to_owned(),
                false => format!("it is signed by `{}`", signers.join("`, `")),
            };
            let trusted: Vec<&str> = self.keys.keys().map(String::as_str).collect();
            return Err(Error::deny(format!("{by}, expected one of `{}`", trusted.join("`, `"))).with_hint(
                "sign it with `host plugin sign FILE --key file:NAME.key`, or trust who did in `trusted.keys`",
            ));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::create_key_file;
    use crate::error::ErrorClass;

    /// A component with a manifest and what makes it a source, as far as anyone reads.
    fn package() -> Package {
        let manifest = "[plugin]\nname = \"x\"\nversion = \"1.0.0\"\nworld = \"source\"\n";
        let mut bytes = wasm_encoder::Component::new().finish();
        append(&mut bytes, "connector:plugin.toml", manifest.as_bytes());
        parse(bytes)
    }

    fn parse(bytes: Vec<u8>) -> Package {
        Package::unchecked(Path::new("x.wasm"), bytes).unwrap()
    }

    fn signers(keys: &[&Key], required: bool) -> Signers {
        let dir = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..keys.len()).map(|index| format!("file:{index}.pub")).collect();
        for (index, key) in keys.iter().enumerate() {
            create_key_file(&dir.path().join(format!("{index}.pub")), &key.public().unwrap()).unwrap();
        }
        Signers::load("trusted.keys", &names, dir.path(), required).unwrap()
    }

    #[test]
    fn any_number_of_people_sign_the_same_bytes() {
        let keys = [Key::generate(KeyKind::Signing).unwrap(), Key::generate(KeyKind::Signing).unwrap()];
        let once = parse(package().sign(&keys[0]).unwrap());
        let twice = parse(once.sign(&keys[1]).unwrap());
        assert_eq!(twice.sign(&keys[0]).unwrap(), twice.bytes, "signed already");
        let both = signers(&[&keys[0], &keys[1]], true);
        assert_eq!(both.check(&twice).unwrap(), [keys[0].info().kid, keys[1].info().kid]);
        assert_eq!(both.check(&once).unwrap(), [keys[0].info().kid]);
        assert_eq!(signers(&[], false).check(&twice).unwrap(), [""; 0]);
    }

    #[test]
    fn a_file_that_is_not_what_was_signed_is_refused() {
        let (key, other) = (Key::generate(KeyKind::Signing).unwrap(), Key::generate(KeyKind::Signing).unwrap());
        let signed = parse(package().sign(&key).unwrap());
        let refused = |package: &Package, expected: &str| {
            let error = signers(&[&key], true).check(package).unwrap_err();
            assert!(error.class() == ErrorClass::Deny && error.to_string().contains(expected), "{error}");
        };
        refused(&package(), "it has no signature, expected one of `");
        refused(&parse(package().sign(&other).unwrap()), &format!("it is signed by `{}`", other.info().kid));
        let mut changed = signed.bytes.clone();
        let at = changed.windows(5).position(|part| part == b"1.0.0").unwrap();
        changed[at] = b'2';
        refused(&parse(changed), "is not of this file");
        let mut longer = signed.bytes.clone();
        append(&mut longer, "more", b"more");
        refused(&parse(longer), "was appended to the plugin behind a signature");
        let mut wrong = package().bytes;
        append(&mut wrong, SECTION, b"1 abc AAAA");
        assert!(Package::unchecked(Path::new("x"), wrong).unwrap_err().to_string().contains("that is no signature"));
    }

    #[test]
    fn trusted_keys_are_public_halves_of_pairs_that_sign() {
        let dir = tempfile::tempdir().unwrap();
        let load = |key: &Key| {
            let path = dir.path().join(key.info().kind.name());
            create_key_file(&path, key).unwrap();
            Signers::load("trusted.keys", &[format!("file:{}", path.display())], Path::new(""), true)
        };
        let signing = Key::generate(KeyKind::Signing).unwrap();
        assert!(load(&signing.public().unwrap()).is_ok());
        for wrong in [signing, Key::generate(KeyKind::Private).unwrap()] {
            assert!(load(&wrong).unwrap_err().to_string().contains("expected `ed25519-public`"));
        }
        let error = Signers::load("trusted.keys", &[], Path::new(""), true).unwrap_err();
        assert!(error.to_string().contains("`trusted.keys` names no key"), "{error}");
    }
}
