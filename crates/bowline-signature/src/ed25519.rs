//! Ed25519 (RFC 8032): the receiver's half of a key pair, and the sender's where it is known.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};

use crate::SigningSecret;

/// Bytes of a public key, and of the seed that is a private one.
pub(crate) const KEY_BYTES: usize = 32;
/// Bytes of a signature.
pub(crate) const SIGNATURE_BYTES: usize = 64;

/// A public key; or a pair, which signs as well.
#[derive(Clone)]
pub(crate) struct Key {
    public: [u8; KEY_BYTES],
    seed: Option<SigningSecret>,
}

impl Key {
    /// Verifies only.
    pub(crate) fn public(public: [u8; KEY_BYTES]) -> Self {
        Self { public, seed: None }
    }

    /// A seed and the public key that belongs to it; `None` if it does not.
    pub(crate) fn pair(pair: &[u8]) -> Option<Self> {
        let (seed, public) = pair.split_first_chunk::<KEY_BYTES>()?;
        let public: [u8; KEY_BYTES] = public.try_into().ok()?;
        Ed25519KeyPair::from_seed_and_public_key(seed, &public).ok()?;
        Some(Self { public, seed: SigningSecret::new(seed).ok() })
    }

    /// Whether it is a pair.
    pub(crate) fn signs(&self) -> bool {
        self.seed.is_some()
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.public).verify(message, signature).is_ok()
    }

    /// `None` if it is no pair.
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let pair = Ed25519KeyPair::from_seed_and_public_key(self.seed.as_ref()?.expose(), &self.public);
        Some(pair.expect("was a pair when it was made").sign(message).as_ref().to_vec())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.signs() { "[key pair]" } else { "[public key]" })
    }
}

/// Whether any of the signatures is the message's under any of the keys.
pub(crate) fn any_verifies(keys: &[Key], message: &[u8], signatures: &[Vec<u8>]) -> bool {
    keys.iter().any(|key| signatures.iter().any(|signature| key.verifies(message, signature)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032 § 7.1, test 2.
    #[test]
    fn is_the_ed25519_of_the_rfc() {
        let pair = hex::decode(
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb\
             3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        );
        let pair = Key::pair(&pair.unwrap()).unwrap();
        let signature = pair.sign(b"r").unwrap();
        assert_eq!(
            hex::encode(&signature),
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        );
        let public = Key::public(pair.public);
        assert!(public.verifies(b"r", &signature) && !public.verifies(b"s", &signature));
        assert_eq!((public.sign(b"r"), format!("{pair:?}").as_str()), (None, "[key pair]"));
    }

    #[test]
    fn a_seed_with_another_public_key_is_no_pair() {
        assert!(Key::pair(&[7; 64]).is_none() && Key::pair(&[7; 63]).is_none() && Key::pair(b"").is_none());
    }
}
