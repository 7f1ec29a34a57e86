//! A key for tests of senders whose private keys nobody else has. Everybody knows it: who signs with it is nobody.

use bowline_signature::CertifiedKey;

/// The key, with its certificate found at that address.
pub(super) fn at(url: &str) -> CertifiedKey {
    let (key, certificate) = (include_str!("test_key/key.pem"), include_str!("test_key/certificate.pem"));
    CertifiedKey::new(url, key, certificate).expect("a key and its certificate, both checked by tests")
}
