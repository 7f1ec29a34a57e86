//! `authorization`: what is read out of `Bearer` and `Basic` is what was written into them; accepted are the right
//! credentials, and nothing else.
//!
//! Input: the header with `{token}` and `{credentials}`, a line's end, a password.
#![no_main]

use base64::{Engine, engine::general_purpose::STANDARD};
use bowline_fuzz::{HEADER_BYTES_MAX, fill, lines, secret, spoil};
use bowline_signature::{ApiKey, Basic, Bearer, authorization};
use libfuzzer_sys::fuzz_target;

const USER: &str = "ada";
const TOKEN: &str = "mF_9.B5f-4.1JqM";

fuzz_target!(|data: &[u8]| {
    let [template, password] = lines(data);
    let password = if password.is_empty() { b"open sesame" } else { password };
    let right = [USER.as_bytes(), b":", password].concat();
    let credentials = STANDARD.encode(&right);
    let header = fill(template, &[("{token}", TOKEN.as_bytes()), ("{credentials}", credentials.as_bytes())]);

    let bearer = rest(&header, b"bearer");
    assert_eq!(authorization::bearer(Some(&header)).ok(), bearer);
    assert_eq!(Bearer::new(secret(TOKEN)).verify(Some(&header)).is_ok(), bearer == Some(TOKEN.as_bytes()));

    let basic = Basic::new(USER, secret(password)).expect("no colon");
    let read = authorization::basic(Some(&header));
    if let Ok(read) = &read {
        let written = STANDARD.encode([&read.user[..], b":", &read.password].concat());
        let encoded = rest(&header, b"basic").expect("a basic header");
        assert!(
            encoded.len() <= written.len() && encoded.starts_with(written.trim_end_matches('=').as_bytes())
        );
        assert!(!read.user.contains(&b':'));
    }
    let is_right = read.is_ok_and(|read| read.user == USER.as_bytes() && read.password == password);
    assert_eq!(basic.verify(Some(&header)).is_ok(), is_right);

    let shown = basic.present();
    if shown.len() <= HEADER_BYTES_MAX {
        assert_eq!(basic.verify(Some(&shown)), Ok(()));
        let mut other = right.clone();
        spoil(data, &mut other);
        let other = format!("Basic {}", STANDARD.encode(other));
        assert!(basic.verify(Some(other.as_bytes())).is_err());
    }
    let key = ApiKey::new("x-api-key", secret(TOKEN));
    assert_eq!(
        key.verify(Some(&header)).is_ok(),
        header.len() <= HEADER_BYTES_MAX && header.trim_ascii() == TOKEN.as_bytes()
    );
});

/// What stands behind the scheme, if it is that one.
fn rest<'h>(header: &'h [u8], scheme: &[u8]) -> Option<&'h [u8]> {
    let header = Some(header).filter(|header| header.len() <= HEADER_BYTES_MAX)?.trim_ascii();
    let (found, rest) = header.split_at_checked(scheme.len())?;
    let is_scheme = found.eq_ignore_ascii_case(scheme) && rest.first() == Some(&b' ');
    Some(rest.trim_ascii()).filter(|rest| is_scheme && !rest.is_empty())
}
