//! Every scheme: vectors that others published or made, every part tampered with, and arbitrary headers.

mod generic;
mod github;
mod official_libraries;
mod shared_key;
mod standard_webhooks;
mod stripe;

use bowline_signature::SigningSecret;
use jiff::Timestamp;

fn secret(text: impl AsRef<[u8]>) -> SigningSecret {
    SigningSecret::new(text).expect("not empty")
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("within range")
}

/// Headers as they came: what `verify` asks for by name.
fn lookup<'h, N: AsRef<str>, V: AsRef<[u8]>>(headers: &'h [(N, V)]) -> impl Fn(&str) -> Option<&'h [u8]> {
    |name| headers.iter().find(|header| header.0.as_ref() == name).map(|header| header.1.as_ref())
}
