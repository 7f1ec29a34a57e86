//! The proof that who redeems a code is who asked for it: PKCE (RFC 7636), always S256.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bowline_model::{Clock, Secret};
use sha2::{Digest, Sha256};

/// 256 bits that nobody can guess, as text that fits into URLs: 43 characters.
pub(crate) fn random_text(clock: &dyn Clock) -> Secret {
    let bytes: Vec<u8> = (0..4).flat_map(|_| clock.random().to_le_bytes()).collect();
    Secret::new(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

/// The challenge that goes ahead of that verifier.
pub(crate) fn challenge(verifier: &Secret) -> String {
    hash_text(verifier.expose())
}

/// The SHA-256 of a text, as text.
pub(crate) fn hash_text(text: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(text))
}

#[cfg(test)]
mod tests {
    use bowline_model::SystemClock;

    use super::*;

    /// RFC 7636, appendix B.
    #[test]
    fn the_challenge_is_that_of_the_rfc() {
        let verifier = Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(challenge(&verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn a_verifier_has_the_form_that_the_rfc_asks_for() {
        let verifier = random_text(&SystemClock);
        let unreserved = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
        assert_eq!(verifier.expose().len(), 43);
        assert!(verifier.expose().chars().all(unreserved));
        assert_ne!(verifier.expose(), random_text(&SystemClock).expose());
    }
}
