//! HMAC-SHA256 over parts, and its comparison: what most providers share.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use crate::SigningSecret;

/// Bytes of an HMAC-SHA256.
pub(crate) const SHA256_BYTES: usize = 32;

/// The HMAC-SHA256 of the parts, one after the other.
pub(crate) fn sha256(secret: &SigningSecret, parts: &[&[u8]]) -> [u8; SHA256_BYTES] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose()).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Whether any of the candidates is the parts' HMAC-SHA256 under any of the secrets.
///
/// Takes the same time whichever candidate matches, and however much of one does.
pub(crate) fn any_sha256_matches(
    secrets: &[SigningSecret],
    parts: &[&[u8]],
    candidates: &[[u8; SHA256_BYTES]],
) -> bool {
    let mut matches = Choice::from(0);
    for secret in secrets {
        let expected = sha256(secret, parts);
        for candidate in candidates {
            matches |= expected.ct_eq(candidate);
        }
    }
    matches.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    #[test]
    fn is_the_hmac_of_the_rfc() {
        let secret = SigningSecret::new("Jefe").unwrap();
        let mac = sha256(&secret, &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(hex::encode(mac), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }
}
