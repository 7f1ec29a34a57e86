//! `x-hub-signature-256`: accepted is the body's HMAC in hex behind `sha256=`, and nothing else.
//!
//! Input: the header with `{mac}`, a line's end, the body.
#![no_main]

use bowline_fuzz::{HEADER_BYTES_MAX, Hash, fill, lines, mac, secret, spoil};
use bowline_signature::GitHub;
use libfuzzer_sys::fuzz_target;

const KEY: &str = "It's a Secret to Everybody";

fuzz_target!(|data: &[u8]| {
    let [template, body] = lines(data);
    let right = hex::encode(mac(Hash::Sha256, KEY.as_bytes(), &[body]));
    let header = fill(template, &[("{mac}", right.as_bytes())]);

    let github = GitHub::new(secret("another")).also_accept(secret(KEY));
    let digits = header.trim_ascii().strip_prefix(b"sha256=");
    let is_genuine = header.len() <= HEADER_BYTES_MAX
        && digits.is_some_and(|digits| digits.eq_ignore_ascii_case(right.as_bytes()));
    let verdict = github.verify(Some(&header), body);
    assert_eq!(verdict.is_ok(), is_genuine, "{verdict:?}");

    let github = GitHub::new(secret(KEY));
    let signed = github.sign(body).into_bytes();
    assert_eq!(github.verify(Some(&signed), body), Ok(()));
    let mut spoilt = signed.clone();
    spoil(data, &mut spoilt);
    let is_same = spoilt.starts_with(b"sha256=") && spoilt.eq_ignore_ascii_case(&signed);
    assert!(is_same || github.verify(Some(&spoilt), body).is_err());
    let mut other = body.to_vec();
    spoil(data, &mut other);
    assert!(other.is_empty() || github.verify(Some(&signed), &other).is_err());
});
