//! HMAC over parts, and its comparison: what most providers share.

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::{Choice, ConstantTimeEq};

use crate::SigningSecret;

/// The hash beneath an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Sha256,
    Sha512,
    Sha1,
}

impl Algorithm {
    /// Bytes of a signature.
    pub(crate) const fn bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
            Self::Sha1 => 20,
        }
    }
}

/// The HMAC of the parts, one after the other.
pub(crate) fn sign(algorithm: Algorithm, secret: &SigningSecret, parts: &[&[u8]]) -> Vec<u8> {
    match algorithm {
        Algorithm::Sha256 => mac::<Hmac<Sha256>>(secret, parts),
        Algorithm::Sha512 => mac::<Hmac<Sha512>>(secret, parts),
        Algorithm::Sha1 => mac::<Hmac<Sha1>>(secret, parts),
    }
}

fn mac<M: Mac + KeyInit>(secret: &SigningSecret, parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(secret.expose()).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// Whether any of the candidates is the parts' HMAC under any of the secrets.
///
/// Takes the same time whichever candidate matches, and however much of one does.
pub(crate) fn any_matches(
    algorithm: Algorithm,
    secrets: &[SigningSecret],
    parts: &[&[u8]],
    candidates: &[Vec<u8>],
) -> bool {
    let mut matches = Choice::from(0);
    for secret in secrets {
        let expected = sign(algorithm, secret, parts);
        for candidate in candidates {
            matches |= expected.ct_eq(candidate);
        }
    }
    matches.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2; RFC 2202, test case 2.
    #[test]
    fn is_the_hmac_of_the_rfcs() {
        let secret = SigningSecret::new("Jefe").unwrap();
        for (algorithm, expected) in [
            (Algorithm::Sha256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
            (
                Algorithm::Sha512,
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fd\
                 caeab1a34d4a6b4b636e070a38bce737",
            ),
            (Algorithm::Sha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        ] {
            let mac = sign(algorithm, &secret, &[b"what do ya want ", b"for nothing?"]);
            assert_eq!(hex::encode(&mac), expected);
            assert_eq!(mac.len(), algorithm.bytes());
        }
    }
}
